"""What the polynomials of `chainrule.compiler.vecmath` approximate, on which interval, how well.

Each fit is a function of one variable, the interval, and the weight that turns an error of the
polynomial into the error of the result in which it is used (relative, unless said otherwise).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import mpmath as mp

# Errors of the approximation that rounding errors hide: 1/16 ulp of float32 and float64. Double
# arithmetic that serves a float32 result ("wide") has them nearly as small as float64, since
# lgamma and digamma lose 24 bits to cancellation near their zeros; exp alone needs less.
BOUND = {"float32": 2.0**-28, "float64": 2.0**-57, "wide": 2.0**-51}


@dataclass
class Fit:
    """`function` on [low, high] by a polynomial with |weight (function - polynomial)| < bound."""

    function: Callable
    low: mp.mpf
    high: mp.mpf
    weight: Callable
    bounds: dict[str, float] = field(default_factory=lambda: dict(BOUND))
    formula: str = ""
    start: int = 2  # the degree that is tried first


def of_square(function: Callable) -> Callable:
    """The function in terms of z = x^2."""
    return lambda z: function(mp.sqrt(z))


def only(*kinds: str, **bounds: float) -> dict[str, float]:
    return {kind: BOUND[kind] for kind in kinds} | bounds


def erfcx(x):
    return mp.exp(x * x) * mp.erfc(x)


def from_unit(t, centre):
    """The x in [0, inf) that t = (x - centre)/(x + centre) came from."""
    return centre * (1 + t) / (1 - t)


TURN = {"float32": 32, "float64": 16}  # steps of a turn in tables of sines
CENTRE = 3  # the x that the middle of the interval stands for


def scaled_erfcx(t):
    """(1 + 2x) erfcx(x); its limit for x -> inf is 2/sqrt(pi)."""
    if t > 1 - mp.mpf(10) ** -12:
        return 2 / mp.sqrt(mp.pi)
    x = from_unit(t, CENTRE)
    if x > 200:  # the asymptotic series; exp(x^2) would overflow
        total, term = mp.mpf(0), mp.mpf(1)
        for n in range(1, 40):
            total += term
            term *= -(2 * n - 1) / (2 * x * x)
        return (1 + 2 * x) * total / (x * mp.sqrt(mp.pi))
    return (1 + 2 * x) * erfcx(x)


def between(t):
    """The line from 1 at t = -1 to 2/sqrt(pi) at t = 1."""
    return 1 + (1 + t) * (1 / mp.sqrt(mp.pi) - mp.mpf(1) / 2)


def stirling(w):
    """The remainder z (lgamma(z) - (z - 1/2) log z + z - log(2 pi)/2) for w = 1/z^2."""
    total = mp.mpf(0)
    z2 = 1 / w
    terms = [mp.bernoulli(2 * k) / (2 * k * (2 * k - 1)) * w ** (k - 1) for k in range(1, 80)]
    smallest = min(range(len(terms)), key=lambda i: abs(terms[i]))
    if abs(terms[smallest]) < mp.mpf(10) ** -40:
        return sum(terms[:smallest], total)
    z = mp.sqrt(z2)
    return z * (mp.loggamma(z) - (z - 0.5) * mp.log(z) + z - mp.log(2 * mp.pi) / 2)


def digamma_tail(w):
    """z^2 (log z - 1/(2z) - digamma(z)) for w = 1/z^2."""
    terms = [mp.bernoulli(2 * k) / (2 * k) * w ** (k - 1) for k in range(1, 80)]
    smallest = min(range(len(terms)), key=lambda i: abs(terms[i]))
    if abs(terms[smallest]) < mp.mpf(10) ** -40:
        return sum(terms[:smallest], mp.mpf(0))
    z = 1 / mp.sqrt(w)
    return (mp.log(z) - 1 / (2 * z) - mp.digamma(z)) / w


def lgamma_core(t):
    """lgamma(2 + t) / (t (1 + t)), with the limits at its zeros t = 0 and t = -1."""
    if abs(t) < mp.mpf(10) ** -30:
        return 1 - mp.euler
    if abs(1 + t) < mp.mpf(10) ** -30:
        return mp.euler
    return mp.loggamma(2 + t) / (t * (1 + t))


def root_of_digamma():
    return mp.findroot(mp.digamma, 1.46)


def near(name: str, function: Callable) -> dict[str, Fit]:
    """A function of r^2 for angles up to half a step of the tables."""
    found = {}
    for kind, steps in TURN.items():
        most = (mp.pi / steps * mp.mpf("1.02")) ** 2
        formula = f"{name} in r^2, |r| <= pi/{steps}"
        fit = Fit(of_square(function), mp.mpf(0), most, lambda z: z, only(kind), formula, 1)
        found[f"{name}_{kind}"] = fit
    return found


def fits() -> dict[str, Fit]:
    """The fits by name, as `Emitter.polynomial` asks for them."""
    half_ln2 = mp.log(2) / 2 * mp.mpf("1.02")
    quarter = (mp.pi / 4 * mp.mpf("1.02")) ** 2
    low, high = 1 / mp.sqrt(2) - 1, mp.sqrt(2) - 1
    zero = root_of_digamma()
    return {
        "exp": Fit(
            lambda r: (mp.exp(r) - 1 - r - r**2 / 2) / r**3,
            -half_ln2,
            half_ln2,
            lambda r: r**2,
            BOUND | {"wide": 2.0**-42},
            formula="(exp(r) - 1 - r - r^2/2)/r^3",
        ),
        "exp_near": Fit(
            lambda r: (mp.exp(r) - 1 - r) / r**2,
            -mp.log(2) / 32 * mp.mpf("1.02"),
            mp.log(2) / 32 * mp.mpf("1.02"),
            lambda r: r**2,
            only(float32=2.0**-27, float64=2.0**-54),
            "(exp(r) - 1 - r)/r^2",
            start=1,
        ),
        "log": Fit(
            lambda f: (mp.log1p(f) - f + f**2 / 2) / f**3,
            low,
            high,
            lambda f: f**3 / mp.log1p(f),
            formula="(log(1 + f) - f + f^2/2)/f^3",
        ),
        "log_of_power": Fit(
            lambda f: (mp.log1p(f) - f + f**2 / 2) / f**3,
            low,
            high,
            lambda f: f**3 / mp.log1p(f),
            {"wide": 2.0**-38},
            "(log(1 + f) - f + f^2/2)/f^3",
        ),
        "atanh": Fit(
            of_square(lambda s: (2 * mp.atanh(s) - 2 * s - 2 * s**3 / 3) / s**5),
            mp.mpf(0),
            (3 - 2 * mp.sqrt(2)) ** 2,
            lambda z: z**2 / 2,
            only(float64=2.0**-69),
            "(2 atanh(s) - 2s - 2s^3/3)/s^5 in s^2",
        ),
        "sin": Fit(
            of_square(lambda r: (mp.sin(r) - r) / r**3),
            mp.mpf(0),
            quarter,
            lambda z: z,
            formula="(sin(r) - r)/r^3 in r^2",
        ),
        "cos": Fit(
            of_square(lambda r: (mp.cos(r) - 1 + r**2 / 2) / r**4),
            mp.mpf(0),
            quarter,
            lambda z: z**2,
            formula="(cos(r) - 1 + r^2/2)/r^4 in r^2",
        ),
        **near("sin_near", lambda r: (mp.sin(r) - r) / r**3),
        **near("cos_near", lambda r: (mp.cos(r) - 1) / r**2),
        "asin": Fit(
            of_square(lambda x: (mp.asin(x) - x) / x**3),
            mp.mpf(0),
            mp.mpf(1) / 4,
            lambda z: z,
            only("float32", "float64"),
            "(asin(x) - x)/x^3 in x^2",
        ),
        "atan": Fit(
            of_square(lambda x: (mp.atan(x) - x) / x**3),
            mp.mpf(0),
            (mp.sqrt(2) - 1) ** 2 * mp.mpf("1.01"),
            lambda z: z,
            only("float32", "float64"),
            "(atan(x) - x)/x^3 in x^2",
        ),
        "sinh": Fit(
            of_square(lambda x: (mp.sinh(x) - x) / x**3),
            mp.mpf(0),
            mp.mpf(1),
            lambda z: z,
            only("float32", "float64"),
            "(sinh(x) - x)/x^3 in x^2",
        ),
        "tanh": Fit(
            of_square(lambda x: (x - mp.tanh(x)) / x**3 - mp.mpf(1) / 4),
            mp.mpf(0),
            mp.mpf(1),
            lambda z: z,
            only("float32", "float64"),
            "(x - tanh(x))/x^3 - 1/4 in x^2",
        ),
        "erf": Fit(
            of_square(lambda x: (mp.erf(x) / x - 2 / mp.sqrt(mp.pi)) / x**2 + mp.mpf(1) / 4),
            mp.mpf(0),
            mp.mpf(1),
            lambda z: z,
            only("float32", "float64"),
            "(erf(x)/x - 2/sqrt(pi))/x^2 + 1/4 in x^2",
        ),
        "erf_tail_float32": Fit(
            lambda u: mp.log(mp.erfc(1 + u)),
            mp.mpf(0),
            mp.mpf(3),
            lambda u: mp.erfc(1 + u),
            only("float32"),
            "log(erfc(1 + u)), error times erfc(1 + u)",
        ),
        "erf_tail_float64": Fit(
            lambda u: mp.log(mp.erfc(1 + u)),
            mp.mpf(0),
            mp.mpf(5),
            lambda u: mp.erfc(1 + u),
            only("float64"),
            "log(erfc(1 + u)), error times erfc(1 + u)",
        ),
        "erfcx": Fit(
            lambda t: (scaled_erfcx(t) - between(t)) / (1 - t * t),
            mp.mpf(-1),
            mp.mpf(1),
            lambda t: 1 - t * t,
            only("float32", "float64"),
            "((1 + 2x) erfcx(x) - line through its ends)/(1 - t^2) in t = (x - 3)/(x + 3)",
        ),
        "cbrt": Fit(
            lambda m: mp.root(m, 3) / m ** (mp.mpf(2) / 3),
            mp.sqrt(mp.mpf(1) / 2),
            mp.sqrt(2),
            lambda m: m ** (mp.mpf(1) / 3),
            {"float32": 2.0**-14, "float64": 2.0**-14},
            "m^(-1/3)",
        ),
        "lgamma": Fit(
            lgamma_core,
            mp.mpf(-1),
            mp.mpf(1),
            lambda t: mp.mpf(2),
            only("float64", "wide"),
            "lgamma(2 + t)/(t (1 + t))",
        ),
        "stirling": Fit(
            stirling,
            mp.mpf(0),
            mp.mpf(1) / 64,
            lambda w: mp.sqrt(w) / 8,
            only("float64", "wide"),
            "z (lgamma(z) - (z - 1/2) log z + z - log(2 pi)/2) in 1/z^2, z >= 8",
        ),
        "digamma": Fit(
            lambda t: mp.digamma(1.5 + t) / (1.5 + t - zero),
            -mp.mpf(1) / 2,
            mp.mpf(1) / 2,
            lambda t: mp.mpf(1),
            only("float64", "wide"),
            "digamma(3/2 + t)/(3/2 + t - zero of digamma)",
        ),
        "digamma_tail": Fit(
            digamma_tail,
            mp.mpf(0),
            mp.mpf(1) / 64,
            lambda w: w / 2,
            only("float64", "wide"),
            "z^2 (log z - 1/(2z) - digamma(z)) in 1/z^2, z >= 8",
        ),
    }
