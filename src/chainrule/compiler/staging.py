"""Results that go to scattered places, held back for a block of iterations.

A loop whose stores are far apart, or at computed places, is not made into vectors. So a block of
it is computed into a small array of its own, entry beside entry, which stays in the first cache;
then the entries are written to where they belong, one after the other, in order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.compiler.kernel import Nest, Store
from chainrule.compiler.lowering import cost_of, has_rare

if TYPE_CHECKING:
    from chainrule.compiler.loops import Body

ENTRIES = 2048  # that are held back at once
SHORTEST, LONGEST = 16, 512  # iterations of a block
WORTH = 12  # instructions for which a loop is worth a second one
_INT64 = np.dtype(np.int64)


class Staging:
    """The stores of a nest that are held back, and the memory in which their values wait.

    Attributes:
        block: iterations.
    """

    def __init__(self, body: Body, nest: Nest) -> None:
        self.body = body
        self.nest = nest
        self.stores = held_back(nest)
        count = sum(1 + len(s.args) for s in self.stores)
        self.block = min(LONGEST, max(SHORTEST, ENTRIES // max(count, 1) // 16 * 16))
        self.start: Any = None
        self.memory = [self._memory(nest.code[s.value].dtype) for s in self.stores]
        self.indices = [[self._memory(_INT64) for _ in s.args] for s in self.stores]

    def _memory(self, dtype: np.dtype[Any]) -> Any:
        # A boolean waits as the byte that it is in memory.
        return self.body.variable(self.body.scalars.memory_type(dtype), self.block)

    def _at(self, memory: Any, i: Any) -> Any:
        b = self.body.builder
        j = b.sub(i, self.start, flags=["nsw"])
        return b.gep(memory, [j], inbounds=True)

    def hold(self, values: list[Any], i: Any) -> None:
        """Keep what iteration i of the innermost loop makes, and those that it stands for."""
        for store, memory, indices in zip(self.stores, self.memory, self.indices, strict=True):
            kept = [(values[store.value], memory, self.nest.code[store.value].dtype)]
            kept += [(values[a], m, _INT64) for a, m in zip(store.args, indices, strict=True)]
            for value, place, dtype in kept:
                if self.body.scalars.lanes > 1:
                    self.body.lanes.store(value, self._at(place, i), 1, dtype)
                else:
                    self.body.scalars.store(value, self._at(place, i), dtype)

    def release(self, outer: list[Any], stop: Any) -> None:
        """Write what iterations from `start` to `stop` have made."""
        body, s = self.body, self.body.scalars
        with body.loop(self.start, stop, "held") as i:
            for store, memory, indices in zip(self.stores, self.memory, self.indices, strict=True):
                value = s.load(self._at(memory, i), self.nest.code[store.value].dtype)
                found = [s.load(self._at(kept, i), _INT64) for kept in indices]
                moves = zip(found, store.strides, strict=True)
                body.put(value, store, body.pointer(store.access, [*outer, i], moves))


def varying(nest: Nest, loop: int) -> list[bool]:
    """Which operations of a nest a loop changes, by their place in the code."""
    found: list[bool] = []
    for c in nest.code:
        moves = c.access is not None and c.access.strides[loop] != 0
        found.append(moves or c.op == "scan" or any(found[a] for a in c.args))
    return found


def is_serial(nest: Nest, loop: int) -> bool:
    """Whether iterations of an innermost loop have to be computed one after the other."""
    if any(c.op == "scan" and c.access and c.access.strides[loop] for c in nest.code):
        return True
    moved = varying(nest, loop)
    held = held_back(nest)
    return any(moved[a] for s in nest.stores if s not in held for a in s.args)


def held_back(nest: Nest) -> list[Store]:
    """The stores of a nest that are better made block by block; none if that is not worth it."""
    if not nest.extents or nest.reductions or any(c.op == "scan" for c in nest.code):
        return []
    moved = varying(nest, len(nest.extents) - 1)
    apart = [s for s in nest.stores if s.access.strides[-1] != 1 or any(moved[a] for a in s.args)]
    work = sum(cost_of(c.op, c.dtype) for c in nest.code if c.op not in ("load", "number"))
    # What is added may be added once only: not again when rare arguments are computed again.
    again = any(has_rare(c.op, c.dtype) for c in nest.code)
    if again and any(s.mode == "add" for s in nest.stores):
        return [*apart, *[s for s in nest.stores if s.mode == "add" and s not in apart]]
    return apart if work >= WORTH else []
