"""Exponentials: exp, exp2, expm1, tanh, sinh, cosh, sigmoid."""

from __future__ import annotations

from . import lookup, pairs
from .emitter import Emitter, Value
from .pairs import Pair
from .registry import elementary


def exp_reduced(e: Emitter, x: Value) -> tuple[Value, Value, Value]:
    """k, s and k L with exp(x) = 2^k exp(s - k L), where s - k L is at most ln(2)/2 in size.

    k is the integer nearest to x / ln 2. The first word of ln 2 has so few bits that its product
    with k is exact, and then so is s, the difference with x, by Sterbenz's lemma (Cody & Waite,
    1980; Muller, section 11.2). L is the second word, below 2^-42 (2^-19 in float32); what its
    product loses is below 2^-85 (2^-33).
    """
    first, second = e.words("ln2")[:2]
    real_k, k = e.nearest(x, e.words("log2_e")[0])
    return k, e.fma(-real_k, first, x), real_k * second


def exp_reduced_pair(e: Emitter, x: Pair) -> tuple[Value, Pair]:
    """k and r with exp(x) = 2^k exp(r); the low word keeps what subtracting k L rounds off."""
    k, partly, rest = exp_reduced(e, x.hi)
    if e.is_wide:
        return k, Pair(partly - rest)
    hi = partly - rest
    r = Pair(hi, (partly - hi) - rest)
    # For a large x.hi, x.lo is well above an ulp of r.
    return k, r if x.lo is None else pairs.add(e, r, Pair(x.lo))


def quadratic(e: Emitter, r: Value) -> Value:
    """exp(r) - 1 - r, at most 0.07 for reduced r."""
    return r * r * e.fma(r, e.polynomial("exp", r), 0.5)


def exp_pair(e: Emitter, x: Pair) -> tuple[Pair, Value]:
    """m and k with exp(x) = m * 2^k, m in [0.7, 1.42]; to some eight bits more than the type.

    1 + r is split exactly; q <= 0.07 and the low words are too small for their rounding to
    count. To first order exp(r.hi + r.lo) = exp(r.hi) + r.lo (1 + r.hi).
    """
    k, r = exp_reduced_pair(e, x)
    q = quadratic(e, r.hi)
    one = pairs.fast_two_sum(e, 1.0, r.hi)
    low = q if r.lo is None else q + e.fma(r.lo, r.hi, r.lo)
    return Pair(one.hi, pairs.plus(one.lo, low)), k


def clamped(e: Emitter, x: Value) -> Value:
    """x inside an interval outside which exp is 0 or inf in the type; nan stays nan."""
    low, high = e.at_precision(-110.0, -750.0), e.at_precision(90.0, 711.0)
    return e.smaller(e.larger(x, low), high)


def exp_of_pair(e: Emitter, x: Pair) -> Value:
    """exp(x.hi + x.lo), for x.hi as `clamped` leaves it."""
    mantissa, k = exp_pair(e, x)
    return e.scale(mantissa.sum, k)


def bounded_pair(e: Emitter, x: Pair) -> Pair:
    """A pair inside the same interval; where it was outside, the low word is dropped."""
    hi = clamped(e, x.hi)
    return Pair(hi, None if x.lo is None else e.select(hi.equals(x.hi), x.lo, 0.0))


@elementary("exp")
def exp(e: Emitter, x: Value) -> Value:
    """e^x; the scaling by 2^k is what rounds results that are denormal.

    Rounding r costs a quarter of an ulp: it is at most 0.35, and exp(r) at least 0.7.
    """
    x = clamped(e, x)
    if e.tables_exist:
        return lookup.exp(e, x)
    k, partly, rest = exp_reduced(e, x)
    r = partly - rest
    one = pairs.fast_two_sum(e, 1.0, r)
    return e.scale(one.hi + add_low(one, quadratic(e, r)), k)


@elementary("exp2")
def exp2(e: Emitter, x: Value) -> Value:
    """2^x = 2^k exp(r ln 2): r = x - k is exact, its product with ln 2 a pair."""
    x = e.smaller(e.larger(x, e.at_precision(-155.0, -1080.0)), e.at_precision(129.0, 1025.0))
    real_k, k = e.nearest(x)
    r = x - real_k
    log2, rest = sum_words(e, "ln2")
    product = pairs.two_product(e, r, log2)
    q = quadratic(e, product.hi)
    one = pairs.fast_two_sum(e, 1.0, product.hi)
    low = q if product.lo is None else q + e.fma(r, rest, product.lo)
    return e.scale(one.hi + add_low(one, low), k)


def add_low(a: Pair, low: Value) -> Value:
    return low if a.lo is None else a.lo + low


def sum_words(e: Emitter, name: str) -> tuple[float, float]:
    """A constant whose first word is short, as a full word and a rest."""
    first, second, third = e.words(name)[:3]
    full = e.rounded(first + second)
    return full, e.rounded((first - full) + second + third)


