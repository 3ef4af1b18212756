"""Indices of integers, slices and arrays, read and written.

What is read becomes a view or a gather (a load at an index that is a value); what is written
becomes a patch: a value with another one put, or added, in some places. Patches whose places are
constant are gathers from what is put there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.compiler.maps import STILL, Map, Row, Shape
from chainrule.compiler.moves import Rule, full_map, moving
from chainrule.compiler.values import (
    GIVEN,
    MAP,
    NUMBER,
    PATCH,
    VIEW,
    Unsupported,
    Value,
    apply,
    cast,
    view,
    widened,
)
from chainrule.core.node import Node
from chainrule.ops.index_batch import ARRAY, FULL

INT64 = np.dtype(np.int64)
Place = Row | int  # where an axis is read: by the loops, or at the index with this number


def items_of(x: Value, index: Sequence[Any]) -> list[Any]:
    """An index with an item for every axis, and None for every new one."""
    taken = sum(item is not None and item is not Ellipsis for item in index)
    items: list[Any] = []
    for item in index if Ellipsis in index else (*index, Ellipsis):
        items.extend([FULL] * (x.ndim - taken) if item is Ellipsis else [item])
    return items


class Index:
    """What an index takes: per axis of the array its place, by the axes of what is taken.

    Attributes:
        places: per axis of the array.
        arrays: the checked indices, which broadcast against what is taken.
        shape: of what is taken.
    """

    def __init__(self, x: Value, index: Sequence[Any], arrays: Sequence[Value]) -> None:
        index, arrays = _without_masks(index, arrays)
        items = items_of(x, index)
        advanced = [
            i for i, item in enumerate(items) if item == ARRAY or (arrays and type(item) is int)
        ]
        if Ellipsis in index and len(items) == len(index) - 1 and arrays:
            raise Unsupported("an ellipsis for no axis among arrays")
        joint = np.broadcast_shapes(*[a.shape for a in arrays])
        apart = bool(advanced) and advanced[-1] - advanced[0] >= len(advanced)
        first = 0 if apart else (advanced[0] if advanced else -1)
        if arrays and not apart:
            first = sum(items[i] is None or type(items[i]) is tuple for i in range(advanced[0]))
        shape: list[int] = []
        slots: list[int | None] = []
        for i, item in enumerate(items):
            if i in advanced or type(item) is int:
                slots.append(None)
                continue
            slots.append(len(shape))
            shape.append(1 if item is None else 0)
        at = first if arrays else 0
        self.at, self.joint = at, joint
        slots = [None if s is None else s + (len(joint) if s >= at else 0) for s in slots]
        self.shape_list = [*shape[:at], *joint, *shape[at:]]
        self.places: list[Place] = []
        self.arrays: list[Value] = []
        given = iter(arrays)
        for item, slot in zip(items, slots, strict=True):
            if item is not None:
                self.places.append(self._place(x, item, slot, given))
        self.shape = tuple(self.shape_list)

    def _place(self, x: Value, item: Any, slot: int | None, given: Any) -> Place:
        d = x.shape[len(self.places)]
        if type(item) is int:
            return (item % d, ())
        if type(item) is tuple:
            assert slot is not None
            start, stop, step = slice(*item[1:]).indices(d)
            count = len(range(start, stop, step))
            self.shape_list[slot] = count
            return moving(count, slot, start, step)
        return self._array(next(given), d)

    def _array(self, index: Value, d: int) -> Place:
        """The place of an axis that is taken at an index: constant ones may be affine."""
        shift = self.at + len(self.joint) - index.ndim
        shape = [1] * len(self.shape_list)
        rows: list[Row] = []
        for m, n in enumerate(index.shape):
            rows.append(moving(n, shift + m))
            shape[shift + m] = n
        known = _known(index)
        if known is not None:
            if known.size and (known.min() < -d or known.max() >= d):
                raise Unsupported("an index that is out of bounds: evaluation raises")
            wrapped = np.where(known < 0, known + d, known)
            row = _affine(wrapped, shift)
            if row is not None:
                return row
            checked = given_array(wrapped, index)
        else:
            checked = position_of(index, -d, d)
        self.arrays.append(view(checked, tuple(rows), tuple(shape)))
        return len(self.arrays) - 1

    @property
    def plain(self) -> Map | None:
        """The places as an index map; None if there are arrays."""
        rows = [p for p in self.places if type(p) is tuple]
        return tuple(rows) if len(rows) == len(self.places) else None


def position_of(index: Value, low: int, high: int) -> Value:
    """An index that is checked to be in low..high-1, counted from the beginning of the axis."""
    detail = (low, high, high if low < 0 else 0)
    return Value(MAP, "position", (cast(index, INT64),), index.shape, INT64, detail)


def _without_masks(index: Sequence[Any], arrays: Sequence[Value]) -> tuple[Any, list[Value]]:
    """An index with constant masks as the positions of what they take."""
    spec: list[Any] = []
    found: list[Value] = []
    given = iter(arrays)
    for item in index:
        taken = [item]
        if item == ARRAY:
            a = next(given)
            places = [a]
            if a.dtype.kind == "b":
                if a.kind != GIVEN or a.op != "constant" or not np.any(a.detail):
                    raise Unsupported("how much a mask takes depends on its values")
                places = [given_array(i.astype(np.int64), a) for i in np.nonzero(a.detail)]
            found.extend(places)
            taken = [ARRAY] * len(places)
        spec.extend(taken)
    return tuple(spec), found


def _known(index: Value) -> np.ndarray | None:
    """The values of a constant index."""
    if index.kind == NUMBER:
        return np.full(index.shape, int(index.detail), np.int64)
    if index.kind == GIVEN and index.op == "constant":
        return np.asarray(index.detail).astype(np.int64)
    return None


def given_array(values: np.ndarray, like: Value | None = None) -> Value:
    """A constant array."""
    made = Value(GIVEN, "constant", (), values.shape, values.dtype, values)
    made.node = like.node if like is not None else None
    return made


def _affine(values: np.ndarray, shift: int) -> Row | None:
    """offset + Σ step·index as a row, if the values are so."""
    offset = int(values.flat[0])
    terms = []
    wanted: Any = offset
    for m, n in enumerate(values.shape):
        if n == 1:
            continue
        step = int(values[(0,) * m + (1,) + (0,) * (values.ndim - m - 1)]) - offset
        if step:
            terms.append((m + shift, step))
            ramp = np.arange(n) * step
            wanted = wanted + ramp.reshape((n,) + (1,) * (values.ndim - m - 1))
    same = np.array_equal(values, np.broadcast_to(wanted, values.shape))
    return (offset, tuple(terms)) if same else None


def gather(x: Value, places: Sequence[Place], arrays: Sequence[Value], shape: Shape) -> Value:
    """Entries of x: places by the axes of the result, or at arrays of indices in range."""
    if x.kind == NUMBER:
        x = given_array(np.full(x.shape, x.detail, x.dtype), x)
    return Value(MAP, "gather", (x, *arrays), shape, x.dtype, tuple(places))


def indexed(node: Node, args: Sequence[Value], params: Mapping[str, Any]) -> Value:
    """x[index]."""
    x, *arrays = args
    index = Index(x, params["index"], arrays)
    rows = index.plain
    if rows is not None:
        return view(x, rows, index.shape)
    return gather(x, index.places, index.arrays, index.shape)


def _patched(mode: str) -> Rule:
    """x with y put, or added, at an index."""

    def rule(node: Node, args: Sequence[Value], params: Mapping[str, Any]) -> Value:
        x, y, *arrays = args
        if y.dtype != x.dtype:
            if mode == "add":
                raise Unsupported("adding numbers of another dtype")
            y = cast(y, x.dtype)
        index = Index(x, params["index"], arrays)
        if 0 in index.shape:
            return x
        if y.ndim > len(index.shape):
            extra = y.ndim - len(index.shape)
            y = view(y, (*[STILL] * extra, *full_map(index.shape)), y.shape[extra:])
        y = widened(y, index.shape)
        if index.plain is not None:
            return put(x, y, index.plain, mode)
        return inverse(x, y, index, mode) or Value(
            PATCH, mode, (x, y, *index.arrays), x.shape, x.dtype, tuple(index.places)
        )

    return rule


def put(x: Value, y: Value, rows: Map, mode: str = "put") -> Value:
    """x with y put, or added, where an index map by the axes of y says."""
    moved = {axis for _, terms in rows for axis, _ in terms}
    if any(d != 1 and k not in moved for k, d in enumerate(y.shape)):
        raise Unsupported("writing several numbers to one place")
    if y.size == x.size and all(map(covers, rows, x.shape, [y.shape] * x.ndim)):
        back: list[Row] = [STILL] * y.ndim
        for k, (start, terms) in enumerate(rows):
            for axis, step in terms:
                back[axis] = (start, ((k, step),))
        every = view(y, tuple(back), x.shape)
        return apply("add", x, every) if mode == "add" else every
    return Value(PATCH, mode, (x, y), x.shape, x.dtype, rows)


LARGEST_INVERSE = 1 << 20  # entries of a table of where entries come from


def inverse(x: Value, y: Value, index: Index, mode: str) -> Value | None:
    """A patch at constant places, each of them met once, as a gather from y; None if it is not so.

    A table says for each place among the indexed axes which entry of y goes there.
    """
    known = [_table_of(a) for a in index.arrays]
    axes = [k for k, p in enumerate(index.places) if type(p) is int]
    extents = tuple(x.shape[k] for k in axes)
    if not known or any(k is None for k in known) or np.prod(extents) > LARGEST_INVERSE:
        return None
    joint = range(index.at, index.at + len(index.joint))
    rows = [p for p in index.places if type(p) is tuple]
    if any(
        type(p) is tuple and not covers(p, d, y.shape)
        for p, d in zip(index.places, x.shape, strict=True)
    ):
        return None
    if any(axis in joint for row in rows for axis, _ in row[1]):
        return None
    order = [index.places[k] for k in axes]
    tables = [np.broadcast_to(np.asarray(known[o]), index.joint) for o in order]  # type: ignore[index]
    flat = np.ravel_multi_index(tables, extents).ravel()
    if len(np.unique(flat)) != len(flat):
        return None
    came = np.zeros(int(np.prod(extents)), np.int64)
    came[flat] = np.arange(len(flat))
    hit = np.zeros(len(came), bool)
    hit[flat] = True
    shape = tuple(d if k in axes else 1 for k, d in enumerate(x.shape))
    back: dict[int, Place] = {}
    arrays: list[Value] = []
    for axis, place in zip(joint, np.unravel_index(came, index.joint), strict=True):
        back[axis] = len(arrays)
        arrays.append(given_array(np.ascontiguousarray(place.reshape(shape)), x))
    for k, p in enumerate(index.places):
        if type(p) is tuple:
            for axis, step in p[1]:
                start = 0 if step == 1 else x.shape[k] - 1
                back[axis] = (start, ((k, step),))
    places = [back.get(k, STILL) for k in range(y.ndim)]
    taken = gather(y, places, arrays, x.shape)
    added = apply("add", x, taken) if mode == "add" else taken
    return apply("where", given_array(hit.reshape(shape), x), added, x, dtype=x.dtype)


def covers(row: Row, d: int, shape: Shape) -> bool:
    """Whether a row of the places that are written, of something of a shape, is the whole axis."""
    start, terms = row
    if d == 1 or len(terms) != 1:
        return d == 1
    axis, step = terms[0]
    return shape[axis] == d and (start, step) in ((0, 1), (d - 1, -1))


def _table_of(a: Value) -> np.ndarray | None:
    """The values of an index that is constant, in its own shape."""
    base = a.args[0] if a.kind == VIEW else a
    return np.asarray(base.detail) if base.kind == GIVEN and base.op == "constant" else None


INDICES: dict[str, Rule] = {
    "getitem": indexed,
    "index_add": _patched("add"),
    "index_put": _patched("put"),
}
