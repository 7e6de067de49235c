"""Draw convolutions by hand: each function takes arrays and returns a matplotlib figure."""

from convline.lessons.by_hand.figures.edge_kernels import edge_kernels, sample_image
from convline.lessons.by_hand.figures.forward_backward import forward_backward
from convline.lessons.by_hand.figures.sliding_window import sliding_window
from convline.lessons.by_hand.figures.toeplitz_matrix import toeplitz_matrix

__all__ = ["edge_kernels", "forward_backward", "sample_image", "sliding_window", "toeplitz_matrix"]
