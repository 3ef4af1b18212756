"""sin, cos, tan of every finite argument: Payne and Hanek's reduction, for the rare large ones.

It needs as many bits of 2/pi as the exponent says, so a table and integer products of 64 bits:
no vectors. The functions here are scalar and branch: an ordinary argument takes the same path
as in a loop, a large one the reduction.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from ..llvm import llvm_ir
from . import pairs
from .emitter import Emitter, Value
from .pairs import Pair
from .trigonometric import ORDINARY, cos, quadrant_cos, quadrant_sin, quadrant_tan, sin, tan
from .words import TWO_OVER_PI

WHOLE: dict[str, tuple[Callable[..., Value], Callable[..., Value]]] = {
    "sin": (sin, quadrant_sin),
    "cos": (cos, quadrant_cos),
    "tan": (tan, quadrant_tan),
}


def table(module: Any) -> Any:
    """The bits of 2/pi after the point in words of 64, after one word of zeros."""
    ir = llvm_ir()
    name = "chainrule.two_over_pi"
    if name not in module.globals:
        type_ = ir.ArrayType(ir.IntType(64), len(TWO_OVER_PI) + 1)
        constant = ir.GlobalVariable(module, type_, name)
        constant.global_constant = True
        constant.linkage = "internal"
        constant.initializer = ir.Constant(type_, [0, *TWO_OVER_PI])
    return module.globals[name]


def large_angle(e: Emitter, x: Value) -> tuple[Pair, Value]:
    """r and n with x = n pi/2 + r for 2^40 <= x < 2^1024 of float64 (Muller, section 11.4).

    x = M 2^E with an integer M < 2^53. In M 2^E 2/pi, the bits of 2/pi from the one of weight
    2^-(E-1) on matter: those before give multiples of 4, which change neither r nor n mod 4.
    With the next 192 bits as an integer W, the product is M W 2^-190 mod 4. Its two first bits
    are n, the others a fraction f of 190 bits, of which up to 62 may be zeros and the last 53
    are wrong: 75 correct ones remain. r = f pi/2 after rounding f to [-1/2, 1/2).
    """
    ir = llvm_ir()
    b = e.builder
    i64, i128 = ir.IntType(64), ir.IntType(128)
    bits = e.bits(x)
    mantissa = (bits & e.whole((1 << 52) - 1)) | e.whole(1 << 52)
    power = (bits >> 52) - (e.format.bias + 52)
    # Bit i after the point, i >= 1, stands at i - 1 + 64 in the table.
    position = power + (64 - 2)
    index, shift = position >> 6, (position & e.whole(63)).raw
    base = table(b.module)
    words = [b.load(b.gep(base, [ir.IntType(32)(0), (index + i).raw]), typ=i64) for i in range(4)]
    windows = []
    for first, second in itertools.pairwise(words):
        both = b.or_(b.shl(b.zext(first, i128), i128(64)), b.zext(second, i128))
        windows.append(b.trunc(b.lshr(b.shl(both, b.zext(shift, i128)), i128(64)), i64))
    factor = b.zext(mantissa.raw, i128)
    low, middle = (b.mul(factor, b.zext(w, i128)) for w in (windows[2], windows[1]))
    high = b.mul(mantissa.raw, windows[0])
    # The upper 128 of the product's 192 bits.
    upper = b.add(b.shl(b.zext(high, i128), i128(64)), b.add(middle, b.lshr(low, i128(64))))
    rounded = b.add(upper, i128(1 << 125))
    n = Value(e, b.trunc(b.lshr(rounded, i128(126)), i64))
    fraction = b.shl(upper, i128(2))
    return pairs.multiply(e, signed_fraction(e, fraction), pairs.constant(e, "half_pi")), n


def signed_fraction(e: Emitter, fraction: Any) -> Pair:
    """A signed integer of 128 bits over 2^128 as a pair: the sum of four exact conversions."""
    ir = llvm_ir()
    b = e.builder
    i32, i128 = ir.IntType(32), ir.IntType(128)
    total = Pair(e.number(0.0), e.number(0.0))
    for i in range(4):
        part = b.trunc(b.lshr(fraction, i128(32 * (3 - i))), i32)
        convert = b.sitofp if i == 0 else b.uitofp
        term = Value(e, convert(part, e.real)) * 2.0 ** (-32 * (i + 1))
        total = pairs.add(e, total, Pair(term))
    return total


def reduced(e: Emitter, x: Value) -> tuple[Pair, Value]:
    """r and n as `large_angle` gives them, of any sign, by a function that the module has once."""
    ir = llvm_ir()
    b = e.builder
    name = "chainrule.large_angle"
    function = b.module.globals.get(name)
    if function is None:
        parts = ir.LiteralStructType([e.real, e.real, e.integer])
        function = ir.Function(b.module, ir.FunctionType(parts, [e.real]), name)
        function.linkage = "internal"
        for attribute in ("noinline", "nounwind"):
            function.attributes.add(attribute)
        e.builder = ir.IRBuilder(function.append_basic_block("entry"))
        r, n = large_angle(e, e.absolute(Value(e, function.args[0])))
        assert r.lo is not None
        found = ir.Constant(parts, ir.Undefined)
        for i, part in enumerate((r.hi, r.lo, n)):
            found = e.builder.insert_value(found, part.raw, i)
        e.builder.ret(found)
        e.builder = b
    made = b.call(function, [x.raw])
    hi, lo, n = (Value(e, b.extract_value(made, i)) for i in range(3))
    # sin and tan are odd: for negative x, r and n change sign.
    sign = e.select(x < 0.0, -1.0, 1.0)
    n = Value(e, b.select((x < 0.0).raw, (-n).raw, n.raw))
    return Pair(hi * sign, lo * sign), n


def write_large(e: Emitter, name: str, x: Value) -> Value:
    """The function for arguments all of which are large."""
    return WHOLE[name][1](e, *reduced(e, x))


def write_whole(e: Emitter, name: str, x: Value) -> Value:
    """The function for every argument, with a branch for large ones."""
    ordinary, of_quadrant = WHOLE[name]
    b = e.builder
    size = e.absolute(x)
    finite_large = (size > ORDINARY["float64"]) & (size < float("inf"))
    usual = ordinary(e, x)
    before = b.block
    with b.if_then(finite_large.raw):
        rare = of_quadrant(e, *reduced(e, x))
        inside = b.block
    result = b.phi(e.real)
    result.add_incoming(usual.raw, before)
    result.add_incoming(rare.raw, inside)
    return Value(e, result)
