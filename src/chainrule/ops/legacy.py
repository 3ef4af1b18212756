"""The old constructors: `Tensor(2, 3)` with arbitrary entries, `LongTensor([1, 2])` with these."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from chainrule.core.dtypes import as_dtype, as_numpy, default_dtype, set_default_dtype
from chainrule.core.tensor import Tensor, wrap
from chainrule.ops.api import FUNCTIONS, attach, export
from chainrule.ops.create import number, size_of
from chainrule.ops.data import array_of
from chainrule.ops.inquire import TYPE_NAMES, dtype_named


def made_of(name: str, data: tuple[Any, ...], dt: np.dtype[Any]) -> Tensor:
    """A tensor of the given entries, or of the given size with arbitrary ones."""
    found: Tensor
    if not data:
        found = wrap(np.empty(0, dt))
    elif len(data) == 1 and not isinstance(data[0], int):
        given = data[0].array if isinstance(data[0], Tensor) else data[0]
        if isinstance(given, tuple) and type(given) is not tuple:  # a Size
            found = wrap(np.empty(given, dt))
        else:
            found = wrap(array_of(given, dt, copy=False))
    else:
        found = wrap(np.empty(size_of(name, data), dt))
    return found


def _new(cls: Any, *data: Any, **kwargs: Any) -> Any:
    if cls is not Tensor:
        return object.__new__(cls)
    if kwargs:
        raise TypeError(
            f"Tensor() got an unexpected keyword argument '{next(iter(kwargs))}'; "
            "use chainrule.tensor(), which takes dtype and requires_grad"
        )
    return made_of("Tensor", data, default_dtype())


attach("__new__", staticmethod(_new))


@export(function=False)
def new(self: Tensor, *data: Any) -> Tensor:
    """A tensor of this one's dtype, with the given entries or of the given size.

    >>> import chainrule as cr
    >>> cr.zeros(2, dtype=cr.float64).new([1, 2])
    tensor([1., 2.], dtype=chainrule.float64)
    """
    return made_of("new", data, self.array.dtype)


class TensorType(type):
    """The type of `FloatTensor` and its like: classes that stand for tensors of one dtype."""

    dtype: Any

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, Tensor) and instance.dtype is cls.dtype

    def __call__(cls, *data: Any) -> Tensor:
        return made_of(cls.__name__, data, cls.dtype.dtype)


def _declare(name: str, dtype_name: str) -> None:
    doc = f"Makes {dtype_name} tensors, of given entries or size; their type for `isinstance`."
    fields = {"dtype": as_dtype(dtype_name), "__doc__": doc, "__module__": "chainrule"}
    FUNCTIONS[name] = TensorType(name, (), fields)


for _dtype_name, _old in TYPE_NAMES.items():
    if _dtype_name != "bfloat16" and not _dtype_name.startswith("complex"):
        _declare(f"{_old}Tensor", _dtype_name)


@export(method=False)
def set_default_tensor_type(t: Any) -> None:
    """Set the dtype of tensors made from Python floats, given as a typed constructor or its name.

    Raises:
        TypeError: if it is not one of a floating-point dtype.

    >>> import chainrule as cr
    >>> cr.set_default_tensor_type(cr.FloatTensor)
    """
    if not isinstance(t, (str, TensorType)):
        raise TypeError(
            f"invalid type object: {type(t).__name__} is not a typed constructor such as "
            "chainrule.FloatTensor; for a dtype call set_default_dtype()"
        )
    set_default_dtype(dtype_named(t) if isinstance(t, str) else t.dtype)


@export("range", method=False)
def range_(start: Any = 0, end: Any = None, step: Any = 1, *, dtype: Any = None,
           requires_grad: bool = False) -> Any:  # fmt: skip
    """The numbers from `start` to `end`, which is included; `arange` is its successor.

    >>> import chainrule as cr
    >>> import warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     cr.range(1, 3)
    tensor([1., 2., 3.])
    """
    warnings.warn(
        "chainrule.range is deprecated because its behavior is inconsistent with Python's range "
        "builtin. Instead, use chainrule.arange, which produces values in [start, end).",
        stacklevel=3,
    )
    if end is None:
        start, end = 0, start
    start, end, step = (
        number("range", n, v) for n, v in (("start", start), ("end", end), ("step", step))
    )
    if step == 0 or (end - start) / step < 0:
        raise RuntimeError(
            "upper bound and lower bound inconsistent with step sign: from "
            f"{start} to {end} in steps of {step}"
        )
    count = math.floor((end - start) / step) + 1
    values = start + step * np.arange(count)
    found = wrap(values.astype(default_dtype() if dtype is None else as_numpy(dtype)))
    return found.requires_grad_() if requires_grad else found
