"""The gamma function, its logarithm and the derivative of that: gamma, lgamma, digamma."""

from __future__ import annotations

from . import pairs
from .emitter import Emitter, Value
from .exponential import exp_pair
from .logarithm import log_of_fraction, times_ln2
from .pairs import Pair, leading_pair
from .power import accurate_log
from .registry import elementary
from .trigonometric import cos_of_reduced, sin_of_reduced

# From here on the asymptotic series are used; below, recurrences lead there or to [1, 3].
LARGE = 8


def plain_log(e: Emitter, x: Pair) -> Pair:
    """log(x) for finite x > 0 as a pair, to some three bits more than the type."""
    mantissa, k = e.split_exponent(x.hi)
    f = Pair(mantissa - 1.0)
    if x.lo is not None:
        f = pairs.two_sum(e, f.hi, x.lo / x.hi * mantissa)
    return pairs.add_smaller(e, times_ln2(e, e.to_real(k)), log_of_fraction(e, f))


def sin_cos_pi(e: Emitter, size: Value) -> tuple[Pair, Pair, Value]:
    """sin(pi r), cos(pi r) and n with size = n/2 + r mod 2, |r| <= 1/4, exactly; size >= 0."""
    turn = size - 2.0 * e.call("llvm.floor", size * 0.5)
    real_n, n = e.nearest(turn * 2.0)
    r = turn - real_n * 0.5
    angle = pairs.multiply(e, Pair(r), pairs.constant(e, "pi"))
    sine, cosine = sin_of_reduced(e, angle), cos_of_reduced(e, angle)
    sine, cosine = (Pair(p.hi, p.lo, loose=True) for p in (sine, cosine))
    return sine, cosine, n


def is_odd(e: Emitter, n: Value) -> Value:
    return (n & e.whole(1)).equals(e.whole(1))


def sin_pi(e: Emitter, size: Value) -> Pair:
    """|sin(pi size)|, and its sign as that of the first word."""
    sine, cosine, n = sin_cos_pi(e, size)
    value = pairs.select(e, is_odd(e, n), cosine, sine)
    sign = e.select((n & e.whole(2)).equals(e.whole(0)), 1.0, -1.0)
    return pairs.scaled(value, sign)


def inverse_square(e: Emitter, z: Value) -> tuple[Value, Value]:
    inverse = 1.0 / z
    return inverse, inverse * inverse


@elementary("gamma", wide=True)
def gamma(e: Emitter, x: Value) -> Value:
    """Stirling's formula above 8; below, after multiplications; Euler's reflection for x < 0.

    Γ(z) = sqrt(2 pi) exp((w - 1/2) log w - w + S(w)) / (z (z+1) ... (w-1)) with w = z + n >= 8.
    The exponent is a pair, exact to 2^-65 of its largest term, about 900. Γ(-z) is
    -pi/(z sin(pi z) Γ(z)). The power of two is applied last, so that results that are denormal
    are rounded once.
    """
    size = e.absolute(x)
    z = e.smaller(size, 200.0)
    product, shifted = Pair(e.number(1.0)), z
    for i in range(LARGE):
        factor = pairs.two_sum(e, z, float(i))
        active = factor.hi < float(LARGE)
        one = Pair(e.number(1.0))
        product = pairs.multiply(e, product, pairs.select(e, active, factor, one))
        shifted = e.select(active, shifted + 1.0, shifted)
    mantissa, k = stirling(e, z, e.call("llvm.floor", shifted - z + 0.5))
    normal = Pair(mantissa.hi, mantissa.lo, loose=True)
    negative = x < 0.0
    sine = pairs.multiply(e, sin_pi(e, size), Pair(z))
    above = pairs.multiply(e, pairs.negative(pairs.constant(e, "pi")), product)
    below = pairs.multiply(e, sine, normal)
    above = pairs.select(e, negative, above, normal)
    below = pairs.select(e, negative, below, product)
    power = Value(e, e.builder.select(negative.raw, (-k).raw, k.raw))
    result = e.scale(pairs.divide(e, above, below).sum, power)
    # Where |x| is so small that Γ(x) = 1/x, the reflection's product may underflow.
    result = e.select(size < 2.0**-60, 1.0 / x, result)
    pole = negative & (e.call("llvm.floor", size).equals(size) | size.equals(float("inf")))
    return e.select(pole | x.is_nan(), float("nan"), result)


