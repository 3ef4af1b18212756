"""What all passes share: how one is declared, and how they read constants and make equations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from inspect import signature
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from chainrule.core.abstract import AbstractArray
from chainrule.core.node import Aval, Node
from chainrule.core.primitive import REGISTRY
from chainrule.graph.ir import Graph
from chainrule.graph.passes.report import PassReport, size_of
from chainrule.transforms.tracing import CONSTANT, constant_node, equation

Fired = Counter[str]
UNKNOWN: Any = object()  # stands for a value that is not known before the run


class Pass:
    """A function graph -> graph that reports what it did.

    Calling one gives `(graph, report)`; the graph is the one given if nothing changed.

    Nodes that stay keep their names, and what replaces a node has its name.

    Attributes:
        name: what reports call it.
        transform: `transform(graph, fired, **options)` makes the new graph and counts in `fired`
            which rule changed how many nodes.
        has_fast: whether it takes `fast`, which allows more where nan and infinities differ.
    """

    def __init__(self, name: str, transform: Callable[..., Graph]) -> None:
        self.name = name
        self.transform = transform
        self.has_fast = "fast" in signature(transform).parameters
        self.__doc__ = transform.__doc__

    def __call__(self, graph: Graph, **options: Any) -> tuple[Graph, PassReport]:
        before = size_of(graph)
        began = perf_counter()
        fired: Fired = Counter()
        made = self.transform(named(graph), fired, **options)
        seconds = perf_counter() - began
        made = made if fired else graph
        return made, PassReport(self.name, before, size_of(made), dict(fired), seconds)

    def __repr__(self) -> str:
        return f"<pass {self.name}>"


def graph_pass(name: str) -> Callable[[Callable[..., Graph]], Pass]:
    """Declare a pass: a decorator of `transform(graph, fired, **options) -> Graph`."""
    return lambda transform: Pass(name, transform)


def named(graph: Graph) -> Graph:
    """The same graph, whose nodes keep the names that they have now in all that is made from it."""
    if all(n in graph.labels for n in graph.nodes):
        return graph
    made = Graph(
        graph.inputs, graph.outputs, title=graph.title, in_spec=graph.in_spec,
        out_spec=graph.out_spec, roles=graph.roles, captured=graph.captured, values=graph.values,
        arrays=graph.arrays, dynamic=graph.dynamic, labels=graph.names,
    )  # fmt: skip
    # What has been worked out about the nodes, which are the same.
    made.__dict__.update(nodes=graph.nodes, position=graph.position, names=graph.names)
    return made


class Operand(NamedTuple):
    """One argument of an equation: the node that computes it, or a constant."""

    value: Any  # the constant, or the abstract array of the node
    node: Node | None

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(getattr(self.value, "shape", ()))


def operand(node: Node, i: int) -> Operand:
    """The argument of a node at position i."""
    return Operand(node.args[i], node.parents[i])


def operand_of(node: Node) -> Operand:
    """A node as an argument of others."""
    return Operand(node.out, node)


def known(value: Any, parent: Node | None) -> Any:
    """The value of an argument if it is constant, else UNKNOWN.

    A graph made from a tape may lack constants that no derivative needs.
    """
    if parent is not None:
        if parent.prim is not CONSTANT:
            return UNKNOWN
        value = parent.args[0]
    if value is None or isinstance(value, (AbstractArray, Aval)):
        return UNKNOWN
    return value


def number_in(value: Any) -> Any:
    """The number that a constant is full of; UNKNOWN if it has several, or is empty."""
    if type(value) is not np.ndarray:
        return value if isinstance(value, (bool, int, float, complex)) else UNKNOWN
    if value.size == 0 or value.dtype.kind not in "biufc":
        return UNKNOWN
    first = value.flat[0]
    if value.flat[-1] != first:
        return UNKNOWN if value.size > 1 else first.item()
    # Entries that are repeated, by broadcasting, are looked at once.
    value = value[tuple([slice(1) if s == 0 else slice(None) for s in value.strides])]
    if value.size > 1 and not ((value == first).all() and (first != 0 or _one_sign(value))):
        return UNKNOWN
    return first.item()


def _one_sign(zeros: np.ndarray) -> bool:
    """Whether zeros are all 0.0, or all -0.0."""
    if zeros.dtype.kind == "c":
        return _one_sign(zeros.real) and _one_sign(zeros.imag)
    if zeros.dtype.kind != "f":
        return True
    signs = np.signbit(zeros)
    return bool(signs.all() or not signs.any())


def make(name: str, operands: Sequence[Operand], place: Node, **params: Any) -> Node:
    """The equation that applies a primitive, at the user's line of another node."""
    return equation(
        REGISTRY[name], [o.value for o in operands], [o.node for o in operands], params,
        (place.code, place.lasti),
    )  # fmt: skip


def constant_at(value: Any, place: Node) -> Node:
    """A node for a constant, at the user's line of another node."""
    made = constant_node(value)
    made.code, made.lasti = place.code, place.lasti
    return made


def fitting(found: Operand, node: Node) -> Node | None:
    """A node that has the value of an operand in the shape of another node.

    None if the dtype is another: the replacement is not what it should be.
    """
    if found.node is None:
        made = constant_at(np.asarray(found.value, node.dtype), node)
    else:
        made = found.node
    if made.dtype != node.dtype:
        return None
    if made.shape != node.shape:
        made = make("broadcast_to", [operand_of(made)], node, shape=node.shape)
    return made
