"""Trigonometric and hyperbolic functions, and their inverses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.core.kinds import elementwise
from chainrule.ops.api import export_elementwise

sin = elementwise(
    "sin", np.sin, lambda xp, x: xp.cos(x), result="float", symbol="sin({})",
    doc="The sine of each entry, in radians.",
)  # fmt: skip
cos = elementwise(
    "cos", np.cos, lambda xp, x: -xp.sin(x), result="float", symbol="cos({})",
    doc="The cosine of each entry, in radians.",
)  # fmt: skip
tan = elementwise(
    "tan", np.tan, lambda out: 1 + out * out, result="float", domain=[(-1.2, 1.2)],
    symbol="tan({})", doc="The tangent of each entry, in radians.",
)  # fmt: skip
sinh = elementwise(
    "sinh", np.sinh, lambda xp, x: xp.cosh(x), result="float", symbol="sinh({})",
    doc="The hyperbolic sine of each entry.",
)  # fmt: skip
cosh = elementwise(
    "cosh", np.cosh, lambda xp, x: xp.sinh(x), result="float", symbol="cosh({})",
    doc="The hyperbolic cosine of each entry.",
)  # fmt: skip
tanh = elementwise(
    "tanh", np.tanh, lambda out: 1 - out * out, result="float", symbol="tanh({})",
    doc="The hyperbolic tangent of each entry.",
)  # fmt: skip
asin = elementwise(
    "asin", np.arcsin, lambda xp, x: xp.rsqrt(1 - x * x), result="float", domain=[(-0.9, 0.9)],
    symbol="asin({})", doc="The angle in [-π/2, π/2] whose sine is given; nan outside [-1, 1].",
)  # fmt: skip
acos = elementwise(
    "acos", np.arccos, lambda xp, x: -xp.rsqrt(1 - x * x), result="float", domain=[(-0.9, 0.9)],
    symbol="acos({})", doc="The angle in [0, π] whose cosine is given; nan outside [-1, 1].",
)  # fmt: skip
atan = elementwise(
    "atan", np.arctan, lambda xp, x: xp.reciprocal(1 + x * x), result="float",
    symbol="atan({})", doc="The angle in [-π/2, π/2] whose tangent is given.",
)  # fmt: skip
asinh = elementwise(
    "asinh", np.arcsinh, lambda xp, x: xp.rsqrt(1 + x * x), result="float",
    symbol="asinh({})", doc="The inverse of the hyperbolic sine.",
)  # fmt: skip
# Two roots rather than one of x² - 1: the product has the branch cut of acosh in the complex plane.
acosh = elementwise(
    "acosh", np.arccosh, lambda xp, x: xp.rsqrt(x - 1) * xp.rsqrt(x + 1), result="float",
    domain=[(1.2, 4)], symbol="acosh({})", doc="The inverse of the hyperbolic cosine; nan below 1.",
)  # fmt: skip
atanh = elementwise(
    "atanh", np.arctanh, lambda xp, x: xp.reciprocal(1 - x * x), result="float",
    domain=[(-0.9, 0.9)], symbol="atanh({})",
    doc="The inverse of the hyperbolic tangent; nan outside [-1, 1].",
)  # fmt: skip

# The point (y, x) = (0, 0) has no angle: its derivative is 0, as PyTorch's.
atan2 = elementwise(
    "atan2", np.arctan2,
    lambda xp, x, y: _turn(xp, y, x, y), lambda xp, x, y: -_turn(xp, x, x, y),
    result="float", domain=[(0.3, 2), (-2, 2)], symbol="atan2({}, {})",
    doc="The angle of the point (other, input), in [-π, π].",
)  # fmt: skip


def _turn(xp: Any, a: Any, x: Any, y: Any) -> Any:
    """a/(x² + y²), and 0 at the origin."""
    square = x * x + y * y
    return a / xp.where(square == 0, 1, square)


def _sinc_slope(xp: Any, x: Any) -> Any:
    """d/dx sin(πx)/(πx): the quotient rule, or the series at 0 where the quotient cancels."""
    small = abs(x) < 0.01
    safe = xp.where(small, 1, x)
    p = (math.pi * x) * (math.pi * x)
    series = x * (-(math.pi**2) / 3) * (1 - p * (1 / 10 - p / 280))
    return xp.where(small, series, (xp.cos(math.pi * safe) - xp.sinc(safe)) / safe)


sinc = elementwise(
    "sinc", np.sinc, lambda xp, x: _sinc_slope(xp, x), result="float", symbol="sinc({})",
    doc="sin(πx)/(πx), and 1 at 0.",
)  # fmt: skip
deg2rad = elementwise(
    "deg2rad", np.deg2rad, lambda xp, x: xp.ones_like(x) * (math.pi / 180), result="float",
    grad_name="Deg2Rad",
    doc="Degrees as radians.",
)  # fmt: skip
rad2deg = elementwise(
    "rad2deg", np.rad2deg, lambda xp, x: xp.ones_like(x) * (180 / math.pi), result="float",
    grad_name="Rad2Deg",
    doc="Radians as degrees.",
)  # fmt: skip

for _op in (sin, cos, tan, sinh, cosh, tanh, sinc, deg2rad, rad2deg):
    export_elementwise(_op)
for _op in (asin, acos, atan, asinh, acosh, atanh, atan2):
    export_elementwise(_op, _op.__name__, "arc" + _op.__name__[1:])
