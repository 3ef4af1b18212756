"""Pseudo-inverses and least squares."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from chainrule.core.avals import last_replaced, shape_of
from chainrule.core.batching import rank, spread, with_rank
from chainrule.core.boxes import is_box
from chainrule.core.dtypes import NUMPY_INT64
from chainrule.core.kinds import general
from chainrule.core.namespaces import recorded
from chainrule.core.node import Aval
from chainrule.core.samples import Sample
from chainrule.core.tensor import Tensor, wrap
from chainrule.ops import arithmetic
from chainrule.ops.api import export
from chainrule.ops.extremes import amax_prim
from chainrule.ops.index import getitem
from chainrule.ops.linalg.common import (
    adjoint,
    adjoint_raw,
    general_matrix,
    numpy_dtype,
    operand,
    scalar_name,
)  # fmt: skip
from chainrule.ops.linalg.spectral import svdvals_prim
from chainrule.ops.norms import vector_norm_prim
from chainrule.ops.products import bmm_prim
from chainrule.ops.results import result_type
from chainrule.ops.shape import reshape_prim


# The pseudo-inverse P of A (Golub & Pereyra 1973, theorem 4.3), at constant rank:
#   dP = -P dA P + P Pᴴ dAᴴ (I - AP) + (I - PA) dAᴴ Pᴴ P,
# whose adjoint maps g to -Pᴴ g Pᴴ + (I - AP) gᴴ P Pᴴ + Pᴴ P gᴴ (I - PA).
# y (..., 1), if not None, says which singular values count as zero: those up to it.
def _pinv(x: Any, y: Any, rtol: float | None, atol: float | None) -> Any:
    u, s, vh = np.linalg.svd(x, full_matrices=False)
    keep = s > (tolerance(x, s, rtol, atol) if y is None else y)
    inverse = np.where(keep, 1 / np.where(keep, s, 1), 0)  # more of them than of x, if y has more
    return np.matmul(adjoint_raw(vh) * inverse[..., None, :], adjoint_raw(u)).astype(x.dtype)


def tolerance(x: Any, s: Any, rtol: float | None, atol: float | None) -> Any:
    """Up to what singular values count as zero: max(atol, rtol·largest), PyTorch's defaults."""
    if rtol is None:
        eps = float(np.finfo(x.dtype).eps)
        rtol = 0.0 if atol is not None and atol > 0 else max(x.shape[-2:]) * eps
    largest = s.max(-1, keepdims=True, initial=0)
    return np.maximum(atol or 0.0, rtol * largest)


def _pinv_vjp(xp: Any, g: Any, x: Any, out: Any) -> Any:
    ph, gh = adjoint(xp, out), adjoint(xp, g)
    a = xp.bmm(gh, xp.bmm(out, ph))
    b = xp.bmm(xp.bmm(ph, out), gh)
    return (
        (a - xp.bmm(x, xp.bmm(out, a)))
        + (b - xp.bmm(xp.bmm(b, out), x))
        - xp.bmm(ph, xp.bmm(g, ph))
    )


def _pinv_jvp(xp: Any, t: Any, x: Any, out: Any) -> Any:
    ph, th = adjoint(xp, out), adjoint(xp, t)
    a = xp.bmm(xp.bmm(out, ph), th)
    b = xp.bmm(th, xp.bmm(ph, out))
    return (
        (a - xp.bmm(xp.bmm(a, x), out))
        + (b - xp.bmm(out, xp.bmm(x, b)))
        - xp.bmm(out, xp.bmm(t, out))
    )


def _limited_batch(prim: Any, size: int, args: Any, mapped: Any, params: Any) -> Any:
    """The batch rule of an operation of a matrix and a limit (..., 1), or None."""
    x, y = args
    if not mapped[0]:
        x = spread(x, size)
    return prim.apply((x, with_rank(y, rank(x) - 2) if mapped[1] else y), params)


pinv_prim = general(
    "pinv", _pinv, vjps=(_pinv_vjp, None), jvps=(_pinv_jvp, None), grad_name="LinalgPinv",
    aval=last_replaced(2, lambda m, n: (n, m)), batch=_limited_batch,
    samples=lambda: [
        Sample(general_matrix(3, 2), None, rtol=None, atol=None),
        Sample(general_matrix(2, 3, 2), None, rtol=1e-3, atol=None),
        Sample(general_matrix(2, 2, complex=True), None, rtol=None, atol=1e-6),
        Sample(general_matrix(2, 3, 2), np.array([[1e-6], [1e-9]]), rtol=None, atol=None),
    ],
)  # fmt: skip


def _rank(x: Any, y: Any, rtol: float | None, atol: float | None, hermitian: bool) -> Any:
    s = np.abs(np.linalg.eigvalsh(x)) if hermitian else np.linalg.svd(x, compute_uv=False)
    return (s > (tolerance(x, s, rtol, atol) if y is None else y)).sum(-1)


def _rank_aval(x: Any, y: Any, **params: Any) -> Aval:
    return Aval(np.broadcast_shapes(x.shape[:-2], shape_of(y)[:-1]), NUMPY_INT64)


# How many singular values of x exceed y (..., 1), or, if y is None, the usual tolerance.
rank_prim = general(
    "matrix_rank", _rank, aval=_rank_aval, batch=_limited_batch,
    samples=lambda: [
        Sample(general_matrix(3, 2), None, rtol=None, atol=None, hermitian=False),
        Sample(general_matrix(2, 2, 3), np.array([[0.5], [1.2], [4.0]]), rtol=None, atol=None,
               hermitian=False),
        Sample(np.diag([1.0, 0.0]), None, rtol=None, atol=1e-3, hermitian=True),
    ],
)  # fmt: skip


