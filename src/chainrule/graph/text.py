"""Graphs as text: one line for each value."""

from __future__ import annotations

from typing import Any

from chainrule.graph.formula import formula
from chainrule.graph.ir import Graph
from chainrule.transforms.tracing import INPUT


def text_of(graph: Graph, limit: int = 1000) -> str:
    """The graph as a readable program; beyond `limit` lines, the middle is left out."""
    names = graph.names
    lines = [f"graph of {graph.title}({', '.join(graph.input_names)}):"]
    body = []
    for node in graph.nodes:
        kind = shape_text(node)
        if node.prim is INPUT:
            body.append(f"  {names[node]}: {kind}")
        else:
            body.append(f"  {names[node]} = {formula(node, names)}")
    if len(body) > limit:
        half = limit // 2
        body[half:-half] = [f"  ... {len(body) - 2 * half} more lines"]
    outs = ", ".join(names[n] for n in graph.outputs)
    return "\n".join([*lines, *body, f"  return {outs}"])


def shape_text(node: Any) -> str:
    """Dtype and shape of a value: `float64[3, 4]`."""
    if node.shape is None:
        return "(" + ", ".join("-" if o is None else shape_text(o) for o in node.out) + ")"
    return f"{node.dtype}[{', '.join(map(str, node.shape))}]"
