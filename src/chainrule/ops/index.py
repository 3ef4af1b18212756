"""Indexing of every kind, reading and writing: `x[i]` and `x[i] = v`.

An index is split into a hashable description, which is a keyword parameter, and its integer or
boolean arrays, which are positional arguments.  Slices become tuples; `ARRAY` marks an array.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.abstract import AbstractArray
from chainrule.core.avals import same
from chainrule.core.kinds import general
from chainrule.core.modes import array_of, lifting, lifts, looked_at, note_look
from chainrule.core.namespaces import raw, recorded
from chainrule.core.node import Aval
from chainrule.core.samples import Sample, uniform
from chainrule.core.scatter import add_at
from chainrule.core.sweep import Owned, Scatter
from chainrule.core.tensor import Tensor, wrap
from chainrule.ops import index_batch
from chainrule.ops.api import export
from chainrule.ops.index_batch import ARRAY as ARRAY
from chainrule.ops.index_batch import FULL as FULL
from chainrule.ops.index_batch import is_mask

Spec = tuple[Any, ...]


def split_index(index: Any) -> tuple[Spec, tuple[Any, ...]]:
    """The hashable description of an index and the arrays in it.

    Raises:
        IndexError: for anything that is not an index.
    """
    if type(index) is int:
        return (index,), ()
    spec: list[Any] = []
    arrays = []
    for item in index if isinstance(index, tuple) else (index,):
        kind = type(item)
        if kind is int or item is None or item is Ellipsis:
            spec.append(item)
        elif kind is slice:
            spec.append(("slice", _bound(item.start), _bound(item.stop), _bound(item.step)))
        elif isinstance(item, np.integer):
            spec.append(int(item))
        else:
            if isinstance(item, Tensor) and item._box is not None:
                spec.append(ARRAY)
                arrays.append(_boxed_index(item))
                continue
            array = _index_array(item)
            if array.ndim == 0 and array.dtype.kind in "iu":
                note_look(item)
                spec.append(int(array))
            elif array.dtype.kind == "b" and array.ndim and lifts and lifting() is not None:
                note_look(item)  # how many entries it chooses has to be known
                found = np.nonzero(array)
                spec.extend([ARRAY] * len(found))
                arrays.extend(found)
            else:
                spec.append(ARRAY)
                arrays.append(array)
    return tuple(spec), tuple(arrays)


def _bound(bound: Any) -> int | None:
    if bound is None or type(bound) is int:
        return bound
    if isinstance(bound, Tensor) and bound.array.ndim == 0 and bound.array.dtype.kind in "iu":
        note_look(bound)
        return int(bound.array)
    return index_of(bound)


def index_of(number: Any) -> int:
    """An integer given as any type that has `__index__`."""
    try:
        found: int = number.__index__()
    except (AttributeError, TypeError):
        raise TypeError(
            f"slice indices must be integers or None or have an __index__ method, not "
            f"{type(number).__name__}"
        ) from None
    return found


def _boxed_index(item: Tensor) -> Any:
    """A mapped index; it stays a box, and is an array even if it has no dimensions."""
    dt = item.array.dtype
    if dt.kind not in "iub":
        raise _not_an_index(dt)
    return recorded.astype(item, dtype=np.dtype(bool)) if dt == np.uint8 else item


def _not_an_index(dt: np.dtype[Any]) -> IndexError:
    return IndexError(
        f"tensors used as indices must be long, int, byte or bool tensors, not {dt.name}; convert "
        "the index, for example with i.long()"
    )


def _index_array(item: Any) -> np.ndarray:
    if isinstance(item, Tensor):
        array = array_of(item)
        if array.dtype == np.uint8:  # PyTorch's masks before there was bool
            note_look(item)
            array = array.astype(np.bool_)
    elif isinstance(item, (np.ndarray, np.bool_, bool)):
        # A copy: later changes of the user's array must not matter, but to a function that is
        # recorded to run again.
        array = np.asarray(item) if lifts and lifting() is not None else np.array(item)
    elif isinstance(item, (list, tuple, range)):
        array = np.array([_plain(i) for i in item])
        if array.size == 0 and array.dtype.kind == "f":
            array = array.astype(np.int64)
    else:
        raise IndexError(
            "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are "
            f"valid indices (got {type(item).__name__})"
        )
    if array.dtype.kind not in "iub":
        raise _not_an_index(array.dtype)
    return array


def _plain(item: Any) -> Any:
    note_look(item)
    return item.array if isinstance(item, Tensor) else item


def separate(spec: Spec, arrays: Any) -> tuple[Spec, Any, Spec, Any] | None:
    """An index with both integers and arrays as two: the integers first, then the rest.

    PyTorch selects by the integers before it looks at the arrays; NumPy would broadcast them
    against the arrays, which can put the dimensions in another order.  Mapped integers are arrays
    without dimensions.  None: nothing to separate.
    """
    if not arrays:
        return None
    numbers = [_is_number(a) for a in arrays]
    if all(numbers) or not (any(numbers) or any(type(item) is int for item in spec)):
        return None
    rest = iter(zip(arrays, numbers, strict=True))
    first: list[Any] = []
    second: list[Any] = []
    for item in spec:
        if type(item) is str:
            array, number = next(rest)
            dims = array.ndim if is_mask(array) else 1
            first.extend([ARRAY] if number else [FULL] * dims)
            second.extend([] if number else [ARRAY])
            continue
        if item is not None:
            first.append(FULL if type(item) is tuple else item)
        if type(item) is not int:
            second.append(item)
    chosen = tuple([a for a, n in zip(arrays, numbers, strict=True) if n])
    others = tuple([a for a, n in zip(arrays, numbers, strict=True) if not n])
    return tuple(first), chosen, tuple(second), others


def _is_number(array: Any) -> bool:
    return isinstance(array, Tensor) and array.ndim == 0 and not is_mask(array)


def join_index(spec: Spec, arrays: Any) -> tuple[Any, ...]:
    """The index that NumPy understands, back from its description and arrays."""
    if len(spec) == 1 and type(spec[0]) is int:  # what loops over entries ask for
        return spec
    rest = iter(arrays)
    found = []
    for item in spec:
        if type(item) is str:
            found.append(next(rest))
        elif type(item) is tuple:
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


def _getitem_aval(x: Any, *arrays: Any, index: Spec) -> Aval:
    """What an index leaves of a shape.

    Slices are tried on an array that takes no memory.  The dimensions of the arrays are broadcast
    against each other and stand where the arrays do, or come first if those are apart (NumPy user
    guide, "Combining advanced and basic indexing"); integers count as arrays then.

    Raises:
        RuntimeError: for a mask without values: as many entries are taken as it has true ones.
    """
    masked = [a for a in arrays if is_mask(a)]
    if masked and not all(isinstance(a, np.ndarray) for a in arrays):
        if isinstance(masked[0], AbstractArray):
            raise masked[0].dynamic_shape("x[mask]", index_batch.KEEP_SHAPE)
        raise RuntimeError(
            "x[mask]: the shape of the result depends on the values of the mask, so it is not "
            "known without them. Use where(mask, x, other) or a product with the mask, which keep "
            "the shape, or an index of integers."
        )
    dummy = np.broadcast_to(np.zeros((), x.dtype), x.shape)
    if masked or not arrays:
        return Aval(dummy[join_index(index, arrays)].shape, x.dtype)
    apart = [type(item) in (int, str) for item in index]
    basic = tuple([FULL if a else item for a, item in zip(apart, index, strict=True)])
    shape = dummy[join_index(basic, ())].shape
    places = [i for i, a in enumerate(apart) if a]
    rest = len(shape) - len(index)
    skipped = rest if Ellipsis in index else 0  # by how much what follows the ellipsis is moved
    after = index.index(Ellipsis) if skipped else len(index)
    axes = [i + skipped * (i > after) for i in places]
    left = [d for i, d in enumerate(shape) if i not in axes]
    together = places[-1] - places[0] < len(places)
    at = axes[0] if together else 0
    joint = np.broadcast_shapes(*[tuple(a.shape) for a in arrays])
    return Aval((*left[:at], *joint, *left[at:]), x.dtype)


def _getitem_vjp(xp: Any, g: Any, x_aval: Any, rest: Any, index: Spec) -> tuple[Any, ...]:
    if xp is raw:
        repeats = bool(rest) and any(a.dtype.kind != "b" for a in rest)
        pulled: Any = Scatter(join_index(index, rest), g, repeats)
    else:
        pulled = xp.index_add(_zeros(x_aval), g, *rest, index=index)
    return (pulled, *[None] * len(rest)) if rest else (pulled,)


def _zeros(aval: Any) -> Any:
    return np.zeros(aval.shape, aval.dtype)


getitem = general(
    "getitem", _getitem, vjp=_getitem_vjp,
    jvp=lambda xp, t, rest, index: xp.getitem(t[0], *rest, index=index),
    view=True, grad_name="Index", aval=_getitem_aval, batch=index_batch.read,
    samples=lambda: [
        Sample(uniform(4, 3), index=(1,)),
        Sample(uniform(4, 3), index=(("slice", None, None, 2), None, -1)),
        Sample(uniform(4, 3), np.array([0, 2, 2]), index=(ARRAY,)),
        Sample(uniform(2, 4), np.array([[3, 0], [-1, 0]]), index=(FULL, ARRAY)),
        Sample(uniform(2, 4), np.array([1, 1]), np.array([2, 2]), index=(ARRAY, ARRAY)),
        Sample(
            uniform(4, 3), np.array([True, False, True, True]), index=(ARRAY, ("slice", 1, 3, None))
        ),
    ],
)  # fmt: skip


def _index_add(x: Any, y: Any, *arrays: Any, index: Spec) -> Any:
    out = np.array(x)
    key = join_index(index, arrays)
    if arrays:
        add_at(out, key, y)
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
    aval=same, batch=index_batch.write,
    samples=lambda: [
        Sample(uniform(4, 3), uniform(2, 3, seed=1), np.array([1, 1]), index=(ARRAY,)),
        Sample(uniform(4, 3), uniform(3, seed=1), index=(2,)),
    ],
)  # fmt: skip


def _index_put(x: Any, y: Any, *arrays: Any, index: Spec) -> Any:
    out = np.array(x)
    out[join_index(index, arrays)] = y
    return out


def _index_put_vjp(
    xp: Any, g: Any, x_aval: Any, tail: Any, need: Any, index: Spec
) -> tuple[Any, ...]:
    if xp is not raw:
        gx = xp.index_put(g, np.zeros((), x_aval.dtype), *tail, index=index) if need[0] else None
        gy = xp.getitem(g, *tail, index=index) if need[1] else None
        return (gx, gy, *[None] * len(tail))
    # A loop that fills a tensor would copy the gradient at every step: write to it if we may.
    mine = type(g) is Owned
    array = g.array if mine else g
    gx = gy = None
    if need[1]:
        gy = raw.getitem(array, *tail, index=index)
        gy = gy.copy() if need[0] and mine else gy
    if need[0]:
        array = array if mine else np.array(array)
        array[join_index(index, tail)] = 0
        gx = Owned(array)
    return (gx, gy, *[None] * len(tail))


# out = x; out[index] = y
index_put = general(
    "index_put", _index_put,
    vjp=_index_put_vjp,
    jvp=lambda xp, t, x_aval, y_aval, tail, index: xp.index_put(
        _zeros(x_aval) if t[0] is None else t[0], _zeros(y_aval) if t[1] is None else t[1],
        *tail, index=index,
    ),
    grad_name="IndexPut", aval=same, batch=index_batch.write,
    samples=lambda: [
        Sample(uniform(4, 3), uniform(2, 3, seed=1), np.array([0, 3]), index=(ARRAY,)),
        Sample(uniform(4, 3), uniform(3, seed=1), index=(2,)),
    ],
)  # fmt: skip
index_put.prim.reuses = True


def _name_of_read(params: dict[str, Any]) -> str:
    """PyTorch makes one node for every item of an index; the last one gives its name."""
    spec = params["index"]
    if ARRAY in spec:
        return "IndexBackward0"
    kinds: dict[Any, str] = {int: "Select", tuple: "Slice", type(None): "Unsqueeze"}
    found = [kinds[type(item)] for item in spec if item is not Ellipsis]
    return f"{found[-1] if found else 'Alias'}Backward0"


getitem.prim.namer = _name_of_read
index_put.prim.namer = lambda params: (
    "IndexPutBackward0" if ARRAY in params["index"] else "CopySlices"
)


@export(method=False)
def unravel_index(indices: Any, shape: Any) -> tuple[Any, ...]:
    """The coordinates, one tensor per dimension, of positions in a flattened tensor of a shape.

    Raises:
        ValueError: if a position is outside.

    >>> import chainrule as cr
    >>> cr.unravel_index(cr.tensor([1, 5]), (2, 3))
    (tensor([0, 1]), tensor([1, 2]))
    """
    size = (shape,) if isinstance(shape, int) else tuple(shape)
    try:
        found = np.unravel_index(looked_at(indices), size)
    except ValueError as error:
        raise ValueError(f"unravel_index: {error}") from None
    return tuple(wrap(np.array(a)) for a in found)
