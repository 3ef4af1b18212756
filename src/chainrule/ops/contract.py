"""Contractions: matrix products in all their shapes; `einsum.py` holds the rest."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.dtypes import NUMPY_BOOL
from chainrule.core.kinds import promote
from chainrule.core.namespaces import recorded
from chainrule.core.tensor import Tensor
from chainrule.ops import arithmetic
from chainrule.ops.api import attach, export
from chainrule.ops.contract_checks import (
    batch_shape,
    check_addend,
    check_batches,
    check_bmm,
    check_dot,
    check_linear,
    check_mm,
    check_mv,
    operand,
)
from chainrule.ops.contract_steps import contract_pair
from chainrule.ops.products import (
    bmm_prim,
    conj,
    dot_prim,
    linear_prim,
    mm_prim,
    mv_prim,
    numpy_dtype,
)
from chainrule.ops.shape import permute_dims, reshape_prim


def matmul(input: Any, other: Any) -> Any:
    """The matrix product: vectors, matrices and batches of matrices, whose batches broadcast.

    Two vectors give their dot product; a vector counts as one row on the left, as one column on the
    right, and the dimension it was given is dropped from the result.

    Raises:
        RuntimeError: if the shapes do not fit, an argument has no dimensions, or dtypes differ.

    >>> import chainrule as cr
    >>> cr.matmul(cr.tensor([[1.0, 2.0], [3.0, 4.0]]), cr.tensor([1.0, 1.0]))
    tensor([3., 7.])
    """
    x, y = operand(input, "matmul", "input", 1), operand(other, "matmul", "other", 2)
    m, n = x.ndim, y.ndim
    if n == 2 and m >= 2:
        check_mm(x, y)
        return mm_prim(input, other) if m == 2 else bmm_prim(input, other)
    if m == 0 or n == 0:
        raise RuntimeError(
            f"both arguments to matmul need to be at least 1D, but they are {m}D and {n}D"
        )
    if n == 1:
        if m == 1:
            check_dot(x, y)
            return dot_prim(input, other)
        check_mv(x, y)
        if m == 2:
            return mv_prim(input, other)
        product = bmm_prim(input, reshape_prim(other, shape=(y.shape[0], 1)))
        return reshape_prim(product, shape=tuple(x.shape[:-1]))
    if m == 1:
        if n == 2:
            if x.shape[0] != y.shape[0] or x.dtype != y.dtype:
                check_mm(x[None], y)
            return mv_prim(permute_dims(other, axes=(1, 0)), input)
        row = reshape_prim(input, shape=(1, x.shape[0]))
        product = matmul(row, other)
        return reshape_prim(product, shape=(*product.shape[:-2], product.shape[-1]))
    check_bmm(x, y, batch_shape(x, y))
    return bmm_prim(input, other)


export()(matmul)


def _operator(self: Tensor, other: Any) -> Any:
    return matmul(self, other) if isinstance(other, (Tensor, np.ndarray)) else NotImplemented


def _reflected(self: Tensor, other: Any) -> Any:
    return matmul(other, self) if isinstance(other, (Tensor, np.ndarray)) else NotImplemented


attach("__matmul__", _operator)
attach("__rmatmul__", _reflected)


@export()
def mm(input: Any, mat2: Any) -> Any:
    """The product of two matrices, (n, k) and (k, m).

    Raises:
        RuntimeError: if an argument is not a matrix, the shapes do not fit, or dtypes differ.

    >>> import chainrule as cr
    >>> cr.mm(cr.ones(2, 3), cr.ones(3, 1))
    tensor([[3.],
            [3.]])
    """
    x, y = operand(input, "mm", "input", 1), operand(mat2, "mm", "mat2", 2)
    for a, name in ((x, "self"), (y, "mat2")):
        if a.ndim != 2:
            raise RuntimeError(f"{name} must be a matrix")
    check_mm(x, y)
    return mm_prim(input, mat2)


@export()
def mv(input: Any, vec: Any) -> Any:
    """The product of a matrix (n, k) and a vector (k).

    Raises:
        RuntimeError: if the shapes do not fit or dtypes differ.

    >>> import chainrule as cr
    >>> cr.mv(cr.ones(2, 3), cr.tensor([1.0, 2.0, 3.0]))
    tensor([6., 6.])
    """
    x, y = operand(input, "mv", "input", 1), operand(vec, "mv", "vec", 2)
    if x.ndim != 2 or y.ndim != 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got 1, {x.ndim}, {y.ndim}")
    check_mv(x, y)
    return mv_prim(input, vec)


@export()
def bmm(input: Any, mat2: Any) -> Any:
    """The products of two batches of matrices, (b, n, k) and (b, k, m).

    Raises:
        RuntimeError: if the shapes do not fit or dtypes differ; batches do not broadcast here.

    >>> import chainrule as cr
    >>> cr.bmm(cr.ones(2, 1, 3), cr.ones(2, 3, 1)).shape
    chainrule.Size([2, 1, 1])
    """
    x, y = operand(input, "bmm", "input", 1), operand(mat2, "bmm", "mat2", 2)
    check_batches(x, y)
    return bmm_prim(input, mat2)


@export()
def dot(input: Any, tensor: Any) -> Any:
    """The sum of products of two vectors; complex entries are not conjugated.

    Raises:
        RuntimeError: if the arguments are not vectors of one length and dtype.

    >>> import chainrule as cr
    >>> cr.dot(cr.tensor([1.0, 2.0]), cr.tensor([3.0, 4.0]))
    tensor(11.)
    """
    check_dot(operand(input, "dot", "input", 1), operand(tensor, "dot", "tensor", 2))
    return dot_prim(input, tensor)


@export()
def vdot(input: Any, other: Any) -> Any:
    """The dot product of two vectors, the first one conjugated.

    Raises:
        RuntimeError: if the arguments are not vectors of one length and dtype.

    >>> import chainrule as cr
    >>> cr.vdot(cr.tensor([1.0, 2.0]), cr.tensor([3.0, 4.0]))
    tensor(11.)
    """
    check_dot(operand(input, "vdot", "input", 1), operand(other, "vdot", "other", 2))
    return dot_prim(conj(recorded, input), other)


@export("outer", "ger")
def outer(input: Any, vec2: Any) -> Any:
    """The matrix of all products of entries of two vectors.

    Raises:
        RuntimeError: if an argument is not a vector.

    >>> import chainrule as cr
    >>> cr.outer(cr.tensor([1.0, 2.0]), cr.tensor([3.0, 4.0]))
    tensor([[3., 4.],
            [6., 8.]])
    """
    x, y = operand(input, "outer", "input", 1), operand(vec2, "outer", "vec2", 2)
    for a, name in ((x, "self"), (y, "vec2")):
        if a.ndim != 1:
            raise RuntimeError(f"outer: Expected 1-D argument {name}, but got {a.ndim}-D")
    return arithmetic.multiply(reshape_prim(input, shape=(x.shape[0], 1)), vec2)


def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """input @ weightᵀ + bias: `nn.functional.linear`.

    Args:
        input: (..., k).
        weight: (n, k), or (k) for one output without a dimension of its own.
        bias: (n), or anything that the result's shape takes by broadcasting; may be None.

    Raises:
        RuntimeError: if the shapes do not fit or dtypes differ.
    """
    x, w = operand(input, "linear", "input", 1), operand(weight, "linear", "weight", 2)
    if w.ndim != 2 or x.ndim == 0:
        if x.ndim == 0 or w.ndim == 0:
            raise RuntimeError(
                f"both arguments to linear need to be at least 1D, but they are {x.ndim}D and "
                f"{w.ndim}D"
            )
        if w.ndim > 2:
            raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {w.ndim}D")
        product = matmul(input, weight)
        return product if bias is None else arithmetic.add(product, bias)
    if x.shape[-1] != w.shape[1] or x.dtype != w.dtype or x.dtype == NUMPY_BOOL:
        check_linear(x if x.ndim > 1 else x.reshape(1, -1), w)
    if bias is not None:
        check_addend(
            operand(bias, "linear", "bias", 3), (*x.shape[:-1], w.shape[0]), numpy_dtype(x)
        )
    return linear_prim(input, weight, bias)


def _combine(input: Any, product: Any, beta: Any, alpha: Any) -> Any:
    """beta·input + alpha·product, where beta = 0 ignores even nan in `input`."""
    x = operand(input, "addmm", "input", 1)
    p = product.array if type(product) is Tensor else product
    check_addend(x, tuple(p.shape), numpy_dtype(p))
    if alpha != 1:
        product = arithmetic.multiply(product, alpha)
    if beta == 0:
        return product
    return arithmetic.add(input if beta == 1 else arithmetic.multiply(input, beta), product)


@export(in_place=True)
def addmm(input: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """beta·input + alpha·(mat1 @ mat2), where `input` broadcasts.

    Raises:
        RuntimeError: if the shapes do not fit or dtypes differ.

    >>> import chainrule as cr
    >>> cr.addmm(cr.ones(2), cr.ones(2, 3), cr.ones(3, 2))
    tensor([[4., 4.],
            [4., 4.]])
    """
    return _combine(input, mm(mat1, mat2), beta, alpha)


@export(in_place=True)
def addmv(input: Any, mat: Any, vec: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """beta·input + alpha·(mat @ vec), where `input` broadcasts.

    Raises:
        RuntimeError: if the shapes do not fit or dtypes differ.

    >>> import chainrule as cr
    >>> cr.addmv(cr.ones(2), cr.ones(2, 3), cr.ones(3))
    tensor([4., 4.])
    """
    return _combine(input, mv(mat, vec), beta, alpha)


@export(in_place=True)
def addr(input: Any, vec1: Any, vec2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """beta·input + alpha·(the outer product of vec1 and vec2), where `input` broadcasts.

    Raises:
        RuntimeError: if the shapes do not fit.

    >>> import chainrule as cr
    >>> cr.addr(cr.zeros(2, 2), cr.ones(2), cr.tensor([1.0, 2.0]))
    tensor([[1., 2.],
            [1., 2.]])
    """
    for position, (v, name) in enumerate(((vec1, "vec1"), (vec2, "vec2")), 2):
        ndim = operand(v, "addr", name, position).ndim
        if ndim != 1:
            raise RuntimeError(f"addr: Expected 1-D argument {name}, but got {ndim}-D")
    added, product = promote(input, outer(vec1, vec2))
    return _combine(added, product, beta, alpha)


@export(in_place=True)
def baddbmm(input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """beta·input + alpha·(batch1 @ batch2) for batches of matrices, where `input` broadcasts.

    Raises:
        RuntimeError: if the shapes do not fit or dtypes differ.

    >>> import chainrule as cr
    >>> cr.baddbmm(cr.ones(1), cr.ones(1, 1, 3), cr.ones(1, 3, 1))
    tensor([[[4.]]])
    """
    return _combine(input, bmm(batch1, batch2), beta, alpha)


@export(in_place=True)
def addbmm(input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """beta·input + alpha·(the sum of all products in two batches of matrices).

    Raises:
        RuntimeError: if the shapes do not fit or dtypes differ.

    >>> import chainrule as cr
    >>> cr.addbmm(cr.zeros(1, 1), cr.ones(2, 1, 3), cr.ones(2, 3, 1))
    tensor([[6.]])
    """
    check_batches(operand(batch1, "addbmm", "batch1", 2), operand(batch2, "addbmm", "batch2", 3))
    return _combine(input, contract_pair(batch1, batch2, equation="bik,bkj->ij"), beta, alpha)
