"""Reductions of the entries that share a position: the primitives behind `scatter_reduce`."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.kinds import general
from chainrule.core.samples import Sample, uniform
from chainrule.ops.arithmetic import divide
from chainrule.ops.index import ARRAY, Spec, join_index
from chainrule.ops.index import index_add as add_at
from chainrule.ops.index import index_put as put_at

_AT = {"amax": np.maximum, "amin": np.minimum, "prod": np.multiply}


def _reduce(x: Any, y: Any, arrays: Any, index: Spec, reduce: str) -> Any:
    out = np.array(x)
    _AT[reduce].at(out, join_index(index, arrays), y)
    return out


def _shares(xp: Any, x: Any, y: Any, out: Any, tail: Any, index: Spec) -> tuple[Any, Any]:
    """How much of the gradient at the extreme each of x and y gets: ties share evenly."""
    dt = getattr(out, "array", out).dtype
    from_x = xp.astype(xp.equal(x, out), dtype=dt)
    from_y = xp.astype(xp.equal(y, xp.getitem(out, *tail, index=index)), dtype=dt)
    count = xp.index_add(from_x, from_y, *tail, index=index)
    return from_x / count, from_y / xp.getitem(count, *tail, index=index)


def _extreme_vjp(xp: Any, g: Any, x: Any, y: Any, out: Any, tail: Any, index: Spec) -> Any:
    wx, wy = _shares(xp, x, y, out, tail, index)
    return (g * wx, xp.getitem(g, *tail, index=index) * wy, *[None] * len(tail))


def _weighted(xp: Any, t: Any, wx: Any, wy: Any, tail: Any, index: Spec) -> Any:
    total = xp.zeros_like(wx) if t[0] is None else t[0] * wx
    return total if t[1] is None else xp.index_add(total, t[1] * wy, *tail, index=index)


# out[index] = max or min of what is in x there and of all y that go there
scatter_extreme = general(
    "scatter_extreme", lambda x, y, *arrays, index, reduce: _reduce(x, y, arrays, index, reduce),
    vjp=_extreme_vjp,
    jvp=lambda xp, t, x, y, out, tail, index: _weighted(
        xp, t, *_shares(xp, x, y, out, tail, index), tail, index
    ),
    grad_name="ScatterReduce",
    samples=lambda: [
        Sample(uniform(4), uniform(5, seed=1), np.array([0, 1, 1, 1, 3]), index=(ARRAY,), reduce=r)
        for r in ("amax", "amin")
    ],
)  # fmt: skip


def _partials(xp: Any, x: Any, y: Any, tail: Any, index: Spec) -> tuple[Any, Any]:
    """The product of all other factors, for each factor; right also where factors are zero.

    Let P be the product of the factors that are not zero and Z the number of those that are. Then
    the others multiply to P/factor if none of them is zero, that is if Z minus "this one is zero"
    is zero, and to 0 otherwise.
    """
    dt = getattr(x, "array", x).dtype
    zero_x, zero_y = xp.equal(x, 0), xp.equal(y, 0)
    safe_x, safe_y = xp.where(zero_x, 1, x), xp.where(zero_y, 1, y)
    count_x, count_y = xp.astype(zero_x, dtype=dt), xp.astype(zero_y, dtype=dt)
    zeros = xp.index_add(count_x, count_y, *tail, index=index)
    product = xp.scatter_prod(safe_x, safe_y, *tail, index=index)
    at_y = xp.getitem(product, *tail, index=index)
    others = xp.equal(xp.getitem(zeros, *tail, index=index) - count_y, 0)
    return (
        xp.where(xp.equal(zeros - count_x, 0), product / safe_x, 0),
        xp.where(others, at_y / safe_y, 0),
    )


def _prod_vjp(xp: Any, g: Any, x: Any, y: Any, tail: Any, index: Spec) -> tuple[Any, ...]:
    px, py = _partials(xp, x, y, tail, index)
    if getattr(x, "array", x).dtype.kind == "c":
        px, py = xp.conj(px), xp.conj(py)
    return (g * px, xp.getitem(g, *tail, index=index) * py, *[None] * len(tail))


# out = x; out[index] *= y, where repeated positions multiply
scatter_prod = general(
    "scatter_prod", lambda x, y, *arrays, index: _reduce(x, y, arrays, index, "prod"),
    vjp=_prod_vjp,
    jvp=lambda xp, t, x, y, tail, index: _weighted(
        xp, t, *_partials(xp, x, y, tail, index), tail, index
    ),
    grad_name="ScatterReduce",
    samples=lambda: [
        Sample(uniform(4), uniform(5, seed=1), np.array([0, 1, 1, 1, 3]), index=(ARRAY,)),
    ],
)  # fmt: skip


def reduce_at(
    x: Any, values: Any, spec: Spec, arrays: Any, shape: tuple[int, ...], reduce: str, keep: bool
) -> Any:
    """`x` with `values` reduced into the positions of an index of the given shape.

    If not `keep`, what `x` has at those positions does not count.

    Raises:
        RuntimeError: for an unknown reduction.
    """
    dt = getattr(x, "array", x).dtype
    exact = dt.kind not in "fc"
    lowest, highest = (np.iinfo(dt).min, np.iinfo(dt).max) if exact else (-np.inf, np.inf)
    neutral = {"sum": 0, "mean": 0, "prod": 1, "amax": lowest, "amin": highest}
    if reduce not in neutral:
        raise RuntimeError(
            f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}"
        )
    if not keep:
        x = put_at(x, np.asarray(neutral[reduce], dt), *arrays, index=spec)
    if reduce == "prod":
        return scatter_prod(x, values, *arrays, index=spec)
    if reduce in ("amax", "amin"):
        return scatter_extreme(x, values, *arrays, index=spec, reduce=reduce)
    total = add_at(x, values, *arrays, index=spec)
    if reduce == "sum":
        return total
    count = np.ones(tuple(x.shape), np.int64)
    key = join_index(spec, arrays)
    if not keep:
        count[key] = 0
    np.add.at(count, key, 1)
    count = np.maximum(count, 1)
    return total // count if exact else divide(total, count.astype(dt))
