"""Scalar operations as LLVM instructions: one emitter per operation, in a table by name.

Semantics are NumPy's, bit for bit, for arithmetic, comparisons, selections and conversions: no
operation may be contracted or reassociated. Elementary functions are `vecmath`'s. A boolean is one
bit in a register and a byte of 0 or 1 in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from chainrule.compiler import vecmath
from chainrule.compiler.llvm import llvm_ir
from chainrule.compiler.remainder import float_remainder
from chainrule.compiler.vectors import lane_type, suffix

COMPILED_DTYPES = frozenset(
    np.dtype(c) for c in ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8")
)
Dtype = np.dtype[Any]


class Scalars:
    """Instructions on scalars, appended where `builder` stands.

    `dt` is the operands' dtype in every emitter below.
    """

    def __init__(self, builder: Any) -> None:
        self.ir = llvm_ir()
        self.builder = builder
        # Functions that vectors compute for ordinary arguments only (see `vecmath`): with `whole`
        # they are written for all arguments, else arguments that are not ordinary are noted.
        # `checked` has functions of vectors look for them.
        self.whole = self.checked = False
        self.rare: list[Any] = []
        self.lanes = 1  # entries in a register

    @contextmanager
    def in_lanes(self, lanes: int) -> Iterator[None]:
        """Code inside `with` has so many entries in a register."""
        self.lanes = lanes
        yield
        self.lanes = 1

    def element(self, dt: Dtype) -> Any:
        """The type of one entry in a register."""
        if dt.kind == "f":
            return self.ir.FloatType() if dt.itemsize == 4 else self.ir.DoubleType()
        return self.ir.IntType(1 if dt.kind == "b" else 8 * dt.itemsize)

    def memory_type(self, dt: Dtype) -> Any:
        """The type of one entry in memory."""
        return self.ir.IntType(8) if dt.kind == "b" else self.element(dt)

    def type_of(self, dt: Dtype) -> Any:
        """The type of a register."""
        return lane_type(self.element(dt), self.lanes)

    def integer(self, bits: int) -> Any:
        """The type of a register of integers."""
        return lane_type(self.ir.IntType(bits), self.lanes)

    def number(self, value: Any, dt: Dtype) -> Any:
        """A constant."""
        if dt.kind == "f":
            return self.type_of(dt)(float(dt.type(value)))
        return self.type_of(dt)(int(value))

    def load(self, pointer: Any, dt: Dtype) -> Any:
        """The number at an address."""
        found = self.builder.load(pointer)
        if dt.kind == "b":
            return self.builder.icmp_unsigned("!=", found, self.ir.IntType(8)(0))
        return found

    def store(self, value: Any, pointer: Any, dt: Dtype) -> None:
        if dt.kind == "b":
            value = self.builder.zext(value, self.ir.IntType(8))
        self.builder.store(value, pointer)

    def intrinsic(self, name: str, *args: Any, flag: bool | None = None) -> Any:
        """One of LLVM's intrinsics, whose operands and result have one type."""
        type_ = args[0].type
        full = f"llvm.{name}.{suffix(type_)}"
        types = [a.type for a in args]
        given = list(args)
        if flag is not None:
            types.append(self.ir.IntType(1))
            given.append(self.ir.IntType(1)(int(flag)))
        module = self.builder.module
        function = module.globals.get(full)
        if function is None:
            function = self.ir.Function(module, self.ir.FunctionType(type_, types), full)
        return self.builder.call(function, given)

    def function(self, name: str, *args: Any) -> Any:
        """One of the elementary functions."""
        module, type_ = self.builder.module, args[0].type
        if self.whole or (self.checked and self.lanes == 1):
            return self.builder.call(vecmath.define_whole(module, name, type_), args)
        if self.checked and name in vecmath.WHOLE:
            return self.builder.call(vecmath.define_checked(module, name, type_), args)
        rare = vecmath.rare(module, name, type_)
        if rare is not None:
            self.rare.append(self.builder.call(rare, args))
        return self.builder.call(vecmath.define(module, name, type_), args)

    def compare(self, operator: str, x: Any, y: Any, dt: Dtype) -> Any:
        """A comparison; false where a number is nan, but for !=, which is true."""
        if dt.kind == "f":
            if operator == "!=":
                return self.builder.fcmp_unordered(operator, x, y)
            return self.builder.fcmp_ordered(operator, x, y)
        if dt.kind == "i":
            return self.builder.icmp_signed(operator, x, y)
        return self.builder.icmp_unsigned(operator, x, y)

    def is_nan(self, x: Any) -> Any:
        return self.builder.fcmp_unordered("uno", x, x)

    def truth(self, x: Any, dt: Dtype) -> Any:
        """Whether a number is not zero; nan is not."""
        return x if dt.kind == "b" else self.compare("!=", x, self.number(0, dt), dt)

    def cast(self, x: Any, dt: Dtype, to: Dtype) -> Any:
        """A conversion between dtypes, as `astype`."""
        if dt == to:
            return x
        b = self.builder
        target = self.type_of(to)
        if to.kind == "b":
            return self.truth(x, dt)
        if dt.kind == "f":
            if to.kind == "f":
                return b.fpext(x, target) if to.itemsize > dt.itemsize else b.fptrunc(x, target)
            return self._whole(x, dt, to)
        if to.kind == "f":
            return b.sitofp(x, target) if dt.kind == "i" else b.uitofp(x, target)
        width = 1 if dt.kind == "b" else 8 * dt.itemsize
        if 8 * to.itemsize <= width:
            return x if 8 * to.itemsize == width else b.trunc(x, target)
        return b.sext(x, target) if dt.kind == "i" else b.zext(x, target)

    def _whole(self, x: Any, dt: Dtype, to: Dtype) -> Any:
        """The integer towards zero.

        What does not fit is undefined in C, where NumPy converts, and in LLVM; here it is what the
        x86 instruction gives, the least signed integer of the width that is converted to. Small
        integers are the low bits of a 32-bit one, unsigned ones of 64 bits.
        """
        b = self.builder
        bits = 64 if to.itemsize == 8 or (to.kind == "u" and to.itemsize == 4) else 32
        wide = self.integer(bits)
        limit = 2.0 ** (bits - 1)
        lowest = wide(-(1 << (bits - 1)))

        def signed(y: Any) -> Any:
            fits = b.and_(
                b.fcmp_ordered(">=", y, self.number(-limit, dt)),
                b.fcmp_ordered("<", y, self.number(limit, dt)),
            )
            return b.select(fits, b.fptosi(b.select(fits, y, self.number(0, dt)), wide), lowest)

        found = signed(x)
        if to == np.dtype("u8"):
            large = b.fcmp_ordered(">=", x, self.number(limit, dt))
            rest = signed(b.fsub(x, self.number(limit, dt)))
            return b.select(large, b.xor(rest, lowest), found)
        return found if bits == 8 * to.itemsize else b.trunc(found, self.type_of(to))


