"""Exponentials of what was normalised by a sum of exponentials: the sum's terms, divided by it.

Gradients of logsumexp, log_softmax and cross-entropy are written exp(y - log Σ exp(y)). The terms
exp(y) have been computed for the sum, so

    exp(y - log s) = exp(y) · (1/s),        s = Σ exp(y),

takes no second exponential, and does not lose what rounding y - log s loses of a large |y|.

Special values: terms are exp(x - top), the largest entry `top` made finite, so s >= 1 unless all
entries are -inf, or one is inf. In the first case logsumexp is -inf, gradients take 0 for it, and
all terms are 0: the factor is 1 there. In the second, s = inf: terms of finite entries are 0, and
0 · (1/inf) = 0; that of inf itself gives inf · 0, nan as inf - inf does.
"""

from __future__ import annotations

import numpy as np

from chainrule.compiler.maps import STILL, Map, Shape, broadcast, compose
from chainrule.compiler.values import MAP, NUMBER, REDUCE, VIEW, Value, apply, viewed


def exp(x: Value) -> Value:
    """The exponential of a value."""
    if _is(x, "subtract"):
        y, normaliser = x.args
        total = _log_of(y, normaliser) or _logsumexp_of(y, normaliser, x.shape)
        if total is not None:
            factor = apply("where", total.same(0), 1, 1 / total, dtype=x.dtype)
            return total.args[0] * factor
    return apply("exp", x)


def _is(value: Value, op: str) -> bool:
    return value.kind == MAP and value.op == op


def _sum_of_exp(value: Value) -> Value | None:
    """The exponent, if the value is a sum of exponentials."""
    if value.kind == REDUCE and value.op == "sum" and _is(value.args[0], "exp"):
        return value.args[0].args[0]
    return None


def _log_of(y: Value, normaliser: Value) -> Value | None:
    """s, if the normaliser is log s with s = Σ exp(y), as in log_softmax."""
    if _is(normaliser, "log") and _sum_of_exp(normaliser.args[0]) is y:
        return normaliser.args[0]
    return None


def _logsumexp_of(x: Value, normaliser: Value, shape: Shape) -> Value | None:
    """s, if the normaliser is log s + top with s = Σ exp(x - top), and 0 where that is -inf."""
    chosen, rows = viewed(normaliser)
    if rows is None:
        rows = tuple(STILL if d == 1 else (0, ((k, 1),)) for k, d in enumerate(chosen.shape))
    if _is(chosen, "where"):
        condition, zero, found = chosen.args
        if not (_is(condition, "equal") and condition.args[0] is found):
            return None
        if not (_is_number(condition.args[1], -np.inf) and _is_number(zero, 0)):
            return None
        if found.kind == VIEW:  # without the axes that were reduced
            found, inner = viewed(found)
            assert inner is not None
            rows = compose(inner, rows)
        if x.shape == shape and _is(found, "add"):
            return _matching(x, found, rows, normaliser.shape)
    return None


def _is_number(value: Value, wanted: float) -> bool:
    return value.kind == NUMBER and bool(value.detail == wanted)


def _matching(x: Value, found: Value, rows: Map, shape: Shape) -> Value | None:
    """s of log s + top, if its entries stand where those of x do."""
    logarithm, top = found.args
    if not _is(logarithm, "log"):
        return None
    total = logarithm.args[0]
    exponent = _sum_of_exp(total)
    if exponent is None or not _is(exponent, "subtract"):
        return None
    if exponent.args[0] is not x or exponent.args[1] is not top:
        return None
    where = compose(rows, broadcast(shape, x.shape))
    return total if where == broadcast(total.shape, x.shape) else None
