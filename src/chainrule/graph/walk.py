"""Walks over the nodes of a graph: forward with tangents, backward with adjoints.

`backpropagate` is reverse mode as textbooks do it: `node_to_grad` collects the partial adjoints of
every node; a node is visited after all that use it, its partial adjoints are summed, and its rule
makes partial adjoints for what it uses.  The same walk serves both historical forms.  On traced
tensors it extends the graph: adjoints are new nodes.  On arrays it is backpropagation over the
forward graph: numbers flow back and nothing new is recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from chainrule.core import modes
from chainrule.core.dtypes import is_inexact
from chainrule.core.namespaces import recorded
from chainrule.core.node import Node
from chainrule.core.primitive import PICK
from chainrule.core.sweep import Owned, Scatter, boxed, unbroadcast
from chainrule.core.tensor import Tensor, wrap
from chainrule.graph.ir import Graph
from chainrule.transforms.tracing import Traced, constant_node, derived_at

# Gives the partial adjoints that a node makes, one for each parent; None where there is none.
Pull = Callable[[Node, Any, set[Node]], Sequence[Any]]


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
    order: Sequence[Node], seeds: Sequence[tuple[Node, Any]], live: set[Node], pull: Pull,
    mark: Callable[[Node, Any], Any] | None = None,
) -> Iterator[Step]:  # fmt: skip
    """Reverse mode over nodes in order, step by step.

    Args:
        order: the nodes between what is differentiated by and the outputs.
        seeds: adjoints to begin with.
        live: the nodes that may get an adjoint.
        pull: applies the rule of a node; see `by_rules`.
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
        for i, (parent, g) in enumerate(zip(node.parents, pull(node, seen, live), strict=True)):
            if parent is None or g is None or parent not in live:
                continue
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


def by_rules(saved: Callable[[Node], tuple[Any, Any]], xp: Any) -> Pull:
    """The primitives' own rules, run at every node.

    Args:
        saved: gives the arguments and the result of a node, as the namespace takes them.
        xp: the namespace to compute in.
    """

    def pull(node: Node, adjoint: Any, live: set[Node]) -> Sequence[Any]:
        if node.prim is PICK or not node.parents:
            return [adjoint] * len(node.parents)
        args, out = saved(node)
        pulled = node.prim.pull(node, adjoint, xp, args, out, live, True)
        return [
            None if g is None or p is None or p not in live else fitted(xp, g, p)
            for p, g in zip(node.parents, pulled, strict=True)
        ]

    return pull


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
    """Arguments and result of a node as traced tensors; what its rules make is of its line."""
    derived_at.set((node.code, node.lasti))
    return boxed(node, node.args, node.out)


def is_live(node: Node) -> bool:
    """Whether a node can have an adjoint: its dtype is not an integer's."""
    return node.shape is None or is_inexact(node.dtype)


def between(
    graph: Graph, wrt: Sequence[Node], forward: bool = False
) -> tuple[list[Node], set[Node]]:
    """The nodes on paths from some inputs to the outputs, in order, and the same as a set.

    Args:
        forward: along which tangents go, rather than adjoints.
    """
    live = {n for n in wrt if is_live(n)}
    for node in graph.nodes:
        if (
            node not in live
            and is_live(node)
            and (node.prim.pushes if forward else node.prim.differentiable)
        ):
            for p in node.parents:
                if p in live:
                    live.add(node)
                    break
    return [n for n in graph.nodes if n in live], live


def needed(targets: Iterable[Node], known: Container[Node]) -> list[Node]:
    """The nodes to compute for some targets, in order, when others are known already."""
    stack = [n for n in targets if n not in known]
    seen = set(stack)
    found = []
    while stack:
        node = stack.pop()
        found.append(node)
        for p in node.parents:
            if p is not None and p not in known and p not in seen:
                seen.add(p)
                stack.append(p)
    found.sort(key=lambda n: n.seq)
    return found


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
        self.place = derived_at.set(derived_at.get())

    def __exit__(self, *error: Any) -> None:
        derived_at.reset(self.place)
        modes.leave(self.token)
