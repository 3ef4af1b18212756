"""What the functions should give: in float64 for float32 arguments, by mpmath for float64 ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import mpmath as mp
import numpy as np
import scipy.special as sp

INF, NAN = float("inf"), float("nan")


@dataclass
class Reference:
    """A function in double precision for arrays, and exactly for numbers; its ulp bound.

    `exact` is asked for finite arguments only, inside the domain.
    """

    double: Callable
    exact: Callable
    bound: float = 1.0
    numpy: Callable | None = None
    low: float = -INF
    high: float = INF


def _sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


def _softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _round(x):
    return mp.nint(x)


def _power(x, y):
    if x == 0:
        return mp.mpf(0) if y > 0 else mp.mpf(INF)
    if x < 0:
        return mp.power(-x, y) * (-1 if y % 2 == 1 else 1)
    return mp.power(x, y)


def _lgamma(x):
    if x > 1e290:
        return x * (mp.log(x) - 1)
    return mp.log(abs(mp.gamma(x))) if abs(x) < 150 else _lgamma_far(x)


def _lgamma_far(x):
    if x > 0:
        return mp.loggamma(x)
    return mp.log(mp.pi / abs(x * mp.sinpi(x))) - mp.loggamma(-x)


def _digamma(x):
    return mp.log(x) if x > 1e30 else mp.digamma(x)


def _erfcx(x):
    if x > 1e8:
        return 1 / (x * mp.sqrt(mp.pi)) * (1 - 1 / (2 * x * x))
    return mp.exp(x * x) * mp.erfc(x)


def _erfc(x):
    return (mp.mpf(0) if x > 0 else mp.mpf(2)) if abs(x) > 1000 else mp.erfc(x)


def _logaddexp(x, y):
    return max(x, y) + mp.log1p(mp.exp(-abs(x - y)))


REFERENCES: dict[str, Reference] = {
    "exp": Reference(np.exp, mp.exp, numpy=np.exp),
    "exp2": Reference(np.exp2, lambda x: mp.power(2, x), numpy=np.exp2),
    "expm1": Reference(np.expm1, mp.expm1, numpy=np.expm1),
    "log": Reference(np.log, mp.log, numpy=np.log, low=0.0),
    "log2": Reference(np.log2, lambda x: mp.log(x, 2), numpy=np.log2, low=0.0),
    "log10": Reference(np.log10, mp.log10, numpy=np.log10, low=0.0),
    "log1p": Reference(np.log1p, mp.log1p, numpy=np.log1p, low=-1.0),
    "sin": Reference(np.sin, mp.sin, numpy=np.sin),
    "cos": Reference(np.cos, mp.cos, numpy=np.cos),
    "tan": Reference(np.tan, mp.tan, numpy=np.tan),
    "asin": Reference(np.arcsin, mp.asin, numpy=np.arcsin, low=-1.0, high=1.0),
    "acos": Reference(np.arccos, mp.acos, numpy=np.arccos, low=-1.0, high=1.0),
    "atan": Reference(np.arctan, mp.atan, numpy=np.arctan),
    "sinh": Reference(np.sinh, mp.sinh, 2.0, numpy=np.sinh),
    "cosh": Reference(np.cosh, mp.cosh, 2.0, numpy=np.cosh),
    "tanh": Reference(np.tanh, mp.tanh, numpy=np.tanh),
    "asinh": Reference(np.arcsinh, mp.asinh, 2.0, numpy=np.arcsinh),
    "acosh": Reference(np.arccosh, mp.acosh, numpy=np.arccosh, low=1.0),
    "atanh": Reference(np.arctanh, mp.atanh, numpy=np.arctanh, low=-1.0, high=1.0),
    "sigmoid": Reference(_sigmoid, lambda x: 1 / (1 + mp.exp(-x))),
    "log_sigmoid": Reference(
        lambda x: np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x))),
        lambda x: -mp.log1p(mp.exp(-x)) if x > -1e5 else x,
    ),
    "erf": Reference(sp.erf, mp.erf),
    "erfc": Reference(sp.erfc, _erfc, 2.0),
    "erfcx": Reference(sp.erfcx, _erfcx, 2.0),
    "ndtr": Reference(sp.ndtr, lambda x: _erfc(-x / mp.sqrt(2)) / 2, 2.0),
    "normal_density": Reference(
        lambda x: np.exp(-x * x / 2) / np.sqrt(2 * np.pi),
        lambda x: mp.exp(-x * x / 2) / mp.sqrt(2 * mp.pi),
    ),
    "cbrt": Reference(np.cbrt, lambda x: mp.sign(x) * mp.cbrt(abs(x)), numpy=np.cbrt),
    "sqrt": Reference(np.sqrt, mp.sqrt, 0.5, numpy=np.sqrt, low=0.0),
    "rsqrt": Reference(lambda x: 1 / np.sqrt(x), lambda x: 1 / mp.sqrt(x), low=0.0),
    "reciprocal": Reference(lambda x: 1 / x, lambda x: 1 / x, 0.5, numpy=np.reciprocal),
    "gamma": Reference(sp.gamma, mp.gamma, 2.0),
    "lgamma": Reference(sp.gammaln, _lgamma, 2.0),
    "digamma": Reference(sp.digamma, _digamma, 2.0),
    "floor": Reference(np.floor, mp.floor, 0.0, numpy=np.floor),
    "ceil": Reference(np.ceil, mp.ceil, 0.0, numpy=np.ceil),
    "trunc": Reference(
        np.trunc, lambda x: mp.floor(x) if x > 0 else mp.ceil(x), 0.0, numpy=np.trunc
    ),
    "round": Reference(np.rint, _round, 0.0, numpy=np.rint),
    "atan2": Reference(np.arctan2, mp.atan2, 2.0, numpy=np.arctan2),
    "pow": Reference(np.power, _power, 2.0, numpy=np.power),
    "hypot": Reference(np.hypot, mp.hypot, numpy=np.hypot),
    "logaddexp": Reference(np.logaddexp, _logaddexp, 2.0, numpy=np.logaddexp),
    "xlogy": Reference(sp.xlogy, lambda x, y: x * mp.log(y), 2.0),
    "softplus": Reference(
        lambda x, beta, threshold: np.where(beta * x > threshold, x, _softplus(beta * x) / beta),
        lambda x, beta, threshold: x if beta * x > threshold else mp.log1p(mp.exp(beta * x)) / beta,
        2.0,
    ),
}
