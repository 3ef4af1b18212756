"""Patterns: what a rule matches, what it becomes, and for which kinds of numbers it holds.

A pattern is a term: `("multiply", "x", 1)`.  Strings are variables, which match anything, the same
thing each time; those that begin with "c" match constants only.  Numbers match constants full of
that number, 0.0 and -0.0 apart.  The arguments of commutative operations match in either order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np

from chainrule.core.node import Node
from chainrule.core.primitive import REGISTRY
from chainrule.graph.passes.base import (
    UNKNOWN,
    Fired,
    Operand,
    fitting,
    known,
    make,
    number_in,
    operand,
    operand_of,
)
from chainrule.transforms.tracing import CONSTANT

Term = Any  # a variable (str), a number, or a tuple: the name of a primitive, and terms
Bound = dict[str, Operand]

COMMUTATIVE = frozenset({
    "add", "multiply", "maximum", "minimum", "fmax", "fmin", "logical_and", "logical_or",
    "logical_xor", "bitwise_and", "bitwise_or", "bitwise_xor", "equal", "not_equal",
})  # fmt: skip
MOST_STEPS = 20  # rules applied to one node, one after the other


@dataclass(frozen=True)
class Rule:
    """One line of the table.

    Attributes:
        left: what is matched.
        right: what it becomes: a term, or the operand that a function of the match makes.
        exact: the kinds of numbers (b, i, f, c: bool, integer, float, complex) for which results
            stay the same to the bit or within 4 ulp, nan, infinities and signed zeros included.
        fast: the kinds for which that holds for ordinary numbers only.
        when: a further condition on what the variables stand for.
        name: what reports call it.
    """

    left: Term
    right: Term
    exact: str = ""
    fast: str = ""
    when: Callable[[Bound], bool] | None = None
    note: str = ""

    @cached_property
    def name(self) -> str:
        """The rule as it is written in reports."""
        return f"{written(self.left)} → {written(self.right)}{self.note and ', ' + self.note}"

    def apply(self, node: Node, bound: Bound) -> Node | None:
        return fitting(_built(self.right, bound, node), node)


@dataclass(frozen=True)
class Procedure:
    """A rule whose left or right side is computed: from shapes, axes and other parameters.

    Attributes:
        name: what reports call it.
        prims: the primitives of the nodes that it looks at.
        change: gives the replacement of a node, or None.
        exact: False if the rule is for `fast` only.
    """

    name: str
    prims: tuple[str, ...]
    change: Callable[[Node], Node | None]
    exact: bool = True


# Written by name, because their symbols are also those of other operations.
_BY_NAME = ("reciprocal", "rsqrt", "square")


def written(term: Term) -> str:
    """A term as people write it."""
    if isinstance(term, bool):
        return str(term)
    if not isinstance(term, tuple):
        return term if isinstance(term, str) else f"{term:g}"
    name, *args = term
    symbol = None if name in _BY_NAME else REGISTRY[name].symbol
    if name == "pull_product":  # a cotangent times a derivative
        symbol = "{}·{}"
    if symbol is None or symbol.count("{}") != len(args):
        symbol = f"{name}({', '.join(['{}'] * len(args))})"
    shown = [written(a) for a in args]
    if symbol[-1] not in ")|":
        shown = [
            f"({s})" if s[0] == "-" or (isinstance(a, tuple) and s[-1] not in ")|") else s
            for s, a in zip(shown, args, strict=True)
        ]
    return symbol.format(*shown)


# ---------------------------------------------------------------- matching


def variants(term: Term) -> Iterator[Term]:
    """A pattern with the arguments of commutative operations in all orders."""
    if not isinstance(term, tuple):
        yield term
        return
    name, *args = term
    seen = set()
    for chosen in product(*[list(variants(a)) for a in args]):
        for order in (chosen, chosen[::-1]) if name in COMMUTATIVE else (chosen,):
            if repr(order) not in seen:
                seen.add(repr(order))
                yield (name, *order)


def match(pattern: Term, node: Node) -> Bound | None:
    """What the variables of a pattern stand for in a node; None if it does not match."""
    if len(node.args) != len(pattern) - 1:
        return None
    bound: Bound = {}
    pending = [(a, operand(node, i)) for i, a in enumerate(pattern[1:])]
    while pending:
        term, found = pending.pop()
        if isinstance(term, tuple):
            inner = found.node
            if inner is None or inner.prim.name != term[0] or len(inner.args) != len(term) - 1:
                return None
            if inner.params:
                return None
            pending += [(a, operand(inner, i)) for i, a in enumerate(term[1:])]
        elif isinstance(term, str):
            before = bound.setdefault(term, found)
            if before is not found and not same(before, found):
                return None
            if term[0] == "c" and known(*found) is UNKNOWN:
                return None
        elif not is_number(found, term):
            return None
    return bound


def same(a: Operand, b: Operand) -> bool:
    """Whether two operands are certainly the same value."""
    return a.node is b.node if a.node is not None else a.value is b.value and a.value is not None


def is_number(found: Operand, number: Any) -> bool:
    """Whether an operand is a constant full of a number; 0.0 is not -0.0."""
    value = known(*found)
    if value is UNKNOWN:
        return False
    value = number_in(value)
    if value is UNKNOWN or value != number:
        return False
    if number == 0:
        parts = (value.real, value.imag) if isinstance(value, complex) else (value,)
        return all(math.copysign(1, p) == math.copysign(1, number) for p in parts)
    return True


# ---------------------------------------------------------------- building


def _built(term: Term, bound: Mapping[str, Operand], node: Node) -> Operand:
    """The right-hand side; operations on constants are evaluated at once."""
    if isinstance(term, str):
        return bound[term]
    if not isinstance(term, tuple):
        return Operand(np.asarray(term), None)
    args = [_built(a, bound, node) for a in term[1:]]
    dt = next((o.value.dtype for o in args if o.node is not None), node.dtype)
    args = [o if o.node is not None else Operand(_cast(known(*o), dt), None) for o in args]
    if all(o.node is None for o in args):
        with np.errstate(all="ignore"):
            return Operand(np.asarray(REGISTRY[term[0]].eval(*[o.value for o in args])), None)
    return operand_of(make(term[0], args, node))


def _cast(value: Any, dt: np.dtype[Any]) -> np.ndarray:
    """A constant of a pattern in the dtype of what it meets; arrays have it already."""
    return value if type(value) is np.ndarray and value.ndim else np.asarray(value, dt)


# ---------------------------------------------------------------- the table at work

_KINDS = {"b": 0, "i": 1, "u": 1, "f": 2, "c": 3, "V": 4}


def kind_of(node: Node) -> str:
    """The widest kind of numbers that an equation works on; a condition does not count."""
    widest = 0
    for a in node.args[1:] if node.prim.name == "where" else node.args:
        widest = max(widest, _KINDS[a.dtype.kind if hasattr(a, "dtype") else node.dtype.kind])
    return "bifcV"[widest]


class Entries:
    """The rules for one primitive, by what stands where among its arguments."""

    def __init__(self) -> None:
        self.procedures: list[Procedure] = []
        # By place and operation there ("#": a constant); for the same twice; for anything.
        self.patterns: dict[tuple[int, str], list[tuple[Rule, Term]]] = {}
        self.twice: list[tuple[Rule, Term]] = []
        self.always: list[tuple[Rule, Term]] = []

    def add(self, rule: Rule, pattern: Term) -> None:
        feature = _feature(pattern)
        if feature is not None:
            self.patterns.setdefault(feature, []).append((rule, pattern))
        elif len(set(pattern[1:])) < len(pattern[1:]):
            self.twice.append((rule, pattern))
        else:
            self.always.append((rule, pattern))

    def candidates(self, node: Node) -> list[tuple[Rule, Term]]:
        """The patterns that may match a node."""
        found = list(self.always)
        for i, p in enumerate(node.parents):
            feature = "#" if p is None or p.prim is CONSTANT else p.prim.name
            found += self.patterns.get((i, feature), ())
        if self.twice and len(set(node.parents)) < len(node.parents):
            found += self.twice
        return found


class Table:
    """Rules, ready to be looked up by the operation of a node and by what its arguments are.

    A rule that expects an operation or a constant in some place is tried only where there is one.
    """

    def __init__(self, rules: Sequence[Rule | Procedure]) -> None:
        self.rules = rules
        self.entries: dict[Any, Entries] = {}
        for rule in rules:
            if isinstance(rule, Procedure):
                for name in rule.prims:
                    self._of(name).procedures.append(rule)
            else:
                for pattern in variants(rule.left):
                    self._of(pattern[0]).add(rule, pattern)

    def _of(self, name: str) -> Entries:
        return self.entries.setdefault(REGISTRY[name], Entries())

    def step(self, node: Node, fast: bool, fired: Fired) -> Node | None:
        """What the first rule that applies makes of a node."""
        entries = self.entries.get(node.prim)
        if entries is None:
            return None
        for procedure in entries.procedures:
            if fast or procedure.exact:
                found = procedure.change(node)
                if found is not None:
                    fired[procedure.name] += 1
                    return found
        candidates = entries.candidates(node)
        return self._by_pattern(node, candidates, fast, fired) if candidates else None

    def _by_pattern(self, node: Node, candidates: Any, fast: bool, fired: Fired) -> Node | None:
        kind = kind_of(node)
        for rule, pattern in candidates:
            if kind not in rule.exact and not (fast and kind in rule.fast):
                continue
            bound = match(pattern, node)
            if bound is None or (rule.when is not None and not rule.when(bound)):
                continue
            found = rule.apply(node, bound)
            if found is not None:
                fired[rule.name] += 1
                return found
        return None

    def simplified(self, node: Node, fast: bool, fired: Fired) -> Node:
        """A node after all rules that apply to it and to what they make of it."""
        for _ in range(MOST_STEPS):
            found = self.step(node, fast, fired)
            if found is None:
                return node
            node = found
        return node


def _feature(pattern: Term) -> tuple[int, str] | None:
    """The first argument that is no variable: its place, and its operation ("#": a constant)."""
    for i, term in enumerate(pattern[1:]):
        if isinstance(term, tuple):
            return i, term[0]
    for i, term in enumerate(pattern[1:]):
        if not isinstance(term, str) or term[0] == "c":
            return i, "#"
    return None


__all__ = ["COMMUTATIVE", "Procedure", "Rule", "Table", "written"]
