"""Index maps: where an entry of a value stands, by the indices of the loops around it.

A map has one row per axis of the value: `(offset, terms)`, terms being pairs (loop axis, step), so
that the index along that axis is offset + Σ step·i[loop axis].  Transposes, slices, flips,
inserted, removed and repeated axes are such maps, and so are their compositions; a reshape that
splits axes is one, a reshape that merges axes is not.

Axes of length 1 always have the row (0, ()), so that equal maps are equal objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod

Row = tuple[int, tuple[tuple[int, int], ...]]
Map = tuple[Row, ...]
Shape = tuple[int, ...]

STILL: Row = (0, ())  # the row of an axis along which nothing moves

# A program has few shapes and many values: so maps are remembered, as many as this.
_remembered = lru_cache(maxsize=1 << 12)


@_remembered
def identity(shape: Shape) -> Map:
    """The map of a value whose axes are the loops, those of length 1 left out.

    >>> identity((3, 1, 4))
    ((0, ((0, 1),)), (0, ()), (0, ((1, 1),)))
    """
    rows: list[Row] = []
    loop = 0
    for d in shape:
        if d == 1:
            rows.append(STILL)
        else:
            rows.append((0, ((loop, 1),)))
            loop += 1
    return tuple(rows)


@_remembered
def domain_of(shape: Shape) -> Shape:
    """The extents of the loops over a value: its shape without axes of length 1."""
    return tuple(d for d in shape if d != 1)


@_remembered
def broadcast(shape: Shape, to: Shape) -> Map:
    """How a value of one shape is read where another is wanted, by NumPy's rule."""
    shift = len(to) - len(shape)
    return tuple(STILL if d == 1 else (0, ((k + shift, 1),)) for k, d in enumerate(shape))


@_remembered
def compose(inner: Map, outer: Map) -> Map:
    """`inner` gives entries by the axes of a view, `outer` those axes by the loops."""
    if outer and all(row == (0, ((k, 1),)) for k, row in enumerate(outer)):
        return inner
    return tuple(_substituted(row, outer) for row in inner)


def _substituted(row: Row, outer: Map) -> Row:
    offset, terms = row
    found: dict[int, int] = {}
    for axis, step in terms:
        further, inside = outer[axis]
        offset += step * further
        for loop, inner_step in inside:
            found[loop] = found.get(loop, 0) + step * inner_step
    return offset, tuple(sorted((k, s) for k, s in found.items() if s))


def split_map(source: Shape, target: Shape) -> Map | None:
    """The map of a reshape from `source` to `target`; None if an axis would be a merged one.

    >>> split_map((6, 1), (2, 1, 3))
    ((0, ((0, 3), (2, 1))), (0, ()))
    >>> split_map((2, 3), (6,)) is None
    True
    """
    rows: list[Row] = []
    k = 0
    for d in source:
        if d == 1:
            rows.append(STILL)
            continue
        parts: list[int] = []
        size = 1
        while size < d and k < len(target):
            size *= target[k]
            if target[k] != 1:
                parts.append(k)
            k += 1
        if size != d:
            return None
        steps = [prod(target[p] for p in parts[i + 1 :]) for i in range(len(parts))]
        rows.append((0, tuple(zip(parts, steps, strict=True))))
    return tuple(rows)


def contiguous_strides(shape: Shape) -> tuple[int, ...]:
    """The distance between neighbours along each axis of an array in C order, in entries."""
    strides = [1] * len(shape)
    for k in range(len(shape) - 2, -1, -1):
        strides[k] = strides[k + 1] * shape[k + 1]
    return tuple(strides)


def strided(rows: Map, strides: Sequence[int], loops: int) -> tuple[int, tuple[int, ...]]:
    """Offset and stride per loop, in entries, of a map into an array with these strides."""
    offset = 0
    found = [0] * loops
    for (start, terms), stride in zip(rows, strides, strict=True):
        offset += start * stride
        for loop, step in terms:
            found[loop] += step * stride
    return offset, tuple(found)
