"""Gathering and scattering along a dimension."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.primitive import bind
from chainrule.ops.api import export
from chainrule.ops.axes import normalize_dim
from chainrule.ops.index import ARRAY, FULL, getitem
from chainrule.ops.shape import tensor_arg


def index_array(index: Any, name: str) -> np.ndarray:
    """The array of an integer index.

    Raises:
        RuntimeError: for another dtype.
    """
    array = np.asarray(getattr(index, "array", index))
    if array.dtype.kind not in "iu" and array.size:
        raise RuntimeError(
            f"{name}(): Expected dtype int64 for index, got {array.dtype.name}; convert it, for "
            "example with index.long()"
        )
    return array.astype(np.int64, copy=False)


@export()
def index_select(input: Any, dim: int, index: Any) -> Any:
    """The slices along `dim` at the positions in the 1-d `index`.

    Raises:
        IndexError: if a position is out of range or `index` has several dimensions.

    >>> import chainrule as cr
    >>> cr.index_select(cr.tensor([5, 6, 7]), 0, cr.tensor([2, 0]))
    tensor([7, 5])
    """
    shape = tuple(tensor_arg(input, "index_select").shape)
    d = normalize_dim(dim, len(shape))
    positions = index_array(index, "index_select")
    if positions.ndim > 1:
        raise IndexError("index_select(): Index is supposed to be a vector")
    if positions.size and (positions.min() < 0 or positions.max() >= (shape[d] if shape else 1)):
        raise IndexError(
            f"index_select(): index out of range: indices must be in 0..{shape[d] - 1} for "
            f"dimension {d} of size {shape[d]}"
        )
    if not shape:
        return bind(getitem.prim, (input,), {"index": ()})
    return bind(getitem.prim, (input, positions.reshape(-1)), {"index": (*[FULL] * d, ARRAY)})
