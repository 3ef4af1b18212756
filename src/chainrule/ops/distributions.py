"""Draws from distributions whose parameters are tensors: normal, Bernoulli, Poisson, categories."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.avals import same
from chainrule.core.batching import shaped_by_first
from chainrule.core.device import check_device, check_layout
from chainrule.core.dtypes import category
from chainrule.core.generator import Generator
from chainrule.core.kinds import general
from chainrule.core.randomness import drawing
from chainrule.core.samples import Sample, uniform
from chainrule.core.tensor import Tensor
from chainrule.ops.api import export
from chainrule.ops.create import checked, dtype_or_default, requiring, size_of
from chainrule.ops.random import normal_array


def _drawn(name: str, grad_name: str) -> Any:
    """The operation that puts a draw on the tape: its value, given, does not vary with `params`.

    So the derivative with respect to the parameters of the distribution is zero, as in PyTorch;
    draws with a derivative are written mean + std * randn(...).
    """
    return general(
        name, lambda value, *params: value,
        vjp=lambda xp, g, need: (
            g if need[0] else None, *[xp.zeros_like(g) if n else None for n in need[1:]]
        ),
        jvp=lambda t: t[0],
        grad_name=grad_name,
        samples=lambda: [Sample(uniform(3, seed=2), uniform(3), uniform(3, seed=1))],
        aval=same, batch=shaped_by_first,
    )  # fmt: skip


_normal_draw = _drawn("normal_draw", "Normal")
_bernoulli_draw = _drawn("bernoulli_draw", "Bernoulli")
_poisson_draw = _drawn("poisson_draw", "Poisson")


@export(method=False)
def normal(
    mean: Any = 0.0, std: Any = 1.0, size: Any = None, *, generator: Generator | None = None,
    dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Normally distributed numbers; `mean` and `std` are tensors, or numbers and a `size`.

    Gradients with respect to `mean` and `std` are zero: write mean + std * randn(...) to
    differentiate through the draw.

    Raises:
        RuntimeError: if `std` is negative.
        TypeError: if both are numbers and there is no size.

    >>> import chainrule as cr
    >>> cr.normal(cr.tensor([1.0, 100.0]), 0.0)
    tensor([  1., 100.])
    """
    check_device(device)
    check_layout(layout)
    given = [x for x in (mean, std) if isinstance(x, Tensor)]
    place = drawing("normal", generator, given)
    if size is not None:
        if given:
            raise TypeError("normal(): size is for a mean and std that are numbers")
        _check_std(std)
        shape = size_of("normal", (tuple(size),))
        dt = dtype_or_default(dtype)
        found = place.drawn(lambda: normal_array(place.rng, place.shape(shape), dt) * std + mean)
        return requiring(found, requires_grad)
    if not given:
        raise TypeError('normal() missing 1 required argument: "size"')
    shape = np.broadcast_shapes(*[_shape(x) for x in (mean, std)])
    means, stds = (place.values(x, len(shape)) for x in (mean, std))
    _check_std(stds)
    noise = normal_array(place.rng, place.shape(shape), given[0].array.dtype)
    drawn: Tensor = _normal_draw(place.tensor(noise * stds + means), *given)
    return drawn


def _shape(x: Any) -> tuple[int, ...]:
    return tuple(x.array.shape) if isinstance(x, Tensor) else np.shape(x)


def _check_std(std: Any) -> None:
    if np.any(np.less(std, 0)):
        raise RuntimeError(f"normal expects std >= 0.0, but found std {np.min(std):g}")


@export()
def bernoulli(input: Any, p: Any = None, *, generator: Generator | None = None) -> Tensor:
    """Ones and zeros: 1 with the probability that the entry of `input` (or `p`) says.

    Raises:
        RuntimeError: if a probability is outside [0, 1].
        NotImplementedError: if `input` is not floating-point.

    >>> import chainrule as cr
    >>> cr.bernoulli(cr.tensor([0.0, 1.0]))
    tensor([0., 1.])
    """
    array = checked("bernoulli", input)
    if p is None and category(array.dtype) != 2:
        raise NotImplementedError(
            f"bernoulli is not implemented for {array.dtype.name}; pass probabilities as floats"
        )
    place = drawing("bernoulli", generator, (input, p))
    chance = place.values(input if p is None else p, len(array.shape))
    drawn = place.tensor(
        ones_array("bernoulli", place.rng, chance, place.shape(array.shape)).astype(array.dtype)
    )
    return drawn if p is not None else _bernoulli_draw(drawn, input)


def ones_array(name: str, rng: Any, p: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Whether each entry of a uniform draw is below the probability `p`.

    Raises:
        RuntimeError: if a probability is outside [0, 1].
    """
    if not np.all((np.asarray(p) >= 0) & (np.asarray(p) <= 1)):
        raise RuntimeError(f"{name} expects p to be in [0, 1], but got p={np.asarray(p)}")
    return np.asarray(rng.random(shape) < p)


@export()
def poisson(input: Any, generator: Generator | None = None) -> Tensor:
    """Draws from Poisson distributions with the entries of `input` as rates.

    Raises:
        RuntimeError: if a rate is negative.

    >>> import chainrule as cr
    >>> cr.poisson(cr.zeros(2))
    tensor([0., 0.])
    """
    array = checked("poisson", input)
    place = drawing("poisson", generator, (input,))
    rates = place.spread(input, array.shape)
    if not (rates >= 0).all():
        raise RuntimeError("invalid Poisson rate, expected rate to be non-negative")
    drawn = np.asarray(place.rng.poisson(rates)).astype(array.dtype)
    found: Tensor = _poisson_draw(place.tensor(drawn), input)
    return found


@export()
def multinomial(
    input: Any, num_samples: int, replacement: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """Indices drawn with probabilities proportional to `input`: of each row, if it is a matrix.

    Raises:
        RuntimeError: if a weight is negative or not finite, all are zero, or more draws than
            categories are asked for without replacement.

    >>> import chainrule as cr
    >>> cr.multinomial(cr.tensor([0.0, 1.0]), 3, replacement=True)
    tensor([1, 1, 1])
    """
    shape = tuple(checked("multinomial", input).shape)
    if len(shape) not in (1, 2):
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if num_samples <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    if not replacement and num_samples > shape[-1]:
        raise RuntimeError(
            "cannot sample n_sample > prob_dist.size(-1) samples without replacement"
        )
    place = drawing("multinomial", generator, (input,))
    weights = place.spread(input, shape).astype(np.float64)
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    totals = weights.sum(-1, keepdims=True)
    if not totals.all():
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
    if replacement:
        return place.tensor(_categories(place.rng, weights / totals, num_samples))
    # The first of independent exponential clocks to ring has rate/total probability, and so on.
    with np.errstate(divide="ignore"):
        rings = place.rng.standard_exponential(weights.shape) / weights
    return place.tensor(np.argsort(rings, axis=-1)[..., :num_samples])


def _categories(rng: Any, chances: np.ndarray, n: int) -> np.ndarray:
    """n independent indices for each row of probabilities: its distribution function inverted."""
    steps = np.cumsum(chances, axis=-1)
    steps /= steps[..., -1:]  # exactly 1 at the end, so that no draw lies beyond
    draws = rng.random((*steps.shape[:-1], n))
    rows = steps.reshape(-1, steps.shape[-1])
    found = np.empty((len(rows), n), np.int64)
    for row, s, d in zip(found, rows, draws.reshape(-1, n), strict=True):
        row[:] = np.searchsorted(s, d, "right")
    return found.reshape(draws.shape)
