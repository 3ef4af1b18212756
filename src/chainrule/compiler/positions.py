"""Loads at indices that are values, and the check that these are inside their axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.compiler.kernel import Instruction

if TYPE_CHECKING:
    from chainrule.compiler.loops import Body

INT64 = np.dtype(np.int64)


class Positions:
    """Computed indices in one function.

    An index that is outside counts as 0, so nothing is read or written outside; that there was one
    is written to a buffer at the end.
    """

    def __init__(self, body: Body) -> None:
        self.body = body
        self.outside: dict[int, Any] = {}  # where that is noted, by the buffer's parameter

    def checked(self, c: Instruction, index: Any) -> Any:
        """An index in low..high-1, with `added` if it is negative."""
        body, s = self.body, self.body.scalars
        b = s.builder
        low, high, added = c.number
        zero = s.number(0, INT64)
        found = index
        if added:
            wrapped = b.add(index, s.number(added, INT64))
            found = b.select(b.icmp_signed("<", index, zero), wrapped, index)
        shifted = b.sub(index, s.number(low, INT64))
        inside = b.icmp_unsigned("<", shifted, s.number(high - low, INT64))
        assert c.access is not None
        note = self._note(c.access.buffer)
        wrong = b.not_(inside)
        if s.lanes > 1:
            lanes = body.lanes
            wrong = lanes.any(wrong if lanes.mask is None else b.and_(wrong, lanes.mask))
        b.store(b.or_(b.load(note), b.zext(wrong, body.size)), note)
        return b.select(inside, found, zero)

    def _note(self, parameter: int) -> Any:
        if parameter not in self.outside:
            body = self.body
            self.outside[parameter] = note = body.variable(body.size)
            with body.builder.goto_entry_block():
                body.builder.store(body.whole(0), note)
        return self.outside[parameter]

    def gathered(self, c: Instruction, moves: Sequence[Any], indices: Sequence[Any]) -> Any:
        """An entry at indices, or entries at several of each."""
        body, s = self.body, self.body.scalars
        b = s.builder
        assert c.access is not None
        if s.lanes == 1:
            steps = zip(moves, c.strides, strict=True)
            return s.load(body.pointer(c.access, indices, steps), c.dtype)
        lanes, item = body.lanes, c.dtype.itemsize
        first = b.ptrtoint(body.pointer(c.access, indices), body.size)
        along = c.access.strides[body.along] * item
        places = b.add(lanes.spread(first), lanes.steps(along))
        for index, stride in zip(moves, c.strides, strict=True):
            places = b.add(places, b.mul(index, s.number(stride * item, INT64)))
        return lanes.load_at(places, c.dtype)

    def single(self, moves: Sequence[Any]) -> list[Any]:
        """Indices that the loop does not change, as single numbers."""
        s = self.body.scalars
        if s.lanes == 1:
            return [*moves]
        return [s.builder.extract_element(x, s.ir.IntType(32)(0)) for x in moves]

    def finish(self) -> None:
        """The end of the function: an index out of bounds is told."""
        body = self.body
        b = body.builder
        for parameter, note in self.outside.items():
            found = b.load(note)
            with b.if_then(b.icmp_unsigned("!=", found, body.whole(0)), likely=False):
                b.store(found, body.buffers[parameter])
        b.ret_void()
