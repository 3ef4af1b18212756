"""Normalisation: batch, layer, instance, group and local response norms."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from chainrule.autograd.grad_mode import no_grad
from chainrule.core import mutation
from chainrule.core.boxes import is_box, is_mapped, namespace_of, opened, values_of
from chainrule.core.namespaces import recorded as xp
from chainrule.core.typeinfo import finfo
from chainrule.nn.functional.common import along_channels, raw_dtype, require_tensor
from chainrule.ops.api import export


def _affine(y: Any, weight: Any, bias: Any) -> Any:
    if weight is not None:
        y = y * weight
    return y if bias is None else y + bias


def _channel_affine(y: Any, weight: Any, bias: Any) -> Any:
    """y (N, C, ...) times a weight and plus a bias per channel."""
    if weight is not None and bias is not None and raw_dtype(weight) == raw_dtype(y):
        return xp.channel_affine(y, weight, bias)
    ndim = len(y.shape)
    weight, bias = (v if v is None else along_channels(v, ndim) for v in (weight, bias))
    return _affine(y, weight, bias)


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
    if shape == (0,):  # without a value there is no channel either: PyTorch lets it through
        flat = xp.reshape(input, shape=(0, 0))
        y = batch_norm(flat, running_mean, running_var, weight, bias, training, momentum, eps)
        return xp.reshape(y, shape=(0,))
    if ndim < 2:
        raise RuntimeError(f"batch_norm() takes (N, C, ...), got a tensor of shape {list(shape)}")
    for name, v in (("running_mean", running_mean), ("running_var", running_var),
                    ("weight", weight), ("bias", bias)):  # fmt: skip
        if v is not None and tuple(v.shape) != (shape[1],):
            raise RuntimeError(f"{name} should contain {shape[1]} elements not {prod(v.shape)}")
    if not training:
        for name, v in (("running_mean", running_mean), ("running_var", running_var)):
            if v is None:
                raise RuntimeError(f"{name} must be defined in evaluation mode")
        scale = 1 / xp.sqrt(along_channels(running_var, ndim) + eps)
        return _channel_affine((input - along_channels(running_mean, ndim)) * scale, weight, bias)
    count = prod(shape) // max(shape[1], 1)
    if count == 1:
        raise ValueError(
            f"Expected more than 1 value per channel when training, got input size {input.shape}"
        )
    axis = (0, *range(2, ndim))
    y, mean, scale = xp.standardize(input, axis=axis, eps=eps)
    if running_mean is not None and count:
        _blend(running_mean, _fixed(mean, shape[1]), momentum)
    if running_var is not None and count:
        rate = _fixed(scale, shape[1])
        variance = 1 / (rate * rate) - eps
        _blend(running_var, variance * (count / (count - 1)), momentum)
    return _channel_affine(y, weight, bias)


def _fixed(statistic: Any, *shape: int) -> Any:
    """A statistic that running ones are made of, without derivative: an array unless mapped."""
    found = values_of(statistic.detach() if is_mapped(statistic) else statistic)
    return namespace_of(found).reshape(found, shape=shape)


def _blend(running: Any, value: Any, momentum: Any) -> None:
    """Move running statistics towards this batch's, in place.

    Raises:
        RuntimeError: if each example of a vmap has its own batch, but not its own statistics; if
            the memory of the statistics is not to be written.
    """
    if is_mapped(value):
        own = opened(running)[1] if is_box(running) else []
        if any(tag not in own for tag in opened(value)[1]):
            raise RuntimeError(
                "Batch norm got a batched tensor as input while the running_mean or running_var, "
                "which will be updated in place, were not batched. Give every example its own "
                "statistics, use none (track_running_stats=False, or "
                "func.replace_all_batch_norm_modules_(net)), or layer_norm or group_norm"
            )
        if not own and not is_box(running):
            raise RuntimeError(
                "trace: running statistics are not inputs of the graph, which could not update "
                "them. Trace the network in eval(), or without running statistics "
                "(func.replace_all_batch_norm_modules_(net))"
            )
    if is_box(running):
        with no_grad():
            running.copy_(running + momentum * (value - running))
        return
    if not running.array.flags.writeable:
        raise RuntimeError(
            "Running statistics are updated in place, but the memory of these may not be written. "
            "Pass buffers to a transform as an argument of their own, which is not differentiated"
        )
    running.array += (momentum * (value - running.array)).astype(running.array.dtype)
    mutation.note_write(running.array)


def instance_norm(
    input: Any, running_mean: Any = None, running_var: Any = None, weight: Any = None,
    bias: Any = None, use_input_stats: bool = True, momentum: float = 0.1, eps: float = 1e-5,
) -> Any:  # fmt: skip
    """Zero mean and unit variance per channel of each instance.

    Args:
        input: (N, C, d1, ...).
        running_mean, running_var: (C,); updated in place, or used unless `use_input_stats`.
        weight, bias: (C,), applied to the result.

    Raises:
        ValueError: if there is only one value per channel.

    >>> import chainrule as cr
    >>> cr.nn.functional.instance_norm(cr.tensor([[[1.0, 3.0]]]))
    tensor([[[-1.0000,  1.0000]]])
    """
    require_tensor(input, "instance_norm")
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    ndim, count = len(input.shape), prod(input.shape[2:])
    if count == 1:
        raise ValueError(
            f"Expected more than 1 spatial element when training, got input size {input.shape}"
        )
    y, mean, scale = xp.standardize(input, axis=tuple(range(2, ndim)), eps=eps)
    if running_mean is not None:
        _blend(running_mean, _fixed(mean, *mean.shape[:2]).mean(0), momentum)
    if running_var is not None:
        rate = _fixed(scale, *scale.shape[:2])
        variance = (1 / (rate * rate) - eps).mean(0)
        _blend(running_var, variance * (count / (count - 1)), momentum)
    return _channel_affine(y, weight, bias)


def group_norm(
    input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    """Zero mean and unit variance over each group of channels of each instance.

    Raises:
        RuntimeError: if the channels do not form equal groups.

    >>> import chainrule as cr
    >>> cr.nn.functional.group_norm(cr.tensor([[1.0, 3.0]]), 1)
    tensor([[-1.0000,  1.0000]])
    """
    require_tensor(input, "group_norm")
    shape = tuple(input.shape)
    if len(shape) < 2:
        raise RuntimeError(
            f"Expected at least 2 dimensions for input tensor but received {len(shape)}"
        )
    if num_groups <= 0 or shape[1] % num_groups:
        raise RuntimeError(
            "Expected number of channels in input to be divisible by num_groups, but got input of "
            f"shape {list(shape)} and num_groups={num_groups}"
        )
    for name, v in (("weight", weight), ("bias", bias)):
        if v is not None and tuple(v.shape) != (shape[1],):
            raise RuntimeError(
                f"Expected {name} to be a vector of size equal to the number of channels in input, "
                f"but got {name} of shape {list(v.shape)} and input of shape {list(shape)}"
            )
    grouped = (shape[0], num_groups, prod(shape[1:]) // num_groups)
    y = xp.standardize(xp.reshape(input, shape=grouped), axis=(2,), eps=eps)[0]
    return _channel_affine(xp.reshape(y, shape=shape), weight, bias)


def rms_norm(
    input: Any, normalized_shape: Any, weight: Any = None, eps: float | None = None
) -> Any:
    """The tensor divided by its root mean square over the trailing dimensions, times `weight`.

    Raises:
        RuntimeError: if the input does not end in `normalized_shape`.

    >>> import chainrule as cr
    >>> cr.nn.functional.rms_norm(cr.tensor([2.0, 2.0]), (2,))
    tensor([1., 1.])
    """
    require_tensor(input, "rms_norm")
    axis = _check_shape(input, normalized_shape, weight, None)
    eps = float(finfo(raw_dtype(input)).eps) if eps is None else eps
    return _affine(
        input * xp.rsqrt(xp.mean(input * input, axis=axis, keepdims=True) + eps), weight, None
    )


def local_response_norm(
    input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Any:
    """Each entry divided by (k + alpha · the mean square of `size` neighbouring channels)**beta.

    Raises:
        ValueError: for fewer than three dimensions.

    >>> import chainrule as cr
    >>> cr.nn.functional.local_response_norm(cr.ones(1, 2, 1), 2, alpha=0.0)
    tensor([[[1.],
             [1.]]])
    """
    require_tensor(input, "local_response_norm")
    shape = tuple(input.shape)
    if len(shape) < 3:
        raise ValueError(
            f"Expected 3D or higher dimensionality input (got {len(shape)} dimensions)"
        )
    flat = (shape[0], shape[1], prod(shape[2:]))
    summed = xp.window_sum(
        xp.reshape(input * input, shape=flat), kernel=(size, 1), stride=(1, 1),
        padding=((size // 2, (size - 1) // 2), (0, 0)), dilation=(1, 1), count=flat[1:],
    )  # fmt: skip
    return input / (xp.reshape(summed, shape=shape) * (alpha / size) + k) ** beta


for _f in (batch_norm, group_norm, instance_norm, layer_norm, rms_norm):
    export(_f.__name__, method=False)(_f)
