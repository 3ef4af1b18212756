"""Operations as formulas of scalar operations: what their evaluation computes, step by step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.compiler import exponentials
from chainrule.compiler.values import Unsupported, Value, apply, cast, number

Formula = Callable[..., Value]


def where(condition: Value, x: Any, y: Any) -> Value:
    return apply("where", condition, x, y, dtype=(x if isinstance(x, Value) else y).dtype)


def maximum(x: Any, y: Any) -> Value:
    return apply("maximum", x, y)


def minimum(x: Any, y: Any) -> Value:
    return apply("minimum", x, y)


def _f(name: str) -> Callable[[Value], Value]:
    return lambda x: apply(name, x)


exp, log, log1p, expm1, tanh, sigmoid, absolute, erf = map(
    _f, ("exp", "log", "log1p", "expm1", "tanh", "sigmoid", "abs", "erf")
)


def _leaky_relu(x: Value, negative_slope: float) -> Value:
    if 0 < negative_slope <= 1:
        return maximum(x, negative_slope * x)
    positive = maximum(x, 0)
    return positive + negative_slope * minimum(x, 0) if negative_slope else positive


def _elu(x: Value, alpha: float, scale: float, rate: float) -> Value:
    return scale * maximum(x, 0) + alpha * scale * expm1(rate * minimum(x, 0))


def _softplus(x: Value, beta: float, threshold: float) -> Value:
    scaled = beta * x
    return where(scaled > threshold, x, log1p(exp(minimum(scaled, threshold))) / beta)


_TANH_SCALE, _TANH_CUBIC = math.sqrt(2 / math.pi), 0.044715


def _gelu_tanh(x: Value) -> Value:
    return x * (0.5 * (1 + tanh(_TANH_SCALE * (x + _TANH_CUBIC * (x * x * x)))))


def gelu(x: Value) -> tuple[Value, Value]:
    """x·Φ(x) and Φ(x)."""
    cdf = (erf(x * math.sqrt(0.5)) + 1) * 0.5
    return x * cdf, cdf


def _pow(x: Value, y: Value) -> Value:
    if y.kind == "number" and not y.shape:
        exponent = y.detail.item()
        if exponent == 1:
            return x
        if exponent == 2:
            return x * x
        if exponent == 3:
            return x * x * x
        if x.dtype.kind == "f" and exponent in (4, -1, -2):
            # At most 1.5 units in the last place; 1/x is infinite only where x**-2 is.
            base = x * x if exponent == 4 else 1 / x
            return base if exponent == -1 else base * base
        if exponent == 0.5 and x.dtype.kind == "f":
            return apply("sqrt", x)
    if x.dtype.kind != "f":
        raise Unsupported("powers of integers may fail, depending on data")
    return apply("pow", x, y)


def _lerp(x: Value, y: Value, w: Value) -> Value:
    d = y - x
    return where(absolute(w) < 0.5, x + w * d, y - d * (1 - w))


def _sinc(x: Value) -> Value:
    y = math.pi * where(x.same(0), 1e-20, x)
    return apply("sin", y) / y


def _round(x: Value, decimals: int) -> Value:
    if x.dtype.kind != "f":
        if decimals >= 0:
            return x
        raise Unsupported("rounding integers to tens has no compiled form")
    if decimals == 0:
        return apply("rint", x)
    factor = 10.0 ** abs(decimals)
    if decimals > 0:
        return apply("rint", x * factor) / factor
    return apply("rint", x / factor) * factor


def _nan_to_num(x: Value, nan: float, posinf: Any, neginf: Any) -> Value:
    if x.dtype.kind != "f":
        return x
    limits = np.finfo(x.dtype)
    posinf = limits.max if posinf is None else posinf
    neginf = limits.min if neginf is None else neginf
    found = where(apply("isnan", x), nan, x)
    found = where(x.same(np.inf), posinf, found)
    return where(x.same(-np.inf), neginf, found)


def _heaviside(x: Value, y: Value) -> Value:
    if x.dtype.kind != "f":
        raise Unsupported("heaviside of integers has no compiled form")
    return where(apply("isnan", x), x, where(x.same(0), y, cast(x > 0, x.dtype)))


def _sign(x: Value) -> Value:
    if x.dtype.kind == "b":
        return x
    return cast(x > 0, x.dtype) - cast(x < 0, x.dtype)


def _hardswish(x: Value) -> Value:
    return x * minimum(maximum(x + 3, 0), 6) / 6


def _x_times(name: str, at_zero: int) -> Formula:
    def product(x: Value, y: Value) -> Value:
        zero = x.same(0) & apply("logical_not", apply("isnan", y))
        return where(zero, 0, x * apply(name, where(zero, at_zero, y)))

    return product


_xlogy = _x_times("log", 1)


def _entr(x: Value) -> Value:
    negative = x < 0
    return where(negative, -math.inf, -_xlogy(x, where(negative, 1, x)))


def _real_angle(x: Value) -> Value:
    return where(apply("isnan", x), x, where(x < 0, math.pi, number(0, x.dtype)))


def _whole(name: str) -> Formula:
    return lambda x: apply(name, x) if x.dtype.kind == "f" else x


def _bounded(x: Value, low: float, high: float) -> Value:
    return minimum(maximum(x, low), high)


def where_(condition: Value, x: Value, y: Value) -> Value:
    """`where` as declared: a condition that is no boolean holds where it is not zero."""
    return where(cast(condition, bool), x, y)


def _division(name: str) -> Formula:
    """Division that rounds: of integers, by a constant other than 0, which cannot fail."""

    def divided(x: Value, y: Value) -> Value:
        if x.dtype.kind == "f":
            return _OF_NUMBERS[name](x, y)
        if x.dtype.kind not in "iu":
            raise Unsupported("a division of booleans has no compiled form")
        if y.kind != "number" or not y.detail:
            raise Unsupported("a division by an integer that is not constant may fail")
        return apply(name, x, y)

    return divided


def _parted(x: Value, y: Value) -> tuple[Value, Value]:
    """Quotient, rounded down, and remainder, by NumPy's steps.

    The remainder has the divisor's sign. x - remainder is a multiple of y up to rounding, so the
    quotient is next to an integer; a zero has the sign of x/y.
    """
    rest = apply("fmod", x, y)
    whole = (x - rest) / y
    off = apply("logical_not", rest.same(0)) & apply("not_equal", y < 0, rest < 0)
    whole = where(off, whole - 1, whole)
    zero = apply("copysign", number(0, x.dtype), y)
    modulus = where(rest.same(0), zero, where(off, rest + y, rest))
    down = apply("floor", whole)
    down = where(whole - down > 0.5, down + 1, down)
    return where(whole.same(0), apply("copysign", number(0, x.dtype), x / y), down), modulus


_OF_NUMBERS: dict[str, Formula] = {
    "floor_divide": lambda x, y: where(y.same(0), x / y, _parted(x, y)[0]),
    "remainder": lambda x, y: where(y.same(0), apply("fmod", x, y), _parted(x, y)[1]),
    "truncated_divide": lambda x, y: apply("trunc", x / y),
    "fmod": lambda x, y: apply("fmod", x, y),
}


# By primitive, on values of one dtype; parameters by name.
FORMULAS: dict[str, Formula] = {
    "exp": exponentials.exp,
    "relu": lambda x: maximum(x, 0),
    "leaky_relu": _leaky_relu,
    "prelu": lambda x, w: maximum(x, 0) + w * minimum(x, 0),
    "elu": _elu,
    "softplus": _softplus,
    "gelu_tanh": _gelu_tanh,
    "silu": lambda x: x * sigmoid(x),
    "mish": lambda x: x * tanh(-apply("log_sigmoid", -x)),
    "softsign": lambda x: x / (1 + absolute(x)),
    "hardtanh": _bounded,
    "hardswish": _hardswish,
    "softshrink": lambda x, lambd: x - minimum(maximum(x, -lambd), lambd),
    "hardshrink": lambda x, lambd: where(absolute(x) <= lambd, 0, x),
    "threshold": lambda x, threshold, value: where(x > threshold, x, value),
    "positive": lambda x: x,
    "square": lambda x: x * x,
    "rsqrt": lambda x: 1 / apply("sqrt", x),
    "reciprocal": lambda x: 1 / x,
    "pow": _pow,
    "lerp": _lerp,
    "sinc": _sinc,
    "round": _round,
    "nan_to_num": _nan_to_num,
    "heaviside": _heaviside,
    "sign": _sign,
    "clamp_min": maximum,
    "clamp_max": minimum,
    "clamp": lambda x, low, high: minimum(maximum(x, low), high),
    "frac": lambda x: x - _whole("trunc")(x),
    "floor": _whole("floor"),
    "ceil": _whole("ceil"),
    "trunc": _whole("trunc"),
    "xlogy": _xlogy,
    "xlog1py": _x_times("log1p", 0),
    "entr": _entr,
    "logit": lambda x: log(x / (1 - x)),
    "real_angle": _real_angle,
    "isposinf": lambda x: x.same(math.inf) if x.dtype.kind == "f" else x < x,
    "isneginf": lambda x: x.same(-math.inf) if x.dtype.kind == "f" else x < x,
    "deg2rad": lambda x: x * (math.pi / 180),
    "rad2deg": lambda x: x * (180 / math.pi),
    "floor_divide": _division("floor_divide"),
    "truncated_divide": _division("truncated_divide"),
    "remainder": _division("remainder"),
    "fmod": _division("fmod"),
}
