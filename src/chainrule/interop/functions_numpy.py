"""What NumPy's reductions, sorting, products and selections mean on tensors.

Entries have NumPy's signatures and defaults (`var` divides by n, `median` averages the two middle
entries, `max` of ties shares the gradient) and look our functions up when they are called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.dtypes import as_numpy, default_dtype, is_inexact
from chainrule.core.modes import looked_at
from chainrule.core.tensor import Tensor, wrap
from chainrule.ops.api import FUNCTIONS


class _ByName:
    """Our public functions, looked up when called, so that the order of imports is irrelevant."""

    def __getattr__(self, name: str) -> Any:
        try:
            return FUNCTIONS[name]
        except KeyError:
            raise AttributeError(f"chainrule has no function {name!r}") from None


F: Any = _ByName()


def floating(a: Any) -> Any:
    """Integers and booleans as the default float dtype: what NumPy does for means."""
    return a if is_inexact(as_numpy(a.dtype)) else a.to(default_dtype())


def tensor(a: Any) -> Any:
    """Any operand as a tensor; nested lists of tensors are joined, numbers are constants."""
    if isinstance(a, Tensor):
        return a
    if isinstance(a, (list, tuple)) and _holds_tensors(a):
        return F.stack([tensor(part) for part in a])
    return wrap(np.asarray(a))


def _holds_tensors(parts: Any) -> bool:
    return any(
        isinstance(p, Tensor) or (isinstance(p, (list, tuple)) and _holds_tensors(p)) for p in parts
    )


def flat_or(axis: Any, a: Any) -> tuple[Any, int]:
    """The array and the axis to run along: without one, NumPy flattens."""
    return (F.ravel(a), 0) if axis is None else (a, axis)


def _total(f: str) -> Callable[..., Any]:
    return lambda a, axis=None, dtype=None, *, keepdims=False: getattr(F, f)(
        a, axis, keepdims, dtype=dtype
    )


def _mean(f: str) -> Callable[..., Any]:
    return lambda a, axis=None, dtype=None, *, keepdims=False: getattr(F, f)(
        floating(a), axis, keepdims, dtype=dtype
    )


def _spread(f: str) -> Callable[..., Any]:
    return lambda a, axis=None, dtype=None, ddof=0, keepdims=False, *, correction=None: getattr(
        F, f
    )(floating(a if dtype is None else a.to(dtype)), axis, keepdim=keepdims,
      correction=ddof if correction is None else correction)  # fmt: skip


def _extreme(f: str) -> Callable[..., Any]:
    return lambda a, axis=None, *, keepdims=False: getattr(F, f)(
        a, () if axis is None else axis, keepdims
    )


def _ptp(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    dim = () if axis is None else axis
    return F.amax(a, dim, keepdims) - F.amin(a, dim, keepdims)


def _nan_extreme(f: str, filler: float) -> Callable[..., Any]:
    return lambda a, axis=None, *, keepdims=False: getattr(F, f)(
        F.where(F.isnan(a), filler, a), () if axis is None else axis, keepdims
    )


def _quantile(f: str, scale: float) -> Callable[..., Any]:
    def quantile(
        a: Any, q: Any, axis: Any = None, *, method: str = "linear", keepdims: bool = False
    ) -> Any:
        a = floating(tensor(a))
        if isinstance(q, (Tensor, list, tuple)):
            q = tensor(q).to(as_numpy(a.dtype))
        return getattr(F, f)(a, q / scale, axis, keepdims, interpolation=method)

    return quantile


def _median(f: str) -> Callable[..., Any]:
    return lambda a, axis=None, *, keepdims=False: getattr(F, f)(floating(a), 0.5, axis, keepdims)


def _average(
    a: Any, axis: Any = None, weights: Any = None, *, keepdims: bool = False
) -> Any:  # fmt: skip
    a = floating(tensor(a))
    if weights is None:
        return F.mean(a, axis, keepdims)
    weights = tensor(weights)
    if weights.ndim == 1 and a.ndim > 1 and isinstance(axis, int):
        weights = weights.reshape([-1 if i == axis % a.ndim else 1 for i in range(a.ndim)])
    total = F.sum(F.broadcast_to(weights, a.shape), axis, keepdims)
    return F.sum(a * weights, axis, keepdims) / total


def _arg(f: str) -> Callable[..., Any]:
    return lambda a, axis=None, *, keepdims=False: getattr(F, f)(a, axis, keepdims)


def _cumulative(f: str) -> Callable[..., Any]:
    return lambda a, axis=None, dtype=None: getattr(F, f)(*flat_or(axis, a), dtype=dtype)


def _cov(
    m: Any, y: Any = None, rowvar: bool = True, bias: bool = False, ddof: Any = None,
    fweights: Any = None, aweights: Any = None,
) -> Any:  # fmt: skip
    rows = [F.atleast_2d(tensor(part)) for part in (m, y) if part is not None]
    rows = [r.t() if not rowvar and r.shape[0] != 1 else r for r in rows]
    x = rows[0] if y is None else F.cat(rows, 0)
    found = F.cov(x, correction=(0 if bias else 1) if ddof is None else ddof, fweights=fweights,
                  aweights=aweights)  # fmt: skip
    return found.squeeze()


def _where(condition: Any, *branches: Any) -> Any:
    if not branches:
        return F.nonzero(tensor(condition), as_tuple=True)
    x, y = branches
    return F.where(tensor(condition), x, y)


def _clip(
    a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None
) -> Any:  # fmt: skip
    return F.clamp(a, a_min if min is None else min, a_max if max is None else max)


def _dot(a: Any, b: Any) -> Any:
    a, b = tensor(a), tensor(b)
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    return F.matmul(a, b) if b.ndim <= 2 else F.tensordot(a, b, ([a.ndim - 1], [b.ndim - 2]))


def _inner(a: Any, b: Any) -> Any:
    a, b = tensor(a), tensor(b)
    return a * b if a.ndim == 0 or b.ndim == 0 else F.tensordot(a, b, ([-1], [-1]))


def _tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    if not isinstance(axes, int):
        axes = tuple([d] if isinstance(d, int) else list(d) for d in axes)
    return F.tensordot(tensor(a), tensor(b), axes)


def _einsum(*operands: Any, optimize: Any = False) -> Any:
    return F.einsum(operands[0], *map(tensor, operands[1:]))


def _sort(a: Any, axis: Any = -1, kind: Any = None, *, stable: Any = None) -> Any:
    return F.sort(*flat_or(axis, a)).values


def _argsort(a: Any, axis: Any = -1, kind: Any = None, *, stable: Any = None) -> Any:
    return F.argsort(*flat_or(axis, a))


def _histogram(
    a: Any, bins: Any = 10, range: Any = None, density: bool = False, weights: Any = None
) -> Any:  # fmt: skip
    bins = bins if isinstance(bins, int) else tensor(bins)
    return tuple(F.histogram(floating(a), bins, range=range, density=density, weight=weights))


def _plain(f: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose result carries no gradient, evaluated on the arrays themselves."""
    return lambda *args, **kwargs: f(
        *[looked_at(a) if isinstance(a, Tensor) else a for a in args],
        **{k: looked_at(a) if isinstance(a, Tensor) else a for k, a in kwargs.items()},
    )


