"""Arithmetic: sums, products, quotients, powers, remainders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.avals import broadcast
from chainrule.core.batching import aligned
from chainrule.core.boxes import is_box
from chainrule.core.dtypes import category, result_dtype
from chainrule.core.kinds import elementwise, general
from chainrule.core.node import Aval, joint_shape
from chainrule.core.primitive import unbox
from chainrule.core.samples import Sample, uniform
from chainrule.core.tensor import Parameter, Tensor
from chainrule.ops.api import export, export_elementwise
from chainrule.ops.convert import astype
from chainrule.ops.inputs import conjugate

add = elementwise("add", np.add, 1, 1, symbol="{} + {}", doc="Sum of two tensors, entry by entry.")
subtract = elementwise(
    "subtract", np.subtract, 1, -1, symbol="{} - {}", grad_name="Sub",
    doc="Difference of two tensors, entry by entry.",
)  # fmt: skip
multiply = elementwise(
    "multiply", np.multiply, "y", "x", symbol="{}*{}", grad_name="Mul",
    doc="Product of two tensors, entry by entry.",
)  # fmt: skip


def _pull_product(g: Any, local: Any, *guards: Any) -> Any:
    out = np.multiply(g, local)
    if np.isnan(np.vdot(out, out)):  # 0·inf or 0·nan may be among the entries
        zero = g == 0
        for guard in guards:
            zero = zero | ((guard == 0) & ~np.isfinite(out))
        out = np.where(zero, out.dtype.type(0), out)
    shape = joint_shape([np.shape(x) for x in (out, *guards)])
    return out if out.shape == shape else np.broadcast_to(out, shape)


def _pull_product_vjp(xp: Any, g: Any, xs: Any, need: Any) -> tuple[Any, ...]:
    """As for any product; what has been zero until here stays so, whatever the other factor."""
    x, y, *guards = xs
    first = xp.pull_product(g, conjugate(xp, y), x, *guards) if need[0] else None
    second = xp.pull_product(g, conjugate(xp, x), x, *guards) if need[1] else None
    return (first, second, *[None] * len(guards))


def _pull_product_jvp(xp: Any, t: Any, xs: Any) -> Any:
    x, y, *guards = xs
    first = None if t[0] is None else xp.pull_product(t[0], y, x, *guards)
    second = None if t[1] is None else xp.pull_product(x, t[1], *guards)
    return second if first is None else first if second is None else first + second


# A cotangent times a local derivative: a product in which a zero cotangent wins over an infinite
# or nan derivative.  In derivatives of it, the cotangents of before are guards: where one is zero,
# a product that is not finite is zero too.
pull_product = general(
    "pull_product", _pull_product, vjp=_pull_product_vjp, jvp=_pull_product_jvp,
    jvps=("linear", "linear"),
    aval=broadcast, symbol="{}*{}", grad_name="Mul",
    batch=lambda prim, size, args, mapped, params: prim.apply(aligned(args, mapped), params),
    samples=lambda: [
        Sample(uniform(2, 3), uniform(2, 3, seed=1)), Sample(uniform(), uniform(seed=1)),
        Sample(uniform(3), uniform(2, 1, seed=1)),
        Sample(uniform(3), uniform(3, seed=1), uniform(3, seed=2)),
    ],
)  # fmt: skip


def _pull_selection(g: Any, chosen: Any) -> Any:
    out = g if chosen.dtype.kind == "b" else np.multiply(g, chosen)
    return np.where(chosen, out, out.dtype.type(0))


# A cotangent where a selection chose an entry (where `chosen` is a mask, or the share that it got),
# and zero elsewhere, even where the cotangent is infinite or nan.
pull_selection = general(
    "pull_selection", _pull_selection,
    vjps=(lambda xp, g, y: xp.pull_selection(g, conjugate(xp, y)), None), jvps=("linear", None),
    aval=lambda x, y: Aval(joint_shape([x.shape, y.shape]), x.dtype), grad_name="Mul",
    batch=lambda prim, size, args, mapped, params: prim.apply(aligned(args, mapped), params),
    samples=lambda: [
        Sample(uniform(2, 3), uniform(2, 3, seed=1) > 0),
        Sample(uniform(3), np.array([[0.0, 0.5, 1.0], [1.0, 0.0, 0.5]])),
    ],
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

cbrt = elementwise(
    "cbrt", np.cbrt, lambda xp, out: xp.reciprocal(3 * (out * out)), result="float",
    domain=[(0.2, 4)], symbol="cbrt({})", doc="The cube root of each entry.",
)  # fmt: skip


_POWERS: dict[Any, Callable[[Any], Any]] = {
    1: np.positive,
    2: lambda x: np.multiply(x, x),
    3: lambda x: np.multiply(np.multiply(x, x), x),
    0.5: np.sqrt,
}


def _pow(x: Any, y: Any) -> Any:
    """x^y; the commonest exponents are products and roots, many times faster than the power."""
    if not getattr(y, "ndim", 0):
        shortcut = _POWERS.get(y.item() if hasattr(y, "item") else y)
        if shortcut is not None:
            return shortcut(x)
    return np.power(x, y)


def _log_times(xp: Any, x: Any, y: Any, out: Any) -> Any:
    """x^y·log x, and 0 where x = 0 and y ≥ 0."""
    flat = (x == 0) & (xp.real(y) >= 0)
    return xp.where(flat, 0, out) * xp.log(xp.where(flat, 1, x))


def _pow_slope(xp: Any, x: Any, y: Any) -> Any:
    """y·x^(y-1), and 0 for y = 0 even where x is 0 or nan.

    The second derivative by x and y is 1/x at y = 0, so where y is differentiated too, x must stay
    in the formula; otherwise it suffices to look at y, which is mostly one number.
    """
    if not is_box(y) and getattr(y, "node", None) is None:
        return y * xp.pow(x, xp.where(y == 0, 0, y - 1))
    flat = (y == 0) & ((x == 0) | (x != x))
    return y * xp.pow(xp.where(flat, 1, x), y - 1)


power = elementwise(
    "pow", _pow,
    _pow_slope,
    _log_times,
    domain=[(0.3, 2), (-2, 2)], symbol="{}**{}", grad_name="Pow",
    doc="The first tensor raised to the power of the second, entry by entry.",
)  # fmt: skip


def is_plain_square(base: Any, exponent: Any) -> bool:
    """Whether base ** exponent is the square, by far the commonest power, with base's dtype."""
    if (type(exponent) is not int and type(exponent) is not float) or exponent != 2:
        return False
    if type(base) is not Tensor and type(base) is not Parameter:
        return False
    kind = base.array.dtype.kind
    return kind in "fc" or (kind in "iu" and type(exponent) is int)


