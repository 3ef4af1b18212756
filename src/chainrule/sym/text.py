"""Expressions as formulas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.dtypes import default_dtype
from chainrule.core.engine import reach
from chainrule.core.node import Aval, Node
from chainrule.core.primitive import PICK
from chainrule.core.tensor import Tensor
from chainrule.graph.formula import piece_of
from chainrule.graph.ir import Graph
from chainrule.graph.pieces import APPLY, ATOM, COMPARE, POWER, PRODUCT, SIGN, SUM, Piece, Writer
from chainrule.sym.deferred import Call, Deferred, calls_in
from chainrule.transforms.tracing import CONSTANT, INPUT

MANY = 60  # operations that a formula is written for
LONG = 60  # characters of a formula inside a sentence

_INFIX = {
    "add": (" + ", SUM), "sub": (" - ", SUM), "mul": ("*", PRODUCT), "truediv": ("/", PRODUCT),
    "floordiv": (" // ", PRODUCT), "mod": (" % ", PRODUCT), "matmul": (" @ ", PRODUCT),
    "eq": (" == ", COMPARE), "ne": (" != ", COMPARE), "lt": (" < ", COMPARE),
    "le": (" <= ", COMPARE), "gt": (" > ", COMPARE), "ge": (" >= ", COMPARE),
}  # fmt: skip
_OPERATORS = {
    "subtract": "sub", "multiply": "mul", "divide": "truediv", "floor_divide": "floordiv",
    "remainder": "mod", "negative": "neg", "equal": "eq",
    "not_equal": "ne", "less": "lt", "less_equal": "le", "greater": "gt", "greater_equal": "ge",
}  # fmt: skip
_PREFIX = {"neg": "-", "pos": "+", "invert": "~"}
_LOOSE = {"and_": " & ", "or_": " | ", "xor": " ^ ", "lshift": " << ", "rshift": " >> "}


def text_of(x: Any) -> str:
    """An expression as a formula, values that are used several times under names of their own.

    A derivative of variables of unknown shapes is written for numbers, and says so.
    """
    if not isinstance(x, Deferred):
        return _of_declared(x)
    calls = calls_in(x.array.call)
    if any(isinstance(c, Call) and c.kind == "derivative" for c in calls):
        scalars = _for_scalars(x)
        if scalars is not None:
            return f"{scalars}  (for scalars)"
    if len(calls) > MANY:
        names = ", ".join(v.name for v in x._variables())
        return f"<expression of {names}: {len(calls)} calls>"
    return _of_calls(x.array.call, calls)


def short(x: Any) -> str:
    """An expression in at most some sixty characters, for messages."""
    if isinstance(x, Deferred):
        calls = calls_in(x.array.call)
        text = "" if len(calls) > MANY else _of_calls(x.array.call, calls)
    else:
        text = _of_declared(x)
    if text and len(text) <= LONG and not text.startswith("<expression of "):
        return text
    return f"<expression of {', '.join(v.name for v in x._variables())}>"


title_of: Callable[[Any], str] = short


# ---------------------------------------------------------------- graphs


def _of_declared(x: Any) -> str:
    """The formula of an expression of declared shapes, simplified if it is a derivative."""
    names = [v.name for v in x._variables()]
    if "_inputs" not in x.__dict__ or len(reach([x.node])) > 4 * MANY:
        return of_node(x.node, names)
    made = Graph([v.source for v in x._variables()], [x.node])
    return of_node(made.optimize().outputs[0], names)


def of_node(root: Node, variables: list[str]) -> str:
    """What a node computes, as a formula."""
    order = reach([root])
    uses: dict[Node, int] = {}
    for n in order:
        for p in n.parents:
            if p is not None:
                uses[p] = uses.get(p, 0) + 1
    if sum(n.prim not in (INPUT, CONSTANT, PICK) for n in order) > MANY:
        return f"<expression of {', '.join(variables)}: {len(order)} operations>"
    writer = Writer("ascii", 6)
    names = {n: n.params["name"] for n in order if n.prim is INPUT}  # type: ignore[index]
    taken = set(names.values())
    shared: list[Node] = []
    for n in order:
        if uses.get(n, 0) > 1 and n is not root and n.parents and n.prim is not CONSTANT:
            names[n] = _fresh(taken, len(shared))
            shared.append(n)
    return _where(
        piece_of(root, names, writer).text,
        [(names[n], piece_of(n, names, writer).text) for n in shared],
    )


def _fresh(taken: set[str], i: int) -> str:
    name = f"v{i + 1}"
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def _where(text: str, shared: list[tuple[str, str]]) -> str:
    if not shared:
        return text
    return f"{text}  where {', '.join(f'{name} = {formula}' for name, formula in shared)}"


def _for_scalars(x: Deferred) -> str | None:
    """The formula for variables that are numbers; None where the expression has none for them."""
    dt = default_dtype()
    shapes = {v.name: Aval((), v.dtype or dt) for v in x._variables() if v.shape is None}
    try:
        graph = x._graph_for(shapes)
    except (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError):
        return None  # say, a matrix product, or an index
    if len(graph.outputs) != 1:
        return None
    return of_node(graph.optimize().outputs[0], graph.input_names)


# ---------------------------------------------------------------- programs


def _of_calls(root: Call, calls: list[Any]) -> str:
    writer = Writer("python")
    uses: dict[int, int] = {}
    for c in calls:
        if isinstance(c, Call):
            for p in c.parents:
                uses[id(p)] = uses.get(id(p), 0) + 1
    taken = {c.name for c in calls if isinstance(c, Call) and c.kind == "variable"}
    pieces: dict[int, Piece] = {}
    shared: list[tuple[str, str]] = []
    for c in calls:
        if not isinstance(c, Call):
            pieces[id(c)] = _declared(c.node)
            continue
        piece = _piece(writer, c, pieces)
        if uses.get(id(c), 0) > 1 and c.kind not in ("variable", "derivative") and c is not root:
            name = _fresh(taken, len(shared))
            shared.append((name, piece.text))
            piece = Piece(name)
        pieces[id(c)] = piece
    return _where(pieces[id(root)].text, shared)


def _declared(node: Node) -> Piece:
    """A part of declared shape."""
    text = of_node(node, [])
    if "  where " in text or text.startswith("<"):
        return Piece(f"({text})")
    names = {n: n.params["name"] for n in reach([node]) if n.prim is INPUT}  # type: ignore[index]
    return Piece(text) if node in names else piece_of(node, names, Writer("ascii", 6))


def _piece(w: Writer, call: Call, pieces: dict[int, Piece]) -> Piece:
    """One call, for the pieces of what it needs."""
    if call.kind == "variable":
        return Piece(call.name)
    args = [_argument(w, x, pieces) for x in call.args]
    name = _OPERATORS.get(call.name, call.name)
    if call.kind == "operator" or (call.kind == "primitive" and name in _INFIX | _PREFIX):
        return _operator(w, name, args)
    if call.kind == "attribute":
        return Piece(f"{w.wrap(args[0], ATOM)}.{call.name}")
    if call.kind == "item":
        whole, index = call.args
        source = getattr(whole.array, "call", None)
        if source is not None and source.kind == "derivative":
            names = source.function.names if call.name == "jvp" else [source.function.names[index]]
            inner = pieces[id(source.args[0].array.call)]
            return Piece(f"{w.wrap(inner, ATOM)}.{source.name}({', '.join(map(repr, names))})")
        text = args[1].text
        if isinstance(index, tuple) and index:
            text = text[1:-1].rstrip(",")
        return Piece(f"{w.wrap(args[0], ATOM)}[{text}]")
    if call.kind == "derivative":
        return Piece(call.name)  # written where one of its results is taken
    named = [f"{k}={_argument(w, x, pieces).text}" for k, x in call.kwargs.items()]
    return Piece(f"{call.name}({', '.join([*[a.text for a in args], *named])})")


def _operator(w: Writer, name: str, args: list[Piece]) -> Piece:
    if name in _PREFIX:
        return Piece(_PREFIX[name] + w.wrap(args[0], APPLY), SIGN)
    if name == "pow":
        return Piece(f"{w.wrap(args[0], ATOM)}**{w.wrap(args[1], POWER)}", POWER)
    if name in _LOOSE:
        return Piece(f"{w.wrap(args[0], SIGN)}{_LOOSE[name]}{w.wrap(args[1], SIGN)}", COMPARE)
    sign, binding = _INFIX[name]
    return w.infix(sign, args[0], args[1], binding)


def _argument(w: Writer, x: Any, pieces: dict[int, Piece]) -> Piece:
    """An argument as it was written."""
    if isinstance(x, Deferred):
        return pieces[id(x.array.call)]
    if id(x) in pieces:
        return pieces[id(x)]
    if isinstance(x, Tensor):
        return w.number(x.array) if x.array.ndim == 0 else Piece(f"<{list(x.array.shape)}>")
    if isinstance(x, (list, tuple)):
        inside = ", ".join(_argument(w, i, pieces).text for i in x)
        if type(x) is list:
            return Piece(f"[{inside}]")
        return Piece(f"({inside}{',' if len(x) == 1 else ''})")
    if type(x) is slice:
        parts = ["" if i is None else _argument(w, i, pieces).text for i in (x.start, x.stop)]
        step = [] if x.step is None else [_argument(w, x.step, pieces).text]
        return Piece(":".join([*parts, *step]))
    if isinstance(x, np.ndarray) and x.ndim:
        return Piece(f"<{x.dtype}{list(x.shape)}>")
    if isinstance(x, (float, complex)) or (isinstance(x, int) and not isinstance(x, bool)):
        return w.number(x)
    if x is Ellipsis:
        return Piece("...")
    return Piece(repr(x))
