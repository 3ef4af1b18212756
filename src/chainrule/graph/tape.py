"""Graph.of: the graph of what the tape recorded while a program ran."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from chainrule.core import modes
from chainrule.core.boxes import Box
from chainrule.core.engine import check_alive, reach
from chainrule.core.node import Leaf, Node
from chainrule.core.primitive import PICK, REGISTRY, make_node
from chainrule.core.source import user_frame
from chainrule.core.tensor import Tensor
from chainrule.graph.ir import Graph
from chainrule.transforms.scope import ALIAS
from chainrule.transforms.tracing import abstract, equation, input_node, picked

RESULT = "y"  # what the graph of a tape computes; no function has a name for it


@contextmanager
def keep_everything() -> Iterator[None]:
    """Let the tape keep all values, also those that no derivative needs, while the block runs.

    So `Graph.of` of what is computed inside can be run with other data, and shows every number.

    >>> import chainrule as cr
    >>> x = cr.tensor(2.0, requires_grad=True)
    >>> with cr.graph.keep_everything():
    ...     y = x + cr.tensor([1.0, 2.0])
    >>> cr.graph.Graph.of(y)(cr.tensor(10.0))
    tensor([11., 12.])
    """
    token = modes.enter(modes.changed(everything=True))
    try:
        yield
    finally:
        modes.leave(token)


def graph_of(tensors: Sequence[Any], names: Mapping[str, Any] | None) -> Graph:
    """The graph of recorded tensors; see `Graph.of`."""
    return copied_tape(tensors, names)[0]


def copied_tape(
    tensors: Sequence[Any], names: Mapping[str, Any] | None, freed: bool = False
) -> tuple[Graph, dict[Node, Node]]:
    """The graph of recorded tensors, and which of its nodes stands for which of the tape.

    With `freed`, a tape that a backward pass has freed will do: it knows fewer values, and no
    constants, so that its graph can be looked at only.
    """
    if not tensors:
        raise TypeError("Graph.of takes one or more tensors, got none")
    for i, t in enumerate(tensors):
        _check(i, t)
    order = reach([t.node for t in tensors])
    if not freed:
        check_alive([n for n in order if type(n) is not Leaf and type(n.args) is not tuple])
    known = _names(names)
    new: dict[Node, Node] = {}
    inputs: list[Node] = []
    values: dict[Node, Any] = {}
    for node in order:
        if type(node) is Leaf:
            tensor = node.tensor()
            name = known.get(id(tensor)) or f"x{len(inputs) + 1}"
            new[node] = input_node(node.shape or (), node.dtype, name, (node.code, node.lasti))
            inputs.append(new[node])
            if tensor is not None:
                values[new[node]] = tensor.array
        elif node.prim is ALIAS:
            parent = node.parents[0]
            new[node] = new[parent] if parent else _input_of_alias(node, inputs)
        else:
            new[node] = _copied(node, new, order)
            _note_values(node, new, values)
    for t in tensors:
        values[new[t.node]] = t.array
    outputs = [new[t.node] for t in tensors]
    return Graph(inputs, outputs, title=RESULT, values=values), new


def _check(i: int, t: Any) -> None:
    if not isinstance(t, Tensor):
        raise TypeError(f"Graph.of takes tensors, got {type(t).__name__} (argument {i})")
    if isinstance(t, Box):
        raise RuntimeError(
            f"Graph.of: argument {i} belongs to a running {t.tag.title}; take the graph outside of "
            "it, or trace the function: graph.trace(f, ...)"
        )
    if t.node is None:
        raise RuntimeError(
            f"Graph.of: argument {i} does not require grad, so the tape knows nothing of it. Set "
            "requires_grad=True on what it is computed from, or trace the function: "
            "graph.trace(f, ...)"
        )


def _input_of_alias(node: Node, inputs: list[Node]) -> Node:
    made = input_node(node.shape or (), node.dtype, f"x{len(inputs) + 1}", (node.code, node.lasti))
    inputs.append(made)
    return made


def _copied(node: Node, new: Mapping[Node, Node], order: Sequence[Node]) -> Node:
    """The same equation in terms of abstract values, dtypes made equal by explicit casts."""
    parents = [None if p is None else new[p] for p in node.parents]
    if node.prim is PICK:
        return picked(parents[0], node.params["index"])  # type: ignore[arg-type,index]
    place = (node.code, node.lasti)
    if node.prim.side_effects:
        return _function(node, parents, order, place)
    args = []
    for i, (a, p) in enumerate(zip(_known_args(node), parents, strict=True)):
        if p is None:
            args.append(a)
            continue
        dt = getattr(a, "dtype", node.dtype if node.prim.partials is not None else p.dtype)
        if node.prim.partials is not None and p.dtype != dt:
            p = parents[i] = _cast(p, dt, place)
        args.append(p.out)
    return _with_result(
        make_node(node.prim, tuple(args), None, node.params, tuple(parents), place), node, order
    )


def _with_result(made: Node, node: Node, order: Sequence[Node]) -> Node:
    """A node with the shape and dtype that one of the tape has."""
    if node.shape is None:
        outs = _freed_outputs(node, order) if node.out is None else node.out
        made.out = tuple([None if o is None else abstract(o.shape, o.dtype) for o in outs])
        made.shape, made.dtype = None, node.dtype
    else:
        made.out = abstract(node.shape, node.dtype)
        made.shape, made.dtype = made.out.shape, made.out.dtype
    return made


def _function(
    node: Node, parents: Sequence[Node | None], order: Sequence[Node], place: Any
) -> Node:
    """A call of the user's function, whose node has the context instead of the arguments.

    What is known of an argument is the node that computed it; of a `custom_rule`, its rules.
    """
    params = node.params or {}
    count = params.get("count", len(parents))
    sources: list[Node | None] = [None] * count
    for i, p in zip(params.get("positions", range(count)), parents, strict=True):
        sources[i] = p
    args: list[Any] = [abstract((), node.dtype) if p is None else p.out for p in sources]
    rules = getattr(params.get("ctx"), "rules", None)
    if rules is not None and args:
        args[0] = rules
    made = make_node(node.prim, tuple(args), None, {}, tuple(sources), place)
    return _with_result(made, node, order)


def _known_args(node: Node) -> Sequence[Any]:
    """The arguments of a node of the tape; None for each that a backward pass has freed."""
    return node.args if type(node.args) is tuple else (None,) * len(node.parents)


def _freed_outputs(node: Node, order: Sequence[Node]) -> list[Any]:
    """What is known of several outputs that were freed: those that somebody took."""
    picks = {n.params["index"]: n for n in order if n.prim is PICK and n.parents[0] is node}  # type: ignore[index]
    return [picks.get(i) for i in range(max(picks) + 1)]


def _cast(p: Node, dt: Any, place: Any) -> Node:
    return equation(REGISTRY["astype"], (p.out,), (p,), {"dtype": dt}, place)


def _note_values(node: Node, new: Mapping[Node, Node], values: dict[Node, Any]) -> None:
    """Note what the tape knows of values: results that were kept, and arguments."""
    if type(node.out) is np.ndarray:
        values[new[node]] = node.out
    elif node.prim is PICK:
        outs = node.parents[0].out  # type: ignore[union-attr]
        kept = None if outs is None else outs[node.params["index"]]  # type: ignore[index]
        if type(kept) is np.ndarray:
            values[new[node]] = kept
    if node.prim.side_effects:  # its args are what the user's function saved
        return
    for a, p in zip(_known_args(node), node.parents, strict=True):
        if p is not None and type(a) is np.ndarray and p.dtype == a.dtype:
            values.setdefault(new[p], a)


def _names(given: Mapping[str, Any] | None) -> dict[int, str]:
    """Names of tensors by identity: those given, or the variables of the caller."""
    if given is not None:
        return {id(t): name for name, t in given.items()}
    frame = user_frame(sys._getframe(2))
    if frame is None:
        return {}
    found = {}
    for name, value in [*frame.f_globals.items(), *frame.f_locals.items()]:
        if isinstance(value, Tensor):
            found[id(value)] = name
    return found


__all__ = ["graph_of", "keep_everything"]
