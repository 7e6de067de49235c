"""Implement the layers of the pattern language that torch.nn lacks. Inputs and outputs are N×C×H×W unless noted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convline.network.windows_and_macs import MeasuredLayer, Shape, Window, conv2d_macs, dilated, whole_map


def same_padding(size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """Return the zeros before and after one axis for which a window gives ceil(size / stride) positions.

    If their number is odd, the additional zero is after the axis (right, bottom), as in TensorFlow's `SAME`.

    Source: TensorFlow documentation of tf.nn, "Notes on padding".
    """
    num_positions = -(-size // stride)
    total = max((num_positions - 1) * stride + dilation * (kernel - 1) + 1 - size, 0)
    return total // 2, total - total // 2


def pad_same(x: Tensor, kernel: int, stride: int, dilation: int = 1, value: float = 0.0) -> Tensor:
    """Pad the last two axes of `x` by `same_padding`; return `x` itself if no padding is needed."""
    top, bottom = same_padding(x.shape[-2], kernel, stride, dilation)
    left, right = same_padding(x.shape[-1], kernel, stride, dilation)
    return F.pad(x, (left, right, top, bottom), value=value) if top + bottom + left + right else x


def _window_same(input_shape: Shape, kernel: tuple[int, int], stride: int) -> Window:
    """Return the window of a layer that pads by `same_padding`."""
    above, left = (same_padding(side, k, stride)[0] for side, k in zip(input_shape[1:], kernel, strict=True))
    return Window(kernel, (stride, stride), (above, left))


class Conv2dSame(MeasuredLayer, nn.Conv2d):
    """Convolve with the padding of TensorFlow's `SAME`, for strides above 1 and for even kernels."""

    kind = "conv"

    def forward(self, input: Tensor) -> Tensor:
        """Convolve N×C×H×W to N×filters×ceil(H/stride)×ceil(W/stride)."""
        return super().forward(pad_same(input, self.kernel_size[0], self.stride[0], self.dilation[0]))

    def window(self, input_shape: Shape, output_shape: Shape) -> Window:
        """Return the kernel, with the zeros that `same_padding` puts before it."""
        return _window_same(input_shape, dilated(self), self.stride[0])

    def macs(self, input_shape: Shape, output_shape: Shape) -> int:
        """Count a product for each weight at each position."""
        return conv2d_macs(self, output_shape)


