"""Graphs that can be held: traced, run, printed, differentiated by extension, optimised."""

from __future__ import annotations

from typing import Any

from chainrule.graph.ir import Graph, GraphError, Role
from chainrule.graph.store import load
from chainrule.graph.tape import keep_everything
from chainrule.graph.trace import trace
from chainrule.transforms.tracing import DataDependence

_SYMBOLIC = (
    "NoFormula", "Operations", "SymbolicGradient", "TooLarge", "from_sympy", "swell",
    "symbolic_grad",
)  # fmt: skip

__all__ = [
    "DataDependence", "Graph", "GraphError", "Role", "keep_everything", "load", "trace", *_SYMBOLIC,
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Symbolic differentiation is imported when it is first used."""
    if name not in _SYMBOLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from chainrule.graph import symbolic

    return getattr(symbolic, name)
