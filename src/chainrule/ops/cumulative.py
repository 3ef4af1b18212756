"""Running sums, products and extremes along a dimension, and differences of neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.avals import accumulator_dtype, joint_dtype, same, typed
from chainrule.core.batching import along_line
from chainrule.core.dtypes import is_inexact
from chainrule.core.kinds import general, linear
from chainrule.core.namespaces import composite
from chainrule.core.node import Aval
from chainrule.core.samples import Sample, uniform
from chainrule.ops.api import FUNCTIONS, export
from chainrule.ops.extremes import ordered
from chainrule.ops.inputs import as_input, axis_of, conjugate, converted, numpy_dtype, torch_name
from chainrule.ops.reduce import in_float32, sum_prim
from chainrule.ops.results import result_type
from chainrule.ops.selection import selection
from chainrule.ops.shape import reshape_prim


def flipped(x: Any, axis: int, reverse: bool) -> Any:
    """A view of the array in the direction in which to run."""
    return x[(slice(None),) * axis + (slice(None, None, -1),)] if reverse else x


def _running(accumulate: Any) -> Any:
    """`accumulate` of a ufunc along one axis, from either end."""

    def running(x: Any, axis: int, reverse: bool = False) -> Any:
        if x.ndim == 0:
            return x.copy() if is_inexact(x.dtype) else x.astype(np.int64)
        if not is_inexact(x.dtype):
            x = x.astype(np.int64)
        return flipped(accumulate(flipped(x, axis, reverse), axis), axis, reverse)

    return running


_accumulated = typed(same, accumulator_dtype)


def _lines() -> list[Sample]:
    return [
        Sample(uniform(4), axis=0, reverse=False),
        Sample(uniform(2, 3, 2), axis=1, reverse=True),
        Sample(uniform(), axis=0, reverse=False),
    ]


cumsum_prim = linear(
    "cumsum", in_float32(_running(np.add.accumulate)),
    lambda xp, g, axis, reverse: xp.cumsum(g, axis=axis, reverse=not reverse),
    aval=_accumulated, symbol="cumsum({})", samples=_lines, batch=along_line,
)  # fmt: skip


def _shifted(x: Any, axis: int, reverse: bool = False) -> Any:
    out = np.zeros_like(x)
    if x.ndim:
        flipped(out, axis, reverse)[(slice(None),) * axis + (slice(1, None),)] = flipped(
            x, axis, reverse
        )[(slice(None),) * axis + (slice(None, -1),)]
    return out


# out[i] = x[i-1] (reverse: x[i+1]), and 0 at the end that has no neighbour
shift = linear(
    "shift", _shifted,
    lambda xp, g, axis, reverse: xp.shift(g, axis=axis, reverse=not reverse), samples=_lines,
    aval=same, batch=along_line,
)  # fmt: skip


def _recurrence(x: Any, y: Any, axis: int, reverse: bool = False) -> Any:
    """s[i] = x[i]·s[i-1] + y[i] along an axis, starting from s = 0.

    Wide arrays are run over entry by entry.  Narrow ones would spend their time in Python, so there
    the maps s → x·s + y are composed in doubling distances (Hillis and Steele's scan).
    """
    if x.ndim == 0:
        return y.copy()
    if y.dtype.itemsize == 2:
        x, wide = x.astype(np.float32), y.astype(np.float32)
        return _recurrence(x, wide, axis, reverse).astype(y.dtype)
    a = np.moveaxis(flipped(x, axis, reverse), axis, 0)
    s = np.array(np.moveaxis(flipped(y, axis, reverse), axis, 0), np.result_type(x, y))
    n = len(s)
    if n <= 32 or s.size >= 32 * n:
        for i in range(1, n):
            s[i] += a[i] * s[i - 1]
    else:
        a = a.astype(s.dtype)
        step = 1
        while step < n:
            gain = a[step:]
            # A sum that is zero stays zero even if the product of the gains has overflowed.
            s[step:] += np.where(s[:-step] == 0, 0, gain * s[:-step])
            a[step:] = gain * a[:-step]
            step *= 2
    return flipped(np.moveaxis(s, 0, axis), axis, reverse)


def _recurrence_aval(x: Any, y: Any, **_: Any) -> Aval:
    alone = not y.shape or y.dtype.itemsize == 2
    return Aval(tuple(y.shape), y.dtype if alone else joint_dtype(x, y))


def _recurrence_vjp(
    xp: Any, g: Any, x: Any, out: Any, need: Any, axis: int, reverse: bool
) -> tuple[Any, Any]:
    # The adjoint runs the other way: s̄[i] = g[i] + x[i+1]·s̄[i+1].
    gains = xp.shift(conjugate(xp, x), axis=axis, reverse=not reverse)
    back = xp.recurrence(gains, g, axis=axis, reverse=not reverse)
    before = xp.shift(out, axis=axis, reverse=reverse)
    return back * conjugate(xp, before) if need[0] else None, back if need[1] else None


def _recurrence_jvp(xp: Any, t: Any, x: Any, out: Any, axis: int, reverse: bool) -> Any:
    driven = 0 * out if t[1] is None else t[1]
    if t[0] is not None:
        driven = driven + t[0] * xp.shift(out, axis=axis, reverse=reverse)
    return xp.recurrence(x, driven, axis=axis, reverse=reverse)


recurrence = general(
    "recurrence", _recurrence, vjp=_recurrence_vjp, jvp=_recurrence_jvp, batch=along_line,
    aval=_recurrence_aval,
    samples=lambda: [
        Sample(uniform(4), uniform(4, seed=1), axis=0, reverse=False),
        Sample(uniform(2, 3), uniform(2, 3, seed=1), axis=1, reverse=True),
        Sample(uniform(40, low=-1, high=1), uniform(40, seed=1), axis=0, reverse=False),
    ],
)  # fmt: skip


# With p = cumprod(x): x̄[j] = p[j-1]·S[j] where S[j] = g[j] + x[j+1]·S[j+1].  Nothing is divided, so
# zeros need no special case at any order, and the cost stays linear.
cumprod_prim = general(
    "cumprod", in_float32(_running(np.multiply.accumulate)),
    vjps=(
        lambda xp, g, x, out, axis, reverse: conjugate(xp, _before(xp, out, axis, reverse))
        * xp.recurrence(
            xp.shift(conjugate(xp, x), axis=axis, reverse=not reverse), g, axis=axis,
            reverse=not reverse,
        ),
    ),
    jvps=(
        lambda xp, t, x, out, axis, reverse: xp.recurrence(
            x, t * _before(xp, out, axis, reverse), axis=axis, reverse=reverse
        ),
    ),
    aval=_accumulated, symbol="cumprod({})", batch=along_line,
    samples=lambda: [*_lines(), Sample(np.array([1.5, 0.0, 2.0, 0.0, 3.0]), axis=0, reverse=False)],
)  # fmt: skip


def _before(xp: Any, running: Any, axis: int, reverse: bool) -> Any:
    """The running product up to but not including each entry."""
    shape = tuple(running.shape)
    first = np.zeros(tuple(d if i == axis else 1 for i, d in enumerate(shape)), np.float32)
    if first.size:
        first.reshape(-1)[-1 if reverse else 0] = 1
    return xp.shift(running, axis=axis, reverse=reverse) + xp.astype(first, dtype=running.dtype)


@composite
def exclusive_cumprod(xp: Any, x: Any, axis: int, reverse: bool) -> Any:
    """The product of all entries before each one along an axis."""
    return _before(xp, xp.cumprod(x, axis=axis, reverse=reverse), axis, reverse)


def _logcumsumexp_of(x: Any, axis: int) -> Any:
    return np.logaddexp.accumulate(x, axis) if x.ndim else x.copy()


def _finite_logs(xp: Any, out: Any) -> Any:
    """-inf replaced by 0, so that differences of logarithms are -inf rather than nan."""
    return xp.where(out == -np.inf, 0, out)


def _decay(xp: Any, out: Any, axis: int) -> Any:
    """exp(out[i-1] - out[i]) ≤ 1: how much of the running sum at i-1 is in the one at i."""
    difference = xp.shift(out, axis=axis, reverse=False) - _finite_logs(xp, out)
    first = np.arange(out.shape[axis]) == 0 if len(out.shape) else np.array(True)
    first = first.reshape(tuple(-1 if i == axis else 1 for i in range(len(out.shape))))
    return xp.exp(xp.where(first, 0, difference))


# out[i] = log(exp(out[i-1]) + exp(x[i])), so with the decay d and the share s = exp(x - out):
# tangents run forward as ṫ[i] = d[i]·ṫ[i-1] + s[i]·t[i], cotangents back likewise.  All factors are
# at most one: nothing overflows.
logcumsumexp_prim = general(
    "logcumsumexp", in_float32(_logcumsumexp_of),
    vjps=(
        lambda xp, g, x, out, axis: xp.exp(x - _finite_logs(xp, out)) * xp.recurrence(
            xp.shift(_decay(xp, out, axis), axis=axis, reverse=True), g, axis=axis, reverse=True
        ),
    ),
    jvps=(
        lambda xp, t, x, out, axis: xp.recurrence(
            _decay(xp, out, axis), t * xp.exp(x - _finite_logs(xp, out)), axis=axis, reverse=False
        ),
    ),
    samples=lambda: [
        Sample(uniform(4), axis=0), Sample(uniform(2, 3, 2), axis=1), Sample(uniform(), axis=0)
    ],
    aval=same, batch=along_line,
)  # fmt: skip


def _running_index(accumulate: Any) -> Any:
    """Where the running extreme stands: the last of equal entries, or a nan once there is one."""

    def find(x: Any, axis: int) -> Any:
        if x.ndim == 0:
            return np.zeros((), np.int64)
        hit = (x == accumulate(x, axis)) | (x != x)
        place = np.arange(x.shape[axis]).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
        return np.maximum.accumulate(np.where(hit, place, 0), axis)

    return find


_cummax_index = general(
    "cummax_index", _running_index(np.maximum.accumulate),
    samples=lambda: [Sample(uniform(2, 5), axis=1)], batch=along_line,
    aval=typed(same, np.int64),
)  # fmt: skip
_cummin_index = general(
    "cummin_index", _running_index(np.minimum.accumulate),
    samples=lambda: [Sample(uniform(2, 5), axis=1)], batch=along_line,
    aval=typed(same, np.int64),
)  # fmt: skip
_cummax_along = selection("cummax_along", "Cummax", repeats=True)
_cummin_along = selection("cummin_along", "Cummin", repeats=True)
_CumMax = result_type("cummax", "values", "indices")
_CumMin = result_type("cummin", "values", "indices")


@export("cumsum", in_place=True)
def cumsum(input: Any, dim: Any, *, dtype: Any = None) -> Any:
    """Running sum along a dimension; integers and booleans give int64.

    >>> import chainrule as cr
    >>> cr.cumsum(cr.tensor([1.0, 2.0, 3.0]), dim=0)
    tensor([1., 3., 6.])
    """
    x = converted(as_input(input, "cumsum"), dtype)
    return cumsum_prim(x, axis=axis_of(dim, x.ndim, "cumsum"), reverse=False)


@export("cumprod", in_place=True)
def cumprod(input: Any, dim: Any, *, dtype: Any = None) -> Any:
    """Running product along a dimension; integers and booleans give int64.

    >>> import chainrule as cr
    >>> cr.cumprod(cr.tensor([1.0, 2.0, 3.0]), dim=0)
    tensor([1., 2., 6.])
    """
    x = converted(as_input(input, "cumprod"), dtype)
    return cumprod_prim(x, axis=axis_of(dim, x.ndim, "cumprod"), reverse=False)


@export("logcumsumexp")
def logcumsumexp(input: Any, dim: Any) -> Any:
    """Running log Σ exp(x) along a dimension, without overflow.

    Raises:
        NotImplementedError: for integers and complex numbers.

    >>> import chainrule as cr
    >>> cr.logcumsumexp(cr.tensor([100.0, 100.0]), dim=0)
    tensor([100.0000, 100.6931])
    """
    x = ordered(input, "logcumsumexp")
    if not is_inexact(numpy_dtype(x)):
        raise NotImplementedError(
            f"\"logcumsumexp\" not implemented for '{torch_name(x)}'; convert with x.float()"
        )
    return logcumsumexp_prim(x, axis=axis_of(dim, x.ndim, "logcumsumexp"))


@export("cummax")
def cummax(input: Any, dim: Any) -> Any:
    """The largest entry so far along a dimension, and where it stands (the last of equal ones).

    >>> import chainrule as cr
    >>> cr.cummax(cr.tensor([1.0, 3.0, 2.0]), dim=0).values
    tensor([1., 3., 3.])
    """
    x = ordered(input, "cummax")
    axis = axis_of(dim, x.ndim, "cummax")
    index = _cummax_index(x, axis=axis)
    return _CumMax(_cummax_along(x, index, axis=axis, keepdims=True), index)


@export("cummin")
def cummin(input: Any, dim: Any) -> Any:
    """The smallest entry so far along a dimension, and where it stands (the last of equal ones).

    >>> import chainrule as cr
    >>> cr.cummin(cr.tensor([3.0, 1.0, 2.0]), dim=0).values
    tensor([3., 1., 1.])
    """
    x = ordered(input, "cummin")
    axis = axis_of(dim, x.ndim, "cummin")
    index = _cummin_index(x, axis=axis)
    return _CumMin(_cummin_along(x, index, axis=axis, keepdims=True), index)


def _neighbours(x: Any, axis: int) -> tuple[Any, Any]:
    """Each entry but the last along an axis, and its successor."""
    before = (slice(None),) * axis
    return x[(*before, slice(None, -1))], x[(*before, slice(1, None))]


@export("diff")
def diff(
    input: Any, n: int = 1, dim: Any = -1, prepend: Any = None, append: Any = None
) -> Any:  # fmt: skip
    """The n-th differences of neighbours along a dimension; for booleans, whether they differ.

    Raises:
        RuntimeError: for a 0-d tensor or a negative n.

    >>> import chainrule as cr
    >>> cr.diff(cr.tensor([1.0, 4.0, 9.0]))
    tensor([3., 5.])
    """
    x = as_input(input, "diff")
    if x.ndim == 0:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    axis = axis_of(dim, x.ndim, "diff")
    if prepend is not None or append is not None:
        x = FUNCTIONS["cat"]([part for part in (prepend, x, append) if part is not None], axis)
    for _ in range(n):
        lower, upper = _neighbours(x, axis)
        x = upper != lower if x.dtype == np.bool_ else upper - lower
    return x


def _trapezoids(name: str, y: Any, x: Any, dx: Any, dim: Any) -> tuple[Any, int]:
    """The area over each interval, and the dimension along which they lie."""
    y = as_input(y, name, "y")
    if y.ndim == 0:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    axis = axis_of(dim, y.ndim, name)
    lower, upper = _neighbours(y, axis)
    total = lower + upper
    if x is None:
        return total * ((1 if dx is None else dx) / 2), axis
    if dx is not None:
        raise TypeError(f"{name}() takes the points x or their distance dx, not both")
    x = as_input(x, name, "x")
    if x.ndim == 1:
        left, right = _neighbours(x, 0)
        width = reshape_prim(
            right - left, shape=tuple(-1 if i == axis else 1 for i in range(y.ndim))
        )
    else:
        left, right = _neighbours(x, axis_of(dim, x.ndim, name))
        width = right - left
    return total * width / 2, axis


@export("trapezoid", "trapz", method=False)
def trapezoid(y: Any, x: Any = None, *, dx: Any = None, dim: Any = -1) -> Any:
    """The integral along a dimension by the trapezoidal rule, over points `x` or steps `dx` (1).

    Raises:
        TypeError: if both `x` and `dx` are given.

    >>> import chainrule as cr
    >>> cr.trapezoid(cr.tensor([1.0, 2.0, 3.0]))
    tensor(4.)
    """
    areas, axis = _trapezoids("trapezoid", y, x, dx, dim)
    return sum_prim(areas, axis=(axis,), keepdims=False)


@export("cumulative_trapezoid", method=False)
def cumulative_trapezoid(y: Any, x: Any = None, *, dx: Any = None, dim: Any = -1) -> Any:
    """The running integral along a dimension by the trapezoidal rule: one entry per interval.

    Raises:
        TypeError: if both `x` and `dx` are given.

    >>> import chainrule as cr
    >>> cr.cumulative_trapezoid(cr.tensor([1.0, 2.0, 3.0]))
    tensor([1.5000, 4.0000])
    """
    areas, axis = _trapezoids("cumulative_trapezoid", y, x, dx, dim)
    return cumsum_prim(areas, axis=axis, reverse=False)
