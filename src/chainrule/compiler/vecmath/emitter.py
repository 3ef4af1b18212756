"""Expressions that write LLVM instructions: the language in which the functions are written.

An `Emitter` belongs to one function under construction. Its values (`Value`) have Python's
operators, each of which appends one instruction, so `1 / (1 + x)` reads as the formula that it
is. Nothing branches: a choice is `select`, and all of its sides are evaluated.

A function is written once for three kinds of arithmetic:

- "float32" and "float64";
- "wide": float64 that serves a float32 result. Its polynomials are shorter, and the low words
  of pairs (see `pairs.py`) are absent, since 29 spare bits make them superfluous.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any

from ..llvm import Host, llvm_ir
from ..vectors import lane_type, suffix
from .polynomials import POLYNOMIALS
from .words import WORDS


@dataclass(frozen=True)
class Format:
    """The layout of a floating-point type: 1 sign bit, the exponent, `digits - 1` bits."""

    bits: int
    digits: int
    bias: int

    @property
    def shift(self) -> int:
        return self.digits - 1


FORMATS = {
    "float32": Format(32, 24, 127),
    "float64": Format(64, 53, 1023),
    "wide": Format(64, 53, 1023),
}


class Value:
    """A number, an integer or a truth value in the function under construction."""

    __slots__ = ("emitter", "raw")

    def __init__(self, emitter: Emitter, raw: Any) -> None:
        self.emitter = emitter
        self.raw = raw

    @property
    def is_real(self) -> bool:
        return str(getattr(self.raw.type, "element", self.raw.type)) in ("float", "double")

    def _with(self, other: Any) -> tuple[Any, Any]:
        """The raw operands of a binary operation; Python numbers take this value's type."""
        if isinstance(other, Value):
            return self.raw, other.raw
        if self.is_real:
            other = self.emitter.rounded(other)
        return self.raw, self.raw.type(other)

    def _binary(self, other: Any, real: str, integer: str, swap: bool = False) -> Value:
        a, b = self._with(other)
        if swap:
            a, b = b, a
        build = getattr(self.emitter.builder, real if self.is_real else integer)
        return Value(self.emitter, build(a, b))

    def __add__(self, other: Any) -> Value:
        return self._binary(other, "fadd", "add")

    def __radd__(self, other: Any) -> Value:
        return self._binary(other, "fadd", "add", swap=True)

    def __sub__(self, other: Any) -> Value:
        return self._binary(other, "fsub", "sub")

    def __rsub__(self, other: Any) -> Value:
        return self._binary(other, "fsub", "sub", swap=True)

    def __mul__(self, other: Any) -> Value:
        return self._binary(other, "fmul", "mul")

    def __rmul__(self, other: Any) -> Value:
        return self._binary(other, "fmul", "mul", swap=True)

    def __truediv__(self, other: Any) -> Value:
        return self._binary(other, "fdiv", "sdiv")

    def __rtruediv__(self, other: Any) -> Value:
        return self._binary(other, "fdiv", "sdiv", swap=True)

    def __and__(self, other: Any) -> Value:
        return self._binary(other, "and_", "and_")

    def __or__(self, other: Any) -> Value:
        return self._binary(other, "or_", "or_")

    def __xor__(self, other: Any) -> Value:
        return self._binary(other, "xor", "xor")

    def __lshift__(self, count: Any) -> Value:
        return self._binary(count, "shl", "shl")

    def __rshift__(self, count: Any) -> Value:
        """Shift to the right with zeros coming in: vectors of 64-bit integers have no other."""
        return self._binary(count, "lshr", "lshr")

    def __neg__(self) -> Value:
        build = self.emitter.builder.fneg if self.is_real else self.emitter.builder.neg
        return Value(self.emitter, build(self.raw))

    def __invert__(self) -> Value:
        return Value(self.emitter, self.emitter.builder.not_(self.raw))

    def _compare(self, operator: str, other: Any) -> Value:
        """An ordered comparison: false where an operand is nan."""
        builder = self.emitter.builder
        a, b = self._with(other)
        build = builder.fcmp_ordered if self.is_real else builder.icmp_signed
        return Value(self.emitter, build(operator, a, b))

    def __lt__(self, other: Any) -> Value:
        return self._compare("<", other)

    def __le__(self, other: Any) -> Value:
        return self._compare("<=", other)

    def __gt__(self, other: Any) -> Value:
        return self._compare(">", other)

    def __ge__(self, other: Any) -> Value:
        return self._compare(">=", other)

    def equals(self, other: Any) -> Value:
        return self._compare("==", other)

    def differs(self, other: Any) -> Value:
        """Different, and neither is nan."""
        return self._compare("!=", other)

    def is_nan(self) -> Value:
        return Value(self.emitter, self.emitter.builder.fcmp_unordered("uno", self.raw, self.raw))


