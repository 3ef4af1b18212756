"""Max pooling with windows at random distances."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from chainrule.core.batching import shape_of
from chainrule.core.namespaces import recorded as xp
from chainrule.nn.functional.common import as_tensor, off_tape, require_tensor
from chainrule.ops.api import FUNCTIONS
from chainrule.ops.extremes import ordered
from chainrule.ops.window import Ints, ntuple


def _sizes(input: Any, n: int, kernel: Any, size: Any, ratio: Any, name: str) -> tuple[Ints, Ints]:
    """The windows' size and their number along each dimension.

    Raises:
        ValueError: unless a size or a ratio is given.
        RuntimeError: if the windows do not fit.
    """
    require_tensor(input, name)
    if size is None and ratio is None:
        raise ValueError(f"{name} requires specifying either an output_size or an output_ratio")
    if len(input.shape) not in (n + 1, n + 2):
        raise RuntimeError(
            f"{name}: Expected {n + 1}D or {n + 2}D tensor, but got: {list(input.shape)}"
        )
    given = tuple(input.shape[-n:])
    windows = ntuple(kernel, n, "kernel_size")
    if size is None:
        ratios = (ratio,) * n if isinstance(ratio, (int, float)) else tuple(ratio)
        if len(ratios) != n:
            raise ValueError(
                f"{name} requires output_ratio to either be a single number or a tuple of {n}."
            )
        size = tuple(int(s * r) for s, r in zip(given, ratios, strict=True))
    out = ntuple(size, n, "output_size")
    labels = ("time", "height", "width")[-n:]
    for label, s, o, k in zip(labels, given, out, windows, strict=True):
        if o + k - 1 > s or min(o, k) < 1:
            raise RuntimeError(
                f"{name}(): pool {label} {k} too large relative to input {label} {s}: {o} windows "
                f"of {k} need at least {o + k - 1}"
            )
    return windows, out


def _starts(on: Any, sample: Any, size: int, out: int, window: int) -> Any:
    """Where the windows along one dimension begin, (N, C, out), for a number in [0, 1) each.

    At random from a sequence that covers the dimension evenly: ⌊(i + u) α⌋ - ⌊u α⌋ (Graham 2014,
    section 2), and the last one at the end.
    """
    last = size - window
    if out == 1:
        return on.astype(sample * 0 + last, dtype=np.int64)[..., None]
    alpha = last / (out - 1)
    u = sample[..., None]
    places = on.floor((u + np.arange(out)) * alpha) - on.floor(u * alpha)
    return on.astype(on.where(np.arange(out) == out - 1, float(last), places), dtype=np.int64)


def _pool(
    n: int, input: Any, kernel: Any, size: Any, ratio: Any, return_indices: bool, samples: Any
) -> Any:
    name = f"fractional_max_pool{n}d"
    windows, out = _sizes(input, n, kernel, size, ratio, name)
    ordered(input, name)
    given = tuple(input.shape[-n:])
    lead = tuple(input.shape[:-n])
    if samples is None:
        samples = FUNCTIONS["rand"](*((1,) * (2 - len(lead)) + lead), n, dtype=input.dtype)
    if shape_of(samples) != ((1,) * (2 - len(lead)) + lead + (n,)):
        raise RuntimeError(
            f"{name}: Expect _random_samples of shape (batches, channels, {n}); got "
            f"{list(shape_of(samples))}"
        )
    on, u = off_tape(samples)
    batch, channels = ((1,) * (2 - len(lead)) + lead)[:2]
    # PyTorch's order: the last dimension takes the first number of a pair, but not of a triple.
    order = range(n)[::-1] if n == 2 else range(n)
    flat: Any = np.zeros((), np.int64)
    for d, place in enumerate(order):
        start = _starts(on, u[..., place], given[d], out[d], windows[d])
        shape = [batch, channels, *(1,) * (2 * n)]
        shape[2 + d] = out[d]
        offset = np.arange(windows[d]).reshape((-1,) + (1,) * (n - 1 - d))
        flat = flat * given[d] + (on.reshape(start, shape=tuple(shape)) + offset)
    entries = prod(windows)
    flat = as_tensor(on.reshape(flat, shape=(batch, channels, prod(out) * entries)))
    rows = xp.reshape(input, shape=(batch, channels, prod(given)))
    taken = FUNCTIONS["gather"](rows, 2, flat)
    taken = xp.reshape(taken, shape=(*lead, *out, entries))
    last = len(lead) + n
    compare, values = off_tape(taken)
    best = as_tensor(compare.argmax(values, axis=last, keepdims=True))
    pooled = xp.select_along(taken, best, axis=last, keepdims=False)
    if not return_indices:
        return pooled
    where = xp.reshape(flat, shape=(*lead, *out, entries))
    return pooled, xp.select_along(where, best, axis=last, keepdims=False)


def fractional_max_pool2d(
    input: Any, kernel_size: Any, output_size: Any = None, output_ratio: Any = None,
    return_indices: bool = False, _random_samples: Any = None,
) -> Any:  # fmt: skip
    """The largest entries of windows at random distances, as many as asked for.

    Args:
        input: (N, C, H, W) or (C, H, W).
        kernel_size: of the windows, a number or a pair.
        output_size: how many windows, a number or a pair.
        output_ratio: the output's size as a part of the input's, if no size is given.
        return_indices: return also where in the image each entry was, counted row by row.
        _random_samples: numbers in [0, 1), (N, C, 2), that place the windows; drawn by default.

    Raises:
        ValueError: if neither a size nor a ratio is given.
        RuntimeError: if the windows do not fit.

    Source: Graham, Fractional max-pooling, arXiv:1412.6071 (2014).

    >>> import chainrule as cr
    >>> x = cr.arange(16.0).view(1, 4, 4)
    >>> cr.nn.functional.fractional_max_pool2d(x, 2, output_size=1)
    tensor([[[15.]]])
    """
    return _pool(2, input, kernel_size, output_size, output_ratio, return_indices, _random_samples)


def fractional_max_pool3d(
    input: Any, kernel_size: Any, output_size: Any = None, output_ratio: Any = None,
    return_indices: bool = False, _random_samples: Any = None,
) -> Any:  # fmt: skip
    """The largest entries of windows at random distances, as many as asked for.

    Args:
        input: (N, C, T, H, W) or (C, T, H, W).
        kernel_size, output_size: numbers or triples.
        output_ratio, return_indices: as for `fractional_max_pool2d`.
        _random_samples: (N, C, 3); drawn by default.

    Raises:
        ValueError: if neither a size nor a ratio is given.
        RuntimeError: if the windows do not fit.

    Source: Graham, Fractional max-pooling, arXiv:1412.6071 (2014).

    >>> import chainrule as cr
    >>> x = cr.arange(8.0).view(1, 2, 2, 2)
    >>> cr.nn.functional.fractional_max_pool3d(x, 2, output_size=1)
    tensor([[[[7.]]]])
    """
    return _pool(3, input, kernel_size, output_size, output_ratio, return_indices, _random_samples)
