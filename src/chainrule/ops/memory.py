"""How a tensor lies in memory: `contiguous`, `stride`, `data_ptr`, ..."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.device import channels_last, channels_last_3d
from chainrule.core.mutation import owner_of
from chainrule.core.tensor import Tensor
from chainrule.ops.api import attach
from chainrule.ops.axes import normalize_dim
from chainrule.ops.convert import clone


def contiguous(self: Tensor, memory_format: Any = None) -> Any:
    """The tensor itself if its entries lie in row-major order, else a copy where they do.

    >>> import chainrule as cr
    >>> cr.ones(2, 3).t().contiguous().is_contiguous()
    True
    """
    return self if self.array.flags.c_contiguous else clone(self)


def is_contiguous(self: Tensor, memory_format: Any = None) -> bool:
    """Whether the entries lie in memory in row-major order (or that of `memory_format`)."""
    array = self.array
    if memory_format is channels_last or memory_format is channels_last_3d:
        wanted = 4 if memory_format is channels_last else 5
        return array.ndim == wanted and bool(np.moveaxis(array, 1, -1).flags.c_contiguous)
    return bool(array.flags.c_contiguous)


def stride(self: Tensor, dim: int | None = None) -> Any:
    """The number of entries between neighbours along each dimension, or along `dim`.

    >>> import chainrule as cr
    >>> cr.zeros(2, 3).stride()
    (3, 1)
    """
    array = self.array
    strides = tuple(s // array.dtype.itemsize for s in array.strides)
    return strides if dim is None else strides[normalize_dim(dim, array.ndim)]


def storage_offset(self: Tensor) -> int:
    """How many entries after the start of its buffer the tensor begins."""
    array = self.array
    start: int = array.ctypes.data - owner_of(array).ctypes.data
    return start // array.dtype.itemsize


def data_ptr(self: Tensor) -> int:
    """The address of the first entry."""
    address: int = self.array.ctypes.data
    return address


for _method in (
    contiguous, is_contiguous, stride, storage_offset, data_ptr,
):  # fmt: skip
    attach(_method.__name__, _method)
