"""The local derivative of an operation, as a formula.

Most come from the primitives' own rules, which are run once on variables; what they compute is
the formula.  Some rules guard against overflow or special cases, which hides the mathematics; for
these operations the textbook's form is stated here, and the tests compare it with the rule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from chainrule.core.namespaces import recorded
from chainrule.core.node import Node
from chainrule.core.partials import MINUS_ONE, NAMED, NONE, ONE, SELECTION
from chainrule.core.tensor import Tensor
from chainrule.graph.symbolic.entries import NoFormula
from chainrule.graph.symbolic.expressions import Builder, Expr, is_number, substituted
from chainrule.graph.symbolic.simplify import operands
from chainrule.graph.walk import recording_on
from chainrule.transforms.tracing import Traced, input_node, traced


class Local(NamedTuple):
    """A local derivative ±factor/below; as a condition, it selects the entry or nothing.

    Attributes:
        factor: None for 1.
        below: the denominator; None for 1.
        negative: whether it has a minus sign.
        mask: a condition: the derivative is 1 where it holds, else 0.
        behind: whether the factor is written behind what it multiplies: u'·v.
    """

    factor: Expr = None
    below: Expr = None
    negative: bool = False
    mask: Expr = None
    behind: bool = False


def local_term(b: Builder, local: Local, d: Expr, behind: bool = False) -> Expr:
    """A local derivative times a derivative, without its sign; `behind`, not in front of it."""
    if local.mask is not None:
        return b.apply("where", local.mask, d, d.dtype.type(0))
    if local.factor is not None:
        d = b.times(d, local.factor) if behind or local.behind else b.times(local.factor, d)
    return d if local.below is None else b.over(d, local.below)


class Locals:
    """Local derivatives of the operations of expressions."""

    def __init__(self, builder: Builder) -> None:
        self.builder = builder
        self._made: dict[Any, Any] = {}

    def of(self, node: Node, i: int) -> Local | None:
        """The derivative of a node by its operand at `i`; None where it is zero everywhere.

        Raises:
            NoFormula: if it is not differentiable by this operand, or has no formula.
        """
        name = node.prim.name
        self.builder.place = (node.code, node.lasti)
        if name in ("detach",) or node.dtype.kind != "f":
            return None
        if node.parents[i].dtype.kind != "f":  # type: ignore[union-attr]
            return None
        if name == "astype":
            return Local()
        args = operands(node)
        if name == "where":
            return _branch(self.builder, args[0], i)
        form = TEXTBOOK.get(name)
        if form is not None and form[i] is not None:
            return form[i](self.builder, node, *args)  # type: ignore[misc]
        return self._by_rule(node, i, args)

    def _by_rule(self, node: Node, i: int, args: Sequence[Expr]) -> Local | None:
        case, detail = node.prim.partials[i]
        if case == NONE:
            return None
        if case in (ONE, MINUS_ONE):
            return Local(negative=case == MINUS_ONE)
        if case == NAMED:
            return Local(args[detail] if detail >= 0 else node)
        variables, out, result = self._template(node, i, detail)
        known = dict(zip(variables, args, strict=True))
        known[out] = node
        found = substituted(self.builder, result, known)
        if case == SELECTION and found.dtype.kind == "b":
            return _selected(found)
        if is_number(found, 0):
            return None
        if type(found) is Node and found.prim.name == "negative":
            return Local(operands(found)[0], negative=True)
        return None if is_number(found, 0) else Local(found)

    def _template(self, node: Node, i: int, rule: Any) -> tuple[list[Node], Node, Expr]:
        """A rule's formula in variables for the operands and the result."""
        key = (node.prim, i, node.dtype, tuple(sorted((node.params or {}).items(), key=str)))
        found = self._made.get(key)
        if found is None:
            kinds = [a.dtype for a in node.args]
            variables = [input_node((), k, f"x{j}") for j, k in enumerate(kinds)]
            out = input_node((), node.dtype, "out")
            try:
                with recording_on():
                    result = rule.call(
                        recorded, traced(input_node((), node.dtype, "g")),
                        [traced(v) for v in variables], traced(out), node.params,
                    )  # fmt: skip
            except NotImplementedError as error:
                raise NoFormula(f"{node.prim.name} ({node.where}): {error}") from None
            found = self._made[key] = (variables, out, _expression(result, node.dtype))
        return found


def _expression(result: Any, dt: np.dtype[Any]) -> Expr:
    if isinstance(result, Traced):
        return result.node
    if isinstance(result, Tensor):
        return result.array[()]
    return np.asarray(result)[()] if hasattr(result, "dtype") else dt.type(result)


def _selected(mask: Expr) -> Local | None:
    if type(mask) is Node:
        return Local(mask=mask)
    return Local() if mask else None


def _branch(b: Builder, condition: Expr, i: int) -> Local | None:
    if i == 0:
        return None
    return _selected(condition if i == 1 else b.apply("logical_not", condition))


# ---------------------------------------------------------------- the textbook's forms

Form = Callable[..., Local | None]


def _factor(f: Callable[..., Expr], **kwargs: Any) -> Form:
    return lambda b, out, *xs: Local(f(b, out, *xs), **kwargs)


def _over(f: Callable[..., Expr], negative: bool = False) -> Form:
    return lambda b, out, *xs: Local(below=f(b, out, *xs), negative=negative)


