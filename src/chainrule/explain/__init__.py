"""Explanations: traces with symbols and numbers, pictures, a page to step through, reasons."""

from __future__ import annotations

from chainrule.explain.entry import explain
from chainrule.explain.explanation import Explanation

__all__ = ["Explanation", "explain"]
