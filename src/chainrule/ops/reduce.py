"""Reductions that add or multiply: sum, mean, prod, logsumexp, all, any, count_nonzero."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core import avals
from chainrule.core.avals import accumulator_dtype, typed
from chainrule.core.batching import along
from chainrule.core.dtypes import default_dtype, is_inexact, real_dtype
from chainrule.core.kinds import general, linear
from chainrule.core.modes import get_mode
from chainrule.core.namespaces import composite
from chainrule.core.node import Aval
from chainrule.core.primitive import bind, make_node
from chainrule.core.samples import Sample, uniform
from chainrule.core.source import caller
from chainrule.core.tensor import Tensor, wrap
from chainrule.ops.api import export
from chainrule.ops.inputs import (
    as_input,
    axes_of,
    conjugate,
    converted,
    count_of,
    numpy_dtype,
    torch_name,
)  # fmt: skip

_INT64 = np.dtype(np.int64)
_FLOAT32 = np.dtype(np.float32)
_add: Any = np.add.reduce


def expand(xp: Any, g: Any, x: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
    """A reduction's cotangent, brought back to the shape of its argument."""
    if not keepdims:
        g = xp.reshape(g, shape=tuple(1 if i in axis else d for i, d in enumerate(x.shape)))
    return xp.broadcast_to(g, shape=tuple(x.shape))


def _total(reduce: Any) -> Any:
    """`reduce` of a ufunc with PyTorch's accumulators: int64 for integers, float32 for halves."""

    def total(x: Any, axis: tuple[int, ...], keepdims: bool = False) -> Any:
        dt = x.dtype
        if dt.char in "fdFD":
            return reduce(x, axis, None, None, keepdims)
        if not is_inexact(dt):
            return reduce(x, axis, dtype=_INT64, keepdims=keepdims)
        return reduce(x, axis, dtype=_FLOAT32, keepdims=keepdims).astype(dt)

    return total


_sum_of = _total(_add)
_product_of = _total(np.multiply.reduce)


# Shapes and dtypes: the argument's dtype, int64 for integers; of a reduction to real numbers.
reduced = typed(avals.reduced, accumulator_dtype)
reduced_real = typed(reduced, real_dtype)


def _reductions() -> list[Sample]:
    return [
        Sample(uniform(2, 3), axis=(0, 1), keepdims=False),
        Sample(uniform(2, 3), axis=(1,), keepdims=True),
        Sample(uniform(2, 3, 2), axis=(0, 2), keepdims=False),
        Sample(uniform(), axis=(), keepdims=False),
    ]


sum_prim = linear(
    "sum", _sum_of,
    lambda xp, g, x_aval, axis, keepdims: expand(xp, g, x_aval, axis, keepdims),
    aval=reduced, symbol="sum({})", samples=_reductions, batch=along("axis"),
)  # fmt: skip
sum_prim.prim.overloads = True


def in_float32(f: Any) -> Any:
    """`f`, which for half precision computes in float32 and rounds once, at the end."""

    def computed(x: Any, **params: Any) -> Any:
        if x.dtype.itemsize != 2 or not is_inexact(x.dtype):
            return f(x, **params)
        return f(x.astype(_FLOAT32), **params).astype(x.dtype)

    return computed


def _mean_of(x: Any, axis: tuple[int, ...], keepdims: bool = False) -> Any:
    size = x.size
    if size and not keepdims and len(axis) == x.ndim and x.dtype.char in "fd":
        return _add(x, None) / size
    if x.dtype.itemsize == 2:
        return _mean_of(x.astype(_FLOAT32), axis, keepdims).astype(x.dtype)
    return np.true_divide(_sum_of(x, axis, keepdims), count_of(x.shape, axis), dtype=x.dtype)


def _mean_transpose(xp: Any, g: Any, x_aval: Any, axis: Any, keepdims: bool) -> Any:
    n = count_of(x_aval.shape, axis)
    return expand(xp, g / n if n else g, x_aval, axis, keepdims)


mean_prim = linear(
    "mean", _mean_of, _mean_transpose, aval=reduced, symbol="mean({})", samples=_reductions,
    batch=along("axis"),
)  # fmt: skip
mean_prim.prim.overloads = True


