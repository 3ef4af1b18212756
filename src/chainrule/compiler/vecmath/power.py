"""Powers and roots: pow, sqrt, rsqrt, cbrt, hypot, reciprocal, and rounding to integers."""

from __future__ import annotations

from . import pairs
from .emitter import Emitter, Value
from .exponential import bounded_pair, exp_of_pair
from .logarithm import log_of_fraction, times_ln2
from .pairs import Pair
from .registry import elementary


def accurate_log(e: Emitter, x: Value) -> Pair:
    """log(x) for finite x > 0, to 2^-65 of it: twelve bits more than the type.

    With s = (m - 1)/(m + 1), log(m) = 2 atanh(s) = 2s + (2/3) s^3 + s^5 A(s^2) (Muller,
    section 11.6): the first two terms are pairs; |s| <= 0.172 makes the third, which is not, at
    most 2^-11.5 of the sum. In wide arithmetic the plain logarithm is exact enough, to 2^-38.
    """
    mantissa, k = e.split_exponent(x)
    scale = times_ln2(e, e.to_real(k))
    f = mantissa - 1.0
    if e.kind != "float64":
        return pairs.add(e, scale, log_of_fraction(e, Pair(f), "log_of_power"))
    s = pairs.divide(e, Pair(f), pairs.fast_two_sum(e, 2.0, f))
    square = pairs.multiply(e, s, s)
    cube = pairs.multiply(e, square, s)
    fifth = cube.hi * square.hi * e.polynomial("atanh", square.hi)
    term = pairs.multiply(e, cube, pairs.constant(e, "two_thirds"))
    assert s.lo is not None
    twice = Pair(s.hi * 2.0, s.lo * 2.0)
    tail = Pair(term.hi, pairs.plus(term.lo, fifth), loose=True)
    return pairs.add_smaller(e, scale, pairs.add_smaller(e, twice, tail))


def is_integer(e: Emitter, y: Value) -> Value:
    return e.call("llvm.floor", y).equals(y)


@elementary("pow", 2, wide=True)
def power(e: Emitter, x: Value, y: Value) -> Value:
    """exp(y log|x|) with the sign and the special cases of C (ISO C23, F.10.4.4).

    The exponent is at most 745: an error of 2^-65 of it is below 1/8 ulp of the result. |y|
    is bounded where every x but 1 has long overflowed, so that nothing overflows on the way.
    """
    size = e.absolute(x)
    finite = (size > 0.0) & (size < float("inf"))
    base = e.select(finite, size, 1.0)
    exponent = e.smaller(e.larger(y, -(2.0**70)), 2.0**70)
    product = pairs.multiply(e, Pair(exponent), accurate_log(e, base))
    result = exp_of_pair(e, bounded_pair(e, product))
    # |x| = 0 or inf: the result is 0 or inf, by the signs of log|x| and y.
    grows = (size > 1.0) ^ (y < 0.0)
    result = e.select(finite, result, e.select(grows, float("inf"), 0.0))
    integer = is_integer(e, y)
    odd = integer & ~is_integer(e, y * 0.5)
    result = e.select(odd, e.copy_sign(result, x), result)
    undefined = (x < 0.0) & finite & ~integer
    result = e.select(undefined | x.is_nan() | y.is_nan(), float("nan"), result)
    return e.select(x.equals(1.0) | y.equals(0.0), 1.0, result)


@elementary("sqrt")
def square_root(e: Emitter, x: Value) -> Value:
    """The processor's instruction: correctly rounded."""
    return e.sqrt(x)


@elementary("rsqrt")
def reciprocal_root(e: Emitter, x: Value) -> Value:
    """y = 1/sqrt(x), corrected by the residual r = 1 - x y^2: y + y r/2."""
    usable = (x > 0.0) & (x < float("inf"))
    safe = e.select(usable, x, 1.0)
    unit = e.number(1.0)
    if not e.fma_exists:
        # The product of pairs must not overflow.
        unit = e.select(x > e.at_precision(2.0**100, 2.0**900), 2.0**-32, 1.0)
        safe = safe * (unit * unit)
    y = 1.0 / e.sqrt(safe)
    product = pairs.two_product(e, safe, y)
    assert product.lo is not None
    rest = pairs.residual(e, e.number(1.0), product.hi, y) - product.lo * y
    return e.select(usable, e.fma(y * 0.5, rest, y) * unit, 1.0 / e.sqrt(x))


