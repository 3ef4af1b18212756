"""Indexing of every kind, reading and writing: `x[i]` and `x[i] = v`.

An index is split into a hashable description, which is a keyword parameter, and its integer or
boolean arrays, which are positional arguments.  Slices become tuples; `ARRAY` marks an array.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core import inplace, mutation
from chainrule.core.engine import Scatter
from chainrule.core.kinds import general
from chainrule.core.modes import is_recording
from chainrule.core.namespaces import raw
from chainrule.core.primitive import bind
from chainrule.core.samples import Sample, uniform
from chainrule.core.tensor import Tensor, as_array
from chainrule.ops.api import attach

ARRAY = "array"
FULL = ("slice", None, None, None)
Spec = tuple[Any, ...]


def split_index(index: Any) -> tuple[Spec, tuple[Any, ...]]:
    """The hashable description of an index and the arrays in it."""
    if type(index) is int:
        return (index,), ()
    spec: list[Any] = []
    arrays = []
    for item in index if isinstance(index, tuple) else (index,):
        if isinstance(item, slice):
            spec.append(("slice", *map(_bound, (item.start, item.stop, item.step))))
        elif item is None or item is Ellipsis:
            spec.append(item)
        elif isinstance(item, (int, np.integer)) and not isinstance(item, bool):
            spec.append(int(item))
        else:
            array = _index_array(item)
            if array.ndim == 0 and array.dtype.kind in "iu" and not isinstance(item, np.ndarray):
                spec.append(int(array))
            else:
                spec.append(ARRAY)
                arrays.append(array)
    return tuple(spec), tuple(arrays)


def _bound(bound: Any) -> int | None:
    return None if bound is None else int(bound)


def _index_array(item: Any) -> np.ndarray:
    array = item.array if isinstance(item, Tensor) else np.asarray(item)
    if array.size == 0 and array.dtype.kind == "f" and not isinstance(item, Tensor):
        array = array.astype(np.int64)
    if array.dtype.kind not in "iub":
        raise IndexError(
            "tensors used as indices must be long, int, byte or bool tensors, not "
            f"{array.dtype.name}; convert the index, for example with i.long()"
        )
    return array


def join_index(spec: Spec, arrays: Any) -> tuple[Any, ...]:
    """The index that NumPy understands, back from its description and arrays."""
    rest = iter(arrays)
    found = []
    for item in spec:
        if item == ARRAY and isinstance(item, str):
            found.append(next(rest))
        elif isinstance(item, tuple):
            found.append(slice(*item[1:]))
        else:
            found.append(item)
    return tuple(found)


def _getitem(x: Any, *arrays: Any, index: Spec) -> Any:
    if arrays:
        return x[join_index(index, arrays)]
    # The ellipsis makes NumPy return a 0-d view where it would copy out a scalar.
    if Ellipsis in index:
        return x[join_index(index, ())]
    return x[(*join_index(index, ()), Ellipsis)]


def _getitem_vjp(xp: Any, g: Any, x_aval: Any, rest: Any, index: Spec) -> tuple[Any, ...]:
    if xp is raw:
        repeats = any(a.dtype.kind != "b" for a in rest)
        pulled: Any = Scatter(join_index(index, rest), g, repeats)
    else:
        pulled = xp.index_add(_zeros(x_aval), g, *rest, index=index)
    return (pulled, *[None] * len(rest))


def _zeros(aval: Any) -> Any:
    return np.zeros(aval.shape, aval.dtype)


getitem = general(
    "getitem", _getitem, vjp=_getitem_vjp,
    jvp=lambda xp, t, rest, index: xp.getitem(t[0], *rest, index=index),
    view=True, grad_name="Index",
    samples=lambda: [
        Sample(uniform(4, 3), index=(1,)),
        Sample(uniform(4, 3), index=(("slice", None, None, 2), None, -1)),
        Sample(uniform(4, 3), np.array([0, 2, 2]), index=(ARRAY,)),
        Sample(
            uniform(4, 3), np.array([True, False, True, True]), index=(ARRAY, ("slice", 1, 3, None))
        ),
    ],
)  # fmt: skip


def _index_add(x: Any, y: Any, *arrays: Any, index: Spec) -> Any:
    out = np.array(np.broadcast_to(x, x.shape))
    key = join_index(index, arrays)
    if arrays:
        np.add.at(out, key, y)
    else:
        out[key] += y
    return out


# out = x; out[index] += y, where repeated positions add up
index_add = general(
    "index_add", _index_add,
    vjp=lambda xp, g, tail, index: (
        g, xp.getitem(g, *tail, index=index), *[None] * len(tail)
    ),
    jvp=lambda xp, t, x_aval, y_aval, tail, index: xp.index_add(
        _zeros(x_aval) if t[0] is None else t[0], _zeros(y_aval) if t[1] is None else t[1],
        *tail, index=index,
    ),
    samples=lambda: [
        Sample(uniform(4, 3), uniform(2, 3, seed=1), np.array([1, 1]), index=(ARRAY,)),
        Sample(uniform(4, 3), uniform(3, seed=1), index=(2,)),
    ],
)  # fmt: skip


def _index_put(x: Any, y: Any, *arrays: Any, index: Spec) -> Any:
    out = np.array(x)
    out[join_index(index, arrays)] = y
    return out


# out = x; out[index] = y
index_put = general(
    "index_put", _index_put,
    vjp=lambda xp, g, x_aval, tail, need, index: (
        xp.index_put(g, np.zeros((), x_aval.dtype), *tail, index=index) if need[0] else None,
        xp.getitem(g, *tail, index=index) if need[1] else None,
        *[None] * len(tail),
    ),
    jvp=lambda xp, t, x_aval, y_aval, tail, index: xp.index_put(
        _zeros(x_aval) if t[0] is None else t[0], _zeros(y_aval) if t[1] is None else t[1],
        *tail, index=index,
    ),
    grad_name="IndexPut",
    samples=lambda: [
        Sample(uniform(4, 3), uniform(2, 3, seed=1), np.array([0, 3]), index=(ARRAY,)),
        Sample(uniform(4, 3), uniform(3, seed=1), index=(2,)),
    ],
)  # fmt: skip


def _read(self: Tensor, index: Any) -> Any:
    spec, arrays = split_index(index)
    try:
        return bind(getitem.prim, (self, *arrays), {"index": spec})
    except IndexError as error:
        raise IndexError(f"{error}; the tensor has shape {list(self.array.shape)}") from None


def _write(self: Tensor, index: Any, value: Any) -> None:
    inplace.check_writable(self)
    spec, arrays = split_index(index)
    array = value.array if isinstance(value, Tensor) else as_array(value)
    old = self
    if is_recording() and isinstance(value, Tensor) and mutation.shares_owner(self.array, array):
        array = array.copy()
    try:
        self.array[join_index(spec, arrays)] = array
    except ValueError as error:
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(np.shape(array))} cannot be assigned to "
            f"the selection {index!r} of a tensor of shape {list(self.array.shape)} ({error})"
        ) from None
    mutation.note_write(self.array)
    if is_recording():
        node = inplace.record_write(
            index_put.prim,
            (old, value, *arrays),
            {"index": spec},
            self.array,
        )
        if node is not None:
            inplace.rebind(self, node)


attach("__getitem__", _read)
attach("__setitem__", _write)
