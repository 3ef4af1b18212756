"""What NumPy's polynomials, piecewise functions and insertions mean on tensors."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

from chainrule.core.tensor import wrap
from chainrule.interop.functions_linalg import L
from chainrule.interop.functions_numerical import convolve
from chainrule.interop.functions_numpy import F, flat_or, floating, tensor


def _polyfit(x: Any, y: Any, deg: int, *, w: Any = None) -> Any:
    """Least squares; the columns are scaled to length 1, as NumPy does, for the condition."""
    x, y = floating(tensor(x)), floating(tensor(y))
    columns = F.vander(x, deg + 1)
    right = y if y.ndim == 2 else y[:, None]
    if w is not None:
        weights = tensor(w)[:, None]
        columns, right = columns * weights, right * weights
    scale = F.sqrt(F.sum(columns * columns, 0))
    found = L.lstsq(columns / scale, right).solution / scale[:, None]
    return found if y.ndim == 2 else found[:, 0]


def _polyadd(a1: Any, a2: Any) -> Any:
    """Coefficients of the highest powers come first, so the shorter one begins with zeros."""
    a, b = F.atleast_1d(tensor(a1)), F.atleast_1d(tensor(a2))
    short, long = (a, b) if a.shape[0] < b.shape[0] else (b, a)
    gap = np.zeros(long.shape[0] - short.shape[0], short.array.dtype)
    return F.cat([wrap(gap), short]) + long


def _polyder(p: Any, m: int = 1) -> Any:
    p = tensor(p)
    for _ in range(m):
        p = p[:-1] * np.arange(p.shape[0] - 1, 0, -1).astype(p.array.dtype)
    return p


def _polyint(p: Any, m: int = 1, k: Any = None) -> Any:
    p = floating(tensor(p))
    constants = F.ravel(tensor(0.0 if k is None else k)).to(p.dtype)
    for i in range(m):
        c = constants[:1] if constants.shape[0] == 1 else constants[i : i + 1]
        p = F.cat([p / np.arange(p.shape[0], 0, -1).astype(p.array.dtype), c])
    return p


def _piecewise(x: Any, condlist: Any, funclist: Any, *args: Any, **kw: Any) -> Any:
    """Every piece is evaluated everywhere and selected, so that examples may differ under vmap."""
    conditions = list(condlist) if isinstance(condlist, (list, tuple)) else [condlist]
    conditions = [tensor(c).bool() for c in conditions]
    if len(funclist) not in (len(conditions), len(conditions) + 1):
        raise ValueError(
            f"with {len(conditions)} condition(s), either {len(conditions)} or "
            f"{len(conditions) + 1} functions are expected"
        )
    values = [f(x, *args, **kw) if callable(f) else f for f in funclist]
    found = F.zeros_like(x) + (values[-1] if len(values) > len(conditions) else 0)
    for condition, value in zip(conditions, values, strict=False):  # the last that holds counts
        found = F.where(condition, value, found)
    return found


def _apply_along_axis(
    func1d: Callable[..., Any], axis: int, arr: Any, *args: Any, **kwargs: Any
) -> Any:
    moved = F.movedim(tensor(arr), axis, -1)
    places = list(product(*map(range, moved.shape[:-1])))
    rows = [tensor(func1d(moved[place], *args, **kwargs)) for place in places]
    found = F.stack(rows).reshape((*moved.shape[:-1], *rows[0].shape))
    return F.movedim(
        found,
        tuple(range(moved.ndim - 1, found.ndim)),
        tuple(range(axis % moved.ndim, axis % moved.ndim + rows[0].ndim)),
    )


def _unwrap(p: Any, discont: Any = None, axis: int = -1, *, period: float = 2 * np.pi) -> Any:
    """Jumps are removed by adding multiples of the period, which are constants."""
    p = floating(tensor(p))
    step = F.diff(p.detach(), dim=axis)
    folded = F.remainder(step + period / 2, period) - period / 2
    folded = F.where((folded == -period / 2) & (step > 0), period / 2, folded)
    small = F.abs(step) < max(period / 2 if discont is None else discont, period / 2)
    correction = F.cumsum(F.where(small, 0.0, folded - step), axis)
    first = F.narrow(correction, axis, 0, 1) * 0
    return p + F.cat([first, correction], axis)


def _insert(arr: Any, obj: Any, values: Any, axis: Any = None) -> Any:
    arr, axis = flat_or(axis, tensor(arr))
    values, at = tensor(values), getattr(obj, "array", obj)
    n = arr.shape[axis]
    if isinstance(at, slice):
        at = np.arange(n)[at]
    values = values.reshape((1,) * max(arr.ndim - values.ndim, 0) + tuple(values.shape))
    if np.ndim(at) == 0:
        values = F.movedim(values, 0, axis)
    count = values.shape[axis] if np.size(at) == 1 else np.size(at)
    shape = list(arr.shape)
    shape[axis] = count
    both = F.cat([arr, F.broadcast_to(values.to(arr.dtype), tuple(shape))], axis)
    at = at if np.ndim(at) == 0 or np.size(at) > 1 else np.ravel(at)[0]
    return F.index_select(both, axis, wrap(np.insert(np.arange(n), at, n + np.arange(count))))


def _partition(a: Any, kth: Any, axis: Any = -1, kind: str = "introselect") -> Any:
    return F.sort(*flat_or(axis, a)).values


def _argpartition(a: Any, kth: Any, axis: Any = -1, kind: str = "introselect") -> Any:
    return F.argsort(*flat_or(axis, a))


CURVES: dict[str, Callable[..., Any]] = {
    "polyfit": _polyfit, "polyadd": _polyadd,
    "polysub": lambda a1, a2: _polyadd(tensor(a1), -tensor(a2)),
    "polymul": lambda a1, a2: convolve(F.atleast_1d(tensor(a1)), F.atleast_1d(tensor(a2))),
    "polyder": _polyder, "polyint": _polyint, "piecewise": _piecewise,
    "apply_along_axis": _apply_along_axis, "unwrap": _unwrap, "insert": _insert,
    "partition": _partition, "argpartition": _argpartition,
    "vander": lambda x, N=None, increasing=False: F.vander(tensor(x), N, increasing),
    "diagflat": lambda v, k=0: F.diagflat(tensor(v), k),
    "isposinf": lambda x: F.isposinf(x), "isneginf": lambda x: F.isneginf(x),
    "isreal": lambda x: F.isreal(x), "iscomplex": lambda x: F.logical_not(F.isreal(x)),
    "linalg.tensorsolve": lambda a, b, axes=None: L.tensorsolve(tensor(a), tensor(b), axes),
    "linalg.tensorinv": lambda a, ind=2: L.tensorinv(a, ind),
}  # fmt: skip
