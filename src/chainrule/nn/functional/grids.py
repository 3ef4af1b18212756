"""Sampling images at arbitrary places: affine grids and interpolation on them."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from chainrule.core.namespaces import raw
from chainrule.core.namespaces import recorded as xp
from chainrule.core.tensor import Tensor, wrap
from chainrule.nn.functional.common import (
    as_tensor,
    cubic_weights,
    off_tape,
    raw_dtype,
    require_tensor,
)
from chainrule.ops.api import export
from chainrule.ops.contract import matmul


def _centres(n: int, align_corners: bool) -> Any:
    """The coordinates in [-1, 1] of n pixels: corners' centres or edges at the ends."""
    if align_corners:
        return np.linspace(-1, 1, n) if n > 1 else np.zeros(n)
    return (2 * np.arange(n) + 1) / n - 1


def affine_grid(theta: Any, size: Any, align_corners: bool | None = None) -> Any:
    """Where each pixel of an output of this size comes from under affine maps, for `grid_sample`.

    Args:
        theta: (N, 2, 3) for images, (N, 3, 4) for volumes.
        size: the output's size (N, C, H, W) or (N, C, D, H, W).
        align_corners: whether -1 and 1 are the corner pixels' centres or the image's edges.

    Raises:
        ValueError: if `theta` does not fit the size.

    >>> import chainrule as cr
    >>> theta = cr.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    >>> cr.nn.functional.affine_grid(theta, (1, 1, 1, 2), align_corners=False)
    tensor([[[[-0.5000,  0.0000],
              [ 0.5000,  0.0000]]]])
    """
    require_tensor(theta, "affine_grid", "theta")
    spatial = tuple(int(s) for s in tuple(size)[2:])
    d = len(spatial)
    if d not in (2, 3):
        raise NotImplementedError(
            "affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, "
            f"respectively. Got size {tuple(size)}."
        )
    if tuple(theta.shape[-2:]) != (d, d + 1) or len(theta.shape) != 3:
        raise ValueError(
            f"Expected a batch of {d}D affine matrices of shape Nx{d}x{d + 1} for size "
            f"{tuple(size)}. Got {theta.shape}."
        )
    axes = [_centres(n, bool(align_corners)) for n in spatial]
    places = np.meshgrid(*axes, indexing="ij")[::-1]  # x is the last dimension
    base = np.stack([*places, np.ones(spatial)], -1).reshape(-1, d + 1)
    turned = xp.permute_dims(theta, axes=(0, 2, 1))
    grid = matmul(wrap(base.astype(raw_dtype(theta))), turned)
    return xp.reshape(grid, shape=(theta.shape[0], *spatial, d))


