"""Reductions: sums, means, products, extremes over some or all dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.kinds import linear
from chainrule.core.samples import Sample, uniform


def expand(xp: Any, g: Any, x: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
    """A reduction's cotangent, brought back to the shape of its argument."""
    if not keepdims:
        g = xp.reshape(g, shape=tuple(1 if i in axis else d for i, d in enumerate(x.shape)))
    return xp.broadcast_to(g, shape=tuple(x.shape))


sum_prim = linear(
    "sum",
    lambda x, axis, keepdims=False: np.add.reduce(x, axis, keepdims=keepdims),
    lambda xp, g, x_aval, axis, keepdims: expand(xp, g, x_aval, axis, keepdims),
    samples=lambda: [
        Sample(uniform(2, 3), axis=(0, 1), keepdims=False),
        Sample(uniform(2, 3), axis=(1,), keepdims=True),
        Sample(uniform(), axis=(), keepdims=False),
    ],
)  # fmt: skip
