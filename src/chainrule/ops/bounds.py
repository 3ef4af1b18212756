"""The larger and the smaller of two entries, bounds, and replacements for nan and infinity."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.kinds import elementwise
from chainrule.core.partials import selection
from chainrule.core.samples import Sample, uniform
from chainrule.ops.api import export, export_elementwise
from chainrule.ops.compare import ordered


# Ties share evenly.  Unless the other one is taken (as with nan), the gradient flows.
def _won(xp: Any, x: Any, lost: Any, tied: Any) -> Any:
    return xp.where(tied, 0.5, xp.where(lost, 0, xp.ones_like(x)))


maximum = elementwise(
    "maximum", ordered(np.maximum),
    selection(lambda xp, x, y: _won(xp, x, x < y, x == y)),
    selection(lambda xp, x, y: _won(xp, y, y < x, x == y)),
    symbol="max({}, {})", domain=[(-2, 2), (-2.1, 1.9)],
    doc="The larger of two entries; nan if one is nan. Ties share the gradient evenly.",
)  # fmt: skip
minimum = elementwise(
    "minimum", ordered(np.minimum),
    selection(lambda xp, x, y: _won(xp, x, x > y, x == y)),
    selection(lambda xp, x, y: _won(xp, y, y > x, x == y)),
    symbol="min({}, {})", domain=[(-2, 2), (-2.1, 1.9)],
    doc="The smaller of two entries; nan if one is nan. Ties share the gradient evenly.",
)  # fmt: skip
fmax = elementwise(
    "fmax", np.fmax,
    selection(lambda xp, x, y: (x >= y) | xp.isnan(y)),
    selection(lambda xp, x, y: xp.logical_not((x >= y) | xp.isnan(y))),
    real=True, symbol="fmax({}, {})", domain=[(-2, 2), (-2.1, 1.9)],
    doc="The larger of two entries; the other one if one is nan. Ties give the gradient to input.",
)  # fmt: skip
fmin = elementwise(
    "fmin", np.fmin,
    selection(lambda xp, x, y: (x <= y) | xp.isnan(y)),
    selection(lambda xp, x, y: xp.logical_not((x <= y) | xp.isnan(y))),
    real=True, symbol="fmin({}, {})", domain=[(-2, 2), (-2.1, 1.9)],
    doc="The smaller of two entries; the other one if one is nan. Ties give the gradient to input.",
)  # fmt: skip
for _op in (maximum, minimum, fmax, fmin):
    export_elementwise(_op, in_place=False)

# At the bounds the gradient passes to the clamped tensor, not to the bound.
clamp_min_prim = elementwise(
    "clamp_min", ordered(np.maximum), selection(lambda x, y: x >= y), selection(lambda x, y: x < y),
    domain=[(-2, 2), (-2.1, 1.9)], symbol="max({}, {})", grad_name="Clamp",
)  # fmt: skip
clamp_max_prim = elementwise(
    "clamp_max", ordered(np.minimum), selection(lambda x, y: x <= y), selection(lambda x, y: x > y),
    domain=[(-2, 2), (-2.1, 1.9)], symbol="min({}, {})", grad_name="Clamp",
)  # fmt: skip
clamp_prim = elementwise(
    "clamp", lambda x, y, z: np.minimum(np.maximum(x, y), z),
    selection(lambda x, y, z: (x >= y) & (x <= z)),
    selection(lambda x, y, z: (x < y) & (y < z)),
    selection(lambda x, y, z: (x > z) | (z < y)),
    real=True, domain=[(-2, 2), (-1.6, 0), (0.1, 1.6)], symbol="clamp({}, {}, {})",
)  # fmt: skip
for _op in (clamp_min_prim, clamp_max_prim, clamp_prim):
    _op.prim.namer = lambda params: "ClampBackward1"


@export("clamp", "clip", in_place=True)
def clamp(input: Any, min: Any = None, max: Any = None) -> Any:
    """Entries brought into [min, max]; the bounds are numbers or tensors, or None.

    Raises:
        RuntimeError: if both bounds are None.

    >>> import chainrule as cr
    >>> cr.clamp(cr.tensor([-1.0, 0.5, 3.0]), 0, 1)
    tensor([0.0000, 0.5000, 1.0000])
    """
    if min is None and max is None:
        raise RuntimeError("clamp: At least one of 'min' or 'max' must not be None")
    if max is None:
        return clamp_min_prim(input, min)
    return clamp_max_prim(input, max) if min is None else clamp_prim(input, min, max)


@export("clamp_min", in_place=True)
def _clamp_min(input: Any, min: Any) -> Any:
    """Entries brought to at least `min`.

    >>> import chainrule as cr
    >>> cr.clamp_min(cr.tensor([-1.0, 0.5]), 0)
    tensor([0.0000, 0.5000])
    """
    return clamp_min_prim(input, min)


@export("clamp_max", in_place=True)
def _clamp_max(input: Any, max: Any) -> Any:
    """Entries brought to at most `max`.

    >>> import chainrule as cr
    >>> cr.clamp_max(cr.tensor([1.5, 0.5]), 1)
    tensor([1.0000, 0.5000])
    """
    return clamp_max_prim(input, max)


nan_to_num_prim = elementwise(
    "nan_to_num", lambda x, nan, posinf, neginf: np.nan_to_num(x, True, nan, posinf, neginf),
    selection(lambda xp, x: xp.isfinite(x)), has_params=True,
    samples=lambda: [Sample(uniform(2, 3), nan=0.0, posinf=None, neginf=None),
                     Sample(uniform(), nan=1.0, posinf=2.0, neginf=3.0)],
)  # fmt: skip


@export(in_place=True)
def nan_to_num(
    input: Any, nan: float | None = None, posinf: float | None = None, neginf: float | None = None
) -> Any:
    """Entries with nan replaced by `nan` (0), infinities by the given or the largest numbers.

    >>> import chainrule as cr
    >>> cr.nan_to_num(cr.tensor([float("nan"), 1.0, float("inf")]), posinf=9.0)
    tensor([0., 1., 9.])
    """
    return nan_to_num_prim(input, nan=0.0 if nan is None else nan, posinf=posinf, neginf=neginf)


heaviside = elementwise(
    "heaviside", lambda x, y: np.heaviside(x, y).astype(x.dtype),
    lambda xp, x: xp.zeros_like(x), selection(lambda x: x == 0),
    domain=[(0.2, 2), (-2, 2)],
    doc="0 where input is negative, 1 where it is positive, `other` where it is zero.",
)  # fmt: skip
export_elementwise(heaviside)
