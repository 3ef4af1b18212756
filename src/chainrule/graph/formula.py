"""Formulas: equations as people write them, in Unicode, ASCII, LaTeX or Python.

A formula is built from *pieces*: a text and how tightly it binds, so that parentheses stand where
they are needed and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from chainrule.core.node import Node
from chainrule.core.primitive import PICK
from chainrule.graph.numerals import numeral, superscript
from chainrule.transforms.tracing import CONSTANT, INPUT

COMPARE, SUM, PRODUCT, SIGN, LITERAL, APPLY, POWER, ATOM = range(8)

SIGNED = (SIGN, LITERAL)  # −x, and a negative number
_ONE_OVER = r"\frac{1}{"


class Piece(NamedTuple):
    """Part of a formula, and how tightly its outermost operator binds."""

    text: str
    binding: int = ATOM


class Writer:
    """Writes equations in one style.

    Attributes:
        style: "unicode", "ascii", "latex" or "python".
        digits: decimals of numbers.
    """

    def __init__(self, style: str = "unicode", digits: int = 3) -> None:
        self.style = style
        self.digits = digits

    # ------------------------------------------------------------ parts

    def name(self, text: str) -> Piece:
        """A name, or a number that stands for one."""
        if text[:1] in ("-", "−"):
            return Piece(text, LITERAL)
        if "·10" in text or r"\cdot" in text:
            return Piece(text, PRODUCT)
        return Piece(text)

    def number(self, value: Any) -> Piece:
        """A constant."""
        if isinstance(value, np.ndarray) and value.ndim and self.style == "python":
            return Piece(f"array({value.tolist()!r}, dtype={value.dtype.name!r})")
        if value is None or not (np.isscalar(value) or isinstance(value, np.ndarray)):
            return Piece("?" if value is None or hasattr(value, "shape") else repr(value))
        return self.name(numeral(value, self.digits, self.style))

    def wrap(self, piece: Piece, binding: int) -> str:
        """The text of a piece where something that binds so tightly is expected."""
        if piece.binding >= binding:
            return piece.text
        if self.style == "latex":
            return rf"\left({piece.text}\right)"
        return f"({piece.text})"

    def infix(self, sign: str, a: Piece, b: Piece, binding: int) -> Piece:
        """Two operands and an operator, which groups to the left."""
        right = self.wrap(Piece(b.text, SUM) if b.binding in SIGNED else b, binding + 1)
        return Piece(self.wrap(a, binding) + sign + right, binding)

    def call(self, name: str, args: list[str]) -> Piece:
        """A function of arguments in parentheses."""
        inside = ", ".join(args)
        if self.style == "latex":
            known = name if name.startswith("\\") else rf"\operatorname{{{_escaped(name)}}}"
            return Piece(rf"{known}\left({inside}\right)", APPLY)
        return Piece(f"{name}({inside})", ATOM)

    def function(self, name: str, x: Piece) -> Piece:
        """A function of one argument, which needs no parentheses around a name: ln v₁."""
        if self.style in ("ascii", "python"):
            return self.call(name, [x.text])
        if x.binding < POWER or not _short(x.text):
            return self.call(name, [x.text])
        space = " "
        if self.style == "latex":
            known = name if name.startswith("\\") else rf"\operatorname{{{_escaped(name)}}}"
            return Piece(f"{known}{space}{x.text}", APPLY)
        return Piece(f"{name}{space}{x.text}", APPLY)

    # ------------------------------------------------------------ equations

    def equation(self, node: Node, args: list[Piece]) -> Piece:
        """The right-hand side of a node, for these arguments."""
        if node.prim is PICK:
            return Piece(f"{args[0].text}[{node.params['index']}]")  # type: ignore[index]
        if node.prim is CONSTANT:
            return self.number(node.args[0])
        if node.prim is INPUT:
            return self.name(node.params["name"])  # type: ignore[index]
        form = FORMS.get(node.prim.name)
        if form is not None:
            written = form(self, args, node)
            if written is not None:
                return written
        return self._by_declaration(node, args)

    def _by_declaration(self, node: Node, args: list[Piece]) -> Piece:
        """As the primitive's `symbol` says, or name(arguments, parameters)."""
        symbol = node.prim.symbol
        if symbol is not None and symbol.startswith(node.prim.name + "(") and len(args) == 1:
            return self.function(node.prim.name, args[0])
        params = [f"{k}={_param(v)}" for k, v in (node.params or {}).items()]
        if symbol is not None and "(" in symbol and symbol.count("{}") == len(args):
            name = symbol.partition("(")[0]
            if name.replace("_", "").isalnum():
                return self.call(name, [a.text for a in args])
        return self.call(node.prim.name, [*[a.text for a in args], *params])


