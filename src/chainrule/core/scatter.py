"""Adding at positions that may repeat, as fast as NumPy allows.

`np.add.at` is quick for one flat index into one flat buffer and slow otherwise, so other cases are
brought to that one, or sorted and summed in runs.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def add_at(buffer: Any, index: tuple[Any, ...], value: Any) -> None:
    """`buffer[index] += value`, where repeated positions add up."""
    if len(index) > 1 and buffer.flags.c_contiguous and all(map(_is_positions, index)):
        n = len(index)
        dims = buffer.shape[:n]
        wrapped = [np.where(i < 0, i + d, i) for i, d in zip(index, dims, strict=True)]
        rows = np.asarray(np.ravel_multi_index(np.broadcast_arrays(*wrapped), dims))
        buffer, index = buffer.reshape(-1, *buffer.shape[n:]), (rows,)
    axis = _single_axis(index)
    if axis is None or buffer.ndim == 1:
        np.add.at(buffer, index, value)
        return
    positions = index[axis]
    shape = (*buffer.shape[:axis], positions.size, *buffer.shape[axis + 1 :])
    full = (*buffer.shape[:axis], *positions.shape, *buffer.shape[axis + 1 :])
    values = np.broadcast_to(value, full).reshape(shape)
    flat = positions.reshape(-1)
    if not flat.size:
        return
    flat = np.where(flat < 0, flat + buffer.shape[axis], flat)
    order = np.argsort(flat, kind="stable")
    ordered = flat[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    sums = np.add.reduceat(values.take(order, axis), starts, axis)
    buffer[(*[slice(None)] * axis, ordered[starts])] += sums


def _is_positions(item: Any) -> bool:
    return isinstance(item, np.ndarray) and item.dtype.kind != "b"


def _single_axis(index: tuple[Any, ...]) -> int | None:
    """The axis that is indexed, if it is one, by integers, after full slices only."""
    axis = len(index) - 1
    if not index or not _is_positions(index[axis]):
        return None
    full = all(type(i) is slice and i == slice(None) for i in index[:axis])
    return axis if full else None
