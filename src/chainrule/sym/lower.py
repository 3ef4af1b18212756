"""From expressions that wait to graphs: the calls are made on traced tensors of known shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chainrule import tree
from chainrule.core.node import Aval, Node, next_seq
from chainrule.core.tensor import Tensor
from chainrule.graph.ir import Graph
from chainrule.sym.deferred import Call, Deferred, calls_in, deferred_variable, describe_call
from chainrule.sym.expression import Variable
from chainrule.transforms.tracing import (
    INPUT,
    Recorder,
    Traced,
    constant_node,
    input_node,
    recording,
    traced,
)


class Derivative:
    """A derivative of an expression with respect to variables, found when shapes are known.

    Called on the value of the expression, it extends the graph of that value by adjoints or
    tangents, and returns their tensors.

    Attributes:
        kind: "grad", "vjp" or "jvp".
        names: the variables.
        extra: the variables that stand for the cotangent or the tangents.
    """

    def __init__(self, kind: str, names: Sequence[str], variables: Sequence[Variable]) -> None:
        self.kind = kind
        self.names = list(names)
        self.variables = list(variables)
        wanted = {"grad": [], "vjp": ["ct"], "jvp": [f"tan_{n}" for n in names]}[kind]
        taken = {v.name for v in variables}
        self.extra: list[Call] = []
        for name in wanted:
            while name in taken:
                name += "_"
            taken.add(name)
            made = deferred_variable(name, None, variables[0].place, derived=True)
            self.extra.append(made.array.call)

    def run(self, value: Any, lowering: Lowering) -> tuple[Any, ...]:
        """The derivatives of a traced value.

        Raises:
            RuntimeError: if the value is no single tensor, or, for "grad", no real number.
        """
        if not isinstance(value, Tensor):
            raise RuntimeError(
                f"{self.kind} takes an expression of one tensor, but this is "
                f"{type(value).__name__}: take one of its parts first, such as c[0]"
            )
        inputs = [lowering.input_of(v) for v in self.variables]
        graph = Graph(inputs, [node_of(value)], title="the expression")
        made: Graph = getattr(graph, self.kind)(list(self.names))
        for call, node in zip(self.extra, made.inputs[len(inputs) :], strict=True):
            lowering.nodes[id(call)] = node
        outs = made.outputs[1:] if self.kind == "jvp" else made.outputs
        return tuple(map(traced, outs))


def node_of(value: Any) -> Node:
    """The node of a value that a call returned.

    Raises:
        TypeError: if a graph cannot compute it.
    """
    if isinstance(value, Traced):
        node: Node = value.node
        return node
    if isinstance(value, Tensor):
        return constant_node(value.array)
    if isinstance(value, (np.ndarray, np.generic, bool, int, float, complex)):
        return constant_node(value)
    raise TypeError(
        f"the expression gives a {type(value).__name__}; a graph computes tensors and numbers"
    )


class Lowering:
    """One run of the calls.

    Attributes:
        avals: shape and dtype of the variables by name.
        values: what the calls returned, by call.
        nodes: the input nodes of variables, by their call.
    """

    def __init__(self, avals: Mapping[str, Aval]) -> None:
        self.avals = avals
        self.values: dict[int, Any] = {}
        self.nodes: dict[int, Node] = {}

    def input_of(self, v: Variable) -> Node:
        """The input node of a variable."""
        found: Node = v.source if isinstance(v.source, Node) else self.nodes[id(v.source)]
        return found

    def value_of(self, x: Any) -> Any:
        """An argument with the values of calls in it."""
        if isinstance(x, Deferred):
            call = x.array.call
            return (
                traced(self.nodes[id(call)]) if call.kind == "variable" else self.values[id(call)]
            )
        if type(x) in (list, tuple):
            return type(x)([self.value_of(i) for i in x])
        if isinstance(x, tuple):
            return type(x)(*[self.value_of(i) for i in x])
        if type(x) is dict:
            return {k: self.value_of(i) for k, i in x.items()}
        if type(x) is slice:
            return slice(*[self.value_of(i) for i in (x.start, x.stop, x.step)])
        return x

    def run(self, call: Call) -> None:
        """Make one call.

        Raises:
            Exception: what it raised, with a note that says which line wrote it.
        """
        if call.kind == "variable":
            known = call.known or []
            if not known[0].derived:
                aval = self.avals[call.name]
                self.nodes[id(call)] = input_node(aval.shape, aval.dtype, call.name, call.place)
            return
        before = next_seq()
        try:
            if isinstance(call.function, Derivative):
                result: Any = call.function.run(self.value_of(call.args[0]), self)
            else:
                args = [self.value_of(x) for x in call.args]
                kwargs = {k: self.value_of(x) for k, x in call.kwargs.items()}
                result = call.function(*args, **kwargs)
        except Exception as error:
            error.add_note(f"in the expression at {describe_call(call)}")
            raise
        self.values[id(call)] = result
        for leaf in tree.leaves(result):
            if isinstance(leaf, Traced):
                place_nodes(leaf.node, before, call.place)


def place_nodes(root: Node, before: int, place: Any) -> None:
    """Say of the nodes that a call made that the line that wrote the call made them."""
    stack = [root]
    while stack:
        node = stack.pop()
        if node.seq > before and node.prim is not INPUT and (node.code, node.lasti) != place:
            node.code, node.lasti = place
            stack += [p for p in node.parents if p is not None]


def lowered(call: Call, avals: Mapping[str, Aval]) -> Graph:
    """The graph of a call for variables of these shapes and dtypes.

    Raises:
        RuntimeError: if shapes do not fit, or the path depends on values.
    """
    from chainrule.sym.deferred import deferred
    from chainrule.sym.text import title_of

    lowering = Lowering(avals)
    expression: Deferred = deferred(call)
    variables = expression._variables()
    with recording(Recorder(closed=False)):
        for c in calls_in(call):
            if isinstance(c, Call):
                lowering.run(c)
        leaves, spec = tree.flatten(lowering.value_of(expression))
    outputs = list(map(node_of, leaves))
    inputs = [lowering.input_of(v) for v in variables]
    return Graph(
        inputs, outputs, title=title_of(expression), out_spec=None if spec.is_leaf() else spec
    )


__all__ = ["Derivative", "lowered"]
