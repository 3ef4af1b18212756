"""A drawing that shows itself in a notebook and saves itself to a file."""

from __future__ import annotations

import os
from collections.abc import Iterable
from html import escape
from pathlib import Path

from chainrule.core.files import write
from chainrule.explaining.picture.collapse import LIMIT, collapse
from chainrule.explaining.picture.dot import dot
from chainrule.explaining.picture.layout import Layout, layout
from chainrule.explaining.picture.model import Picture
from chainrule.explaining.picture.svg import svg
from chainrule.explaining.picture.theme import THEMES, colour


class Drawing:
    """A picture as it will be shown: collapsed, with a direction and a theme.

    Args:
        picture: What to draw.
        direction: "down" or "right", where the edges go.
        theme: "auto" (as the viewer has it), "light" or "dark".
        groups, loops, limit: What becomes one box; see `collapse`.

    A notebook shows it by itself.  Raises `ValueError` for other words.

    >>> from chainrule.explaining.picture import Drawing, Picture, PictureNode
    >>> Drawing(Picture([PictureNode("a", "x")], []))
    <drawing: 1 node, 0 edges; .save("graph.svg") writes it to a file>
    """

    def __init__(
        self,
        picture: Picture,
        *,
        direction: str = "down",
        theme: str = "auto",
        groups: int | Iterable[str] | None = None,
        loops: bool = False,
        limit: int | None = LIMIT,
    ) -> None:
        if direction not in ("down", "right"):
            raise ValueError(f'direction is "down" or "right", not {direction!r}')
        if theme not in THEMES:
            raise ValueError(f"theme is one of {', '.join(THEMES)}, not {theme!r}")
        self.picture = collapse(picture, groups=groups, loops=loops, limit=limit)
        self.direction = direction
        self.theme = theme
        self._layout: Layout | None = None

    @property
    def layout(self) -> Layout:
        """Where everything stands; worked out when first asked for."""
        if self._layout is None:
            self._layout = layout(self.picture, direction=self.direction)
        return self._layout

    @property
    def svg(self) -> str:
        """The drawing as an SVG document."""
        return svg(self.layout, theme=self.theme)

    @property
    def dot(self) -> str:
        """The drawing in the DOT language."""
        return dot(self.picture, direction=self.direction)

    @property
    def html(self) -> str:
        """The drawing as a page of its own."""
        light, dark = colour("background", "light"), colour("background", "dark")
        back = f"background:{dark if self.theme == 'dark' else light}"
        style = f"body{{margin:0;{back};display:flex}}svg{{margin:auto;flex:none}}"
        if self.theme == "auto":
            style += f"@media (prefers-color-scheme:dark){{body{{background:{dark}}}}}"
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
            f"<title>{escape(self.picture.title or 'Computational graph')}</title>\n"
            f"<style>{style}</style></head>\n<body>\n{self.svg}</body></html>\n"
        )

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the drawing to a file and return its path.

        Args:
            path: A name that ends in .svg, .html or .dot.

        A file that is there already is replaced only once all has been written.  Raises
        `ValueError` for another ending, `FileNotFoundError` where the folder is missing, and
        `OSError` where nothing can be written.
        """
        target = Path(path)
        form = {".svg": "svg", ".html": "html", ".dot": "dot", ".gv": "dot"}.get(
            target.suffix.lower()
        )
        if form is None:
            raise ValueError(
                f"a drawing can be saved as .svg, .html or .dot, not as {target.name!r}; "
                "a browser prints .svg and .html files to PDF"
            )
        return write(target, getattr(self, form))

    def _repr_svg_(self) -> str:
        return self.svg

    def _repr_html_(self) -> str:
        # Inline, so that tooltips work and the notebook's theme counts, which an image would not
        # know of.
        return f'<div style="overflow:auto;max-height:90vh">{self.svg}</div>'

    def __repr__(self) -> str:
        said = repr(self.picture).removeprefix("<picture: ").removesuffix(">")
        return f'<drawing: {said}; .save("graph.svg") writes it to a file>'
