"""Numbers as unevaluated sums of two: about twice the digits, where they are needed.

The algorithms are Dekker's and Knuth's (Muller, Elementary Functions, 3rd ed., section 2.2;
Dekker, Numerische Mathematik 18, 1971). In wide arithmetic a pair has no low word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .emitter import Emitter, Value
from .polynomials import POLYNOMIALS


@dataclass(frozen=True)
class Pair:
    """hi + lo, where lo is small against hi; None stands for a low word of zero."""

    hi: Value
    lo: Value | None = None

    @property
    def sum(self) -> Value:
        return self.hi if self.lo is None else self.hi + self.lo


def plus(a: Value | None, b: Value | None) -> Value | None:
    """A sum in which None is zero."""
    if a is None or b is None:
        return a if b is None else b
    return a + b


def fast_two_sum(e: Emitter, a: Any, b: Any) -> Pair:
    """a + b exactly, for |a| >= |b| or a = 0."""
    a, b = (v if isinstance(v, Value) else e.number(v) for v in (a, b))
    hi = a + b
    return Pair(hi) if e.is_wide else Pair(hi, b - (hi - a))


def two_sum(e: Emitter, a: Any, b: Any) -> Pair:
    """a + b exactly."""
    a, b = (v if isinstance(v, Value) else e.number(v) for v in (a, b))
    hi = a + b
    if e.is_wide:
        return Pair(hi)
    of_b = hi - a
    return Pair(hi, (a - (hi - of_b)) + (b - of_b))


def _halves(e: Emitter, a: Value) -> tuple[Value, Value]:
    """Veltkamp's splitting into two numbers of half the digits."""
    factor = 2.0 ** ((e.format.digits + 1) // 2) + 1
    c = a * factor
    high = c - (c - a)
    return high, a - high


def two_product(e: Emitter, a: Any, b: Any) -> Pair:
    """a * b exactly, unless it underflows (without fma also: unless |a| or |b| is huge)."""
    a, b = (v if isinstance(v, Value) else e.number(v) for v in (a, b))
    hi = a * b
    if e.is_wide:
        return Pair(hi)
    if e.fma_exists:
        return Pair(hi, e.fma(a, b, -hi))
    (ah, al), (bh, bl) = _halves(e, a), _halves(e, b)
    return Pair(hi, al * bl - (((hi - ah * bh) - al * bh) - ah * bl))


def renormalised(e: Emitter, hi: Value, lo: Value | None) -> Pair:
    """The same sum with the low word below half a unit in the last place of the high one."""
    if lo is None:
        return Pair(hi)
    return fast_two_sum(e, hi, lo) if not e.is_wide else Pair(hi + lo)


def add(e: Emitter, a: Pair, b: Pair) -> Pair:
    total = two_sum(e, a.hi, b.hi)
    return renormalised(e, total.hi, plus(total.lo, plus(a.lo, b.lo)))


def add_smaller(e: Emitter, a: Pair, b: Pair) -> Pair:
    """a + b for |a| >= |b|."""
    total = fast_two_sum(e, a.hi, b.hi)
    return renormalised(e, total.hi, plus(total.lo, plus(a.lo, b.lo)))


def multiply(e: Emitter, a: Pair, b: Pair) -> Pair:
    product = two_product(e, a.hi, b.hi)
    lo = product.lo
    if lo is None:
        return product
    if b.lo is not None:
        lo = e.fma(a.hi, b.lo, lo)
    if a.lo is not None:
        lo = e.fma(a.lo, b.hi, lo)
    return renormalised(e, product.hi, lo)


def divide(e: Emitter, a: Pair, b: Pair) -> Pair:
    """a / b: one division for the reciprocal; the residual of the quotient is exact."""
    if e.is_wide:
        return Pair(a.hi / b.hi)
    reciprocal = 1 / b.hi
    quotient = a.hi * reciprocal
    product = two_product(e, quotient, b.hi)
    assert product.lo is not None
    rest = plus((a.hi - product.hi) - product.lo, a.lo)
    assert rest is not None
    if b.lo is not None:
        rest = e.fma(-quotient, b.lo, rest)
    return renormalised(e, quotient, rest * reciprocal)


def constant(e: Emitter, name: str) -> Pair:
    """A constant of `words.py` as a pair."""
    hi, lo = e.words(name)[:2]
    return Pair(e.number(hi)) if e.is_wide else Pair(e.number(hi), e.number(lo))


def negative(a: Pair) -> Pair:
    return Pair(-a.hi, None if a.lo is None else -a.lo)


def select(e: Emitter, condition: Value, yes: Pair, no: Pair) -> Pair:
    hi = e.select(condition, yes.hi, no.hi)
    if yes.lo is None and no.lo is None:
        return Pair(hi)
    zero = e.number(0.0)
    yes_lo, no_lo = (zero if p.lo is None else p.lo for p in (yes, no))
    return Pair(hi, e.select(condition, yes_lo, no_lo))


def square_root(e: Emitter, a: Pair) -> Pair:
    """sqrt(a) for a > 0: one step of Newton's method on the residual."""
    root = e.sqrt(a.hi)
    if e.is_wide:
        return Pair(root)
    product = two_product(e, root, root)
    assert product.lo is not None
    rest = plus((a.hi - product.hi) - product.lo, a.lo)
    assert rest is not None
    return renormalised(e, root, rest / (root + root))


def leading_pair(e: Emitter, name: str, t: Value) -> Pair:
    """A polynomial whose first term, the greatest, is added as a pair."""
    first, *others = POLYNOMIALS[name][e.kind]
    return fast_two_sum(e, first, t * e.horner(tuple(others), t))
