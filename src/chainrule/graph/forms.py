"""How operations are written: x·y, xᵀ, Σ x, by the name of the primitive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.node import Node
from chainrule.graph.numerals import superscript
from chainrule.graph.pieces import (
    APPLY,
    ATOM,
    COMPARE,
    POWER,
    PRODUCT,
    SIGN,
    SIGNED,
    SUM,
    Piece,
    Writer,
    total,
)

ONE_OVER = r"\frac{1}{"
Form = Callable[[Writer, list[Piece], Node], Piece | None]


def _operator(unicode: str, ascii: str, latex: str, binding: int) -> Form:
    signs = {"unicode": unicode, "ascii": ascii, "latex": latex, "python": ascii}

    def form(w: Writer, args: list[Piece], node: Node) -> Piece | None:
        return w.infix(signs[w.style], args[0], args[1], binding)

    return form


def _add(w: Writer, args: list[Piece], node: Node) -> Piece:
    """A sum; groups of sums need no parentheses, negative terms do."""
    return total(w, args)


def _product(w: Writer, args: list[Piece], node: Node) -> Piece:
    a, b = args[:2]
    if b.text.startswith("1/") and w.style != "latex" and _is_reciprocal(node, 1):
        return Piece(f"{w.wrap(a, PRODUCT)}/{b.text[2:]}", PRODUCT)
    if w.style == "latex":
        if _is_reciprocal(node, 1):
            return Piece(rf"\frac{{{a.text}}}{{{b.text[len(ONE_OVER) : -1]}}}", POWER)
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
            keeps = node.params["keepdims"]  # type: ignore[index]
            where = "" if everything and not keeps else f", axis={text_of_parameter(axis)}"
            keep = ", keepdims=True" if keeps else ""
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
    bias = args[2:] if len(node.args) > 2 and (node.parents[2] or node.args[2] is not None) else []
    inside = w.wrap(weight, ATOM)
    turned = {"unicode": f"{inside}ᵀ", "latex": rf"{inside}^{{\mathsf{{T}}}}"}.get(
        w.style, f"{inside}.mT"
    )
    product = _matmul(w, [x, Piece(turned, POWER)], node)
    return total(w, [product, *bias])


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
        if name == "reshape" and w.style != "ascii" and _same_but_for_ones(node):
            return args[0]
        times = {"unicode": "×", "latex": r" \times "}.get(w.style, "x")
        shape = times.join(map(str, node.shape or ())) or "()"
        return w.call(name, [args[0].text, f"to {shape}"])

    return form


def _same_but_for_ones(node: Node) -> bool:
    """Whether only dimensions of length 1 were put in or taken out: a formula need not say so."""
    p = node.parents[0]
    if p is None or p.shape is None:
        return False
    return [d for d in p.shape if d != 1] == [d for d in node.shape or () if d != 1]


def _cast(w: Writer, args: list[Piece], node: Node) -> Piece | None:
    return None if w.style == "python" else w.call(str(node.dtype), [args[0].text])


def _selected(w: Writer, args: list[Piece], node: Node) -> Piece:
    """A cotangent where a condition holds: Iverson's bracket [x > 0] is 1 there and 0 elsewhere."""
    if w.style == "python":
        return w.call("pull_selection", [a.text for a in args])
    g, chosen = args
    sign = {"unicode": "·", "latex": r" \cdot "}.get(w.style, "*")
    if chosen.text in ("True", "False"):
        factor = "1" if chosen.text == "True" else "0"
    else:
        factor = f"[{chosen.text}]" if node.args[1].dtype.kind == "b" else _factor(w, chosen)
    return Piece(f"{_factor(w, g)}{sign}{factor}", PRODUCT)


def _where(w: Writer, args: list[Piece], node: Node) -> Piece:
    if w.style != "latex":
        return w.call("where", [a.text for a in args])
    c, a, b = [x.text for x in args]
    return Piece(rf"\begin{{cases}} {a} & {c} \\ {b} & \text{{otherwise}} \end{{cases}}")


def text_of_parameter(value: Any) -> str:
    if isinstance(value, tuple) and value and all(isinstance(v, int) for v in value):
        return str(value[0]) if len(value) == 1 else str(value)
    return str(value)


FORMS: dict[str, Form] = {
    "add": _add,
    "subtract": _operator(" − ", " - ", " - ", SUM),
    "multiply": _product,
    "pull_product": _product,
    "pull_selection": _selected,
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
