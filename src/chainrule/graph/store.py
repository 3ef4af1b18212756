"""Graphs in files: JSON, and pickle.

A graph is stored as a flat list of its nodes in order, each with the positions of its arguments, so
neither writing nor reading recurses, however long a chain of nodes is.  The schema is described in
`docs/graphs.md`.  Loading runs no code: primitives are found by name among those of the library,
and the graph is verified.
"""

from __future__ import annotations

import difflib
import json
import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from types import CodeType
from typing import Any

import numpy as np

from chainrule.core.abstract import AbstractArray
from chainrule.core.boxes import is_box
from chainrule.core.dtypes import as_numpy
from chainrule.core.node import Aval, Node
from chainrule.core.primitive import PICK, REGISTRY, Primitive, make_node
from chainrule.core.source import UNKNOWN, line_of
from chainrule.core.tensor import Parameter, Tensor, set_requires_grad, wrap
from chainrule.graph.codec import (
    MalformedError,
    UnstorableError,
    decode,
    encode,
    numpy_dtype,
    shape_of,
)
from chainrule.graph.ir import Graph, GraphError, Role
from chainrule.ops.results import RETURN_TYPES
from chainrule.transforms.tracing import CONSTANT, INPUT, abstract
from chainrule.tree import Spec
from chainrule.tree.nodes import KINDS

FORMAT = "chainrule.graph"
VERSION = 1
Code = Callable[[Any], Any]
_MARKERS = {p.name: p for p in (INPUT, CONSTANT, PICK)}
_ROLES = ("adjoint", "tangent", "partial")

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
    known = _MARKERS.get(prim.name) or REGISTRY.get(prim.name)
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


_CONTAINERS: dict[str, type] = {
    "dict": dict, "list": list, "tuple": tuple, "None": type(None), "OrderedDict": OrderedDict,
}  # fmt: skip
_CONTAINER_NAMES = {cls: name for name, cls in _CONTAINERS.items()}

# ---------------------------------------------------------------- and back


def from_data(data: Any, code: Code) -> Graph:
    """The graph of plain data; `code` reads arrays and parameters.

    Raises:
        GraphError: if the data are not those of a graph, or the graph is not well formed.
    """
    if type(data) is not dict or data.get("format") != FORMAT:
        raise GraphError("this is not a stored graph (it does not say so: format)")
    version = data.get("version")
    if type(version) is not int or version < 1:
        raise GraphError(f"the stored graph has no valid version number, but {version!r:.40}")
    if version > VERSION:
        raise GraphError(
            f"the graph was stored by a newer chainrule (format {version}; this one reads up to "
            f"{VERSION}): upgrade chainrule"
        )
    reader = _Reader(data, code)
    try:
        return reader.graph().verify()
    except GraphError:
        raise
    except (KeyError, IndexError, TypeError, ValueError) as error:
        place = f" at node {reader.at}" if reader.at is not None else ""
        raise GraphError(
            f"the stored graph is damaged{place}: {type(error).__name__}: {error}. Store it again"
        ) from error


