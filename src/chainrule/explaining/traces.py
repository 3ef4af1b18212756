"""The traces of an explanation: what is computed, forwards, along tangents, and backwards.

A row says: this symbol is the sum of these terms.  Terms are nodes of the extended graph, written
out down to the symbols of values, tangents and adjoints, so that formulas come from the derivative
rules themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule.core.namespaces import recorded
from chainrule.core.node import Node
from chainrule.core.primitive import PICK
from chainrule.core.source import line_of
from chainrule.core.tensor import as_array
from chainrule.explaining.naming import Symbol
from chainrule.graph.ir import Graph
from chainrule.graph.walk import (
    Step,
    backpropagate,
    between,
    by_rules,
    is_live,
    needed,
    node_of,
    on_trace,
    pushforward,
    recording_on,
)
from chainrule.transforms.tracing import INPUT, input_node, traced


@dataclass
class Row:
    """One line of a trace.

    Attributes:
        symbol: what the line computes.
        of: the node of the graph whose value, tangent or adjoint it is.
        terms: nodes whose sum it is; empty for what is given.
        target: the node that stands for the symbol in other lines.
        sent: for reverse mode, the partial adjoints that this step makes: who gets them, and the
            node of each.
    """

    symbol: Symbol
    of: Node
    terms: list[Node]
    target: Node
    sent: list[tuple[Node, Node]] = field(default_factory=list)


@dataclass
class Trace:
    """The lines of one trace.

    Attributes:
        kind: "forward", "tangent" or "reverse".
        rows: the lines in order.
        along: for tangents, the input along which they are.
        seeds: for reverse mode, the partial adjoints to begin with, by node.
    """

    kind: str
    rows: list[Row]
    along: Node | None = None
    seeds: dict[Node, Node] = field(default_factory=dict)


class Values:
    """The number of every node that an explanation speaks of, computed when asked for."""

    def __init__(self, known: Mapping[Node, Any]) -> None:
        self.known: dict[Node, Any] = dict(known)

    def __getitem__(self, node: Node) -> Any:
        if node not in self.known:
            self.compute([node])
        return self.known[node]

    def compute(self, targets: Iterable[Node]) -> None:
        """Evaluate what is not known yet of the nodes and of what they need."""
        known = self.known
        with np.errstate(all="ignore"):
            for node in needed(targets, known):
                args = [
                    a if p is None else known[p]
                    for a, p in zip(node.args, node.parents, strict=True)
                ]
                if node.prim is PICK:
                    known[node] = args[0][node.params["index"]]  # type: ignore[index]
                else:
                    out = node.prim.eval(*args, **(node.params or {}))
                    known[node] = out if type(out) is tuple else as_array(out)


def forward_trace(graph: Graph, index: Mapping[Node, int]) -> Trace:
    """The values in the order in which they are computed."""
    rows = []
    for node in index:
        terms = [] if node.prim is INPUT else [node]
        rows.append(Row(Symbol("value", index[node]), node, terms, node))
    return Trace("forward", rows)


def tangent_trace(
    graph: Graph, index: Mapping[Node, int], along: Node, direction: Any, values: Values
) -> Trace:
    """Tangents of all values along one input, the others held fixed."""
    ins = [n for n in graph.inputs if is_live(n)]
    order, live = _between(graph, index, ins)
    tangents: dict[Node, Any] = {}
    rows = []
    for n in ins:
        symbol = Symbol("tangent", index[n])
        made = input_node(n.shape or (), n.dtype, symbol.text("ascii"))
        values.known[made] = direction if n is along else np.zeros(n.shape or (), n.dtype)
        tangents[n] = traced(made)
        rows.append(Row(symbol, n, [], made))

    def mark(node: Node, t: Any) -> Any:
        if node.shape is None:
            return t
        symbol = Symbol("tangent", index[node])
        made = input_node(node.shape, node.dtype, symbol.text("ascii"))
        term = node_of(t)
        rows.append(Row(symbol, node, [term], made))
        values.compute([term])
        values.known[made] = values[term]
        return traced(made)

    with recording_on():
        for _ in pushforward(order, live, tangents, on_trace, recorded, mark):
            pass
    return Trace("tangent", rows, along)


def reverse_trace(
    graph: Graph, index: Mapping[Node, int], wrt: Sequence[Node], values: Values,
    seeds: Mapping[Node, Any],
) -> Trace:  # fmt: skip
    """Adjoints of all values between some inputs and the outputs, from the last to the first."""
    order, live = _between(graph, index, wrt)
    given: dict[Node, Node] = {}
    for out, seed in seeds.items():
        if out in live:
            made = input_node(out.shape or (), out.dtype, "seed")
            values.known[made] = seed
            given[out] = made
    targets: dict[Node, Node] = {}

    def mark(node: Node, adjoint: Any) -> Any:
        if node.shape is None:
            return adjoint
        made = input_node(node.shape, node.dtype, Symbol("adjoint", index[node]).text("ascii"))
        targets[node] = made
        return traced(made)

    rows = []
    begin = [(out, traced(seed)) for out, seed in given.items()]
    with recording_on():
        for step in backpropagate(order, begin, live, by_rules(on_trace, recorded), mark):
            if step.node.shape is not None:
                rows.append(_reverse_row(step, index, targets[step.node], values))
    return Trace("reverse", rows, seeds=given)


def _reverse_row(step: Step, index: Mapping[Node, int], target: Node, values: Values) -> Row:
    partials = sorted(  # in the order in which the program uses the value
        step.partials, key=lambda p: (index.get(p.source, 0) if p.source else 0, p.position)
    )
    terms = [node_of(p.value) for p in partials]
    values.compute(terms)
    total = values[terms[0]]
    with np.errstate(all="ignore"):
        for t in terms[1:]:
            total = total + values[t]
    values.known[target] = as_array(total)
    sent = [(node, node_of(p.value)) for node, p in step.sent]
    values.compute([t for _, t in sent])
    return Row(Symbol("adjoint", index[step.node]), step.node, terms, target, sent)


def _between(
    graph: Graph, index: Mapping[Node, int], ins: Sequence[Node]
) -> tuple[list[Node], set[Node]]:
    _, live = between(graph, ins)
    return [n for n in index if n in live], live


def numbered(graph: Graph) -> dict[Node, int]:
    """The number of each value, in the order of the explanation: inputs first, then line by line.

    Within a line of the program, values are ordered by how many operations lead to them, as in
    textbooks: for ln x₁ + x₁·x₂ − sin x₂ first the logarithm, the product and the sine.
    """
    order: list[Node] = list(graph.inputs)
    run: list[Node] = []
    for node in graph.nodes[len(graph.inputs) :]:
        if run and line_of(node.code, node.lasti) != line_of(run[-1].code, run[-1].lasti):
            order += _by_level(run)
            run = []
        run.append(node)
    return {n: i for i, n in enumerate([*order, *_by_level(run)], 1)}


def _by_level(run: Sequence[Node]) -> list[Node]:
    level: dict[Node, int] = {}
    for node in run:
        level[node] = 1 + max((level.get(p, 0) for p in node.parents if p is not None), default=0)
    return sorted(run, key=level.__getitem__)
