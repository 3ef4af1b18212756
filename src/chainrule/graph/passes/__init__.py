"""Passes: functions graph -> graph that report what they did, and `optimize`, which runs them all.

>>> import chainrule as cr
>>> from chainrule.graph import passes
>>> graph = cr.graph.trace(lambda x: x.exp() + x.exp() * 1, 2.0)
>>> made, report = passes.cse(graph)
>>> print(report)
common subexpressions: 5 -> 4 nodes, 4 -> 3 operations (exp ×1)
"""

from __future__ import annotations

from chainrule.graph.passes.algebra import algebra
from chainrule.graph.passes.base import Pass, graph_pass
from chainrule.graph.passes.clean import clean
from chainrule.graph.passes.cse import cse
from chainrule.graph.passes.fold import fold
from chainrule.graph.passes.optimize import PASSES, optimize
from chainrule.graph.passes.prune import prune
from chainrule.graph.passes.report import Optimization, PassReport, Size

__all__ = [
    "PASSES", "Optimization", "Pass", "PassReport", "Size", "algebra", "clean", "cse", "fold",
    "graph_pass", "optimize", "prune",
]  # fmt: skip
