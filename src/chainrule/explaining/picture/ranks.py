"""Boxes in ranks: the layered layout of one level of a picture.

The method is Sugiyama's (Sugiyama, Tagawa and Toda 1981; Gansner, Koutsofios, North and Vo, "A
technique for drawing directed graphs", 1993): ranks by longest paths, a dummy in every rank that
an edge passes, an order within each rank that has few crossings, coordinates that make edges short
and straight.  "main" is the direction of the edges, "cross" the one along a rank.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from itertools import pairwise

from chainrule.explaining.picture.coordinates import place
from chainrule.explaining.picture.crossings import Rows, order_rows


@dataclass(slots=True)
class Item:
    """A box: its sizes, and whether it stands in the "first" or "last" rank, as ports do."""

    cross: float
    main: float
    end: str = ""


@dataclass(slots=True)
class Link:
    """An edge between two items of a level.

    `leaves` and `arrives` are distances from the centres of the items, or None where any will do.
    Links of one `trunk` run together for as long as they can: they carry the same value.
    """

    source: int
    target: int
    trunk: Hashable
    leaves: float | None = None
    arrives: float | None = None
    label: tuple[float, float] | None = None
    passes: list[int] = field(default_factory=list)  # its dummies, from source to target


@dataclass(slots=True)
class Arrangement:
    """Where everything of a level came to stand; the corner of least cross and main is (0, 0).

    `paths[k]` are the straight stretches of link k as (cross, from main, to main); between two
    of them the edge curves, in the free space between two ranks.
    """

    centres: list[tuple[float, float]]
    paths: list[list[tuple[float, float, float]]]
    labels: list[tuple[float, float] | None]
    cross: float
    main: float


BOX_GAP, LINE_GAP = 26.0, 16.0  # across: between two boxes; where an edge passes
RANK_GAP, LABEL_RANK_GAP, PORT_GAP = 36.0, 20.0, 12.0  # along; next to a rank of ports


def arrange(items: list[Item], links: list[Link]) -> Arrangement:
    """Lay out one level.  The items stand in an order in which no link goes back."""
    labelled = any(link.label for link in links)
    rank = ranks_of(items, links)
    if labelled:  # every other rank is for labels
        rank = [2 * r for r in rank]
    rows = Rows(len(items), rank, [item.cross for item in items])
    reached = {link.target for link in links}
    rows.outside = {i for i, item in enumerate(items) if i not in reached and not item.end}
    mains = [item.main for item in items]
    add_dummies(rows, links, mains)
    order_rows(rows)
    arrive = arrival_offsets(rows, links, items)
    cross = place(rows, arrive, BOX_GAP, LINE_GAP)
    return measure(rows, links, items, mains, cross, arrive, labelled)


def ranks_of(items: list[Item], links: list[Link]) -> list[int]:
    """The rank of each item: edges go from lower to higher ranks and are short in sum."""
    above: list[list[int]] = [[] for _ in items]
    below: list[list[int]] = [[] for _ in items]
    for link in links:
        above[link.target].append(link.source)
        below[link.source].append(link.target)
    start = 1 if any(item.end == "first" for item in items) else 0
    rank = [0] * len(items)
    for i, item in enumerate(items):
        if item.end != "first":
            rank[i] = max([start, *(rank[p] + 1 for p in above[i])])
    for _ in range(8):
        moved = False
        for i in reversed(range(len(items))):
            if items[i].end == "first" or not below[i]:
                continue
            if len(below[i]) > len(above[i]):  # nearer to the more numerous neighbours
                wanted = min(rank[c] for c in below[i]) - 1
                moved |= wanted != rank[i]
                rank[i] = wanted
        if not moved:
            break
    if any(item.end == "last" for item in items):
        inner = [rank[i] for i, item in enumerate(items) if not item.end]
        last = 1 + max(inner, default=0)
        rank = [last if item.end == "last" else r for item, r in zip(items, rank, strict=True)]
    return rank


def add_dummies(rows: Rows, links: list[Link], mains: list[float]) -> None:
    """A dummy in each rank that a link passes; links of one trunk share theirs."""
    shared: dict[tuple[Hashable, int], int] = {}
    joined: set[tuple[int, int, Hashable]] = set()
    for number, link in enumerate(links):
        first, last = rows.rank[link.source] + 1, rows.rank[link.target]
        link.passes = []
        for r in range(first, last):
            own = link.label is not None and r == last - 1
            key = ((number, "label") if own else link.trunk, r)
            dummy = shared.get(key)
            if dummy is None:
                size = link.label if own and link.label else (2.0, 0.0)
                dummy = shared[key] = rows.add(r, size[0])
                mains.append(size[1])
            link.passes.append(dummy)
        stops = [link.source, *link.passes, link.target]
        for k, (a, b) in enumerate(pairwise(stops)):
            # The parts that several links share are one edge; each link arrives by its own.
            mark = number if k == len(stops) - 2 else link.trunk
            if (a, b, mark) not in joined:
                joined.add((a, b, mark))
                leaves = link.leaves if k == 0 else 0.0
                arrives = link.arrives if k == len(stops) - 2 else 0.0
                rows.join(a, b, leaves or 0.0, arrives, number if mark == number else -1)


def arrival_offsets(rows: Rows, links: list[Link], items: list[Item]) -> dict[int, float]:
    """For each link, how far from its target's centre it arrives: side by side, in order."""
    arriving: dict[int, list[int]] = {}
    for number, link in enumerate(links):
        arriving.setdefault(link.target, []).append(number)
    offsets = {}
    for target, numbers in arriving.items():

        def position(number: int) -> tuple[float, float, int]:
            link = links[number]
            before = link.passes[-1] if link.passes else link.source
            return rows.position[before], (link.leaves or 0.0), number

        free = [n for n in sorted(numbers, key=position) if links[n].arrives is None]
        room = items[target].cross - 22
        step = min(20.0, room / max(1, len(free) - 1))
        for k, number in enumerate(free):
            offsets[number] = (k - (len(free) - 1) / 2) * step
        offsets |= {n: links[n].arrives or 0.0 for n in numbers if links[n].arrives is not None}
    return offsets


