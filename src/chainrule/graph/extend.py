"""Derivatives of graphs: the rules of the primitives, run on nodes, add nodes.

`backpropagate` is reverse mode as textbooks do it: `node_to_grad` collects the partial adjoints of
every node; a node is visited after all that use it, its partial adjoints are summed, and its rule
makes partial adjoints for what it uses.  The same walk serves both historical forms.  On traced
tensors it extends the graph: adjoints are new nodes.  On arrays it is backpropagation over the
forward graph: numbers flow back and nothing new is recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from chainrule.core import modes
from chainrule.core.collector import paused
from chainrule.core.dtypes import is_inexact
from chainrule.core.namespaces import raw, recorded
from chainrule.core.node import Node
from chainrule.core.primitive import PICK
from chainrule.core.sweep import Owned, Scatter, boxed, unbroadcast
from chainrule.core.tensor import Tensor, wrap
from chainrule.graph.ir import Graph, Role
from chainrule.transforms.tracing import INPUT, Traced, constant_node, input_node, traced


class Partial(NamedTuple):
    """A partial adjoint: what one use of a value contributes to the value's adjoint."""

    source: Node | None  # the node that uses the value; None for the seed
    position: int  # which argument of that node it is
    value: Any


class Step(NamedTuple):
    """One step of a reverse walk.

    Attributes:
        node: the node that is visited.
        partials: its partial adjoints.
        adjoint: their sum.
        sent: the partial adjoints that its rule makes, with the nodes that get them.
        node_to_grad: the partial adjoints that have arrived at each node so far, this step's too.
    """

    node: Node
    partials: list[Partial]
    adjoint: Any
    sent: list[tuple[Node, Partial]]
    node_to_grad: Mapping[Node, list[Partial]]


def backpropagate(
    order: Sequence[Node], seeds: Sequence[tuple[Node, Any]], live: set[Node],
    saved: Callable[[Node], tuple[Any, Any]], xp: Any,
    mark: Callable[[Node, Any], Any] | None = None,
) -> Iterator[Step]:  # fmt: skip
    """Reverse mode over nodes in order, step by step.

    Args:
        order: the nodes between what is differentiated by and the outputs.
        seeds: adjoints to begin with.
        live: the nodes that may get an adjoint.
        saved: gives the arguments and the result of a node, as the namespace takes them.
        xp: the namespace to compute in.
        mark: gives what the rules get to see in place of an adjoint: a name for it.
    """
    node_to_grad: dict[Node, list[Partial]] = {}
    for node, g in seeds:
        node_to_grad.setdefault(node, []).append(Partial(None, 0, g))
    for node in reversed(order):
        partials = node_to_grad.get(node)
        if not partials:
            continue
        adjoint = _sum(node, partials)
        seen = adjoint if mark is None else mark(node, adjoint)
        sent = []
        for i, (parent, g) in enumerate(_contributions(node, seen, live, saved, xp)):
            if parent is None or g is None or parent not in live:
                continue
            if node.prim is not PICK:
                g = fitted(xp, g, parent)
            partial = Partial(node, node.params["index"] if node.prim is PICK else i, g)  # type: ignore[index]
            node_to_grad.setdefault(parent, []).append(partial)
            sent.append((parent, partial))
        yield Step(node, partials, adjoint, sent, node_to_grad)


def _sum(node: Node, partials: Sequence[Partial]) -> Any:
    """The sum of partial adjoints; for a node with several outputs, one for each."""
    if node.shape is not None:
        total = partials[0].value
        for p in partials[1:]:
            total = total + p.value
        return total
    parts: list[Any] = [None] * len(node.out)
    for p in partials:
        known = parts[p.position]
        parts[p.position] = p.value if known is None else known + p.value
    return tuple(parts)


def _contributions(
    node: Node, adjoint: Any, live: set[Node], saved: Any, xp: Any
) -> Iterator[tuple[Node | None, Any]]:
    if node.prim is PICK:
        yield node.parents[0], adjoint
        return
    if not node.parents:
        return
    args, out = saved(node)
    pulled = node.prim.pull(node, adjoint, xp, args, out, live, True)
    yield from zip(node.parents, pulled, strict=True)


def fitted(xp: Any, g: Any, node: Node) -> Any:
    """A partial adjoint in the shape and dtype of the node that it is for."""
    if type(g) in (Scatter, Owned):
        g = g.spread(node)
    if xp is recorded and not isinstance(g, Tensor):
        g = wrap(np.asarray(g))
    if tuple(g.shape) != node.shape:
        g = unbroadcast(xp, g, node.shape)
    if getattr(g, "array", g).dtype != node.dtype:
        g = xp.astype(g, dtype=node.dtype)
    return g


def on_trace(node: Node) -> tuple[Any, Any]:
    """Arguments and result of a node as traced tensors."""
    return boxed(node, node.args, node.out)


