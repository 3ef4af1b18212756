"""Reverse mode in its two historical forms, with the contents of `node_to_grad` at every step.

*Backpropagation over the forward graph*: numbers flow back along the nodes, and nothing new is
recorded.  *Reverse mode by extending the graph*: the adjoints are new nodes, computed later, with
any data, and differentiated again.  Both are one walk (`chainrule.graph.walk.backpropagate`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.core.dtypes import is_inexact
from chainrule.core.namespaces import raw, recorded
from chainrule.core.node import Node
from chainrule.core.tensor import as_array
from chainrule.graph.extend import chosen, derived
from chainrule.graph.formula import nested
from chainrule.graph.ir import Graph, Role
from chainrule.graph.numerals import numeral
from chainrule.graph.run import values_of
from chainrule.graph.walk import (
    Step,
    backpropagate,
    between,
    by_rules,
    node_of,
    on_trace,
    recording_on,
)
from chainrule.transforms.tracing import constant_node, traced


@dataclass(frozen=True)
class Entry:
    """One step of a reverse walk, in names.

    Attributes:
        visited: the node whose adjoint is complete.
        partials: its partial adjoints, numbers or formulas.
        adjoint: their sum.
        node_to_grad: the partial adjoints of every node so far, by name, this step's too.
    """

    visited: str
    partials: list[str]
    adjoint: str
    node_to_grad: dict[str, list[str]]


class Walk:
    """A reverse walk over a graph, step by step; prints as a table.

    Attributes:
        form: "numbers" or "nodes".
        entries: the steps in order.
        adjoints: the adjoint of every node, by name: arrays, or names of the new nodes.
        graph: the extended graph, whose outputs are the adjoints of the inputs; for numbers, the
            graph itself.
    """

    def __init__(
        self, form: str, entries: Sequence[Entry], adjoints: dict[str, Any], graph: Graph
    ) -> None:
        self.form = form
        self.entries = list(entries)
        self.adjoints = adjoints
        self.graph = graph

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __str__(self) -> str:
        lines = []
        for i, e in enumerate(self.entries, 1):
            total = " + ".join(e.partials)
            equals = f" = {e.adjoint}" if len(e.partials) > 1 or self.form == "nodes" else ""
            lines.append(f"{i}. visit {e.visited}: adjoint = {total}{equals}")
            inside = ", ".join(f"{n}: [{', '.join(ps)}]" for n, ps in e.node_to_grad.items())
            lines.append(f"   node_to_grad = {{{inside}}}")
        return "\n".join(lines)

    __repr__ = __str__


def walk_numbers(graph: Graph, values: Sequence[Any], wrt: Any = None, digits: int = 3) -> Walk:
    """Backpropagation over the forward graph, on arrays."""
    ins = chosen(graph, wrt, "backpropagate")
    known = values_of(graph, values)
    order, live = between(graph, ins)
    names = graph.names

    def saved(node: Node) -> tuple[Any, Any]:
        args = [a if p is None else known[p] for a, p in zip(node.args, node.parents, strict=True)]
        return args, known[node]

    seeds = [(n, np.ones(n.shape or (), n.dtype)) for n in graph.outputs if is_inexact(n.dtype)]
    entries, adjoints = [], {}
    with np.errstate(all="ignore"):
        for step in backpropagate(order, seeds, live, by_rules(saved, raw)):
            if step.node.shape is None:
                continue
            adjoints[names[step.node]] = as_array(step.adjoint)
            entries.append(_entry(step, names, lambda p: numeral(p.value, digits),
                                  numeral(step.adjoint, digits)))  # fmt: skip
    return Walk("numbers", entries, adjoints, graph)


def walk_nodes(graph: Graph, wrt: Any = None) -> Walk:
    """Reverse mode by extending the graph, on nodes."""
    ins = chosen(graph, wrt, "backpropagate")
    order, live = between(graph, ins)
    seeds = [
        (n, traced(constant_node(np.ones(n.shape or (), n.dtype))))
        for n in graph.outputs if is_inexact(n.dtype)
    ]  # fmt: skip
    names = dict(graph.names)
    texts: dict[int, str] = {}  # of partial adjoints, as they are sent
    entries = []
    roles: dict[Node, Role] = {}
    found: dict[Node, Node] = {}
    with recording_on():
        for step in backpropagate(order, seeds, live, by_rules(on_trace, recorded)):
            if step.node.shape is None:
                continue
            node = found[step.node] = node_of(step.adjoint)
            if node not in names:
                names[node] = f"adj_{names[step.node]}"
                roles[node] = Role("adjoint", step.node)
            for _, p in step.sent:
                texts[id(p)] = _text(node_of(p.value), names)
            entries.append(_entry(step, names, lambda p: texts.get(id(p), "1"), names[node]))
    outs = [found[n] for n in ins if n in found]
    adjoints = {graph.names[n]: names[found[n]] for n in found}
    extended = derived(graph, graph.inputs, outs, roles, f"reverse mode of {graph.title}")
    return Walk("nodes", entries, adjoints, extended)


def _text(node: Node, names: dict[Node, str]) -> str:
    return names[node] if node in names else nested(node, names, "ascii")


def _entry(step: Step, names: Any, text: Any, adjoint: str) -> Entry:
    grads = {
        names[n]: [text(p) for p in ps]
        for n, ps in step.node_to_grad.items() if n.shape is not None
    }  # fmt: skip
    return Entry(names[step.node], [text(p) for p in step.partials], adjoint, grads)