def as_number(x: Any) -> Any:
    """A tolerance given as a number or as a tensor of one number."""
    return x if x is None else float(getattr(x, "array", x))


def limit_of(A: Any, rtol: Any, atol: Any) -> tuple[Any, float | None, float | None]:
    """Which singular values count as zero: a limit (..., 1) or None, and the tolerances if None.

    Tolerances may be tensors, with one number for each matrix of a batch.
    """
    if not any(isinstance(t, Tensor) and (is_box(t) or t.ndim) for t in (rtol, atol)):
        return None, as_number(rtol), as_number(atol)
    s = svdvals_prim(A.detach() if isinstance(A, Tensor) else A)
    largest = amax_prim(s, axis=(s.ndim - 1,), keepdims=True) if s.shape[-1] else 0.0
    if rtol is None:
        eps = float(np.finfo(s.array.dtype).eps) * max(A.shape[-2:])
        rtol = recorded.where(_column(atol) > 0, 0.0, eps)
    else:
        rtol = _column(rtol)
    return (
        arithmetic.multiply(rtol, largest).maximum(_column(0.0 if atol is None else atol)),
        None,
        None,
    )


def _column(x: Any) -> Any:
    """A tolerance per matrix as one per row of singular values."""
    x = x.detach() if isinstance(x, Tensor) else wrap(np.asarray(x))
    return reshape_prim(x, shape=(*x.shape, 1))


def pinv(
    A: Any, rcond: Any = None, *, rtol: Any = None, atol: Any = None, hermitian: bool = False
) -> Any:
    """The pseudo-inverse (Moore and Penrose) of a matrix, or of each in a batch.

    Singular values of at most max(atol, rtol·largest) count as zero; tolerances may be tensors with
    one number for each matrix of a batch.

    Raises:
        RuntimeError: if the argument is not a matrix of floating-point numbers.

    >>> import chainrule as cr
    >>> cr.linalg.pinv(cr.tensor([[2.0, 0.0], [0.0, 0.0]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.0000]])
    """
    a = operand(A, "linalg.pinv", "A", 1)
    if a.ndim < 2 or a.dtype.name not in ("float32", "float64", "complex64", "complex128"):
        raise RuntimeError(
            f"linalg.pinv({scalar_name(a)}{{{list(a.shape)}}}): expected a tensor with 2 or more "
            "dimensions of float, double, cfloat or cdouble types"
        )
    limit, rtol, atol = limit_of(A, rtol if rcond is None else rcond, atol)
    return pinv_prim(A, limit, rtol=rtol, atol=atol)


export("pinverse")(pinv)

Lstsq = result_type("linalg_lstsq", "solution", "residuals", "rank", "singular_values")


def lstsq(A: Any, B: Any, rcond: Any = None, *, driver: str | None = None) -> Any:
    """The X that makes ‖AX - B‖ least (and among several, ‖X‖): by the pseudo-inverse of A.

    Args:
        A: (..., m, n).
        B: (..., m, k), or a vector (m).
        rcond: singular values below rcond·largest count as zero.
        driver: PyTorch's choice of algorithm, which decides what else is returned: "gels",
            "gelsd" and "gelss" the squared residuals of overdetermined systems of full rank,
            "gelsd" and "gelss" the singular values of A.

    Raises:
        RuntimeError: if the shapes do not fit.
    """
    a = operand(A, "linalg.lstsq", "A", 1)
    b = operand(B, "linalg.lstsq", "B", 2)
    if a.ndim < 2:
        raise RuntimeError("torch.linalg.lstsq: input must have at least 2 dimensions.")
    vector = b.ndim == a.ndim - 1
    if a.shape[-2] != b.shape[-1 if vector else -2]:
        raise RuntimeError(
            f"torch.linalg.lstsq: input.size(-2) should match other.size({-1 if vector else -2})"
        )
    M = reshape_prim(B, shape=(*b.shape, 1)) if vector else B
    X = bmm_prim(pinv(A, rcond), M)
    found = rank_prim(A, None, rtol=as_number(rcond), atol=None, hermitian=False)
    wanted = a.shape[-2] > a.shape[-1] and driver in ("gels", "gelsd", "gelss")
    if wanted and not isinstance(found.array, np.ndarray):
        raise RuntimeError(
            f"linalg.lstsq: with driver='{driver}' the shape of the residuals depends on the rank "
            "of A, and under vmap every example has its own; leave out the driver and compute "
            "((A @ solution - B) ** 2).sum(-2)"
        )
    if wanted and bool((found == a.shape[-1]).all()):
        off = bmm_prim(A, X) - M
        residuals = vector_norm_prim(off, ord=2.0, axis=(X.ndim - 2,), keepdims=False) ** 2
    else:
        flat = reshape_prim(X, shape=(prod(X.shape),))
        residuals = recorded.real(getitem(flat, index=(("slice", 0, 0, None),)))
    if vector:
        X = reshape_prim(X, shape=tuple(X.shape[:-1]))
    dt = np.empty(0, numpy_dtype(a)).real.dtype
    shown = svdvals_prim(A.detach()) if driver in ("gelsd", "gelss") else wrap(np.empty(0, dt))
    return Lstsq(X, residuals, wrap(np.empty(0, np.int64)) if driver == "gels" else found, shown)
