"""LU factorisation with partial pivoting, and systems solved with it."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from chainrule.core.avals import last_replaced, same, several, typed
from chainrule.core.batching import leading
from chainrule.core.boxes import is_box
from chainrule.core.kinds import general
from chainrule.core.namespaces import recorded
from chainrule.core.node import Aval
from chainrule.core.samples import Sample
from chainrule.core.tensor import wrap
from chainrule.ops.api import export
from chainrule.ops.linalg.common import (
    adjoint,
    batch_element,
    check_matrix,
    columns,
    first_zero,
    general_matrix,
    info_each,
    numpy_dtype,
    operand,
    rows_of,
    transpose,
    tril,
    triu,
    values_each,
)  # fmt: skip
from chainrule.ops.linalg.elimination import factorize
from chainrule.ops.linalg.solve import check_system, triangular_prim
from chainrule.ops.products import bmm_prim
from chainrule.ops.results import result_type


def permutation(order: Any, dtype: Any) -> Any:
    """The matrix P with A = P L U, from the order of the rows of A in L U."""
    n = order.shape[-1]
    return np.swapaxes(order[..., None] == np.arange(n), -1, -2).astype(dtype)


def _lu(x: Any, pivot: bool = True) -> tuple[Any, Any, Any]:
    packed, pivots, order = factorize(x, pivot)
    return packed, (pivots + 1).astype(np.int32), permutation(order, x.dtype)


def _unpack(xp: Any, packed: Any) -> tuple[Any, Any]:
    m, n = packed.shape[-2:]
    k = min(m, n)
    lower = tril(xp, columns(xp, packed, 0, k), -1) + np.eye(m, k, dtype=bool)
    return lower, triu(xp, rows_of(xp, packed, 0, k))


# Square: L⁻¹ Pᵀ dA U⁻¹ = L⁻¹ dL + dU U⁻¹ =: M, strictly lower plus upper triangular, so
# dL = L tril(M, -1), dU = triu(M) U.  The further rows of a tall matrix obey L₂ U = A₂, the further
# columns of a wide one L U₂ = A₂.
def _lu_vjp(xp: Any, g: Any, out: Any, pivot: bool) -> tuple[Any]:
    gp, (packed, _, p) = g[0], out
    if gp is None:
        return (None,)
    m, n = packed.shape[-2:]
    k = min(m, n)
    lower, upper = _unpack(xp, packed)
    l1, u1 = rows_of(xp, lower, 0, k), columns(xp, upper, 0, k)
    head = columns(xp, rows_of(xp, gp, 0, k), 0, k)
    gl, gu = tril(xp, head, -1), triu(xp, head)
    l1h, u1h = adjoint(xp, l1), adjoint(xp, u1)
    rest = None
    if m > n:
        # X U⁻ᴴ = (U⁻¹ Xᴴ)ᴴ
        tail = adjoint(xp, rows_of(xp, gp, k, m))
        rest = adjoint(xp, xp.solve_triangular(u1, tail, upper=True, unit=False))
        gu = gu - triu(xp, xp.bmm(adjoint(xp, rows_of(xp, lower, k, m)), rest))
    elif n > m:
        tail = columns(xp, gp, k, n)
        rest = xp.solve_triangular(l1h, tail, upper=True, unit=True)
        gl = gl - tril(xp, xp.bmm(rest, adjoint(xp, columns(xp, upper, k, n))), -1)
    inner = tril(xp, xp.bmm(l1h, gl), -1) + triu(xp, xp.bmm(gu, u1h))
    left = xp.solve_triangular(l1h, inner, upper=True, unit=True)
    ga = adjoint(xp, xp.solve_triangular(u1, adjoint(xp, left), upper=True, unit=False))
    if rest is not None:
        ga = xp.concat(ga, rest, axis=ga.ndim - (2 if m > n else 1))
    return (xp.bmm(p, ga),)


def _lu_jvp(xp: Any, t: Any, out: Any, pivot: bool) -> tuple[Any, None, None]:
    packed, _, p = out
    m, n = packed.shape[-2:]
    k = min(m, n)
    lower, upper = _unpack(xp, packed)
    l1, u1 = rows_of(xp, lower, 0, k), columns(xp, upper, 0, k)
    change = xp.bmm(adjoint(xp, p), t[0])
    head = columns(xp, rows_of(xp, change, 0, k), 0, k)
    left = xp.solve_triangular(l1, head, upper=False, unit=True)
    both = adjoint(
        xp, xp.solve_triangular(adjoint(xp, u1), adjoint(xp, left), upper=False, unit=False)
    )
    dl, du = xp.bmm(l1, tril(xp, both, -1)), xp.bmm(triu(xp, both), u1)
    made = dl + du
    if m > n:
        rest = rows_of(xp, change, k, m) - xp.bmm(rows_of(xp, lower, k, m), du)
        rest = xp.solve_triangular(adjoint(xp, u1), adjoint(xp, rest), upper=False, unit=False)
        made = xp.concat(made, adjoint(xp, rest), axis=made.ndim - 2)
    elif n > m:
        rest = columns(xp, change, k, n) - xp.bmm(dl, columns(xp, upper, k, n))
        rest = xp.solve_triangular(l1, rest, upper=False, unit=True)
        made = xp.concat(made, rest, axis=made.ndim - 1)
    return made, None, None


lu_prim = general(
    "lu", _lu, vjp=_lu_vjp, jvp=_lu_jvp, grad_name="LinalgLuFactorEx", batch=leading,
    aval=several(same, typed(values_each, np.int32), last_replaced(2, lambda m, n: (m, m))),
    samples=lambda: [
        Sample(general_matrix(3, 3), pivot=True), Sample(general_matrix(4, 2), pivot=True),
        Sample(general_matrix(2, 4), pivot=True), Sample(general_matrix(2, 2, 2), pivot=True),
        Sample(general_matrix(2, 2) + 2 * np.eye(2), pivot=False),
        Sample(general_matrix(3, 2, complex=True), pivot=True),
    ],
)  # fmt: skip


def _check_pivots(x: Any, check: bool) -> Any:
    """Per matrix the number, from 1, of the first zero on the diagonal of U, or 0."""
    info = first_zero(np.diagonal(x, axis1=-2, axis2=-1))
    if check and info.any():
        k = info[info > 0].flat[0]
        raise RuntimeError(
            f"torch.linalg.lu_factor: {batch_element(info > 0)}U[{k},{k}] is zero and using it on "
            "lu_solve would result in a division by zero. If you still want to perform the "
            "factorization, consider calling linalg.lu(A, pivot) or linalg.lu_factor_ex(A, pivot)"
        )
    return info


lu_info_prim = general(
    "lu_info", _check_pivots, batch=leading, aval=info_each,
    samples=lambda: [
        Sample(general_matrix(3, 2), check=True), Sample(np.zeros((2, 2, 2)), check=False),
    ],
    doc="Per packed L and U the number, from 1, of the first pivot that is zero; 0 if none is.",
)  # fmt: skip
LU = result_type("linalg_lu", "P", "L", "U")
LUFactor = result_type("linalg_lu_factor", "LU", "pivots")
LUFactorEx = result_type("linalg_lu_factor_ex", "LU", "pivots", "info")


def lu(A: Any, *, pivot: bool = True) -> Any:
    """The factors of A = P L U: a permutation, a unit lower and an upper triangular matrix.

    Raises:
        RuntimeError: if the argument is not a matrix of floating-point numbers.

    >>> import chainrule as cr
    >>> cr.linalg.lu(cr.tensor([[0.0, 2.0], [3.0, 4.0]])).U
    tensor([[3., 4.],
            [0., 2.]])
    """
    a = check_matrix(A, "linalg.lu")
    packed, _, p = lu_prim(A, pivot=pivot)
    lower, upper = _unpack(recorded, packed)
    if not pivot:
        return LU(wrap(np.empty(0, numpy_dtype(a))), lower, upper)
    return LU(p.detach() if is_box(p) else wrap(p.array), lower, upper)


def lu_factor_ex(A: Any, *, pivot: bool = True, check_errors: bool = False) -> Any:
    """L and U in one matrix, the row exchanges (from 1), and per matrix the first zero pivot or 0.

    Raises:
        RuntimeError: if a pivot is zero and `check_errors` is set.
    """
    a = operand(A, "torch.lu_factor", "A", 1)
    if a.ndim < 2:
        raise RuntimeError(
            "torch.lu_factor: Expected tensor with 2 or more dimensions. Got size: "
            f"{list(a.shape)} instead"
        )
    check_matrix(A, "torch.linalg.lu_factor")
    packed, pivots, _ = lu_prim(A, pivot=pivot)
    return LUFactorEx(packed, pivots, lu_info_prim(packed, check=check_errors))


def lu_factor(A: Any, *, pivot: bool = True) -> Any:
    """L and U in one matrix, and the row exchanges (from 1): named `LU`, `pivots`.

    Raises:
        RuntimeError: if a pivot is zero.

    >>> import chainrule as cr
    >>> cr.linalg.lu_factor(cr.tensor([[0.0, 2.0], [3.0, 4.0]])).pivots.tolist()
    [2, 2]
    """
    return LUFactor(*lu_factor_ex(A, pivot=pivot, check_errors=True)[:2])


def _order_of(pivots: Any, n: int) -> Any:
    """The order of rows that a sequence of exchanges (from 1) leads to."""
    flat = pivots.reshape(prod(pivots.shape[:-1]), pivots.shape[-1]) - 1
    order = np.tile(np.arange(n), (len(flat), 1))
    every = np.arange(len(flat))
    for k in range(flat.shape[1]):
        p = flat[:, k]
        order[every, k], order[every, p] = order[every, p], order[every, k].copy()
    return order.reshape((*pivots.shape[:-1], n))


exchange_prim = general(
    "exchange", lambda x, n, dtype: permutation(_order_of(x, n), dtype), batch=leading,
    aval=lambda x, n, dtype: Aval((*x.shape[:-1], n, n), dtype),
    samples=lambda: [
        Sample(np.array([2, 3, 3], np.int32), n=3, dtype=np.dtype(np.float64)),
        Sample(np.array([[2, 2], [1, 2]], np.int32), n=2, dtype=np.dtype(np.float64)),
    ],
    doc="The matrix P of a sequence of row exchanges (from 1), as `lu_factor` gives them.",
)  # fmt: skip


def lu_solve(LU: Any, pivots: Any, B: Any, *, left: bool = True, adjoint: bool = False) -> Any:
    """The solution of AX = B (XA = B, AᴴX = B, XAᴴ = B), given what `lu_factor` made of A.

    Raises:
        RuntimeError: if the shapes do not fit.
    """
    from chainrule.ops.products import adjoint as adjoint_of

    a = operand(LU, "linalg.lu_solve", "LU", 1)
    b = operand(B, "linalg.lu_solve", "B", 3)
    check_system(a, b, left, "linalg.lu_solve")
    if not left:  # X A = B is Aᴴ Xᴴ = Bᴴ
        turned = lu_solve(LU, pivots, adjoint_of(recorded, B), adjoint=not adjoint)
        return adjoint_of(recorded, turned)
    operand(pivots, "linalg.lu_solve", "pivots", 2)
    perm = exchange_prim(pivots, n=a.shape[-1], dtype=numpy_dtype(a))
    if adjoint:
        upper, lower = adjoint_of(recorded, LU), adjoint_of(recorded, LU)
        half = triangular_prim(upper, B, upper=False, unit=False)
        return bmm_prim(perm, triangular_prim(lower, half, upper=True, unit=True))
    half = triangular_prim(LU, bmm_prim(transpose(recorded, perm), B), upper=False, unit=True)
    return triangular_prim(LU, half, upper=True, unit=False)


@export("lu")
def _torch_lu(A: Any, pivot: bool = True, get_infos: bool = False) -> Any:
    """`linalg.lu_factor` under its older name; with `get_infos`, as `linalg.lu_factor_ex`."""
    found = lu_factor_ex(A, pivot=pivot, check_errors=not get_infos)
    return tuple(found) if get_infos else tuple(found[:2])


@export("lu_solve")
def _torch_lu_solve(b: Any, LU_data: Any, LU_pivots: Any) -> Any:
    """`linalg.lu_solve` under its older name and order of arguments."""
    return lu_solve(LU_data, LU_pivots, b)
