"""Whether anybody but a recording holds an array: what nobody else holds cannot change.

References are counted, those of a whole family at once: tensors and arrays that look at the same
memory, and the tensors that they are views of.  If in doubt, somebody else holds it.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.core.mutation import owner_of


def families(entries: Sequence[tuple[Any, Any]]) -> list[list[int]]:
    """The places of entries (a tensor or array, and something) that look at the same memory."""
    found: dict[int, list[int]] = {}
    for i, (x, _) in enumerate(entries):
        found.setdefault(id(owner_of(getattr(x, "array", x))), []).append(i)
    return list(found.values())


def is_held_here(family: Sequence[tuple[Any, Any]]) -> bool:
    """Whether nothing but its entries, a tuple each, holds a family."""
    tensors: dict[int, Any] = {}
    arrays: dict[int, Any] = {}
    expected: Counter[int] = Counter()  # references within the family, by object
    for x, _ in family:
        expected[id(x)] += 1
        if isinstance(x, np.ndarray):
            arrays[id(x)] = x
            continue
        while x is not None and id(x) not in tensors:
            tensors[id(x)] = x
            arrays[id(x.array)] = x.array
            expected[id(x.array)] += 1
            x = None if x._view is None else x._view.parent
            expected[id(x)] += 1
    x = None
    owner = owner_of(next(iter(arrays.values())))
    if any(a is not owner and a.base is not owner for a in arrays.values()):
        return False
    expected[id(owner)] += sum(a is not owner for a in arrays.values())
    # While it is counted, a thing is referred to by its dict, by `thing`, and by the argument.
    for things in (tensors, arrays):
        for thing in things.values():
            if sys.getrefcount(thing) > expected[id(thing)] + 3 + (thing is owner):
                return False
    thing = None
    if id(owner) not in arrays and sys.getrefcount(owner) > expected[id(owner)] + 2:
        return False
    return type(owner) is np.ndarray
