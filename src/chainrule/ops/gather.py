"""Gathering entries along a dimension: `gather`, `index_select`, `take`, `take_along_dim`.

All are reads with integer arrays, so the primitive behind them is `getitem`.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from chainrule.core.boxes import is_mapped, namespace_of
from chainrule.core.kinds import elementwise
from chainrule.core.modes import array_of, get_mode
from chainrule.core.primitive import bind, titled
from chainrule.core.samples import Sample
from chainrule.core.tensor import Tensor, wrap
from chainrule.ops.api import export
from chainrule.ops.axes import normalize_dim
from chainrule.ops.convert import astype
from chainrule.ops.direct import along_axis, aval_of, recorded_result
from chainrule.ops.expand import common_shape
from chainrule.ops.index import Spec, getitem
from chainrule.ops.index_batch import ARRAY, FULL
from chainrule.ops.shape import broadcast_to_prim, reshape_prim, tensor_arg
from chainrule.ops.viewing import is_plain

_INT64 = np.dtype(np.int64)
_GATHER = getitem.prim.titled("GatherBackward0")


def index_array(index: Any, name: str) -> Any:
    """The array of an integer index; if it is mapped over, a tensor.

    Raises:
        RuntimeError: for another dtype.
    """
    array = array_of(index) if isinstance(index, Tensor) else np.asarray(index)
    if array.dtype.kind not in "iu" and array.size:
        raise RuntimeError(
            f"{name}(): Expected dtype int64 for index, got {array.dtype.name}; convert it, for "
            "example with index.long()"
        )
    if is_mapped(index):
        return index if array.dtype == _INT64 else astype(index, dtype=_INT64)
    return array if array.dtype == _INT64 else astype(index, dtype=_INT64).array


def _in_range(positions: Any, d: int, size: int, kind: Any, low: int) -> Any:
    if positions.size:
        first, last = positions.min(), positions.max()
        if first < low or last >= size:
            raise kind(
                f"index {last if last >= size else first} is out of bounds for dimension {d} with "
                f"size {size}: index out of range in self"
            )
    return positions


# Positions that are mapped over are looked at where their values are: inside all transforms.
positions_in_range = elementwise(
    "positions_in_range", _in_range, None, has_params=True,
    samples=lambda: [Sample(np.array([2, 0, -1]), d=0, size=3, kind=IndexError, low=-3)],
    doc="The positions themselves, if all are in low..size-1.",
)  # fmt: skip


def check_range(positions: Any, d: int, size: int, kind: Any, low: int = 0) -> Any:
    """The positions; an error of type `kind` unless all are in low..size-1."""
    if is_mapped(positions):
        return positions_in_range(positions, d=d, size=size, kind=kind, low=low)
    return _in_range(positions, d, size, kind, low)


def along(index: Any, dim: int, shape: tuple[int, ...], name: str) -> tuple[Spec, Any]:
    """An index of `gather`'s kind as one of `getitem`'s: a description and one array per dimension.

    Raises:
        RuntimeError: if the index has the wrong dtype, shape or entries for a tensor of `shape`.
    """
    positions = index_array(index, name)
    if positions.ndim != len(shape) and positions.ndim and shape:
        raise RuntimeError(
            f"{name}(): Index tensor must have the same number of dimensions as input tensor, got "
            f"{list(positions.shape)} for an input of shape {list(shape)}"
        )
    d = normalize_dim(dim, len(shape))
    if any(n > m for i, (n, m) in enumerate(zip(positions.shape, shape, strict=False)) if i != d):
        raise RuntimeError(
            f"{name}(): Size does not match at dimension {d} expected index "
            f"{list(positions.shape)} to be no larger than self {list(shape)} apart from dimension "
            f"{d}"
        )
    positions = check_range(positions, d, shape[d] if shape else 1, RuntimeError)
    if not shape:
        return (), ()
    if not positions.ndim:
        positions = positions.reshape((1,) * len(shape))
    return (ARRAY,) * len(shape), along_axis(positions, d)


def _directly(x: Any, dim: Any, index: Any) -> Any:
    """`gather` of plain tensors with an index that is in range; None if not known to be so."""
    mode = get_mode()
    if type(dim) is not int or not is_plain(x, mode) or type(index) is not Tensor:
        return None
    array, positions = x.array, index.array
    ndim = array.ndim
    if positions.dtype != _INT64 or not positions.size or not -ndim <= dim < ndim:
        return None
    axis = dim % ndim
    if array.shape != positions.shape and (
        positions.ndim != ndim
        or any(
            n > m for i, (n, m) in enumerate(zip(positions.shape, array.shape, strict=True))
            if i != axis
        )
    ):  # fmt: skip
        return None
    # Negative positions are huge ones when read as unsigned.
    if np.maximum.reduce(positions.view(np.uint64), None) >= array.shape[axis]:
        return None
    where = along_axis(positions, axis)
    out = array[where]
    if x.node is None or not mode:
        return wrap(out)
    return recorded_result(
        out, _GATHER, (aval_of(array), *where), {"index": (ARRAY,) * ndim},
        (x.node,) + (None,) * ndim,
    )  # fmt: skip


@export()
def gather(input: Any, dim: int, index: Any, *, sparse_grad: bool = False) -> Any:
    """The entries of `input` at the positions `index` along `dim`, in the shape of `index`.

    Raises:
        RuntimeError: if the index has the wrong shape or dtype, or is out of range.

    >>> import chainrule as cr
    >>> cr.gather(cr.tensor([[1, 2], [3, 4]]), 1, cr.tensor([[1], [0]]))
    tensor([[2],
            [3]])
    """
    found = _directly(input, dim, index)
    if found is not None:
        return found
    x = tensor_arg(input, "gather")
    if not len(x.shape) and len(np.shape(getattr(index, "array", index))):
        x = reshape_prim(x, shape=(1,))
    spec, arrays = along(index, dim, tuple(x.shape), "gather")
    found = bind(getitem.prim, (x, *arrays), {"index": spec})
    shape = np.shape(getattr(index, "array", index))
    found = found if tuple(found.shape) == shape else reshape_prim(found, shape=shape)
    return titled(found, "GatherBackward0")


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
    positions = check_range(positions, d, shape[d] if shape else 1, IndexError)
    if not shape:
        return bind(getitem.prim, (input,), {"index": ()})
    found = bind(getitem.prim, (input, positions.reshape(-1)), {"index": (*[FULL] * d, ARRAY)})
    return titled(found, "IndexSelectBackward0")


@export()
def take(input: Any, index: Any) -> Any:
    """The entries at positions of the flattened tensor, in the shape of `index`.

    Raises:
        IndexError: if a position is out of range.

    >>> import chainrule as cr
    >>> cr.take(cr.tensor([[1, 2], [3, 4]]), cr.tensor([3, 0]))
    tensor([4, 1])
    """
    size = prod(tensor_arg(input, "take").shape)
    positions = index_array(index, "take")
    positions = check_range(positions, 0, size, IndexError, low=-size)
    flat = reshape_prim(input, shape=(size,))
    return bind(getitem.prim, (flat, positions), {"index": (ARRAY,)})


@export()
def take_along_dim(input: Any, indices: Any, dim: int | None = None) -> Any:
    """As `gather`, with `input` and `indices` broadcast in the other dimensions.

    Without `dim`, both are flattened.

    >>> import chainrule as cr
    >>> cr.take_along_dim(cr.tensor([[3, 1, 2]]), cr.tensor([[1, 2, 0]]), 1)
    tensor([[1, 2, 3]])
    """
    x = tensor_arg(input, "take_along_dim")
    positions = index_array(indices, "take_along_dim")
    if dim is None:
        return take(x, positions.reshape(-1))
    shape = tuple(x.shape)
    if positions.ndim != len(shape):
        raise RuntimeError(
            "torch.take_along_dim(): input and indices should have the same number of dimensions, "
            f"but got {len(shape)} dimensions for input, and {positions.ndim} dimensions for "
            "indices"
        )
    d = normalize_dim(dim, len(shape))
    from_end = positions + (shape[d] if shape else 1)
    positions = namespace_of(positions).where(positions < 0, from_end, positions)
    rest = common_shape(
        (*shape[:d], 1, *shape[d + 1 :]), (*positions.shape[:d], 1, *positions.shape[d + 1 :])
    )
    x = broadcast_to_prim(x, shape=(*rest[:d], shape[d], *rest[d + 1 :]))
    wanted = (*rest[:d], positions.shape[d], *rest[d + 1 :])
    return gather(x, d, namespace_of(positions).broadcast_to(positions, shape=wanted))