def expm1_pair(e: Emitter, x: Value) -> tuple[Pair, Value]:
    """A pair p and an integer k with expm1(x) = 2 p 2^(k-1), where only 2 p 2^(k-1) overflows.

    2^k (1 + r + q) - 1 = 2 ((2^(k-1) - 1/2) + 2^(k-1) (r + q)): the first bracket is summed
    exactly. For k = 0 it is zero and r + q remains, so r^2/2, up to a sixth of r, is a pair.
    """
    k, r = exp_reduced_pair(e, Pair(x))
    half_power = e.power_of_two(k - 1)
    square = pairs.two_product(e, r.hi, r.hi * 0.5)
    cubic = r.hi * r.hi * r.hi * e.polynomial("exp", r.hi)
    low = cubic if r.lo is None else cubic + e.fma(r.lo, r.hi, r.lo)
    fraction = pairs.add_smaller(e, Pair(r.hi), Pair(square.hi, pairs.plus(square.lo, low)))
    whole = pairs.two_sum(e, half_power, -0.5)
    scaled = pairs.scaled(fraction, half_power)
    return pairs.add(e, whole, scaled), k


def is_tiny(e: Emitter, x: Value) -> Value:
    """Arguments for which a function x + O(x^2) is x: all denormals and both zeros among them."""
    return e.absolute(x) < e.at_precision(2.0**-30, 2.0**-60)


@elementary("expm1")
def expm1(e: Emitter, x: Value) -> Value:
    low, high = e.at_precision(-20.0, -40.0), e.at_precision(90.0, 711.0)
    half, _ = expm1_pair(e, e.smaller(e.larger(x, low), high))
    result = half.sum * 2.0
    # Beyond the threshold the pair has inf - inf in it.
    overflow = x > e.at_precision(88.72283935546875, 709.782712893384)
    return e.select(is_tiny(e, x), x, e.select(overflow, float("inf"), result))


@elementary("tanh")
def tanh(e: Emitter, x: Value) -> Value:
    """x - x (z/4 + z T(z)) with z = x^2 up to 0.9; beyond, 1 - 2/(exp(2|x|) + 1).

    T is at most 1/12: the quarter is exact, and keeps rounding errors small. In the second form
    the quotient is at most 0.29, and its rounding errors count as much. With
    exp(2|x|) = 2^k (1 + p), the denominator is 2^k p + (2^k + 1), one rounding after that of p.
    """
    if e.tables_exist:
        return lookup.tanh(e, x)
    size = e.absolute(x)
    square = size * size
    bend = e.fma(square, e.polynomial("tanh", square), square * 0.25)
    small = pairs.less_product(e, size, size, bend)
    bounded = e.smaller(size, e.at_precision(10.0, 22.0))
    k, partly, rest = exp_reduced(e, bounded + bounded)
    r = partly - rest
    power = e.power_of_two(k)
    denominator = e.fma(r + quadratic(e, r), power, power + 1.0)
    large = 1.0 - 2.0 / denominator
    return e.copy_sign(e.select(size < 0.9, small, large), x)


@elementary("sigmoid")
def sigmoid(e: Emitter, x: Value) -> Value:
    """1/(1 + exp(-x)): with t = exp(-|x|), that is 1/(1 + t) or t/(1 + t).

    For negative x the power of two in t is applied after the division, so that denormal results
    are rounded once.
    """
    size = e.smaller(e.absolute(x), e.at_precision(110.0, 750.0))
    mantissa, k = exp_pair(e, Pair(-size))
    # In the denominator, powers below half an ulp of 1 have no effect.
    floor = e.whole(-2 * e.format.digits)
    bounded = Value(e, e.builder.select((k > floor).raw, k.raw, floor.raw))
    power = e.power_of_two(bounded)
    small = pairs.scaled(mantissa, power)
    denominator = pairs.add_smaller(e, Pair(e.number(1.0)), small)
    positive = x >= 0.0
    one = Pair(e.number(1.0), None if mantissa.lo is None else e.number(0.0))
    quotient = pairs.divide(e, pairs.select(e, positive, one, mantissa), denominator).sum
    return e.scale(quotient, e.select(positive, e.whole(0), k))


@elementary("sinh")
def sinh(e: Emitter, x: Value) -> Value:
    """A polynomial up to 1, then (exp|x| - exp(-|x|))/2 with the power of two applied last."""
    size = e.absolute(x)
    square = size * size
    small = e.fma(size * square, e.polynomial("sinh", square), size)
    mantissa, k, opposite = exp_and_inverse(e, size)
    large = e.scale((mantissa.hi - opposite) + low_word(e, mantissa), k - 1)
    return e.copy_sign(e.select(size < 1.0, small, large), x)


@elementary("cosh")
def cosh(e: Emitter, x: Value) -> Value:
    """(exp|x| + exp(-|x|))/2."""
    mantissa, k, opposite = exp_and_inverse(e, e.absolute(x))
    return e.scale((mantissa.hi + opposite) + low_word(e, mantissa), k - 1)


def low_word(e: Emitter, pair: Pair) -> Value:
    return e.number(0.0) if pair.lo is None else pair.lo


def exp_and_inverse(e: Emitter, size: Value) -> tuple[Pair, Value, Value]:
    """m, k and 2^-2k / m, for m 2^k = exp(size): both halves of sinh and cosh over 2^k."""
    mantissa, k = exp_pair(e, Pair(clamped(e, size)))
    normal = Pair(mantissa.hi, mantissa.lo, loose=True)
    limit = e.whole(e.format.bias // 2)
    bounded = Value(e, e.builder.select((k < limit).raw, k.raw, limit.raw))
    return normal, k, e.power_of_two(bounded * -2) / normal.hi
