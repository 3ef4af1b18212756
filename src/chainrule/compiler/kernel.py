"""A kernel as data: loops, accesses to buffers, scalar operations, stores and reductions.

A `Nest` is a set of loops around straight-line code on scalars; a `Kernel` is one or more nests
that share their outermost loop, and becomes one function. `arranged` chooses the loop order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np

from chainrule.compiler.lowering import cost_of

BLOCK = 512  # entries of a sum that may be added in any order; see docs/compiler.md
ROWS = 32  # rows that are added in order before they are folded into compensated sums
TILE = 128  # columns whose sums are kept at once
CHUNK = 1 << 15  # entries at least in one of the parts into which a full reduction is split
CHUNKS = 64  # such parts at most
STORES = 32  # in a nest, from which on they are made as early as possible


@dataclass(frozen=True)
class Access:
    """An entry of a buffer by the indices of the loops: offset + Σ stride·index, in entries.

    Attributes:
        buffer: the kernel's parameter.
    """

    buffer: int
    offset: int
    strides: tuple[int, ...]


@dataclass(frozen=True)
class Instruction:
    """One scalar operation.

    Attributes:
        op: "load", "gather", "number", "index", "position", "scan", "astype", or an operation of
            the table in `lowering.py`.
        dtype: of the result.
        args: places in the code of the operands; of a gather, of the indices.
        operand: the dtype of the operands.
        access: of a load or gather; the affine function that an "index" is, or the index along
            the axis of a "scan"; the entry that is
            written if a "position" is out of bounds.
        number: the constant; the bounds of a "position"; the operation of a "scan".
        strides: of a gather, by which its indices move, in entries.
    """

    op: str
    dtype: np.dtype[Any]
    args: tuple[int, ...] = ()
    operand: np.dtype[Any] | None = None
    access: Access | None = None
    number: Any = None
    strides: tuple[int, ...] = ()


@dataclass(frozen=True)
class Store:
    """A result that is written for every iteration.

    Attributes:
        mode: "put", or "add" to what is there.
        args, strides: places in the code of indices, and by how many entries they move.
    """

    value: int
    access: Access
    mode: str = "put"
    args: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()

    @property
    def scattered(self) -> bool:
        """Whether two iterations may write one entry."""
        return bool(self.args)


@dataclass(frozen=True)
class Reduction:
    """A result that is written once for all iterations of the reduced loops.

    Attributes:
        op: "sum", "prod", "max", "min", "any" or "all".
        value: the place in the code of what is reduced.
        access: where the result goes; its strides along reduced loops are 0.
        partial: the parameter that takes one result for each part of a split reduction, or None.
    """

    op: str
    value: int
    access: Access
    partial: int | None = None


@dataclass(frozen=True)
class Nest:
    """Loops around scalar operations.

    Attributes:
        extents: of the loops, outermost first.
        reduced: per loop whether it is reduced.
        code: the operations, each after its operands.
        rows: whether the first loop is shared with other nests, and must stay the first.
    """

    extents: tuple[int, ...]
    reduced: tuple[bool, ...]
    code: tuple[Instruction, ...]
    stores: tuple[Store, ...] = ()
    reductions: tuple[Reduction, ...] = ()
    rows: bool = False

    @property
    def accesses(self) -> list[Access]:
        """All accesses, those of stores first."""
        return [
            *[s.access for s in self.stores],
            *[r.access for r in self.reductions],
            *[c.access for c in self.code if c.access is not None],
        ]

    @property
    def by_lanes(self) -> bool:
        """Whether rows are reduced into many results at once: the innermost loop is kept."""
        return bool(self.reductions) and not self.reduced[-1]

    @property
    def over_rows(self) -> bool:
        """Whether it reduces over the loop that it shares with other nests."""
        return self.rows and self.reduced[0]

    @property
    def parts(self) -> tuple[int, int]:
        """Into how many parts a reduction of everything is split, and how long each is."""
        if not self.reductions or not all(self.reduced):
            return 1, self.extents[0] if self.extents else 1
        first = self.extents[0]
        wanted = min(CHUNKS, max(1, prod(self.extents) // CHUNK), first)
        length = -(-first // wanted)
        if len(self.extents) == 1:
            length = -(-length // BLOCK) * BLOCK
        return -(-first // length), length


@dataclass
class Kernel:
    """Nests that share their outermost loop.

    Attributes:
        dtypes: of the buffers, which are the parameters.
        written: the parameters that are written.
        title: what reports call it.
        rows: the parameters of which one row is needed at a time, and its entries: the function
            has memory of its own for it.
    """

    name: str
    dtypes: list[np.dtype[Any]]
    nests: list[Nest]
    written: set[int] = field(default_factory=set)
    title: str = ""
    rows: dict[int, int] = field(default_factory=dict)

    @property
    def ordered(self) -> bool:
        """Whether one thread has to run the outermost loop, in order.

        Iterations may write one entry, or need the one before.
        """
        return any(
            any(s.scattered for s in nest.stores)
            or any(c.op == "scan" and c.access and c.access.strides[0] for c in nest.code)
            for nest in self.nests
        )

    @property
    def trip(self) -> int:
        """The extent of the outermost loop, which threads may share."""
        return 1 if self.ordered else self.outermost

    @property
    def outermost(self) -> int:
        """The iterations of the outermost loop."""
        nest = self.nests[0]
        if not nest.extents:
            return 1
        if any(n.over_rows for n in self.nests):
            return sections_of(self.nests)[0]
        if nest.reductions and all(nest.reduced):
            return nest.parts[0]
        if nest.by_lanes and sum(not r for r in nest.reduced) == 1:
            return -(-nest.extents[-1] // TILE)
        return nest.extents[0]


def sections_of(nests: Sequence[Nest]) -> tuple[int, int]:
    """Into how many sections the shared loop over rows is split, and the rows of each.

    Sums over rows are made section by section; without such sums there is one section.
    """
    rows = nests[0].extents[0]
    if not any(nest.over_rows for nest in nests):
        return 1, rows
    longest = max(prod(nest.extents) // rows for nest in nests)
    wanted = max(1, 2 * CHUNK // longest, -(-rows // CHUNKS))
    length = -(-wanted // ROWS) * ROWS
    return -(-rows // length), length


def store_places(nest: Nest) -> dict[int, list[Store]]:
    """The stores to be made after each instruction, by its place in the code.

    Stores come last, as loads in long chains are scheduled badly between them. Very many are made
    as early as the entries that are still to be read allow: LLVM compares each store with all loads
    before it, and takes minutes for a thousand of both. Stores into one buffer keep their order.
    """
    last = len(nest.code) - 1
    if len(nest.stores) <= STORES or any(c.op == "scan" for c in nest.code):
        return {last: list(nest.stores)}
    earliest: dict[int, int] = {}  # by buffer, when it is not read any more
    for k, c in enumerate(nest.code):
        if c.access is not None:
            earliest[c.access.buffer] = k
    found: dict[int, list[Store]] = {}
    for store in nest.stores:
        buffer = store.access.buffer
        place = max(store.value, *store.args, earliest.get(buffer, 0))
        earliest[buffer] = place
        found.setdefault(place, []).append(store)
    return found


def work_of(kernel: Kernel) -> int:
    """About how many scalar operations a kernel takes."""
    return sum(
        prod(nest.extents) * sum(cost_of(c.op, c.dtype) for c in nest.code) for nest in kernel.nests
    )


def arranged(nest: Nest) -> Nest:
    """The same nest with its loops in the best order, and as few of them as possible.

    Outermost are kept loops. Innermost is the loop along which most accesses move to the next
    entry, stores counting first: so kept loops are innermost where rows are summed into a row.
    """
    order = list(range(len(nest.extents)))
    far = _reach if not nest.stores else _stored_reach
    order.sort(key=lambda k: (not (nest.rows and k == 0), -far(nest, k)))
    if order and nest.reductions and not nest.over_rows:
        innermost = order[-1]
        kept = [k for k in order if not nest.reduced[k]]
        gone = [k for k in order if nest.reduced[k]]
        order = kept + gone if nest.reduced[innermost] else kept[:-1] + gone + kept[-1:]
    nest = permuted(nest, order)
    k = len(nest.extents) - 2
    while k >= (1 if nest.rows else 0):
        if nest.reduced[k] == nest.reduced[k + 1] and _mergeable(nest, k):
            nest = _merged(nest, k)
        k -= 1
    return nest


def _reach(nest: Nest, k: int) -> int:
    """How far apart neighbours along a loop are in the arrays that are read."""
    return sum(abs(c.access.strides[k]) for c in nest.code if c.op == "load" and c.access)


def _stored_reach(nest: Nest, k: int) -> int:
    """How far apart neighbours along a loop are in the arrays that are written.

    Where a place is computed, the loops that do not move it otherwise move it as the index does.
    """
    return sum(abs(s.access.strides[k]) or max(s.strides, default=0) for s in nest.stores)


def permuted(nest: Nest, order: Sequence[int]) -> Nest:
    if list(order) == list(range(len(nest.extents))):
        return nest

    def moved(a: Access) -> Access:
        return Access(a.buffer, a.offset, tuple(a.strides[k] for k in order))

    return replace(
        changed(nest, moved),
        extents=tuple(nest.extents[k] for k in order),
        reduced=tuple(nest.reduced[k] for k in order),
    )


def _mergeable(nest: Nest, k: int) -> bool:
    inner = nest.extents[k + 1]
    return all(a.strides[k] == a.strides[k + 1] * inner for a in nest.accesses)


def _merged(nest: Nest, k: int) -> Nest:
    def shortened(a: Access) -> Access:
        return Access(a.buffer, a.offset, a.strides[:k] + a.strides[k + 1 :])

    return replace(
        changed(nest, shortened),
        extents=(*nest.extents[:k], nest.extents[k] * nest.extents[k + 1], *nest.extents[k + 2 :]),
        reduced=nest.reduced[:k] + nest.reduced[k + 1 :],
    )


def changed(nest: Nest, change: Callable[[Access], Access]) -> Nest:
    """The same nest with other accesses."""
    return replace(
        nest,
        code=tuple(
            [c if c.access is None else replace(c, access=change(c.access)) for c in nest.code]
        ),
        stores=tuple([replace(s, access=change(s.access)) for s in nest.stores]),
        reductions=tuple([replace(r, access=change(r.access)) for r in nest.reductions]),
    )
