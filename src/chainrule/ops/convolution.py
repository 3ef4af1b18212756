"""Convolution in any number of dimensions, its two transposes, and unfolding.

With T(x, w, y) = Σ x[n, c, s·l + d·k - p] · w[o, c, k] · y[n, o, l], `convolution` is dT/dy, `conv_transpose`
is dT/dx and `conv_weight` dT/dw.  T is linear in each argument, so the derivatives of any of the
three are the other two, to every order.

Each is one matrix product on an array of windows.  Windows are gathered from a padded copy with the
channels last, where KW·C entries are contiguous, or, for few channels, channel by channel, where a
row of the image is.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from chainrule.core.kinds import bilinear
from chainrule.core.samples import Sample, uniform
from chainrule.ops.window import Ints, Pads, inside, offsets, span


def _channels_last(x: Any, padding: Pads) -> Any:
    """A contiguous array (N, *padded size, C) of x (N, C, *size)."""
    size = x.shape[2:]
    moved = np.moveaxis(x, 1, -1)
    if not any(lo or hi for lo, hi in padding):
        return np.ascontiguousarray(moved)
    shape = tuple(n + lo + hi for n, (lo, hi) in zip(size, padding, strict=True))
    padded = np.zeros((x.shape[0], *shape, x.shape[1]), x.dtype)
    _place(padded, moved, padding, size)
    return padded


def _place(padded: Any, moved: Any, padding: Pads, size: Ints) -> None:
    """Write (N, *size, C) into its padded array, cropping where padding is negative."""
    into = tuple(
        slice(max(lo, 0), max(lo, 0) + n + min(lo, 0) + min(hi, 0))
        for (lo, hi), n in zip(padding, size, strict=True)
    )
    take = tuple(
        slice(max(-lo, 0), n - max(-hi, 0)) for (lo, hi), n in zip(padding, size, strict=True)
    )
    padded[(slice(None), *into)] = moved[(slice(None), *take)]


def _windows(x: Any, kernel: Ints, stride: Ints, padding: Pads, dilation: Ints) -> Any:
    """A view (N, *count, *kernel, C) of every window of x, channels last."""
    padded = _channels_last(x, padding)
    n = len(kernel)
    axes = range(1, n + 1)
    step = padded.strides
    count = tuple(
        (padded.shape[i] - s) // st + 1
        for i, s, st in zip(axes, span(kernel, dilation), stride, strict=True)
    )
    return np.lib.stride_tricks.as_strided(
        padded,
        (padded.shape[0], *count, *kernel, padded.shape[-1]),
        (
            step[0],
            *[step[i] * s for i, s in zip(axes, stride, strict=True)],
            *[step[i] * d for i, d in zip(axes, dilation, strict=True)],
            step[-1],
        ),
    )


def _matrix(x: Any, kernel: Ints, stride: Ints, padding: Pads, dilation: Ints, groups: int) -> Any:
    """The windows as matrices (groups, positions, kernel entries · channels of a group)."""
    windows = _windows(x, kernel, stride, padding, dilation)
    c = windows.shape[-1] // groups
    positions = prod(windows.shape[: 1 + len(kernel)])
    if groups == 1:
        return windows.reshape(1, positions, prod(kernel) * c)
    split = windows.reshape(*windows.shape[:-1], groups, c)
    return np.moveaxis(split, -2, 0).reshape(groups, positions, prod(kernel) * c)


def _weight_matrix(w: Any, groups: int) -> Any:
    """w (O, C, *kernel) as matrices (groups, kernel entries · C, O of a group)."""
    o, c = w.shape[:2]
    split = np.moveaxis(w.reshape(groups, o // groups, c, -1), 2, 3)
    return split.reshape(groups, o // groups, -1).transpose(0, 2, 1)


def _rows(y: Any, groups: int) -> Any:
    """y (N, O, *count) as matrices (groups, positions, O of a group)."""
    n, o = y.shape[:2]
    split = y.reshape(n, groups, o // groups, -1)
    return split.transpose(1, 0, 3, 2).reshape(groups, -1, o // groups)


def _convolution(x: Any, w: Any, stride: Ints, padding: Pads, dilation: Ints, groups: int) -> Any:
    kernel = w.shape[2:]
    windows = _matrix(x, kernel, stride, padding, dilation, groups)
    count = tuple(
        (n + lo + hi - s) // st + 1
        for n, (lo, hi), s, st in zip(
            x.shape[2:], padding, span(kernel, dilation), stride, strict=True
        )
    )
    y = np.matmul(windows, _weight_matrix(w, groups))
    y = y.reshape(groups, x.shape[0], *count, -1)
    y = np.moveaxis(np.moveaxis(y, 0, -2).reshape(x.shape[0], *count, w.shape[0]), -1, 1)
    return np.ascontiguousarray(y)


def _conv_weight(
    x: Any, y: Any, kernel: Ints, stride: Ints, padding: Pads, dilation: Ints, groups: int
) -> Any:
    # Where windows do not reach the far edge, the rest of the image has no part in the sum.
    windows = _matrix(x, kernel, stride, padding, dilation, groups)
    w = np.matmul(_rows(y, groups).transpose(0, 2, 1), windows)
    c = x.shape[1] // groups
    return np.ascontiguousarray(np.moveaxis(w.reshape(y.shape[1], *kernel, c), -1, 1))


def _conv_transpose(
    y: Any, w: Any, size: Ints, stride: Ints, padding: Pads, dilation: Ints, groups: int
) -> Any:
    kernel = w.shape[2:]
    if all(s == 1 for s in stride):
        return _by_gathering(y, w, size, padding, dilation, groups)
    n, count = y.shape[0], y.shape[2:]
    windows = np.matmul(_rows(y, groups), _weight_matrix(w, groups).transpose(0, 2, 1))
    c = w.shape[1]
    windows = windows.reshape(groups, n, *count, prod(kernel), c)
    full = tuple(
        max(m + lo, (k - 1) * s + e)
        for m, (lo, _), k, s, e in zip(
            size, padding, count, stride, span(kernel, dilation), strict=True
        )
    )
    padded = np.zeros((n, *full, groups, c), y.dtype)
    for i, where in enumerate(offsets(kernel, stride, dilation, count)):
        padded[(slice(None), *where)] += np.moveaxis(windows[..., i, :], 0, -2)
    x = padded[(slice(None), *inside(padding, size))].reshape(n, *size, groups * c)
    return np.ascontiguousarray(np.moveaxis(x, -1, 1))


def _by_gathering(y: Any, w: Any, size: Ints, padding: Pads, dilation: Ints, groups: int) -> Any:
    """The transpose for stride 1: a convolution with the kernel turned around."""
    o, c = w.shape[:2]
    kernel = w.shape[2:]
    turned = np.flip(w, tuple(range(2, w.ndim))).reshape(groups, o // groups, c, *kernel)
    turned = turned.swapaxes(1, 2).reshape(groups * c, o // groups, *kernel)
    around = tuple(
        (e - 1 - lo, m + lo - k)
        for e, (lo, _), m, k in zip(span(kernel, dilation), padding, size, y.shape[2:], strict=True)
    )
    return _convolution(y, turned, (1,) * len(kernel), around, dilation, groups)


def conj(xp: Any, x: Any) -> Any:
    """The conjugate of a complex array; a real one as it is, without a copy."""
    return xp.conj(x) if getattr(x, "array", x).dtype.kind == "c" else x


def _cases() -> list[dict[str, Any]]:
    return [
        {"stride": (1,), "padding": ((0, 0),), "dilation": (1,), "groups": 1},
        {"stride": (2,), "padding": ((1, 2),), "dilation": (2,), "groups": 1},
        {"stride": (3,), "padding": ((2, 1),), "dilation": (1,), "groups": 2},
        {"stride": (1, 1), "padding": ((1, 1), (0, 2)), "dilation": (1, 2), "groups": 2},
        {"stride": (2, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 1},
    ]


def _arrays(case: dict[str, Any]) -> tuple[Any, Any, Any]:
    """x, w and y that fit a case."""
    n, groups = len(case["stride"]), case["groups"]
    x = uniform(2, 2 * groups, *(7, 4)[:n])
    w = uniform(3 * groups, 2, *(3, 2)[:n], seed=1)
    y = _convolution(x, w, **case)
    return x, w, uniform(*y.shape, seed=2)


convolution = bilinear(
    "convolution", _convolution,
    lambda xp, g, x_aval, y, stride, padding, dilation, groups: xp.conv_transpose(
        g, conj(xp, y), size=tuple(x_aval.shape[2:]), stride=stride, padding=padding,
        dilation=dilation, groups=groups,
    ),
    lambda xp, g, x, y_aval, stride, padding, dilation, groups: xp.conv_weight(
        conj(xp, x), g, kernel=tuple(y_aval.shape[2:]), stride=stride, padding=padding,
        dilation=dilation, groups=groups,
    ),
    samples=lambda: [Sample(*_arrays(case)[:2], **case) for case in _cases()],
)  # fmt: skip

conv_weight = bilinear(
    "conv_weight", _conv_weight,
    lambda xp, g, x_aval, y, kernel, stride, padding, dilation, groups: xp.conv_transpose(
        conj(xp, y), g, size=tuple(x_aval.shape[2:]), stride=stride, padding=padding,
        dilation=dilation, groups=groups,
    ),
    lambda xp, g, x, kernel, stride, padding, dilation, groups: xp.convolution(
        conj(xp, x), g, stride=stride, padding=padding, dilation=dilation, groups=groups
    ),
    samples=lambda: [
        Sample(x, y, kernel=w.shape[2:], **case) for case in _cases() for x, w, y in [_arrays(case)]
    ],
)  # fmt: skip

conv_transpose = bilinear(
    "conv_transpose", _conv_transpose,
    lambda xp, g, y, size, stride, padding, dilation, groups: xp.convolution(
        g, conj(xp, y), stride=stride, padding=padding, dilation=dilation, groups=groups
    ),
    lambda xp, g, x, y_aval, size, stride, padding, dilation, groups: xp.conv_weight(
        g, conj(xp, x), kernel=tuple(y_aval.shape[2:]), stride=stride, padding=padding,
        dilation=dilation, groups=groups,
    ),
    samples=lambda: [
        Sample(y, w, size=x.shape[2:], **case) for case in _cases() for x, w, y in [_arrays(case)]
    ],
)  # fmt: skip
