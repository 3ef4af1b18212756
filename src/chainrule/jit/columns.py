"""Views pushed into what they look at, so that only what is needed is computed, where it is used.

A view of a computed value would wait until all of that stands in memory. Where the views of a
value are together no larger than it, each is computed by itself: the columns of an array of
points, the halves of a gate. Then joins vanish for those that read one part, reductions of a few
entries become operations, and a program over short vectors becomes scalar code in one long loop.

Users come before what they use: one pass backwards finds which views are wanted (`_wanted`), one
forwards makes the values (`_made`). Neither looks at a value twice, and nothing is recursive.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod
from typing import Any

import numpy as np

from chainrule.jit.maps import STILL, Map, Row, Shape, broadcast, compose
from chainrule.jit.moves import full_map, moving
from chainrule.jit.values import (
    CALL,
    FILLED,
    GIVEN,
    JOIN,
    MAP,
    NUMBER,
    PATCH,
    PICK,
    REDUCE,
    RESHAPED,
    VIEW,
    Value,
    number,
    view,
    viewed,
    widened,
)

SHORT = 16  # the longest axis whose entries may become separate values
COLUMNS = 64  # the most values that one becomes
REST = 16  # the fewest entries each of them has
UNROLLED = 8  # the longest reduction that becomes operations

NOTHING = "nothing"  # the number 0 where nothing depends: adding it changes nothing

Core = tuple[Map, Shape]  # a view without axes that do not move


def core_of(rows: Map, shape: Shape) -> tuple[Core, tuple[int, ...]]:
    """A view by the axes that move only, and which of its axes those are."""
    axes = sorted({axis for _, terms in rows for axis, _ in terms})
    place = {axis: k for k, axis in enumerate(axes)}
    found = tuple([(offset, tuple([(place[a], s) for a, s in terms])) for offset, terms in rows])
    return (found, tuple([shape[a] for a in axes])), tuple(axes)


def _whole_core(shape: Shape) -> Core:
    return core_of(full_map(shape), shape)[0]


class _Wanted:
    """What users want of a value: the whole, or views; and how often."""

    __slots__ = ("count", "views", "whole")

    def __init__(self) -> None:
        self.count = 0
        self.whole = False
        self.views: dict[Core, None] = {}


class Columns:
    """One rewriting of the values of a graph.

    Attributes:
        order: the values after it that are computed.
    """

    def __init__(self, order: Sequence[Value], kept: Sequence[Value]) -> None:
        self.live = _live(order, kept)
        self.order: list[Value] = []
        self.fine: dict[int, frozenset[int]] = {}  # axes along which splitting pays
        self.wanted: dict[int, _Wanted] = {}
        self.plan: dict[int, list[Core] | None] = {}  # per value its columns; None: as it is
        self.split: set[int] = set()  # values whose whole is the join of their columns
        self.columns: dict[int, dict[Core, Value]] = {}
        self.whole: dict[int, Value] = {}
        for value in self.live:
            self.fine[id(value)] = self._fine(value)
        for value in kept:
            self._want(value, full_map(value.shape), value.shape)
        for value in reversed(self.live):
            self._plan(value)
        for value in self.live:
            self._make(value)

    # ------------------------------------------------ where splitting pays

    def _fine(self, value: Value) -> frozenset[int]:
        """Axes along which entries are made separately: by joins, patches, constant patterns."""
        found: set[int] = set()
        if value.kind == JOIN:
            for part, window in zip(value.args, value.detail, strict=True):
                found.update(k for k, row in enumerate(window) if row != moving(value.shape[k], k))
                found |= _axes_in(self._inherited(part, full_map(part.shape)), window)
        elif value.kind == PATCH:
            x, y, *_ = value.args
            rows = tuple([STILL if type(p) is int else p for p in value.detail])
            found.update(
                k
                for k, p in enumerate(value.detail)
                if type(p) is tuple and not _all_of(p, value.shape[k])
            )
            found |= self._inherited(x, full_map(x.shape))
            found |= _axes_in(self._inherited(y, full_map(y.shape)), rows)
        elif value.kind == MAP and value.op not in ("gather", "index"):
            for a in value.args:
                found |= self._inherited(a, broadcast(a.shape, value.shape))
        elif self._unrolled(value):
            rows = _reduced_rows(value)
            found |= self._inherited(value.args[0], rows)
        elif value.kind == GIVEN and value.op == "constant":
            return _patterned(value)
        return frozenset(k for k in found if 1 < value.shape[k] <= SHORT)

    def _inherited(self, a: Value, rows: Map) -> set[int]:
        """The axes of a user along which an argument that it reads by `rows` is made of parts."""
        base, inner = viewed(a)
        if base.kind == GIVEN and id(base) not in self.fine:
            self.fine[id(base)] = _patterned(base) if base.op == "constant" else frozenset()
        fine = self.fine.get(id(base))
        if not fine:
            return set()
        if inner is not None:
            rows = compose(inner, rows)
        return {axis for k in fine for axis, _ in rows[k][1] if len(rows[k][1]) == 1}

    def _unrolled(self, value: Value) -> bool:
        """Whether a reduction is a few operations."""
        if value.kind != REDUCE:
            return False
        x = value.args[0]
        count = prod(x.shape[a] for a in value.detail)
        fine = self._inherited(x, full_map(x.shape))
        limit = SHORT if all(a in fine for a in value.detail) else UNROLLED
        return count <= limit and value.size >= REST

    def _columns(self, value: Value) -> list[Core] | None:
        """The separate values that a whole value should be made of; None for one."""
        axes = sorted(self.fine[id(value)])
        count = prod(value.shape[a] for a in axes)
        if not axes or count > COLUMNS or value.size < REST * count:
            return None
        left = [k for k, d in enumerate(value.shape) if k not in axes and d != 1]
        shape = tuple(value.shape[k] for k in left)
        found = []
        for fixed in product(*[range(value.shape[a]) for a in axes]):
            rows: list[Row] = [STILL] * value.ndim
            for i, k in enumerate(left):
                rows[k] = (0, ((i, 1),))
            for a, at in zip(axes, fixed, strict=True):
                rows[a] = (at, ())
            found.append((tuple(rows), shape))
        return found

    # ------------------------------------------------ backwards: what is wanted

    def _want(self, value: Value, rows: Map, shape: Shape) -> None:
        base, rows = _resolved(value, rows, shape)
        if base.kind in (GIVEN, NUMBER):
            return
        wanted = self.wanted.setdefault(id(base), _Wanted())
        wanted.count += 1
        core, _ = core_of(rows, shape)
        if core == _whole_core(base.shape):
            wanted.whole = True
        else:
            wanted.views[core] = None

    def _want_whole(self, value: Value) -> None:
        self._want(value, full_map(value.shape), value.shape)

    def _plan(self, value: Value) -> None:
        """Decide how a value is computed, and want what that needs."""
        wanted = self.wanted.setdefault(id(value), _Wanted())
        if value.kind not in (MAP, REDUCE, JOIN, PATCH):
            for a in value.args if value.kind != VIEW else ():
                self._want_whole(a)
            return
        cores = self._cores(value, wanted)
        self.plan[id(value)] = cores
        if cores is None:
            cores = [(full_map(value.shape), value.shape)]
        for rows, shape in cores:
            for a, inner, wide in self._reads(value, rows, shape):
                self._want(a, inner, wide)

    def _cores(self, value: Value, wanted: _Wanted) -> list[Core] | None:
        """The views that are computed one by one; None if the value is computed as it is."""
        if (value.kind == REDUCE and not self._unrolled(value)) or value.op == "index":
            return None
        if value.kind in (JOIN, PATCH):
            return self._parts(value, wanted)
        if wanted.whole:
            return self._split(value)
        views = list(wanted.views)
        return views if sum(prod(shape) for _, shape in views) <= value.size else None

    def _parts(self, value: Value, wanted: _Wanted) -> list[Core] | None:
        """Views of a join or patch; those of one part are resolved before."""
        if not wanted.whole and all(_parts_of(value, *core) for core in wanted.views):
            return list(wanted.views)
        cores = self._columns(value) or []
        if _by_entries(value) and all(_parts_of(value, *core) for core in cores):
            return self._split(value)
        return None

    def _split(self, value: Value) -> list[Core] | None:
        """The columns of a value that is wanted as a whole; None for one."""
        cores = self._columns(value)
        if cores is not None:
            self.split.add(id(value))
        return cores

    def _reads(self, value: Value, rows: Map, shape: Shape) -> list[tuple[Value, Map, Shape]]:
        """What a view of a value reads: arguments, their maps and the shapes they give."""
        if value.kind == REDUCE:
            return _reduced(value, rows, shape, self._unrolled(value))
        whole = [(a, full_map(a.shape), a.shape) for a in value.args]
        if value.kind in (JOIN, PATCH):
            if rows == full_map(value.shape):
                return whole
            found = _parts_of(value, rows, shape)
            assert found is not None
            return found
        arrays = value.args[1:] if value.op == "gather" else value.args
        read = [(a, compose(broadcast(a.shape, value.shape), rows), shape) for a in arrays]
        return whole[:1] + read if value.op == "gather" else read

    # ------------------------------------------------ forwards: the values

    def _make(self, value: Value) -> None:
        if value.kind in (CALL, RESHAPED):
            made = {id(a): self.read(a) for a in value.args}
            value.args = tuple([made[id(a)] for a in value.args])
            if value.kind == CALL:
                value.detail = [made[id(a)] if isinstance(a, Value) else a for a in value.detail]
            self.order.append(value)
        elif value.kind in (MAP, REDUCE, JOIN, PATCH):
            self._compute(value)
        elif value.kind == PICK:
            self.order.append(value)

    def _compute(self, value: Value) -> None:
        """A value as it is, or its columns, and what is made of them."""
        cores = self.plan[id(value)]
        if cores is not None:
            made = self.columns[id(value)] = {
                (rows, shape): self._column(value, rows, shape) for rows, shape in cores
            }
            if id(value) in self.split:
                self.whole[id(value)] = self._fill(
                    list(made.values()), [rows for rows, _ in cores], value
                )
        elif not self.wanted[id(value)].count:
            return
        elif value.kind in (JOIN, PATCH):
            self.whole[id(value)] = self._filled(value)
        elif self._unrolled(value):
            self.whole[id(value)] = self._column(value, full_map(value.shape), value.shape)
        else:
            value.args = tuple([self.read(a) for a in value.args])
            self.order.append(value)

    def _column(self, value: Value, rows: Map, shape: Shape) -> Value:
        """A view of a value, computed by itself."""
        given = [self._view(*r) for r in self._reads(value, rows, shape)]
        if value.kind == JOIN:
            return given[0]
        if value.kind in (REDUCE, PATCH):
            step = "add" if value.kind == PATCH else _STEPS[value.op]
            total = given[0]
            for x in given[1:]:
                total = self._operation(step, [total, x], shape, value)
            return total
        detail = value.detail
        if value.op == "gather":
            detail = _composed_places(value.detail, rows)
        return self._operation(value.op, given, shape, value, detail)

    def _operation(
        self, op: str, args: list[Value], shape: Shape, like: Value, detail: Any = None
    ) -> Value:
        """A scalar operation; none where a cotangent is zero by construction."""
        empty = [a.op == NOTHING for a in args]
        if any(empty):
            if op == "add":
                return widened(args[1 if empty[0] else 0], shape)
            if op == "subtract" and empty[1]:
                return widened(args[0], shape)
        zero = args and args[0].kind == NUMBER and not args[0].detail
        if (op == "pull_product" and zero) or (op == "negative" and empty[0]):
            return Value(NUMBER, NOTHING, (), shape, like.dtype, like.dtype.type(0))
        made = Value(MAP, op, tuple(args), shape, like.dtype, detail, like.node)
        self.order.append(made)
        return made

    def read(self, value: Value) -> Value:
        """What stands for a value."""
        return self._view(value, full_map(value.shape), value.shape)

    def _view(self, value: Value, rows: Map, shape: Shape) -> Value:
        """What stands for a view of a value."""
        base, rows = _resolved(value, rows, shape)
        columns = self.columns.get(id(base))
        if columns is not None:
            core, axes = core_of(rows, shape)
            found = columns.get(core)
            if found is not None:
                return view(found, tuple([(0, ((a, 1),)) for a in axes]), shape)
            for (inside, extents), column in columns.items():
                place = _inside(inside, extents, rows, shape)
                if place is not None:
                    return view(column, place, shape)
        if base.kind == GIVEN and base.op == "constant" and all(not terms for _, terms in rows):
            return number(base.detail[tuple([offset for offset, _ in rows])], base.dtype, shape)
        if base.op == "index" and not rows[base.detail][1]:
            return number(rows[base.detail][0], base.dtype, shape)
        base = self.whole.get(id(base), base)
        if rows == full_map(base.shape) and shape == base.shape:
            return base
        return view(base, rows, shape)

    # ------------------------------------------------ what stays in memory

    def _filled(self, value: Value) -> Value:
        """The memory of a join or patch, and the operations that write it."""
        parts = [self.read(a) for a in value.args]
        if value.kind == JOIN:
            return self._fill(parts, value.detail, value)
        x, y, *arrays = parts
        old, _ = viewed(value.args[0])
        if x.kind != FILLED or x.shape != value.shape or self.wanted[id(old)].count > 1:
            x = self._fill([x], [full_map(value.shape)], value)
        last = self._placed(y, value.detail, value.op, value, (x, *arrays))
        return self._memory((last,), value, x)

    def _fill(self, parts: Sequence[Value], windows: Sequence[Any], like: Value) -> Value:
        """Memory into which parts are written that do not overlap."""
        places = [self._placed(p, w, "put", like) for p, w in zip(parts, windows, strict=True)]
        return self._memory(tuple(places), like)

    def _memory(self, writers: tuple[Value, ...], like: Value, before: Any = None) -> Value:
        made = Value(FILLED, "filled", writers, like.shape, like.dtype, before, like.node)
        self.order.append(made)
        return made

    def _placed(
        self, part: Value, places: Any, mode: str, like: Value, after: tuple[Value, ...] = ()
    ) -> Value:
        """The operation that writes a part to memory, after what is there before."""
        made = Value(
            MAP, "place", (part, *after), part.shape, part.dtype, (mode, places), like.node
        )
        self.order.append(made)
        return made


_STEPS = {"sum": "add", "prod": "multiply", "max": "maximum", "min": "minimum",
          "any": "logical_or", "all": "logical_and"}  # fmt: skip


def _all_of(row: Row, d: int) -> bool:
    return d == 1 or (len(row[1]) == 1 and abs(row[1][0][1]) == 1)


def _patterned(value: Value) -> frozenset[int]:
    """The short axes along which alone a constant array varies, if it is zero for the most part."""
    array = value.detail
    if 2 * np.count_nonzero(array) > array.size:
        return frozenset()
    found = set()
    for k, d in enumerate(value.shape):
        if d != 1 and (array != array.take([0], k)).any():
            found.add(k)
    return frozenset(found) if all(value.shape[k] <= SHORT for k in found) else frozenset()


def _reduced_rows(value: Value) -> Map:
    """How a reduction reads its argument, by its own axes; along reduced ones the first entry."""
    x = value.args[0]
    return tuple(STILL if k in value.detail else moving(d, k) for k, d in enumerate(x.shape))


def _reduced(
    value: Value, rows: Map, shape: Shape, unrolled: bool
) -> list[tuple[Value, Map, Shape]]:
    """What a reduction reads: everything, or entry by entry of those that are reduced."""
    x = value.args[0]
    if not unrolled:
        return [(x, full_map(x.shape), x.shape)]
    found = []
    for at in product(*[range(x.shape[a]) for a in value.detail]):
        fixed = list(rows)
        for a, i in zip(value.detail, at, strict=True):
            fixed[a] = (i, ())
        found.append((x, tuple(fixed), shape))
    return found


def _composed_places(places: Any, rows: Map) -> Any:
    """The places of a gather by the axes of a view of it."""
    affine = [p for p in places if type(p) is tuple]
    inner = iter(compose(tuple(affine), rows))
    return tuple([next(inner) if type(p) is tuple else p for p in places])


def _range(row: Row, shape: Shape) -> tuple[int, int]:
    """The least and the largest index that a row gives."""
    low = high = row[0]
    for axis, step in row[1]:
        reach = step * (shape[axis] - 1)
        low, high = low + min(reach, 0), high + max(reach, 0)
    return low, high


def _inside(window: Map, extents: Shape, rows: Map, shape: Shape) -> Map | None:
    """The map of a view by the axes of a part that has a window; None unless all of it is there.

    An axis of the part that its window does not meet has one entry.
    """
    found: dict[int, Row] = {}
    for (start, terms), row in zip(window, rows, strict=True):
        low, high = _range(row, shape)
        if not terms:
            if low != start or high != start:
                return None
            continue
        (axis, step), *more = terms
        last = start + step * (extents[axis] - 1)
        if more or low < min(start, last) or high > max(start, last):
            return None
        steps = [s for _, s in row[1]]
        if (row[0] - start) % step or any(s % step for s in steps):
            return None
        inner = (row[0] - start) // step, tuple([(a, s // step) for a, s in row[1]])
        if found.setdefault(axis, inner) != inner:
            return None  # of a diagonal, where one axis is met twice
    return tuple([found.get(k, STILL) for k in range(len(extents))])


def _outside(places: Any, extents: Shape, rows: Map, shape: Shape) -> bool:
    """Whether a view meets none of the places of a patch."""
    for place, row in zip(places, rows, strict=True):
        if type(place) is int:
            continue
        low, high = _range(row, shape)
        start, terms = place
        if len(terms) > 1:
            continue
        reach = terms[0][1] * (extents[terms[0][0]] - 1) if terms else 0
        if high < min(start, start + reach) or low > max(start, start + reach):
            return True
        if terms and not row[1] and (row[0] - start) % terms[0][1]:
            return True
    return False


def _parts_of(value: Value, rows: Map, shape: Shape) -> list[tuple[Value, Map, Shape]] | None:
    """The part of a join or patch that a view reads, and how, or two that are added.

    None if it is not in one part.
    """
    if value.kind == JOIN:
        for part, window in zip(value.args, value.detail, strict=True):
            place = _inside(window, part.shape, rows, shape)
            if place is not None:
                return [(part, place, shape)]
        return None
    x, y, *arrays = value.args
    if _outside(value.detail, y.shape, rows, shape):
        return [(x, rows, shape)]
    place = None if arrays else _inside(value.detail, y.shape, rows, shape)
    if place is None:
        return None
    return [(y, place, shape)] if value.op == "put" else [(x, rows, shape), (y, place, shape)]


def _by_entries(value: Value) -> bool:
    """Whether the parts of a join are columns; of a patch, there is no telling."""
    return value.kind == PATCH or all(
        not terms or (start == 0 and part.shape[terms[0][0]] == d)
        for part, window in zip(value.args, value.detail, strict=True)
        for d, (start, terms) in zip(value.shape, window, strict=True)
    )


def _axes_in(axes: set[int], window: Map) -> set[int]:
    """The axes of a join along which axes of a part lie."""
    return {k for k, (_, terms) in enumerate(window) for axis, _ in terms if axis in axes}


MOST_HOPS = 64


def _resolved(value: Value, rows: Map, shape: Shape) -> tuple[Value, Map]:
    """The value behind views, and behind joins and patches of which one part is read."""
    hops = 0
    while True:
        value, inner = viewed(value)
        if inner is not None:
            rows = compose(inner, rows)
        found = None
        if value.kind in (JOIN, PATCH) and hops < MOST_HOPS:
            found = _parts_of(value, rows, shape)
        if found is None or len(found) > 1:
            return value, rows
        value, rows, _ = found[0]
        hops += 1


def _live(order: Sequence[Value], kept: Sequence[Value]) -> list[Value]:
    """The values on which those that are kept depend, in order."""
    needed: set[int] = set()
    stack = list(kept)
    while stack:
        value = stack.pop()
        if id(value) not in needed:
            needed.add(id(value))
            stack.extend(value.args)
    return [v for v in order if id(v) in needed]
