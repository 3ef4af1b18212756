"""A picture as text in the DOT language, for those who have Graphviz."""

from __future__ import annotations

from chainrule.explaining.picture.measure import box_of
from chainrule.explaining.picture.model import Picture, PictureNode
from chainrule.explaining.picture.theme import KINDS_OF_EDGES, colour
from chainrule.explaining.picture.tree import Level, levels_of

_STYLES = {"input": "rounded,filled", "constant": "filled,dashed", "output": "filled,bold"}


def dot(picture: Picture, *, direction: str = "down") -> str:
    """A picture in the DOT language.

    Args:
        picture: What to write.
        direction: "down" or "right", where the edges go.

    Groups become clusters.  Raises `ValueError` for another direction.

    >>> from chainrule.explaining.picture import Picture, PictureNode, dot
    >>> print(dot(Picture([PictureNode("a", 'say "x"')], [])).splitlines()[-2])
      "a" [label="say \\"x\\"", style="filled", fillcolor="#ffffff", color="#8b96a4"];
    """
    if direction not in ("down", "right"):
        raise ValueError(f'direction is "down" or "right", not {direction!r}')
    lines = [
        "digraph {",
        f"  rankdir={'TB' if direction == 'down' else 'LR'};",
        '  node [shape=box, fontname="Helvetica", fontsize=11];',
        '  edge [fontname="Helvetica", fontsize=10];',
    ]
    caption = "\n".join(text for text in (picture.title, picture.note) if text)
    if caption:
        lines.append(f"  label={_quoted(caption)};")
    nodes = {node.id: node for node in picture.nodes}
    root, _ = levels_of(picture)
    # What is still to be written; a level's end is written when its contents are.
    waiting: list[tuple[str | Level | None, int]] = [(c, 1) for c in reversed(root.children)]
    clusters = 0
    while waiting:
        item, depth = waiting.pop()
        indent = "  " * depth
        if isinstance(item, Level):
            lines.append(f"{indent}subgraph cluster_{clusters} {{")
            lines.append(f"{indent}  label={_quoted(item.label)};")
            clusters += 1
            waiting.append((None, depth))
            waiting += [(child, depth + 1) for child in reversed(item.children)]
        else:
            lines.append(indent + ("}" if item is None else _node(nodes[item])))
    for edge in picture.edges:
        name = KINDS_OF_EDGES.get(edge.kind, "edge")
        label = f"label={_quoted(edge.label)}, " if edge.label else ""
        style = ', style="dashed"' if edge.kind == "saved" else ""
        paint = f'color="{colour(name, "light")}"'
        lines.append(f"  {_quoted(edge.source)} -> {_quoted(edge.target)} [{label}{paint}{style}];")
    return "\n".join([*lines, "}"]) + "\n"


def _node(node: PictureNode) -> str:
    box = box_of(node)
    rows = [box.title, *(f"{label} {text}".strip() for label, text in box.rows)]
    line = colour("saved" if node.saved else f"{node.kind}-line", "light")
    return (
        f"{_quoted(node.id)} [label={_quoted(chr(10).join(rows))}, "
        f'style="{_STYLES.get(node.kind, "filled")}", '
        f'fillcolor="{colour(node.kind, "light")}", color="{line}"];'
    )


def _quoted(text: str) -> str:
    """A quoted DOT string.  In labels a backslash would begin an escape, so it is doubled."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
