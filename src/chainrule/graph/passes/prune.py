"""Pruning: a graph of some outputs only, and nothing kept that they do not need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainrule.core.node import Node
from chainrule.graph.ir import Graph
from chainrule.graph.passes.base import Fired, graph_pass
from chainrule.graph.rewrite import replaced


@graph_pass("prune")
def prune(graph: Graph, fired: Fired, *, outputs: Any = None) -> Graph:
    """Keep what some outputs need.

    Args:
        outputs: positions of outputs, or names or nodes of any values of the graph; one, or a
            sequence.  None keeps all outputs, and forgets values, names and roles of nodes that
            they do not need.

    Raises:
        ValueError: if the graph has no such output or value.
    """
    if outputs is None:
        return _forgetting(graph, fired)
    several = isinstance(outputs, (list, tuple))
    wanted = [_value(graph, w) for w in (outputs if several else [outputs])]
    if wanted == list(graph.outputs):
        return _forgetting(graph, fired)
    made = Graph(
        graph.inputs, wanted, title=graph.title, in_spec=graph.in_spec,
        out_spec=None, roles=graph.roles, captured=graph.captured, values=graph.values,
        arrays=graph.arrays, dynamic=graph.dynamic, labels=graph.names,
    )  # fmt: skip
    fired["outputs left out"] += max(len(graph.outputs) - len(wanted), 0)
    fired["nodes left out"] += len(graph.nodes) - len(made.nodes)
    return replaced(made, {n: n for n in made.nodes})


def _forgetting(graph: Graph, fired: Fired) -> Graph:
    nodes = graph.position
    stale = {
        n for kept in (graph.values, graph.roles, graph.labels) for n in kept if n not in nodes
    }
    if not stale:
        return graph
    fired["names of what was left out"] += len(stale)
    return replaced(graph, {n: n for n in graph.nodes})


def _value(graph: Graph, wanted: Any) -> Node:
    """The node that is meant by a position among outputs, a name, or a node."""
    if isinstance(wanted, Node) and wanted in graph.position:
        return wanted
    if type(wanted) is int and -len(graph.outputs) <= wanted < len(graph.outputs):
        return graph.outputs[wanted]
    if isinstance(wanted, str):
        for node, name in graph.names.items():
            if name == wanted:
                return node
    raise ValueError(
        f"prune: {wanted!r} is no value of {graph.title}, which has {len(graph.outputs)} outputs "
        f"({_some(graph)})"
    )


def _some(graph: Graph) -> str:
    names: Sequence[str] = [graph.names[n] for n in graph.outputs]
    return ", ".join([*names[:10], *(["..."] if len(names) > 10 else [])])