@elementary("reciprocal")
def reciprocal(e: Emitter, x: Value) -> Value:
    """1/x: correctly rounded."""
    return 1.0 / x


@elementary("cbrt")
def cube_root(e: Emitter, x: Value) -> Value:
    """The real cube root.

    |x| = m 2^(3q + r). A polynomial gives y = m^(-1/3) to 2^-14; with h = 1 - m y^3, the series
    (1 - h)^(-1/3) = 1 + h/3 + 2h^2/9 + ... makes that 2^-40. c = m y^2 is the root, whose
    residual m - c^3 is computed exactly for the last correction.
    """
    size = e.absolute(x)
    usable = (size > 0.0) & (size < float("inf"))
    mantissa, k = e.split_exponent(e.select(usable, size, 1.0))
    # Division by 3 of integers below 2^15: 43691 = (2^17 + 1)/3.
    positive = k + 3 * 512
    q = (positive * 43691) >> 17
    r = positive - q * 3
    y = e.polynomial("cbrt", mantissa)
    h = e.fma(-(mantissa * y), y * y, 1.0)
    y = e.fma(y * h, e.fma(h, 2 / 9, 1 / 3), y)
    c = mantissa * y * y
    square = pairs.two_product(e, c, c)
    assert square.lo is not None
    rest = pairs.residual(e, mantissa, square.hi, c) - square.lo * c
    rest = rest * (y * y) * (1 / 3)
    factor = pairs.select(
        e, r.equals(e.whole(1)), pairs.constant(e, "cbrt_2"), pairs.constant(e, "cbrt_4")
    )
    one = Pair(e.number(1.0), e.number(0.0))
    factor = pairs.select(e, r.equals(e.whole(0)), one, factor)
    root = pairs.multiply(e, pairs.fast_two_sum(e, c, rest), factor).sum
    result = root * e.power_of_two(q - 512)
    return e.select(usable, e.copy_sign(result, x), x)


@elementary("hypot", 2, wide=True)
def hypot(e: Emitter, x: Value, y: Value) -> Value:
    """sqrt(x^2 + y^2), the sum of squares as a pair, scaled away from overflow and underflow."""
    size_x, size_y = e.absolute(x), e.absolute(y)
    infinite = size_x.equals(float("inf")) | size_y.equals(float("inf"))
    if e.is_wide:
        return e.select(infinite, float("inf"), e.sqrt(e.fma(x, x, y * y)))
    swap = size_y > size_x
    most, least = e.select(swap, size_y, size_x), e.select(swap, size_x, size_y)
    large, small = most > 2.0**500, most < 2.0**-450
    factor = e.select(large, 2.0**-600, e.select(small, 2.0**600, 1.0))
    back = e.select(large, 2.0**600, e.select(small, 2.0**-600, 1.0))
    a, b = most * factor, least * factor
    total = pairs.add_smaller(e, pairs.two_product(e, a, a), pairs.two_product(e, b, b))
    root = pairs.square_root(e, total).sum * back
    root = e.select(most.equals(0.0), 0.0, root)
    root = e.select(x.is_nan() | y.is_nan(), x + y, root)
    return e.select(infinite, float("inf"), root)


@elementary("floor")
def floor(e: Emitter, x: Value) -> Value:
    return e.call("llvm.floor", x)


@elementary("ceil")
def ceil(e: Emitter, x: Value) -> Value:
    return e.call("llvm.ceil", x)


@elementary("trunc")
def trunc(e: Emitter, x: Value) -> Value:
    return e.call("llvm.trunc", x)


@elementary("round")
def round_half_even(e: Emitter, x: Value) -> Value:
    """The nearest integer; of two as near, the even one."""
    return e.call("llvm.roundeven", x)
