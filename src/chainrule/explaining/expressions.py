"""Mathematical expressions as functions: read from text, safely, and computed on tensors.

The text is read by a parser of its own that knows numbers, variables, the functions of
`expression_functions.py` and nothing else.  No part of it is ever run as Python, so a text can do
nothing but compute; its length and depth are bounded, and so is the time to read it.

Precedence climbing: V. Pratt, "Top down operator precedence" (1973).  The precedences are
Python's.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import chainrule as cr
from chainrule.core.tensor import Tensor
from chainrule.explaining.expression_errors import ExpressionError, suggestion
from chainrule.explaining.expression_functions import CONSTANTS, FUNCTIONS
from chainrule.explaining.expression_nodes import Node, Number, Values, Vector
from chainrule.explaining.expression_parser import Parser, ValueParser
from chainrule.explaining.expression_tokens import spelled, tokenize

MAX_VALUE_LENGTH = 100_000

__all__ = ["Expression", "ExpressionError", "parse", "parse_value"]


class Expression:
    """A mathematical expression that can be called with values for its variables.

    Attributes:
        text: as it was given; `str()` gives it in ASCII.
        variables: the names, in order of first appearance.

    >>> from chainrule.explaining.expressions import parse
    >>> f = parse("x₁² + sin(x₂)")
    >>> f
    Expression('x1**2 + sin(x2)')
    >>> f.variables
    ('x1', 'x2')
    >>> f(x1=3, x2=0)
    tensor(9., dtype=chainrule.float64)
    """

    def __init__(self, text: str) -> None:
        tokens = tokenize(_checked(text))
        parser = Parser(text, tokens)
        self.text = text
        self._root: Node = parser.whole()
        self._places = parser.variables
        self._spelled = spelled(tokens)
        self.variables = tuple(parser.variables)
        self.__name__ = "expression"
        either = inspect.Parameter.POSITIONAL_OR_KEYWORD
        self.__signature__ = inspect.Signature(
            [inspect.Parameter(name, either) for name in self.variables]
        )

    def __call__(self, /, *args: Any, **values: Any) -> Tensor:
        """The value where the variables have these values.

        Args:
            args, values: numbers, arrays, nested sequences or tensors, in the order of `variables`
                or by name.  Tensors are used as they are, so that operations on them are recorded;
                everything else, and tensors of integers, become tensors of float64.

        Raises:
            ExpressionError: if a variable has no value, or two, or a value has no variable.
            TypeError: if a value is not numeric.
            RuntimeError, IndexError: as chainrule's functions do; a note shows the place.
        """
        given = self.assigned(args, values)
        operands = {name: _operand(name, given[name]) for name in self.variables}
        value = self._root.evaluate(Values(operands, self.text))
        return value if isinstance(value, Tensor) else cr.tensor(value, dtype=cr.float64)

    def assigned(self, args: Sequence[Any], values: Mapping[str, Any]) -> dict[str, Any]:
        """Which variable has which value.

        Raises:
            ExpressionError: if a variable has no value, or two, or a value has no variable.
        """
        if len(args) > len(self.variables):
            message = f"{len(args)} values are given, but {self._names()}"
            raise ExpressionError(message, self.text)
        given = dict(zip(self.variables, args, strict=False))
        for name, value in values.items():
            if name in given:
                raise ExpressionError(f"'{name}' has two values", self.text, *self._places[name])
            self._check_known(name)
            given[name] = value
        for name, place in self._places.items():
            if name not in given:
                message = f"'{name}' has no value: give one with {name}=…"
                raise ExpressionError(message, self.text, *place)
        return given

    def _check_known(self, name: str) -> None:
        if name in self._places:
            return
        if name in FUNCTIONS:
            message = f"'{name}' is a function and cannot be given a value"
        elif name in CONSTANTS:
            message = f"'{name}' is a constant ({CONSTANTS[name]:.6g}) and cannot be given a value"
        else:
            hint = suggestion(name, self.variables)
            message = f"there is no variable '{name}'" + (hint or f": {self._names()}")
        raise ExpressionError(message, self.text)

    def _names(self) -> str:
        if not self.variables:
            return "the expression has no variables"
        plural = len(self.variables) > 1
        return f"the variable{'s' * plural} {'are' if plural else 'is'} {', '.join(self.variables)}"

    def __repr__(self) -> str:
        return f"Expression({self._spelled!r})"

    def __str__(self) -> str:
        return self._spelled

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and self._spelled == other._spelled

    def __hash__(self) -> int:
        return hash(self._spelled)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Expression, (self.text,))


def parse(text: str) -> Expression:
    """Read a mathematical expression, such as `log(x1) + x1*x2 - sin(x2)`.

    Operators: + - * / @, ^ or ** for powers, comparisons, `and`, `or`, `not`, `a if c else b`.
    Vectors and matrices are written `[1, 2]` and `[[1, 2], [3, 4]]`; `x[0]`, `x[1:3]` and `x.T` are
    parts of one.  Mathematical characters may be used: `x₁²·√y ≤ π`.

    Raises:
        ExpressionError: with the place, if the text is not an expression.

    >>> from chainrule.explaining.expressions import parse
    >>> x = cr.tensor([3.0, 4.0], dtype=cr.float64, requires_grad=True)
    >>> parse("norm(x) + x[0]^2")(x).backward()
    >>> x.grad
    tensor([6.6000, 0.8000], dtype=chainrule.float64)
    >>> parse("2*sine(x)")
    Traceback (most recent call last):
      ...
    chainrule...ExpressionError: unknown function 'sine': did you mean 'sin'?
      2*sine(x)
        ^^^^
    """
    return Expression(text)


def parse_value(text: str) -> Any:
    """Read a number, such as `2`, `-1.5e3`, `pi/2` or `2+1j`, or an array, `[[1, 2], [3, 4]]`.

    Returns an int, a float, a complex number, or an array of float64 or complex128.

    Raises:
        ExpressionError: with the place, if the text is anything else.

    >>> from chainrule.explaining.expressions import parse_value
    >>> parse_value("1/4"), parse_value("[1, 2]")
    (0.25, array([1., 2.]))
    """
    parser = ValueParser(_checked(text), tokenize(text, MAX_VALUE_LENGTH))
    node = parser.whole()
    if isinstance(node, Number):
        return node.value
    nested = _nested(node, text)
    kind = np.complex128 if parser.imaginary else np.float64
    return np.array(nested, dtype=kind)


def _nested(node: Node, text: str) -> Any:
    """Lists of numbers from the entries of an array."""
    if isinstance(node, Number):
        return node.value
    if isinstance(node, Vector):
        return [_nested(item, text) for item in node.items]
    message = "a value is a number, or an array of numbers such as [1, 2]"
    raise ExpressionError(message, text, node.start, node.end)


def _checked(text: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"an expression is a str, not {type(text).__name__}")
    return text


def _operand(name: str, value: Any) -> Tensor:
    """A value of the user's as what expressions compute with."""
    if isinstance(value, Tensor):
        exact = value.is_floating_point() or value.is_complex()
        return value if exact else value.to(cr.float64)
    found = np.asarray(value)
    if found.dtype.kind not in "biufc":
        raise TypeError(
            f"the value of '{name}' is {type(value).__name__}: "
            "give a number, an array of numbers, or a tensor"
        )
    return cr.tensor(found, dtype=cr.complex128 if found.dtype.kind == "c" else cr.float64)
