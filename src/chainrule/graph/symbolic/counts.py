"""Operations of formulas, counted without writing them.

A formula is held as a directed acyclic graph.  Shared, every distinct operation counts once.  As a
tree, an operation counts as often as it would be written; the size of the tree of a node is its
own operation plus the sizes of the trees of its operands, so one pass over the graph finds it.
Trees may have more operations than fit any machine number; these are Python integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from chainrule.core.node import Node
from chainrule.graph.symbolic.expressions import Expr, is_leaf, postorder


class Operations(NamedTuple):
    """How many operations of each kind a formula has.

    Attributes:
        additions: sums and differences of two numbers.
        multiplications: products of two numbers.
        divisions: quotients and reciprocals.
        negations: changes of sign.
        powers: squares and powers.
        functions: functions such as sin, and everything else that is computed: comparisons,
            selections, casts.

    >>> import chainrule as cr
    >>> df = cr.graph.symbolic_grad(lambda x, y: x * y * cr.sin(x), ["x", "y"])
    >>> df.operations.multiplications
    4
    """

    additions: int = 0
    multiplications: int = 0
    divisions: int = 0
    negations: int = 0
    powers: int = 0
    functions: int = 0

    @property
    def total(self) -> int:
        """All operations."""
        return sum(self)

    def __str__(self) -> str:
        parts = [
            f"{n:,} {name if n != 1 else name[:-1]}"
            for n, name in zip(self, self._fields, strict=True) if n
        ]  # fmt: skip
        return ", ".join(parts) or "no operations"


_KINDS = {
    "add": 0, "subtract": 0, "multiply": 1, "divide": 2, "reciprocal": 2, "negative": 3,
    "square": 4, "pow": 4,
}  # fmt: skip
_OTHER = 5


def _kind(node: Node) -> int:
    return _KINDS.get(node.prim.name, _OTHER)


def shared_operations(roots: Sequence[Expr]) -> Operations:
    """Operations of expressions in which every distinct subexpression is computed once."""
    counts = [0] * 6
    for node in postorder(roots):
        if not is_leaf(node):
            counts[_kind(node)] += 1
    return Operations(*counts)


def tree_operations(roots: Sequence[Expr]) -> Operations:
    """Operations of formulas written out, with every subexpression as often as it is used."""
    order = postorder(roots)
    uses = dict.fromkeys(order, 0)
    for root in roots:
        if type(root) is Node:
            uses[root] += 1
    # How often a node is written: as often as what uses it, once for each use.
    for node in reversed(order):
        if not is_leaf(node):
            for p in node.parents:
                if p is not None:
                    uses[p] += uses[node]
    counts = [0] * 6
    for node in order:
        if not is_leaf(node):
            counts[_kind(node)] += uses[node]
    return Operations(*counts)
