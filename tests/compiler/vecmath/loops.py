"""Loops over arrays that apply one function, compiled as the compiler will: for the tests."""

from __future__ import annotations

import ctypes
import functools
import re

import numpy as np
from llvmlite import ir

from chainrule.compiler import llvm, vecmath
from chainrule.compiler.vecmath.registry import FUNCTIONS
from chainrule.compiler.vectors import lane_type

TYPES = {"float32": ir.FloatType(), "float64": ir.DoubleType()}

# Processors for which functions are written, with all that there is at hand by default: without
# any of the instructions that functions use where they can, and without those of AVX-512.
TARGETS = {
    "plain": llvm.Host("x86_64-unknown-linux-gnu", "x86-64", ""),
    "narrow": llvm.Host("x86_64-unknown-linux-gnu", "x86-64", "+fma,+avx,+avx2"),
}


def lanes_of(dtype: str, target: str | None = None) -> int:
    """How many numbers fill a vector register."""
    bits = (TARGETS[target] if target else llvm.host()).vector_bits
    return bits // (8 * np.dtype(dtype).itemsize)


def add_loop(module: ir.Module, loop_name: str, f: ir.Function, lanes: int = 1) -> None:
    """void loop(n, out, in...): for i in range(0, n, lanes): out[i:] = f(in[i:]...)"""
    size = ir.IntType(64)
    kinds = (f.ftype.return_type, *f.ftype.args)
    result, *inputs = (getattr(t, "element", t).as_pointer() for t in kinds)
    loop = ir.Function(module, ir.FunctionType(ir.VoidType(), [size, result, *inputs]), loop_name)
    for argument in loop.args[1:]:
        argument.attributes.add("noalias")
    entry, body, done = (loop.append_basic_block(n) for n in ("entry", "body", "done"))
    builder = ir.IRBuilder(entry)
    builder.cbranch(builder.icmp_signed(">", loop.args[0], size(0)), body, done)
    builder.position_at_end(body)
    i = builder.phi(size)
    i.add_incoming(size(0), entry)

    def place(array: ir.Value, kind: ir.Type) -> ir.Value:
        return builder.bitcast(builder.gep(array, [i]), kind.as_pointer())

    given = zip(loop.args[2:], kinds[1:], strict=True)
    values = [builder.load(place(a, kind), align=1) for a, kind in given]
    builder.store(builder.call(f, values), place(loop.args[1], kinds[0]), align=1)
    following = builder.add(i, size(lanes))
    i.add_incoming(following, body)
    builder.cbranch(builder.icmp_signed("<", following, loop.args[0]), body, done)
    ir.IRBuilder(done).ret_void()


@functools.cache
def compiled(name: str, dtype: str, target: str | None = None, whole: bool = False) -> llvm.Code:
    """The loop over one function: vectors of ordinary arguments, or numbers of the whole range.

    `target` has it written for another processor.
    """
    module = ir.Module(name="loop")
    host = TARGETS[target] if target else None
    if whole:
        f, lanes = vecmath.define_whole(module, name, TYPES[dtype], target=host), 1
    else:
        lanes = lanes_of(dtype, target)
        f = vecmath.define(module, name, lane_type(TYPES[dtype], lanes), target=host)
    add_loop(module, "loop", f, lanes)
    return llvm.compile_module(module)


@functools.cache
def native(name: str, dtype: str, target: str | None = None, whole: bool = False):
    """The loop as a function of NumPy arrays of one shape."""
    code = compiled(name, dtype, target, whole)
    count = FUNCTIONS[name].arguments
    lanes = 1 if whole else lanes_of(dtype, target)
    signature = ctypes.CFUNCTYPE(None, ctypes.c_int64, *[ctypes.c_void_p] * (count + 1))
    call = signature(code.address("loop"))

    def function(*arrays, out=None):
        arrays = [np.ascontiguousarray(a, dtype) for a in arrays]
        shape = arrays[0].shape
        rest = -arrays[0].size % lanes
        if rest:  # whole vectors
            arrays = [np.append(a, np.repeat(a.flat[-1:], rest)) for a in arrays]
        made = np.empty(arrays[0].shape, dtype) if out is None or rest else out
        call(made.size, made.ctypes.data, *[a.ctypes.data for a in arrays])
        if rest:
            made = made[:-rest].reshape(shape)
        if out is None or out is made:
            return made
        out[...] = made
        return out

    function.code = code
    return function


@functools.cache
def rare(name: str, dtype: str):
    """Which arguments are left to the whole-range function, as a function of an array."""
    module = ir.Module(name="rare")
    predicate = vecmath.rare(module, name, TYPES[dtype])
    if predicate is None:
        return lambda array: np.zeros(np.shape(array), bool)
    number = ir.IntType(8)
    widened = ir.Function(module, ir.FunctionType(number, [TYPES[dtype]]), "widened")
    builder = ir.IRBuilder(widened.append_basic_block())
    builder.ret(builder.zext(builder.call(predicate, widened.args), number))
    add_loop(module, "loop", widened)
    code = llvm.compile_module(module)
    call = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)(
        code.address("loop")
    )

    def function(array, code=code):
        array = np.ascontiguousarray(array, dtype)
        out = np.empty(array.shape, np.uint8)
        call(out.size, out.ctypes.data, array.ctypes.data)
        return out.astype(bool)

    return function


def everywhere(name: str, dtype: str, target: str | None = None):
    """The function over its whole range, as the compiler composes it."""
    fast = native(name, dtype, target)

    def function(*arrays):
        out = fast(*arrays)
        large = rare(name, dtype)(arrays[0])
        if large.any():
            exact = native(name, dtype, target, True)
            out[large] = exact(*[np.asarray(a, dtype)[large] for a in arrays])
        return out

    return function


def vector_width(optimised: str) -> int:
    """The longest vectors of floating-point numbers in optimised IR; 1 where there are none."""
    return max((int(n) for n in re.findall(r"<(\d+) x (?:float|double)>", optimised)), default=1)
