"""Adding at positions that may repeat, as fast as NumPy allows.

`np.add.at` is several times quicker for one flat index into one flat buffer than otherwise, so the
usual indices are brought to that form.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np


def add_at(buffer: Any, index: tuple[Any, ...], value: Any) -> None:
    """`buffer[index] += value`, where repeated positions add up."""
    axis = 0
    while axis < len(index) and type(index[axis]) is slice and index[axis] == slice(None):
        axis += 1
    arrays = index[axis:]
    if not arrays or not buffer.flags.c_contiguous or not all(map(_is_positions, arrays)):
        if np.ndim(value):  # NumPy 2.4 reads past the end of a row where it should broadcast it
            value = np.broadcast_to(value, buffer[index].shape)
        np.add.at(buffer, index, value)
        return
    before, after = buffer.shape[:axis], buffer.shape[axis + len(arrays) :]
    indexed = buffer.shape[axis : axis + len(arrays)]
    wrapped = [np.where(i < 0, i + d, i) for i, d in zip(arrays, indexed, strict=True)]
    rows = np.asarray(np.ravel_multi_index(np.broadcast_arrays(*wrapped), indexed))
    shape = (*before, *rows.shape, *after)
    starts = np.arange(0, buffer.size or 1, max(prod(indexed) * prod(after), 1))[: prod(before)]
    flat = (starts[:, None] + rows.reshape(-1) * prod(after))[..., None] + np.arange(prod(after))
    np.add.at(buffer.reshape(-1), flat.reshape(-1), np.broadcast_to(value, shape).reshape(-1))


def _is_positions(item: Any) -> bool:
    return isinstance(item, np.ndarray) and item.dtype.kind != "b"
