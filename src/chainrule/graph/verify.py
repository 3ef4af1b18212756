"""Verification: a graph is acyclic, in order, complete, and says the right shapes and dtypes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.core.node import Node
from chainrule.core.primitive import PICK
from chainrule.graph.ir import Graph, GraphError
from chainrule.transforms.tracing import CONSTANT, INPUT


class Checked:
    """Nodes whose equations are known to be right: nodes never change."""

    def __init__(self) -> None:
        self.nodes: set[Node] = set()
        self.results: dict[int, Node] = {}  # by identity of the abstract result

    def add(self, node: Node) -> None:
        self.nodes.add(node)
        self.results.setdefault(id(node.out), node)

    def knows_result(self, node: Node) -> bool:
        """Whether the same equation was checked with other parents, of the same shapes."""
        known = self.results.get(id(node.out))
        return (
            known is not None
            and known.args is node.args
            and known.params is node.params
            and known.prim is node.prim
        )


def verify(graph: Graph, checked: Checked | None = None) -> None:
    """Check a graph.

    Where every node stands after its parents there is no cycle; only else is one looked for.

    Args:
        graph: the graph.
        checked: what is known from graphs that share nodes with this one; what is learnt is added.

    Raises:
        GraphError: naming the node and what is wrong with it.
    """
    checked = checked or Checked()
    if len(set(graph.inputs)) != len(graph.inputs):
        raise GraphError("an input of the graph is listed twice")
    check_names(graph.inputs)
    seen: set[Node] = set()
    inputs = set(graph.inputs)
    for node in graph.nodes:
        if node.prim is INPUT and node not in inputs:
            raise GraphError(
                f"the variable {node.params['name']!r} ({node.where}) is used in the graph, but "  # type: ignore[index]
                "is not among its inputs"
            )
        for i, p in enumerate(node.parents):
            if p is not None and p not in seen:
                find_cycle(graph)
                raise _wrong(node, f"stands before its argument {i}, {p.prim.name} ({p.where})")
        seen.add(node)
        if node not in checked.nodes:
            _check_equation(node, checked.knows_result(node))
            checked.add(node)
    for i, node in enumerate(graph.outputs):
        if node not in seen:
            raise GraphError(f"output {i}, {node.prim.name} ({node.where}), is not in the graph")


def check_names(inputs: Sequence[Node]) -> None:
    """Raise if two variables of a graph have one name.

    Raises:
        GraphError: naming both places.
    """
    known: dict[str, Node] = {}
    for node in inputs:
        name = node.params["name"]  # type: ignore[index]
        other = known.setdefault(name, node)
        if other is not node:
            raise GraphError(
                f"two variables of the graph have the name {name!r}, one made at {other.where}, "
                f"one at {node.where}: give one of them another name, or use one variable twice"
            )


def _wrong(node: Node, what: str) -> GraphError:
    return GraphError(f"{node.prim.name} ({node.where}) {what}")


def _check_equation(node: Node, result_known: bool) -> None:
    if len(node.args) != len(node.parents):
        raise _wrong(node, f"has {len(node.args)} arguments, but {len(node.parents)} parents")
    for i, (a, p) in enumerate(zip(node.args, node.parents, strict=True)):
        if p is not None:
            _check_argument(node, i, a, p)
    if not result_known:
        _check_call(node)
        _check_result(node)


def _check_argument(node: Node, i: int, a: Any, p: Node) -> None:
    if node.prim is PICK:
        return
    if p.shape is None:
        raise _wrong(node, f"takes the tuple of outputs of {p.prim.name} as its argument {i}")
    if a is not None and a is not p.out and (tuple(a.shape) != p.shape or a.dtype != p.dtype):
        raise _wrong(
            node,
            f"expects {a.dtype}{list(a.shape)} as its argument {i}, but gets "
            f"{p.dtype}{list(p.shape)} from {p.prim.name} ({p.where})",
        )


def _check_call(node: Node) -> None:
    """Check how many arguments an elementwise operation has, and whether it takes parameters."""
    prim = node.prim
    if prim.partials is None:
        return
    if len(node.args) != prim.arity:
        raise _wrong(node, f"has {len(node.args)} arguments, but takes {prim.arity}")
    if node.params and not prim.has_params:
        raise _wrong(node, f"takes no parameters, but has {', '.join(node.params)}")


def _check_result(node: Node) -> None:
    if node.prim in (INPUT, CONSTANT, PICK) or node.prim.aval is None:
        return
    if any(a is None for a in node.args) and node.prim.partials is not None:
        return  # the tape did not keep it
    try:
        found = node.prim.aval(*node.args, **(node.params or {}))
    except Exception as error:
        raise _wrong(node, f"does not fit its arguments: {error}") from error
    several = type(found) is tuple
    if several != (node.shape is None) or (several and len(found) != len(node.out)):
        raise _wrong(node, "has another number of results than its operation gives")
    for want, have in zip(found, node.out, strict=True) if several else [(found, node.out)]:
        if have is None:
            continue
        if tuple(want.shape) != tuple(have.shape) or want.dtype != have.dtype:
            raise _wrong(
                node,
                f"says that its result is {have.dtype}{list(have.shape)}, but it is "
                f"{np.dtype(want.dtype)}{list(want.shape)}",
            )


def find_cycle(graph: Graph) -> None:
    """Raise if a node depends on itself.

    Raises:
        GraphError: naming the nodes of the cycle.
    """
    done: set[Node] = set()
    for root in graph.outputs:
        if root in done:
            continue
        path = [root]
        inside = {root}
        pending = [iter(root.parents)]
        while path:
            child = next(pending[-1], pending)
            if child is pending:
                node = path.pop()
                done.add(node)
                inside.discard(node)
                pending.pop()
                continue
            if child is None or child in done:
                continue
            if child in inside:
                names = " <- ".join(f"{n.prim.name} ({n.where})" for n in path[path.index(child) :])
                raise GraphError(f"the graph has a cycle: {names} <- {child.prim.name}")  # type: ignore[union-attr]
            path.append(child)  # type: ignore[arg-type]
            inside.add(child)  # type: ignore[arg-type]
            pending.append(iter(child.parents))  # type: ignore[union-attr]
