"""Pieces of formulas: a text and how tightly it binds.

So parentheses stand where they are needed and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from chainrule.graph.numerals import numeral

COMPARE, SUM, PRODUCT, SIGN, LITERAL, APPLY, POWER, ATOM = range(8)

SIGNED = (SIGN, LITERAL)  # −x, and a negative number


class Piece(NamedTuple):
    """Part of a formula, and how tightly its outermost operator binds."""

    text: str
    binding: int = ATOM


class Writer:
    """Writes pieces of formulas in one style.

    Attributes:
        style: "unicode", "ascii", "latex" or "python".
        digits: decimals of numbers.
    """

    def __init__(self, style: str = "unicode", digits: int = 3) -> None:
        self.style = style
        self.digits = digits

    # ------------------------------------------------------------ parts

    def name(self, text: str) -> Piece:
        """A name, or a number that stands for one."""
        if text[:1] in ("-", "−"):
            return Piece(text, LITERAL)
        if "·10" in text or r"\cdot" in text:
            return Piece(text, PRODUCT)
        return Piece(text)

    def number(self, value: Any) -> Piece:
        """A constant."""
        if isinstance(value, np.ndarray) and value.ndim and self.style == "python":
            return Piece(f"array({value.tolist()!r}, dtype={value.dtype.name!r})")
        if value is None or not (np.isscalar(value) or isinstance(value, np.ndarray)):
            return Piece("?" if value is None or hasattr(value, "shape") else repr(value))
        return self.name(numeral(value, self.digits, self.style))

    def wrap(self, piece: Piece, binding: int) -> str:
        """The text of a piece where something that binds so tightly is expected."""
        if piece.binding >= binding:
            return piece.text
        if self.style == "latex":
            return rf"\left({piece.text}\right)"
        return f"({piece.text})"

    def infix(self, sign: str, a: Piece, b: Piece, binding: int) -> Piece:
        """Two operands and an operator, which groups to the left."""
        right = self.wrap(Piece(b.text, SUM) if b.binding in SIGNED else b, binding + 1)
        return Piece(self.wrap(a, binding) + sign + right, binding)

    def call(self, name: str, args: list[str]) -> Piece:
        """A function of arguments in parentheses."""
        inside = ", ".join(args)
        if self.style == "latex":
            known = name if name.startswith("\\") else rf"\operatorname{{{_escaped(name)}}}"
            return Piece(rf"{known}\left({inside}\right)", APPLY)
        return Piece(f"{name}({inside})", ATOM)

    def function(self, name: str, x: Piece) -> Piece:
        """A function of one argument, which needs no parentheses around a name: ln v₁."""
        if self.style in ("ascii", "python"):
            return self.call(name, [x.text])
        if x.binding < POWER or not _short(x.text):
            return self.call(name, [x.text])
        space = " "
        if self.style == "latex":
            known = name if name.startswith("\\") else rf"\operatorname{{{_escaped(name)}}}"
            return Piece(f"{known}{space}{x.text}", APPLY)
        return Piece(f"{name}{space}{x.text}", APPLY)


def total(w: Writer, terms: Sequence[Piece]) -> Piece:
    """A sum of terms."""
    first, *rest = terms
    if not rest:
        return first
    text = w.wrap(first, SUM)
    for t in rest:
        if t.binding == SIGN:  # a + (−b) is a − b
            text += f" {t.text[0]} {t.text[1:]}"
        else:
            tight = w.style == "python"  # a + (b + c) rounds otherwise than a + b + c
            text += " + " + w.wrap(
                Piece(t.text, COMPARE) if t.binding == LITERAL else t, SUM + tight
            )
    return Piece(text, SUM)


def _short(text: str) -> bool:
    """Whether a text may follow a function's name without parentheses: a name or a number."""
    return all(c.isalnum() or c in "_.̇̄{}\\" or ord(c) > 0x2070 for c in text)


def _escaped(name: str) -> str:
    return name.replace("_", r"\_")
