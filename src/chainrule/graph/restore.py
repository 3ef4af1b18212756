"""Reading stored graphs: from plain data to nodes.

Nothing that is read is run or believed: primitives are found by name among those of the library,
and the graph is verified.
"""

from __future__ import annotations

import difflib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from types import CodeType
from typing import Any

from chainrule.core.node import Node
from chainrule.core.primitive import PICK, REGISTRY, Primitive, make_node
from chainrule.core.source import UNKNOWN
from chainrule.core.tensor import Parameter, Tensor, set_requires_grad, wrap
from chainrule.graph.codec import MalformedError, numpy_dtype, shape_of
from chainrule.graph.ir import Graph, GraphError, Role
from chainrule.ops.results import RETURN_TYPES
from chainrule.transforms.tracing import CONSTANT, INPUT, abstract
from chainrule.tree import Spec
from chainrule.tree.nodes import KINDS

FORMAT = "chainrule.graph"
VERSION = 1
Code = Callable[[Any], Any]
MARKERS = {p.name: p for p in (INPUT, CONSTANT, PICK)}
_ROLES = ("adjoint", "tangent", "partial")
CONTAINERS: dict[str, type] = {
    "dict": dict, "list": list, "tuple": tuple, "None": type(None), "OrderedDict": OrderedDict,
}  # fmt: skip


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
            cls = CONTAINERS.get(name) or RETURN_TYPES.get(short)
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
    found = MARKERS.get(_text(name)) or REGISTRY.get(name)
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
