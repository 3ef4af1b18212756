"""Reductions inside loop nests.

Sums of floating-point numbers are added in blocks: inside a block in any order, which is what lets
vectors hold partial sums; block sums are added in float64 for float32, and with the rounding error
carried along for float64 (Kahan, Neumaier; Higham, Accuracy and Stability of Numerical Algorithms,
2nd ed., section 4.3).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.jit.kernel import BLOCK, ROWS, TILE, Kernel, Nest, Reduction
from chainrule.jit.loops import Body
from chainrule.jit.lowering import OPERATIONS, Scalars

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


def combine(s: Scalars, op: str, dt: np.dtype[Any], a: Any, b: Any, free: bool = False) -> Any:
    """Two partial results as one; `free`: they may be combined in any order."""
    flags = ["reassoc"] if free else []
    if op == "sum":
        return s.builder.fadd(a, b, flags=flags) if dt.kind == "f" else s.builder.add(a, b)
    if op == "prod":
        return s.builder.fmul(a, b, flags=flags) if dt.kind == "f" else s.builder.mul(a, b)
    if op in ("any", "all"):
        return s.builder.or_(a, b) if op == "any" else s.builder.and_(a, b)
    if dt.kind == "f":
        return s.intrinsic("maximum" if op == "max" else "minimum", a, b)
    return OPERATIONS["maximum" if op == "max" else "minimum"](s, dt, a, b)


def state_dtype(op: str, dt: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype in which the results of blocks are combined."""
    return F8 if op == "sum" and dt.kind == "f" else dt


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
        b = self.s.builder
        b.store(self.s.number(initial(self.op, self.wide), self.wide), self._at(self.sum, j))
        if self.lost is not None:
            b.store(self.s.number(0, F8), self._at(self.lost, j))

    def _at(self, memory: Any, j: Any) -> Any:
        return memory if j is None else self.s.builder.gep(memory, [j], inbounds=True)

    def fold(self, part: Any, dt: np.dtype[Any], j: Any = None) -> None:
        """Add a partial result."""
        b, s = self.s.builder, self.s
        part = s.cast(part, dt, self.wide)
        place = self._at(self.sum, j)
        before = b.load(place)
        after = combine(s, self.op, self.wide, before, part)
        b.store(after, place)
        if self.lost is not None:
            # Knuth's two-sum: what the addition lost, exactly, whichever operand is larger.
            moved = b.fsub(after, before)
            error = b.fadd(b.fsub(before, b.fsub(after, moved)), b.fsub(part, moved))
            lost = self._at(self.lost, j)
            b.store(b.fadd(b.load(lost), error), lost)

    def result(self, j: Any = None) -> Any:
        """The result, in `wide`."""
        b = self.s.builder
        total = b.load(self._at(self.sum, j))
        if self.lost is None:
            return total
        lost = b.load(self._at(self.lost, j))
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
        totals = [Total(self.body, r.op, self.dtype(r)) for r in self.nest.reductions]
        for t in totals:
            t.reset()
        first = self.gone[0]
        self._gone(totals, at, 0, self.body.whole(0), self.body.whole(self.nest.extents[first]))
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
        parts = [self.body.variable(s.type_of(self.dtype(r))) for r in self.nest.reductions]

        def work() -> None:
            for r, part in zip(self.nest.reductions, parts, strict=True):
                b.store(s.number(initial(r.op, self.dtype(r)), self.dtype(r)), part)
            with self.body.loop(start, stop, f"r{k}") as i:
                values = self.body.run(self.nest, self.indices({**at, k: i}))
                for r, part in zip(self.nest.reductions, parts, strict=True):
                    dt = self.dtype(r)
                    made = combine(s, r.op, dt, b.load(part), values[r.value], free=True)
                    b.store(made, part)

        self.body.twice(self.nest, work)
        return [b.load(part) for part in parts]

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
        with body.loop(body.whole(0), width, "j") as j:
            for t in totals:
                t.reset(j)
        self._rows({**at}, 0, lane, start, width, totals, parts)
        with body.loop(body.whole(0), width, "j") as j:
            place = {**at, lane: b.add(start, j, flags=["nsw"])}
            for r, t in zip(self.nest.reductions, totals, strict=True):
                self.store(r, t.result(j), t.wide, place)

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
                self._each(width, lambda j: self._clear(parts, j))
                with body.loop(first, last, f"r{k}") as i:
                    row = {**at, k: i}
                    self._each(width, lambda j: self._add_row(row, lane, start, j, parts))

            body.twice(self.nest, work)
            self._each(width, lambda j: self._fold(totals, parts, j))

    def _each(self, width: Any, work: Callable[[Any], None]) -> None:
        with self.body.loop(self.body.whole(0), width, "j") as j:
            work(j)

    def _clear(self, parts: list[Any], j: Any) -> None:
        for r, part in zip(self.nest.reductions, parts, strict=True):
            dt = self.dtype(r)
            empty = self.s.number(initial(r.op, dt), dt)
            self.s.builder.store(empty, self.s.builder.gep(part, [j], inbounds=True))

    def _add_row(self, at: dict[int, Any], lane: int, start: Any, j: Any, parts: list[Any]) -> None:
        b = self.s.builder
        place = b.add(start, j, flags=["nsw"])
        values = self.body.run(self.nest, self.indices({**at, lane: place}))
        for r, part in zip(self.nest.reductions, parts, strict=True):
            at_j = b.gep(part, [j], inbounds=True)
            made = combine(self.s, r.op, self.dtype(r), b.load(at_j), values[r.value])
            b.store(made, at_j)

    def _fold(self, totals: list[Total], parts: list[Any], j: Any) -> None:
        b = self.s.builder
        for t, part in zip(totals, parts, strict=True):
            t.fold(b.load(b.gep(part, [j], inbounds=True)), t.dt, j)


def write_finish(module: Any, kernel: Kernel) -> Any:
    """The function that combines the parts of a split reduction, in order; None if none is split.

    It has the kernel's parameters; `begin` and `end` do not matter.
    """
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
        dt = state_dtype(r.op, reducing.dtype(r))
        total = Total(body, r.op, dt)
        total.reset()
        with body.loop(body.whole(0), body.whole(count), "part") as part:
            place = b.gep(body.buffers[r.partial], [part], inbounds=True)
            total.fold(s.load(place, dt), dt)
        reducing.store(r, total.result(), total.wide, {})
    b.ret_void()
    return body.function