def stirling(e: Emitter, z: Value, n: Value) -> tuple[Pair, Value]:
    """m and k with Γ(z + n) = m 2^k, for z + n >= 8."""
    w = pairs.two_sum(e, z, n)
    inverse, square = inverse_square(e, w.hi)
    logarithm = accurate_log(e, w.hi)
    if w.lo is not None:
        # To first order, log(w.hi + w.lo) = log(w.hi) + w.lo/w.hi.
        logarithm = pairs.add_smaller(e, logarithm, Pair(w.lo * inverse))
    factor = pairs.add_smaller(e, w, Pair(e.number(-0.5)))
    exponent = pairs.add(e, pairs.multiply(e, factor, logarithm), pairs.negative(w))
    exponent = pairs.add(e, exponent, pairs.constant(e, "half_log_2pi"))
    series = inverse * e.polynomial("stirling", square)
    return exp_pair(e, pairs.add(e, exponent, Pair(series)))


@elementary("lgamma", wide=True)
def lgamma(e: Emitter, x: Value) -> Value:
    """log|Γ(x)|, as c log(a) + b for every positive z = |x|:

    - z < 1:       lgamma(z + 1) - log z
    - 1 <= z < 3:  the polynomial, (z - 1)(z - 2) Q(z - 2), exact at its zeros 1 and 2
    - 3 <= z < 8:  log((z - 1)(z - 2) ... (z - n)) + lgamma(z - n), with z - n in [2, 3): no
      term is negative
    - z >= 8:      (z - 1/2)(log z - 1) + log(2 pi)/2 - 1/2 + S(z)

    For negative x, log(pi/(z |sin pi z|)) - lgamma(z), which may cancel.
    """
    size = e.absolute(x)
    z = e.smaller(size, 2.0**1020)
    below, middle, above = z < 1.0, z < 3.0, z >= float(LARGE)
    whole = e.call("llvm.floor", z)
    # t + 2 is where the polynomial stands, next = t + 1.
    t = e.select(below, z - 1.0, e.select(middle, z - 2.0, z - whole))
    following = e.select(below, z, e.select(middle, z - 1.0, t + 1.0))
    product = z - 1.0
    for i in range(2, LARGE - 2):
        product = e.select(z >= float(i + 2), product * (z - float(i)), product)
    argument = e.select(below | above, z, e.select(middle, 1.0, product))
    # Far from 0 both ends of [-1, 1] are harmless.
    t, following = (e.select(above, 0.0, v) for v in (t, following))
    polynomial = leading_pair(e, "lgamma", t)
    near = pairs.multiply(e, pairs.two_product(e, t, following), polynomial)
    inverse, square = inverse_square(e, z)
    series = inverse * e.polynomial("stirling", square)
    far = pairs.add(e, less_half(e, pairs.constant(e, "half_log_2pi")), Pair(series))
    base = pairs.select(e, above, far, near)
    logarithm = plain_log(e, Pair(argument))
    reduced = pairs.add(e, logarithm, Pair(e.select(above, -1.0, 0.0)))
    factor = e.select(above, z - 0.5, e.select(below, -1.0, 1.0))
    # Near the overflow the products of pairs would overflow before their sum.
    huge = z > 2.0**900
    factor = factor * e.select(huge, 2.0**-100, 1.0)
    positive = pairs.add(e, pairs.multiply(e, Pair(factor), reduced), base)
    result = e.select(x < 0.0, reflected(e, z, positive), positive.sum)
    result = result * e.select(huge, 2.0**100, 1.0)
    result = e.select(size.equals(0.0) | size.equals(float("inf")), float("inf"), result)
    return e.select(x.is_nan(), x, result)


def less_half(e: Emitter, a: Pair) -> Pair:
    return pairs.add(e, a, Pair(e.number(-0.5)))