class Emitter:
    """Instructions of one kind of arithmetic, appended where `builder` stands."""

    def __init__(self, builder: Any, kind: str, target: Host, lanes: int = 1) -> None:
        ir = llvm_ir()
        self.lanes = lanes
        self.builder = builder
        self.kind = kind
        self.fma_exists = target.has_fma
        self.scaling_exists = target.has_scaling
        self.tables_exist = target.has_permutations and kind != "wide"
        self.format = FORMATS[kind]
        self.real = lane_type(ir.FloatType() if kind == "float32" else ir.DoubleType(), lanes)
        self.integer = lane_type(ir.IntType(self.format.bits), lanes)

    @property
    def is_wide(self) -> bool:
        return self.kind == "wide"

    def rounded(self, number: float) -> float:
        """A Python number as one of the type."""
        if self.kind == "float32" and math.isfinite(number):
            return struct.unpack("f", struct.pack("f", number))[0]
        return float(number)

    def number(self, number: float) -> Value:
        return Value(self, self.real(self.rounded(number)))

    def whole(self, number: int) -> Value:
        return Value(self, self.integer(number))

    def words(self, name: str) -> tuple[float, ...]:
        """A constant as a sum of numbers of the type."""
        return WORDS[name]["float32" if self.kind == "float32" else "float64"]

    def at_precision(self, float32: float, float64: float) -> float:
        """One of two thresholds that depend on the type."""
        return float32 if self.kind == "float32" else float64

    # Choices and bits

    def select(self, condition: Value, yes: Any, no: Any) -> Value:
        """`yes` where the condition holds, else `no`; Python numbers are of the real type."""
        yes, no = (v if isinstance(v, Value) else self.number(v) for v in (yes, no))
        return Value(self, self.builder.select(condition.raw, yes.raw, no.raw))

    def smaller(self, a: Value, b: Any) -> Value:
        """The minimum with a bound; nan stays nan."""
        return self.select(a > b, b, a)

    def larger(self, a: Value, b: Any) -> Value:
        """The maximum with a bound; nan stays nan."""
        return self.select(a < b, b, a)

    def bits(self, x: Value) -> Value:
        return Value(self, self.builder.bitcast(x.raw, self.integer))

    def from_bits(self, x: Value) -> Value:
        return Value(self, self.builder.bitcast(x.raw, self.real))

    def call(self, intrinsic: str, *arguments: Value) -> Value:
        """One of LLVM's intrinsics, all of whose arguments are of the real type."""
        ir = llvm_ir()
        module = self.builder.module
        name = f"{intrinsic}.{suffix(self.real)}"
        if name not in module.globals:
            type_ = ir.FunctionType(self.real, [self.real] * len(arguments))
            ir.Function(module, type_, name)
        function = module.globals[name]
        return Value(self, self.builder.call(function, [a.raw for a in arguments]))

    def absolute(self, x: Value) -> Value:
        return self.from_bits(self.bits(x) & self.whole((1 << (self.format.bits - 1)) - 1))

    def sign_bit(self, x: Value) -> Value:
        return self.bits(x) & self.whole(1 << (self.format.bits - 1))

    def copy_sign(self, x: Value, sign: Value) -> Value:
        """|x| with the sign of `sign`."""
        return self.from_bits(self.bits(self.absolute(x)) | self.sign_bit(sign))

    def flip_sign(self, x: Value, sign: Value) -> Value:
        """x, negated where `sign` is negative."""
        return self.from_bits(self.bits(x) ^ self.sign_bit(sign))

    def sqrt(self, x: Value) -> Value:
        return self.call("llvm.sqrt", x)

    # Arithmetic

    def fma(self, a: Any, b: Any, c: Any) -> Value:
        """a*b + c, with one rounding where the processor can."""
        a, b, c = (v if isinstance(v, Value) else self.number(v) for v in (a, b, c))
        if not self.fma_exists:
            return a * b + c
        return self.call("llvm.fma", a, b, c)

    def polynomial(self, name: str, x: Value) -> Value:
        """A polynomial of the table at x."""
        return self.horner(POLYNOMIALS[name][self.kind], x)

    def horner(self, coefficients: tuple[float, ...], x: Value) -> Value:
        """c0 + c1 x + c2 x^2 + ..., as two chains in x^2: half the waiting of Horner's one.

        Up to the fifth power computing x^2 takes as long as it saves.
        """
        if len(coefficients) <= 5:
            return self.chain(coefficients, x)
        square = x * x
        even, odd = coefficients[0::2], coefficients[1::2]
        return self.fma(self.chain(odd, square), x, self.chain(even, square))

    def chain(self, coefficients: tuple[float, ...], x: Value) -> Value:
        total = self.number(coefficients[-1])
        for c in coefficients[-2::-1]:
            total = self.fma(total, x, c)
        return total

    def nearest(self, x: Value, factor: float = 1.0) -> tuple[Value, Value]:
        """The integer nearest to x times a factor, as a real number and as an integer.

        It must be below 2^(digits - 2), and may be the second nearest by a rounding error.

        Adding 1.5 * 2^(digits - 1) leaves no bits after the point, and the integer stands in
        the low bits (Muller, section 11.1): no conversion instruction, which vectors of 64 bits
        often lack.
        """
        magic = self.number(1.5 * 2.0**self.format.shift)
        sum_ = x + magic if factor == 1 else self.fma(x, factor, magic)
        return sum_ - magic, self.bits(sum_) - self.bits(magic)

    def to_real(self, k: Value) -> Value:
        """An integer of absolute value below 2^(digits - 2) as a real number."""
        magic = self.number(1.5 * 2.0**self.format.shift)
        return self.from_bits(k + self.bits(magic)) - magic

    def power_of_two(self, k: Value) -> Value:
        """2^k for exponents of normal numbers."""
        return self.from_bits((k + self.format.bias) << self.format.shift)

    def scale(self, x: Value, k: Value) -> Value:
        """x * 2^k for |k| up to twice the exponents of normal numbers, rounded once.

        Without an instruction for it: the first of two factors is exact, unless the result
        overflows or underflows anyway.
        """
        if self.scaling_exists:
            return self._scale_at_once(x, k)
        biased = k + 4 * self.format.bias
        half = (biased >> 1) - 2 * self.format.bias
        return x * self.power_of_two(half) * self.power_of_two(k - half)

    def _scale_at_once(self, x: Value, k: Value) -> Value:
        ir = llvm_ir()
        short, module = lane_type(ir.IntType(32), self.lanes), self.builder.module
        name = f"llvm.ldexp.{suffix(self.real)}.{suffix(short)}"
        if name not in module.globals:
            ir.Function(module, ir.FunctionType(self.real, [self.real, short]), name)
        if self.format.bits != 32:
            k = Value(self, self.builder.trunc(k.raw, short))
        return Value(self, self.builder.call(module.globals[name], [x.raw, k.raw]))

    def split_exponent(self, x: Value) -> tuple[Value, Value]:
        """m in [sqrt(1/2), sqrt(2)) and the integer k with x = m * 2^k, for finite x > 0."""
        form = self.format
        tiny = x < 2.0 ** (1 - form.bias)
        x = self.select(tiny, x * 2.0**form.digits, x)
        start = self.bits(self.number(self.words("sqrt_half")[0]))
        one = self.bits(self.number(1.0))
        moved = self.bits(x) - start + one
        k = (moved >> form.shift) - form.bias
        mantissa = self.from_bits((moved & self.whole((1 << form.shift) - 1)) + start)
        return mantissa, k - self.select(tiny, self.whole(form.digits), self.whole(0))