Emit = Callable[..., Any]


def _by_kind(real: str, integer: str, boolean: str | None = None) -> Emit:
    """An instruction of the builder by the kind of the operands."""

    def emit(s: Scalars, dt: Dtype, x: Any, y: Any) -> Any:
        name = {"f": real, "b": boolean or integer}.get(dt.kind, integer)
        return getattr(s.builder, name)(x, y)

    return emit


def _negative(s: Scalars, dt: Dtype, x: Any) -> Any:
    return s.builder.fneg(x) if dt.kind == "f" else s.builder.neg(x)


def _divide(s: Scalars, dt: Dtype, x: Any, y: Any) -> Any:
    return s.builder.fdiv(x, y)


def _abs(s: Scalars, dt: Dtype, x: Any) -> Any:
    if dt.kind == "f":
        return s.intrinsic("fabs", x)
    return s.intrinsic("abs", x, flag=False) if dt.kind == "i" else x


def _compare(operator: str) -> Emit:
    return lambda s, dt, x, y: s.compare(operator, x, y, dt)


def _logical(name: str) -> Emit:
    return lambda s, dt, x, y: getattr(s.builder, name)(s.truth(x, dt), s.truth(y, dt))


def extreme(largest: bool) -> Emit:
    """maximum and minimum: nan if one operand is."""
    operator = ">" if largest else "<"
    name = "maximum" if largest else "minimum"

    def emit(s: Scalars, dt: Dtype, x: Any, y: Any) -> Any:
        if dt.kind == "f":
            # Of equal operands the second one, whichever zero it is.
            first = s.builder.or_(s.compare(operator, x, y, dt), s.is_nan(x))
            return s.builder.select(first, x, y)
        if dt.kind == "b":
            return s.builder.or_(x, y) if largest else s.builder.and_(x, y)
        return s.intrinsic(("s" if dt.kind == "i" else "u") + name[:3], x, y)

    return emit


