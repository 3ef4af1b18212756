"""Quantiles, and reductions that leave nan out."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.batching import along
from chainrule.core.boxes import is_mapped
from chainrule.core.dtypes import is_inexact
from chainrule.core.kinds import general
from chainrule.core.primitive import bind
from chainrule.core.samples import Sample, uniform
from chainrule.core.tensor import Tensor, wrap
from chainrule.ops.api import FUNCTIONS, export
from chainrule.ops.inputs import (
    as_input,
    axes_of,
    axis_of,
    converted,
    numpy_dtype,
    torch_name,
)  # fmt: skip
from chainrule.ops.masks import where
from chainrule.ops.reduce import expand, reduced, sum_prim
from chainrule.ops.selection import select_along
from chainrule.ops.shape import permute_dims, reshape_prim
from chainrule.ops.sort import argsort_prim, sort_along

_INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


def _without_nan(x: Any) -> Any:
    return np.where(x == x, x, 0) if x.dtype.kind in "fcV" else x


# The sum is linear wherever it is defined: nan entries take no part, in either direction.
nansum_prim = general(
    "nansum", lambda x, axis, keepdims=False: sum_prim.prim.eval(_without_nan(x), axis, keepdims),
    vjps=(
        lambda xp, g, x, axis, keepdims: xp.where(x == x, expand(xp, g, x, axis, keepdims), 0),
    ),
    jvps=(
        lambda xp, t, x, axis, keepdims: xp.sum(
            xp.where(x == x, t, 0), axis=axis, keepdims=keepdims
        ),
    ),
    samples=lambda: [
        Sample(np.array([[1.0, np.nan, 2.0], [3.0, 4.0, np.nan]]), axis=(1,), keepdims=False),
        Sample(uniform(2, 3), axis=(0, 1), keepdims=True),
    ],
    aval=reduced, batch=along("axis"),
)  # fmt: skip


@export("nansum")
def nansum(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """Sum of the entries that are not nan.

    >>> import chainrule as cr
    >>> cr.nansum(cr.tensor([1.0, float("nan"), 2.0]))
    tensor(3.)
    """
    x = converted(as_input(input, "nansum"), dtype)
    return bind(nansum_prim.prim, (x,), {"axis": axes_of(dim, x.ndim), "keepdims": keepdim})


@export("nanmean")
def nanmean(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """Mean of the entries that are not nan; nan where there are none.

    Raises:
        RuntimeError: for integers and booleans.

    >>> import chainrule as cr
    >>> cr.nanmean(cr.tensor([1.0, float("nan"), 2.0]))
    tensor(1.5000)
    """
    x = converted(as_input(input, "nanmean"), dtype)
    if not is_inexact(numpy_dtype(x)):
        raise RuntimeError(
            "nanmean(): expected input to have floating point or complex dtype but got "
            f"{torch_name(x)}"
        )
    axes = axes_of(dim, x.ndim)
    count = sum_prim(x == x, axis=axes, keepdims=keepdim)
    return nansum_prim(x, axis=axes, keepdims=keepdim) / count


def _probabilities(q: Any, x: Any, name: str) -> Any:
    """The quantiles wanted as a tensor of the dtype of `x`.

    Raises:
        RuntimeError: for another dtype, more than one dimension, or numbers outside [0, 1].
    """
    if isinstance(q, (Tensor, np.ndarray)):
        q = as_input(q, name, "q")
        if q.dtype != x.dtype:
            raise RuntimeError(f"{name}() q tensor must be same dtype as the input tensor")
        if q.ndim > 1:
            raise RuntimeError(f"{name}() q must be a scalar or 1D tensor")
        if is_mapped(q) or not q.array.size:
            low, high = 0, 1
        else:
            low, high = q.array.min(), q.array.max()
    else:
        low = high = q
        q = wrap(np.asarray(q, numpy_dtype(x)))
    if not 0 <= low <= high <= 1:
        what = "q values" if isinstance(q, Tensor) and q.ndim else "q"
        raise RuntimeError(
            f"{name}() {what} must be in the range [0, 1] but got {low if low < 0 else high:g}"
        )
    return q


def _at_ranks(line: Any, ranks: Any, interpolation: str) -> Any:
    """Values at fractional positions along the last dimension of sorted lines."""

    def at(place: Any) -> Any:
        return select_along(line, converted(place, np.int64), axis=line.ndim - 1, keepdims=True)

    lower = FUNCTIONS["floor"](ranks)
    if interpolation == "lower":
        return at(lower)
    if interpolation == "nearest":
        return at(FUNCTIONS["round"](ranks))
    upper = -FUNCTIONS["floor"](-ranks)
    if interpolation == "higher":
        return at(upper)
    below, above = at(lower), at(upper)
    share = 0.5 if interpolation == "midpoint" else ranks - lower
    # Only where the ranks differ: between two infinities the difference would be nan.
    return where(lower == upper, below, below + (above - below) * share)


def _quantile(
    name: str, input: Any, q: Any, dim: Any, keepdim: bool, interpolation: str, skip_nan: bool
) -> Any:
    x = as_input(input, name)
    if numpy_dtype(x) not in (np.float32, np.float64):
        raise RuntimeError(f"{name}() input tensor must be either float or double dtype")
    if interpolation not in _INTERPOLATIONS:
        raise RuntimeError(
            f"{name}() interpolation must be one of linear, lower, higher, midpoint or nearest, "
            f"but got {interpolation}"
        )
    q = _probabilities(q, x, name)
    ndim = x.ndim
    if dim is None:
        lines = reshape_prim(x, shape=(-1,))
        kept = (1,) * ndim if keepdim else ()
    else:
        axis = axis_of(dim, ndim, name)
        lines = permute_dims(x, axes=(*(i for i in range(ndim) if i != axis), axis)[:ndim])
        rest = tuple(d for i, d in enumerate(x.shape) if i != axis)
        kept = (*rest[:axis], *((1,) if keepdim and ndim else ()), *rest[axis:])
        lines = lines if ndim else reshape_prim(x, shape=(1,))
    n = lines.shape[-1]
    if n == 0:
        raise RuntimeError(f"{name}() input tensor must be non-empty")
    last = lines.ndim - 1
    lines = sort_along(
        lines, argsort_prim(lines, axis=last, descending=False), axis=last, keepdims=True
    )
    valid = converted(sum_prim(lines == lines, axis=(last,), keepdims=True), lines.dtype)
    # Sorting puts nans last, so a rank of n - 1 finds one where there is one.
    ranks = q * (FUNCTIONS["clamp"](valid, min=1) - 1) if skip_nan else where(
        valid < n, n - 1.0, q * (n - 1)
    )  # fmt: skip
    found = _at_ranks(lines, ranks, interpolation)
    many = tuple(q.shape)
    if many:
        found = permute_dims(found, axes=(last, *range(last)))
    return reshape_prim(found, shape=(*many, *kept))


@export("quantile")
def quantile(
    input: Any, q: Any, dim: Any = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Any:
    """The q-quantiles of all entries or along a dimension; several `q` come first in the shape.

    A quantile between two entries is interpolated: "linear", "lower", "higher", "midpoint" or
    "nearest".  A nan among the entries is every quantile.

    Raises:
        RuntimeError: for integers, an empty tensor, or `q` outside [0, 1].

    >>> import chainrule as cr
    >>> cr.quantile(cr.tensor([1.0, 2.0, 4.0]), 0.75)
    tensor(3.)
    """
    return _quantile("quantile", input, q, dim, keepdim, interpolation, False)


@export("nanquantile")
def nanquantile(
    input: Any, q: Any, dim: Any = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Any:
    """The q-quantiles of the entries that are not nan, as `quantile` takes them.

    Raises:
        RuntimeError: for integers, an empty tensor, or `q` outside [0, 1].

    >>> import chainrule as cr
    >>> cr.nanquantile(cr.tensor([1.0, float("nan"), 2.0]), 0.5)
    tensor(1.5000)
    """
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation, True)
