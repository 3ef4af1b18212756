"""Products of matrices in compiled code, tile by tile (`blocking.py`, `tiles.py`)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.compiler.blocking import Blocking, Part
from chainrule.compiler.buffers import ALIGNMENT
from chainrule.compiler.gemm import without_denormals
from chainrule.compiler.llvm import llvm_ir
from chainrule.compiler.loops import counted
from chainrule.compiler.tiles import Tiles


def write_part(module: Any, part: Part, dtype: np.dtype[Any]) -> Any:
    """The function of one of a product's steps: pointers, begin, end.

    It is added to a module, unless an equal product has added it.
    """
    numbers = re.findall(r"-?\d+", str(part.blocking))
    name = ".".join(["product", dtype.name, "copies" if part.copies else "tiles", *numbers])
    found = module.globals.get(name)
    if found is not None:
        return found
    product = Product(module, name, part.blocking, dtype)
    return product.copies() if part.copies else product.tiled()


class Product:
    """Writes the functions of one product.

    Args:
        module: to which they are added.
        name: of the product.
        blocking: how it is divided.
        dtype: float32 or float64.
    """

    def __init__(self, module: Any, name: str, blocking: Blocking, dtype: np.dtype[Any]) -> None:
        self.ir = ir = llvm_ir()
        self.module, self.name = module, name
        self.plan, self.dtype = blocking, dtype
        self.tiles = Tiles(module, dtype)
        self.size = ir.IntType(64)
        self.pointer = self.tiles.pointer
        self.builder: Any = None

    # ------------------------------------------------ numbers and places

    def _number(self, x: Any) -> Any:
        return self.size(x) if isinstance(x, int) else x

    def _sum(self, x: Any, *terms: tuple[Any, Any]) -> Any:
        """x + Σ y·z, of numbers and constants."""
        b, found = self.builder, self._number(x)
        for y, z in terms:
            if (isinstance(z, int) and z == 0) or (isinstance(y, int) and y == 0):
                continue
            y, z = self._number(y), self._number(z)
            found = b.add(found, b.mul(y, z, flags=["nsw"]), flags=["nsw"])
        return found

    def _least(self, x: Any, y: Any) -> Any:
        b, x, y = self.builder, self._number(x), self._number(y)
        return b.select(b.icmp_signed("<", x, y), x, y)

    def _at(self, pointer: Any, place: Any) -> Any:
        return self.builder.gep(pointer, [place], inbounds=True)

    def _row(self, block: Any) -> Any:
        """The first row of a block."""
        plan = self.plan
        return self._sum(self._least(block, plan.tall), (block, plan.rows - 1))

    def _entry(self, index: Any) -> list[Any]:
        """Where the matrices of an entry of the batch begin in A, B and C."""
        b, gemm = self.builder, self.plan.gemm
        found = [self.size(o) for o in (*gemm.offsets, 0)]
        for extent, *steps in reversed(gemm.loops):
            i = b.urem(index, self.size(extent))
            index = b.udiv(index, self.size(extent))
            found = [self._sum(f, (i, s)) for f, s in zip(found, steps, strict=True)]
        return found

    def _copied(self, index: Any, row: Any, first: Any, terms: Any) -> Any:
        """Where the copy of A's rows from one on begins, of a stretch of terms."""
        plan = self.plan
        m = plan.gemm.extents[0]
        size = plan.copied // plan.count
        if plan.by_rows:
            stretch = self.builder.udiv(first, self.size(plan.terms))
            return self._sum(0, (index, size), (stretch, m * plan.far), (row, plan.far))
        return self._sum(0, (index, size), (first, m), (row, terms))

    def _function(self, pointers: int) -> list[Any]:
        """A new function of pointers, begin and end; its arguments."""
        ir = self.ir
        kinds = [self.pointer] * pointers + [self.size] * 2
        made = ir.Function(self.module, ir.FunctionType(ir.VoidType(), kinds), self.name)
        made.linkage = "internal"
        made.attributes.add("noinline")
        made.attributes.add("nounwind")
        self.builder = ir.IRBuilder(made.append_basic_block("entry"))
        return list(made.args)

    def _stretches(self, each: Callable[[Any, Any], None]) -> None:
        """`each(first term, how many)` for all stretches."""
        k, terms = self.plan.gemm.extents[2], self.plan.terms
        with counted(self.builder, self.size(0), self.size(k), "stretch", terms) as first:
            each(first, self._least(terms, self.builder.sub(self.size(k), first)))

    # ------------------------------------------------ copies of A

    def copies(self) -> Any:
        """`copies(a, copied, begin, end)`: blocks of A, of the whole batch, copied."""
        plan, b_rows = self.plan, self.tiles.rows()
        a, copied, begin, end = self._function(2)
        b, size = self.builder, self.size
        rs, cs = plan.gemm.left
        with counted(b, begin, end, "block") as place:
            index = b.udiv(place, size(plan.blocks))
            block = b.urem(place, size(plan.blocks))
            row = self._row(block)
            rows = b.sub(self._row(b.add(block, size(1))), row)
            start = self._entry(index)[0]

            def stretch(first: Any, terms: Any) -> None:
                source = self._at(a, self._sum(start, (row, rs), (first, cs)))
                target = self._at(copied, self._copied(index, row, first, terms))
                if plan.by_rows:
                    given = [size(rs), target, size(plan.far), rows, terms]
                else:
                    given = [size(cs), target, rows, terms, rows]
                b.call(b_rows, [source, *given, size(0)])

            self._stretches(stretch)
        b.ret_void()
        return b.function

    # ------------------------------------------------ the product

    def tiled(self) -> Any:
        """`tiled(copied, b, c, begin, end)`: some of the tasks."""
        plan = self.plan
        copied, right, out, begin, end = self._function(3)
        b, size = self.builder, self.size
        memory = self._memory(copied, right, out)
        downs, across = plan.grid
        blocks, panels = plan.task
        with without_denormals(b, self.dtype), counted(b, begin, end, "task") as task:
            index = b.udiv(task, size(downs * across))
            task = b.urem(task, size(downs * across))
            low = b.mul(b.udiv(task, size(across)), size(blocks))
            left = b.mul(b.urem(task, size(across)), size(panels))
            high = self._least(plan.blocks, b.add(low, size(blocks)))
            right_end = self._least(plan.panels, b.add(left, size(panels)))
            starts = self._entry(index)

            def stretch(first: Any, terms: Any) -> None:
                with counted(b, left, right_end, "panel") as panel:
                    column = b.mul(panel, size(plan.tile.columns))
                    at = _Place(index, starts, first, terms, column, low, high)
                    self._panel(memory, at, panel)

            self._stretches(stretch)
        b.ret_void()
        return b.function

    def _memory(self, copied: Any, right: Any, out: Any) -> _Memory:
        """The buffers, and memory of the function's own: where it begins."""
        b, plan = self.builder, self.plan
        room = -(-plan.terms // plan.tile.lanes) * plan.tile.lanes
        own = []
        for rows in (room, plan.rows, 1):
            own.append(b.alloca(self.tiles.number, rows * plan.tile.columns))
            own[-1].align = ALIGNMENT
        for v in range(plan.tile.vectors):
            self.tiles.clear(b, self._at(own[-1], self.size(v * plan.tile.lanes)))
        return _Memory(copied, right, out, *own)

    def _panel(self, memory: _Memory, at: _Place, panel: Any) -> None:
        """A stretch of terms of one panel, which may be the last one, and narrower."""
        b, plan = self.builder, self.plan
        if plan.panels == 1 or not plan.left_over:
            self._columns(memory, at, plan.left_over or plan.tile.columns)
            return
        last = b.icmp_signed("==", panel, self.size(plan.panels - 1))
        with b.if_else(last) as (narrower, whole):
            with narrower:
                self._columns(memory, at, plan.left_over)
            with whole:
                self._columns(memory, at, plan.tile.columns)

    def _columns(self, memory: _Memory, at: _Place, width: int) -> None:
        """A stretch of terms of a panel: copied, then multiplied by every block of rows."""
        b, size, plan = self.builder, self.size, self.plan
        ls, ns = plan.gemm.right
        vectors = -(-width // plan.tile.lanes)
        source = self._at(memory.right, self._sum(at.starts[1], (at.first, ls), (at.column, ns)))
        given = [source, size(ns if plan.turned else ls), memory.panel, at.terms, size(width)]
        if plan.turned:
            b.call(self.tiles.turned(), [*given, size(vectors * plan.tile.lanes)])
        else:
            b.call(self.tiles.panel(vectors), given)
        tall = size(plan.tall)
        ranges = [(plan.rows, at.low, self._least(at.high, tall))]
        if plan.tall < plan.blocks:
            begin = b.select(b.icmp_signed(">", at.low, tall), at.low, tall)
            ranges.append((plan.rows - 1, begin, at.high))
        for rows, begin, end in ranges:
            with counted(b, begin, end, "block") as block:
                self._tile(memory, at, block, rows, width)

    def _tile(self, memory: _Memory, at: _Place, block: Any, rows: int, width: int) -> None:
        """One tile: C = the sum of the first stretch, or C plus that of a later one."""
        b, size, plan = self.builder, self.size, self.plan
        row = self._row(block)
        a = self._at(memory.copied, self._copied(at.index, row, at.first, at.terms))
        distance = size(plan.gemm.out[0])
        c = self._at(memory.out, self._sum(at.starts[2], (row, distance), (at.column, 1)))
        more = b.icmp_signed("!=", at.first, size(0))
        vectors = -(-width // plan.tile.lanes)
        far, step = (plan.far, 1) if plan.by_rows else (1, rows)
        tile, left = self.tiles.tile(rows, vectors), [a, size(far), size(step), memory.panel]
        if width % plan.tile.lanes == 0:
            before = b.select(more, c, memory.zeros)
            apart = b.select(more, distance, size(0))
            b.call(tile, [*left, c, distance, before, apart, at.terms])
            return
        wide = size(vectors * plan.tile.lanes)
        b.call(tile, [*left, memory.spare, wide, memory.zeros, size(0), at.terms])
        given = [memory.spare, wide, c, distance, size(rows), size(width), b.zext(more, size)]
        b.call(self.tiles.rows(), given)


@dataclass(frozen=True)
class _Memory:
    """Pointers: the copies of A, B and C; a panel, a tile that hangs over C's edge, and zeros."""

    copied: Any
    right: Any
    out: Any
    panel: Any
    spare: Any
    zeros: Any


@dataclass(frozen=True)
class _Place:
    """Where in the product the code stands.

    Attributes:
        index, starts: of the product in the batch, and where its A, B and C begin.
        first, terms: of the stretch.
        column: the first one of the panel.
        low, high: the blocks of rows.
    """

    index: Any
    starts: list[Any]
    first: Any
    terms: Any
    column: Any
    low: Any
    high: Any
