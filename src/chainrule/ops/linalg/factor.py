"""Cholesky and QR factorisations."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.avals import same
from chainrule.core.batching import leading
from chainrule.core.kinds import general
from chainrule.core.node import Aval
from chainrule.core.samples import Sample
from chainrule.core.tensor import wrap
from chainrule.ops.api import export
from chainrule.ops.linalg.common import (
    LinAlgError,
    adjoint,
    adjoint_raw,
    batch_element,
    check_matrix,
    check_square,
    columns,
    general_matrix,
    hermitian,
    info_each,
    numpy_dtype,
    operand,
    spd,
    tril,
    triu,
)  # fmt: skip
from chainrule.ops.linalg.solve import looks_sound, triangular_prim
from chainrule.ops.results import result_type


def hermitian_part(x: Any) -> Any:
    """(A + Aᴴ)/2 of arrays: exactly A where A is Hermitian."""
    return (x + adjoint_raw(x)) * x.dtype.type(0.5)


def _leading_minors(a: Any) -> Any:
    """Per matrix the order of the first leading minor that is not positive; 0 if all are."""
    flat = a.reshape(-1, *a.shape[-2:])
    info = np.zeros(len(flat), np.int32)
    for i, matrix in enumerate(flat):
        low, high = 0, len(matrix) + 1  # minors up to `low` are positive, that of `high` is not
        while high - low > 1:
            middle = (low + high) // 2
            try:
                np.linalg.cholesky(matrix[:middle, :middle])
                low = middle
            except np.linalg.LinAlgError:
                high = middle
        info[i] = high if high <= len(matrix) else 0
    return info.reshape(a.shape[:-2])


def _cholesky(x: Any, check: bool = True) -> Any:
    a = hermitian_part(x)
    try:
        return np.linalg.cholesky(a)
    except np.linalg.LinAlgError:
        info = _leading_minors(a)
    if check:
        raise LinAlgError(
            f"linalg.cholesky: {batch_element(info > 0)}The factorization could not be completed "
            "because the input is not positive-definite (the leading minor of order "
            f"{info[info > 0].flat[0]} is not positive-definite)."
        )
    bad = (info > 0)[..., None, None]
    made = np.linalg.cholesky(np.where(bad, np.eye(a.shape[-1], dtype=a.dtype), a))
    return np.where(bad, np.nan, made).astype(x.dtype)


def _phi(xp: Any, a: Any) -> Any:
    """The lower triangle with half the diagonal: X ↦ Y such that Y + Yᴴ = X for Hermitian X."""
    return tril(xp, a, -1) + tril(xp, triu(xp, a)) * 0.5


# A = L Lᴴ gives L⁻¹ dL = Φ(L⁻¹ dA L⁻ᴴ) (Murray 2016, "Differentiation of the Cholesky
# decomposition", section 3.1), so gA is the Hermitian part of L⁻ᴴ Φ(Lᴴ gL) L⁻¹.
def _cholesky_vjp(xp: Any, g: Any, out: Any) -> Any:
    lh = adjoint(xp, out)
    inner = _phi(xp, xp.bmm(lh, g))
    left = xp.solve_triangular(lh, inner, upper=True, unit=False)
    both = xp.solve_triangular(lh, adjoint(xp, left), upper=True, unit=False)
    return hermitian(xp, both)


def _cholesky_jvp(xp: Any, t: Any, out: Any) -> Any:
    left = xp.solve_triangular(out, hermitian(xp, t), upper=False, unit=False)
    both = xp.solve_triangular(out, adjoint(xp, left), upper=False, unit=False)
    return xp.bmm(out, _phi(xp, adjoint(xp, both)))


# The Hermitian part of the argument is factorised: the derivative then is PyTorch's.
cholesky_prim = general(
    "cholesky", _cholesky, vjps=(_cholesky_vjp,), jvps=(_cholesky_jvp,),
    grad_name="LinalgCholeskyEx", symbol="cholesky({})", batch=leading,
    aval=same,
    samples=lambda: [
        Sample(spd(3), check=True), Sample(spd(2, 2), check=True),
        Sample(spd(3, complex=True), check=False),
    ],
)  # fmt: skip


def _upper(L: Any) -> Any:
    from chainrule.core.namespaces import recorded

    return adjoint(recorded, L)


def cholesky(A: Any, *, upper: bool = False) -> Any:
    """The lower triangular L with A = L Lᴴ, for Hermitian positive definite matrices.

    A matrix that is not Hermitian counts as its Hermitian part.  With `upper`, Lᴴ is returned.

    Raises:
        LinAlgError: if a matrix is not positive definite.
        RuntimeError: if the matrices are not square.

    >>> import chainrule as cr
    >>> cr.linalg.cholesky(cr.tensor([[4.0, 2.0], [2.0, 5.0]]))
    tensor([[2., 0.],
            [1., 2.]])
    """
    check_square(A, "linalg.cholesky")
    L = cholesky_prim(A, check=True)
    return _upper(L) if upper else L


@export("cholesky")
def _torch_cholesky(input: Any, upper: bool = False) -> Any:
    """`linalg.cholesky` under its older name."""
    return cholesky(input, upper=upper)


leading_minors_prim = general(
    "leading_minors", lambda x: _leading_minors(hermitian_part(x)), batch=leading,
    aval=info_each,
    samples=lambda: [Sample(spd(3)), Sample(-spd(2, 2)), Sample(np.diag([1.0, -1.0, 2.0]))],
    doc="Per matrix the order of the first leading minor that is not positive; 0 if all are.",
)  # fmt: skip
CholeskyEx = result_type("linalg_cholesky_ex", "L", "info")


def cholesky_ex(A: Any, *, upper: bool = False, check_errors: bool = False) -> Any:
    """The Cholesky factor, and per matrix 0 or the order of the leading minor that is not positive.

    Raises:
        LinAlgError: if a matrix is not positive definite and `check_errors` is set.
    """
    a = check_square(A, "linalg.cholesky_ex")
    L = cholesky_prim(A, check=check_errors)
    sound = looks_sound(L)
    info = wrap(np.zeros(a.shape[:-2], np.int32)) if sound else leading_minors_prim(A)
    return CholeskyEx(_upper(L) if upper else L, info)


@export()
def cholesky_solve(B: Any, L: Any, upper: bool = False) -> Any:
    """The solution of AX = B, given the Cholesky factor of A.

    Raises:
        RuntimeError: if the shapes do not fit.
    """
    check_square(L, "cholesky_solve", "L")
    if operand(B, "cholesky_solve", "B", 1).ndim < 2:
        raise RuntimeError("cholesky_solve: The input tensor B must have at least 2 dimensions.")
    if upper:
        L = _upper(L)
    half = triangular_prim(L, B, upper=False, unit=False)
    return triangular_prim(_upper(L), half, upper=True, unit=False)


@export()
def cholesky_inverse(L: Any, upper: bool = False) -> Any:
    """The inverse of A, given its Cholesky factor.

    Raises:
        RuntimeError: if the factor is not square.
    """
    a = check_square(L, "cholesky_inverse", "L")
    return cholesky_solve(wrap(np.eye(a.shape[-1], dtype=numpy_dtype(a))), L, upper)


# A = Q R with m ≥ n and a real diagonal of R (as LAPACK makes it).  With C = Qᴴ dA R⁻¹, which is an
# anti-Hermitian plus an upper triangular matrix:  dR = Ψ(C + Cᴴ) R  and
# dQ = dA R⁻¹ - Q Ψ(C + Cᴴ), where Ψ keeps the upper triangle and half the diagonal
# (Walter & Lehmann 2010, "On the derivatives of matrix functions").  The adjoint of this is
# gA = (gQ + Q (H + Hᴴ)) R⁻ᴴ with H = Ψ(gR Rᴴ - Qᴴ gQ).
# If m < n, only the first m columns of A determine Q; for the rest R₂ = Qᴴ A₂.
def _psi(xp: Any, a: Any) -> Any:
    return triu(xp, a, 1) + tril(xp, triu(xp, a)) * 0.5


def _qr_square_vjp(xp: Any, gq: Any, gr: Any, q: Any, r: Any) -> Any:
    inner = 0
    if gr is not None:
        inner = xp.bmm(triu(xp, gr), adjoint(xp, r))
    if gq is not None:
        inner = inner - xp.bmm(adjoint(xp, q), gq)
    h = _psi(xp, inner)
    total = xp.bmm(q, h + adjoint(xp, h))
    if gq is not None:
        total = total + gq
    return adjoint(xp, xp.solve_triangular(r, adjoint(xp, total), upper=True, unit=False))


def _check_qr(x: Any, mode: str) -> None:
    if mode == "complete" and x.shape[-2] > x.shape[-1]:
        raise RuntimeError(
            "The QR decomposition is not differentiable when mode='complete' and nrows > ncols."
        )


def _qr_vjp(xp: Any, g: Any, x_aval: Any, out: Any, mode: str) -> tuple[Any]:
    _check_qr(x_aval, mode)
    (gq, gr), (q, r) = g, out
    m, n = x_aval.shape[-2:]
    if m >= n:
        return (_qr_square_vjp(xp, gq, gr, q, r),)
    r1, r2 = columns(xp, r, 0, m), columns(xp, r, m, n)
    g1 = g2 = None
    if gr is not None:
        g1, g2 = columns(xp, gr, 0, m), columns(xp, gr, m, n)
        extra = xp.bmm(q, xp.bmm(r2, adjoint(xp, g2)))
        gq = extra if gq is None else gq + extra
    left = _qr_square_vjp(xp, gq, g1, q, r1)
    right = xp.zeros_like(r2) if g2 is None else xp.bmm(q, g2)
    return (xp.concat(left, right, axis=left.ndim - 1),)


def _qr_jvp(xp: Any, t: Any, out: Any, mode: str) -> tuple[Any, Any]:
    (tx,), (q, r) = t, out
    _check_qr(tx, mode)
    m, n = tx.shape[-2:]
    k = min(m, n)
    r1 = columns(xp, r, 0, k)
    t1 = columns(xp, tx, 0, k)
    # X R⁻¹ = (R⁻ᴴ Xᴴ)ᴴ
    scaled = adjoint(
        xp, xp.solve_triangular(adjoint(xp, r1), adjoint(xp, t1), upper=False, unit=False)
    )
    c = xp.bmm(adjoint(xp, q), scaled)
    psi = _psi(xp, c + adjoint(xp, c))
    dq = scaled - xp.bmm(q, psi)
    dr = xp.bmm(psi, r1)
    if m < n:
        turned = xp.bmm(adjoint(xp, dq), xp.bmm(q, columns(xp, r, k, n)))
        rest = turned + xp.bmm(adjoint(xp, q), columns(xp, tx, k, n))
        dr = xp.concat(dr, rest, axis=dr.ndim - 1)
    return dq, dr


def _qr_aval(x: Any, mode: str) -> tuple[Aval, Aval]:
    m, n = x.shape[-2:]
    k = m if mode == "complete" else min(m, n)
    batch = x.shape[:-2]
    return Aval((*batch, m, k), x.dtype), Aval((*batch, k, n), x.dtype)


qr_prim = general(
    "qr", lambda x, mode: tuple(np.linalg.qr(x, "complete" if mode == "complete" else "reduced")),
    vjp=_qr_vjp, jvp=_qr_jvp, grad_name="LinalgQr", batch=leading, aval=_qr_aval,
    samples=lambda: [
        Sample(general_matrix(3, 3), mode="reduced"), Sample(general_matrix(4, 2), mode="reduced"),
        Sample(general_matrix(2, 4), mode="reduced"),
        Sample(general_matrix(3, 2, 2), mode="reduced"),
        Sample(general_matrix(2, 3), mode="complete"),
        Sample(general_matrix(3, 2, complex=True), mode="reduced"),
        Sample(general_matrix(2, 3, complex=True), mode="reduced"),
    ],
)  # fmt: skip
QR = result_type("linalg_qr", "Q", "R")


def qr(A: Any, mode: str = "reduced") -> Any:
    """The factors of A = QR: Q with orthonormal columns, R upper triangular; named `Q`, `R`.

    Args:
        A: (..., m, n).
        mode: "reduced": Q is (m, k) and R (k, n) with k = min(m, n); "complete": Q is (m, m);
            "r": R only.

    Raises:
        RuntimeError: for another mode, and when differentiating the complete mode with m > n.

    >>> import chainrule as cr
    >>> cr.linalg.qr(cr.eye(2)).R.shape
    chainrule.Size([2, 2])
    """
    a = check_matrix(A, "linalg.qr")
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(
            f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', "
            "or 'complete'"
        )
    Q, R = qr_prim(A, mode=mode)
    return QR(wrap(np.empty(0, numpy_dtype(a))) if mode == "r" else Q, R)


@export("qr")
def _torch_qr(input: Any, some: bool = True) -> Any:
    """`linalg.qr` under its older name."""
    return qr(input, "reduced" if some else "complete")
