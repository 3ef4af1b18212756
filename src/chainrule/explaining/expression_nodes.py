"""The parts of a parsed expression, and how each computes its value with chainrule's functions.

Chains such as `a + b - c` and `x[0].T` are one node with a list, not a node in a node, so that a
long expression is not a deep one: depth comes from parentheses only, and the parser bounds it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import chainrule as cr
from chainrule.explaining.expression_errors import excerpt
from chainrule.explaining.expression_functions import Function
from chainrule.explaining.expression_tokens import Token

ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "@": operator.matmul,
    "**": operator.pow,
}
COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "<": cr.lt,
    "<=": cr.le,
    ">": cr.gt,
    ">=": cr.ge,
    "==": cr.eq,
    "!=": cr.ne,
}


@dataclass(frozen=True, slots=True)
class Values:
    """What the variables are in one evaluation, and the text for errors to point into."""

    of: dict[str, Any]
    text: str

    @contextmanager
    def located(self, start: int, end: int) -> Iterator[None]:
        """An error inside keeps its type and words, and gets a note with the place."""
        try:
            yield
        except Exception as error:
            error.add_note(excerpt(self.text, start, end))
            raise


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A part of the expression: `text[start:end]`."""

    start: int
    end: int

    condition = False  # whether the value is true or false

    def evaluate(self, values: Values) -> Any:
        """The value: a tensor, or a Python number where it is known without computing."""
        raise NotImplementedError

    def tensor(self, values: Values) -> Any:
        """The value as a tensor; truths are 0 and 1."""
        value = self.evaluate(values)
        if isinstance(value, int | float):
            return cr.tensor(value, dtype=cr.float64)
        return value.to(cr.float64) if self.condition else value


@dataclass(frozen=True, slots=True, eq=False)
class Number(Node):
    """A number that stands in the text, or follows from such numbers."""

    value: Any

    def evaluate(self, values: Values) -> Any:
        return self.value


@dataclass(frozen=True, slots=True, eq=False)
class Variable(Node):
    name: str

    def evaluate(self, values: Values) -> Any:
        return values.of[self.name]


@dataclass(frozen=True, slots=True, eq=False)
class Negative(Node):
    of: Node

    def evaluate(self, values: Values) -> Any:
        return -self.of.tensor(values)


@dataclass(frozen=True, slots=True, eq=False)
class Chain(Node):
    """`first op node op node ...`, from left to right; the operators have equal precedence."""

    first: Node
    rest: list[tuple[Token, Node]]

    def evaluate(self, values: Values) -> Any:
        value = _operand(self.first, values)
        for token, node in self.rest:
            right = _operand(node, values)
            with values.located(token.start, token.end):
                value = ARITHMETIC[token.text](value, right)
        return value


def _operand(node: Node, values: Values) -> Any:
    """A number as it is, because `2*x` and `x**2` keep it; everything else as a tensor."""
    return node.value if isinstance(node, Number) else node.tensor(values)


@dataclass(frozen=True, slots=True, eq=False)
class Comparison(Node):
    """`first op node op node ...`, true where every pair of neighbours compares as it says."""

    first: Node
    rest: list[tuple[Token, Node]]
    condition = True

    def evaluate(self, values: Values) -> Any:
        left, result = self.first.tensor(values), None
        for token, node in self.rest:
            right = node.tensor(values)
            with values.located(token.start, token.end):
                holds = COMPARISONS[token.text](left, right)
                result = holds if result is None else cr.logical_and(result, holds)
            left = right
        return result


@dataclass(frozen=True, slots=True, eq=False)
class Logic(Node):
    """`a and b and ...`, or the same with `or`, for every entry."""

    symbol: str
    parts: list[Node]
    condition = True

    def evaluate(self, values: Values) -> Any:
        join = cr.logical_and if self.symbol == "and" else cr.logical_or
        result = self.parts[0].evaluate(values)
        for node in self.parts[1:]:
            right = node.evaluate(values)
            with values.located(self.start, node.end):
                result = join(result, right)
        return result


@dataclass(frozen=True, slots=True, eq=False)
class Not(Node):
    of: Node
    condition = True

    def evaluate(self, values: Values) -> Any:
        return cr.logical_not(self.of.evaluate(values))


@dataclass(frozen=True, slots=True, eq=False)
class Choice(Node):
    """`then if test else otherwise`: as in Python, only the chosen one is computed."""

    test: Node
    then: Node
    otherwise: Node

    def evaluate(self, values: Values) -> Any:
        test = self.test.evaluate(values)
        with values.located(self.test.start, self.test.end):
            if test.numel() != 1:
                shape = tuple(test.shape)
                raise RuntimeError(
                    f"the condition of 'if' has {test.numel()} entries (shape {shape}), which may "
                    "differ: write where(condition, a, b) to choose entry by entry"
                )
            chosen = self.then if test else self.otherwise
        return chosen.tensor(values)


@dataclass(frozen=True, slots=True, eq=False)
class Call(Node):
    function: Function
    arguments: list[Node]

    def evaluate(self, values: Values) -> Any:
        found = [n.evaluate(values) if n.condition else n.tensor(values) for n in self.arguments]
        with values.located(self.start, self.end):
            return self.function.apply(*found)


@dataclass(frozen=True, slots=True, eq=False)
class Vector(Node):
    """`[a, b, ...]`: numbers make a vector, vectors of equal length a matrix."""

    items: list[Node]
    shape: tuple[int, ...] | None  # where it is known from the text

    def evaluate(self, values: Values) -> Any:
        found = [node.tensor(values) for node in self.items]
        with values.located(self.start, self.end):
            return cr.stack(found)


@dataclass(frozen=True, slots=True, eq=False)
class Parts(Node):
    """`of[index][index].T ...`: indices and transposes, from left to right."""

    of: Node
    steps: list[tuple[Any, int, int]]  # an index, or "T"; and its place in the text

    def evaluate(self, values: Values) -> Any:
        value = self.of.tensor(values)
        for index, start, end in self.steps:
            with values.located(start, end):
                value = value.T if isinstance(index, str) else value[index]
        return value
