"""The picture of a graph: what is to be seen, before anything is laid out or drawn."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

KINDS = ("input", "constant", "op", "output", "adjoint", "tangent")


@dataclass(frozen=True, slots=True)
class PictureNode:
    """One box.

    Args:
        id: Unique in its picture; the SVG's `id` and `data-node`.
        title: The first line, such as `v₃ = ln v₁`.
        lines: Pairs of a label and its text, such as `("value", "0.693")`.
        kind: One of input, constant, op, output, adjoint, tangent.
        saved: Whether its value is kept for the backward pass.
        group: Labels of the groups around it, the outermost first.
        op: What it does, in any words; equal for nodes that do the same.  Where it is empty, the
            title tells, but for the numbers of variables.
        count: How many operations the box stands for.
        members: For a box that stands for several nodes, their ids in the whole picture.
    """

    id: str
    title: str
    lines: tuple[tuple[str, str], ...] = ()
    kind: str = "op"
    saved: bool = False
    group: tuple[str, ...] = ()
    op: str = ""
    count: int = 1
    members: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(
                f"node {self.id!r} has kind {self.kind!r}; a kind is one of {', '.join(KINDS)}"
            )
        object.__setattr__(self, "lines", tuple((str(a), str(b)) for a, b in self.lines))
        object.__setattr__(self, "group", tuple(self.group))

    def line(self, label: str) -> str | None:
        """The text beside `label`, or None."""
        return next((text for name, text in self.lines if name == label), None)


@dataclass(frozen=True, slots=True)
class PictureEdge:
    """An arrow from the node `source` to the node `target`.

    `label` is written on it; `kind` is "" for a value that flows, "adjoint" or "tangent" for a
    derivative that flows, "saved" for a value that is read again by the backward pass.
    """

    source: str
    target: str
    label: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """Nodes and the edges between them, with a title above and a note below.

    The order of the nodes is that of the program as far as the edges allow.  Raises `ValueError`
    for two nodes of one id, for an edge to an unknown node, and for a cycle.

    >>> from chainrule.explaining.picture import Picture, PictureEdge, PictureNode
    >>> nodes = [PictureNode("a", "x", kind="input"), PictureNode("b", "y = exp x")]
    >>> Picture(nodes, [PictureEdge("a", "b")])
    <picture: 2 nodes, 1 edge>
    """

    nodes: tuple[PictureNode, ...]
    edges: tuple[PictureEdge, ...]
    title: str = ""
    note: str = ""

    def __init__(
        self,
        nodes: Iterable[PictureNode],
        edges: Iterable[PictureEdge],
        title: str = "",
        note: str = "",
    ) -> None:
        nodes, edges = tuple(nodes), tuple(edges)
        object.__setattr__(self, "nodes", in_order(nodes, edges))
        object.__setattr__(self, "edges", edges)
        object.__setattr__(self, "title", title)
        object.__setattr__(self, "note", note)

    def __repr__(self) -> str:
        return f"<picture: {plural(len(self.nodes), 'node')}, {plural(len(self.edges), 'edge')}>"


def plural(count: int, noun: str) -> str:
    """`1 node`, `2,914 nodes`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def in_order(
    nodes: tuple[PictureNode, ...], edges: tuple[PictureEdge, ...]
) -> tuple[PictureNode, ...]:
    """`nodes`, every one behind those that its edges come from, otherwise as they stood."""
    place = {node.id: i for i, node in enumerate(nodes)}
    if len(place) < len(nodes):
        seen: set[str] = set()
        twice = next(n.id for n in nodes if n.id in seen or seen.add(n.id))  # type: ignore[func-returns-value]
        raise ValueError(f"two nodes of the picture have the id {twice!r}; ids must be unique")
    waiting = [0] * len(nodes)
    children: list[list[int]] = [[] for _ in nodes]
    for edge in edges:
        for end in (edge.source, edge.target):
            if end not in place:
                raise ValueError(
                    f"an edge {edge.source!r} -> {edge.target!r} refers to {end!r}, "
                    "which is not a node of the picture"
                )
        children[place[edge.source]].append(place[edge.target])
        waiting[place[edge.target]] += 1
    ready = [i for i, count in enumerate(waiting) if not count]
    heapify(ready)
    order = []
    while ready:
        i = heappop(ready)
        order.append(nodes[i])
        for child in children[i]:
            waiting[child] -= 1
            if not waiting[child]:
                heappush(ready, child)
    if len(order) < len(nodes):
        stuck = [node.id for i, node in enumerate(nodes) if waiting[i]]
        names = ", ".join(stuck[:6]) + (", ..." if len(stuck) > 6 else "")
        raise ValueError(f"the picture has a cycle among or before the nodes {names}")
    return tuple(order)
