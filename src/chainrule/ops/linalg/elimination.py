"""Gaussian elimination of batches of matrices, on raw arrays."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

_BLOCK = 32


def _eliminate(a: Any, pivot: bool) -> tuple[Any, Any]:
    """Gaussian elimination of a few columns, in place: row exchanges, and the order of rows.

    One column at a time (Golub & Van Loan, algorithm 3.4.1), batches at once.
    """
    batch, m, n = a.shape
    every = np.arange(batch)
    order = np.tile(np.arange(m), (batch, 1))
    pivots = np.tile(np.arange(min(m, n)), (batch, 1))
    for k in range(min(m, n)):
        if pivot:
            p = k + _size(a[:, k:, k]).argmax(1)
            pivots[:, k] = p
            for rows in (a, order):
                rows[every, k], rows[every, p] = rows[every, p], rows[every, k].copy()
        head = a[:, k, k]
        a[:, k + 1 :, k] /= np.where(head == 0, 1, head)[:, None]
        a[:, k + 1 :, k + 1 :] -= a[:, k + 1 :, k, None] * a[:, None, k, k + 1 :]
    return pivots, order


def factorize(x: Any, pivot: bool = True) -> tuple[Any, Any, Any]:
    """L and U in one array, the rows exchanged (from 0), and the order of rows, batches at once.

    Block by block of columns, so that most of the work is matrix products (same, 3.2.11).
    """
    m, n = x.shape[-2:]
    k = min(m, n)
    a = np.array(x, order="C").reshape(prod(x.shape[:-2]), m, n)
    order = np.tile(np.arange(m), (len(a), 1))
    pivots = np.empty((len(a), k), np.int64)
    with np.errstate(all="ignore"):
        for start in range(0, k, _BLOCK):
            stop = min(start + _BLOCK, k)
            exchanged, moved = _eliminate(a[:, start:, start:stop], pivot)
            pivots[:, start:stop] = exchanged + start
            order[:, start:] = np.take_along_axis(order[:, start:], moved, 1)
            for others in (a[:, start:, :start], a[:, start:, stop:]):
                others[...] = np.take_along_axis(others, moved[:, :, None], 1)
            if stop < n:
                lower = np.tril(a[:, start:stop, start:stop], -1) + np.eye(stop - start)
                top = np.linalg.solve(lower, a[:, start:stop, stop:])
                a[:, start:stop, stop:] = top
                a[:, stop:, stop:] -= np.matmul(a[:, stop:, start:stop], top)
    batch = x.shape[:-2]
    return a.reshape(x.shape), pivots.reshape((*batch, k)), order.reshape((*batch, m))


def _size(a: Any) -> Any:
    """What pivots are compared by: for complex numbers |Re| + |Im|, as LAPACK does."""
    return np.abs(a.real) + np.abs(a.imag) if a.dtype.kind == "c" else np.abs(a)
