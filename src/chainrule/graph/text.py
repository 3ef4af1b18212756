"""Graphs as text: one line for each value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chainrule.core.node import Node
from chainrule.graph.formula import formula
from chainrule.graph.ir import Graph
from chainrule.transforms.tracing import INPUT


def text_of(graph: Graph, limit: int = 1000) -> str:
    """The graph as a readable program; beyond `limit` lines, the middle is left out."""
    names = graph.names
    lines = [f"graph of {graph.title}({', '.join(graph.input_names)}):"]
    nodes, half = graph.nodes, limit // 2
    if len(nodes) <= limit:
        body = [_line(n, names) for n in nodes]
    else:
        body = [_line(n, names) for n in nodes[:half]]
        body.append(f"  ... {len(nodes) - 2 * half} more lines")
        body += [_line(n, names) for n in nodes[-half:]]
    outs = ", ".join(names[n] for n in graph.outputs)
    return "\n".join([*lines, *body, f"  return {outs}"])


def _line(node: Node, names: Mapping[Node, str]) -> str:
    if node.prim is INPUT:
        return f"  {names[node]}: {shape_text(node)}"
    return f"  {names[node]} = {formula(node, names)}"


def shape_text(node: Any) -> str:
    """Dtype and shape of a value: `float64[3, 4]`."""
    if node.shape is None:
        return "(" + ", ".join("-" if o is None else shape_text(o) for o in node.out) + ")"
    return f"{node.dtype}[{', '.join(map(str, node.shape))}]"
