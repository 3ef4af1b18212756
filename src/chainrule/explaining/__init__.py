"""Explanations: traces with symbols and numbers, pictures, a page to step through, reasons."""

from __future__ import annotations

from chainrule.explaining.compare import Comparison, compare_modes
from chainrule.explaining.entry import explain
from chainrule.explaining.explanation import Explanation
from chainrule.explaining.picture.from_graph import draw
from chainrule.explaining.why import Why, why

__all__ = ["Comparison", "Explanation", "Why", "compare_modes", "draw", "explain", "why"]
