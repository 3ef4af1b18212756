"""The numbers in a picture: values and gradients of one run, as far as they are known."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule.core import namespaces
from chainrule.core.abstract import AbstractArray
from chainrule.core.dtypes import is_inexact
from chainrule.core.node import Freed, Leaf, Node
from chainrule.core.primitive import PICK
from chainrule.core.source import user_frame
from chainrule.core.tensor import Tensor
from chainrule.graph.binding import flat_arguments
from chainrule.graph.ir import Graph
from chainrule.graph.run import values_of
from chainrule.graph.tape import copied_tape
from chainrule.graph.walk import backpropagate, between, by_rules
from chainrule.nn import Module, Parameter
from chainrule.transforms.tracing import INPUT

NOT_YET = "not computed yet"
MOST_NODES, MOST_ENTRIES = 3000, 1 << 20  # of what is computed again for a picture


@dataclass(slots=True)
class Known:
    """What is known of a run: values, gradients or why there is none, which inputs are
    parameters, what has to be said about all of it, and whether the graph's title says anything."""

    values: dict[Node, Any] = field(default_factory=dict)
    gradients: dict[Node, Any] = field(default_factory=dict)
    parameters: set[Node] = field(default_factory=set)
    note: str = ""
    titled: bool = True


def known_of_graph(graph: Graph, inputs: Sequence[Any]) -> Known:
    """The numbers of a graph: those it has, or those for `inputs`."""
    if not inputs:
        return Known(dict(graph.values), parameters=set(graph.captured))
    arrays = [np.asarray(t.array) for t in flat_arguments(graph, inputs, {})]
    known = Known(values_of(graph, arrays), parameters=set(graph.captured))
    one = len(graph.outputs) == 1 and graph.outputs[0].shape == ()
    if one and not graph.roles and graph.outputs[0].dtype.kind == "f":
        known.gradients = gradients_of(graph, known.values)
    return known


def gradients_of(graph: Graph, values: Mapping[Node, Any]) -> dict[Node, Any]:
    """The gradient at every node, from the values of all of them: plain backpropagation."""

    def saved(node: Node) -> tuple[Any, Any]:
        pairs = zip(node.args, node.parents, strict=True)
        return tuple([a if p is None else values[p] for a, p in pairs]), values[node]

    (out,) = graph.outputs
    order, live = between(graph, [n for n in graph.inputs if is_inexact(n.dtype)])
    if out not in live:
        return {}
    seed = np.ones((), out.dtype)
    steps = backpropagate(order, [(out, seed)], live, by_rules(saved, namespaces.raw))
    return {s.node: np.asarray(s.adjoint) for s in steps if s.node.shape is not None}


def known_of_tape(
    tensors: Sequence[Tensor], names: Mapping[str, Any] | None
) -> tuple[Graph, Known]:
    """The graph of recorded tensors and what the tape and the tensors know of numbers."""
    graph, new = copied_tape(tensors, _names() if names is None else names, freed=True)
    values, changed = completed(graph)
    known = Known(values, titled=False)  # the title would be the caller's name
    ran = False
    for old, node in new.items():
        tensor = _tensor_of(old)
        if tensor is None:
            continue
        if isinstance(tensor, Parameter):
            known.parameters.add(node)
        gradient = tensor.grad
        ran |= gradient is not None
        known.gradients[node] = NOT_YET if gradient is None else gradient.array
    freed = any(type(old.args) is Freed for old in new)
    known.note = _note(ran, freed, changed)
    return graph, known


def _names() -> dict[str, Any]:
    """Names for tensors: the variables of the caller, and the parameters of modules among them."""
    frame = user_frame(sys._getframe(1))
    if frame is None:
        return {}
    variables = {**frame.f_globals, **frame.f_locals}
    names: dict[str, Any] = {}
    for name, value in variables.items():
        if isinstance(value, Module):
            names |= {f"{name}.{inner}": p for inner, p in value.named_parameters()}
    # Of two names of one tensor the later counts: a variable's own.
    return names | {name: value for name, value in variables.items() if isinstance(value, Tensor)}


def _tensor_of(old: Node) -> Any:
    """The tensor that shows the gradient of a node of the tape, if there is one."""
    if type(old) is Leaf:
        return old.tensor()
    if old.extra is not None and old.extra.retain is not None:
        return old.extra.retain()
    return None


def _note(ran: bool, freed: bool, changed: bool) -> str:
    notes = []
    if not ran:
        notes.append(
            "Gradients: backward has run, and left none here."
            if freed
            else "Gradients: backward has not run."
        )
    if changed:
        notes.append(
            "An input was changed after the run: it shows its value of now, and only values that "
            "the tape kept are shown elsewhere."
        )
    return " ".join(notes)


def completed(graph: Graph) -> tuple[dict[Node, Any], bool]:
    """The values of a graph that was made from a tape, with those that the tape did not keep
    computed again from the inputs; and whether an input was changed since.

    What is computed again is compared with all that the tape kept, the results not least.  Where
    any of it differs, an input is not what it was, and nothing that was computed again is used.
    """
    kept = {n: v for n, v in graph.values.items() if isinstance(v, np.ndarray)}
    entries = sum(int(np.prod(n.shape or (), dtype=np.int64)) for n in graph.nodes)
    if len(graph.nodes) > MOST_NODES or entries > MOST_ENTRIES:
        return kept, False
    found: dict[Node, Any] = {}
    for node in graph.nodes:
        value = _evaluated(node, found, kept)
        if value is not None:
            found[node] = value
        elif node in kept:
            found[node] = kept[node]
    for node, value in kept.items():
        if node.prim is not INPUT and not np.array_equal(found[node], value, equal_nan=True):
            return kept, True
    return {n: v for n, v in found.items() if n.shape is not None}, False


def _evaluated(node: Node, found: Mapping[Node, Any], kept: Mapping[Node, Any]) -> Any:
    """The value of a node from those of its arguments, or None where one is not known."""
    if node.prim is INPUT:
        return kept.get(node)
    args = []
    for a, p in zip(node.args, node.parents, strict=True):
        value = a if p is None else found.get(p)
        if value is None or isinstance(value, AbstractArray):
            return None
        args.append(value)
    if node.prim is PICK:
        return args[0][node.params["index"]]  # type: ignore[index]
    with np.errstate(all="ignore"):
        out = node.prim.eval(*args, **(node.params or {}))
    return out if isinstance(out, (np.ndarray, tuple)) else np.asarray(out)
