"""Pooling layers in one, two and three dimensions."""

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


class _LPPool(Module):
    n = 0

    def __init__(
        self, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        self.norm_type, self.kernel_size = norm_type, kernel_size
        self.stride, self.ceil_mode = stride, ceil_mode

    def forward(self, input: Any) -> Any:
        """The norm of each window."""
        return getattr(F, f"lp_pool{self.n}d")(
            input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode
        )

    def extra_repr(self) -> str:
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPool):
    """The p-norm over windows of (N, C, L)."""

    n = 1


class LPPool2d(_LPPool):
    """The p-norm over windows of images (N, C, H, W)."""

    n = 2


class LPPool3d(_LPPool):
    """The p-norm over windows of (N, C, D, H, W)."""

    n = 3


class _MaxUnpool(Module):
    n = 0

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        super().__init__()
        self.kernel_size = as_tuple(kernel_size, self.n)
        self.stride = as_tuple(kernel_size if stride is None else stride, self.n)
        self.padding = as_tuple(padding, self.n)

    def forward(self, input: Any, indices: Any, output_size: Any = None) -> Any:
        """The maxima put back where the indices say, zero elsewhere."""
        return getattr(F, f"max_unpool{self.n}d")(
            input, indices, self.kernel_size, self.stride, self.padding, output_size
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpool):
    """Undoes `MaxPool1d`, given its indices."""

    n = 1


class MaxUnpool2d(_MaxUnpool):
    """Undoes `MaxPool2d`, given its indices."""

    n = 2


class MaxUnpool3d(_MaxUnpool):
    """Undoes `MaxPool3d`, given its indices."""

    n = 3
