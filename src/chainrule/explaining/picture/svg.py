"""A picture as SVG: one string that a browser, a notebook or a drawing program shows."""

from __future__ import annotations

import re
import textwrap
from html import escape

from chainrule.explaining.picture.layout import Frame, Layout, Placed, Point, Route, layout
from chainrule.explaining.picture.measure import (
    LINE_LEADING,
    LINE_SIZE,
    MONO,
    PAD_Y,
    SANS,
    TITLE_LEADING,
    TITLE_SIZE,
    text_width,
)
from chainrule.explaining.picture.model import Picture, PictureEdge, PictureNode, plural
from chainrule.explaining.picture.theme import KINDS_OF_EDGES, THEMES, colour, css

MARGIN = 20.0
HEADING_SIZE, NOTE_SIZE, NARROWEST = 15.0, 12.0, 260.0
HEAD_LENGTH, HEAD_WIDTH = 8.0, 7.0
SWATCH, LEGEND_LEADING = 16.0, 22.0

NODE_NAMES = {
    "input": "input",
    "constant": "constant",
    "op": "operation",
    "output": "output",
    "adjoint": "adjoint",
    "tangent": "tangent",
}
EDGE_NAMES = {"saved": "read again for the derivative"}
SAVED_NAME = "kept for backward"


def svg(picture: Picture | Layout, *, theme: str = "auto", direction: str = "down") -> str:
    """A picture as a self-contained SVG document.

    Args:
        picture: A picture, or one that is laid out already.
        theme: "auto" follows the viewer's light or dark scheme; "light" and "dark" do not.
        direction: "down" or "right", where the edges go.

    A node is `<g class="node op saved" id="n3" data-node="n3">`, an edge
    `<g class="edge" data-from="n1" data-to="n3">`; the colours are custom properties (`--cr-ink`,
    ...), with plain values for viewers that have none.  Raises `ValueError` for another theme.

    >>> from chainrule.explaining.picture import Picture, PictureNode, svg
    >>> svg(Picture([PictureNode("a", "x < y")], []))[:27]
    '<svg xmlns="http://www.w3.o'
    """
    if theme not in THEMES:
        raise ValueError(f"theme is one of {', '.join(THEMES)}, not {theme!r}")
    placed = picture if isinstance(picture, Layout) else layout(picture, direction=direction)
    return _Writer(placed, theme).document()


_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def quoted(text: str) -> str:
    """`text` for XML, as content or attribute; what XML can't hold becomes a replacement sign."""
    return escape(_FORBIDDEN.sub("\ufffd", text))


