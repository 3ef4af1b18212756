"""Eigenvalues and singular values, with their vectors.

Derivatives of vectors divide by differences of values.  A function that depends on the matrix only,
not on the choice of vectors, has numerators that vanish together with the differences; see
`gaps.py` for what then happens where values coincide.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.avals import complex_dtype, same, several, typed
from chainrule.core.batching import leading
from chainrule.core.dtypes import real_dtype
from chainrule.core.kinds import general
from chainrule.core.node import Aval
from chainrule.core.samples import Sample
from chainrule.core.tensor import wrap
from chainrule.ops.api import export
from chainrule.ops.linalg.common import (
    LinAlgError,
    adjoint,
    as_column,
    as_row,
    check_matrix,
    check_square,
    columns,
    diagonal,
    diagonal_matrix,
    general_matrix,
    hermitian,
    numpy_dtype,
    operand,
    re,
    rows_of,
    scalar_name,
    spd,
    tril,
    triu,
    values_each,
)  # fmt: skip
from chainrule.ops.linalg.factor import hermitian_part
from chainrule.ops.linalg.gaps import over_gaps, slope_limit, warn_assumed
from chainrule.ops.results import result_type

_real_values = typed(values_each, real_dtype)
_complex_values = typed(values_each, complex_dtype)


def _finite(x: Any, name: str) -> None:
    if not np.isfinite(x).all():
        raise LinAlgError(
            f"{name}: The algorithm failed to converge because the input matrix contained "
            "non-finite values."
        )


def _eigh(x: Any) -> tuple[Any, ...]:
    _finite(x, "linalg.eigh")
    return tuple(np.linalg.eigh(hermitian_part(x)))


# dλ = diag(Vᴴ dA V), dV = V (F∘(Vᴴ dA V)) with F_ij = 1/(λ_j - λ_i)   (Giles 2008, section 3.1).
# Only the anti-Hermitian part of VᴴgV meets the Hermitian dA, so it alone is divided.
def _eigh_vjp(xp: Any, g: Any, out: Any) -> tuple[Any]:
    (gw, gv), (w, v) = g, out
    vh = adjoint(xp, v)
    inner = 0 if gw is None else diagonal_matrix(xp, gw)
    if gv is not None:
        k = xp.bmm(vh, gv)
        skew = (k - adjoint(xp, k)) * 0.5
        warn_assumed(xp, k, w, gw, "eigh: the eigenvalues")
        inner = inner + over_gaps(xp, skew, w, k, slope_limit(xp, k, gw))
    return (xp.bmm(xp.bmm(v, inner), vh) if gv is not None else xp.bmm(v * as_row(xp, gw), vh),)


def _eigh_jvp(xp: Any, t: Any, out: Any) -> tuple[Any, Any]:
    w, v = out
    p = xp.bmm(adjoint(xp, v), xp.bmm(hermitian(xp, t[0]), v))
    return re(xp, diagonal(xp, p)), xp.bmm(v, over_gaps(xp, p, w, p))


# The Hermitian part of the argument is decomposed: the derivative then is PyTorch's.
eigh_prim = general(
    "eigh", _eigh, vjp=lambda xp, g, out: (hermitian(xp, _eigh_vjp(xp, g, out)[0]),),
    jvp=_eigh_jvp, grad_name="LinalgEigh", batch=leading, aval=several(_real_values, same),
    samples=lambda: [Sample(spd(3)), Sample(spd(2, 2)), Sample(np.zeros((0, 0)))],
)  # fmt: skip


def _eigvalsh_jvp(xp: Any, t: Any, x: Any) -> Any:
    v = xp.eigh(x)[1]
    return re(xp, diagonal(xp, xp.bmm(adjoint(xp, v), xp.bmm(hermitian(xp, t), v))))


def _eigvalsh(x: Any) -> Any:
    _finite(x, "linalg.eigh")
    return np.linalg.eigvalsh(hermitian_part(x))


def _eigvalsh_vjp(xp: Any, g: Any, x: Any) -> Any:
    v = xp.eigh(x)[1]
    return xp.bmm(v * as_row(xp, g), adjoint(xp, v))


eigvalsh_prim = general(
    "eigvalsh", _eigvalsh, vjps=(_eigvalsh_vjp,), jvps=(_eigvalsh_jvp,), grad_name="LinalgEigh",
    batch=leading, aval=_real_values,
    samples=lambda: [Sample(spd(3)), Sample(spd(2, 2)), Sample(spd(3, complex=True))],
)  # fmt: skip


def _eig(x: Any) -> tuple[Any, Any]:
    if not np.isfinite(x).all():
        raise RuntimeError("torch.linalg.eig: input tensor should not contain infs or NaNs.")
    dt = np.result_type(x.dtype, np.complex64)
    w, v = np.linalg.eig(x)
    return w.astype(dt), v.astype(dt)


# A V = V Λ with unit columns.  P = V⁻¹ dA V gives dλ = diag P and dV = V (P∘F) up to lengths, with
# F_ij = 1/(λ_j - λ_i); keeping the lengths takes away V diag Re(Vᴴ V (P∘F))
# (Boeddeker et al. 2017, "On the computation of complex-valued gradients", appendix).
def _eig_vjp(xp: Any, g: Any, out: Any) -> tuple[Any]:
    (gw, gv), (w, v) = g, out
    vh = adjoint(xp, v)
    inner = 0 if gw is None else diagonal_matrix(xp, gw)
    if gv is not None:
        k = xp.bmm(vh, gv)
        kept = k - xp.bmm(vh, v) * as_row(xp, xp.real(diagonal(xp, k)))
        inner = inner + over_gaps(xp, kept, xp.conj(w), k)
    return (xp.solve(vh, xp.bmm(inner, vh)),)


def _eig_jvp(xp: Any, t: Any, out: Any) -> tuple[Any, Any]:
    w, v = out
    p = xp.solve(v, xp.bmm(t[0] * xp.ones_like(v), v))
    turn = xp.bmm(v, over_gaps(xp, p, w, p))
    along = xp.real(diagonal(xp, xp.bmm(adjoint(xp, v), turn)))
    return diagonal(xp, p), turn - v * as_row(xp, along)


_REAL_SPECTRUM = np.array([[1.0, 0.4, -0.2], [0.3, 2.5, 0.5], [0.1, -0.3, 4.0]])

eig_prim = general(
    "eig", _eig, vjp=_eig_vjp, jvp=_eig_jvp, grad_name="LinalgEig", batch=leading,
    aval=several(_complex_values, typed(same, complex_dtype)),
    samples=lambda: [
        Sample(_REAL_SPECTRUM), Sample(np.stack([_REAL_SPECTRUM, 2 * _REAL_SPECTRUM.T])),
    ],
)  # fmt: skip


def _eigvals_vjp(xp: Any, g: Any, x: Any) -> Any:
    vh = adjoint(xp, xp.eig(x)[1])
    return xp.solve(vh, as_column(xp, g) * vh)


def _eigvals_jvp(xp: Any, t: Any, x: Any) -> Any:
    v = xp.eig(x)[1]
    return diagonal(xp, xp.solve(v, xp.bmm(t * xp.ones_like(v), v)))


eigvals_prim = general(
    "eigvals", lambda x: np.linalg.eigvals(x).astype(np.result_type(x.dtype, np.complex64)),
    vjps=(_eigvals_vjp,), jvps=(_eigvals_jvp,), grad_name="LinalgEig", batch=leading,
    aval=_complex_values,
    samples=lambda: [Sample(_REAL_SPECTRUM), Sample(_REAL_SPECTRUM * (1 + 0.5j))],
)  # fmt: skip


def _svd(x: Any, full_matrices: bool = False) -> tuple[Any, ...]:
    _finite(x, "linalg.svd")
    return tuple(np.linalg.svd(x, full_matrices))


def _thin(xp: Any, g: Any, u: Any, vh: Any, k: int) -> Any:
    """Cotangents and vectors without those that `full_matrices` adds, which are arbitrary."""
    gu, gs, gvh = g
    if u.shape[-1] > k:
        u, gu = columns(xp, u, 0, k), None if gu is None else columns(xp, gu, 0, k)
    if vh.shape[-2] > k:
        vh, gvh = rows_of(xp, vh, 0, k), None if gvh is None else rows_of(xp, gvh, 0, k)
    return gu, gs, gvh, u, vh


# A = U S Vᴴ (Townsend 2016, "Differentiating the singular value decomposition").  With
# a = UᴴgU - gUᴴU and b = VᴴgV - gVᴴV the cotangent within the singular vectors is
# (a_ij s_j + s_i b_ij)/(s_j² - s_i²) = ½ [(a+b)_ij/(s_j - s_i) + (a-b)_ij/(s_j + s_i)],
# written the second way because only its first term can lose its meaning at equal values; the
# second, on the diagonal, is also what a complex phase needs.
def _svd_vjp(xp: Any, g: Any, out: Any) -> tuple[Any]:
    u, s, vh = out
    k = s.shape[-1]
    gu, gs, gvh, u, vh = _thin(xp, g, u, vh, k)
    if gu is None and gvh is None:
        return (xp.bmm(u * as_row(xp, gs), vh) if gs is not None else None,)
    uh, v = adjoint(xp, u), adjoint(xp, vh)
    ku = xp.zeros_like(xp.bmm(vh, v)) if gu is None else xp.bmm(uh, gu)
    kv = xp.zeros_like(ku) if gvh is None else xp.bmm(vh, adjoint(xp, gvh))
    a, b = ku - adjoint(xp, ku), kv - adjoint(xp, kv)
    total = as_row(xp, s) + as_column(xp, s)
    mean = (ku + kv) * 0.5
    warn_assumed(xp, mean, s, gs, "svd: the singular values")
    limit = slope_limit(xp, mean, gs)
    size = xp.abs(ku) + xp.abs(kv)
    inner = over_gaps(xp, (a + b) * 0.5, s, size, limit) + _unless_zero(xp, (a - b) * 0.5, total)
    if gs is not None:
        inner = inner + diagonal_matrix(xp, gs)
    made = xp.bmm(xp.bmm(u, inner), vh)
    if gu is not None and u.shape[-2] > k:
        made = made + xp.bmm(_unless_zero(xp, gu - xp.bmm(u, ku), as_row(xp, s)), vh)
    if gvh is not None and vh.shape[-1] > k:
        rest = gvh - xp.bmm(adjoint(xp, kv), vh)
        made = made + xp.bmm(u, _unless_zero(xp, rest, as_column(xp, s)))
    return (made,)


def _unless_zero(xp: Any, numerator: Any, denominator: Any) -> Any:
    """The quotient, and 0 where numerator and denominator are both zero."""
    lost = xp.logical_and(denominator == 0, numerator == 0)
    return xp.where(lost, 0, numerator / xp.where(lost, 1, denominator))


# dP = Uᴴ dA V = Ω S + dS - S N with Ω = UᴴdU, N = VᴴdV anti-Hermitian: adding and subtracting the
# conjugate transpose gives Ω + N and Ω - N.
def _svd_jvp(xp: Any, t: Any, out: Any) -> tuple[Any, Any, Any]:
    u, s, vh = out
    if u.shape[-1] > s.shape[-1] or vh.shape[-2] > s.shape[-1]:
        raise RuntimeError(
            "linalg.svd: the vectors that full_matrices=True adds are arbitrary, so they have no "
            "derivative; pass full_matrices=False"
        )
    (tx,) = t
    k = s.shape[-1]
    uh, v = adjoint(xp, u), adjoint(xp, vh)
    p = xp.bmm(uh, xp.bmm(tx, v))
    ph = adjoint(xp, p)
    plus = over_gaps(xp, p + ph, s, p)
    minus = _unless_zero(xp, p - ph, as_row(xp, s) + as_column(xp, s))
    du = xp.bmm(u, (plus + minus) * 0.5)
    dvh = xp.bmm((minus - plus) * 0.5, vh)
    if u.shape[-2] > k:
        du = du + _unless_zero(xp, xp.bmm(tx, v) - xp.bmm(u, p), as_row(xp, s))
    if vh.shape[-1] > k:
        dvh = dvh + _unless_zero(xp, xp.bmm(uh, tx) - xp.bmm(p, vh), as_column(xp, s))
    return du, re(xp, diagonal(xp, p)), dvh


def _svd_aval(x: Any, full_matrices: bool = False) -> tuple[Aval, Aval, Aval]:
    m, n = x.shape[-2:]
    of_u, of_vh = (m, n) if full_matrices else (min(m, n),) * 2
    batch = x.shape[:-2]
    return Aval((*batch, m, of_u), x.dtype), _real_values(x), Aval((*batch, of_vh, n), x.dtype)


svd_prim = general(
    "svd", _svd, vjp=_svd_vjp, jvp=_svd_jvp, grad_name="LinalgSvd", batch=leading,
    aval=_svd_aval,
    samples=lambda: [
        Sample(general_matrix(3, 3), full_matrices=True),
        Sample(general_matrix(4, 2), full_matrices=False),
        Sample(general_matrix(2, 4), full_matrices=False),
        Sample(general_matrix(2, 2, 2), full_matrices=False),
        Sample(general_matrix(3, 2, 1), full_matrices=False),
    ],
)  # fmt: skip


def _svdvals(x: Any) -> Any:
    _finite(x, "linalg.svd")
    return np.linalg.svd(x, compute_uv=False)


def _svdvals_vjp(xp: Any, g: Any, x: Any) -> Any:
    u, _, vh = xp.svd(x, full_matrices=False)
    return xp.bmm(u * as_row(xp, g), vh)


def _svdvals_jvp(xp: Any, t: Any, x: Any) -> Any:
    u, _, vh = xp.svd(x, full_matrices=False)
    return re(xp, diagonal(xp, xp.bmm(adjoint(xp, u), xp.bmm(t, adjoint(xp, vh)))))


svdvals_prim = general(
    "svdvals", _svdvals, vjps=(_svdvals_vjp,), jvps=(_svdvals_jvp,), grad_name="LinalgSvd",
    batch=leading, aval=_real_values,
    samples=lambda: [
        Sample(general_matrix(3, 3)), Sample(general_matrix(2, 3, 2)),
        Sample(general_matrix(3, 2, complex=True)),
    ],
)  # fmt: skip

SVD = result_type("linalg_svd", "U", "S", "Vh")
TorchSVD = result_type("svd", "U", "S", "V")
Eigh = result_type("linalg_eigh", "eigenvalues", "eigenvectors")
Eig = result_type("linalg_eig", "eigenvalues", "eigenvectors")


def svd(A: Any, full_matrices: bool = True, *, driver: str | None = None) -> Any:
    """The factors of A = U diag(S) Vh, S falling and not negative: named `U`, `S`, `Vh`.

    Singular vectors are unique up to a sign (a phase) only, and where singular values coincide not
    even that.  Gradients are right for functions of the matrix alone, which do not depend on the
    choice; where values coincide exactly, a sum of several such functions that weigh the values
    differently keeps too little to tell their parts from each other: differentiate them apart.

    Args:
        A: (..., m, n).
        full_matrices: U (m, m) and Vh (n, n) instead of (m, k) and (k, n) with k = min(m, n).
        driver: PyTorch's choice of a GPU algorithm; it has no effect.

    Raises:
        LinAlgError: for entries that are not finite.
        RuntimeError: if the argument is not a matrix of floating-point numbers.

    >>> import chainrule as cr
    >>> cr.linalg.svd(cr.tensor([[3.0, 0.0], [0.0, 2.0]])).S
    tensor([3., 2.])
    """
    check_matrix(A, "linalg.svd")
    return SVD(*svd_prim(A, full_matrices=bool(full_matrices)))


@export("svd")
def _torch_svd(input: Any, some: bool = True, compute_uv: bool = True) -> Any:
    """`linalg.svd` under its older name: returns V, not its conjugate transpose."""
    from chainrule.core.namespaces import recorded

    U, S, Vh = svd(input, not some)
    if not compute_uv:
        U, Vh = (wrap(np.zeros(tuple(a.shape), numpy_dtype(a))) for a in (U, Vh))
    return TorchSVD(U, S, adjoint(recorded, Vh))


def svdvals(A: Any, *, driver: str | None = None) -> Any:
    """The singular values, falling.

    Raises:
        LinAlgError: for entries that are not finite.

    >>> import chainrule as cr
    >>> cr.linalg.svdvals(cr.tensor([[3.0, 0.0], [0.0, -4.0]]))
    tensor([4., 3.])
    """
    check_matrix(A, "linalg.svd")
    return svdvals_prim(A)


def _triangle_of(A: Any, uplo: str | None) -> Any:
    """The Hermitian matrix of which A holds one triangle; A itself if none is asked for."""
    from chainrule.core.namespaces import recorded

    if uplo is None:
        return A
    if uplo.upper() not in ("L", "U"):
        raise RuntimeError(f"Expected UPLO argument to be 'L' or 'U', but got {uplo}")
    strict = tril(recorded, A, -1) if uplo.upper() == "L" else triu(recorded, A, 1)
    middle = diagonal_matrix(recorded, diagonal(recorded, A))
    return strict + adjoint(recorded, strict) + middle


def _check_eigh(A: Any) -> None:
    a = operand(A, "linalg.eigh", "A", 1)
    if a.ndim >= 2 and a.shape[-1] == a.shape[-2] and numpy_dtype(a).kind not in "fc":
        raise NotImplementedError(f"\"linalg_eigh_cpu\" not implemented for '{scalar_name(a)}'")
    check_square(A, "linalg.eigh")


def eigh(A: Any, UPLO: str | None = None) -> Any:
    """Eigenvalues, rising, and orthonormal eigenvectors of Hermitian matrices.

    What `svd` says about gradients where values coincide holds here too.

    Args:
        A: (..., n, n); a matrix that is not Hermitian counts as its Hermitian part.
        UPLO: "L" or "U": read only the lower or the upper triangle of A.

    Raises:
        LinAlgError: for entries that are not finite.
        RuntimeError: if the matrices are not square.

    >>> import chainrule as cr
    >>> cr.linalg.eigh(cr.tensor([[3.0, 0.0], [0.0, 2.0]])).eigenvalues
    tensor([2., 3.])
    """
    _check_eigh(A)
    return Eigh(*eigh_prim(_triangle_of(A, UPLO)))


def eigvalsh(A: Any, UPLO: str | None = None) -> Any:
    """The eigenvalues of Hermitian matrices, rising; arguments as for `eigh`.

    Raises:
        LinAlgError: for entries that are not finite.
        RuntimeError: if the matrices are not square.

    >>> import chainrule as cr
    >>> cr.linalg.eigvalsh(cr.tensor([[3.0, 0.0], [0.0, 2.0]]))
    tensor([2., 3.])
    """
    _check_eigh(A)
    return eigvalsh_prim(_triangle_of(A, UPLO))


def eig(A: Any) -> Any:
    """Eigenvalues and eigenvectors, of length 1, of square matrices; always complex.

    Raises:
        RuntimeError: if the matrices are not square or hold entries that are not finite.

    >>> import chainrule as cr
    >>> cr.linalg.eig(cr.tensor([[0.0, 1.0], [-1.0, 0.0]])).eigenvalues.dtype
    chainrule.complex64
    """
    check_square(A, "linalg.eig")
    return Eig(*eig_prim(A))


def eigvals(A: Any) -> Any:
    """The eigenvalues of square matrices; always complex.

    Raises:
        RuntimeError: if the matrices are not square or hold entries that are not finite.
    """
    a = check_square(A, "linalg.eigvals")
    if isinstance(a, np.ndarray) and not np.isfinite(a).all():
        raise RuntimeError("torch.linalg.eig: input tensor should not contain infs or NaNs.")
    return eigvals_prim(A)