def _zero(xp: Any, x: Any) -> Any:
    """Piecewise constant: the derivative is zero wherever it exists, and PyTorch returns zeros."""
    return xp.zeros_like(x)


def _checked(divide: Callable[..., Any]) -> Callable[..., Any]:
    """A division that refuses integer zeros, for which NumPy would return 0."""

    def divided(x: Any, y: Any) -> Any:
        if getattr(y, "dtype", np.dtype(float)).kind in "iu" and not np.all(y):
            raise RuntimeError("ZeroDivisionError: an integer tensor is divided by zero")
        return divide(x, y)

    return divided


def _truncated(x: Any, y: Any) -> Any:
    return (x - np.fmod(x, y)) // y if y.dtype.kind in "iu" else np.trunc(np.true_divide(x, y))


floor_divide = elementwise(
    "floor_divide", _checked(np.floor_divide), _zero, lambda xp, y: xp.zeros_like(y),
    symbol="{} // {}", grad_name="Div", domain=[(0.1, 0.4), (0.5, 0.9)],
    doc="The quotient rounded down; its derivative is 0.",
)  # fmt: skip
truncated_divide = elementwise(
    "truncated_divide", _checked(_truncated), _zero, lambda xp, y: xp.zeros_like(y),
    domain=[(0.1, 0.4), (0.5, 0.9)], grad_name="Div",
)  # fmt: skip
remainder = elementwise(
    "remainder", _checked(np.remainder), 1, lambda xp, x, y: -xp.floor_divide(x, y),
    domain=[(-2, 2), (0.5, 0.9)], symbol="{} % {}",
    doc="Remainder of the division, with the divisor's sign (as Python's %).",
)  # fmt: skip
fmod = elementwise(
    "fmod", _checked(np.fmod), 1, lambda xp, x, y: -xp.truncated_divide(x, y),
    domain=[(-2, 2), (0.5, 0.9)], doc="Remainder of the division, with the dividend's sign.",
)  # fmt: skip

# The point (0, 0) has no direction: the derivative of its length is 0, as that of a norm.
hypot = elementwise(
    "hypot", np.hypot,
    lambda xp, x, out: x / xp.where(out == 0, 1, out),
    lambda xp, y, out: y / xp.where(out == 0, 1, out),
    result="float", symbol="hypot({}, {})", doc="sqrt(x² + y²), without overflow.",
)  # fmt: skip


def _lerp(x: Any, y: Any, w: Any) -> Any:
    """x + w·(y - x), written from the nearer end, so that w = 1 gives y exactly."""
    d = y - x
    return np.where(np.abs(w) < 0.5, x + w * d, y - d * (1 - w))


