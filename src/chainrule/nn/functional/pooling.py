"""Pooling: the largest or the mean entry of each window, in one, two and three dimensions."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from chainrule.core.namespaces import recorded as xp
from chainrule.core.tensor import wrap
from chainrule.nn.functional.common import raw_dtype, require_tensor
from chainrule.ops.api import export
from chainrule.ops.window import Ints, Pads, span

_WORDS = {1: "one", 2: "two", 3: "three"}


def _ints(value: Any, n: int, function: str, name: str) -> Ints:
    found = (value,) * n if isinstance(value, (int, np.integer)) else tuple(value)
    found = found * n if len(found) == 1 else found
    if len(found) != n:
        kind = "an int" if n == 1 else f"a single int, or a tuple of {_WORDS[n]} ints"
        raise RuntimeError(f"{function}: {name} must either be {kind}")
    return tuple(int(v) for v in found)


def _check_input(input: Any, n: int, function: str) -> None:
    require_tensor(input, function)
    if len(input.shape) not in (n + 1, n + 2):
        raise RuntimeError(
            f"non-empty {n + 1}D or {n + 2}D (batch mode) tensor expected for input of "
            f"{function}(), got one of shape {list(input.shape)}"
        )


def _geometry(input: Any, n: int, function: str, kernel_size: Any, stride: Any, padding: Any,
              dilation: Any, ceil_mode: bool) -> tuple[Ints, Ints, Pads, Ints, Ints]:  # fmt: skip
    """Kernel, stride, padding and dilation as tuples, and the number of windows."""
    _check_input(input, n, function)
    kernel = _ints(kernel_size, n, function, "kernel_size")
    steps = kernel if stride is None or stride == () else _ints(stride, n, function, "stride")
    pads = _ints(padding, n, function, "padding")
    dilations = _ints(dilation, n, function, "dilation")
    if min(kernel) <= 0:
        raise RuntimeError(f"kernel size should be greater than zero, but got {list(kernel)}")
    if min(steps) <= 0:
        raise RuntimeError("stride should not be zero")
    if min(dilations) <= 0:
        raise RuntimeError(f"dilation should be greater than zero, but got {list(dilations)}")
    for p, k, e, d in zip(pads, kernel, span(kernel, dilations), dilations, strict=True):
        if p < 0:
            raise RuntimeError(f"pad must be non-negative, but got pad: {p}")
        if 2 * p > e:
            raise RuntimeError(
                "pad should be at most half of effective kernel size, but got "
                f"pad={p}, kernel_size={k} and dilation={d}"
            )
    size = tuple(input.shape[-n:])
    count = tuple(map(_windows, size, span(kernel, dilations), steps, pads, (ceil_mode,) * n))
    if min(count) <= 0:
        c = input.shape[-n - 1]
        given, out = ("x".join(map(str, (c, *v))) for v in (size, count))
        raise RuntimeError(
            f"Given input size: ({given}). Calculated output size: ({out}). Output size is too "
            "small"
        )
    return kernel, steps, tuple((p, p) for p in pads), dilations, count


def _windows(size: int, extent: int, stride: int, pad: int, ceil_mode: bool) -> int:
    """The number of windows; with `ceil_mode` one more may start inside and reach past the end."""
    room = size + 2 * pad - extent
    if not ceil_mode:
        return room // stride + 1
    count = -(-room // stride) + 1
    return count - 1 if (count - 1) * stride >= size + pad else count


def _max(n: int, input: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any,
         ceil_mode: bool, return_indices: bool) -> Any:  # fmt: skip
    kernel, steps, pads, dilations, count = _geometry(
        input, n, f"max_pool{n}d", kernel_size, stride, padding, dilation, ceil_mode
    )
    best, place = xp.max_pool(
        input, kernel=kernel, stride=steps, padding=pads, dilation=dilations, count=count
    )
    if not return_indices:
        return best
    size = tuple(input.shape[-n:])
    return best, xp.pool_positions(
        place, size=size, kernel=kernel, stride=steps, padding=pads, dilation=dilations
    )


@export(method=False)
def max_pool1d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """The largest entry of each window of (N, C, L) or (C, L).

    Raises:
        RuntimeError: if no window fits, or an argument is out of range.

    >>> import chainrule as cr
    >>> cr.max_pool1d(cr.tensor([[1.0, 3.0, 2.0, 0.0]]), 2)
    tensor([[3., 2.]])
    """
    return _max(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@export(method=False)
def max_pool2d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """The largest entry of each window of (N, C, H, W) or (C, H, W).

    Args:
        kernel_size, stride, padding, dilation: numbers or pairs; the stride is the kernel's size
            unless given.
        ceil_mode: count a last window that reaches past the end.
        return_indices: return also where in the image each entry was, counted row by row.

    Raises:
        RuntimeError: if no window fits, or an argument is out of range.

    >>> import chainrule as cr
    >>> cr.max_pool2d(cr.tensor([[[1.0, 3.0], [2.0, 0.0]]]), 2)
    tensor([[[3.]]])
    """
    return _max(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@export(method=False)
def max_pool3d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """The largest entry of each window of (N, C, D, H, W) or (C, D, H, W).

    Raises:
        RuntimeError: if no window fits, or an argument is out of range.

    >>> import chainrule as cr
    >>> cr.max_pool3d(cr.ones(1, 2, 2, 2), 2).shape
    chainrule.Size([1, 1, 1, 1])
    """
    return _max(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def _mean(n: int, input: Any, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool,
          count_include_pad: bool, divisor_override: int | None) -> Any:  # fmt: skip
    kernel, steps, pads, ones, count = _geometry(
        input, n, f"avg_pool{n}d", kernel_size, stride, padding, 1, ceil_mode
    )
    if divisor_override == 0:
        raise RuntimeError("divisor must be not zero")
    summed = xp.window_sum(
        input, kernel=kernel, stride=steps, padding=pads, dilation=ones, count=count
    )
    if divisor_override is not None:
        return summed / divisor_override
    if not ceil_mode and (count_include_pad or not any(lo for lo, _ in pads)):
        return summed / prod(kernel)
    return summed / wrap(_divisor(input, kernel, steps, pads, count, count_include_pad))


def _divisor(
    input: Any, kernel: Ints, stride: Ints, pads: Pads, count: Ints, include_pad: bool
) -> Any:
    """How many entries each window averages: never those beyond the padding."""
    total: Any = 1
    sizes = zip(input.shape[-len(kernel) :], kernel, stride, pads, count, strict=True)
    for i, (size, k, s, (pad, _), c) in enumerate(sizes):
        start = np.arange(c) * s - pad
        end = np.minimum(start + k, size + pad)
        if not include_pad:
            start, end = np.maximum(start, 0), np.minimum(end, size)
        total = total * (end - start).reshape(-1, *(1,) * (len(kernel) - 1 - i))
    return total.astype(raw_dtype(input))


@export(method=False)
def avg_pool1d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:  # fmt: skip
    """The mean of each window of (N, C, L) or (C, L).

    Raises:
        RuntimeError: if no window fits, or an argument is out of range.

    >>> import chainrule as cr
    >>> cr.avg_pool1d(cr.tensor([[1.0, 3.0, 2.0, 0.0]]), 2)
    tensor([[2., 1.]])
    """
    return _mean(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def avg_pool2d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Any:  # fmt: skip
    """The mean of each window of (N, C, H, W) or (C, H, W).

    Args:
        kernel_size, stride, padding: numbers or pairs; the stride is by default the kernel's size.
        ceil_mode: count a last window that reaches past the end.
        count_include_pad: count the zeros of the padding.
        divisor_override: divide by this instead of the number of entries.

    Raises:
        RuntimeError: if no window fits, or an argument is out of range.

    >>> import chainrule as cr
    >>> cr.nn.functional.avg_pool2d(cr.tensor([[[1.0, 3.0], [2.0, 0.0]]]), 2)
    tensor([[[1.5000]]])
    """
    return _mean(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad,
                 divisor_override)  # fmt: skip


def avg_pool3d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Any:  # fmt: skip
    """The mean of each window of (N, C, D, H, W) or (C, D, H, W).

    Raises:
        RuntimeError: if no window fits, or an argument is out of range.

    >>> import chainrule as cr
    >>> cr.nn.functional.avg_pool3d(cr.ones(1, 2, 2, 2), 2)
    tensor([[[[1.]]]])
    """
    return _mean(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad,
                 divisor_override)  # fmt: skip


__all__ = [
    "avg_pool1d", "avg_pool2d", "avg_pool3d", "max_pool1d", "max_pool2d", "max_pool3d",
]  # fmt: skip
