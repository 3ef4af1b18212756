"""Comparison, logic and selection: `==`, `<`, `logical_and`, `where`, `maximum`, `clamp`."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.kinds import elementwise, general, promote
from chainrule.core.namespaces import recorded
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
