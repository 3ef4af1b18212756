"""Largest and smallest entries: max, min, amax, amin, aminmax, argmax, argmin.

Where several entries are extreme, `amax`, `amin` and `max()` over everything share the gradient
evenly; `max(dim)` gives it to the entry whose index it returns, the first.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from chainrule.core.avals import reduced, same, typed
from chainrule.core.batching import along, along_all, rank, shape_of, xp
from chainrule.core.kinds import general
from chainrule.core.modes import get_mode
from chainrule.core.namespaces import raw, recorded
from chainrule.core.samples import Sample, uniform
from chainrule.core.tensor import Tensor, wrap
from chainrule.ops.api import FUNCTIONS, export
from chainrule.ops.direct import along_axis, aval_of, recorded_result
from chainrule.ops.inputs import (
    as_input,
    axes_of,
    axis_of,
    is_complex,
    require_entries,
    torch_name,
)  # fmt: skip
from chainrule.ops.reduce import expand
from chainrule.ops.results import result_type
from chainrule.ops.selection import selection, without
from chainrule.ops.viewing import is_plain

_Max = result_type("max", "values", "indices")
_Min = result_type("min", "values", "indices")
_AMinMax = result_type("aminmax", "min", "max")


def _tie_weights(x: Any, out: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
    """1/k at the k entries equal to the extreme one (nan being equal to nan), 0 elsewhere."""
    if not keepdims:
        out = np.reshape(out, tuple(1 if i in axis else d for i, d in enumerate(x.shape)))
    ties = x == out
    count = np.add.reduce(ties, axis, keepdims=True)
    if not count.all():
        ties = ties | ((x != x) & (out != out))
        count = np.add.reduce(ties, axis, keepdims=True)
    return (ties / np.maximum(count, 1)).astype(x.dtype)


tie_weights = general(
    "tie_weights", _tie_weights,
    samples=lambda: [Sample(np.array([1.0, 3.0, 3.0]), np.array(3.0), axis=(0,), keepdims=False)],
    aval=same, batch=along_all,
)  # fmt: skip


def _shared(xp: Any, value: Any, x: Any, out: Any, axis: Any, keepdims: bool) -> Any:
    weights = xp.tie_weights(x, out, axis=axis, keepdims=keepdims)
    return xp.where(weights == 0, 0, value * weights)


def shared_reduction(name: str, reduce: Any, grad_name: str, partial: bool = True) -> Any:
    """Declare a reduction to the value of one entry, or of several, which share the gradient.

    `partial` says that it may leave dimensions."""
    return general(
        name, lambda x, axis, keepdims=False: reduce(x, axis, keepdims=keepdims),
        vjps=(
            lambda xp, g, x, out, axis, keepdims: _shared(
                xp, expand(xp, g, x, axis, keepdims), x, out, axis, keepdims
            ),
        ),
        jvps=(
            lambda xp, t, x, out, axis, keepdims: xp.sum(
                _shared(xp, t, x, out, axis, keepdims), axis=axis, keepdims=keepdims
            ),
        ),
        aval=reduced, batch=along("axis"),
        grad_name=grad_name, symbol=f"{name.removesuffix('_all')}({{}})",
        samples=lambda: [
            Sample(uniform(2, 3), axis=(0, 1), keepdims=False),
            *([Sample(uniform(2, 3), axis=(1,), keepdims=True)] if partial else []),
            Sample(uniform(), axis=(), keepdims=False),
        ],
    )  # fmt: skip


amax_prim = shared_reduction("amax", np.maximum.reduce, "Amax")
amin_prim = shared_reduction("amin", np.minimum.reduce, "Amin")
_max_all = shared_reduction("max_all", np.maximum.reduce, "Max")
_min_all = shared_reduction("min_all", np.minimum.reduce, "Min")
_max_all.prim.namer = lambda params: "MaxBackward1"
_min_all.prim.namer = lambda params: "MinBackward1"
for _name in ("max", "min"):  # the Array API's names for rules
    setattr(raw, _name, getattr(raw, f"a{_name}"))
    setattr(recorded, _name, getattr(recorded, f"a{_name}"))

_max_along = selection("max_along", "Max")
_min_along = selection("min_along", "Min")


def _argument(find: Any) -> Any:
    return lambda x, axis, keepdims=False: np.asarray(find(x, axis=axis, keepdims=keepdims))


def _searches() -> list[Sample]:
    return [
        Sample(uniform(2, 3), axis=1, keepdims=True),
        Sample(uniform(2, 3), axis=None, keepdims=False),
    ]


def _searched(prim: Any, size: int, args: Any, mapped: Any, params: Any) -> Any:
    """The batch rule of a search along an axis, or of all entries."""
    x, axis, keepdims = args[0], params["axis"], params["keepdims"]
    ndim = rank(x) - 1
    if axis is not None and ndim:
        return prim.apply(args, {"axis": axis + 1, "keepdims": keepdims})
    flat = xp.reshape(x, shape=(size, prod(shape_of(x)[1:])))
    found = prim.apply((flat,), {"axis": 1, "keepdims": False})
    return xp.reshape(found, shape=(size, *(1,) * ndim)) if keepdims else found


_positions = typed(reduced, np.int64)
argmax_prim = general(
    "argmax", _argument(np.argmax), aval=_positions, samples=_searches, batch=_searched
)
argmin_prim = general(
    "argmin", _argument(np.argmin), aval=_positions, samples=_searches, batch=_searched
)


def ordered(input: Any, name: str) -> Any:
    """The argument as a tensor of entries that can be compared.

    Raises:
        NotImplementedError: for complex numbers.
    """
    x = as_input(input, name)
    if is_complex(x):
        raise NotImplementedError(
            f"\"{name}\" not implemented for '{torch_name(x)}': complex numbers have no order; "
            "compare x.abs() or x.real"
        )
    return x


def _over_axes(prim: Any, name: str, input: Any, dim: Any, keepdim: bool) -> Any:
    x = ordered(input, name)
    axes = axes_of(dim, x.ndim)
    require_entries(x, axes, name, dim is None or dim == ())
    return prim(x, axis=axes, keepdims=keepdim)


@export("amax")
def amax(input: Any, dim: Any = (), keepdim: bool = False) -> Any:
    """The largest entry over one dimension, several, or all; ties share the gradient.

    Raises:
        IndexError: if a reduced dimension has size zero.

    >>> import chainrule as cr
    >>> cr.amax(cr.tensor([[1.0, 5.0], [7.0, 2.0]]), dim=1)
    tensor([5., 7.])
    """
    return _over_axes(amax_prim, "amax", input, dim, keepdim)


@export("amin")
def amin(input: Any, dim: Any = (), keepdim: bool = False) -> Any:
    """The smallest entry over one dimension, several, or all; ties share the gradient.

    Raises:
        IndexError: if a reduced dimension has size zero.

    >>> import chainrule as cr
    >>> cr.amin(cr.tensor([[1.0, 5.0], [7.0, 2.0]]), dim=1)
    tensor([1., 2.])
    """
    return _over_axes(amin_prim, "amin", input, dim, keepdim)


def _along_directly(x: Any, dim: int, keepdim: bool, prim: Any, name: str) -> Any:
    """Values and indices of a plain tensor along `dim`; None if that takes a closer look."""
    mode = get_mode()
    if not is_plain(x, mode):
        return None
    array = x.array
    ndim, shape = array.ndim, array.shape
    if array.dtype.char not in "fd" or not array.size or not -ndim <= dim < ndim:
        return None
    axis = dim % ndim
    index = getattr(array, name)(axis, keepdims=True)
    out = array[along_axis(index, axis)]
    indices = index
    if not keepdim:
        kept = shape[:axis] + shape[axis + 1 :]
        out, indices = out.reshape(kept), index.reshape(kept)
    if x.node is None or not mode:
        return wrap(out), wrap(indices)
    params = {"axis": axis, "keepdims": keepdim}
    args = (aval_of(array), index)
    return recorded_result(out, prim, args, params, (x.node, None)), wrap(indices)


def _max_or_min(
    name: str, input: Any, dim: Any, keepdim: bool, other: Any, everything: Any, along: Any,
    search: Any, result: Any,
) -> Any:  # fmt: skip
    if type(dim) is int and other is None and type(keepdim) is bool:
        found = _along_directly(input, dim, keepdim, along.prim, f"arg{name}")
        if found is not None:
            return result(*found)
    if isinstance(dim, (Tensor, np.ndarray)):
        dim, other = None, dim
    if other is not None:
        return FUNCTIONS[f"{name}imum"](input, other)
    x = ordered(input, name)
    if dim is None:
        axes = tuple(range(x.ndim))
        require_entries(x, axes, name, True)
        return everything(x, axis=axes, keepdims=keepdim)
    axis = axis_of(dim, x.ndim, name)
    if x.ndim:
        require_entries(x, (axis,), name, False)
    index = search(x, axis=axis, keepdims=True)
    values = along(x, index, axis=axis, keepdims=keepdim)
    return result(values, without(index, axis, keepdim))


@export("max")
def max_(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The largest entry; with `dim`, values and indices along it; with a tensor, `maximum`.

    Raises:
        RuntimeError: for an empty tensor.
        IndexError: if the reduced dimension has size zero.

    >>> import chainrule as cr
    >>> cr.max(cr.tensor([[1.0, 5.0], [7.0, 2.0]]), dim=1).indices
    tensor([1, 0])
    """
    return _max_or_min("max", input, dim, keepdim, other, _max_all, _max_along, argmax_prim, _Max)


