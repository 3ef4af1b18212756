"""The order of the boxes within each rank: few crossings."""

from __future__ import annotations

from itertools import pairwise
from typing import Any


class Rows:
    """Ranks of vertices, which are boxes and dummies, and edges between neighbouring ranks.

    An edge is (upper vertex, lower vertex, where it leaves, where it arrives, which link it ends
    or -1); the places are distances from the vertices' centres.
    """

    def __init__(self, boxes: int, rank: list[int], width: list[float]) -> None:
        self.boxes = boxes  # vertices with smaller numbers are boxes, the others are dummies
        self.outside: set[int] = set()  # boxes that nothing goes into, other than ports
        self.rank = list(rank)
        self.width = list(width)
        self.edges: list[tuple[int, int, float, float | None, int]] = []
        self.rows: list[list[int]] = []
        self.position: list[int] = []

    def add(self, rank: int, width: float) -> int:
        """A new dummy."""
        self.rank.append(rank)
        self.width.append(width)
        return len(self.rank) - 1

    def join(self, a: int, b: int, leaves: float, arrives: float | None, number: int) -> None:
        """A new edge."""
        self.edges.append((a, b, leaves, arrives, number))

    def number(self) -> None:
        """Writes down everyone's position in its row."""
        self.position = [0] * len(self.rank)
        for row in self.rows:
            for k, v in enumerate(row):
                self.position[v] = k


def load_igraph() -> Any:
    """The module igraph, or an error that says how to get it."""
    try:
        import igraph
    except ImportError as error:
        raise ImportError(
            "laying out a picture needs the package igraph; install it with "
            '`pip install "chainrule[explain]"`'
        ) from error
    return igraph


def order_rows(rows: Rows) -> None:
    """Fills `rows.rows`: igraph's barycentres, then exchanges of neighbours while they help."""
    igraph = load_igraph()
    count = len(rows.rank)
    graph = igraph.Graph(n=count, edges=[edge[:2] for edge in rows.edges], directed=True)
    spots = graph.layout_sugiyama(layers=rows.rank, hgap=1, vgap=1, maxiter=60).coords
    rows.rows = [[] for _ in range(max(rows.rank, default=-1) + 1)]
    for v in sorted(range(count), key=lambda v: (spots[v][0], v)):
        rows.rows[rows.rank[v]].append(v)
    rows.number()
    exchange(rows)
    turn(rows)


def exchange(rows: Rows, rounds: int = 6) -> None:
    """Exchanges neighbours within a row for as long as that removes crossings."""
    above: list[list[tuple[int, float]]] = [[] for _ in rows.rank]
    below: list[list[tuple[int, float]]] = [[] for _ in rows.rank]
    for a, b, leaves, arrives, _ in rows.edges:
        above[b].append((a, leaves))
        below[a].append((b, arrives or 0.0))

    def ends(v: int, side: list[list[tuple[int, float]]]) -> list[tuple[int, float]]:
        return sorted((rows.position[u], offset) for u, offset in side[v])

    def inversions(left: list[tuple[int, float]], right: list[tuple[int, float]]) -> int:
        return sum(1 for p in left for q in right if q < p)

    for _ in range(rounds):
        better = False
        for row in rows.rows:
            for k in range(len(row) - 1):
                u, v = row[k], row[k + 1]
                gain = 0
                for side in (above, below):
                    p, q = ends(u, side), ends(v, side)
                    gain += inversions(p, q) - inversions(q, p)
                if gain > 0:
                    row[k], row[k + 1] = v, u
                    rows.position[u], rows.position[v] = k + 1, k
                    better = True
        if not better:
            break


def turn(rows: Rows) -> None:
    """Mirrors all rows if more boxes then stand in the order of the program."""
    agree = 0
    for row in rows.rows:
        boxes = [v for v in row if v < rows.boxes]
        agree += sum((u < v) - (u > v) for u, v in pairwise(boxes))
    if agree < 0:
        rows.rows = [row[::-1] for row in rows.rows]
        rows.number()


def crossings(rows: Rows) -> int:
    """How many pairs of edges cross."""
    between: dict[int, list[tuple[int, int]]] = {}
    for a, b, *_ in rows.edges:
        between.setdefault(rows.rank[a], []).append((rows.position[a], rows.position[b]))
    total = 0
    for pairs in between.values():
        for i, (a, b) in enumerate(pairs):
            total += sum((a - c) * (b - d) < 0 for c, d in pairs[i + 1 :])
    return total
