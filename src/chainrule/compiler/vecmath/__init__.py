"""Vector mathematics: elementary functions as inline LLVM instructions.

`define(module, name, type)` puts a function of numbers into a module. It has no branches, no
calls and no tables but in registers (`lookup.py`), so that LLVM inlines it into a loop. Errors
are at most 1 or 2 units in the last place over the whole range of float32 and float64
(`python -m tests.compiler.vecmath.table` prints them), infinities, nans, signed zeros and denormal
numbers included.

**Rare arguments.** sin, cos and tan of large numbers (|x| > 2^17 in float32, > 2^40 in float64)
need a table of the bits of pi. In a loop, `define` gives anything for them.
`rare(module, name, type)` says which arguments those are, and `define_whole` is a scalar function,
with a branch, for all arguments. A compiled loop goes over a block of numbers with `define`,
collects `rare` with "or", and, if any was set, goes over that block once more with `define_whole`
in place of `define`. `define_checked` is a function of vectors that does so itself, to be called
where code is long.
Other functions have no rare arguments.

The results of lgamma, digamma and logaddexp where they pass through zero between large terms
(lgamma and digamma at negative arguments in float64, logaddexp of negative ones) are accurate
against those terms, not against the result.
"""

from __future__ import annotations

from typing import Any

from ..llvm import Host, llvm_ir
from ..vectors import lane_type
from . import error_function, exponential, logarithm, power, special, trigonometric  # noqa: F401
from .emitter import Emitter, Value
from .large_angles import WHOLE, write_large, write_whole
from .registry import FUNCTIONS, add_function, entry_of, write_function
from .trigonometric import ORDINARY

__all__ = ["WHOLE", "define", "define_checked", "define_whole", "names", "rare"]


def names() -> list[str]:
    """The functions that `define` knows.

    >>> from chainrule.compiler import vecmath
    >>> "tanh" in vecmath.names()
    True
    """
    return sorted(FUNCTIONS)


def define(module: Any, name: str, type_: Any, *, target: Host | None = None) -> Any:
    """The function `name` for numbers of a type, written into the module on first use.

    Args:
        module: the `llvmlite.ir.Module` in which it is called.
        name: one of `names()`.
        type_: `ir.FloatType()` or `ir.DoubleType()`, of all arguments and the result, or a
            vector of them (`lane_type`).
        target: the processor whose instructions may be used, the one at hand unless told. On
            others the code is correct too, but may call functions for what they lack.

    Raises:
        ImportError: if llvmlite is not installed.
        KeyError: for a name that is not known.
        TypeError: for another type.

    >>> from llvmlite import ir
    >>> from chainrule.compiler import vecmath
    >>> module = ir.Module()
    >>> vecmath.define(module, "exp", ir.DoubleType()).name
    'chainrule.exp.float64'
    """
    return add_function(module, name, type_, target)


def rare(module: Any, name: str, type_: Any) -> Any | None:
    """The function that says (as an i1) whether `define`'s is not for this argument, or None.

    Arguments and exceptions as for `define`.

    >>> from llvmlite import ir
    >>> from chainrule.compiler import vecmath
    >>> vecmath.rare(ir.Module(), "exp", ir.DoubleType()) is None
    True
    """
    _, dtype = entry_of(name, type_)
    if name not in WHOLE:
        return None

    def write(e: Emitter, x: Value) -> Value:
        # As numbers, the bits of what is finite and above the limit are those that are, moved so
        # that infinity becomes the least number, above that of the limit.
        limit, infinity = (e.bits(e.number(v)) for v in (ORDINARY[dtype], float("inf")))
        move = e.whole(1 << (e.format.bits - 1)) - infinity
        return e.bits(e.absolute(x)) + move > limit + move

    types = (lane_type(llvm_ir().IntType(1), getattr(type_, "count", 1)), [type_])
    return write_function(module, f"chainrule.is_large.{dtype}", types, None, write, dtype)


def define_whole(module: Any, name: str, type_: Any, *, target: Host | None = None) -> Any:
    """As `define`, for rare arguments too: a scalar function that may branch.

    In float32 it is the one of float64, rounded.

    >>> from llvmlite import ir
    >>> from chainrule.compiler import vecmath
    >>> vecmath.define_whole(ir.Module(), "sin", ir.DoubleType()).name
    'chainrule.sin.whole.float64'
    """
    _, dtype = entry_of(name, type_)
    if name not in WHOLE:
        return define(module, name, type_, target=target)

    def write(e: Emitter, x: Value) -> Value:
        return write_whole(e, name, x)

    full_name = f"chainrule.{name}.whole.{dtype}"
    return write_function(module, full_name, (type_, [type_]), target, write, "float64")


def define_checked(module: Any, name: str, type_: Any) -> Any:
    """As `define`, for rare arguments too: a function of vectors that looks for them, and branches.

    Where an argument is rare, its lane has the result of `define_whole`, the others have theirs.

    >>> from llvmlite import ir
    >>> from chainrule.compiler import vecmath
    >>> from chainrule.compiler.vectors import lane_type
    >>> vecmath.define_checked(ir.Module(), "sin", lane_type(ir.DoubleType(), 8)).name
    'chainrule.sin.checked.float64.x8'
    """
    ir = llvm_ir()
    _, dtype = entry_of(name, type_)
    full_name = f"chainrule.{name}.checked.{dtype}.x{type_.count}"
    if full_name in module.globals:
        return module.globals[full_name]
    function = ir.Function(module, ir.FunctionType(type_, [type_]), full_name)
    function.linkage = "internal"
    for attribute in ("noinline", "nounwind"):
        function.attributes.add(attribute)
    b = ir.IRBuilder(function.append_basic_block("entry"))
    x, size = function.args[0], ir.IntType(64)
    results, given = b.alloca(type_), b.alloca(type_)
    b.store(b.call(define(module, name, type_), [x]), results)
    bits = ir.IntType(type_.count)
    found = b.bitcast(b.call(rare(module, name, type_), [x]), bits)
    with b.if_then(b.icmp_unsigned("!=", found, bits(0)), likely=False):
        b.store(x, given)
        one = type_.element
        large = write_function(
            module,
            f"chainrule.{name}.large.{dtype}",
            (one, [one]),
            None,
            lambda e, x: write_large(e, name, x),
            "float64",
        )
        before, loop = b.block, b.append_basic_block("loop")
        b.branch(loop)
        b.position_at_end(loop)
        lane = b.phi(size)
        lane.add_incoming(size(0), before)
        shift = b.trunc(lane, bits) if type_.count < 64 else lane
        with b.if_then(b.trunc(b.lshr(found, shift), ir.IntType(1))):
            entry = type_.element.as_pointer()
            place, result = (b.gep(b.bitcast(m, entry), [lane]) for m in (given, results))
            b.store(b.call(large, [b.load(place)]), result)
        following = b.add(lane, size(1))
        lane.add_incoming(following, b.block)
        done = b.append_basic_block("done")
        b.cbranch(b.icmp_unsigned("<", following, size(type_.count)), loop, done)
        b.position_at_end(done)
    b.ret(b.load(results))
    return function
