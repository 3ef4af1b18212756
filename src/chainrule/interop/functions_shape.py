"""What NumPy's functions that arrange, join, take and create entries mean on tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.boxes import refuse_mapped
from chainrule.core.modes import looked_at
from chainrule.core.tensor import Tensor, wrap
from chainrule.interop.functions_numpy import F, flat_or, tensor
from chainrule.ops.axes import normalize_dims
from chainrule.ops.pad import pad_prim

_PAD_MODES = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}


def _reshape(a: Any, shape: Any, order: str = "C") -> Any:
    if order != "C":
        raise TypeError("numpy.reshape() of a tensor supports order='C' only; transpose first")
    return F.reshape(a, shape)


def _transpose(a: Any, axes: Any = None) -> Any:
    return F.permute(a, tuple(range(a.ndim))[::-1] if axes is None else tuple(axes))


def _expand_dims(a: Any, axis: Any) -> Any:
    axes = normalize_dims(axis, a.ndim + (len(axis) if isinstance(axis, (tuple, list)) else 1))
    for i in sorted(axes):
        a = F.unsqueeze(a, i)
    return a


def _all_tensors(parts: Any) -> list[Any]:
    return [tensor(part) for part in parts]


def _concatenate(arrays: Any, axis: Any = 0) -> Any:
    parts = _all_tensors(arrays)
    return F.cat([F.ravel(p) for p in parts], 0) if axis is None else F.cat(parts, axis)


def _append(arr: Any, values: Any, axis: Any = None) -> Any:
    return _concatenate((arr, values), axis)


def _split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    sections = indices_or_sections
    if isinstance(sections, int) and ary.shape[axis] % sections:
        raise ValueError("array split does not result in an equal division")
    return _array_split(ary, sections, axis)


def _array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    sections = indices_or_sections
    return list(
        F.tensor_split(ary, sections if isinstance(sections, int) else tuple(sections), axis)
    )


def _split_along(axis: int) -> Callable[..., Any]:
    return lambda ary, indices_or_sections: _split(
        ary, indices_or_sections, 0 if axis == 1 and ary.ndim == 1 else axis
    )


def _repeat(a: Any, repeats: Any, axis: Any = None) -> Any:
    return F.repeat_interleave(a, repeats if isinstance(repeats, int) else tensor(repeats), axis)


def _tile(A: Any, reps: Any) -> Any:
    return F.tile(A, (reps,) if isinstance(reps, int) else tuple(reps))


def _flip(m: Any, axis: Any = None) -> Any:
    return F.flip(m, normalize_dims(axis, m.ndim))


def _take(a: Any, indices: Any, axis: Any = None) -> Any:
    a, axis = flat_or(axis, tensor(a))
    index = indices if isinstance(indices, int) else tensor(indices)
    return a[(slice(None),) * normalize_dims(axis, a.ndim)[0] + (index,)]


def _diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    return F.diagonal(a, offset, axis1, axis2)


def _trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    return F.sum(F.diagonal(a, offset, axis1, axis2), -1)


def _unique(
    ar: Any, return_index: bool = False, return_inverse: bool = False, return_counts: bool = False,
    axis: Any = None, *, equal_nan: bool = True, sorted: bool = True,
) -> Any:  # fmt: skip
    refuse_mapped(ar, "numpy.unique", "take the distinct values outside of vmap")
    flat, dim = flat_or(axis, ar)
    where: Any = None if axis is None else normalize_dims(axis, ar.ndim)[0]
    unique: Any = np.unique
    _, first, inverse, counts = unique(ar.array, True, True, True, where, equal_nan=equal_nan)
    values = flat[(*(slice(None),) * normalize_dims(dim, flat.ndim)[0], wrap(first))]
    wanted = ((return_index, first), (return_inverse, inverse), (return_counts, counts))
    rest = [wrap(part) for want, part in wanted if want]
    return (values, *rest) if rest else values


def _select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    found: Any = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        found = F.where(tensor(condition), choice, found)
    return found


def _block(arrays: Any) -> Any:
    """Nested lists joined along the last dimension innermost, as deep as they are nested."""

    def depth(x: Any) -> int:
        return 1 + max(map(depth, x)) if isinstance(x, (list, tuple)) else 0

    def join(x: Any, level: int, ndim: int) -> Any:
        if not isinstance(x, (list, tuple)):
            x = tensor(x)
            return F.reshape(x, (1,) * (ndim - x.ndim) + tuple(x.shape))
        return F.cat([join(part, level - 1, ndim) for part in x], -level)

    def widest(x: Any) -> int:
        return max(map(widest, x)) if isinstance(x, (list, tuple)) else tensor(x).ndim

    return join(arrays, depth(arrays), max(depth(arrays), widest(arrays)))


def _delete(arr: Any, obj: Any, axis: Any = None) -> Any:
    arr, axis = flat_or(axis, arr)
    places = looked_at(obj) if isinstance(obj, Tensor) else obj
    kept = np.delete(np.arange(arr.shape[axis]), places)
    return arr[(*(slice(None),) * normalize_dims(axis, arr.ndim)[0], wrap(kept))]


def _compress(condition: Any, a: Any, axis: Any = None) -> Any:
    a, axis = flat_or(axis, tensor(a))
    kept = np.flatnonzero(looked_at(tensor(condition)))
    return a[(*(slice(None),) * normalize_dims(axis, a.ndim)[0], wrap(kept))]


def _rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    axis, start = axis % a.ndim, start + a.ndim if start < 0 else start
    return F.movedim(a, axis, start - (start > axis))


def _pad(array: Any, pad_width: Any, mode: str = "constant", constant_values: Any = 0) -> Any:
    ours = _PAD_MODES.get(mode)
    if ours is None or not isinstance(constant_values, (int, float, complex)):
        raise TypeError(
            f"numpy.pad() of a tensor supports the modes {', '.join(_PAD_MODES)} and one constant"
        )
    widths = np.broadcast_to(np.asarray(getattr(pad_width, "array", pad_width)), (array.ndim, 2))
    pairs = tuple((int(before), int(after)) for before, after in widths)
    return pad_prim(array, pad_width=pairs, mode=ours, value=constant_values)


def _like(fill: str) -> Callable[..., Any]:
    return lambda a, dtype=None: getattr(F, fill)(a, dtype=dtype)


def _broadcast_arrays(*args: Any) -> tuple[Any, ...]:
    return tuple(F.broadcast_tensors(*map(tensor, args)))


def _meshgrid(*xi: Any, indexing: str = "xy") -> tuple[Any, ...]:
    return tuple(F.meshgrid(*map(tensor, xi), indexing=indexing))


def _at_least(ndim: int) -> Callable[..., Any]:
    def at_least(*arys: Any) -> Any:
        found = [getattr(F, f"atleast_{ndim}d")(tensor(a)) for a in arys]
        return found[0] if len(found) == 1 else tuple(found)

    return at_least


SHAPE: dict[str, Callable[..., Any]] = {
    "reshape": _reshape, "transpose": _transpose, "permute_dims": _transpose,
    "matrix_transpose": lambda x: F.transpose(x, -1, -2),
    "ravel": lambda a: F.ravel(a),
    "swapaxes": lambda a, axis1, axis2: F.transpose(a, axis1, axis2),
    "moveaxis": lambda a, source, destination: F.movedim(a, source, destination),
    "squeeze": lambda a, axis=None: F.squeeze(a, axis),
    "expand_dims": _expand_dims,
    "broadcast_to": lambda array, shape: F.broadcast_to(array, shape),
    "broadcast_arrays": _broadcast_arrays,
    "atleast_1d": _at_least(1), "atleast_2d": _at_least(2), "atleast_3d": _at_least(3),
    "concatenate": _concatenate, "concat": _concatenate, "append": _append,
    "stack": lambda arrays, axis=0: F.stack(_all_tensors(arrays), axis),
    "vstack": lambda tup: F.vstack(_all_tensors(tup)),
    "hstack": lambda tup: F.hstack(_all_tensors(tup)),
    "dstack": lambda tup: F.dstack(_all_tensors(tup)),
    "column_stack": lambda tup: F.column_stack(_all_tensors(tup)),
    "split": _split, "array_split": _array_split,
    "vsplit": _split_along(0), "hsplit": _split_along(1), "dsplit": _split_along(2),
    "repeat": _repeat, "tile": _tile, "flip": _flip,
    "fliplr": lambda m: F.fliplr(m), "flipud": lambda m: F.flipud(m),
    "roll": lambda a, shift, axis=None: F.roll(a, shift, axis),
    "rot90": lambda m, k=1, axes=(0, 1): F.rot90(m, k, axes),
    "take": _take,
    "take_along_axis": lambda arr, indices, axis=-1: F.take_along_dim(arr, tensor(indices), axis),
    "diag": lambda v, k=0: F.diag(v, k),
    "diagonal": _diagonal, "trace": _trace,
    "tril": lambda m, k=0: F.tril(m, k), "triu": lambda m, k=0: F.triu(m, k),
    "unique": _unique, "select": _select, "block": _block, "delete": _delete,
    "compress": _compress,
    "extract": lambda condition, arr: _compress(F.ravel(tensor(condition)), arr),
    "rollaxis": _rollaxis, "unstack": lambda x, /, *, axis=0: F.unbind(x, axis),
    "isin": lambda element, test_elements, *, invert=False: F.isin(
        element, test_elements, invert=invert
    ),
 "pad": _pad, "meshgrid": _meshgrid,
    "copy": lambda a: F.clone(a),
    "zeros_like": _like("zeros_like"), "ones_like": _like("ones_like"),
    "empty_like": lambda prototype, dtype=None: F.empty_like(prototype, dtype=dtype),
    "full_like": lambda a, fill_value, dtype=None: F.full_like(a, fill_value, dtype=dtype),
}  # fmt: skip
