"""Higher derivatives by Taylor mode: along a line, along several directions, of an ODE."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from itertools import product
from math import factorial
from typing import Any

import numpy as np

from chainrule.core.boxes import entered
from chainrule.core.namespaces import recorded
from chainrule.core.tensor import Tensor
from chainrule.transforms.batch import BatchTag, batched
from chainrule.transforms.gradient import ones_of
from chainrule.transforms.inputs import (
    Arguments,
    apart,
    as_given,
    check_inexact,
    fitting,
    matching,
    outputs,
)
from chainrule.transforms.scope import zeros_of
from chainrule.transforms.taylor import Series, TaylorTag
from chainrule.tree import Spec

Function = Callable[..., Any]


def _checked_order(order: Any, title: str) -> int:
    if isinstance(order, bool) or not isinstance(order, (int, np.integer)) or order < 0:
        raise ValueError(f"{title}: the order must be a non-negative integer, got {order!r}")
    return int(order)


def taylor(f: Function, x: Any, direction: Any = None, order: int = 4) -> tuple[Any, ...]:
    """The Taylor coefficients of t ↦ f(x + t·direction) at t = 0, up to an order.

    Coefficient k is the k-th derivative over k!.  All come out of one run of the function, whose
    cost grows with order², not exponentially.

    Args:
        f: takes one tree of tensors and returns a tree of tensors.
        x: where to expand: a tree of tensors, arrays or floats.
        direction: a tree of the same structure and shapes; None for ones.
        order: the highest coefficient.

    Returns:
        A tuple of order + 1 results, each of the structure that `f` returns.

    Raises:
        ValueError: if the order is not a non-negative integer.
        RuntimeError: if structures or shapes differ, or outputs are not tensors.

    Source: Griewank and Walther, Evaluating Derivatives, 2nd ed., chapter 13.

    >>> import chainrule as cr
    >>> cr.taylor(cr.exp, cr.tensor(0.0), order=3)
    (tensor(1.), tensor(1.), tensor(0.5000), tensor(0.1667))
    """
    order = _checked_order(order, "taylor")
    given = Arguments((x,), {}, 0, "taylor")
    if direction is None:
        vs = [ones_of(t) for t in given.leaves]
    else:
        leaves = matching(given.spec, direction, "the direction", "x", "taylor")
        vs = fitting(leaves, given.leaves, "the direction", "x", "taylor")
    columns, spec = _expand(f, given, vs, order, "taylor", False)
    return tuple(
        spec.unflatten([given.given(column[k]) for column in columns]) for k in range(order + 1)
    )


def _expand(
    f: Function, given: Arguments, vs: Sequence[Tensor], order: int, title: str,
    derivative: bool = True,
) -> tuple[list[list[Tensor]], Spec]:  # fmt: skip
    """For each output its coefficients; with `derivative`, one must be of floating point."""
    with entered(TaylorTag(title, order)) as tag, np.errstate(all="ignore"):
        xs = [
            tag.boxed(Series([x, v][: order + 1], None))
            for x, v in zip(given.leaves, vs, strict=True)
        ]
        outs, spec = outputs(given.call(f, xs), title)
        if derivative:
            check_inexact(outs, spec, title)
        columns = []
        for y in outs:
            found = tag.components(y)
            columns.append([zeros_of(found[0]) if c is None else c for c in found])
    held = [*given.leaves, *vs]
    columns = [apart(column, held) for column in columns]
    return columns, spec


def nth_derivative(f: Function, n: int) -> Function:
    """The function that is the n-th derivative of a function of one variable.

    For an elementwise function of an array this is the derivative at each entry.

    Args:
        f: takes one tensor, array or float.
        n: which derivative; 0 is the function itself.

    Raises:
        ValueError: if `n` is not a non-negative integer.

    >>> import chainrule as cr
    >>> cr.nth_derivative(lambda x: x**5, 3)(cr.tensor(1.0))
    tensor(60.)
    """
    n = _checked_order(n, "nth_derivative")

    @functools.wraps(f)
    def derivative(x: Any) -> Any:
        given = Arguments((x,), {}, 0, "nth_derivative")
        ones = [ones_of(t) for t in given.leaves]
        columns, spec = _expand(f, given, ones, n, "nth_derivative", n > 0)
        return spec.unflatten([given.given(column[n] * float(factorial(n))) for column in columns])

    return derivative


def mixed_derivative(f: Function, x: Any, directions: Sequence[Any]) -> Any:
    """The mixed derivative Dⁿf(x)[v₁, ..., vₙ] along n directions.

    It is a combination of Taylor coefficients along sums of the directions (polarisation):

        Dⁿf[v₁, ..., vₙ] = 2^(1-n) Σ ε₂···εₙ c_n(v₁ + ε₂v₂ + ... + εₙvₙ),    each ε = ±1,

    where c_n(w) is coefficient n along w.  All directions run as one batch.

    Args:
        f: takes one tree of tensors and returns a tree of tensors.
        x: where to differentiate.
        directions: trees of the structure and shapes of `x`, which may repeat.

    Raises:
        ValueError: if there are no directions.
        RuntimeError: if structures or shapes differ, or outputs are not tensors.

    Source: Griewank, Utke and Walther, Evaluating higher derivative tensors by forward propagation
    of univariate Taylor series, Mathematics of Computation 69 (2000).

    >>> import chainrule as cr
    >>> x = cr.tensor([2.0, 3.0])
    >>> a, b = cr.eye(2)
    >>> cr.mixed_derivative(lambda x: x[0] ** 2 * x[1], x, [a, a, b])
    tensor(2.)
    """
    n = len(directions)
    if n == 0:
        raise ValueError("mixed_derivative: give at least one direction")
    given = Arguments((x,), {}, 0, "mixed_derivative")
    columns = []
    for v in directions:
        leaves = matching(given.spec, v, "a direction", "x", "mixed_derivative")
        columns.append(fitting(leaves, given.leaves, "a direction", "x", "mixed_derivative"))
    signs = np.array([(1, *s) for s in product((1, -1), repeat=n - 1)])
    with entered(BatchTag("mixed_derivative", len(signs), "same")) as many:
        vs = []
        for x_leaf, parts in zip(given.leaves, zip(*columns, strict=True), strict=True):
            dt = x_leaf.array.dtype
            weights = signs.astype(dt).reshape(signs.shape + (1,) * x_leaf.array.ndim)
            total = recorded.sum(
                weights * recorded.stack(*parts, axis=0), axis=(1,), keepdims=False
            )
            vs.append(batched(many, total))
        found, spec = _expand(f, given, vs, n, "mixed_derivative")
        tops = [many.inner(column[n]) for column in found]
    outs = []
    for c in tops:
        scale = signs.prod(axis=1).astype(c.array.dtype) / 2 ** (n - 1)
        scale = scale.reshape((-1,) + (1,) * (c.array.ndim - 1)).astype(c.array.dtype)
        outs.append(recorded.sum(c * scale, axis=(0,), keepdims=False))
    return spec.unflatten([as_given(y, given.arrays) for y in outs])


def ode_series(f: Function, y0: Any, order: int) -> tuple[Any, ...]:
    """The Taylor coefficients at t = 0 of the solution of y' = f(y), y(0) = y0.

    The solution's series is put into `f` while it is still unknown: coefficient k of f(y) needs
    those of y up to k only, and gives y_{k+1} = f(y)_k / (k + 1).  The function runs once.

    Args:
        f: takes and returns a tree of tensors of one structure; time may be one of them.
        y0: the initial values.
        order: the highest coefficient.

    Returns:
        A tuple of order + 1 trees.

    Raises:
        RuntimeError: if `f` does not return the structure and shapes of `y0`.

    Source: Griewank and Walther, Evaluating Derivatives, 2nd ed., section 13.4; Barton, Willers and
    Zahar, The automatic solution of systems of ordinary differential equations by the method of
    Taylor series, Computer Journal 14 (1971).

    >>> import chainrule as cr
    >>> cr.func.ode_series(lambda y: y, cr.tensor(1.0), 3)
    (tensor(1.), tensor(1.), tensor(0.5000), tensor(0.1667))
    """
    order = _checked_order(order, "ode_series")
    given = Arguments((y0,), {}, 0, "ode_series")
    slopes: list[Any] = []
    with entered(TaylorTag("ode_series", order, lazy=True)) as tag, np.errstate(all="ignore"):

        def finder(i: int) -> Callable[[int], Any]:
            def find(k: int) -> Any:
                dy = slopes[i]
                if k == 1:
                    return tag.first(dy)
                c = dy.inner[k - 1] if tag.holds(dy) else None
                return None if c is None else c * (1 / k)

            return find

        ys = [tag.jet(y, finder(i)) for i, y in enumerate(given.leaves)]
        result = given.call(f, ys)
        leaves = matching(given.spec, result, "what f returns", "y0", "ode_series")
        slopes += fitting(leaves, given.leaves, "what f returns", "y0", "ode_series")
        for k in range(order + 1):  # oldest series first, so that none waits for a long chain
            for series in list(tag.created):  # rules may make more: those wait for the next order
                series[k]
        columns = [tag.components(y) for y in ys]
    filled = [[zeros_of(c[0]) if t is None else t for t in c] for c in columns]
    own = [apart(column, given.leaves) for column in filled]
    return tuple(given.result([column[k] for column in own]) for k in range(order + 1))


__all__ = ["mixed_derivative", "nth_derivative", "ode_series", "taylor"]
