"""What NumPy's functions that write into their first argument mean on tensors.

The tensor is written in place, recorded.  An array cannot take the values of a tensor without
losing their derivatives, so `check_target` refuses it.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

import numpy as np

from chainrule.core.tensor import Tensor
from chainrule.interop.functions_numpy import F, tensor


def check_target(
    name: str, ours: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """Raise if a function that writes to its first argument would write tensors to an array.

    Raises:
        TypeError: with what to do instead.
    """
    if name not in WRITE:
        return
    target = args[0] if args else kwargs.get(next(iter(signature(ours).parameters)))
    if not isinstance(target, Tensor):
        raise TypeError(
            f"numpy.{name}() of a tensor cannot write to an array, which does not hold "
            "derivatives: make what it writes to with np.zeros_like(x), np.zeros(shape, like=x) "
            "or chainrule.zeros"
        )


def _copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    kind = np.can_cast(tensor(src).array.dtype, dst.array.dtype, casting)  # type: ignore[arg-type]
    if not kind:
        raise TypeError(
            f"Cannot cast array data from {tensor(src).dtype} to {dst.dtype} according to the rule "
            f"'{casting}'"
        )
    dst[...] = src if where is True else F.where(tensor(where), tensor(src), dst)


def _repeated(values: Any, count: int) -> Any:
    """The values, again from the beginning until there are `count` of them."""
    values = F.ravel(tensor(values))
    return values[np.arange(count) % values.shape[0]]


def _put(a: Any, ind: Any, v: Any, mode: str = "raise") -> None:
    at = np.ravel(np.asarray(tensor(ind)))
    size = a.array.size
    if mode == "raise" and at.size and not (-size <= at.min() and at.max() < size):
        raise IndexError(f"index out of bounds for a tensor with {size} entries")
    at = np.clip(at, 0, size - 1) if mode == "clip" else at % max(size, 1)
    places: tuple[Any, ...] = np.unravel_index(at, tuple(a.shape))
    a[places] = _repeated(v, at.size)


def _putmask(a: Any, /, mask: Any, values: Any) -> None:
    values = tensor(values)
    if values.array.size != 1 and values.array.size != a.array.size:
        values = _repeated(values, a.array.size)
    values = values.reshape(() if values.array.size == 1 else tuple(a.shape))
    a[...] = F.where(tensor(mask), values.to(a.dtype), a)


def _place(arr: Any, mask: Any, vals: Any) -> None:
    mask = tensor(mask).bool()
    arr[mask] = _repeated(vals, int(mask.sum().item()))


def _fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    if a.ndim != 2 or wrap:
        raise TypeError("numpy.fill_diagonal() of a tensor supports matrices, without wrap")
    n = min(a.shape)
    a[np.arange(n), np.arange(n)] = _repeated(val, n)


def _put_along_axis(arr: Any, indices: Any, values: Any, axis: Any) -> None:
    at = tensor(indices)
    values = F.broadcast_to(tensor(values).to(arr.dtype), at.shape)
    if axis is None:
        arr[np.unravel_index(np.asarray(at), tuple(arr.shape))] = values
    else:
        arr[...] = F.scatter(arr, axis, at, values)


WRITE: dict[str, Callable[..., Any]] = {
    "copyto": _copyto, "put": _put, "putmask": _putmask, "place": _place,
    "fill_diagonal": _fill_diagonal, "put_along_axis": _put_along_axis,
}  # fmt: skip
