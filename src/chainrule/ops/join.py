"""Joining tensors: one after another, in a new dimension, as rows and columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.core.avals import joined, stacked
from chainrule.core.batching import all_mapped
from chainrule.core.kinds import general, promote
from chainrule.core.modes import get_mode
from chainrule.core.samples import Sample, uniform
from chainrule.core.tensor import Tensor, wrap
from chainrule.ops.api import export
from chainrule.ops.axes import normalize_dim
from chainrule.ops.direct import aval_of, recorded_result
from chainrule.ops.index import FULL
from chainrule.ops.shape import reshape_prim, tensor_arg
from chainrule.ops.viewing import is_plain


def _concat_vjp(xp: Any, g: Any, xs_aval: Any, need: Any, axis: int) -> tuple[Any, ...]:
    pulled = []
    start = 0
    for x, wanted in zip(xs_aval, need, strict=True):
        stop = start + x.shape[axis]
        where = (*[FULL] * axis, ("slice", start, stop, None))
        pulled.append(xp.getitem(g, index=where) if wanted else None)
        start = stop
    return tuple(pulled)


def _joined_tangents(join: str) -> Callable[..., Any]:
    def rule(xp: Any, t: Any, xs_aval: Any, axis: int) -> Any:
        full = [
            np.zeros(x.shape, x.dtype) if tx is None else tx
            for tx, x in zip(t, xs_aval, strict=True)
        ]
        return getattr(xp, join)(*full, axis=axis)

    return rule


def _join_batch(
    prim: Any, size: int, args: Sequence[Any], mapped: Sequence[bool], params: dict[str, Any]
) -> Any:
    return prim.apply(all_mapped(size, args, mapped), {"axis": params["axis"] + 1})


concat = general(
    "concat", lambda *xs, axis: np.concatenate(xs, axis), vjp=_concat_vjp,
    jvp=_joined_tangents("concat"), grad_name="Cat", batch=_join_batch,
    aval=joined,
    samples=lambda: [
        Sample(uniform(2, 3), uniform(2, 1, seed=1), uniform(2, 2, seed=2), axis=1),
        Sample(uniform(2), axis=0),
    ],
)  # fmt: skip


def _stack_vjp(xp: Any, g: Any, need: Any, axis: int) -> tuple[Any, ...]:
    before = (FULL,) * axis
    return tuple(
        xp.getitem(g, index=(*before, i)) if wanted else None for i, wanted in enumerate(need)
    )


def _stack(*xs: Any, axis: int) -> Any:
    """`np.stack` of arrays of one shape, which is slow where one concatenation would do."""
    shape = xs[0].shape
    if axis == len(shape):
        return np.stack(xs, axis)
    return np.concatenate(xs, axis).reshape((*shape[:axis], len(xs), *shape[axis:]))


stack_prim = general(
    "stack", _stack, vjp=_stack_vjp, jvp=_joined_tangents("stack"),
    aval=stacked, batch=_join_batch,
    samples=lambda: [
        Sample(uniform(2, 3), uniform(2, 3, seed=1), axis=1),
        Sample(uniform(), uniform(seed=1), axis=0),
    ],
)  # fmt: skip


def _several(tensors: Any, name: str) -> list[Any]:
    """The tensors of a sequence, brought to their common dtype."""
    if isinstance(tensors, (Tensor, np.ndarray)) or not isinstance(tensors, Sequence):
        tensors = list(tensors) if hasattr(tensors, "__iter__") else tensors
    if not isinstance(tensors, (list, tuple)):
        raise TypeError(
            f"{name}(): argument 'tensors' must be tuple of Tensors, not {type(tensors).__name__}"
        )
    if not tensors:
        kind = ValueError if name == "cat" else RuntimeError
        raise kind(f"{name} expects a non-empty TensorList: expected a non-empty list of Tensors")
    for x in tensors:
        tensor_arg(x, name, "tensors")
    return promote(*tensors)


def _directly(prim: Any, tensors: Any, dim: Any) -> Any:
    """The tensors joined, if they are plain and fit each other; None if that takes a closer look.

    `prim` is `concat` along an existing dimension, or `stack` along a new one.
    """
    mode = get_mode()
    if type(dim) is not int or type(tensors) not in (list, tuple) or not tensors:
        return None
    arrays = []
    parents = []
    recording = False
    for x in tensors:
        if not is_plain(x, mode):
            return None
        arrays.append(x.array)
        parents.append(x.node)
        recording = recording or x.node is not None
    first = arrays[0]
    shape, dtype = first.shape, first.dtype
    new = prim is stack_prim.prim
    axis = dim + len(shape) + new if dim < 0 else dim
    if not first.size or not 0 <= axis < len(shape) + new:
        return None
    before, after = shape[:axis], shape[axis + 1 :]
    for a in arrays:
        if a.dtype is not dtype:
            return None
        if a.shape != shape and (
            new or a.ndim != len(shape) or a.shape[:axis] != before or a.shape[axis + 1 :] != after
        ):
            return None
    out = prim.eval(*arrays, axis=axis)
    if not recording or not mode:
        return wrap(out)
    args = tuple(
        [
            a.copy() if p is None and not shape else aval_of(a)  # numbers that are constant stay
            for a, p in zip(arrays, parents, strict=True)
        ]
    )
    return recorded_result(out, prim, args, {"axis": axis}, tuple(parents))


@export("cat", "concat", "concatenate", method=False)
def cat(tensors: Any, dim: int = 0) -> Any:
    """The tensors one after another along an existing dimension.

    Raises:
        RuntimeError: if their other dimensions differ.

    >>> import chainrule as cr
    >>> cr.cat([cr.tensor([1, 2]), cr.tensor([3])])
    tensor([1, 2, 3])
    """
    joined = _directly(concat.prim, tensors, dim)
    if joined is not None:
        return joined
    xs = _several(tensors, "cat")
    # Empty vectors join anything: torch.cat's rule for the start value of an accumulation.
    xs = [x for x in xs if tuple(x.shape) != (0,)] or xs[:1]
    first = tuple(xs[0].shape)
    if not first:
        raise RuntimeError("zero-dimensional tensor (at position 0) cannot be concatenated")
    d = normalize_dim(dim, len(first))
    for i, x in enumerate(xs):
        shape = tuple(x.shape)
        if len(shape) != len(first):
            raise RuntimeError(
                f"Tensors must have same number of dimensions: got {len(first)} and {len(shape)}"
            )
        if shape[:d] != first[:d] or shape[d + 1 :] != first[d + 1 :]:
            at = next(j for j in range(len(first)) if j != d and shape[j] != first[j])
            raise RuntimeError(
                f"Sizes of tensors must match except in dimension {d}. Expected size {first[at]} "
                f"but got size {shape[at]} for tensor number {i} in the list."
            )
    return concat(*xs, axis=d)


@export(method=False)
def stack(tensors: Any, dim: int = 0) -> Any:
    """The tensors, all of one shape, along a new dimension.

    Raises:
        RuntimeError: if their shapes differ.

    >>> import chainrule as cr
    >>> cr.stack([cr.tensor([1, 2]), cr.tensor([3, 4])])
    tensor([[1, 2],
            [3, 4]])
    """
    joined = _directly(stack_prim.prim, tensors, dim)
    if joined is not None:
        return joined
    xs = _several(tensors, "stack")
    first = tuple(xs[0].shape)
    for i, x in enumerate(xs):
        if tuple(x.shape) != first:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(first)} at entry 0 and "
                f"{list(x.shape)} at entry {i}"
            )
    return stack_prim(*xs, axis=normalize_dim(dim, len(first) + 1))


def _at_least(x: Any, ndim: int) -> Any:
    """`x` with leading dimensions (for 3, NumPy's middle place for vectors and matrices)."""
    shape = tuple(tensor_arg(x, f"atleast_{ndim}d").shape)
    if len(shape) >= ndim:
        return x
    wanted = {
        (0, 1): (1,), (0, 2): (1, 1), (0, 3): (1, 1, 1), (1, 2): (1, *shape),
        (1, 3): (1, *shape, 1), (2, 3): (*shape, 1),
    }[len(shape), ndim]  # fmt: skip
    return reshape_prim(x, shape=wanted)


def _declare_at_least(ndim: int) -> None:
    def at_least(*tensors: Any) -> Any:
        if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)):
            return tuple(_at_least(x, ndim) for x in tensors[0])
        found = tuple(_at_least(x, ndim) for x in tensors)
        return found[0] if len(found) == 1 else found

    at_least.__name__ = f"atleast_{ndim}d"
    at_least.__doc__ = f"""The tensors with at least {ndim} dimensions.

    >>> import chainrule as cr
    >>> cr.atleast_{ndim}d(cr.tensor(1)).ndim
    {ndim}
    """
    export(f"atleast_{ndim}d", method=False)(at_least)


