"""Numerical differentiation: derivatives from differences, with an estimate of their error.

For checking the others, and for functions that no other mode can see into.  See
`docs/numerical.md`.

>>> import chainrule as cr
>>> cr.numerical.gradient(lambda x: (x * x).sum(), cr.tensor([1.0, 2.0]), step=0.5).value
tensor([2., 4.])
"""

from __future__ import annotations

from chainrule.autograd.direction import DirectionReport, check_direction
from chainrule.numerical.curve import ErrorCurve, error_curve
from chainrule.numerical.differences import (
    Estimate,
    derivative,
    gradient,
    hessian,
    jacobian,
    jvp,
)

__all__ = [
    "DirectionReport",
    "ErrorCurve",
    "Estimate",
    "check_direction",
    "derivative",
    "error_curve",
    "gradient",
    "hessian",
    "jacobian",
    "jvp",
]
