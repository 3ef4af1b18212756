"""Tables: of text in a terminal, HTML in a notebook, Markdown on a page."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any
from unicodedata import east_asian_width


class Table:
    """Rows of text under a header; the first column is flush left, numbers flush right.

    Attributes:
        title: stands above.
        header: the names of the columns.
        rows: text for each column; None draws a line.
        notes: lines below.
        left: the columns that are flush left.
    """

    def __init__(
        self, title: str, header: Sequence[str], rows: Sequence[Sequence[str] | None],
        notes: Sequence[str] = (), left: Sequence[int] = (0,),
    ) -> None:  # fmt: skip
        self.title = title
        self.header = list(header)
        self.rows = rows
        self.notes = list(notes)
        self.left = left

    def text(self) -> str:
        """The table in characters."""
        lines = [self.header, *[r for r in self.rows if r is not None]]
        widths = [max(width(line[i]) for line in lines) for i in range(len(self.header))]
        rule = "─" * (sum(widths) + 2 * (len(widths) - 1))

        def line(cells: Sequence[str]) -> str:
            padded = [
                c + " " * (w - width(c)) if i in self.left else " " * (w - width(c)) + c
                for i, (c, w) in enumerate(zip(cells, widths, strict=True))
            ]
            return "  ".join(padded).rstrip()

        body = [rule if r is None else line(r) for r in self.rows]
        return "\n".join([self.title, rule, line(self.header), rule, *body, rule, *self.notes])

    def markdown(self) -> str:
        """The table in Markdown."""
        marks = [":--" if i in self.left else "--:" for i in range(len(self.header))]
        rows = [self.header, marks, *[r for r in self.rows if r is not None]]
        body = ["| " + " | ".join(c.replace("|", "\\|") for c in r) + " |" for r in rows]
        notes = [line for note in self.notes for line in ("", note)]
        return "\n".join([f"**{self.title}**", "", *body, *notes])

    def html(self) -> str:
        """The table in HTML, which takes the colours of the page it stands in."""

        def cell(i: int, text: str, tag: str, line: str = "") -> str:
            side = "left" if i in self.left else "right"
            style = f"text-align:{side};padding:.15em .8em;white-space:pre{line}"
            return f'<{tag} style="{style}">{html.escape(text)}</{tag}>'

        above = ";border-top:1px solid currentColor"
        body, line = [], above
        for r in self.rows:
            if r is None:
                line = above
                continue
            cells = "".join(cell(i, c, "td", line) for i, c in enumerate(r))
            body.append(f"<tr>{cells}</tr>")
            line = ""
        head = "".join(cell(i, c, "th") for i, c in enumerate(self.header))
        notes = "".join(f"<div>{html.escape(n)}</div>" for n in self.notes)
        return (
            f'<div><b>{html.escape(self.title)}</b><table style="border-collapse:collapse;'
            f'font-variant-numeric:tabular-nums"><thead><tr>{head}</tr></thead>'
            f"<tbody>{''.join(body)}</tbody></table>{notes}</div>"
        )

    def rich(self) -> Any:
        """The table for Rich's console.

        Raises:
            ImportError: if Rich is not installed.
        """
        try:
            from rich import box
            from rich.console import Group
            from rich.table import Table as RichTable
            from rich.text import Text
        except ImportError as error:
            raise ImportError(
                'tables in colour need Rich: pip install "chainrule[explain]"'
            ) from error
        made = RichTable(title=Text(self.title), box=box.SIMPLE_HEAD, title_justify="left")
        for i, name in enumerate(self.header):
            made.add_column(Text(name), justify="left" if i in self.left else "right", no_wrap=True)
        for r in self.rows:
            if r is None:
                made.add_section()
            else:
                made.add_row(*map(Text, r))
        return Group(made, *map(Text, self.notes))


class Shown:
    """What shows as a table: `table()` says which."""

    def table(self) -> Table:
        """The table that is shown."""
        raise NotImplementedError

    def markdown(self) -> str:
        """As a table in Markdown."""
        return self.table().markdown()

    def __repr__(self) -> str:
        return self.table().text()

    def _repr_html_(self) -> str:
        return self.table().html()

    def _repr_markdown_(self) -> str:
        return self.table().markdown()

    def __rich__(self) -> Any:
        return self.table().rich()


def width(text: str) -> int:
    """How many columns of a terminal a text takes."""
    return sum(2 if east_asian_width(c) in "WF" else 1 for c in text)


def grouped(n: float) -> str:
    """A number with commas between thousands, short where it is large."""
    return f"{n:,.0f}" if abs(n) < 1e7 else f"{n:.3g}"


def amount(n: float) -> str:
    """A number of bytes in a fitting unit."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(n) < 1024 or unit == "GiB":
            break
        n /= 1024
    return f"{n:.0f} {unit}" if unit == "B" or n >= 100 else f"{n:.1f} {unit}"


def seconds(t: float) -> str:
    """A time in a fitting unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if t >= size:
            return f"{t / size:.3g} {unit}"
    return f"{t * 1e9:.0f} ns"
