"""What repeats itself in a picture: the iterations of a loop, layers of one structure."""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np

from chainrule.explaining.picture.merge import flat, inner_nodes
from chainrule.explaining.picture.model import Picture, PictureNode
from chainrule.explaining.picture.tree import phase_of

LONGEST, FEWEST = 128, 3  # nodes in one repetition, repetitions


@dataclass(frozen=True, slots=True)
class Repeat:
    """Nodes that follow each other and are `times` times the same."""

    nodes: tuple[PictureNode, ...]
    times: int


def repeats(picture: Picture, whole: Picture) -> list[Repeat]:
    """The repetitions in a picture, none overlapping another; those that cover most come first.

    `whole` is the picture that it was made from.  Two boxes are alike if what they stand for in
    `whole` is: the operations, lines and shapes, and the edges between them.
    """
    nodes = inner_nodes(picture)
    looks = _looks(nodes, whole)
    numbers: dict[Hashable, int] = {}
    keys = np.array([numbers.setdefault(look, len(numbers)) for look in looks], dtype=np.int64)
    found = []
    for period in range(1, min(LONGEST, len(nodes) // FEWEST) + 1):
        same = keys[period:] == keys[:-period]
        edges = np.flatnonzero(np.diff(np.concatenate(([0], same.view(np.int8), [0]))))
        for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            times = (stop - start) // period + 1
            if times >= FEWEST:
                found.append((-times * period, period, start, times))
    place = {node.id: i for i, node in enumerate(nodes)}
    reads: list[list[int]] = [[] for _ in nodes]
    for edge in picture.edges:
        if edge.source in place:
            reads[place[edge.target]].append(place[edge.source])
    used = np.zeros(len(nodes), bool)
    runs = []
    for size, period, start, times in sorted(found):
        if not used[start : start - size].any() and _alike(reads, start, period, times):
            used[start : start - size] = True
            runs.append(Repeat(tuple(nodes[start : start - size]), times))
    return runs


def _alike(reads: list[list[int]], start: int, period: int, times: int) -> bool:
    """Whether each repetition reads of itself and of the one before what the next one does.

    The first reads other things: what the loop began with.
    """

    def within(repetition: int, back: int) -> list[list[int]]:
        begin = start + repetition * period
        low = begin - back * period
        return [sorted(begin + i - p for p in reads[begin + i] if p >= low) for i in range(period)]

    if any(within(k, 0) != within(0, 0) for k in range(1, times)):
        return False
    return all(within(k, 1) == within(1, 1) for k in range(2, times))


def _looks(nodes: list[PictureNode], whole: Picture) -> list[Hashable]:
    """What has to be equal for two nodes to be alike."""
    known = {node.id: node for node in whole.nodes}
    reads: dict[str, list[str]] = {}
    for edge in whole.edges:
        reads.setdefault(edge.target, []).append(edge.source)
    looks: list[Hashable] = []
    for node in nodes:
        ids = flat(node)
        place = {i: k for k, i in enumerate(ids)}
        inside = tuple(
            (
                _bare(known[i]),
                tuple(sorted(place[p] for p in reads.get(i, ()) if p in place)),
            )
            for i in ids
        )
        looks.append((inside, tuple(map(_without_number, node.group)), phase_of(node)))
    return looks


def _bare(node: PictureNode) -> Hashable:
    """A node without what differs from one repetition to the next: values, and the numbers in the
    names of variables."""
    what = node.op or re.sub(r"[₀-₉]+|(?<=[^\W\d])\d+", "", node.title)
    kind = "op" if node.kind == "output" else node.kind  # what a loop has made is often the result
    return what, kind, node.line("line"), node.line("shape")


def _without_number(label: str) -> str:
    return re.sub(r"[\s#._]*\d+$", "", label)
