"""Window functions of signal processing: `hann_window`, `hamming_window`, ..."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.device import check_device, check_layout
from chainrule.core.tensor import Tensor
from chainrule.ops.api import export
from chainrule.ops.create import dtype_or_default, made


def _tapered(
    name: str, values: Callable[[np.ndarray], Any], length: int, periodic: bool, dtype: Any,
    layout: Any, device: Any, requires_grad: bool,
) -> Tensor:  # fmt: skip
    """`values` at evenly spaced points of [0, 1]; a periodic window leaves out the last one."""
    check_device(device)
    check_layout(layout)
    if length < 0:
        raise RuntimeError(f"{name} requires non-negative window_length, got {length}")
    dt = dtype_or_default(dtype)
    if dt.kind not in "fV":
        raise RuntimeError(f"{name} expects floating point dtypes, got: {dt.name}")
    if length < 2:
        return made(np.ones(length, dt), requires_grad)
    points = np.arange(length) / (length if periodic else length - 1)
    return made(np.asarray(values(points)).astype(dt), requires_grad)


def _window(name: str, values: Callable[[np.ndarray], Any], formula: str) -> None:
    def window(
        window_length: int, periodic: bool = True, *, dtype: Any = None, layout: Any = None,
        device: Any = None, requires_grad: bool = False,
    ) -> Tensor:  # fmt: skip
        return _tapered(name, values, window_length, periodic, dtype, layout, device, requires_grad)

    window.__name__ = name
    window.__doc__ = f"""The window {formula} for t from 0 to 1, at `window_length` points.

    With `periodic`, t = 1 is left out, so that the window repeats.

    Raises:
        RuntimeError: if the length is negative or the dtype not floating-point.

    >>> import chainrule as cr
    >>> cr.{name}(4).shape
    chainrule.Size([4])
    """
    export(method=False)(window)


def _cosines(t: np.ndarray, *coefficients: float) -> Any:
    return sum(a * np.cos(2 * np.pi * k * t) for k, a in enumerate(coefficients))


_window("hann_window", lambda t: np.sin(np.pi * t) ** 2, "sin²(πt)")
_window("bartlett_window", lambda t: 1 - np.abs(2 * t - 1), "1 - |2t - 1|")
_window(
    "blackman_window",
    lambda t: _cosines(t, 0.42, -0.5, 0.08),
    "0.42 - 0.5 cos(2πt) + 0.08 cos(4πt)",
)


@export(method=False)
def hamming_window(
    window_length: int, periodic: bool = True, alpha: float = 0.54, beta: float = 0.46, *,
    dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """The window alpha - beta·cos(2πt) for t from 0 to 1, at `window_length` points.

    Raises:
        RuntimeError: if the length is negative or the dtype not floating-point.

    >>> import chainrule as cr
    >>> cr.hamming_window(2)
    tensor([0.0800, 1.0000])
    """
    values = lambda t: _cosines(t, alpha, -beta)
    return _tapered(
        "hamming_window", values, window_length, periodic, dtype, layout, device, requires_grad
    )


@export(method=False)
def kaiser_window(
    window_length: int, periodic: bool = True, beta: float = 12.0, *, dtype: Any = None,
    layout: Any = None, device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """The window I₀(beta·√(1 - (2t - 1)²)) / I₀(beta) for t from 0 to 1.

    Raises:
        RuntimeError: if the length is negative or the dtype not floating-point.

    >>> import chainrule as cr
    >>> cr.kaiser_window(2, periodic=False, beta=0.0)
    tensor([1., 1.])
    """
    values = lambda t: np.i0(beta * np.sqrt(1 - (2 * t - 1) ** 2)) / np.i0(beta)
    return _tapered(
        "kaiser_window", values, window_length, periodic, dtype, layout, device, requires_grad
    )
