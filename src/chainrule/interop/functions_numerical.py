"""What NumPy's interpolation, differences, convolution, nan statistics mean on tensors."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from chainrule.core.tensor import Tensor
from chainrule.interop.functions_numpy import F, flat_or, floating, tensor


def _interp(
    x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None
) -> Any:  # fmt: skip
    """Piecewise linear interpolation, differentiable in the places, the knots and the values."""
    if period is not None:
        raise TypeError("numpy.interp() of a tensor does not support a period; reduce x first")
    x, xp, fp = (floating(tensor(v)) for v in (x, xp, fp))
    above = F.clamp(F.searchsorted(xp, x.detach(), right=True), 1, xp.shape[0] - 1)
    x0, x1, y0, y1 = xp[above - 1], xp[above], fp[above - 1], fp[above]
    inside = y0 + (y1 - y0) * ((x - x0) / (x1 - x0))
    inside = F.where(x < xp[0], fp[0] if left is None else left, inside)
    return F.where(x > xp[-1], fp[-1] if right is None else right, inside)


def _along(axis: int, start: Any, stop: Any) -> tuple[Any, ...]:
    return (*(slice(None),) * axis, slice(start, stop))


def _slope(f: Any, spacing: Any, axis: int, edge_order: int) -> Any:
    """Central differences inside, second order also for uneven points, one-sided at the ends."""
    n = f.shape[axis]
    if n < edge_order + 1:
        raise ValueError(
            "Shape of array too small to calculate a numerical gradient, at least (edge_order + 1) "
            "elements are required."
        )
    h: Any = spacing
    if isinstance(spacing, (Tensor, np.ndarray)) and spacing.ndim:
        h = F.diff(tensor(spacing)).reshape([-1 if i == axis else 1 for i in range(f.ndim)])
    even = not (isinstance(h, Tensor) and h.ndim)
    rise = F.diff(f, dim=axis) / h
    left, right = rise[_along(axis, None, -1)], rise[_along(axis, 1, None)]
    a, b = (h, h) if even else (h[_along(axis, None, -1)], h[_along(axis, 1, None)])
    inner = (left * b + right * a) / (a + b)
    first, last = rise[_along(axis, None, 1)], rise[_along(axis, -1, None)]
    if edge_order == 2:
        a0, b0 = (h, h) if even else (a[_along(axis, None, 1)], b[_along(axis, None, 1)])
        a1, b1 = (h, h) if even else (a[_along(axis, -1, None)], b[_along(axis, -1, None)])
        bend0 = (right - left)[_along(axis, None, 1)] / (a0 + b0)
        bend1 = (right - left)[_along(axis, -1, None)] / (a1 + b1)
        first, last = first - bend0 * a0, last + bend1 * b1
    return F.cat([first, inner, last], axis)


def _gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    f = floating(tensor(f))
    axes = range(f.ndim) if axis is None else [axis] if isinstance(axis, int) else axis
    axes = [a % f.ndim for a in axes]
    spacings = varargs or (1.0,)
    spacings = spacings * len(axes) if len(spacings) == 1 else spacings
    if len(spacings) != len(axes):
        raise TypeError("invalid number of arguments")
    found = tuple(_slope(f, h, a, edge_order) for a, h in zip(axes, spacings, strict=True))
    return found[0] if len(found) == 1 else found


def convolve(a: Any, v: Any, mode: str = "full") -> Any:
    a, v = floating(tensor(a)), floating(tensor(v))
    if a.shape[0] < v.shape[0]:
        a, v = v, a
    n, m = a.shape[0], v.shape[0]
    conv1d = import_module("chainrule.nn.functional").conv1d
    full = conv1d(a.reshape(1, 1, n), F.flip(v, (0,)).reshape(1, 1, m), padding=m - 1).reshape(-1)
    if mode == "full":
        return full
    start = (m - 1) // 2 if mode == "same" else m - 1
    return full[start : start + (n if mode == "same" else n - m + 1)]


def _correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    return convolve(a, F.flip(tensor(v).conj(), (0,)), mode)


def _polyval(p: Any, x: Any) -> Any:
    p, x = tensor(p), tensor(x)
    total = F.zeros_like(x) * p[0]
    for coefficient in F.unbind(p):
        total = total * x + coefficient
    return total


def _nan_var(
    a: Any, axis: Any = None, dtype: Any = None, ddof: float = 0, keepdims: bool = False
) -> Any:  # fmt: skip
    a = floating(a if dtype is None else a.to(dtype))
    gap = F.isnan(a)
    centred = F.where(gap, 0, a - F.nanmean(a, axis, True))
    count = F.sum(F.logical_not(gap), axis, keepdims)
    return F.sum(centred * centred, axis, keepdims) / (count - ddof)


def _nan_std(
    a: Any, axis: Any = None, dtype: Any = None, ddof: float = 0, keepdims: bool = False
) -> Any:  # fmt: skip
    return F.sqrt(_nan_var(a, axis, dtype, ddof, keepdims))


def _nan_filled(f: str, filler: float) -> Callable[..., Any]:
    """A running sum or product, or an index, in which nans are replaced by a neutral value."""

    def filled(a: Any, axis: Any = None) -> Any:
        a, axis = flat_or(axis, a)
        return getattr(F, f)(F.where(F.isnan(a), filler, a), axis)

    return filled


def _nan_prod(a: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
    return F.prod(F.where(F.isnan(a), 1, a), axis, keepdims, dtype=dtype)


def _ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    ends = [part if part is None else F.ravel(tensor(part)) for part in (to_begin, to_end)]
    steps = F.diff(F.ravel(ary))
    return F.cat([part for part in (ends[0], steps, ends[1]) if part is not None])


def _running(f: str) -> Callable[..., Any]:
    return lambda x, /, *, axis=None, dtype=None: getattr(F, f)(
        x, 0 if axis is None and x.ndim == 1 else axis, dtype=dtype
    )


NUMERICAL: dict[str, Callable[..., Any]] = {
    "interp": _interp, "gradient": _gradient, "convolve": convolve, "correlate": _correlate,
    "polyval": _polyval, "ediff1d": _ediff1d, "nanvar": _nan_var, "nanstd": _nan_std,
    "nanprod": _nan_prod, "nancumsum": _nan_filled("cumsum", 0),
    "nancumprod": _nan_filled("cumprod", 1), "nanargmax": _nan_filled("argmax", -np.inf),
    "nanargmin": _nan_filled("argmin", np.inf), "cumulative_sum": _running("cumsum"),
    "cumulative_prod": _running("cumprod"),
}  # fmt: skip
