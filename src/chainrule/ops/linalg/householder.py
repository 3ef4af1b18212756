"""Orthogonal matrices given as products of Householder reflections, as LAPACK stores them.

Q = H₁ H₂ ... H_k with H_i = I - τ_i v_i v_iᴴ, where v_i is zero above entry i, one there, and below
it column i of the matrix given.  With the v_i as columns of V,

    Q = I - V T Vᴴ,    T = (I + diag(τ) S)⁻¹ diag(τ),    S strictly upper triangular part of VᴴV,

which a product of two reflections shows: -τ₁ (v₁ᴴv₂) τ₂ is the entry of T next to the diagonal.
All derivatives are those of the products and of the triangular solve.

Source: Schreiber and Van Loan, A storage-efficient WY representation for products of Householder
transformations, SIAM J. Sci. Stat. Comput. 10 (1989); Puglisi, the same journal, 13 (1992).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.namespaces import recorded as xp
from chainrule.ops.api import export
from chainrule.ops.linalg.common import (
    adjoint,
    as_column,
    check_matrix,
    columns,
    diagonal_matrix,
    numpy_dtype,
    operand,
    scalar_name,
    tril,
    triu,
)  # fmt: skip
from chainrule.ops.linalg.solve import triangular_prim


def _reflectors(A: Any, tau: Any) -> tuple[Any, Any]:
    """V and T, so that Q = I - V T Vᴴ."""
    m, k = A.shape[-2], tau.shape[-1]
    eye = np.eye(m, k, dtype=numpy_dtype(operand(A, "", "input", 1)))
    v = tril(xp, columns(xp, A, 0, k), -1) + eye
    overlaps = triu(xp, xp.bmm(adjoint(xp, v), v), 1)
    return v, triangular_prim(
        as_column(xp, tau) * overlaps, diagonal_matrix(xp, tau), upper=True, unit=True
    )


def _checked(A: Any, tau: Any, name: str) -> tuple[Any, Any]:
    """The arrays behind reflections.

    Raises:
        RuntimeError: if their shapes or dtypes do not fit.
    """
    a, t = operand(A, name, "input", 1), operand(tau, name, "tau", 2)
    if a.ndim < 2:
        raise RuntimeError(f"{name}: input must have at least 2 dimensions.")
    if t.ndim != a.ndim - 1:
        raise RuntimeError(
            f"{name}: Expected tau to have one dimension less than input, but got tau.ndim equal "
            f"to {t.ndim} and input.ndim is equal to {a.ndim}"
        )
    if tuple(t.shape[:-1]) != tuple(a.shape[:-2]):
        raise RuntimeError(
            f"{name}: Expected batch dimensions of tau to be equal to input.shape[:-2], but got "
            f"{list(t.shape[:-1])}"
        )
    check_matrix(A, name, "input")
    if t.dtype != a.dtype:
        raise RuntimeError(
            f"{name}: tau dtype {scalar_name(t)} does not match input dtype {scalar_name(a)}"
        )
    return a, t


def householder_product(A: Any, tau: Any) -> Any:
    """The first n columns of a product of Householder reflections.

    Args:
        A: (..., m, n), n at most m: below the diagonal, the vectors of the reflections.
        tau: (..., k), k at most n: their factors.

    Raises:
        RuntimeError: if the shapes or dtypes do not fit.

    Source: Schreiber and Van Loan, A storage-efficient WY representation for products of
    Householder transformations, SIAM J. Sci. Stat. Comput. 10 (1989).

    >>> import chainrule as cr
    >>> cr.linalg.householder_product(cr.tensor([[1.0], [0.5]]), cr.tensor([1.6]))
    tensor([[-0.6000],
            [-0.8000]])
    """
    name = "torch.linalg.householder_product"
    a, t = _checked(A, tau, name)
    m, n = a.shape[-2:]
    if m < n:
        raise RuntimeError(
            f"{name}: input.shape[-2] must be greater than or equal to input.shape[-1]"
        )
    if n < t.shape[-1]:
        raise RuntimeError(
            f"{name}: input.shape[-1] must be greater than or equal to tau.shape[-1]"
        )
    v, inner = _reflectors(A, tau)
    eye = np.eye(m, n, dtype=numpy_dtype(a))
    first = adjoint(xp, columns(xp, adjoint(xp, v), 0, n))  # the first n rows of V
    return eye - xp.bmm(v, xp.bmm(inner, adjoint(xp, first)))


export("orgqr")(householder_product)


@export()
def ormqr(input: Any, tau: Any, other: Any, left: bool = True, transpose: bool = False) -> Any:
    """The product of a matrix and a square orthogonal one, given as Householder reflections.

    Args:
        input, tau: as in `linalg.householder_product`; all of Q is used.
        other: (..., m, p), or (..., p, m) if not `left`.
        left: whether Q stands on the left of `other`.
        transpose: whether Qᴴ is taken instead.

    Raises:
        RuntimeError: if the shapes or dtypes do not fit.

    >>> import chainrule as cr
    >>> cr.ormqr(cr.tensor([[1.0], [0.5]]), cr.tensor([1.6]), cr.eye(2))
    tensor([[-0.6000, -0.8000],
            [-0.8000,  0.6000]])
    """
    name = "torch.ormqr"
    a, t = _checked(input, tau, name)
    c = operand(other, name, "other", 3)
    if c.ndim != a.ndim:
        raise RuntimeError(
            f"{name}: Expected other to have the same number of dimensions as input, but got "
            f"other.ndim equal to {c.ndim} and input.ndim is equal to {a.ndim}"
        )
    side = -2 if left else -1
    if c.shape[side] != a.shape[-2]:
        raise RuntimeError(f"{name}: other.shape[{side}] must be equal to input.shape[-2]")
    if t.shape[-1] != min(c.shape[side], a.shape[-1]):
        raise RuntimeError(
            f"{name}: tau.shape[-1] must be equal to min(other.shape[{side}], input.shape[-1])"
        )
    if c.dtype != a.dtype:
        raise RuntimeError(
            f"{name}: Expected input and other to have the same dtype, but input has dtype "
            f"{scalar_name(a)} and other has dtype {scalar_name(c)}"
        )
    v, inner = _reflectors(input, tau)
    inner = adjoint(xp, inner) if transpose else inner
    if left:
        return other - xp.bmm(v, xp.bmm(inner, xp.bmm(adjoint(xp, v), other)))
    return other - xp.bmm(xp.bmm(xp.bmm(other, v), inner), adjoint(xp, v))


__all__ = ["householder_product", "ormqr"]
