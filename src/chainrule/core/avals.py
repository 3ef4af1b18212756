"""Shape and dtype of a result without computing it: what `aval=` in a declaration may be.

A shape rule is a function `rule(*args, **params)` that returns the `Aval` of the result, or the
tuple of them.  An argument is an `Aval` (or an array, of which only shape and dtype are looked at)
or a number.  Whether the shapes are possible at all is for the evaluation to say.

Elementwise operations need none.  The rules below cover what follows from an operation's meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.core.dtypes import NUMPY_INT64, is_inexact
from chainrule.core.node import Aval, joint_shape

Shape = tuple[int, ...]
Rule = Callable[..., Any]


def shape_of(x: Any) -> Shape:
    """The shape of an argument; that of a number is ()."""
    return tuple(getattr(x, "shape", ()))


def joint_dtype(*args: Any) -> np.dtype[Any]:
    """The dtype NumPy computes in for these arguments, of which numbers only give their kind."""
    dt = getattr(args[0], "dtype", None)
    if dt is not None and all(getattr(x, "dtype", None) is dt for x in args):
        return dt
    return np.result_type(*[getattr(x, "dtype", x) for x in args])


def complex_dtype(dt: np.dtype[Any]) -> np.dtype[Any]:
    """The complex dtype with the precision of `dt`."""
    return np.result_type(dt, np.complex64)


def accumulator_dtype(dt: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype of a sum or product: int64 for integers and booleans."""
    return dt if is_inexact(dt) else NUMPY_INT64


def same(x: Any, *rest: Any, **params: Any) -> Aval:
    """The result is like the first argument."""
    return Aval(shape_of(x), x.dtype)


def broadcast(*args: Any, **params: Any) -> Aval:
    """The arguments broadcast against each other, in their joint dtype."""
    return Aval(joint_shape([shape_of(x) for x in args]), joint_dtype(*args))


def left_over(shape: Shape, axis: Any, keepdims: bool = False) -> Shape:
    """What a reduction over an axis, several, or all (None) leaves of a shape."""
    if axis is None:
        axis = range(len(shape))
    elif not isinstance(axis, Sequence):
        axis = (axis,)
    gone = {int(a) % max(len(shape), 1) for a in axis}
    return tuple(1 if i in gone else d for i, d in enumerate(shape) if keepdims or i not in gone)


def reduced(x: Any, axis: Any, keepdims: bool = False, **params: Any) -> Aval:
    """The first argument without the axes `axis`, or with length 1 there."""
    return Aval(left_over(shape_of(x), axis, keepdims), x.dtype)


def permuted(x: Any, axes: Sequence[int]) -> Aval:
    """The first argument with its axes in the order `axes`."""
    return Aval(tuple(x.shape[a] for a in axes), x.dtype)


def joined(*args: Any, axis: int) -> Aval:
    """The arguments one after another along an axis that they have."""
    shape = list(shape_of(args[0]))
    shape[axis] = sum([x.shape[axis] for x in args])
    return Aval(tuple(shape), joint_dtype(*args))


def stacked(*args: Any, axis: int) -> Aval:
    """The arguments, all of one shape, along a new axis."""
    shape = shape_of(args[0])
    return Aval((*shape[:axis], len(args), *shape[axis:]), joint_dtype(*args))


def shaped_by(name: str) -> Rule:
    """The first argument's dtype in the shape that the parameter of this name gives."""

    def rule(x: Any, *rest: Any, **params: Any) -> Aval:
        return Aval(tuple(params[name]), x.dtype)

    return rule


def typed(rule: Rule, dtype: Any) -> Rule:
    """As `rule`, but of another dtype: a fixed one, or what a function makes of the rule's."""

    def changed(*args: Any, **params: Any) -> Aval:
        made = rule(*args, **params)
        return Aval(made.shape, dtype(made.dtype) if change else np.dtype(dtype))

    change = callable(dtype) and not isinstance(dtype, type)
    return changed


def last_replaced(count: int, change: Callable[..., Sequence[int]]) -> Rule:
    """The first argument with its last `count` dimensions, given to `change`, exchanged."""

    def rule(x: Any, *rest: Any, **params: Any) -> Aval:
        split = len(x.shape) - count
        return Aval((*x.shape[:split], *change(*x.shape[split:])), x.dtype)

    return rule


def several(*rules: Rule) -> Rule:
    """A tuple of results, each with a rule of its own."""

    def rule(*args: Any, **params: Any) -> tuple[Aval, ...]:
        return tuple([r(*args, **params) for r in rules])

    return rule


def contracted(*args: Any, equation: str) -> Aval:
    """The sum of products that `equation` says, in einsum's letters."""
    inputs, out = equation.split("->")
    sizes = {
        c: d
        for term, x in zip(inputs.split(","), args, strict=True)
        for c, d in zip(term, x.shape, strict=True)
    }
    return Aval(tuple(sizes[c] for c in out), joint_dtype(*args))


def dotted(x: Any, y: Any) -> Aval:
    """What `x.dot(y)` gives, for vectors and matrices."""
    kept = y.shape[-1:] if len(y.shape) > 1 else ()
    return Aval((*x.shape[:-1], *kept), joint_dtype(x, y))


def matrix_product(x: Any, y: Any, **params: Any) -> Aval:
    """Matrices (..., n, k) times matrices (..., k, m), or X of A X = Y; batches broadcast."""
    batch = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    return Aval((*batch, x.shape[-2], y.shape[-1]), joint_dtype(x, y))


def spatial_by(name: str) -> Rule:
    """The first argument with its spatial dimensions, as many as `kernel` has, by a parameter."""

    def rule(x: Any, *rest: Any, kernel: Shape, **params: Any) -> Aval:
        return Aval((*x.shape[: len(x.shape) - len(kernel)], *params[name]), x.dtype)

    return rule
