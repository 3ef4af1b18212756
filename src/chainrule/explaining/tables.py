"""Tables that read well in a terminal, in a notebook, in Markdown and in LaTeX."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any


@dataclass
class Table:
    """A titled table of texts.

    Attributes:
        title: what stands above it.
        columns: the headings.
        rows: one text per column; a row of one text is a note across the table.
        right: which columns are aligned to the right.
        note: what stands below.
    """

    title: str
    columns: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    right: Sequence[int] = ()
    note: str = ""

    def text(self, width: int | None = None) -> str:
        """The table in plain characters, columns aligned."""
        full = [r for r in self.rows if len(r) == len(self.columns)]
        widths = [
            max([display_width(self.columns[i]), *[display_width(r[i]) for r in full]])
            for i in range(len(self.columns))
        ]
        lines = [self.title] if self.title else []
        if any(self.columns):
            lines.append(self._line(self.columns, widths).rstrip())
        lines.append("─" * (sum(widths) + 3 * (len(widths) - 1)))
        for row in self.rows:
            lines.append(
                self._line(row, widths).rstrip() if len(row) == len(widths) else f"  {row[0]}"
            )
        if self.note:
            lines.append(self.note)
        return "\n".join(lines)

    def _line(self, row: Sequence[str], widths: Sequence[int]) -> str:
        cells = []
        for i, (cell, width) in enumerate(zip(row, widths, strict=True)):
            space = " " * (width - display_width(cell))
            cells.append(space + cell if i in self.right else cell + space)
        return "   ".join(cells)

    def rich(self) -> Any:
        """The table for `rich.print`."""
        from rich import box
        from rich.table import Table as RichTable
        from rich.text import Text

        made = RichTable(
            title=self.title or None, caption=self.note or None, box=box.SIMPLE_HEAD,
            title_justify="left", caption_justify="left", title_style="bold", pad_edge=False,
        )  # fmt: skip
        styles = ["bold cyan", "", "dim", "bold"]
        for i, name in enumerate(self.columns):
            style = styles[i] if i < len(styles) else "dim"
            made.add_column(name, justify="right" if i in self.right else "left", style=style)
        for row in self.rows:
            if len(row) == len(self.columns):
                made.add_row(*[Text(cell) for cell in row])
            else:
                made.add_row("", Text(row[0], style="italic dim"))
        return made

    def markdown(self) -> str:
        """The table in Markdown (GitHub's flavour)."""
        lines = [f"**{self.title}**", ""] if self.title else []
        lines.append("| " + " | ".join(map(_in_cell, self.columns)) + " |")
        lines.append(
            "|"
            + "|".join("---:" if i in self.right else "---" for i in range(len(self.columns)))
            + "|"
        )
        for row in self.rows:
            cells = [*row, *[""] * (len(self.columns) - len(row))] if len(row) > 1 else [
                "", row[0], *[""] * (len(self.columns) - 2)
            ]  # fmt: skip
            lines.append("| " + " | ".join(map(_in_cell, cells)) + " |")
        if self.note:
            lines += ["", self.note]
        return "\n".join(lines)

    def html(self) -> str:
        """The table in HTML; colours are those of the page around it."""
        head = "".join(f"<th{self._side(i)}>{escape(c)}</th>" for i, c in enumerate(self.columns))
        body = []
        for row in self.rows:
            if len(row) == len(self.columns):
                cells = "".join(f"<td{self._side(i)}>{_lines(c)}</td>" for i, c in enumerate(row))
            else:
                cells = f'<td colspan="{len(self.columns)}"><em>{escape(row[0])}</em></td>'
            body.append(f"<tr>{cells}</tr>")
        note = f"<p>{escape(self.note)}</p>" if self.note else ""
        caption = (
            f'<caption style="text-align:left;font-weight:bold">{escape(self.title)}</caption>'
        )
        return (
            f'<table class="chainrule" style="border-collapse:collapse">{caption}'
            f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>{note}"
        )

    def _side(self, i: int) -> str:
        side = "right" if i in self.right else "left"
        return f' style="text-align:{side};padding:2px 12px 2px 0;white-space:pre"'

    def latex(self) -> str:
        """The table as a LaTeX tabular, cells in mathematics (given in LaTeX)."""
        sides = "".join("r" if i in self.right else "l" for i in range(len(self.columns)))
        lines = [rf"\begin{{tabular}}{{{sides}}}"]
        across = rf"\multicolumn{{{len(self.columns)}}}{{l}}"
        if self.title:
            lines.append(rf"{across}{{\textbf{{{latex_text(self.title)}}}}} \\")
        lines.append(" & ".join(map(latex_text, self.columns)) + r" \\ \hline")
        for row in self.rows:
            if len(row) == len(self.columns):
                lines.append(" & ".join(f"${c}$" if c else "" for c in row) + r" \\")
            else:
                lines.append(rf"{across}{{\emph{{{latex_text(row[0])}}}}} \\")
        lines.append(r"\end{tabular}")
        if self.note:
            lines.append(latex_text(self.note))
        return "\n".join(lines)


def display_width(text: str) -> int:
    """The number of columns that a text takes in a terminal."""
    width = 0
    for c in text:
        if not unicodedata.combining(c):
            width += 2 if unicodedata.east_asian_width(c) in "WF" else 1
    return width


def _in_cell(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")


def _lines(text: str) -> str:
    return escape(text).replace("\n", "<br>")


_LATEX = {"\\": r"\textbackslash{}", "_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#", "$": r"\$",
          "{": r"\{", "}": r"\}", "^": r"\^{}", "~": r"\~{}"}  # fmt: skip
_LATEX_MATHS = {"∂": r"$\partial$", "×": r"$\times$", "…": r"\ldots{}", "−": "--", "·": r"$\cdot$"}


def latex_text(text: str) -> str:
    """Plain text for LaTeX, special characters escaped."""
    return "".join(_LATEX.get(c) or _LATEX_MATHS.get(c) or c for c in text)
