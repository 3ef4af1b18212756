"""Graphs in files: JSON, and pickle.

A graph is stored as a flat list of its nodes in order, each with the positions of its arguments, so
neither writing nor reading recurses, however long a chain of nodes is.  The schema is described in
`docs/graphs.md`; `restore.py` reads it.
"""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np

from chainrule.core.abstract import AbstractArray
from chainrule.core.boxes import is_box
from chainrule.core.dtypes import as_numpy
from chainrule.core.files import write
from chainrule.core.node import Aval, Node
from chainrule.core.primitive import REGISTRY, Primitive
from chainrule.core.source import line_of
from chainrule.core.tensor import Parameter, Tensor
from chainrule.graph.codec import UnstorableError, decode, encode
from chainrule.graph.ir import Graph, GraphError
from chainrule.graph.restore import CONTAINERS, FORMAT, MARKERS, VERSION, Code, from_data
from chainrule.ops.results import RETURN_TYPES
from chainrule.tree import Spec

# ---------------------------------------------------------------- a graph as plain data


def as_data(graph: Graph, code: Code) -> dict[str, Any]:
    """A graph as lists, dicts, strings and numbers; `code` writes arrays and parameters.

    Raises:
        GraphError: naming the node that cannot be stored, and why.
    """
    position, names = graph.position, graph.names
    return {
        "format": FORMAT,
        "version": VERSION,
        "title": graph.title,
        "inputs": len(graph.inputs),
        "outputs": [position[n] for n in graph.outputs],
        "arrays": graph.arrays,
        "dynamic": None if graph.dynamic is None else list(graph.dynamic),
        "in": _spec(graph.in_spec, code),
        "out": _spec(graph.out_spec, code),
        "captured": [[position[n], _captured(t, code)] for n, t in graph.captured.items()],
        "values": [[position[n], code(v)] for n, v in graph.values.items() if n in position],
        "nodes": [_row(graph, n, position, names[n], code) for n in graph.nodes],
    }


def _row(
    graph: Graph, node: Node, position: dict[Node, int], name: str, code: Code
) -> dict[str, Any]:
    row: dict[str, Any] = {"op": _operation(node), "name": name}
    if node.prim.namer is not None and node.prim is not REGISTRY.get(node.prim.name):
        row["title"] = node.prim.grad_fn_name(node)
    try:
        row["args"] = [
            _constant(a, code) if p is None else position[p]
            for a, p in zip(node.args, node.parents, strict=True)
        ]
        if node.params:
            row["params"] = [[k, code(v)] for k, v in node.params.items()]
    except UnstorableError as error:
        raise GraphError(
            f"{node.prim.name} ({node.where}) cannot be stored: it has the parameter or constant "
            f"{error}, which has no written form"
        ) from None
    row["out"] = _kind(node.out) if node.shape is not None else [_kind(o) for o in node.out]
    place = line_of(node.code, node.lasti)
    if place is not None:
        row["where"] = [*place, node.code.co_name]  # type: ignore[union-attr]
    role = graph.roles.get(node)
    if role is not None:
        row["role"] = [role.kind, None if role.of is None else position.get(role.of)]
    return row


def _operation(node: Node) -> str:
    """The name of a primitive of the library.

    Raises:
        GraphError: if it is the user's own: its rules are code.
    """
    prim: Primitive = node.prim
    known = MARKERS.get(prim.name) or REGISTRY.get(prim.name)
    if known is None or (known is not prim and prim not in known._titled.values()):
        raise GraphError(
            f"{prim.name} ({node.where}) cannot be stored: it is a function of yours (custom_rule, "
            "autograd.Function), and a file holds no code. Trace the function without it, or store "
            "the parts before and after it"
        )
    return prim.name


def _kind(out: Any) -> Any:
    return None if out is None else [np.dtype(out.dtype).name, list(out.shape)]


def _constant(value: Any, code: Code) -> dict[str, Any]:
    if isinstance(value, (Aval, AbstractArray)):  # what the tape did not keep
        return {"unknown": _kind(value)}
    return {"constant": code(value)}


