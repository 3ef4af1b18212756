"""Norms of matrices, condition numbers, rank."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.tensor import Tensor
from chainrule.ops import arithmetic, extremes, rounding
from chainrule.ops import norms as vectors
from chainrule.ops.api import export
from chainrule.ops.axes import normalize_dims
from chainrule.ops.inputs import as_input, converted
from chainrule.ops.linalg.common import check_matrix, operand
from chainrule.ops.linalg.pinv import limit_of, rank_prim
from chainrule.ops.linalg.solve import inv
from chainrule.ops.linalg.spectral import svdvals_prim
from chainrule.ops.reduce import sum_prim
from chainrule.ops.shape import expand_dims, permute_dims, reshape_prim

Dims = tuple[int, int]


def _by_singular_values(A: Any, ord: Any, dims: Dims, keepdim: bool) -> Any:
    rest = tuple(i for i in range(A.ndim) if i not in dims)
    s = svdvals_prim(permute_dims(A, axes=(*rest, *dims)))
    last = (s.ndim - 1,)
    if ord == "nuc":
        norm = sum_prim(s, axis=last, keepdims=False)
    elif ord > 0:
        norm = extremes.amax_prim(s, axis=last, keepdims=False)
    else:
        norm = extremes.amin_prim(s, axis=last, keepdims=False)
    return expand_dims(norm, axis=tuple(sorted(dims))) if keepdim else norm


def matrix_norm(
    A: Any, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: Any = None
) -> Any:
    """A norm of matrices: "fro", "nuc", inf, -inf, 1, -1 (sums of rows, columns), 2, -2 (spectral).

    Args:
        A: a tensor whose dimensions `dim` are the matrices.
        ord: which norm.
        dim: two dimensions.
        keepdim: whether to keep them, with extent 1.
        dtype: convert to this dtype first.

    Raises:
        RuntimeError: for another order, or two equal dimensions.

    >>> import chainrule as cr
    >>> cr.linalg.matrix_norm(cr.tensor([[3.0, 0.0], [0.0, 4.0]]))
    tensor(5.)
    """
    A = converted(as_input(A, "linalg.matrix_norm", "A"), dtype)
    check_matrix(A, "linalg.matrix_norm")
    if len(dim) != 2:
        raise RuntimeError(f"linalg.matrix_norm: dim must be a 2-tuple. Got {tuple(dim)}")
    rows, columns = normalize_dims(tuple(dim), A.ndim)
    if isinstance(ord, str):
        if ord not in ("fro", "nuc"):
            raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")
        if ord == "fro":
            return vectors.vector_norm(A, 2, (rows, columns), keepdim)
        return _by_singular_values(A, ord, (rows, columns), keepdim)
    if abs(ord) == 2:
        return _by_singular_values(A, ord, (rows, columns), keepdim)
    if abs(ord) not in (1, float("inf")):
        raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")
    added, chosen = (rows, columns) if abs(ord) == 1 else (columns, rows)
    sums = sum_prim(rounding.abs(A), axis=(added,), keepdims=True)
    best = extremes.amax_prim if ord > 0 else extremes.amin_prim
    norm = best(sums, axis=(chosen,), keepdims=True)
    if keepdim:
        return norm
    from chainrule.ops.shape import squeeze_prim

    return squeeze_prim(norm, axis=tuple(sorted((rows, columns))))


def norm(
    A: Any, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Any:
    """A norm of vectors or of matrices, as `dim` (one dimension or two) and `ord` say.

    Without `ord` it is the 2-norm of all entries over `dim`.

    Raises:
        RuntimeError: if `ord` is given, `dim` is not, and the tensor is not a vector or a matrix.

    >>> import chainrule as cr
    >>> cr.linalg.norm(cr.tensor([3.0, 4.0]))
    tensor(5.)
    """
    a = operand(A, "linalg.norm", "A", 1)
    if ord is None:
        return vectors.vector_norm(A, 2, dim, keepdim, dtype=dtype)
    if dim is None:
        if a.ndim not in (1, 2):
            raise RuntimeError(
                "linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got "
                f"{a.ndim}D."
            )
        dim = tuple(range(a.ndim))
    if isinstance(dim, int) or len(dim) == 1:
        if isinstance(ord, str):
            return matrix_norm(A, ord, (dim,) if isinstance(dim, int) else dim, keepdim)
        return vectors.vector_norm(A, ord, dim, keepdim, dtype=dtype)
    return matrix_norm(A, ord, dim, keepdim, dtype=dtype)


def cond(A: Any, p: Any = None) -> Any:
    """The condition number ‖A‖·‖A⁻¹‖ in the norm `p`; by singular values for None, 2 and -2.

    Raises:
        RuntimeError: for another norm.

    >>> import chainrule as cr
    >>> cr.linalg.cond(cr.tensor([[4.0, 0.0], [0.0, 2.0]]))
    tensor(2.)
    """
    a = operand(A, "linalg.cond", "A", 1)
    if a.ndim < 2:
        raise RuntimeError("linalg.cond: The input tensor must have at least 2 dimensions.")
    if p is None or (not isinstance(p, str) and abs(p) == 2):
        check_matrix(A, "linalg.svd")
        s = svdvals_prim(A)
        last = (s.ndim - 1,)
        largest = extremes.amax_prim(s, axis=last, keepdims=False)
        smallest = extremes.amin_prim(s, axis=last, keepdims=False)
        if p is not None and p < 0:
            return arithmetic.divide(smallest, largest)
        return arithmetic.divide(largest, smallest)
    if p not in ("fro", "nuc", 1, -1, float("inf"), -float("inf")):
        raise RuntimeError(f"linalg.cond got an invalid norm type: {p}")
    return arithmetic.multiply(matrix_norm(A, p), matrix_norm(inv(A), p))


def matrix_rank(
    A: Any, tol: Any = None, *, atol: Any = None, rtol: Any = None, hermitian: bool = False
) -> Any:
    """The number of singular values above max(atol, rtol·largest); not differentiable.

    Raises:
        RuntimeError: if the argument is not a matrix of floating-point numbers.

    >>> import chainrule as cr
    >>> cr.linalg.matrix_rank(cr.tensor([[1.0, 2.0], [2.0, 4.0]]))
    tensor(1)
    """
    a = operand(A, "torch.linalg.matrix_rank", "input", 1)
    if a.ndim < 2:
        raise RuntimeError(
            "torch.linalg.matrix_rank: The input tensor input must have at least 2 dimensions."
        )
    check_matrix(A, "torch.linalg.matrix_rank", "input")
    limit = tol if tol is None or isinstance(tol, Tensor) else np.asarray(tol)
    if limit is not None and limit.ndim < a.ndim - 1:
        limit = reshape_prim(limit, shape=(*limit.shape, 1))
    if limit is None:
        limit, rtol, atol = limit_of(A, rtol, atol)
    else:
        rtol = atol = None
    return rank_prim(A, limit, rtol=rtol, atol=atol, hermitian=bool(hermitian))


@export("norm")
def norm_of_entries(
    input: Any, p: Any = "fro", dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Any:
    """The p-norm of the entries over one dimension, several, or all; "fro" is 2, "nuc" nuclear.

    Raises:
        RuntimeError: for integers, and for another word as `p`.

    >>> import chainrule as cr
    >>> cr.norm(cr.tensor([[3.0, 4.0], [6.0, 8.0]]), dim=1)
    tensor([ 5., 10.])
    """
    if isinstance(p, str):
        if p == "nuc":
            return matrix_norm(converted(input, dtype), "nuc", dim or (-2, -1), keepdim)
        if p != "fro":
            raise RuntimeError(f"linalg.matrix_norm: Order {p} not supported.")
        p = 2
    return vectors.vector_norm(input, 2 if p is None else p, dim, keepdim, dtype=dtype)
