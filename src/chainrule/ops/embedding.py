"""Looking up rows and classes by integer: embeddings and the negative log-likelihood."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from chainrule.core.avals import same
from chainrule.core.batching import folded, moved, rank, shape_of, shaped_by_first, spread, xp
from chainrule.core.kinds import general
from chainrule.core.node import Aval
from chainrule.core.samples import Sample, uniform
from chainrule.core.tensor import Tensor
from chainrule.ops import gather  # noqa: F401 - declares positions_in_range

_Padding = int | tuple[int, int] | None  # a row, or (row, rows of a table) in each of many tables


def _embedding(weight: Any, index: Any, padding_idx: _Padding) -> Any:
    if index.size and (index.min() < 0 or index.max() >= weight.shape[0]):
        raise IndexError(
            f"index out of range in self: the table has {weight.shape[0]} rows, so indices go from "
            f"0 to {weight.shape[0] - 1}, but they go from {index.min()} to {index.max()}"
        )
    return weight[index]


# Rows used more often than this are summed one by one, the others in as many passes as uses.
_OFTEN = 16


def _is_not_padding(index: Any, padding_idx: _Padding) -> Any:
    if isinstance(padding_idx, tuple):
        row, rows = padding_idx
        return index % rows != row
    return index != padding_idx


def _embedding_rows(g: Any, index: Any, rows: int, padding_idx: _Padding) -> Any:
    """A table of `rows` rows, with the rows of g added at their indices.

    Equal indices are brought together by sorting.  Then pass r adds the r-th use of every row, so
    that no index repeats within a pass; this is several times faster than `add.at` or `reduceat`.
    """
    width = g.shape[index.ndim :]
    out = np.zeros((rows, *width), g.dtype)
    flat = index.reshape(-1)
    g = g.reshape(flat.size, *width)
    order = np.argsort(flat, kind="stable")
    if padding_idx is not None:
        order = order[_is_not_padding(flat[order], padding_idx)]
    if not order.size:
        return out
    found = flat[order]
    start = np.flatnonzero(np.append(True, found[1:] != found[:-1]))
    count = np.diff(np.append(start, found.size))
    for s, c in zip(start[count > _OFTEN], count[count > _OFTEN], strict=True):
        out[found[s]] = np.add.reduce(g[order[s : s + c]], 0)
    start, count = start[count <= _OFTEN], count[count <= _OFTEN]
    for use in range(int(count.max(initial=0))):
        more = count > use
        start, count = start[more], count[more]
        out[found[start]] += g[order[start + use]]
    return out


_INDEX = np.array([[1, 3, 1], [0, 2, 1]])


def own_rows(index: Any, mapped: bool, size: int, rows: int) -> Any:
    """Rows of each example's own table as rows of all tables, one after the other."""
    index = xp.positions_in_range(index, d=0, size=rows, kind=IndexError, low=0)
    ndim = rank(index) - mapped
    return index + np.arange(0, size * rows, max(rows, 1)).reshape(size, *(1,) * ndim)


def _of_all_tables(padding_idx: Any, rows: int) -> Any:
    """The padding row of every table when tables of so many rows follow one another."""
    return (padding_idx, rows) if isinstance(padding_idx, int) else padding_idx


def _embedding_batch(prim: Any, size: int, args: Any, mapped: Any, params: Any) -> Any:
    table, index = args
    if not mapped[0]:
        return prim.apply(args, params)
    if not mapped[1]:  # rows of all examples at once
        return moved(prim.apply((moved(table, 0, 1), index), params), rank(index), 0)
    _, rows, *width = shape_of(table)
    padding = _of_all_tables(params["padding_idx"], rows)
    table = xp.reshape(table, shape=(size * rows, *width))
    return prim.apply((table, own_rows(index, True, size, rows)), {"padding_idx": padding})


# The lookup itself reads the padding row as any other; only its gradient leaves the row out.
embedding = general(
    "embedding", _embedding, batch=_embedding_batch,
    aval=lambda x, y, padding_idx: Aval((*y.shape, *x.shape[1:]), x.dtype),
    vjps=(
        lambda xp, g, x_aval, y, padding_idx: xp.embedding_rows(
            g, y, rows=x_aval.shape[0], padding_idx=padding_idx
        ),
        None,
    ),
    jvps=("linear", None),
    samples=lambda: [
        Sample(uniform(5, 2), _INDEX, padding_idx=None),
        Sample(uniform(5), _INDEX, padding_idx=None),
    ],
)  # fmt: skip


