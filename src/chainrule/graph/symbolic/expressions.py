"""Expressions: formulas of single numbers, each distinct one made once.

An expression is a node of a graph whose value is one number, or a constant.  Nodes are those of
graphs, so an expression is printed, run and differentiated like any graph.  Equal expressions are
the same object: a formula is a directed acyclic graph, and the tree that it stands for, in which
shared parts are repeated, may be exponentially larger.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import Any

import numpy as np

from chainrule.core.node import Aval, Node
from chainrule.core.primitive import REGISTRY, make_node
from chainrule.transforms.tracing import INPUT, abstract

Expr = Any  # a Node of shape (), or a NumPy scalar: a constant

LIMIT = 500_000  # distinct subexpressions
NOWHERE = (None, -1)
_COMMUTES = frozenset({"add", "multiply", "maximum", "minimum", "logical_and", "logical_or"})


class TooLarge(ValueError):  # noqa: N818 - says what is wrong
    """An expression is too large to be written out."""

    __module__ = "chainrule.graph"


class Builder:
    """Makes expressions; constants are computed, and what is known is not made again.

    Attributes:
        simplify: whether to simplify as well, without a change of the value (`simplify.py`).
        place: the user's line that new nodes belong to.
    """

    def __init__(self, simplify: bool = False) -> None:
        self.simplify = simplify
        self.place: Any = NOWHERE
        self._known: dict[Any, Node] = {}
        self._dtypes: dict[Any, np.dtype[Any]] = {}

    def apply(self, name: str, *args: Any, **params: Any) -> Expr:
        """A primitive of expressions and Python numbers."""
        prim = REGISTRY[name]
        xs = self._operands(args)
        if name == "multiply" and type(xs[0]) is Node is not type(xs[1]):
            xs.reverse()  # as people write it: 4x
        if not any(type(x) is Node for x in xs):
            with np.errstate(all="ignore"):
                return np.asarray(prim.eval(*map(np.asarray, xs), **params))[()]
        if self.simplify:
            from chainrule.graph.symbolic.simplify import simpler

            found = simpler(self, name, xs)
            if found is not None:
                return found
        return self._node(name, xs, params)

    def _node(self, name: str, xs: Sequence[Expr], params: dict[str, Any]) -> Node:
        parts = list(map(key_of, xs))
        if name in _COMMUTES:
            parts.sort(key=str)
        key = (name, *parts, *sorted(params.items(), key=str))
        found = self._known.get(key)
        if found is not None:
            return found
        if len(self._known) >= LIMIT:
            raise TooLarge(
                f"the expression has more than {LIMIT:,} distinct subexpressions; differentiate "
                "a smaller one, or use graph.grad(), which keeps tensors whole"
            )
        parents = [x if type(x) is Node else None for x in xs]
        out = abstract((), self._dtype(name, xs, params))
        values = [x.out if type(x) is Node else np.asarray(x) for x in xs]
        node = make_node(REGISTRY[name], tuple(values), out, params, tuple(parents), self.place)
        node.shape, node.dtype = (), out.dtype
        self._known[key] = node
        return node

    def _dtype(self, name: str, xs: Sequence[Expr], params: dict[str, Any]) -> np.dtype[Any]:
        key = (name, *[x.dtype for x in xs], str(params) if name == "astype" else "")
        found = self._dtypes.get(key)
        if found is None:
            aval = REGISTRY[name].aval
            assert aval is not None
            made = aval(*[Aval((), x.dtype) for x in xs], **params)
            found = self._dtypes[key] = np.dtype(made.dtype)
        return found

    def _operands(self, args: Sequence[Any]) -> list[Expr]:
        """Python numbers take the dtype of the other operands."""
        if not any(type(x) in (int, float) for x in args):
            return list(args)
        dt = next((x.dtype for x in args if hasattr(x, "dtype") and x.dtype.kind == "f"), None)
        return [
            (dt or np.dtype(np.float64)).type(x) if type(x) in (int, float) else x for x in args
        ]

    # ------------------------------------------------------------ what a student would leave out

    def times(self, a: Expr, b: Expr) -> Expr:
        """A product; a factor 1 is not written, of a factor -1 only the sign."""
        for one, other in ((a, b), (b, a)):
            if is_number(one, 1):
                return other
            if is_number(one, -1):
                return self.minus(other)
        return self.apply("multiply", a, b)

    def over(self, a: Expr, b: Expr) -> Expr:
        """A quotient; a denominator 1 is not written."""
        return a if is_number(b, 1) else self.apply("divide", a, b)

    def minus(self, a: Expr) -> Expr:
        """The opposite."""
        return self.apply("negative", a)

    def total(self, terms: Sequence[Expr]) -> Expr:
        """The sum of terms, from left to right; 0.0 without any."""
        if not terms:
            return np.float64(0)
        found = terms[0]
        for t in terms[1:]:
            found = self.apply("add", found, t)
        return found

    def product(self, factors: Sequence[Expr]) -> Expr:
        """The product of factors, from left to right; 1.0 without any."""
        if not factors:
            return np.float64(1)
        found = factors[0]
        for f in factors[1:]:
            found = self.apply("multiply", found, f)
        return found


def key_of(x: Expr) -> Any:
    """What tells an expression from others; constants are equal if all their bits are."""
    return id(x) if type(x) is Node else (x.dtype.str, x.tobytes())


def is_number(x: Expr, value: float) -> bool:
    """Whether an expression is this constant."""
    return type(x) is not Node and bool(x == value)


def is_leaf(node: Node) -> bool:
    """Whether a node is an input, or an entry of one: where formulas end."""
    return node.prim is INPUT or (
        node.prim.name == "getitem" and node.parents[0] is not None
        and node.parents[0].prim is INPUT
    )  # fmt: skip


def postorder(roots: Iterable[Expr], ends: Container[Node] = ()) -> list[Node]:
    """All nodes that some expressions are made of, each after its operands; no recursion.

    The operands of `ends` are left out, as those of inputs are.
    """
    done: dict[Node, None] = {}
    for root in roots:
        if type(root) is not Node or root in done:
            continue
        stack = [root]
        while stack:
            node = stack[-1]
            if node in done:
                stack.pop()
                continue
            missing = (
                []
                if node in ends or is_leaf(node)
                else [p for p in node.parents if p is not None and p not in done]
            )
            if missing:
                stack += reversed(missing)
                continue
            done[node] = None
            stack.pop()
    return list(done)


def use_counts(roots: Sequence[Expr]) -> dict[Node, int]:
    """How often each operation of some expressions is used, in the order of `postorder`."""
    order = postorder(roots)
    uses = dict.fromkeys(order, 0)
    for node in order:
        if not is_leaf(node):
            for p in node.parents:
                if p is not None:
                    uses[p] += 1
    for r in roots:
        if type(r) is Node:
            uses[r] += 1
    return uses


def substituted(builder: Builder, root: Expr, known: dict[Node, Expr]) -> Expr:
    """An expression with other expressions in place of some of its nodes."""
    if type(root) is not Node:
        return root
    found = dict(known)
    stack = [root]
    while stack:
        node = stack[-1]
        if node in found:
            stack.pop()
            continue
        missing = [p for p in node.parents if p is not None and p not in found]
        if missing:
            stack += missing
            continue
        args = [
            np.asarray(a)[()] if p is None else found[p]
            for a, p in zip(node.args, node.parents, strict=True)
        ]
        if node.prim.name == "constant":
            found[node] = args[0]
        else:
            found[node] = builder.apply(node.prim.name, *args, **(node.params or {}))
        stack.pop()
    return found[root]
