"""A whole graph as a program, and as mathematics."""

from __future__ import annotations

from chainrule.core.node import Node
from chainrule.graph.formula import nested
from chainrule.graph.ir import Graph
from chainrule.graph.symbolic.entries import Entries
from chainrule.graph.symbolic.expressions import Builder, TooLarge
from chainrule.graph.symbolic.result import entry_name
from chainrule.graph.symbolic.source import source_of
from chainrule.transforms.tracing import INPUT

LINES = 1000


def source_of_graph(graph: Graph, name: str, module: str) -> str:
    """A Python function that computes a graph entry by entry."""
    entries = Entries(graph, Builder())
    names = {n: entry_name(*at, "python") for n, at in entries.leaves.items()}
    single = len(graph.outputs) == 1
    return source_of(
        graph, name, module, entries.outputs, names, shared=True, single=single
    )  # fmt: skip


def latex_of_graph(graph: Graph) -> str:
    """The equations of a graph as an `aligned` environment.

    Raises:
        chainrule.graph.TooLarge: if there are more than a page's worth many times over.
    """
    if graph.operations > LINES:
        raise TooLarge(
            f"{graph.title} has {graph.operations:,} operations, too many to be written as "
            f"equations (the limit is {LINES:,})"
        )
    names: dict[Node, str] = {}
    uses = dict.fromkeys(graph.nodes, 0)
    for node in graph.nodes:
        for p in node.parents:
            if p is not None:
                uses[p] += 1
    lines = []
    for node in graph.nodes:
        shown = entry_name(graph.names[node], (), "latex")
        if node.prim is INPUT:
            names[node] = shown
        elif uses[node] != 1 or node in graph.outputs or node.shape is None:
            lines.append(f"{shown} &= {nested(node, names, 'latex')}")
            names[node] = shown
    body = " \\\\\n".join(lines)
    return f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}"
