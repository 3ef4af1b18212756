"""Initial values of parameters: every function fills a tensor in place and returns it."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from chainrule import ops as ops
from chainrule.autograd.grad_mode import no_grad
from chainrule.core.boxes import any_box
from chainrule.core.mutation import note_write
from chainrule.core.randomness import drawing
from chainrule.core.tensor import Tensor, wrap
from chainrule.ops.api import FUNCTIONS
from chainrule.ops.random import normal_array, uniform_array

_GAINS = {
    "linear": 1.0, "conv1d": 1.0, "conv2d": 1.0, "conv3d": 1.0, "conv_transpose1d": 1.0,
    "conv_transpose2d": 1.0, "conv_transpose3d": 1.0, "sigmoid": 1.0, "tanh": 5.0 / 3,
    "relu": math.sqrt(2.0), "selu": 3.0 / 4,
}  # fmt: skip


def _fill(tensor: Tensor, values: Any) -> Tensor:
    """Write values, outside the record even for a parameter."""
    if any_box((tensor, values)):
        with no_grad():
            tensor[...] = values
        return tensor
    tensor.array[...] = values.array if isinstance(values, Tensor) else values
    note_write(tensor.array)
    return tensor


def calculate_gain(nonlinearity: str, param: Any = None) -> float:
    """The factor by which a nonlinearity asks for larger weights.

    Args:
        nonlinearity: "linear", "relu", "leaky_relu", "tanh", "sigmoid", "selu" or a convolution.
        param: the slope of "leaky_relu" (0.01 by default).

    Raises:
        ValueError: for another name or a slope that is not a number.

    >>> import chainrule as cr
    >>> round(cr.nn.init.calculate_gain("relu"), 4)
    1.4142
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise ValueError(f"negative_slope {param} not a valid number")
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity not in _GAINS:
        raise ValueError(f"Unsupported nonlinearity {nonlinearity}; known are {sorted(_GAINS)}")
    return _GAINS[nonlinearity]


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Tensor:
    """Fill with numbers drawn uniformly from [a, b).

    >>> import chainrule as cr
    >>> w = cr.nn.init.uniform_(cr.empty(3), 1, 2)
    >>> bool(((w >= 1) & (w < 2)).all())
    True
    """
    with no_grad():
        found: Tensor = tensor.uniform_(a, b, generator=generator)
    return found


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Tensor:
    """Fill with normally distributed numbers.

    >>> import chainrule as cr
    >>> cr.nn.init.normal_(cr.empty(2, 3)).shape
    chainrule.Size([2, 3])
    """
    with no_grad():
        found: Tensor = tensor.normal_(mean, std, generator=generator)
    return found


def trunc_normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0,
    generator: Any = None,
) -> Tensor:  # fmt: skip
    """Fill with normally distributed numbers that lie in [a, b].

    >>> import chainrule as cr
    >>> bool((cr.nn.init.trunc_normal_(cr.empty(100)).abs() <= 2).all())
    True
    """
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. The distribution of "
            "values may be incorrect.",
            stacklevel=2,
        )

    def cdf(x: float) -> float:
        return (1.0 + math.erf(x / math.sqrt(2.0))) / 2.0

    # The inverse of the distribution function at uniform numbers between its values at a and b.
    low, high = cdf((a - mean) / std), cdf((b - mean) / std)
    place = drawing("trunc_normal_", generator, (), tensor)
    u = uniform_array(place.rng, place.shape(tensor.array.shape), np.dtype(np.float64))
    u = u * (2 * high - 2 * low) + (2 * low - 1)
    values = mean + std * math.sqrt(2.0) * FUNCTIONS["erfinv"](wrap(u)).array
    return _fill(tensor, place.tensor(np.clip(values, a, b)))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with one value.

    >>> import chainrule as cr
    >>> cr.nn.init.constant_(cr.empty(2), 0.5)
    tensor([0.5000, 0.5000])
    """
    return _fill(tensor, val)


def ones_(tensor: Tensor) -> Tensor:
    """Fill with ones."""
    return _fill(tensor, 1)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with zeros."""
    return _fill(tensor, 0)


