"""A graph with its pullback, cut in two: what runs forward, and what runs when cotangents come.

What the backward half needs of the forward half is kept between them: *residuals*.  Values that are
cheap to compute again from what is there anyway are not kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from chainrule.compiler.lowering import OPERATIONS
from chainrule.core.collector import paused
from chainrule.core.dtypes import is_inexact
from chainrule.core.node import Node
from chainrule.graph.extend import free, reached
from chainrule.graph.ir import Graph
from chainrule.graph.rewrite import with_parents
from chainrule.transforms.tracing import CONSTANT, INPUT, input_node, traced

# Operations that move entries or spread them: computing them again costs no arithmetic.
MOVING = frozenset((
    "reshape", "broadcast_to", "permute_dims", "expand_dims", "squeeze", "getitem", "flip",
    "astype", "detach", "alias", "set_data",
))  # fmt: skip
DEEPEST = 4  # operations in a row that are repeated rather than their result loaded


class Halves(NamedTuple):
    """A graph and its pullback.

    Attributes:
        forward: the outputs of the graph, then what else is kept.
        backward: from the inputs in `needed`, the outputs of the forward half in `kept`, and a
            cotangent for each inexact output of the graph, to the cotangents of inputs.
        needed: positions of inputs.
        kept: positions of outputs of the forward half.
        wanted: positions of the inputs that have a cotangent.
    """

    forward: Graph
    backward: Graph
    needed: tuple[int, ...]
    kept: tuple[int, ...]
    wanted: tuple[int, ...]


def pullback(graph: Graph, wanted: Sequence[int]) -> Graph:
    """The graph from inputs and cotangents of inexact outputs to cotangents of some inputs."""
    joint, cotangents, _ = _joint(graph, wanted)
    outs = joint.outputs[len(graph.outputs) :]
    return Graph([*graph.inputs, *cotangents], outs, title=f"vjp of {graph.title}").optimize()


def halves(graph: Graph, wanted: Sequence[int]) -> Halves:
    """A graph with its pullback to some of its inputs, in two halves."""
    joint, cotangents, wanted = _joint(graph, wanted)
    joint = joint.optimize()
    late = set(cotangents)
    for node in joint.nodes:
        if any(p in late for p in node.parents):
            late.add(node)
    outs, grads = joint.outputs[: len(graph.outputs)], joint.outputs[len(graph.outputs) :]
    used = {p for n in joint.nodes if n in late for p in n.parents}.union(grads) - late
    kept = _kept(joint, used, late, set(outs))
    entering = {
        n: input_node(n.shape or (), n.dtype, free(joint, f"kept{i}")) for i, n in enumerate(kept)
    }
    grads = tuple(_on(joint, entering, grads))
    reached = Graph([], grads).nodes
    entered = {p for n in reached for p in n.parents}.union(grads)
    kept = [n for n in kept if entering[n] in entered]
    made = [*outs, *[n for n in kept if n not in set(outs)]]
    forward = Graph(graph.inputs, made, title=graph.title)
    needed = tuple([i for i, n in enumerate(graph.inputs) if n in entered])
    inputs = [*[graph.inputs[i] for i in needed], *[entering[n] for n in kept], *cotangents]
    backward = Graph(inputs, grads, title=f"vjp of {graph.title}")
    place = {n: i for i, n in reversed(list(enumerate(made)))}
    return Halves(forward, backward, needed, tuple([place[n] for n in kept]), wanted)


def _joint(graph: Graph, wanted: Sequence[int]) -> tuple[Graph, list[Node], tuple[int, ...]]:
    """The graph extended by its pullback, the inputs that are cotangents, and which inputs get one.

    An input from which no derivative comes, as behind detach(), gets none, as without compiling.
    """
    cotangents = []
    seeds = []
    for i, out in enumerate(graph.outputs):
        if is_inexact(out.dtype):
            ct = input_node(out.shape or (), out.dtype, free(graph, f"ct{i}"))
            cotangents.append(ct)
            seeds.append((out, traced(ct)))
    with paused():
        _, found = reached(graph, [graph.inputs[i] for i in wanted], seeds)
    getting = tuple([i for i in wanted if graph.inputs[i] in found])
    outs = [*graph.outputs, *[found[graph.inputs[i]] for i in getting]]
    title = f"{graph.title} and its vjp"
    return Graph([*graph.inputs, *cotangents], outs, title=title), cotangents, getting


def _kept(joint: Graph, used: set[Node | None], late: set[Node], present: set[Node]) -> list[Node]:
    """The values of the forward half that are kept for the backward half, which needs `used`.

    Computed again is what takes few cheap operations on inputs and on values that are there.
    """
    depth: dict[Node, int] = {}  # of what is there, or can be computed again
    kept = []
    for node in joint.nodes:
        if node in late:
            continue
        if node.prim in (INPUT, CONSTANT):
            depth[node] = 0
            continue
        below = [depth.get(p) for p in node.parents if p is not None]
        cost = _cost(node)
        if cost is not None and None not in below:
            found = cost + max([d for d in below if d is not None], default=0)
            if found <= DEEPEST or node not in used:
                depth[node] = found
                continue
        if node in used:
            kept.append(node)
            depth[node] = 0
        elif node in present:
            depth[node] = 0
            kept.append(node)
    return kept


def _cost(node: Node) -> int | None:
    """What computing a value again costs, in operations; None if it is to be kept."""
    if node.shape is None or node.prim.name in MOVING:
        return None if node.shape is None else 0
    return 1 if node.prim.name in OPERATIONS else None


def _on(joint: Graph, entering: dict[Node, Node], outputs: Sequence[Node]) -> list[Node]:
    """Outputs of a graph, computed from values in place of nodes."""
    new: dict[Any, Any] = {None: None, **entering}
    for node in joint.nodes:
        if node not in new:
            parents = [new[p] for p in node.parents]
            same = all(a is b for a, b in zip(parents, node.parents, strict=True))
            new[node] = node if same else with_parents(node, parents)
    return [new[n] for n in outputs]
