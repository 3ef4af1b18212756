"""Taylor mode: every value carries the coefficients of its series in one variable.

A box holds a *series* x(ε) = Σ x_k ε^k.  The arithmetic of power series, (xy)_k = Σ x_j y_{k-j}, is
stated here for products and quotients, and for whatever is linear or bilinear.  Everything else
follows from the operation's own derivative rule, which is run on series: from y' = J(x) x',

    y_k = (1/k) (J(x) x')_{k-1},        where (x')_j = (j + 1) x_{j+1}.

The right-hand side uses coefficients of y below k only, so a rule may name the result (exp' = out).
Coefficients are computed on demand, one order after the other, and an operation that a rule applies
twice to the same series is computed once: sine asks for the cosine, whose rule asks for that same
sine.  So an elementary function costs O(order²).

Source: Griewank and Walther, Evaluating Derivatives, 2nd ed., chapter 13.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np

from chainrule.core.boxes import Box, Tag, note_view
from chainrule.core.calls import Call, fitted, operands
from chainrule.core.dtypes import is_inexact
from chainrule.core.namespaces import recorded as xp
from chainrule.core.partials import MINUS_ONE, NONE, ONE
from chainrule.core.primitive import Primitive
from chainrule.core.tensor import Tensor, new, wrap

Coefficient = Any  # a tensor, or None for zero


class Series:
    """Coefficients that are known, and how to find the next one.

    Attributes:
        known: the coefficients so far; None stands for zero.
        find: gives coefficient k when all before it are known; None if there are no more.
    """

    __slots__ = ("find", "known")

    def __init__(self, known: list[Coefficient], find: Callable[[int], Coefficient] | None) -> None:
        self.known = known
        self.find = find

    def __getitem__(self, k: int) -> Coefficient:
        known = self.known
        while len(known) <= k:
            if self.find is None:
                return None
            known.append(self.find(len(known)))
        return known[k]


class Jet(Box):
    """A value and its higher derivatives along one curve: `inner` is the series."""

    __slots__ = ()

    @property
    def coefficients(self) -> list[Coefficient]:
        """The known coefficients, normalised by k!; None stands for zero."""
        found: list[Coefficient] = self.inner.known
        return found

    def parts(self) -> list[Any]:
        return list(self.inner.known)

    def detach(self) -> Any:
        """The value without its derivatives."""
        return self.inner.known[0].detach()

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"Jet({', '.join('0' if c is None else repr(c) for c in self.inner.known)})"


class TaylorTag(Tag):
    """Taylor mode, running.

    Attributes:
        order: the highest coefficient that is wanted.
        lazy: whether coefficients wait until somebody asks: while rules run, and for series that
            are defined by an equation.
        made: what rules have already applied to which series.
    """

    __slots__ = ("created", "lazy", "made", "order")

    def __init__(self, title: str, order: int, lazy: bool = False) -> None:
        super().__init__(title)
        self.order = order
        self.lazy = lazy
        self.made: dict[Any, Any] = {}
        self.created: list[Series] = []

    def jet(self, first: Tensor, find: Callable[[int], Coefficient] | None) -> Jet:
        """A box with this first coefficient."""
        return self.boxed(Series([first], find))

    def boxed(self, series: Series) -> Jet:
        """A box around a series."""
        made: Jet = new(Jet)
        made.tag = self
        made.inner = series
        made.array = series.known[0].array
        made.node = None
        if self.lazy:
            self.created.append(series)
        return made

    def holds(self, x: Any) -> bool:
        """Whether a value has a series of this transform at the outermost level."""
        return type(x) is Jet and x.tag is self

    def first(self, x: Any) -> Any:
        """Coefficient 0."""
        return x.inner.known[0] if self.holds(x) else x

    def components(self, x: Any) -> list[Coefficient]:
        """The coefficients up to the order; those of what is not ours are zero from 1 on."""
        if self.holds(x):
            return [x.inner[k] for k in range(self.order + 1)]
        return [x] + [None] * self.order

    def joined(self, components: Sequence[Coefficient]) -> Any:
        """The value with these coefficients; the first is not None."""
        if all(c is None for c in components[1:]):
            return components[0]
        return self.boxed(Series(list(components), None))

    def with_primal(self, x: Jet, change: Callable[[Any], Any]) -> Jet:
        """The box with another coefficient 0 of the same value."""
        first, *rest = x.inner.known
        return self.boxed(Series([change(first), *rest], x.inner.find))

    def mapped_inner(self, x: Jet, change: Callable[[Any], Any]) -> Jet:
        """The box with all that is inside changed."""
        return self.boxed(Series([None if c is None else change(c) for c in x.inner.known], None))

    # ------------------------------------------------------------ one primitive

    def process(self, prim: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        if self.lazy:
            return self._once(prim, args, params)
        self.lazy = True
        try:
            out = self._once(prim, args, params)
            for y in out if isinstance(out, tuple) else (out,):
                if self.holds(y):
                    y.inner[self.order]
                    y.inner.find = None  # frees what the rules made
        finally:
            self.lazy = False
            self.made.clear()
            self.created.clear()
        shares = prim.view and len(args) == 1 and self.holds(out)  # indexing by arrays copies
        if shares and out.inner.known[0]._view is not None:
            note_view(out, args[0], prim, params)
        return out

    def _once(self, prim: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """Apply the primitive, unless that has been done: then the same series again."""
        key: Any = (prim, *map(_identity, args))
        try:
            key = (*key, *sorted(params.items())) if params else key
            known = self.made.get(key)
        except TypeError:  # a parameter that has no hash or order
            key = known = None
        if known is not None:
            return known[1]
        out = self._apply(prim, args, params, key)
        return out

    def _apply(self, prim: Primitive, args: Sequence[Any], params: dict[str, Any], key: Any) -> Any:
        firsts = [self.first(x) for x in args]
        out = prim.apply(firsts, params)
        if not prim.pushes:
            return out
        find = self._arithmetic(prim, args, params, out)
        if find is not None:
            if not is_inexact(out.array.dtype):
                return out
            made: Any = self.jet(out, find)
        else:
            made = self._by_rule(prim, args, firsts, params, out)
        if key is not None:
            self.made[key] = (args, made)  # the arguments stay alive, and so their identities
        return made

    def _arithmetic(
        self, prim: Any, args: Sequence[Any], params: dict[str, Any], out: Any
    ) -> Callable[[int], Coefficient] | None:
        """How to find coefficients of sums, products, quotients and linear maps."""
        if isinstance(out, tuple):
            return None
        partials = prim.partials
        if partials is not None:
            if prim.name == "multiply":
                pair = [self._lifted(x, out) for x in args]
                return lambda k: _product(pair[0], pair[1], k)
            if prim.name == "divide":
                return self._quotient(args, out)
            if all(case in (ONE, MINUS_ONE, NONE) for case, _ in partials):
                return lambda k: self._sum(prim, args, out, k)
            return None
        jvps = prim.jvps
        if not jvps or any(
            rule != "linear" for x, rule in zip(args, jvps, strict=False) if self.holds(x)
        ):
            return None
        return lambda k: self._multilinear(prim, args, params, k)

    def _lifted(self, x: Any, out: Any) -> Series:
        """A factor as a series, in the dtype of the product."""
        if self.holds(x):
            found: Series = x.inner
            if x.array.dtype == out.array.dtype:
                return found
            return Series([], lambda k: _cast(found[k], out))
        (first,) = operands_of_number(x)
        return Series([_cast(first, out) if isinstance(first, Tensor) else first], None)

    def _sum(self, prim: Any, args: Sequence[Any], out: Any, k: int) -> Coefficient:
        total = None
        for x, (case, _) in zip(args, prim.partials, strict=True):
            c = x.inner[k] if self.holds(x) and case != NONE else None
            if c is None:
                continue
            c = -c if case == MINUS_ONE else c
            total = c if total is None else total + c
        return None if total is None else fitted(total, out)

    def _quotient(self, args: Sequence[Any], out: Any) -> Callable[[int], Coefficient]:
        """z = x/y from x = z y:  z_k = (x_k - Σ_{j>=1} y_j z_{k-j}) / y_0."""
        x, y = [self._lifted(a, out) for a in args]
        below = y[0]
        known: list[Coefficient] = [out]
        z = Series(known, None)

        def find(k: int) -> Coefficient:
            rest = _product(y, z, k, start=1)
            top = x[k]
            if rest is not None:
                top = -rest if top is None else top - rest
            found = None if top is None else fitted(top / below, out)
            known.append(found)
            return found

        return find

    def _multilinear(
        self, prim: Primitive, args: Sequence[Any], params: dict[str, Any], k: int
    ) -> Coefficient:
        """Σ over i + j + ... = k of the primitive applied to coefficients i, j, ..."""
        factors = len(prim.jvps)  # type: ignore[attr-defined]
        places = [i for i, x in enumerate(args) if i < factors and self.holds(x)]
        args = [  # what follows the factors has no part in the derivative
            x.inner[0] if i >= factors and self.holds(x) else x for i, x in enumerate(args)
        ]
        total = None
        for split in _splits(k, len(places)):
            chosen = list(args)
            for i, j in zip(places, split, strict=True):
                chosen[i] = args[i].inner[j]
            if any(chosen[i] is None for i in places):
                continue
            term = prim.apply(chosen, params)
            total = term if total is None else total + term
        return total

    def _by_rule(
        self, prim: Primitive, args: Sequence[Any], firsts: Sequence[Any],
        params: dict[str, Any], out: Any,
    ) -> Any:  # fmt: skip
        """Series of the result (or results) from the primitive's jvp rule: y' = J(x) x'."""
        several = isinstance(out, tuple)
        outs = out if several else (out,)
        slopes: list[Any] = []  # the derivatives y', once found

        def slope(i: int) -> Any:
            if not slopes:
                tangents = [self._derivative(x) if self.holds(x) else None for x in args]
                given = tuple(made) if several else made[0]
                call: Any = Call(params, outs[0].array.dtype)
                found = prim.push(call, tangents, xp, operands(prim, args), given)
                slopes.extend(found if several and found is not None else [found] * len(outs))
            return slopes[i]

        def finder(i: int, y: Any) -> Callable[[int], Coefficient]:
            def find(k: int) -> Coefficient:
                dy = slope(i)
                c = dy.inner[k - 1] if self.holds(dy) else dy if k == 1 else None
                return None if c is None else fitted(c if k == 1 else c * (1 / k), y)

            return find

        made = [
            self.jet(y, finder(i, y)) if isinstance(y, Tensor) and is_inexact(y.array.dtype) else y
            for i, y in enumerate(outs)
        ]
        return tuple(made) if several else made[0]

    def _derivative(self, x: Jet) -> Any:
        """The series of x'."""
        key = ("derivative", id(x))
        known = self.made.get(key)
        if known is not None:
            return known[1]
        series = x.inner

        def find(k: int) -> Coefficient:
            c = series[k + 1]
            return c if c is None or k == 0 else c * (k + 1)

        first = find(0)
        made = self.jet(zeros_like(x) if first is None else first, find)
        self.made[key] = ((x,), made)
        return made


