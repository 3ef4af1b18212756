"""Running a graph: one equation after the other, values dropped after their last use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from chainrule.core.abstract import AbstractArray
from chainrule.core.mutation import owner_of
from chainrule.core.namespaces import recorded
from chainrule.core.node import Aval, Node
from chainrule.core.primitive import PICK
from chainrule.core.tensor import Tensor, as_array, ndarray, wrap
from chainrule.graph.ir import Graph
from chainrule.transforms.tracing import CONSTANT

Step = tuple[Any, tuple[Any, ...], dict[str, Any], int, tuple[int, ...]]


class Slot:
    """The place of a value among those of a run."""

    __slots__ = ("index",)

    def __init__(self, index: int) -> None:
        self.index = index


class Plan:
    """What a run does: per step the primitive, its arguments (constants, or places of values), the
    place of its result, and the places that are not needed afterwards.
    """

    def __init__(self, graph: Graph) -> None:
        position = graph.position
        self.size = len(graph.nodes)
        self.outputs = [position[n] for n in graph.outputs]
        ended = last_uses(graph)
        self.steps: list[Step] = []
        for i, node in enumerate(graph.nodes[len(graph.inputs) :], len(graph.inputs)):
            args = tuple(
                [
                    constant(node, a) if p is None else Slot(position[p])
                    for a, p in zip(node.args, node.parents, strict=True)
                ]
            )
            ending = tuple([position[n] for n in ended.get(node, ())])
            self.steps.append((node.prim, args, node.params or {}, i, ending))


def last_uses(graph: Graph) -> dict[Node, list[Node]]:
    """The nodes whose values are used for the last time, by the node that uses them.

    The values of outputs are needed to the end.
    """
    last: dict[Node, Node] = {}
    for node in graph.nodes:
        for p in node.parents:
            if p is not None:
                last[p] = node
    for node in graph.outputs:
        last.pop(node, None)
    found: dict[Node, list[Node]] = {}
    for value, user in last.items():
        found.setdefault(user, []).append(value)
    return found


def constant(node: Node, value: Any) -> Any:
    """A constant of an equation.

    Raises:
        RuntimeError: if the tape, from which the graph was made, did not keep it.
    """
    # None among the arguments of other operations is an argument left out, such as a bias.
    dropped = value is None and node.prim.partials is not None
    if dropped or isinstance(value, (AbstractArray, Aval)):
        raise RuntimeError(
            f"the graph cannot be run: the tape did not keep a constant of {node.prim.name} at "
            f"{node.where}, because no derivative needs it. Record under "
            "graph.keep_everything(), or trace the function: graph.trace(f, ...)"
        )
    return value


_plans: WeakKeyDictionary[Graph, Plan] = WeakKeyDictionary()


def plan_of(graph: Graph) -> Plan:
    """The plan of a graph, made on its first run."""
    found = _plans.get(graph)
    if found is None:
        found = _plans[graph] = Plan(graph)
    return found


def run(graph: Graph, values: Sequence[Any]) -> list[Any]:
    """The outputs, tensors, for tensors as inputs.

    Where nothing is recorded and there are no boxes, primitives are evaluated on arrays.  An output
    shares memory with no argument, no constant and no other output, whatever was optimised.
    """
    plan = plan_of(graph)
    taken = {_memory(x.array) for x in values}
    if all(type(x) is Tensor and x.node is None for x in values):
        found = evaluate(plan, [x.array for x in values])
        return [wrap(np.array(y) if _shared(y, taken) else y) for y in found]
    places: list[Any] = [*values, *[None] * (plan.size - len(values))]
    for prim, args, params, i, ending in plan.steps:
        given = [places[a.index] if type(a) is Slot else a for a in args]
        if prim is PICK:
            places[i] = given[0][params["index"]]
        elif prim is CONSTANT:
            places[i] = wrap(given[0])
        else:
            places[i] = prim.apply(given, params)
        for place in ending:
            places[place] = None
    outs = [places[i] for i in plan.outputs]
    return [recorded.clone(y) if _shared(y.array, taken) else y for y in outs]


def evaluate(plan: Plan, arrays: Sequence[Any], keep: bool = False) -> list[Any]:
    """The outputs for arrays; with `keep`, the values of all nodes."""
    places: list[Any] = [*arrays, *[None] * (plan.size - len(arrays))]
    for prim, args, params, i, ending in plan.steps:
        out = prim.eval(*[places[a.index] if type(a) is Slot else a for a in args], **params)
        if type(out) is not ndarray and type(out) is not tuple:
            out = as_array(out)
        places[i] = out
        if not keep:
            for place in ending:
                places[place] = None
    return places if keep else [places[i] for i in plan.outputs]


def values_of(graph: Graph, arrays: Sequence[Any]) -> dict[Node, Any]:
    """The value of every node for arrays as inputs."""
    found = evaluate(plan_of(graph), arrays, keep=True)
    return dict(zip(graph.nodes, found, strict=True))


def _memory(array: Any) -> int:
    """What an array looks at: the array that owns the memory, by identity.

    An abstract array, of a tensor that is mapped over or traced, stands for its own tensor.
    """
    return id(array if isinstance(array, AbstractArray) else owner_of(array))


def _shared(array: Any, taken: set[int]) -> bool:
    """Whether an output looks at memory that is taken; if not, it takes its memory."""
    memory = _memory(array)
    if memory in taken or (type(array) is ndarray and not array.flags.writeable):
        return True
    taken.add(memory)
    return False
