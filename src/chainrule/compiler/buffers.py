"""Buffers, and where in one piece of memory the temporary ones stand."""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from chainrule.compiler.maps import Shape

ALIGNMENT = 64  # a cache line, and the widest vector

GIVEN = "given"  # an input of the graph
CONSTANT = "constant"
OUTPUT = "output"  # a fresh array that is returned
TEMPORARY = "temporary"
MADE = "made"  # by a call of NumPy
FLAG = "flag"  # not 0 if an index was out of bounds


@dataclass(eq=False)
class Buffer:
    """An array in C order.

    Attributes:
        index: its place in the program's table.
        kind: one of the constants above.
        value: the array of a constant.
        first, last: the steps that write it and that need it last.
        offset: where a temporary one begins, in bytes.
        place: the buffer in whose memory it stands; None if it has memory of its own.
        filled: whether it is written part by part.
    """

    index: int
    kind: str
    shape: Shape
    dtype: np.dtype[Any]
    value: Any = None
    first: int = -1
    last: int = -1
    offset: int = 0
    place: Buffer | None = None
    filled: bool = False

    @property
    def root(self) -> Buffer:
        """The buffer that has the memory."""
        found = self
        while found.place is not None:
            found = found.place
        return found

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize


def arrange(buffers: list[Buffer]) -> int:
    """Give temporary buffers their offsets; the bytes that all of them take together.

    Each takes the first gap that is large enough among those needed at the same time.
    """
    for b in buffers:
        if b.place is not None:
            b.root.first, b.root.last = min(b.root.first, b.first), max(b.root.last, b.last)
    waiting = [b for b in buffers if b.kind == TEMPORARY and b.place is None]
    waiting.sort(key=lambda b: (b.first, b.index))
    taken: list[tuple[int, int, int]] = []  # (offset, end, last), by offset
    total = 0
    for buffer in waiting:
        taken = [t for t in taken if t[2] >= buffer.first]
        need = max(-(-buffer.nbytes // ALIGNMENT) * ALIGNMENT, ALIGNMENT)
        offset = 0
        for start, end, _ in taken:
            if start - offset >= need:
                break
            offset = max(offset, end)
        buffer.offset = offset
        insort(taken, (offset, offset + need, buffer.last))
        total = max(total, offset + need)
    return total