def _root_of(sign: int) -> Callable[..., Expr]:
    """√(1 ± x²)."""
    name = "add" if sign > 0 else "subtract"
    return lambda b, out, x: b.apply("sqrt", b.apply(name, 1, b.apply("square", x)))


def _power(b: Builder, out: Node, x: Expr, y: Expr) -> Local | None:
    """y·x^(y-1)."""
    if type(y) is Node:
        return Local(b.apply("multiply", y, b.apply("pow", x, b.apply("subtract", y, 1))))
    if y == 0:
        return None
    return Local(b.times(y, powered(b, x, y - y.dtype.type(1))))


def powered(b: Builder, x: Expr, n: Expr) -> Expr:
    """x to a constant power, as people write it."""
    if n == 0:
        return x.dtype.type(1)
    if n == 1:
        return x
    if n == -1:
        return b.apply("reciprocal", x)
    return b.apply("square", x) if n == 2 else b.apply("pow", x, n)


def _exponent(b: Builder, out: Node, x: Expr, y: Expr) -> Local | None:
    """x^y·log x, for a number as base computed once."""
    return Local(b.apply("multiply", out, b.apply("log", x)))


def _apply(name: str, *numbers: Any) -> Callable[..., Expr]:
    return lambda b, out, x: b.apply(name, x, *numbers)


def _scaled(number: float, name: str | None = None) -> Callable[..., Expr]:
    return lambda b, out, x: b.apply("multiply", number, b.apply(name, x) if name else x)


def _sum_of_squares(b: Builder, out: Node, x: Expr, y: Expr) -> Expr:
    return b.apply("add", b.apply("square", x), b.apply("square", y))


_LN2, _LN10 = float(np.log(2)), float(np.log(10))

TEXTBOOK: dict[str, tuple[Form | None, ...]] = {
    "multiply": (
        _factor(lambda b, out, x, y: y, behind=True),
        _factor(lambda b, out, x, y: x),
    ),
    "divide": (
        _over(lambda b, out, x, y: y),
        lambda b, out, x, y: Local(
            None if is_number(x, 1) else x, b.apply("square", y), negative=True
        ),
    ),
    "reciprocal": (_over(_apply("square"), negative=True),),
    "square": (_factor(_scaled(2)),),
    "sqrt": (_over(lambda b, out, x: b.apply("multiply", 2, out)),),
    "rsqrt": (
        _over(
            lambda b, out, x: b.apply("multiply", 2, b.apply("multiply", x, b.apply("sqrt", x))),
            negative=True,
        ),
    ),
    "cbrt": (_over(lambda b, out, x: b.apply("multiply", 3, b.apply("square", out))),),
    "pow": (_power, _exponent),
    "log": (_over(lambda b, out, x: x),),
    "log1p": (_over(lambda b, out, x: b.apply("add", 1, x)),),
    "log2": (_over(_scaled(_LN2)),),
    "log10": (_over(_scaled(_LN10)),),
    "expm1": (_factor(_apply("exp")),),
    "tan": (_factor(lambda b, out, x: b.apply("add", 1, b.apply("square", out))),),
    "tanh": (_factor(lambda b, out, x: b.apply("subtract", 1, b.apply("square", out))),),
    "asin": (_over(_root_of(-1)),),
    "acos": (_over(_root_of(-1), negative=True),),
    "asinh": (_over(_root_of(1)),),
    "atan": (_over(lambda b, out, x: b.apply("add", 1, b.apply("square", x))),),
    "atanh": (_over(lambda b, out, x: b.apply("subtract", 1, b.apply("square", x))),),
    "acosh": (
        _over(lambda b, out, x: b.apply("sqrt", b.apply("subtract", b.apply("square", x), 1))),
    ),
    "abs": (_factor(_apply("sign")),),
    "relu": (lambda b, out, x: _selected(b.apply("greater", x, 0)),),
    "fmax": (
        lambda b, out, x, y: _selected(b.apply("greater_equal", x, y)),
        lambda b, out, x, y: _selected(b.apply("less", x, y)),
    ),
    "fmin": (
        lambda b, out, x, y: _selected(b.apply("less_equal", x, y)),
        lambda b, out, x, y: _selected(b.apply("greater", x, y)),
    ),
    "hypot": (
        lambda b, out, x, y: Local(x, out),
        lambda b, out, x, y: Local(y, out),
    ),
    "atan2": (
        lambda b, out, x, y: Local(y, _sum_of_squares(b, out, x, y)),
        lambda b, out, x, y: Local(x, _sum_of_squares(b, out, x, y), negative=True),
    ),
    "xlogy": (_factor(lambda b, out, x, y: b.apply("log", y)), None),
    "xlog1py": (_factor(lambda b, out, x, y: b.apply("log1p", y)), None),
    "sinc": (
        lambda b, out, x: Local(
            b.apply("subtract", b.apply("cos", b.apply("multiply", float(np.pi), x)), out), x
        ),
    ),
    "logit": (
        _over(lambda b, out, x: b.apply("multiply", x, b.apply("subtract", 1, x))),
    ),
    "logaddexp": (
        _factor(lambda b, out, x, y: b.apply("sigmoid", b.apply("subtract", x, y))),
        _factor(lambda b, out, x, y: b.apply("sigmoid", b.apply("subtract", y, x))),
    ),
}  # fmt: skip