class _Reader:
    """Builds a graph from its data.

    Attributes:
        at: the node that is being read, for messages.
    """

    def __init__(self, data: dict[str, Any], code: Code) -> None:
        self.data = data
        self.code = code
        self.nodes: list[Node] = []
        self.at: int | None = None

    def graph(self) -> Graph:
        data, code = self.data, self.code
        rows = data["nodes"]
        for self.at, row in enumerate(rows):
            self.nodes.append(self._node(row))
        labels, roles = self._labels_and_roles(rows)
        self.at = None
        count = data["inputs"]
        inputs = self.nodes[: _whole(count)]
        if any((n.prim is INPUT) != (i < count) for i, n in enumerate(self.nodes)):
            raise MalformedError("its inputs are not its first nodes")
        dynamic = data["dynamic"]
        return Graph(
            inputs, [self._known(i) for i in data["outputs"]], title=str(data["title"]),
            in_spec=self._spec(data["in"]), out_spec=self._spec(data["out"]), roles=roles,
            captured={self._known(i): self._tensor(t) for i, t in data["captured"]},
            values={self._known(i): code(v) for i, v in data["values"]},
            arrays=bool(data["arrays"]), labels=labels,
            dynamic=None if dynamic is None else list(map(bool, dynamic)),
        )  # fmt: skip

    def _known(self, i: Any) -> Node:
        if type(i) is not int or not 0 <= i < len(self.nodes):
            raise MalformedError(f"it refers to node {i!r:.40}, which does not stand before it")
        return self.nodes[i]

    def _node(self, row: Any) -> Node:
        prim = primitive(row["op"])
        if "title" in row:
            prim = prim.titled(_text(row["title"]))
        parents: list[Node | None] = []
        args = []
        for a in row["args"]:
            parent = None if type(a) is dict else self._known(a)
            parents.append(parent)
            if parent is not None:
                args.append(None if prim is PICK else parent.out)
            elif "unknown" in a:
                args.append(self._abstract(a["unknown"]))
            else:
                args.append(self.code(a["constant"]))
        params = {_text(k): self.code(v) for k, v in row.get("params", ())}
        if prim is INPUT:
            _text(params["name"])
        place = _place(*map(_whole, row["where"])) if "where" in row else UNKNOWN
        node = make_node(prim, tuple(args), None, params, tuple(parents), place)
        kinds = row["out"]
        if kinds and type(kinds[0]) is str:
            node.out = self._abstract(kinds)
            node.shape, node.dtype = node.out.shape, node.out.dtype
        else:
            node.out = tuple([None if k is None else self._abstract(k) for k in kinds])
            node.shape, node.dtype = None, node.out[0].dtype
        return node

    def _abstract(self, kind: Any) -> Any:
        name, shape = kind
        return abstract(shape_of(shape), numpy_dtype(name))

    def _labels_and_roles(self, rows: Sequence[Any]) -> tuple[dict[Node, str], dict[Node, Role]]:
        labels, roles = {}, {}
        for node, row in zip(self.nodes, rows, strict=True):
            if node.prim is not INPUT:
                labels[node] = _text(row["name"])
            if "role" in row:
                kind, of = row["role"]
                if kind not in _ROLES:
                    raise MalformedError(f"unknown role {kind!r:.40}")
                roles[node] = Role(kind, None if of is None else self._known(of))
        return labels, roles

    def _tensor(self, form: Any) -> Tensor:
        array = self.code(form["array"])
        t: Tensor = wrap(array, None, Parameter if form["parameter"] else Tensor)
        if form["requires_grad"]:
            set_requires_grad(t, True)
        return t

    def _spec(self, rows: Any) -> Spec | None:
        if rows is None:
            return None
        entries: list[Any] = []
        for row in rows:
            if row is None:
                entries.append(None)
                continue
            name, keys, n = row
            short = _text(name).removeprefix("return_types.")
            cls = _CONTAINERS.get(name) or RETURN_TYPES.get(short)
            if cls is None:
                raise MalformedError(f"unknown container {name!r:.40}")
            keys = None if keys is None else tuple(map(self.code, keys))
            if keys is not None and len(keys) != n:
                raise MalformedError(f"a {name} of {n} entries with {len(keys)} keys")
            entries.append((KINDS[cls], keys, _whole(n)))
        spec = Spec(entries, entries.count(None))
        if not entries or spec.ends()[0] != len(entries):
            raise MalformedError("a structure that does not end")
        return spec


def _text(value: Any) -> str:
    if type(value) is not str:
        raise MalformedError(f"expected a string, got {value!r:.40}")
    return value


def _whole(value: Any) -> Any:
    """A string, or an integer that is not negative."""
    if type(value) is not str and (type(value) is not int or value < 0):
        raise MalformedError(f"expected a string or a count, got {value!r:.40}")
    return value


def primitive(name: Any) -> Primitive:
    """The primitive of a name.

    Raises:
        GraphError: if the library has none.
    """
    found = _MARKERS.get(_text(name)) or REGISTRY.get(name)
    if found is None:
        import_module("chainrule.nn.functional")  # declares those of networks
        import_module("chainrule.nn")
        found = REGISTRY.get(name)
    if found is None:
        close = difflib.get_close_matches(name, REGISTRY, 1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise GraphError(
            f"the stored graph uses the operation {name!r}, which this chainrule does not have"
            f"{hint}: it was stored by another version, or changed by hand"
        )
    return found


@cache
def _place(filename: str, line: int, function: str) -> tuple[CodeType, int]:
    """A code object that has nothing but a name and a line, for `node.where`; it never runs."""
    empty = (lambda: None).__code__
    code = empty.replace(
        co_filename=filename, co_firstlineno=line, co_name=function, co_qualname=function
    )
    return code, 0


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
    text = to_json(graph)
    target = os.path.realpath(os.fspath(path))
    part = f"{target}.{os.getpid()}.{os.urandom(4).hex()}.part"
    try:
        with open(part, "x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
    except OSError as error:
        raise OSError(
            error.errno, f"could not save the graph to {target!r}: {error.strerror or error}. An "
            "existing file of that name is unchanged",
        ) from error  # fmt: skip
    finally:
        if os.path.exists(part):
            os.unlink(part)


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
