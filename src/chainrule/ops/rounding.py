"""Rounding, signs and absolute values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.kinds import elementwise
from chainrule.core.samples import Sample, uniform
from chainrule.core.tensor import Tensor
from chainrule.ops.api import attach, export, export_elementwise


def _zero(xp: Any, x: Any) -> Any:
    """Piecewise constant: the derivative is zero wherever it exists, and PyTorch returns zeros."""
    return xp.zeros_like(x)


def _whole(ufunc: Callable[..., Any]) -> Callable[..., Any]:
    """A rounding that leaves integers alone (NumPy before 2.1 made them floats)."""

    def rounded(x: Any) -> Any:
        return ufunc(x) if x.dtype.kind not in "iub" else x.copy()

    return rounded


floor = elementwise(
    "floor", _whole(np.floor), _zero, domain=[(0.1, 0.9)], symbol="floor({})",
    doc="The largest integer at most each entry.",
)  # fmt: skip
ceil = elementwise(
    "ceil", _whole(np.ceil), _zero, domain=[(0.1, 0.9)], symbol="ceil({})",
    doc="The smallest integer at least each entry.",
)  # fmt: skip
trunc = elementwise(
    "trunc", _whole(np.trunc), _zero, domain=[(0.1, 0.9)], symbol="trunc({})",
    doc="Each entry without its fraction.",
)  # fmt: skip
frac = elementwise(
    "frac", lambda x: x - np.trunc(x), 1, domain=[(0.1, 0.9)], symbol="frac({})",
    doc="The fraction of each entry, with its sign.",
)  # fmt: skip


def _round(x: Any, decimals: int) -> Any:
    return x.copy() if x.dtype.kind in "iub" and decimals >= 0 else x.round(decimals)


round_prim = elementwise(
    "round", _round, _zero, real=True, domain=[(0.1, 0.4)], symbol="round({})", has_params=True,
    samples=lambda: [Sample(uniform(2, 3, low=0.1, high=0.4), decimals=0),
                     Sample(np.array(0.123), decimals=2)],
)  # fmt: skip


@export("round", in_place=True)
def _round_half_even(input: Any, *, decimals: int = 0) -> Any:
    """Each entry rounded to the nearest integer (or number of decimals), halves to the even one.

    >>> import chainrule as cr
    >>> cr.round(cr.tensor([0.5, 1.5, 2.6]))
    tensor([0., 2., 3.])
    """
    return round_prim(input, decimals=decimals)


abs = elementwise(
    "abs", np.absolute, lambda xp, x: xp.sgn(x), result="real", domain=[(0.2, 2)], symbol="|{}|",
    doc="The absolute value of each entry; its derivative at 0 is 0.",
)  # fmt: skip


def _sign(x: Any) -> Any:
    """As `np.sign`, but 0 for nan, as PyTorch's."""
    return np.subtract(x > 0, x < 0, dtype=x.dtype) if x.dtype.kind == "f" else np.sign(x)


sign = elementwise(
    "sign", _sign, _zero, real=True, domain=[(0.2, 2)], symbol="sign({})",
    doc="-1, 0 or 1: the sign of each entry.",
)  # fmt: skip

copysign = elementwise(
    "copysign", np.copysign,
    lambda xp, x, y: xp.sign(x) * xp.copysign(xp.ones_like(x), y), lambda xp, y: xp.zeros_like(y),
    result="float", domain=[(0.2, 2), (-2, -0.2)],
    doc="The size of input with the sign of other, entry by entry.",
)  # fmt: skip
# A step too small to matter: the derivative is that of the number itself.
nextafter = elementwise(
    "nextafter", np.nextafter, 1, lambda xp, y: xp.zeros_like(y), result="float",
    doc="The next floating-point number from input towards other.",
)  # fmt: skip

export_elementwise(copysign)
export_elementwise(nextafter)
export_elementwise(floor)
export_elementwise(ceil)
export_elementwise(trunc, "trunc", "fix")
export_elementwise(frac)
export_elementwise(abs, "abs", "absolute")
export_elementwise(sign)
attach("__abs__", abs)


def _dunder_round(self: Tensor, ndigits: int = 0) -> Any:
    return round_prim(self, decimals=ndigits)


attach("__round__", _dunder_round)
attach("__floor__", floor)
attach("__ceil__", ceil)
attach("__trunc__", trunc)
