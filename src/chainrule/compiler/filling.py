"""Values in memory that is written part by part: joins, patches, columns that are copied out."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from chainrule.compiler.formulas import where
from chainrule.compiler.maps import STILL, Map, Row, Shape, contiguous_strides, strided
from chainrule.compiler.moves import full_map
from chainrule.compiler.reductions import position
from chainrule.compiler.values import FILLED, GIVEN, MAP, NUMBER, PATCH, Value, apply, view, viewed
from chainrule.compiler.windows import core_of

PACKED = 64  # entries of a column that may be copied to be contiguous,
REUSED = 16  # and how often they are read then
SEVERAL = 8  # additions to zeros that are made one after the other


class Filling:
    """Makes such values.

    Args:
        order: where they are listed, with the operations that write them.
    """

    def __init__(self, order: list[Value]) -> None:
        self.order = order
        self.columns: dict[tuple[int, Map], Value] = {}  # that have been copied out

    def patched(self, value: Value, parts: Sequence[Value], alone: bool) -> Value:
        """A patch; `alone`: nobody else needs what is there before, whose memory it may take."""
        x, y, *arrays = parts
        if x.kind != FILLED or x.shape != value.shape or not alone:
            if not arrays and x.kind != FILLED:
                found = self._selected(value, x, y)
                if found is not None:
                    return found
            x = self.fill([x], [full_map(value.shape)], value)
        last = self._placed(y, value.detail, value.op, value, (x, *arrays))
        return self._memory((last,), value, x)

    def _selected(self, value: Value, x: Value, y: Value) -> Value | None:
        """A patch at integers and whole axes, as a choice by position, which loops can fuse."""
        back: list[Row] = [STILL] * y.ndim
        fixed = []
        for k, ((start, terms), d) in enumerate(zip(value.detail, value.shape, strict=True)):
            if not terms:
                if d != 1:
                    fixed.append((k, start))
                continue
            (axis, step), *more = terms
            if more or y.shape[axis] != d or (start, step) not in ((0, 1), (d - 1, -1)):
                return None
            back[axis] = (start, ((k, step),))
        here: Value | None = None
        for k, at in fixed:
            hit = position(value, k).same(at)
            here = hit if here is None else here & hit
        if here is None:
            return None
        every = view(y, tuple(back), value.shape)
        made = where(here, apply("add", x, every) if value.op == "add" else every, x)
        self._list(made, value)
        return made

    def _list(self, made: Value, like: Value) -> None:
        """List a formula's new values, those needed first."""
        if made.node is None and made.kind == MAP:
            for a in made.args:
                self._list(a, like)
            made.node = like.node
            self.order.append(made)

    def fill(self, parts: Sequence[Value], windows: Sequence[Any], like: Value) -> Value:
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

    def packed(self, x: Value, shape: Shape) -> Value:
        """An operand; a column that is far from contiguous and read over and over is copied out.

        Copying costs one pass over the column, reading it from all over the array as many passes
        as the operation has rows.
        """
        base, rows = viewed(x)
        if rows is None or base.kind not in (GIVEN, FILLED):
            return x
        (inside, extents), axes = core_of(rows, x.shape)
        moving_last = len(axes) > 0 and x.ndim == len(shape) and axes[-1] == len(shape) - 1
        count = prod(extents)
        if not moving_last or count < PACKED or prod(shape) < REUSED * count:
            return x
        _, steps = strided(inside, contiguous_strides(base.shape), len(extents))
        if abs(steps[-1]) <= 1:
            return x
        key = id(base), inside
        column = self.columns.get(key)
        if column is None:
            part = view(base, inside, extents)
            column = self.columns[key] = self.fill([part], [full_map(extents)], part)
        return view(column, tuple([(0, ((a, 1),)) for a in axes]), x.shape)


def add_up(live: Sequence[Value]) -> None:
    """Write sums of single entries, added to zeros, into one array, if there are several.

    What loops over the entries of an array leave behind: a + (zeros with y added at i) is a with y
    added at i, but for the sign of zeros.
    """
    uses: dict[int, int] = {}
    for value in live:
        for a in value.args:
            uses[id(a)] = uses.get(id(a), 0) + 1
    found = []
    for value in live:
        for i, a in enumerate(value.args if value.kind == MAP and value.op == "add" else ()):
            if _is_small_patch(a) and uses[id(a)] == 1 and a.shape == value.shape:
                found.append((value, a, value.args[1 - i]))
                break
    if len(found) < SEVERAL:
        return
    for value, patch, other in found:
        if other.shape == value.shape:
            value.kind, value.op, value.detail = PATCH, "add", patch.detail
            value.args = (other, *patch.args[1:])


def _is_small_patch(a: Value) -> bool:
    """Whether a value is zeros, with little added."""
    if a.kind != PATCH or a.op != "add" or a.args[0].kind != NUMBER or a.args[0].detail:
        return False
    return bool(a.args[1].size * 16 <= a.size)
