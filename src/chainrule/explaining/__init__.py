"""Explanations: traces with symbols and numbers, pictures, a page to step through, reasons.

What is here is imported when it is first used: a picture needs nothing of the comparison of modes.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chainrule.explaining.compare import Comparison, compare_modes
    from chainrule.explaining.entry import explain
    from chainrule.explaining.explanation import Explanation
    from chainrule.explaining.picture.from_graph import draw
    from chainrule.explaining.reasons import Why, why

_HOME = {
    "Comparison": "compare",
    "Explanation": "explanation",
    "Why": "reasons",
    "compare_modes": "compare",
    "draw": "picture.from_graph",
    "explain": "entry",
    "why": "reasons",
}

__all__ = ["Comparison", "Explanation", "Why", "compare_modes", "draw", "explain", "why"]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = found
    return found
