"""Rounding, signs and absolute values."""

from __future__ import annotations

import numpy as np

from chainrule.core.kinds import elementwise
from chainrule.ops.api import export_elementwise

# Piecewise constant: the derivative is zero wherever it exists, and PyTorch returns zeros.
floor = elementwise(
    "floor", np.floor, lambda xp, x: xp.zeros_like(x), domain=[(0.1, 0.9)], symbol="floor({})",
    doc="The largest integer at most each entry.",
)  # fmt: skip
trunc = elementwise(
    "trunc", np.trunc, lambda xp, x: xp.zeros_like(x), domain=[(0.1, 0.9)], symbol="trunc({})",
    doc="Each entry without its fraction.",
)  # fmt: skip

for _op in (floor, trunc):
    export_elementwise(_op)
