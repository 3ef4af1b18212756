"""How large a text, and so a box, will be, without a browser to ask.

Widths are those of DejaVu Sans, the widest font that the stack in `SANS` may end in, so a text
never sticks out of its box, whichever font of the stack a viewer has.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from unicodedata import combining, east_asian_width

from chainrule.explaining.picture.model import PictureNode

SANS = (
    "ui-sans-serif, system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'DejaVu Sans', "
    "sans-serif"
)
MONO = "ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace"

# Hundredths of an em for the characters from space to tilde.
_ASCII = (
    "32 40 46 84 64 95 78 27 39 39 50 84 32 36 32 34 64 64 64 64 64 64 64 64 "
    "64 64 34 34 84 84 84 53 100 68 69 70 77 63 58 77 75 29 29 66 56 86 75 79 "
    "60 79 69 63 61 73 68 99 69 61 69 39 34 39 84 50 50 61 63 55 63 62 35 63 "
    "63 28 28 58 28 97 63 61 63 63 41 52 39 63 59 82 59 59 52 64 34 64 84"
)
WIDTHS = {chr(32 + i): int(width) / 100 for i, width in enumerate(_ASCII.split())}
WIDTHS |= dict.fromkeys("₀₁₂₃₄₅₆₇₈₉⁰¹²³⁴⁵⁶⁷⁸⁹₊₋⁺⁻ᵀ", 0.42) | dict.fromkeys("ᵢⱼ", 0.22)
WIDTHS |= dict.fromkeys("−×·∞→≈≤≥±÷", 0.84) | {"…": 1.0, "·": 0.34}
OTHER, CELL, WIDE = 0.7, 0.61, 1.22  # any other letter; one cell and a wide character in `MONO`
BOLD = 1.12

TITLE_SIZE, LINE_SIZE = 14.0, 11.5
TITLE_LEADING, LINE_LEADING = 19.0, 15.5
PAD_X, PAD_Y = 13.0, 8.0
LABEL_GAP = 9.0
LONGEST_TITLE, LONGEST_TEXT, MOST_ROWS = 44, 38, 8


def text_width(text: str, size: float, *, mono: bool = False, bold: bool = False) -> float:
    """Pixels that `text` takes at a font size of `size` pixels, in one line."""
    ems = 0.0
    for char in text:
        if combining(char) or char in "\u200b\u200d\ufe0f":
            continue
        if east_asian_width(char) in "WF":
            ems += WIDE
        elif mono:
            ems += CELL
        else:
            ems += WIDTHS.get(char, OTHER)
    return ems * size * (BOLD if bold else 1)


def shorten(text: str, most: int) -> str:
    """`text` in one line of at most `most` characters, cut with an ellipsis."""
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


@dataclass(frozen=True, slots=True)
class Box:
    """What is written in a node, and the size that takes."""

    title: str
    rows: tuple[tuple[str, str], ...]
    label_width: float
    width: float
    height: float


def box_of(node: PictureNode) -> Box:
    """The texts of a node, cut to what can be read at a glance, and the size of its box."""
    title = shorten(node.title, LONGEST_TITLE)
    rows: list[tuple[str, str]] = []
    for label, text in node.lines:
        rows += [(label if i == 0 else "", part) for i, part in enumerate(_fold(text))]
    if len(rows) > MOST_ROWS:
        rows[MOST_ROWS - 1 :] = [("", "…")]
    label_width = max((text_width(label, LINE_SIZE) for label, _ in rows), default=0.0)
    if label_width:
        label_width += LABEL_GAP
    inner = max(
        text_width(title, TITLE_SIZE, bold=True),
        *(label_width + text_width(text, LINE_SIZE, mono=True) for _, text in rows),
        18.0,
    )
    inner += 10.0 if node.saved else 0.0  # for the stripe
    height = 2 * PAD_Y + TITLE_LEADING + (3.0 if rows else 0.0) + LINE_LEADING * len(rows)
    return Box(title, tuple(rows), label_width, round(inner + 2 * PAD_X), round(height))


def _fold(text: str) -> list[str]:
    """The rows of a text: as its newlines say, a long sentence wrapped, a long word cut."""
    rows = []
    for row in text.expandtabs(4).split("\n"):
        if len(row) > LONGEST_TEXT and not row.lstrip().startswith(("[", "(", "{")):
            rows += textwrap.wrap(row, LONGEST_TEXT, max_lines=3, placeholder=" …") or [""]
        else:
            rows.append(row if len(row) <= LONGEST_TEXT else row[: LONGEST_TEXT - 1] + "…")
    return rows