class Local2d(MeasuredLayer, nn.Module):
    """Connect locally: slide a window as a convolution does, but with separate weights and biases at each position.

    Args:
        in_channels: channels of the input.
        filters: channels of the output.
        kernel: side of the window, in positions of the input.
        output_size: height and width of the output.
        stride: step of the window.
        pad: zeros (before, after) for height and for width.
        bias: add one bias per filter and position.

    Shapes: `weight` is positions × (in_channels·kernel²) × filters, `bias` filters × height × width.

    Source: Gregor & LeCun, "Emergence of Complex-Like Cells in a Temporal Product Network with Local Receptive
    Fields", 2010; the biases per position as in Keras' LocallyConnected2D.
    """

    kind = "local"

    def __init__(
        self,
        in_channels: int,
        filters: int,
        kernel: int,
        output_size: tuple[int, int],
        stride: int = 1,
        pad: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0)),
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.in_channels, self.filters, self.kernel_size, self.stride, self.pad = (
            in_channels,
            filters,
            kernel,
            stride,
            pad,
        )
        self.output_size = output_size
        num_positions = output_size[0] * output_size[1]
        self.weight = nn.Parameter(torch.empty(num_positions, in_channels * kernel**2, filters))
        self.bias = nn.Parameter(torch.empty(filters, *output_size)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights and biases uniformly in ±1/√fan_in, as torch.nn does for a convolution with this kernel."""
        bound = 1 / math.sqrt(self.weight.shape[1])
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """Map N×C×H×W to N×filters×height×width."""
        (top, bottom), (left, right) = self.pad
        # unfold copies the window of each position p into a column of C·kernel² values
        windows = F.unfold(F.pad(x, (left, right, top, bottom)), self.kernel_size, stride=self.stride)  # N×Ck²×P
        # each position p has its own matrix of weights Ck²×F
        maps = torch.einsum("nkp,pkf->nfp", windows, self.weight).unflatten(2, self.output_size)  # N×F×height×width
        return maps if self.bias is None else maps + self.bias

    def window(self, input_shape: Shape, output_shape: Shape) -> Window:
        """Return the kernel, with its zeros above and left."""
        padding = self.pad[0][0], self.pad[1][0]
        return Window((self.kernel_size, self.kernel_size), (self.stride, self.stride), padding)

    def macs(self, input_shape: Shape, output_shape: Shape) -> int:
        """Count each weight once: every weight belongs to one position."""
        return self.weight.numel()

    def extra_repr(self) -> str:
        """Return the arguments that `print(module)` shows."""
        return (
            f"{self.in_channels}, {self.filters}, kernel_size={self.kernel_size}, stride={self.stride}, pad={self.pad}"
        )


class Pool2d(MeasuredLayer, nn.Module):
    """Provide padding and window to the pooling layers below, which are its subclasses.

    Args:
        kernel: side of the window.
        stride: step of the window.
        padding: zeros on each side, or "same" for `same_padding`.
    """

    kind = "pool"

    def __init__(self, kernel: int, stride: int, padding: int | str = 0) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = kernel, stride, padding

    def window(self, input_shape: Shape, output_shape: Shape) -> Window:
        """Return the window of the pool, with its padding above and left."""
        size = self.kernel_size, self.kernel_size
        if self.padding == "same":
            return _window_same(input_shape, size, self.stride)
        padding = cast(int, self.padding)
        return Window(size, (self.stride, self.stride), (padding, padding))

    def macs(self, input_shape: Shape, output_shape: Shape) -> int:
        """Count none: a maximum or a mean has no weights."""
        return 0

    def padded(self, x: Tensor, value: float = 0.0) -> Tensor:
        """Pad `x` with a value."""
        if self.padding == "same":
            return pad_same(x, self.kernel_size, self.stride, value=value)
        p = cast(int, self.padding)
        return F.pad(x, (p, p, p, p), value=value) if p else x

    def extra_repr(self) -> str:
        """Return the arguments that `print(module)` shows."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxPool2dSame(Pool2d):
    """Take the maximum of each window; padding is ignored."""

    def forward(self, x: Tensor) -> Tensor:
        """Pool N×C×H×W to N×C×ceil(H/stride)×ceil(W/stride)."""
        return F.max_pool2d(self.padded(x, -math.inf), self.kernel_size, self.stride)


class AvgPool2dSame(Pool2d):
    """Take the mean of each window; padding is ignored, as in TensorFlow."""

    def forward(self, x: Tensor) -> Tensor:
        """Pool N×C×H×W to N×C×ceil(H/stride)×ceil(W/stride)."""
        padded = self.padded(x)
        means = F.avg_pool2d(padded, self.kernel_size, self.stride)
        if padded is x:
            return means
        # the means count padding as zeros: divide by the fraction of each window that is inside of the map
        inside = F.avg_pool2d(self.padded(torch.ones_like(x[:1, :1])), self.kernel_size, self.stride)
        return means / inside


class L2Pool2d(Pool2d):
    """Take the L2 norm of each window, the root of the sum of squares; padding counts as zeros.

    Source: Sermanet, Chintala & LeCun, "Convolutional Neural Networks Applied to House Numbers Digit
    Classification", 2012 (Lp-pooling with p = 2, without its Gaussian weights).
    """

    def forward(self, x: Tensor) -> Tensor:
        """Pool N×C×H×W to N×C×H'×W'."""
        means = F.avg_pool2d(self.padded(x * x), self.kernel_size, self.stride)
        # The derivative of the root is infinite at 0, and its product with the inner derivative 0 would be NaN. Below
        # the clamp, the gradient is 0.
        return (means * self.kernel_size**2).clamp_min(1e-12).sqrt()


class GaussPool2d(Pool2d):
    """Average each window with weights exp(-d²/2σ²), by the distance d from its center; padding is ignored.

    Args:
        kernel: side of the window.
        stride: step of the window.
        padding: zeros on each side, or "same".
        sigma: σ in positions of the input; None takes kernel / 4, so that the window ends at 2 σ.
    """

    weight: Tensor

    def __init__(self, kernel: int, stride: int, padding: int | str = 0, sigma: float | None = None) -> None:
        super().__init__(kernel, stride, padding)
        self.sigma = kernel / 4 if sigma is None else sigma
        distance = torch.arange(kernel, dtype=torch.float32) - (kernel - 1) / 2
        # a 2-d Gaussian is the product of two 1-d Gaussians, each of which the softmax normalizes to the sum 1
        profile = torch.softmax(-(distance**2) / (2 * self.sigma**2), 0)
        self.register_buffer("weight", torch.outer(profile, profile), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Pool N×C×H×W to N×C×H'×W'."""
        weight = self.weight.to(x.dtype).expand(x.shape[1], 1, -1, -1)
        total = F.conv2d(self.padded(x), weight, stride=self.stride, groups=x.shape[1])
        if self.padding == 0:
            return total
        inside = self.padded(x.new_ones(1, 1, *x.shape[2:]))  # 1 inside of the map, 0 in its padding
        return total / F.conv2d(inside, weight[:1], stride=self.stride)

    def macs(self, input_shape: Shape, output_shape: Shape) -> int:
        """Count a product for each weight of the window at each position."""
        return math.prod(output_shape) * self.kernel_size**2


class GlobalAvgPool2d(MeasuredLayer, nn.Module):
    """Average each feature map.

    Source: Lin, Chen & Yan, "Network In Network", 2014.
    """

    kind = "pool"

    def forward(self, x: Tensor) -> Tensor:
        """Average N×C×H×W over H and W to N×C."""
        return x.mean((2, 3))

    def window(self, input_shape: Shape, output_shape: Shape) -> Window:
        """Return the whole map."""
        return whole_map(input_shape)

    def macs(self, input_shape: Shape, output_shape: Shape) -> int:
        """Count none: a mean has no weights."""
        return 0


class PadShortcut(MeasuredLayer, nn.Module):
    """Subsample a map by a stride, and append channels of zeros: a shortcut without parameters.

    Args:
        new_channels: number of channels of zeros.
        stride: step in both directions.

    Source: He, Zhang, Ren & Sun, "Deep Residual Learning for Image Recognition", 2015, section 3.3, option A.
    """

    kind = "resize"

    def __init__(self, new_channels: int, stride: int) -> None:
        super().__init__()
        self.new_channels, self.stride = new_channels, stride

    def forward(self, x: Tensor) -> Tensor:
        """Map N×C×H×W to N×(C+new_channels)×ceil(H/stride)×ceil(W/stride)."""
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.new_channels))

    def window(self, input_shape: Shape, output_shape: Shape) -> Window:
        """Return a window of one position; positions between two strides are dropped."""
        return Window(stride=(self.stride, self.stride))

    def macs(self, input_shape: Shape, output_shape: Shape) -> int:
        """Count none: values are only moved."""
        return 0

    def extra_repr(self) -> str:
        """Return the arguments that `print(module)` shows."""
        return f"new_channels={self.new_channels}, stride={self.stride}"


class Add(nn.Module):
    """Add the outputs of branches that take the same input; the children are `branch1`, `branch2`, ..."""

    def __init__(self, branches: Sequence[nn.Module]) -> None:
        super().__init__()
        for index, branch in enumerate(branches, 1):
            self.add_module(f"branch{index}", branch)

    def forward(self, x: Tensor) -> Tensor:
        """Sum the branches' outputs, which have one shape."""
        first, *others = self._modules.values()  # children() would leave out a module that is in two branches
        total = cast(nn.Module, first)(x)
        for branch in others:
            total = total + cast(nn.Module, branch)(x)
        return total


class Concat(Add):
    """Concatenate the outputs of branches along the channels."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply each branch to `x`, and concatenate their outputs N×C₁×H×W, N×C₂×H×W, … to N×(C₁+C₂+…)×H×W."""
        return torch.cat([cast(nn.Module, branch)(x) for branch in self._modules.values()], 1)
