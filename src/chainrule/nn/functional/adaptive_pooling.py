"""Pooling to a given size, pooling by power means, and the inverse of max pooling."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from chainrule.core.namespaces import recorded as xp
from chainrule.core.tensor import wrap
from chainrule.nn.functional.common import as_tensor, off_tape, raw_dtype, require_tensor
from chainrule.nn.functional.pooling import avg_pool1d, avg_pool2d, avg_pool3d
from chainrule.ops.api import export
from chainrule.ops.extremes import ordered
from chainrule.ops.window import Ints


def _sizes(input: Any, n: int, output_size: Any, function: str) -> Ints:
    """The output size; None keeps a dimension as it is."""
    require_tensor(input, function)
    if len(input.shape) not in (n + 1, n + 2):
        raise RuntimeError(
            f"{function}(): Expected {n + 1}D or {n + 2}D tensor, but got {list(input.shape)}"
        )
    given = (output_size,) * n if isinstance(output_size, int) else tuple(output_size or (None,))
    if len(given) == 1:
        given = given * n
    if len(given) != n:
        raise RuntimeError(f"{function}: Internal error: output_size must have {n} entries")
    out = tuple(s if o is None else int(o) for s, o in zip(input.shape[-n:], given, strict=True))
    if min(out) < 0:
        raise RuntimeError(
            f"{function}(): elements of output_size must be greater than or equal to 0, got "
            f"{list(out)}"
        )
    return out


def _bounds(size: int, out: int) -> tuple[Any, Any]:
    """Where each of `out` windows that cover `size` entries begins and ends."""
    i = np.arange(out)
    return i * size // out, -((-(i + 1) * size) // out)


def _blocks(input: Any, out: Ints) -> tuple[Any, Any, Any]:
    """Windows (..., *out, *longest), which of their entries are real, and their flat positions."""
    n = len(out)
    size = tuple(input.shape[-n:])
    index, real, flat = [], [], np.zeros((), np.int64)
    for d in range(n):
        start, end = _bounds(size[d], out[d])
        offset = np.arange(max((end - start).max(initial=0), 1))
        place = start[:, None] + offset
        shape = [1] * (2 * n)
        shape[d], shape[n + d] = place.shape
        real.append((place < end[:, None]).reshape(shape))
        index.append(np.minimum(place, size[d] - 1).reshape(shape))
        flat = flat * size[d] + index[-1]
    windows = input[(Ellipsis, *map(wrap, index))]
    mask: Any = np.array(True)
    for r in real:
        mask = mask & r
    return windows, mask, flat


def _adaptive_mean(n: int, input: Any, output_size: Any) -> Any:
    out = _sizes(input, n, output_size, f"adaptive_avg_pool{n}d")
    size = tuple(input.shape[-n:])
    if all(o and s % o == 0 for s, o in zip(size, out, strict=True)):
        kernel = tuple(s // o for s, o in zip(size, out, strict=True))
        if set(out) == {1}:
            return xp.mean(input, axis=_last(input, n), keepdims=True)
        pooled = (avg_pool1d, avg_pool2d, avg_pool3d)[n - 1](input, kernel)
        return pooled
    windows, mask, _ = _blocks(input, out)
    counts = np.broadcast_to(mask, (*out, *windows.shape[-n:])).sum(tuple(range(n, 2 * n)))
    summed = xp.sum(xp.where(wrap(mask), windows, 0.0), axis=_last(windows, n), keepdims=False)
    return summed / wrap(counts.astype(raw_dtype(input)))


def _last(x: Any, n: int) -> Ints:
    return tuple(range(len(x.shape) - n, len(x.shape)))


def _adaptive_max(n: int, input: Any, output_size: Any, return_indices: bool) -> Any:
    out = _sizes(input, n, output_size, f"adaptive_max_pool{n}d")
    ordered(input, f"adaptive_max_pool{n}d")
    windows, mask, flat = _blocks(input, out)
    shape = tuple(windows.shape)
    lead, entries = shape[: len(shape) - n], prod(shape[len(shape) - n :])
    last = len(lead)
    on, values = off_tape(windows)
    values = on.reshape(on.where(mask, values, -np.inf), shape=(*lead, entries))
    place = as_tensor(on.argmax(values, axis=last, keepdims=True))
    rows = xp.reshape(windows, shape=(*lead, entries))
    best = xp.select_along(rows, place, axis=last, keepdims=False)
    if not return_indices:
        return best
    where = np.broadcast_to(flat, shape[len(shape) - 2 * n :]).reshape(*out, entries)
    where = wrap(np.broadcast_to(where, (*lead, entries)))
    return best, xp.select_along(where, place, axis=last, keepdims=False)


@export(method=False)
def adaptive_avg_pool1d(input: Any, output_size: Any) -> Any:
    """The means of `output_size` windows that cover (N, C, L) or (C, L).

    >>> import chainrule as cr
    >>> cr.adaptive_avg_pool1d(cr.tensor([[1.0, 3.0, 5.0]]), 1)
    tensor([[3.]])
    """
    return _adaptive_mean(1, input, output_size)


def adaptive_avg_pool2d(input: Any, output_size: Any) -> Any:
    """The means of windows that cover (N, C, H, W) or (C, H, W), as many as `output_size` says.

    `output_size` is a number or a pair; None keeps a dimension as it is.

    >>> import chainrule as cr
    >>> cr.nn.functional.adaptive_avg_pool2d(cr.ones(1, 5, 7), (2, 3)).shape
    chainrule.Size([1, 2, 3])
    """
    return _adaptive_mean(2, input, output_size)


def adaptive_avg_pool3d(input: Any, output_size: Any) -> Any:
    """The means of windows that cover (N, C, D, H, W) or (C, D, H, W).

    >>> import chainrule as cr
    >>> cr.nn.functional.adaptive_avg_pool3d(cr.ones(1, 4, 5, 7), 2).shape
    chainrule.Size([1, 2, 2, 2])
    """
    return _adaptive_mean(3, input, output_size)


@export(method=False)
def adaptive_max_pool1d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """The largest entries of `output_size` windows that cover (N, C, L) or (C, L).

    >>> import chainrule as cr
    >>> cr.adaptive_max_pool1d(cr.tensor([[1.0, 3.0, 5.0]]), 2)
    tensor([[3., 5.]])
    """
    return _adaptive_max(1, input, output_size, return_indices)


def adaptive_max_pool2d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """The largest entries of windows that cover (N, C, H, W) or (C, H, W).

    >>> import chainrule as cr
    >>> cr.nn.functional.adaptive_max_pool2d(cr.ones(1, 5, 7), (2, None)).shape
    chainrule.Size([1, 2, 7])
    """
    return _adaptive_max(2, input, output_size, return_indices)


def adaptive_max_pool3d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """The largest entries of windows that cover (N, C, D, H, W) or (C, D, H, W).

    >>> import chainrule as cr
    >>> cr.nn.functional.adaptive_max_pool3d(cr.ones(1, 4, 5, 7), 2).shape
    chainrule.Size([1, 2, 2, 2])
    """
    return _adaptive_max(3, input, output_size, return_indices)


def _power_mean(n: int, input: Any, norm_type: float, kernel_size: Any, stride: Any,
                ceil_mode: bool) -> Any:  # fmt: skip
    require_tensor(input, f"lp_pool{n}d")
    pool = (avg_pool1d, avg_pool2d, avg_pool3d)[n - 1]
    entries = kernel_size**n if isinstance(kernel_size, int) else prod(kernel_size)
    # As in PyTorch, nan wherever a power has no real value: that is no cause for a warning.
    with np.errstate(invalid="ignore"):
        mean = pool(xp.pow(input, norm_type), kernel_size, stride, 0, ceil_mode)
        # PyTorch's form, whose gradient at 0 is 0.
        return xp.pow(xp.sign(mean) * xp.relu(xp.abs(mean)) * entries, 1.0 / norm_type)


def lp_pool1d(
    input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Any:
    """(Σ xᵖ)^(1/p) over each window of (N, C, L) or (C, L).

    >>> import chainrule as cr
    >>> cr.nn.functional.lp_pool1d(cr.tensor([[3.0, 4.0]]), 2, 2)
    tensor([[5.]])
    """
    return _power_mean(1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(
    input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Any:
    """(Σ xᵖ)^(1/p) over each window of (N, C, H, W) or (C, H, W).

    >>> import chainrule as cr
    >>> cr.nn.functional.lp_pool2d(cr.ones(1, 2, 2), 2, 2)
    tensor([[[2.]]])
    """
    return _power_mean(2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(
    input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Any:
    """(Σ xᵖ)^(1/p) over each window of (N, C, D, H, W) or (C, D, H, W).

    >>> import chainrule as cr
    >>> cr.nn.functional.lp_pool3d(cr.ones(1, 2, 2, 1), 2, (2, 2, 1))
    tensor([[[[2.]]]])
    """
    return _power_mean(3, input, norm_type, kernel_size, stride, ceil_mode)


def _unpool(n: int, input: Any, indices: Any, kernel_size: Any, stride: Any, padding: Any,
            output_size: Any) -> Any:  # fmt: skip
    require_tensor(input, f"max_unpool{n}d")
    require_tensor(indices, f"max_unpool{n}d", "indices", 2)
    if tuple(input.shape) != tuple(indices.shape):
        raise RuntimeError(
            "Expected shape of indices to be same as that of the input tensor "
            f"({list(input.shape)}) but got indices tensor with shape: {list(indices.shape)}"
        )
    kernel, steps, pads = (
        (v,) * n if isinstance(v, int) else tuple(v)
        for v in (kernel_size, kernel_size if stride is None else stride, padding)
    )
    shape = tuple(input.shape)
    size = tuple(
        (m - 1) * s - 2 * p + k for m, s, p, k in zip(shape[-n:], steps, pads, kernel, strict=True)
    )
    if output_size is not None:
        size = tuple(output_size)[-n:]
    lead, entries = shape[:-n], prod(size)
    flat = xp.reshape(xp.within(indices, size=size), shape=(prod(lead), prod(shape[-n:])))
    rows = np.broadcast_to(np.arange(prod(lead))[:, None], tuple(flat.shape))
    zeros = wrap(np.zeros((prod(lead), entries), raw_dtype(input)))
    values = xp.reshape(input, shape=tuple(flat.shape))
    out = xp.index_put(zeros, values, rows, flat, index=("array", "array"))
    return xp.reshape(out, shape=(*lead, *size))


def max_unpool1d(
    input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0,
    output_size: Any = None,
) -> Any:  # fmt: skip
    """Zeros, with the entries of `input` where `max_pool1d` found them.

    >>> import chainrule as cr
    >>> y, i = cr.max_pool1d(cr.tensor([[1.0, 3.0]]), 2, return_indices=True)
    >>> cr.nn.functional.max_unpool1d(y, i, 2)
    tensor([[0., 3.]])
    """
    return _unpool(1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0,
    output_size: Any = None,
) -> Any:  # fmt: skip
    """Zeros, with the entries of `input` where `max_pool2d` found them.

    Raises:
        RuntimeError: if an index lies outside the output.

    >>> import chainrule as cr
    >>> y, i = cr.max_pool2d(cr.ones(1, 2, 2), 2, return_indices=True)
    >>> cr.nn.functional.max_unpool2d(y, i, 2).sum()
    tensor(1.)
    """
    return _unpool(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0,
    output_size: Any = None,
) -> Any:  # fmt: skip
    """Zeros, with the entries of `input` where `max_pool3d` found them.

    >>> import chainrule as cr
    >>> y, i = cr.max_pool3d(cr.ones(1, 2, 2, 2), 2, return_indices=True)
    >>> cr.nn.functional.max_unpool3d(y, i, 2).sum()
    tensor(1.)
    """
    return _unpool(3, input, indices, kernel_size, stride, padding, output_size)
