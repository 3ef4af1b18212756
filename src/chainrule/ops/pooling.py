"""Pooling: the largest entry, or the sum, of each window.

Both visit windows by kernel entry (`window.offsets`), so neither builds an array of windows nor
scatters by index: the largest entry is remembered as its place within the window.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from chainrule.core.avals import same, several, spatial_by, typed
from chainrule.core.batching import leading, leading_all
from chainrule.core.kinds import general, linear
from chainrule.core.node import Aval
from chainrule.core.samples import Sample, uniform
from chainrule.ops.window import Ints, Pads, inside, offsets, pad_spatial


def place_dtype(kernel: Ints) -> Any:
    """The smallest integer type that counts the entries of a window."""
    return np.uint8 if prod(kernel) <= 256 else np.int32


def _extended(x: Any, kernel: Ints, stride: Ints, padding: Pads, dilation: Ints, count: Ints,
              value: float) -> Any:  # fmt: skip
    """x padded so that every window fits; with ceil_mode, windows reach past the padding."""
    size = x.shape[x.ndim - len(kernel) :]
    return pad_spatial(x, _reached(size, kernel, stride, padding, dilation, count), value)


def _reached(
    size: Ints, kernel: Ints, stride: Ints, padding: Pads, dilation: Ints, count: Ints
) -> Pads:
    """The padding with its far side as wide as the last window needs."""
    return tuple(
        (lo, max((c - 1) * s + d * (k - 1) + 1 - lo - n, 0))
        for n, k, s, (lo, _), d, c in zip(
            size, kernel, stride, padding, dilation, count, strict=True
        )
    )


def _max_pool(
    x: Any, kernel: Ints, stride: Ints, padding: Pads, dilation: Ints, count: Ints
) -> tuple[Any, Any]:
    """The largest entry of each window and its place there; nan wins, then the first."""
    x = _extended(x, kernel, stride, padding, dilation, count, -np.inf)
    place_type = place_dtype(kernel)
    best = place = None
    for i, where in enumerate(offsets(kernel, stride, dilation, count)):
        entry = np.array(x[(..., *where)], order="C")
        if best is None or place is None:
            best, place = entry, np.zeros(entry.shape, place_type)
            continue
        # Places grow from step to step, so the later of two winners is the larger: no selection.
        better = np.greater(entry, best).view(np.uint8)
        np.maximum(place, np.multiply(better, i, dtype=place_type), out=place)
        np.maximum(best, entry, out=best)
    assert best is not None
    assert place is not None
    return _with_nan(x, best, place, kernel, stride, dilation, count)


def _with_nan(x: Any, best: Any, place: Any, kernel: Ints, stride: Ints, dilation: Ints,
              count: Ints) -> tuple[Any, Any]:  # fmt: skip
    """The places corrected where a window holds a nan: PyTorch reports its last one."""
    if best.dtype.kind == "f" and np.isnan(np.dot(flat := best.reshape(-1), flat)):
        for i, where in enumerate(offsets(kernel, stride, dilation, count)):
            place[np.isnan(x[(..., *where)])] = i
    return best, place


def _spread(g: Any, place: Any, size: Ints, kernel: Ints, stride: Ints, padding: Pads,
            dilation: Ints) -> Any:  # fmt: skip
    """Zeros of spatial size `size`, with g added where `place` says within each window."""
    count = g.shape[g.ndim - len(kernel) :]
    pads = _reached(size, kernel, stride, padding, dilation, count)
    full = [n + lo + hi for n, (lo, hi) in zip(size, pads, strict=True)]
    lead = g.shape[: g.ndim - len(kernel)]
    disjoint = kernel == stride and set(dilation) == {1}
    make = np.empty if disjoint and _exactly(full, kernel, count) else np.zeros
    out: Any = make((*lead, *full), g.dtype)
    # Multiplying by the choice is faster than selecting, but 0·inf is not 0.
    finite = np.isfinite(np.dot(flat := g.reshape(-1), flat))
    for i, where in enumerate(offsets(kernel, stride, dilation, count)):
        target, chosen = out[(..., *where)], place == i
        if disjoint and finite:
            np.multiply(g, chosen, out=target)
        elif disjoint:
            target[...] = np.where(chosen, g, 0)
        else:
            target += g * chosen if finite else np.where(chosen, g, 0)
    return np.ascontiguousarray(out[(..., *inside(pads, size))])


def _exactly(full: Any, kernel: Ints, count: Ints) -> bool:
    """Whether windows side by side cover everything."""
    return all(n == k * c for n, k, c in zip(full, kernel, count, strict=True))


def _pick(x: Any, place: Any, kernel: Ints, stride: Ints, padding: Pads, dilation: Ints) -> Any:
    """The entry of each window that `place` says."""
    count = place.shape[place.ndim - len(kernel) :]
    x = _extended(x, kernel, stride, padding, dilation, count, 0)
    out = np.zeros(place.shape, x.dtype)
    for i, where in enumerate(offsets(kernel, stride, dilation, count)):
        np.copyto(out, x[(..., *where)], where=place == i)
    return out


_NAMES = ("kernel", "stride", "padding", "dilation", "count")
_CASES: list[dict[str, Any]] = [
    dict(zip(_NAMES, case, strict=True))
    for case in (
        ((2,), (2,), ((0, 0),), (1,), (3,)),
        ((3,), (2,), ((1, 1),), (2,), (3,)),
        ((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1), (3, 2)),
        ((2, 3), (1, 2), ((1, 1), (1, 1)), (1, 1), (7, 3)),
    )
]


def _image(case: dict[str, Any]) -> Any:
    return uniform(2, 2, *(6, 5)[: len(case["kernel"])])


def _without(case: dict[str, Any], name: str = "count") -> dict[str, Any]:
    return {k: v for k, v in case.items() if k != name}


def _max_cases() -> list[Sample]:
    return [Sample(_image(case), **case) for case in _CASES]


_reduced_to_windows = spatial_by("count")


def _place(x: Any, kernel: Ints, count: Ints, **params: Any) -> Aval:
    """Shape and dtype of the places within windows."""
    found: Aval = _reduced_to_windows(x, kernel=kernel, count=count)
    return Aval(found.shape, np.dtype(place_dtype(kernel)))


max_pool = general(
    "max_pool", _max_pool,
    real=True, vjps=(
        lambda xp, g, x_aval, out, kernel, stride, padding, dilation: None if g[0] is None
        else xp.pool_spread(
            g[0], out[1], size=tuple(x_aval.shape[len(x_aval.shape) - len(kernel) :]),
            kernel=kernel, stride=stride, padding=padding, dilation=dilation,
        ),
    ),
    jvps=(
        lambda xp, t, out, kernel, stride, padding, dilation: (
            xp.pool_pick(
                t, out[1], kernel=kernel, stride=stride, padding=padding, dilation=dilation
            ),
            None,
        ),
    ),
    samples=_max_cases, batch=leading, aval=several(_reduced_to_windows, _place),
)  # fmt: skip


def _place_cases() -> list[tuple[Any, Any, Any, dict[str, Any]]]:
    return [(x, *_max_pool(x, **case), _without(case)) for case in _CASES for x in [_image(case)]]


pool_spread = general(
    "pool_spread", _spread,
    vjps=(
        lambda xp, g, y, kernel, stride, padding, dilation: xp.pool_pick(
            g, y, kernel=kernel, stride=stride, padding=padding, dilation=dilation
        ),
        None,
    ),
    jvps=("linear", None), batch=leading_all, aval=spatial_by("size"),
    samples=lambda: [
        Sample(uniform(*best.shape, seed=3), place, size=x.shape[2:], **case)
        for x, best, place, case in _place_cases()
    ],
)  # fmt: skip

pool_pick = general(
    "pool_pick", _pick,
    vjps=(
        lambda xp, g, x_aval, y, kernel, stride, padding, dilation: xp.pool_spread(
            g, y, size=tuple(x_aval.shape[len(x_aval.shape) - len(kernel) :]), kernel=kernel,
            stride=stride, padding=padding, dilation=dilation,
        ),
        None,
    ),
    jvps=("linear", None), batch=leading_all,
    aval=lambda x, y, **params: Aval(y.shape, x.dtype),
    samples=lambda: [Sample(x, place, **case) for x, _, place, case in _place_cases()],
)  # fmt: skip


def _positions(
    place: Any, size: Ints, kernel: Ints, stride: Ints, padding: Pads, dilation: Ints
) -> Any:
    """Places within windows as row-major positions within the image."""
    n = len(kernel)
    flat: Any = 0
    inside = np.unravel_index(place, kernel)
    for i in range(n):
        start = np.arange(place.shape[place.ndim - n + i]) * stride[i] - padding[i][0]
        start = start.reshape(-1, *(1,) * (n - 1 - i))
        flat = flat * size[i] + start + inside[i] * dilation[i]
    return flat


pool_positions = general(
    "pool_positions", _positions, batch=leading, aval=typed(same, np.int64),
    samples=lambda: [
        Sample(place, size=x.shape[2:], **case) for x, _, place, case in _place_cases()
    ],
)  # fmt: skip


def _within(x: Any, size: Ints) -> Any:
    """Positions in an image of this size, as they are.

    Raises:
        RuntimeError: if one lies outside.
    """
    if x.size and (x.min() < 0 or x.max() >= prod(size)):
        raise RuntimeError(
            f"Found an invalid max index: {x.max()} (output volumes are of size "
            f"{'x'.join(map(str, size))})"
        )
    return x


within = general(
    "within", _within, batch=leading, view=True, aval=same,
    samples=lambda: [Sample(np.array([[0, 5], [3, 1]]), size=(2, 3))],
)  # fmt: skip


def _window_sum(
    x: Any, kernel: Ints, stride: Ints, padding: Pads, dilation: Ints, count: Ints
) -> Any:
    x = _extended(x, kernel, stride, padding, dilation, count, 0)
    total = None
    for where in offsets(kernel, stride, dilation, count):
        entry = x[(..., *where)]
        if total is None:
            total = np.array(entry, order="C")
        else:
            total += entry
    return total


def _window_spread(
    g: Any, size: Ints, kernel: Ints, stride: Ints, padding: Pads, dilation: Ints
) -> Any:
    """The transpose of `window_sum`: every entry of a window receives what the window got."""
    count = g.shape[g.ndim - len(kernel) :]
    pads = _reached(size, kernel, stride, padding, dilation, count)
    full = [n + lo + hi for n, (lo, hi) in zip(size, pads, strict=True)]
    out: Any = np.zeros((*g.shape[: g.ndim - len(kernel)], *full), g.dtype)
    for where in offsets(kernel, stride, dilation, count):
        out[(..., *where)] += g
    return np.ascontiguousarray(out[(..., *inside(pads, size))])


window_sum = linear(
    "window_sum", _window_sum,
    lambda xp, g, x_aval, kernel, stride, padding, dilation: xp.window_spread(
        g, size=tuple(x_aval.shape[len(x_aval.shape) - len(kernel) :]), kernel=kernel,
        stride=stride, padding=padding, dilation=dilation,
    ),
    samples=_max_cases, batch=leading, aval=_reduced_to_windows,
)  # fmt: skip

window_spread = linear(
    "window_spread", _window_spread,
    lambda xp, g, x_aval, kernel, stride, padding, dilation: xp.window_sum(
        g, kernel=kernel, stride=stride, padding=padding, dilation=dilation,
        count=tuple(x_aval.shape[len(x_aval.shape) - len(kernel) :]),
    ),
    batch=leading, aval=spatial_by("size"),
    samples=lambda: [
        Sample(_window_sum(x, **case), size=x.shape[2:], **_without(case))
        for case in _CASES for x in [_image(case)]
    ],
)  # fmt: skip
