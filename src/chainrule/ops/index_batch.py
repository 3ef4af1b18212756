"""Indexing a batch: how the mapped axis goes through `getitem`, `index_put` and `index_add`.

An index without arrays, or with arrays that are the same for all examples, gets a full slice in
front.  Arrays that are mapped are lined up, and the examples are numbered by an array of their own.
NumPy puts the dimensions of arrays that are separated by slices in front of all others, so the
mapped axis and the slices may have to change places; `Layout` says where everything goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.core.abstract import dynamic_shape
from chainrule.core.batching import rank, shape_of, spread, with_rank, xp

ARRAY = "array"
FULL = ("slice", None, None, None)


def is_mask(array: Any) -> bool:
    """Whether an array of an index is a mask."""
    dtype = getattr(array, "array", array).dtype
    return bool(dtype.kind == "b")


class Layout:
    """How an index of an example with `ndim` dimensions arranges the dimensions of its result.

    Attributes:
        slices: how many dimensions come before those of the arrays.
        arrays: how many dimensions the arrays give.
        ndim: how many there are.
        separated: whether the arrays stand apart in the index, so that theirs come first.
    """

    def __init__(
        self, ndim: int, spec: Sequence[Any], arrays: Sequence[Any], mapped: Sequence[bool]
    ) -> None:
        masks = [rank(a) - m if is_mask(a) else 0 for a, m in zip(arrays, mapped, strict=True)]
        ranks = [1 if is_mask(a) else rank(a) - m for a, m in zip(arrays, mapped, strict=True)]
        consumes = iter([n if is_mask(a) else 1 for n, a in zip(masks, arrays, strict=True)])
        used = [
            next(consumes) if type(item) is str else 0 if item is None or item is Ellipsis else 1
            for item in spec
        ]
        rest = ndim - sum(used)
        advanced = [type(item) is str or (bool(arrays) and type(item) is int) for item in spec]
        kept = [
            rest if item is Ellipsis else 0 if a or type(item) is int else 1
            for item, a in zip(spec, advanced, strict=True)
        ]
        places = [i for i, a in enumerate(advanced) if a]
        self.separated = bool(places) and places[-1] - places[0] >= len(places)
        self.slices = sum(kept[: places[0]]) if places and not self.separated else 0
        self.arrays = max(ranks, default=0)
        self.ndim = self.arrays + sum(kept) + (0 if Ellipsis in spec else rest)


def _brought(x: Any, axes: Sequence[int]) -> Any:
    return x if list(axes) == sorted(axes) else xp.permute_dims(x, axes=tuple(axes))


class Batch:
    """An index of a batch: the description and arrays that read or write all examples at once."""

    def __init__(
        self, size: int, ndim: int, spec: Sequence[Any], arrays: Sequence[Any],
        mapped: Sequence[bool], of_batch: bool, name: str,
    ) -> None:  # fmt: skip
        self.layout = layout = Layout(ndim, spec, arrays, mapped)
        self.size = size
        if not any(mapped):
            self.spec: tuple[Any, ...] = (FULL, *spec)
            self.arrays = list(arrays)
            # Where the result has the mapped axis.
            self.at = layout.arrays if layout.separated else 0
            self.swapped = False
            return
        for a, m in zip(arrays, mapped, strict=True):
            if m and is_mask(a):
                raise dynamic_shape(name, KEEP_SHAPE)
        self.arrays = [
            with_rank(a, layout.arrays) if m else a for a, m in zip(arrays, mapped, strict=True)
        ]
        self.spec = tuple(spec)
        self.at, self.swapped = (0 if layout.separated else layout.slices), False
        if of_batch:
            numbers = np.arange(size).reshape((size,) + (1,) * layout.arrays)
            self.spec = (ARRAY, *spec)
            self.arrays = [numbers, *self.arrays]
            # The arrays, apart from their numbers, come first with their dimensions.
            self.at, self.swapped = 0, layout.slices > 0

    def result(self, x: Any) -> Any:
        """What reading gave, its dimensions as in an example and the mapped axis in front."""
        layout = self.layout
        if self.swapped:
            inner = [*range(layout.arrays, layout.arrays + layout.slices), *range(layout.arrays)]
            inner += range(layout.arrays + layout.slices, layout.ndim)
            return _brought(x, [0, *[i + 1 for i in inner]])
        rest = [i for i in range(layout.ndim + 1) if i != self.at]
        return _brought(x, [self.at, *rest])

    def value(self, y: Any, mapped: bool) -> Any:
        """A value to be written, its dimensions where the index has them."""
        layout = self.layout
        if mapped:
            extra = rank(y) - 1 - layout.ndim
            if extra > 0 and shape_of(y)[1 : extra + 1] == (1,) * extra:
                y = xp.reshape(y, shape=(self.size, *shape_of(y)[extra + 1 :]))
            y = with_rank(y, layout.ndim)
        elif self.swapped or self.at:
            y = xp.reshape(y, shape=(1,) * (layout.ndim + 1 - rank(y)) + shape_of(y))
        else:
            return y
        if self.swapped:
            inner = [*range(layout.slices, layout.slices + layout.arrays), *range(layout.slices)]
            inner += range(layout.arrays + layout.slices, layout.ndim)
            return _brought(y, [0, *[i + 1 for i in inner]])
        axes = list(range(1, layout.ndim + 1))
        axes.insert(self.at, 0)
        return _brought(y, axes)


KEEP_SHAPE = (
    "use where(mask, x, other), masked_fill, or a product with the mask, which keep the shape"
)


def read(
    prim: Any, size: int, args: Sequence[Any], mapped: Sequence[bool], params: dict[str, Any]
) -> Any:
    """The batch rule of `getitem`."""
    x, *arrays = args
    spec = params["index"]
    if not arrays:
        return prim.apply((x,), {"index": (FULL, *spec)})
    ndim = rank(x) - mapped[0]
    batch = Batch(size, ndim, spec, arrays, mapped[1:], mapped[0], "x[mask]")
    return batch.result(prim.apply((x, *batch.arrays), {"index": batch.spec}))


read.params = lambda size, shape, params: {"index": (FULL, *params["index"])}  # type: ignore[attr-defined]


def write(
    prim: Any, size: int, args: Sequence[Any], mapped: Sequence[bool], params: dict[str, Any]
) -> Any:
    """The batch rule of `index_put` and `index_add`."""
    x, y, *arrays = args
    spec = params["index"]
    if any(m and is_mask(a) for a, m in zip(arrays, mapped[2:], strict=True)):
        return _write_where(prim, x, y, arrays, mapped, spec)
    x = x if mapped[0] else spread(x, size)
    batch = Batch(size, rank(x) - 1, spec, arrays, mapped[2:], True, prim.name)
    y = batch.value(y, mapped[1])
    return prim.apply((x, y, *batch.arrays), {"index": batch.spec})


def _write_where(
    prim: Any, x: Any, y: Any, arrays: Sequence[Any], mapped: Sequence[bool], spec: Any
) -> Any:
    """Writing the same to all entries under a mask that every example has for itself.

    Raises:
        RuntimeError: if the entries are different ones, so that their number depends on the mask.
    """
    size = shape_of(arrays[0])[0]
    ndim = rank(x) - mapped[0]
    (mask,) = arrays if len(arrays) == 1 else (None,)
    at = spec.index(ARRAY)
    plain = all(item == FULL for i, item in enumerate(spec) if i != at and item is not Ellipsis)
    if mask is None or not plain or Ellipsis in spec[:at]:
        raise dynamic_shape(prim.name, KEEP_SHAPE)
    masked = rank(mask) - 1
    after = ndim - at - masked
    shape = shape_of(y)[1:] if mapped[1] else shape_of(y)
    if len(shape) > after and (len(shape) > after + 1 + at or shape[-after - 1] != 1):
        raise dynamic_shape(f"{prim.name} with a value for each entry", KEEP_SHAPE)
    # One value along the mask: its dimension becomes those that the mask covers.
    fitted = (*shape[: len(shape) - after - 1], *[1] * masked, *shape[len(shape) - after :])
    if len(shape) <= after:
        fitted = shape
    y = xp.reshape(y, shape=(*shape_of(y)[: int(mapped[1])], *fitted))
    y = with_rank(y, ndim) if mapped[1] else y
    mask = xp.reshape(mask, shape=(size, *[1] * at, *shape_of(mask)[1:], *[1] * after))
    x = x if mapped[0] else spread(x, size)
    return xp.where(mask, x + y if prim.name == "index_add" else y, x)
