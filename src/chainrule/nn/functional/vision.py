"""Images: padding, blocks, resizing, and moving between channels and pixels."""

from __future__ import annotations

from math import floor, prod
from typing import Any

import numpy as np

from chainrule.core.namespaces import recorded as xp
from chainrule.core.tensor import wrap
from chainrule.nn.functional.adaptive_pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
)
from chainrule.nn.functional.common import cubic_weights, raw_dtype, require_tensor
from chainrule.ops.api import export
from chainrule.ops.pad import pad as pad
from chainrule.ops.window import Ints, windows_along


def _pair(value: Any, name: str) -> Ints:
    found = (value, value) if isinstance(value, int) else tuple(value)
    if len(found) != 2:
        raise RuntimeError(f"It is expected {name} equals to 2, but got size {len(found)}")
    return (int(found[0]), int(found[1]))


def _blocks(kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> dict[str, Any]:
    kernel, step = _pair(kernel_size, "kernel_size"), _pair(stride, "stride")
    pads, spread = _pair(padding, "padding"), _pair(dilation, "dilation")
    for name, v, low in [("kernel", kernel, 1), ("dilation", spread, 1), ("padding", pads, 0),
                         ("stride", step, 1)]:  # fmt: skip
        if min(v) < low:
            kind = "greater than zero" if low else "non-negative"
            raise RuntimeError(f"{name} should be {kind}, but got {list(v)}")
    return {"kernel": kernel, "stride": step, "padding": tuple((p, p) for p in pads),
            "dilation": spread}  # fmt: skip


def unfold(
    input: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Any:
    """The blocks that a kernel visits as columns: (N, C, H, W) gives (N, C·KH·KW, blocks).

    Raises:
        RuntimeError: if the input is not of three or four dimensions, or no block fits.

    >>> import chainrule as cr
    >>> cr.nn.functional.unfold(cr.ones(1, 2, 3, 3), 2).shape
    chainrule.Size([1, 8, 4])
    """
    require_tensor(input, "unfold")
    if len(input.shape) not in (3, 4):
        raise RuntimeError(
            f"Expected 3D or 4D (batch mode) tensor for input, but got {list(input.shape)}"
        )
    params = _blocks(kernel_size, dilation, padding, stride)
    count = windows_along(tuple(input.shape[-2:]), **params)
    if min(count) < 1:
        raise RuntimeError(
            f"Given input with spatial size {tuple(input.shape[-2:])}, kernel_size="
            f"{params['kernel']}, dilation={params['dilation']}, calculated shape of the array of "
            f"sliding blocks as {count}, but its components must be at least one."
        )
    if len(input.shape) == 3:
        out = xp.im2col(xp.reshape(input, shape=(1, *input.shape)), **params)
        return xp.reshape(out, shape=tuple(out.shape[1:]))
    return xp.im2col(input, **params)


def fold(
    input: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0,
    stride: Any = 1,
) -> Any:  # fmt: skip
    """The transpose of `unfold`: blocks added up to images.

    Raises:
        RuntimeError: if the columns do not fit the output's blocks.

    >>> import chainrule as cr
    >>> cr.nn.functional.fold(cr.ones(1, 4, 4), 3, 2)
    tensor([[[[1., 2., 1.],
              [2., 4., 2.],
              [1., 2., 1.]]]])
    """
    require_tensor(input, "fold")
    if len(input.shape) not in (2, 3):
        raise RuntimeError(
            f"Expected 2D or 3D (batch mode) tensor for input, but got {list(input.shape)}"
        )
    params = _blocks(kernel_size, dilation, padding, stride)
    size, entries = _pair(output_size, "output_size"), prod(params["kernel"])
    if input.shape[-2] % entries:
        raise RuntimeError(
            "Expected size of input's dimension 1 to be divisible by the product of kernel_size, "
            f"but got input.size(1)={input.shape[-2]} and kernel_size={params['kernel']}."
        )
    count = windows_along(size, **params)
    if min(count) < 1 or input.shape[-1] != prod(count):
        raise RuntimeError(
            f"Given output_size={size}, kernel_size={params['kernel']}, "
            f"dilation={params['dilation']}, padding={_pair(padding, 'padding')}, "
            f"stride={params['stride']}, expected size of input's dimension 2 to match the "
            f"calculated number of sliding blocks {count[0]} * {count[1]} = {prod(count)}, but got "
            f"input.size(2)={input.shape[-1]}."
        )
    if len(input.shape) == 2:
        out = xp.col2im(xp.reshape(input, shape=(1, *input.shape)), size=size, **params)
        return xp.reshape(out, shape=tuple(out.shape[1:]))
    return xp.col2im(input, size=size, **params)


_DIMENSIONS = {"linear": 3, "bilinear": 4, "bicubic": 4, "trilinear": 5}


def interpolate(
    input: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
    align_corners: bool | None = None, recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Any:  # fmt: skip
    """Images (N, C, d1, ...) resized.

    Args:
        size: the size to reach, a number or one per dimension.
        scale_factor: or the factor by which to enlarge.
        mode: "nearest", "nearest-exact", "linear" (3-d tensors), "bilinear" and "bicubic" (4-d),
            "trilinear" (5-d) or "area".
        align_corners: whether the corners' centres keep their values, rather than the edges.
        recompute_scale_factor: use the factor that the rounded size gives.
        antialias: not available.

    Raises:
        ValueError: unless exactly one of `size` and `scale_factor` is given and fits.
        NotImplementedError: for a mode that the number of dimensions does not have.

    >>> import chainrule as cr
    >>> cr.nn.functional.interpolate(cr.tensor([[[1.0, 3.0]]]), size=3, mode="linear")
    tensor([[[1., 2., 3.]]])
    """
    require_tensor(input, "interpolate")
    if mode in ("nearest", "nearest-exact", "area"):
        if align_corners is not None:
            raise ValueError(
                "align_corners option can only be set with the interpolating modes: linear | "
                "bilinear | bicubic | trilinear"
            )
    elif mode not in _DIMENSIONS:
        raise NotImplementedError(
            f"Input Error: Only 3D, 4D and 5D input Tensors supported (got {input.ndim}D) for the "
            "modes: nearest | linear | bilinear | bicubic | trilinear | area | nearest-exact (got "
            f"{mode})"
        )
    elif len(input.shape) != _DIMENSIONS[mode]:
        raise NotImplementedError(
            f"Got {input.ndim}D input, but {mode} mode needs {_DIMENSIONS[mode]}D input"
        )
    if antialias:
        raise NotImplementedError("interpolate() has no antialias; blur the image before instead")
    out, scales = _target(input, size, scale_factor, bool(recompute_scale_factor))
    if mode == "area":
        n = len(out)
        return (adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d)[n - 1](input, out)
    for d, (new, scale) in enumerate(zip(out, scales, strict=True)):
        axis = d + 2
        old = input.shape[axis]
        if mode.startswith("nearest"):
            shift = 0.5 if mode == "nearest-exact" else 0.0
            place = np.floor(
                (np.arange(new, dtype=np.float32) + np.float32(shift)) * np.float32(scale)
            )
            input = _take(input, np.minimum(place.astype(np.int64), old - 1), axis)
        else:
            input = _blended(input, *_neighbours(old, new, scale, mode, bool(align_corners)), axis)
    return input


def _target(
    input: Any, size: Any, scale_factor: Any, recompute: bool
) -> tuple[Ints, tuple[float, ...]]:
    """The size to reach, and per dimension the step in the input for a step in the output."""
    old = tuple(input.shape[2:])
    n = len(old)
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if size is not None:
        new = (size,) * n if isinstance(size, int) else tuple(size)
        if len(new) != n:
            raise ValueError(
                "Input and output must have the same number of spatial dimensions, but got input "
                f"with spatial dimensions of {list(old)} and output size of {size}. Please provide "
                "input tensor in (N, C, d1, d2, ...,dK) format and output size in (o1, o2, ...,oK) "
                "format."
            )
        return new, tuple(a / b for a, b in zip(old, new, strict=True))
    if scale_factor is None:
        raise ValueError("either size or scale_factor should be defined")
    factors = (scale_factor,) * n if isinstance(scale_factor, (int, float)) else tuple(scale_factor)
    if len(factors) != n:
        raise ValueError(
            "Input and scale_factor must have the same number of spatial dimensions, but got input "
            f"with spatial dimensions of {list(old)} and scale_factor of shape {scale_factor}."
        )
    new = tuple(floor(a * f) for a, f in zip(old, factors, strict=True))
    if recompute:
        return new, tuple(a / b for a, b in zip(old, new, strict=True))
    return new, tuple(1 / f for f in factors)


def _take(input: Any, index: Any, axis: int) -> Any:
    return input[(*(slice(None),) * axis, wrap(index))]


def _neighbours(old: int, new: int, scale: float, mode: str, corners: bool) -> tuple[Any, Any]:
    """For each new pixel the old ones it mixes (k, new), and their weights (k, new)."""
    i = np.arange(new)
    if corners:
        at = i * ((old - 1) / (new - 1) if new > 1 else 0.0)
    else:
        at = (i + 0.5) * scale - 0.5
        if mode != "bicubic":
            at = np.maximum(at, 0)
    low = np.floor(at).astype(np.int64)
    t = at - low
    if mode != "bicubic":
        low = np.minimum(low, old - 1)
        return np.stack([low, np.minimum(low + 1, old - 1)]), np.stack([1 - t, t])
    index = np.clip(low + np.arange(-1, 3)[:, None], 0, old - 1)
    return index, np.stack(cubic_weights(t))


def _blended(input: Any, index: Any, weight: Any, axis: int) -> Any:
    """Σₖ weight[k] · input[index[k]] along an axis."""
    shape = (-1, *(1,) * (len(input.shape) - axis - 1))
    total = None
    for places, factors in zip(index, weight, strict=True):
        factor = wrap(factors.astype(raw_dtype(input)).reshape(shape))
        part = _take(input, places, axis) * factor
        total = part if total is None else total + part
    return total


def upsample(
    input: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
    align_corners: bool | None = None,
) -> Any:  # fmt: skip
    """The old name of `interpolate`.

    >>> import chainrule as cr
    >>> cr.nn.functional.upsample(cr.tensor([[[1.0, 3.0]]]), size=4)
    tensor([[[1., 1., 3., 3.]]])
    """
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Any, size: Any = None, scale_factor: Any = None) -> Any:
    """The old name of `interpolate` with mode "nearest".

    >>> import chainrule as cr
    >>> cr.nn.functional.upsample_nearest(cr.tensor([[[1.0, 3.0]]]), scale_factor=2)
    tensor([[[1., 1., 3., 3.]]])
    """
    return interpolate(input, size, scale_factor, "nearest")


def upsample_bilinear(input: Any, size: Any = None, scale_factor: Any = None) -> Any:
    """The old name of `interpolate` with mode "bilinear" and aligned corners.

    >>> import chainrule as cr
    >>> cr.nn.functional.upsample_bilinear(cr.tensor([[[[1.0, 3.0]]]]), size=(1, 3))
    tensor([[[[1., 2., 3.]]]])
    """
    return interpolate(input, size, scale_factor, "bilinear", align_corners=True)


@export(method=False)
def pixel_shuffle(input: Any, upscale_factor: int) -> Any:
    """Channels into pixels: (..., C·r², H, W) gives (..., C, H·r, W·r).

    Raises:
        RuntimeError: if the channels do not divide by r².

    >>> import chainrule as cr
    >>> cr.pixel_shuffle(cr.ones(4, 1, 1), 2).shape
    chainrule.Size([1, 2, 2])
    """
    require_tensor(input, "pixel_shuffle")
    r, shape = upscale_factor, tuple(input.shape)
    if len(shape) < 3:
        raise RuntimeError(
            "pixel_shuffle expects input to have at least 3 dimensions, but got input with "
            f"{len(shape)} dimension(s)"
        )
    if r <= 0:
        raise RuntimeError(f"pixel_shuffle expects a positive upscale_factor, but got {r}")
    lead, (c, h, w) = shape[:-3], shape[-3:]
    if c % (r * r):
        raise RuntimeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square "
            f"of upscale_factor, but input.size(-3)={c} is not divisible by {r * r}"
        )
    n = len(lead)
    split = xp.reshape(input, shape=(*lead, c // (r * r), r, r, h, w))
    moved = xp.permute_dims(split, axes=(*range(n), n, n + 3, n + 1, n + 4, n + 2))
    return xp.reshape(moved, shape=(*lead, c // (r * r), h * r, w * r))


@export(method=False)
def pixel_unshuffle(input: Any, downscale_factor: int) -> Any:
    """Pixels into channels: (..., C, H·r, W·r) gives (..., C·r², H, W).

    Raises:
        RuntimeError: if the image does not divide into r by r blocks.

    >>> import chainrule as cr
    >>> cr.pixel_unshuffle(cr.ones(1, 2, 2), 2).shape
    chainrule.Size([4, 1, 1])
    """
    require_tensor(input, "pixel_unshuffle")
    r, shape = downscale_factor, tuple(input.shape)
    if len(shape) < 3:
        raise RuntimeError(
            "pixel_unshuffle expects input to have at least 3 dimensions, but got input with "
            f"{len(shape)} dimension(s)"
        )
    if r <= 0:
        raise RuntimeError(f"pixel_unshuffle expects a positive downscale_factor, but got {r}")
    lead, (c, h, w) = shape[:-3], shape[-3:]
    for name, extent in (("height", h), ("width", w)):
        if extent % r:
            raise RuntimeError(
                f"pixel_unshuffle expects {name} to be divisible by downscale_factor, but the "
                f"{name} {extent} is not divisible by {r}"
            )
    n = len(lead)
    split = xp.reshape(input, shape=(*lead, c, h // r, r, w // r, r))
    moved = xp.permute_dims(split, axes=(*range(n), n, n + 2, n + 4, n + 1, n + 3))
    return xp.reshape(moved, shape=(*lead, c * r * r, h // r, w // r))


@export(method=False)
def channel_shuffle(input: Any, groups: int) -> Any:
    """Channels of equal place in their group brought together.

    Raises:
        RuntimeError: if the channels do not form equal groups.

    >>> import chainrule as cr
    >>> cr.channel_shuffle(cr.arange(4).reshape(1, 4, 1), 2).reshape(4)
    tensor([0, 2, 1, 3])
    """
    require_tensor(input, "channel_shuffle")
    shape = tuple(input.shape)
    if groups <= 0 or len(shape) < 3 or shape[1] % groups:
        raise RuntimeError(
            "Number of channels must be divisible by groups. Got an input of shape "
            f"{list(shape)} and {groups} groups."
        )
    split = xp.reshape(input, shape=(shape[0], groups, shape[1] // groups, prod(shape[2:])))
    return xp.reshape(xp.permute_dims(split, axes=(0, 2, 1, 3)), shape=shape)
