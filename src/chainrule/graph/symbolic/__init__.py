"""Symbolic differentiation: derivatives as formulas, counted, written as programs, and SymPy."""

from __future__ import annotations

from chainrule.graph.symbolic.counts import Operations
from chainrule.graph.symbolic.entries import NoFormula
from chainrule.graph.symbolic.expressions import TooLarge
from chainrule.graph.symbolic.graphs import latex_of_graph, source_of_graph
from chainrule.graph.symbolic.result import SymbolicGradient, symbolic_grad
from chainrule.graph.symbolic.swell import Swell, logistic_map, product, swell
from chainrule.graph.symbolic.sympy_bridge import to_sympy
from chainrule.graph.symbolic.sympy_import import from_sympy

__all__ = [
    "NoFormula", "Operations", "Swell", "SymbolicGradient", "TooLarge", "from_sympy",
    "latex_of_graph", "logistic_map", "product", "source_of_graph", "swell", "symbolic_grad",
    "to_sympy",
]  # fmt: skip