def reflected(e: Emitter, z: Value, positive: Pair) -> Value:
    """lgamma(-z) from lgamma(z); for tiny z both are -log(z) to all digits."""
    tiny = z < 2.0**-60
    sine = sin_pi(e, e.select(tiny, 0.5, z))
    size = Pair(e.absolute(sine.hi), None if sine.lo is None else e.flip_sign(sine.lo, sine.hi))
    zero = size.hi.equals(0.0)
    bounded = e.smaller(e.larger(z, 2.0**-60), 2.0**60)
    one = Pair(e.number(1.0))
    product = pairs.multiply(e, Pair(bounded), pairs.select(e, zero, one, size))
    logarithm = plain_log(e, pairs.divide(e, pairs.constant(e, "pi"), product))
    result = pairs.add(e, logarithm, pairs.negative(positive)).sum
    result = e.select(zero, float("inf"), result)
    return e.select(tiny, positive.sum, result)


def times(e: Emitter, a: Pair, b: Value) -> Pair:
    """A pair times a number, not renormalised."""
    product = pairs.two_product(e, a.hi, b)
    if a.lo is None or product.lo is None:
        return product
    return Pair(product.hi, e.fma(a.lo, b, product.lo))


@elementary("digamma", wide=True)
def digamma(e: Emitter, x: Value) -> Value:
    """The derivative of lgamma:

    - 1 <= z < 2: (z - z0) Q(z), with z0 the zero in two words
    - z < 1:      digamma(z + 1) - 1/z
    - z < 8:      digamma(z - n) + 1/(z - n) + ... + 1/(z - 1), the sum as one fraction
    - z >= 8:     log z - 1/(2z) - T(1/z^2)/z^2

    For negative x = -z, digamma(z) + 1/z + pi/tan(pi z), which may cancel.
    """
    size = e.absolute(x)
    z = size
    below, above = z < 1.0, z >= float(LARGE)
    start = e.select(below, z + 1.0, z)
    steps = e.call("llvm.floor", e.smaller(start, float(LARGE))) - 1.0
    above_line, below_line = Pair(e.number(0.0)), Pair(e.number(1.0))
    for i in range(1, LARGE - 1):
        active = (steps >= float(i)) & ~above
        term = start - float(i)
        following = times(e, below_line, term)
        raised = pairs.add(e, times(e, above_line, term), below_line)
        above_line = pairs.select(e, active, raised, above_line)
        below_line = pairs.select(e, active, following, below_line)
    y = e.select(above, 1.5, start - steps)
    zero, rest = e.words("digamma_zero")[:2]
    # y - z0 is exact by Sterbenz's lemma, but for the second word of z0.
    distance = pairs.two_sum(e, y - zero, -rest)
    near = pairs.multiply(e, distance, leading_pair(e, "digamma", y - 1.5))
    far_z = e.select(above, z, 8.0)
    inverse, square = inverse_square(e, far_z)
    tail = e.fma(square, -e.polynomial("digamma_tail", square), inverse * -0.5)
    far = pairs.add(e, plain_log(e, Pair(far_z)), Pair(tail))
    base = pairs.select(e, above, far, near)
    sum_ = pairs.divide(e, above_line, below_line)
    value = pairs.add(e, base, sum_)
    # 1/z: taken away for 0 < x < 1; added for x <= -1; for -1 < x < 0 the two cancel.
    negative = x < 0.0
    sign = e.select(below, e.select(negative, 0.0, -1.0), e.select(negative, 1.0, 0.0))
    safe = e.smaller(e.larger(size, 2.0**-1020), 2.0**900)
    value = pairs.add(e, value, pairs.divide(e, Pair(sign), Pair(safe)))
    sine, cosine, n = sin_cos_pi(e, size)
    odd = is_odd(e, n)
    numerator = pairs.select(e, odd, pairs.negative(sine), cosine)
    denominator = pairs.select(e, odd, cosine, sine)
    cotangent = pairs.divide(e, pairs.multiply(e, numerator, pairs.constant(e, "pi")), denominator)
    reflection = pairs.add(e, value, cotangent).sum
    result = e.select(negative, reflection, value.sum)
    result = e.select(size < 2.0**-60, -1.0 / x, result)
    infinite = size.equals(float("inf"))
    result = e.select(infinite, size, result)
    pole = negative & (e.call("llvm.floor", size).equals(size) | infinite)
    return e.select(pole | x.is_nan(), float("nan"), result)