@export("min")
def min_(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The smallest entry; with `dim`, values and indices along it; with a tensor, `minimum`.

    Raises:
        RuntimeError: for an empty tensor.
        IndexError: if the reduced dimension has size zero.

    >>> import chainrule as cr
    >>> cr.min(cr.tensor([[1.0, 5.0], [7.0, 2.0]]), dim=1).values
    tensor([1., 2.])
    """
    return _max_or_min("min", input, dim, keepdim, other, _min_all, _min_along, argmin_prim, _Min)


def _index_of(prim: Any, name: str, input: Any, dim: Any, keepdim: bool) -> Any:
    x = ordered(input, name)
    axis = None if dim is None else axis_of(dim, x.ndim, name)
    if 0 in x.shape and (axis is None or x.shape[axis] == 0):
        raise IndexError(
            f"{name}(): Expected reduction dim to be specified for input.numel() == 0."
            if axis is None
            else f"{name}(): Expected reduction dim {axis} to have non-zero size."
        )
    return prim(x, axis=axis, keepdims=keepdim)


@export("argmax")
def argmax(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """Where the largest entry is, the first of several; without `dim`, in the flattened tensor.

    Raises:
        IndexError: if there is no entry.

    >>> import chainrule as cr
    >>> cr.argmax(cr.tensor([1.0, 5.0, 5.0]))
    tensor(1)
    """
    return _index_of(argmax_prim, "argmax", input, dim, keepdim)


@export("argmin")
def argmin(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """Where the smallest entry is, the first of several; without `dim`, in the flattened tensor.

    Raises:
        IndexError: if there is no entry.

    >>> import chainrule as cr
    >>> cr.argmin(cr.tensor([1.0, 5.0, 1.0]))
    tensor(0)
    """
    return _index_of(argmin_prim, "argmin", input, dim, keepdim)


@export("aminmax")
def aminmax(input: Any, *, dim: Any = None, keepdim: bool = False) -> Any:
    """The smallest and the largest entry, along a dimension or of all.

    Raises:
        RuntimeError: for an empty tensor.

    >>> import chainrule as cr
    >>> cr.aminmax(cr.tensor([1.0, 5.0, 3.0])).max
    tensor(5.)
    """
    x = ordered(input, "aminmax")
    if dim is None and 0 in x.shape:
        raise RuntimeError(
            "aminmax(): cannot compute aminmax over an empty dimension as the operation has no "
            "identity."
        )
    lowest = _over_axes(amin_prim, "aminmax", x, dim, keepdim)
    return _AMinMax(lowest, amax_prim(x, axis=axes_of(dim, x.ndim), keepdims=keepdim))
