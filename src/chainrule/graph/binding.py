"""Values for the inputs of a graph: by position or by name, checked against shape and dtype."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chainrule import tree
from chainrule.core.dtypes import category
from chainrule.core.node import Node
from chainrule.core.tensor import Tensor, wrap
from chainrule.graph.ir import Graph
from chainrule.transforms.inputs import as_tensor


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
    own = [n for n in graph.inputs if n not in graph.captured]
    given = merge(data, named, graph.input_names, "the graph")
    names = [n.params["name"] for n in own]  # type: ignore[index]
    missing([name for name in names if name not in given], names)
    values = {n: fitting(n, given[n.params["name"]]) for n in own}  # type: ignore[index]
    for n, tensor in graph.captured.items():
        name = n.params["name"]  # type: ignore[index]
        values[n] = fitting(n, given[name]) if name in given else tensor
    return [values[n] for n in graph.inputs]


def merge(
    data: Mapping[str, Any] | None, named: Mapping[str, Any], names: Sequence[str], what: str
) -> dict[str, Any]:
    """Values by name, from a mapping and keywords.

    Raises:
        TypeError: if a name is given twice, or is not among `names`.
    """
    if data is not None and not isinstance(data, Mapping):
        raise TypeError(
            f"bind: values are given by name, bind(x=...), or as a mapping from names to values; "
            f"got a {type(data).__name__}"
        )
    given = dict(data or {})
    twice = sorted(given.keys() & named.keys())
    if twice:
        raise TypeError(f"bind: {_listed(twice)} given twice, in the mapping and by keyword")
    given.update(named)
    unknown = [name for name in given if name not in names]
    if unknown:
        close = difflib.get_close_matches(str(unknown[0]), names, 1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise TypeError(
            f"bind: {_listed(unknown)} no variable of {what}, which has "
            f"{', '.join(names) or 'none'}{hint}"
        )
    return given


def missing(absent: Sequence[str], names: Sequence[str]) -> None:
    """Raise if variables have no value.

    Raises:
        TypeError: naming them.
    """
    if absent:
        plain = all(name.isidentifier() for name in names)
        values = ", ".join(f"{name}=..." if plain else f"{name!r}: ..." for name in names)
        raise TypeError(
            f"bind: {_listed(absent)} unbound: give a value for every variable, "
            + (f"bind({values})" if plain else f"bind({{{values}}})")
        )


def listed(name: str, value: Any) -> np.ndarray:
    """Numbers, in lists or alone, as an array.

    Raises:
        TypeError: if they are no numbers, or the lists have different lengths.
    """
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise TypeError(
            f"the value of {name!r} is a list that has no shape: its parts have different lengths"
        ) from error
    if array.dtype.kind not in "biufc":
        raise TypeError(
            f"the value of {name!r} is a list of {array.dtype}; it must be a tensor, an array, a "
            "number or a list of numbers"
        )
    return array


def check_dtype(name: str, have: np.dtype[Any], want: np.dtype[Any], made: str) -> None:
    """Raise if a dtype cannot hold the values of another.

    Raises:
        RuntimeError: naming both.
    """
    if category(have) > category(want):
        raise RuntimeError(
            f"the value of {name!r} is {have}, but {made} {want}, which cannot hold it: convert "
            "the value, or make the graph for this dtype"
        )


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
        if not isinstance(value, (list, tuple, bool, int, float, complex)):
            raise TypeError(
                f"the value of {name!r} is a {type(value).__name__}; it must be a tensor, an array "
                "or a number"
            )
        t = wrap(listed(name, value))
    shape, dt = tuple(t.array.shape), t.array.dtype
    if shape != node.shape:
        raise RuntimeError(
            f"the value of {name!r} has shape {list(shape)}, but the graph was made for "
            f"{list(node.shape or ())}: make it again for this shape (trace the function with an "
            "example of it, or declare the variable so)"
        )
    if dt == node.dtype:
        return t
    check_dtype(name, dt, node.dtype, "the graph was made for")
    return t.to(node.dtype)
