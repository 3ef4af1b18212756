"""What a module holds: `Parameter`, which is learned, and `Buffer`, which is only remembered."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.mutation import note_write
from chainrule.core.tensor import Parameter, Tensor, new_leaf, wrap

__all__ = ["Buffer", "Parameter", "is_buffer", "replace_array"]


class _BufferMeta(type):
    """Makes `isinstance(x, Buffer)` ask for the mark that `Buffer` leaves on a tensor."""

    def __instancecheck__(cls, instance: object) -> bool:
        return is_buffer(instance)


class Buffer(metaclass=_BufferMeta):
    """A tensor that registers itself as a buffer when assigned to a module.

    Args:
        data: a tensor or array; shared, not copied.
        persistent: whether the buffer is part of the module's `state_dict`.

    >>> import chainrule as cr
    >>> class Scale(cr.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.factor = cr.nn.Buffer(cr.ones(2))
    >>> list(Scale().state_dict())
    ['factor']
    """

    def __new__(cls, data: Any = None, *, persistent: bool = True) -> Any:
        if data is None:
            data = np.empty(0, np.float32)
        made = wrap(data.array if isinstance(data, Tensor) else np.asarray(data))
        made.__dict__["persistent"] = persistent
        return made


def is_buffer(value: object) -> bool:
    """Whether a tensor was made by `Buffer`."""
    return isinstance(value, Tensor) and "persistent" in value.__dict__


def replace_array(tensor: Tensor, array: Any) -> None:
    """Give a parameter or buffer another array, of any shape and dtype, with a fresh leaf."""
    tensor.array = array
    note_write(array)
    if tensor.node is not None:
        tensor.node = new_leaf(tensor)