@composite
def products_of_others(xp: Any, x: Any, axis: tuple[int, ...]) -> Any:
    """For each entry, the product of all others along `axis`: no division, so right at zeros."""
    kept = tuple(i for i in range(len(x.shape)) if i not in axis)
    rows = xp.permute_dims(x, axes=kept + axis)
    shape = tuple(rows.shape)
    rows = xp.reshape(rows, shape=(*shape[: len(kept)], count_of(x.shape, axis)))
    found = xp.exclusive_cumprod(rows, len(kept), False) * xp.exclusive_cumprod(
        rows, len(kept), True
    )
    back = tuple(int(i) for i in np.argsort(kept + axis))
    return xp.permute_dims(xp.reshape(found, shape=shape), axes=back)


prod_prim = general(
    "prod", _product_of,
    vjps=(
        lambda xp, g, x, axis, keepdims: expand(xp, g, x, axis, keepdims)
        * conjugate(xp, xp.products_of_others(x, axis)),
    ),
    jvps=(
        lambda xp, t, x, axis, keepdims: xp.sum(
            t * xp.products_of_others(x, axis), axis=axis, keepdims=keepdims
        ),
    ),
    aval=reduced, symbol="prod({})", batch=along("axis"),
    samples=lambda: [
        *_reductions(),
        Sample(np.array([[1.5, 0.0, 2.0], [0.0, 3.0, 0.0]]), axis=(1,), keepdims=False),
    ],
)  # fmt: skip
prod_prim.prim.overloads = True


def _logsumexp_of(x: Any, axis: tuple[int, ...], keepdims: bool = False) -> Any:
    top = np.maximum.reduce(x.real, axis, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0)
    with np.errstate(divide="ignore"):
        total = np.log(_add(np.exp(x - top), axis, keepdims=keepdims))
    return total + top.reshape(np.shape(total))


def _softmax_of(xp: Any, x: Any, out: Any, axis: Any, keepdims: bool) -> Any:
    # Where every entry is -inf so is the result: subtracting 0 instead gives weights 0, not nan.
    return xp.exp(x - expand(xp, xp.where(out == -np.inf, 0, out), x, axis, keepdims))


logsumexp_prim = general(
    "logsumexp", in_float32(_logsumexp_of),
    vjps=(
        lambda xp, g, x, out, axis, keepdims: expand(xp, g, x, axis, keepdims)
        * conjugate(xp, _softmax_of(xp, x, out, axis, keepdims)),
    ),
    jvps=(
        lambda xp, t, x, out, axis, keepdims: xp.sum(
            t * _softmax_of(xp, x, out, axis, keepdims), axis=axis, keepdims=keepdims
        ),
    ),
    aval=reduced, symbol="logsumexp({})", samples=_reductions, batch=along("axis"),
)  # fmt: skip


def _true_as_torch(reduce: Any) -> Any:
    def found(x: Any, axis: tuple[int, ...], keepdims: bool = False) -> Any:
        answer = reduce(x, axis, dtype=bool, keepdims=keepdims)
        return answer.astype(np.uint8) if x.dtype == np.uint8 else answer

    return found


_whether = typed(avals.reduced, lambda dt: dt if dt == np.uint8 else np.dtype(bool))
all_prim = general(
    "all", _true_as_torch(np.logical_and.reduce), samples=_reductions, batch=along("axis"),
    aval=_whether,
)  # fmt: skip
any_prim = general(
    "any", _true_as_torch(np.logical_or.reduce), samples=_reductions, batch=along("axis"),
    aval=_whether,
)  # fmt: skip
count_nonzero_prim = general(
    "count_nonzero", lambda x, axis: np.asarray(np.count_nonzero(x, axis)),
    samples=lambda: [Sample(uniform(2, 3), axis=(1,))], batch=along("axis"),
    aval=typed(avals.reduced, np.int64),
)  # fmt: skip


_ALL = [tuple(range(ndim)) for ndim in range(65)]


