"""Where the boxes of each rank stand, their order being given: short and straight edges."""

from __future__ import annotations

from chainrule.explain.picture.crossings import Rows

Neighbours = list[list[tuple[int, float, float]]]  # (vertex, shift, weight)
# The weight of an edge, by whether its upper and its lower end is a dummy.  What was computed weighs
# more than what came from outside, so that parameters stand beside the path of the data.
STRAIGHT = ((4.0, 4.0), (4.0, 10.0))
FROM_OUTSIDE = 1.0


def place(
    rows: Rows, arrive: dict[int, float], box_gap: float, line_gap: float
) -> list[float]:
    """The cross coordinate of every vertex.

    Sweeps minimise the sum of squared slants, one row at a time given its neighbours, exactly:
    with minimal distances to the left neighbour that is an isotonic regression (pool adjacent
    violators, Ayer et al. 1955).  Then long edges are made straight, and boxes go to the median
    of their neighbours as far as there is room.
    """
    above: Neighbours = [[] for _ in rows.rank]
    below: Neighbours = [[] for _ in rows.rank]
    for a, b, leaves, arrives, number in rows.edges:
        end = arrive[number] if number in arrive else arrives or 0.0
        weight = STRAIGHT[a >= rows.boxes][b >= rows.boxes]
        weight = FROM_OUTSIDE if a in rows.outside else weight
        above[b].append((a, leaves - end, weight))
        below[a].append((b, end - leaves, weight))
    apart = [
        [_distance(rows, u, v, box_gap, line_gap) for u, v in zip(row, row[1:], strict=False)]
        for row in rows.rows
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
    for order in (down, up, down, up):
        _straighten(rows, room, above, below)
        for r in order:
            for v in rows.rows[r]:
                if v < rows.boxes and both[v]:
                    room.move([v], _median([(x[u] + shift, w) for u, shift, w in both[v]]))
    _straighten(rows, room, above, below)
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

    def move(self, line: list[int], wanted: float) -> None:
        """Puts the vertices of `line`, one a row, at the place nearest to `wanted` for all."""
        low, high = float("-inf"), float("inf")
        for v in line:
            a, b = self.interval(v)
            low, high = max(low, a), min(high, b)
        for v in line:
            self.x[v] = min(max(wanted, low), high)


def _straighten(rows: Rows, room: _Room, above: Neighbours, below: Neighbours) -> None:
    """Puts the dummies of a long edge on one line, or on as few lines as there is room for."""
    done: set[int] = set()
    for v in range(rows.boxes, len(rows.rank)):
        if v in done:
            continue
        line, here = [v], v
        while True:
            following = [u for u, _, _ in below[here] if u >= rows.boxes]
            if not following:
                break
            here = following[0]
            line.append(here)
        done.update(line)
        while line:
            low, high = room.interval(line[0])
            length = 1
            while length < len(line):
                a, b = room.interval(line[length])
                if max(low, a) > min(high, b):
                    break
                low, high = max(low, a), min(high, b)
                length += 1
            part, line = line[:length], line[length:]
            ends = [(room.x[u] + s, w) for u, s, w in above[part[0]] + below[part[-1]]]
            ends += [(room.x[u], 0.5) for u in part]
            room.move(part, _median(ends))


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
