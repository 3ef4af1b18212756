"""Running sums, products and extremes along a dimension, and differences of neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.kinds import general, linear
from chainrule.core.namespaces import composite
from chainrule.core.samples import Sample, uniform
from chainrule.ops.api import export
from chainrule.ops.inputs import as_input, axis_of, converted
from chainrule.ops.reduce import conjugate



def flipped(x: Any, axis: int, reverse: bool) -> Any:
    """A view of the array in the direction in which to run."""
    return x[(slice(None),) * axis + (slice(None, None, -1),)] if reverse else x


def _running(accumulate: Any) -> Any:
    """`accumulate` of a ufunc along one axis, from either end."""

    def running(x: Any, axis: int, reverse: bool = False) -> Any:
        if x.ndim == 0:
            return x.astype(np.int64) if x.dtype.kind in "biu" else x.copy()
        dt = x.dtype if x.dtype.kind in "fcV" else np.dtype(np.int64)
        return flipped(accumulate(flipped(x, axis, reverse), axis, dtype=dt), axis, reverse)

    return running


def _lines() -> list[Sample]:
    return [
        Sample(uniform(4), axis=0, reverse=False),
        Sample(uniform(2, 3, 2), axis=1, reverse=True),
        Sample(uniform(), axis=0, reverse=False),
    ]


cumsum_prim = linear(
    "cumsum", _running(np.add.accumulate),
    lambda xp, g, axis, reverse: xp.cumsum(g, axis=axis, reverse=not reverse),
    symbol="cumsum({})", samples=_lines,
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
)  # fmt: skip


def _recurrence(x: Any, y: Any, axis: int, reverse: bool = False) -> Any:
    """s[i] = x[i]·s[i-1] + y[i] along an axis, starting from s = 0.

    Wide arrays are run over entry by entry.  Narrow ones would spend their time in Python, so there
    the maps s → x·s + y are composed in doubling distances (Hillis and Steele's scan).
    """
    if x.ndim == 0:
        return y.copy()
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
    "recurrence", _recurrence, vjp=_recurrence_vjp, jvp=_recurrence_jvp,
    samples=lambda: [
        Sample(uniform(4), uniform(4, seed=1), axis=0, reverse=False),
        Sample(uniform(2, 3), uniform(2, 3, seed=1), axis=1, reverse=True),
        Sample(uniform(40, low=-1, high=1), uniform(40, seed=1), axis=0, reverse=False),
    ],
)  # fmt: skip


# With p = cumprod(x): x̄[j] = p[j-1]·S[j] where S[j] = g[j] + x[j+1]·S[j+1].  Nothing is divided, so
# zeros need no special case at any order, and the cost stays linear.
cumprod_prim = general(
    "cumprod", _running(np.multiply.accumulate),
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
    symbol="cumprod({})",
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
