"""Determinants, their logarithms, and adjugates.

The gradient of a determinant is the adjugate, which singular matrices have too.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.avals import same, several, typed
from chainrule.core.batching import leading
from chainrule.core.dtypes import real_dtype
from chainrule.core.kinds import general
from chainrule.core.namespaces import recorded
from chainrule.core.samples import Sample
from chainrule.ops.api import FUNCTIONS, export
from chainrule.ops.linalg.common import (
    adjoint,
    adjoint_raw,
    as_column,
    check_square,
    conj,
    diagonal,
    diagonal_matrix,
    general_matrix,
    number_each,
    numpy_dtype,
)  # fmt: skip
from chainrule.ops.results import result_type


def _adjugate(x: Any) -> Any:
    """det(A)·A⁻¹ where that can be formed, and else from the singular value decomposition.

    Both factors come from the same elimination, hence belong to one slightly perturbed matrix, so
    their product is accurate however close to singular A is; only an exact zero, or a determinant
    out of range, needs the other way.
    """
    d = np.linalg.det(x)
    if np.isfinite(d).all() and (np.abs(d) > np.finfo(x.dtype).tiny).all():
        return d[..., None, None] * np.linalg.inv(x)
    u, s, vh = np.linalg.svd(x)
    n = s.shape[-1]
    others = np.where(np.eye(n, dtype=bool), 1, s[..., None, :]).prod(-1)
    made = np.matmul(adjoint_raw(vh) * others[..., None, :], adjoint_raw(u))
    phase = np.linalg.det(u) * np.linalg.det(vh)
    return (phase[..., None, None] * made).astype(x.dtype)


# With A = U S Vᴴ and dA = U E Vᴴ, adj(A + dA) = c V adj(S + E) Uᴴ where c = det U · det Vᴴ.  For
# diagonal S the first-order change of adj is  diag(P e) - P∘E,  where e is the diagonal of E and
# P_ij = Π s_k over k ∉ {i, j} (0 for i = j).  The map is its own adjoint.
def _change(xp: Any, e: Any, s: Any) -> Any:
    n = s.shape[-1]
    left_out = np.eye(n, dtype=bool)
    left_out = left_out[:, None, :] | left_out[None, :, :]
    spread = xp.reshape(s, shape=(*s.shape[:-1], 1, 1, n))
    p = xp.prod(xp.where(left_out, 1, spread), axis=(s.ndim + 1,), keepdims=False)
    p = xp.where(np.eye(n, dtype=bool), 0, p)
    if numpy_dtype(e).kind == "c":
        p = p * xp.ones_like(e)
    weights = xp.reshape(xp.bmm(p, as_column(xp, diagonal(xp, e))), shape=e.shape[:-1])
    return diagonal_matrix(xp, weights) - p * e


def _phase(xp: Any, u: Any, vh: Any) -> Any:
    c = xp.det(u) * xp.det(vh)
    return xp.reshape(c, shape=(*c.shape, 1, 1))


def _adjugate_vjp(xp: Any, g: Any, x: Any) -> Any:
    u, s, vh = xp.svd(x, full_matrices=False)
    inner = xp.bmm(vh, xp.bmm(conj(xp, _phase(xp, u, vh)) * g, u))
    return xp.bmm(u, xp.bmm(_change(xp, inner, s), vh))


def _adjugate_jvp(xp: Any, t: Any, x: Any) -> Any:
    u, s, vh = xp.svd(x, full_matrices=False)
    e = xp.bmm(adjoint(xp, u), xp.bmm(t, adjoint(xp, vh)))
    made = xp.bmm(adjoint(xp, vh), xp.bmm(_change(xp, e, s), adjoint(xp, u)))
    return _phase(xp, u, vh) * made


_SINGULAR = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [5.0, 7.0, 9.0]]) / 4

adjugate = general(
    "adjugate", _adjugate, vjps=(_adjugate_vjp,), jvps=(_adjugate_jvp,), symbol="adj({})",
    batch=leading, aval=same,
    samples=lambda: [
        Sample(general_matrix(3, 3)), Sample(general_matrix(2, 2, 2)), Sample(_SINGULAR),
        Sample(general_matrix(2, 2, complex=True)), Sample(general_matrix(1, 1)),
    ],
)  # fmt: skip


def _det_jvp(xp: Any, t: Any, x: Any) -> Any:
    """tr(adj(A) dA)."""
    product = xp.bmm(xp.adjugate(x), t)
    return xp.sum(diagonal(xp, product), axis=(product.ndim - 2,), keepdims=False)


det_prim = general(
    "det", np.linalg.det,
    vjps=(
        lambda xp, g, x: xp.reshape(g, shape=(*g.shape, 1, 1)) * adjoint(xp, xp.adjugate(x)),
    ),
    jvps=(_det_jvp,), grad_name="LinalgDet", symbol="det({})", batch=leading,
    aval=number_each,
    samples=lambda: [
        Sample(general_matrix(3, 3)), Sample(general_matrix(2, 2, 2)), Sample(_SINGULAR),
        Sample(general_matrix(2, 2, complex=True)),
    ],
)  # fmt: skip


# With τ = tr(A⁻¹ dA): d log|det A| = Re τ, and the sign, det A/|det A|, turns by i Im τ.
def _slogdet_vjp(xp: Any, g: Any, x: Any, out: Any) -> tuple[Any]:
    g_sign, g_log = g
    total = g_log
    if g_sign is not None and numpy_dtype(x).kind == "c":
        turn = xp.imag(xp.conj(g_sign) * out[0]) * -1j
        total = turn if total is None else total + turn
    if total is None:
        return (None,)
    return (xp.reshape(total, shape=(*total.shape, 1, 1)) * adjoint(xp, xp.inv(x, check=False)),)


def _slogdet_jvp(xp: Any, t: Any, x: Any, out: Any) -> tuple[Any, Any]:
    (tx,) = t
    product = diagonal(xp, xp.bmm(xp.inv(x, check=False), tx))
    tau = xp.sum(product, axis=(product.ndim - 1,), keepdims=False)
    if numpy_dtype(x).kind != "c":
        return None, tau
    return out[0] * (xp.imag(tau) * 1j), xp.real(tau)


slogdet_prim = general(
    "slogdet", lambda x: tuple(np.linalg.slogdet(x)), vjp=_slogdet_vjp, jvp=_slogdet_jvp,
    grad_name="LinalgSlogdet", batch=leading,
    aval=several(number_each, typed(number_each, real_dtype)),
    samples=lambda: [
        Sample(general_matrix(3, 3)), Sample(general_matrix(2, 2, 2)),
        Sample(general_matrix(2, 2, complex=True)),
    ],
)  # fmt: skip
Slogdet = result_type("linalg_slogdet", "sign", "logabsdet")


def det(A: Any) -> Any:
    """The determinant of a square matrix, or of each in a batch.

    Raises:
        RuntimeError: if the matrices are not square.

    >>> import chainrule as cr
    >>> cr.linalg.det(cr.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor(-2.)
    """
    check_square(A, "linalg.det")
    return det_prim(A)


def slogdet(A: Any) -> Any:
    """Sign and logarithm of the absolute value of the determinant: named `sign`, `logabsdet`.

    Raises:
        RuntimeError: if the matrices are not square.

    >>> import chainrule as cr
    >>> cr.linalg.slogdet(cr.eye(2)).logabsdet
    tensor(0.)
    """
    check_square(A, "linalg.slogdet")
    return Slogdet(*slogdet_prim(A))


@export()
def logdet(input: Any) -> Any:
    """The logarithm of the determinant; nan where a real determinant is negative.

    Raises:
        RuntimeError: if the matrices are not square.

    >>> import chainrule as cr
    >>> cr.logdet(cr.eye(2))
    tensor(0.)
    """
    a = check_square(input, "logdet")
    sign, size = slogdet_prim(input)
    if numpy_dtype(a).kind == "c":
        return recorded.log(sign) + size
    return FUNCTIONS["where"](sign < 0, float("nan"), size)


export("det")(det)
export("slogdet")(slogdet)