def _captured(t: Tensor, code: Code) -> Any:
    """A captured tensor: its numbers, whether it requires grad, and whether a module learns it.

    Raises:
        GraphError: if it is traced or carries tangents, so it has no numbers.
    """
    if is_box(t):
        raise GraphError(
            "a graph that captured a tensor of a running transform cannot be stored: give that "
            "tensor to the function as an argument"
        )
    return {
        "array": code(t.array), "requires_grad": t.requires_grad,
        "parameter": isinstance(t, Parameter),
    }  # fmt: skip


def _spec(spec: Spec | None, code: Code) -> Any:
    """A structure: per container its type, its keys and its length; null for a leaf.

    Raises:
        GraphError: for containers of the user's own types.
    """
    if spec is None:
        return None
    rows: list[Any] = []
    for entry in spec.nodes:
        if entry is None:
            rows.append(None)
            continue
        kind, data, n = entry
        name = _CONTAINER_NAMES.get(kind.cls)
        if name is None and kind.cls in RETURN_TYPES.values():
            name = f"return_types.{kind.cls.__name__}"
        if name is None:
            raise GraphError(
                f"the graph cannot be stored: its arguments or result contain the type "
                f"{kind.cls.__qualname__}, which is code; use dicts, lists and tuples"
            )
        try:
            rows.append([name, None if data is None else [code(key) for key in data], n])
        except UnstorableError as error:
            raise GraphError(f"the graph cannot be stored: a key is {error}") from None
    return rows


_CONTAINER_NAMES = {cls: name for name, cls in CONTAINERS.items()}

# ---------------------------------------------------------------- pickle, files


def _same(value: Any) -> Any:
    return value


def reduced(graph: Graph) -> tuple[Any, ...]:
    """What pickle and copy take for a graph: flat data, arrays among them as they are."""
    return restored, (as_data(graph, _plain),)


def restored(data: dict[str, Any]) -> Graph:
    """The graph that was pickled."""
    return from_data(data, _same)


def _plain(value: Any) -> Any:
    """A value that pickle can take; whatever JSON cannot hold is refused here too.

    Raises:
        UnstorableError: for functions and the like.
    """
    encode(value if not isinstance(value, np.ndarray) else np.empty(0, as_numpy(value.dtype)))
    return value


def to_json(graph: Graph) -> str:
    """The graph as JSON, one node on each line.

    Raises:
        GraphError: naming a node that cannot be stored.
    """
    data = as_data(graph, encode)
    nodes = data.pop("nodes")
    head = [f'  "{key}": {json.dumps(value)}' for key, value in data.items()]
    rows = ",\n    ".join([json.dumps(row) for row in nodes])
    return "{\n" + ",\n".join(head) + f',\n  "nodes": [\n    {rows}\n  ]\n}}\n'


def from_json(text: str) -> Graph:
    """The graph of a JSON text.

    Raises:
        GraphError: saying what is wrong with it.
    """
    try:
        data = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise GraphError(f"this is not a stored graph: it is not JSON ({error})") from None
    return from_data(data, decode)


def save(graph: Graph, path: Any) -> None:
    """Write a graph to a file; an existing file is replaced only after everything was written.

    Raises:
        GraphError: naming a node that cannot be stored.
        OSError: if the file cannot be written.
    """
    write(path, to_json(graph))


def load(path: Any) -> Graph:
    """The graph that `Graph.save` wrote to a file.

    The file is read as data: nothing in it is run.

    Args:
        path: the file.

    Raises:
        GraphError: if the file holds no graph, a damaged one, or one of a newer version.
        FileNotFoundError: if there is no such file.

    >>> import chainrule as cr, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "square.json")
    >>> cr.graph.trace(lambda x: x * x, 2.0).save(path)
    >>> cr.graph.load(path)(3.0)
    tensor(9., dtype=chainrule.float64)
    """
    with open(path, "rb") as file:
        data = file.read()
    try:
        return from_json(data.decode("utf-8"))
    except UnicodeDecodeError:
        raise GraphError(f"{os.fspath(path)}: this is not a stored graph: it is no text") from None
    except GraphError as error:
        raise GraphError(f"{os.fspath(path)}: {error}") from None
