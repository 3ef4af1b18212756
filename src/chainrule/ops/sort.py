"""Sorting and what follows from it: sort, argsort, msort, topk, kthvalue, median, mode.

A search finds the positions; the values are selected there, so the gradient goes to them.  Sorting
is stable: among equal entries the first comes first, in both directions; nan counts as largest.
Of equal entries `median` and `kthvalue` return the first; which of them `topk` takes when not all
fit is not specified (as in PyTorch).
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from chainrule.core.avals import same, typed
from chainrule.core.batching import along_line
from chainrule.core.dtypes import NUMPY_INT64
from chainrule.core.kinds import general
from chainrule.core.node import Aval
from chainrule.core.samples import Sample, uniform
from chainrule.ops.api import export
from chainrule.ops.extremes import ordered, shared_reduction
from chainrule.ops.inputs import axis_of, require_entries
from chainrule.ops.results import result_type
from chainrule.ops.selection import selection, without

_Axes = tuple[int, ...]


def _argsort(x: Any, axis: int, descending: bool = False) -> Any:
    if x.ndim == 0:
        return np.zeros((), np.int64)
    if x.dtype.kind in "fV":
        # NumPy's unstable sort is several times faster, and without ties there is only one order.
        order = np.argsort(x, axis)
        if not _has_ties(np.take_along_axis(x, order, axis), axis):
            return np.flip(order, axis) if descending else order
    if not descending:
        return np.argsort(x, axis, kind="stable")
    # Sorting the reversed line and reversing the result keeps equal entries in their order.
    turned = np.argsort(np.flip(x, axis), axis, kind="stable")
    return x.shape[axis] - 1 - np.flip(turned, axis)


def _has_ties(x: Any, axis: int) -> bool:
    """Whether sorted lines hold an entry twice (or several nans)."""
    line = np.moveaxis(x, axis, -1)
    left, right = line[..., :-1], line[..., 1:]
    return bool(((left == right) | (left != left)).any())


def _ranked(x: Any, axis: int, rank: int) -> Any:
    """Where the entry of the given rank (0 is the smallest) stands first; the dimension is kept."""
    if x.ndim == 0:
        return np.zeros((), np.int64)
    value = np.partition(x, rank, axis).take([rank], axis)
    here = (x == value) | ((x != x) & (value != value))
    return np.argmax(here, axis, keepdims=True)


def _top(x: Any, axis: int, k: int, largest: bool = True) -> Any:
    """Where the k largest or smallest entries stand, in order."""
    if x.ndim == 0:
        return np.zeros((), np.int64)
    n = x.shape[axis]
    if n < 16 * k or k == 0:
        return _argsort(x, axis, largest).take(range(k), axis)
    part = np.argpartition(x, n - k if largest else k - 1, axis)
    chosen = np.sort(part.take(range(n - k, n) if largest else range(k), axis), axis)
    order = _argsort(np.take_along_axis(x, chosen, axis), axis, largest)
    return np.take_along_axis(chosen, order, axis)


def _median_index(x: Any, axis: int, skip_nan: bool = False) -> Any:
    """Where the lower median stands: a nan if there is one, unless nans are to be skipped."""
    if x.ndim == 0:
        return np.zeros((), np.int64)
    n = x.shape[axis]
    nan = x != x
    if not nan.any():
        return _ranked(x, axis, (n - 1) // 2)
    if skip_nan:
        valid = np.maximum(n - np.add.reduce(nan, axis, keepdims=True), 1)
        return np.take_along_axis(_argsort(x, axis), (valid - 1) // 2, axis)
    first_nan = np.argmax(nan, axis, keepdims=True)
    has_nan = np.logical_or.reduce(nan, axis, keepdims=True)
    return np.where(has_nan, first_nan, _ranked(x, axis, (n - 1) // 2))


def _mode_index(x: Any, axis: int) -> Any:
    """Where the most frequent value stands last; of several, the smallest value."""
    if x.ndim == 0:
        return np.zeros((), np.int64)
    order = _argsort(x, axis)
    line = np.moveaxis(np.take_along_axis(x, order, axis), axis, -1)
    place = np.arange(line.shape[-1])
    new = np.ones(line.shape, bool)
    new[..., 1:] = line[..., 1:] != line[..., :-1]
    length = place - np.maximum.accumulate(np.where(new, place, 0), -1)
    best = np.argmax(length, -1, keepdims=True)
    return np.take_along_axis(order, np.moveaxis(best, -1, axis), axis)


def _flat_median(skip_nan: bool) -> Any:
    def median_of_all(x: Any, axis: _Axes, keepdims: bool = False) -> Any:
        lead = x.shape[: x.ndim - len(axis)]
        if not lead and x.size:
            flat = x.reshape(-1)
            return flat[_median_index(flat, 0, skip_nan)].reshape((1,) * x.ndim if keepdims else ())
        # a batch: everything but what leads is one line
        flat = x.reshape((*lead, prod(x.shape[len(lead) :])))
        if flat.shape[-1]:
            found = np.take_along_axis(flat, _median_index(flat, len(lead), skip_nan), -1)
        else:
            found = np.full((*lead, 1), np.nan, x.dtype)
        return found.reshape((*lead, *(1,) * len(axis)) if keepdims else lead)

    return median_of_all


def _found_aval(x: Any, axis: int, k: int = 1, **_: Any) -> Aval:
    """The shape of `k` positions found along an axis of `x`."""
    shape = list(x.shape)
    if shape:
        shape[axis] = k
    return Aval(tuple(shape), NUMPY_INT64)


def _search(name: str, find: Any, aval: Any = _found_aval, **params: Any) -> Any:
    return general(
        name, find, aval=aval, batch=along_line,
        samples=lambda: [Sample(uniform(2, 5), axis=1, **params)],
    )  # fmt: skip


argsort_prim = _search("argsort", _argsort, typed(same, NUMPY_INT64), descending=False)
_ranked_prim = _search("rank_index", _ranked, rank=2)
_top_prim = _search("topk_index", _top, k=2, largest=True)
_median_prim = _search("median_index", _median_index, skip_nan=False)
_mode_prim = _search("mode_index", _mode_index)

sort_along = selection("sort_along", "Sort")
_top_along = selection("topk_along", "Topk")
_kth_along = selection("kthvalue_along", "Kthvalue")
_median_along = selection("median_along", "Median")
_nanmedian_along = selection("nanmedian_along", "Nanmedian")
_mode_along = selection("mode_along", "Mode")
_median_all = shared_reduction("median_all", _flat_median(False), "Median", partial=False)
_nanmedian_all = shared_reduction("nanmedian_all", _flat_median(True), "Nanmedian", partial=False)

_Sort = result_type("sort", "values", "indices")
_Topk = result_type("topk", "values", "indices")
_Kth = result_type("kthvalue", "values", "indices")
_Median = result_type("median", "values", "indices")
_Nanmedian = result_type("nanmedian", "values", "indices")
_Mode = result_type("mode", "values", "indices")


@export("sort")
def sort(input: Any, dim: Any = -1, descending: bool = False, stable: bool = False) -> Any:
    """The entries in order along a dimension, and where they stood; always stable.

    >>> import chainrule as cr
    >>> cr.sort(cr.tensor([3.0, 1.0, 2.0])).values
    tensor([1., 2., 3.])
    """
    x = ordered(input, "sort")
    axis = axis_of(dim, x.ndim, "sort")
    index = argsort_prim(x, axis=axis, descending=bool(descending))
    return _Sort(sort_along(x, index, axis=axis, keepdims=True), index)


@export("argsort")
def argsort(input: Any, dim: Any = -1, descending: bool = False, stable: bool = False) -> Any:
    """Where the entries stand that would be in order along a dimension; always stable.

    >>> import chainrule as cr
    >>> cr.argsort(cr.tensor([3.0, 1.0, 2.0]))
    tensor([1, 2, 0])
    """
    x = ordered(input, "argsort")
    return argsort_prim(x, axis=axis_of(dim, x.ndim, "argsort"), descending=bool(descending))


@export("msort")
def msort(input: Any) -> Any:
    """The entries in order along the first dimension.

    >>> import chainrule as cr
    >>> cr.msort(cr.tensor([[3.0], [1.0]]))
    tensor([[1.],
            [3.]])
    """
    return sort(input, 0).values


@export("topk")
def topk(
    input: Any, k: int, dim: Any = -1, largest: bool = True, sorted: bool = True
) -> Any:  # fmt: skip
    """The k largest (or smallest) entries along a dimension, in order, and where they stand.

    Raises:
        RuntimeError: if there are fewer than k.

    >>> import chainrule as cr
    >>> cr.topk(cr.tensor([3.0, 1.0, 2.0]), 2).values
    tensor([3., 2.])
    """
    x = ordered(input, "topk")
    axis = axis_of(dim, x.ndim, "topk")
    if not 0 <= k <= (x.shape[axis] if x.ndim else 1):
        raise RuntimeError(
            f"selected index k out of range: k = {k} for a dimension of size "
            f"{x.shape[axis] if x.ndim else 1}"
        )
    index = _top_prim(x, axis=axis, k=int(k), largest=bool(largest))
    return _Topk(_top_along(x, index, axis=axis, keepdims=True), index)


def _chosen(name: str, input: Any, dim: Any, keepdim: bool, search: Any, along: Any) -> Any:
    """One entry of each line, and its index: what kthvalue, median and mode have in common."""
    x = ordered(input, name)
    axis = axis_of(dim, x.ndim, name)
    if x.ndim:
        require_entries(x, (axis,), name, False)
    index = search(x, axis)
    return along(x, index, axis=axis, keepdims=keepdim), without(index, axis, keepdim)


@export("kthvalue")
def kthvalue(input: Any, k: int, dim: Any = -1, keepdim: bool = False) -> Any:
    """The k-th smallest entry along a dimension, counted from 1, and where it stands.

    Raises:
        RuntimeError: if there are fewer than k.

    >>> import chainrule as cr
    >>> cr.kthvalue(cr.tensor([3.0, 1.0, 2.0]), 2).values
    tensor(2.)
    """

    def search(x: Any, axis: int) -> Any:
        if not 1 <= k <= (x.shape[axis] if x.ndim else 1):
            raise RuntimeError(
                f"kthvalue(): selected number k out of range for dimension {axis}: k = {k}"
            )
        return _ranked_prim(x, axis=axis, rank=int(k) - 1)

    return _Kth(*_chosen("kthvalue", input, dim, keepdim, search, _kth_along))


def _median(
    name: str, input: Any, dim: Any, keepdim: bool, skip_nan: bool, of_all: Any, along: Any,
    made: Any,
) -> Any:  # fmt: skip
    if dim is None:
        x = ordered(input, name)
        return of_all(x, axis=tuple(range(x.ndim)), keepdims=keepdim)

    def search(x: Any, axis: int) -> Any:
        return _median_prim(x, axis=axis, skip_nan=skip_nan)

    return made(*_chosen(name, input, dim, keepdim, search, along))


@export("median")
def median(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The lower median of all entries, or with `dim`, medians and their indices along it.

    A nan among the entries is the median.

    >>> import chainrule as cr
    >>> cr.median(cr.tensor([3.0, 1.0, 2.0, 7.0]))
    tensor(2.)
    """
    return _median("median", input, dim, keepdim, False, _median_all, _median_along, _Median)


@export("nanmedian")
def nanmedian(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The lower median of the entries that are not nan.

    >>> import chainrule as cr
    >>> cr.nanmedian(cr.tensor([3.0, float("nan"), 2.0]))
    tensor(2.)
    """
    return _median(
        "nanmedian", input, dim, keepdim, True, _nanmedian_all, _nanmedian_along, _Nanmedian
    )


@export("mode")
def mode(input: Any, dim: Any = -1, keepdim: bool = False) -> Any:
    """The most frequent value along a dimension (of several the smallest), and its last index.

    >>> import chainrule as cr
    >>> cr.mode(cr.tensor([3, 1, 2, 1]))
    chainrule.return_types.mode(
    values=tensor(1),
    indices=tensor(3))
    """

    def search(x: Any, axis: int) -> Any:
        return _mode_prim(x, axis=axis)

    return _Mode(*_chosen("mode", input, dim, keepdim, search, _mode_along))
