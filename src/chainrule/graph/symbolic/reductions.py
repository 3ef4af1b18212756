"""Operations on many entries, as formulas: products, extremes, norms, softmax, determinants.

Each formula takes the node, arrays of expressions, and the primitive's parameters.  A string as its
result says why there is none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import permutations
from typing import Any

import numpy as np

from chainrule.core.node import Node
from chainrule.graph.symbolic.expressions import Builder, Expr

DETERMINANT = 5  # rows of a matrix whose determinant is written out


def _groups(x: np.ndarray, axis: Sequence[int]) -> Iterator[tuple[tuple[int, ...], list[Expr]]]:
    """What is reduced to each entry of the result (its place with reduced axes 0), in order."""
    kept = [1 if i in axis else n for i, n in enumerate(x.shape)]
    for place in np.ndindex(*kept):
        part = x[(*[slice(None) if i in axis else k for i, k in enumerate(place)], ...)]
        yield place, list(part.ravel())


def _reduce(
    x: np.ndarray, axis: Sequence[int], keepdims: bool, f: Callable[[list[Expr]], Expr]
) -> np.ndarray:
    axis = [a % max(x.ndim, 1) for a in axis]
    made = np.empty([1 if i in axis else n for i, n in enumerate(x.shape)], object)
    for place, entries in _groups(x, axis):
        made[place] = f(entries)
    return made if keepdims else made.reshape([n for i, n in enumerate(x.shape) if i not in axis])


def _axes(x: np.ndarray, axis: Any) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(x.ndim))
    return tuple(axis) if isinstance(axis, (tuple, list)) else (axis,) * (x.ndim > 0)


def _extreme(name: str) -> Any:
    def formula(b: Builder, node: Node, x: Any, *index: Any, axis: Any, keepdims: bool) -> Any:
        def largest(entries: list[Expr]) -> Expr:
            found = entries[0]
            for e in entries[1:]:
                found = b.apply(name, found, e)
            return found

        return _reduce(x, _axes(x, axis), keepdims, largest)

    return formula


def _prod(b: Builder, node: Node, x: Any, axis: Any, keepdims: bool = False) -> Any:
    return _reduce(x, axis, keepdims, b.product)


def _mean(b: Builder, node: Node, x: Any, axis: Any, keepdims: bool = False) -> Any:
    return _reduce(x, axis, keepdims, lambda e: _mean_of(b, e))


def _mean_of(b: Builder, entries: list[Expr]) -> Expr:
    return b.over(b.total(entries), entries[0].dtype.type(len(entries)))


def _var_of(b: Builder, entries: list[Expr], correction: float) -> Expr:
    mean = _mean_of(b, entries)
    squares = [b.apply("square", b.apply("subtract", e, mean)) for e in entries]
    return b.over(b.total(squares), entries[0].dtype.type(len(entries) - correction))


def _var(b: Builder, node: Node, x: Any, axis: Any, correction: float, keepdims: bool) -> Any:
    return _reduce(x, axis, keepdims, lambda e: _var_of(b, e, correction))


def _std(b: Builder, node: Node, x: Any, axis: Any, correction: float, keepdims: bool) -> Any:
    return _reduce(x, axis, keepdims, lambda e: b.apply("sqrt", _var_of(b, e, correction)))


def _norm(
    b: Builder, node: Node, x: Any, ord: float, axis: Any, keepdims: bool = False
) -> Any:  # fmt: skip
    def norm(entries: list[Expr]) -> Expr:
        if ord == 2:
            return b.apply("sqrt", b.total([b.apply("square", e) for e in entries]))
        sizes = [b.apply("abs", e) for e in entries]
        if math.isinf(ord):
            found = sizes[0]
            for s in sizes[1:]:
                found = b.apply("maximum" if ord > 0 else "minimum", found, s)
            return found
        if ord == 1:
            return b.total(sizes)
        return b.apply("pow", b.total([b.apply("pow", s, ord) for s in sizes]), 1 / ord)

    if ord == 0:
        return "the number of nonzero entries is no formula of them"
    return _reduce(x, axis, keepdims, norm)


def _logsumexp(b: Builder, node: Node, x: Any, axis: Any, keepdims: bool = False) -> Any:
    return _reduce(
        x, axis, keepdims, lambda e: b.apply("log", b.total([b.apply("exp", v) for v in e]))
    )


def _softmax(b: Builder, node: Node, x: Any, axis: int) -> Any:
    return _over_sum(b, x, axis, lambda e, total: b.apply("divide", b.apply("exp", e), total))


def _log_softmax(b: Builder, node: Node, x: Any, axis: int) -> Any:
    return _over_sum(b, x, axis, lambda e, total: b.apply("subtract", e, b.apply("log", total)))


def _over_sum(b: Builder, x: Any, axis: int, f: Callable[[Expr, Expr], Expr]) -> Any:
    axes = (axis % x.ndim,) if x.ndim else ()
    totals = _reduce(x, axes, True, lambda e: b.total([b.apply("exp", v) for v in e]))
    made = np.empty(x.shape, object)
    for place in np.ndindex(x.shape):
        made[place] = f(x[place], totals[tuple(0 if i in axes else k for i, k in enumerate(place))])
    return made


def _softmax_nll(
    b: Builder, node: Node, x: Any, places: Any, weights: Any, divisor: float, summed: bool
) -> Any:  # fmt: skip
    """The cross entropy of logits and classes, and the logarithms of the softmax."""
    logs = _log_softmax(b, node, x, 1)
    losses = np.empty(places.shape, object)
    for k in np.ndindex(places.shape):
        loss = b.minus(logs.ravel()[places[k]])
        losses[k] = loss if weights is None else b.times(weights[k], loss)
    if not summed:
        return losses, logs
    made = np.empty((), object)
    made[()] = b.over(b.total(list(losses.ravel())), x.ravel()[0].dtype.type(divisor))
    return made, logs


def _cumprod(b: Builder, node: Node, x: Any, axis: int, reverse: bool = False) -> Any:
    if x.ndim == 0:
        return x
    made = np.empty(x.shape, object)
    lines, result = np.moveaxis(x, axis, -1), np.moveaxis(made, axis, -1)
    for place in np.ndindex(lines.shape[:-1]):
        order = range(lines.shape[-1])
        found: Expr = None
        for k in reversed(order) if reverse else order:
            e = lines[place][k]
            found = e if found is None else b.apply("multiply", found, e)
            result[place][k] = found
    return made


def _gelu(b: Builder, node: Node, x: Any) -> Any:
    """x·Φ(x) and Φ(x) = (1 + erf(x/√2))/2."""
    value, cdf = np.empty(x.shape, object), np.empty(x.shape, object)
    for place in np.ndindex(x.shape):
        scaled = b.apply("multiply", x[place], math.sqrt(0.5))
        cdf[place] = b.apply("multiply", 0.5, b.apply("add", 1, b.apply("erf", scaled)))
        value[place] = b.apply("multiply", x[place], cdf[place])
    return value, cdf


def _det(b: Builder, node: Node, x: Any, **_: Any) -> Any:
    return _by_matrix(x, (), lambda m: _determinant(b, m))


def _inv(b: Builder, node: Node, x: Any, **_: Any) -> Any:
    """The adjugate over the determinant (Cramer's rule)."""

    def inverse(m: np.ndarray) -> Any:
        adjugate, whole = _adjugate_of(b, m), _determinant(b, m)
        if isinstance(adjugate, str) or isinstance(whole, str):
            return _TOO_MANY_ROWS
        return _mapped(adjugate, lambda e: b.apply("divide", e, whole))

    return _by_matrix(x, x.shape[-2:], inverse)


def _adjugate(b: Builder, node: Node, x: Any) -> Any:
    return _by_matrix(x, x.shape[-2:], lambda m: _adjugate_of(b, m))


_TOO_MANY_ROWS = f"determinants are written out for matrices of at most {DETERMINANT} rows"


def _by_matrix(x: np.ndarray, shape: Sequence[int], f: Callable[[np.ndarray], Any]) -> Any:
    made = np.empty((*x.shape[:-2], *shape), object)
    for place in np.ndindex(x.shape[:-2]):
        found = f(x[place])
        if isinstance(found, str):
            return found
        made[place] = found
    return made


def _mapped(x: np.ndarray, f: Callable[[Expr], Expr]) -> np.ndarray:
    made = np.empty(x.shape, object)
    for place in np.ndindex(x.shape):
        made[place] = f(x[place])
    return made


def _determinant(b: Builder, m: np.ndarray) -> Any:
    """Leibniz's formula: the sum over permutations of signed products."""
    n = m.shape[0]
    if n > DETERMINANT:
        return _TOO_MANY_ROWS
    found: Expr = None
    for order in permutations(range(n)):
        term = b.product([m[i, j] for i, j in enumerate(order)])
        swaps = sum(order[i] > order[j] for i in range(n) for j in range(i + 1, n))
        name = "subtract" if swaps % 2 else "add"
        found = term if found is None else b.apply(name, found, term)
    return found


def _adjugate_of(b: Builder, m: np.ndarray) -> Any:
    n = m.shape[0]
    if n > DETERMINANT + 1:
        return _TOO_MANY_ROWS
    made = np.empty((n, n), object)
    for i in range(n):
        for j in range(n):
            minor = _determinant(b, np.delete(np.delete(m, j, 0), i, 1))
            made[i, j] = b.minus(minor) if (i + j) % 2 else minor
    return made


Formula = Callable[..., Any]

FORMULAS: dict[str, Formula] = {
    "prod": _prod,
    "mean": _mean,
    "var": _var,
    "std": _std,
    "vector_norm": _norm,
    "logsumexp": _logsumexp,
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "softmax_nll": _softmax_nll,
    "cumprod": _cumprod,
    "amax": _extreme("maximum"),
    "amin": _extreme("minimum"),
    "max_all": _extreme("maximum"),
    "min_all": _extreme("minimum"),
    "max_along": _extreme("maximum"),
    "min_along": _extreme("minimum"),
    "gelu": _gelu,
    "det": _det,
    "inv": _inv,
    "adjugate": _adjugate,
}
