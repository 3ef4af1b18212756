"""Reductions and what is made of them, as formulas: mean, logsumexp, softmax, layer norm, ...

They compute what the primitives' evaluation does. A row's maximum, sum and so on keep their
axes with length 1, so that they broadcast back.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from chainrule.compiler.formulas import absolute, exp, log, minimum, where
from chainrule.compiler.maps import STILL
from chainrule.compiler.values import (
    Unsupported,
    Value,
    apply,
    cast,
    dropped,
    inserted,
    number,
    reduce,
    view,
    viewed,
)

Rule = Callable[..., Any]
_INT64 = np.dtype(np.int64)


def _count(x: Value, axis: tuple[int, ...]) -> int:
    return prod(x.shape[a] for a in axis)


def _accumulated(op: str) -> Rule:
    def rule(x: Value, axis: tuple[int, ...], keepdims: bool = False) -> Value:
        wide = x if x.dtype.kind == "f" else cast(x, _INT64)
        return reduce(op, wide, axis, keepdims)

    return rule


_added = _accumulated("sum")


def total(x: Value, axis: tuple[int, ...], keepdims: bool = False) -> Value:
    """The sum; of one entry among zeros it is that entry."""
    only = _only_entry(x, axis)
    if only is None:
        return _added(x, axis, keepdims)  # type: ignore[no-any-return]
    return only if keepdims else dropped(only, axis)


def _only_entry(x: Value, axis: tuple[int, ...]) -> Value | None:
    """What stands, among zeros along one axis, at an index that is checked to be in its range."""
    if len(axis) != 1:
        return None
    base, rows = viewed(x)
    if rows is None:
        return _entry_along(base, axis[0])
    moved = [k for k, (_, terms) in enumerate(rows) if axis[0] in [loop for loop, _ in terms]]
    if len(moved) != 1 or rows[moved[0]] != (0, ((axis[0], 1),)):
        return None
    (along,) = moved
    if base.shape[along] != x.shape[axis[0]]:
        return None
    entry = _entry_along(base, along)
    if entry is None:
        return None
    still = tuple([STILL if k == along else row for k, row in enumerate(rows)])
    return view(entry, still, tuple([1 if k == axis[0] else d for k, d in enumerate(x.shape)]))


def _entry_along(x: Value, axis: int) -> Value | None:
    """The only entry of each line along an axis, the axis kept; None if there may be others."""
    if x.kind != "map" or x.op != "where" or x.dtype.kind != "f":
        return None
    hit, entry, zero = x.args
    if zero.kind != "number" or zero.detail != 0 or hit.op != "equal":
        return None
    place, index = hit.args
    if place.op != "index" or place.detail != axis or place.shape != x.shape:
        return None
    checked, _ = viewed(index)
    if checked.op != "position" or checked.detail[:2] != (0, x.shape[axis]):
        return None
    line = tuple([1 if k == axis else d for k, d in enumerate(x.shape)])
    return entry if index.shape == entry.shape == line else None


def _mean(x: Value, axis: tuple[int, ...], keepdims: bool = False) -> Value:
    if x.dtype.kind != "f":
        raise Unsupported("the mean of integers has no compiled form")
    return total(x, axis, keepdims) / _count(x, axis)


def _extreme(op: str) -> Rule:
    def rule(x: Value, axis: tuple[int, ...], keepdims: bool = False) -> Value:
        return reduce(op, x, axis, keepdims)

    return rule


def _truth(op: str) -> Rule:
    def rule(x: Value, axis: tuple[int, ...], keepdims: bool = False) -> Value:
        answer = reduce(op, cast(x, bool), axis, keepdims)
        return cast(answer, np.uint8) if x.dtype == np.uint8 else answer

    return rule


def _count_nonzero(x: Value, axis: Any) -> Value:
    return total(cast(cast(x, bool), _INT64), _axes(x, axis))


def _axes(x: Value, axis: Any) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(x.ndim))
    given = axis if isinstance(axis, tuple) else (axis,)
    return tuple(a % x.ndim for a in given) if x.ndim else ()


def position(x: Value, axis: int) -> Value:
    """The index along an axis, in every place of the value."""
    return Value("map", "index", (), x.shape, _INT64, axis)


def _search(op: str) -> Rule:
    """The first place of the extreme entry: two passes, the extreme, then the least index of one
    equal to it. The first nan is extreme."""

    def rule(x: Value, axis: int | None, keepdims: bool = False) -> Value:
        if axis is None:
            if x.ndim > 1:
                raise Unsupported("the place among the entries of several axes: take one axis")
            axis = 0
        if x.ndim == 0:
            return number(0, _INT64)
        axis %= x.ndim
        top = reduce(op, x, (axis,), keepdims=True)
        hit = x.same(top)
        if x.dtype.kind == "f":
            hit = hit | apply("isnan", x)
        place = where(hit, position(x, axis), x.shape[axis])
        return reduce("min", place, (axis,), keepdims)

    return rule


def _logsumexp(x: Value, axis: tuple[int, ...], keepdims: bool = False) -> Value:
    if x.dtype.kind != "f":
        raise Unsupported("logsumexp of integers has no compiled form")
    top = reduce("max", x, axis, keepdims=True)
    # Among finite numbers an infinite one leaves zeros: exp(x - top) stays what gradients need.
    top = where(top.same(-np.inf), 0, minimum(top, np.finfo(x.dtype).max))
    found = log(reduce("sum", exp(x - top), axis, keepdims=True)) + top
    return found if keepdims else dropped(found, axis)


def _softmax(x: Value, axis: int) -> Value:
    if x.ndim == 0:
        return exp(x - x)
    along = (axis % x.ndim,)
    e = exp(x - reduce("max", x, along, keepdims=True))
    return e / reduce("sum", e, along, keepdims=True)


def _log_softmax(x: Value, axis: int) -> Value:
    if x.ndim == 0:
        return x - x
    along = (axis % x.ndim,)
    y = x - reduce("max", x, along, keepdims=True)
    return y - log(reduce("sum", exp(y), along, keepdims=True))


def _standardize(x: Value, axis: tuple[int, ...], eps: float) -> tuple[Value, Value, Value]:
    n = _count(x, axis)
    mean = reduce("sum", x, axis, keepdims=True) / n
    y = x - mean
    variance = reduce("sum", y * y, axis, keepdims=True) / n
    scale = 1 / apply("sqrt", variance + eps)
    return y * scale, mean, scale


def _var(x: Value, axis: tuple[int, ...], correction: float, keepdims: bool = False) -> Value:
    if x.dtype.kind != "f":
        raise Unsupported("the variance of integers has no compiled form")
    n = _count(x, axis)
    d = x - reduce("sum", x, axis, keepdims=True) / n
    freedom = max(n - correction, 0)
    found = reduce("sum", d * d, axis, keepdims=True) / number(freedom, x.dtype)
    return found if keepdims else dropped(found, axis)


def _tie_weights(x: Value, out: Value, axis: tuple[int, ...], keepdims: bool) -> Value:
    if not keepdims:
        out = inserted(out, axis, x.ndim)
    ties = x.same(out)
    if x.dtype.kind == "f":
        ties = ties | (apply("isnan", x) & apply("isnan", out))
    hits = cast(reduce("sum", cast(ties, _INT64), axis, keepdims=True), np.float64)
    return cast(cast(ties, np.float64) / apply("maximum", hits, 1), x.dtype)


def _vector_norm(x: Value, ord: float, axis: tuple[int, ...], keepdims: bool = False) -> Value:
    if x.dtype.kind != "f" or ord not in (1, np.inf, -np.inf):
        raise Unsupported(f"the norm of order {ord} is scaled against overflow")
    op = {1: "sum", np.inf: "max", -np.inf: "min"}[ord]
    return reduce(op, absolute(x), axis, keepdims)


def _triangle(lower: bool) -> Rule:
    def rule(x: Value, diagonal: int) -> Value:
        above = position(x, x.ndim - 1) - position(x, x.ndim - 2)
        kept = above <= diagonal if lower else above > diagonal - 1
        return where(kept, x, number(0, x.dtype))

    return rule


REDUCTIONS: dict[str, Rule] = {
    "sum": total,
    "mean": _mean,
    "prod": _accumulated("prod"),
    "amax": _extreme("max"),
    "amin": _extreme("min"),
    "max_all": _extreme("max"),
    "min_all": _extreme("min"),
    "all": _truth("all"),
    "any": _truth("any"),
    "count_nonzero": _count_nonzero,
    "argmax": _search("max"),
    "argmin": _search("min"),
    "logsumexp": _logsumexp,
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "standardize": _standardize,
    "var": _var,
    "std": lambda x, axis, correction, keepdims=False: apply(
        "sqrt", _var(x, axis, correction, keepdims)
    ),
    "tie_weights": _tie_weights,
    "vector_norm": _vector_norm,
    "tril": _triangle(lower=True),
    "triu": _triangle(lower=False),
}
