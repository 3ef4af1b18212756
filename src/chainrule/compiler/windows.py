"""Views against what they look at: which part of a join they show, by which axes they move."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from chainrule.compiler.maps import STILL, Map, Row, Shape, compose
from chainrule.compiler.moves import full_map, moving
from chainrule.compiler.values import JOIN, PATCH, Value, viewed

SHORT = 16  # the longest axis whose entries may become separate values
Core = tuple[Map, Shape]  # a view without axes that do not move


def core_of(rows: Map, shape: Shape) -> tuple[Core, tuple[int, ...]]:
    """A view by the axes that move only, and which of its axes those are."""
    axes = sorted({axis for _, terms in rows for axis, _ in terms})
    place = {axis: k for k, axis in enumerate(axes)}
    found = tuple([(offset, tuple([(place[a], s) for a, s in terms])) for offset, terms in rows])
    return (found, tuple([shape[a] for a in axes])), tuple(axes)


def whole_core(shape: Shape) -> Core:
    return core_of(full_map(shape), shape)[0]


def all_of(row: Row, d: int) -> bool:
    return d == 1 or (len(row[1]) == 1 and abs(row[1][0][1]) == 1)


def patterned(value: Value) -> frozenset[int]:
    """The short axes along which alone a constant array varies, if it is zero for the most part."""
    array = value.detail
    if 2 * np.count_nonzero(array) > array.size:
        return frozenset()
    found = set()
    for k, d in enumerate(value.shape):
        if d != 1 and (array != array.take([0], k)).any():
            found.add(k)
    return frozenset(found) if all(value.shape[k] <= SHORT for k in found) else frozenset()


def reduced_rows(value: Value) -> Map:
    """How a reduction reads its argument, by its own axes; along reduced ones the first entry."""
    x = value.args[0]
    return tuple(STILL if k in value.detail else moving(d, k) for k, d in enumerate(x.shape))


def reduced(
    value: Value, rows: Map, shape: Shape, unrolled: bool
) -> list[tuple[Value, Map, Shape]]:
    """What a reduction reads: everything, or entry by entry of those that are reduced."""
    x = value.args[0]
    if not unrolled:
        return [(x, full_map(x.shape), x.shape)]
    found = []
    for at in product(*[range(x.shape[a]) for a in value.detail]):
        fixed = list(rows)
        for a, i in zip(value.detail, at, strict=True):
            fixed[a] = (i, ())
        found.append((x, tuple(fixed), shape))
    return found


def composed_places(places: Any, rows: Map) -> Any:
    """The places of a gather by the axes of a view of it."""
    affine = [p for p in places if type(p) is tuple]
    inner = iter(compose(tuple(affine), rows))
    return tuple([next(inner) if type(p) is tuple else p for p in places])


def range_of(row: Row, shape: Shape) -> tuple[int, int]:
    """The least and the largest index that a row gives."""
    low = high = row[0]
    for axis, step in row[1]:
        reach = step * (shape[axis] - 1)
        low, high = low + min(reach, 0), high + max(reach, 0)
    return low, high


def inside_of(window: Map, extents: Shape, rows: Map, shape: Shape) -> Map | None:
    """The map of a view by the axes of a part that has a window; None unless all of it is there.

    An axis of the part that its window does not meet has one entry.
    """
    found: dict[int, Row] = {}
    for (start, terms), row in zip(window, rows, strict=True):
        low, high = range_of(row, shape)
        if not terms:
            if low != start or high != start:
                return None
            continue
        (axis, step), *more = terms
        last = start + step * (extents[axis] - 1)
        if more or low < min(start, last) or high > max(start, last):
            return None
        steps = [s for _, s in row[1]]
        if (row[0] - start) % step or any(s % step for s in steps):
            return None
        inner = (row[0] - start) // step, tuple([(a, s // step) for a, s in row[1]])
        if found.setdefault(axis, inner) != inner:
            return None  # of a diagonal, where one axis is met twice
    return tuple([found.get(k, STILL) for k in range(len(extents))])


def outside(places: Any, extents: Shape, rows: Map, shape: Shape) -> bool:
    """Whether a view meets none of the places of a patch."""
    for place, row in zip(places, rows, strict=True):
        if type(place) is int:
            continue
        low, high = range_of(row, shape)
        start, terms = place
        if len(terms) > 1:
            continue
        reach = terms[0][1] * (extents[terms[0][0]] - 1) if terms else 0
        if high < min(start, start + reach) or low > max(start, start + reach):
            return True
        if terms and not row[1] and (row[0] - start) % terms[0][1]:
            return True
    return False


def parts_of(value: Value, rows: Map, shape: Shape) -> list[tuple[Value, Map, Shape]] | None:
    """The part of a join or patch that a view reads, and how, or two that are added.

    None if it is not in one part.
    """
    if value.kind == JOIN:
        for part, window in zip(value.args, value.detail, strict=True):
            place = inside_of(window, part.shape, rows, shape)
            if place is not None:
                return [(part, place, shape)]
        return None
    x, y, *arrays = value.args
    if outside(value.detail, y.shape, rows, shape):
        return [(x, rows, shape)]
    place = None if arrays else inside_of(value.detail, y.shape, rows, shape)
    if place is None:
        return None
    return [(y, place, shape)] if value.op == "put" else [(x, rows, shape), (y, place, shape)]


def axes_in(axes: set[int], window: Map) -> set[int]:
    """The axes of a join along which axes of a part lie."""
    return {k for k, (_, terms) in enumerate(window) for axis, _ in terms if axis in axes}


MOST_HOPS = 64


def resolved(value: Value, rows: Map, shape: Shape) -> tuple[Value, Map]:
    """The value behind views, and behind joins and patches of which one part is read."""
    hops = 0
    while True:
        value, inner = viewed(value)
        if inner is not None:
            rows = compose(inner, rows)
        found = None
        if value.kind in (JOIN, PATCH) and hops < MOST_HOPS:
            found = parts_of(value, rows, shape)
        if found is None or len(found) > 1:
            return value, rows
        value, rows, _ = found[0]
        hops += 1
