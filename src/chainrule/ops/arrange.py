"""Entries moved or repeated: `flip`, `roll`, `tile`, `repeat`.  Results are copies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.core import avals, batching
from chainrule.core.boxes import refuse_mapped
from chainrule.core.kinds import linear
from chainrule.core.node import Aval
from chainrule.core.samples import Sample, uniform
from chainrule.core.tensor import wrap
from chainrule.ops.api import export
from chainrule.ops.axes import normalize_dim, normalize_dims
from chainrule.ops.gather import index_select
from chainrule.ops.shape import (
    broadcast_to_prim,
    expand_dims,
    integers,
    permute_dims,
    reshape_prim,
    tensor_arg,
)

flip_prim = linear(
    "flip", lambda x, axis: np.flip(x, axis).copy(), lambda xp, g, axis: xp.flip(g, axis=axis),
    aval=avals.same, batch=batching.along("axis"),
    samples=lambda: [Sample(uniform(2, 3), axis=(1,)), Sample(uniform(2, 3), axis=(0, 1))],
)  # fmt: skip
roll_prim = linear(
    "roll", lambda x, shift, axis: np.roll(x, shift, axis),
    lambda xp, g, shift, axis: xp.roll(g, shift=tuple(-s for s in shift), axis=axis),
    aval=avals.same, batch=batching.along("axis"),
    samples=lambda: [Sample(uniform(4, 3), shift=(1, -2), axis=(0, 1))],
)  # fmt: skip


def _lengthened(shape: Sequence[int], reps: tuple[int, ...]) -> tuple[int, ...]:
    """A shape with as many axes as there are repetitions."""
    return (1,) * (len(reps) - len(shape)) + tuple(shape)


def _tile_aval(x: Any, reps: tuple[int, ...]) -> Aval:
    pairs = zip(reps, _lengthened(x.shape, reps), strict=True)
    return Aval(tuple([n * d for n, d in pairs]), x.dtype)


def _tile_vjp(xp: Any, g: Any, x_aval: Any, reps: tuple[int, ...]) -> Any:
    # Every axis of the result is (repetition, axis of x): add the repetitions up.
    old = _lengthened(x_aval.shape, reps)
    pairs = tuple(d for pair in zip(reps, old, strict=True) for d in pair)
    summed = xp.sum(xp.reshape(g, shape=pairs), axis=tuple(range(0, len(pairs), 2)), keepdims=False)
    return xp.reshape(summed, shape=tuple(x_aval.shape))


def _tile_batch(
    prim: Any, size: int, args: Sequence[Any], mapped: Sequence[bool], params: dict[str, Any]
) -> Any:
    reps = params["reps"]
    return prim.apply((batching.with_rank(args[0], len(reps)),), {"reps": (1, *reps)})


# One repetition per axis of the result, at least as many as x has axes.
tile_prim = linear(
    "tile", lambda x, reps: np.tile(x, reps), _tile_vjp, grad_name="Repeat",
    aval=_tile_aval, batch=_tile_batch,
    samples=lambda: [
        Sample(uniform(2, 3), reps=(2, 1, 3)), Sample(uniform(2), reps=(3,)),
        Sample(uniform(), reps=(2,)),
    ],
)  # fmt: skip


@export()
def flip(input: Any, *dim: Any, dims: Any = None) -> Any:
    """The entries in reverse order along the given dimensions.

    >>> import chainrule as cr
    >>> cr.flip(cr.tensor([1, 2, 3]), (0,))
    tensor([3, 2, 1])
    """
    wanted = integers(dim if dims is None else (dims,), "flip")
    return flip_prim(input, axis=normalize_dims(wanted, len(tensor_arg(input, "flip").shape)))


@export()
def fliplr(input: Any) -> Any:
    """The columns in reverse order.

    Raises:
        RuntimeError: for fewer than two dimensions.

    >>> import chainrule as cr
    >>> cr.fliplr(cr.tensor([[1, 2]]))
    tensor([[2, 1]])
    """
    if len(tensor_arg(input, "fliplr").shape) < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return flip_prim(input, axis=(1,))


@export()
def flipud(input: Any) -> Any:
    """The rows in reverse order.

    Raises:
        RuntimeError: for a 0-d tensor.

    >>> import chainrule as cr
    >>> cr.flipud(cr.tensor([1, 2]))
    tensor([2, 1])
    """
    if len(tensor_arg(input, "flipud").shape) < 1:
        raise RuntimeError("Input must be >= 1-d.")
    return flip_prim(input, axis=(0,))


@export()
def rot90(input: Any, k: int = 1, dims: Any = (0, 1)) -> Any:
    """The tensor turned by 90 degrees `k` times, from the first of `dims` towards the second.

    Raises:
        RuntimeError: unless `dims` are two different dimensions.

    >>> import chainrule as cr
    >>> cr.rot90(cr.tensor([[1, 2], [3, 4]]))
    tensor([[2, 4],
            [1, 3]])
    """
    ndim = len(tensor_arg(input, "rot90").shape)
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    a, b = (normalize_dim(d, ndim) for d in dims)
    if ndim < 2 or a == b:
        raise RuntimeError(
            f"expected two different rotation dims of a tensor with total dims >= 2, but got dim0 "
            f"= {dims[0]} and dim1 = {dims[1]} of a {ndim}-D tensor"
        )
    turns = k % 4
    if turns == 0:
        return flip_prim(input, axis=())
    if turns == 2:
        return flip_prim(input, axis=(a, b))
    axes = list(range(ndim))
    axes[a], axes[b] = b, a
    turned = permute_dims(input, axes=tuple(axes))
    return flip_prim(turned, axis=(a if turns == 1 else b,))


@export()
def roll(input: Any, shifts: Any, dims: Any = None) -> Any:
    """The entries moved by `shifts` along `dims`; those pushed out come back at the other end.

    Without `dims`, the tensor is flattened for the purpose.

    Raises:
        RuntimeError: if the numbers of shifts and dimensions differ.

    >>> import chainrule as cr
    >>> cr.roll(cr.tensor([1, 2, 3]), 1)
    tensor([3, 1, 2])
    """
    shape = tuple(tensor_arg(input, "roll").shape)
    by = integers((shifts,), "roll")
    if dims is None or dims == ():
        if len(by) != 1:
            raise RuntimeError(f"shifts and dimensions must align. shifts: {len(by)}, dims:0")
        flat = reshape_prim(input, shape=(int(np.prod(shape, dtype=np.int64)),))
        return reshape_prim(roll_prim(flat, shift=by, axis=(0,)), shape=shape)
    # A dimension named twice is shifted by the sum.
    along = integers((dims,), "roll")
    if len(by) != len(along):
        raise RuntimeError(
            f"shifts and dimensions must align. shifts: {len(by)}, dims:{len(along)}"
        )
    return roll_prim(input, shift=by, axis=tuple(normalize_dim(d, len(shape)) for d in along))


@export(function=False)
def repeat(input: Any, *sizes: Any, repeats: Any = None) -> Any:
    """The tensor repeated along each dimension; leading dimensions may be added.

    Raises:
        RuntimeError: if there are fewer numbers than dimensions.

    >>> import chainrule as cr
    >>> cr.tensor([1, 2]).repeat(2, 2)
    tensor([[1, 2, 1, 2],
            [1, 2, 1, 2]])
    """
    reps = integers(sizes if repeats is None else (repeats,), "repeat")
    if len(reps) < len(tensor_arg(input, "repeat").shape):
        raise RuntimeError(
            "Number of dimensions of repeat dims can not be smaller than number of dimensions of "
            f"tensor: got {list(reps)} for a tensor of shape {list(input.shape)}"
        )
    if min(reps, default=0) < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension: repeats {list(reps)}")
    return tile_prim(input, reps=reps)


@export()
def tile(input: Any, *sizes: Any, dims: Any = None) -> Any:
    """The tensor repeated along its last dimensions, as `numpy.tile`.

    >>> import chainrule as cr
    >>> cr.tile(cr.tensor([1, 2]), (2,))
    tensor([1, 2, 1, 2])
    """
    reps = integers(sizes if dims is None else (dims,), "tile")
    missing = len(tensor_arg(input, "tile").shape) - len(reps)
    return repeat(input, (1,) * max(missing, 0) + reps)


@export()
def repeat_interleave(
    input: Any, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Any:
    """Every entry (or slice along `dim`) repeated in place: the same number, or one for each.

    Called with a tensor of counts alone, it returns the index of each repetition.

    Raises:
        RuntimeError: if the number of counts does not fit.

    >>> import chainrule as cr
    >>> cr.repeat_interleave(cr.tensor([1, 2]), 2)
    tensor([1, 1, 2, 2])
    """
    by_tensor = input if repeats is None else repeats
    refuse_mapped(by_tensor, "repeat_interleave", "repeat all examples by the same numbers")
    if repeats is None:
        return wrap(_repetitions(np.asarray(getattr(input, "array", input))))
    x = tensor_arg(input, "repeat_interleave")
    if dim is None:
        x, dim = reshape_prim(x, shape=(int(np.prod(tuple(x.shape), dtype=np.int64)),)), 0
    shape = tuple(x.shape)
    d = normalize_dim(dim, len(shape))
    if isinstance(repeats, int):
        if repeats < 0:
            raise RuntimeError("Repeats must be non-negative")
        spread = broadcast_to_prim(
            expand_dims(x, axis=(d + 1,)), shape=(*shape[: d + 1], repeats, *shape[d + 1 :])
        )
        return reshape_prim(spread, shape=(*shape[:d], shape[d] * repeats, *shape[d + 1 :]))
    counts = np.asarray(getattr(repeats, "array", repeats))
    if counts.size not in (1, shape[d]):
        raise RuntimeError(
            f"repeats must have the same size as input along dim, but got repeats.size(0) = "
            f"{counts.size} and input.size({d}) = {shape[d]}"
        )
    return index_select(x, d, _repetitions(np.broadcast_to(counts.reshape(-1), (shape[d],))))


def _repetitions(counts: Any) -> Any:
    """Each index as often as its count says."""
    if counts.dtype.kind not in "iu":
        raise RuntimeError(f"repeats has to be Long or Int tensor, not {counts.dtype.name}")
    if counts.size and counts.min() < 0:
        raise RuntimeError("repeats can not be negative")
    return np.repeat(np.arange(counts.size), counts)
