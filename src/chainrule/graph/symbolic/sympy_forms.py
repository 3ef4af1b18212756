"""What operations are in SymPy: one form for each primitive, by its name.

Forms hold for finite real numbers, in the sense of the primitive's definition; branches that only
guard against overflow are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Form = Callable[..., Any]  # of the module sympy, the operands, and the parameters by name


def _named(name: str) -> Form:
    return lambda S, *xs: getattr(S, name)(*xs)


def _choice(S: Any, *pairs: Any) -> Any:
    """Piecewise, with plain truth values decided."""
    return S.Piecewise(*pairs)


def _trunc(S: Any, x: Any) -> Any:
    return S.sign(x) * S.floor(S.Abs(x))


def _positive(S: Any, x: Any, value: Any, other: Any) -> Any:
    return _choice(S, (value, S.Gt(x, 0)), (other, True))


def _softplus(S: Any, x: Any, beta: float, threshold: float) -> Any:
    b, t = number(S, beta), number(S, threshold)
    return _choice(S, (x, S.Gt(b * x, t)), (S.log(1 + S.exp(b * x)) / b, True))


def _elu(S: Any, x: Any, alpha: float, scale: float, rate: float) -> Any:
    a, s, r = number(S, alpha), number(S, scale), number(S, rate)
    return _positive(S, x, s * x, a * s * (S.exp(r * x) - 1))


def _huber(S: Any, x: Any, y: Any, delta: float) -> Any:
    d, size = number(S, delta), S.Abs(x - y)
    return _choice(S, (size**2 / 2, S.Le(size, d)), (d * (size - d / 2), True))


def _gelu_tanh(S: Any, x: Any) -> Any:
    cubic = S.Rational(44715, 1000000)
    return x * (1 + S.tanh(S.sqrt(2 / S.pi) * (x + cubic * x**3))) / 2


def _cdf(S: Any, x: Any) -> Any:
    return (1 + S.erf(x / S.sqrt(2))) / 2


def _sigmoid(S: Any, x: Any) -> Any:
    return 1 / (1 + S.exp(-x))


def _bessel(name: str, order: int, scaled: int = 0) -> Form:
    """A Bessel function, times exp(-|x|) or exp(x) where scaled is -1 or 1."""
    if not scaled:
        return lambda S, x: getattr(S, name)(order, x)
    if scaled < 0:
        return lambda S, x: S.exp(-S.Abs(x)) * getattr(S, name)(order, x)
    return lambda S, x: S.exp(x) * getattr(S, name)(order, x)


def _clamp(S: Any, x: Any, low: Any, high: Any) -> Any:
    return S.Min(S.Max(x, low), high)


def _astype(S: Any, x: Any, dtype: Any) -> Any:
    if _is_condition(S, x):
        return _choice(S, (S.Integer(1), x), (S.Integer(0), True))
    if dtype.kind in "fc" or getattr(x, "is_integer", False):
        return x
    return S.Ne(x, 0) if dtype.kind == "b" else _trunc(S, x)


def _truth(S: Any, x: Any) -> Any:
    """A condition; a number is one if it is not zero."""
    return x if _is_condition(S, x) else S.Ne(x, 0)


def _is_condition(S: Any, x: Any) -> bool:
    """Whether a value is true or false; SymPy takes every symbol for both."""
    if isinstance(x, S.Symbol):
        return x.is_complex is None
    return isinstance(x, S.logic.boolalg.Boolean)


def _bits(name: str) -> Form:
    """A bitwise operation, which has a form for truth values only."""

    def form(S: Any, *xs: Any) -> Any:
        return getattr(S, name)(*xs) if all(_is_condition(S, x) for x in xs) else None

    return form


def number(S: Any, value: Any) -> Any:
    """A number of a graph in SymPy: exact where it is short, else all its bits.

    Integers, and fractions whose denominator is a power of two up to 1024, are rational; π and e
    are what rounds to them; everything else is a Float of the same bits.
    """
    v = value.item() if hasattr(value, "item") else value
    if isinstance(v, bool):
        return S.true if v else S.false
    if isinstance(v, complex):
        return number(S, v.real) + S.I * number(S, v.imag)
    if isinstance(v, int):
        return S.Integer(v)
    if v != v:
        return S.nan
    if v in (float("inf"), float("-inf")):
        return S.oo if v > 0 else -S.oo
    if (v * 1024).is_integer() and abs(v) < 2**53:
        return S.Rational(int(v * 1024), 1024)
    for known in (S.pi, S.E):
        for sign in (1, -1):
            if v == sign * float(known):
                return sign * known
    return S.Float(v)


FORMS: dict[str, Form] = {
    "add": lambda S, x, y: x + y,
    "subtract": lambda S, x, y: x - y,
    "multiply": lambda S, x, y: x * y,
    "divide": lambda S, x, y: x / y,
    "negative": lambda S, x: -x,
    "positive": lambda S, x: x,
    "reciprocal": lambda S, x: 1 / x,
    "square": lambda S, x: x**2,
    "sqrt": _named("sqrt"),
    "rsqrt": lambda S, x: 1 / S.sqrt(x),
    "cbrt": lambda S, x: S.sign(x) * S.Abs(x) ** S.Rational(1, 3),
    "pow": lambda S, x, y: x**y,
    "hypot": lambda S, x, y: S.sqrt(x**2 + y**2),
    "lerp": lambda S, x, y, w: x + w * (y - x),
    "exp": _named("exp"),
    "exp2": lambda S, x: S.Integer(2) ** x,
    "expm1": lambda S, x: S.exp(x) - 1,
    "log": _named("log"),
    "log1p": lambda S, x: S.log(1 + x),
    "log2": lambda S, x: S.log(x) / S.log(2),
    "log10": lambda S, x: S.log(x) / S.log(10),
    "logaddexp": lambda S, x, y: S.log(S.exp(x) + S.exp(y)),
    "logaddexp2": lambda S, x, y: S.log(S.Integer(2) ** x + S.Integer(2) ** y) / S.log(2),
    "xlogy": lambda S, x, y: x * S.log(y),
    "xlog1py": lambda S, x, y: x * S.log(1 + y),
    "entr": lambda S, x: -x * S.log(x),
    "logit": lambda S, x: S.log(x / (1 - x)),
    **{name: _named(name) for name in (
        "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh",
        "atanh", "atan2", "erf", "erfc", "erfinv", "gamma", "digamma", "zeta", "sign", "floor",
    )},
    "sinc": lambda S, x: S.sinc(S.pi * x),
    "deg2rad": lambda S, x: x * S.pi / 180,
    "rad2deg": lambda S, x: x * 180 / S.pi,
    "sigmoid": _sigmoid,
    "log_sigmoid": lambda S, x: -S.log(1 + S.exp(-x)),
    "relu": lambda S, x: S.Max(x, 0),
    "leaky_relu": lambda S, x, negative_slope: _positive(S, x, x, number(S, negative_slope) * x),
    "prelu": lambda S, x, w: _positive(S, x, x, w * x),
    "elu": _elu,
    "softplus": _softplus,
    "gelu_tanh": _gelu_tanh,
    "silu": lambda S, x: x / (1 + S.exp(-x)),
    "mish": lambda S, x: x * S.tanh(S.log(1 + S.exp(x))),
    "binary_cross_entropy": lambda S, x, y: -y * S.log(x) - (1 - y) * S.log(1 - x),
    "binary_cross_entropy_with_logits": lambda S, x, y: S.log(1 + S.exp(x)) - x * y,
    "huber": _huber,
    "softsign": lambda S, x: x / (1 + S.Abs(x)),
    "hardtanh": lambda S, x, low, high: _clamp(S, x, number(S, low), number(S, high)),
    "hardswish": lambda S, x: x * S.Min(S.Max(x + 3, 0), 6) / 6,
    "softshrink": lambda S, x, lambd: x - _clamp(S, x, -number(S, lambd), number(S, lambd)),
    "hardshrink": lambda S, x, lambd: _choice(
        S, (0, S.Le(S.Abs(x), number(S, lambd))), (x, True)
    ),
    "threshold": lambda S, x, threshold, value: _choice(
        S, (x, S.Gt(x, number(S, threshold))), (number(S, value), True)
    ),
    "erfcx": lambda S, x: S.exp(x**2) * S.erfc(x),
    "ndtr": _cdf,
    "ndtri": lambda S, x: S.sqrt(2) * S.erfinv(2 * x - 1),
    "log_ndtr": lambda S, x: S.log(_cdf(S, x)),
    "lgamma": lambda S, x: S.log(S.Abs(S.gamma(x))),
    "polygamma": lambda S, x, n: S.polygamma(n, x),
    "gammainc": lambda S, x, y: S.lowergamma(x, y) / S.gamma(x),
    "gammaincc": lambda S, x, y: S.uppergamma(x, y) / S.gamma(x),
    "bessel_j0": _bessel("besselj", 0),
    "bessel_j1": _bessel("besselj", 1),
    "bessel_y0": _bessel("bessely", 0),
    "bessel_y1": _bessel("bessely", 1),
    "i0": _bessel("besseli", 0),
    "i1": _bessel("besseli", 1),
    "i0e": _bessel("besseli", 0, -1),
    "i1e": _bessel("besseli", 1, -1),
    "modified_bessel_k0": _bessel("besselk", 0),
    "modified_bessel_k1": _bessel("besselk", 1),
    "scaled_modified_bessel_k0": _bessel("besselk", 0, 1),
    "scaled_modified_bessel_k1": _bessel("besselk", 1, 1),
    "abs": _named("Abs"),
    "copysign": lambda S, x, y: S.Abs(x) * _choice(S, (1, S.Ge(y, 0)), (-1, True)),
    "heaviside": lambda S, x, y: _choice(S, (0, S.Lt(x, 0)), (y, S.Eq(x, 0)), (1, True)),
    "maximum": _named("Max"),
    "minimum": _named("Min"),
    "fmax": _named("Max"),
    "fmin": _named("Min"),
    "clamp_min": _named("Max"),
    "clamp_max": _named("Min"),
    "clamp": _clamp,
    "ceil": _named("ceiling"),
    "trunc": _trunc,
    "frac": lambda S, x: x - _trunc(S, x),
    "floor_divide": lambda S, x, y: S.floor(x / y),
    "truncated_divide": lambda S, x, y: _trunc(S, x / y),
    "remainder": lambda S, x, y: x - y * S.floor(x / y),
    "fmod": lambda S, x, y: x - y * _trunc(S, x / y),
    "equal": _named("Eq"),
    "not_equal": _named("Ne"),
    "less": _named("Lt"),
    "less_equal": _named("Le"),
    "greater": _named("Gt"),
    "greater_equal": _named("Ge"),
    "signbit": lambda S, x: S.Lt(x, 0),
    "logical_and": lambda S, x, y: S.And(_truth(S, x), _truth(S, y)),
    "logical_or": lambda S, x, y: S.Or(_truth(S, x), _truth(S, y)),
    "logical_xor": lambda S, x, y: S.Xor(_truth(S, x), _truth(S, y)),
    "logical_not": lambda S, x: S.Not(_truth(S, x)),
    "bitwise_and": _bits("And"),
    "bitwise_or": _bits("Or"),
    "bitwise_xor": _bits("Xor"),
    "bitwise_not": _bits("Not"),
    "isnan": lambda S, x: S.false,
    "isinf": lambda S, x: S.false,
    "isposinf": lambda S, x: S.false,
    "isneginf": lambda S, x: S.false,
    "isfinite": lambda S, x: S.true,
    "isreal": lambda S, x: S.true,
    "nan_to_num": lambda S, x, nan, posinf, neginf: x,
    "where": lambda S, c, x, y: _choice(S, (x, _truth(S, c)), (y, True)),
    "astype": _astype,
    "detach": lambda S, x: x,
    "conj": _named("conjugate"),
    "real": _named("re"),
    "imag": _named("im"),
    "complex": lambda S, x, y: x + S.I * y,
    "angle": _named("arg"),
    "real_angle": lambda S, x: _choice(S, (S.pi, S.Lt(x, 0)), (0, True)),
    "complex_sign": lambda S, x: x / S.Abs(x),
}  # fmt: skip