def eye_(tensor: Tensor) -> Tensor:
    """Fill a matrix with the identity.

    Raises:
        ValueError: if it is not a matrix.
    """
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    return _fill(tensor, np.eye(*tensor.array.shape))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Fill the weight of a convolution so that it passes on as many channels as it can.

    Raises:
        ValueError: if it has not 3 to 5 dimensions, or `groups` does not divide the first.
    """
    if tensor.ndim not in (3, 4, 5):
        raise ValueError("Only tensors with 3, 4, or 5 dimensions are supported")
    out, inner, *kernel = tensor.array.shape
    if out % groups:
        raise ValueError("dim 0 must be divisible by groups")
    values = np.zeros(tensor.array.shape)
    size = out // groups
    middle = tuple(k // 2 for k in kernel)
    for d in range(min(size, inner)):
        for group in range(groups):
            values[(group * size + d, d, *middle)] = 1
    return _fill(tensor, values)


def _fans(tensor: Tensor) -> tuple[int, int]:
    """How many inputs an output of a layer depends on, and how many outputs an input reaches."""
    if tensor.ndim < 2:
        raise ValueError(
            "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions"
        )
    out, inner, *kernel = tensor.array.shape
    field = math.prod(kernel)
    return inner * field, out * field


def _fan(tensor: Tensor, mode: str) -> int:
    modes = ("fan_in", "fan_out")
    if mode.lower() not in modes:
        raise ValueError(f"Mode {mode} not supported, please use one of {list(modes)}")
    return _fans(tensor)[modes.index(mode.lower())]


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Uniform, with the variance that keeps activations and gradients at one scale (Glorot).

    Raises:
        ValueError: for fewer than two dimensions.
    """
    bound = gain * math.sqrt(6.0 / sum(_fans(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Normal, with the variance that keeps activations and gradients at one scale (Glorot).

    Raises:
        ValueError: for fewer than two dimensions.
    """
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(_fans(tensor))), generator)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    return calculate_gain(nonlinearity, a) / math.sqrt(_fan(tensor, mode))


def kaiming_uniform_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:  # fmt: skip
    """Uniform, with the variance that a rectifier keeps (He).

    Args:
        tensor: the weight.
        a: the slope of a leaky rectifier.
        mode: "fan_in" to keep the scale of activations, "fan_out" that of gradients.
        nonlinearity: see `calculate_gain`.
        generator: where the numbers come from.

    Raises:
        ValueError: for fewer than two dimensions or an unknown mode.
    """
    if 0 in tensor.array.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=2)
        return tensor
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:  # fmt: skip
    """Normal, with the variance that a rectifier keeps (He); arguments as `kaiming_uniform_`.

    Raises:
        ValueError: for fewer than two dimensions or an unknown mode.
    """
    if 0 in tensor.array.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=2)
        return tensor
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Any = None) -> Tensor:
    """Fill with a (semi-)orthogonal matrix; trailing dimensions count as one.

    Raises:
        ValueError: for fewer than two dimensions.

    >>> import chainrule as cr
    >>> q = cr.nn.init.orthogonal_(cr.empty(3, 3, dtype=cr.float64))
    >>> cr.allclose(q @ q.T, cr.eye(3, dtype=cr.float64))
    True
    """
    if tensor.ndim < 2:
        raise ValueError("Only tensors with 2 or more dimensions are supported")
    rows = tensor.array.shape[0]
    shape = (rows, tensor.array.size // max(rows, 1))
    place = drawing("orthogonal_", generator, (), tensor)
    a = normal_array(place.rng, place.shape(shape), tensor.array.dtype)
    q, r = np.linalg.qr(a.swapaxes(-1, -2) if shape[0] < shape[1] else a)
    # The signs make the distribution uniform.
    q = q * np.sign(np.diagonal(r, axis1=-2, axis2=-1))[..., None, :]
    q = q.swapaxes(-1, -2) if shape[0] < shape[1] else q
    return _fill(tensor, place.tensor(gain * q.reshape(place.shape(tensor.array.shape))))


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Any = None) -> Tensor:
    """Fill a matrix with normal numbers and set a part of each column to zero.

    Raises:
        ValueError: if it is not a matrix.
    """
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    rows = tensor.array.shape[0]
    place = drawing("sparse_", generator, (), tensor)
    shape = place.shape(tensor.array.shape)
    values = normal_array(place.rng, shape, tensor.array.dtype) * std
    order = np.argsort(uniform_array(place.rng, shape, np.dtype(np.float64)), axis=-2)
    values[order < math.ceil(sparsity * rows)] = 0
    return _fill(tensor, place.tensor(values))