def is_live(node: Node) -> bool:
    """Whether a node can have an adjoint: its dtype is not an integer's."""
    return node.shape is None or is_inexact(node.dtype)


def between(graph: Graph, wrt: Sequence[Node]) -> tuple[list[Node], set[Node]]:
    """The nodes on paths from some inputs to the outputs, in order, and the same as a set."""
    live = {n for n in wrt if is_live(n)}
    for node in graph.nodes:
        if node not in live and is_live(node) and node.prim.differentiable:
            for p in node.parents:
                if p in live:
                    live.add(node)
                    break
    return [n for n in graph.nodes if n in live], live


# ---------------------------------------------------------------- graphs of derivatives


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
    roles, found = _adjoints(graph, ins, [(out, seed)])
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
            name = _free(graph, f"ct{i}" if many else "ct")
            seeds.append((out, traced(input_node(out.shape or (), out.dtype, name))))
    roles, found = _adjoints(graph, ins, seeds)
    inputs = [*graph.inputs, *[c.node for _, c in seeds]]
    return derived(graph, inputs, found, roles, f"vjp of {graph.title}")


def _free(graph: Graph, name: str) -> str:
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


def _adjoints(
    graph: Graph, ins: Sequence[Node], seeds: Sequence[tuple[Node, Any]]
) -> tuple[dict[Node, Role], list[Node]]:
    """Extend the graph by adjoints; their roles, and the adjoints of the inputs."""
    order, live = between(graph, ins)
    roles: dict[Node, Role] = {}
    found: dict[Node, Node] = {}
    old = set(graph.nodes)
    with recording_on(), paused():
        kept = [(n, c) for n, c in seeds if n in live]
        for step in backpropagate(order, kept, live, on_trace, recorded):
            if step.node.shape is None:
                continue
            adjoint = step.adjoint
            node = node_of(adjoint)
            if node not in old:
                roles.setdefault(node, Role("adjoint", step.node))
            found[step.node] = node
    zeros = [
        found[n] if n in found else constant_node(np.zeros(n.shape or (), n.dtype)) for n in ins
    ]
    return roles, zeros


def node_of(t: Any) -> Node:
    """The node of a traced tensor, or one for a tensor that is known."""
    node: Node = t.node if isinstance(t, Traced) else constant_node(t.array)
    return node


def recording_on() -> Any:
    """Let the rules record, whatever the mode outside."""
    return _On()


class _On:
    def __enter__(self) -> None:
        self.token = modes.enter(True)

    def __exit__(self, *error: Any) -> None:
        modes.leave(self.token)


def jvp(graph: Graph, wrt: Any = None) -> Graph:
    """The graph of the pushforward; tangents are inputs `tan_x` for an input `x`."""
    ins = chosen(graph, wrt, "jvp")
    order, live = between(graph, ins)
    roles: dict[Node, Role] = {}
    tangents: dict[Node, Any] = {}
    directions = []
    for n in ins:
        name = _free(graph, f"tan_{n.params['name']}")  # type: ignore[index]
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


def pushforward(
    order: Sequence[Node], live: set[Node], tangents: dict[Node, Any],
    saved: Callable[[Node], tuple[Any, Any]], xp: Any,
    mark: Callable[[Node, Any], Any] | None = None,
) -> Iterator[tuple[Node, Any]]:  # fmt: skip
    """Forward mode over nodes in order: each node with its tangent.

    `tangents` holds those to begin with and gets the others, or what `mark` makes of them.
    """
    for node in order:
        if node in tangents:
            yield node, tangents[node]
            continue
        incoming = [tangents.get(p) if p in live else None for p in node.parents]
        if all(t is None for t in incoming):
            continue
        if node.prim is PICK:
            t = incoming[0][node.params["index"]]  # type: ignore[index]
        else:
            args, out = saved(node)
            t = node.prim.push(node, incoming, xp, args, out)
        if t is None:
            continue
        if node.shape is not None:
            t = pushed(xp, t, node)
        tangents[node] = t if mark is None else mark(node, t)
        if node.shape is not None:
            yield node, t


def pushed(xp: Any, t: Any, node: Node) -> Any:
    """A tangent in the shape and dtype of the node that it is of."""
    if xp is recorded and not isinstance(t, Tensor):
        t = wrap(np.asarray(t))
    if getattr(t, "array", t).dtype != node.dtype:
        t = xp.astype(t, dtype=node.dtype)
    if tuple(t.shape) != node.shape:
        t = xp.broadcast_to(t, shape=node.shape)
    return t


__all__ = [
    "Partial", "Step", "backpropagate", "between", "fitted", "grad", "jvp", "on_trace",
    "pushforward", "raw", "vjp",
]  # fmt: skip