def measure(
    rows: Rows,
    links: list[Link],
    items: list[Item],
    mains: list[float],
    cross: list[float],
    arrive: dict[int, float],
    labelled: bool,
) -> Arrangement:
    """The main coordinates, and the stretches of every link, from the cross coordinates."""
    depth = [max((mains[i] for i in row), default=0.0) for row in rows.rows]
    gaps = [LABEL_RANK_GAP if labelled else RANK_GAP] * len(depth)
    for end_of, edge in (("first", 0), ("last", -2)):
        if len(gaps) > 1 and any(item.end == end_of for item in items):
            gaps[edge] = PORT_GAP
    for a, b, leaves, arrives, number in rows.edges:
        end = arrive.get(number, arrives or 0.0)
        slant = abs(cross[b] + end - cross[a] - leaves)
        gaps[rows.rank[a]] = max(gaps[rows.rank[a]], min(0.4 * slant, 26 + 0.18 * slant, 120.0))
    top, tops = 0.0, []
    for k, size in enumerate(depth):
        tops.append(top)
        top += size + (gaps[k] if k + 1 < len(depth) else 0.0)
    low = min((cross[i] - rows.width[i] / 2 for i in range(len(cross))), default=0.0)
    high = max((cross[i] + rows.width[i] / 2 for i in range(len(cross))), default=0.0)
    cross = [c - low for c in cross]
    middle = [tops[r] + depth[r] / 2 for r in rows.rank]
    for i in rows.outside:  # near to their readers
        middle[i] = tops[rows.rank[i]] + depth[rows.rank[i]] - mains[i] / 2

    paths, labels = [], []
    for number, link in enumerate(links):
        a, b = link.source, link.target
        ra, rb = rows.rank[a], rows.rank[b]
        path = [(cross[a] + (link.leaves or 0.0), middle[a] + mains[a] / 2, tops[ra] + depth[ra])]
        for dummy in link.passes:
            r = rows.rank[dummy]
            path.append((cross[dummy], tops[r], tops[r] + depth[r]))
        path.append((cross[b] + arrive[number], tops[rb], middle[b] - mains[b] / 2))
        paths.append(path)
        spot = link.passes[-1] if link.label and link.passes else None
        labels.append(None if spot is None else (cross[spot], middle[spot]))
    centres = [(cross[i], middle[i]) for i in range(len(items))]
    return Arrangement(centres, paths, labels, high - low, top)
