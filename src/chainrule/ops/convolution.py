"""Convolution in any number of dimensions and its two transposes.

Let T(x, w, y) = Σ x[n, c, s·l + d·k - p] · w[o, c, k] · y[n, o, l].  Then `convolution` is dT/dy,
`conv_transpose` is dT/dx and `conv_weight` is dT/dw.  T is linear in each argument, so the
derivatives of any of the three are the other two, to every order.

Each is one matrix product on an array of windows, gathered from a padded copy by one strided copy.
What that costs is the number of contiguous runs, so there are two layouts: *rows*, one per window,
with the channels last (runs of KW·C entries), and, for few channels, *columns*, one per window,
with the image's rows last (runs of as many entries as windows side by side).
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np

from chainrule.core.avals import joint_dtype
from chainrule.core.kinds import bilinear, general, linear
from chainrule.core.node import Aval
from chainrule.core.samples import Sample, uniform
from chainrule.ops.convolution_batch import (
    channel_sum_batch,
    convolution_batch,
    transpose_batch,
    weight_batch,
)  # fmt: skip
from chainrule.ops.products import matmul
from chainrule.ops.scratch import BLOCK, scratch
from chainrule.ops.window import Ints, Pads, inside, offsets, span, windows_along


def _padded(x: Any, padding: Pads, first: int) -> Any:
    """A contiguous x, its dimensions from `first` on padded; negative padding crops."""
    if not any(lo or hi for lo, hi in padding):
        return np.ascontiguousarray(x)
    size = x.shape[first : first + len(padding)]
    shape = [n + lo + hi for n, (lo, hi) in zip(size, padding, strict=True)]
    out = np.zeros((*x.shape[:first], *shape, *x.shape[first + len(padding) :]), x.dtype)
    into = [
        slice(max(lo, 0), max(lo, 0) + n + min(lo, 0) + min(hi, 0))
        for (lo, hi), n in zip(padding, size, strict=True)
    ]
    take = [slice(max(-lo, 0), n - max(-hi, 0)) for (lo, hi), n in zip(padding, size, strict=True)]
    lead = (slice(None),) * first
    out[(*lead, *into)] = x[(*lead, *take)]
    return out


def _channels(x: Any, first: int) -> Any:
    """x (N, C, ...) with the channels first (0) or last (-1): a view."""
    if first == 0:
        return x.swapaxes(0, 1)
    return x.transpose(0, *range(2, x.ndim), 1)


def _prefers_rows(channels: int, groups: int, kernel: Ints, stride: Ints, count: Ints) -> bool:
    """Whether the runs of the layout in rows are the longer ones; `channels` are of one group."""
    run = channels * kernel[-1] if groups == 1 else channels
    return stride[-1] != 1 or run >= count[-1]


def _gathered(windows: Any) -> Any:
    """A contiguous copy of a view of windows."""
    copy = scratch.array("windows", windows.shape, windows.dtype)
    copy[...] = windows
    return copy


def _blocks(n: int, entries: int) -> Iterator[slice]:
    """Slices of the batch whose windows, `entries` per sample, fit the cache."""
    step = max(1, BLOCK // max(entries, 1))
    for start in range(0, n, step):
        yield slice(start, start + step)


def _rows(x: Any, kernel: Ints, stride: Ints, padding: Pads, dilation: Ints, groups: int) -> Any:
    """Windows as matrices (groups, windows, kernel entries · channels of a group)."""
    a = _padded(_channels(x, -1), padding, 1)
    n, d = a.shape[0], len(kernel)
    count = windows_along(a.shape[1:-1], kernel, stride, ((0, 0),) * d, dilation)
    step = a.strides[1:-1]
    steps = [b * s for b, s in zip(step, stride, strict=True)]
    inner = [b * s for b, s in zip(step, dilation, strict=True)]
    c = a.shape[-1] // groups
    shape = (groups, n, *count, *kernel, c)
    strides = (c * a.strides[-1], a.strides[0], *steps, *inner, a.strides[-1])
    windows: Any = np.ndarray(shape, a.dtype, a, 0, strides)
    return _gathered(windows).reshape(groups, n * prod(count), prod(kernel) * c)


def _columns(x: Any, kernel: Ints, stride: Ints, padding: Pads, dilation: Ints, groups: int) -> Any:
    """Windows as matrices (groups, channels of a group · kernel entries, windows)."""
    a = _padded(_channels(x, 0), padding, 2)
    c, n, d = a.shape[0], a.shape[1], len(kernel)
    count = windows_along(a.shape[2:], kernel, stride, ((0, 0),) * d, dilation)
    step = a.strides[2:]
    steps = [b * s for b, s in zip(step, stride, strict=True)]
    inner = [b * s for b, s in zip(step, dilation, strict=True)]
    strides = (a.strides[0], *inner, a.strides[1], *steps)
    windows: Any = np.ndarray((c, *kernel, n, *count), a.dtype, a, 0, strides)
    return _gathered(windows).reshape(groups, c // groups * prod(kernel), n * prod(count))


def _filters(w: Any, groups: int) -> Any:
    """w (O, C, *kernel) as matrices (groups, O of a group, kernel entries · C)."""
    o, c = w.shape[:2]
    return _channels(w, -1).reshape(groups, o // groups, c * prod(w.shape[2:]))


def _plain_filters(w: Any, groups: int) -> Any:
    """w (O, C, *kernel) as matrices (groups, O of a group, C · kernel entries): a view."""
    o, c = w.shape[:2]
    return w.reshape(groups, o // groups, c * prod(w.shape[2:]))


def _outputs(y: Any, groups: int) -> Any:
    """y (N, O, *count) as matrices (groups, O of a group, windows)."""
    n, o = y.shape[:2]
    return y.swapaxes(0, 1).reshape(groups, o // groups, n * prod(y.shape[2:]))


def _convolution(
    x: Any, w: Any, b: Any, stride: Ints, padding: Pads, dilation: Ints, groups: int
) -> Any:
    kernel, n, o = w.shape[2:], x.shape[0], w.shape[0]
    count = windows_along(x.shape[2:], kernel, stride, padding, dilation)
    positions, per_group = prod(count), o // groups
    rows = _prefers_rows(w.shape[1], groups, kernel, stride, count)
    filters = _filters(w, groups).swapaxes(1, 2) if rows else _plain_filters(w, groups)
    out = np.empty((n, groups, per_group, positions), np.result_type(x, w))
    for some in _blocks(n, positions * x.shape[1] * prod(kernel)):
        part = out[some]
        if rows:
            windows = _rows(x[some], kernel, stride, padding, dilation, groups)
            shape = (groups, len(part) * positions, per_group)
            y = np.matmul(windows, filters, out=scratch.array("product", shape, out.dtype))
            y = y.reshape(groups, len(part), positions, per_group).transpose(1, 0, 3, 2)
        else:
            windows = _columns(x[some], kernel, stride, padding, dilation, groups)
            shape = (groups, per_group, len(part) * positions)
            y = np.matmul(filters, windows, out=scratch.array("product", shape, out.dtype))
            y = y.reshape(groups, per_group, len(part), positions).transpose(2, 0, 1, 3)
        # The copy to the usual layout adds the bias on its way.
        if b is None:
            part[...] = y
        else:
            np.add(y, b.reshape(groups, per_group, 1), out=part)
    return out.reshape(n, o, *count)


def _conv_weight(
    x: Any, y: Any, kernel: Ints, stride: Ints, padding: Pads, dilation: Ints, groups: int
) -> Any:
    o, c = y.shape[1], x.shape[1] // groups
    count = y.shape[2:]
    rows = _prefers_rows(c, groups, kernel, stride, count)
    gather = _rows if rows else _columns
    w = np.zeros((groups, o // groups, c * prod(kernel)), np.result_type(x, y))
    for some in _blocks(x.shape[0], prod(count) * x.shape[1] * prod(kernel)):
        windows = gather(x[some], kernel, stride, padding, dilation, groups)
        w += np.matmul(_outputs(y[some], groups), windows if rows else windows.swapaxes(1, 2))
    if not rows:
        return w.reshape(o, c, *kernel)
    w = w.reshape(o, *kernel, c)
    return np.ascontiguousarray(w.transpose(0, w.ndim - 1, *range(1, w.ndim - 1)))


def _conv_transpose(
    y: Any, w: Any, size: Ints, stride: Ints, padding: Pads, dilation: Ints, groups: int
) -> Any:
    kernel = w.shape[2:]
    if all(s == 1 for s in stride):
        return _by_gathering(y, w, size, padding, dilation, groups)
    n, c, count = y.shape[0], w.shape[1], y.shape[2:]
    windows = matmul(_outputs(y, groups).swapaxes(1, 2), _filters(w, groups))
    windows = windows.reshape(groups, n, *count, prod(kernel), c)
    full = tuple(
        max(m + lo, (k - 1) * s + e)
        for m, (lo, _), k, s, e in zip(
            size, padding, count, stride, span(kernel, dilation), strict=True
        )
    )
    padded = np.zeros((groups, n, *full, c), windows.dtype)
    for i, where in enumerate(offsets(kernel, stride, dilation, count)):
        padded[(slice(None), slice(None), *where)] += windows[..., i, :]
    x = padded[(slice(None), slice(None), *inside(padding, size))]
    x = x.transpose(1, 0, x.ndim - 1, *range(2, x.ndim - 1))
    return np.ascontiguousarray(x).reshape(n, groups * c, *size)


def _by_gathering(y: Any, w: Any, size: Ints, padding: Pads, dilation: Ints, groups: int) -> Any:
    """The transpose for stride 1: a convolution with the kernel turned around."""
    o, c = w.shape[:2]
    kernel = w.shape[2:]
    turned = w[(..., *(slice(None, None, -1),) * len(kernel))]
    if groups == 1:
        turned = turned.swapaxes(0, 1)
    else:
        turned = turned.reshape(groups, o // groups, c, *kernel).swapaxes(1, 2)
        turned = turned.reshape(groups * c, o // groups, *kernel)
    around = tuple(
        (e - 1 - lo, m + lo - k)
        for e, (lo, _), m, k in zip(span(kernel, dilation), padding, size, y.shape[2:], strict=True)
    )
    return _convolution(y, turned, None, (1,) * len(kernel), around, dilation, groups)


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
        {"stride": (1,), "padding": ((3, 3),), "dilation": (1,), "groups": 1},
    ]


def _arrays(case: dict[str, Any]) -> tuple[Any, Any, Any]:
    """x, w and y that fit a case."""
    n, groups = len(case["stride"]), case["groups"]
    x = uniform(2, 2 * groups, *(7, 4)[:n])
    w = uniform(3 * groups, 2, *(3, 2)[:n], seed=1)
    y = _convolution(x, w, None, **case)
    return x, w, uniform(*y.shape, seed=2)


def _channel_sum(x: Any) -> Any:
    """The sum per channel of (N, C, ...), by a product with ones: NumPy's fastest sum of rows."""
    n, c = x.shape[:2]
    if x.ndim > 2:
        entries = prod(x.shape[2:])
        x = np.dot(x.reshape(n * c, entries), np.ones(entries, x.dtype)).reshape(n, c)
    return np.add.reduce(x, 0)


