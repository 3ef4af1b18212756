"""Reductions inside loop nests.

Sums of floating-point numbers are added in blocks: inside a block lane by lane of a vector; block
sums are added in float64 for float32, and with the rounding error
carried along for float64 (Kahan, Neumaier; Higham, Accuracy and Stability of Numerical Algorithms,
2nd ed., section 4.3).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.compiler.kernel import BLOCK, ROWS, TILE, Kernel, Nest, Reduction, sections_of
from chainrule.compiler.lanes import lanes_for
from chainrule.compiler.loops import Body
from chainrule.compiler.lowering import OPERATIONS, Scalars
from chainrule.compiler.vectors import lane_type

F8 = np.dtype(np.float64)


def initial(op: str, dt: np.dtype[Any]) -> Any:
    """The result of reducing nothing."""
    if op in ("sum", "any"):
        return 0
    if op in ("prod", "all"):
        return 1
    if dt.kind == "f":
        return -np.inf if op == "max" else np.inf
    if dt.kind == "b":
        return op == "min"
    info = np.iinfo(dt)
    return info.min if op == "max" else info.max


def combine(s: Scalars, op: str, dt: np.dtype[Any], a: Any, b: Any) -> Any:
    """Two partial results as one."""
    if op == "sum":
        return s.builder.fadd(a, b) if dt.kind == "f" else s.builder.add(a, b)
    if op == "prod":
        return s.builder.fmul(a, b) if dt.kind == "f" else s.builder.mul(a, b)
    if op in ("any", "all"):
        return s.builder.or_(a, b) if op == "any" else s.builder.and_(a, b)
    if dt.kind == "f":
        return s.intrinsic("maximum" if op == "max" else "minimum", a, b)
    return OPERATIONS["maximum" if op == "max" else "minimum"](s, dt, a, b)


def state_dtype(op: str, dt: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype in which the results of blocks are combined."""
    return F8 if op == "sum" and dt.kind == "f" else dt


def _place(s: Scalars, memory: Any, j: Any) -> Any:
    """The entry j of a variable, or the vector that begins there."""
    place = s.builder.gep(memory, [j], inbounds=True)
    vector = lane_type(place.type.pointee, s.lanes)
    return place if s.lanes == 1 else s.builder.bitcast(place, vector.as_pointer())


def get(s: Scalars, memory: Any, j: Any) -> Any:
    """A variable's value; of one with many, the entries from j on, which stand anywhere."""
    return s.builder.load(memory) if j is None else s.builder.load(_place(s, memory, j), align=1)


def put(s: Scalars, value: Any, memory: Any, j: Any) -> None:
    """Give a variable a value, as `get` reads it."""
    if j is None:
        s.builder.store(value, memory)
    else:
        s.builder.store(value, _place(s, memory, j), align=1)


class Total:
    """The running result of one reduction: of one entry, or of `count` neighbouring ones."""

    def __init__(self, body: Body, op: str, dt: np.dtype[Any], count: int = 1) -> None:
        self.body = body
        self.s = body.scalars
        self.op = op
        self.dt = dt
        self.wide = state_dtype(op, dt)
        self.sum = body.variable(self.s.type_of(self.wide), count)
        # What rounding lost; sums of float32 in float64 lose too little to count.
        self.carried = op == "sum" and dt == F8
        self.lost = body.variable(self.s.type_of(F8), count) if self.carried else None

    def reset(self, j: Any = None) -> None:
        put(self.s, self.s.number(initial(self.op, self.wide), self.wide), self.sum, j)
        if self.lost is not None:
            put(self.s, self.s.number(0, F8), self.lost, j)

    def fold(self, part: Any, dt: np.dtype[Any], j: Any = None) -> None:
        """Add a partial result."""
        b, s = self.s.builder, self.s
        part = s.cast(part, dt, self.wide)
        before = get(s, self.sum, j)
        after = combine(s, self.op, self.wide, before, part)
        put(s, after, self.sum, j)
        if self.lost is not None:
            # Knuth's two-sum: what the addition lost, exactly, whichever operand is larger.
            moved = b.fsub(after, before)
            error = b.fadd(b.fsub(before, b.fsub(after, moved)), b.fsub(part, moved))
            put(s, b.fadd(get(s, self.lost, j), error), self.lost, j)

    def result(self, j: Any = None) -> Any:
        """The result, in `wide`."""
        b = self.s.builder
        total = get(self.s, self.sum, j)
        if self.lost is None:
            return total
        lost = get(self.s, self.lost, j)
        # An infinite sum makes the correction inf - inf.
        return b.select(self.s.is_nan(lost), total, b.fadd(total, lost))


