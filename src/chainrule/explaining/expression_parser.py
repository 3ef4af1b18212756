"""From tokens to the parts of an expression, by precedence climbing.

Every method takes what it reads off the list of tokens and returns a node; what does not belong is
an ExpressionError at its place.  Arithmetic on numbers is done here, with care for its size.
"""

from __future__ import annotations

import cmath
import keyword
import math
from dataclasses import replace
from typing import Any, NoReturn

from chainrule.explaining.expression_errors import ExpressionError, suggestion
from chainrule.explaining.expression_functions import CONSTANTS, FUNCTIONS
from chainrule.explaining.expression_nodes import (
    ARITHMETIC,
    COMPARISONS,
    Call,
    Chain,
    Choice,
    Comparison,
    Logic,
    Negative,
    Node,
    Not,
    Number,
    Parts,
    Variable,
    Vector,
)
from chainrule.explaining.expression_tokens import WORDS, Token

MAX_DEPTH = 64
EXACT = 2**53  # integers up to here are float64 numbers

IF, OR, AND, NOT, COMPARE, SUM, PRODUCT, SIGN, POWER = range(9)
_RANKS = (
    {"if": IF, "or": OR, "and": AND, "+": SUM, "-": SUM, "**": POWER}
    | dict.fromkeys("*/@", PRODUCT)
    | dict.fromkeys(COMPARISONS, COMPARE)
)

# Functions that other places have, and how to write them here.
_ELSEWHERE = {
    "arctg": "atan(…)", "cbrt": "…^(1/3)", "cot": "1/tan(…)", "csc": "1/sin(…)", "e": "exp(…)",
    "lg": "log10(…)", "pow": "…^…", "power": "…^…", "sec": "1/cos(…)", "tg": "tan(…)",
    "transpose": "….T",
}  # fmt: skip