NUMPY: dict[str, Callable[..., Any]] = {
    "sum": _total("sum"), "prod": _total("prod"), "nansum": _total("nansum"),
    "mean": _mean("mean"), "nanmean": _mean("nanmean"),
    "var": _spread("var"), "std": _spread("std"),
    "max": _extreme("amax"), "amax": _extreme("amax"),
    "min": _extreme("amin"), "amin": _extreme("amin"),
    "nanmax": _nan_extreme("amax", -np.inf), "nanmin": _nan_extreme("amin", np.inf),
    "ptp": _ptp,
    "all": lambda a, axis=None, *, keepdims=False: F.all(a, axis, keepdims),
    "any": lambda a, axis=None, *, keepdims=False: F.any(a, axis, keepdims),
    "argmax": _arg("argmax"), "argmin": _arg("argmin"),
    "count_nonzero": lambda a, axis=None: F.count_nonzero(a, axis),
    "median": _median("quantile"), "nanmedian": _median("nanquantile"),
    "quantile": _quantile("quantile", 1), "nanquantile": _quantile("nanquantile", 1),
    "percentile": _quantile("quantile", 100), "nanpercentile": _quantile("nanquantile", 100),
    "average": _average, "cov": _cov,
    "corrcoef": lambda x: F.corrcoef(tensor(x)),
    "cumsum": _cumulative("cumsum"), "cumprod": _cumulative("cumprod"),
    "diff": lambda a, n=1, axis=-1, prepend=None, append=None: F.diff(
        a, n, axis, *[p if p is None else tensor(p) for p in (prepend, append)]
    ),
    "trapezoid": lambda y, x=None, dx=1.0, axis=-1: F.trapezoid(
        tensor(y), x if x is None else tensor(x), dx=dx if x is None else None, dim=axis
    ),
    "sort": _sort, "argsort": _argsort,
    "searchsorted": lambda a, v, side="left", sorter=None: F.searchsorted(
        tensor(a), v, side=side, sorter=sorter
    ),
    "digitize": lambda x, bins, right=False: F.bucketize(tensor(x), tensor(bins), right=not right),
    "bincount": lambda x, weights=None, minlength=0: F.bincount(tensor(x), weights, minlength),
    "histogram": _histogram,
    "where": _where, "clip": _clip,
    "nonzero": lambda a: F.nonzero(a, as_tuple=True),
    "argwhere": lambda a: F.nonzero(a),
    "flatnonzero": lambda a: F.nonzero(F.ravel(a), as_tuple=True)[0],
    "round": lambda a, decimals=0: F.round(a, decimals=decimals),
    "around": lambda a, decimals=0: F.round(a, decimals=decimals),
    "fix": lambda x: F.trunc(x),
    "nan_to_num": lambda x, nan=0.0, posinf=None, neginf=None: F.nan_to_num(x, nan, posinf, neginf),
    "real": lambda val: F.real(val), "imag": lambda val: F.imag(val),
    "angle": lambda z: F.angle(z), "sinc": lambda x: F.sinc(x), "i0": lambda x: F.i0(x),
    "dot": _dot, "inner": _inner, "tensordot": _tensordot, "einsum": _einsum,
    "vdot": lambda a, b: F.vdot(F.ravel(tensor(a)), F.ravel(tensor(b))),
    "outer": lambda a, b: F.outer(F.ravel(tensor(a)), F.ravel(tensor(b))),
    "kron": lambda a, b: F.kron(tensor(a), tensor(b)),
    "cross": lambda a, b, *, axis=-1: F.cross(tensor(a), tensor(b), axis),
    "isclose": lambda a, b, rtol=1e-5, atol=1e-8, equal_nan=False: F.isclose(
        tensor(a), tensor(b), rtol=rtol, atol=atol, equal_nan=equal_nan
    ),
    **{
        f.__name__: _plain(f)
        for f in (
            np.shape, np.ndim, np.size, np.allclose, np.array_equal, np.array_equiv, np.result_type,
            np.can_cast, np.isrealobj, np.iscomplexobj, np.shares_memory, np.may_share_memory,
            np.array_repr, np.array_str, np.array2string,
        )
    },
}  # fmt: skip
