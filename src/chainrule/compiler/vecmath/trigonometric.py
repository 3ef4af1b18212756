"""Trigonometric functions: sin, cos, tan and their inverses, atan2."""

from __future__ import annotations

from collections.abc import Callable

from . import lookup, pairs
from .emitter import Emitter, Value
from .exponential import is_tiny
from .pairs import Pair
from .registry import elementary

# Up to these arguments the reduction below is exact enough; `large_angles.py` has the others.
ORDINARY = {"float32": 2.0**17, "float64": 2.0**40}


def reduced_angle(e: Emitter, x: Value) -> tuple[Pair, Value]:
    """r and n with x = n pi/2 + r, |r| <= pi/4 (1 + 2^-12), for |x| <= ORDINARY.

    pi/2 is a sum of words P1 + P2 + ... of p digits each (Cody & Waite; Muller, section 11.2).
    x - n P1 is a multiple of the smaller of ulp(x) and ulp(P1), and below 1: it has p digits,
    so a fused multiply-add computes it exactly; without one, product and rest are subtracted.
    n P2 is a pair. What follows is rounded: errors about n 2^-74 (float32) or n 2^-160, against
    a least |r| of about 2^-30 or 2^-62 (Muller, section 11.4): 2^-27 or 2^-58 of r.
    """
    first, second, third = e.words("half_pi")[:3]
    real_n, n = e.nearest(x, e.words("two_over_pi")[0])
    if e.fma_exists:
        partly = Pair(e.fma(-real_n, first, x))
    else:
        product = pairs.two_product(e, real_n, first)
        assert product.lo is not None
        partly = pairs.two_sum(e, x - product.hi, -product.lo)
    product = pairs.two_product(e, real_n, second)
    total = pairs.two_sum(e, partly.hi, -product.hi)
    low = pairs.plus(total.lo, partly.lo)
    if low is not None and product.lo is not None:
        low = e.fma(-real_n, third, low - product.lo)
    return Pair(total.hi, low), n


def sin_of_reduced(e: Emitter, r: Pair) -> Pair:
    """sin(r) = r + r^3 S(r^2), |r| <= pi/4; to first order, r.lo has the factor cos(r)."""
    square = r.hi * r.hi
    low = r.hi * square * e.polynomial("sin", square)
    if r.lo is not None:
        low = low + e.fma(r.lo * -0.5, square, r.lo)
    return Pair(r.hi, low)


def cos_of_reduced(e: Emitter, r: Pair) -> Pair:
    """cos(r) = 1 - r^2/2 + r^4 C(r^2), the first two terms exactly; r.lo has the factor -r."""
    half = pairs.two_product(e, r.hi, r.hi * -0.5)
    square = r.hi * r.hi
    low = square * square * e.polynomial("cos", square)
    if r.lo is not None:
        low = e.fma(-r.hi, r.lo, low)
    one = pairs.fast_two_sum(e, 1.0, half.hi)
    return Pair(one.hi, pairs.plus(pairs.plus(one.lo, half.lo), low))


def quadrant_sin(e: Emitter, r: Pair, n: Value) -> Value:
    """sin(n pi/2 + r)."""
    odd = (n & e.whole(1)).equals(e.whole(1))
    result = e.select(odd, cos_of_reduced(e, r).sum, sin_of_reduced(e, r).sum)
    return e.from_bits(e.bits(result) ^ ((n & e.whole(2)) << (e.format.bits - 2)))


def quadrant_cos(e: Emitter, r: Pair, n: Value) -> Value:
    return quadrant_sin(e, r, n + 1)


def quadrant_tan(e: Emitter, r: Pair, n: Value) -> Value:
    """tan(n pi/2 + r): sin/cos, and -cos/sin for odd n, divided as pairs."""
    odd = n & e.whole(1)
    is_odd = odd.equals(e.whole(1))
    sine, cosine = sin_of_reduced(e, r), cos_of_reduced(e, r)
    sine, cosine = (Pair(p.hi, p.lo, loose=True) for p in (sine, cosine))
    above = pairs.select(e, is_odd, cosine, sine)
    below = pairs.select(e, is_odd, sine, cosine)
    result = pairs.divide(e, above, below).sum
    return e.from_bits(e.bits(result) ^ (odd << (e.format.bits - 1)))