class Reducing:
    """The loops of a nest that has reductions."""

    def __init__(self, body: Body, nest: Nest) -> None:
        self.body = body
        self.nest = nest
        self.s = body.scalars
        self.kept = [k for k, gone in enumerate(nest.reduced) if not gone]
        self.gone = [k for k, gone in enumerate(nest.reduced) if gone]

    def dtype(self, r: Reduction) -> np.dtype[Any]:
        return self.nest.code[r.value].dtype

    def whole(self) -> None:
        """The whole nest; the kernel's begin and end are of its outermost loop."""
        body = self.body
        if not self.kept:
            with body.loop(body.begin, body.end, "part") as part:
                self._part(part)
        elif self.nest.by_lanes and len(self.kept) == 1:
            with body.loop(body.begin, body.end, "tile") as tile:
                self._tile({}, tile)
        else:
            with body.loop(body.begin, body.end, "i0") as i:
                self.inside([i])

    def inside(self, indices: Sequence[Any]) -> None:
        """The loops within the outermost kept ones, whose indices are given."""
        at = dict(zip(self.kept, indices, strict=False))
        self._kept(at, len(indices))

    def _kept(self, at: dict[int, Any], done: int) -> None:
        body, lanes = self.body, self.nest.by_lanes
        if done == len(self.kept) - (1 if lanes else 0):
            if lanes:
                tiles = -(-self.nest.extents[self.kept[-1]] // TILE)
                with body.loop(body.whole(0), body.whole(tiles), "tile") as tile:
                    self._tile(at, tile)
            else:
                self._row(at)
            return
        k = self.kept[done]
        with body.loop(body.whole(0), body.whole(self.nest.extents[k]), f"k{k}") as i:
            self._kept({**at, k: i}, done + 1)

    def indices(self, at: dict[int, Any]) -> list[Any]:
        return [at.get(k, self.body.whole(0)) for k in range(len(self.nest.extents))]

    def store(self, r: Reduction, value: Any, dt: np.dtype[Any], at: dict[int, Any]) -> None:
        """Write a final result."""
        out = self.body.kernel.dtypes[r.access.buffer]
        pointer = self.body.pointer(r.access, self.indices(at))
        self.s.store(self.s.cast(value, dt, out), pointer, out)

    # ------------------------------------------------ one result at a time

    def _row(self, at: dict[int, Any]) -> None:
        """Reduce into one entry of each result."""
        body, first = self.body, self.gone[0]
        extent = self.nest.extents[first]
        if len(self.gone) == 1 and extent <= BLOCK:
            parts = self._block(at, first, body.whole(0), body.whole(extent))
            for r, part in zip(self.nest.reductions, parts, strict=True):
                self.store(r, part, self.dtype(r), at)
            return
        totals = [Total(self.body, r.op, self.dtype(r)) for r in self.nest.reductions]
        for t in totals:
            t.reset()
        self._gone(totals, at, 0, body.whole(0), body.whole(extent))
        for r, t in zip(self.nest.reductions, totals, strict=True):
            self.store(r, t.result(), t.wide, at)

    def _part(self, part: Any) -> None:
        """Reduce one part of everything."""
        body, b = self.body, self.s.builder
        count, length = self.nest.parts
        begin = b.mul(part, body.whole(length), flags=["nsw"])
        end = self._least(b.add(begin, body.whole(length), flags=["nsw"]), self.nest.extents[0])
        totals = [Total(body, r.op, self.dtype(r)) for r in self.nest.reductions]
        for t in totals:
            t.reset()
        self._gone(totals, {}, 0, begin, end)
        for r, t in zip(self.nest.reductions, totals, strict=True):
            if count == 1 or r.partial is None:
                self.store(r, t.result(), t.wide, {})
            else:
                place = b.gep(body.buffers[r.partial], [part], inbounds=True)
                self.s.store(t.result(), place, t.wide)

    def _least(self, a: Any, bound: int) -> Any:
        b = self.s.builder
        limit = self.body.whole(bound)
        return b.select(b.icmp_signed("<", a, limit), a, limit)

    def _gone(
        self, totals: list[Total], at: dict[int, Any], done: int, begin: Any, end: Any
    ) -> None:
        """The reduced loops, the innermost one in blocks."""
        body, b = self.body, self.s.builder
        k = self.gone[done]
        if done < len(self.gone) - 1:
            following = self.nest.extents[self.gone[done + 1]]
            with body.loop(begin, end, f"r{k}") as i:
                self._gone(totals, {**at, k: i}, done + 1, body.whole(0), body.whole(following))
            return
        length = b.sub(end, begin)
        rounded = b.add(length, body.whole(BLOCK - 1))
        with body.loop(body.whole(0), b.udiv(rounded, body.whole(BLOCK)), "block") as block:
            start = b.add(begin, b.mul(block, body.whole(BLOCK), flags=["nsw"]), flags=["nsw"])
            stop = b.add(start, body.whole(BLOCK), flags=["nsw"])
            stop = b.select(b.icmp_signed("<", stop, end), stop, end)
            parts = self._block(at, k, start, stop)
            for t, part in zip(totals, parts, strict=True):
                t.fold(part, t.dt)

    def _block(self, at: dict[int, Any], k: int, start: Any, stop: Any) -> list[Any]:
        """The innermost loop over a block: partial results, combined in any order."""
        b, s = self.s.builder, self.s
        body, nest = self.body, self.nest
        lanes = lanes_for(nest, k)
        kinds = [s.type_of(self.dtype(r)) for r in nest.reductions]
        parts = [body.variable(kind) for kind in kinds]

        def work() -> None:
            # Computed one by one, rare arguments are added in the lanes' order too.
            single = s.whole and lanes > 1
            held = [
                body.variable(kind, lanes) if single else body.variable(lane_type(kind, lanes))
                for kind in kinds
            ]
            origin = body.whole(0) if single else None
            with s.in_lanes(lanes):
                self._start(held, origin)

            def add(i: Any, values: list[Any]) -> None:
                lane = b.and_(b.sub(i, start), body.whole(lanes - 1)) if single else None
                for r, part in zip(nest.reductions, held, strict=True):
                    dt = self.dtype(r)
                    value = body.lanes.only(values[r.value], s.number(initial(r.op, dt), dt))
                    put(s, combine(s, r.op, dt, get(s, part, lane), value), part, lane)

            body.across(nest, k, start, stop, lambda i: self.indices({**at, k: i}), add)
            for r, wide, part in zip(nest.reductions, held, parts, strict=True):
                with s.in_lanes(lanes):
                    found = self._joined(r, get(s, wide, origin))
                b.store(found, part)

        self.body.twice(self.nest, work)
        return [b.load(part) for part in parts]

    def _joined(self, r: Reduction, x: Any) -> Any:
        """The lanes of a partial result as one."""
        return self.body.lanes.folded(x, lambda a, b: combine(self.s, r.op, self.dtype(r), a, b))

    def _start(self, parts: Sequence[Any], j: Any = None) -> None:
        """Let partial results be those of nothing."""
        for r, part in zip(self.nest.reductions, parts, strict=True):
            dt = self.dtype(r)
            put(self.s, self.s.number(initial(r.op, dt), dt), part, j)

    # ------------------------------------------------ many neighbouring results at once

    def _tile(self, at: dict[int, Any], tile: Any) -> None:
        """Reduce rows into neighbouring entries of the results, which are the innermost loop."""
        body, b = self.body, self.s.builder
        lane = self.kept[-1]
        start = b.mul(tile, body.whole(TILE), flags=["nsw"])
        rest = b.sub(body.whole(self.nest.extents[lane]), start)
        width = self._least(rest, TILE)
        totals = [Total(body, r.op, self.dtype(r), TILE) for r in self.nest.reductions]
        parts = [body.variable(self.s.type_of(self.dtype(r)), TILE) for r in self.nest.reductions]

        def clear(j: Any) -> None:
            for t in totals:
                t.reset(j)

        self._each(width, clear)
        self._rows({**at}, 0, lane, start, width, totals, parts)

        def finish(j: Any) -> None:
            place = {**at, lane: b.add(start, j, flags=["nsw"])}
            for r, t in zip(self.nest.reductions, totals, strict=True):
                out = body.kernel.dtypes[r.access.buffer]
                value = self.s.cast(t.result(j), t.wide, out)
                body.write(value, r.access, self.indices(place))

        self._each(width, finish, masked=True)

    def _rows(
        self, at: dict[int, Any], done: int, lane: int, start: Any, width: Any,
        totals: list[Total], parts: list[Any],
    ) -> None:  # fmt: skip
        """The reduced loops, the innermost one in blocks of rows."""
        body, b = self.body, self.s.builder
        k = self.gone[done]
        extent = self.nest.extents[k]
        if done < len(self.gone) - 1:
            with body.loop(body.whole(0), body.whole(extent), f"r{k}") as i:
                self._rows({**at, k: i}, done + 1, lane, start, width, totals, parts)
            return
        with body.loop(body.whole(0), body.whole(-(-extent // ROWS)), "block") as block:
            first = b.mul(block, body.whole(ROWS), flags=["nsw"])
            last = self._least(b.add(first, body.whole(ROWS), flags=["nsw"]), extent)

            def work() -> None:
                self._each(width, lambda j: self._start(parts, j))
                with body.loop(first, last, f"r{k}") as i:
                    self._add_row({**at, k: i}, lane, start, width, parts)

            body.twice(self.nest, work)
            self._each(width, lambda j: self._fold(totals, parts, j))

    def _each(self, width: Any, work: Callable[[Any], Any], masked: bool = False) -> None:
        """`work` for the entries of a tile, many at once.

        Those that are too many are computed too where it does no harm: inside the tile.
        """
        body, lane = self.body, self.kept[-1]
        lanes = lanes_for(self.nest, lane)

        def some(j: Any, partly: bool) -> None:
            if partly and masked:
                body.lanes.mask = body.lanes.mask_of(self.s.builder.sub(width, j))
            work(j)
            body.lanes.mask = None

        with body.vectors_along(lane, lanes):
            body.in_vectors(lanes, body.whole(0), width, True, some)

    def _add_row(
        self, at: dict[int, Any], lane: int, start: Any, width: Any, parts: list[Any]
    ) -> None:
        b, body = self.s.builder, self.body

        def indices(j: Any) -> list[Any]:
            return self.indices({**at, lane: b.add(start, j, flags=["nsw"])})

        def add(j: Any, values: list[Any]) -> None:
            for r, part in zip(self.nest.reductions, parts, strict=True):
                before = get(self.s, part, j)
                put(self.s, combine(self.s, r.op, self.dtype(r), before, values[r.value]), part, j)

        body.across(self.nest, lane, body.whole(0), width, indices, add)

    def _fold(self, totals: list[Total], parts: list[Any], j: Any) -> None:
        for t, part in zip(totals, parts, strict=True):
            t.fold(get(self.s, part, j), t.dt, j)


def write_finish(module: Any, kernel: Kernel) -> Any:
    """The function that combines the parts of a split reduction, in order; None if none is split.

    It has the kernel's parameters; `begin` and `end` do not matter.
    """
    if any(nest.over_rows for nest in kernel.nests):
        return _finish_sections(module, kernel)
    nest = kernel.nests[0]
    count, _ = nest.parts
    split = [r for r in nest.reductions if r.partial is not None]
    if count == 1 or not split:
        return None
    finish = Kernel(f"{kernel.name}_finish", kernel.dtypes, kernel.nests)
    body = Body(module, finish)
    s, b = body.scalars, body.builder
    reducing = Reducing(body, nest)
    for r in split:
        assert r.partial is not None
        dt = state_dtype(r.op, reducing.dtype(r))
        total = Total(body, r.op, dt)
        total.reset()
        with body.loop(body.whole(0), body.whole(count), "part") as part:
            place = b.gep(body.buffers[r.partial], [part], inbounds=True)
            total.fold(s.load(place, dt), dt)
        reducing.store(r, total.result(), total.wide, {})
    b.ret_void()
    return body.function


def _finish_sections(module: Any, kernel: Kernel) -> Any:
    """The function that combines the sections of reductions over shared rows."""
    from chainrule.compiler.rowsums import RowSums

    count, _ = sections_of(kernel.nests)
    if count == 1:
        return None
    body = Body(module, Kernel(f"{kernel.name}_finish", kernel.dtypes, kernel.nests))
    for nest in kernel.nests:
        if nest.over_rows:
            RowSums(body, nest).combine(count)
    body.builder.ret_void()
    return body.function