def _extreme_number(largest: bool) -> Emit:
    """fmax and fmin: the other operand if one is nan."""
    operator = ">=" if largest else "<="

    def emit(s: Scalars, dt: Dtype, x: Any, y: Any) -> Any:
        if dt.kind != "f":
            return extreme(largest)(s, dt, x, y)
        first = s.builder.or_(s.compare(operator, x, y, dt), s.is_nan(y))
        return s.builder.select(first, x, y)

    return emit


def _where(s: Scalars, dt: Dtype, condition: Any, x: Any, y: Any) -> Any:
    return s.builder.select(condition, x, y)


def _pull_product(s: Scalars, dt: Dtype, g: Any, local: Any, *guards: Any) -> Any:
    """g·local, and 0 where g is 0, or where a guard is 0 and g·local infinite or nan.

    The sign of such a zero means nothing.
    """
    b = s.builder
    if dt.kind != "f":
        return MULTIPLY(s, dt, g, local)
    zero = s.number(0, dt)
    product = b.select(s.compare("!=", g, zero, dt), b.fmul(g, local), zero)
    for guard in guards:
        finite = s.compare("<", s.intrinsic("fabs", product), s.number(np.inf, dt), dt)
        lost = b.and_(s.compare("==", guard, zero, dt), b.not_(finite))
        product = b.select(lost, zero, product)
    return product


def _shift(left: bool) -> Emit:
    """Shifts; by as many places as there are bits, or more, or a negative number, all bits go."""

    def emit(s: Scalars, dt: Dtype, x: Any, count: Any) -> Any:
        b = s.builder
        inside = b.icmp_unsigned("<", count, s.number(8 * dt.itemsize, dt))
        safe = b.select(inside, count, s.number(0, dt))
        if left:
            return b.select(inside, b.shl(x, safe), s.number(0, dt))
        if dt.kind == "u":
            return b.select(inside, b.lshr(x, safe), s.number(0, dt))
        gone = b.ashr(x, s.number(8 * dt.itemsize - 1, dt))
        return b.select(inside, b.ashr(x, safe), gone)

    return emit


def _quotient(s: Scalars, dt: Dtype, x: Any, y: Any) -> Any:
    """x/y towards zero for integers, y constant and not 0; the least integer over -1 wraps."""
    if dt.kind == "u":
        return s.builder.udiv(x, y)
    return s.builder.neg(x) if y.constant == -1 else s.builder.sdiv(x, y)


def _truncated_remainder(s: Scalars, dt: Dtype, x: Any, y: Any) -> Any:
    if dt.kind == "f":
        return float_remainder(s, dt, x, y)
    return s.builder.sub(x, s.builder.mul(_quotient(s, dt, x, y), y))


def _is_off(s: Scalars, dt: Dtype, rest: Any, y: Any) -> Any:
    """Whether a remainder has another sign than the divisor."""
    b, zero = s.builder, s.number(0, dt)
    differ = b.icmp_signed("<", b.xor(rest, y), zero)
    return b.and_(differ, b.icmp_signed("!=", rest, zero))


def _floor_divide(s: Scalars, dt: Dtype, x: Any, y: Any) -> Any:
    quotient = _quotient(s, dt, x, y)
    if dt.kind == "u":
        return quotient
    off = _is_off(s, dt, s.builder.sub(x, s.builder.mul(quotient, y)), y)
    return s.builder.sub(quotient, s.builder.zext(off, s.type_of(dt)))


def _remainder(s: Scalars, dt: Dtype, x: Any, y: Any) -> Any:
    rest = _truncated_remainder(s, dt, x, y)
    if dt.kind == "u":
        return rest
    return s.builder.add(rest, s.builder.select(_is_off(s, dt, rest, y), y, s.number(0, dt)))


def _intrinsic(name: str) -> Emit:
    return lambda s, dt, *args: s.intrinsic(name, *args)


def _sized(operator: str) -> Emit:
    """A comparison of |x| with infinity, for isinf and isfinite."""

    def emit(s: Scalars, dt: Dtype, x: Any) -> Any:
        if dt.kind != "f":
            return s.integer(1)(int(operator == "<"))
        return s.compare(operator, s.intrinsic("fabs", x), s.number(np.inf, dt), dt)

    return emit