def zeros_like(x: Tensor) -> Tensor:
    """Zeros of the shape and dtype of a tensor."""
    made: Tensor = wrap(np.zeros(tuple(x.array.shape), x.array.dtype))
    return made


def operands_of_number(x: Any) -> tuple[Any]:
    """A constant factor: arrays as tensors, numbers as they are."""
    return (wrap(x) if isinstance(x, np.ndarray) else x,)


def _cast(c: Coefficient, out: Any) -> Coefficient:
    if c is None or c.array.dtype == out.array.dtype:
        return c
    return xp.astype(c, dtype=out.array.dtype)


def _identity(x: Any) -> Any:
    return x if isinstance(x, (bool, int, float, complex, str)) else id(x)


def _splits(k: int, n: int) -> Iterator[tuple[int, ...]]:
    """All ways to write k as a sum of n numbers."""
    if n == 2:
        return ((i, k - i) for i in range(k + 1))
    if n == 1:
        return iter([(k,)])
    return (s for s in product(range(k + 1), repeat=n) if sum(s) == k)


def _product(x: Series, y: Series, k: int, start: int = 0) -> Coefficient:
    """Σ x_j y_{k-j} over j from `start` to k."""
    total = None
    plain = True
    for j in range(start, k + 1):
        a = x[j]
        if a is None:
            continue
        b = y[k - j]
        if b is None:
            continue
        if plain and type(a) is Tensor and type(b) is Tensor and not (a.node or b.node):
            term = a.array * b.array
            total = term if total is None else total + term
            continue
        if plain:
            total = None if total is None else wrap(total)
            plain = False
        term = a * b
        total = term if total is None else total + term
    return wrap(total) if plain and total is not None else total


__all__ = ["Jet", "Series", "TaylorTag"]
