"""Exponentials, logarithms and what is made of them."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from chainrule.core.avals import same, several, typed
from chainrule.core.batching import unchanged
from chainrule.core.kinds import elementwise, general
from chainrule.core.namespaces import publish, recorded
from chainrule.core.primitive import unbox
from chainrule.core.samples import Sample, uniform
from chainrule.ops.api import SPECIAL, export, export_elementwise

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
    symbol="log1p({})", grad_name="Log1P", doc="log(1 + x), accurate for small x.",
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
    return xp.sigmoid(xp.where((x == y) & xp.isinf(x), 0, x - y))


def _logaddexp(x: Any, y: Any) -> Any:
    if x.dtype.kind != "c":
        return np.logaddexp(x, y)
    first = (x.real > y.real) | np.isnan(x.real)
    large, small = np.where(first, x, y), np.where(first, y, x)
    same = (x == y) & np.isinf(x.real)  # a difference of infinities is none
    return large + np.log1p(np.exp(np.where(same, 0, small - large)))


logaddexp = elementwise(
    "logaddexp", _logaddexp,
    _share, lambda xp, x, y: _share(xp, y, x),
    result="float", symbol="logaddexp({}, {})", doc="log(exp(x) + exp(y)), without overflow.",
)  # fmt: skip
logaddexp2 = elementwise(
    "logaddexp2", np.logaddexp2,
    lambda xp, x, y: _share(xp, x * LN2, y * LN2), lambda xp, x, y: _share(xp, y * LN2, x * LN2),
    result="float", symbol="logaddexp2({}, {})", doc="log2(2^x + 2^y), without overflow.",
)  # fmt: skip


def _xlogy(x: Any, y: Any) -> Any:
    zero = (x == 0) & ~np.isnan(y)
    return np.where(zero, 0, x * np.log(np.where(zero, 1, y)))


def _xlog1py(x: Any, y: Any) -> Any:
    zero = (x == 0) & ~np.isnan(y)
    return np.where(zero, 0, x * np.log1p(np.where(zero, 0, y)))


xlogy = elementwise(
    "xlogy", _xlogy,
    lambda xp, x, y: xp.log(xp.where((x == 0) & (y <= 0), 1, y)), lambda x, y: x / y,
    real=True, result="float", domain=[(-2, 2), (0.2, 4)], symbol="{}*log({})",
    doc="x·log(y), and 0 where x = 0, whatever y (but nan if y is nan).",
)  # fmt: skip
xlog1py = elementwise(
    "xlog1py", _xlog1py,
    lambda xp, x, y: xp.log1p(xp.where((x == 0) & (y <= -1), 0, y)), lambda x, y: x / (y + 1),
    real=True, result="float", domain=[(-2, 2), (-0.8, 4)], symbol="{}*log1p({})",
    grad_name="SpecialXlog1Py",
    doc="x·log(1 + y), and 0 where x = 0, whatever y (but nan if y is nan).",
)  # fmt: skip


def _entr(x: Any) -> Any:
    negative = x < 0
    return np.where(negative, -np.inf, -_xlogy(x, np.where(negative, 1, x))).astype(x.dtype)


entr = elementwise(
    "entr", _entr, lambda xp, x: -1 - xp.log(x), real=True, result="float", grad_name="SpecialEntr",
    domain=[(0.2, 4)],
    doc="-x·log(x), the entropy of each entry: 0 at 0 and -inf below.",
)  # fmt: skip

# Outside [0, 1] the value is nan, and so is the derivative.
logit_prim = elementwise(
    "logit", lambda x: np.log(x / (1 - x)),
    lambda xp, x: xp.where((x < 0) | (x > 1), math.nan, xp.reciprocal(x * (1 - x))),
    real=True, result="float", domain=[(0.1, 0.9)], symbol="logit({})",
)  # fmt: skip


@export(in_place=True)
def logit(input: Any, eps: float | None = None) -> Any:
    """log(x/(1 - x)), the inverse of `sigmoid`; with `eps`, x is first clamped to [eps, 1 - eps].

    >>> import chainrule as cr
    >>> cr.logit(cr.tensor([0.5, 0.0]), eps=0.5)
    tensor([0., 0.])
    """
    return logit_prim(input if eps is None else recorded.clamp(input, eps, 1 - eps))


export_elementwise(entr, in_place=False, method=False, namespace=SPECIAL)
export_elementwise(xlog1py, in_place=False, method=False, namespace=SPECIAL)
for _op in (exp, exp2, expm1, log, log1p, log2, log10, sigmoid, xlogy):
    export_elementwise(_op)
for _op in (logaddexp, logaddexp2):
    export_elementwise(_op, in_place=False)


@export(in_place=True)
def ldexp(input: Any, other: Any) -> Any:
    """input·2^other, entry by entry.

    >>> import chainrule as cr
    >>> cr.ldexp(cr.tensor([1.0]), cr.tensor([3]))
    tensor([8.])
    """
    return recorded.multiply(input, recorded.pow(2.0, other))


class Frexp(NamedTuple):
    """What `frexp` returns."""

    mantissa: Any
    exponent: Any


frexp_prim = general(
    "frexp", np.frexp, vjp=lambda xp, g, out: (None if g[0] is None else xp.ldexp(g[0], -out[1]),),
    jvp=lambda xp, t, out: (xp.ldexp(t[0], -out[1]), None), batch=unchanged,
    aval=several(same, typed(same, np.int32)),
    samples=lambda: [Sample(uniform(2, 3, low=0.6, high=0.9)), Sample(np.array(5.0))],
)  # fmt: skip
publish("ldexp", np.ldexp, ldexp)


@export(method=True)
def frexp(input: Any) -> Any:
    """Mantissa in (-1, -0.5] or [0.5, 1) and integer exponent: input = mantissa·2^exponent.

    Raises:
        RuntimeError: if the tensor is not floating point.

    >>> import chainrule as cr
    >>> cr.frexp(cr.tensor([8.0])).exponent.item()
    4
    """
    dt = unbox(input)[0].dtype
    if dt.kind != "f":
        raise RuntimeError(f"frexp() only supports floating-point dtypes, got {dt.name}")
    return Frexp(*frexp_prim(input))
