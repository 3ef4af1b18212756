"""Memory layout: `stride`, `is_contiguous`, `contiguous`, `storage_offset`, `as_strided`."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from chainrule.core.abstract import AbstractArray
from chainrule.core.avals import shaped_by
from chainrule.core.batching import reparametrized
from chainrule.core.boxes import bottom
from chainrule.core.device import channels_last, channels_last_3d
from chainrule.core.kinds import linear
from chainrule.core.mutation import owner_of
from chainrule.core.samples import Sample, uniform
from chainrule.ops.api import export
from chainrule.ops.axes import normalize_dim
from chainrule.ops.convert import clone
from chainrule.ops.shape import integers, tensor_arg

Shape = tuple[int, ...]


def _as_strided(x: Any, size: Shape, stride: Shape, offset: int) -> Any:
    flat = x.reshape(-1)[offset:]
    bytes_ = tuple(s * flat.strides[0] for s in stride)
    once = len(np.unique(_positions(size, stride))) == prod(size)
    return np.lib.stride_tricks.as_strided(flat, size, bytes_, writeable=once)


def _positions(size: Shape, stride: Shape) -> Any:
    """Where in the flat memory each entry is."""
    total = np.zeros(size, np.int64)
    for axis, (n, s) in enumerate(zip(size, stride, strict=True)):
        total += (s * np.arange(n)).reshape((n,) + (1,) * (len(size) - axis - 1))
    return total


def _as_strided_transpose(g: Any, shape: Shape, size: Shape, stride: Shape, offset: int) -> Any:
    out = np.zeros(prod(shape), g.dtype)
    np.add.at(out, _positions(size, stride).reshape(-1) + offset, g.reshape(-1))
    return out.reshape(shape)


# x is contiguous; strides and offset count entries.
as_strided_prim = linear(
    "as_strided", _as_strided,
    lambda xp, g, x_aval, size, stride, offset: xp.as_strided_transpose(
        g, shape=tuple(x_aval.shape), size=size, stride=stride, offset=offset
    ),
    view=True, aval=shaped_by("size"),
    batch=reparametrized(
        lambda count, shape, params: {
            "size": (count, *params["size"]), "stride": (prod(shape), *params["stride"])
        }
    ),
    samples=lambda: [Sample(uniform(2, 5), size=(3, 2), stride=(2, 3), offset=1)],
)  # fmt: skip
# Entries added up where they were taken from.
as_strided_transpose = linear(
    "as_strided_transpose", _as_strided_transpose,
    lambda xp, g, size, stride, offset: xp.as_strided(g, size=size, stride=stride, offset=offset),
    aval=shaped_by("shape"),
    batch=reparametrized(
        lambda count, _, params: {
            "shape": (count, *params["shape"]), "size": (count, *params["size"]),
            "stride": (prod(params["shape"]), *params["stride"]),
        }
    ),
    samples=lambda: [Sample(uniform(3, 2), shape=(2, 5), size=(3, 2), stride=(2, 3), offset=1)],
)  # fmt: skip


@export(function=False)
def stride(input: Any, dim: int | None = None) -> Any:
    """How many entries of memory apart the neighbours along each (or one) dimension are.

    >>> import chainrule as cr
    >>> cr.zeros(2, 3).stride()
    (3, 1)
    """
    array = input.array
    steps = tuple(s // array.itemsize for s in strides_of(input))
    return steps if dim is None else steps[normalize_dim(dim, array.ndim)]


def strides_of(x: Any) -> tuple[int, ...]:
    """The steps in memory, in bytes, along the dimensions; for a box those of its inner tensor.

    A traced tensor has no memory yet, and counts as contiguous.
    """
    array = bottom(x).array
    if isinstance(array, AbstractArray):
        steps = [array.itemsize * prod(array.shape[i + 1 :]) for i in range(array.ndim)]
        return tuple(steps[array.ndim - x.array.ndim :])
    found: tuple[int, ...] = array.strides[array.ndim - x.array.ndim :]
    return found


@export(function=False)
def storage_offset(input: Any) -> int:
    """How many entries after the start of the shared memory the first one is.

    >>> import chainrule as cr
    >>> cr.arange(5)[2:].storage_offset()
    2
    """
    array = bottom(input).array
    whole = owner_of(array)
    if input._box is not None:  # the memory of an example begins where the tensor does
        root = input
        while root._view is not None:
            root = root._view.parent
        whole = bottom(root).array
    start: int = whole.__array_interface__["data"][0]
    address: int = array.__array_interface__["data"][0]
    return (address - start) // array.itemsize


@export(function=False)
def data_ptr(input: Any) -> int:
    """The address of the first entry.

    >>> import chainrule as cr
    >>> x = cr.zeros(2)
    >>> x.data_ptr() == x[:1].data_ptr()
    True
    """
    address: int = input.array.ctypes.data
    return address


@export(function=False)
def is_contiguous(input: Any, *, memory_format: Any = None) -> bool:
    """Whether the entries lie in memory one after another, last dimension fastest.

    With `memory_format`, in the order of that format.

    >>> import chainrule as cr
    >>> cr.zeros(2, 3).T.is_contiguous()
    False
    """
    if memory_format is channels_last or memory_format is channels_last_3d:
        wanted = 4 if memory_format is channels_last else 5
        return input.ndim == wanted and is_contiguous(input.movedim(1, -1))
    if input._box is None:
        return bool(input.array.flags.c_contiguous)
    expected = input.array.itemsize
    for n, step in zip(input.array.shape[::-1], strides_of(input)[::-1], strict=True):
        if n > 1 and step != expected:
            return bool(bottom(input).array.size == 0)
        expected *= n
    return True


@export(function=False)
def contiguous(input: Any, *, memory_format: Any = None) -> Any:
    """The tensor itself if it is contiguous, else a contiguous copy.

    >>> import chainrule as cr
    >>> cr.zeros(2, 3).T.contiguous().stride()
    (2, 1)
    """
    return input if is_contiguous(input) else clone(input)


@export()
def as_strided(input: Any, size: Any, stride: Any, storage_offset: int | None = None) -> Any:
    """A view of a contiguous tensor's memory with the given sizes and strides, counted in entries.

    Raises:
        RuntimeError: if the tensor is not contiguous, or the view would leave its memory.

    >>> import chainrule as cr
    >>> cr.arange(5).as_strided((2, 2), (2, 1))
    tensor([[0, 1],
            [2, 3]])
    """
    x = tensor_arg(input, "as_strided")
    wanted, steps = integers((size,), "as_strided"), integers((stride,), "as_strided")
    if len(wanted) != len(steps):
        raise RuntimeError(
            f"mismatch in length of strides and shape: {list(steps)} and {list(wanted)}"
        )
    if min((*wanted, *steps), default=0) < 0:
        raise RuntimeError("as_strided: Negative sizes and strides are not supported")
    if not is_contiguous(x):
        raise RuntimeError(
            "as_strided: the tensor is not contiguous; call x.contiguous() first, or use slices"
        )
    offset = 0 if storage_offset is None else storage_offset - _offset(x)
    last = offset + sum((n - 1) * s for n, s in zip(wanted, steps, strict=True))
    if 0 not in wanted and not (offset >= 0 and last < prod(x.shape)):
        raise RuntimeError(
            f"setStorage: sizes {list(wanted)}, strides {list(steps)}, storage offset {offset} are "
            f"out of bounds for a tensor of {prod(x.shape)} entries"
        )
    return as_strided_prim(x, size=wanted, stride=steps, offset=offset)


_offset = storage_offset


class UntypedStorage:
    """The block of memory that a tensor and its views share."""

    def __init__(self, array: Any) -> None:
        self._owner = owner_of(array)

    def data_ptr(self) -> int:
        """The address of the first byte."""
        address: int = self._owner.__array_interface__["data"][0]
        return address

    def nbytes(self) -> int:
        """The number of bytes."""
        return int(self._owner.nbytes)

    size = __len__ = nbytes

    def __repr__(self) -> str:
        return f"<UntypedStorage of {self.nbytes()} bytes at {self.data_ptr():#x}>"


class TypedStorage(UntypedStorage):
    """The block of memory that a tensor and its views share, as a sequence of entries."""

    def __init__(self, array: Any) -> None:
        super().__init__(array)
        self._dtype = array.dtype

    def _entries(self) -> Any:
        return np.frombuffer(self._owner, self._dtype)

    def size(self) -> int:
        """The number of entries."""
        return self.nbytes() // int(self._dtype.itemsize)

    __len__ = size

    def __getitem__(self, index: Any) -> Any:
        return self._entries()[index].item()

    def tolist(self) -> Any:
        """The entries as a list of Python numbers, in memory order."""
        return self._entries().tolist()


@export(function=False)
def untyped_storage(input: Any) -> UntypedStorage:
    """The block of memory behind the tensor; views of one tensor have the same.

    >>> import chainrule as cr
    >>> x = cr.zeros(2, 3)
    >>> x.T.untyped_storage().data_ptr() == x.untyped_storage().data_ptr()
    True
    """
    return UntypedStorage(input.array)


@export(function=False)
def storage(input: Any) -> TypedStorage:
    """The entries of the block of memory behind the tensor, in memory order.

    >>> import chainrule as cr
    >>> cr.arange(6).view(2, 3).T.storage().tolist()
    [0, 1, 2, 3, 4, 5]
    """
    return TypedStorage(input.array)


@export(function=False)
def is_set_to(input: Any, tensor: Any) -> bool:
    """Whether both tensors show the same entries of the same memory in the same order."""
    a, b = input.array, tensor.array
    return bool(
        a.__array_interface__["data"][0] == b.__array_interface__["data"][0]
        and (a.shape, a.strides, a.dtype) == (b.shape, b.strides, b.dtype)
    )
