"""Pictures of convolution by hand: arrays in, matplotlib figure out."""

from convline.lessons.by_hand.figures.edges import edge_kernels, sample_picture
from convline.lessons.by_hand.figures.forward_backward import forward_and_backward
from convline.lessons.by_hand.figures.toeplitz_matrix import toeplitz_matrix
from convline.lessons.by_hand.figures.window import sliding_window

__all__ = ["edge_kernels", "forward_and_backward", "sample_picture", "sliding_window", "toeplitz_matrix"]
