"""Where the boxes of a picture stand and how its edges run."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from chainrule.explaining.picture.measure import LINE_SIZE, Box, box_of, text_width
from chainrule.explaining.picture.model import Picture, PictureEdge
from chainrule.explaining.picture.ranks import Arrangement, Item, Link, arrange
from chainrule.explaining.picture.tree import Level, levels_of, levels_path

Point = tuple[float, float]
HEADER, PADDING = 25.0, 13.0  # of a frame


@dataclass(frozen=True, slots=True)
class Placed:
    """A box and its upper left corner."""

    box: Box
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Route:
    """An edge as cubic Bézier segments, each of four points, and the middle of its label."""

    segments: tuple[tuple[Point, Point, Point, Point], ...]
    label: Point | None


@dataclass(frozen=True, slots=True)
class Frame:
    """The frame around a group."""

    label: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Layout:
    """A picture with coordinates: pixels, (0, 0) in the upper left corner."""

    picture: Picture
    boxes: dict[str, Placed]
    routes: tuple[Route, ...]  # in the order of the picture's edges
    frames: tuple[Frame, ...]  # outer ones first
    width: float
    height: float
    direction: str


def layout(picture: Picture, *, direction: str = "down") -> Layout:
    """Lay a picture out in layers.

    Args:
        picture: What to lay out.
        direction: "down" or "right", where the edges go.

    Every group that its nodes carry becomes a frame; no edge runs through a box, and no box that
    is not in a group lies in its frame.  The same picture always gives the same layout.  Raises
    `ValueError` for another direction, `ImportError` where igraph is missing.

    >>> from chainrule.explaining.picture import Picture, PictureEdge, PictureNode, layout
    >>> nodes = [PictureNode("a", "x", kind="input"), PictureNode("b", "y = exp x")]
    >>> placed = layout(Picture(nodes, [PictureEdge("a", "b")]))
    >>> placed.boxes["a"].y < placed.boxes["b"].y
    True
    """
    if direction not in ("down", "right"):
        raise ValueError(f'direction is "down" or "right", not {direction!r}')
    return _Layouter(picture, direction).run()


@dataclass(slots=True)
class _Plan:
    """A level's items and links, as they are collected."""

    keys: dict[Hashable, int] = field(default_factory=dict)
    ports: list[tuple[Hashable, str]] = field(default_factory=list)
    pieces: dict[Hashable, tuple[Hashable, Hashable, PictureEdge, bool]] = field(
        default_factory=dict
    )


