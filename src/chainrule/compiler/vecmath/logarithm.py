"""Logarithms: log, log2, log10, log1p, asinh, acosh, atanh, softplus, logaddexp, xlogy."""

from __future__ import annotations

from . import pairs
from .emitter import Emitter, Value
from .exponential import exp_pair, is_tiny
from .pairs import Pair
from .registry import elementary


def log_of_fraction(e: Emitter, f: Pair, polynomial: str = "log") -> Pair:
    """log(1 + f) for 1 + f in [sqrt(1/2), sqrt(2)]; to about three bits more than the type.

    f - f^2/2 + f^3 R(f): the first two terms are a pair, the third is at most a twentieth of the
    result. To first order log(1 + f.hi + f.lo) = log(1 + f.hi) + f.lo (1 - f.hi).
    """
    square = pairs.two_product(e, f.hi, f.hi * -0.5)
    cube = f.hi * f.hi * f.hi * e.polynomial(polynomial, f.hi)
    total = pairs.fast_two_sum(e, f.hi, square.hi)
    low = pairs.plus(pairs.plus(total.lo, square.lo), cube)
    if f.lo is not None:
        low = pairs.plus(low, e.fma(-f.lo, f.hi, f.lo))
    assert low is not None
    return Pair(total.hi + low) if e.is_wide else Pair(total.hi, low)


def log_pair(e: Emitter, x: Value) -> tuple[Pair, Value]:
    """log of the fraction of x as a pair, and the exponent as a real number."""
    mantissa, k = e.split_exponent(x)
    return log_of_fraction(e, Pair(mantissa - 1.0)), e.to_real(k)


def times_ln2(e: Emitter, real_k: Value) -> Pair:
    """k ln 2: the first product is exact, since the word is short."""
    first, second = e.words("ln2")[:2]
    if e.is_wide:
        return Pair(e.fma(real_k, second, real_k * first))
    return Pair(real_k * first, real_k * second)


def finished(e: Emitter, x: Value, result: Value) -> Value:
    """The logarithm's values at 0, inf, nan and below 0."""
    result = e.select(x.equals(float("inf")), x, result)
    result = e.select(x.equals(0.0), float("-inf"), result)
    return e.select((x < 0.0) | x.is_nan(), float("nan"), result)


@elementary("log")
def log(e: Emitter, x: Value) -> Value:
    """k ln 2 + log(m), m in [sqrt(1/2), sqrt(2)): no cancellation worth more than a bit.

    k ln 2 is zero or the larger term.
    """
    fraction, k = log_pair(e, x)
    return finished(e, x, pairs.add_smaller(e, times_ln2(e, k), fraction).sum)


@elementary("log2")
def log2(e: Emitter, x: Value) -> Value:
    fraction, k = log_pair(e, x)
    scaled = pairs.multiply(e, fraction, pairs.constant(e, "log2_e"))
    return finished(e, x, pairs.add_smaller(e, Pair(k), scaled).sum)


@elementary("log10")
def log10(e: Emitter, x: Value) -> Value:
    fraction, k = log_pair(e, x)
    scaled = pairs.multiply(e, fraction, pairs.constant(e, "log10_e"))
    first, second = e.words("log10_2")[:2]
    return finished(e, x, pairs.add_smaller(e, Pair(k * first, k * second), scaled).sum)


def log1p_of_pair(e: Emitter, x: Pair, more: Value | None = None) -> Pair:
    """log(1 + x.hi + x.lo) + more ln 2 for finite x > -1, as a pair.

    u = fl(1 + x) gives the exponent k and m = u/2^k; what u lost is scaled and added to m - 1,
    which is exact. For k = 0 that restores x itself, so small x keep their digits.
    """
    total = pairs.two_sum(e, 1.0, x.hi)
    mantissa, k = e.split_exponent(total.hi)
    lost = pairs.plus(total.lo, x.lo)
    f = Pair(mantissa - 1.0)
    if lost is not None:
        # Where 2^-k would be denormal, 1 and all that it loses are below the last place.
        limit = e.whole(e.format.bias - 2)
        bounded = Value(e, e.builder.select((k < limit).raw, k.raw, limit.raw))
        f = pairs.two_sum(e, mantissa - 1.0, lost * e.power_of_two(-bounded))
    real_k = pairs.plus(e.to_real(k), more)
    assert real_k is not None
    return pairs.add_smaller(e, times_ln2(e, real_k), log_of_fraction(e, f))


@elementary("log1p")
def log1p(e: Emitter, x: Value) -> Value:
    result = log1p_of_pair(e, Pair(x)).sum
    result = e.select(x.equals(float("inf")), x, result)
    result = e.select(x.equals(-1.0), float("-inf"), result)
    result = e.select((x < -1.0) | x.is_nan(), float("nan"), result)
    return e.select(is_tiny(e, x), x, result)


def is_huge(e: Emitter, x: Value) -> Value:
    """x^2 + 1 = x^2 in the type, and far more so."""
    return x > e.at_precision(2.0**30, 2.0**60)


@elementary("asinh")
def asinh(e: Emitter, x: Value) -> Value:
    """log(a + sqrt(1 + a^2)) = log1p(a + a^2/(1 + sqrt(1 + a^2))) for a = |x|.

    A huge a gives log(a) + ln 2.
    """
    size = e.absolute(x)
    huge = is_huge(e, size)
    a = e.select(huge, 1.0, size)
    square = a * a
    rest = square / (1.0 + e.sqrt(e.fma(a, a, 1.0)))
    argument = pairs.fast_two_sum(e, a, rest)
    result = log_or_huge(e, size, huge, argument)
    result = e.select(size.equals(float("inf")), size, result)
    return e.select(is_tiny(e, x) | x.is_nan(), x, e.copy_sign(result, x))


