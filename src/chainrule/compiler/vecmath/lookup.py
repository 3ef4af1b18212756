"""exp, tanh, sin, cos by tables that stand in registers: for processors with AVX-512.

One instruction (`avx512.lookup`) reads for every lane an entry of a table of 16 or 32 numbers. A
table divides the range of the polynomials by as much, which halves their length, and its entries
have a second word, so the results are more accurate too: the table's part of a result is added
last, and what is added to it is so small that its own rounding errors hardly count (Tang, ACM
Transactions on Mathematical Software 15, 1989).
"""

from __future__ import annotations

from . import pairs
from .avx512 import lookup, scale_by
from .emitter import Emitter, Value
from .polynomials import POLYNOMIALS
from .tables import QUOTIENTS

STEPS = 16  # of exp, in a doubling


def divided(e: Emitter, x: Value, factor: float, pieces: int = 1) -> tuple[Value, Value]:
    """The multiple of 1/pieces nearest to x times a factor, and its number in the low bits.

    As in `Emitter.nearest`; the other bits of the number are not to be used.
    """
    magic = e.number(1.5 * 2.0**e.format.shift / pieces)
    sum_ = e.fma(x, factor, magic)
    return sum_ - magic, e.bits(sum_)


def exp_parts(e: Emitter, x: Value, times: int = 1) -> tuple[Value, Value, Value]:
    """k, T and V with exp(times·x) = 2^floor(k) (T + V), |V| < 0.05, where k has a fraction.

    With y = times·x, times a power of two, k is the multiple of 1/16 nearest to y / ln 2. T is near
    2^(k - floor(k)) and has so few bits that 2^floor(k) T + 1 is exact for floor(k) < 8. With
    r = y - floor(k) ln 2 - log T, which is at most ln(2)/32, V = T (exp(r) - 1). Multiples of the
    first word of ln 2 are exact for arguments that do not overflow; what rounding r loses is 2^-58
    (2^-29) of the result at most.
    """
    k, place = divided(e, x, times * e.words("log2_e")[0], STEPS)
    first, second = (word / times for word in e.words("ln2")[:2])
    partly = e.fma(-k, second, e.fma(-k, first, x))
    rest = lookup(e, "exp_rest", place)
    r = partly + rest if times == 1 else e.fma(partly, float(times), rest)
    step = lookup(e, "exp", place)
    return k, step, step * growth(e, r)


def growth(e: Emitter, r: Value) -> Value:
    """exp(r) - 1 for |r| <= ln(2)/32, in as few steps one after the other as possible."""
    square = r * r
    terms = POLYNOMIALS["exp_near"][e.kind]
    lines = [e.fma(r, terms[i + 1], terms[i]) for i in range(0, len(terms) - 1, 2)]
    total = e.number(terms[-1]) if len(terms) % 2 else lines.pop()
    for line in reversed(lines):
        total = e.fma(total, square, line)
    return e.fma(total, square, r)


def exp(e: Emitter, x: Value) -> Value:
    """e^x, for x inside an interval beyond which it is 0 or inf; scaling floors the exponent."""
    k, step, rest = exp_parts(e, x)
    return scale_by(e, step + rest, k)


def tanh(e: Emitter, x: Value) -> Value:
    """b - b q, where b = x, q = 1 - tanh(x)/x up to 0.9; beyond, b = 1, q = 2/(exp(2|x|) + 1).

    The first q is z/4 + z P(z)/Q(z) in z = x^2, at most 0.21. The quarter is exact, and the
    quotient at most 0.04, so the rounding of z and of the sum is most of its error. Both share a
    division. With exp(2|x|) = 2^n (T + V), the denominator is 2^n V + (2^n T + 1), of which the
    bracket is exact until the quotient is too small to matter; q is at most 0.29.
    """
    size = e.absolute(x)
    small = size < 0.9
    square = size * size
    k, step, rest = exp_parts(e, e.smaller(size, e.at_precision(10.0, 22.0)), 2)
    power = scale_by(e, e.number(1.0), k)
    denominator = e.fma(power, rest, e.fma(power, step, 1.0))
    over, under = (e.horner(QUOTIENTS[n][e.kind], square) for n in ("tanh_over", "tanh_under"))
    over = e.select(small, square * over, 2.0)
    quotient = over / e.select(small, under, denominator)
    quotient = e.select(small, e.fma(square, 0.25, quotient), quotient)
    base = e.select(small, size, 1.0)
    return e.flip_sign(pairs.less_product(e, base, base, quotient), x)


class Angle:
    """An angle size = n·step + r, |r| <= step/2, where a turn has 16 steps (32 in float32).

    With the sine S and cosine C of n steps from tables,

        sin = S + (C r + (C (sin r - r) + S (cos r - 1)))
        cos = C + (-S r + (C (cos r - 1) - S (sin r - r))).

    The terms on the right are smaller by an eighth, at least, than those before them. Where the
    first sum cancels, because the sine of n steps and C r have other signs, it is at most by half:
    it is exact then, and half an ulp of C r is at most as much of the result. Where S or C is 0,
    that term is r itself, or its product with 1.
    """

    def __init__(self, e: Emitter, size: Value) -> None:
        self.e = e
        kind = e.kind
        steps = int(e.at_precision(8, 4))  # in a right angle
        first, second, third = (word / steps for word in e.words("half_pi")[:3])
        n, self.place = divided(e, size, steps * e.words("two_over_pi")[0])
        # As in `reduced_angle`: size - n P1 is exact. It is a multiple of an ulp of P1, and n P2 is
        # smaller than 2^p of those, so the sum of both is exact too, whichever is larger
        # (Muller et al., Handbook of Floating-Point Arithmetic, 2nd ed., theorem 4.3).
        partly = e.fma(-n, first, size)
        product = pairs.two_product(e, n, second)
        self.r = r = partly - product.hi
        assert product.lo is not None
        low = e.fma(-n, third, ((partly - r) - product.hi) - product.lo)
        square = r * r
        self.sine = e.fma(r * square, e.polynomial(f"sin_near_{kind}", square), low)  # sin r - r
        self.cosine = square * e.polynomial(f"cos_near_{kind}", square)  # cos r - 1

    def sin(self) -> Value:
        e = self.e
        s, c = lookup(e, "sin", self.place), lookup(e, "cos", self.place)
        s_low, c_low = lookup(e, "sin_low", self.place), lookup(e, "cos_low", self.place)
        low = e.fma(c_low, self.r, s_low)
        low = e.fma(c, self.sine, e.fma(s, self.cosine, low))
        return s + e.fma(c, self.r, low)

    def cos(self) -> Value:
        e = self.e
        s, c = lookup(e, "sin", self.place), lookup(e, "cos", self.place)
        s_low, c_low = lookup(e, "sin_low", self.place), lookup(e, "cos_low", self.place)
        low = e.fma(-s_low, self.r, c_low)
        low = e.fma(-s, self.sine, e.fma(c, self.cosine, low))
        return c + e.fma(-s, self.r, low)
