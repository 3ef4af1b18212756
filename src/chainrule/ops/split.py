"""Splitting tensors into views: by sizes, into parts, at positions, one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.core.primitive import bind, titled
from chainrule.core.tensor import Tensor
from chainrule.ops.api import attach, export
from chainrule.ops.axes import normalize_dim
from chainrule.ops.index import FULL, getitem
from chainrule.ops.shape import integers, tensor_arg


def _slices(x: Any, d: int, stops: Sequence[int]) -> tuple[Any, ...]:
    """The views of `x` along dimension `d` that end at the given places."""
    before = (FULL,) * d
    starts = (0, *stops[:-1])
    return tuple(
        titled(
            bind(getitem.prim, (x,), {"index": (*before, ("slice", a, max(a, b), None))}),
            "SplitBackward0",
        )
        for a, b in zip(starts, stops, strict=True)
    )


def _splittable(x: Any, dim: int, name: str) -> tuple[tuple[int, ...], int]:
    shape = tuple(tensor_arg(x, name).shape)
    if not shape:
        kind = IndexError if name == "unbind" else RuntimeError
        raise kind(f"{name} expects at least a 1-dimensional tensor, got a 0-d tensor")
    return shape, normalize_dim(dim, len(shape))


@export()
def split(tensor: Any, split_size_or_sections: Any, dim: int = 0) -> tuple[Any, ...]:
    """Views of consecutive pieces: of one size (the last may be smaller), or of the given sizes.

    Raises:
        RuntimeError: if the sizes do not add up to the dimension's.

    >>> import chainrule as cr
    >>> cr.split(cr.arange(5), 2)
    (tensor([0, 1]), tensor([2, 3]), tensor([4]))
    """
    shape, d = _splittable(tensor, dim, "split")
    n, size = shape[d], split_size_or_sections
    if isinstance(size, int):
        if size < 0:
            raise RuntimeError(
                f"split expects split_size be non-negative, but got split_size={size}"
            )
        if size == 0 and n:
            raise RuntimeError(
                f"split_size can only be 0 if dimension size is 0, but got dimension size of {n}"
            )
        stops = [min(i + size, n) for i in range(0, n, size)] if n else [0]
        return _slices(tensor, d, stops)
    sizes = integers((size,), "split")
    if sum(sizes) != n or min(sizes, default=0) < 0:
        raise RuntimeError(
            f"split_with_sizes expects split_sizes to sum exactly to {n} (input tensor's size at "
            f"dimension {d}), but got split_sizes={list(sizes)}"
        )
    return _slices(tensor, d, [int(s) for s in np.cumsum(sizes)])


@export()
def split_with_sizes(input: Any, split_sizes: Any, dim: int = 0) -> tuple[Any, ...]:
    """Views of consecutive pieces of the given sizes; see `split`.

    >>> import chainrule as cr
    >>> cr.split_with_sizes(cr.arange(3), [2, 1])
    (tensor([0, 1]), tensor([2]))
    """
    return split(input, tuple(split_sizes), dim)


attach("split_with_sizes", split)


@export()
def chunk(input: Any, chunks: int, dim: int = 0) -> tuple[Any, ...]:
    """Views of at most `chunks` consecutive pieces of equal size, the last perhaps smaller.

    >>> import chainrule as cr
    >>> cr.chunk(cr.arange(5), 2)
    (tensor([0, 1, 2]), tensor([3, 4]))
    """
    shape, d = _splittable(input, dim, "chunk")
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    if shape[d] == 0:
        return _slices(input, d, [0] * chunks)
    return split(input, -(-shape[d] // chunks), d)


@export()
def tensor_split(input: Any, indices_or_sections: Any, dim: int = 0) -> tuple[Any, ...]:
    """Views of `n` pieces whose sizes differ by at most 1, or of the pieces between indices.

    >>> import chainrule as cr
    >>> cr.tensor_split(cr.arange(5), (1, 3))
    (tensor([0]), tensor([1, 2]), tensor([3, 4]))
    """
    shape, d = _splittable(input, dim, "tensor_split")
    n = shape[d]
    where = getattr(indices_or_sections, "array", indices_or_sections)
    if isinstance(where, np.ndarray):
        where = where.tolist()
    if isinstance(where, int):
        if where <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {where}")
        small, bigger = divmod(n, where)
        return _slices(input, d, [(i + 1) * small + min(i + 1, bigger) for i in range(where)])
    bounds = [slice(i).indices(n)[1] for i in integers((where,), "tensor_split")]
    before = (FULL,) * d
    return tuple(
        bind(getitem.prim, (input,), {"index": (*before, ("slice", a, max(a, b), None))})
        for a, b in zip([0, *bounds], [*bounds, n], strict=True)
    )


@export()
def unbind(input: Any, dim: int = 0) -> tuple[Any, ...]:
    """Views of the slices along a dimension, which disappears.

    Raises:
        IndexError: for a 0-d tensor.

    >>> import chainrule as cr
    >>> cr.tensor([[1, 2], [3, 4]]).unbind(1)
    (tensor([1, 3]), tensor([2, 4]))
    """
    shape, d = _splittable(input, dim, "unbind")
    before = (FULL,) * d
    return tuple(
        titled(bind(getitem.prim, (input,), {"index": (*before, i)}), "UnbindBackward0")
        for i in range(shape[d])
    )


def _iterate(self: Tensor) -> Any:
    if not self.shape:
        raise TypeError("iteration over a 0-d tensor")
    return iter(unbind(self))


attach("__iter__", _iterate)


def _section_splitter(name: str, axis: int, least: int) -> None:
    def split_at(input: Any, indices_or_sections: Any) -> tuple[Any, ...]:
        shape = tuple(tensor_arg(input, name).shape)
        if len(shape) < least:
            raise RuntimeError(
                f"{name} requires a tensor with at least {least} dimension"
                f"{'s' if least > 1 else ''}, but got a tensor with {len(shape)} dimensions!"
            )
        d = axis if len(shape) > 1 else 0
        parts = indices_or_sections
        if isinstance(parts, int) and (parts <= 0 or shape[d] % parts):
            raise RuntimeError(
                f"{name} attempted to split along dimension {d}, but the size of the dimension "
                f"{shape[d]} is not divisible by the split_size {parts}!"
            )
        return tensor_split(input, parts, d)

    split_at.__name__ = name
    split_at.__doc__ = f"""Views of pieces along dimension {axis}, as `tensor_split`.

    >>> import chainrule as cr
    >>> len(cr.{name}(cr.zeros(2, 2, 2), 2))
    2
    """
    export(name)(split_at)


for _name, _axis, _least in [("hsplit", 1, 1), ("vsplit", 0, 2), ("dsplit", 2, 3)]:
    _section_splitter(_name, _axis, _least)
