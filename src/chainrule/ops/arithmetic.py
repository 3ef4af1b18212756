"""Arithmetic: sums, products, quotients, powers, remainders."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.kinds import elementwise
from chainrule.core.tensor import Tensor
from chainrule.ops.api import attach, export, export_elementwise

add = elementwise("add", np.add, 1, 1, symbol="{} + {}", doc="Sum of two tensors, entry by entry.")
subtract = elementwise(
    "subtract", np.subtract, 1, -1, symbol="{} - {}", grad_name="Sub",
    doc="Difference of two tensors, entry by entry.",
)  # fmt: skip
multiply = elementwise(
    "multiply", np.multiply, "y", "x", symbol="{}*{}", grad_name="Mul",
    doc="Product of two tensors, entry by entry.",
)  # fmt: skip
divide = elementwise(
    "divide", np.true_divide,
    lambda xp, y: xp.reciprocal(y),
    lambda xp, y, out: -(out / y),
    result="float", domain=[(-2, 2), (0.5, 2)], symbol="{}/{}", grad_name="Div",
    doc="Quotient of two tensors, entry by entry; integers give the default dtype.",
)  # fmt: skip
negative = elementwise(
    "negative", np.negative, -1, symbol="-{}", grad_name="Neg", doc="The tensor with opposite sign."
)
reciprocal = elementwise(
    "reciprocal", np.reciprocal, lambda out: -(out * out), result="float", domain=[(0.5, 2)],
    symbol="1/{}", doc="One divided by each entry.",
)  # fmt: skip
positive = elementwise("positive", np.positive, 1, symbol="+{}", doc="The tensor itself.")
square = elementwise(
    "square", np.square, lambda x: 2 * x, symbol="{}**2", grad_name="Pow",
    doc="The square of each entry.",
)  # fmt: skip
sqrt = elementwise(
    "sqrt", np.sqrt, lambda xp, out: 0.5 / out, result="float", domain=[(0.1, 4)],
    symbol="sqrt({})", doc="The square root of each entry; nan below zero.",
)  # fmt: skip
rsqrt = elementwise(
    "rsqrt", lambda x: np.reciprocal(np.sqrt(x)), lambda out: -0.5 * out * out * out,
    result="float", domain=[(0.2, 4)], symbol="1/sqrt({})",
    doc="One divided by the square root of each entry; nan below zero.",
)  # fmt: skip


def _pow(x: Any, y: Any) -> Any:
    """x^y; the commonest exponents are products and roots, many times faster than the power."""
    if y.ndim == 0:
        if y == 2:
            return np.multiply(x, x)
        if y == 1:
            return np.positive(x)
        if y == 3:
            return np.multiply(np.multiply(x, x), x)
        if y == 0.5:
            return np.sqrt(x)
    return np.power(x, y)


def _log_times(xp: Any, x: Any, y: Any, out: Any) -> Any:
    """x^y·log x, where 0^y for y ≥ 0 has the derivative 0 and the logarithm of 0 is not asked for."""
    flat = (x == 0) & (xp.real(y) >= 0)
    return xp.where(flat, 0, out) * xp.log(xp.where(flat, 1, x))


# d(x^y)/dx = y·x^(y-1), which for y = 0 is 0 even at x = 0; d(x^y)/dy = x^y·log x.
power = elementwise(
    "pow", _pow,
    lambda xp, x, y: xp.where(y == 0, 0, y * xp.pow(x, y - 1)),
    _log_times,
    domain=[(0.3, 2), (-2, 2)], symbol="{}**{}", grad_name="Pow",
    doc="The first tensor raised to the power of the second, entry by entry.",
)  # fmt: skip

remainder = elementwise(
    "remainder", np.remainder, 1, lambda xp, x, y: -xp.floor(x / y),
    domain=[(-2, 2), (0.5, 0.9)], symbol="{} % {}",
    doc="Remainder of the division, with the divisor's sign (as Python's %).",
)  # fmt: skip
fmod = elementwise(
    "fmod", np.fmod, 1, lambda xp, x, y: -xp.trunc(x / y),
    domain=[(-2, 2), (0.5, 0.9)], doc="Remainder of the division, with the dividend's sign.",
)  # fmt: skip
floor_divide = elementwise(
    "floor_divide", np.floor_divide, None, None, symbol="{} // {}",
    domain=[(-2, 2), (0.5, 2)], doc="The quotient rounded down; not differentiable.",
)  # fmt: skip

_truncated_quotient = elementwise(
    "truncated_quotient", lambda x, y: (x - np.fmod(x, y)) // y, None, None,
    domain=[(-2, 2), (0.5, 2)],
)  # fmt: skip

_EXPORTS: list[tuple[Any, ...]] = [
    (multiply, "mul", "multiply"), (negative, "neg", "negative"), (reciprocal, "reciprocal"),
    (positive, "positive"), (square, "square"), (sqrt, "sqrt"), (rsqrt, "rsqrt"), (power, "pow"),
    (remainder, "remainder"), (fmod, "fmod"), (floor_divide, "floor_divide"),
]  # fmt: skip
for _op, *_names in _EXPORTS:
    export_elementwise(_op, *_names, in_place=_op is not positive)


def _add(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """input + alpha·other, entry by entry, with broadcasting.

    >>> import chainrule as cr
    >>> cr.add(cr.tensor([1.0, 2.0]), 10, alpha=2)
    tensor([21., 22.])
    """
    return add(input, other if alpha == 1 else multiply(other, alpha))


def _sub(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """input - alpha·other, entry by entry, with broadcasting.

    >>> import chainrule as cr
    >>> cr.sub(cr.tensor([1.0, 2.0]), 1)
    tensor([0., 1.])
    """
    return subtract(input, other if alpha == 1 else multiply(other, alpha))


def _div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Any:
    """input / other, entry by entry; `rounding_mode` is None, "trunc" or "floor".

    Raises:
        RuntimeError: for another rounding mode.

    >>> import chainrule as cr
    >>> cr.div(cr.tensor([1.0, -3.0]), 2, rounding_mode="floor")
    tensor([ 0., -2.])
    """
    if rounding_mode is None:
        return divide(input, other)
    if rounding_mode == "floor":
        return floor_divide(input, other)
    if rounding_mode == "trunc":
        return _truncated_quotient(input, other)
    raise RuntimeError(
        "div expected rounding_mode to be one of None, 'trunc', or 'floor' but found "
        f"'{rounding_mode}'"
    )


export("add", in_place=True)(_add)
export("sub", "subtract", in_place=True)(_sub)
export("div", "divide", "true_divide", in_place=True)(_div)

for _method, _f in [
    ("__add__", add), ("__sub__", subtract), ("__mul__", multiply), ("__truediv__", divide),
    ("__pow__", power), ("__mod__", remainder), ("__floordiv__", floor_divide),
]:  # fmt: skip
    attach(_method, _f)


def _reflected(op: Any) -> Any:
    """The operator for a tensor on the right-hand side."""

    def method(self: Tensor, other: Any) -> Any:
        return op(other, self)

    return method


for _method, _f in [
    ("__rsub__", subtract), ("__rtruediv__", divide), ("__rpow__", power),
    ("__rmod__", remainder), ("__rfloordiv__", floor_divide),
]:  # fmt: skip
    attach(_method, _reflected(_f))
attach("__radd__", add)
attach("__rmul__", multiply)
attach("__neg__", negative)
