"""Layers that put a border around their input, or take windows of it."""

from __future__ import annotations

from typing import Any

from chainrule.nn import functional as F
from chainrule.nn.convolution import as_tuple
from chainrule.nn.module import Module


class _Pad(Module):
    n = 0
    mode = "constant"
    value: float = 0.0

    def __init__(self, padding: Any) -> None:
        super().__init__()
        self.padding = as_tuple(padding, 2 * self.n)

    def forward(self, input: Any) -> Any:
        """The input with a border."""
        return F.pad(input, self.padding, mode=self.mode, value=self.value)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad1d(_Pad):
    """A border of zeros; `padding` is a number or (left, right)."""

    n = 1


class ZeroPad2d(_Pad):
    """A border of zeros; `padding` is a number or (left, right, top, bottom).

    >>> import chainrule as cr
    >>> cr.nn.ZeroPad2d((1, 0, 0, 1))(cr.ones(1, 1, 1, 2))
    tensor([[[[0., 1., 1.],
              [0., 0., 0.]]]])
    """

    n = 2


class ZeroPad3d(_Pad):
    """A border of zeros; `padding` is a number or two for each dimension, the last one first."""

    n = 3


class _ConstantPad(_Pad):
    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """A border of one value."""

    n = 1


class ConstantPad2d(_ConstantPad):
    """A border of one value."""

    n = 2


class ConstantPad3d(_ConstantPad):
    """A border of one value."""

    n = 3


class ReflectionPad1d(_Pad):
    """A border that mirrors the input without repeating its edge."""

    n, mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """A border that mirrors the input without repeating its edge."""

    n, mode = 2, "reflect"


class ReflectionPad3d(_Pad):
    """A border that mirrors the input without repeating its edge."""

    n, mode = 3, "reflect"


class ReplicationPad1d(_Pad):
    """A border that repeats the edge of the input."""

    n, mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """A border that repeats the edge of the input."""

    n, mode = 2, "replicate"


class ReplicationPad3d(_Pad):
    """A border that repeats the edge of the input."""

    n, mode = 3, "replicate"


class CircularPad1d(_Pad):
    """A border that continues the input periodically."""

    n, mode = 1, "circular"


class CircularPad2d(_Pad):
    """A border that continues the input periodically."""

    n, mode = 2, "circular"


class CircularPad3d(_Pad):
    """A border that continues the input periodically."""

    n, mode = 3, "circular"


class Unfold(Module):
    """The windows of images (N, C, H, W) as columns (N, C·k·k, number of windows).

    >>> import chainrule as cr
    >>> cr.nn.Unfold(2)(cr.ones(1, 3, 4, 4)).shape
    chainrule.Size([1, 12, 9])
    """

    def __init__(
        self, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
    ) -> None:
        super().__init__()
        self.kernel_size, self.dilation = kernel_size, dilation
        self.padding, self.stride = padding, stride

    def forward(self, input: Any) -> Any:
        """The columns."""
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, "
            f"stride={self.stride}"
        )


class Fold(Module):
    """Adds columns, as `Unfold` makes them, up to images of size `output_size`."""

    def __init__(
        self, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0,
        stride: Any = 1,
    ) -> None:  # fmt: skip
        super().__init__()
        self.output_size, self.kernel_size, self.dilation = output_size, kernel_size, dilation
        self.padding, self.stride = padding, stride

    def forward(self, input: Any) -> Any:
        """The images."""
        return F.fold(
            input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride
        )

    def extra_repr(self) -> str:
        return (
            f"output_size={self.output_size}, kernel_size={self.kernel_size}, "
            f"dilation={self.dilation}, padding={self.padding}, stride={self.stride}"
        )
