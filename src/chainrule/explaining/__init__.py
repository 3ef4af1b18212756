"""Explanations: traces with symbols and numbers, pictures, a page to step through, reasons."""

from __future__ import annotations

from chainrule.explaining.entry import explain
from chainrule.explaining.explanation import Explanation
from chainrule.explaining.picture.from_graph import draw

__all__ = ["Explanation", "draw", "explain"]
