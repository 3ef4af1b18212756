"""Diagonals and triangles: `diagonal`, `diag`, `diag_embed`, `tril`, `triu`."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core import avals, batching
from chainrule.core.kinds import linear
from chainrule.core.node import Aval
from chainrule.core.samples import Sample, uniform
from chainrule.core.tensor import Tensor, wrap
from chainrule.ops.api import export
from chainrule.ops.axes import normalize_dim
from chainrule.ops.convert import clone
from chainrule.ops.shape import reshape_prim, tensor_arg


def _diagonal(x: Any, offset: int, axis1: int, axis2: int) -> Any:
    # numpy.diagonal returns a read-only view; this one can be written.
    x = np.moveaxis(x, (axis1, axis2), (-2, -1))
    x = x[..., max(-offset, 0) :, max(offset, 0) :]
    n = min(x.shape[-2:])
    return np.einsum("...ii->...i", x[..., :n, :n])


def _diagonal_aval(x: Any, offset: int, axis1: int, axis2: int) -> Aval:
    # The entries (i, i + offset): rows before -offset and columns before offset take no part.
    n = min(x.shape[axis1] - max(-offset, 0), x.shape[axis2] - max(offset, 0))
    return Aval((*avals.left_over(x.shape, (axis1, axis2)), max(n, 0)), x.dtype)


def _diagonal_vjp(xp: Any, g: Any, x_aval: Any, offset: int, axis1: int, axis2: int) -> Any:
    return xp.diagonal_transpose(
        g, shape=tuple(x_aval.shape), offset=offset, axis1=axis1, axis2=axis2
    )


def _diagonal_transpose(g: Any, shape: tuple[int, ...], offset: int, axis1: int, axis2: int) -> Any:
    out = np.zeros(shape, g.dtype)
    _diagonal(out, offset, axis1, axis2)[...] = g
    return out


_CASES = [
    ((3, 3), 0, 0, 1), ((3, 4), 2, 0, 1), ((2, 4, 3), -1, 1, 2), 
    ((2, 4, 3), 1, 2, 0), ((2, 3), 5, 0, 1),
]  # fmt: skip
# Axes non-negative and different; the diagonal becomes the last axis.
diagonal_prim = linear(
    "diagonal", _diagonal, _diagonal_vjp, view=True, batch=batching.along("axis1", "axis2"),
    aval=_diagonal_aval,
    samples=lambda: [
        Sample(uniform(*shape), offset=k, axis1=i, axis2=j) for shape, k, i, j in _CASES
    ],
)  # fmt: skip
# Zeros of the given shape with the last axis of g on a diagonal.
diagonal_transpose = linear(
    "diagonal_transpose", _diagonal_transpose,
    lambda xp, g, offset, axis1, axis2: xp.diagonal(g, offset=offset, axis1=axis1, axis2=axis2),
    grad_name="DiagEmbed", aval=avals.shaped_by("shape"),
    batch=batching.reparametrized(
        lambda size, shape, params: {
            "shape": (size, *params["shape"]),
            "axis1": params["axis1"] + 1, "axis2": params["axis2"] + 1,
        }
    ),
    samples=lambda: [
        Sample(uniform(*_diagonal(np.zeros(shape), k, i, j).shape), shape=shape, offset=k, axis1=i,
               axis2=j) for shape, k, i, j in _CASES
    ],
)  # fmt: skip
tril_prim = linear(
    "tril", lambda x, diagonal: np.tril(x, diagonal),
    lambda xp, g, diagonal: xp.tril(g, diagonal=diagonal), batch=batching.unchanged,
    aval=avals.same,
    samples=lambda: [Sample(uniform(3, 3), diagonal=0), Sample(uniform(2, 2, 4), diagonal=1)],
)  # fmt: skip
triu_prim = linear(
    "triu", lambda x, diagonal: np.triu(x, diagonal),
    lambda xp, g, diagonal: xp.triu(g, diagonal=diagonal), batch=batching.unchanged,
    aval=avals.same,
    samples=lambda: [Sample(uniform(3, 3), diagonal=0), Sample(uniform(2, 4, 2), diagonal=-1)],
)  # fmt: skip


@export()
def diagonal(input: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """The diagonal of the matrices in two dimensions, as a view, in a new last dimension.

    Raises:
        RuntimeError: if the two dimensions are the same.

    >>> import chainrule as cr
    >>> cr.tensor([[1, 2], [3, 4]]).diagonal()
    tensor([1, 4])
    """
    ndim = len(tensor_arg(input, "diagonal").shape)
    a, b = normalize_dim(dim1, ndim), normalize_dim(dim2, ndim)
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return diagonal_prim(input, offset=int(offset), axis1=a, axis2=b)


@export("fill_diagonal_", function=False)
def fill_diagonal_(self: Tensor, fill_value: Any, wrap: bool = False) -> Tensor:
    """Write one number to the entries whose indices are all equal, and return the tensor.

    With `wrap`, the diagonal of a tall matrix goes on after a row without it.

    Raises:
        RuntimeError: for fewer than two dimensions, or more of different sizes.

    >>> import chainrule as cr
    >>> cr.zeros(2, 2).fill_diagonal_(3)
    tensor([[3., 0.],
            [0., 3.]])
    """
    shape = self.array.shape
    if len(shape) < 2:
        raise RuntimeError("dimensions must larger than 1")
    if len(shape) > 2 and len(set(shape)) > 1:
        raise RuntimeError("all dimensions of input must be of equal length")
    n = min(shape)
    rows = np.arange(n)
    if wrap and len(shape) == 2 and shape[0] > shape[1]:
        rows = np.arange(shape[0])
        rows = rows[rows % (n + 1) != n]
        self[rows, np.arange(len(rows)) % n] = fill_value
    else:
        self[(rows,) * len(shape)] = fill_value
    return self


@export()
def diag_embed(input: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """Matrices of zeros with the last dimension of `input` on a diagonal.

    Raises:
        RuntimeError: if the two dimensions are the same.

    >>> import chainrule as cr
    >>> cr.diag_embed(cr.tensor([1, 2]))
    tensor([[1, 0],
            [0, 2]])
    """
    shape = tuple(tensor_arg(input, "diag_embed").shape)
    a, b = normalize_dim(dim1, len(shape) + 1), normalize_dim(dim2, len(shape) + 1)
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    n = shape[-1] + abs(offset)
    full = list(shape[:-1])
    for axis in sorted((a, b)):
        full.insert(axis, n)
    return diagonal_transpose(input, shape=tuple(full), offset=int(offset), axis1=a, axis2=b)


@export()
def diag(input: Any, diagonal: int = 0) -> Any:
    """The matrix with a vector on its diagonal, or a copy of the diagonal of a matrix.

    Raises:
        RuntimeError: for other numbers of dimensions.

    >>> import chainrule as cr
    >>> cr.diag(cr.tensor([[1, 2], [3, 4]]), 1)
    tensor([2])
    """
    ndim = len(tensor_arg(input, "diag").shape)
    if ndim == 1:
        return diag_embed(input, diagonal)
    if ndim != 2:
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {ndim}D")
    return clone(diagonal_prim(input, offset=int(diagonal), axis1=0, axis2=1))


@export()
def diagflat(input: Any, offset: int = 0) -> Any:
    """The matrix with all entries of `input` on a diagonal.

    >>> import chainrule as cr
    >>> cr.diagflat(cr.tensor([[1], [2]]))
    tensor([[1, 0],
            [0, 2]])
    """
    size = int(np.prod(tuple(tensor_arg(input, "diagflat").shape), dtype=np.int64))
    return diag_embed(reshape_prim(input, shape=(size,)), offset)


def _matrix(input: Any, name: str) -> Any:
    if len(tensor_arg(input, name).shape) < 2:
        raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")
    return input


@export(in_place=True)
def tril(input: Any, diagonal: int = 0) -> Any:
    """The lower triangle: entries above the given diagonal are zero.

    Raises:
        RuntimeError: for fewer than two dimensions.

    >>> import chainrule as cr
    >>> cr.tril(cr.tensor([[1, 2], [3, 4]]))
    tensor([[1, 0],
            [3, 4]])
    """
    return tril_prim(_matrix(input, "tril"), diagonal=int(diagonal))


@export(in_place=True)
def triu(input: Any, diagonal: int = 0) -> Any:
    """The upper triangle: entries below the given diagonal are zero.

    Raises:
        RuntimeError: for fewer than two dimensions.

    >>> import chainrule as cr
    >>> cr.triu(cr.tensor([[1, 2], [3, 4]]))
    tensor([[1, 2],
            [0, 4]])
    """
    return triu_prim(_matrix(input, "triu"), diagonal=int(diagonal))


@export(method=False)
def tril_indices(row: int, col: int, offset: int = 0) -> Any:
    """Rows and columns of the entries of the lower triangle, as a 2-row tensor.

    >>> import chainrule as cr
    >>> cr.tril_indices(2, 2)
    tensor([[0, 1, 1],
            [0, 0, 1]])
    """
    return wrap(np.stack(np.tril_indices(row, offset, col)))


@export(method=False)
def triu_indices(row: int, col: int, offset: int = 0) -> Any:
    """Rows and columns of the entries of the upper triangle, as a 2-row tensor.

    >>> import chainrule as cr
    >>> cr.triu_indices(2, 2)
    tensor([[0, 0, 1],
            [0, 1, 1]])
    """
    return wrap(np.stack(np.triu_indices(row, offset, col)))