class _Writer:
    """Writes one layout."""

    def __init__(self, placed: Layout, theme: str) -> None:
        self.placed, self.theme = placed, theme
        self.picture = placed.picture
        self.out: list[str] = []
        self.inner = max(placed.width, NARROWEST)
        self.heading = self.wrapped(self.picture.title, HEADING_SIZE, bold=True)
        self.note = self.wrapped(self.picture.note, NOTE_SIZE)
        self.legend = self.legend_rows()

    def wrapped(self, text: str, size: float, *, bold: bool = False) -> list[str]:
        """`text` in rows as wide as the picture."""
        letters = max(12, int(self.inner / text_width("n", size, bold=bold)))
        return [row for part in text.split("\n") for row in textwrap.wrap(part, letters)]

    def colour(self, name: str) -> str:
        return colour(name, self.theme)

    def document(self) -> str:
        picture, placed = self.picture, self.placed
        top = MARGIN + 21 * len(self.heading) + (9 if self.heading else 0)
        bottom = top + placed.height + (18 if self.legend or self.note else 0)
        after_legend = bottom + LEGEND_LEADING * len(self.legend)
        height = after_legend + 17 * len(self.note) + MARGIN
        width = self.inner + 2 * MARGIN
        said = picture.title or "Computational graph"
        said += f" ({plural(len(picture.nodes), 'node')}, {plural(len(picture.edges), 'edge')})"
        size = f'width="{_n(width)}" height="{_n(height)}" viewBox="0 0 {_n(width)} {_n(height)}"'
        self.add(
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} class="cr-picture cr-{self.theme}" '
            f'role="img" aria-label="{quoted(said)}" font-family="{quoted(SANS)}">'
        )
        self.add(f"<style>\n{css(self.theme)}\n</style>")
        self.add(
            f'<rect class="background" width="{_n(width)}" height="{_n(height)}" rx="8" '
            f'fill="{self.colour("background")}"/>'
        )
        for k, row in enumerate(self.heading):
            self.text(
                "heading",
                MARGIN,
                MARGIN + 15 + 21 * k,
                row,
                HEADING_SIZE,
                "ink",
                'font-weight="600"',
            )
        left = MARGIN + (self.inner - placed.width) / 2
        self.add(f'<g class="graph" transform="translate({_n(left)} {_n(top)})">')
        self.graph()
        self.add("</g>")
        self.write_legend(bottom)
        for k, row in enumerate(self.note):
            self.text("note", MARGIN, after_legend + 13 + 17 * k, row, NOTE_SIZE, "muted")
        self.add("</svg>")
        return "\n".join(self.out) + "\n"

    def graph(self) -> None:
        placed = self.placed
        for frame in placed.frames:
            self.frame(frame)
        for edge, route in zip(self.picture.edges, placed.routes, strict=True):
            self.edge(edge, route)
        for node in self.picture.nodes:
            self.node(node, placed.boxes[node.id])
        for frame in placed.frames:
            self.text(
                "frame-label",
                frame.x + 12,
                frame.y + 17,
                frame.label,
                12.0,
                "muted",
                f'font-weight="600" stroke="{self.colour("frame")}" stroke-width="4" '
                'stroke-linejoin="round" paint-order="stroke"',
            )

    def frame(self, frame: Frame) -> None:
        self.add(
            f'<g class="frame" data-group="{quoted(frame.label)}">'
            f'<rect x="{_n(frame.x)}" y="{_n(frame.y)}" width="{_n(frame.width)}" '
            f'height="{_n(frame.height)}" rx="10" fill="{self.colour("frame")}" '
            f'stroke="{self.colour("frame-line")}"/></g>'
        )

    def node(self, node: PictureNode, placed: Placed) -> None:
        box, x, y = placed.box, placed.x, placed.y
        classes = f"node {node.kind}" + (" saved" if node.saved else "")
        said = quoted(node.id)
        self.add(f'<g class="{classes}" id="{said}" data-node="{said}">')
        self.add(f"<title>{quoted(_tooltip(node))}</title>")
        self.box(node.kind, node.saved, x, y, box.width, box.height)
        middle = x + box.width / 2
        baseline = y + PAD_Y + TITLE_LEADING * 0.72
        self.text(
            "name",
            middle,
            baseline,
            box.title,
            TITLE_SIZE,
            "ink",
            'font-weight="600" text-anchor="middle"',
        )
        wide = max((text_width(text, LINE_SIZE, mono=True) for _, text in box.rows), default=0.0)
        left = middle - (box.label_width + wide) / 2
        row_top = y + PAD_Y + TITLE_LEADING + 3
        of = ""
        for k, (label, text) in enumerate(box.rows):
            base = row_top + LINE_LEADING * (k + 0.74)
            of = label or of
            mark = f'data-line="{quoted(of)}"' if of else ""
            if label:
                self.text("label", left, base, label, LINE_SIZE, "muted")
            mono = f'font-family="{quoted(MONO)}" {mark}'.rstrip()
            self.text("text", left + box.label_width, base, text, LINE_SIZE, "ink", mono)
        self.add("</g>")

    def box(self, kind: str, saved: bool, x: float, y: float, wide: float, high: float) -> None:
        """The surface of a node, which the legend shows as well."""
        round_ = min(high / 2, 17.0) if kind == "input" else min(7.0, high / 3)
        dashed = ' stroke-dasharray="4 3"' if kind == "constant" else ""
        thick = 2.2 if kind == "output" else 1.3
        self.add(
            f'<rect class="box" x="{_n(x)}" y="{_n(y)}" width="{_n(wide)}" height="{_n(high)}" '
            f'rx="{_n(round_)}" fill="{self.colour(kind)}" stroke="{self.colour(f"{kind}-line")}" '
            f'stroke-width="{thick}"{dashed}/>'
        )
        if saved:
            inset, bar = (7.0, 4.0) if high > 24 else (3.0, 3.0)
            top = y + max(round_, inset) * 0.9
            length = max(high - 2 * (top - y), 6.0)
            self.add(
                f'<rect class="stripe" x="{_n(x + 4.5)}" y="{_n(y + (high - length) / 2)}" '
                f'width="{_n(bar)}" height="{_n(length)}" rx="1.5" fill="{self.colour("saved")}"/>'
            )

    def edge(self, edge: PictureEdge, route: Route) -> None:
        name = KINDS_OF_EDGES.get(edge.kind, "edge")
        classes = f"edge {edge.kind}" if edge.kind in KINDS_OF_EDGES else "edge"
        segments, tip = _shortened(route, self.placed.direction)
        paint = self.colour(name)
        dashed = ' stroke-dasharray="5 4"' if edge.kind == "saved" else ""
        self.add(
            f'<g class="{classes}" data-from="{quoted(edge.source)}" '
            f'data-to="{quoted(edge.target)}">'
            f'<path class="line" d="{_curve(segments)}" fill="none" stroke="{paint}" '
            f'stroke-width="1.4"{dashed}/><path class="head" d="{tip}" fill="{paint}"/>'
        )
        if edge.label and route.label:
            x, y = route.label
            self.text(
                "along",
                x,
                y + 4,
                edge.label,
                LINE_SIZE,
                "ink",
                f'font-family="{quoted(MONO)}" text-anchor="middle" '
                f'stroke="{self.colour("background")}" stroke-width="5" stroke-linejoin="round" '
                'paint-order="stroke"',
            )
        self.add("</g>")

    def legend_rows(self) -> list[list[tuple[str, str, float]]]:
        """The legend's entries (what, name, x), in rows; none where there is nothing to tell."""
        kinds = [kind for kind in NODE_NAMES if any(n.kind == kind for n in self.picture.nodes)]
        entries = [(kind, NODE_NAMES[kind]) for kind in kinds]
        saved = any(node.saved for node in self.picture.nodes)
        entries += [("saved", SAVED_NAME)] if saved else []
        entries += [
            (f"edge {kind}", name)
            for kind, name in EDGE_NAMES.items()
            if any(edge.kind == kind for edge in self.picture.edges)
        ]
        if len(entries) < 2:
            return []
        rows: list[list[tuple[str, str, float]]] = [[]]
        x = 0.0
        for what, name in entries:
            wide = SWATCH + 16 + text_width(name, NOTE_SIZE) + 18
            if rows[-1] and x + wide - 18 > self.inner:
                rows.append([])
                x = 0.0
            rows[-1].append((what, name, x))
            x += wide
        return rows

    def write_legend(self, top: float) -> None:
        if not self.legend:
            return
        self.add('<g class="legend">')
        for k, row in enumerate(self.legend):
            for what, name, x in row:
                left, middle = MARGIN + x, top + LEGEND_LEADING * k + 8
                self.add(f'<g class="{what}">')
                if what.startswith("edge "):
                    paint = self.colour(KINDS_OF_EDGES[what[5:]])
                    self.add(
                        f'<path class="line" d="M{_n(left)} {_n(middle)}h{_n(SWATCH + 6)}" '
                        f'fill="none" stroke="{paint}" stroke-width="1.6" stroke-dasharray="5 4"/>'
                    )
                else:
                    kind = "op" if what == "saved" else what
                    if what == "saved":
                        self.add('<g class="op">')
                    self.box(kind, what == "saved", left, middle - 7, SWATCH + 6, 14.0)
                    if what == "saved":
                        self.add("</g>")
                self.text("", left + SWATCH + 12, middle + 4, name, NOTE_SIZE, "muted")
                self.add("</g>")
        self.add("</g>")

    def text(
        self, kind: str, x: float, y: float, text: str, size: float, ink: str, more: str = ""
    ) -> None:
        # Two spaces in a row would be shown as one; columns of numbers need them.
        shown = quoted(re.sub(" (?= )|^ ", "\u00a0", text))
        name = f'class="{kind}" ' if kind else ""
        more = f" {more}" if more else ""
        self.add(
            f'<text {name}x="{_n(x)}" y="{_n(y)}" font-size="{_n(size)}" '
            f'fill="{self.colour(ink)}"{more}>{shown}</text>'
        )

    def add(self, text: str) -> None:
        self.out.append(text)


