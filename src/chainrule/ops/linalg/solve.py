"""Inverses and linear systems."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.avals import matrix_product, same
from chainrule.core.batching import folded, leading, rank, shape_of, unfolded
from chainrule.core.kinds import general
from chainrule.core.samples import Sample, uniform
from chainrule.core.tensor import wrap
from chainrule.ops.api import export
from chainrule.ops.compare import where_prim
from chainrule.ops.linalg.common import (
    LinAlgError,
    adjoint,
    batch_element,
    check_square,
    first_zero,
    general_matrix,
    info_each,
    numpy_dtype,
    operand,
    scalar_name,
    tril,
    triu,
)  # fmt: skip
from chainrule.ops.linalg.elimination import factorize
from chainrule.ops.results import result_type
from chainrule.ops.shape import permute_dims, reshape_prim

SolveEx = result_type("linalg_solve_ex", "result", "info")
InvEx = result_type("linalg_inv_ex", "inverse", "info")


def first_zero_pivot(a: Any) -> Any:
    """Per matrix the number, from 1, of the first pivot that is zero; 0 if there is none."""
    return first_zero(np.diagonal(factorize(a)[0], axis1=-2, axis2=-1))


zero_pivot_prim = general(
    "zero_pivot", first_zero_pivot, batch=leading, aval=info_each,
    samples=lambda: [
        Sample(general_matrix(2, 2)), Sample(np.ones((2, 3, 3))), Sample(np.zeros((2, 2))),
    ],
    doc="Per matrix the number, from 1, of the first pivot that is zero; 0 if there is none.",
)  # fmt: skip


def looks_sound(x: Any) -> bool:
    """Whether a tensor is seen to hold no nan; the values of mapped ones cannot be seen."""
    return isinstance(x.array, np.ndarray) and not np.isnan(x.array).any()


def _inv(x: Any, check: bool = True) -> Any:
    try:
        return np.linalg.inv(x)
    except np.linalg.LinAlgError:
        pivots = first_zero_pivot(x)
    if check:
        k = pivots[pivots > 0].flat[0]
        raise LinAlgError(
            f"linalg.inv: {batch_element(pivots > 0)}The diagonal element {k} is zero, the "
            "inversion could not be completed because the input matrix is singular."
        )
    bad = (pivots > 0)[..., None, None]
    return np.where(bad, np.nan, np.linalg.inv(np.where(bad, np.eye(x.shape[-1]), x))).astype(
        x.dtype
    )


# d(A⁻¹) = -A⁻¹ dA A⁻¹.  With check=False a singular matrix gives nan instead of an error.
inv_prim = general(
    "inv", _inv,
    vjps=(lambda xp, g, out: -xp.bmm(adjoint(xp, out), xp.bmm(g, adjoint(xp, out))),),
    jvps=(lambda xp, t, out: -xp.bmm(out, xp.bmm(t, out)),),
    grad_name="LinalgInvEx", symbol="inv({})", batch=leading, aval=same,
    samples=lambda: [
        Sample(general_matrix(3, 3), check=True), Sample(general_matrix(2, 2, 2), check=False),
        Sample(general_matrix(2, 2, complex=True), check=True),
    ],
)  # fmt: skip


def _system_batch(prim: Any, size: int, args: Any, mapped: Any, params: Any) -> Any:
    """One matrix for all examples is factorised once: their right sides are its columns."""
    x, y = args
    if mapped[0] or rank(x) > 2 or rank(y) > 3:
        return leading(prim, size, args, mapped, params)
    columns = shape_of(y)[-1]
    return unfolded(prim.apply((x, folded(y, 1)), params), size, 1, columns)


def _as_columns(a: Any, y: Any) -> Any:
    """Right sides (B, n, k) as one matrix if their systems are one, spread over them; else None.

    Mapped over a batch, a matrix that is the same for all examples comes with a stride of 0.
    """
    if a.ndim != 3 or y.ndim != 3 or a.strides[0] or a.shape[0] != y.shape[0] or not a.shape[0]:
        return None
    return y.transpose(1, 0, 2).reshape(y.shape[1], y.shape[0] * y.shape[2])


def _from_columns(x: Any, y: Any) -> Any:
    return x.reshape(y.shape[1], y.shape[0], y.shape[2]).transpose(1, 0, 2)


def _solve(x: Any, y: Any) -> Any:
    try:
        together = _as_columns(x, y)
        if together is not None:
            return _from_columns(np.linalg.solve(x[0], together), y)
        return np.linalg.solve(x, y)
    except np.linalg.LinAlgError:
        raise LinAlgError(
            f"torch.linalg.solve: {batch_element(first_zero_pivot(x) > 0)}The solver failed "
            "because the input matrix is singular."
        ) from None


def _solve_vjp(xp: Any, g: Any, x: Any, out: Any, need: Any) -> tuple[Any, Any]:
    """gB = A⁻ᴴ g, gA = -gB Xᴴ."""
    gb = xp.solve(adjoint(xp, x), g)
    ga = -xp.bmm(gb, adjoint(xp, out)) if need[0] else None
    return ga, gb if need[1] else None


def _solve_jvp(xp: Any, t: Any, x: Any, out: Any) -> Any:
    ta, tb = t
    change = 0 if ta is None else -xp.bmm(ta, out)
    return xp.solve(x, change if tb is None else change + tb)


solve_prim = general(
    "solve", _solve, vjp=_solve_vjp, jvp=_solve_jvp, grad_name="LinalgSolveEx",
    symbol="solve({}, {})", batch=_system_batch, aval=matrix_product,
    samples=lambda: [
        Sample(general_matrix(3, 3), general_matrix(3, 2)),
        Sample(general_matrix(2, 2, 2), general_matrix(2, 1)),
        Sample(general_matrix(2, 2), general_matrix(2, 3, 2)),
        Sample(general_matrix(2, 2, complex=True), general_matrix(2, 1, complex=True)),
    ],
)  # fmt: skip


def _substitute(a: Any, y: Any, upper: bool) -> Any:
    """Back substitution row by row: a zero on the diagonal gives infinities, not an error."""
    n = a.shape[-1]
    shape = np.broadcast_shapes(a.shape[:-2], y.shape[:-2])
    x = np.array(np.broadcast_to(y, (*shape, *y.shape[-2:])))
    with np.errstate(all="ignore"):
        for i in reversed(range(n)) if upper else range(n):
            known = slice(i + 1, None) if upper else slice(0, i)
            part = np.matmul(a[..., i : i + 1, known], x[..., known, :])
            x[..., i, :] = (x[..., i, :] - part[..., 0, :]) / a[..., i, i][..., None]
    return x


def _solve_triangular(x: Any, y: Any, upper: bool, unit: bool) -> Any:
    together = _as_columns(x, y)
    if together is not None:
        return _from_columns(_solve_triangular(x[0], together, upper, unit), y)
    part = np.triu(x, int(unit)) if upper else np.tril(x, -int(unit))
    if unit:
        part += np.eye(x.shape[-1], dtype=part.dtype)
    try:
        return np.linalg.solve(part, y)
    except np.linalg.LinAlgError:
        return _substitute(part, y, upper)


def _triangular_vjp(
    xp: Any, g: Any, x: Any, out: Any, need: Any, upper: bool, unit: bool
) -> tuple[Any, Any]:
    gb = xp.solve_triangular(adjoint(xp, x), g, upper=not upper, unit=unit)
    if not need[0]:
        return None, gb
    ga = -xp.bmm(gb, adjoint(xp, out))
    ga = triu(xp, ga, int(unit)) if upper else tril(xp, ga, -int(unit))
    return ga, gb if need[1] else None


def _triangular_jvp(xp: Any, t: Any, x: Any, out: Any, upper: bool, unit: bool) -> Any:
    ta, tb = t
    change = 0
    if ta is not None:
        ta = triu(xp, ta, int(unit)) if upper else tril(xp, ta, -int(unit))
        change = -xp.bmm(ta, out)
    return xp.solve_triangular(x, change if tb is None else change + tb, upper=upper, unit=unit)


triangular_prim = general(
    "solve_triangular", _solve_triangular, vjp=_triangular_vjp, jvp=_triangular_jvp,
    grad_name="LinalgSolveTriangular", batch=_system_batch, aval=matrix_product,
    samples=lambda: [
        *(Sample(general_matrix(3, 3) + 2 * np.eye(3), general_matrix(3, 2), upper=upper, unit=unit)
          for upper in (True, False) for unit in (True, False)),
        Sample(general_matrix(2, 2, 2) + 2 * np.eye(2), uniform(2, 1), upper=True, unit=False),
    ],
)  # fmt: skip


def inv(A: Any) -> Any:
    """The inverse of a square matrix, or of each in a batch.

    Raises:
        LinAlgError: if a matrix is singular.
        RuntimeError: if the matrices are not square.

    >>> import chainrule as cr
    >>> cr.linalg.inv(cr.tensor([[2.0, 0.0], [0.0, 4.0]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.2500]])
    """
    check_square(A, "linalg.inv")
    return inv_prim(A, check=True)


export("inverse")(inv)


def inv_ex(A: Any, *, check_errors: bool = False) -> Any:
    """The inverse, and per matrix 0 or the number of the pivot that is zero.

    Raises:
        LinAlgError: if a matrix is singular and `check_errors` is set.
    """
    a = check_square(A, "linalg.inv_ex")
    inverse = inv_prim(A, check=check_errors)
    if looks_sound(inverse):
        return InvEx(inverse, wrap(np.zeros(a.shape[:-2], np.int32)))
    return InvEx(inverse, zero_pivot_prim(A))


def _is_vector(a: Any, b: Any) -> bool:
    return b.ndim == 1 or (a.ndim - 1 == b.ndim and b.shape == a.shape[:-1])


def check_system(a: Any, b: Any, left: bool, name: str) -> None:
    """Raise unless the shapes and dtypes of AX = B (or XA = B) fit."""
    if a.dtype != b.dtype:
        raise RuntimeError(
            f"{name}: Expected A and B to have the same dtype, but found A of type "
            f"{scalar_name(a)} and B of type {scalar_name(b)} instead"
        )
    if (b.shape[-2] if left else b.shape[-1]) != a.shape[-1]:
        raise RuntimeError(
            f"{name}: Incompatible shapes of A and B for the equation "
            f"{'AX = B' if left else 'XA = B'} ({a.shape[-2]}x{a.shape[-1]} and "
            f"{b.shape[-2]}x{b.shape[-1]})"
        )


def swapped(x: Any) -> Any:
    """Matrices transposed, on tensors."""
    n = x.ndim
    return permute_dims(x, axes=(*range(n - 2), n - 1, n - 2))


def solve(A: Any, B: Any, *, left: bool = True) -> Any:
    """The solution X of AX = B, or of XA = B with `left=False`.

    Args:
        A: (..., n, n).
        B: (..., n, k), or a vector (n) per matrix.
        left: on which side of X the matrix A stands.

    Raises:
        LinAlgError: if a matrix is singular.
        RuntimeError: if shapes or dtypes do not fit.

    >>> import chainrule as cr
    >>> cr.linalg.solve(cr.tensor([[2.0, 0.0], [0.0, 4.0]]), cr.tensor([2.0, 4.0]))
    tensor([1., 1.])
    """
    a = check_square(A, "linalg.solve")
    b = operand(B, "linalg.solve", "B", 2)
    vector = _is_vector(a, b)
    if vector:
        B = reshape_prim(B, shape=(*b.shape, 1))
    check_system(a, B, left, "linalg.solve")
    X = solve_prim(A, B) if left else swapped(solve_prim(swapped(A), swapped(B)))
    return reshape_prim(X, shape=tuple(X.shape[:-1])) if vector else X


def solve_ex(A: Any, B: Any, *, left: bool = True, check_errors: bool = False) -> Any:
    """The solution as by `solve`, and per matrix 0 or the number of the pivot that is zero.

    Raises:
        LinAlgError: if a matrix is singular and `check_errors` is set.
        RuntimeError: if shapes or dtypes do not fit.
    """
    a = check_square(A, "linalg.solve")
    try:
        X = solve(A, B, left=left)
    except LinAlgError:
        if check_errors:
            raise
        info = zero_pivot_prim(A)
    else:
        return SolveEx(X, wrap(np.zeros(a.shape[:-2], np.int32)))
    dt = numpy_dtype(a)
    bad = reshape_prim(info > 0, shape=(*a.shape[:-2], 1, 1))
    solved = solve(where_prim(bad, np.eye(a.shape[-1], dtype=dt), A), B, left=left)
    flags = bad if solved.ndim >= bad.ndim else reshape_prim(bad, shape=tuple(bad.shape[:-1]))
    return SolveEx(where_prim(flags, np.asarray(np.nan, dt), solved), info)


def solve_triangular(
    A: Any, B: Any, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Any:
    """The solution of AX = B (or XA = B) for a triangular matrix; the other triangle is not read.

    Raises:
        RuntimeError: if shapes or dtypes do not fit; a zero on the diagonal gives inf or nan.

    >>> import chainrule as cr
    >>> A = cr.tensor([[2.0, 0.0], [2.0, 4.0]])
    >>> cr.linalg.solve_triangular(A, cr.tensor([[2.0], [6.0]]), upper=False)
    tensor([[1.],
            [1.]])
    """
    a = check_square(A, "linalg.solve_triangular")
    b = operand(B, "linalg.solve_triangular", "B", 2)
    if b.ndim < 2:
        raise RuntimeError(
            "linalg.solve_triangular: The input tensor B must have at least 2 dimensions."
        )
    check_system(a, b, left, "linalg.solve_triangular")
    if left:
        return triangular_prim(A, B, upper=upper, unit=unitriangular)
    return swapped(triangular_prim(swapped(A), swapped(B), upper=not upper, unit=unitriangular))


TriangularSolve = result_type("triangular_solve", "solution", "cloned_coefficient")


@export("triangular_solve")
def triangular_solve(
    input: Any, A: Any, upper: bool = True, transpose: bool = False, unitriangular: bool = False
) -> Any:
    """The solution of AX = input for triangular A, and a copy of A.

    Raises:
        RuntimeError: if shapes or dtypes do not fit.
    """
    from chainrule.ops.convert import clone

    M, side = (swapped(A), not upper) if transpose else (A, upper)
    X = solve_triangular(M, input, upper=side, unitriangular=unitriangular)
    return TriangularSolve(X, clone(A))
