"""Several nodes of a picture become one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chainrule.explaining.picture.model import Picture, PictureEdge, PictureNode, plural

GIVEN = ("input", "constant")


@dataclass(frozen=True, slots=True)
class Part:
    """Nodes that become one, its title, and the groups around it."""

    members: Sequence[PictureNode]
    title: str
    group: tuple[str, ...]


def flat(node: PictureNode) -> tuple[str, ...]:
    """The ids, in the whole picture, that a node stands for."""
    return node.members or (node.id,)


def inner_nodes(picture: Picture) -> list[PictureNode]:
    """The nodes that something goes into, and those that are no inputs or constants."""
    targets = {edge.target for edge in picture.edges}
    return [node for node in picture.nodes if node.id in targets or node.kind not in GIVEN]


def contents(members: Sequence[PictureNode]) -> str:
    """What is inside a box, such as "12 operations"."""
    counts = [
        (sum(n.count for n in members if n.kind not in GIVEN), "operation"),
        (sum(n.count for n in members if n.kind == "input"), "input"),
        (sum(n.count for n in members if n.kind == "constant"), "constant"),
    ]
    return next((plural(count, name) for count, name in counts if count), "nothing")


def merge(picture: Picture, parts: Sequence[Part]) -> Picture:
    """Makes one node of each part.  A constant that only one part reads goes into it."""
    parts = [part for part in parts if part.members]
    if not parts:
        return picture
    owner = {node.id: number for number, part in enumerate(parts) for node in part.members}
    readers: dict[str, set[int]] = {}
    leaving: dict[int, set[str]] = {}
    for edge in picture.edges:
        readers.setdefault(edge.source, set()).add(owner.get(edge.target, -1))
        if edge.source in owner and owner[edge.source] != owner.get(edge.target):
            leaving.setdefault(owner[edge.source], set()).add(edge.source)
    for node in picture.nodes:
        if node.kind == "constant" and node.id not in owner:
            inside = readers.get(node.id, {-1})
            if len(inside) == 1 and -1 not in inside:
                owner[node.id] = next(iter(inside))
    members: list[list[PictureNode]] = [[] for _ in parts]
    for node in picture.nodes:
        if node.id in owner:
            members[owner[node.id]].append(node)
    taken = {node.id for node in picture.nodes if node.id not in owner}
    boxes = []
    for number, (part, inside_nodes) in enumerate(zip(parts, members, strict=True)):
        name = f"{inside_nodes[0].id}+"
        while name in taken:
            name += "+"
        taken.add(name)
        boxes.append(_box(name, part, inside_nodes, leaving.get(number, set())))
    # A part comes where its last operation was: everything that it reads is before that.
    last = {owner[n.id]: n.id for n in picture.nodes if n.id in owner}
    nodes = []
    for node in picture.nodes:
        number = owner.get(node.id, -1)
        if number < 0:
            nodes.append(node)
        elif last[number] == node.id:
            nodes.append(boxes[number])
    return Picture(nodes, _edges(picture, owner, boxes), picture.title, picture.note)


def _edges(picture: Picture, owner: dict[str, int], boxes: list[PictureNode]) -> list[PictureEdge]:
    """The edges between boxes; several that become one lose labels that differ."""
    joined: dict[tuple[str, str, str], PictureEdge] = {}
    kept = []
    for edge in picture.edges:
        a = boxes[owner[edge.source]].id if edge.source in owner else edge.source
        b = boxes[owner[edge.target]].id if edge.target in owner else edge.target
        if (a, b) == (edge.source, edge.target):
            kept.append(edge)
        elif a != b:
            key = (a, b, edge.kind)
            same = key not in joined or joined[key].label == edge.label
            joined[key] = PictureEdge(a, b, edge.label if same else "", edge.kind)
    return kept + list(joined.values())


def _box(name: str, part: Part, members: list[PictureNode], leaving: set[str]) -> PictureNode:
    kinds = {node.kind for node in members}
    inner = kinds - {"constant"} if kinds != {"constant"} else kinds
    if "output" in kinds:
        kind = "output"
    elif len(inner) == 1:
        (kind,) = inner
    else:
        derived = kinds - set(GIVEN)
        kind = derived.pop() if len(derived) == 1 else "op"
    counted = sum(n.count for n in members if n.kind not in GIVEN)
    return PictureNode(
        name,
        part.title,
        tuple(_lines(members, leaving)),
        kind,
        any(node.saved for node in members),
        part.group,
        count=counted or sum(n.count for n in members),
        members=tuple(i for node in members for i in flat(node)),
    )


def _lines(members: list[PictureNode], leaving: set[str]) -> list[tuple[str, str]]:
    """What a box says: what leaves it, where it is in the source, what is inside."""
    lines = []
    out = [node for node in members if node.id in leaving] or members[-1:]
    shape = out[0].line("shape")
    if len(out) == 1 and shape:
        lines.append(("shape", shape))
    places = list(dict.fromkeys(p for n in members if (p := n.line("line"))))
    if places:
        lines.append(("line", _span(places)))
    inputs = sum(n.count for n in members if n.kind == "input")
    if inputs and any(n.kind not in GIVEN for n in members):
        lines.append(("inside", plural(inputs, "input")))
    return lines


def _span(places: list[str]) -> str:
    """`demo.py:3–9` for lines of one file, otherwise the first and how many others."""
    parts = [place.rpartition(":") for place in places]
    if len(places) == 1:
        return places[0]
    numbers = [int(n) for p in parts for n in p[2].split("–") if n.isdecimal()]
    if len({file for file, _, _ in parts}) == 1 and len(numbers) >= len(places):
        return f"{parts[0][0]}:{min(numbers)}–{max(numbers)}"
    return f"{places[0]} and {len(places) - 1} more"
