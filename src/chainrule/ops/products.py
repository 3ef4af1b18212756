"""The primitives behind matrix products, and small helpers for rules that use them."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from chainrule.core.kinds import bilinear, general
from chainrule.core.namespaces import raw
from chainrule.core.samples import Sample, uniform


def numpy_dtype(x: Any) -> Any:
    """The NumPy dtype of an array or a tensor."""
    return getattr(x.dtype, "dtype", x.dtype)


def conj(xp: Any, a: Any) -> Any:
    """The complex conjugate; real arrays come back as they are."""
    return xp.conj(a) if numpy_dtype(a).kind == "c" else a


def transpose(xp: Any, a: Any) -> Any:
    """The last two dimensions exchanged."""
    n = a.ndim
    return xp.permute_dims(a, axes=(*range(n - 2), n - 1, n - 2))


def adjoint(xp: Any, a: Any) -> Any:
    """The conjugate transpose of matrices."""
    return conj(xp, transpose(xp, a))


def rows(xp: Any, a: Any) -> Any:
    """All leading dimensions merged into one."""
    shape = a.shape
    return a if len(shape) == 2 else xp.reshape(a, shape=(prod(shape[:-1]), shape[-1]))


def _outer(xp: Any, a: Any, b: Any) -> Any:
    return xp.multiply(xp.reshape(a, shape=(a.shape[0], 1)), b)


dot_prim = bilinear(
    "dot", lambda x, y: x.dot(y),
    lambda xp, g, y: xp.multiply(g, conj(xp, y)), lambda xp, g, x: xp.multiply(g, conj(xp, x)),
    symbol="dot({}, {})",
    samples=lambda: [
        Sample(uniform(3), uniform(3, seed=1)),
        Sample(uniform(3) + 1j * uniform(3, seed=2), uniform(3, seed=1) * (2 - 1j)),
    ],
)  # fmt: skip
mv_prim = bilinear(
    "mv", lambda x, y: x.dot(y),
    lambda xp, g, y: _outer(xp, g, conj(xp, y)), lambda xp, g, x: xp.mv(adjoint(xp, x), g),
    symbol="{} @ {}",
    samples=lambda: [Sample(uniform(2, 3), uniform(3, seed=1)), Sample(uniform(0, 2), uniform(2))],
)  # fmt: skip
mm_prim = bilinear(
    "mm", lambda x, y: x.dot(y),
    lambda xp, g, y: xp.mm(g, adjoint(xp, y)), lambda xp, g, x: xp.mm(adjoint(xp, x), g),
    symbol="{} @ {}",
    samples=lambda: [
        Sample(uniform(2, 3), uniform(3, 4, seed=1)),
        Sample(uniform(2, 0), uniform(0, 3)),
        Sample(uniform(2, 2) + 1j * uniform(2, 2, seed=2), uniform(2, 3, seed=1) * 1j),
    ],
)  # fmt: skip


def _bmm(x: Any, y: Any) -> Any:
    """Matrix products over broadcast batches; against one matrix all rows go in one product."""
    if y.ndim == 2:
        return rows(raw, x).dot(y).reshape(*x.shape[:-1], y.shape[-1])
    return np.matmul(x, y)


def _bmm_right(xp: Any, g: Any, x: Any, y_aval: Any) -> Any:
    if y_aval.ndim == 2 and g.ndim > 2:
        return xp.mm(adjoint(xp, rows(xp, x)), rows(xp, g))
    return xp.bmm(adjoint(xp, x), g)


bmm_prim = bilinear(
    "bmm", _bmm, lambda xp, g, y: xp.bmm(g, adjoint(xp, y)), _bmm_right,
    symbol="{} @ {}",
    samples=lambda: [
        Sample(uniform(2, 3, 2), uniform(2, 2, 4, seed=1)),
        Sample(uniform(2, 1, 3, 2), uniform(3, 2, 2, seed=1)),
        Sample(uniform(2, 3, 2), uniform(2, 4, seed=1)),
        Sample(uniform(3, 2), uniform(2, 2, 4, seed=1)),
        Sample(uniform(0, 3, 2), uniform(2, 4, seed=1)),
    ],
)  # fmt: skip


def _linear(x: Any, y: Any, z: Any) -> Any:
    out = rows(raw, x).dot(y.T)
    if z is not None:
        out = np.add(out, z, out=out) if out.dtype == z.dtype else out + z
    return out.reshape(*x.shape[:-1], y.shape[0])


def _linear_weight(xp: Any, g: Any, x: Any) -> Any:
    """gᵀx over all rows: BLAS reads g transposed, and one product sums over the whole batch."""
    if g.ndim == 1:
        return _outer(xp, g, conj(xp, x))
    return xp.mm(transpose(xp, rows(xp, g)), conj(xp, rows(xp, x)))


# x yᵀ + z, where z may be None: the product of a layer, whose weight has a row per output.
linear_prim = general(
    "linear", _linear,
    vjps=(
        lambda xp, g, y: xp.bmm(g, conj(xp, y)) if g.ndim > 1 else xp.mv(adjoint(xp, y), g),
        lambda xp, g, x: _linear_weight(xp, g, x),
        lambda g: g,
    ),
    jvps=(
        lambda xp, t, y: xp.linear(t, y, None),
        lambda xp, t, x: xp.linear(x, t, None),
        lambda xp, t: t,
    ),
    grad_name="Addmm", symbol="{} @ {}.T + {}",
    samples=lambda: [
        Sample(uniform(2, 3), uniform(4, 3, seed=1), uniform(4, seed=2)),
        Sample(uniform(2, 2, 3), uniform(4, 3, seed=1), uniform(4, seed=2)),
        Sample(uniform(3), uniform(2, 3, seed=1), uniform(2, seed=2)),
        Sample(uniform(2, 3), uniform(4, 3, seed=1), None),
        Sample(uniform(2, 2) * (1 + 1j), uniform(1, 2, seed=1) * 1j, uniform(1) * 1j),
    ],
)  # fmt: skip
