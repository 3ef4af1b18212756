"""Moved entries: joins, margins, rotations, diagonals.

What is taken becomes a view, what is put together a join of parts that do not overlap. `columns.py`
decides where joins are memory, and where they vanish.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

from chainrule.compiler.maps import STILL, Map, Row, Shape
from chainrule.compiler.values import JOIN, PATCH, Unsupported, Value, number, reduce, view, widened
from chainrule.core.node import Node

Rule = Callable[[Node, Sequence[Value], Mapping[str, Any]], Any]


def moving(extent: int, axis: int, offset: int = 0, step: int = 1) -> Row:
    """The row of an axis that follows one axis of a view."""
    return (offset, ()) if extent == 1 else (offset, ((axis, step),))


def full_map(shape: Shape) -> Map:
    """The map of a view that is the whole value."""
    return tuple(moving(d, k) for k, d in enumerate(shape))


# ---------------------------------------------------------------- joins


def _concat(node: Node, args: Sequence[Value], params: Mapping[str, Any]) -> Value:
    axis = params["axis"]
    windows, start = [], 0
    for x in args:
        rows = list(full_map(x.shape))
        rows[axis] = moving(x.shape[axis], axis, start)
        windows.append(tuple(rows))
        start += x.shape[axis]
    shape = list(args[0].shape)
    shape[axis] = start
    return join(args, windows, tuple(shape))


def _stack(node: Node, args: Sequence[Value], params: Mapping[str, Any]) -> Value:
    axis = params["axis"]
    shape = args[0].shape
    rows = full_map(shape)
    windows = [(*rows[:axis], (i, ()), *rows[axis:]) for i in range(len(args))]
    return join(args, windows, (*shape[:axis], len(args), *shape[axis:]))


def join(parts: Sequence[Value], windows: Sequence[Map], shape: Shape) -> Value:
    """Parts that fill a value together: a window says where an entry of its part stands."""
    if len({p.dtype for p in parts}) > 1:
        raise Unsupported("parts of several dtypes")
    return Value(JOIN, "join", tuple(parts), shape, parts[0].dtype, tuple(windows))


Segment = tuple[int, int, Row | None]  # start, count, where it comes from (None: the filler)


def _pieces(x: Value, axes: Sequence[Sequence[Segment]], filler: Any = None) -> Value:
    """The join of all combinations of segments along each axis, which refer to that axis of x."""
    shape = tuple(sum(count for _, count, _ in segments) for segments in axes)
    parts, windows = [], []
    for chosen in product(*axes):
        counts = tuple(count for _, count, _ in chosen)
        rows = [row for _, _, row in chosen]
        if any(row is None for row in rows):
            parts.append(widened(number(filler, x.dtype), counts))
        else:
            parts.append(view(x, tuple([row for row in rows if row is not None]), counts))
        windows.append(tuple(moving(c, k, s) for k, (s, c, _) in enumerate(chosen)))
    return join(parts, windows, shape)


def _segments(pieces: Sequence[tuple[int, int | None, int]], axis: int) -> list[Segment]:
    """Segments from (count, first, step), one after the other; without the empty ones."""
    found: list[Segment] = []
    start = 0
    for count, first, step in pieces:
        if count > 0:
            row = None if first is None else moving(count, axis, first, step)
            found.append((start, count, row))
            start += count
    return found


def _pad(node: Node, args: Sequence[Value], params: Mapping[str, Any]) -> Value:
    x, mode = args[0], params["mode"]
    axes = []
    for k, (n, (before, after)) in enumerate(zip(x.shape, params["pad_width"], strict=True)):
        inside = (n, 0, 1)
        if mode == "constant":
            pieces: list[Any] = [(before, None, 0), inside, (after, None, 0)]
        elif mode == "replicate":
            pieces = [(before, 0, 0), inside, (after, n - 1, 0)]
        elif mode == "reflect" and max(before, after) < n:
            pieces = [(before, before, -1), inside, (after, n - 2, -1)]
        elif mode == "circular" and max(before, after) <= n:
            pieces = [(before, n - before, 1), inside, (after, 0, 1)]
        else:
            raise Unsupported("a margin wider than the array")
        axes.append(_segments(pieces, k))
    filler = params.get("value", 0)
    return _pieces(x, _still_segments(axes), filler)


def _fold(node: Node, args: Sequence[Value], params: Mapping[str, Any]) -> Value:
    """What stands in the margins, added to the entries it was copied from; see `ops/pad.py`."""
    g, mode = args[0], params["mode"]
    for axis, (b, a) in enumerate(params["pad_width"]):
        n = g.shape[axis] - b - a
        if b == a == 0:
            continue
        out = _along(g, axis, b, n)
        if mode == "reflect":
            added = [
                (1, _along(g, axis, b - 1, b, -1)),
                (n - 1 - a, _along(g, axis, n + b + a - 1, a, -1)),
            ]
        elif mode == "replicate":
            sides = (0, _along(g, axis, 0, b)), (n - 1, _along(g, axis, b + n, a))
            added = [(at, reduce("sum", x, (axis,), keepdims=True)) for at, x in sides if x.size]
        else:
            added = [(n - b, _along(g, axis, 0, b)), (0, _along(g, axis, b + n, a))]
        for start, x in added:
            if x.size:
                rows = list(full_map(x.shape))
                rows[axis] = moving(x.shape[axis], axis, start)
                out = Value(PATCH, "add", (out, x), out.shape, out.dtype, tuple(rows))
        g = out
    return g


def _along(x: Value, axis: int, start: int, count: int, step: int = 1) -> Value:
    """Entries along one axis."""
    shape = (*x.shape[:axis], count, *x.shape[axis + 1 :])
    rows = list(full_map(x.shape))
    rows[axis] = moving(count, axis, start, step)
    return view(x, tuple(rows), shape)


def _still_segments(axes: list[list[Segment]]) -> list[list[Segment]]:
    """Segments of one entry that is repeated have a row that does not move."""
    return [
        [
            (s, c, None if row is None else (row[0], tuple(t for t in row[1] if t[1])))
            for s, c, row in segments
        ]
        for segments in axes
    ]


def _roll(node: Node, args: Sequence[Value], params: Mapping[str, Any]) -> Value:
    x = args[0]
    shifts, dims = params["shift"], params["axis"]
    if dims is None:
        raise Unsupported("rolling the flattened array has no compiled form")
    if not isinstance(dims, tuple):
        shifts, dims = (shifts,), (dims,)
    by = [0] * x.ndim
    for s, d in zip(shifts, dims, strict=True):
        by[d] += s
    axes = []
    for k, n in enumerate(x.shape):
        s = by[k] % n
        axes.append(_segments([(s, n - s, 1), (n - s, 0, 1)], k))
    return x if all(len(a) == 1 for a in axes) else _pieces(x, axes)


def _tiled(node: Node, args: Sequence[Value], params: Mapping[str, Any]) -> Value:
    x, reps = args[0], params["reps"]
    shape = (1,) * (len(reps) - x.ndim) + x.shape
    x = view(x, tuple([moving(d, len(reps) - x.ndim + k) for k, d in enumerate(x.shape)]), shape)
    if x.ndim == 0:
        return x
    axes = []
    for k, (n, r) in enumerate(zip(shape, reps, strict=True)):
        if n == 1:
            axes.append([(0, r, STILL)])
        else:
            axes.append([(n * i, n, moving(n, k)) for i in range(r)])
    if max(len(a) for a in axes) == 1:
        return widened(x, tuple([n * r for n, r in zip(shape, reps, strict=True)]))
    if sum(len(a) for a in axes) > MOST_PIECES:
        raise Unsupported("so many repetitions are copied faster by NumPy")
    return _pieces(x, axes)


def _repeated(node: Node, args: Sequence[Value], params: Mapping[str, Any]) -> Value:
    x = args[0]
    return widened(x, (params["size"], *x.shape))


MOST_PIECES = 32


def _shifted(node: Node, args: Sequence[Value], params: Mapping[str, Any]) -> Value:
    """Neighbours take each other's places; 0 comes in at the end."""
    x, axis, back = args[0], params["axis"], params["reverse"]
    if x.ndim == 0:
        return number(0, x.dtype)
    n = x.shape[axis]
    axes = [_segments([(d, 0, 1)], k) for k, d in enumerate(x.shape)]
    moved = [(n - 1, 1, 1), (1, None, 0)] if back else [(1, None, 0), (n - 1, 0, 1)]
    axes[axis] = _segments(moved, axis)
    return _pieces(x, axes, 0)


