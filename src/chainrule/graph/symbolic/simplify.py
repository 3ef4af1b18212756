"""Simplifications that never change the value of a formula, not even in its last bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chainrule.core.node import Node
from chainrule.graph.symbolic.expressions import Builder, Expr, is_number


def simpler(b: Builder, name: str, xs: Sequence[Expr]) -> Expr | None:
    """A simpler expression for a primitive of these operands; None if there is none.

    Signs are collected outwards, factors 1 and terms 0 are left out, x*x is a square and x + x is
    twice x.  Only what floating-point numbers satisfy exactly is used: not the associative law,
    and not 0*x = 0, which is wrong for infinite x.
    """
    rule = _RULES.get(name)
    return None if rule is None else rule(b, *xs)


def _sign(x: Expr) -> Expr | None:
    """The expression of which x is the opposite."""
    if type(x) is Node and x.prim.name == "negative":
        return x.parents[0]
    if type(x) is not Node and x.dtype.kind == "f" and x < 0:
        return -x
    return None


def _add(b: Builder, x: Expr, y: Expr) -> Expr | None:
    if is_number(x, 0):
        return y
    if is_number(y, 0):
        return x
    if x is y:
        return b.apply("multiply", 2, x)
    if (opposite := _sign(y)) is not None:
        return b.apply("subtract", x, opposite)
    if (opposite := _sign(x)) is not None and type(x) is Node:
        return b.apply("subtract", y, opposite)
    return None


def _subtract(b: Builder, x: Expr, y: Expr) -> Expr | None:
    if is_number(y, 0):
        return x
    if is_number(x, 0):
        return b.minus(y)
    if (opposite := _sign(y)) is not None:
        return b.apply("add", x, opposite)
    return None


def _multiply(b: Builder, x: Expr, y: Expr) -> Expr | None:
    for one, other in ((x, y), (y, x)):
        if is_number(one, 1):
            return other
        if is_number(one, -1):
            return b.minus(other)
    if x is y and type(x) is Node and x.dtype.kind == "f":
        return b.apply("square", x)
    if (opposite := _sign(x)) is not None:
        return b.minus(b.apply("multiply", opposite, y))
    if (opposite := _sign(y)) is not None:
        return b.minus(b.apply("multiply", x, opposite))
    return None


def _divide(b: Builder, x: Expr, y: Expr) -> Expr | None:
    if is_number(y, 1):
        return x
    if (opposite := _sign(x)) is not None:
        return b.minus(b.apply("divide", opposite, y))
    if (opposite := _sign(y)) is not None:
        return b.minus(b.apply("divide", x, opposite))
    return None


def _negative(b: Builder, x: Expr) -> Expr | None:
    if (opposite := _sign(x)) is not None:
        return opposite
    if type(x) is Node and x.prim.name == "subtract":
        left, right = operands(x)
        return b.apply("subtract", right, left)
    return None


def _pow(b: Builder, x: Expr, y: Expr) -> Expr | None:
    if is_number(y, 1):
        return x
    return b.apply("square", x) if is_number(y, 2) else None


def operands(node: Node) -> list[Expr]:
    """The operands of a node as expressions."""
    return [
        a[()] if p is None else p for a, p in zip(node.args, node.parents, strict=True)
    ]  # fmt: skip


_RULES: dict[str, Callable[..., Expr | None]] = {
    "add": _add,
    "subtract": _subtract,
    "multiply": _multiply,
    "divide": _divide,
    "negative": _negative,
    "pow": _pow,
}