def odd_function(e: Emitter, x: Value, of_quadrant: Callable[..., Value]) -> Value:
    """A function of |x| with the sign of x: zeros keep theirs."""
    size = e.absolute(x)
    result = of_quadrant(e, *reduced_angle(e, size))
    return e.flip_sign(result, x)


@elementary("sin")
def sin(e: Emitter, x: Value) -> Value:
    if e.tables_exist:
        angle = lookup.Angle(e, e.absolute(x))
        return e.flip_sign(angle.sin(), x)
    return odd_function(e, x, quadrant_sin)


@elementary("cos")
def cos(e: Emitter, x: Value) -> Value:
    if e.tables_exist:
        return lookup.Angle(e, e.absolute(x)).cos()
    return quadrant_cos(e, *reduced_angle(e, e.absolute(x)))


@elementary("tan")
def tan(e: Emitter, x: Value) -> Value:
    return odd_function(e, x, quadrant_tan)


def multiple_of_pi(e: Emitter, quarters: Value) -> Pair:
    """A small number times pi/4."""
    hi, lo = (word / 2 for word in e.words("half_pi")[:2])
    product = pairs.two_product(e, quarters, hi)
    return Pair(product.hi, None if product.lo is None else e.fma(quarters, lo, product.lo))


def atan_of_reduced(e: Emitter, t: Pair) -> Pair:
    """atan(t) = t + t^3 A(t^2), |t| <= tan(pi/8); to first order, t.lo has the factor 1 - t^2."""
    square = t.hi * t.hi
    low = t.hi * square * e.polynomial("atan", square)
    if t.lo is not None:
        low = low + e.fma(-t.lo, square, t.lo)
    return Pair(t.hi, low)


TAN_EIGHTH = 0.41421356237309503  # tan(pi/8) = sqrt(2) - 1


@elementary("atan")
def atan(e: Emitter, x: Value) -> Value:
    """|x| is t, (1 + t)/(1 - t) or -1/t with |t| <= tan(pi/8), for angles from 0, pi/4, pi/2 on."""
    size = e.smaller(e.absolute(x), 2.0**100)
    low, high = size <= TAN_EIGHTH, size > 1 / TAN_EIGHTH
    above = pairs.select(e, low, Pair(size), pairs.two_sum(e, size, -1.0))
    below = pairs.select(e, low, Pair(e.number(1.0)), pairs.two_sum(e, size, 1.0))
    above = pairs.select(e, high, Pair(e.number(-1.0)), above)
    below = pairs.select(e, high, Pair(size), below)
    quarters = e.select(low, 0.0, e.select(high, 2.0, 1.0))
    angle = atan_of_reduced(e, pairs.divide(e, above, below))
    result = pairs.add_smaller(e, multiple_of_pi(e, quarters), angle).sum
    return e.select(is_tiny(e, x), x, e.copy_sign(result, x))


@elementary("atan2", 2)
def atan2(e: Emitter, y: Value, x: Value) -> Value:
    """The angle of (x, y), from the smaller coordinate over the larger one.

    The quotient is reduced as in `atan`. Swapped coordinates give pi/2 minus the angle, a
    negative x pi minus it: c quarters of pi plus or minus the reduced angle.
    """
    size_y, size_x = e.absolute(y), e.absolute(x)
    swap = size_y > size_x
    least, most = e.select(swap, size_x, size_y), e.select(swap, size_y, size_x)
    least, most = comparable(e, least, most)
    middle = least > most * TAN_EIGHTH
    above = pairs.select(e, middle, pairs.two_sum(e, least, -most), Pair(least))
    below = pairs.select(e, middle, pairs.fast_two_sum(e, most, least), Pair(most))
    angle = atan_of_reduced(e, pairs.divide(e, above, below))
    quarters = e.select(middle, 1.0, 0.0)
    quarters = e.select(swap, 2.0 - quarters, quarters)
    left = e.sign_bit(x).differs(e.whole(0))
    quarters = e.select(left, 4.0 - quarters, quarters)
    sign = e.select(swap, -1.0, 1.0) * e.copy_sign(e.number(1.0), x)
    signed = pairs.scaled(angle, sign)
    result = pairs.add_smaller(e, multiple_of_pi(e, quarters), signed).sum
    return e.select(x.is_nan() | y.is_nan(), x + y, e.copy_sign(result, y))


