"""Dropout: random zeros in training, drawn from the default generator."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core import inplace as in_place
from chainrule.core.randomness import Drawing, drawing
from chainrule.nn.functional.common import raw_dtype, require_tensor
from chainrule.ops.api import export


def uniform_draw(place: Drawing, shape: tuple[int, ...], dtype: Any) -> Any:
    """Numbers from [0, 1); drawn in double precision unless the dtype is float32."""
    shape = place.shape(shape)
    if dtype == np.float32:
        return place.rng.random(shape, np.float32)
    return place.rng.random(shape).astype(dtype, copy=False)


def _kept(place: Drawing, shape: tuple[int, ...], p: float, dtype: Any) -> Any:
    """A random array of ones, and zeros with probability p."""
    return (place.rng.random(place.shape(shape), np.float32) >= p).astype(dtype)


def _check(input: Any, p: float, function: str) -> None:
    require_tensor(input, function)
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def _dropped(input: Any, p: float, inplace: bool, shape: tuple[int, ...], name: str) -> Any:
    """The input times a random mask of the given shape, scaled to keep the mean."""
    if p == 1:  # nothing is left to chance
        return input.mul_(0.0) if inplace else input * 0.0
    place = drawing(name)
    dtype = raw_dtype(input)

    def draw() -> Any:
        mask = _kept(place, shape, p, dtype)
        mask *= 1 / (1 - p)
        return mask

    factors = place.drawn(draw)
    return input.mul_(factors) if inplace else input * factors


@export("dropout", method=False)
def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """In training, zero each entry with probability `p` and divide the others by 1 - p.

    Raises:
        ValueError: if `p` is not a probability.

    >>> import chainrule as cr
    >>> cr.nn.functional.dropout(cr.ones(3), training=False)
    tensor([1., 1., 1.])
    """
    _check(input, p, "dropout")
    if not training or p == 0:
        return input
    return _dropped(input, p, inplace, tuple(input.shape), "dropout")


def _features(input: Any, p: float, training: bool, inplace: bool, function: str) -> Any:
    """Dropout of whole channels of (N, C, ...)."""
    _check(input, p, function)
    if len(input.shape) < 2:
        raise RuntimeError("Feature dropout requires at least 2 dimensions in the input")
    if not training or p == 0:
        return input
    shape = tuple(input.shape)
    return _dropped(input, p, inplace, (*shape[:2], *(1,) * (len(shape) - 2)), function)


def _unbatched(input: Any, ndim: int, p: float, training: bool, inplace: bool, name: str) -> Any:
    """Dropout of whole channels of (N, C, ...) with `ndim` dimensions, or of (C, ...)."""
    _check(input, p, name)
    if len(input.shape) not in (ndim - 1, ndim):
        raise RuntimeError(
            f"{name}: Expected {ndim - 1}D or {ndim}D input, but received a {len(input.shape)}D "
            f"input. For other shapes use dropout()."
        )
    if len(input.shape) == ndim:
        return _features(input, p, training, inplace, name)
    if not training or p == 0:
        return input
    shape = tuple(input.shape)
    return _dropped(input, p, inplace, (shape[0], *(1,) * (len(shape) - 1)), name)


def dropout1d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """`dropout` of whole channels of (N, C, L) or (C, L).

    >>> import chainrule as cr
    >>> cr.nn.functional.dropout1d(cr.ones(1, 2, 3), p=1.0).sum()
    tensor(0.)
    """
    return _unbatched(input, 3, p, training, inplace, "dropout1d")


def dropout2d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """`dropout` of whole channels of (N, C, H, W); three dimensions are taken as (N, C, L).

    >>> import chainrule as cr
    >>> cr.nn.functional.dropout2d(cr.ones(1, 2, 3, 3), p=1.0).sum()
    tensor(0.)
    """
    return _features(input, p, training, inplace, "dropout2d")


def dropout3d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """`dropout` of whole channels of (N, C, D, H, W) or (C, D, H, W).

    >>> import chainrule as cr
    >>> cr.nn.functional.dropout3d(cr.ones(1, 2, 3, 3, 3), p=1.0).sum()
    tensor(0.)
    """
    return _unbatched(input, 5, p, training, inplace, "dropout3d")


_ALPHA = -1.7580993408473766  # where selu ends on the left: -scale·alpha


def _alpha_dropped(input: Any, p: float, inplace: bool, shape: tuple[int, ...], name: str) -> Any:
    """Some entries put to selu's lower end, then scaled and shifted to mean 0 and variance 1."""
    if inplace:
        in_place.check_writable(input)
    if p == 1:
        result = input * 0.0
    else:
        place = drawing(name)
        dtype = raw_dtype(input)
        mask = place.drawn(lambda: _kept(place, shape, p, dtype))
        scale = ((_ALPHA * _ALPHA * p + 1) * (1 - p)) ** -0.5
        shift = (1 - mask) * (_ALPHA * scale) - scale * _ALPHA * p
        result = input * (mask * scale) + shift
    return in_place.assign(input, result, "alpha_dropout_") if inplace else result


@export("alpha_dropout", method=False)
def alpha_dropout(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Any:
    """Dropout for networks of selu: keeps mean 0 and variance 1.

    >>> import chainrule as cr
    >>> cr.nn.functional.alpha_dropout(cr.ones(3))
    tensor([1., 1., 1.])
    """
    _check(input, p, "alpha_dropout")
    if not training or p == 0:
        return input
    return _alpha_dropped(input, p, inplace, tuple(input.shape), "alpha_dropout")


@export("feature_alpha_dropout", method=False)
def feature_alpha_dropout(
    input: Any, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Any:
    """`alpha_dropout` of whole channels of (N, C, ...).

    >>> import chainrule as cr
    >>> cr.nn.functional.feature_alpha_dropout(cr.ones(1, 3))
    tensor([[1., 1., 1.]])
    """
    _check(input, p, "feature_alpha_dropout")
    if not training or p == 0:
        return input
    shape = tuple(input.shape)
    channels = (*shape[:2], *(1,) * (len(shape) - 2))
    return _alpha_dropped(input, p, inplace, channels, "feature_alpha_dropout")
