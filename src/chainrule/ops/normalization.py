"""Standardising: zero mean and unit variance over some dimensions, the core of every norm layer."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from chainrule.core.avals import broadcast, reduced, same, several
from chainrule.core.batching import along, folded, rank, shape_of
from chainrule.core.batching import xp as recorded
from chainrule.core.kinds import general
from chainrule.core.namespaces import composite, raw
from chainrule.core.node import Aval
from chainrule.core.samples import Sample, uniform


def _count(shape: Any, axis: tuple[int, ...]) -> int:
    return prod(shape[i] for i in axis)


@composite
def sum_kept(xp: Any, x: Any, axis: tuple[int, ...]) -> Any:
    """The sum over some dimensions, which stay with size 1."""
    ndim = len(x.shape)
    if ndim > 2 and axis == (0, *range(2, ndim)):
        return xp.reshape(xp.channel_sum(x), shape=(1, x.shape[1], *(1,) * (ndim - 2)))
    return xp.sum(x, axis=axis, keepdims=True)


def _standardize(x: Any, axis: tuple[int, ...], eps: float) -> tuple[Any, Any, Any]:
    """(x - mean) / sqrt(variance + eps), the mean, and 1 / sqrt(variance + eps)."""
    if x.dtype.kind == "V":  # bfloat16, whose 8 bits x - mean would lose
        y, mean, scale = _standardize(x.astype(np.float32), axis, eps)
        return y.astype(x.dtype), mean.astype(x.dtype), scale.astype(x.dtype)
    n = _count(x.shape, axis) or np.nan  # nothing has no mean: nan, as in PyTorch
    mean = raw.sum_kept(x, axis) / n
    y = x - mean
    scale = 1 / np.sqrt(raw.sum_kept(y * y, axis) / n + eps)
    y *= scale
    return y, mean, scale


@composite
def standardize_rule(xp: Any, v: Any, y: Any, scale: Any, axis: tuple[int, ...]) -> Any:
    """scale·(v - mean v - y·mean(v·y)): the derivative of y by x, which is symmetric."""
    n = _count(y.shape, axis)
    along = xp.sum_kept(v * y, axis) / n
    return (v - xp.sum_kept(v, axis) / n - y * along) * scale


# With r the scale, dmean/dx = 1/n and dr/dx = -r²·y/n, where y and r are the outputs themselves.
def _standardize_vjp(xp: Any, g: Any, out: Any, axis: tuple[int, ...]) -> tuple[Any]:
    y, _, scale = out
    n = _count(y.shape, axis)
    total = None if g[0] is None else xp.standardize_rule(g[0], y, scale, axis)
    if g[1] is not None:
        part = xp.broadcast_to(g[1] / n, shape=tuple(y.shape))
        total = part if total is None else total + part
    if g[2] is not None:
        part = y * (g[2] * scale * scale / -n)
        total = part if total is None else total + part
    return (total,)


def _standardize_jvp(xp: Any, t: Any, out: Any, axis: tuple[int, ...]) -> tuple[Any, Any, Any]:
    y, _, scale = out
    n = _count(y.shape, axis)
    along = xp.sum_kept(t[0] * y, axis) / n
    mean = xp.sum_kept(t[0], axis) / n
    return (t[0] - mean - y * along) * scale, mean, -(scale * scale) * along


def _kept(x: Any, axis: tuple[int, ...], eps: float) -> Aval:
    """Shape and dtype of what is computed once for all of `axis`."""
    return reduced(x, axis, keepdims=True)


standardize = general(
    "standardize", _standardize, real=True, vjp=_standardize_vjp, jvp=_standardize_jvp,
    batch=along("axis"), aval=several(same, _kept, _kept),
    samples=lambda: [
        Sample(uniform(3, 4), axis=(1,), eps=1e-5),
        Sample(uniform(3, 2, 4), axis=(0, 2), eps=1e-2),
    ],
)  # fmt: skip


@composite
def along_channels(xp: Any, v: Any, ndim: int) -> Any:
    """A vector of one value per channel, shaped to broadcast against (N, C, ...)."""
    return xp.reshape(v, shape=(-1, *(1,) * (ndim - 2)))


def _channel_affine(x: Any, w: Any, b: Any) -> Any:
    out = x * raw.along_channels(w, x.ndim)
    out += raw.along_channels(b, x.ndim)
    return out


def _affine_aval(x: Any, y: Any, z: Any) -> Aval:
    """The bias is added in place: it has no say."""
    return broadcast(x, Aval((y.size, *(1,) * (x.ndim - 2)), y.dtype))


def _affine_batch(prim: Any, size: int, args: Any, mapped: Any, params: Any) -> Any:
    x, w, b = args
    if mapped == [True, False, False]:
        return recorded.reshape(prim.apply((folded(x), w, b), params), shape=shape_of(x))
    ndim = rank(x) - mapped[0]
    channels = shape_of(x)[1 + mapped[0]]
    w, b = (
        recorded.reshape(v, shape=((size, 1) if m else (1,)) + (channels, *(1,) * (ndim - 2)))
        for v, m in zip((w, b), mapped[1:], strict=True)
    )
    return x * w + b


# x·w + b with a weight and a bias per channel of (N, C, ...).
channel_affine = general(
    "channel_affine", _channel_affine, batch=_affine_batch, aval=_affine_aval,
    real=True, vjps=(
        lambda xp, g, x_aval, y: g * xp.along_channels(y, len(x_aval.shape)),
        lambda xp, g, x: xp.channel_sum(g * x),
        lambda xp, g: xp.channel_sum(g),
    ),
    jvps=(
        lambda xp, t, x_aval, y: t * xp.along_channels(y, len(x_aval.shape)),
        lambda xp, t, x: x * xp.along_channels(t, len(x.shape)),
        lambda xp, t, x_aval: xp.along_channels(t, len(x_aval.shape)),
    ),
    samples=lambda: [
        Sample(uniform(2, 3, 4), uniform(3, seed=1), uniform(3, seed=2)),
        Sample(uniform(2, 3), uniform(3, seed=1), uniform(3, seed=2)),
    ],
)  # fmt: skip
