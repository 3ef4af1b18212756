"""`resize_`, and Python functions applied entry by entry: `apply_`, `map_`."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from chainrule.core import inplace
from chainrule.core.mutation import note_write
from chainrule.core.tensor import Tensor
from chainrule.ops.api import export
from chainrule.ops.shape import integers


@export(function=False)
def resize_(self: Tensor, *sizes: Any, memory_format: Any = None) -> Tensor:
    """Give the tensor another size, keeping the entries in their order; new ones are arbitrary.

    Raises:
        RuntimeError: if the tensor requires grad, or shares its memory and would need more.

    >>> import chainrule as cr
    >>> cr.arange(6).resize_(2, 2)
    tensor([[0, 1],
            [2, 3]])
    """
    if self.node is not None or self._box is not None:
        raise RuntimeError(
            "cannot resize variables that require grad or belong to a transform; use reshape() "
            "instead"
        )
    shape = integers(sizes, "resize_")
    if min(shape, default=0) < 0:
        raise RuntimeError(f"resize_: sizes must not be negative, got {list(shape)}")
    size, array = prod(shape), self.array
    if shape == array.shape:
        return self
    if size > array.size:
        if self._view is not None or any(inplace.living_views(self)):
            raise RuntimeError(
                f"Trying to resize storage that is not resizable: {array.size} entries, which "
                f"other tensors share, cannot become {size}; clone() the tensor first"
            )
        grown = np.empty(size, array.dtype)
        grown[: array.size] = array.reshape(-1)
        self.array = grown.reshape(shape)
    else:
        self.array = np.ascontiguousarray(array).reshape(-1)[:size].reshape(shape)
    note_write(self.array)
    return self


@export(function=False)
def resize_as_(self: Tensor, tensor: Tensor, memory_format: Any = None) -> Tensor:
    """Give the tensor the size of another one; see `resize_`."""
    return resize_(self, tuple(tensor.array.shape))


def _write_entries(self: Tensor, name: str, found: Any) -> Tensor:
    if self.node is not None or self._box is not None:
        raise RuntimeError(
            f"Can't call {name}() on Variable that requires grad. Use var.detach().{name}() "
            "instead; to differentiate, use chainrule's functions, which work on all entries."
        )
    inplace.check_writable(self)
    return inplace.store(self, np.array(list(found), self.array.dtype).reshape(self.array.shape))


@export(function=False)
def apply_(self: Tensor, callable: Callable[[Any], Any]) -> Tensor:
    """Replace every entry by what a Python function makes of it; slow.

    Raises:
        RuntimeError: if the tensor requires grad.

    >>> import chainrule as cr
    >>> cr.arange(3).apply_(lambda v: v * 10)
    tensor([ 0, 10, 20])
    """
    return _write_entries(self, "apply_", map(callable, self.array.ravel().tolist()))


@export(function=False)
def map_(self: Tensor, tensor: Tensor, callable: Callable[[Any, Any], Any]) -> Tensor:
    """Replace every entry by what a Python function makes of it and the other tensor's; slow.

    Raises:
        RuntimeError: if a tensor requires grad, or the other one does not broadcast to this one.

    >>> import chainrule as cr
    >>> cr.arange(3).map_(cr.tensor([1, 1, 2]), max)
    tensor([1, 1, 2])
    """
    other = np.broadcast_to(tensor.array, self.array.shape)
    entries = map(callable, self.array.ravel().tolist(), other.ravel().tolist())
    return _write_entries(self, "map_", entries)