class Parser:
    """Reads one expression.

    Attributes:
        variables: where each name stands first, in that order.
    """

    nothing = "the expression is empty"

    def __init__(self, text: str, tokens: list[Token]) -> None:
        self.text = text
        self.tokens = tokens
        self.at = 0
        self.depth = 0
        self.variables: dict[str, tuple[int, int]] = {}

    def whole(self) -> Node:
        """All tokens as one expression."""
        if self.peek().kind == "end":
            raise ExpressionError(self.nothing, self.text)
        node = self.expression()
        if self.peek().kind != "end":
            self.stray()
        return node

    def expression(self, lowest: int = IF) -> Node:
        """An operand, and the operators after it that bind at least as tightly as `lowest`."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.fail(f"the expression is nested more than {MAX_DEPTH} deep", self.peek())
        left = self.operand(lowest)
        while (rank := self.rank()) >= lowest:
            if rank == IF:
                left = self.choice(left)
            elif rank in (OR, AND):
                left = self.logic(left, rank)
            elif rank == COMPARE:
                rest = self.operators(rank)
                left = Comparison(left.start, rest[-1][1].end, left, rest)
            else:
                left = self.arithmetic(left, rank)
        self.depth -= 1
        return left

    def operators(self, rank: int) -> list[tuple[Token, Node]]:
        """All of `op node op node ...` whose operators have this rank."""
        found = []
        while self.rank() == rank:
            token = self.take()
            # A power binds its exponent from the right, and the exponent may have a sign.
            found.append((token, self.expression(SIGN if rank == POWER else rank + 1)))
        return found

    def arithmetic(self, left: Node, rank: int) -> Node:
        """The operators of one rank, after doing what has numbers on both sides."""
        rest = self.operators(rank)
        while rest and isinstance(left, Number):
            token, right = rest[0]
            if not isinstance(right, Number):
                break
            left = self.computed(token, left, right)
            del rest[0]
        return Chain(left.start, rest[-1][1].end, left, rest) if rest else left

    def computed(self, token: Token, left: Number, right: Number) -> Number:
        try:
            value = arithmetic(token.text, left.value, right.value)
        except ArithmeticError as error:
            raise ExpressionError(str(error), self.text, left.start, right.end) from None
        return Number(left.start, right.end, value)

    def logic(self, left: Node, rank: int) -> Node:
        rest = self.operators(rank)
        symbol = rest[0][0].text
        parts = [self.condition(node) for node in [left, *(node for _, node in rest)]]
        return Logic(left.start, parts[-1].end, symbol, parts)

    def choice(self, then: Node) -> Node:
        word = self.take()
        test = self.condition(self.expression(OR))
        if self.peek().text != "else":
            if self.peek().kind == "end":
                self.fail("'if' has no 'else': write a if condition else b", word)
            self.stray()
        self.take()
        otherwise = self.expression(IF)
        return Choice(then.start, otherwise.end, test, then, otherwise)

    def condition(self, node: Node) -> Node:
        if not node.condition:
            message = "a condition is expected here, such as x > 0"
            raise ExpressionError(message, self.text, node.start, node.end)
        return node

    def operand(self, lowest: int) -> Node:
        """Signs and `not`, or a number, a name, a group, a vector, with what is applied to it."""
        token = self.take()
        if token.text in ("-", "+") and token.kind == "op":
            node = self.expression(SIGN)
            if token.text == "+":
                return node
            if isinstance(node, Number):
                return Number(token.start, node.end, -node.value)
            return Negative(token.start, node.end, node)
        if token.text == "not":
            if lowest > NOT:
                self.fail("put 'not' and what it negates in parentheses", token)
            node = self.condition(self.expression(NOT))
            return Not(token.start, node.end, node)
        return self.parts(self.atom(token))

    def atom(self, token: Token) -> Node:
        if token.kind == "number":
            return self.number(token)
        if token.kind == "name" and token.text not in WORDS:
            return self.name(token)
        if token.text == "(" and self.peek().text != ")":
            node = self.expression()
            self.expect(")")
            return replace(node, start=token.start, end=self.last().end)
        if token.text == "[" and self.peek().text != "]":
            return self.vector(token)
        if token.text in ("(", "["):
            message = f"there is nothing between '{token.text}' and '{self.peek().text}'"
            raise ExpressionError(message, self.text, token.start, self.peek().end)
        self.missing(token)

    def number(self, token: Token) -> Node:
        value = float(token.text)
        if not math.isfinite(value):
            self.fail("the number is too large for a float64, which ends at 1.8e308", token)
        whole = token.text.isdigit() and value <= EXACT
        return Number(token.start, token.end, int(value) if whole else value)

    def name(self, token: Token) -> Node:
        name = token.text
        if self.peek().text == "(":
            if name in FUNCTIONS:
                return self.call(token)
            self.not_callable(token)
        if name in FUNCTIONS:
            self.fail(f"'{name}' is a function: write {name}(…)", token)
        if name in CONSTANTS:
            return Number(token.start, token.end, CONSTANTS[name])
        if name.startswith("_"):
            self.fail("a name begins with a letter", token)
        if keyword.iskeyword(name):
            self.fail(f"'{name}' is a word of Python's and cannot name a variable", token)
        self.variables.setdefault(name, (token.start, token.end))
        return Variable(token.start, token.end, name)

    def call(self, token: Token) -> Node:
        name, function = token.text, FUNCTIONS[token.text]
        self.take()
        arguments = [] if self.peek().text == ")" else self.entries(")")
        end = self.take().end
        if not function.least <= len(arguments) <= function.most:
            message = f"{name} takes {function.arguments()}, not {len(arguments)}"
            raise ExpressionError(message, self.text, token.start, end)
        if name == "where":
            self.condition(arguments[0])
        return Call(token.start, end, function, arguments)

    def entries(self, closing: str) -> list[Node]:
        """Expressions separated by commas, up to the closing bracket."""
        found = [self.expression()]
        while self.peek().text == ",":
            self.take()
            found.append(self.expression())
        if self.peek().text != closing:
            self.stray()
        return found

    def vector(self, token: Token) -> Node:
        items = self.entries("]")
        end = self.take().end
        shapes = [shape for item in items if (shape := written_shape(item)) is not None]
        for other in shapes:
            if other != shapes[0]:
                message = f"the entries differ in shape: {_sized(shapes[0])} and {_sized(other)}"
                raise ExpressionError(message, self.text, token.start, end)
        shape = (len(items), *shapes[0]) if shapes else None
        return Vector(token.start, end, items, shape)

    def parts(self, node: Node) -> Node:
        """Indices and transposes after an operand."""
        before, steps = self.last(), []
        while (token := self.peek()).text in (".", "["):
            if before.kind == "number":
                self.fail("a number has no parts: '.' and '[' follow vectors and matrices", token)
            self.take()
            if token.text == ".":
                after = self.take()
                if after.text != "T":
                    message = "no attribute is available but .T, the transpose"
                    raise ExpressionError(message, self.text, token.start, after.end)
                steps.append(("T", token.start, after.end))
            else:
                steps.append((self.index(), token.start, self.take().end))
        return Parts(node.start, self.last().end, node, steps) if steps else node

    def index(self) -> Any:
        """Whole numbers and slices, separated by commas, before a closing bracket."""
        found = [self.index_entry()]
        while self.peek().text == ",":
            self.take()
            found.append(self.index_entry())
        if self.peek().text != "]":
            self.fail("an index is made of whole numbers, such as x[0], x[0, 1], x[1:3]")
        return tuple(found) if len(found) > 1 else found[0]

    def index_entry(self) -> int | slice:
        start = self.whole_number()
        if self.peek().text == ":":
            self.take()
            return slice(start, self.whole_number())
        if start is None:
            self.fail("an index is made of whole numbers, such as x[0], x[0, 1], x[1:3]")
        return start

    def whole_number(self) -> int | None:
        negative = self.peek().text == "-"
        token = self.tokens[self.at + negative]
        if token.kind != "number" or not token.text.isdigit() or len(token.text) > 18:
            return None
        self.at += 1 + negative
        return -int(token.text) if negative else int(token.text)

    def peek(self) -> Token:
        return self.tokens[self.at]

    def last(self) -> Token:
        return self.tokens[self.at - 1]

    def take(self) -> Token:
        token = self.tokens[self.at]
        self.at = min(self.at + 1, len(self.tokens) - 1)
        return token

    def rank(self) -> int:
        return _RANKS.get(self.peek().text, -1)

    def expect(self, closing: str) -> None:
        if self.peek().text != closing:
            self.stray()
        self.take()

    def fail(self, message: str, token: Token | None = None) -> NoReturn:
        token = token or self.peek()
        raise ExpressionError(message, self.text, token.start, token.end)

    def missing(self, token: Token) -> NoReturn:
        """There is no operand where `token` stands."""
        index = self.tokens.index(token)
        if token.kind == "end":
            self.fail(f"a value is missing after {self.shown(self.tokens[index - 1])}", token)
        self.fail(f"a value is missing before {self.shown(token)}", token)

    def stray(self) -> NoReturn:
        """The next token does not go on with what has been read."""
        token, before = self.peek(), self.last()
        word = token.kind in ("number", "name") and not keyword.iskeyword(token.text)
        if word or token.text == "(":
            left = before.text if before.kind in ("number", "name") else "(…)"
            right = "(…)" if token.text == "(" else token.text
            right += "(…)" * (token.text in FUNCTIONS)
            message = f"an operator is missing: did you mean {left}*{right}?"
            raise ExpressionError(message, self.text, before.start, token.end)
        if token.text == ",":
            self.fail("',' separates arguments, and entries of a vector: write [1, 2]", token)
        if token.text == ":":
            self.fail("':' is part of an index only, such as x[1:3]", token)
        self.fail(f"{self.shown(token)} is not expected here", token)

    def shown(self, token: Token) -> str:
        """A token as it was typed."""
        if token.kind == "end":
            return "the end"
        return f"'{self.text[token.start : token.end]}'"

    def not_callable(self, token: Token) -> NoReturn:
        name = token.text
        if name in _ELSEWHERE:
            self.fail(f"unknown function '{name}': write {_ELSEWHERE[name]}", token)
        hint = suggestion(name, FUNCTIONS)
        if not hint and (len(name) < 3 or name in CONSTANTS or name in self.variables):
            self.fail(f"'{name}' is not a function: did you mean {name}*(…)?", token)
        self.fail(
            f"unknown function '{name}'" + (hint or f": known are {', '.join(FUNCTIONS)}"), token
        )


class ValueParser(Parser):
    """Reads a value: numbers, arithmetic on them, and arrays of them.

    Attributes:
        imaginary: whether an imaginary number has been read.
    """

    nothing = "there is no value"
    imaginary = False

    def number(self, token: Token) -> Node:
        node = super().number(token)
        after = self.peek()
        if after.text == "j" and after.start == token.end and isinstance(node, Number):
            self.take()
            self.imaginary = True
            return Number(token.start, after.end, complex(0, node.value))
        return node

    def name(self, token: Token) -> Node:
        constants = CONSTANTS | {"nan": math.nan}
        if token.text in constants and self.peek().text != "(":
            return Number(token.start, token.end, constants[token.text])
        self.fail(
            f"'{token.text}' is not a number: a value is written like 2, pi/2 or [1, 2]", token
        )


def written_shape(node: Node) -> tuple[int, ...] | None:
    """The shape of a number or an array of them, None for what has to be computed."""
    if isinstance(node, Number):
        return ()
    return node.shape if isinstance(node, Vector) else None


def _sized(shape: tuple[int, ...]) -> str:
    """`a number`, `2 entries`, `2×3 entries`."""
    if not shape:
        return "a number"
    return "×".join(map(str, shape)) + (" entry" if shape == (1,) else " entries")


def arithmetic(symbol: str, a: Any, b: Any) -> Any:
    """`a symbol b` for Python numbers, in bounded time: whole numbers above 2⁵³ become floats.

    Raises:
        ArithmeticError: with a message for the user, if there is no finite result.
    """
    if symbol == "@":
        raise ArithmeticError("'@' multiplies vectors and matrices: use * for numbers")
    exact = isinstance(a, int) and isinstance(b, int) and symbol != "/"
    try:
        # Floats first, even for integers: they overflow where 9**9**9 would take for ever.
        result = ARITHMETIC[symbol](*(map(float, (a, b)) if exact else (a, b)))
        if exact and abs(result) <= EXACT and result == (whole := ARITHMETIC[symbol](a, b)):
            return whole
    except ZeroDivisionError:
        raise ArithmeticError("division by zero") from None
    except OverflowError:
        raise ArithmeticError("the result is too large for a float64") from None
    if isinstance(result, complex) and not isinstance(a, complex) and not isinstance(b, complex):
        raise ArithmeticError("a power of a negative number with this exponent is not real")
    if cmath.isfinite(a) and cmath.isfinite(b) and not cmath.isfinite(result):
        raise ArithmeticError("the result is too large for a float64")
    return result