lerp_prim = elementwise(
    "lerp", _lerp, lambda z: 1 - z, "z", lambda x, y: y - x, result="float",
    domain=[(-2, 2), (-2, 2), (0.05, 0.95)],
)  # fmt: skip

_EXPORTS: list[tuple[Any, ...]] = [
    (multiply, "mul", "multiply"), (negative, "neg", "negative"), (reciprocal, "reciprocal"),
    (positive, "positive"), (square, "square"), (sqrt, "sqrt"), (rsqrt, "rsqrt"),
    (remainder, "remainder"), (fmod, "fmod"), (floor_divide, "floor_divide"), (hypot, "hypot"),
]  # fmt: skip
for _op, *_names in _EXPORTS:
    export_elementwise(_op, *_names, in_place=_op is not positive)


def _check_alpha(alpha: Any, *operands: Any) -> None:
    if isinstance(alpha, float) and category(result_dtype(*[unbox(x)[0] for x in operands])) < 2:
        raise RuntimeError(
            "For integral input tensors, argument alpha must not be a floating point number."
        )


def _add(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """input + alpha·other, entry by entry, with broadcasting.

    >>> import chainrule as cr
    >>> cr.add(cr.tensor([1.0, 2.0]), 10, alpha=2)
    tensor([21., 22.])
    """
    _check_alpha(alpha, input, other)
    return add(input, other if alpha == 1 else multiply(other, alpha))


def _sub(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """input - alpha·other, entry by entry, with broadcasting.

    >>> import chainrule as cr
    >>> cr.sub(cr.tensor([1.0, 2.0]), 1)
    tensor([0., 1.])
    """
    _check_alpha(alpha, input, other)
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
        return truncated_divide(input, other)
    raise RuntimeError(
        "div expected rounding_mode to be one of None, 'trunc', or 'floor' but found "
        f"'{rounding_mode}'"
    )


export("add", in_place=True)(_add)
export("sub", "subtract", in_place=True)(_sub)
export("div", "divide", "true_divide", in_place=True)(_div)


@export("rsub")
def _rsub(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """other - alpha·input, entry by entry, with broadcasting.

    >>> import chainrule as cr
    >>> cr.rsub(cr.tensor([1.0, 2.0]), 1)
    tensor([ 0., -1.])
    """
    return _sub(other, input, alpha=alpha)


@export("pow", in_place=True)
def _power(input: Any, exponent: Any) -> Any:
    """`input` raised to the power of `exponent`, entry by entry, with broadcasting.

    Raises:
        RuntimeError: for integers to a negative number.

    >>> import chainrule as cr
    >>> cr.pow(cr.tensor([1.0, 2.0]), 3)
    tensor([1., 8.])
    """
    return square(input) if is_plain_square(input, exponent) else power(input, exponent)


@export(in_place=True)
def float_power(input: Any, exponent: Any) -> Any:
    """`input` raised to the power of `exponent` in double precision.

    >>> import chainrule as cr
    >>> cr.float_power(cr.tensor([2, 3]), 2)
    tensor([4., 9.], dtype=chainrule.float64)
    """
    kind = result_dtype(unbox(input)[0], unbox(exponent)[0]).kind
    wide = np.dtype(np.complex128 if kind == "c" else np.float64)
    return power(*[
        astype(x, dtype=wide) if hasattr(x, "dtype") else np.asarray(x, wide)
        for x in (input, exponent)
    ])  # fmt: skip


@export(in_place=True)
def addcmul(input: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Any:
    """input + value·tensor1·tensor2, entry by entry, with broadcasting.

    >>> import chainrule as cr
    >>> cr.addcmul(cr.tensor([1.0]), cr.tensor([2.0]), cr.tensor([3.0]), value=0.5)
    tensor([4.])
    """
    product = multiply(tensor1, tensor2)
    return add(input, product if type(value) is int and value == 1 else multiply(product, value))


@export(in_place=True)
def addcdiv(input: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Any:
    """input + value·tensor1/tensor2, entry by entry, with broadcasting.

    >>> import chainrule as cr
    >>> cr.addcdiv(cr.tensor([1.0]), cr.tensor([6.0]), cr.tensor([3.0]))
    tensor([3.])
    """
    quotient = divide(tensor1, tensor2)
    return add(input, quotient if type(value) is int and value == 1 else multiply(quotient, value))


@export(in_place=True)
def lerp(input: Any, end: Any, weight: Any) -> Any:
    """input + weight·(end - input): linear interpolation, with broadcasting.

    >>> import chainrule as cr
    >>> cr.lerp(cr.tensor([0.0, 10.0]), cr.tensor([10.0, 20.0]), 0.25)
    tensor([ 2.5000, 12.5000])
    """
    return lerp_prim(input, end, weight)