def grid_sample(
    input: Any, grid: Any, mode: str = "bilinear", padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Any:  # fmt: skip
    """Images sampled at the places of `grid`.

    Args:
        input: (N, C, H, W) or (N, C, D, H, W).
        grid: places (N, H', W', 2) or (N, D', H', W', 3) in [-1, 1], x first.
        mode: "bilinear", "nearest" or, for images only, "bicubic".
        padding_mode: outside the image: "zeros", "border" or "reflection".
        align_corners: whether -1 and 1 are the corner pixels' centres or the image's edges.

    Raises:
        ValueError: for another mode or padding mode.
        RuntimeError: if the shapes do not fit.

    >>> import chainrule as cr
    >>> image = cr.tensor([[[[1.0, 3.0]]]])
    >>> cr.nn.functional.grid_sample(image, cr.zeros(1, 1, 1, 2), align_corners=False)
    tensor([[[[2.]]]])
    """
    require_tensor(input, "grid_sample")
    require_tensor(grid, "grid_sample", "grid", 2)
    d = len(input.shape) - 2
    if mode not in ("bilinear", "nearest", "bicubic"):
        raise ValueError(
            "nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', "
            f"but got: '{mode}'"
        )
    if mode == "bicubic" and d != 2:
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(
            "nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or "
            f"'reflection', but got: '{padding_mode}'"
        )
    if d not in (2, 3) or len(grid.shape) != d + 2 or grid.shape[-1] != d:
        raise RuntimeError(
            "grid_sampler(): expected 4D or 5D input and grid with same number of dimensions, and "
            f"grid to have size {d} in last dimension, but got input with sizes "
            f"{list(input.shape)} and grid with sizes {list(grid.shape)}"
        )
    if input.shape[0] != grid.shape[0]:
        raise RuntimeError(
            "grid_sampler(): expected grid and input to have same batch size, but got input with "
            f"sizes {list(input.shape)} and grid with sizes {list(grid.shape)}"
        )
    size = tuple(input.shape[2:])
    corners = bool(align_corners)
    # The grid's last coordinate belongs to the first spatial dimension.
    at = [_pixels(grid[..., d - 1 - i], n, corners) for i, n in enumerate(size)]
    if mode == "bicubic":
        return _cubic(input, at, size, padding_mode, corners)
    at = [_reflected_or_clipped(x, n, padding_mode, corners) for x, n in zip(at, size, strict=True)]
    return _nearest(input, at, size) if mode == "nearest" else _mixed(input, at, size)


_MODES = ("bilinear", "nearest", "bicubic")
_PADDINGS = ("zeros", "border", "reflection")


@export("grid_sampler", "grid_sampler_2d", "grid_sampler_3d", method=False)
def grid_sampler(
    input: Any, grid: Any, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Any:
    """`nn.functional.grid_sample` with numbers for the modes, in the order they are listed there.

    >>> import chainrule as cr
    >>> cr.grid_sampler(cr.ones(1, 1, 1, 2), cr.zeros(1, 1, 1, 2), 0, 0, False).item()
    1.0
    """
    mode, padding = _MODES[interpolation_mode], _PADDINGS[padding_mode]
    return grid_sample(input, grid, mode, padding, align_corners)


def _pixels(x: Any, n: int, align_corners: bool) -> Any:
    """Coordinates in [-1, 1] as positions in pixels."""
    return (x + 1) * ((n - 1) / 2) if align_corners else ((x + 1) * n - 1) * 0.5


def _reflected_or_clipped(x: Any, n: int, padding_mode: str, align_corners: bool) -> Any:
    if padding_mode == "zeros":
        return x
    if padding_mode == "reflection":
        low, high = (0.0, n - 1.0) if align_corners else (-0.5, n - 0.5)
        if high == low:
            return x * 0
        # Folded: the distance from `low` runs up and down with period 2·(high - low).
        away = xp.abs(x - low)
        on, places = off_tape(away)
        turns = on.floor(places / (high - low))
        rest = away - turns * (high - low)
        x = xp.where(as_tensor(turns % 2 == 0), rest, (high - low) - rest) + low
    return xp.minimum(xp.maximum(x, 0.0), float(n - 1))


def _at(input: Any, index: list[Any], size: tuple[int, ...]) -> Any:
    """Entries at integer positions (N, *out), zero outside, as (N, C, *out)."""
    n, c = input.shape[:2]
    on = xp if isinstance(index[0], Tensor) else raw
    inside: Any = True
    clipped = []
    for i, extent in zip(index, size, strict=True):
        inside = inside & ((i >= 0) & (i < extent))
        clipped.append(as_tensor(on.minimum(on.maximum(i, 0), extent - 1)[:, None]))
    ones = (1,) * (index[0].ndim - 1)
    sample = wrap(np.arange(n).reshape(n, 1, *ones))
    channel = wrap(np.arange(c).reshape(1, c, *ones))
    return xp.where(as_tensor(inside[:, None]), input[(sample, channel, *clipped)], 0.0)


def _nearest(input: Any, at: list[Any], size: tuple[int, ...]) -> Any:
    pixels = [off_tape(x) for x in at]
    return _at(
        input, [on.astype(on.round(x, decimals=0), dtype=np.int64) for on, x in pixels], size
    )


def _mixed(input: Any, at: list[Any], size: tuple[int, ...]) -> Any:
    """The neighbours of each place, weighted by how near they are."""
    low = [on.floor(x) for on, x in map(off_tape, at)]
    part = [x - as_tensor(f) for x, f in zip(at, low, strict=True)]
    low = [(xp if isinstance(f, Tensor) else raw).astype(f, dtype=np.int64) for f in low]
    total = None
    for corner in product((0, 1), repeat=len(at)):
        index = [f + k for f, k in zip(low, corner, strict=True)]
        weight = None
        for p, k in zip(part, corner, strict=True):
            factor = p if k else 1 - p
            weight = factor if weight is None else weight * factor
        assert weight is not None
        shape = (weight.shape[0], 1, *weight.shape[1:])
        term = _at(input, index, size) * xp.reshape(weight, shape=shape)
        total = term if total is None else total + term
    return total


def _cubic(
    input: Any, at: list[Any], size: tuple[int, ...], padding_mode: str, align_corners: bool
) -> Any:
    """The four neighbours of each place along each dimension, weighted by cubic polynomials.

    It is the neighbours that are clipped or reflected, not the places.
    """
    index, weight = [], []
    for x, n in zip(at, size, strict=True):
        on, values = off_tape(x)
        low = as_tensor(on.floor(values))
        places = [low + k for k in (-1, 0, 1, 2)]
        moved = [_reflected_or_clipped(p, n, padding_mode, align_corners) for p in places]
        index.append([cast.astype(p, dtype=np.int64) for cast, p in map(off_tape, moved)])
        weight.append(cubic_weights(x - low))
    total = None
    for i, j in product(range(4), repeat=2):
        w = weight[0][i] * weight[1][j]
        term = _at(input, [index[0][i], index[1][j]], size) * w[:, None]
        total = term if total is None else total + term
    return total