def _isnan(s: Scalars, dt: Dtype, x: Any) -> Any:
    return s.is_nan(x) if dt.kind == "f" else s.integer(1)(0)


def _signbit(s: Scalars, dt: Dtype, x: Any) -> Any:
    bits = x
    if dt.kind == "f":
        dt = np.dtype(f"i{dt.itemsize}")
        bits = s.builder.bitcast(x, s.type_of(dt))
    if dt.kind != "i":
        return s.integer(1)(0)
    return s.builder.icmp_signed("<", bits, s.number(0, dt))


MULTIPLY = _by_kind("fmul", "mul", "and_")
OPERATIONS: dict[str, Emit] = {
    "add": _by_kind("fadd", "add", "or_"),
    "subtract": _by_kind("fsub", "sub"),
    "multiply": MULTIPLY,
    "divide": _divide,
    "negative": _negative,
    "sqrt": _intrinsic("sqrt"),
    "abs": _abs,
    "maximum": extreme(largest=True),
    "minimum": extreme(largest=False),
    "fmax": _extreme_number(largest=True),
    "fmin": _extreme_number(largest=False),
    "equal": _compare("=="),
    "not_equal": _compare("!="),
    "less": _compare("<"),
    "less_equal": _compare("<="),
    "greater": _compare(">"),
    "greater_equal": _compare(">="),
    "logical_and": _logical("and_"),
    "logical_or": _logical("or_"),
    "logical_xor": _logical("xor"),
    "logical_not": lambda s, dt, x: s.builder.not_(s.truth(x, dt)),
    "isnan": _isnan,
    "isinf": _sized("=="),
    "isfinite": _sized("<"),
    "signbit": _signbit,
    "bitwise_and": _by_kind("", "and_"),
    "bitwise_or": _by_kind("", "or_"),
    "bitwise_xor": _by_kind("", "xor"),
    "bitwise_not": lambda s, dt, x: s.builder.not_(x),
    "bitwise_left_shift": _shift(left=True),
    "bitwise_right_shift": _shift(left=False),
    "floor": _intrinsic("floor"),
    "ceil": _intrinsic("ceil"),
    "trunc": _intrinsic("trunc"),
    "copysign": _intrinsic("copysign"),
}
# Operations that are no primitives, which formulas use.
INNER: dict[str, Emit] = {
    "rint": _intrinsic("roundeven"),
    "where": _where,
    "pull_product": _pull_product,
    # x·y + z, rounded once where that is an instruction: for terms of sums only.
    "multiply_add": _intrinsic("fmuladd"),
    "floor_divide": _floor_divide,
    "truncated_divide": _quotient,
    "remainder": _remainder,
    "fmod": _truncated_remainder,
    "copy": lambda s, dt, x: x,
    "pack": lambda s, dt, x: x,  # a copy that is worth the memory it takes
}
# Written by the loops around them: conversions, indices, and what they are used for.
_BY_LOOPS = frozenset(("astype", "index", "position", "gather", "place", "scan"))
FUNCTIONS = (
    "exp", "exp2", "expm1", "log", "log1p", "log2", "log10", "sigmoid", "sin", "cos", "tan",
    "sinh", "cosh", "tanh", "asin", "acos", "atan", "asinh", "acosh", "atanh", "atan2", "pow",
    "cbrt", "hypot", "erf", "erfc", "erfcx", "lgamma", "gamma", "digamma", "logaddexp",
    "log_sigmoid", "ndtr",
)  # fmt: skip


def has_function(name: str) -> bool:
    """Whether an operation can be written."""
    if name in OPERATIONS or name in INNER or name in _BY_LOOPS:
        return True
    return name in FUNCTIONS and name in vecmath.names()


def has_rare(name: str, dt: Dtype) -> bool:
    """Whether an operation has arguments that vectors do not compute."""
    return dt.kind == "f" and name in FUNCTIONS and name in vecmath.WHOLE


def emit(s: Scalars, name: str, dt: Dtype, args: Any) -> Any:
    """The instructions of an operation on operands of one dtype (those after a condition)."""
    found = OPERATIONS.get(name) or INNER.get(name)
    return found(s, dt, *args) if found is not None else s.function(name, *args)


def cost_of(name: str, dt: Dtype) -> int:
    """About how many instructions an operation takes: loads count as one."""
    if name == "fmod":
        return 16
    if name in ("divide", "sqrt", "gather", "scan"):
        return 4
    return 24 if name in FUNCTIONS else 1