def comparable(e: Emitter, least: Value, most: Value) -> tuple[Value, Value]:
    """Two lengths of the same quotient, the larger one finite, not zero, and well inside the range.

    Infinities of one or both become 0/1 or 1/1, and 0/0 becomes 0/1. A factor takes the larger
    one away from the ends of the range, where its reciprocal or the sum would overflow; digits
    of the smaller one are lost only where the quotient vanishes.
    """
    infinite = float("inf")
    both = least.equals(infinite)
    least = e.select(both, 1.0, e.select(most.equals(infinite), 0.0, least))
    most = e.select(most.equals(infinite) | most.equals(0.0), 1.0, most)
    bias, digits = e.format.bias, e.format.digits
    small = most < 2.0 ** (2 * digits - bias)
    away = digits // 2 + 4
    large = most > 2.0 ** (bias - away)
    factor = e.select(small, 2.0 ** (bias - 2 * digits - 2), e.select(large, 2.0**-away, 1.0))
    return least * factor, most * factor


def asin_series(e: Emitter, r: Value, square: Value) -> Value:
    """asin(r) - r for |r| <= 1/2."""
    return r * square * e.polynomial("asin", square)


def asin_halves(e: Emitter, x: Value) -> tuple[Value, Pair, Pair]:
    """Whether |x| > 1/2; asin(|x|) for others; asin(sqrt((1 - |x|)/2)), half of acos(|x|).

    (1 - |x|)/2 is exact for |x| >= 1/2 (Muller, section 11.5).
    """
    size = e.absolute(x)
    large = size > 0.5
    square = e.select(large, (1.0 - size) * 0.5, size * size)
    root = pairs.square_root(e, Pair(square))
    # Where the square is 0, so is the root, but its correction is 0/0.
    root = pairs.select(e, square.equals(0.0), Pair(square), root)
    r = e.select(large, root.hi, size)
    series = asin_series(e, r, square)
    return large, Pair(size, series), Pair(root.hi, pairs.plus(root.lo, series))


@elementary("asin")
def asin(e: Emitter, x: Value) -> Value:
    """A series up to 1/2; beyond, pi/2 - 2 asin(sqrt((1 - |x|)/2))."""
    large, small_angle, half = asin_halves(e, x)
    double = pairs.scaled(half, -2.0)
    beyond = pairs.add_smaller(e, multiple_of_pi(e, e.number(2.0)), double)
    result = e.copy_sign(pairs.select(e, large, beyond, small_angle).sum, x)
    result = e.select(e.absolute(x) <= 1.0, result, float("nan"))
    return e.select(is_tiny(e, x), x, result)


@elementary("acos")
def acos(e: Emitter, x: Value) -> Value:
    """pi/2 - asin(x) up to |x| = 1/2; beyond, twice the half angle, or pi minus that."""
    large, small_angle, half = asin_halves(e, x)
    negative = x < 0.0
    factor = e.select(large, e.select(negative, -2.0, 2.0), e.select(negative, 1.0, -1.0))
    angle = pairs.select(e, large, half, small_angle)
    angle = pairs.scaled(angle, factor)
    quarters = e.select(large, e.select(negative, 4.0, 0.0), 2.0)
    result = pairs.add_smaller(e, multiple_of_pi(e, quarters), angle).sum
    return e.select(e.absolute(x) <= 1.0, result, float("nan"))
