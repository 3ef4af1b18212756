"""Exponentials, logarithms and what is made of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.core.kinds import elementwise
from chainrule.ops.api import export_elementwise

LN2 = math.log(2)
LN10 = math.log(10)

exp = elementwise(
    "exp", np.exp, "out", result="float", symbol="exp({})", doc="e to the power of each entry."
)
exp2 = elementwise(
    "exp2", np.exp2, lambda out: out * LN2, result="float", symbol="exp2({})",
    doc="Two to the power of each entry.",
)  # fmt: skip
expm1 = elementwise(
    "expm1", np.expm1, lambda out: out + 1, result="float", symbol="expm1({})",
    doc="exp(x) - 1, accurate for small x.",
)  # fmt: skip
log = elementwise(
    "log", np.log, lambda xp, x: xp.reciprocal(x), result="float", domain=[(0.2, 4)],
    symbol="log({})", doc="The natural logarithm of each entry.",
)  # fmt: skip
log1p = elementwise(
    "log1p", np.log1p, lambda xp, x: xp.reciprocal(x + 1), result="float", domain=[(-0.8, 4)],
    symbol="log1p({})", doc="log(1 + x), accurate for small x.",
)  # fmt: skip
log2 = elementwise(
    "log2", np.log2, lambda xp, x: xp.reciprocal(x * LN2), result="float", domain=[(0.2, 4)],
    symbol="log2({})", doc="The logarithm to base 2 of each entry.",
)  # fmt: skip
log10 = elementwise(
    "log10", np.log10, lambda xp, x: xp.reciprocal(x * LN10), result="float", domain=[(0.2, 4)],
    symbol="log10({})", doc="The logarithm to base 10 of each entry.",
)  # fmt: skip


def _sigmoid(x: Any) -> Any:
    """1/(1 + exp(-x)): where the exponential overflows, its reciprocal is the right 0."""
    with np.errstate(over="ignore"):
        return np.reciprocal(np.exp(-x) + 1)


sigmoid = elementwise(
    "sigmoid", _sigmoid, lambda out: out * (1 - out), result="float", symbol="sigmoid({})",
    doc="1/(1 + exp(-x)), between 0 and 1.",
)  # fmt: skip


def _share(xp: Any, x: Any, y: Any) -> Any:
    """exp(x)/(exp(x) + exp(y)); equal arguments share evenly, infinite ones too."""
    return xp.sigmoid(xp.where(x == y, 0, x - y))


logaddexp = elementwise(
    "logaddexp", np.logaddexp,
    _share, lambda xp, x, y: _share(xp, y, x),
    result="float", symbol="logaddexp({}, {})", doc="log(exp(x) + exp(y)), without overflow.",
)  # fmt: skip
logaddexp2 = elementwise(
    "logaddexp2", np.logaddexp2,
    lambda xp, x, y: _share(xp, x * LN2, y * LN2), lambda xp, x, y: _share(xp, y * LN2, x * LN2),
    result="float", symbol="logaddexp2({}, {})", doc="log2(2^x + 2^y), without overflow.",
)  # fmt: skip

for _op in (exp, exp2, expm1, log, log1p, log2, log10, sigmoid):
    export_elementwise(_op)
for _op in (logaddexp, logaddexp2):
    export_elementwise(_op, in_place=False)