def formula(
    node: Node, names: Mapping[Node, str], style: str = "ascii", digits: int = 3
) -> str:  # fmt: skip
    """The right-hand side of a node's equation in terms of the names of others."""
    writer = Writer(style, digits)
    return writer.equation(node, _arguments(writer, node, names)).text


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
        done[current] = writer.equation(current, args)
        stack.pop()
    return done[node]


# ---------------------------------------------------------------- forms of operations

Form = Callable[[Writer, list[Piece], Node], Piece | None]


def _operator(unicode: str, ascii: str, latex: str, binding: int) -> Form:
    signs = {"unicode": unicode, "ascii": ascii, "latex": latex, "python": ascii}

    def form(w: Writer, args: list[Piece], node: Node) -> Piece | None:
        return w.infix(signs[w.style], args[0], args[1], binding)

    return form


def _add(w: Writer, args: list[Piece], node: Node) -> Piece:
    """A sum; groups of sums need no parentheses, negative terms do."""
    return total(w, args)


def total(w: Writer, terms: Sequence[Piece]) -> Piece:
    """A sum of terms."""
    first, *rest = terms
    if not rest:
        return first
    text = w.wrap(first, SUM)
    for t in rest:
        if t.binding == SIGN:  # a + (−b) is a − b
            text += f" {t.text[0]} {t.text[1:]}"
        else:
            tight = w.style == "python"  # a + (b + c) rounds otherwise than a + b + c
            text += " + " + w.wrap(
                Piece(t.text, COMPARE) if t.binding == LITERAL else t, SUM + tight
            )
    return Piece(text, SUM)


def _product(w: Writer, args: list[Piece], node: Node) -> Piece:
    a, b = args
    if b.text.startswith("1/") and w.style != "latex" and _is_reciprocal(node, 1):
        return Piece(f"{w.wrap(a, PRODUCT)}/{b.text[2:]}", PRODUCT)
    if w.style == "latex":
        if _is_reciprocal(node, 1):
            return Piece(rf"\frac{{{a.text}}}{{{b.text[len(_ONE_OVER) : -1]}}}", POWER)
        return Piece(rf"{_factor(w, a)} \cdot {_factor(w, b)}", PRODUCT)
    if w.style == "python" and b.binding == PRODUCT:
        b = Piece(b.text, SUM)
    sign = "·" if w.style == "unicode" else "*"
    return Piece(f"{_factor(w, a)}{sign}{_factor(w, b)}", PRODUCT)


def _factor(w: Writer, a: Piece) -> str:
    """A factor: products need no parentheses, except quotients; signs do."""
    if a.binding in SIGNED:
        return w.wrap(Piece(a.text, SUM), PRODUCT)
    if a.binding == PRODUCT and "/" in a.text:
        return w.wrap(Piece(a.text, SUM), PRODUCT)
    return w.wrap(a, PRODUCT)


def _is_reciprocal(node: Node, i: int) -> bool:
    p = node.parents[i]
    return p is not None and p.prim.name == "reciprocal"


def _quotient(w: Writer, args: list[Piece], node: Node) -> Piece:
    a, b = args
    if w.style == "latex":
        return Piece(rf"\frac{{{a.text}}}{{{b.text}}}", POWER)
    return Piece(f"{w.wrap(a, PRODUCT)}/{w.wrap(b, APPLY)}", PRODUCT)


def _reciprocal(w: Writer, args: list[Piece], node: Node) -> Piece:
    return _quotient(w, [Piece("1"), args[0]], node)


def _negative(w: Writer, args: list[Piece], node: Node) -> Piece:
    sign = "−" if w.style == "unicode" else "-"
    a = args[0]
    if a.binding in (*SIGNED, SUM, COMPARE):
        return Piece(sign + w.wrap(Piece(a.text, SUM), PRODUCT), SIGN)
    return Piece(sign + a.text, SIGN)


def _power(w: Writer, base: Piece, exponent: Piece) -> Piece:
    inside = w.wrap(base, ATOM)
    if w.style == "latex":
        return Piece(f"{inside}^{{{exponent.text}}}", POWER)
    if w.style == "unicode" and exponent.text.lstrip("−").isdigit():
        return Piece(inside + superscript(exponent.text.replace("−", "-")), POWER)
    sign = "^" if w.style == "unicode" else "**"
    return Piece(f"{inside}{sign}{w.wrap(exponent, POWER)}", POWER)


