"""Writing and adding at positions: `scatter`, `scatter_add`, `index_add`, `index_put`, `put`.

All are `index_put` or `index_add` with integer arrays; the methods ending in `_` work in place.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from chainrule.core.boxes import namespace_of
from chainrule.core.namespaces import recorded
from chainrule.core.primitive import bind
from chainrule.core.tensor import Tensor
from chainrule.ops.api import export
from chainrule.ops.axes import normalize_dim
from chainrule.ops.convert import astype
from chainrule.ops.gather import along, check_range, index_array
from chainrule.ops.index import Spec, getitem, split_index
from chainrule.ops.index import index_add as add_at
from chainrule.ops.index import index_put as put_at
from chainrule.ops.index_batch import ARRAY, FULL
from chainrule.ops.scatter_reduce import reduce_at
from chainrule.ops.shape import reshape_prim, tensor_arg


def cast_like(value: Any, x: Any) -> Any:
    """A number or tensor in the dtype of `x`."""
    dt = getattr(x, "array", x).dtype
    if not hasattr(value, "shape"):
        return np.asarray(value, dt)
    same = getattr(value, "array", value).dtype == dt
    return value if same else astype(value, dtype=dt)


def _source(src: Any, x: Any, shape: tuple[int, ...], name: str) -> Any:
    """The part of `src` that an index of the given shape reads, in the dtype of `x`."""
    if not isinstance(src, (Tensor, np.ndarray)):
        return cast_like(src, x)
    given = tuple(src.shape)
    same_dtype = getattr(src, "array", src).dtype == getattr(x, "array", x).dtype
    if not same_dtype:
        raise RuntimeError(
            f"{name}(): Expected self.dtype to be equal to src.dtype; convert one of them"
        )
    if len(given) != len(shape) or any(n > m for n, m in zip(shape, given, strict=True)):
        raise RuntimeError(
            f"{name}(): Expected index {list(shape)} to be no larger than src {list(given)}"
        )
    if given == shape:
        return src
    return bind(getitem.prim, (src,), {"index": tuple(("slice", 0, n, None) for n in shape)})


@export(in_place=True)
def scatter(
    input: Any, dim: int, index: Any, src: Any = None, *, value: Any = None, reduce: Any = None
) -> Any:
    """`input` with the entries of `src` (or one number) written to the positions `index` of `dim`.

    `reduce` may be "add" or "multiply". Where positions repeat, one of the entries is written.

    Raises:
        RuntimeError: if the shapes or dtypes do not fit, or a position is out of range.

    >>> import chainrule as cr
    >>> cr.zeros(2, 3).scatter(1, cr.tensor([[2], [0]]), 1.0)
    tensor([[0., 0., 1.],
            [1., 0., 0.]])
    """
    x = tensor_arg(input, "scatter")
    given = src if value is None else value
    spec, arrays = along(index, dim, tuple(x.shape), "scatter")
    shape = np.shape(getattr(index, "array", index))
    values = _source(given, x, shape, "scatter")
    if reduce is None:
        return put_at(x, values, *arrays, index=spec)
    if reduce == "add":
        return add_at(x, values, *arrays, index=spec)
    if reduce == "multiply":
        return reduce_at(x, values, spec, arrays, shape, "prod", True)
    raise RuntimeError(f"reduce argument must be either add or multiply, got {reduce!r}")


@export(in_place=True)
def scatter_add(input: Any, dim: int, index: Any, src: Any) -> Any:
    """`input` with the entries of `src` added at the positions `index` of `dim`.

    >>> import chainrule as cr
    >>> cr.zeros(3).scatter_add(0, cr.tensor([0, 0, 2]), cr.ones(3))
    tensor([2., 0., 1.])
    """
    x = tensor_arg(input, "scatter_add")
    spec, arrays = along(index, dim, tuple(x.shape), "scatter_add")
    shape = np.shape(getattr(index, "array", index))
    return add_at(x, _source(src, x, shape, "scatter_add"), *arrays, index=spec)


@export(in_place=True)
def scatter_reduce(
    input: Any, dim: int, index: Any, src: Any, reduce: str, *, include_self: bool = True
) -> Any:
    """The entries of `src` that go to one position `index` of `dim`, reduced with what is there.

    `reduce` is "sum", "prod", "mean", "amax" or "amin"; without `include_self`, the entries of
    `input` count only where nothing goes. Ties of amax and amin share the gradient evenly.

    Raises:
        RuntimeError: for another reduction, or as `scatter`.

    >>> import chainrule as cr
    >>> cr.zeros(2).scatter_reduce(0, cr.tensor([0, 0]), cr.tensor([1.0, 3.0]), "mean")
    tensor([1.3333, 0.0000])
    """
    x = tensor_arg(input, "scatter_reduce")
    spec, arrays = along(index, dim, tuple(x.shape), "scatter_reduce")
    shape = np.shape(getattr(index, "array", index))
    values = _source(src, x, shape, "scatter_reduce")
    return reduce_at(x, values, spec, arrays, shape, reduce, include_self)


def _slices(x: Any, dim: int, index: Any, name: str) -> tuple[Spec, Any]:
    """A 1-d index of positions along `dim`."""
    shape = tuple(tensor_arg(x, name).shape)
    d = normalize_dim(dim, len(shape))
    positions = index_array(index, name)
    if positions.ndim > 1:
        raise IndexError(f"{name}(): Index should have dimension 1 or 0 (got {positions.ndim})")
    size = shape[d] if shape else 1
    positions = check_range(positions, d, size, IndexError, low=-size)
    return (*[FULL] * d, ARRAY), positions.reshape(-1)


def _sliced(source: Any, x: Any, spec: Spec, positions: Any, name: str) -> Any:
    """A source with one slice for every position.

    Raises:
        IndexError: if their numbers differ.
        RuntimeError: if its slices have another shape.
    """
    d, n = len(spec) - 1, positions.shape[0]
    wanted = (*x.shape[:d], n, *x.shape[d + 1 :])
    given = tuple(tensor_arg(source, name, "source").shape)
    if given == ():
        return source
    if given[:d] != wanted[:d] or given[d + 1 :] != wanted[d + 1 :]:
        raise RuntimeError(
            f"{name}(): Source/destination tensor must have same slice shapes: expected "
            f"{list(wanted)}, got {list(given)}"
        )
    if given != wanted:
        raise IndexError(
            f"{name}(): Number of indices ({n}) should be equal to source.size(dim): ({given[d]})"
        )
    return source


def _written(write: Any, x: Any, values: Any, positions: Any, spec: Spec) -> Any:
    """Write along one dimension; a 0-d tensor is taken for a vector of one entry."""
    if len(x.shape):
        return write(x, values, positions, index=spec)
    row = reshape_prim(x, shape=(1,))
    return reshape_prim(write(row, values, positions, index=spec), shape=())


@export(in_place=True)
def index_add(input: Any, dim: int, index: Any, source: Any, *, alpha: Any = 1) -> Any:
    """`input` with alpha times the slices of `source` added at the positions `index` of `dim`.

    Raises:
        IndexError: if the shapes do not fit or a position is out of range.

    >>> import chainrule as cr
    >>> cr.zeros(3).index_add(0, cr.tensor([0, 0, 2]), cr.ones(3))
    tensor([2., 0., 1.])
    """
    spec, positions = _slices(input, dim, index, "index_add")
    values = cast_like(_sliced(source, input, spec, positions, "index_add"), input)
    if alpha != 1:
        values = values * alpha
    return _written(add_at, input, values, positions, spec)


def _line(positions: Any, axis: int, shape: tuple[int, ...]) -> Any:
    """Positions along one dimension, to be broadcast with those along the others."""
    ones = (1,) * len(shape)
    return namespace_of(positions).reshape(
        positions, shape=(*ones[:axis], shape[axis], *ones[axis + 1 :])
    )


@export(in_place=True)
def index_reduce(
    input: Any, dim: int, index: Any, source: Any, reduce: str, *, include_self: bool = True
) -> Any:
    """The slices of `source` that go to one position `index` of `dim`, reduced with what is there.

    `reduce` is "prod", "mean", "amax" or "amin"; without `include_self`, the slices of `input`
    count only where nothing goes. Ties of amax and amin share the gradient evenly.

    Raises:
        RuntimeError: for another reduction, or if the shapes or dtypes do not fit.
        IndexError: if a position is out of range, or the numbers of slices differ.

    >>> import chainrule as cr
    >>> cr.zeros(2).index_reduce(0, cr.tensor([0, 0]), cr.tensor([1.0, 3.0]), "amax")
    tensor([3., 0.])
    """
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise RuntimeError(
            "index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got "
            f"{reduce}."
        )
    spec, positions = _slices(input, dim, index, "index_reduce")
    source = _sliced(source, input, spec, positions, "index_reduce")
    if source.dtype != input.dtype:
        raise RuntimeError(
            "index_reduce(): self and source expected to have the same dtype, but got self = "
            f"{input.dtype} and source = {source.dtype}"
        )
    shape = tuple(input.shape)
    if not shape:
        input = reshape_prim(input, shape=(1,))
    d, n = len(spec) - 1, positions.shape[0]
    taken = (*shape[:d], n, *shape[d + 1 :])
    source = recorded.broadcast_to(source, shape=taken)
    arrays = [_line(positions if i == d else np.arange(k), i, taken) for i, k in enumerate(taken)]
    found = reduce_at(input, source, (ARRAY,) * len(taken), arrays, taken, reduce, include_self)
    return found if shape else reshape_prim(found, shape=())


@export(in_place=True)
def index_copy(input: Any, dim: int, index: Any, source: Any) -> Any:
    """`input` with the slices of `source` written at the positions `index` of `dim`.

    Raises:
        IndexError: if the shapes do not fit or a position is out of range.

    >>> import chainrule as cr
    >>> cr.zeros(3).index_copy(0, cr.tensor([2, 0]), cr.tensor([1.0, 2.0]))
    tensor([2., 0., 1.])
    """
    spec, positions = _slices(input, dim, index, "index_copy")
    values = _sliced(source, input, spec, positions, "index_copy")
    return _written(put_at, input, cast_like(values, input), positions, spec)


@export(in_place=True)
def index_fill(input: Any, dim: int, index: Any, value: Any) -> Any:
    """`input` with one number written to the slices at the positions `index` of `dim`.

    >>> import chainrule as cr
    >>> cr.zeros(3).index_fill(0, cr.tensor([2, 0]), 7)
    tensor([7., 0., 7.])
    """
    spec, positions = _slices(input, dim, index, "index_fill")
    if len(getattr(value, "shape", ())):
        raise RuntimeError(
            "index_fill_ only supports a 0-dimensional value tensor, but got tensor with "
            f"{len(value.shape)} dimension(s)."
        )
    return _written(put_at, input, cast_like(value, input), positions, spec)


@export(in_place=True)
def index_put(input: Any, indices: Any, values: Any, accumulate: bool = False) -> Any:
    """`input` with `values` written (or added) at `indices`, a tuple of index tensors.

    Raises:
        IndexError: if the indices do not fit.

    >>> import chainrule as cr
    >>> cr.zeros(3).index_put((cr.tensor([1, 1]),), cr.tensor(2.0), accumulate=True)
    tensor([0., 4., 0.])
    """
    spec, arrays = split_index(tuple(FULL_SLICE if i is None else i for i in indices))
    write = add_at if accumulate else put_at
    return write(input, cast_like(values, input), *arrays, index=spec)


FULL_SLICE = slice(None)


@export(function=True, in_place=True)
def put(input: Any, index: Any, source: Any, accumulate: bool = False) -> Any:
    """`input` with the entries of `source` written (or added) at positions of the flattened tensor.

    Raises:
        IndexError: if a position is out of range or the numbers of entries differ.

    >>> import chainrule as cr
    >>> cr.put(cr.zeros(2, 2), cr.tensor([3]), cr.tensor([1.0]))
    tensor([[0., 0.],
            [0., 1.]])
    """
    shape = tuple(tensor_arg(input, "put").shape)
    size = prod(shape)
    positions = index_array(index, "put").reshape(-1)
    positions = check_range(positions, 0, size, IndexError, low=-size)
    n = positions.shape[0]
    if prod(source.shape) != n:
        raise IndexError(
            f"put_(): Expected source and index to have the same number of elements, got "
            f"{prod(source.shape)} and {n}"
        )
    values = reshape_prim(cast_like(source, input), shape=(n,))
    write = add_at if accumulate else put_at
    flat = reshape_prim(input, shape=(size,))
    return reshape_prim(write(flat, values, positions, index=(ARRAY,)), shape=shape)
