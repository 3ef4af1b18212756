"""Instructions of AVX-512 that LLVM has no general name for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..llvm import llvm_ir
from .emitter import Emitter, Value
from .tables import TABLES

BITS = 512  # of a register
NEAREST = 4  # the rounding that is in force


def lookup(e: Emitter, name: str, place: Value) -> Value:
    """The entries of a table, which fills one or two registers, at the low bits of integers."""
    ir = llvm_ir()
    numbers = TABLES[name][e.kind]
    count = BITS // e.format.bits
    kind = ir.VectorType(_element(e.real), count)
    rows = [ir.Constant(kind, list(numbers[i : i + count])) for i in range(0, len(numbers), count)]
    double = e.format.bits == 64

    def read(places: Any) -> Any:
        if len(rows) == 1:
            name = "permvar.df" if double else "permvar.sf"
            return _instruction(e, name, kind, [rows[0], places])
        name = "vpermi2var.pd" if double else "vpermi2var.ps"
        return _instruction(e, name, kind, [rows[0], places, rows[1]])

    return _by_registers(e, read, place)


def scale_by(e: Emitter, x: Value, k: Value) -> Value:
    """x * 2^floor(k) for a real number k, rounded once."""
    ir = llvm_ir()
    name = "mask.scalef.pd" if e.format.bits == 64 else "mask.scalef.ps"
    all_lanes, rounding = ir.IntType(BITS // e.format.bits)(-1), ir.IntType(32)(NEAREST)

    def scaled(x: Any, k: Any) -> Any:
        return _instruction(e, name, x.type, [x, k, x, all_lanes, rounding])

    return _by_registers(e, scaled, x, k)


def _element(type_: Any) -> Any:
    return getattr(type_, "element", type_)


def _instruction(e: Emitter, name: str, result: Any, given: list[Any]) -> Any:
    ir, module = llvm_ir(), e.builder.module
    full = f"llvm.x86.avx512.{name}.{BITS}"
    if full not in module.globals:
        ir.Function(module, ir.FunctionType(result, [a.type for a in given]), full)
    return e.builder.call(module.globals[full], given)


def _by_registers(e: Emitter, operation: Callable[..., Any], *values: Value) -> Value:
    """An operation on whole registers, on vectors that are several of them, or part of one."""
    ir, b = llvm_ir(), e.builder
    count = BITS // e.format.bits

    def chosen(a: Any, c: Any, places: list[int]) -> Any:
        kind = ir.VectorType(ir.IntType(32), len(places))
        return b.shuffle_vector(a, c, ir.Constant(kind, places))

    def empty(raw: Any) -> Any:
        return ir.Constant(raw.type, ir.Undefined)

    raws = [v.raw for v in values]
    if e.lanes == 1:
        first = ir.IntType(32)(0)
        wide = [
            b.insert_element(ir.Constant(ir.VectorType(raw.type, count), ir.Undefined), raw, first)
            for raw in raws
        ]
        return Value(e, b.extract_element(operation(*wide), first))
    if e.lanes < count:
        places = [k % e.lanes for k in range(count)]
        found = operation(*[chosen(raw, empty(raw), places) for raw in raws])
        return Value(e, chosen(found, empty(found), list(range(e.lanes))))
    parts = []
    for begin in range(0, e.lanes, count):
        places = list(range(begin, begin + count))
        parts.append(operation(*[chosen(raw, empty(raw), places) for raw in raws]))
    while len(parts) > 1:
        both = list(range(2 * parts[0].type.count))
        parts = [chosen(parts[k], parts[k + 1], both) for k in range(0, len(parts), 2)]
    return Value(e, parts[0])
