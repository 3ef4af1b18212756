"""Algebra: one table of patterns, each with the numbers for which it holds.

What `exact` promises is strict: nan, infinities and signed zeros count.  So x + 0 → x is not exact,
because -0.0 + 0 is 0.0 (x - 0 → x is); x - x → 0 is not, because inf - inf is nan; and x*1 → x is
not for complex numbers, whose product computes inf*0.  Such rules wait for `fast=True`.  A rule
must keep derivatives, too: x**0.5 → sqrt(x) has the same values, up to -inf, but at -0.0 another
derivative.

In `pull_product`, which multiplies cotangents by local derivatives, the sign of a zero means
nothing: whether a zero is cleared depends on whether there is a nan anywhere else in the array.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.graph.ir import Graph
from chainrule.graph.passes.base import UNKNOWN, Fired, graph_pass, known, number_in
from chainrule.graph.passes.patterns import Bound, Rule, Table
from chainrule.graph.rewrite import rewritten


def _finite(bound: Bound) -> bool:
    """Whether the constant c has no infinity and no nan."""
    return bool(np.all(np.isfinite(known(*bound["c"]))))


def _nowhere_zero(bound: Bound) -> bool:
    """Whether the constant c has no zero entry."""
    return bool(np.all(np.not_equal(known(*bound["c"]), 0)))


# Results that are never -0.0 but for what they are computed from.
_UNSIGNED_ZERO = frozenset(
    {"exp", "exp2", "abs", "square", "cosh", "sigmoid", "isnan", "hypot", "erfc"}
)


def _never_negative_zero(bound: Bound) -> bool:
    """Whether x is certainly never -0.0.

    A sum rounds to -0.0 only if both terms are -0.0, so not if one is another constant.
    """
    node = bound["x"].node
    if node is None:
        return False
    if node.prim.name != "add":
        return node.prim.name in _UNSIGNED_ZERO
    for a, p in zip(node.args, node.parents, strict=True):
        value = known(a, p)
        number = UNKNOWN if value is UNKNOWN else number_in(value)
        if isinstance(number, float) and (number != 0 or math.copysign(1, number) > 0):
            return True
    return False


def _signed(bound: Bound) -> bool:
    """Whether x has a sign: -1 of an unsigned integer is its largest number."""
    return bool(bound["x"].value.dtype.kind != "u")


def _negated(x: Any) -> Any:
    return ("negative", x)


RULES = [
    # ------------------------------------------------------------ units and zeros
    Rule(("multiply", "x", 1), "x", exact="bif", fast="c"),
    Rule(("multiply", "x", -1), _negated("x"), exact="if", fast="c"),
    Rule(("multiply", "x", 0), 0, exact="bi", fast="fc"),
    Rule(("multiply", "x", -0.0), 0, fast="f"),
    Rule(("add", "x", 0), "x", exact="bi", fast="fc"),
    Rule(("add", "x", 0), "x", exact="f", when=_never_negative_zero, note="x is never -0.0"),
    Rule(("add", "x", -0.0), "x", exact="f"),
    Rule(("subtract", "x", 0), "x", exact="ifc"),
    Rule(("subtract", "x", -0.0), "x", fast="f"),
    Rule(("subtract", 0, "x"), _negated("x"), exact="i", fast="fc"),
    Rule(("subtract", -0.0, "x"), _negated("x"), exact="f"),
    Rule(("divide", "x", 1), "x", exact="f", fast="c"),
    Rule(("divide", "x", -1), _negated("x"), exact="f", fast="c"),
    Rule(("divide", 0, "x"), 0, fast="fc"),
    Rule(("floor_divide", "x", 1), "x", exact="i"),
    Rule(("logical_and", "x", True), "x", exact="b"),
    Rule(("logical_or", "x", False), "x", exact="b"),
    Rule(("bitwise_or", "x", 0), "x", exact="bi"),
    Rule(("bitwise_xor", "x", 0), "x", exact="bi"),
    # ------------------------------------------------------------ cotangents
    Rule(("pull_product", "x", 1), "x", exact="f", fast="c"),
    Rule(("pull_product", 1, "x"), "x", exact="f", fast="c"),
    Rule(("pull_product", "x", -1), _negated("x"), exact="f", fast="c"),
    Rule(("pull_product", -1, "x"), _negated("x"), exact="f", fast="c"),
    Rule(("pull_product", 0, "x"), 0, exact="fc"),
    Rule(("pull_product", "x", 0), 0, fast="fc"),
    Rule(("pull_product", "x", "c"), ("multiply", "x", "c"), exact="fc", when=_finite),
    Rule(("pull_product", "c", "x"), ("multiply", "c", "x"), exact="fc", when=_nowhere_zero),
    # ------------------------------------------------------------ a value and itself
    Rule(("subtract", "x", "x"), 0, exact="i", fast="fc"),
    Rule(("divide", "x", "x"), 1, fast="fc"),
    Rule(("maximum", "x", "x"), "x", exact="bi", fast="f"),
    Rule(("minimum", "x", "x"), "x", exact="bi", fast="f"),
    Rule(("fmax", "x", "x"), "x", exact="i", fast="f"),
    Rule(("fmin", "x", "x"), "x", exact="i", fast="f"),
    Rule(("logical_and", "x", "x"), "x", exact="b"),
    Rule(("logical_or", "x", "x"), "x", exact="b"),
    Rule(("bitwise_and", "x", "x"), "x", exact="bi"),
    Rule(("bitwise_or", "x", "x"), "x", exact="bi"),
    Rule(("bitwise_xor", "x", "x"), 0, exact="bi"),
    Rule(("less", "x", "x"), False, exact="bif"),
    Rule(("greater", "x", "x"), False, exact="bif"),
    Rule(("not_equal", "x", "x"), False, exact="bi", fast="fc"),
    Rule(("equal", "x", "x"), True, exact="bi", fast="fc"),
    Rule(("less_equal", "x", "x"), True, exact="bi", fast="f"),
    Rule(("greater_equal", "x", "x"), True, exact="bi", fast="f"),
    # ------------------------------------------------------------ twice
    Rule(_negated(_negated("x")), "x", exact="ifc"),
    Rule(("conj", ("conj", "x")), "x", exact="c"),
    Rule(("reciprocal", ("reciprocal", "x")), "x", fast="fc"),
    Rule(("logical_not", ("logical_not", "x")), "x", exact="b"),
    Rule(("bitwise_not", ("bitwise_not", "x")), "x", exact="bi"),
    Rule(("abs", ("abs", "x")), ("abs", "x"), exact="if"),
    Rule(("relu", ("relu", "x")), ("relu", "x"), exact="if"),
    Rule(("sign", ("sign", "x")), ("sign", "x"), exact="if"),
    *[
        Rule((outer, (inner, "x")), (inner, "x"), exact="f")
        for outer in ("floor", "ceil", "trunc")
        for inner in ("floor", "ceil", "trunc")
    ],
    # ------------------------------------------------------------ signs
    Rule(("positive", "x"), "x", exact="ifc"),
    Rule(("add", "x", _negated("y")), ("subtract", "x", "y"), exact="ifc"),
    Rule(("subtract", "x", _negated("y")), ("add", "x", "y"), exact="ifc"),
    Rule(_negated(("subtract", "x", "y")), ("subtract", "y", "x"), exact="i", fast="fc"),
    Rule(("multiply", _negated("x"), _negated("y")), ("multiply", "x", "y"), exact="if", fast="c"),
    Rule(("divide", _negated("x"), _negated("y")), ("divide", "x", "y"), exact="f", fast="c"),
    Rule(("multiply", _negated("x"), "c"), ("multiply", "x", _negated("c")), exact="if", fast="c"),
    Rule(("divide", _negated("x"), "c"), ("divide", "x", _negated("c")), exact="f", fast="c"),
    Rule(("divide", "c", _negated("x")), ("divide", _negated("c"), "x"), exact="f", fast="c"),
    Rule(("abs", _negated("x")), ("abs", "x"), exact="if", when=_signed),
    Rule(("square", _negated("x")), ("square", "x"), exact="if", fast="c"),
    Rule(("square", ("abs", "x")), ("square", "x"), exact="if"),
    Rule(("cos", _negated("x")), ("cos", "x"), exact="f", fast="c"),
    Rule(("cosh", _negated("x")), ("cosh", "x"), exact="f", fast="c"),
    # ------------------------------------------------------------ powers
    Rule(("pow", "x", 0), 1, exact="ifc"),
    Rule(("pow", "x", 1), "x", exact="ifc"),
    Rule(("pow", "x", 2), ("square", "x"), exact="if", fast="c"),
    Rule(("pow", "x", -1), ("reciprocal", "x"), exact="f", fast="c"),
    Rule(("pow", "x", 0.5), ("sqrt", "x"), fast="fc"),
    Rule(("pow", "x", -0.5), ("rsqrt", "x"), fast="f"),
    Rule(("reciprocal", ("sqrt", "x")), ("rsqrt", "x"), exact="f"),
    Rule(("divide", 1, ("sqrt", "x")), ("rsqrt", "x"), exact="f"),
    Rule(("multiply", "x", ("reciprocal", "y")), ("divide", "x", "y"), fast="fc"),
    # ------------------------------------------------------------ inverse functions
    Rule(("log", ("exp", "x")), "x", fast="f"),
    Rule(("exp", ("log", "x")), "x", fast="fc"),
    Rule(("log1p", ("expm1", "x")), "x", fast="f"),
    Rule(("expm1", ("log1p", "x")), "x", fast="f"),
    Rule(("exp2", ("log2", "x")), "x", fast="f"),
    Rule(("log2", ("exp2", "x")), "x", fast="f"),
    Rule(("square", ("sqrt", "x")), "x", fast="fc"),
    Rule(("sqrt", ("square", "x")), ("abs", "x"), fast="f"),
    Rule(("sin", ("asin", "x")), "x", fast="f"),
    Rule(("cos", ("acos", "x")), "x", fast="f"),
    Rule(("tan", ("atan", "x")), "x", fast="f"),
    Rule(("sinh", ("asinh", "x")), "x", fast="f"),
    Rule(("asinh", ("sinh", "x")), "x", fast="f"),
    Rule(("tanh", ("atanh", "x")), "x", fast="f"),
    Rule(("atanh", ("tanh", "x")), "x", fast="f"),
    Rule(("logit", ("sigmoid", "x")), "x", fast="f"),
    Rule(("sigmoid", ("logit", "x")), "x", fast="f"),
    Rule(("erf", ("erfinv", "x")), "x", fast="f"),
    # ------------------------------------------------------------ more accurate or fewer operations
    Rule(("log", ("add", "x", 1)), ("log1p", "x"), fast="f"),
    Rule(("subtract", ("exp", "x"), 1), ("expm1", "x"), fast="f"),
    Rule(("reciprocal", ("add", ("exp", _negated("x")), 1)), ("sigmoid", "x"), fast="f"),
    Rule(("divide", 1, ("add", ("exp", _negated("x")), 1)), ("sigmoid", "x"), fast="f"),
    Rule(
        ("multiply", ("multiply", "x", "c"), "c2"), ("multiply", "x", ("multiply", "c", "c2")),
        fast="fc",
    ),
    Rule(("add", ("add", "x", "c"), "c2"), ("add", "x", ("add", "c", "c2")), fast="fc"),
    # ------------------------------------------------------------ choices
    Rule(("where", "y", "x", "x"), "x", exact="bifc"),
    Rule(("where", True, "x", "y"), "x", exact="bifc"),
    Rule(("where", False, "x", "y"), "y", exact="bifc"),
    Rule(("where", ("logical_not", "z"), "x", "y"), ("where", "z", "y", "x"), exact="bifc"),
    Rule(("where", "z", ("where", "z", "x", "w"), "y"), ("where", "z", "x", "y"), exact="bifc"),
    Rule(("where", "z", "x", ("where", "z", "w", "y")), ("where", "z", "x", "y"), exact="bifc"),
]  # fmt: skip
TABLE = Table(RULES)


@graph_pass("algebra")
def algebra(graph: Graph, fired: Fired, *, fast: bool = False) -> Graph:
    """Rewrite equations by the table of patterns; with `fast`, also where special values differ."""
    return rewritten(graph, lambda node: TABLE.simplified(node, fast, fired))