def _diagonal_map(shape: Shape, offset: int, axis1: int, axis2: int, **_: Any) -> tuple[Map, Shape]:
    """Where the entries of a diagonal, which is the last axis, stand in an array of a shape."""
    first, second = max(-offset, 0), max(offset, 0)
    count = min(shape[axis1] - first, shape[axis2] - second)
    left = [k for k in range(len(shape)) if k not in (axis1, axis2)]
    last = len(left)
    rows = [
        moving(count, last, first) if k == axis1
        else moving(count, last, second) if k == axis2
        else moving(d, left.index(k))
        for k, d in enumerate(shape)
    ]  # fmt: skip
    return tuple(rows), (*[shape[k] for k in left], count)


def _diagonal(node: Node, args: Sequence[Value], params: Mapping[str, Any]) -> Value:
    return view(args[0], *_diagonal_map(args[0].shape, **params))


def _diagonal_transpose(node: Node, args: Sequence[Value], params: Mapping[str, Any]) -> Value:
    g, shape = args[0], params["shape"]
    rows, _ = _diagonal_map(**params)
    zeros = widened(number(0, g.dtype), shape)
    return Value(PATCH, "put", (zeros, g), shape, g.dtype, rows)


MOVES: dict[str, Rule] = {
    "concat": _concat,
    "stack": _stack,
    "pad": _pad,
    "pad_transpose": _fold,
    "roll": _roll,
    "tile": _tiled,
    "repeat_example": _repeated,
    "shift": _shifted,
    "diagonal": _diagonal,
    "diagonal_transpose": _diagonal_transpose,
}
