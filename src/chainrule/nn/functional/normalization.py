"""Normalisation: batch, layer, instance, group and local response norms."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from chainrule.core import mutation
from chainrule.core.namespaces import recorded as xp
from chainrule.nn.functional.common import along_channels, require_tensor


def _affine(y: Any, weight: Any, bias: Any) -> Any:
    if weight is not None:
        y = y * weight
    return y if bias is None else y + bias


def _check_shape(input: Any, normalized_shape: Any, weight: Any, bias: Any) -> tuple[int, ...]:
    """The normalised dimensions of the input."""
    if isinstance(normalized_shape, (int, np.integer)):
        normalized_shape = (int(normalized_shape),)
    shape = tuple(normalized_shape)
    if not shape:
        raise RuntimeError(
            "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one "
            "element, but got normalized_shape = []"
        )
    for name, v in (("weight", weight), ("bias", bias)):
        if v is not None and tuple(v.shape) != shape:
            raise RuntimeError(
                f"Expected {name} to be of same shape as normalized_shape, but got {name} of shape "
                f"{list(v.shape)} and normalized_shape = {list(shape)}"
            )
    ndim = len(input.shape)
    if len(shape) > ndim or tuple(input.shape[ndim - len(shape) :]) != shape:
        raise RuntimeError(
            f"Given normalized_shape={list(shape)}, expected input with shape "
            f"[*, {', '.join(map(str, shape))}], but got input of size{list(input.shape)}"
        )
    return tuple(range(ndim - len(shape), ndim))


def layer_norm(
    input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    """Zero mean and unit variance over the trailing dimensions, then `weight * y + bias`.

    Raises:
        RuntimeError: if the input does not end in `normalized_shape`.

    >>> import chainrule as cr
    >>> cr.nn.functional.layer_norm(cr.tensor([1.0, 3.0]), (2,))
    tensor([-1.0000,  1.0000])
    """
    require_tensor(input, "layer_norm")
    axis = _check_shape(input, normalized_shape, weight, bias)
    return _affine(xp.standardize(input, axis=axis, eps=eps)[0], weight, bias)


def batch_norm(
    input: Any, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None,
    training: bool = False, momentum: float = 0.1, eps: float = 1e-5,
) -> Any:  # fmt: skip
    """Zero mean and unit variance per channel, over the batch and all positions.

    Args:
        input: (N, C) or (N, C, d1, ...).
        running_mean, running_var: (C,); used unless `training`, and updated in place if so.
        weight, bias: (C,), applied to the result.
        training: use the statistics of this batch.
        momentum: the weight of this batch in the running statistics.

    Raises:
        RuntimeError: if statistics are missing or have another size.
        ValueError: in training, if there is only one value per channel.

    >>> import chainrule as cr
    >>> cr.nn.functional.batch_norm(cr.tensor([[1.0], [3.0]]), None, None, training=True)
    tensor([[-1.0000],
            [ 1.0000]])
    """
    require_tensor(input, "batch_norm")
    shape, ndim = tuple(input.shape), len(input.shape)
    if ndim < 2:
        raise RuntimeError(f"batch_norm() takes (N, C, ...), got a tensor of shape {list(shape)}")
    for name, v in (("running_mean", running_mean), ("running_var", running_var),
                    ("weight", weight), ("bias", bias)):  # fmt: skip
        if v is not None and tuple(v.shape) != (shape[1],):
            raise RuntimeError(f"{name} should contain {shape[1]} elements not {prod(v.shape)}")
    weight, bias = (v if v is None else along_channels(v, ndim) for v in (weight, bias))
    if not training:
        for name, v in (("running_mean", running_mean), ("running_var", running_var)):
            if v is None:
                raise RuntimeError(f"{name} must be defined in evaluation mode")
        scale = 1 / xp.sqrt(along_channels(running_var, ndim) + eps)
        return _affine((input - along_channels(running_mean, ndim)) * scale, weight, bias)
    count = prod(shape) // max(shape[1], 1)
    if count == 1:
        raise ValueError(
            f"Expected more than 1 value per channel when training, got input size {input.shape}"
        )
    axis = (0, *range(2, ndim))
    y, mean, scale = xp.standardize(input, axis=axis, eps=eps)
    if running_mean is not None:
        _blend(running_mean, mean.array.reshape(-1), momentum)
    if running_var is not None:
        variance = 1 / np.square(scale.array.reshape(-1)) - eps
        _blend(running_var, variance * (count / (count - 1)), momentum)
    return _affine(y, weight, bias)


def _blend(running: Any, value: Any, momentum: float) -> None:
    """Move running statistics towards this batch's, in place."""
    running.array += (momentum * (value - running.array)).astype(running.array.dtype)
    mutation.note_write(running.array)
