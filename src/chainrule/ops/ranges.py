"""Ranges: evenly spaced numbers by step, by count, and on a logarithmic scale."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.core.device import check_device, check_layout
from chainrule.core.dtypes import as_numpy, default_dtype, python_dtype
from chainrule.core.namespaces import recorded
from chainrule.core.tensor import Tensor
from chainrule.ops.api import export
from chainrule.ops.create import has_derivative, made, number


@export(method=False)
def arange(
    start: Any, end: Any = None, step: Any = 1, *, dtype: Any = None, layout: Any = None,
    device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """The numbers from `start` (0 if left out) up to, not including, `end` in steps of `step`.

    Raises:
        RuntimeError: if `step` is zero or leads away from `end`, or a bound is not finite.

    >>> import chainrule as cr
    >>> cr.arange(4)
    tensor([0, 1, 2, 3])
    >>> cr.arange(1, 2, 0.25)
    tensor([1.0000, 1.2500, 1.5000, 1.7500])
    """
    check_device(device)
    check_layout(layout)
    if end is None:
        start, end = 0, start
    start, end, step = (
        number("arange", n, v) for n, v in (("start", start), ("end", end), ("step", step))
    )
    whole = all(isinstance(v, int) for v in (start, end, step))
    dt = (np.dtype(np.int64) if whole else default_dtype()) if dtype is None else as_numpy(dtype)
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if not (math.isfinite(start) and math.isfinite(end)):
        raise RuntimeError(f"unsupported range: {start} -> {end}")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    if whole:
        return made(np.arange(start, end, step).astype(dt, copy=False), requires_grad)
    count = math.ceil((end - start) / step)
    return made((start + step * np.arange(count)).astype(dt), requires_grad)


@export(method=False)
def linspace(
    start: Any, end: Any, steps: int, *, dtype: Any = None, layout: Any = None,
    device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """`steps` evenly spaced numbers from `start` to `end`, both included.

    The ends may be tensors with one entry, which get their gradients.

    Raises:
        RuntimeError: if `steps` is negative.

    >>> import chainrule as cr
    >>> cr.linspace(0, 1, 3)
    tensor([0.0000, 0.5000, 1.0000])
    """
    return _range("linspace", start, end, steps, None, dtype, layout, device, requires_grad)


@export(method=False)
def logspace(
    start: Any, end: Any, steps: int, base: float = 10.0, *, dtype: Any = None,
    layout: Any = None, device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """`steps` numbers from base**start to base**end, evenly spaced on a logarithmic scale.

    The ends may be tensors with one entry, which get their gradients.

    Raises:
        RuntimeError: if `steps` is negative.

    >>> import chainrule as cr
    >>> cr.logspace(0, 2, 3)
    tensor([  1.,  10., 100.])
    """
    base = number("logspace", "base", base)
    return _range("logspace", start, end, steps, base, dtype, layout, device, requires_grad)


def _range(
    name: str, start: Any, end: Any, steps: int, base: Any, dtype: Any, layout: Any, device: Any,
    requires_grad: bool,
) -> Tensor:  # fmt: skip
    """Evenly spaced numbers, or, with a `base`, its powers with them as exponents."""
    check_device(device)
    check_layout(layout)
    a, b = _end(name, "start", start), _end(name, "end", end)
    if dtype is not None:
        dt = as_numpy(dtype)
    else:
        dt = python_dtype(complex(0) if _is_complex(a) or _is_complex(b) else 0.0)
    found = _even(name, a, b, steps)
    if isinstance(found, Tensor):
        found = recorded.astype(found if base is None else base**found, dtype=dt)
        return found.requires_grad_() if requires_grad else found
    return made((found if base is None else np.power(base, found)).astype(dt), requires_grad)


def _end(name: str, argument: str, value: Any) -> Any:
    """A number; a 0-d tensor of double precision, which numbers have, if it has a derivative."""
    if not has_derivative(value) or value.array.size != 1:
        return number(name, argument, value)
    wide = np.dtype(np.complex128 if value.array.dtype.kind == "c" else np.float64)
    return recorded.reshape(recorded.astype(value, dtype=wide), shape=())


def _is_complex(x: Any) -> bool:
    return x.array.dtype.kind == "c" if isinstance(x, Tensor) else isinstance(x, complex)


def _even(name: str, a: Any, b: Any, steps: int) -> Any:
    """Evenly spaced numbers, each computed from the nearer end, so that both ends are exact."""
    if steps < 0:
        raise RuntimeError(f"number of steps must be non-negative, got {steps} in {name}()")
    if steps == 1:
        return recorded.reshape(a, shape=(1,)) if isinstance(a, Tensor) else np.asarray([a])
    i = np.arange(steps, dtype=np.float64)
    step = (b - a) / max(steps - 1, 1)
    xp = recorded if isinstance(step, Tensor) else np
    return xp.where(i < steps / 2, a + step * i, b - step * (steps - 1 - i))