def log_or_huge(e: Emitter, size: Value, huge: Value, argument: Pair) -> Value:
    """log1p(argument), or for huge sizes log(2 size)."""
    chosen = pairs.select(e, huge, Pair(size), argument)
    return log1p_of_pair(e, chosen, e.select(huge, 1.0, 0.0)).sum


@elementary("acosh")
def acosh(e: Emitter, x: Value) -> Value:
    """log(x + sqrt(x^2 - 1)) = log1p(t + sqrt(t (t + 2))) for t = x - 1, exact below 2^p."""
    huge = is_huge(e, x)
    t = e.select(huge, 1.0, x - 1.0)
    root = pairs.square_root(e, pairs.multiply(e, Pair(t), pairs.two_sum(e, t, 2.0)))
    argument = pairs.add(e, root, Pair(t))
    result = log_or_huge(e, x, huge, argument)
    result = e.select(x.equals(float("inf")), x, e.select(x.equals(1.0), 0.0, result))
    return e.select((x < 1.0) | x.is_nan(), float("nan"), result)


@elementary("atanh")
def atanh(e: Emitter, x: Value) -> Value:
    """log1p(2a/(1 - a))/2 for a = |x|, the quotient as a pair."""
    size = e.absolute(x)
    inside = e.select(size < 1.0, size, 0.5)
    denominator = pairs.fast_two_sum(e, 1.0, -inside)
    quotient = pairs.divide(e, Pair(inside + inside), denominator)
    result = log1p_of_pair(e, quotient).sum * 0.5
    result = e.select(size.equals(1.0), float("inf"), result)
    result = e.select((size > 1.0) | x.is_nan(), float("nan"), e.copy_sign(result, x))
    return e.select(is_tiny(e, x), x, result)


def log1p_exp(e: Emitter, x: Pair, divisor: Value | None = None) -> Pair:
    """log(1 + exp(-|x|))/divisor as a pair, rounded once where it is denormal.

    Small ones are exp(-|x|)/divisor, to which the power of two is applied last.
    """
    sign = e.select(x.hi > 0.0, -1.0, 1.0)
    hi = e.larger(x.hi * sign, e.at_precision(-110.0, -750.0))
    mantissa, k = exp_pair(e, Pair(hi, None if x.lo is None else x.lo * sign))
    normal = Pair(mantissa.hi, mantissa.lo, loose=True)
    floor = e.whole(-2 * e.format.digits)
    bounded = Value(e, e.builder.select((k > floor).raw, k.raw, floor.raw))
    power = e.power_of_two(bounded)
    argument = pairs.scaled(normal, power)
    logarithm, alone = log1p_of_pair(e, argument), normal.sum
    if divisor is not None:
        logarithm, alone = pairs.divide(e, logarithm, Pair(divisor)), alone / divisor
    small = hi < e.at_precision(-30.0, -60.0)
    return pairs.select(e, small, Pair(e.scale(alone, k)), logarithm)


@elementary("log_sigmoid")
def log_sigmoid(e: Emitter, x: Value) -> Value:
    """log(1/(1 + exp(-x))) = min(x, 0) - log(1 + exp(-|x|))."""
    below = Pair(e.smaller(x, 0.0))
    near = pairs.add(e, below, pairs.negative(log1p_exp(e, Pair(x)))).sum
    return e.select(x < e.at_precision(-110.0, -750.0), x, near)


@elementary("softplus", 3)
def softplus(e: Emitter, x: Value, beta: Value, threshold: Value) -> Value:
    """log(1 + exp(beta x))/beta = max(x, 0) + log(1 + exp(-|beta x|))/beta for beta > 0.

    x where beta x is above the threshold, as in PyTorch. For beta < 0 it is min(x, 0) that is
    added.
    """
    scaled = pairs.two_product(e, x, beta)
    bounded = e.smaller(e.larger(scaled.hi, -1e4), 1e4)
    inside = scaled.hi.equals(bounded)
    low = None if scaled.lo is None else e.select(inside, scaled.lo, 0.0)
    logarithm = log1p_exp(e, Pair(bounded, low), beta)
    curved = pairs.add(e, Pair(e.select(scaled.hi > 0.0, x, 0.0)), logarithm).sum
    curved = e.select(scaled.hi < 1e4, curved, x)
    return e.select(scaled.hi > threshold, x, curved)


@elementary("logaddexp", 2)
def logaddexp(e: Emitter, x: Value, y: Value) -> Value:
    """max(x, y) + log(1 + exp(-|x - y|)), the difference as a pair.

    Where max and logarithm cancel, the error is a unit in the last place of max. Equal
    infinities have no difference, and are their own sum.
    """
    highest = e.select(x > y, x, y)
    lowest = e.select(x > y, y, x)
    # The smaller one counts only within reach; and inf - inf is avoided.
    reach = e.at_precision(120.0, 760.0)
    greatest = e.number(e.at_precision(3.4e38, 1.79e308))
    finite = e.smaller(e.larger(highest, -greatest), greatest)
    difference = pairs.two_sum(e, finite, -e.larger(lowest, finite - reach))
    near = pairs.add(e, Pair(finite), log1p_exp(e, difference)).sum
    result = e.select(finite.equals(highest), near, highest)
    return e.select(x.is_nan() | y.is_nan(), x + y, result)


@elementary("xlogy", 2)
def xlogy(e: Emitter, x: Value, y: Value) -> Value:
    """x log(y), and 0 for x = 0 unless y is nan."""
    return e.select(x.equals(0.0) & ~y.is_nan(), 0.0, x * log(e, y))
