"""The chain rule on expressions, with and without sharing.

Without sharing, derivatives are formulas, made as in a textbook: each rule of differentiation
writes a new formula from those of its parts,

    (u + v)' = u' + v',   (u·v)' = u'·v + u·v',   f(u)' = f'(u)·u',

where terms whose derivative is 0 are left out, and factors 1 are not written.  Formulas repeat
their parts; that is what *expression swell* is.

With sharing, derivatives are adjoints: one pass from the result to the inputs, in which every
subexpression is named and used again.  Both compute with the same local derivatives.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from chainrule.core.node import Node
from chainrule.graph.symbolic.expressions import Builder, Expr, is_leaf, postorder
from chainrule.graph.symbolic.rules import Locals, local_term
from chainrule.graph.symbolic.simplify import operands


def naive(b: Builder, out: Expr, leaves: Sequence[Node]) -> list[Expr]:
    """The derivatives of an expression by some inputs, each a formula by the rules of calculus."""
    if type(out) is not Node:
        return [out.dtype.type(0) for _ in leaves]
    order = postorder([out])
    users: dict[Node, list[Node]] = {}
    for node in order:
        if not is_leaf(node):
            for p in node.parents:
                if p is not None:
                    users.setdefault(p, []).append(node)
    place = {n: i for i, n in enumerate(order)}
    locals_ = Locals(b)
    return [_along(b, out, leaf, users, place, locals_) for leaf in leaves]


def _along(
    b: Builder, out: Node, leaf: Node, users: dict[Node, list[Node]], place: dict[Node, int],
    locals_: Locals,
) -> Expr:  # fmt: skip
    """The derivative by one input: forward over what depends on it."""
    known: dict[Node, Expr] = {leaf: leaf.dtype.type(1)}
    for node in _dependents(leaf, users, place):
        found = _derivative(b, node, known, locals_)
        if found is not None:
            known[node] = found
    found = known.get(out)
    return out.dtype.type(0) if found is None else found


def _dependents(leaf: Node, users: dict[Node, list[Node]], place: dict[Node, int]) -> list[Node]:
    """The nodes that an input has a part in, in order."""
    found: set[Node] = set()
    stack = list(users.get(leaf, ()))
    while stack:
        node = stack.pop()
        if node not in found:
            found.add(node)
            stack += users.get(node, ())
    return sorted(found, key=place.__getitem__)


def _derivative(b: Builder, node: Node, known: dict[Node, Expr], locals_: Locals) -> Expr | None:
    """u' for one node; None if it is zero."""
    d = [known.get(p) if p is not None else None for p in node.parents]
    if node.prim.name == "divide" and None not in d:
        return _quotient(b, node, d)
    if node.prim.name == "where":
        zero = node.dtype.type(0)
        if d[1] is None and d[2] is None:
            return None
        return b.apply("where", operands(node)[0], *[zero if x is None else x for x in d[1:]])
    total = None
    for i, x in enumerate(d):
        local = None if x is None else locals_.of(node, i)
        if local is None or x is None:
            continue
        if x.dtype != node.dtype:
            x = b.apply("astype", x, dtype=node.dtype)
        x, negative = _signed(x, local.negative)
        total = accumulated(b, total, local_term(b, local, x), negative)
    return total


def _quotient(b: Builder, node: Node, d: Sequence[Expr]) -> Expr:
    """(u/v)' = (u'·v - u·v')/v²."""
    u, v = operands(node)
    above = b.apply("subtract", b.times(d[0], v), b.times(u, d[1]))
    return b.over(above, b.apply("square", v))


def accumulated(
    b: Builder, total: Expr | None, term: Expr, negative: bool, front: bool = False
) -> Expr:
    """A sum with one more term, or one less; the sign of a term becomes that of the sum."""
    if (opposite := _opposite(term)) is not None:
        term, negative = opposite, not negative
    if total is None:
        return b.minus(term) if negative else term
    if not negative and (opposite := _opposite(total)) is not None:
        return b.apply("subtract", term, opposite)
    if front and not negative:
        return b.apply("add", term, total)
    return b.apply("subtract" if negative else "add", total, term)


def _signed(x: Expr, negative: bool) -> tuple[Expr, bool]:
    """A factor without its sign, which becomes that of the product: u·(−v) is −u·v."""
    opposite = _opposite(x)
    return (x, negative) if opposite is None else (opposite, not negative)


def _opposite(x: Expr) -> Expr | None:
    """The expression of which another is the opposite."""
    return operands(x)[0] if type(x) is Node and x.prim.name == "negative" else None


def adjoints(b: Builder, out: Expr, leaves: Sequence[Node]) -> list[Expr]:
    """The derivatives of an expression by some inputs: reverse accumulation, with sharing."""
    if type(out) is not Node:
        return [out.dtype.type(0) for _ in leaves]
    locals_ = Locals(b)
    wanted = set(leaves)
    order = postorder([out])
    live: set[Node] = set()
    for node in order:
        if node in wanted or (not is_leaf(node) and not live.isdisjoint(node.parents)):
            live.add(node)
    adjoint: dict[Node, Expr] = {out: out.dtype.type(1)}
    for node in reversed(order):
        g = adjoint.get(node)
        if g is None or is_leaf(node) or node not in live:
            continue
        for i, p in enumerate(node.parents):
            local = locals_.of(node, i) if p in live else None
            if local is None or p is None:
                continue
            factor, negative = _signed(g, local.negative)
            term = local_term(b, local, factor, behind=True)
            if term.dtype != p.dtype:
                term = b.apply("astype", term, dtype=p.dtype)
            # Terms arrive from the last use to the first: the new one is written in front.
            adjoint[p] = accumulated(b, adjoint.get(p), term, negative, front=True)
    return [adjoint.get(leaf, np.zeros((), leaf.dtype)[()]) for leaf in leaves]
