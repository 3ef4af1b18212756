"""Conversions between dtypes, copies, and the parts of complex numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.kinds import linear
from chainrule.core.samples import Sample, uniform
from chainrule.ops.api import export


def _astype(x: Any, dtype: np.dtype[Any]) -> Any:
    if x.dtype.kind == "c" and dtype.kind != "c":
        return x.real.astype(dtype)
    return np.asarray(x).astype(dtype)


# The engine casts each cotangent back to its argument's dtype, so the transpose does nothing.
astype = linear(
    "astype", _astype, lambda g: g, grad_name="ToCopy",
    samples=lambda: [Sample(uniform(3), dtype=np.dtype("c16"))],
)  # fmt: skip
clone = linear("clone", lambda x: x.copy(), lambda g: g, samples=lambda: [Sample(uniform(2, 3))])
export()(clone)
