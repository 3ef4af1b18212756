"""Pooling and padding layers in one, two and three dimensions."""

from __future__ import annotations

from typing import Any

from chainrule.nn import functional as F
from chainrule.nn.convolution import as_tuple
from chainrule.nn.module import Module


class _MaxPool(Module):
    n = 0

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
        return_indices: bool = False, ceil_mode: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def forward(self, input: Any) -> Any:
        """The largest entry of each window, and where it stood if asked."""
        return getattr(F, f"max_pool{self.n}d")(
            input, self.kernel_size, self.stride, self.padding, self.dilation,
            ceil_mode=self.ceil_mode, return_indices=self.return_indices,
        )  # fmt: skip

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """The maximum over windows of (N, C, L); arguments as `MaxPool2d`."""

    n = 1


class MaxPool2d(_MaxPool):
    """The maximum over windows of images (N, C, H, W).

    Args:
        kernel_size, stride, padding, dilation: a number, or one for each dimension; the stride is
            the kernel size by default.
        return_indices: also return where the maxima stood.
        ceil_mode: keep windows that hang over the edge.

    >>> import chainrule as cr
    >>> cr.nn.MaxPool2d(2)(cr.arange(16.0).reshape(1, 1, 4, 4))
    tensor([[[[ 5.,  7.],
              [13., 15.]]]])
    """

    n = 2


class MaxPool3d(_MaxPool):
    """The maximum over windows of (N, C, D, H, W); arguments as `MaxPool2d`."""

    n = 3


class AvgPool1d(Module):
    """The mean over windows of (N, C, L); arguments as `AvgPool2d`."""

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kernel_size = as_tuple(kernel_size, 1)
        self.stride = as_tuple(kernel_size if stride is None else stride, 1)
        self.padding = as_tuple(padding, 1)
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, input: Any) -> Any:
        """The mean of each window."""
        return F.avg_pool1d(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode,
            self.count_include_pad,
        )  # fmt: skip

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _AvgPool(Module):
    n = 0

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
        count_include_pad: bool = True, divisor_override: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding, self.ceil_mode = padding, ceil_mode
        self.count_include_pad, self.divisor_override = count_include_pad, divisor_override

    def forward(self, input: Any) -> Any:
        """The mean of each window."""
        return getattr(F, f"avg_pool{self.n}d")(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode,
            self.count_include_pad, self.divisor_override,
        )  # fmt: skip

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(_AvgPool):
    """The mean over windows of images (N, C, H, W).

    Args:
        kernel_size, stride, padding: a number, or one for each dimension; the stride is the kernel
            size by default.
        ceil_mode: keep windows that hang over the edge.
        count_include_pad: whether padding counts as entries.
        divisor_override: divide by this instead of the number of entries.

    >>> import chainrule as cr
    >>> cr.nn.AvgPool2d(2)(cr.arange(4.0).reshape(1, 1, 2, 2))
    tensor([[[[1.5000]]]])
    """

    n = 2


class AvgPool3d(_AvgPool):
    """The mean over windows of (N, C, D, H, W); arguments as `AvgPool2d`."""

    n = 3


class _Adaptive(Module):
    function = ""

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Any) -> Any:
        """The pooled input, of spatial size `output_size`."""
        return getattr(F, self.function)(input, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_Adaptive):
    """The mean over as many windows as the output is to have entries."""

    function = "adaptive_avg_pool1d"


class AdaptiveAvgPool2d(_Adaptive):
    """The mean over as many windows as the output is to have entries.

    >>> import chainrule as cr
    >>> cr.nn.AdaptiveAvgPool2d(1)(cr.ones(2, 3, 5, 7)).shape
    chainrule.Size([2, 3, 1, 1])
    """

    function = "adaptive_avg_pool2d"


class AdaptiveAvgPool3d(_Adaptive):
    """The mean over as many windows as the output is to have entries."""

    function = "adaptive_avg_pool3d"


class _AdaptiveMax(_Adaptive):
    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices

    def forward(self, input: Any) -> Any:
        """The pooled input, of spatial size `output_size`."""
        return getattr(F, self.function)(
            input, self.output_size, return_indices=self.return_indices
        )


class AdaptiveMaxPool1d(_AdaptiveMax):
    """The maximum over as many windows as the output is to have entries."""

    function = "adaptive_max_pool1d"


class AdaptiveMaxPool2d(_AdaptiveMax):
    """The maximum over as many windows as the output is to have entries."""

    function = "adaptive_max_pool2d"


class AdaptiveMaxPool3d(_AdaptiveMax):
    """The maximum over as many windows as the output is to have entries."""

    function = "adaptive_max_pool3d"


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
