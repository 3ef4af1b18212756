"""How a primitive is applied to a whole batch: what `batch=` in a declaration may be.

A batch rule is a function `rule(prim, size, args, mapped, params)`.  `args` are tensors, arrays and
numbers; those with `mapped[i]` carry the mapped axis, of length `size`, in front.  It returns the
result (or the tuple of results) with the mapped axis in front.  It applies primitives with
`prim.apply(args, params)` or through `xp`, the namespace of recorded functions.

Elementwise operations need none.  The makers below cover what follows from an operation's meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.core.namespaces import recorded
from chainrule.core.tensor import Tensor, wrap

xp = recorded  # what batch rules compute with
Rule = Callable[[Any, int, Sequence[Any], Sequence[bool], dict[str, Any]], Any]


def rank(x: Any) -> int:
    """The number of dimensions of a tensor, array or number, the mapped axis included."""
    shape = x.array.shape if isinstance(x, Tensor) else getattr(x, "shape", ())
    return len(shape)


def shape_of(x: Any) -> tuple[int, ...]:
    """The shape of a tensor, array or number, the mapped axis included."""
    return tuple(x.array.shape if isinstance(x, Tensor) else getattr(x, "shape", ()))


def with_rank(x: Any, ndim: int) -> Any:
    """A mapped argument with ones put after the mapped axis until it has `ndim` dimensions more."""
    shape = shape_of(x)
    missing = ndim + 1 - len(shape)
    if missing <= 0:
        return x
    return xp.reshape(x, shape=(shape[0],) + (1,) * missing + shape[1:])


def aligned(args: Sequence[Any], mapped: Sequence[bool]) -> list[Any]:
    """The arguments so that broadcasting them lines up their own axes and the mapped one."""
    ndim = max(rank(x) - m for x, m in zip(args, mapped, strict=True))
    return [with_rank(x, ndim) if m else x for x, m in zip(args, mapped, strict=True)]


def spread(x: Any, size: int) -> Any:
    """An unmapped argument with a mapped axis in front, without copying."""
    return xp.broadcast_to(x, shape=(size, *shape_of(x)))


def all_mapped(size: int, args: Sequence[Any], mapped: Sequence[bool]) -> list[Any]:
    """The arguments, every array among them mapped."""
    return [
        x if m or not hasattr(x, "dtype") else spread(x, size)
        for x, m in zip(args, mapped, strict=True)
    ]


def folded(x: Any, axis: int = 0) -> Any:
    """The mapped axis merged into the example's own `axis`: (B, ..., n, ...) to (..., B·n, ...)."""
    shape = shape_of(x)
    x = moved(x, 0, axis)
    return xp.reshape(
        x, shape=(*shape[1 : axis + 1], shape[0] * shape[axis + 1], *shape[axis + 2 :])
    )


def unfolded(x: Any, size: int, axis: int = 0, n: int = 0) -> Any:
    """What `folded` undoes: the mapped axis taken out of `axis` and put in front.

    `n` is the length of the axis in an example, which an empty batch does not tell.
    """
    shape = shape_of(x)
    n = shape[axis] // size if size else n
    x = xp.reshape(x, shape=(*shape[:axis], size, n, *shape[axis + 1 :]))
    return moved(x, axis, 0)


def moved(x: Any, source: int, destination: int) -> Any:
    """An array with one axis moved to another place."""
    if source == destination:
        return x
    axes = list(range(rank(x)))
    axes.insert(destination, axes.pop(source))
    return xp.permute_dims(x, axes=tuple(axes))


def shifted(axis: Any, ndim: int) -> Any:
    """An axis (or tuple of them) of an example as an axis of the batch; None means all."""
    if axis is None:
        return tuple(range(1, ndim + 1))
    if isinstance(axis, (tuple, list)):
        return tuple(shifted(a, ndim) for a in axis)
    return int(axis) % max(ndim, 1) + 1