def _pow(w: Writer, args: list[Piece], node: Node) -> Piece:
    return _power(w, args[0], args[1])


def _square(w: Writer, args: list[Piece], node: Node) -> Piece:
    return _power(w, args[0], Piece("2"))


def _exp(w: Writer, args: list[Piece], node: Node) -> Piece | None:
    if w.style == "latex":
        return Piece(f"e^{{{args[0].text}}}", POWER)
    return w.function("exp", args[0])


def _sqrt(w: Writer, args: list[Piece], node: Node) -> Piece:
    a = args[0]
    if w.style == "latex":
        return Piece(rf"\sqrt{{{a.text}}}")
    if w.style == "unicode":
        return Piece("√" + w.wrap(a, POWER), APPLY)
    return w.call("sqrt", [a.text])


def _abs(w: Writer, args: list[Piece], node: Node) -> Piece | None:
    if w.style == "python":
        return w.call("abs", [args[0].text])
    bars = (r"\left|", r"\right|") if w.style == "latex" else ("|", "|")
    return Piece(f"{bars[0]}{args[0].text}{bars[1]}")


def _named(unicode: str, latex: str | None = None, ascii: str | None = None) -> Form:
    def form(w: Writer, args: list[Piece], node: Node) -> Piece | None:
        if w.style in ("ascii", "python"):
            return w.function(ascii or node.prim.name, args[0])
        return w.function((latex or unicode) if w.style == "latex" else unicode, args[0])

    return form


def _reduction(unicode: str, latex: str) -> Form:
    """A sum or product over axes: over all of them, the sign alone says so."""

    def form(w: Writer, args: list[Piece], node: Node) -> Piece | None:
        x, axis = args[0], node.params["axis"]  # type: ignore[index]
        parent = node.parents[0]
        everything = parent is None or parent.shape is None or len(axis) == len(parent.shape)
        if w.style in ("ascii", "python"):
            where = "" if everything and not node.params["keepdims"] else f", axis={_param(axis)}"  # type: ignore[index]
            keep = ", keepdims=True" if node.params["keepdims"] else ""  # type: ignore[index]
            return Piece(f"{node.prim.name}({x.text}{where}{keep})")
        name = latex if w.style == "latex" else unicode
        if everything:
            return w.function(name, x)
        which = ",".join(map(str, axis))
        sub = f"_{{{which}}}" if w.style == "latex" else f"[{which}]"
        return w.call(name + sub, [x.text]) if w.style != "latex" else Piece(
            rf"{name}{sub} {w.wrap(x, PRODUCT)}", APPLY
        )  # fmt: skip

    return form


def _transposed(w: Writer, args: list[Piece], node: Node) -> Piece | None:
    """A permutation of axes: a superscript T where it exchanges the last two."""
    axes = node.params["axes"]  # type: ignore[index]
    n = len(axes)
    if n < 2 or tuple(axes) != (*range(n - 2), n - 1, n - 2):
        return None
    inside = w.wrap(args[0], ATOM)
    if w.style == "latex":
        return Piece(rf"{inside}^{{\mathsf{{T}}}}", POWER)
    return Piece(inside + ("ᵀ" if w.style == "unicode" else ".mT"), POWER)


def _matmul(w: Writer, args: list[Piece], node: Node) -> Piece:
    if w.style in ("ascii", "python"):
        return w.infix(" @ ", args[0], args[1], PRODUCT)
    space = r"\," if w.style == "latex" else " "
    return Piece(f"{_factor(w, args[0])}{space}{_factor(w, args[1])}", PRODUCT)


def _linear(w: Writer, args: list[Piece], node: Node) -> Piece:
    x, weight = args[:2]
    inside = w.wrap(weight, ATOM)
    turned = {"unicode": f"{inside}ᵀ", "latex": rf"{inside}^{{\mathsf{{T}}}}"}.get(
        w.style, f"{inside}.mT"
    )
    product = _matmul(w, [x, Piece(turned, POWER)], node)
    return product if len(args) == 2 else Piece(f"{product.text} + {args[2].text}", SUM)


