"""Constant folding: equations that no input has a part in are evaluated once, now."""

from __future__ import annotations

from collections import Counter

import numpy as np

from chainrule.core.node import Node
from chainrule.core.primitive import PICK
from chainrule.graph.ir import Graph
from chainrule.graph.passes.base import UNKNOWN, Fired, constant_at, graph_pass, known
from chainrule.graph.rewrite import replaced, with_arguments
from chainrule.transforms.tracing import CONSTANT, INPUT

# A constant of this many bytes takes no more memory than the equation that it replaces.
FREE = 512


@graph_pass("constants")
def fold(graph: Graph, fired: Fired) -> Graph:
    """Evaluate what depends on no input, and put constants into the equations that use them.

    A result larger than the constants that nothing else uses stays an equation: one number spread
    over a megabyte is smaller as a number.
    """
    if all(n.prim is not CONSTANT and (any(n.parents) or n.prim is INPUT) for n in graph.nodes):
        return graph
    users = Counter([p for node in graph.nodes for p in node.parents])
    uses = {id(n.args[0]): users[n] for n in graph.nodes if n.prim is CONSTANT}
    new: dict[Node, Node] = {n: n for n in graph.inputs}
    for node in graph.nodes[len(graph.inputs) :]:
        made = _with_constants(node, new, fired)
        if made.prim is not CONSTANT and not any(made.parents):
            found = _evaluated(made, uses)
            if found is not None:
                made = found
                uses[id(made.args[0])] = users[node]
                fired["evaluated"] += 1
        new[node] = made
    return replaced(graph, new)


def _with_constants(node: Node, new: dict[Node, Node], fired: Fired) -> Node:
    """The node on its new parents; those that are constants now become arguments."""
    for p in node.parents:
        if p is not None and (new[p] is not p or p.prim is CONSTANT):
            break
    else:
        return node
    args = list(node.args)
    parents = [None if p is None else new[p] for p in node.parents]
    for i, p in enumerate(parents):
        if p is not None and p.prim is CONSTANT and not node.prim.side_effects:
            args[i], parents[i] = p.args[0], None
            fired["written into equations"] += 1
    return with_arguments(node, args, parents)


def _evaluated(node: Node, uses: dict[int, int]) -> Node | None:
    """The constant that an equation without inputs computes; None if it should stay."""
    if node.prim in (INPUT, PICK) or node.prim.side_effects or node.shape is None:
        return None
    values = [known(a, None) for a in node.args]
    if any(v is UNKNOWN for v in values):
        return None
    freed = sum(v.nbytes for v in values if type(v) is np.ndarray and uses.get(id(v), 1) == 1)
    if node.out.nbytes > max(FREE, freed):
        return None
    try:
        with np.errstate(all="ignore"):
            value = np.asarray(node.prim.eval(*values, **(node.params or {})))
    except Exception:  # it raises in every run of the graph, which is the place to say so
        return None
    if value.shape != node.shape or value.dtype != node.dtype:
        return None
    return constant_at(value, node)
