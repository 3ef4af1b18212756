"""Tiles: the innermost loops of matrix products, and the copies that they read from.

A **tile** is a block of the result that stays in vector registers while a sum goes on: rows ×
vectors of neighbouring columns. Each step of the sum loads the vectors of the right operand, and
multiplies them by one entry of each row of the left one, which is spread over all lanes. The right
operand's columns of a tile, a **panel**, are copied so that a step reads neighbours; the left one's
rows are copied either as they are, or column by column, whichever needs no transposition.

The scheme is Goto's and van de Geijn's, "Anatomy of High-Performance Matrix Multiplication", ACM
TOMS 34, 2008, with the tile as in Van Zee and van de Geijn, "BLIS", ACM TOMS 41, 2015.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.compiler.llvm import host, llvm_ir
from chainrule.compiler.loops import counted
from chainrule.compiler.vectors import suffix


@dataclass(frozen=True)
class Tile:
    """Of the largest tile: rows, vectors, and the entries of a vector."""

    rows: int
    vectors: int
    lanes: int

    @property
    def columns(self) -> int:
        return self.vectors * self.lanes


def tile_for(dtype: np.dtype[Any]) -> Tile:
    """The largest tile that leaves registers for a row of vectors and a number.

    Of 8 × 3, each step loads 3 vectors and 8 numbers for 24 multiplications; many sizes are
    multiples of 8.
    """
    lanes = host().vector_bits // (8 * dtype.itemsize)
    return Tile(8, 3, lanes) if host().vector_registers == 32 else Tile(6, 2, lanes)


class Tiles:
    """Functions of a module for products of one dtype, each written when it is first asked for.

    Args:
        module: to which they are added.
        dtype: float32 or float64.
    """

    def __init__(self, module: Any, dtype: np.dtype[Any]) -> None:
        self.ir = ir = llvm_ir()
        self.module = module
        self.dtype = dtype
        self.largest = tile_for(dtype)
        self.lanes = self.largest.lanes
        self.number = ir.FloatType() if dtype.itemsize == 4 else ir.DoubleType()
        self.vector = ir.VectorType(self.number, self.lanes)
        self.pointer = self.number.as_pointer()
        self.size = ir.IntType(64)

    def _function(self, name: str, kinds: list[Any]) -> tuple[Any, bool]:
        """A function by name, and whether it is new."""
        name = f"product.{self.dtype.name}.{name}"
        found = self.module.globals.get(name)
        if found is not None:
            return found, False
        ir = self.ir
        made = ir.Function(self.module, ir.FunctionType(ir.VoidType(), kinds), name)
        made.linkage = "internal"
        made.attributes.add("noinline")
        made.attributes.add("nounwind")
        return made, True

    def _intrinsic(self, name: str, result: Any, kinds: list[Any]) -> Any:
        ir = self.ir
        found = self.module.globals.get(name)
        return found or ir.Function(self.module, ir.FunctionType(result, kinds), name)

    # ------------------------------------------------ vectors

    def _load(self, b: Any, pointer: Any) -> Any:
        return b.load(b.bitcast(pointer, self.vector.as_pointer()), align=self.dtype.itemsize)

    def _store(self, b: Any, value: Any, pointer: Any) -> None:
        b.store(value, b.bitcast(pointer, self.vector.as_pointer()), align=self.dtype.itemsize)

    def clear(self, b: Any, pointer: Any) -> None:
        """Zeros in the place of a vector."""
        self._store(b, self.vector(None), pointer)

    def _mask(self, b: Any, left: Any) -> Any:
        """The first lanes, as many as there are entries left: none, some, or all."""
        ir, size = self.ir, self.size
        kind = ir.VectorType(size, self.lanes)
        steps = ir.Constant(kind, list(range(self.lanes)))
        return b.icmp_signed("<", steps, self._spread(b, left))

    def _spread(self, b: Any, x: Any) -> Any:
        """One number in all lanes."""
        ir = self.ir
        kind = ir.VectorType(x.type, self.lanes)
        first = b.insert_element(ir.Constant(kind, ir.Undefined), x, ir.IntType(32)(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), None)
        return b.shuffle_vector(first, ir.Constant(kind, ir.Undefined), zeros)

    def _masked_load(self, b: Any, pointer: Any, mask: Any) -> Any:
        """Some lanes of a vector, 0 in the others."""
        ir = self.ir
        word, place = ir.IntType(32), b.bitcast(pointer, self.vector.as_pointer())
        given = [place, word(self.dtype.itemsize), mask, self.vector(None)]
        name = f"llvm.masked.load.{suffix(self.vector)}.p0"
        return b.call(self._intrinsic(name, self.vector, [x.type for x in given]), given)

    def _masked_store(self, b: Any, value: Any, pointer: Any, mask: Any) -> None:
        ir = self.ir
        word, place = ir.IntType(32), b.bitcast(pointer, self.vector.as_pointer())
        given = [value, place, word(self.dtype.itemsize), mask]
        name = f"llvm.masked.store.{suffix(self.vector)}.p0"
        b.call(self._intrinsic(name, ir.VoidType(), [x.type for x in given]), given)

    def _multiply_add(self, b: Any, x: Any, y: Any, z: Any) -> Any:
        """x·y + z, rounded once where that is an instruction."""
        if not host().has_fma:
            return b.fadd(b.fmul(x, y), z)
        name = f"llvm.fma.{suffix(self.vector)}"
        return b.call(self._intrinsic(name, self.vector, [self.vector] * 3), [x, y, z])

    # ------------------------------------------------ the tile

    def tile(self, rows: int, vectors: int) -> Any:
        """`tile(a, far, step, b, c, distance, before, its distance, count)`: c = before + Σ a·b.

        Args:
            rows, vectors: of the tile.

        In a, `far` is from one row to the next, and `step` from one term of the sum to the next;
        in b it is the panel's width.
        """
        size, pointer = self.size, self.pointer
        kinds = [pointer, size, size, pointer, pointer, size, pointer, size, size]
        function, new = self._function(f"tile.{rows}x{vectors}", kinds)
        if not new:
            return function
        a, far, step, right, c, distance, before, apart, count = function.args
        b = self.ir.IRBuilder(function.append_basic_block("entry"))
        zeros = [self.vector(None)] * (rows * vectors)
        with self._while(b, count, [a, right, *zeros]) as ((pa, pb, *sums), then):
            columns = [self._load(b, self._on(b, pb, v * self.lanes)) for v in range(vectors)]
            place = pa
            for i in range(rows):
                x = self._spread(b, b.load(place))
                for k, y in enumerate(columns, i * vectors):
                    sums[k] = self._multiply_add(b, x, y, sums[k])
                place = b.gep(place, [far], inbounds=True)
            pa = b.gep(pa, [step], inbounds=True)
            then += [pa, self._on(b, pb, vectors * self.lanes), *sums]
        for i in range(rows):
            for v in range(vectors):
                old = self._load(b, self._on(b, before, v * self.lanes))
                new_ = b.fadd(old, sums[i * vectors + v])
                self._store(b, new_, self._on(b, c, v * self.lanes))
            c, before = (b.gep(p, [d], inbounds=True) for p, d in ((c, distance), (before, apart)))
        b.ret_void()
        return function

    @contextmanager
    def _while(self, b: Any, count: Any, start: list[Any]) -> Iterator[tuple[list[Any], list[Any]]]:
        """So many times, at least once, a loop that carries values.

        Yields the values and a list to be given what they are next.
        """
        before, body = b.block, b.append_basic_block("body")
        b.branch(body)
        b.position_at_end(body)
        left, *carried = phis = [b.phi(x.type) for x in (count, *start)]
        then: list[Any] = []
        yield carried, then
        after = b.sub(left, self.size(1))
        for phi, x, y in zip(phis, (count, *start), (after, *then), strict=True):
            phi.add_incoming(x, before)
            phi.add_incoming(y, b.block)
        done = b.append_basic_block("done")
        b.cbranch(b.icmp_signed(">", after, self.size(0)), body, done)
        b.position_at_end(done)

    def _on(self, b: Any, pointer: Any, entries: int) -> Any:
        return b.gep(pointer, [self.size(entries)], inbounds=True)

    # ------------------------------------------------ copies

    def rows(self) -> Any:
        """`rows(from, distance, to, distance, count, width, add)`: rows copied, or added."""
        size, pointer = self.size, self.pointer
        function, new = self._function("rows", [pointer, size, pointer, size, size, size, size])
        if not new:
            return function
        source, far, target, apart, count, width, add = function.args
        b = self.ir.IRBuilder(function.append_basic_block("entry"))

        def pass_over(adding: bool) -> None:
            with counted(b, size(0), count, "row") as i:
                here = b.gep(source, [b.mul(i, far)], inbounds=True)
                there = b.gep(target, [b.mul(i, apart)], inbounds=True)
                with counted(b, size(0), width, "vector", self.lanes) as j:
                    mask = self._mask(b, b.sub(width, j))
                    x = self._masked_load(b, b.gep(here, [j], inbounds=True), mask)
                    to = b.gep(there, [j], inbounds=True)
                    if adding:
                        x = b.fadd(self._masked_load(b, to, mask), x)
                    self._masked_store(b, x, to, mask)

        with b.if_else(b.icmp_signed("!=", add, size(0))) as (more, first):
            with more:
                pass_over(True)
            with first:
                pass_over(False)
        b.ret_void()
        return function

    def panel(self, vectors: int) -> Any:
        """`panel(from, distance, to, count, width)`: rows of a panel, filled up with zeros."""
        size, pointer = self.size, self.pointer
        function, new = self._function(f"panel.{vectors}", [pointer, size, pointer, size, size])
        if not new:
            return function
        source, far, target, count, width = function.args
        b = self.ir.IRBuilder(function.append_basic_block("entry"))
        masks = [self._mask(b, b.sub(width, size(v * self.lanes))) for v in range(vectors)]
        with counted(b, size(0), count, "row") as i:
            here = b.gep(source, [b.mul(i, far)], inbounds=True)
            there = b.gep(target, [b.mul(i, size(vectors * self.lanes))], inbounds=True)
            for v, mask in enumerate(masks):
                at = [size(v * self.lanes)]
                x = self._masked_load(b, b.gep(here, at, inbounds=True), mask)
                self._store(b, x, b.gep(there, at, inbounds=True))
        b.ret_void()
        return function

    def turned(self) -> Any:
        """`turned(from, distance, to, count, width, columns)`: as `panel`, from columns in a row.

        The target has room for a whole number of vectors of terms. Columns that there are not
        repeat the last one.
        """
        size, pointer = self.size, self.pointer
        function, new = self._function("turned", [pointer, size, pointer] + [size] * 3)
        if not new:
            return function
        source, far, target, count, width, columns = function.args
        b = self.ir.IRBuilder(function.append_basic_block("entry"))
        last = b.sub(width, size(1))
        with counted(b, size(0), count, "term", self.lanes) as i:
            mask = self._mask(b, b.sub(count, i))
            with counted(b, size(0), columns, "column", self.lanes) as j:
                found = []
                for t in range(self.lanes):
                    column = b.add(j, size(t))
                    column = b.select(b.icmp_signed("<", column, last), column, last)
                    at = b.gep(source, [b.add(b.mul(column, far), i)], inbounds=True)
                    found.append(self._masked_load(b, at, mask))
                for t, x in enumerate(self._transposed(b, found)):
                    row = b.mul(b.add(i, size(t)), columns)
                    self._store(b, x, b.gep(target, [b.add(row, j)], inbounds=True))
        b.ret_void()
        return function

    def _transposed(self, b: Any, rows: list[Any]) -> list[Any]:
        """A square of vectors, turned.

        Row i meets row i + L/2, and their entries alternate: the bits of (row, lane), seen as one
        number, rotate by one place. After as many rounds as the lane has bits, rows are lanes.
        """
        ir, half = self.ir, self.lanes // 2
        kind = ir.VectorType(ir.IntType(32), self.lanes)
        low, high = (
            ir.Constant(kind, [start + t // 2 + t % 2 * self.lanes for t in range(self.lanes)])
            for start in (0, half)
        )
        for _ in range(self.lanes.bit_length() - 1):
            pairs = [(rows[i], rows[i + half]) for i in range(half)]
            rows = [b.shuffle_vector(x, y, order) for x, y in pairs for order in (low, high)]
        return rows