for _ndim in (1, 2, 3):
    _declare_at_least(_ndim)


@export(method=False)
def hstack(tensors: Any) -> Any:
    """The tensors side by side: along dimension 1, or 0 for vectors.

    >>> import chainrule as cr
    >>> cr.hstack([cr.tensor([1]), cr.tensor([2])])
    tensor([1, 2])
    """
    xs = [_at_least(x, 1) for x in _several(tensors, "hstack")]
    return cat(xs, 0 if len(xs[0].shape) == 1 else 1)


@export("vstack", "row_stack", method=False)
def vstack(tensors: Any) -> Any:
    """The tensors on top of each other, vectors as rows.

    >>> import chainrule as cr
    >>> cr.vstack([cr.tensor([1]), cr.tensor([2])])
    tensor([[1],
            [2]])
    """
    return cat([_at_least(x, 2) for x in _several(tensors, "vstack")], 0)


@export(method=False)
def dstack(tensors: Any) -> Any:
    """The tensors behind each other: along dimension 2.

    >>> import chainrule as cr
    >>> cr.dstack([cr.tensor([1]), cr.tensor([2])])
    tensor([[[1, 2]]])
    """
    return cat([_at_least(x, 3) for x in _several(tensors, "dstack")], 2)


@export(method=False)
def column_stack(tensors: Any) -> Any:
    """The tensors side by side, vectors as columns.

    >>> import chainrule as cr
    >>> cr.column_stack([cr.tensor([1, 2]), cr.tensor([3, 4])])
    tensor([[1, 3],
            [2, 4]])
    """
    xs = [
        reshape_prim(x, shape=(int(np.prod(tuple(x.shape))), 1)) if len(x.shape) < 2 else x
        for x in _several(tensors, "column_stack")
    ]
    return cat(xs, 1)