def _tooltip(node: PictureNode) -> str:
    lines = [node.title, *(f"{label}: {text}" if label else text for label, text in node.lines)]
    if node.saved:
        lines.append(SAVED_NAME)
    if node.group:
        lines.append("in " + " / ".join(node.group))
    return "\n".join(lines)


def _n(number: float) -> str:
    return f"{number:.1f}".rstrip("0").rstrip(".") if number else "0"


def _shortened(route: Route, direction: str) -> tuple[list[tuple[Point, Point, Point, Point]], str]:
    """The segments up to the arrow's head, and the head's outline."""
    segments = list(route.segments)
    x, y = segments[-1][3]
    half = HEAD_WIDTH / 2
    if direction == "down":
        base = (x, y - HEAD_LENGTH + 1)
        outline = [(x, y), (x - half, y - HEAD_LENGTH), (x + half, y - HEAD_LENGTH)]
    else:
        base = (x - HEAD_LENGTH + 1, y)
        outline = [(x, y), (x - HEAD_LENGTH, y - half), (x - HEAD_LENGTH, y + half)]
    axis = 1 if direction == "down" else 0
    if len(segments) > 1 and segments[-1][0][axis] >= base[axis]:
        segments.pop()
    p, q, r, end = segments[-1]
    back = (base[0] - end[0], base[1] - end[1])
    segments[-1] = (p, q, (r[0] + back[0], r[1] + back[1]), base)
    return segments, "M" + "L".join(f"{_n(a)} {_n(b)}" for a, b in outline) + "Z"


def _curve(segments: list[tuple[Point, Point, Point, Point]]) -> str:
    start = segments[0][0]
    parts = [f"M{_n(start[0])} {_n(start[1])}"]
    for p, q, r, s in segments:
        if p[0] == s[0] == q[0] == r[0] or p[1] == s[1] == q[1] == r[1]:
            parts.append(f"L{_n(s[0])} {_n(s[1])}")
        else:
            parts.append("C" + " ".join(f"{_n(a)} {_n(b)}" for a, b in (q, r, s)))
    return "".join(parts)
