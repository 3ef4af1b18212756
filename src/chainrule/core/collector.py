"""Keeping Python's cyclic garbage collector from walking a large tape again and again.

A tape has no cycles, and reference counting frees it; but its nodes are objects that the collector
visits, and it visits all living ones whenever their number has grown by a quarter.  For a growing
tape that doubles the cost of every operation.  So after a full collection that met many new nodes,
the next one waits until the number of objects has grown fourfold.  The thresholds go back to what
they were as soon as the newest node of that moment dies, that is, when the tape is released.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import ReferenceType, ref

from chainrule.core.node import Node, next_seq

MANY = 10_000  # nodes recorded since the last full collection
GROWTH = 3  # how many times as many objects may be added before the next one


class Watch:
    """What the collector's callback remembers between full collections."""

    seq = 0
    usual: tuple[int, int, int] | None = None  # the thresholds to return to
    raised: tuple[int, int, int] | None = None  # the thresholds in force for a large tape
    newest: ReferenceType[Node] | None = None


def after_collection(phase: str, info: dict[str, Any]) -> None:
    """Raise the threshold of full collections if the one that just ended met a growing tape."""
    if phase != "stop" or info["generation"] != 2:
        return
    now = next_seq()
    recorded, Watch.seq = now - Watch.seq, now
    if recorded < MANY:
        return
    objects = gc.get_objects()
    newest = next((x for x in objects[: -1 - MANY : -1] if type(x) is Node), None)
    if newest is None:
        return
    restore()
    young, middle, _ = Watch.usual = gc.get_threshold()
    if young == 0:
        return
    wait = GROWTH * len(objects) // (young * max(middle, 1))
    Watch.raised = (young, middle, max(Watch.usual[2], wait))
    Watch.newest = ref(newest, restore)
    gc.set_threshold(*Watch.raised)


@contextmanager
def paused() -> Iterator[None]:
    """No collections, for walks that make very many nodes and no cycles."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def restore(_: object = None) -> None:
    """Put the usual thresholds back, unless the program has set others in the meantime."""
    if Watch.raised is not None and Watch.usual is not None:
        if gc.get_threshold() == Watch.raised:
            gc.set_threshold(*Watch.usual)
        Watch.raised = Watch.newest = None


gc.callbacks.append(after_collection)