def _apply(prim: Any, x: Any, dim: Any, keepdim: bool) -> Any:
    """`bind` for the sum and the mean, which end nearly every loss: their rules keep no value."""
    axis = _ALL[x.ndim] if dim is None else axes_of(dim, x.ndim)
    params = {"axis": axis, "keepdims": keepdim}
    mode = get_mode()
    if type(x) is not Tensor or type(mode) is not bool or x.array.dtype.char not in "fdFD":
        return bind(prim, (x,), params)
    array = x.array
    out = prim.eval(array, axis, keepdim)
    if x.node is None or not mode:
        return wrap(out)
    kept = (Aval(array.shape, array.dtype),)
    node = make_node(prim, kept, None, params, (x.node,), caller(2))
    node.shape, node.dtype = out.shape, array.dtype
    return wrap(out, node)


@export("sum")
def sum_(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """Sum of the entries over one dimension, several, or all; integers and booleans give int64.

    Raises:
        IndexError: if a dimension is out of range.

    >>> import chainrule as cr
    >>> cr.sum(cr.tensor([[1.0, 2.0], [3.0, 4.0]]), dim=1)
    tensor([3., 7.])
    """
    if dtype is None and type(input) is Tensor:
        return _apply(sum_prim.prim, input, dim, keepdim)
    return _apply(sum_prim.prim, converted(as_input(input, "sum"), dtype), dim, keepdim)


@export("mean")
def mean(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """Mean of the entries over one dimension, several, or all.

    Raises:
        RuntimeError: for integers and booleans; convert them first, or pass `dtype`.

    >>> import chainrule as cr
    >>> cr.mean(cr.tensor([1.0, 2.0, 6.0]))
    tensor(3.)
    """
    if dtype is None and type(input) is Tensor and input.array.dtype.char in "fdFD":
        return _apply(mean_prim.prim, input, dim, keepdim)
    x = converted(as_input(input, "mean"), dtype)
    if not is_inexact(numpy_dtype(x)):
        raise RuntimeError(
            "mean(): could not infer output dtype. Input dtype must be either a floating point or "
            f"complex dtype. Got: {torch_name(x)}"
        )
    return _apply(mean_prim.prim, x, dim, keepdim)


@export("prod")
def prod(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """Product of the entries over one dimension, several, or all; integers give int64.

    >>> import chainrule as cr
    >>> cr.prod(cr.tensor([1.0, 2.0, 6.0]))
    tensor(12.)
    """
    x = converted(as_input(input, "prod"), dtype)
    return prod_prim(x, axis=axes_of(dim, x.ndim), keepdims=keepdim)


@export("logsumexp")
def logsumexp(input: Any, dim: Any, keepdim: bool = False) -> Any:
    """log Σ exp(x) over one dimension or several, without overflow; rows of -inf give -inf.

    >>> import chainrule as cr
    >>> cr.logsumexp(cr.tensor([100.0, 100.0]), dim=0)
    tensor(100.6931)
    """
    x = as_input(input, "logsumexp")
    if not is_inexact(numpy_dtype(x)):
        x = converted(x, default_dtype())
    return logsumexp_prim(x, axis=axes_of(dim, x.ndim), keepdims=keepdim)


@export("all")
def all_(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """Whether all entries over one dimension, several, or all are nonzero.

    >>> import chainrule as cr
    >>> cr.all(cr.tensor([[True, False], [True, True]]), dim=1)
    tensor([False,  True])
    """
    x = as_input(input, "all")
    return all_prim(x, axis=axes_of(dim, x.ndim), keepdims=keepdim)


@export("any")
def any_(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """Whether any entry over one dimension, several, or all is nonzero.

    >>> import chainrule as cr
    >>> cr.any(cr.tensor([[True, False], [False, False]]), dim=1)
    tensor([ True, False])
    """
    x = as_input(input, "any")
    return any_prim(x, axis=axes_of(dim, x.ndim), keepdims=keepdim)


@export("count_nonzero")
def count_nonzero(input: Any, dim: Any = None) -> Any:
    """How many entries are nonzero, over one dimension, several, or all.

    >>> import chainrule as cr
    >>> cr.count_nonzero(cr.tensor([0.0, 1.0, 2.0]))
    tensor(2)
    """
    x = as_input(input, "count_nonzero")
    return count_nonzero_prim(x, axis=axes_of(dim, x.ndim))
