"""Graphs and live tensors as pictures."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from types import CodeType
from typing import Any
from unicodedata import normalize

import numpy as np

from chainrule.core.abstract import AbstractArray
from chainrule.core.node import Aval, Node
from chainrule.core.source import line_of
from chainrule.core.tensor import Tensor
from chainrule.explaining.naming import variable
from chainrule.explaining.picture.collapse import LIMIT
from chainrule.explaining.picture.drawing import Drawing
from chainrule.explaining.picture.model import Picture, PictureEdge, PictureNode
from chainrule.explaining.picture.numbers import Known, known_of_graph, known_of_tape
from chainrule.graph.formula import formula
from chainrule.graph.ir import Graph
from chainrule.graph.numerals import numeral
from chainrule.transforms.tracing import CONSTANT, INPUT

DERIVED = ("adjoint", "tangent")
UNKNOWN = "“?” is a constant that the tape has not kept."
MARKS = {"adj_": "\u0304", "tan_": "\u0307"}  # a bar and a dot on the letter before


def draw(
    graph: Any,
    *inputs: Any,
    direction: str = "down",
    theme: str = "auto",
    groups: int | Iterable[str] | None = None,
    loops: bool = False,
    limit: int | None = LIMIT,
    names: Mapping[str, Any] | None = None,
) -> Drawing:
    """Draw a graph, or what the tape recorded for a tensor.

    Args:
        graph: A `Graph`; a tensor that requires grad, or a list of them.
        inputs: Values for the inputs of a `Graph`; every node then shows its value and, where the
            output is one real number, its gradient.
        direction, theme: See `Drawing`.
        groups, loops, limit: What becomes one box; see `collapse`.
        names: Names for the tensors that a tensor was computed from, `{"x": x}`; by default those
            of the caller's variables.

    A tensor's nodes show the values that the tape has, and the gradients that a backward pass has
    left, or that none has run.  It may have freed its values.  Raises `TypeError` for anything
    else, `RuntimeError` for a tensor that was not recorded.

    >>> import chainrule as cr
    >>> from chainrule.explaining.picture import draw
    >>> x = cr.tensor(2.0, requires_grad=True)
    >>> draw(x.log() * x)
    <drawing: 3 nodes, 3 edges; .save("graph.svg") writes it to a file>
    """
    if isinstance(graph, Graph):
        known = known_of_graph(graph, inputs)
    else:
        several = graph if isinstance(graph, (list, tuple)) else [graph]
        if not several or not all(isinstance(t, Tensor) for t in several):
            raise TypeError(
                f"draw takes a Graph, a tensor or a list of tensors, not {type(graph).__name__}; "
                "of a function, draw graph.trace(f, *examples)"
            )
        if inputs:
            raise TypeError("draw takes values for inputs with a Graph only, not with a tensor")
        graph, known = known_of_tape(several, names)
    picture = picture_of(graph, known)
    return Drawing(
        picture, direction=direction, theme=theme, groups=groups, loops=loops, limit=limit
    )


def picture_of(graph: Graph, known: Known | None = None) -> Picture:
    """The picture of a graph: a box for each node, with what is known of numbers.

    The id of a node is "n" and its place in `graph.nodes`.
    """
    known = known or Known(dict(graph.values))
    names = {node: pretty(name) for node, name in graph.names.items()}
    kinds = kinds_of(graph)
    saved = saved_by(graph, kinds)
    groups = groups_of(graph, kinds, known)
    outputs = set(graph.outputs)
    nodes = []
    edges = []
    for i, node in enumerate(graph.nodes):
        kind = kinds[node]
        if node in outputs and kind == "op":
            kind = "output"
        title = names[node]
        if node.prim is not INPUT:
            title = f"{title} = {formula(node, names, 'unicode')}"
        lines = tuple(_lines(node, known, kind))
        op = "" if node.prim is INPUT else node.prim.name
        nodes.append(PictureNode(f"n{i}", title, lines, kind, node in saved, groups[node], op))
        for parent in node.parents:
            if parent is not None:
                source = f"n{graph.position[parent]}"
                edges.append(PictureEdge(source, f"n{i}", "", _edge_kind(kinds, parent, node)))
    title = graph.title.replace("<lambda>", "f")
    notes = [known.note, UNKNOWN if _has_unknown(graph) else ""]
    return Picture(nodes, edges, title if known.titled else "", " ".join(filter(None, notes)))


def _has_unknown(graph: Graph) -> bool:
    """Whether the tape has not kept a constant, which formulas then show as a question mark."""
    return any(
        p is None and (a is None or isinstance(a, (Aval, AbstractArray)))
        for node in graph.nodes
        for a, p in zip(node.args or (), node.parents, strict=True)
    )


def pretty(name: str) -> str:
    """A name as it stands in a textbook: v3 is v₃, adj_v3 is v̄₃, tan_x is ẋ."""
    marks, words = "", ""
    while name[:4] in MARKS:
        marks, words = marks + MARKS[name[:4]], words + name[:3] + " "
        name = name[4:]
    shown = variable(name)
    if not marks:
        return shown
    if re.fullmatch(r"[^\W\d_]_?\d*_*", name):
        return normalize("NFC", shown[0] + marks + shown[1:])
    return words + shown  # a word: a mark on one of its letters would be overlooked


def kinds_of(graph: Graph) -> dict[Node, str]:
    """What each node is: input, constant, op, adjoint or tangent.

    What goes into adjoints only is of their kind too.
    """
    kinds: dict[Node, str] = {}
    given = {n for n in graph.inputs if not graph.labels or n in graph.labels}
    for node in reversed(graph.nodes):
        role = graph.roles.get(node)
        if node.prim is INPUT:  # one that only a derivative has is a cotangent or a tangent
            kinds[node] = "input" if node in given else kinds.get(node, "input")
        elif role is None:
            kinds[node] = "constant" if node.prim is CONSTANT else "op"
        elif role.kind in DERIVED:
            kinds[node] = role.kind
        else:
            kinds.setdefault(node, "adjoint")
        if role is not None and kinds[node] in DERIVED:
            for parent in node.parents:
                if parent is not None:
                    kinds.setdefault(parent, kinds[node])
    return kinds


def saved_by(graph: Graph, kinds: Mapping[Node, str]) -> set[Node]:
    """The nodes whose values a backward pass needs: of an extended graph, those that adjoints
    read; of any other, those that the tape keeps."""
    if any(kind in DERIVED for kind in kinds.values()):
        return {
            p
            for node in graph.nodes
            for p in node.parents
            if p is not None and kinds[node] == "adjoint" and kinds[p] not in DERIVED
        }
    active = {n for n in graph.inputs if n.dtype.kind in "fc"}
    saved = set()
    for node in graph.nodes:
        wanted = tuple([p in active for p in node.parents])
        if not any(wanted) or not node.prim.differentiable:
            continue
        if node.shape is None or node.dtype.kind in "fcV":
            active.add(node)
        if not getattr(node.prim, "saves", False):
            continue
        args, out = node.prim.kept(wanted)
        saved |= {p for p, keep in zip(node.parents, args, strict=True) if p and keep}
        if out:
            saved.add(node)
    return saved


def groups_of(graph: Graph, kinds: Mapping[Node, str], known: Known) -> dict[Node, tuple[str, ...]]:
    """Groups by function: what another function than that of the result has recorded."""
    top = {n.code for n in graph.outputs}
    groups: dict[Node, tuple[str, ...]] = dict.fromkeys(graph.nodes, ())
    readers: dict[Node, set[tuple[str, ...]]] = {}
    for node in graph.nodes:
        if kinds[node] == "op" and node.code is not None and node.code not in top:
            groups[node] = (_function(node.code),)
        for parent in node.parents:
            if parent is not None:
                readers.setdefault(parent, set()).add(groups[node])
    for node in known.parameters:
        if len(readers.get(node, ())) == 1:
            (groups[node],) = readers[node]
    return groups


def _function(code: CodeType) -> str:
    name = code.co_qualname.rpartition("<locals>.")[2]
    if name.startswith("<"):
        return f"{place_text(code.co_filename, code.co_firstlineno)} {name}"
    return name


def _lines(node: Node, known: Known, kind: str) -> Iterable[tuple[str, str]]:
    value = known.values.get(node)
    if isinstance(value, np.ndarray) and node.prim is not CONSTANT:
        yield "value", numeral(value)
    if node in known.gradients:
        gradient = known.gradients[node]
        yield "gradient", gradient if isinstance(gradient, str) else numeral(gradient)
    if node.shape:
        size = ", ".join(map(str, node.shape)) + ("," if len(node.shape) == 1 else "")
        yield "shape", f"({size}) {node.dtype}"
    elif node.shape is None:
        yield "results", str(len(node.out))
    if node.prim is not INPUT and kind not in DERIVED and (place := _place(node.code, node.lasti)):
        yield "line", place


@lru_cache(maxsize=4096)
def _place(code: CodeType | None, lasti: int) -> str:
    found = line_of(code, lasti)
    return "" if found is None else place_text(*found)


def place_text(filename: str, line: int) -> str:
    """A line of the user's in few characters: `demo.py:3`; of a notebook, `cell:3`."""
    *_, folder, name = ["", *filename.replace("\\", "/").split("/")]
    return f"cell:{line}" if folder.startswith("ipykernel_") else f"{name}:{line}"


def _edge_kind(kinds: Mapping[Node, str], source: Node, target: Node) -> str:
    if kinds[target] not in DERIVED:
        return ""
    return kinds[target] if kinds[source] in DERIVED else "saved"


__all__: Sequence[str] = ["draw", "picture_of"]
