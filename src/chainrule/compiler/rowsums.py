"""Reductions over the rows that nests share: each row is added to results that are kept.

Rows come in sections, whose results go to memory and are combined in the end, so that threads can
share the sections. Sums are added as everywhere: blocks of rows in order, blocks with what
rounding lost.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from chainrule.compiler.kernel import Nest
from chainrule.compiler.lanes import lanes_for
from chainrule.compiler.loops import Body
from chainrule.compiler.maps import contiguous_strides
from chainrule.compiler.reduce import Total, combine, get, initial, put

SLACK = 64  # entries behind the last one that a vector may reach


class RowSums:
    """The results of one nest that reduces over rows, while it goes through a section."""

    def __init__(self, body: Body, nest: Nest) -> None:
        self.body = body
        self.nest = nest
        self.s = body.scalars
        self.kept = nest.extents[1:]
        self.steps = contiguous_strides(self.kept)
        self.size = prod(self.kept)
        self.lane = len(nest.extents) - 1
        self.dtypes = [nest.code[r.value].dtype for r in nest.reductions]
        room = self.size + SLACK
        pairs = list(zip(nest.reductions, self.dtypes, strict=True))
        self.totals = [Total(body, r.op, dt, room) for r, dt in pairs]
        self.parts = [body.variable(self.s.type_of(dt), room) for dt in self.dtypes]

    def begin(self) -> None:
        """A section begins."""
        self._each(self._reset)

    def _reset(self, j: Any) -> None:
        for t in self.totals:
            t.reset(j)

    def begin_block(self) -> None:
        """A block of rows begins."""
        self._each(self._clear)

    def _clear(self, j: Any) -> None:
        for r, part, dt in zip(self.nest.reductions, self.parts, self.dtypes, strict=True):
            put(self.s, self.s.number(initial(r.op, dt), dt), part, j)

    def add(self, row: Any) -> None:
        """Add the entries of a row."""
        self._outer([row], self._add_line)

    def _add_line(self, outer: list[Any]) -> None:
        body, b = self.body, self.s.builder
        first = self._first(outer)

        def add(i: Any, values: list[Any]) -> None:
            j = b.add(first, i, flags=["nsw"])
            for r, part, dt in zip(self.nest.reductions, self.parts, self.dtypes, strict=True):
                value = values[r.value]
                if self.s.lanes > 1:
                    value = body.lanes.only(value, self.s.number(initial(r.op, dt), dt))
                put(self.s, combine(self.s, r.op, dt, get(self.s, part, j), value), part, j)

        end = body.whole(self.kept[-1])
        body.across(self.nest, self.lane, body.whole(0), end, lambda i: [*outer, i], add)

    def end_block(self) -> None:
        """A block of rows has been added."""
        self._each(self._fold)

    def _fold(self, j: Any) -> None:
        for t, part in zip(self.totals, self.parts, strict=True):
            t.fold(get(self.s, part, j), t.dt, j)

    def end(self, section: Any) -> None:
        """A section has been added: write its results."""
        if self.nest.reductions[0].partial is None:
            self.write()
            return
        b = self.s.builder
        first = b.mul(section, self.body.whole(self.size), flags=["nsw"])

        def write(j: Any) -> None:
            for r, t in zip(self.nest.reductions, self.totals, strict=True):
                assert r.partial is not None
                place = b.gep(self.body.buffers[r.partial], [b.add(first, j)], inbounds=True)
                if self.s.lanes > 1:
                    self.body.lanes.store(t.result(j), place, 1, t.wide)
                else:
                    self.s.store(t.result(j), place, t.wide)

        self._each(write)

    def write(self) -> None:
        """Write the results to where they belong."""
        self._outer([self.body.whole(0)], self._write_line)

    def _write_line(self, outer: list[Any]) -> None:
        first = self._first(outer)

        def write(i: Any) -> None:
            j = self.s.builder.add(first, i, flags=["nsw"])
            for r, t in zip(self.nest.reductions, self.totals, strict=True):
                out = self.body.kernel.dtypes[r.access.buffer]
                self.body.write(self.s.cast(t.result(j), t.wide, out), r.access, [*outer, i])

        self._line(self.kept[-1], write)

    def combine(self, sections: int) -> None:
        """Write the results of all sections together, added in order."""
        b, body = self.s.builder, self.body
        self.begin()
        with body.loop(body.whole(0), body.whole(sections), "section") as section:
            first = b.mul(section, body.whole(self.size), flags=["nsw"])

            def fold(j: Any) -> None:
                for r, t in zip(self.nest.reductions, self.totals, strict=True):
                    assert r.partial is not None
                    place = b.gep(body.buffers[r.partial], [b.add(first, j)], inbounds=True)
                    if self.s.lanes > 1:
                        part = body.lanes.load(place, 1, t.wide)
                    else:
                        part = self.s.load(place, t.wide)
                    t.fold(part, t.wide, j)

            self._each(fold)
        self.write()

    # ------------------------------------------------ loops

    def _first(self, outer: list[Any]) -> Any:
        """The place of the first result of a line, by its indices but the innermost."""
        b, body = self.s.builder, self.body
        found = body.whole(0)
        for i, step in zip(outer[1:], self.steps[:-1], strict=True):
            found = b.add(found, b.mul(i, body.whole(step), flags=["nsw"]), flags=["nsw"])
        return found

    def _outer(self, indices: list[Any], work: Callable[[list[Any]], None]) -> None:
        """The kept loops but the innermost."""
        depth = len(indices) - 1
        if depth == len(self.kept) - 1:
            work(indices)
            return
        body = self.body
        with body.loop(body.whole(0), body.whole(self.kept[depth]), f"k{depth}") as i:
            self._outer([*indices, i], work)

    def _each(self, work: Callable[[Any], None]) -> None:
        """`work` for all results, many at once."""
        self._line(self.size, work)

    def _line(self, count: int, work: Callable[[Any], None]) -> None:
        body = self.body
        lanes = lanes_for(self.nest, self.lane)

        def some(j: Any, masked: bool) -> None:
            if masked:
                body.lanes.mask = body.lanes.mask_of(self.s.builder.sub(body.whole(count), j))
            work(j)
            body.lanes.mask = None

        with body.vectors_along(self.lane, lanes):
            body.in_vectors(lanes, body.whole(0), body.whole(count), True, some)
