"""Standardising: zero mean and unit variance over some dimensions, the core of every norm layer."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from chainrule.core.kinds import general
from chainrule.core.namespaces import composite
from chainrule.core.samples import Sample, uniform


def _count(shape: Any, axis: tuple[int, ...]) -> int:
    return prod(shape[i] for i in axis)


def _standardize(x: Any, axis: tuple[int, ...], eps: float) -> tuple[Any, Any, Any]:
    """(x - mean) / sqrt(variance + eps), the mean, and 1 / sqrt(variance + eps)."""
    n = _count(x.shape, axis)
    mean = np.add.reduce(x, axis, keepdims=True) / n
    y = x - mean
    scale = 1 / np.sqrt(np.add.reduce(y * y, axis, keepdims=True) / n + eps)
    y *= scale
    return y, mean, scale


@composite
def standardize_rule(xp: Any, v: Any, y: Any, scale: Any, axis: tuple[int, ...]) -> Any:
    """scale·(v - mean v - y·mean(v·y)): the derivative of y by x, which is symmetric."""
    n = _count(y.shape, axis)
    along = xp.sum(v * y, axis=axis, keepdims=True) / n
    return (v - xp.sum(v, axis=axis, keepdims=True) / n - y * along) * scale


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
    along = xp.sum(t[0] * y, axis=axis, keepdims=True) / n
    mean = xp.sum(t[0], axis=axis, keepdims=True) / n
    return (t[0] - mean - y * along) * scale, mean, -(scale * scale) * along


standardize = general(
    "standardize", _standardize, vjp=_standardize_vjp, jvp=_standardize_jvp,
    samples=lambda: [
        Sample(uniform(3, 4), axis=(1,), eps=1e-5),
        Sample(uniform(3, 2, 4), axis=(0, 2), eps=1e-2),
    ],
)  # fmt: skip
