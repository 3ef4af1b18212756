"""The subscript: `x[i]` and `x[i] = v`.

A loop over `x[i]` is what many programs spend their time on, so integers and slices take a short
way (`ops/viewing.py`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core import inplace, mutation
from chainrule.core.boxes import any_box, become
from chainrule.core.modes import get_mode, is_recording
from chainrule.core.namespaces import recorded
from chainrule.core.primitive import bind
from chainrule.core.tensor import Tensor
from chainrule.ops.api import attach
from chainrule.ops.index import Spec, getitem, index_put, join_index, separate, split_index
from chainrule.ops.viewing import is_plain, result_of

_PRIM = getitem.prim


def _read(self: Tensor, index: Any) -> Any:
    """The entries at an index: a view for integers, slices, None and `...`, else a copy."""
    if type(index) is int:
        spec: Spec = (index,)
        key: Any = (index, Ellipsis)
    else:
        spec, arrays = split_index(index)
        if arrays:
            return _gather(self, spec, arrays)
        key = _view_key(spec)
    mode = get_mode()
    if not is_plain(self, mode):
        try:
            return bind(_PRIM, (self,), {"index": spec})
        except IndexError as error:
            raise explained(error, self, spec, ()) from None
    x = self.array
    try:
        found = x[key]
    except IndexError as error:
        raise explained(error, self, spec, ()) from None
    return result_of(self, found, _PRIM, {"index": spec}, mode, True)


def _view_key(spec: Spec) -> tuple[Any, ...]:
    """A basic index for NumPy that gives a view where `x[1, 2]` would copy out a scalar."""
    return join_index(spec if Ellipsis in spec else (*spec, Ellipsis), ())


def _gather(x: Any, spec: Spec, arrays: tuple[Any, ...]) -> Any:
    """Reading with integer or boolean arrays."""
    parts = separate(spec, arrays)
    try:
        if parts is not None:
            x, (spec, arrays) = bind(_PRIM, (x, *parts[1]), {"index": parts[0]}), parts[2:]
        return bind(_PRIM, (x, *arrays), {"index": spec})
    except IndexError as error:
        raise explained(error, x, spec, arrays) from None


def explained(error: IndexError, x: Any, spec: Spec, arrays: Any) -> IndexError:
    """NumPy's complaint about an index in PyTorch's words."""
    shape = list(x.shape)
    text = str(error)
    if not shape and all(type(item) in (int, tuple) for item in spec):
        return IndexError(
            "invalid index of a 0-dim tensor. Use `tensor.item()` in Python to convert a 0-dim "
            "tensor to a number, or x[()] for a view of it"
        )
    if text.startswith("too many indices"):
        return IndexError(
            f"too many indices for tensor of dimension {len(shape)}: the tensor has shape {shape}"
        )
    if text.startswith("boolean index did not match"):
        masks = ", ".join(str(list(a.shape)) for a in arrays if a.dtype.kind == "b")
        return IndexError(
            f"The shape of the mask {masks} at index 0 does not match the shape of the indexed "
            f"tensor {shape} at index 0"
        )
    if text.startswith("shape mismatch"):
        shapes = ", ".join(str(list(a.shape)) for a in arrays)
        return IndexError(
            f"shape mismatch: indexing tensors could not be broadcast together with shapes {shapes}"
        )
    text = text.replace(" axis ", " dimension ")
    return IndexError(f"{text}; the tensor has shape {shape}")


def _write(self: Tensor, index: Any, value: Any) -> None:
    """Write to the entries at an index, which the value is broadcast to."""
    spec, arrays = split_index(index)
    write_at(self, spec, arrays, value)


def write_at(x: Tensor, spec: Spec, arrays: tuple[Any, ...], value: Any) -> None:
    """`x[index] = value` for an index in two parts.

    Raises:
        IndexError: if the index does not fit the tensor.
        RuntimeError: if the value does not fit the entries, or `x` may not be written.
    """
    parts = separate(spec, arrays)
    if parts is not None and not parts[1]:
        x, (spec, arrays) = bind(_PRIM, (x,), {"index": parts[0]}), parts[2:]
        parts = None
    inplace.check_writable(x)
    if not isinstance(value, Tensor):
        value = assignable(value, x)
    elif not arrays and _is_view_at(value, x, spec):
        return  # `x[i] += v` has already written through the view x[i]
    boxed = type(value) is not np.ndarray and value._box is not None
    if boxed or x._box is not None or (arrays and any_box(arrays)):
        _write_boxes(x, spec, arrays, value, parts)
        return
    array = value.array if isinstance(value, Tensor) else value
    key = join_index(spec, arrays)
    target = x.array
    try:
        target[key] = array
    except IndexError as error:
        raise explained(error, x, spec, arrays) from None
    except ValueError:
        raise misfit(target[key].shape, np.shape(array), bool(arrays)) from None
    mutation.note_write(target)
    if is_recording() and (x.node is not None or getattr(value, "node", None) is not None):
        node = inplace.record_write(index_put.prim, (x, value, *arrays), {"index": spec}, target)
        if node is not None:
            family = not arrays and (x._views or x._view is not None)
            inplace.rebind(x, node, target[_view_key(spec)] if family else None)


def _write_boxes(x: Any, spec: Spec, arrays: Any, value: Any, parts: Any) -> None:
    """`x[index] = value` where one of the three is a box: `x` becomes the tensor with that part."""
    dt = x.array.dtype
    if not isinstance(value, Tensor):
        value = value.astype(dt)
    elif value.array.dtype != dt:
        value = recorded.astype(value, dtype=dt)
    try:
        if parts is None:
            found = index_put(x, value, *arrays, index=spec)
        else:
            row = bind(_PRIM, (x, *parts[1]), {"index": parts[0]})
            row = index_put(row, value, *parts[3], index=parts[2])
            found = index_put(x, row, *parts[1], index=parts[0])
    except IndexError as error:
        raise explained(error, x, spec, arrays) from None
    except ValueError:
        part = bind(_PRIM, (x, *arrays), {"index": spec})
        raise misfit(tuple(part.shape), tuple(value.shape), bool(arrays)) from None
    become(x, found, "x[i] = value")


def _is_view_at(value: Tensor, x: Tensor, spec: Spec) -> bool:
    view = value._view
    return (
        view is not None
        and view.parent is x
        and view.prim is _PRIM
        and bool(view.params["index"] == spec)
    )


def assignable(value: Any, x: Tensor) -> Any:
    """A number, array or nested list as an array that can be written to `x`."""
    if isinstance(value, (float, int, np.ndarray)):
        return np.asarray(value)
    if isinstance(value, complex) and x.array.dtype.kind != "c":
        raise RuntimeError(
            f"value cannot be converted to type {x.array.dtype.name} without overflow: it is "
            "complex; use a complex tensor, or value.real"
        )
    array = np.asarray(value) if isinstance(value, (complex, np.generic, list, tuple)) else None
    if array is None or array.dtype.kind not in "biufc":
        raise TypeError(
            f"can't assign a {type(value).__name__} to a tensor of {x.dtype}; pass a number or a "
            "tensor (chainrule.stack joins a list of tensors)"
        )
    return array


def misfit(wanted: Any, given: Any, indexed: bool) -> RuntimeError:
    """The error for a value whose shape does not broadcast to the entries it is written to."""
    if not indexed:
        for back in range(1, min(len(wanted), len(given)) + 1):
            if given[-back] not in (1, wanted[-back]):
                return RuntimeError(
                    f"The expanded size of the tensor ({wanted[-back]}) must match the existing "
                    f"size ({given[-back]}) at non-singleton dimension {len(wanted) - back}.  "
                    f"Target sizes: {list(wanted)}.  Tensor sizes: {list(given)}"
                )
    return RuntimeError(
        f"shape mismatch: value tensor of shape {list(given)} cannot be broadcast to indexing "
        f"result of shape {list(wanted)}"
    )


attach("__getitem__", _read)
attach("__setitem__", _write)
