"""The groups of a picture as a tree of runs.

A group is a *run* of nodes that follow each other in the program and carry its label.  Cutting an
order of the program into runs can't make a cycle between them, whatever the edges are, because
every edge goes forward; so each run can be one box.  Nodes that nothing goes into, such as
parameters, can stand anywhere before their first reader and do not end a run.
"""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.explaining.picture.model import Picture, PictureNode


class Level:
    """A group, or the whole picture, and what it holds: ids of nodes, and groups."""

    def __init__(self, label: str, phase: str, parent: Level | None) -> None:
        self.label = label
        self.phase = phase
        self.parent = parent
        self.children: list[str | Level] = []

    def walk(self) -> Iterator[Level]:
        """This level and all within it, outer ones first."""
        waiting = [self]
        while waiting:
            level = waiting.pop()
            yield level
            waiting += [c for c in reversed(level.children) if isinstance(c, Level)]

    def ids(self) -> Iterator[str]:
        """The ids of all nodes within."""
        for level in self.walk():
            yield from (c for c in level.children if isinstance(c, str))


def levels_path(level: Level) -> list[Level]:
    """The levels from the whole picture to `level`."""
    path = [level]
    while (outer := path[-1].parent) is not None:
        path.append(outer)
    return path[::-1]


def levels_of(picture: Picture) -> tuple[Level, dict[str, Level]]:
    """The tree of groups, and in which level each node stands."""
    first_reader: dict[str, str] = {}
    targets = {edge.target for edge in picture.edges}
    place = {node.id: i for i, node in enumerate(picture.nodes)}
    for edge in sorted(picture.edges, key=lambda e: place[e.target]):
        first_reader.setdefault(edge.source, edge.target)
    root = Level("", "", None)
    home: dict[str, Level] = {}
    here = root
    sources = []
    for node in picture.nodes:
        if node.id not in targets and node.id in first_reader:
            sources.append(node)
            continue
        here = _enter(here, node)
        here.children.append(node.id)
        home[node.id] = here
    for node in sources:
        home[node.id] = _beside(node, home, first_reader)
    _put_sources(sources, home, place)
    return root, home


def phase_of(node: PictureNode) -> str:
    """What tells a derivative's nodes from the program's."""
    return node.kind if node.kind in ("adjoint", "tangent") else ""


def _enter(here: Level, node: PictureNode) -> Level:
    """The level of `node`, which follows one in the level `here`."""
    path = levels_path(here)[1:]
    keep = 0
    while (
        keep < min(len(path), len(node.group))
        and path[keep].label == node.group[keep]
        and path[keep].phase == phase_of(node)
    ):
        keep += 1
    while len(path) > keep:
        here = path.pop().parent or here
    for label in node.group[keep:]:
        inner = Level(label, phase_of(node), here)
        here.children.append(inner)
        here = inner
    return here


def _beside(node: PictureNode, home: dict[str, Level], first_reader: dict[str, str]) -> Level:
    """The level of a source: its group, as far as its first reader is in the same one."""
    reader = first_reader[node.id]
    path = levels_path(home[reader])
    depth = 0
    while depth < min(len(node.group), len(path) - 1) and (
        path[depth + 1].label == node.group[depth]
    ):
        depth += 1
    return path[depth]


def _put_sources(sources: list[PictureNode], home: dict[str, Level], place: dict[str, int]) -> None:
    """Puts sources in front of what else their level holds."""
    first: dict[int, tuple[Level, list[str]]] = {}
    for node in sources:
        level = home[node.id]
        first.setdefault(id(level), (level, []))[1].append(node.id)
    for level, ids in first.values():
        ids.sort(key=place.__getitem__)
        level.children = [*ids, *level.children]
