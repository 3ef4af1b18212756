"""What is wrong with an expression, and the place in its text."""

from __future__ import annotations

import unicodedata
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

WIDTH = 76  # columns of a long text that are shown around the place


class ExpressionError(ValueError):
    """A text that is no expression, or values that do not fit one.

    Attributes:
        message: what is wrong, and what to write instead where that is known.
        text: the text as it was given.
        start, end: the wrong part is `text[start:end]`; both are None where no part is wrong.

    >>> from chainrule.explaining.expressions import parse
    >>> parse("2*x)")
    Traceback (most recent call last):
      ...
    chainrule.explaining.expression_errors.ExpressionError: ')' closes nothing
      2*x)
         ^
    """

    def __init__(
        self, message: str, text: str, start: int | None = None, end: int | None = None
    ) -> None:
        super().__init__(message, text, start, end)
        self.message = message
        self.text = text
        self.start = start
        self.end = start if end is None else end

    def __str__(self) -> str:
        return f"{self.message}\n{excerpt(self.text, self.start, self.end)}".rstrip()

    def within(self, text: str, offset: int) -> ExpressionError:
        """The same error for a longer text, in which this one's begins at `offset`."""
        if self.start is None or self.end is None:
            return ExpressionError(self.message, text, offset, offset + len(self.text))
        return ExpressionError(self.message, text, self.start + offset, self.end + offset)


def excerpt(text: str, start: int | None, end: int | None) -> str:
    """The text, indented, on one line, and carets below `text[start:end]`."""
    shown = "".join(map(_visible, text))
    if start is None or end is None:
        return "  " + (shown if len(shown) <= WIDTH else shown[: WIDTH - 1] + "…")
    first = 0
    if len(shown) > WIDTH:
        first = min(max(0, start - WIDTH // 2), len(shown) - WIDTH)
    last = min(first + WIDTH, len(shown))
    left, right = "…" * (first > 0), "…" * (last < len(shown))
    before = columns(left + shown[first:start])
    under = max(1, columns(shown[start : min(end, last)]))
    return f"  {left}{shown[first:last]}{right}\n  {' ' * before}{'^' * under}"


def _visible(character: str) -> str:
    """The character itself, a blank for any white space, � for what a terminal can't show."""
    if character.isspace():
        return " "
    combining = unicodedata.combining(character)
    return character if character.isprintable() or combining else "�"


def columns(text: str) -> int:
    """How many columns of a terminal the text takes."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) != 0 for c in text)


def suggestion(name: str, known: Iterable[str]) -> str:
    """`: did you mean 'sin'?` where some known name is close to `name`, otherwise nothing."""
    names = list(known)
    by_lower = {n.lower(): n for n in reversed(names)}
    close = get_close_matches(name[:50].lower(), list(by_lower), n=1, cutoff=0.6)
    return f": did you mean '{by_lower[close[0]]}'?" if close else ""
