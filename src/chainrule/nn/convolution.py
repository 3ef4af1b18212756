"""Convolutions and transposed convolutions in one, two and three dimensions."""

from __future__ import annotations

from typing import Any

from chainrule.nn import functional as F
from chainrule.nn.linear import empty_parameter, reset_like_linear
from chainrule.nn.module import Module

_PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


def as_tuple(value: Any, n: int) -> tuple[int, ...]:
    """One number for each of `n` dimensions."""
    return tuple(value) if isinstance(value, (tuple, list)) else (value,) * n


class _Convolution(Module):
    """What all convolutions hold; `n` is the number of spatial dimensions."""

    n = 0
    transposed = False
    padding: Any

    def _build(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any, padding: Any,
        dilation: Any, groups: int, bias: bool, padding_mode: str, dtype: Any,
        output_padding: Any = 0,
    ) -> None:  # fmt: skip
        if groups <= 0:
            raise ValueError("groups must be a positive integer")
        if in_channels % groups:
            raise ValueError("in_channels must be divisible by groups")
        if out_channels % groups:
            raise ValueError("out_channels must be divisible by groups")
        if padding_mode not in _PADDING_MODES:
            raise ValueError(
                f"padding_mode must be one of {set(_PADDING_MODES)}, but got "
                f"padding_mode='{padding_mode}'"
            )
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise ValueError(
                    f"Invalid padding string {padding!r}, should be one of {{'valid', 'same'}}"
                )
            if padding == "same" and any(s != 1 for s in as_tuple(stride, self.n)):
                raise ValueError("padding='same' is not supported for strided convolutions")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size = as_tuple(kernel_size, self.n)
        self.stride = as_tuple(stride, self.n)
        self.padding = padding if isinstance(padding, str) else as_tuple(padding, self.n)
        self.dilation = as_tuple(dilation, self.n)
        self.output_padding = as_tuple(output_padding, self.n)
        self.groups, self.padding_mode = groups, padding_mode
        first, second = out_channels, in_channels
        if self.transposed:
            first, second = second, first
        self.weight = empty_parameter((first, second // groups, *self.kernel_size), dtype)
        self.register_parameter("bias", empty_parameter(out_channels, dtype) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new values."""
        reset_like_linear(self.weight, self.bias)

    def _apply(self, input: Any) -> Any:
        """The convolution, after the padding that `padding_mode` asks for."""
        convolve = getattr(F, f"conv{self.n}d")
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            input = F.pad(input, self._both_sides(), mode=self.padding_mode)
            padding = 0
        return convolve(
            input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )

    def _both_sides(self) -> list[int]:
        """The padding as `F.pad` takes it: last dimension first, left and right."""
        sides: list[int] = []
        for i in reversed(range(self.n)):
            if self.padding == "same":
                total = self.dilation[i] * (self.kernel_size[i] - 1)
                sides += [total // 2, total - total // 2]
            else:
                p = 0 if self.padding == "valid" else int(self.padding[i])
                sides += [p, p]
        return sides

    def _apply_transposed(self, input: Any, output_size: Any) -> Any:
        convolve = getattr(F, f"conv_transpose{self.n}d")
        extra = self.output_padding
        if output_size is not None:
            extra = self._output_padding(input, output_size)
        return convolve(
            input, self.weight, self.bias, self.stride, self.padding, extra, self.groups,
            self.dilation,
        )  # fmt: skip

    def _output_padding(self, input: Any, output_size: Any) -> tuple[int, ...]:
        """The output padding that gives the wanted output size.

        Raises:
            ValueError: if no output padding does.
        """
        wanted = tuple(output_size)[-self.n :]
        least = [
            (d - 1) * s - 2 * p + dil * (k - 1) + 1
            for d, s, p, dil, k in zip(
                input.shape[-self.n :], self.stride, self.padding, self.dilation,
                self.kernel_size, strict=True,
            )
        ]  # fmt: skip
        most = [low + s - 1 for low, s in zip(least, self.stride, strict=True)]
        if any(not low <= w <= m for low, w, m in zip(least, wanted, most, strict=True)):
            raise ValueError(
                f"requested an output size of {list(wanted)}, but valid sizes range from {least} "
                f"to {most} (for an input of {list(input.shape[-self.n :])})"
            )
        return tuple(w - low for w, low in zip(wanted, least, strict=True))

    def extra_repr(self) -> str:
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}"
        )
        for name, default in (("padding", 0), ("dilation", 1), ("output_padding", 0)):
            value = getattr(self, name)
            if value != (default,) * self.n:
                text += f", {name}={value}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text


class _Conv(_Convolution):
    """A convolution; the arguments are documented at `Conv2d`."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1,
        padding: Any = 0, dilation: Any = 1, groups: int = 1, bias: bool = True,
        padding_mode: str = "zeros", device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self._build(in_channels, out_channels, kernel_size, stride, padding, dilation, groups,
                    bias, padding_mode, dtype)  # fmt: skip

    def forward(self, input: Any) -> Any:
        """The convolution of `input` of shape (N, in_channels, ...) or without N."""
        return self._apply(input)


class Conv1d(_Conv):
    """A convolution over (N, C, L); arguments as `Conv2d`.

    >>> import chainrule as cr
    >>> cr.nn.Conv1d(2, 4, kernel_size=3)(cr.ones(5, 2, 10)).shape
    chainrule.Size([5, 4, 8])
    """

    n = 1


class Conv2d(_Conv):
    """A convolution (cross-correlation) over images of shape (N, C, H, W).

    Args:
        in_channels, out_channels: number of channels of input and output.
        kernel_size, stride, padding, dilation: a number, or one for each dimension; padding may
            also be "same" or "valid".
        groups: blocks of channels that are not mixed.
        bias: whether to add one.
        padding_mode: "zeros", "reflect", "replicate" or "circular".

    Raises:
        ValueError: if the channels cannot be divided into groups, or for an unknown padding.

    >>> import chainrule as cr
    >>> cr.nn.Conv2d(3, 8, kernel_size=3, padding=1)(cr.ones(1, 3, 6, 6)).shape
    chainrule.Size([1, 8, 6, 6])
    """

    n = 2


class Conv3d(_Conv):
    """A convolution over (N, C, D, H, W); arguments as `Conv2d`."""

    n = 3


class _ConvTranspose(_Convolution):
    """A transposed convolution; the arguments are documented at `ConvTranspose2d`."""

    transposed = True

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1,
        padding: Any = 0, output_padding: Any = 0, groups: int = 1, bias: bool = True,
        dilation: Any = 1, padding_mode: str = "zeros", device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {type(self).__name__}')
        self._build(in_channels, out_channels, kernel_size, stride, padding, dilation, groups,
                    bias, padding_mode, dtype, output_padding)  # fmt: skip

    def forward(self, input: Any, output_size: Any = None) -> Any:
        """The transposed convolution; `output_size` chooses among the sizes that stride allows."""
        return self._apply_transposed(input, output_size)


class ConvTranspose1d(_ConvTranspose):
    """A transposed convolution over (N, C, L); arguments as `ConvTranspose2d`."""

    n = 1


class ConvTranspose2d(_ConvTranspose):
    """The transpose (gradient) of a convolution: enlarges images where that one shrinks them.

    Args:
        in_channels, out_channels: number of channels of input and output.
        kernel_size, stride, padding, dilation: a number, or one for each dimension.
        output_padding: added to one side of the output.
        groups: blocks of channels that are not mixed.
        bias: whether to add one.

    >>> import chainrule as cr
    >>> cr.nn.ConvTranspose2d(3, 8, kernel_size=2, stride=2)(cr.ones(1, 3, 4, 4)).shape
    chainrule.Size([1, 8, 8, 8])
    """

    n = 2


class ConvTranspose3d(_ConvTranspose):
    """A transposed convolution over (N, C, D, H, W); arguments as `ConvTranspose2d`."""

    n = 3
