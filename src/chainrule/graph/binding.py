"""Values for the inputs of a graph: by position or by name, checked against shape and dtype."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chainrule import tree
from chainrule.core.boxes import Box
from chainrule.core.node import Node
from chainrule.core.tensor import Tensor, wrap
from chainrule.graph.ir import Graph
from chainrule.transforms.inputs import as_tensor
from chainrule.transforms.tracing import Traced


def flat_arguments(graph: Graph, args: Sequence[Any], kwargs: dict[str, Any]) -> list[Any]:
    """Values for all inputs from arguments like those that the function was traced with.

    Raises:
        TypeError: if their structure is another.
        RuntimeError: if a shape or dtype is another.
    """
    own = [n for n in graph.inputs if n not in graph.captured]
    if graph.in_spec is None:
        if kwargs:
            if args:
                raise TypeError(
                    f"{graph.title}: give the values of a graph's variables all by position or all "
                    "by name"
                )
            return named_values(graph, None, kwargs)
        leaves = list(args)
        if len(leaves) != len(own):
            raise TypeError(
                f"{graph.title} takes {len(own)} values ({', '.join(graph.input_names)}), got "
                f"{len(leaves)}"
            )
    else:
        leaves = _leaves(graph, args, kwargs)
    return [*map(fitting, own, leaves), *graph.captured.values()]


def _leaves(graph: Graph, args: Sequence[Any], kwargs: dict[str, Any]) -> list[Any]:
    try:
        found = tree.flatten_as(graph.in_spec, (tuple(args), kwargs), "the graph", "the arguments")  # type: ignore[arg-type]
    except ValueError as error:
        raise TypeError(
            f"{graph.title}: the arguments do not have the structure of those that the graph was "
            f"traced with ({', '.join(graph.input_names)}): {error}"
        ) from None
    dynamic = graph.dynamic or [True] * len(found)
    return [x for x, d in zip(found, dynamic, strict=True) if d]


def named_values(
    graph: Graph, data: Mapping[str, Any] | None, named: Mapping[str, Any]
) -> list[Any]:
    """Values for all inputs from values by name.

    Raises:
        TypeError: if a variable has no value, two, or is not in the graph.
        RuntimeError: if a shape or dtype is another.
    """
    given = dict(data or {})
    twice = sorted(given.keys() & named.keys())
    if twice:
        raise TypeError(f"bind: {_listed(twice)} given twice, in the mapping and by keyword")
    given.update(named)
    names = graph.input_names
    own = [n for n in graph.inputs if n not in graph.captured]
    unknown = [name for name in given if name not in names]
    if unknown:
        close = difflib.get_close_matches(unknown[0], names, 1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise TypeError(
            f"bind: {_listed(unknown)} no variable of the graph, which has "
            f"{', '.join(names) or 'none'}{hint}"
        )
    missing = [n.params["name"] for n in own if n.params["name"] not in given]  # type: ignore[index]
    if missing:
        raise TypeError(
            f"bind: {_listed(missing)} unbound: give a value for every variable, bind("
            + ", ".join(f"{name}=..." for name in names)
            + ")"
        )
    values = {n: fitting(n, given[n.params["name"]]) for n in own}  # type: ignore[index]
    for n, tensor in graph.captured.items():
        name = n.params["name"]  # type: ignore[index]
        values[n] = fitting(n, given[name]) if name in given else tensor
    return [values[n] for n in graph.inputs]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names)) + (" is" if len(names) == 1 else " are")


def fitting(node: Node, value: Any) -> Any:
    """A value as a tensor of the shape and dtype of an input.

    Raises:
        TypeError: if it is no tensor, array or number.
        RuntimeError: if the shape differs, or the dtype holds more than the input's can.
    """
    name = node.params["name"]  # type: ignore[index]
    t = as_tensor(value)
    if not isinstance(t, Tensor):
        if isinstance(value, (list, tuple, bool, int, float, complex)):
            t = wrap(np.asarray(value))
        else:
            raise TypeError(
                f"the value of {name!r} is a {type(value).__name__}; it must be a tensor, an array "
                "or a number"
            )
    shape, dt = tuple(t.array.shape), t.array.dtype
    if shape != node.shape:
        raise RuntimeError(
            f"the value of {name!r} has shape {list(shape)}, but the graph was made for "
            f"{list(node.shape or ())}: trace the function again with an example of this shape"
        )
    if dt == node.dtype:
        return t
    if isinstance(t, Box) and not isinstance(t, Traced):
        return t.to(node.dtype)
    if not np.can_cast(dt, node.dtype, "same_kind") and not (
        dt.kind in "iub" and node.dtype.kind in "fc"
    ):
        raise RuntimeError(
            f"the value of {name!r} is {dt}, but the graph was made for {node.dtype}, which cannot "
            "hold it: convert it, or trace the function again with an example of this dtype"
        )
    return t.to(node.dtype)
