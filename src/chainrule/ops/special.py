"""Special functions of mathematics, from SciPy."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from chainrule.core.kinds import elementwise
from chainrule.core.samples import Sample, uniform
from chainrule.core.tensor import Tensor
from chainrule.ops import trigonometric
from chainrule.ops.api import (
    SPECIAL,
    attach,
    export,
    export_elementwise,
    in_place_method,
    with_keywords,
)


@cache
def scipy_function(name: str) -> Callable[..., Any]:
    """A function of `scipy.special`, imported on first use.

    Raises:
        ImportError: if SciPy is not installed.
    """
    try:
        import scipy.special
    except ImportError as error:
        raise ImportError(
            f"this operation uses scipy.special.{name}, and SciPy is not installed: "
            "pip install scipy"
        ) from error
    function: Callable[..., Any] = getattr(scipy.special, name)
    return function


def from_scipy(name: str) -> Callable[..., Any]:
    """The `eval` of a primitive that is a function of `scipy.special`."""

    def evaluate(*args: Any) -> Any:
        dt = getattr(args[-1], "dtype", np.dtype(float))
        work = dt if dt.itemsize >= 4 else np.float32  # SciPy has no half precision
        out = scipy_function(name)(*[np.asarray(a, work) for a in args])
        return out if work is dt else out.astype(dt)

    evaluate.__name__ = name
    evaluate.scipy_name = name  # type: ignore[attr-defined]
    return evaluate


TWO_OVER_SQRT_PI = 2 / math.sqrt(math.pi)
SQRT_2PI = math.sqrt(2 * math.pi)


def _function(name: str, *partials: Any, scipy: str = "", **declared: Any) -> Any:
    """A function of `scipy.special` as an elementwise operation."""
    return elementwise(
        name, from_scipy(scipy or name), *partials, result="float", real=True, **declared
    )


def _unknown(what: str) -> Callable[..., Any]:
    """The partial derivative that nobody has a formula for: asking for it is an error."""

    def rule() -> Any:
        raise NotImplementedError(f"the derivative for '{what}' is not implemented")

    return rule


def gaussian(xp: Any, x: Any) -> Any:
    """2/√π·exp(-x²), the derivative of erf."""
    return TWO_OVER_SQRT_PI * xp.exp(-(x * x))


erf = _function("erf", gaussian, symbol="erf({})", doc="The error function, 2/√π ∫₀ˣ exp(-t²) dt.")
erfc = _function(
    "erfc", lambda xp, x: -gaussian(xp, x), symbol="erfc({})",
    doc="One minus the error function, accurate where that is small.",
)  # fmt: skip
erfinv = _function(
    "erfinv", lambda xp, out: xp.exp(out * out) / TWO_OVER_SQRT_PI, domain=[(-0.9, 0.9)],
    symbol="erfinv({})", doc="The inverse of the error function; nan outside [-1, 1].",
)  # fmt: skip
erfcx = _function(
    "erfcx", lambda x, out: 2 * x * out - TWO_OVER_SQRT_PI, symbol="erfcx({})",
    grad_name="SpecialErfcx",
    doc="exp(x²)·erfc(x), accurate for large x.",
)  # fmt: skip
ndtr = _function(
    "ndtr", lambda xp, x: xp.exp(x * x * -0.5) / SQRT_2PI, symbol="ndtr({})",
    doc="The probability that a standard normal variable is at most x.",
)  # fmt: skip
ndtri = _function(
    "ndtri", lambda xp, out: xp.exp(out * out * 0.5) * SQRT_2PI, domain=[(0.1, 0.9)],
    symbol="ndtri({})", grad_name="SpecialNdtri",
    doc="The inverse of `ndtr`: quantiles of the standard normal distribution.",
)  # fmt: skip
# exp(-x²/2)/√(2π)/Φ(x), with Φ written by erfcx so that nothing underflows for very negative x.
log_ndtr = _function(
    "log_ndtr", lambda xp, x: math.sqrt(2 / math.pi) / xp.erfcx(x * -math.sqrt(0.5)),
    symbol="log_ndtr({})", grad_name="SpecialLogNdtr",
    doc="The logarithm of `ndtr`, accurate for very negative x.",
)  # fmt: skip


def _lgamma(x: Any) -> Any:
    """log|Γ(x)|; SciPy gives -inf at -inf, where C and PyTorch have inf."""
    out = from_scipy("gammaln")(x)
    return np.where(x == -np.inf, np.inf, out) if np.isneginf(out).any() else out


_lgamma.scipy_name = "gammaln"  # type: ignore[attr-defined]

lgamma = elementwise(
    "lgamma", _lgamma, lambda xp, x: xp.digamma(x), result="float", real=True, domain=[(0.3, 4)],
    symbol="lgamma({})", doc="The logarithm of the absolute value of the gamma function.",
)  # fmt: skip
digamma = _function(
    "digamma", lambda xp, x: xp.polygamma(x, n=1), scipy="psi", domain=[(0.3, 4)],
    symbol="digamma({})", doc="The derivative of `lgamma`.",
)  # fmt: skip

gamma = _function(
    "gamma", lambda xp, x, out: out * xp.digamma(x), domain=[(0.5, 3)], symbol="gamma({})",
    doc="The gamma function, (x - 1)! for integers.",
)  # fmt: skip


def _polygamma(x: Any, n: int) -> Any:
    return np.asarray(scipy_function("polygamma")(n, x)).astype(x.dtype)


polygamma_prim = elementwise(
    "polygamma", _polygamma, lambda xp, x, n: xp.polygamma(x, n=n + 1), result="float",
    has_params=True,
    samples=lambda: [Sample(uniform(2, 3, low=0.5, high=3), n=1), Sample(np.array(2.5), n=2)],
)  # fmt: skip


@export("polygamma", method=False)
def polygamma(n: int, input: Any) -> Any:
    """The derivative of order n of `digamma`.

    Raises:
        RuntimeError: if n is negative.

    >>> import chainrule as cr
    >>> cr.polygamma(1, cr.tensor([1.0]))
    tensor([1.6449])
    """
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    return digamma(input) if n == 0 else polygamma_prim(input, n=n)


@export("mvlgamma", in_place=True)
def multigammaln(input: Any, p: int) -> Any:
    """The logarithm of the multivariate gamma function of dimension p.

    Raises:
        RuntimeError: if p < 1.

    >>> import chainrule as cr
    >>> cr.mvlgamma(cr.tensor([2.0]), 1)
    tensor([0.])
    """
    if p < 1:
        raise RuntimeError("p has to be greater than or equal to 1")
    total = lgamma(input)
    for j in range(1, p):
        total = total + lgamma(input - j / 2)
    return total + p * (p - 1) / 4 * math.log(math.pi) if p > 1 else total


def betaln(input: Any, other: Any) -> Any:
    """The logarithm of the absolute value of the beta function.

    >>> import chainrule as cr
    >>> cr.special.betaln(cr.tensor([1.0]), cr.tensor([1.0]))
    tensor([0.])
    """
    return lgamma(input) + lgamma(other) - lgamma(input + other)


def _gamma_density(xp: Any, x: Any, y: Any) -> Any:
    """The derivative y^(x-1)·exp(-y)/Γ(x) of the lower incomplete gamma function by its limit y."""
    return xp.exp(xp.xlogy(x - 1, y) - y - xp.lgamma(x))


def _orders() -> list[Sample]:
    """Numbers as first argument, by which no derivative is asked for."""
    return [Sample(2, uniform(2, 3, low=0.3, high=3)), Sample(3.5, uniform(low=0.3, high=3))]


gammainc_prim = _function(
    "gammainc", _unknown("igamma: input"), _gamma_density, grad_name="Igamma", samples=_orders
)
gammaincc_prim = _function(
    "gammaincc", _unknown("igammac: input"), lambda xp, x, y: -_gamma_density(xp, x, y),
    grad_name="Igammac",
    samples=_orders,
)  # fmt: skip
zeta_prim = _function(
    "zeta", _unknown("special_zeta: self"), lambda xp, x, y: -x * xp.zeta(x + 1, y),
    grad_name="SpecialZeta",
    samples=_orders,
)  # fmt: skip


@export("igamma", in_place=True)
def gammainc(input: Any, other: Any) -> Any:
    """The regularized lower incomplete gamma function P(input, other); differentiable in `other`.

    >>> import chainrule as cr
    >>> cr.special.gammainc(cr.tensor([1.0]), cr.tensor([0.0]))
    tensor([0.])
    """
    return gammainc_prim(input, other)


@export("igammac", in_place=True)
def gammaincc(input: Any, other: Any) -> Any:
    """The regularized upper incomplete gamma function Q(input, other); differentiable in `other`.

    >>> import chainrule as cr
    >>> cr.special.gammaincc(cr.tensor([1.0]), cr.tensor([0.0]))
    tensor([1.])
    """
    return gammaincc_prim(input, other)


def zeta(input: Any, other: Any) -> Any:
    """The Hurwitz zeta function Σ (k + other)^-input; differentiable in `other`.

    >>> import chainrule as cr
    >>> cr.special.zeta(cr.tensor([2.0]), cr.tensor([1.0]))
    tensor([1.6449])
    """
    return zeta_prim(input, other)


def spherical_bessel_j0(input: Any) -> Any:
    """The spherical Bessel function of the first kind and order 0, sin(x)/x.

    >>> import chainrule as cr
    >>> cr.special.spherical_bessel_j0(cr.tensor([0.0]))
    tensor([1.])
    """
    return trigonometric.sinc(input / math.pi)


def _polygamma_of(self: Tensor, n: int) -> Any:
    """The derivative of order n of `digamma`; see `chainrule.polygamma`."""
    return polygamma(n, self)


attach("polygamma", _polygamma_of)
attach("polygamma_", in_place_method(_polygamma_of, "polygamma_"))

for _op in (erf, erfc, erfinv, lgamma, digamma):
    export_elementwise(_op)

for _op in (erfcx, ndtr, ndtri, log_ndtr):
    export_elementwise(_op, in_place=False, method=False, namespace=SPECIAL)
for _f in (betaln, zeta, spherical_bessel_j0):
    SPECIAL[_f.__name__] = with_keywords(_f)
