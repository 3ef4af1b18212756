"""Names of the values of a graph: variables have their own, the rest are numbered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chainrule.core.node import Node
from chainrule.transforms.tracing import INPUT

if TYPE_CHECKING:
    from chainrule.graph.ir import Graph


def names_of(graph: Graph) -> dict[Node, str]:
    """Inputs under their names; v3 for the third value; adj_v3 and tan_v3 for its derivatives.

    A name that a variable has already is passed over.
    """
    names: dict[Node, str] = {}
    taken = set(graph.input_names)
    taken.update(graph.labels.values())
    given = set(graph.inputs)
    count = sum(node not in given for node in graph.labels)
    for node in graph.nodes:
        if node in graph.labels:
            names[node] = graph.labels[node]
            continue
        if node.prim is INPUT:
            names[node] = node.params["name"]  # type: ignore[index]
            continue
        count += 1
        role = graph.roles.get(node)
        of = None
        if role is not None and role.of is not None:
            of = graph.labels.get(role.of) or names.get(role.of)
        if role is not None and of is not None:
            name = f"{'adj' if role.kind == 'adjoint' else 'tan'}_{of}"
        else:
            name = f"v{len(graph.inputs) + count}"
        while name in taken:
            name += "_"
        names[node] = name
        taken.add(name)
    return names
