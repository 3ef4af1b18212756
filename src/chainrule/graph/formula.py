"""Formulas: equations as people write them, in Unicode, ASCII, LaTeX or Python."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from chainrule.core.node import Node
from chainrule.core.primitive import PICK
from chainrule.graph.forms import FORMS, text_of_parameter
from chainrule.graph.pieces import Piece, Writer
from chainrule.transforms.tracing import CONSTANT, INPUT


def equation(w: Writer, node: Node, args: list[Piece]) -> Piece:
    """The right-hand side of a node, for these arguments."""
    if node.prim is PICK:
        return Piece(f"{args[0].text}[{node.params['index']}]")  # type: ignore[index]
    if node.prim is CONSTANT:
        return w.number(node.args[0])
    if node.prim is INPUT:
        return w.name(node.params["name"])  # type: ignore[index]
    form = FORMS.get(node.prim.name)
    if form is not None:
        written = form(w, args, node)
        if written is not None:
            return written
    return _by_declaration(w, node, args)


def _by_declaration(w: Writer, node: Node, args: list[Piece]) -> Piece:
    """As the primitive's `symbol` says, or name(arguments, parameters)."""
    symbol = node.prim.symbol
    if symbol is not None and symbol.startswith(node.prim.name + "(") and len(args) == 1:
        return w.function(node.prim.name, args[0])
    params = [f"{k}={text_of_parameter(v)}" for k, v in (node.params or {}).items()]
    if symbol is not None and "(" in symbol and symbol.count("{}") == len(args):
        name = symbol.partition("(")[0]
        if name.replace("_", "").isalnum():
            return w.call(name, [a.text for a in args])
    return w.call(node.prim.name, [*[a.text for a in args], *params])


def formula(
    node: Node, names: Mapping[Node, str], style: str = "ascii", digits: int = 3
) -> str:  # fmt: skip
    """The right-hand side of a node's equation in terms of the names of others."""
    writer = Writer(style, digits)
    return equation(writer, node, _arguments(writer, node, names)).text


def _arguments(writer: Writer, node: Node, names: Mapping[Node, str]) -> list[Piece]:
    return [
        writer.number(a) if p is None else writer.name(names[p])
        for a, p in zip(node.args, node.parents, strict=True)
    ]


def nested(
    node: Node, names: Mapping[Node, str], style: str = "unicode", digits: int = 3,
    keep: Collection[Node] = (), writer: Writer | None = None,
) -> str:  # fmt: skip
    """One formula for a node: its equation, with those of unnamed nodes put into it.

    Args:
        node: the node; its own name is not used.
        names: names (or numbers) for the nodes at which the formula ends.
        style: see `Writer`.
        digits: decimals of constants.
        keep: nodes that are written out although they have a name.
        writer: takes the place of one made from `style` and `digits`.
    """
    return piece_of(node, names, writer or Writer(style, digits), keep).text


def piece_of(
    node: Node, names: Mapping[Node, str], writer: Writer, keep: Collection[Node] = ()
) -> Piece:
    """As `nested`, with how tightly the formula binds."""
    done: dict[Node, Piece] = {}
    stack = [node]
    while stack:
        current = stack[-1]
        if current in done:
            stack.pop()
            continue
        if current is not node and current in names and current not in keep:
            done[current] = writer.name(names[current])
            stack.pop()
            continue
        missing = [p for p in current.parents if p is not None and p not in done]
        if missing:
            stack += missing
            continue
        args = [
            writer.number(a) if p is None else done[p]
            for a, p in zip(current.args, current.parents, strict=True)
        ]
        done[current] = equation(writer, current, args)
        stack.pop()
    return done[node]
