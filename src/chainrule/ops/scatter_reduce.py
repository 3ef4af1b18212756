"""Reductions of the entries that share a position: the primitives behind `scatter_reduce`."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from chainrule.core.avals import same
from chainrule.core.batching import rank, spread, with_rank
from chainrule.core.boxes import namespace_of, values_of
from chainrule.core.kinds import general
from chainrule.core.namespaces import raw, recorded
from chainrule.core.samples import Sample, uniform
from chainrule.ops.arithmetic import divide
from chainrule.ops.index import Spec, join_index
from chainrule.ops.index import index_add as add_at
from chainrule.ops.index import index_put as put_at
from chainrule.ops.index_batch import ARRAY

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


def _reduce_batch(prim: Any, size: int, args: Any, mapped: Any, params: Any) -> Any:
    """The examples as one more dimension in front, which an array of its own runs through.

    The index consists of arrays alone: `reduce_at` gets no other.
    """
    x, y, *arrays = args
    ndim = max([rank(a) - m for a, m in zip(arrays, mapped[2:], strict=True)], default=0)
    arrays = [with_rank(a, ndim) if m else a for a, m in zip(arrays, mapped[2:], strict=True)]
    example = np.arange(size).reshape(size, *(1,) * ndim)
    x = x if mapped[0] else spread(x, size)
    y = with_rank(y, ndim) if mapped[1] else y
    return prim.apply((x, y, example, *arrays), {**params, "index": (ARRAY, *params["index"])})


# out[index] = max or min of what is in x there and of all y that go there
scatter_extreme = general(
    "scatter_extreme", lambda x, y, *arrays, index, reduce: _reduce(x, y, arrays, index, reduce),
    vjp=_extreme_vjp,
    jvp=lambda xp, t, x, y, out, tail, index: _weighted(
        xp, t, *_shares(xp, x, y, out, tail, index), tail, index
    ),
    grad_name="ScatterReduce", real=True, aval=same, batch=_reduce_batch,
    samples=lambda: [
        Sample(uniform(4), uniform(5, seed=1), np.array([0, 1, 1, 1, 3]), index=(ARRAY,), reduce=r)
        for r in ("amax", "amin")
    ],
)  # fmt: skip


def _neighbours(xp: Any, factors: Any, cells: Any, step: int, longest: int) -> Any:
    """For factors sorted by cell, the product of all before (step 1) or after (-1) in the cell.

    By doubling: with width w, every entry holds the product of the w factors next to it.  No cell
    holds more than `longest`.
    """
    ix = namespace_of(cells)
    place = np.arange(cells.shape[0])

    def shifted(values: Any, width: int) -> Any:
        beside = place - step * width
        same = (beside >= 0) & (beside < len(place))
        beside = np.where(same, beside, place)
        found = xp.getitem(values, beside, index=(ARRAY,))
        return xp.where((ix.getitem(cells, beside, index=(ARRAY,)) == cells) & same, found, 1)

    out = shifted(factors, 1)
    width = 1
    while width < longest - 1:
        out = out * shifted(out, width)
        width *= 2
    return out


def _partials(xp: Any, x: Any, y: Any, tail: Any, index: Spec) -> tuple[Any, Any]:
    """The product of all other factors, for each factor.

    It is made of products alone, without division, so it is right also where factors are zero, and
    so are its own derivatives.
    """
    shape = tuple(x.shape)
    size = prod(shape)
    arrays = [values_of(a) for a in tail]
    ix = namespace_of(*arrays)
    into = ix.getitem(np.arange(size).reshape(shape), *arrays, index=index)
    taken = tuple(into.shape)
    n = prod(taken)
    cells = ix.concat(np.arange(size), ix.reshape(into, shape=(n,)), axis=0)
    order = ix.argsort(cells, axis=0, descending=False)
    cells = ix.getitem(cells, order, index=(ARRAY,))
    longest = n + 1 if ix is not raw else int(np.bincount(cells).max(initial=0))
    factors = xp.concat(
        xp.reshape(x, shape=(size,)), xp.reshape(xp.broadcast_to(y, shape=taken), shape=(n,)),
        axis=0,
    )  # fmt: skip
    factors = xp.getitem(factors, order, index=(ARRAY,))
    before, after = (_neighbours(xp, factors, cells, step, longest) for step in (1, -1))
    others = before * after
    back = ix.argsort(order, axis=0, descending=False)
    of_x, of_y = back[:size].reshape(shape), back[size:].reshape(taken)
    return (
        xp.getitem(others, of_x, index=(ARRAY,)),
        xp.getitem(others, of_y, index=(ARRAY,)),
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
    grad_name="ScatterReduce", aval=same, batch=_reduce_batch,
    samples=lambda: [
        Sample(uniform(4), uniform(5, seed=1), np.array([0, 1, 1, 1, 3]), index=(ARRAY,)),
        Sample(
            np.array([0.0, 0.0, 2.0, 1.5]), np.array([0.5, 0.0, 3.0, 0.0, 2.0]),
            np.array([0, 1, 1, 0, 1]), index=(ARRAY,),
        ),
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
    count = _uses(tuple(x.shape), spec, arrays, keep)
    return total // count if exact else divide(total, namespace_of(count).astype(count, dtype=dt))


def _uses(shape: tuple[int, ...], spec: Spec, arrays: Any, keep: bool) -> Any:
    """How many entries go to each position, what is there counted if `keep`; at least 1."""
    count: Any = np.ones(shape, np.int64)
    if namespace_of(*arrays) is raw:
        key = join_index(spec, arrays)
        if not keep:
            count[key] = 0
        np.add.at(count, key, 1)
        return np.maximum(count, 1)
    zero, one = np.zeros((), np.int64), np.ones((), np.int64)
    if not keep:
        count = recorded.index_put(count, zero, *arrays, index=spec)
    return recorded.maximum(recorded.index_add(count, one, *arrays, index=spec), 1)
