"""The error function and its kin: erf, erfc, erfcx, and the normal distribution."""

from __future__ import annotations

from . import pairs
from .emitter import Emitter, Value
from .exponential import bounded_pair, exp_pair, is_tiny
from .pairs import Pair, leading_pair
from .registry import elementary


@elementary("erf")
def erf(e: Emitter, x: Value) -> Value:
    """A polynomial up to 1; beyond, 1 - exp(L(|x|)).

    L is a polynomial for log(erfc) in |x| - 1. There erfc is below 0.16, so neither L nor exp
    need be better than the type; only the last sums are pairs.
    """
    size = e.absolute(x)
    last = e.at_precision(4.0, 6.0)
    reached = e.smaller(e.larger(size, 1.0), last)
    exponent = leading_pair(e, f"erf_tail_{e.kind}", reached - 1.0)
    mantissa, k = exp_pair(e, exponent)
    power = e.power_of_two(k)
    total = pairs.fast_two_sum(e, 1.0, -mantissa.hi * power)
    assert mantissa.lo is not None
    assert total.lo is not None
    tail = total.hi + e.fma(-mantissa.lo, power, total.lo)
    tail = e.select(size < last, tail, 1.0)
    small = erf_near_zero(e, e.smaller(size, 1.0))
    result = e.copy_sign(e.select(size <= 1.0, small, tail), x)
    return e.select(x.is_nan(), x, result)


def erf_near_zero(e: Emitter, x: Value) -> Value:
    """x + x (c - z/4 + z B(z)) with z = x^2 and c = 2/sqrt(pi) - 1, for 0 <= x <= 1.

    The bracket goes from 0.13 to -0.16; B is at most 0.13. With z and the last sums as pairs,
    what is rounded is below a tenth of the result.
    """
    square = pairs.two_product(e, x, x)
    series = e.fma(square.hi, e.polynomial("erf", square.hi), e.words("erf_slope")[0])
    bracket = pairs.two_sum(e, series, square.hi * -0.25)
    assert bracket.lo is not None
    assert square.lo is not None
    low = e.fma(square.lo, -0.25, bracket.lo)
    product = pairs.two_product(e, x, bracket.hi)
    total = pairs.fast_two_sum(e, x, product.hi)
    assert product.lo is not None
    assert total.lo is not None
    return total.hi + (e.fma(x, low, product.lo) + total.lo)


def scaled_erfcx(e: Emitter, x: Value) -> Pair:
    """erfcx(x) for 0 <= x < 2^100: P(t)/(1 + 2x) with t = (x - 3)/(x + 3).

    (1 + 2x) erfcx(x) goes from 1 to 2/sqrt(pi) and is smooth in t on [-1, 1] (Shepherd &
    Laframboise, Mathematics of Computation 36, 1981). As 1 + (1 + t)(c + (1 - t) S(t)), where
    c makes it exact at both ends, at most a third is added to 1, and rounding errors count a
    third. 1 + t = 2x/(x + 3) is a pair, and so are sum and quotient.
    """
    one_plus = pairs.divide(e, Pair(x + x), pairs.two_sum(e, x, 3.0))
    one_minus = 2.0 - one_plus.hi
    inner = e.polynomial("erfcx", one_plus.hi - 1.0)
    rest = e.fma(inner, one_minus, e.words("erfcx_slope")[0])
    value = pairs.fast_two_sum(e, 1.0, one_plus.hi * rest)
    assert value.lo is not None
    assert one_plus.lo is not None
    value = Pair(value.hi, e.fma(one_plus.lo, rest, value.lo))
    denominator = pairs.two_sum(e, x + x, 1.0)
    return pairs.divide(e, value, denominator)


def erfc_scaled(e: Emitter, x: Pair) -> tuple[Pair, Value]:
    """m and k with erfc(x) = m 2^k, for x >= 0: erfcx(x) exp(-x^2), the exponent as a pair.

    The derivative of erfcx is below 2 erfcx: it does not notice the low word of x, which in the
    exponent counts 2 x.hi times.
    """
    # Beyond 2^10, where all is 0, the square must still be a pair.
    hi = e.smaller(x.hi, 1024.0)
    square = pairs.two_product(e, hi, -hi)
    if x.lo is not None:
        assert square.lo is not None
        square = Pair(square.hi, e.fma(hi * -2.0, x.lo, square.lo))
    mantissa, k = exp_pair(e, bounded_pair(e, square))
    normal = Pair(mantissa.hi, mantissa.lo, loose=True)
    return pairs.multiply(e, normal, scaled_erfcx(e, hi)), k


def erfc_of(e: Emitter, x: Pair, halvings: int) -> Value:
    """erfc(x)/2^halvings: 2 - erfc(|x|) for negative x."""
    negative = x.hi < 0.0
    sign = e.select(negative, -1.0, 1.0)
    size = pairs.scaled(x, sign)
    mantissa, k = erfc_scaled(e, size)
    positive = e.scale(mantissa.sum, k - halvings)
    complement = 2.0 ** (1 - halvings) - positive
    return e.select(x.hi.is_nan(), x.hi, e.select(negative, complement, positive))


@elementary("erfc")
def erfc(e: Emitter, x: Value) -> Value:
    """1 - erf(x), to the last digit of results near 0 and of denormal ones."""
    return erfc_of(e, Pair(x), 0)


@elementary("erfcx")
def erfcx(e: Emitter, x: Value) -> Value:
    """exp(x^2) erfc(x); for negative x, 2 exp(x^2) - erfcx(-x)."""
    size = e.absolute(x)
    # 1 + 2x overflows where the result is smallest: there it is 1/(x sqrt(pi)) to all digits.
    huge = size > 2.0**60
    factor = e.select(huge, 2.0**-80, 1.0)
    reached = e.smaller(size, 2.0**60)
    value = scaled_erfcx(e, reached)
    far = (factor * 0.5641895835477563) / (size * factor)
    bounded = e.smaller(size, 64.0)
    exponent = bounded_pair(e, pairs.two_product(e, bounded, bounded))
    mantissa, k = exp_pair(e, exponent)
    twice = e.scale(mantissa.sum, k + 1)
    result = e.select(x < 0.0, twice - value.sum, e.select(huge, far, value.sum))
    return e.select(x.is_nan(), x, result)


@elementary("ndtr")
def normal_distribution(e: Emitter, x: Value) -> Value:
    """Φ(x) = erfc(-x/sqrt(2))/2, the argument as a pair."""
    bounded = e.smaller(e.larger(x, -1024.0), 1024.0)
    argument = pairs.multiply(e, Pair(-bounded), pairs.constant(e, "sqrt_half"))
    return e.select(is_tiny(e, x), 0.5, erfc_of(e, argument, 1))


@elementary("normal_density")
def normal_density(e: Emitter, x: Value) -> Value:
    """φ(x) = exp(-x^2/2)/sqrt(2 pi)."""
    bounded = e.smaller(e.absolute(x), 1024.0)
    half = pairs.two_product(e, bounded, bounded * -0.5)
    mantissa, k = exp_pair(e, bounded_pair(e, half))
    normal = Pair(mantissa.hi, mantissa.lo, loose=True)
    return e.scale(pairs.multiply(e, normal, pairs.constant(e, "density")).sum, k)
