"""What NumPy's functions that create arrays mean with tensors: bounds, or `like=tensor`.

`np.zeros(n, like=x)` is an array if `x` is one and a tensor if `x` is a tensor, so that a program
which fills an array entry by entry runs on both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.dtypes import as_numpy
from chainrule.core.tensor import Tensor, wrap
from chainrule.interop.functions_numpy import F, floating, tensor


def _cast(x: Any, dtype: Any) -> Any:
    return x if dtype is None else x.to(np.dtype(as_numpy(dtype)))


def _array(
    object: Any, dtype: Any = None, *, copy: Any = True, order: Any = "K", subok: bool = False,
    ndmin: int = 0,
) -> Any:  # fmt: skip
    made = _cast(tensor(object), dtype)
    made = made.reshape((1,) * max(ndmin - made.ndim, 0) + tuple(made.shape))
    return F.clone(made) if copy else made


def _asarray(a: Any, dtype: Any = None, order: Any = None, *, copy: Any = None) -> Any:
    made = _cast(tensor(a), dtype)
    return F.clone(made) if copy else made


def _filled(create: Callable[..., Any]) -> Callable[..., Any]:
    return lambda shape, dtype=None, order="C": wrap(
        create(shape, np.float64 if dtype is None else as_numpy(dtype))
    )


def _full(shape: Any, fill_value: Any, dtype: Any = None, order: str = "C") -> Any:
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    return F.clone(F.broadcast_to(_cast(tensor(fill_value), dtype), shape))


def _spread(
    start: Any, stop: Any, num: int, endpoint: bool, axis: int,
    between: Callable[[Any, Any, Any], Any],
) -> Any:  # fmt: skip
    """`between(start, stop, s)` for `num` places s from 0 to 1, along a new axis."""
    start, stop = F.broadcast_tensors(floating(tensor(start)), floating(tensor(stop)))
    places = np.arange(num) / max(num - 1 if endpoint else num, 1)
    s = wrap(places.astype(np.result_type(start.array.dtype, stop.array.dtype)))
    found = between(start, stop, s.reshape((num,) + (1,) * start.ndim))
    return F.movedim(found, 0, axis)


def _linspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False,
    dtype: Any = None, axis: int = 0,
) -> Any:  # fmt: skip
    found = _spread(start, stop, num, endpoint, axis, lambda a, b, s: (1 - s) * a + s * b)
    if not retstep:
        return _cast(found, dtype)
    step = (tensor(stop) - tensor(start)) / (num - 1 if endpoint else num)
    return _cast(found, dtype), step


def _logspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10.0,
    dtype: Any = None, axis: int = 0,
) -> Any:  # fmt: skip
    found = _spread(start, stop, num, endpoint, axis, lambda a, b, s: (1 - s) * a + s * b)
    return _cast(base**found, dtype)


def _geomspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0
) -> Any:  # fmt: skip
    return _cast(_spread(start, stop, num, endpoint, axis, lambda a, b, s: a * (b / a) ** s), dtype)


def _of_shape(indices: Callable[..., Any]) -> Callable[..., Any]:
    """Indices of a triangle: they depend on the shape alone."""

    def from_shape(arr: Any, k: int = 0) -> tuple[Any, ...]:
        if arr.ndim != 2:
            raise ValueError("input array must be 2-d")
        return tuple(map(wrap, indices(arr.shape[0], k, arr.shape[1])))

    return from_shape


def _diag_indices_from(arr: Any) -> tuple[Any, ...]:
    if arr.ndim < 2 or len(set(arr.shape)) != 1:
        raise ValueError("All dimensions of input must be of equal length")
    return tuple(map(wrap, np.diag_indices(arr.shape[0], arr.ndim)))


def _astype(x: Any, dtype: Any, /, *, copy: bool = True) -> Tensor:
    found: Tensor = _cast(x, dtype)
    return F.clone(found) if copy and found is x else found  # type: ignore[no-any-return]


CREATE: dict[str, Callable[..., Any]] = {
    "array": _array, "asarray": _asarray,
    "asanyarray": _asarray, "ascontiguousarray": lambda a, dtype=None: _asarray(a, dtype),
    "zeros": _filled(np.zeros), "ones": _filled(np.ones), "empty": _filled(np.zeros),
    "full": _full,
    "eye": lambda N, M=None, k=0, dtype=float, order="C": wrap(np.eye(N, M, k, as_numpy(dtype))),
    "identity": lambda n, dtype=None: wrap(np.identity(n, as_numpy(dtype or np.float64))),
    "linspace": _linspace, "logspace": _logspace, "geomspace": _geomspace,
    "tril_indices_from": _of_shape(np.tril_indices), "diag_indices_from": _diag_indices_from,
    "triu_indices_from": _of_shape(np.triu_indices), "astype": _astype,
}  # fmt: skip
