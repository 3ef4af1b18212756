"""Losses of regressions: distances between numbers, and likelihoods."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.core.boxes import is_mapped
from chainrule.core.kinds import elementwise
from chainrule.core.namespaces import recorded as xp
from chainrule.core.primitive import titled
from chainrule.core.samples import Sample, uniform
from chainrule.core.tensor import wrap
from chainrule.nn.functional.common import (
    legacy,
    pair,
    reduced,
    require_tensor,
    weighted,
)


def mse_loss(
    input: Any, target: Any, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", weight: Any = None,
) -> Any:  # fmt: skip
    """The squared difference, averaged over all entries.

    >>> import chainrule as cr
    >>> cr.nn.functional.mse_loss(cr.tensor([1.0, 2.0]), cr.tensor([1.0, 4.0]))
    tensor(2.)
    """
    reduction = legacy(size_average, reduce, reduction)
    input, target = pair(input, target, "mse_loss")
    loss = weighted(xp.square(input - target), weight, reduction)
    return titled(loss, "MseLossBackward0")


def l1_loss(
    input: Any, target: Any, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", weight: Any = None,
) -> Any:  # fmt: skip
    """The absolute difference, averaged over all entries.

    >>> import chainrule as cr
    >>> cr.nn.functional.l1_loss(cr.tensor([1.0, 2.0]), cr.tensor([1.0, 4.0]))
    tensor(1.)
    """
    reduction = legacy(size_average, reduce, reduction)
    input, target = pair(input, target, "l1_loss")
    return weighted(xp.abs(input - target), weight, reduction)


def _pairs(**params: Any) -> Any:
    """Samples of a function of two arrays with these parameters."""
    return lambda: [Sample(uniform(2, 3), uniform(3, seed=1), **params)]


def _huber(x: Any, y: Any, delta: float) -> Any:
    d = np.abs(x - y)
    return np.where(d <= delta, 0.5 * d * d, delta * (d - 0.5 * delta))


def _clipped(xp: Any, x: Any, y: Any, delta: float) -> Any:
    return xp.minimum(xp.maximum(x - y, -delta), delta)


# The derivative of the Huber loss is the difference, limited to [-delta, delta].
huber = elementwise(
    "huber", _huber, lambda xp, x, y, delta: _clipped(xp, x, y, delta),
    lambda xp, x, y, delta: -_clipped(xp, x, y, delta), real=True, result="float", has_params=True,
    samples=_pairs(delta=0.7), doc="d²/2 up to delta, and a tangent line from there on.",
)  # fmt: skip


def smooth_l1_loss(
    input: Any, target: Any, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", beta: float = 1.0,
) -> Any:  # fmt: skip
    """d² / (2·beta) for differences up to `beta`, |d| - beta/2 beyond.

    Raises:
        RuntimeError: if `beta` is negative.

    >>> import chainrule as cr
    >>> cr.nn.functional.smooth_l1_loss(cr.tensor([0.0, 0.0]), cr.tensor([1.0, 2.0]))
    tensor(1.)
    """
    reduction = legacy(size_average, reduce, reduction)
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    input, target = pair(input, target, "smooth_l1_loss")
    loss = xp.abs(input - target) if beta == 0 else huber(input, target, delta=beta) / beta
    return titled(reduced(loss, reduction), "SmoothL1LossBackward0")


def huber_loss(
    input: Any, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None
) -> Any:
    """d²/2 for differences up to `delta`, delta·(|d| - delta/2) beyond.

    Raises:
        RuntimeError: if `delta` is not positive.

    >>> import chainrule as cr
    >>> cr.nn.functional.huber_loss(cr.tensor([0.0, 0.0]), cr.tensor([1.0, 2.0]))
    tensor(1.)
    """
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    input, target = pair(input, target, "huber_loss")
    loss = weighted(huber(input, target, delta=delta), weight, reduction)
    return titled(loss, "HuberLossBackward0")


def poisson_nll_loss(
    input: Any, target: Any, log_input: bool = True, full: bool = False,
    size_average: bool | None = None, eps: float = 1e-8, reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:  # fmt: skip
    """Minus the log-likelihood of the counts `target` under Poisson distributions.

    Args:
        input: the logarithms of the expected counts, or with `log_input=False` the counts.
        full: add Stirling's approximation of log(target!).
        eps: keeps the logarithm of a count of 0 finite.

    >>> import chainrule as cr
    >>> cr.nn.functional.poisson_nll_loss(cr.tensor([0.0]), cr.tensor([2.0]))
    tensor(1.)
    """
    reduction = legacy(size_average, reduce, reduction)
    require_tensor(input, "poisson_nll_loss")
    require_tensor(target, "poisson_nll_loss", "target", 2)
    expected, log_expected = (xp.exp(input), input) if log_input else (input, xp.log(input + eps))
    loss = expected - target * log_expected
    if full:
        # Stirling's formula holds for counts above 1; for 0 and 1 log(target!) is 0 anyway.
        large = xp.where(target > 1, target, 1.0)
        stirling = large * xp.log(large) - large + 0.5 * xp.log(2 * math.pi * large)
        loss = loss + xp.where(target > 1, stirling, 0.0)
    return reduced(loss, reduction)


def gaussian_nll_loss(
    input: Any, target: Any, var: Any, full: bool = False, eps: float = 1e-6,
    reduction: str = "mean",
) -> Any:  # fmt: skip
    """Minus the log-likelihood of `target` under normal distributions of means `input`.

    Args:
        var: the variances: of input's shape, without its last dimension, with 1 there, or a number.
        full: add the constant log(2π)/2.
        eps: the least variance; it has no gradient below.

    Raises:
        ValueError: if a variance is negative or of another shape.

    >>> import chainrule as cr
    >>> cr.nn.functional.gaussian_nll_loss(cr.tensor([0.0]), cr.tensor([2.0]), cr.tensor([1.0]))
    tensor(2.)
    """
    require_tensor(input, "gaussian_nll_loss")
    require_tensor(target, "gaussian_nll_loss", "target", 2)
    if isinstance(var, (int, float)):
        if var < 0:
            raise ValueError("var has negative entry/entries")
        var = wrap(np.full(tuple(input.shape), var, input.array.dtype))
    require_tensor(var, "gaussian_nll_loss", "var", 3)
    if not is_mapped(var) and (var.array < 0).any():
        raise ValueError("var has negative entry/entries")
    if tuple(var.shape) != tuple(input.shape):
        if tuple(input.shape[:-1]) == tuple(var.shape):
            var = xp.reshape(var, shape=(*var.shape, 1))
        elif tuple(input.shape[:-1]) != tuple(var.shape[:-1]) or var.shape[-1] != 1:
            raise ValueError("var is of incorrect size")
    # PyTorch lifts small variances outside the tape: the gradient passes as if they were not.
    lifted = var + xp.maximum(eps - var.detach(), 0)
    loss = 0.5 * (xp.log(lifted) + xp.square(input - target) / lifted)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return reduced(loss, reduction)
