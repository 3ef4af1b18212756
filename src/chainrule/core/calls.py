"""One application of a primitive, as the derivative rules want to see it without a tape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.core.namespaces import recorded
from chainrule.core.primitive import Primitive
from chainrule.core.tensor import Tensor, ndarray, wrap


class Call:
    """Stands where a rule expects a node: it has parameters and the dtype of the result."""

    __slots__ = ("dtype", "extra", "params")

    def __init__(self, params: dict[str, Any], dtype: Any) -> None:
        self.params = params
        self.dtype = dtype
        self.extra = None


def operands(prim: Primitive, args: Sequence[Any]) -> list[Any]:
    """The arguments as a rule would find them on the tape: tensors, in the common dtype."""
    found = [wrap(a) if type(a) is ndarray or isinstance(a, np.generic) else a for a in args]
    if prim.partials is None:
        return found
    first = None
    for a in found:
        if isinstance(a, Tensor):
            dt = a.array.dtype
            if first is None:
                first = dt
            if dt != first or dt.kind not in "fc":
                break
    else:
        return found
    dt = prim.common_dtype([a.array if isinstance(a, Tensor) else a for a in found])  # type: ignore[attr-defined]
    return [
        recorded.astype(a, dtype=dt) if isinstance(a, Tensor) and a.array.dtype != dt else a
        for a in found
    ]


def fitted(t: Any, out: Any) -> Any:
    """A tangent brought to the shape and dtype of the value that it belongs to."""
    if not isinstance(t, Tensor):
        t = wrap(np.asarray(t))
    if t.array.dtype != out.array.dtype:
        t = recorded.astype(t, dtype=out.array.dtype)
    if t.array.shape != out.array.shape:
        t = recorded.broadcast_to(t, shape=tuple(out.array.shape))
    return t
