"""Where values left the tape: the last places at which a program cut a gradient off.

A value leaves the tape by `detach()`, `item()` and the like, by an operation that has no derivative
(a comparison, `argmax`, a conversion to integers), or because recording is switched off.  What was
cut is remembered weakly, so a note keeps neither tape nor arrays alive; `chainrule.explain.why`
reads the notes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import CodeType
from typing import Any, NamedTuple
from weakref import ref

import numpy as np

from chainrule.core.node import Leaf, Node
from chainrule.core.source import caller, describe
from chainrule.core.tensor import as_array

RECENT = 1000
NEAR = 64  # how many nodes before the one that is cut are looked at for leaves


class Cut(NamedTuple):
    """One place where a value left the tape.

    Attributes:
        kind: "detach()", "item()", ..., "no_grad", or the operation without a derivative.
        place: the user's code and instruction.
        sources: weak references to the node that was cut off and to leaves near it.
        result: a weak reference to the array that goes on without a record; None for a number.
        held: node and array, while cuts are collected.
    """

    kind: str
    place: tuple[CodeType | None, int]
    sources: tuple[Any, ...]
    result: Any
    held: tuple[Node | None, Any] | None

    @property
    def where(self) -> str:
        """The user's line."""
        return describe(*self.place)

    def nodes(self) -> list[Node]:
        """What is still known of what was cut off."""
        found = [weak() for weak in self.sources]
        return [n for n in found if n is not None]

    def array(self) -> Any:
        """The array that went on without a record, if it still exists."""
        if self.held is not None:
            return self.held[1]
        return None if self.result is None else self.result()


# The fields of `Cut`, as plain tuples, which are made three times as fast.
RING: deque[tuple[Any, ...]] = deque(maxlen=RECENT)
collector: ContextVar[deque[tuple[Any, ...]] | None] = ContextVar("chainrule_cuts", default=None)
_append = RING.append
_collecting = collector.get


def note(kind: str, node: Node | None, array: Any = None) -> None:
    """Note that the value of `node` left the tape at the user's current line."""
    sources = () if node is None else _sources(node)
    _put(kind, caller(2), sources, node, array)


def note_operation(prim: Any, parents: Sequence[Node | None], out: Any, kind: str = "") -> None:
    """Note that an operation on recorded values has a result without a record."""
    array = as_array(out[0] if type(out) is tuple else out)
    place = caller(2)
    for node in parents:
        if node is not None:
            _put(kind or prim.name, place, _nearest(node), node, array)


def note_comparison(prim: Any, node: Node, array: Any, place: Any) -> None:
    """The same for a comparison, which loops make in every round."""
    if _collecting() is None:
        _append((prim.name, place, _nearest(node), ref(array), None))
    else:
        _put(prim.name, place, _nearest(node), node, array)


def _put(kind: str, place: Any, sources: Any, node: Node | None, array: Any) -> None:
    weak = ref(array) if type(array) is np.ndarray else None
    found = _collecting()
    if found is None:
        _append((kind, place, sources, weak, None))
    else:
        found.append((kind, place, sources, weak, (node, array)))


def _nearest(node: Node) -> tuple[Any, ...]:
    """Weak references to a node and to the leaves among its parents."""
    found = [ref(node)]
    for p in node.parents:
        if type(p) is Leaf:
            found.append(ref(p))
    return tuple(found)


def _sources(node: Node) -> tuple[Any, ...]:
    """Weak references to a node, and to the leaves among the nodes right before it.

    The node itself dies with its tensor where nothing else uses it; the leaves live on.
    """
    found: list[Any] = [ref(node)]
    seen: set[Any] = {node, None}
    pending = [node]
    for _ in range(NEAR):
        if not pending:
            break
        for p in pending.pop().parents:
            if p not in seen:
                seen.add(p)
                if type(p) is Leaf:
                    found.append(ref(p))
                else:
                    pending.append(p)  # type: ignore[arg-type] # None counts as seen
    return tuple(found)


def recent() -> list[Cut]:
    """The last cuts, oldest first."""
    return [Cut(*fields) for fields in list(RING)]


@contextmanager
def collected() -> Iterator[list[Cut]]:
    """Collect the last cuts of a block, with what was cut, into a list that its end fills."""
    found: list[Cut] = []
    fields: deque[tuple[Any, ...]] = deque(maxlen=RECENT)
    token = collector.set(fields)
    try:
        yield found
    finally:
        collector.reset(token)
        found += [Cut(*each) for each in fields]


__all__ = ["Cut", "collected", "note", "note_comparison", "note_operation", "recent"]
