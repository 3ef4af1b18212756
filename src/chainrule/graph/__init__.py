"""Graphs that can be held: traced, run, printed, differentiated by extension, optimised."""

from __future__ import annotations

from chainrule.graph.ir import Graph, GraphError, Role
from chainrule.graph.store import load
from chainrule.graph.tape import keep_everything
from chainrule.graph.trace import trace
from chainrule.transforms.tracing import DataDependence

__all__ = ["DataDependence", "Graph", "GraphError", "Role", "keep_everything", "load", "trace"]
