"""Graphs of derivatives: a graph extended by the adjoints or the tangents of its nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.core.collector import paused
from chainrule.core.dtypes import is_inexact
from chainrule.core.namespaces import recorded
from chainrule.core.node import Node
from chainrule.graph.ir import Graph, Role
from chainrule.graph.templates import Templates
from chainrule.graph.walk import (
    backpropagate,
    between,
    node_of,
    on_trace,
    pushforward,
    recording_on,
)
from chainrule.transforms.tracing import INPUT, Traced, constant_node, input_node, traced


def chosen(graph: Graph, wrt: Any, title: str) -> list[Node]:
    """The inputs to differentiate with respect to.

    Raises:
        RuntimeError: if one is unknown, or is an integer.
    """
    if wrt is None:
        found = [n for n in graph.inputs if is_inexact(n.dtype)]
        if not found:
            raise RuntimeError(f"{title}: the graph has no input that is not an integer")
        return found
    several = wrt if isinstance(wrt, (list, tuple)) else [wrt]
    found = []
    for w in several:
        node = _input(graph, w, title)
        if not is_inexact(node.dtype):
            raise RuntimeError(
                f"{title}: only floating point and complex inputs can be differentiated with "
                f"respect to, but {node.params['name']!r} is {node.dtype}"  # type: ignore[index]
            )
        found.append(node)
    return found


def _input(graph: Graph, w: Any, title: str) -> Node:
    if isinstance(w, Traced):
        w = w.node
    if isinstance(w, Node) and w in graph.inputs:
        return w
    if type(w) is int and -len(graph.inputs) <= w < len(graph.inputs):
        return graph.inputs[w]
    for n in graph.inputs:
        if n.params["name"] == w:  # type: ignore[index]
            return n
    raise RuntimeError(
        f"{title}: {w!r} is no input of the graph, which has {', '.join(graph.input_names)}"
    )


def grad(graph: Graph, wrt: Any = None) -> Graph:
    """The graph of the gradient of a graph with one real number as its output."""
    if len(graph.outputs) != 1 or graph.outputs[0].shape != ():
        shapes = ", ".join(str(list(n.shape or ())) for n in graph.outputs)
        raise RuntimeError(
            f"grad can be implicitly created only for scalar outputs; the outputs of {graph.title} "
            f"have shapes {shapes}. Use graph.vjp(), which takes cotangents, or sum the output"
        )
    (out,) = graph.outputs
    if out.dtype.kind != "f":
        raise RuntimeError(
            f"grad takes graphs of a real number, but the output of {graph.title} is {out.dtype}; "
            "use graph.vjp(), which takes cotangents"
        )
    ins = chosen(graph, wrt, "grad")
    seed = traced(constant_node(np.ones((), out.dtype)))
    roles, found = adjoints(graph, ins, [(out, seed)])
    single = wrt is not None and not isinstance(wrt, (list, tuple))
    title = f"grad of {graph.title}"
    return derived(graph, graph.inputs, found, roles, title, single=single)


def value_and_grad(graph: Graph, wrt: Any = None) -> Graph:
    """The graph of value and gradient: the gradient's, with the output in front."""
    made = grad(graph, wrt)
    outs = [*graph.outputs, *made.outputs]
    title = f"value and {made.title}"
    return derived(graph, made.inputs, outs, made.roles, title)


def vjp(graph: Graph, wrt: Any = None) -> Graph:
    """The graph of the pullback; cotangents are inputs `ct` (or `ct1`, `ct2`, ...)."""
    ins = chosen(graph, wrt, "vjp")
    seeds = []
    many = len(graph.outputs) > 1
    for i, out in enumerate(graph.outputs, 1):
        if is_inexact(out.dtype):
            name = free(graph, f"ct{i}" if many else "ct")
            seeds.append((out, traced(input_node(out.shape or (), out.dtype, name))))
    roles, found = adjoints(graph, ins, seeds)
    inputs = [*graph.inputs, *[c.node for _, c in seeds]]
    return derived(graph, inputs, found, roles, f"vjp of {graph.title}")


def free(graph: Graph, name: str) -> str:
    while name in graph.input_names:
        name += "_"
    return name


def derived(
    graph: Graph, inputs: Sequence[Any], outs: Sequence[Node], roles: dict[Node, Role], title: str,
    single: bool = False,
) -> Graph:  # fmt: skip
    """A graph that extends another; values keep their names."""
    same = len(inputs) == len(graph.inputs)
    made = Graph(
        inputs, outs, title=title, in_spec=graph.in_spec if same else None,
        out_spec=None if single or len(outs) == 1 else tree_of(len(outs)),
        roles={**graph.roles, **roles}, captured=graph.captured, values=graph.values,
        arrays=graph.arrays, dynamic=graph.dynamic if same else None, labels=graph.names,
    )  # fmt: skip
    for node in made.nodes:
        if node not in graph.position and node.prim is not INPUT:
            made.roles.setdefault(node, Role("partial", None))
    return made


def tree_of(n: int) -> Any:
    """The structure of a tuple of n leaves."""
    from chainrule import tree

    return tree.structure((0.0,) * n)


def adjoints(
    graph: Graph, ins: Sequence[Node], seeds: Sequence[tuple[Node, Any]]
) -> tuple[dict[Node, Role], list[Node]]:
    """Extend the graph by adjoints; their roles, and the adjoints of the inputs."""
    roles, found = reached(graph, ins, seeds)
    zeros = [
        found[n] if n in found else constant_node(np.zeros(n.shape or (), n.dtype)) for n in ins
    ]
    return roles, zeros


def reached(
    graph: Graph, ins: Sequence[Node], seeds: Sequence[tuple[Node, Any]]
) -> tuple[dict[Node, Role], dict[Node, Node]]:
    """Extend the graph by adjoints; their roles, and the adjoints of the nodes that have one."""
    order, live = between(graph, ins)
    roles: dict[Node, Role] = {}
    found: dict[Node, Node] = {}
    old = set(graph.nodes)
    with recording_on(), paused():
        kept = [(n, c) for n, c in seeds if n in live]
        for step in backpropagate(order, kept, live, Templates()):
            if step.node.shape is None:
                continue
            adjoint = step.adjoint
            node = node_of(adjoint)
            if node not in old:
                roles.setdefault(node, Role("adjoint", step.node))
            found[step.node] = node
    return roles, found


def jvp(graph: Graph, wrt: Any = None) -> Graph:
    """The graph of the pushforward; tangents are inputs `tan_x` for an input `x`."""
    ins = chosen(graph, wrt, "jvp")
    order, live = between(graph, ins, forward=True)
    roles: dict[Node, Role] = {}
    tangents: dict[Node, Any] = {}
    directions = []
    for n in ins:
        name = free(graph, f"tan_{n.params['name']}")  # type: ignore[index]
        made = input_node(n.shape or (), n.dtype, name)
        directions.append(made)
        tangents[n] = traced(made)
    with recording_on(), paused():
        for node, t in pushforward(order, live, tangents, on_trace, recorded):
            if isinstance(t, Traced) and t.node not in graph.position:
                roles.setdefault(t.node, Role("tangent", node))  # type: ignore[arg-type]
    outs = []
    for n in graph.outputs:
        t = tangents.get(n)
        if t is None:
            outs.append(constant_node(np.zeros(n.shape or (), n.dtype)))
        else:
            outs.append(node_of(t))
    inputs = [*graph.inputs, *directions]
    return derived(graph, inputs, [*graph.outputs, *outs], roles, f"jvp of {graph.title}")