def _getitem(w: Writer, args: list[Piece], node: Node) -> Piece:
    """An index as it was written."""
    arrays = [a.text for a in args[1:]]
    parts = []
    for item in node.params["index"]:  # type: ignore[index]
        if isinstance(item, tuple) and item and item[0] == "slice":
            bounds = ["" if b is None else str(b) for b in item[1:]]
            parts.append(":".join(bounds[:2] if not bounds[2] else bounds))
        elif item is Ellipsis:
            parts.append("...")
        elif isinstance(item, (int, np.integer)) or item is None:
            parts.append(str(item))
        else:
            parts.append(arrays.pop(0) if arrays else "...")
    return Piece(f"{w.wrap(args[0], ATOM)}[{', '.join(parts)}]")


def _shaped(name: str) -> Form:
    """An operation that only changes the shape: f(x, 3×4)."""

    def form(w: Writer, args: list[Piece], node: Node) -> Piece | None:
        if w.style == "python":
            return None
        times = {"unicode": "×", "latex": r" \times "}.get(w.style, "x")
        shape = times.join(map(str, node.shape or ())) or "()"
        return w.call(name, [args[0].text, shape])

    return form


def _cast(w: Writer, args: list[Piece], node: Node) -> Piece | None:
    return None if w.style == "python" else w.call(str(node.dtype), [args[0].text])


def _where(w: Writer, args: list[Piece], node: Node) -> Piece:
    if w.style != "latex":
        return w.call("where", [a.text for a in args])
    c, a, b = [x.text for x in args]
    return Piece(rf"\begin{{cases}} {a} & {c} \\ {b} & \text{{otherwise}} \end{{cases}}")


def _short(text: str) -> bool:
    """Whether a text may follow a function's name without parentheses: a name or a number."""
    return all(c.isalnum() or c in "_.̇̄{}\\" or ord(c) > 0x2070 for c in text)


def _param(value: Any) -> str:
    if isinstance(value, tuple) and value and all(isinstance(v, int) for v in value):
        return str(value[0]) if len(value) == 1 else str(value)
    return str(value)


def _escaped(name: str) -> str:
    return name.replace("_", r"\_")


FORMS: dict[str, Form] = {
    "add": _add,
    "subtract": _operator(" − ", " - ", " - ", SUM),
    "multiply": _product,
    "pull_product": _product,
    "divide": _quotient,
    "negative": _negative,
    "reciprocal": _reciprocal,
    "pow": _pow,
    "square": _square,
    "exp": _exp,
    "sqrt": _sqrt,
    "abs": _abs,
    "log": _named("ln", r"\ln", "log"),
    "log2": _named("log₂", r"\log_2", "log2"),
    "log10": _named("log₁₀", r"\log_{10}", "log10"),
    "sin": _named("sin", r"\sin"),
    "cos": _named("cos", r"\cos"),
    "tan": _named("tan", r"\tan"),
    "sinh": _named("sinh", r"\sinh"),
    "cosh": _named("cosh", r"\cosh"),
    "tanh": _named("tanh", r"\tanh"),
    "asin": _named("arcsin", r"\arcsin"),
    "acos": _named("arccos", r"\arccos"),
    "atan": _named("arctan", r"\arctan"),
    "sigmoid": _named("σ", r"\sigma"),
    "relu": _named("relu"),
    "gamma": _named("Γ", r"\Gamma"),
    "det": _named("det", r"\det"),
    "sum": _reduction("Σ", r"\sum"),
    "prod": _reduction("∏", r"\prod"),
    "mean": _reduction("mean", r"\operatorname{mean}"),
    "permute_dims": _transposed,
    "mm": _matmul,
    "bmm": _matmul,
    "mv": _matmul,
    "dot": _operator("·", " @ ", r" \cdot ", PRODUCT),
    "linear": _linear,
    "linear_each": _linear,
    "getitem": _getitem,
    "broadcast_to": _shaped("spread"),
    "reshape": _shaped("reshape"),
    "astype": _cast,
    "where": _where,
    "equal": _operator(" = ", " == ", " = ", COMPARE),
    "not_equal": _operator(" ≠ ", " != ", r" \ne ", COMPARE),
    "less": _operator(" < ", " < ", " < ", COMPARE),
    "less_equal": _operator(" ≤ ", " <= ", r" \le ", COMPARE),
    "greater": _operator(" > ", " > ", " > ", COMPARE),
    "greater_equal": _operator(" ≥ ", " >= ", r" \ge ", COMPARE),
    "floor_divide": _operator(" // ", " // ", r" \mathbin{/\!/} ", PRODUCT),
    "remainder": _operator(" mod ", " % ", r" \bmod ", PRODUCT),
}
