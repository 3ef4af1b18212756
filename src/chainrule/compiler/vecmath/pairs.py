"""Numbers as unevaluated sums of two: about twice the digits, where they are needed.

The algorithms are Dekker's and Knuth's (Muller, Elementary Functions, 3rd ed., section 2.2;
Dekker, Numerische Mathematik 18, 1971). In wide arithmetic a pair has no low word.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .emitter import Emitter, Value
from .polynomials import POLYNOMIALS


class Pair:
    """hi + lo, where lo is small against hi; None stands for a low word of zero.

    A loose pair is the result of an operation whose low word may be more than half a unit in
    the last place of the high one. It is put right when a word is asked for, and its sum, if that
    is all that is wanted, needs no such work.
    """

    __slots__ = ("_hi", "_lo", "_loose")

    def __init__(self, hi: Value, lo: Value | None = None, *, loose: bool = False) -> None:
        self._hi, self._lo, self._loose = hi, lo, loose

    def _settle(self) -> None:
        if self._loose and self._lo is not None:
            hi = self._hi + self._lo
            self._hi, self._lo = hi, self._lo - (hi - self._hi)
        self._loose = False

    @property
    def hi(self) -> Value:
        self._settle()
        return self._hi

    @property
    def lo(self) -> Value | None:
        self._settle()
        return self._lo

    @property
    def sum(self) -> Value:
        return self._hi if self._lo is None else self._hi + self._lo

    def map(self, operation: Callable[[Value], Value]) -> Pair:
        """An operation that is exact, on both words."""
        lo = None if self._lo is None else operation(self._lo)
        return Pair(operation(self._hi), lo, loose=self._loose)

    def choose(self, e: Emitter, condition: Value, other: Pair) -> Pair:
        """This pair where the condition holds, else the other."""
        hi = e.select(condition, self._hi, other._hi)
        if self._lo is None and other._lo is None:
            return Pair(hi)
        yes, no = (e.number(0.0) if p._lo is None else p._lo for p in (self, other))
        return Pair(hi, e.select(condition, yes, no), loose=self._loose or other._loose)


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


def residual(e: Emitter, a: Value, b: Value, c: Value) -> Value:
    """a - b c for b c near a: exactly, or to the digits of the type."""
    if e.fma_exists or e.is_wide:
        return e.fma(-b, c, a)
    product = two_product(e, b, c)
    assert product.lo is not None
    return (a - product.hi) - product.lo


def less_product(e: Emitter, a: Value, b: Value, c: Value) -> Value:
    """a - b c for |b c| < |a|, the product not rounded."""
    if e.fma_exists or e.is_wide:
        return e.fma(-b, c, a)
    product = two_product(e, b, c)
    total = fast_two_sum(e, a, -product.hi)
    assert product.lo is not None
    assert total.lo is not None
    return total.hi + (total.lo - product.lo)


def add(e: Emitter, a: Pair, b: Pair) -> Pair:
    total = two_sum(e, a.hi, b.hi)
    return Pair(total.hi, plus(total.lo, plus(a.lo, b.lo)), loose=True)


def add_smaller(e: Emitter, a: Pair, b: Pair) -> Pair:
    """a + b for |a| >= |b|."""
    total = fast_two_sum(e, a.hi, b.hi)
    return Pair(total.hi, plus(total.lo, plus(a.lo, b.lo)), loose=True)


def multiply(e: Emitter, a: Pair, b: Pair) -> Pair:
    product = two_product(e, a.hi, b.hi)
    lo = product.lo
    if lo is None:
        return product
    if b.lo is not None:
        lo = e.fma(a.hi, b.lo, lo)
    if a.lo is not None:
        lo = e.fma(a.lo, b.hi, lo)
    return Pair(product.hi, lo, loose=True)


def divide(e: Emitter, a: Pair, b: Pair) -> Pair:
    """a / b: one division for the reciprocal; the residual of the quotient is exact."""
    if e.is_wide:
        return Pair(a.hi / b.hi)
    reciprocal = 1 / b.hi
    quotient = a.hi * reciprocal
    rest = plus(residual(e, a.hi, quotient, b.hi), a.lo)
    assert rest is not None
    if b.lo is not None:
        rest = e.fma(-quotient, b.lo, rest)
    return Pair(quotient, rest * reciprocal, loose=True)


def constant(e: Emitter, name: str) -> Pair:
    """A constant of `words.py` as a pair."""
    hi, lo = e.words(name)[:2]
    return Pair(e.number(hi)) if e.is_wide else Pair(e.number(hi), e.number(lo))


def scaled(a: Pair, factor: Any) -> Pair:
    """A pair times a power of two, or -1; loose as before."""
    return a.map(lambda word: word * factor)


def negative(a: Pair) -> Pair:
    return a.map(lambda word: -word)


def select(e: Emitter, condition: Value, yes: Pair, no: Pair) -> Pair:
    return yes.choose(e, condition, no)


def square_root(e: Emitter, a: Pair) -> Pair:
    """sqrt(a) for a > 0: one step of Newton's method on the residual."""
    root = e.sqrt(a.hi)
    if e.is_wide:
        return Pair(root)
    rest = plus(residual(e, a.hi, root, root), a.lo)
    assert rest is not None
    return Pair(root, rest / (root + root), loose=True)


def leading_pair(e: Emitter, name: str, t: Value) -> Pair:
    """A polynomial whose first term, the greatest, is added as a pair."""
    first, *others = POLYNOMIALS[name][e.kind]
    return fast_two_sum(e, first, t * e.horner(tuple(others), t))
