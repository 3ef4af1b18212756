"""Rewriting: a graph with some of its nodes replaced.

Nodes are never changed.  What depends on a replaced node is made anew, the rest is shared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from chainrule.core.node import Node
from chainrule.core.primitive import make_node
from chainrule.graph.ir import Graph, Role
from chainrule.transforms.scope import ALIAS


def with_parents(node: Node, parents: Sequence[Node | None]) -> Node:
    """The same equation on other nodes, of the same shapes and dtypes."""
    return with_arguments(node, node.args, parents)


def with_arguments(node: Node, args: Sequence[Any], parents: Sequence[Node | None]) -> Node:
    """The same equation on other nodes and constants, of the same shapes and dtypes."""
    made = make_node(
        node.prim, tuple(args), node.out, node.params, tuple(parents), (node.code, node.lasti)
    )
    made.shape, made.dtype = node.shape, node.dtype
    return made


def rewritten(graph: Graph, change: Callable[[Node], Node]) -> Graph:
    """The graph with every node replaced by what `change` makes of it, in order.

    `change` gets each node with its parents already replaced, and returns it or another of the same
    shape and dtype.  Inputs stay.  The graph itself is returned if nothing changes.
    """
    new: dict[Node | None, Node | None] = {n: n for n in graph.inputs}
    new[None] = None
    for node in graph.nodes[len(graph.inputs) :]:
        made = node
        for p in node.parents:
            if new[p] is not p:
                made = with_parents(node, [new[p] for p in node.parents])
                break
        new[node] = change(made)
    if all(new[n] is n for n in graph.nodes):
        return graph
    return replaced(graph, new)  # type: ignore[arg-type] # None is no node of the graph


def replaced(graph: Graph, new: Mapping[Node, Node]) -> Graph:
    """The graph whose outputs are what `new` has for them.

    Where several nodes become one, it has the name, the role and the value of the first of them: an
    adjoint that turns out to be a value of the function is that value.
    """
    first = {new[old]: old for old in reversed(graph.nodes) if old in new}
    roles: dict[Node, Role] = {}
    for made, old in first.items():
        role = graph.roles.get(old)
        if role is not None:
            of = None if role.of is None else new.get(role.of, role.of)
            roles[made] = Role(role.kind, of)
    return Graph(
        graph.inputs, [new[n] for n in graph.outputs], title=graph.title, in_spec=graph.in_spec,
        out_spec=graph.out_spec, roles=roles, captured=graph.captured,
        values={made: graph.values[old] for made, old in first.items() if old in graph.values},
        arrays=graph.arrays, dynamic=graph.dynamic,
        labels={made: graph.labels[old] for made, old in first.items() if old in graph.labels},
    )  # fmt: skip


def without_aliases(graph: Graph) -> Graph:
    """The graph without the marks that reverse transforms put on their inputs."""
    if not any(n.prim is ALIAS for n in graph.nodes):
        return graph
    return rewritten(
        graph, lambda n: n if n.prim is not ALIAS or n.parents[0] is None else n.parents[0]
    )
