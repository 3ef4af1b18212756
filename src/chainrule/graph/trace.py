"""trace: a function becomes a graph, without computing anything."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule import tree
from chainrule.core.boxes import Box
from chainrule.core.collector import paused
from chainrule.core.node import Aval, Node
from chainrule.core.source import caller
from chainrule.core.tensor import Tensor
from chainrule.graph.ir import Graph
from chainrule.graph.rewrite import without_aliases
from chainrule.transforms.inputs import as_tensor, is_array, number_dtype
from chainrule.transforms.tracing import (
    Recorder,
    Traced,
    constant_node,
    input_node,
    own,
    recording,
    traced,
)


def trace(f: Callable[..., Any], *examples: Any, **named: Any) -> Graph:
    """The graph of a function, found by running it once on tensors without values.

    Args:
        f: a function of tensors, arrays, numbers, and trees of them.
        examples: arguments like those that the graph will be run with; of tensors and arrays only
            shape and dtype are looked at, and an `Aval` will do.  Floats become inputs without
            dimensions; integers, booleans, strings and None are constants of the graph.
        named: keyword arguments, likewise.

    Raises:
        chainrule.graph.DataDependence: if the path through the function depends on values.
        RuntimeError: if the function draws random numbers.

    >>> import chainrule as cr
    >>> print(cr.graph.trace(lambda x, y: cr.log(x) + x * y, 2.0, 5.0))
    graph of <lambda>(x, y):
      x: float64[]
      y: float64[]
      v3 = log(x)
      v4 = x*y
      v5 = v3 + v4
      return v5
    """
    leaves, spec = tree.flatten((tuple(examples), named))
    kind = number_dtype(leaves)
    names = _unlike(argument_names(f, examples, spec), ())
    place = caller(1)
    record = Recorder()
    inputs: list[Node] = []
    given = []
    for x, name in zip(leaves, names, strict=True):
        aval = aval_of(x, kind)
        if aval is not None:
            inputs.append(input_node(aval.shape, aval.dtype, name, place))
            x = traced(inputs[-1])
        given.append(x)
    args, kwargs = spec.unflatten(given)
    with recording(record), paused():
        result = f(*args, **kwargs)
    outs, out_spec = tree.flatten(result)
    with recording(record):
        outputs = [_output(y, f) for y in outs]
    captured: dict[Any, Tensor] = {t.node: tensor for tensor, t in record.captured.values()}
    for node, name in zip(
        captured, _unlike([n.params["name"] for n in captured], names), strict=True
    ):
        node.params["name"] = name
    arrays = any(map(is_array, leaves)) and not any(isinstance(x, Tensor) for x in leaves)
    graph = Graph(
        [*inputs, *captured], outputs, title=_title(f), in_spec=spec,
        out_spec=None if out_spec.type is None else out_spec, captured=captured, arrays=arrays,
        dynamic=[aval_of(x, kind) is not None for x in leaves],
    )  # fmt: skip
    return without_aliases(graph)


def aval_of(x: Any, kind: np.dtype[Any]) -> Aval | None:
    """Shape and dtype of an argument that becomes an input; None for what is constant."""
    if isinstance(x, (Aval, Traced)):
        x = x.array if isinstance(x, Traced) else x
        return Aval(tuple(x.shape), np.dtype(x.dtype))
    if isinstance(x, Tensor) or is_array(x):
        array = as_tensor(x).array
        return Aval(tuple(array.shape), array.dtype)
    if isinstance(x, (float, complex)):
        dt = np.result_type(kind, np.complex64) if isinstance(x, complex) else kind
        return Aval((), dt)
    return None


def _output(y: Any, f: Any) -> Node:
    """The node of what a function returned.

    Raises:
        TypeError: if it is nothing that a graph computes.
    """
    if isinstance(y, Traced):
        node: Node = own(y).node
        return node
    if isinstance(y, Box):
        raise RuntimeError(
            f"trace: the result of {_title(f)} depends on a running {y.tag.title} through a value "
            "from outside; give that value to the function as an argument"
        )
    if isinstance(y, Tensor):
        return constant_node(y.array)
    if is_array(y) or isinstance(y, (bool, int, float, complex)):
        return constant_node(y)
    raise TypeError(
        f"trace: {_title(f)} returned {type(y).__name__}; a graph computes tensors, arrays, "
        "numbers and trees of them"
    )


def _unlike(names: Sequence[str], others: Sequence[str]) -> list[str]:
    """The names, changed where one is there already, here or among others."""
    taken = set(others)
    found = []
    for name in names:
        while name in taken:
            name += "_"
        taken.add(name)
        found.append(name)
    return found


def _title(f: Any) -> str:
    return getattr(f, "__name__", type(f).__name__)


def argument_names(f: Callable[..., Any], examples: Sequence[Any], spec: Any) -> list[str]:
    """A name for each leaf of the arguments: the parameter's, with the path inside it."""
    try:
        inside = getattr(f, "forward", f)  # of a module, what the user wrote
        parameters = list(inspect.signature(inside).parameters.values())
    except (TypeError, ValueError):  # built-in functions have none
        parameters = []
    positional = [
        p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    rest = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), "x")
    many = len(positional) < len(examples)
    names = []
    for path in spec.paths():
        outer, _, inner = path[1:].partition("]")
        which, _, inside = inner[1:].partition("]")
        if outer == "1":
            name = which.strip("'\"")
        elif int(which) < len(positional):
            name = positional[int(which)]
        else:
            name = f"{rest}{int(which) - len(positional) + 1}" if many else rest
        names.append(name + inside)
    return names
