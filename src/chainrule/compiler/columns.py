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

from chainrule.compiler.clusters import needed_values
from chainrule.compiler.filling import Filling, add_up
from chainrule.compiler.indices import given_array
from chainrule.compiler.maps import (
    STILL,
    Map,
    Row,
    Shape,
    broadcast,
    compose,
)
from chainrule.compiler.moves import full_map, moving
from chainrule.compiler.values import (
    CALL,
    CONTRACT,
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
from chainrule.compiler.windows import (
    SHORT,
    Core,
    all_of,
    axes_in,
    composed_places,
    core_of,
    inside_of,
    parts_of,
    patterned,
    reduced,
    reduced_rows,
    resolved,
    whole_core,
)

COLUMNS = 64  # the most values that one becomes
REST = 16  # the fewest entries each of them has
UNROLLED = 16  # the longest reduction that becomes operations

NOTHING = "nothing"  # the number 0 where nothing depends: adding it changes nothing


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
        self.live = needed_values(order, kept)
        self.order: list[Value] = []
        self.fine: dict[int, frozenset[int]] = {}  # axes along which splitting pays
        self.wanted: dict[int, _Wanted] = {}
        self.plan: dict[int, list[Core] | None] = {}  # per value its columns; None: as it is
        self.split: set[int] = set()  # values whose whole is the join of their columns
        self.columns: dict[int, dict[Core, Value]] = {}
        self.whole: dict[int, Value] = {}
        self.results: set[int] = set()
        self.filling = Filling(self.order)
        add_up(self.live)
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
                found |= axes_in(self._inherited(part, full_map(part.shape)), window)
        elif value.kind == PATCH:
            x, y, *_ = value.args
            rows = tuple([STILL if type(p) is int else p for p in value.detail])
            found.update(
                k
                for k, p in enumerate(value.detail)
                if type(p) is tuple and not all_of(p, value.shape[k])
            )
            found |= self._inherited(x, full_map(x.shape))
            found |= axes_in(self._inherited(y, full_map(y.shape)), rows)
        elif value.kind == MAP and value.op not in ("gather", "index", "scan"):
            for a in value.args:
                found |= self._inherited(a, broadcast(a.shape, value.shape))
        elif self._unrolled(value):
            rows = reduced_rows(value)
            found |= self._inherited(value.args[0], rows)
        elif value.kind == GIVEN and value.op == "constant":
            return patterned(value)
        return frozenset(k for k in found if 1 < value.shape[k] <= SHORT)

    def _inherited(self, a: Value, rows: Map) -> set[int]:
        """The axes of a user along which an argument that it reads by `rows` is made of parts."""
        base, inner = viewed(a)
        if base.kind == GIVEN and id(base) not in self.fine:
            self.fine[id(base)] = patterned(base) if base.op == "constant" else frozenset()
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
        base, rows = resolved(value, rows, shape)
        if base.kind in (GIVEN, NUMBER):
            return
        wanted = self.wanted.setdefault(id(base), _Wanted())
        wanted.count += 1
        core, _ = core_of(rows, shape)
        if core == whole_core(base.shape):
            wanted.whole = True
        else:
            wanted.views[core] = None

    def _want_whole(self, value: Value) -> None:
        self._want(value, full_map(value.shape), value.shape)

    def _want_memory(self, value: Value) -> None:
        """Want what a value stands in, as it is."""
        wanted = self.wanted.setdefault(id(viewed(value)[0]), _Wanted())
        wanted.count += 1
        wanted.whole = True

    def _plan(self, value: Value) -> None:
        """Decide how a value is computed, and want what that needs."""
        wanted = self.wanted.setdefault(id(value), _Wanted())
        if value.kind not in (MAP, REDUCE, JOIN, PATCH):
            for a in value.args if value.kind != VIEW else ():
                if value.kind == CALL:
                    self._want_whole(a)
                else:
                    self._want_memory(a)
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
        if (value.kind == REDUCE and not self._unrolled(value)) or value.op in ("index", "scan"):
            return None
        if value.kind in (JOIN, PATCH):
            return self._parts(value, wanted)
        if wanted.whole:
            return self._split(value)
        views = list(wanted.views)
        return views if sum(prod(shape) for _, shape in views) <= value.size else None

    def _parts(self, value: Value, wanted: _Wanted) -> list[Core] | None:
        """Views of a join or patch; those of one part are resolved before."""
        if not wanted.whole and all(parts_of(value, *core) for core in wanted.views):
            return list(wanted.views)
        cores = self._columns(value) or []
        if self._by_entries(value) and all(parts_of(value, *core) for core in cores):
            return self._split(value)
        return None

    def _by_entries(self, value: Value) -> bool:
        """Whether the parts of a join are columns, or made of them; of a patch one cannot say."""
        if value.kind == PATCH:
            return True
        for part, window in zip(value.args, value.detail, strict=True):
            fine = self._inherited(part, full_map(part.shape))
            for d, (_, terms) in zip(value.shape, window, strict=True):
                if any(part.shape[axis] != d and axis not in fine for axis, _ in terms):
                    return False
        return True

    def _split(self, value: Value) -> list[Core] | None:
        """The columns of a value that is wanted as a whole; None for one."""
        cores = self._columns(value)
        if cores is not None:
            self.split.add(id(value))
        return cores

    def _reads(self, value: Value, rows: Map, shape: Shape) -> list[tuple[Value, Map, Shape]]:
        """What a view of a value reads: arguments, their maps and the shapes they give."""
        if value.kind == REDUCE:
            return reduced(value, rows, shape, self._unrolled(value))
        whole = [(a, full_map(a.shape), a.shape) for a in value.args]
        if value.kind in (JOIN, PATCH):
            if rows == full_map(value.shape):
                return whole
            found = parts_of(value, rows, shape)
            assert found is not None
            return found
        arrays = value.args[1:] if value.op == "gather" else value.args
        read = [(a, compose(broadcast(a.shape, value.shape), rows), shape) for a in arrays]
        return whole[:1] + read if value.op == "gather" else read

    # ------------------------------------------------ forwards: the values

    def _make(self, value: Value) -> None:
        if value.kind == CALL:
            made = {id(a): self.read(a) for a in value.args}
            value.args = tuple([made[id(a)] for a in value.args])
            value.detail = [made[id(a)] if isinstance(a, Value) else a for a in value.detail]
            self.order.append(value)
        elif value.kind in (RESHAPED, CONTRACT):
            value.args = tuple([self._in_memory(a) for a in value.args])
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
                self.whole[id(value)] = self.filling.fill(
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
            detail = composed_places(value.detail, rows)
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
        if op != "gather":
            args = [self.filling.packed(a, shape) for a in args]
        made = Value(MAP, op, tuple(args), shape, like.dtype, detail, like.node)
        self.order.append(made)
        return made

    def read(self, value: Value) -> Value:
        """What stands for a value."""
        return self._view(value, full_map(value.shape), value.shape)

    def _in_memory(self, value: Value) -> Value:
        """A value, or a view of one, that stands in memory as it is."""
        base, rows = viewed(value)
        made = self.whole.get(id(base), base)
        if made.kind in (NUMBER, VIEW):
            made = self._operation("copy", [made], base.shape, base)
        return made if rows is None else view(made, rows, value.shape)

    def result(self, value: Value) -> Value:
        """What stands for a value that is to have memory of its own."""
        found = self.read(value)
        if value.kind not in (MAP, REDUCE, JOIN, PATCH):
            if found.kind == NUMBER:  # a complex one, which no kernel writes
                return given_array(np.full(found.shape, found.detail, found.dtype), value)
            return found
        if found.kind not in (MAP, REDUCE, FILLED) or id(found) in self.results:
            found = Value(MAP, "copy", (found,), found.shape, found.dtype, None, value.node)
            self.order.append(found)
        self.results.add(id(found))
        return found

    def _view(self, value: Value, rows: Map, shape: Shape) -> Value:
        """What stands for a view of a value."""
        base, rows = resolved(value, rows, shape)
        columns = self.columns.get(id(base))
        if columns is not None:
            core, axes = core_of(rows, shape)
            found = columns.get(core)
            if found is not None:
                return view(found, tuple([(0, ((a, 1),)) for a in axes]), shape)
            for (inside, extents), column in columns.items():
                place = inside_of(inside, extents, rows, shape)
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

    def _filled(self, value: Value) -> Value:
        """The memory of a join or patch, and the operations that write it."""
        parts = [self.read(a) for a in value.args]
        if value.kind == JOIN:
            return self.filling.fill(parts, value.detail, value)
        wanted = self.wanted.get(id(viewed(value.args[0])[0]))
        return self.filling.patched(value, parts, wanted is not None and wanted.count == 1)


_STEPS = {"sum": "add", "prod": "multiply", "max": "maximum", "min": "minimum",
          "any": "logical_or", "all": "logical_and"}  # fmt: skip
