"""Sliding windows: the geometry that convolution, pooling and unfolding share.

A window position is visited by one strided slice per kernel offset, so a pass over windows is a
loop over the (few) kernel entries with whole arrays inside.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

Ints = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]


def ntuple(value: Any, n: int, name: str) -> Ints:
    """An int, or a sequence of one or `n` ints, as `n` ints.

    Raises:
        RuntimeError: if the sequence has another length.
    """
    if isinstance(value, (int, np.integer)):
        return (int(value),) * n
    found = tuple(int(v) for v in value)
    if len(found) == 1:
        return found * n
    if len(found) != n:
        raise RuntimeError(
            f"expected {name} to be a single integer value or a list of {n} values to match the "
            f"convolution dimensions, but got {name}={list(found)}"
        )
    return found


def span(kernel: Ints, dilation: Ints) -> Ints:
    """The extent that a dilated kernel covers."""
    return tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))


def windows_along(size: Ints, kernel: Ints, stride: Ints, padding: Pads, dilation: Ints) -> Ints:
    """How many window positions fit along each dimension."""
    return tuple(
        (n + lo + hi - s) // st + 1
        for n, (lo, hi), s, st in zip(size, padding, span(kernel, dilation), stride, strict=True)
    )


def offsets(kernel: Ints, stride: Ints, dilation: Ints, count: Ints) -> Iterator[tuple[Any, ...]]:
    """Per kernel entry, in row-major order, the slices that hold it in every window."""
    for entry in product(*map(range, kernel)):
        yield tuple(
            slice(k * d, k * d + (c - 1) * s + 1, s)
            for k, d, s, c in zip(entry, dilation, stride, count, strict=True)
        )


def pad_spatial(x: Any, padding: Pads, value: float = 0) -> Any:
    """`x` with its trailing dimensions padded; itself if there is nothing to pad."""
    if not any(lo or hi for lo, hi in padding):
        return x
    lead = x.shape[: x.ndim - len(padding)]
    size = x.shape[x.ndim - len(padding) :]
    full = [n + lo + hi for n, (lo, hi) in zip(size, padding, strict=True)]
    # Zeroed pages come free of charge from the system.
    padded: Any = (
        np.full((*lead, *full), value, x.dtype) if value else np.zeros((*lead, *full), x.dtype)
    )
    padded[(..., *inside(padding, size))] = x
    return padded


def inside(padding: Pads, size: Ints) -> tuple[slice, ...]:
    """The slices of a padded array that hold the original entries."""
    return tuple(slice(lo, lo + n) for (lo, _), n in zip(padding, size, strict=True))
