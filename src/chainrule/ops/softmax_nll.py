"""The cross entropy of logits and class indices as one operation.

It computes the log-softmax and reads the losses off in few passes, and keeps the log-probabilities
alone.  The target classes come as positions in the flattened log-probabilities, one for each loss.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from chainrule.core.avals import joint_dtype, same
from chainrule.core.batching import folded, rank, shape_of, spread, xp
from chainrule.core.dtypes import narrowed
from chainrule.core.kinds import general
from chainrule.core.namespaces import publish
from chainrule.core.node import Aval
from chainrule.core.samples import Sample, uniform
from chainrule.ops.embedding import class_places, class_weights
from chainrule.ops.index_batch import ARRAY


def places_of(
    target: Any, weight: Any, classes: int, dtype: Any, ignore_index: int
) -> tuple[Any, Any]:
    """Where each target's log-probability lies in a flattened (N, C, ...), and its weight.

    Args:
        target: class indices (N, ...).
        weight: None or a weight per class.

    Returns:
        Positions in the shape of `target`, and weights in that shape, or None if all are 1.

    Raises:
        IndexError: if a target that is not ignored is not a class.
    """
    if not target.size:
        return target.astype(np.int64), None
    low, high = np.minimum.reduce(target, None), np.maximum.reduce(target, None)
    index, weights = target, None
    if weight is not None or low < 0 or high >= classes or low <= ignore_index <= high:
        weights, index = class_weights(target, weight, classes, dtype, ignore_index)
    return class_places(index, classes), weights


_SHORT = 64


def _softmax_nll(x: Any, places: Any, weights: Any, divisor: float, summed: bool) -> Any:
    """The losses, summed and divided if `summed`, and the log-probabilities."""
    if not x.size:
        logp = np.zeros_like(x)
    else:
        # NumPy takes the maximum of short rows one by one: columns are faster, copy included.
        columns = np.asarray(x, order="F") if x.ndim == 2 and x.shape[1] < _SHORT else x
        logp = np.subtract(x, np.maximum.reduce(columns, 1, keepdims=True), order="C")
        logp -= np.log(np.add.reduce(np.exp(logp), 1, keepdims=True))
    loss = logp.reshape(-1)[places]
    if weights is not None:
        loss = np.where(weights == 0, 0, loss * weights)
    loss = np.add.reduce(loss, None) / -divisor if summed else -loss
    return narrowed(loss, x.dtype), logp


def _pull(g: Any, logp: Any, places: Any, weights: Any, divisor: float) -> Any:
    """softmax·w·g, less w·g at the target classes, for weights w."""
    if weights is not None:
        g = g * weights
    g = g / divisor
    out = np.exp(logp, order="C")
    out *= g[:, None] if g.ndim else g
    out.reshape(-1)[places] -= g
    return out


def _recorded_pull(g: Any, logp: Any, places: Any, weights: Any, divisor: float) -> Any:
    """As `_pull`, of tensors."""
    shape = tuple(logp.shape)
    g = g / divisor if weights is None else g * weights / divisor
    g = xp.broadcast_to(g, shape=tuple(places.shape))
    out = xp.reshape(xp.exp(logp) * xp.expand_dims(g, axis=(1,)), shape=(prod(shape),))
    return xp.reshape(xp.index_add(out, -g, places, index=(ARRAY,)), shape=shape)


publish("softmax_nll_pull", _pull, _recorded_pull)


def _vjp(xp: Any, g: Any, y: Any, z: Any, out: Any, divisor: float, summed: bool) -> Any:
    logp, (g_loss, g_logp) = out[1], g
    total = None if g_loss is None else xp.softmax_nll_pull(g_loss, logp, y, z, divisor)
    if g_logp is not None:
        part = g_logp - xp.exp(logp) * xp.sum(g_logp, axis=(1,), keepdims=True)
        total = part if total is None else total + part
    return total


def _jvp(xp: Any, t: Any, y: Any, z: Any, out: Any, divisor: float, summed: bool) -> Any:
    logp = out[1]
    moved = t - xp.sum(xp.exp(logp) * t, axis=(1,), keepdims=True)
    picked = xp.getitem(xp.reshape(moved, shape=(prod(logp.shape),)), y, index=(ARRAY,))
    if z is not None:
        picked = picked * z
    if not summed:
        return -picked, moved
    return xp.sum(picked, axis=tuple(range(len(picked.shape))), keepdims=False) / -divisor, moved


def _samples() -> list[Sample]:
    flat, weights = np.array([1, 3, 8]), np.array([0.5, 0.0, 2.0])
    deep = places_of(np.array([[0, 2], [1, 1]]), None, 3, np.dtype(float), -100)[0]
    return [
        Sample(uniform(3, 3), flat, None, divisor=3, summed=True),
        Sample(uniform(3, 3), flat, weights, divisor=2.5, summed=True),
        Sample(uniform(3, 3), flat, weights, divisor=1, summed=False),
        Sample(uniform(2, 3, 2), deep, None, divisor=1, summed=False),
        Sample(uniform(2, 3, 2), deep, None, divisor=4, summed=True),
    ]


def _batch(prim: Any, size: int, args: Any, mapped: Any, params: Any) -> Any:
    """One longer batch; what each example sums over is summed afterwards."""
    x = args[0] if mapped[0] else spread(args[0], size)
    places, weights = args[1:]
    each = prod(shape_of(x)[1:])
    ndim = rank(places) - mapped[1]
    places = places + np.arange(0, size * each, max(each, 1)).reshape(size, *(1,) * ndim)
    if weights is not None:
        weights = folded(weights if mapped[2] else spread(weights, size))
    loss, logp = prim.apply((folded(x), folded(places), weights), {"divisor": 1, "summed": False})
    own = shape_of(args[1])[mapped[1] :]
    loss, logp = xp.reshape(loss, shape=(size, *own)), xp.reshape(logp, shape=shape_of(x))
    if params["summed"]:
        loss = xp.sum(loss, axis=tuple(range(1, rank(loss))), keepdims=False) / params["divisor"]
    return loss, logp


def _aval(x: Any, y: Any, z: Any, divisor: float, summed: bool) -> tuple[Aval, Aval]:
    dt = x.dtype if z is None else joint_dtype(x, z)
    return Aval(() if summed else tuple(y.shape), dt), same(x)


# As in PyTorch, the class weights are constants.
softmax_nll = general(
    "softmax_nll", _softmax_nll, vjps=(_vjp, None, None), jvps=(_jvp, None, None),
    grad_name="NllLoss", samples=_samples, batch=_batch, real=True, aval=_aval,
)  # fmt: skip
