"""Tables that read well: characters in a terminal, HTML in a notebook, Markdown and LaTeX."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import Any
from unicodedata import combining, east_asian_width

GAP = 3  # spaces between columns


class Table:
    """Rows of text under a header.

    Attributes:
        title: stands above.
        header: the names of the columns.
        rows: a text for each column; None draws a line; a single text is a remark across.
        notes: lines below.
        left: the columns that are flush left; the others are flush right. None: all.
        ruled: whether lines stand above the header and below the rows too.
    """

    def __init__(
        self, title: str, header: Sequence[str], rows: Sequence[Sequence[str] | None] = (),
        notes: Sequence[str] = (), left: Sequence[int] | None = (0,), ruled: bool = True,
    ) -> None:  # fmt: skip
        self.title = title
        self.header = list(header)
        self.rows: list[Sequence[str] | None] = list(rows)
        self.notes = list(notes)
        self.left = range(len(self.header)) if left is None else left
        self.ruled = ruled

    def text(self) -> str:
        """The table in characters."""
        whole = [self.header, *[r for r in self.rows if r is not None and len(r) > 1]]
        widths = [max(width(line[i]) for line in whole) for i in range(len(self.header))]
        gap = " " * GAP
        rule = "─" * (sum(widths) + GAP * (len(widths) - 1))

        def line(cells: Sequence[str] | None) -> str:
            if cells is None:
                return rule
            if len(cells) == 1 < len(widths):
                return f"{gap}{cells[0]}"
            padded = [
                c + " " * (w - width(c)) if i in self.left else " " * (w - width(c)) + c
                for i, (c, w) in enumerate(zip(cells, widths, strict=True))
            ]
            return gap.join(padded).rstrip()

        outer = [rule] if self.ruled else []
        body = [*outer, line(self.header), rule, *map(line, self.rows), *outer, *self.notes]
        return "\n".join([self.title, *body] if self.title else body)

    def markdown(self) -> str:
        """The table in Markdown (GitHub's flavour)."""
        marks = [":--" if i in self.left else "--:" for i in range(len(self.header))]
        rows = [self.header, marks, *[self._whole(r) for r in self.rows if r is not None]]
        body = ["| " + " | ".join(_in_cell(c) for c in r) + " |" for r in rows]
        title = [f"**{self.title}**", ""] if self.title else []
        notes = [line for note in self.notes for line in ("", note)]
        return "\n".join([*title, *body, *notes])

    def _whole(self, row: Sequence[str]) -> list[str]:
        """A row with all its cells: a remark stands in the second."""
        n = len(self.header)
        return list(row) if len(row) == n else ["", row[0], *[""] * (n - 2)]

    def html(self) -> str:
        """The table in HTML, which takes the colours of the page it stands in."""

        def cell(i: int, text: str, tag: str, more: str = "", span: str = "") -> str:
            side = "left" if i in self.left else "right"
            style = f"text-align:{side};padding:.15em .8em;white-space:pre{more}"
            return f'<{tag}{span} style="{style}">{html.escape(text)}</{tag}>'

        above = ";border-top:1px solid currentColor"
        body, line = [], above
        for r in self.rows:
            if r is None:
                line = above
                continue
            if len(r) < len(self.header):
                across = f' colspan="{len(self.header)}"'
                cells = cell(0, r[0], "td", ";font-style:italic", across)
            else:
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

    def latex(self) -> str:
        """The table as a LaTeX tabular, whose cells are mathematics (given in LaTeX)."""
        sides = "".join("l" if i in self.left else "r" for i in range(len(self.header)))
        across = rf"\multicolumn{{{len(self.header)}}}{{l}}"
        lines = [rf"\begin{{tabular}}{{{sides}}}"]
        if self.title:
            lines.append(rf"{across}{{\textbf{{{latex_text(self.title)}}}}} \\")
        lines.append(" & ".join(map(latex_text, self.header)) + r" \\ \hline")
        for r in self.rows:
            if r is None:
                lines.append(r"\hline")
            elif len(r) < len(self.header):
                lines.append(rf"{across}{{\emph{{{latex_text(r[0])}}}}} \\")
            else:
                lines.append(" & ".join(f"${c}$" if c else "" for c in r) + r" \\")
        lines.append(r"\end{tabular}")
        return "\n".join([*lines, *map(latex_text, self.notes)])

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
        made = RichTable(
            title=Text(self.title, "bold"), box=box.SIMPLE_HEAD, title_justify="left",
            pad_edge=False,
        )  # fmt: skip
        for i, name in enumerate(self.header):
            side: Any = "left" if i in self.left else "right"
            made.add_column(Text(name), justify=side, style="bold cyan" if i == 0 else "")
        for r in self.rows:
            if r is None:
                made.add_section()
            elif len(r) < len(self.header):
                made.add_row("", Text(r[0], "italic dim"))
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

    def show(self) -> None:
        """Print the table, in colours where Rich is installed."""
        try:
            from rich.console import Console
        except ImportError:
            print(self)
            return
        Console().print(self.table().rich())

    def __repr__(self) -> str:
        return self.table().text()

    def _repr_html_(self) -> str:
        return self.table().html()

    def _repr_markdown_(self) -> str:
        return self.table().markdown()

    def __rich__(self) -> Any:
        return self.table().rich()


def width(text: str) -> int:
    """How many columns of a terminal a text takes: marks over letters none, wide letters two."""
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


BAR, DOT = "\u0304", "\u0307"  # over the letter before
_MARKED = re.compile(f"(.)([{BAR}{DOT}])")


def _in_cell(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")


_LATEX = {"\\": r"\textbackslash{}", "_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#", "$": r"\$",
          "{": r"\{", "}": r"\}", "^": r"\^{}", "~": r"\~{}", "∂": r"$\partial$", "−": "--",
          "×": r"$\times$", "…": r"\ldots{}", "·": r"$\cdot$", "ᵢ": "$_i$",
          **{c: f"$_{i}$" for i, c in enumerate("₀₁₂₃₄₅₆₇₈₉")}}  # fmt: skip


def latex_text(text: str) -> str:
    """Plain text for LaTeX, special characters escaped, bars and dots over letters as accents."""
    parts = _MARKED.split(text)
    made = ["".join(_LATEX.get(c, c) for c in parts[0])]
    for letter, mark, rest in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        accent = "bar" if mark == BAR else "dot"
        made.append(rf"$\{accent}{{{letter}}}$")
        made.append("".join(_LATEX.get(c, c) for c in rest))
    return "".join(made)


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
