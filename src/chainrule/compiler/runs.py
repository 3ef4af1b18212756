"""The functions of a program: kernels and calls of BLAS on a table of addresses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainrule.compiler import buffers as kinds
from chainrule.compiler.buffers import Buffer
from chainrule.compiler.fuse import KernelStep, LibraryStep, Steps, TileStep
from chainrule.compiler.gemm import routine, write_gemm
from chainrule.compiler.llvm import llvm_ir
from chainrule.compiler.loops import write_kernel
from chainrule.compiler.products import write_part
from chainrule.compiler.reduce import write_finish

SCRATCH = 0  # the place of the scratch memory in the table of addresses


def place_of(buffer: Buffer, slots: dict[int, int]) -> tuple[int, int]:
    """Where the address of a buffer is found: the slot in the table, and the bytes from there."""
    root = buffer.root
    return slots.get(root.index, SCRATCH), root.offset if root.kind == kinds.TEMPORARY else 0


def slots_of(buffers: Sequence[Buffer]) -> dict[int, int]:
    """The places in the table of addresses, by buffer: those of all that are not temporary."""
    lasting = [b for b in buffers if b.root.kind != kinds.TEMPORARY and b.place is None]
    slots = {b.index: i for i, b in enumerate(lasting, SCRATCH + 1)}
    return slots | {b.index: slots[b.root.index] for b in buffers if b.root.index in slots}


def routines_of(steps: Steps, slots: dict[int, int]) -> dict[str, int]:
    """The places in the table of addresses of the functions of BLAS that are called."""
    first = 1 + max(slots.values(), default=SCRATCH)
    names = [routine(s.buffers[-1].dtype) for s in steps.steps if isinstance(s, LibraryStep)]
    return {name: first + i for i, name in enumerate(dict.fromkeys(names))}


def write_run(
    module: Any, name: str, run: list[Any], slots: dict[int, int], routines: dict[str, int]
) -> Any:
    """A function of the table of addresses: kernels and matrix products, one after the other."""
    ir = llvm_ir()
    byte, size = ir.IntType(8).as_pointer(), ir.IntType(64)
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [byte.as_pointer()]), name)
    b = ir.IRBuilder(function.append_basic_block("entry"))
    known: dict[int, Any] = {}

    def entry(slot: int) -> Any:
        if slot not in known:
            known[slot] = b.load(b.gep(function.args[0], [size(slot)]))
        return known[slot]

    def address(buffer: Buffer) -> Any:
        slot, offset = place_of(buffer, slots)
        return b.gep(entry(slot), [size(offset)]) if offset else entry(slot)

    for step in run:
        if isinstance(step, LibraryStep):
            dtype = step.buffers[-1].dtype
            called = entry(routines[routine(dtype)])
            write_gemm(b, step.gemm, dtype, called, [address(x) for x in step.buffers])
            continue
        pointers = [address(buffer) for buffer in step.buffers]
        if isinstance(step, TileStep):
            made = write_part(module, step.part, step.buffers[-1].dtype)
            _call_kernel(b, made, pointers, size(0), size(step.trip))
            continue
        kernel = step.kernel
        for made in (write_kernel(module, kernel), write_finish(module, kernel)):
            if made is not None:
                _call_kernel(b, made, pointers, size(0), size(kernel.trip))
    b.ret_void()
    return function


def _call_kernel(b: Any, made: Any, pointers: list[Any], begin: Any, end: Any) -> None:
    """Run the function of a kernel."""
    made.attributes.add("noinline")
    types = [a.type for a in made.args[:-2]]
    given = [b.bitcast(p, t) for p, t in zip(pointers, types, strict=True)]
    b.call(made, [*given, begin, end])


def write_shared(
    module: Any, name: str, step: KernelStep | TileStep, slots: dict[int, int]
) -> list[Any]:
    """Functions of the table of addresses, begin and end, for part of a loop and what follows."""
    written = []
    ir = llvm_ir()
    byte, size = ir.IntType(8).as_pointer(), ir.IntType(64)
    kind = ir.FunctionType(ir.VoidType(), [byte.as_pointer(), size, size])
    if isinstance(step, TileStep):
        tiles = write_part(module, step.part, step.buffers[-1].dtype)
        made = {name: tiles, f"{name}_finish": None}
    else:
        kernel = step.kernel
        made = {name: write_kernel(module, kernel), f"{name}_finish": write_finish(module, kernel)}
    for title, body in made.items():
        function = ir.Function(module, kind, title)
        b = ir.IRBuilder(function.append_basic_block("entry"))
        table, begin, end = function.args
        if body is not None:
            places = [place_of(buffer, slots) for buffer in step.buffers]
            pointers = [b.gep(b.load(b.gep(table, [size(i)])), [size(k)]) for i, k in places]
            _call_kernel(b, body, pointers, begin, end)
        b.ret_void()
        written.append(function)
    return written


def write_whole(module: Any, parts: Sequence[tuple[Any, int | None]]) -> Any:
    """A function of the table of addresses that calls others, one after the other.

    Args:
        parts: each with the extent of the kernel's outermost loop, if it takes begin and end.
    """
    ir = llvm_ir()
    byte, size = ir.IntType(8).as_pointer(), ir.IntType(64)
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [byte.as_pointer()]), "whole")
    b = ir.IRBuilder(function.append_basic_block("entry"))
    for part, trip in parts:
        b.call(part, [*function.args, *([] if trip is None else [size(0), size(trip)])])
    b.ret_void()
    return function