def _masked_rows(xp: Any, g: Any, y: Any, padding_idx: _Padding) -> Any:
    """The transpose of `embedding_rows`: the rows at the indices, zero for the padding index."""
    rows = xp.embedding(g, y, padding_idx=None)
    if padding_idx is None:
        return rows
    keep = xp.reshape(_is_not_padding(y, padding_idx), shape=(*y.shape, *(1,) * (len(g.shape) - 1)))
    return xp.where(keep, rows, 0)


def _rows_batch(prim: Any, size: int, args: Any, mapped: Any, params: Any) -> Any:
    g, index = args
    if not mapped[1]:  # the examples as part of what is added
        return moved(prim.apply((moved(g, 0, rank(index)), index), params), 1, 0)
    g = g if mapped[0] else spread(g, size)
    rows, padding = params["rows"], params["padding_idx"]
    all_rows = {"rows": size * rows, "padding_idx": _of_all_tables(padding, rows)}
    table = prim.apply((g, own_rows(index, True, size, rows)), all_rows)
    return xp.reshape(table, shape=(size, rows, *shape_of(table)[1:]))


embedding_rows = general(
    "embedding_rows", _embedding_rows, batch=_rows_batch,
    aval=lambda x, y, rows, padding_idx: Aval((rows, *x.shape[len(y.shape) :]), x.dtype),
    vjps=(lambda xp, g, y, padding_idx: _masked_rows(xp, g, y, padding_idx), None),
    jvps=("linear", None),
    samples=lambda: [
        Sample(uniform(2, 3, 2), _INDEX, rows=5, padding_idx=None),
        Sample(uniform(2, 3, 2), _INDEX, rows=5, padding_idx=1),
        Sample(uniform(2, 3, 2), _INDEX, rows=6, padding_idx=(1, 3)),
        Sample(uniform(18, 2), np.arange(18) // (_OFTEN + 1), rows=3, padding_idx=None),
    ],
)  # fmt: skip


def class_weights(
    target: Any, weight: Any, classes: int, dtype: Any, ignore_index: int
) -> tuple[Any, Any]:
    """Each target's weight, 0 where ignored, and the targets made valid (0 where ignored).

    Raises:
        IndexError: if a target that is not ignored is not a class.
    """
    used = target != ignore_index
    index = np.where(used, target, 0)
    if index.size and (index.min() < 0 or index.max() >= classes):
        bad = index.min() if index.min() < 0 else index.max()
        raise IndexError(
            f"Target {bad} is out of bounds. Classes go from 0 to {classes - 1} because the input "
            f"has {classes} of them."
        )
    return (used if weight is None else weight[index] * used).astype(dtype, copy=False), index


def class_places(index: Any, classes: int) -> Any:
    """Where the classes `index` (N, ...) lie in a flattened array (N, classes, ...)."""
    n = index.shape[0]
    if index.ndim == 1:
        return np.arange(0, n * classes, classes) + index
    each = prod(index.shape[1:])
    rows = np.arange(n).reshape(n, *(1,) * (index.ndim - 1)) * (classes * each)
    return rows + index * each + np.arange(each).reshape(index.shape[1:])


def _nll(x: Any, target: Any, weight: Any, ignore_index: int, reduction: str) -> Any:
    """Minus the weighted entry of x (N, C, P) at the target class (N, P)."""
    c, index = class_weights(target, weight, x.shape[1], x.dtype, ignore_index)
    picked = x.reshape(-1)[class_places(index, x.shape[1])]
    loss = np.where(c == 0, 0, -picked * c)
    if reduction == "none":
        return loss
    total = np.add.reduce(loss, None)
    if reduction == "sum":
        return total
    count = np.add.reduce(c, None)
    return total / count if count else x.dtype.type(np.nan)


def _nll_spread(
    g: Any, target: Any, weight: Any, classes: int, ignore_index: int, reduction: str
) -> Any:
    """The transpose of `nll`: minus the weighted cotangent at the target class, 0 elsewhere."""
    c, index = class_weights(target, weight, classes, g.dtype, ignore_index)
    if reduction == "mean":
        total = np.add.reduce(c, None)
        g = g / total if total else g * 0
    out = np.zeros((target.shape[0], classes, *target.shape[1:]), g.dtype)
    out.reshape(-1)[class_places(index, classes)] = -g * c
    return out


# A batch is one longer batch; sums over its examples, and means, are made of the losses themselves.
def _one_batch(size: int, args: Any, mapped: Any, params: Any) -> tuple[Any, ...]:
    """x, target and weight for all examples together, factors for the losses, and divisors.

    The factors (None: 1) stand for class weights that examples do not share, the divisors (None: 1)
    for the total weight that means are taken over.
    """
    x, target, weight = args
    factors = divisors = None
    own_weight = mapped[2]
    if own_weight or params["reduction"] == "mean":
        classes = params.get("classes") or shape_of(x)[-2]
        used = target != params["ignore_index"]
        factors = xp.astype(used, dtype=getattr(x, "array", x).dtype)
        if weight is not None:
            fixed = weight.detach() if isinstance(weight, Tensor) else weight
            index = xp.where(used, target, 0)
            if own_weight:
                index = own_rows(index, mapped[1], size, classes)
                fixed = xp.reshape(fixed, shape=(size * classes,))
            factors = xp.embedding(fixed, index, padding_idx=None) * factors
        if params["reduction"] == "mean":
            divisors = xp.sum(factors, axis=(rank(factors) - 2, rank(factors) - 1), keepdims=False)
    x, target = (v if m else spread(v, size) for v, m in zip((x, target), mapped[:2], strict=True))
    return (
        x,
        folded(target),
        None if own_weight else weight,
        factors if own_weight else None,
        divisors,
    )


def _nll_batch(prim: Any, size: int, args: Any, mapped: Any, params: Any) -> Any:
    x, target, weight, factors, divisors = _one_batch(size, args, mapped, params)
    each = {"ignore_index": params["ignore_index"], "reduction": "none"}
    loss = prim.apply((folded(x), target, weight), each)
    loss = xp.reshape(loss, shape=(size, shape_of(x)[1], shape_of(x)[3]))
    if factors is not None:
        loss = xp.where(factors == 0, 0, loss * factors)
    if params["reduction"] == "none":
        return loss
    total = xp.sum(loss, axis=(1, 2), keepdims=False)
    if divisors is None:
        return total
    # The mean of nothing is nan, its gradient 0.
    return xp.where(divisors == 0, np.nan, total / xp.where(divisors == 0, 1, divisors))


def _nll_spread_batch(prim: Any, size: int, args: Any, mapped: Any, params: Any) -> Any:
    g, target, weight, factors, divisors = _one_batch(size, args, mapped, params)
    n, p = shape_of(args[1])[-2:]
    if params["reduction"] != "none":
        if divisors is not None:
            g = xp.where(divisors == 0, 0, g / xp.where(divisors == 0, 1, divisors))
        g = xp.broadcast_to(xp.reshape(g, shape=(size, 1, 1)), shape=(size, n, p))
    if factors is not None:
        g = xp.where(factors == 0, 0, g * factors)
    out = prim.apply((folded(g), target, weight), {**params, "reduction": "none"})
    return xp.reshape(out, shape=(size, n, params["classes"], p))


def _nll_samples() -> list[Sample]:
    x, target, weight = uniform(2, 3, 2), np.array([[0, 2], [1, -7]]), np.array([0.5, 2.0, 1.0])
    return [
        Sample(x, target, None, ignore_index=-7, reduction="mean"),
        Sample(x, target, weight, ignore_index=-7, reduction="mean"),
        Sample(x, target, weight, ignore_index=-7, reduction="sum"),
        Sample(x, target, None, ignore_index=-7, reduction="none"),
    ]


def _spread_samples() -> list[Sample]:
    return [
        Sample(uniform(*np.shape(_nll(*s.args, **s.params))), *s.args[1:], classes=3, **s.params)
        for s in _nll_samples()
    ]


# As in PyTorch, the class weights are constants.
nll = general(
    "nll", _nll, batch=_nll_batch,
    aval=lambda x, y, z, ignore_index, reduction: Aval(
        tuple(y.shape) if reduction == "none" else (), x.dtype
    ),
    real=True, vjps=(
        lambda xp, g, x_aval, y, z, ignore_index, reduction: xp.nll_spread(
            g, y, z, classes=x_aval.shape[1], ignore_index=ignore_index, reduction=reduction
        ),
        None, None,
    ),
    jvps=("linear", None, None), grad_name="NllLoss", samples=_nll_samples,
)  # fmt: skip

nll_spread = general(
    "nll_spread", _nll_spread, batch=_nll_spread_batch, real=True,
    aval=lambda x, y, z, classes, **params: Aval((y.shape[0], classes, *y.shape[1:]), x.dtype),
    vjps=(
        lambda xp, g, y, z, ignore_index, reduction: xp.nll(
            g, y, z, ignore_index=ignore_index, reduction=reduction
        ),
        None, None,
    ),
    jvps=("linear", None, None), samples=_spread_samples,
)  # fmt: skip


# x itself, whose gradient is multiplied by y.  That is a convention for training, no derivative:
# tangents pass unchanged.
scaled_gradient = general(
    "scaled_gradient", lambda x, y: x, vjps=(lambda g, y: g * y, None), jvps=(lambda t: t, None),
    batch=shaped_by_first, aval=same,
)  # fmt: skip
