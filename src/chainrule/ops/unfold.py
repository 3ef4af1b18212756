"""Blocks of images as columns (im2col), and columns added up to images (col2im)."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from chainrule.core.batching import by_rows
from chainrule.core.kinds import linear
from chainrule.core.node import Aval
from chainrule.core.samples import Sample, uniform
from chainrule.ops.window import Ints, Pads, inside, offsets, pad_spatial, windows_along


def _im2col(x: Any, kernel: Ints, stride: Ints, padding: Pads, dilation: Ints) -> Any:
    """x (N, C, *size) as (N, C · kernel entries, windows)."""
    count = windows_along(x.shape[2:], kernel, stride, padding, dilation)
    n, c = x.shape[:2]
    x = pad_spatial(x, padding)
    out = np.empty((n, c, prod(kernel), *count), x.dtype)
    for i, where in enumerate(offsets(kernel, stride, dilation, count)):
        out[:, :, i] = x[(..., *where)]
    return out.reshape(n, c * prod(kernel), prod(count))


def _col2im(x: Any, size: Ints, kernel: Ints, stride: Ints, padding: Pads, dilation: Ints) -> Any:
    """The transpose: each column added where it was taken from."""
    count = windows_along(size, kernel, stride, padding, dilation)
    n, c = x.shape[0], x.shape[1] // prod(kernel)
    blocks = x.reshape(n, c, prod(kernel), *count)
    full = [m + lo + hi for m, (lo, hi) in zip(size, padding, strict=True)]
    out: Any = np.zeros((n, c, *full), x.dtype)
    for i, where in enumerate(offsets(kernel, stride, dilation, count)):
        out[(..., *where)] += blocks[:, :, i]
    return np.ascontiguousarray(out[(..., *inside(padding, size))])


_PARAMS: dict[str, Any] = {
    "kernel": (2, 3), "stride": (1, 2), "padding": ((1, 1), (0, 0)), "dilation": (2, 1),
}  # fmt: skip

im2col = linear(
    "im2col", _im2col,
    lambda xp, g, x_aval, kernel, stride, padding, dilation: xp.col2im(
        g, size=tuple(x_aval.shape[2:]), kernel=kernel, stride=stride, padding=padding,
        dilation=dilation,
    ),
    grad_name="Im2Col", batch=by_rows, samples=lambda: [Sample(uniform(2, 2, 4, 5), **_PARAMS)],
    aval=lambda x, kernel, stride, padding, dilation: Aval(
        (x.shape[0], x.shape[1] * prod(kernel),
         prod(windows_along(x.shape[2:], kernel, stride, padding, dilation))),
        x.dtype,
    ),
)  # fmt: skip
col2im = linear(
    "col2im", _col2im,
    lambda xp, g, kernel, stride, padding, dilation: xp.im2col(
        g, kernel=kernel, stride=stride, padding=padding, dilation=dilation
    ),
    grad_name="Col2Im", batch=by_rows,
    aval=lambda x, size, kernel, **params: Aval(
        (x.shape[0], x.shape[1] // prod(kernel), *size), x.dtype
    ),
    samples=lambda: [Sample(uniform(2, 12, 8), size=(4, 5), **_PARAMS)],
)  # fmt: skip
