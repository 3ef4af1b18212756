"""Looking up rows and classes by integer: embeddings and the negative log-likelihood."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.kinds import general
from chainrule.core.samples import Sample, uniform


def _embedding(weight: Any, index: Any, padding_idx: int | None) -> Any:
    if index.size and (index.min() < 0 or index.max() >= weight.shape[0]):
        raise IndexError(
            f"index out of range in self: the table has {weight.shape[0]} rows, so indices go from "
            f"0 to {weight.shape[0] - 1}, but they go from {index.min()} to {index.max()}"
        )
    return weight[index]


# Rows used more often than this are summed one by one, the others in as many passes as uses.
_OFTEN = 16


def _embedding_rows(g: Any, index: Any, rows: int, padding_idx: int | None) -> Any:
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
        order = order[flat[order] != padding_idx]
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

# The lookup itself reads the padding row as any other; only its gradient leaves the row out.
embedding = general(
    "embedding", _embedding,
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


def _masked_rows(xp: Any, g: Any, y: Any, padding_idx: int | None) -> Any:
    """The transpose of `embedding_rows`: the rows at the indices, zero for the padding index."""
    rows = xp.embedding(g, y, padding_idx=None)
    if padding_idx is None:
        return rows
    keep = getattr(y, "array", y) != padding_idx
    return xp.where(keep.reshape(*keep.shape, *(1,) * (len(g.shape) - 1)), rows, 0)


embedding_rows = general(
    "embedding_rows", _embedding_rows,
    vjps=(lambda xp, g, y, padding_idx: _masked_rows(xp, g, y, padding_idx), None),
    jvps=("linear", None),
    samples=lambda: [
        Sample(uniform(2, 3, 2), _INDEX, rows=5, padding_idx=None),
        Sample(uniform(2, 3, 2), _INDEX, rows=5, padding_idx=1),
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
    each = index.size // max(n, 1)
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
    "nll", _nll,
    real=True, vjps=(
        lambda xp, g, x_aval, y, z, ignore_index, reduction: xp.nll_spread(
            g, y, z, classes=x_aval.shape[1], ignore_index=ignore_index, reduction=reduction
        ),
        None, None,
    ),
    jvps=("linear", None, None), grad_name="NllLoss", samples=_nll_samples,
)  # fmt: skip

nll_spread = general(
    "nll_spread", _nll_spread,
    vjps=(
        lambda xp, g, y, z, ignore_index, reduction: xp.nll(
            g, y, z, ignore_index=ignore_index, reduction=reduction
        ),
        None, None,
    ),
    jvps=("linear", None, None), samples=_spread_samples,
)  # fmt: skip
