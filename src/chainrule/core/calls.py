"""One application of a primitive, as the derivative rules want to see it without a tape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.core.kinds import cast
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
    dt = None
    for a in found:
        known = a.array.dtype if isinstance(a, Tensor) else None
        if known is None or (dt is not None and known != dt) or known.kind not in "fc":
            break
        dt = known
    else:
        return found
    dt = prim.common_dtype([a.array if isinstance(a, Tensor) else a for a in found])  # type: ignore[attr-defined]
    return [
        wrap(_fixed(cast(a, dt))) if not isinstance(a, Tensor)
        else a if a.array.dtype == dt else recorded.astype(a, dtype=dt)
        for a in found
    ]  # fmt: skip


def _fixed(array: Any) -> Any:
    """A number as an array that nobody writes, so that whoever meets it again may rely on it."""
    if array.ndim == 0:
        array.flags.writeable = False
    return array


def fitted(t: Any, out: Any) -> Any:
    """A tangent brought to the shape and dtype of the value that it belongs to."""
    if not isinstance(t, Tensor):
        t = wrap(np.asarray(t))
    if t.array.dtype != out.array.dtype:
        t = recorded.astype(t, dtype=out.array.dtype)
    if t.array.shape != out.array.shape:
        t = recorded.broadcast_to(t, shape=tuple(out.array.shape))
    return t
