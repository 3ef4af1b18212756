"""Functions of matrices, and products with a structure: powers, exp, Kronecker, cross, traces."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from chainrule.core.avals import broadcast, same
from chainrule.core.batching import leading
from chainrule.core.kinds import bilinear, general, promote
from chainrule.core.namespaces import recorded
from chainrule.core.samples import Sample, uniform
from chainrule.ops import arithmetic
from chainrule.ops.api import FUNCTIONS, export
from chainrule.ops.axes import normalize_dim
from chainrule.ops.compare import where_prim
from chainrule.ops.contract import matmul
from chainrule.ops.contract_steps import contract_single
from chainrule.ops.linalg.common import (
    adjoint,
    check_square,
    columns,
    conj,
    general_matrix,
    numpy_dtype,
    operand,
    rows_of,
    scalar_name,
)  # fmt: skip
from chainrule.ops.linalg.solve import inv, solve
from chainrule.ops.reduce import sum_prim
from chainrule.ops.shape import permute_dims, reshape_prim


def matrix_power(A: Any, n: int) -> Any:
    """The n-th power of square matrices, by repeated squaring; negative powers invert.

    Raises:
        LinAlgError: for a negative power of a singular matrix.
        RuntimeError: if the matrices are not square.

    >>> import chainrule as cr
    >>> cr.linalg.matrix_power(cr.tensor([[1.0, 1.0], [0.0, 1.0]]), 3)
    tensor([[1., 3.],
            [0., 1.]])
    """
    a = operand(A, "linalg.matrix_power", "A", 1)
    if numpy_dtype(a).kind in "fc" or a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        check_square(A, "linalg.matrix_power")
    if n == 0:
        eye = np.broadcast_to(np.eye(a.shape[-1], dtype=numpy_dtype(a)), a.shape)
        return where_prim(np.zeros((), bool), A, eye)  # keeps the, vanishing, dependence on A
    power = inv(A) if n < 0 else A
    result = None
    n = abs(n)
    while True:
        if n & 1:
            result = power if result is None else matmul(result, power)
        n >>= 1
        if not n:
            break
        power = matmul(power, power)
    return arithmetic.positive(result) if result is A else result


export("matrix_power")(matrix_power)

# Padé approximation of degree 13 with scaling and squaring (Higham 2005, "The scaling and squaring
# method for the matrix exponential revisited"): coefficients and the norm up to which it is exact
# to rounding.
_PADE = (64764752532480000.0, 32382376266240000.0, 7771770303897600.0, 1187353796428800.0,
         129060195264000.0, 10559470521600.0, 670442572800.0, 33522128640.0, 1323241920.0,
         40840800.0, 960960.0, 16380.0, 182.0, 1.0)  # fmt: skip
_THETA = 5.371920351148152


def _matrix_exp(x: Any) -> Any:
    if x.size == 0:
        return x.copy()
    dtype = x.dtype
    wide = x.astype(np.result_type(dtype, np.float64))
    norm = np.abs(wide).sum(-2).max(-1)
    bad = ~np.isfinite(norm)
    if bad.any():
        made = _matrix_exp(np.where(bad[..., None, None], 0, x))
        return np.where(bad[..., None, None], x.dtype.type(np.nan), made)
    with np.errstate(divide="ignore"):
        squarings = np.maximum(0, np.ceil(np.log2(norm / _THETA))).astype(int)
    a = wide * np.ldexp(1.0, -squarings)[..., None, None]
    b, eye = _PADE, np.eye(x.shape[-1])
    a2 = a @ a
    a4 = a2 @ a2
    a6 = a4 @ a2
    odd = a @ (
        a6 @ (b[13] * a6 + b[11] * a4 + b[9] * a2) + b[7] * a6 + b[5] * a4 + b[3] * a2 + b[1] * eye
    )
    even = (
        a6 @ (b[12] * a6 + b[10] * a4 + b[8] * a2) + b[6] * a6 + b[4] * a4 + b[2] * a2 + b[0] * eye
    )
    made = np.linalg.solve(even - odd, even + odd)
    for k in range(int(squarings.max(initial=0))):
        made = np.where((k < squarings)[..., None, None], made @ made, made)
    return made.astype(dtype)


# exp of [[A, E], [0, A]] has the derivative of exp at A in direction E as its upper right block
# (Mathias 1996, "A chain rule for matrix functions"); the adjoint is the derivative at Aᴴ.
def _exp_along(xp: Any, a: Any, e: Any) -> Any:
    n, axis = a.shape[-1], a.ndim - 1
    top = xp.concat(a, e, axis=axis)
    bottom = xp.concat(xp.zeros_like(a), a, axis=axis)
    both = xp.matrix_exp(xp.concat(top, bottom, axis=axis - 1))
    return columns(xp, rows_of(xp, both, 0, n), n, 2 * n)


matrix_exp_prim = general(
    "matrix_exp", _matrix_exp,
    vjps=(lambda xp, g, x: _exp_along(xp, adjoint(xp, x), g),),
    jvps=(lambda xp, t, x: _exp_along(xp, x, t),),
    grad_name="LinalgMatrixExp", symbol="exp({})", batch=leading, aval=same,
    samples=lambda: [
        Sample(general_matrix(3, 3)), Sample(general_matrix(2, 2, 2)),
        Sample(general_matrix(2, 2, complex=True)), Sample(5 * general_matrix(2, 2)),
    ],
)  # fmt: skip


def matrix_exp(A: Any) -> Any:
    """The exponential of square matrices, Σ Aᵏ/k!.

    Raises:
        RuntimeError: if the matrices are not square.

    >>> import chainrule as cr
    >>> cr.linalg.matrix_exp(cr.zeros(2, 2))
    tensor([[1., 0.],
            [0., 1.]])
    """
    check_square(A, "linalg.matrix_exp")
    return matrix_exp_prim(A)


export("matrix_exp")(matrix_exp)


def _chain_order(sizes: list[int]) -> list[list[int]]:
    """Where to split each product of a chain so that it takes the fewest multiplications."""
    n = len(sizes) - 1
    cost = [[0] * n for _ in range(n)]
    split = [[0] * n for _ in range(n)]
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            cost[i][j], split[i][j] = min(
                (cost[i][k] + cost[k + 1][j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                for k in range(i, j)
            )
    return split


def multi_dot(tensors: Any) -> Any:
    """The product of two matrices or more, in the order that takes the fewest multiplications.

    The first and the last may be vectors, which count as a row and a column.

    Raises:
        RuntimeError: if there are fewer than two or the shapes do not fit.

    >>> import chainrule as cr
    >>> cr.linalg.multi_dot([cr.ones(2, 3), cr.ones(3, 4), cr.ones(4, 1)])
    tensor([[12.],
            [12.]])
    """
    xs = list(tensors)
    n = len(xs)
    if n < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {n}")
    arrays = [operand(x, "multi_dot", "tensors", i + 1) for i, x in enumerate(xs)]
    for i, a in enumerate(arrays):
        ends = {0: "the first tensor", n - 1: "the last tensor"}
        if a.ndim != 2 and not (i in ends and a.ndim == 1):
            where, what = ends.get(i, f"tensor {i}"), "1D or 2D" if i in ends else "2D"
            raise RuntimeError(f"multi_dot(): {where} must be {what} but got {a.ndim}D")
    row, column = arrays[0].ndim == 1, arrays[-1].ndim == 1
    if row:
        xs[0] = reshape_prim(xs[0], shape=(1, arrays[0].shape[0]))
    if column:
        xs[-1] = reshape_prim(xs[-1], shape=(arrays[-1].shape[0], 1))
    for i in range(n - 1):
        if xs[i].shape[-1] != xs[i + 1].shape[0]:
            raise RuntimeError(
                f"multi_dot(): tensors {i} and {i + 1} with shapes {list(arrays[i].shape)} and "
                f"{list(arrays[i + 1].shape)} cannot be multiplied"
            )
    split = _chain_order([x.shape[0] for x in xs] + [xs[-1].shape[1]])

    def product(i: int, j: int) -> Any:
        return xs[i] if i == j else matmul(product(i, split[i][j]), product(split[i][j] + 1, j))

    result = product(0, n - 1)
    shape = tuple(result.shape[int(row) : 1 if column else 2])
    return reshape_prim(result, shape=shape) if row or column else result


@export(method=False)
def chain_matmul(*matrices: Any) -> Any:
    """`linalg.multi_dot` under its older name: the matrices are separate arguments.

    Raises:
        RuntimeError: if the shapes do not fit.
    """
    return multi_dot(matrices) if len(matrices) > 1 else matrices[0]


def vecdot(x: Any, y: Any, *, dim: int = -1) -> Any:
    """The dot product along a dimension, with broadcasting; the first argument is conjugated.

    Raises:
        RuntimeError: for integers, or if the dimensions differ.

    >>> import chainrule as cr
    >>> cr.linalg.vecdot(cr.ones(2, 3), cr.ones(3))
    tensor([3., 3.])
    """
    a, b = operand(x, "linalg.vecdot", "x", 1), operand(y, "linalg.vecdot", "y", 2)
    for v in (a, b):
        if numpy_dtype(v).kind not in "fc":
            raise RuntimeError(
                "linalg.vecdot: Expected a floating point or complex tensor as input. Got "
                f"{scalar_name(v)}"
            )
    product = arithmetic.multiply(conj(recorded, x), y)
    return sum_prim(product, axis=(normalize_dim(dim, product.ndim),), keepdims=False)


def _cross(x: Any, y: Any, axis: int) -> Any:
    return np.cross(x, y, axis=axis)


# a·(b × c) is invariant under rotation of the three.
cross_prim = bilinear(
    "cross", _cross,
    lambda xp, g, y, axis: xp.cross(conj(xp, y), g, axis=axis),
    lambda xp, g, x, axis: xp.cross(g, conj(xp, x), axis=axis),
    grad_name="LinalgCross", batch=leading, aval=broadcast,
    samples=lambda: [
        Sample(uniform(2, 3), uniform(2, 3, seed=1), axis=-1),
        Sample(uniform(3, 2), uniform(3, 1, seed=1), axis=-2),
    ],
)  # fmt: skip


def cross(input: Any, other: Any, *, dim: int = -1) -> Any:
    """The cross product of vectors of length 3 along a dimension; other dimensions broadcast.

    Raises:
        RuntimeError: if the dimension is not of length 3.

    >>> import chainrule as cr
    >>> cr.linalg.cross(cr.tensor([1.0, 0.0, 0.0]), cr.tensor([0.0, 1.0, 0.0]))
    tensor([0., 0., 1.])
    """
    a, b = operand(input, "linalg.cross", "input", 1), operand(other, "linalg.cross", "other", 2)
    if a.ndim != b.ndim:
        raise RuntimeError("linalg.cross: inputs must have the same number of dimensions.")
    axis = normalize_dim(dim, a.ndim)
    if a.shape[axis] != 3 or b.shape[axis] != 3:
        raise RuntimeError(
            f"linalg.cross: inputs dimension {dim} must have length 3. Got {a.shape[axis]} and "
            f"{b.shape[axis]}"
        )
    return cross_prim(*promote(input, other), axis=axis - a.ndim)


@export("cross")
def _torch_cross(input: Any, other: Any, dim: int | None = None) -> Any:
    """`linalg.cross`; without `dim`, along the first dimension of length 3."""
    if dim is None:
        shape = tuple(operand(input, "cross", "input", 1).shape)
        if 3 not in shape:
            raise RuntimeError(
                "no dimension of size 3 in input; pass tensors of 3-vectors to cross()"
            )
        dim = shape.index(3)
    return cross(input, other, dim=dim)


@export()
def trace(input: Any) -> Any:
    """The sum of the diagonal of a matrix.

    Raises:
        RuntimeError: if the argument is not a matrix.

    >>> import chainrule as cr
    >>> cr.trace(cr.eye(3))
    tensor(3.)
    """
    a = operand(input, "trace", "input", 1)
    if a.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {a.ndim}")
    n = min(a.shape)
    if a.shape[0] != a.shape[1]:
        input = columns(recorded, rows_of(recorded, input, 0, n), 0, n)
    return contract_single(input, equation="ii->")


@export()
def kron(input: Any, other: Any) -> Any:
    """The Kronecker product: every entry of the first times the whole second, in blocks.

    >>> import chainrule as cr
    >>> cr.kron(cr.tensor([1.0, 2.0]), cr.tensor([1.0, 1.0]))
    tensor([1., 1., 2., 2.])
    """
    a, b = operand(input, "kron", "input", 1), operand(other, "kron", "other", 2)
    n = max(a.ndim, b.ndim)
    sa = (1,) * (n - a.ndim) + tuple(a.shape)
    sb = (1,) * (n - b.ndim) + tuple(b.shape)
    x = reshape_prim(input, shape=tuple(d for s in sa for d in (s, 1)))
    y = reshape_prim(other, shape=tuple(d for s in sb for d in (1, s)))
    product = arithmetic.multiply(x, y)
    return reshape_prim(product, shape=tuple(p * q for p, q in zip(sa, sb, strict=True)))


def vander(x: Any, N: int | None = None) -> Any:
    """Vandermonde matrices: rows 1, x, x², ..., with N columns (as many as rows by default).

    Raises:
        RuntimeError: if N is below 2.

    >>> import chainrule as cr
    >>> cr.linalg.vander(cr.tensor([2.0, 3.0]), N=3)
    tensor([[1., 2., 4.],
            [1., 3., 9.]])
    """
    a = operand(x, "linalg.vander", "x", 1)
    shape = a.shape or (1,)
    n = shape[-1] if N is None else N
    if n <= 1:
        raise RuntimeError("N must be greater than 1.")
    column = reshape_prim(x, shape=(*shape, 1))
    return arithmetic.power(column, np.arange(n))


@export("vander", method=False)
def _torch_vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """The Vandermonde matrix of a vector; powers fall unless `increasing`."""
    a = operand(x, "vander", "x", 1)
    n = a.shape[0] if N is None else N
    powers = np.arange(n) if increasing else np.arange(n)[::-1]
    return arithmetic.power(reshape_prim(x, shape=(a.shape[0], 1)), powers)


def diagonal(A: Any, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """The diagonals of matrices: `chainrule.diagonal` along the last two dimensions.

    Raises:
        IndexError: if a dimension is out of range.

    >>> import chainrule as cr
    >>> cr.linalg.diagonal(cr.eye(2))
    tensor([1., 1.])
    """
    return FUNCTIONS["diagonal"](A, offset, dim1, dim2)


def tensorinv(A: Any, ind: int = 2) -> Any:
    """The inverse of the linear map that `tensordot(A, ·, A.ndim - ind)` is.

    Raises:
        RuntimeError: if the map is not square or `ind` is not positive.
    """
    a = operand(A, "linalg.tensorinv", "A", 1)
    if ind <= 0:
        raise RuntimeError(f"Expected a strictly positive integer for 'ind', but got {ind}")
    shape = tuple(a.shape)
    rows, others = prod(shape[:ind]), prod(shape[ind:])
    if rows != others:
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[ind:]) == "
            f"prod(self.shape[:ind]), but got {others} != {rows}"
        )
    inverse = inv(reshape_prim(A, shape=(rows, others)))
    return reshape_prim(inverse, shape=shape[ind:] + shape[:ind])


def tensorsolve(A: Any, B: Any, dims: Any = None) -> Any:
    """The solution X of tensordot(A, X, X.ndim) = B.

    Args:
        A: a tensor.
        B: a tensor whose shape starts that of A.
        dims: dimensions of A to move to the end first.

    Raises:
        RuntimeError: if the shapes do not fit.
    """
    a, b = operand(A, "linalg.tensorsolve", "A", 1), operand(B, "linalg.tensorsolve", "B", 2)
    if dims is not None:
        moved = [normalize_dim(d, a.ndim) for d in dims]
        A = permute_dims(A, axes=(*[i for i in range(a.ndim) if i not in moved], *moved))
    shape = tuple(A.shape)[b.ndim :]
    n = prod(b.shape)
    if prod(shape) != n:
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == "
            f"prod(self.shape[:other.ndim]), but got {prod(shape)} != {n}"
        )
    X = solve(reshape_prim(A, shape=(n, n)), reshape_prim(B, shape=(n,)))
    return reshape_prim(X, shape=shape)
