"""Exponentials and logarithms."""

from __future__ import annotations

import numpy as np

from chainrule.core.kinds import elementwise
from chainrule.ops.api import export_elementwise

exp = elementwise(
    "exp", np.exp, "out", result="float", symbol="exp({})", doc="e to the power of each entry."
)
log = elementwise(
    "log", np.log, lambda xp, x: xp.reciprocal(x), result="float", domain=[(0.2, 4)],
    symbol="log({})", doc="The natural logarithm of each entry.",
)  # fmt: skip

for _op in (exp, log):
    export_elementwise(_op)
