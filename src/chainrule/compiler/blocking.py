"""How a product of matrices is divided: into tiles, terms at a time, and tasks for threads.

C (m × n) = A (m × k) · B (k × n), of which C's columns are neighbours in memory; where its rows
are, the product is the transposed one. Rows are divided evenly into blocks of the tile's height or
one less, columns into panels of the tile's width, terms evenly into stretches for which a panel
stays near in the caches. The rows of A that a task goes through stay in the second one meanwhile.

    A's blocks, copied before       for each task, a range of blocks by a range of panels:
                                        for each stretch of terms:
                                            for each panel: copy it
                                                for each block of rows: the tile, added to C

Terms are added in order within a stretch, and the stretches in order, whoever does it: the result
depends on nothing but the sizes and the processor.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from chainrule.compiler import library
from chainrule.compiler.gemm import Gemm
from chainrule.compiler.llvm import host
from chainrule.compiler.tiles import Tile, tile_for

TERMS = 256  # of a stretch at most
LINE = 64  # bytes of a line of the cache
NEAR = 1 << 19  # bytes of A that a task goes through for each panel: they stay in the second cache
TASKS = 8  # wanted, for threads that share them
FEWEST = 2  # panels of a task


# By measurement, with AVX-512: below, BLAS has functions for small matrices that copy nothing;
# beyond, the way from and to memory decides.
WORTH = 1 << 20  # multiplications
LARGEST_LEFT = 1 << 20  # bytes of A, which is copied
LARGEST = 1 << 22  # bytes of the result


@dataclass(frozen=True)
class Blocking:
    """A product of matrices in tiles.

    Attributes:
        gemm: the product, such that C's columns are neighbours.
        swapped: whether that is the transposed one, whose A is the right operand.
        tile: the largest tile.
        item: bytes of an entry.
    """

    gemm: Gemm
    swapped: bool
    tile: Tile
    item: int

    @property
    def asked(self) -> Gemm:
        """The product that was asked for."""
        return transposed(self.gemm) if self.swapped else self.gemm

    @property
    def work(self) -> int:
        """Multiplications."""
        return self.count * prod(self.gemm.extents)

    @property
    def count(self) -> int:
        """The products of a batch."""
        return prod(extent for extent, *_ in self.gemm.loops)

    @property
    def by_rows(self) -> bool:
        """Whether the copies of A's blocks are rows; else they are columns."""
        return self.gemm.left[1] == 1

    @property
    def turned(self) -> bool:
        """Whether B's columns are in one piece rather than its rows."""
        return self.gemm.right[1] != 1

    # ------------------------------------------------ rows

    @property
    def blocks(self) -> int:
        return -(-self.gemm.extents[0] // self.tile.rows)

    @property
    def rows(self) -> int:
        """Of the first blocks; the others have one less."""
        return -(-self.gemm.extents[0] // self.blocks)

    @property
    def tall(self) -> int:
        """How many blocks have `rows` rows."""
        return self.gemm.extents[0] - self.blocks * (self.rows - 1)

    # ------------------------------------------------ terms

    @property
    def stretches(self) -> int:
        return -(-self.gemm.extents[2] // TERMS)

    @property
    def terms(self) -> int:
        """Of a stretch; the last one may have less."""
        return -(-self.gemm.extents[2] // self.stretches)

    @property
    def far(self) -> int:
        """From one row to the next in a copy by rows.

        An odd number of lines, so that rows lie in different sets of the cache.
        """
        line = LINE // self.item
        return (-(-self.terms // line) | 1) * line

    @property
    def copied(self) -> int:
        """Entries of the copies of A."""
        m, _, k = self.gemm.extents
        return self.count * m * (self.stretches * self.far if self.by_rows else k)

    # ------------------------------------------------ columns and tasks

    @property
    def panels(self) -> int:
        return -(-self.gemm.extents[1] // self.tile.columns)

    @property
    def left_over(self) -> int:
        """Columns of a last panel that is not full; 0 if it is."""
        return self.gemm.extents[1] % self.tile.columns

    @cached_property
    def task(self) -> tuple[int, int]:
        """Blocks and panels of a task."""
        rows = max(1, NEAR // (self.terms * self.item))
        chunks = -(-self.gemm.extents[0] // rows)
        blocks = -(-self.blocks // chunks)
        groups = 1
        while self.count * chunks * groups < TASKS and self.panels >= 2 * groups * FEWEST:
            groups *= 2
        return blocks, -(-self.panels // groups)

    @property
    def grid(self) -> tuple[int, int]:
        """How many tasks a product has, by rows and by columns."""
        blocks, panels = self.task
        return -(-self.blocks // blocks), -(-self.panels // panels)

    @property
    def tasks(self) -> int:
        """Of the whole batch."""
        return self.count * prod(self.grid)


def blocking_of(gemm: Gemm, dtype: np.dtype[Any]) -> Blocking:
    """The product in tiles."""
    swapped = gemm.out[1] != 1
    return Blocking(transposed(gemm) if swapped else gemm, swapped, tile_for(dtype), dtype.itemsize)


def chosen(gemm: Gemm, dtype: np.dtype[Any]) -> Blocking | None:
    """How to compute a product in tiles; None if BLAS is there and faster, by measurement."""
    found = blocking_of(gemm, dtype)
    m, n, k = found.gemm.extents
    wide = host().vector_bits == 512 and n >= found.tile.columns
    near = m * k * found.item <= LARGEST_LEFT and m * n * found.item <= LARGEST
    if wide and near and m * n * k >= WORTH:
        return found  # without a look for BLAS, which takes long to import
    return found if library.missing() is not None else None


def transposed(gemm: Gemm) -> Gemm:
    """Cᵀ = BᵀAᵀ."""
    m, n, k = gemm.extents
    a, b = gemm.offsets
    return Gemm(
        loops=tuple([(extent, right, left, out) for extent, left, right, out in gemm.loops]),
        extents=(n, m, k),
        offsets=(b, a),
        left=gemm.right[::-1],
        right=gemm.left[::-1],
        out=gemm.out[::-1],
    )


LARGE = 1 << 26  # bytes that are multiplied, above which threads share a product: about 0.2 ms
MOVED = 1 << 21  # bytes that are copied, the same


@dataclass(frozen=True)
class Part:
    """One of the two steps of a product: the copies of A, or the tiles.

    Attributes:
        copies: whether it is the copies.
    """

    blocking: Blocking
    copies: bool

    @property
    def trip(self) -> int:
        """Of the loop that threads may share: over blocks, or over tasks."""
        plan = self.blocking
        return plan.count * plan.blocks if self.copies else plan.tasks

    @property
    def is_large(self) -> bool:
        """Whether threads may share it."""
        plan = self.blocking
        if self.copies:
            return self.trip > 1 and plan.copied * plan.item > MOVED
        return self.trip > 1 and plan.work * plan.item > LARGE
