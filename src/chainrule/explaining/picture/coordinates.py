"""Where the boxes of each rank stand, their order being given: short and straight edges."""

from __future__ import annotations

from itertools import pairwise
from math import isfinite

from chainrule.explaining.picture.crossings import Rows

Neighbours = list[list[tuple[int, float, float]]]  # (vertex, shift, weight)
# The weight of an edge, by whether its upper and its lower end is a dummy.  What was computed
# weighs more than what came from outside, so that parameters stand beside the path of the data.
STRAIGHT = ((4.0, 3.0), (2.0, 10.0))
FROM_OUTSIDE = 1.0


def place(rows: Rows, arrive: dict[int, float], box_gap: float, line_gap: float) -> list[float]:
    """The cross coordinate of every vertex.

    Sweeps minimise the sum of squared slants, one row at a time given its neighbours, exactly:
    with minimal distances to the left neighbour that is an isotonic regression (pool adjacent
    violators, Ayer et al. 1955).  Then long edges are made straight, and boxes go to the median
    of their neighbours as far as there is room.
    """
    above: Neighbours = [[] for _ in rows.rank]
    below: Neighbours = [[] for _ in rows.rank]
    for a, b, leaves, arrives, number in rows.edges:
        end = arrive.get(number, arrives or 0.0)
        weight = STRAIGHT[a >= rows.boxes][b >= rows.boxes]
        weight = FROM_OUTSIDE if a in rows.outside else weight
        above[b].append((a, leaves - end, weight))
        below[a].append((b, end - leaves, weight))
    apart = [
        [_distance(rows, u, v, box_gap, line_gap) for u, v in pairwise(row)] for row in rows.rows
    ]
    x = [0.0] * len(rows.rank)
    for row, gaps in zip(rows.rows, apart, strict=True):
        left = -sum(gaps) / 2
        for v, gap in zip(row, [*gaps, 0.0], strict=True):
            x[v] = left
            left += gap
    down, up = range(len(rows.rows)), range(len(rows.rows) - 1, -1, -1)
    both = [p + q for p, q in zip(above, below, strict=True)]
    for _ in range(3):
        _sweep(rows, apart, x, down, above)
        _sweep(rows, apart, x, up, below)
    for _ in range(10):
        _sweep(rows, apart, x, down, both)
        _sweep(rows, apart, x, up, both)
    room = _Room(rows, apart, x)
    lines = _lines(rows, above, below)
    for k in range(6):
        for line in lines if k % 2 else reversed(lines):
            _settle(line, room, both)
    return x


def _distance(rows: Rows, u: int, v: int, box_gap: float, line_gap: float) -> float:
    both = u < rows.boxes and v < rows.boxes
    return (rows.width[u] + rows.width[v]) / 2 + (box_gap if both else line_gap)


def _sweep(
    rows: Rows, apart: list[list[float]], x: list[float], order: range, near: Neighbours
) -> None:
    for r in order:
        row, gaps = rows.rows[r], apart[r]
        start, shifted, weights = 0.0, [], []
        starts = []
        for k, v in enumerate(row):
            weight = sum(w for _, _, w in near[v])
            wanted = sum(w * (x[u] + shift) for u, shift, w in near[v])
            start += gaps[k - 1] if k else 0.0
            starts.append(start)
            # One that has no neighbours on this side stays, unless it is pushed.
            shifted.append((wanted / weight if weight else x[v]) - start)
            weights.append(weight or 0.01)
        for v, value, begin in zip(row, isotonic(shifted, weights), starts, strict=True):
            x[v] = value + begin


def isotonic(values: list[float], weights: list[float]) -> list[float]:
    """The nondecreasing sequence nearest to `values` in the weighted least-squares sense."""
    pools: list[tuple[float, float, int]] = []  # (mean, weight, length)
    for value, weight in zip(values, weights, strict=True):
        length = 1
        while pools and pools[-1][0] > value:
            mean, other, more = pools.pop()
            value = (value * weight + mean * other) / (weight + other)
            weight, length = weight + other, length + more
        pools.append((value, weight, length))
    return [value for value, _, length in pools for _ in range(length)]


class _Room:
    """How far a vertex can move before it touches its neighbours in the row."""

    def __init__(self, rows: Rows, apart: list[list[float]], x: list[float]) -> None:
        self.rows, self.apart, self.x = rows, apart, x

    def interval(self, v: int) -> tuple[float, float]:
        row, k = self.rows.rows[self.rows.rank[v]], self.rows.position[v]
        gaps = self.apart[self.rows.rank[v]]
        low = self.x[row[k - 1]] + gaps[k - 1] if k else float("-inf")
        high = self.x[row[k + 1]] - gaps[k] if k + 1 < len(row) else float("inf")
        return low, high


Line = list[tuple[int, float]]  # vertices one below the other, with shifts from the first


def _lines(rows: Rows, above: Neighbours, below: Neighbours) -> list[Line]:
    """The vertices in lines that had best be straight: each one's favourite is the next one."""
    above_best = [_favourite(near, rows) for near in above]
    below_best = [_favourite(near, rows) for near in below]
    lines = []
    for v in sorted(range(len(rows.rank)), key=lambda v: (rows.rank[v], v)):
        upper = above_best[v]
        if upper is not None and below_best[upper[0]] is not None:
            best = below_best[upper[0]]
            if best is not None and best[0] == v:
                continue
        line, shift, here = [(v, 0.0)], 0.0, v
        while (lower := below_best[here]) is not None:
            back = above_best[lower[0]]
            if back is None or back[0] != here:
                break
            here, step = lower
            shift -= step
            line.append((here, shift))
        lines.append(line)
    return lines


def _favourite(near: list[tuple[int, float, float]], rows: Rows) -> tuple[int, float] | None:
    """The neighbour of greatest weight, and the shift to it; of an odd number the middle one."""
    most = max((w for _, _, w in near), default=0.0)
    best = sorted((rows.position[u], shift, u) for u, shift, w in near if w == most)
    if len(best) % 2 == 0:
        return None
    _, shift, u = best[len(best) // 2]
    return u, shift


def _settle(line: Line, room: _Room, near: Neighbours) -> None:
    """Moves a line to the median of its neighbours as far as there is room, and cuts it where
    there is no room for all of it."""
    x = room.x
    while line:
        low, high = float("-inf"), float("inf")
        length = 0
        for v, shift in line:
            a, b = room.interval(v)
            if length and max(low, a - shift) > min(high, b - shift):
                break
            low, high = max(low, a - shift), min(high, b - shift)
            length += 1
        part, line = line[:length], line[length:]
        inside = {v for v, _ in part}
        ends = [
            (x[u] + step - shift, weight)
            for v, shift in part
            for u, step, weight in near[v]
            if u not in inside
        ]
        if ends:
            wanted = min(max(_median(ends), low), high)
        else:  # nothing pulls: close to what is beside it
            wanted = next((bound for bound in (low, high) if isfinite(bound)), x[part[0][0]])
        for v, shift in part:
            x[v] = wanted + shift


def _median(points: list[tuple[float, float]]) -> float:
    """The weighted median; between two values that are equally good, the middle."""
    points = sorted(points)
    half = sum(weight for _, weight in points) / 2
    below = 0.0
    for k, (value, weight) in enumerate(points):
        below += weight
        if below > half:
            return value
        if below == half:
            return (value + points[k + 1][0]) / 2
    return points[-1][0]
