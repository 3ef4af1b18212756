"""`derivative`, `gradient`, `jacobian`, `jvp` and `hessian` by differences, with their errors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from chainrule import tree
from chainrule.autograd.progress import counted
from chainrule.core.tensor import Tensor, wrap
from chainrule.numerical import schemes
from chainrule.numerical.points import Function, Line, Point, Vector, array_of, kept_dtype, like
from chainrule.numerical.schemes import METHODS, Found


class Estimate(NamedTuple):
    """A derivative by differences.

    Attributes:
        value: the derivative, of the kind of what was differentiated (tensor, array, number, tree).
        error: an estimate of its absolute error, entry by entry, in the same structure.  It is not
            a bound: a function whose values are less precise than their dtype deceives it.
        step: the smallest step that was used.
        method: "forward", "central", "richardson" or "complex".
        evaluations: how often the function was called.
    """

    value: Any
    error: Any
    step: float
    method: str
    evaluations: int

    def __repr__(self) -> str:
        how = f"{self.method}, step {self.step:.3g}, {self.evaluations} evaluations"
        worst = max(float(np.max(array_of(e), initial=0.0)) for e in tree.leaves(self.error))
        value = self.value
        if isinstance(value, (float, complex)):
            return f"Estimate({value:.{_digits(value, worst)}g} ± {worst:.1e}; {how})"
        return f"Estimate({value!r}, error up to {worst:.1e}; {how})"

    def __float__(self) -> float:
        return float(self.value)


def _digits(value: Any, error: float) -> int:
    """How many digits of a value mean something."""
    size = abs(value)
    if not (size > 0 and error > 0 and math.isfinite(size) and math.isfinite(error)):
        return 16
    return max(2, min(16, math.ceil(math.log10(size / error)) + 2))


def derivative(
    f: Callable[..., Any], x: Any, direction: Any = None, method: str = "central",
    step: float | None = None, order: int = 1,
) -> Estimate:  # fmt: skip
    """The derivative of `f` at `x` along a direction v: dⁿ/dtⁿ f(x + t·v) at t = 0.

    Args:
        f: takes what `x` is, returns numbers, arrays, tensors or a tree of them.
        x: a number, array, tensor or tree of them, of floating-point (or complex) dtype.
        direction: of the structure and shapes of `x`; may be left out where `x` has one entry.
        method: "central" (error ~ h²), "forward" (~ h), "richardson" (central, extrapolated to
            h = 0: most precise) or "complex" (Im f(x + ih)/h: exact to rounding, for functions of
            analytic operations on real `x`).
        step: h, relative to the direction's length; by default chosen by dtype and size of `x`, and
            smaller where the function is not finite or varies fast.
        order: which derivative; "complex" gives the first only.

    Raises:
        ValueError: for an unknown method, a step that is not positive, a direction of the wrong
            shape, values that are not finite, or a function that is not analytic ("complex").
        TypeError: if `x` or a result is not of floating-point or complex dtype.

    Source: Press et al., Numerical Recipes, §5.7; Ridders 1982; Squire and Trapp 1998.

    >>> import math
    >>> import chainrule as cr
    >>> cr.numerical.derivative(math.sin, 0.0, method="central", step=2**-20)
    Estimate(0.999999999999848 ± 1.5e-13; central, step 9.54e-07, 5 evaluations)
    >>> cr.numerical.derivative(lambda x: x**3, 2.0, order=2, step=0.125)
    Estimate(12 ± 5.0e-13; central, step 0.125, 5 evaluations)
    """
    what = "numerical.derivative()"
    function = _prepared(f, x, method, step, order, what)
    if direction is None:
        if function.point.size > 1:
            raise ValueError(
                f"{what}: x has {function.point.size} entries, so a direction is needed; for all "
                "first derivatives use numerical.gradient or numerical.jacobian"
            )
        vector = np.ones(1)
    else:
        vector = function.point.direction(direction, what)
    line = function.line(vector)
    found = _along(line, method, step, order, what)
    if method == "complex":
        schemes.check_analytic(line, found, what)
    value, error = function.results(found.value), function.results(found.error, True)
    return _estimate(function, value, error, [found], method)


def jvp(
    f: Callable[..., Any], x: Any, v: Any, method: str = "central", step: float | None = None
) -> Estimate:
    """The product J·v of the Jacobian of `f` at `x` with `v`, by differences along `v`.

    Args and errors as in `derivative`; `v` has the structure and shapes of `x`.

    >>> import numpy as np
    >>> import chainrule as cr
    >>> x, v = np.array([2.0, 3.0]), np.array([1.0, 0.0])
    >>> f = lambda x: np.array([x[0] * x[1], x[0] + x[1] ** 2])
    >>> cr.numerical.jvp(f, x, v, step=0.5).value
    array([3., 1.])
    """
    return derivative(f, x, v, method, step)


def gradient(
    f: Callable[..., Any], x: Any, method: str = "central", step: float | None = None
) -> Estimate:
    """The gradient of a function with one real number as result, in the structure of `x`.

    Args and errors as in `derivative`.

    Raises:
        ValueError: also if the result has more than one entry or is complex.

    >>> import numpy as np
    >>> import chainrule as cr
    >>> cr.numerical.gradient(lambda x: (x**2).sum(), np.array([1.0, 2.0]), step=0.5).value
    array([2., 4.])
    """
    what = "numerical.gradient()"
    function = _prepared(f, x, method, step, 1, what)
    _check_scalar(function, what)
    founds = _columns(function, method, step, what)
    value, error = (np.array([getattr(c, k)[0] for c in founds]) for k in ("value", "error"))
    return _estimate(function, function.point.build(value), function.point.build(error), founds,
                     method)  # fmt: skip


def jacobian(
    f: Callable[..., Any], x: Any, method: str = "central", step: float | None = None
) -> Estimate:
    """The Jacobian of `f`: for every result and every argument an array (*result, *argument).

    Where `f` returns or takes trees, it is a tree like the results of trees like `x`.

    Args and errors as in `derivative`.

    >>> import numpy as np
    >>> import chainrule as cr
    >>> f = lambda x: np.array([x[0] * x[1], x[0] + x[1] ** 2])
    >>> cr.numerical.jacobian(f, np.array([2.0, 3.0]), step=0.5).value
    array([[3., 2.],
           [1., 6.]])
    """
    what = "numerical.jacobian()"
    function = _prepared(f, x, method, step, 1, what)
    founds = _columns(function, method, step, what)
    value, error = (np.stack([getattr(c, k) for c in founds], -1) for k in ("value", "error"))
    point = function.point
    values, errors = _blocks(function, point, value), _blocks(function, point, error, True)
    return _estimate(function, values, errors, founds, method)


def hessian(
    f: Callable[..., Any], x: Any, method: str = "central", step: float | None = None
) -> Estimate:
    """The Hessian of a function with one real number as result, by second differences.

    With D_v the second derivative along v, ∂²f/∂xᵢ∂xⱼ = (D_{i+j} - D_{i-j})/4, so the method and
    its error are those of `derivative(order=2)`.  For each pair of arguments, shape (*xᵢ, *xⱼ).

    Args and errors as in `derivative`; "complex" is for first derivatives only.

    >>> import numpy as np
    >>> import chainrule as cr
    >>> f = lambda x: x[0] ** 2 * x[1]
    >>> cr.numerical.hessian(f, np.array([1.0, 2.0]), step=0.25).value
    array([[4., 2.],
           [2., 0.]])
    """
    what = "numerical.hessian()"
    function = _prepared(f, x, method, step, 2, what)
    _check_scalar(function, what)
    size = function.point.size
    sizes = np.maximum(np.abs(function.point.vector), 1.0)  # so that both steps suit their entries
    value, error = np.zeros((size, size)), np.zeros((size, size))
    founds = []
    pairs = [(i, j) for i in range(size) for j in range(i + 1)]
    for n in counted(len(pairs), "hessian"):
        i, j = pairs[n]
        parts = []
        for sign in (1.0, -1.0) if i != j else (1.0,):
            v = np.zeros(size)
            v[i] = sizes[i]
            v[j] += sign * sizes[j] if i != j else 0.0
            parts.append(_along(function.line(v), method, step, 2, what))
        founds += parts
        scale = sizes[i] * sizes[j] * (4 if i != j else 1)
        less = parts[1].value[0] if i != j else 0.0
        value[i, j] = value[j, i] = (parts[0].value[0] - less) / scale
        error[i, j] = error[j, i] = sum(p.error[0] for p in parts) / scale
    values, errors = (_blocks(function.point, function.point, t) for t in (value, error))
    return _estimate(function, values, errors, founds, method)


# ---------------------------------------------------------------- what they share


def _prepared(
    f: Callable[..., Any], x: Any, method: str, step: float | None, order: int, what: str
) -> Function:
    """The function and the point, after a look at the other arguments."""
    if method not in METHODS:
        raise ValueError(f"{what}: method is one of {', '.join(METHODS)}, got {method!r}")
    check_step(step, what)
    if not isinstance(order, int) or isinstance(order, bool) or not 1 <= order <= 10:
        raise ValueError(f"{what}: order is an integer from 1 to 10, got {order!r}")
    if method == "complex" and order > 1:
        raise ValueError(
            f"{what}: the complex step gives first derivatives only (the second would be a "
            "difference again, with its cancellation); use method='richardson'"
        )
    function = Function(f, x, what)
    if function.point.complex and (method == "complex" or "derivative" not in what):
        raise TypeError(
            f"{what} takes real x; along one direction, real or complex, numerical.derivative with "
            "another method differentiates by complex numbers too"
        )
    return function


def check_step(step: Any, what: str) -> None:
    """Raise unless a step is None or a positive finite number.

    Raises:
        ValueError, TypeError: see above.
    """
    if step is None:
        return
    if not isinstance(step, (int, float)) or isinstance(step, bool):
        raise TypeError(f"{what}: step is a number, got {type(step).__name__}")
    if not 0 < step < math.inf:
        raise ValueError(f"{what}: step must be positive and finite, got {step}")


def _check_scalar(function: Function, what: str) -> None:
    if function.here.size != 1 or function.here.dtype.kind == "c":
        shapes = [list(a.shape) for a in function.arrays]
        raise ValueError(
            f"{what}: the function must return one real number, got shapes {shapes} of "
            f"{function.arrays[0].dtype.name}; use numerical.jacobian, or sum the result"
        )


def _along(line: Line, method: str, step: float | None, order: int, what: str) -> Found:
    """The derivative along one line; the function of a zero direction does not change."""
    if not np.any(line.vector):
        zero: Vector = np.zeros_like(line.function.here)
        return Found(zero, np.zeros(zero.shape), step or 1.0)
    if method == "complex":
        return schemes.complex_step(line, step, what)
    if method == "richardson":
        return schemes.richardson(line, order, step, what)
    return schemes.simple(line, method, order, step, what)


def _columns(function: Function, method: str, step: float | None, what: str) -> list[Found]:
    """The derivatives by every entry of x."""
    size = function.point.size
    founds = [
        _along(function.unit(k), method, step, 1, what) for k in counted(size, what.split("()")[0])
    ]
    if method == "complex":
        # One look for all columns: a random combination of them, against differences.
        weights = np.random.default_rng(0).uniform(0.5, 1.5, size)
        combined = np.sum([w * c.value for w, c in zip(weights, founds, strict=True)], axis=0)
        line = function.line(weights)
        schemes.check_analytic(line, Found(combined, np.zeros(1), founds[0].step), what)
    return founds


def _estimate(
    function: Function, value: Any, error: Any, founds: Iterable[Found], method: str
) -> Estimate:
    return Estimate(value, error, min(c.step for c in founds), method, function.count)


def _block(out: Any, arg: Any, part: np.ndarray) -> Any:
    """A block of a Jacobian: a tensor if result or argument is one."""
    if isinstance(out, Tensor) or isinstance(arg, Tensor):
        return wrap(part)
    return like(out, part) if part.ndim == 0 else part


def _blocks(rows_of: Function | Point, point: Point, table: np.ndarray, error: bool = False) -> Any:
    """A table (entries of results or of x, entries of x) as a tree of trees of arrays."""
    rows, start = [], 0
    for leaf, a in zip(rows_of.leaves, rows_of.arrays, strict=True):
        part = table[start : start + a.size]
        start += a.size
        blocks = [
            _block(leaf, arg, b.reshape((*a.shape, *x.shape)).astype(kept_dtype(b, a.dtype, error)))
            for b, arg, x in zip(point.split(part), point.leaves, point.arrays, strict=True)
        ]
        rows.append(point.spec.unflatten(blocks))
    return rows_of.spec.unflatten(rows)