channel_sum = linear(
    "channel_sum", _channel_sum,
    lambda xp, g, x_aval: xp.broadcast_to(
        xp.reshape(g, shape=(-1, *(1,) * (len(x_aval.shape) - 2))), shape=tuple(x_aval.shape)
    ),
    batch=channel_sum_batch, aval=lambda x: Aval((x.shape[1],), x.dtype),
    samples=lambda: [Sample(uniform(2, 3, 4)), Sample(uniform(2, 3))],
)  # fmt: skip


def _convolution_cases() -> list[Sample]:
    arrays = [(*_arrays(case)[:2], case) for case in _cases()]
    return [Sample(x, w, None, **case) for x, w, case in arrays] + [
        Sample(x, w, uniform(w.shape[0], seed=3), **case) for x, w, case in arrays[-2:]
    ]


# x * w + b; b may be None.
convolution = general(
    "convolution", _convolution,
    vjps=(
        lambda xp, g, x_aval, y, stride, padding, dilation, groups: xp.conv_transpose(
            g, conj(xp, y), size=tuple(x_aval.shape[2:]), stride=stride, padding=padding,
            dilation=dilation, groups=groups,
        ),
        lambda xp, g, x, y_aval, stride, padding, dilation, groups: xp.conv_weight(
            conj(xp, x), g, kernel=tuple(y_aval.shape[2:]), stride=stride, padding=padding,
            dilation=dilation, groups=groups,
        ),
        lambda xp, g: xp.channel_sum(g),
    ),
    jvps=(
        lambda xp, t, y, stride, padding, dilation, groups: xp.convolution(
            t, y, None, stride=stride, padding=padding, dilation=dilation, groups=groups
        ),
        lambda xp, t, x, stride, padding, dilation, groups: xp.convolution(
            x, t, None, stride=stride, padding=padding, dilation=dilation, groups=groups
        ),
        lambda xp, t, stride: xp.reshape(t, shape=(-1, *(1,) * len(stride))),
    ),
    samples=_convolution_cases, batch=convolution_batch,
    aval=lambda x, y, z, stride, padding, dilation, groups: Aval(
        (x.shape[0], y.shape[0],
         *windows_along(x.shape[2:], y.shape[2:], stride, padding, dilation)),
        joint_dtype(x, y),
    ),
)  # fmt: skip

