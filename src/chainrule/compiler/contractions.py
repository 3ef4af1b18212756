"""Contractions: matrix products and their relatives in one normal form.

A contraction of two operands has letters, as in `einsum`. By what moves along a letter it is

    batch   both operands and the result,
    m       the left operand and the result,
    n       the right operand and the result,
    k       both operands: it is summed over.

What is repeated along a letter (its stride is 0) does not move there, so a weight that is
spread over a batch makes the batch a part of m: all examples are one matrix product. Letters of
one kind that all operands walk through evenly are one letter.

Few terms are added up in scalar code; longer sums that BLAS would not do faster are reductions,
with the loops of kernels; the rest are calls of BLAS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from chainrule.compiler.gemm import Gemm
from chainrule.compiler.maps import Row, Shape, contiguous_strides, strided
from chainrule.compiler.values import (
    CONTRACT,
    MAP,
    NUMBER,
    Unsupported,
    Value,
    apply,
    reduce,
    view,
    viewed,
    widened,
)

# Limits, by measurement: where scalar code and loops become slower than BLAS.
UNROLLED = 8  # terms of a sum that scalar code adds up
UNROLLED_NARROW = 16  # the same, where the result has few rows or columns
NARROW = 64
SMALLEST = 2  # rows or columns of a product for BLAS
SMALLEST_ALONG = 8  # the same, where loops add up long pieces of memory of the larger operand
LONG = 128
READ_AGAIN = 16  # times that an operand is read, from which on a copy of it pays


class Operand:
    """A value whose axes have letters.

    Attributes:
        strides: by letter the distance of neighbours in memory, in entries; 0 where it repeats.
        offset: of the first entry.
    """

    def __init__(
        self, value: Value, letters: str, memory: Callable[[Value], Shape] | None = None
    ) -> None:
        self.value = value
        self.letters = letters
        self.sizes = dict(zip(letters, value.shape, strict=True))
        base, rows = viewed(value)
        strides: Sequence[int] = memory(base) if memory else contiguous_strides(base.shape)
        self.offset = 0
        if value.kind == NUMBER:
            strides = [0] * value.ndim
        elif rows is not None:
            self.offset, strides = strided(rows, strides, value.ndim)
        found = zip(letters, strides, strict=True)
        self.strides = {c: s if self.sizes[c] != 1 else 0 for c, s in found}

    def moves(self, letter: str) -> bool:
        return self.strides.get(letter, 0) != 0

    def taken(self, order: str, at: Mapping[str, int] | None = None) -> Value:
        """The value with axes in an order: of length 1 along letters it does not move along; at a
        place along letters that are not in the order."""
        place = {c: i for i, c in enumerate(order)}
        rows: list[Row] = []
        for c in self.letters:
            if not self.moves(c):
                rows.append((0, ()))
            elif c in place:
                rows.append((0, ((place[c], 1),)))
            else:
                rows.append(((at or {})[c], ()))
        shape = tuple(self.sizes[c] if self.moves(c) else 1 for c in order)
        return view(self.value, tuple(rows), shape)

    def packed(self, order: str) -> Operand:
        """A copy that moves along the letters of the order, the last one fastest."""
        found = self.taken(order)
        return Operand(Value(MAP, "pack", (found,), found.shape, found.dtype), order)

    def span(self, letters: Sequence[str]) -> tuple[int, int] | None:
        """Extent and stride of letters as one; None if they are not one."""
        extent, stride = 1, 1
        for c in reversed(letters):
            if extent != 1 and self.strides[c] != stride * extent:
                return None
            if extent == 1:
                stride = self.strides[c]
            extent *= self.sizes[c]
        return extent, stride

    def by_stride(self, letters: Sequence[str]) -> list[str]:
        return sorted(letters, key=lambda c: -abs(self.strides[c]))


class Product:
    """A contraction of two operands of one dtype, taken apart by letters.

    Attributes:
        order: the letters of the result that anything moves along, in the result's order.
        batch, m, n, k: the letters by kind.
        one_sided: summed letters along which not both operands move.
    """

    def __init__(self, a: Value, b: Value, equation: str) -> None:
        terms, out = equation.split("->")
        left, right = terms.split(",")
        self.a, self.b = a_, b_ = Operand(a, left), Operand(b, right)
        self.sizes = {**self.a.sizes, **self.b.sizes}
        self.out = out
        self.order = [c for c in out if a_.moves(c) or b_.moves(c)]
        self.batch = [c for c in self.order if a_.moves(c) and b_.moves(c)]
        self.m = [c for c in self.order if not b_.moves(c)]
        self.n = [c for c in self.order if not a_.moves(c)]
        summed = [c for c in self.sizes if c not in out and self.sizes[c] != 1]
        self.k = [c for c in summed if a_.moves(c) and b_.moves(c)]
        self.one_sided = [c for c in summed if c not in self.k]

    def extent(self, letters: Sequence[str]) -> int:
        return prod(self.sizes[c] for c in letters)

    def value(self) -> Value:
        """The result."""
        terms = self.extent(self.k) * self.extent(self.one_sided)
        narrow = min(self.extent(self.m), self.extent(self.n)) <= NARROW
        if terms <= (UNROLLED_NARROW if narrow else UNROLLED):
            found = self._unrolled()
        elif self._is_large():
            found = self._gemm()
        else:
            found = self._reduced()
        place = {c: i for i, c in enumerate(self.out)}
        rows = tuple((0, ((place[c], 1),)) for c in self.order)
        return view(found, rows, tuple(self.sizes[c] for c in self.out))

    def _is_large(self) -> bool:
        """Whether it is for BLAS."""
        if self.a.value.dtype.kind != "f" or self.one_sided:
            return False
        m, n, k = (self.extent(x) for x in (self.m, self.n, self.k))
        larger = self.a if m >= n else self.b
        along = any(larger.strides[c] == 1 for c in self.k)
        least = SMALLEST_ALONG if along and k >= LONG else SMALLEST
        return min(m, n) >= least and max(m, n, k) < 2**31

    # ------------------------------------------------ in kernels

    def _unrolled(self) -> Value:
        """The terms, added up one after the other."""
        kept = "".join(self.order)
        places: list[dict[str, int]] = [{}]
        for c in (*self.k, *self.one_sided):
            places = [{**at, c: i} for at in places for i in range(self.sizes[c])]
        floating = self.a.value.dtype.kind == "f"
        found: Value | None = None
        left, right = self._lined_up(self.a), self._lined_up(self.b)
        for at in places:
            x, y = left.taken(kept, at), right.taken(kept, at)
            if found is None:
                found = _times(x, y)
            elif floating:
                found = apply("multiply_add", x, y, found)
            else:
                found = _plus(found, _times(x, y))
        assert found is not None
        return widened(found, tuple(self.sizes[c] for c in self.order))

    def _lined_up(self, x: Operand) -> Operand:
        """An operand whose neighbours along the innermost loop are neighbours in memory, if it is
        read so often that a copy pays."""
        if not self.order or not x.moves(self.order[-1]) or x.strides[self.order[-1]] == 1:
            return x
        moving = [c for c in (*self.k, *self.one_sided, *self.order) if x.moves(c)]
        if READ_AGAIN * self.extent(moving) > self.extent(self.order):
            return x
        return x.packed("".join(moving))

    def _reduced(self) -> Value:
        """A reduction of products."""
        letters = "".join([*self.order, *self.k, *self.one_sided])
        a, b = self._along(self.a, self.b), self._along(self.b, self.a)
        terms = _times(a.taken(letters), b.taken(letters))
        terms = widened(terms, tuple(self.sizes[c] for c in letters))
        op = "any" if terms.dtype.kind == "b" else "sum"
        return reduce(op, terms, range(len(self.order), len(letters)))

    def _along(self, x: Operand, other: Operand) -> Operand:
        """An operand, or a copy that lies along the sum as the other one does, if that is read
        so much more that the copy pays: few columns are no vectors, but a sum is."""
        kept = [c for c in self.order if x.moves(c)]
        lies, wanted = (any(y.strides[c] == 1 for c in self.k) for y in (x, other))
        size = self.extent(kept) * self.extent(self.k)
        rows = self.extent([c for c in self.order if other.moves(c)])
        pays = READ_AGAIN * size <= rows * self.extent(self.k)
        if not kept or lies or not wanted or not pays or self.one_sided:
            return x
        return x.packed("".join([*kept, *other.by_stride(self.k)]))

    # ------------------------------------------------ by BLAS

    def _gemm(self) -> Value:
        """A call for every entry of the batch, with operands that BLAS can read."""
        a, b = self.a, self.b
        summed = a.by_stride(self.k)
        if b.span(summed) is None and b.span(b.by_stride(self.k)) is not None:
            summed = b.by_stride(self.k)
        batch, m, n = (_ordered(x, a, b) for x in (self.batch, self.m, self.n))
        if not _is_matrix(a, m, summed):
            a = a.packed("".join([*batch, *m, *summed]))
        if not _is_matrix(b, n, summed):
            b = b.packed("".join([*batch, *n, *summed]))
        order = self._layout(batch, m, n)
        shape = tuple(self.sizes[c] for c in order)
        made = Matrices((a.letters, b.letters, "".join(order)), batch, m, n, summed)
        value = Value(CONTRACT, "gemm", (a.value, b.value), shape, a.value.dtype, made)
        rows = tuple((0, ((self.order.index(c), 1),)) for c in order)
        return view(value, rows, tuple(self.sizes[c] for c in self.order))

    def _steps(self, order: list[str]) -> dict[str, int]:
        return dict(
            zip(order, contiguous_strides(tuple(self.sizes[c] for c in order)), strict=True)
        )

    def _layout(self, batch: list[str], m: list[str], n: list[str]) -> list[str]:
        """The order of the axes in which the result is written: as wanted, if BLAS can."""
        text = "".join(self.order)
        whole = "".join(m) in text and "".join(n) in text
        far = self._steps(self.order)
        if whole and self.order[-1] in (m[-1], n[-1]) and max(far[m[-1]], far[n[-1]]) < 2**31:
            return self.order
        return [*batch, *m, *n]


def _ordered(letters: list[str], a: Operand, b: Operand) -> list[str]:
    """Letters of one kind in the order of the result, if that makes them one, else of memory."""
    for x in (a, b):
        moving = [c for c in letters if x.moves(c)]
        if len(moving) == len(letters) and letters and x.span(letters) is None:
            other = x.by_stride(letters)
            return other if x.span(other) is not None else letters
    return letters


@dataclass(frozen=True)
class Matrices:
    """What a product of matrices multiplies.

    Attributes:
        letters: of the axes of both operands and of the result.
        batch, m, n, k: letters by kind, such that those of m, n and k are one each.
    """

    letters: tuple[str, str, str]
    batch: list[str]
    m: list[str]
    n: list[str]
    k: list[str]

    def gemm(self, value: Value, memory: Callable[[Value], Shape]) -> Gemm:
        """The calls of BLAS.

        Args:
            value: the result.
            memory: gives the strides of a value that stands in memory.
        """
        values = (*value.args, value)
        a, b, out = (Operand(v, t, memory) for v, t in zip(values, self.letters, strict=True))

        def extent(letters: list[str]) -> int:
            return prod(out.sizes.get(c) or a.sizes[c] for c in letters)

        def step(x: Operand, letters: list[str]) -> int:
            return x.strides[letters[-1]]

        return Gemm(
            loops=tuple(
                (out.sizes[c], a.strides[c], b.strides[c], out.strides[c]) for c in self.batch
            ),
            extents=(extent(self.m), extent(self.n), extent(self.k)),
            offsets=(a.offset, b.offset),
            left=(step(a, self.m), step(a, self.k)),
            right=(step(b, self.k), step(b, self.n)),
            out=(step(out, self.m), step(out, self.n)),
        )


def _is_matrix(x: Operand, rows: Sequence[str], columns: Sequence[str]) -> bool:
    """Whether BLAS can read it: one of the two strides is 1, the other at least the extent."""
    one, two = x.span(rows), x.span(columns)
    if one is None or two is None:
        return False
    (_, far), (inner, near) = sorted((one, two), key=lambda e: -e[1])
    return near == 1 and inner <= far < 2**31


def _times(x: Value, y: Value) -> Value:
    return apply("logical_and" if x.dtype.kind == "b" else "multiply", x, y)


def _plus(x: Value, y: Value) -> Value:
    return apply("logical_or" if x.dtype.kind == "b" else "add", x, y)


# ---------------------------------------------------------------- primitives


def contract(a: Value, b: Value, equation: str) -> Value:
    """A contraction of two values.

    Args:
        equation: in einsum's letters; none repeats in an operand, and each of the result's is in
            an operand.

    Raises:
        Unsupported: if the operands have different dtypes.
    """
    if a.dtype != b.dtype:
        raise Unsupported(f"a product of {a.dtype} and {b.dtype} has no compiled form")
    return Product(a, b, equation).value()


_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def _free(count: int, taken: str) -> str:
    found = [c for c in _LETTERS if c not in taken][:count]
    if len(found) < count:
        raise Unsupported("a product of arrays with this many axes has no compiled form")
    return "".join(found)


def _fixed(equation: str) -> Any:
    return lambda a, b: contract(a, b, equation)


def batched(a: Value, b: Value) -> Value:
    """`bmm`: matrices whose batches broadcast."""
    batch = _free(max(a.ndim, b.ndim) - 2, "mnk")
    left, right = (batch[len(batch) - (x.ndim - 2) :] for x in (a, b))
    sizes: dict[str, int] = {}
    for letters, x in ((left, a), (right, b)):
        for c, d in zip(letters, x.shape, strict=False):
            sizes[c] = max(d, sizes.get(c, 1))
    a, b = (
        widened(x, (*[sizes[c] for c in letters], *x.shape[-2:]))
        for x, letters in ((a, left), (b, right))
    )
    return contract(a, b, f"{left}mk,{right}kn->{batch}mn")


def linear(x: Value, weight: Value, bias: Value | None = None) -> Value:
    """x @ weightᵀ + bias."""
    rest = _free(x.ndim - 1, "nk")
    found = contract(x, weight, f"{rest}k,nk->{rest}n")
    return found if bias is None else apply("add", found, bias)


def linear_each(x: Value, weight: Value, bias: Value | None = None) -> Value:
    """x @ weightᵀ + bias, each example with a weight and a bias of its own."""
    rest = _free(x.ndim - 2, "bnk")
    found = contract(x, weight, f"b{rest}k,bnk->b{rest}n")
    if bias is None:
        return found
    rows = tuple(
        (0, ()) if d == 1 else (0, ((axis, 1),))
        for axis, d in zip((0, x.ndim - 1), bias.shape, strict=True)
    )
    spread = view(bias, rows, (bias.shape[0], *(1,) * len(rest), bias.shape[1]))
    return apply("add", found, spread)


def single(x: Value, equation: str) -> Value:
    """Diagonals of letters that repeat, sums over letters that the result lacks, a new order."""
    letters, out = equation.split("->")
    gone = [c for c in dict.fromkeys(letters) if c not in out]
    order = [*out, *gone]
    sizes = dict(zip(letters, x.shape, strict=True))
    rows = tuple((0, ((order.index(c), 1),)) if sizes[c] != 1 else (0, ()) for c in letters)
    found = view(x, rows, tuple(sizes[c] for c in order))
    op = "any" if x.dtype.kind == "b" else "sum"
    return reduce(op, found, range(len(out), len(order)))


CONTRACTIONS: dict[str, Any] = {
    "dot": _fixed("k,k->"),
    "mv": _fixed("mk,k->m"),
    "mm": _fixed("mk,kn->mn"),
    "bmm": batched,
    "linear": linear,
    "linear_each": linear_each,
    "contract_pair": contract,
    "contract_single": single,
}
