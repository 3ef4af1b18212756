"""Comparison, logic and selection: `==`, `<`, `logical_and`, `where`, `maximum`, `clamp`."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.kinds import elementwise, general, promote
from chainrule.core.namespaces import recorded
from chainrule.core.partials import selection
from chainrule.core.samples import Sample, uniform
from chainrule.ops.api import attach, export, export_elementwise

for _name, _ufunc, _method, _symbol, _doc in [
    ("equal", np.equal, "__eq__", "==", "Whether entries are equal."),
    ("not_equal", np.not_equal, "__ne__", "!=", "Whether entries differ."),
    ("less", np.less, "__lt__", "<", "Whether entries of the first are less."),
    ("less_equal", np.less_equal, "__le__", "<=", "Whether entries of the first are at most equal."),
    ("greater", np.greater, "__gt__", ">", "Whether entries of the first are greater."),
    ("greater_equal", np.greater_equal, "__ge__", ">=", "Whether entries are at least equal."),
]:  # fmt: skip
    _op = elementwise(
        _name, _ufunc, None, None, result="bool", symbol=f"{{}} {_symbol} {{}}", doc=_doc
    )
    attach(_method, _op)
    _short = {"equal": "eq", "not_equal": "ne", "less": "lt", "less_equal": "le",
              "greater": "gt", "greater_equal": "ge"}[_name]  # fmt: skip
    export_elementwise(_op, *([_short] if _name == "equal" else [_short, _name]))


# A selection rather than a product with the condition: an infinite cotangent of the entry that was
# not selected must not become nan.
where_prim = general(
    "where", np.where,
    vjps=(None, lambda xp, g, x: xp.where(x, g, 0), lambda xp, g, x: xp.where(x, 0, g)),
    jvp=lambda xp, t, x: xp.where(x, 0 if t[1] is None else t[1], 0 if t[2] is None else t[2]),
    symbol="where({}, {}, {})",
    samples=lambda: [
        Sample(uniform(2, 3) > 0, uniform(2, 3, seed=1), uniform(3, seed=2)),
        Sample(np.array(True), uniform(2), uniform()),
    ],
)  # fmt: skip


@export()
def where(condition: Any, input: Any, other: Any) -> Any:
    """Entries of `input` where `condition` holds, of `other` elsewhere, with broadcasting.

    >>> import chainrule as cr
    >>> cr.where(cr.tensor([True, False]), 1.0, cr.tensor([2.0, 3.0]))
    tensor([1., 3.])
    """
    return where_prim(condition, *promote(input, other))


recorded.where = where
attach("where", lambda self, condition, other: where(condition, self, other))

for _name, _ufunc, _doc in [
    ("logical_and", np.logical_and, "Whether both entries are true (not zero)."),
    ("logical_or", np.logical_or, "Whether at least one entry is true (not zero)."),
    ("logical_xor", np.logical_xor, "Whether exactly one entry is true (not zero)."),
]:
    export_elementwise(elementwise(_name, _ufunc, None, None, result="bool", doc=_doc))

for _name, _ufunc, _doc in [
    ("isnan", np.isnan, "Whether entries are not a number."),
    ("isinf", np.isinf, "Whether entries are infinite."),
    ("isfinite", np.isfinite, "Whether entries are neither infinite nor nan."),
    ("isposinf", np.isposinf, "Whether entries are plus infinity."),
    ("isneginf", np.isneginf, "Whether entries are minus infinity."),
    ("signbit", np.signbit, "Whether the sign bit is set: negative entries and -0.0."),
]:
    export_elementwise(elementwise(_name, _ufunc, None, result="bool", doc=_doc), in_place=False)
logical_not = elementwise(
    "logical_not", np.logical_not, None, result="bool", doc="Whether entries are false (zero)."
)
export_elementwise(logical_not)


# Ties share evenly.  Unless the other one is taken (as with nan), the gradient flows.
def _won(xp: Any, x: Any, lost: Any, tied: Any) -> Any:
    return xp.where(tied, 0.5, xp.where(lost, 0, xp.ones_like(x)))


maximum = elementwise(
    "maximum", np.maximum,
    selection(lambda xp, x, y: _won(xp, x, x < y, x == y)),
    selection(lambda xp, x, y: _won(xp, y, y < x, x == y)),
    symbol="max({}, {})", domain=[(-2, 2), (-2.1, 1.9)],
    doc="The larger of two entries; nan if one is nan. Ties share the gradient evenly.",
)  # fmt: skip
minimum = elementwise(
    "minimum", np.minimum,
    selection(lambda xp, x, y: _won(xp, x, x > y, x == y)),
    selection(lambda xp, x, y: _won(xp, y, y > x, x == y)),
    symbol="min({}, {})", domain=[(-2, 2), (-2.1, 1.9)],
    doc="The smaller of two entries; nan if one is nan. Ties share the gradient evenly.",
)  # fmt: skip
export_elementwise(maximum, in_place=False)
export_elementwise(minimum, in_place=False)

# At the bounds the gradient passes to the clamped tensor, not to the bound.
clamp_min_prim = elementwise(
    "clamp_min", np.maximum, selection(lambda x, y: x >= y), selection(lambda x, y: x < y),
    domain=[(-2, 2), (-2.1, 1.9)], symbol="max({}, {})", grad_name="Clamp",
)  # fmt: skip
clamp_max_prim = elementwise(
    "clamp_max", np.minimum, selection(lambda x, y: x <= y), selection(lambda x, y: x > y),
    domain=[(-2, 2), (-2.1, 1.9)], symbol="min({}, {})", grad_name="Clamp",
)  # fmt: skip
clamp_prim = elementwise(
    "clamp", lambda x, y, z: np.minimum(np.maximum(x, y), z),
    selection(lambda x, y, z: (x >= y) & (x <= z)),
    selection(lambda x, y, z: (x < y) & (y < z)),
    selection(lambda x, y, z: (x > z) | (z < y)),
    domain=[(-2, 2), (-1.6, 0), (0.1, 1.6)], symbol="clamp({}, {}, {})",
)  # fmt: skip


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