class _Layouter:
    """One layout.  Each level is laid out by itself, the innermost first; to the level around it
    it is one box, with ports on its border where edges go in and out."""

    def __init__(self, picture: Picture, direction: str) -> None:
        self.picture, self.down = picture, direction == "down"
        self.boxes = {node.id: box_of(node) for node in picture.nodes}
        self.root, self.home = levels_of(picture)
        self.plans: dict[int, _Plan] = {}
        self.results: dict[int, Arrangement] = {}
        self.links: dict[int, dict[Hashable, int]] = {}
        self.parts: list[list[tuple[Level, Hashable]]] = []  # per edge: (level, piece)
        self.corner: dict[int, Point] = {}
        self.size: dict[int, Point] = {}
        self.pads: dict[int, Point] = {}

    def run(self) -> Layout:
        for number, edge in enumerate(self.picture.edges):
            self.parts.append(self.cut(number, edge))
        everything = list(self.root.walk())
        for level in reversed(everything):
            self.arrange(level)
        self.corner[id(self.root)] = (0.0, 0.0)
        placed: dict[str, Placed] = {}
        frames = []
        for level in everything:
            corner = self.corner[id(level)]
            if level is not self.root:
                x, y, width, height = self.turned(*corner, *self.size[id(level)])
                frames.append(Frame(level.label, x, y, width, height))
            for child in level.children:
                spot = self.place_of(level, child, corner)
                if isinstance(child, Level):
                    self.corner[id(child)] = spot
                else:
                    placed[child] = Placed(self.boxes[child], *(spot if self.down else spot[::-1]))
        placed = {node.id: placed[node.id] for node in self.picture.nodes}
        routes = tuple(self.route(parts) for parts in self.parts)
        size = self.size[id(self.root)]
        width, height = size if self.down else size[::-1]
        direction = "down" if self.down else "right"
        return Layout(self.picture, placed, routes, tuple(frames), width, height, direction)

    def plan(self, level: Level) -> _Plan:
        return self.plans.setdefault(id(level), _Plan())

    def cut(self, number: int, edge: PictureEdge) -> list[tuple[Level, Hashable]]:
        """The pieces of an edge, one in each level that it runs through."""
        ups = levels_path(self.home[edge.source])
        downs = levels_path(self.home[edge.target])
        shared = 0
        while shared < min(len(ups), len(downs)) and ups[shared] is downs[shared]:
            shared += 1
        out_port, in_port = ("out", edge.source, edge.kind), ("in", edge.source, edge.kind)
        parts: list[tuple[Level, Hashable]] = []

        def piece(level: Level, a: Hashable, b: Hashable) -> None:
            plan, last = self.plan(level), b == edge.target
            key = (a, b, edge.source, edge.kind, number if last else -1)
            for end, where in ((a, "first"), (b, "last")):
                if isinstance(end, tuple) and (end, where) not in plan.ports:
                    plan.ports.append((end, where))
            plan.pieces.setdefault(key, (a, b, edge, last))
            parts.append((level, key))

        here: Hashable = edge.source
        for level in reversed(ups[shared:]):
            piece(level, here, out_port)
            here = id(level)
        inside = downs[shared:]
        piece(ups[shared - 1], here, id(inside[0]) if inside else edge.target)
        for k, level in enumerate(inside, 1):
            piece(level, in_port, id(inside[k]) if k < len(inside) else edge.target)
        return parts

    def arrange(self, level: Level) -> None:
        """Lays out one level whose inner levels are laid out already."""
        plan = self.plan(level)
        items: list[Item] = []
        for key, end in plan.ports:
            if end == "first":
                plan.keys[key] = len(items)
                items.append(Item(6.0, 0.0, end))
        for child in level.children:
            if isinstance(child, Level):
                plan.keys[id(child)] = len(items)
                items.append(Item(*self.size[id(child)]))
            else:
                plan.keys[child] = len(items)
                box = self.boxes[child]
                items.append(
                    Item(*((box.width, box.height) if self.down else (box.height, box.width)))
                )
        for key, end in plan.ports:
            if end == "last":
                plan.keys[key] = len(items)
                items.append(Item(6.0, 0.0, end))
        links: list[Link] = []
        numbers: dict[Hashable, int] = {}
        for key, (a, b, edge, last) in plan.pieces.items():
            numbers[key] = len(links)
            link = Link(plan.keys[a], plan.keys[b], (edge.source, edge.kind))
            link.leaves = self.port_offset(a, ("out", edge.source, edge.kind))
            link.arrives = self.port_offset(b, ("in", edge.source, edge.kind))
            if last and edge.label:
                size = (text_width(edge.label, LINE_SIZE, mono=True) + 8, 16.0)
                link.label = size if self.down else size[::-1]
            links.append(link)
        result = arrange(items, links)
        self.results[id(level)], self.links[id(level)] = result, numbers
        self.finish(level, result)

    def finish(self, level: Level, result: Arrangement) -> None:
        """The size of a level, with the frame around it."""
        if level is self.root:
            self.pads[id(level)], self.size[id(level)] = (0.0, 0.0), (result.cross, result.main)
            return
        header = text_width(level.label, 12.0, bold=True) + 24
        cross, main = result.cross + 2 * PADDING, result.main + 2 * PADDING
        before_cross = before_main = PADDING
        if self.down:
            main, before_main = main + HEADER - PADDING, HEADER
            before_cross += max(0.0, header - cross) / 2
            cross = max(cross, header)
        else:
            cross, before_cross = cross + HEADER - PADDING, HEADER
            main = max(main, header)
        self.pads[id(level)], self.size[id(level)] = (before_cross, before_main), (cross, main)

    def port_offset(self, item: Hashable, port: Hashable) -> float | None:
        """How far from the centre of an inner level its port is; None for a box."""
        if isinstance(item, str):
            return None
        if isinstance(item, tuple):
            return 0.0
        assert isinstance(item, int)
        centre, _ = self.results[item].centres[self.plans[item].keys[port]]
        return self.pads[item][0] + centre - self.size[item][0] / 2

    def place_of(self, level: Level, child: str | Level, corner: Point) -> Point:
        """The corner (cross, main) of what a level holds."""
        key: Hashable = id(child) if isinstance(child, Level) else child
        cross, main = self.results[id(level)].centres[self.plan(level).keys[key]]
        if isinstance(child, Level):
            size = self.size[id(child)]
        else:
            box = self.boxes[child]
            size = (box.width, box.height) if self.down else (box.height, box.width)
        pad = self.pads[id(level)]
        return corner[0] + pad[0] + cross - size[0] / 2, corner[1] + pad[1] + main - size[1] / 2

    def route(self, parts: list[tuple[Level, Hashable]]) -> Route:
        """The curve of an edge: straight beside and through ranks, curved between them."""
        stretches: list[tuple[float, float, float]] = []
        label = None
        for level, key in parts:
            corner, pad = self.corner[id(level)], self.pads[id(level)]
            cross, main = corner[0] + pad[0], corner[1] + pad[1]
            number = self.links[id(level)][key]
            result = self.results[id(level)]
            stretches += [(c + cross, a + main, b + main) for c, a, b in result.paths[number]]
            spot = result.labels[number]
            if spot is not None:
                label = self.point(spot[0] + cross, spot[1] + main)
        segments = []
        here = stretches[0][:2]
        for cross, begin, end in stretches:
            if abs(cross - here[0]) > 0.01:
                bend = (begin - here[1]) / 2
                curve = (here, (here[0], here[1] + bend), (cross, begin - bend), (cross, begin))
                segments.append(curve)
                here = (cross, begin)
            if end > here[1]:
                if segments and segments[-1][0][0] == segments[-1][3][0] == cross:
                    here = segments.pop()[0]
                step = (end - here[1]) / 3
                segments.append((here, (cross, here[1] + step), (cross, end - step), (cross, end)))
                here = (cross, end)
        turned = tuple(
            (self.point(*p), self.point(*q), self.point(*r), self.point(*s))
            for p, q, r, s in segments
        )
        return Route(turned, label)

    def point(self, cross: float, main: float) -> Point:
        x, y = (cross, main) if self.down else (main, cross)
        return round(x, 2), round(y, 2)

    def turned(
        self, cross: float, main: float, wide: float, high: float
    ) -> tuple[float, float, float, float]:
        if self.down:
            return cross, main, wide, high
        return main, cross, high, wide
