"""Padding: `nn.functional.pad`, and the primitive behind it."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.batching import reparametrized
from chainrule.core.kinds import general, linear
from chainrule.core.node import Aval
from chainrule.core.primitive import bind
from chainrule.core.samples import Sample, uniform
from chainrule.ops.index import getitem
from chainrule.ops.shape import integers, tensor_arg

Widths = tuple[tuple[int, int], ...]
_NUMPY_MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def _pad(x: Any, pad_width: Widths, mode: str = "constant", value: Any = 0) -> Any:
    if mode != "constant":
        return np.pad(x, pad_width, _NUMPY_MODES[mode])  # type: ignore[call-overload]
    out = np.full([b + n + a for n, (b, a) in zip(x.shape, pad_width, strict=True)], value, x.dtype)
    out[tuple(slice(b, b + n) for n, (b, _) in zip(x.shape, pad_width, strict=True))] = x
    return out


def _fold(g: Any, pad_width: Widths, mode: str) -> Any:
    """Add what stands in the margins to the entries it was copied from, and drop the margins."""
    for axis, (b, a) in enumerate(pad_width):
        if b == a == 0:
            continue
        g = np.moveaxis(g, axis, 0)
        n = len(g) - b - a
        left, out, right = g[:b], g[b : b + n].copy(), g[b + n :]
        if mode == "reflect":
            out[1 : b + 1] += left[::-1]
            out[n - 1 - a : n - 1] += right[::-1]
        elif mode == "replicate":
            out[0] += left.sum(0)
            out[n - 1] += right.sum(0)
        else:
            out[n - b :] += left
            out[:a] += right
        g = np.moveaxis(out, 0, axis)
    return g


def _widened(x: Any, pad_width: Widths, sign: int = 1) -> Aval:
    pairs = zip(x.shape, pad_width, strict=True)
    return Aval(tuple([max(n + sign * (b + a), 0) for n, (b, a) in pairs]), x.dtype)


def _pad_vjp(xp: Any, g: Any, x_aval: Any, pad_width: Widths, mode: str = "constant") -> Any:
    if mode != "constant":
        return xp.pad_transpose(g, pad_width=pad_width, mode=mode)
    inside = tuple(
        ("slice", b, b + n, None) for n, (b, _) in zip(x_aval.shape, pad_width, strict=True)
    )
    return xp.getitem(g, index=inside)


_batch = reparametrized(lambda size, shape, params: {"pad_width": ((0, 0), *params["pad_width"])})
_WIDTHS = ((1, 2), (0, 0), (2, 1))
# (before, after) for every axis, not negative; `value` counts for mode "constant" only.
pad_prim = general(
    "pad", lambda x, pad_width, mode, value: _pad(x, pad_width, mode, value),
    vjps=(lambda xp, g, x_aval, pad_width, mode: _pad_vjp(xp, g, x_aval, pad_width, mode),),
    jvps=(lambda xp, t, pad_width, mode: xp.pad(t, pad_width=pad_width, mode=mode, value=0),),
    aval=lambda x, pad_width, **_: _widened(x, pad_width), batch=_batch,
    samples=lambda: [
        Sample(uniform(3, 2, 4), pad_width=_WIDTHS, mode=mode, value=1.5)
        for mode in ("constant", "reflect", "replicate", "circular")
    ],
)  # fmt: skip
pad_transpose = linear(
    "pad_transpose", _fold,
    lambda xp, g, pad_width, mode: xp.pad(g, pad_width=pad_width, mode=mode, value=0),
    aval=lambda g, pad_width, mode: _widened(g, pad_width, -1), batch=_batch,
    samples=lambda: [
        Sample(uniform(6, 2, 7), pad_width=_WIDTHS, mode=mode)
        for mode in ("reflect", "replicate", "circular")
    ],
)  # fmt: skip


def pad(input: Any, pad: Any, mode: str = "constant", value: Any = None) -> Any:
    """The tensor with a margin: `pad` holds (before, after) for the last dimension first.

    `mode` is "constant" (filled with `value`, 0 by default), "reflect", "replicate" or "circular".
    Negative margins cut off.

    Raises:
        RuntimeError: if a margin does not fit the dimension, or `pad` has the wrong length.
        NotImplementedError: for another mode.

    >>> import chainrule as cr
    >>> from chainrule.ops.pad import pad
    >>> pad(cr.tensor([1, 2]), (1, 2))
    tensor([0, 1, 2, 0, 0])
    """
    shape = tuple(tensor_arg(input, "pad").shape)
    widths = _widths(integers((pad,), "pad"), shape, mode)
    if mode != "constant" and value is not None and value != 0:
        raise ValueError(f"Padding mode {mode!r} doesn't take in value argument")
    grown = tuple((max(b, 0), max(a, 0)) for b, a in widths)
    copies = mode in ("reflect", "replicate")  # these also show what is cut off on the other side
    if not copies:
        input = _cropped(input, widths)
    if any(w for pair in grown for w in pair) or grown == widths:
        filler = 0 if value is None else value
        input = pad_prim(input, pad_width=grown, mode=mode, value=filler)
    return _cropped(input, widths) if copies else input


def _cropped(x: Any, widths: Widths) -> Any:
    """`x` without what negative margins cut off."""
    if all(w >= 0 for pair in widths for w in pair):
        return x
    kept = tuple(
        ("slice", max(-b, 0), n - max(-a, 0), None)
        for n, (b, a) in zip(x.shape, widths, strict=True)
    )
    return bind(getitem.prim, (x,), {"index": kept})


def _widths(given: tuple[int, ...], shape: tuple[int, ...], mode: str) -> Widths:
    """PyTorch's flat list of margins as one pair for every axis."""
    if len(given) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    if len(given) > 2 * len(shape):
        raise RuntimeError(
            f"Padding length should be less than or equal to two times the input dimension but got "
            f"padding length {len(given)} and input of dimension {len(shape)}"
        )
    pairs = tuple(zip(given[::2], given[1::2], strict=True))[::-1]
    widths = ((0, 0),) * (len(shape) - len(pairs)) + pairs
    if mode not in ("constant", *_NUMPY_MODES):
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    for n, (b, a) in zip(shape, widths, strict=True):
        if n + b + a < 0:
            raise RuntimeError(
                f"The input size {n}, plus negative padding {b} and {a} resulted in a negative "
                "output size, which is invalid."
            )
        most = {"reflect": n - 1, "circular": n}.get(mode, max(b, a, 0))
        if max(b, a) > max(most, 0):
            raise RuntimeError(
                f"Padding size ({b}, {a}) does not fit a dimension of size {n} with mode {mode!r}: "
                f"each side must be at most {most}"
            )
    return widths
