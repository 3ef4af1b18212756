"""Dtype, device and new tensors alike: `x.to(...)`, `x.double()`, `x.new_zeros(...)`."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.device import CPU, check_device, device, strided
from chainrule.core.dtypes import as_numpy
from chainrule.core.tensor import Tensor
from chainrule.ops.api import FUNCTIONS, attach
from chainrule.ops.axes import normalize_dim
from chainrule.ops.convert import astype, clone
from chainrule.ops.create import made
from chainrule.ops.data import array_of
from chainrule.ops.inquire import dtype_named, type_name
from chainrule.ops.legacy import TensorType


def size(self: Tensor, dim: int | None = None) -> Any:
    """The shape, or the extent of one dimension.

    Raises:
        IndexError: if `dim` is out of range.

    >>> import chainrule as cr
    >>> cr.zeros(2, 3).size(-1)
    3
    """
    if dim is None:
        return self.shape
    if self.array.ndim == 0:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    return self.array.shape[normalize_dim(dim, self.array.ndim)]


def converted(x: Tensor, dt: Any) -> Tensor:
    """`x` in another dtype, recorded; `x` itself if it has that dtype."""
    numpy = as_numpy(dt)
    found: Tensor = x if x.array.dtype == numpy else astype(x, dtype=numpy)
    return found


def to(
    self: Tensor, *args: Any, dtype: Any = None, device: Any = None, non_blocking: bool = False,
    copy: bool = False, memory_format: Any = None, other: Any = None,
) -> Tensor:  # fmt: skip
    """The tensor in another dtype, or on another device (there is one, the CPU): `to(dtype)`,
    `to(device)`, `to(device, dtype)`, `to(other)`.

    Returns the tensor itself if nothing changes and `copy` is not set.

    Raises:
        RuntimeError: for another device.

    >>> import chainrule as cr
    >>> cr.tensor([1, 2]).to(cr.float64)
    tensor([1., 2.], dtype=chainrule.float64)
    """
    flags: list[bool] = []
    for a in args:
        if isinstance(a, Tensor):
            other = a
        elif isinstance(a, bool):
            flags.append(a)
        elif a is None or _names_device(a):
            device = a
        else:
            dtype = a
    if len(flags) > 1:
        copy = flags[1]
    if other is not None:
        dtype = other.array.dtype
    check_device(device)
    found = self if dtype is None else converted(self, dtype)
    return clone(found) if copy and found is self else found


def _names_device(a: Any) -> bool:
    """Whether an argument means a device; a string does unless it names a dtype."""
    if not isinstance(a, str):
        return isinstance(a, (device, int))
    try:
        as_numpy(a)
    except TypeError:
        return True
    return False


def _caster(name: str) -> Any:
    def cast(self: Tensor, memory_format: Any = None) -> Tensor:
        return converted(self, name)

    cast.__name__ = cast.__qualname__ = name
    cast.__doc__ = f"The tensor in the dtype `{name}`, recorded; itself if it has that dtype."
    return cast


def type_(self: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
    """The name of the tensor's type, or the tensor in another dtype."""
    if dtype is None:
        return type_name(self)
    if isinstance(dtype, str):
        dtype = dtype_named(dtype)
    elif isinstance(dtype, TensorType):
        dtype = dtype.dtype
    return converted(self, dtype)


def astype_(self: Tensor, dtype: Any, *, copy: bool = True) -> Tensor:
    """The tensor in another dtype, recorded, by NumPy's name; a copy also if it has that dtype.

    >>> import chainrule as cr
    >>> cr.tensor([1.7]).astype(int)
    tensor([1])
    """
    found = converted(self, np.dtype(dtype) if isinstance(dtype, type) else dtype)
    return clone(found) if copy and found is self else found


def cpu(self: Tensor, memory_format: Any = None) -> Tensor:
    """The tensor on the CPU: itself."""
    return self


def cuda(self: Tensor, device: Any = None, non_blocking: bool = False) -> Tensor:
    """Raises RuntimeError: there is no such device."""
    check_device("cuda" if device is None else device)
    return self


def type_as(self: Tensor, other: Tensor) -> Tensor:
    """The tensor in the dtype of `other`."""
    return converted(self, other.array.dtype)


def new_tensor(
    self: Tensor, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A tensor with a copy of `data`, by default in this tensor's dtype."""
    check_device(device)
    dt = self.array.dtype if dtype is None else as_numpy(dtype)
    return made(array_of(data, dt), requires_grad)


def _new_of_size(name: str) -> Any:
    def new(self: Tensor, *size: Any, dtype: Any = None, **kwargs: Any) -> Tensor:
        found: Tensor = FUNCTIONS[name](
            *size, dtype=self.array.dtype if dtype is None else dtype, **kwargs
        )
        return found

    new.__name__ = new.__qualname__ = f"new_{name}"
    new.__doc__ = f"`chainrule.{name}` in this tensor's dtype."
    return new


_METHODS: dict[str, Any] = {
    f.__name__: f for f in (size, to, cpu, cuda, type_as, new_tensor)
} | {
    "astype": astype_, "copy": clone,
    "type": type_, "dim": lambda self: self.array.ndim, "ndimension": lambda self: self.array.ndim,
    "nelement": lambda self: self.array.size,
    "element_size": lambda self: self.array.dtype.itemsize,
    "get_device": lambda self: -1,
    "device": property(lambda self: CPU), "layout": property(lambda self: strided),
    "is_cuda": property(lambda self: False), "is_cpu": property(lambda self: True),
    "is_sparse": property(lambda self: False), "is_meta": property(lambda self: False),
    "is_quantized": property(lambda self: False),
    "itemsize": property(lambda self: self.array.dtype.itemsize),
    "nbytes": property(lambda self: self.array.nbytes),
}  # fmt: skip
for _name in (
    "float",
    "double",
    "half",
    "long",
    "int",
    "short",
    "bool",
    "cfloat",
    "cdouble",
    "bfloat16",
):
    _METHODS[_name] = _caster(_name)
_METHODS["byte"], _METHODS["char"] = _caster("uint8"), _caster("int8")
for _name in ("zeros", "ones", "empty", "full"):
    _METHODS[f"new_{_name}"] = _new_of_size(_name)
for _name, _method in _METHODS.items():
    attach(_name, _method)
