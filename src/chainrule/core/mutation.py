"""The mutation log: which buffers were written in place, when, and by which line.

Plain eager code pays nothing for version checking.  A write notes the buffer that owns the memory;
a backward pass compares, for every array a node kept, the time of the buffer's last write with the
node's own.  An entry disappears with its buffer.
"""

from __future__ import annotations

from types import CodeType
from typing import Any
from weakref import ReferenceType, ref

import numpy as np

from chainrule.core.modes import lifting
from chainrule.core.node import Freed, Node, next_seq
from chainrule.core.source import caller, describe


class Write:
    """The writes that one buffer has seen: how many, and when and where the last one was."""

    __slots__ = ("code", "count", "lasti", "owner", "seq")

    def __init__(self, owner: ReferenceType[Any]) -> None:
        self.owner = owner
        self.count = 0
        self.seq = 0
        self.code: CodeType | None = None
        self.lasti = -1


ndarray = np.ndarray
LOG: dict[int, Write] = {}


class Log:
    """What holds for the log as a whole: the time of its latest write."""

    last = 0


def owner_of(array: Any) -> Any:
    """The array that owns the memory which `array` looks at."""
    base = getattr(array, "base", None)
    while base is not None and (type(base) is ndarray or hasattr(base, "__array_interface__")):
        array, base = base, getattr(base, "base", None)
    return array


def note_write(array: Any, place: tuple[CodeType | None, int] | None = None) -> None:
    """Log that the memory of `array` has been written: at `place`, or the user's current line."""
    lift = lifting()
    if lift is not None:
        raise lift.wrote()
    owner = owner_of(array)
    key = id(owner)
    write = LOG.get(key)
    if write is None:
        write = LOG[key] = Write(ref(owner, lambda _: LOG.pop(key, None)))
    write.count += 1
    write.seq = Log.last = next_seq()
    write.code, write.lasti = caller(2) if place is None else place


def version_of(array: Any) -> int:
    """How many in-place writes the memory of `array` has seen."""
    write = LOG.get(id(owner_of(array)))
    return 0 if write is None else write.count


def shares_owner(a: Any, b: Any) -> bool:
    """Whether two arrays look at the same buffer."""
    return isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and owner_of(a) is owner_of(b)


def check_saved(node: Node) -> None:
    """Raise RuntimeError if an array that `node` kept for backward was overwritten since."""
    args, out = node.args, node.out
    if type(args) is Freed:
        return
    for saved in args or ():
        if type(saved) is ndarray:
            check_array(node, saved)
    for saved in out if type(out) is tuple else (out,):
        if type(saved) is ndarray:
            check_array(node, saved)


def check_array(node: Node, saved: Any) -> None:
    """Raise RuntimeError if an array that `node` refers to was overwritten since."""
    write = LOG.get(id(owner_of(saved)))
    if write is not None and write.seq > node.seq:
        raise RuntimeError(
            "one of the variables needed for gradient computation has been modified by an "
            f"inplace operation: {node.prim.name} at {node.where} needs the value of a tensor "
            f"of shape {list(saved.shape)} that was overwritten at "
            f"{describe(write.code, write.lasti)}. Write to a copy (x = x.clone()), or use the "
            "operation that returns a new tensor."
        )


def last_seq() -> int:
    """The time of the latest write to any buffer."""
    return Log.last
