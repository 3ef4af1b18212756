"""Searching, counting and binning: searchsorted, bucketize, unique, bincount, histc, histogram.

Positions and counts have no gradient; distinct values and sums of weights do.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from chainrule.core.avals import shape_of as aval_shape
from chainrule.core.batching import all_mapped, rank, shape_of, xp
from chainrule.core.boxes import is_mapped, refuse_mapped
from chainrule.core.dtypes import NUMPY_INT64
from chainrule.core.kinds import general
from chainrule.core.node import Aval
from chainrule.core.samples import Sample, uniform
from chainrule.core.tensor import wrap
from chainrule.ops.api import export
from chainrule.ops.create import number
from chainrule.ops.embedding import own_rows
from chainrule.ops.extremes import ordered
from chainrule.ops.gather import take_along_dim
from chainrule.ops.inputs import as_input, axis_of, converted, numpy_dtype, torch_name
from chainrule.ops.reduce import any_prim, sum_prim
from chainrule.ops.results import result_type
from chainrule.ops.shape import reshape_prim

_Histogram = result_type("histogram", "hist", "bin_edges")


def _searchsorted(x: Any, y: Any, right: bool = False) -> Any:
    """Where each y would be inserted in x, line by line: bisection of all lines at once."""
    if x.ndim == 1:
        return np.asarray(np.searchsorted(x, y, "right" if right else "left"))
    low = np.zeros(y.shape, np.int64)
    high = np.full(y.shape, x.shape[-1])
    for _ in range(x.shape[-1].bit_length()):
        middle = (low + high) >> 1
        value = np.take_along_axis(x, np.minimum(middle, x.shape[-1] - 1), -1)
        up = ((value <= y) if right else (value < y)) & (low < high)
        low = np.where(up, middle + 1, low)
        high = np.where(up, high, middle)
    return low


def _search_batch(prim: Any, size: int, args: Any, mapped: Any, params: Any) -> Any:
    line, y = args
    if rank(line) == 1:  # one line for all
        return prim.apply(args, params)
    line, y = all_mapped(size, args, mapped)
    if rank(line) > 2:
        return prim.apply((line, y), params)
    shape = shape_of(y)
    flat = xp.reshape(y, shape=(size, prod(shape[1:])))
    return xp.reshape(prim.apply((line, flat), params), shape=shape)


searchsorted_prim = general(
    "searchsorted", _searchsorted, batch=_search_batch,
    aval=lambda x, y, right=False: Aval(aval_shape(y), NUMPY_INT64),
    samples=lambda: [
        Sample(np.sort(uniform(5)), uniform(2, 3), right=False),
        Sample(np.sort(uniform(2, 5)), uniform(2, 3), right=True),
    ],
)  # fmt: skip


@export("searchsorted", method=False)
def searchsorted(
    sorted_sequence: Any, input: Any, *, out_int32: bool = False, right: bool = False,
    side: str | None = None, sorter: Any = None,
) -> Any:  # fmt: skip
    """Where each entry would be inserted to keep the last dimension of `sorted_sequence` in order.

    Among equal entries the position is before the first, or with `right` (`side="right"`) after the
    last.  The leading dimensions of both must agree, unless `sorted_sequence` has one dimension.

    Raises:
        RuntimeError: if the shapes do not fit, or `side` contradicts `right`.

    >>> import chainrule as cr
    >>> cr.searchsorted(cr.tensor([1.0, 3.0, 5.0]), cr.tensor([3.0, 4.0]))
    tensor([1, 2])
    """
    line = ordered(sorted_sequence, "searchsorted")
    if side not in (None, "left", "right"):
        raise RuntimeError(
            f"torch.searchsorted(): side can only be 'left' or 'right' but got {side}"
        )
    if side == "left" and right:
        raise RuntimeError(
            "torch.searchsorted(): side and right can't be set to opposites, got side of left "
            "while right was True"
        )
    x = (
        wrap(np.asarray(input))
        if isinstance(input, (int, float))
        else ordered(input, "searchsorted")
    )
    if line.ndim != 1 and tuple(line.shape[:-1]) != tuple(x.shape[:-1]):
        raise RuntimeError(
            "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 "
            "dimensions of boundaries tensor and input value tensor must match, but we got "
            f"boundaries tensor {list(line.shape)} and input value tensor {list(x.shape)}"
        )
    if sorter is not None:
        line = take_along_dim(line, as_input(sorter, "searchsorted", "sorter"), line.ndim - 1)
    found = searchsorted_prim(line, x, right=right or side == "right")
    return converted(found, np.int32) if out_int32 else found


@export("bucketize")
def bucketize(input: Any, boundaries: Any, *, out_int32: bool = False, right: bool = False) -> Any:
    """The bucket of each entry: i if boundaries[i-1] < entry <= boundaries[i] (`right`: <=, <).

    Raises:
        RuntimeError: if `boundaries` has not exactly one dimension.

    >>> import chainrule as cr
    >>> cr.bucketize(cr.tensor([0.5, 1.0, 9.0]), cr.tensor([1.0, 2.0]))
    tensor([0, 0, 2])
    """
    edges = as_input(boundaries, "bucketize", "boundaries")
    if edges.ndim != 1:
        raise RuntimeError(
            f"bucketize(): boundaries tensor must be 1 dimension, but got dim({edges.ndim})"
        )
    return searchsorted(edges, input, out_int32=out_int32, right=right)


@export("isin", method=False)
def isin(
    elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False
) -> Any:
    """Whether each entry is one of the test elements.

    >>> import chainrule as cr
    >>> cr.isin(cr.tensor([1, 2, 3]), cr.tensor([3, 1]))
    tensor([ True, False,  True])
    """
    if is_mapped(elements) or is_mapped(test_elements):
        x, tests = (as_input(v, "isin") for v in (elements, test_elements))
        equal = reshape_prim(x, shape=(*x.shape, 1)) == reshape_prim(tests, shape=(-1,))
        found = any_prim(equal, axis=(x.ndim,), keepdims=False)
        return xp.logical_not(found) if invert else found
    a, b = (np.asarray(getattr(v, "array", v)) for v in (elements, test_elements))
    return wrap(np.isin(a, b, assume_unique=assume_unique, invert=invert))


def _parts(values: Any, inverse: Any, counts: Any, want_inverse: bool, want_counts: bool) -> Any:
    found = [values]
    if want_inverse:
        found.append(wrap(inverse))
    if want_counts:
        found.append(wrap(counts))
    return values if len(found) == 1 else tuple(found)


def _taken(x: Any, axis: int | None, index: Any) -> Any:
    """The entries (or slices along `axis`) at an index: the gradient goes where they came from."""
    if axis is None:
        return reshape_prim(x, shape=(-1,))[wrap(index)]
    return x[(*(slice(None),) * axis, wrap(index))]


@export("unique")
def unique(
    input: Any, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False,
    dim: Any = None,
) -> Any:  # fmt: skip
    """The distinct entries (with `dim`, slices) in order, where each entry went, and how often.

    >>> import chainrule as cr
    >>> cr.unique(cr.tensor([3, 1, 3]), return_counts=True)
    (tensor([1, 3]), tensor([1, 2]))
    """
    x = as_input(input, "unique")
    refuse_mapped(x, "unique", "sort() keeps the shape, and neighbours that differ are distinct")
    axis = None if dim is None else axis_of(dim, x.ndim, "unique")
    _, first, inverse, counts = np.unique(
        x.array, True, True, return_counts=True, axis=axis, equal_nan=False
    )
    inverse = inverse.reshape(x.array.shape if axis is None else -1)
    return _parts(_taken(x, axis, first), inverse, counts, return_inverse, return_counts)


@export("unique_consecutive")
def unique_consecutive(
    input: Any, return_inverse: bool = False, return_counts: bool = False, dim: Any = None
) -> Any:
    """The first of every run of equal entries (with `dim`, slices); the runs' numbers and lengths.

    >>> import chainrule as cr
    >>> cr.unique_consecutive(cr.tensor([1, 1, 2, 1]))
    tensor([1, 2, 1])
    """
    x = as_input(input, "unique_consecutive")
    refuse_mapped(x, "unique_consecutive", "compare neighbours, as in x[1:] != x[:-1]")
    axis = None if dim is None else axis_of(dim, x.ndim, "unique_consecutive")
    line = x.array.reshape(-1) if axis is None else np.moveaxis(x.array, axis, 0)
    new = np.ones(len(line), bool)
    new[1:] = (line[1:] != line[:-1]).reshape(max(len(line) - 1, 0), -1).any(1)
    starts = np.flatnonzero(new)
    inverse = np.cumsum(new) - 1
    counts = np.diff(np.append(starts, len(line)))
    inverse = inverse.reshape(x.shape if axis is None else -1)
    return _parts(_taken(x, axis, starts), inverse, counts, return_inverse, return_counts)


def _weight_per_bin(w: Any, place: Any, size: int) -> Any:
    return np.bincount(place, w, size).astype(w.dtype)


def _bins_batch(prim: Any, size: int, args: Any, mapped: Any, params: Any) -> Any:
    w, place = all_mapped(size, args, mapped)
    bins, n = params["size"], prod(shape_of(w))
    place = own_rows(place, True, size, bins)
    flat = prim.apply(
        (xp.reshape(w, shape=(n,)), xp.reshape(place, shape=(n,))), {"size": size * bins}
    )
    return xp.reshape(flat, shape=(size, bins))


# out[k] = Σ w[i] over the i with place[i] = k
weight_per_bin = general(
    "weight_per_bin", _weight_per_bin, batch=_bins_batch,
    aval=lambda w, place, size: Aval((size,), w.dtype),
    vjps=(lambda xp, g, y: xp.getitem(g, y, index=("array",)), None),
    jvps=("linear", None), grad_name="Bincount",
    samples=lambda: [Sample(uniform(4), np.array([2, 0, 2, 3]), size=5)],
)  # fmt: skip


@export("bincount")
def bincount(input: Any, weights: Any = None, minlength: int = 0) -> Any:
    """How often each of 0, 1, 2, ... occurs, or the sum of the weights where it does.

    Raises:
        RuntimeError: unless the tensor is 1-d, integer and not negative.

    >>> import chainrule as cr
    >>> cr.bincount(cr.tensor([0, 2, 2]))
    tensor([1, 0, 2])
    """
    refuse_mapped(
        input, "bincount", "nn.functional.one_hot(x, num_classes).sum(0) has a fixed number of bins"
    )
    x = as_input(input, "bincount").array
    if x.ndim != 1 or x.dtype.kind not in "iub" or (x.size and x.min() < 0):
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if weights is None:
        return wrap(np.bincount(x, minlength=minlength))
    w = as_input(weights, "bincount", "weights")
    if tuple(w.shape) != x.shape:
        raise RuntimeError("weights should be 1-d and have the same length as input")
    if numpy_dtype(w) != np.float32:
        w = converted(w, np.float64)
    return weight_per_bin(w, x, size=max(int(x.max(initial=-1)) + 1, minlength))


def _edges(x: Any, bins: int, low: float, high: float, name: str) -> Any:
    """Evenly spaced bin edges; if both ends are equal, those of the data.

    Raises:
        RuntimeError: for no bins, or ends in the wrong order.
    """
    if bins <= 0:
        raise RuntimeError(f"{name}(): bins must be > 0, but got {bins}")
    if low > high:
        raise RuntimeError(f"{name}: max must be larger than min")
    if low == high and x.size:
        low, high = float(x.min()), float(x.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise RuntimeError(f"{name}: range of [{low}, {high}] is not finite")
    if low == high:
        low, high = low - 1, high + 1
    return np.linspace(low, high, bins + 1)


def _real_input(input: Any, name: str) -> Any:
    x = as_input(input, name)
    refuse_mapped(
        x, name, "count the bins of bucketize(x, edges) with nn.functional.one_hot(...).sum(0)"
    )
    if numpy_dtype(x).kind not in "fV":
        raise NotImplementedError(
            f"\"{name}\" not implemented for '{torch_name(x)}'; convert with x.float()"
        )
    return x.array


@export("histc")
def histc(input: Any, bins: int = 100, min: float = 0, max: float = 0) -> Any:
    """How many entries fall in each of `bins` equal bins from `min` to `max` (both 0: of the data).

    Raises:
        RuntimeError: for no bins, or min > max.

    >>> import chainrule as cr
    >>> cr.histc(cr.tensor([0.0, 1.0, 1.5, 2.0]), bins=2)
    tensor([1., 3.])
    """
    x = _real_input(input, "histc")
    min, max = number("histc", "min", min), number("histc", "max", max)
    return wrap(np.histogram(x, _edges(x, bins, min, max, "torch.histc"))[0].astype(x.dtype))


@export("histogram")
def histogram(
    input: Any, bins: Any, *, range: Any = None, weight: Any = None, density: bool = False
) -> Any:
    """How many entries (or how much weight) fall between neighbouring bin edges.

    `bins` is their number, over `range` or the data's own, or the edges themselves.

    Raises:
        RuntimeError: for no bins, or a range in the wrong order.

    >>> import chainrule as cr
    >>> cr.histogram(cr.tensor([0.0, 1.0, 1.5, 2.0]), 2).hist
    tensor([1., 3.])
    """
    x = _real_input(input, "histogram")
    if isinstance(bins, int):
        low, high = (0.0, 0.0) if range is None else range
        edges = _edges(x, bins, low, high, "torch.histogram").astype(x.dtype)
    else:
        edges = as_input(bins, "histogram", "bins")
        refuse_mapped(edges, "histogram", "use the same bin edges for all examples")
        edges = edges.array
    if weight is None:
        hist = np.histogram(x, edges, density=density)[0]
        return _Histogram(wrap(hist.astype(x.dtype)), wrap(edges))
    w = reshape_prim(as_input(weight, "histogram", "weight"), shape=(-1,))
    flat = x.reshape(-1)
    inside = np.flatnonzero((flat >= edges[0]) & (flat <= edges[-1]))
    # Bins are half open, except that the last includes its upper edge.
    place = np.minimum(np.searchsorted(edges, flat[inside], "right"), len(edges) - 1) - 1
    total = weight_per_bin(w[wrap(inside)], place, size=len(edges) - 1)
    if density:
        total = total / sum_prim(total, axis=(0,), keepdims=False) / np.diff(edges)
    return _Histogram(total, wrap(edges))
