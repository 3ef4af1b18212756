"""Dimensions as users give them, made non-negative and checked."""

from __future__ import annotations

import operator
from typing import Any


def normalize_dim(dim: Any, ndim: int) -> int:
    """A dimension in 0..ndim-1.

    Raises:
        TypeError: if it is not an integer.
        IndexError: if it is out of range (a 0-d tensor takes 0 and -1).
    """
    low, high = -max(ndim, 1), max(ndim, 1) - 1
    if not isinstance(dim, int):
        if not hasattr(dim, "__index__"):
            raise TypeError(f"a dimension must be int, not {type(dim).__name__}")
        dim = operator.index(dim)
    if not low <= dim <= high:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{low}, {high}], but got {dim})"
        )
    return int(dim % max(ndim, 1))


def normalize_dims(dim: Any, ndim: int) -> tuple[int, ...]:
    """One dimension, several, or None for all, as a tuple of dimensions in 0..ndim-1.

    Raises:
        IndexError: if one is out of range.
        RuntimeError: if one appears twice.
    """
    if dim is None:
        return tuple(range(ndim))
    dims = tuple(
        normalize_dim(d, ndim) for d in (dim if isinstance(dim, (tuple, list)) else (dim,))
    )
    for d in dims:
        if dims.count(d) > 1:
            raise RuntimeError(f"dim {d} appears multiple times in the list of dims")
    return dims if ndim else ()