conv_weight = bilinear(
    "conv_weight", _conv_weight,
    lambda xp, g, x_aval, y, kernel, stride, padding, dilation, groups: xp.conv_transpose(
        conj(xp, y), g, size=tuple(x_aval.shape[2:]), stride=stride, padding=padding,
        dilation=dilation, groups=groups,
    ),
    lambda xp, g, x, kernel, stride, padding, dilation, groups: xp.convolution(
        conj(xp, x), g, None, stride=stride, padding=padding, dilation=dilation, groups=groups
    ),
    batch=weight_batch,
    aval=lambda x, y, kernel, stride, padding, dilation, groups: Aval(
        (y.shape[1], x.shape[1] // groups, *kernel), joint_dtype(x, y)
    ),
    samples=lambda: [
        Sample(x, y, kernel=w.shape[2:], **case) for case in _cases() for x, w, y in [_arrays(case)]
    ],
)  # fmt: skip

conv_transpose = bilinear(
    "conv_transpose", _conv_transpose,
    lambda xp, g, y, size, stride, padding, dilation, groups: xp.convolution(
        g, conj(xp, y), None, stride=stride, padding=padding, dilation=dilation, groups=groups
    ),
    lambda xp, g, x, y_aval, size, stride, padding, dilation, groups: xp.conv_weight(
        g, conj(xp, x), kernel=tuple(y_aval.shape[2:]), stride=stride, padding=padding,
        dilation=dilation, groups=groups,
    ),
    batch=transpose_batch,
    aval=lambda x, y, size, stride, padding, dilation, groups: Aval(
        (x.shape[0], groups * y.shape[1], *size), joint_dtype(x, y)
    ),
    samples=lambda: [
        Sample(y, w, size=x.shape[2:], **case) for case in _cases() for x, w, y in [_arrays(case)]
    ],
)  # fmt: skip
