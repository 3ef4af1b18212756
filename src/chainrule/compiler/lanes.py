"""Vectors of neighbouring entries: how they are loaded and stored, and sums of their lanes.

A vector has any power of two of lanes; LLVM divides those that are wider than a register, so that
several computations are under way at once. The entries that a loop has left over after its last
whole vector are a vector under a mask.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule.compiler.kernel import Nest
from chainrule.compiler.llvm import host
from chainrule.compiler.lowering import Dtype, Scalars, cost_of
from chainrule.compiler.staging import is_serial
from chainrule.compiler.vectors import lane_type, suffix

MOST = 64  # lanes of one vector
NARROWEST = 16  # bytes of a register: masked loads and stores of less are made wider


def lanes_for(nest: Nest, loop: int) -> int:
    """How many neighbouring iterations of a loop are computed at once.

    The widest entries fill a register. Short code takes several of them, which hides how long each
    instruction takes, and a short loop no more than it has.
    """
    if is_serial(nest, loop):
        return 1
    loads = [c.dtype.itemsize for c in nest.code if c.op == "load"]
    widest = max(loads or [c.dtype.itemsize for c in nest.code if c.op != "number"], default=8)
    cost = sum(cost_of(c.op, c.dtype) for c in nest.code)
    several = 4 if cost <= SHORT else 2 if cost <= MEDIUM else 1
    lanes = min(MOST, several * host().vector_bits // (8 * widest))
    while lanes // 2 >= nest.extents[loop]:
        lanes //= 2
    return lanes


SHORT, MEDIUM = 64, 240  # instructions of code that is computed for several registers at once


class Lanes:
    """Loads and stores of vectors, where a `Scalars` stands.

    Attributes:
        mask: which lanes there are; None if all.
    """

    def __init__(self, scalars: Scalars) -> None:
        self.s = scalars
        self.ir = scalars.ir
        self.mask: Any = None

    @property
    def count(self) -> int:
        return self.s.lanes

    def spread(self, x: Any) -> Any:
        """One number in all lanes."""
        ir, b = self.ir, self.s.builder
        kind = ir.VectorType(x.type, self.count)
        first = b.insert_element(ir.Constant(kind, ir.Undefined), x, ir.IntType(32)(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), self.count), None)
        return b.shuffle_vector(first, ir.Constant(kind, ir.Undefined), zeros)

    def steps(self, stride: int) -> Any:
        """0, stride, 2 stride, ... in the lanes, as integers of 64 bits."""
        ir = self.ir
        return ir.Constant(
            ir.VectorType(ir.IntType(64), self.count), [stride * k for k in range(self.count)]
        )

    def mask_of(self, left: Any) -> Any:
        """The first lanes, as many as there are entries left, or all; one at least."""
        ir, b = self.ir, self.s.builder
        whole = ir.IntType(64)(self.count)
        used = b.select(b.icmp_signed("<", left, whole), left, whole)
        bits = ir.IntType(self.count)
        unused = b.sub(whole, used)
        unused = b.trunc(unused, bits) if self.count < 64 else unused
        return b.bitcast(b.lshr(bits(-1), unused), ir.VectorType(ir.IntType(1), self.count))

    def any(self, x: Any) -> Any:
        """Whether any lane is set."""
        bits = self.ir.IntType(self.count)
        return self.s.builder.icmp_unsigned("!=", self.s.builder.bitcast(x, bits), bits(0))

    def only(self, x: Any, otherwise: Any) -> Any:
        """The lanes that there are, and another value in those that there are not."""
        return x if self.mask is None else self.s.builder.select(self.mask, x, otherwise)

    def load(self, pointer: Any, stride: int, dt: Dtype) -> Any:
        """Entries that stand `stride` apart, the first one at a pointer."""
        s, b = self.s, self.s.builder
        memory = lane_type(s.memory_type(dt), self.count)
        if stride != 1:
            first = self.spread(b.ptrtoint(pointer, self.ir.IntType(64)))
            return self.load_at(b.add(first, self.steps(stride * dt.itemsize)), dt)
        found = self._masked("load", memory, b.bitcast(pointer, memory.as_pointer()), dt)
        return b.icmp_unsigned("!=", found, memory(0)) if dt.kind == "b" else found

    def load_at(self, places: Any, dt: Dtype) -> Any:
        """Entries at addresses, given as integers."""
        ir, s, b = self.ir, self.s, self.s.builder
        memory = lane_type(s.memory_type(dt), self.count)
        pointers = b.inttoptr(places, ir.VectorType(ir.IntType(8).as_pointer(), self.count))
        found = self._masked("gather", memory, pointers, dt)
        return b.icmp_unsigned("!=", found, memory(0)) if dt.kind == "b" else found

    def store(self, value: Any, pointer: Any, stride: int, dt: Dtype) -> None:
        """Write entries that stand `stride` apart."""
        s, b = self.s, self.s.builder
        memory = lane_type(s.memory_type(dt), self.count)
        if dt.kind == "b":
            value = b.zext(value, memory)
        if stride == 1:
            place = b.bitcast(pointer, memory.as_pointer())
            if self.mask is None:
                b.store(value, place, align=dt.itemsize)
            else:
                self._masked("store", memory, place, dt, value)
        else:
            self._masked("scatter", memory, self._pointers(pointer, stride, dt), dt, value)

    def _pointers(self, pointer: Any, stride: int, dt: Dtype) -> Any:
        ir, b = self.ir, self.s.builder
        first = self.spread(b.ptrtoint(pointer, ir.IntType(64)))
        places = b.add(first, self.steps(stride * dt.itemsize))
        return b.inttoptr(places, ir.VectorType(ir.IntType(8).as_pointer(), self.count))

    def _masked(self, what: str, memory: Any, place: Any, dt: Dtype, value: Any = None) -> Any:
        """One of the intrinsics for part of a vector."""
        ir, b = self.ir, self.s.builder
        if self.mask is None:
            if what == "load":
                return b.load(place, align=dt.itemsize)
            mask = ir.Constant(ir.VectorType(ir.IntType(1), self.count), [1] * self.count)
        elif what in ("load", "store") and self.count * dt.itemsize < NARROWEST:
            return self._in_wider(what, place, dt, value)
        else:
            mask = self.mask
        return self._intrinsic(what, memory, place, dt, mask, value)

    def _in_wider(self, what: str, place: Any, dt: Dtype, value: Any) -> Any:
        """A masked load or store of less than a register, as one of a register.

        LLVM widens it, too, but relies on the mask's register being 0 beyond the lanes, and forgets
        to clear it where registers are spilled: then entries are written that are not there.
        """
        ir, b = self.ir, self.s.builder
        n = NARROWEST // dt.itemsize
        flags = b.zext(b.bitcast(self.mask, ir.IntType(self.count)), ir.IntType(n))
        mask = b.bitcast(flags, ir.VectorType(ir.IntType(1), n))
        memory = lane_type(self.s.memory_type(dt), n)
        place = b.bitcast(place, memory.as_pointer())
        if value is not None:
            value = self._first(value, self.count, n)
        found = self._intrinsic(what, memory, place, dt, mask, value)
        return found if value is not None else self._first(found, n, self.count)

    def _first(self, x: Any, count: int, wanted: int) -> Any:
        """The first lanes of a vector; beyond its lanes, any of them."""
        kind = self.ir.VectorType(self.ir.IntType(32), wanted)
        lanes = self.ir.Constant(kind, [k % count for k in range(wanted)])
        return self.s.builder.shuffle_vector(x, x, lanes)

    def _intrinsic(
        self, what: str, memory: Any, place: Any, dt: Dtype, mask: Any, value: Any
    ) -> Any:
        ir, b = self.ir, self.s.builder
        address = f"v{self.count}p0" if what in ("gather", "scatter") else "p0"
        name = f"llvm.masked.{what}.{suffix(memory)}.{address}"
        align = ir.IntType(32)(dt.itemsize)
        given = [place, align, mask, memory(None)]
        result = memory
        if value is not None:
            given, result = [value, place, align, mask], ir.VoidType()
        module = b.module
        function = module.globals.get(name)
        if function is None:
            kind = ir.FunctionType(result, [x.type for x in given])
            function = ir.Function(module, kind, name)
        return b.call(function, given)

    def folded(self, x: Any, combine: Callable[[Any, Any], Any]) -> Any:
        """The lanes combined into one: halves, then halves of those."""
        ir, b, left = self.ir, self.s.builder, self.count
        while left > 1:
            left //= 2
            kind = ir.VectorType(ir.IntType(32), left)
            low = ir.Constant(kind, list(range(left)))
            high = ir.Constant(kind, list(range(left, 2 * left)))
            x = combine(b.shuffle_vector(x, x, low), b.shuffle_vector(x, x, high))
        return x if self.count == 1 else b.extract_element(x, ir.IntType(32)(0))
