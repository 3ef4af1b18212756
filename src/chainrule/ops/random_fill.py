"""Filling tensors in place with random numbers: `uniform_`, `normal_`, `bernoulli_`, ...

Under vmap with randomness "different" only tensors that are mapped can be filled: see `drawing`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core import inplace
from chainrule.core.dtypes import category
from chainrule.core.generator import Generator
from chainrule.core.randomness import Drawing, drawing
from chainrule.core.tensor import Tensor
from chainrule.ops.api import attach
from chainrule.ops.distributions import ones_array
from chainrule.ops.random import normal_array, uniform_array


def _fill(
    self: Tensor, name: str, generator: Generator | None, draw: Callable[[Any, Any], Any],
    *parameters: Any,
) -> Tensor:  # fmt: skip
    """Write `draw(place, shape)` to a tensor."""
    place = drawing(name, generator, parameters, self)
    shape, dt = self.array.shape, self.array.dtype
    drawn = place.drawn(lambda: np.asarray(draw(place, place.shape(shape))).astype(dt, copy=False))
    inplace.check_writable(self)
    return inplace.assign(self, drawn, name)


def _check(good: bool, message: str) -> None:
    if not good:
        raise RuntimeError(message)


def uniform_(
    self: Tensor, from_: float = 0.0, to: float = 1.0, *, generator: Generator | None = None,
    **named: float,
) -> Tensor:  # fmt: skip
    """Fill with numbers spread evenly over [from, to).

    Raises:
        RuntimeError: if `from` is greater than `to`.

    >>> import chainrule as cr
    >>> cr.empty(2).uniform_(3, 3)
    tensor([3., 3.])
    """
    from_ = named.get("from", named.get("a", from_))
    to = named.get("b", to)
    _check(
        from_ <= to,
        f"uniform_ expects to return a [from, to) range, but found from={from_:g} > to={to:g}",
    )

    def draw(place: Drawing, shape: tuple[int, ...]) -> Any:
        drawn = uniform_array(place.rng, shape, self.array.dtype)
        return _below(drawn * (to - from_) + from_, from_, to)

    return _fill(self, "uniform_", generator, draw)


def _below(values: Any, low: float, high: float) -> Any:
    """The values, with those that rounding took up to the excluded end moved back to the start."""
    if low == high or values.dtype.kind == "c":
        return values
    return np.where(values >= high, values.dtype.type(low), values)


def normal_(
    self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with normally distributed numbers.

    Raises:
        RuntimeError: if `std` is negative.

    >>> import chainrule as cr
    >>> cr.empty(2).normal_(5, 0)
    tensor([5., 5.])
    """
    _check(std >= 0, f"normal expects std >= 0.0, but found std {std:g}")
    return _fill(
        self, "normal_", generator,
        lambda place, shape: normal_array(place.rng, shape, self.array.dtype) * std + mean,
    )  # fmt: skip


def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Fill with ones, with probability `p` (a number or a tensor), and zeros.

    Raises:
        RuntimeError: if a probability is outside [0, 1].

    >>> import chainrule as cr
    >>> cr.empty(2).bernoulli_(1.0)
    tensor([1., 1.])
    """
    ndim = len(self.array.shape)
    return _fill(
        self, "bernoulli_", generator,
        lambda place, shape: ones_array("bernoulli_", place.rng, place.values(p, ndim), shape),
        p,
    )  # fmt: skip


def exponential_(self: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with exponentially distributed numbers of rate `lambd`.

    Raises:
        RuntimeError: if the rate is not positive.

    >>> import chainrule as cr
    >>> bool((cr.empty(5).exponential_(2.0) >= 0).all())
    True
    """
    _check(lambd > 0, f"exponential_ expects lambda > 0.0, but found lambda={lambd:g}")
    _floating(self, "exponential_")
    return _fill(
        self, "exponential_", generator,
        lambda place, shape: place.rng.standard_exponential(shape) / lambd,
    )  # fmt: skip


def _floating(self: Tensor, name: str) -> None:
    if category(self.array.dtype) != 2:
        raise NotImplementedError(f"{name} is not implemented for {self.array.dtype.name} tensors")


def random_(
    self: Tensor, from_: int = 0, to: int | None = None, *, generator: Generator | None = None,
    **named: int,
) -> Tensor:  # fmt: skip
    """Fill with integers from [from, to); `random_(to)` starts at 0, `random_()` takes all.

    Of a floating-point tensor, "all" are the integers that it represents exactly.

    Raises:
        RuntimeError: if the range is empty.

    >>> import chainrule as cr
    >>> cr.empty(2, dtype=cr.int64).random_(4, 5)
    tensor([4, 4])
    """
    low, high = named.get("from", from_), to
    if high is None:
        low, high = (0, low) if low else (0, _largest(self.array.dtype) + 1)
    _check(
        low < high,
        f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}",
    )
    wide = np.uint64 if high - 1 > np.iinfo(np.int64).max else np.int64
    return _fill(
        self, "random_", generator,
        lambda place, shape: place.rng.integers(low, high, shape, wide),
    )  # fmt: skip


def _largest(dt: np.dtype[Any]) -> int:
    if dt.kind == "b":
        return 1
    if dt.kind in "iu":
        return int(np.iinfo(dt).max)
    if dt.kind == "f":
        return int(2 ** (np.finfo(dt).nmant + 1))
    raise NotImplementedError(f"random_ is not implemented for {dt.name} tensors")


def log_normal_(
    self: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with numbers whose logarithm is normal with this mean and standard deviation.

    Raises:
        RuntimeError: if `std` is not positive.

    >>> import chainrule as cr
    >>> bool((cr.empty(5).log_normal_() > 0).all())
    True
    """
    _check(std > 0, f"log_normal_ expects std > 0.0, but found std={std:g}")
    _floating(self, "log_normal_")
    return _fill(
        self, "log_normal_", generator,
        lambda place, shape: place.rng.lognormal(mean, std, shape),
    )  # fmt: skip


def cauchy_(
    self: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with numbers of the Cauchy distribution.

    Raises:
        RuntimeError: if `sigma` is not positive.

    >>> import chainrule as cr
    >>> cr.empty(5).cauchy_().shape
    chainrule.Size([5])
    """
    _check(sigma > 0, f"cauchy_ expects sigma > 0.0, but found sigma={sigma:g}")
    _floating(self, "cauchy_")
    return _fill(
        self, "cauchy_", generator,
        lambda place, shape: place.rng.standard_cauchy(shape) * sigma + median,
    )  # fmt: skip


def geometric_(self: Tensor, p: float, *, generator: Generator | None = None) -> Tensor:
    """Fill with the numbers of trials up to the first success of probability `p`.

    Raises:
        RuntimeError: if `p` is not between 0 and 1.

    >>> import chainrule as cr
    >>> bool((cr.empty(5).geometric_(0.5) >= 1).all())
    True
    """
    _check(0 < p < 1, f"geometric_ expects p to be in (0, 1), but got p={p:g}")
    return _fill(
        self, "geometric_", generator,
        lambda place, shape: place.rng.geometric(p, shape),
    )  # fmt: skip


for _method in (
    uniform_, normal_, bernoulli_, exponential_, random_, log_normal_, cauchy_, geometric_,
):  # fmt: skip
    attach(_method.__name__, _method)