def reparametrized(
    change: Callable[[int, tuple[int, ...], dict[str, Any]], dict[str, Any]],
) -> Rule:
    """An operation of one array that does the same to a batch if some parameters are changed.

    `change(size, shape, params)` gives those parameters, for examples of that shape.  The
    rule's `params` does the same and gives all: for a view, how the batch is viewed.
    """

    def params_of(size: int, shape: tuple[int, ...], params: dict[str, Any]) -> dict[str, Any]:
        return {**params, **change(size, shape, params)}

    def rule(
        prim: Any, size: int, args: Sequence[Any], mapped: Sequence[bool], params: dict[str, Any]
    ) -> Any:
        return prim.apply(args, params_of(size, shape_of(args[0])[1:], params))

    rule.params = params_of  # type: ignore[attr-defined]
    return rule


unchanged = reparametrized(lambda size, shape, params: {})


def along(*names: str) -> Rule:
    """An operation of one array whose parameters of these names are axes."""
    return reparametrized(
        lambda size, shape, params: {
            name: shifted(params[name], len(shape)) for name in names if name in params
        }
    )


def leading(
    prim: Any, size: int, args: Sequence[Any], mapped: Sequence[bool], params: dict[str, Any]
) -> Any:
    """An operation that maps over leading axes by itself, broadcasting them, as linalg does."""
    return prim.apply(aligned(args, mapped), params)


def leading_all(
    prim: Any, size: int, args: Sequence[Any], mapped: Sequence[bool], params: dict[str, Any]
) -> Any:
    """An operation that maps over leading axes, which all arguments must have."""
    return prim.apply(all_mapped(size, args, mapped), params)


def shaped_by_first(
    prim: Any, size: int, args: Sequence[Any], mapped: Sequence[bool], params: dict[str, Any]
) -> Any:
    """An operation whose result is shaped like its first array, to which the others broadcast."""
    args = [args[0] if mapped[0] else spread(args[0], size), *args[1:]]
    return prim.apply(aligned(args, (True, *mapped[1:])), params)


def along_line(
    prim: Any, size: int, args: Sequence[Any], mapped: Sequence[bool], params: dict[str, Any]
) -> Any:
    """An operation along the one axis `axis` of arrays of equal rank; a number is a line of one."""
    args = all_mapped(size, args, mapped)
    ndim = max(map(rank, args)) - 1
    if ndim:
        return prim.apply(args, {**params, "axis": shifted(params["axis"], ndim)})
    lines = [xp.reshape(x, shape=(size, 1)) if rank(x) else x for x in args]
    return xp.reshape(prim.apply(lines, {**params, "axis": 1}), shape=(size,))


def along_all(
    prim: Any, size: int, args: Sequence[Any], mapped: Sequence[bool], params: dict[str, Any]
) -> Any:
    """An operation of several arrays with the axes `axis` of the first, which all are mapped."""
    args = all_mapped(size, args, mapped)
    return prim.apply(args, {**params, "axis": shifted(params["axis"], rank(args[0]) - 1)})


def no_examples(
    prim: Any, args: Sequence[Any], mapped: Sequence[bool], params: dict[str, Any]
) -> Any:
    """The result of one array for a batch without examples, in the shape that any would have."""
    one = [
        wrap(np.zeros(shape_of(x)[1:], x.array.dtype if isinstance(x, Tensor) else x.dtype))
        if m else x
        for x, m in zip(args, mapped, strict=True)
    ]  # fmt: skip
    made = prim.apply(one, params)
    return wrap(np.zeros((0, *made.array.shape), made.array.dtype))


def by_rows(
    prim: Any, size: int, args: Sequence[Any], mapped: Sequence[bool], params: dict[str, Any]
) -> Any:
    """An operation of one array (N, ...) that treats the N alike: all examples are rows of one."""
    n = shape_of(args[0])[1]
    return unfolded(prim.apply((folded(args[0]),), params), size, 0, n)


def one_by_one(
    prim: Any, size: int, args: Sequence[Any], mapped: Sequence[bool], params: dict[str, Any]
) -> Any:
    """Any operation at all, example after example: slow, and only where nothing better exists."""
    rows = [
        prim.apply([x[i] if m else x for x, m in zip(args, mapped, strict=True)], params)
        for i in range(size)
    ]
    if isinstance(rows[0], tuple):
        return tuple(xp.stack(*column, axis=0) for column in zip(*rows, strict=True))
    return xp.stack(*rows, axis=0)
