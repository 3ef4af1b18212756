"""Masks: `where`, `masked_fill`, `masked_select`, `masked_scatter`, `nonzero`, `argwhere`."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from chainrule.core.boxes import is_mapped, refuse_mapped
from chainrule.core.namespaces import recorded
from chainrule.core.primitive import bind, titled, unbox
from chainrule.core.tensor import wrap
from chainrule.ops.api import attach, export
from chainrule.ops.compare import select, where_prim
from chainrule.ops.expand import common_shape
from chainrule.ops.index import ARRAY, getitem
from chainrule.ops.index import index_put as put_at
from chainrule.ops.index_batch import KEEP_SHAPE
from chainrule.ops.scatter import cast_like
from chainrule.ops.shape import broadcast_to_prim, reshape_prim, tensor_arg


def _mask(mask: Any, name: str) -> Any:
    """The array of a mask; the mask itself, if it is mapped.

    Raises:
        RuntimeError: if it is not boolean.
    """
    array = mask if is_mapped(mask) else np.asarray(getattr(mask, "array", mask))
    if getattr(array, "array", array).dtype != np.bool_:
        raise RuntimeError(
            f"{name} only supports boolean masks, but got mask with dtype "
            f"{getattr(array, 'array', array).dtype.name}; "
            "compare with something, or convert it with mask.bool()"
        )
    return array


@export(in_place=True)
def masked_fill(input: Any, mask: Any, value: Any) -> Any:
    """`input` with one number written wherever `mask`, which is broadcast, holds.

    Raises:
        RuntimeError: if the mask is not boolean or the value not 0-dimensional.

    >>> import chainrule as cr
    >>> x = cr.tensor([1.0, -2.0])
    >>> x.masked_fill(x < 0, 0)
    tensor([1., 0.])
    """
    x = tensor_arg(input, "masked_fill")
    if len(getattr(value, "shape", ())):
        raise RuntimeError(
            "masked_fill only supports a 0-dimensional value tensor, but got tensor with "
            f"{len(value.shape)} dimension(s)."
        )
    found = where_prim(_mask(mask, "masked_fill"), cast_like(value, x), x)
    return titled(found, "MaskedFillBackward0")


@export()
def masked_select(input: Any, mask: Any) -> Any:
    """The entries where `mask` holds, in one dimension; both are broadcast.

    >>> import chainrule as cr
    >>> x = cr.tensor([1.0, -2.0])
    >>> cr.masked_select(x, x > 0)
    tensor([1.])
    """
    x = tensor_arg(input, "masked_select")
    refuse_mapped(mask, "masked_select", KEEP_SHAPE)
    chosen = _mask(mask, "masked_select")
    shape = common_shape(tuple(x.shape), chosen.shape)
    x = broadcast_to_prim(x, shape=shape)
    return bind(getitem.prim, (x, np.broadcast_to(chosen, shape)), {"index": (ARRAY,)})


@export(in_place=True)
def masked_scatter(input: Any, mask: Any, source: Any) -> Any:
    """`input` with the first entries of `source` written, in order, wherever `mask` holds.

    Raises:
        RuntimeError: if there are fewer entries than places.

    >>> import chainrule as cr
    >>> x = cr.tensor([1.0, -2.0, -3.0])
    >>> x.masked_scatter(x < 0, cr.tensor([7.0, 8.0]))
    tensor([1., 7., 8.])
    """
    x = tensor_arg(input, "masked_scatter")
    chosen = _mask(mask, "masked_scatter")
    shape = common_shape(tuple(x.shape), tuple(chosen.shape))
    if is_mapped(mask):
        return _scatter_mapped(broadcast_to_prim(x, shape=shape), chosen, cast_like(source, x))
    chosen = np.broadcast_to(chosen, shape)
    count, size = int(chosen.sum()), prod(source.shape)
    if size < count:
        raise RuntimeError(
            f"Number of elements of source < number of ones in mask: {size} < {count}"
        )
    flat = reshape_prim(cast_like(source, x), shape=(size,))
    first = bind(getitem.prim, (flat,), {"index": (("slice", 0, count, None),)})
    return put_at(broadcast_to_prim(x, shape=shape), first, chosen, index=(ARRAY,))


def _scatter_mapped(x: Any, mask: Any, source: Any) -> Any:
    """`masked_scatter` where every example has a mask of its own: the entries found by counting."""
    shape = tuple(x.shape)
    flat = reshape_prim(broadcast_to_prim(mask, shape=shape), shape=(prod(shape),))
    turn = recorded.cumsum(recorded.astype(flat, dtype=np.dtype(np.int64)), axis=0) - 1
    entries = reshape_prim(source, shape=(prod(source.shape),))
    try:
        found = getitem(entries, select(flat, turn, 0), index=(ARRAY,))
    except IndexError as error:
        raise RuntimeError(
            f"Number of elements of source < number of ones in mask, in an example ({error})"
        ) from None
    return select(mask, reshape_prim(found, shape=shape), x)


@export()
def nonzero(input: Any, *, as_tuple: bool = False) -> Any:
    """The indices of the entries that are not zero: one row each, or a tuple of index tensors.

    >>> import chainrule as cr
    >>> cr.nonzero(cr.tensor([0, 3, 4]))
    tensor([[1],
            [2]])
    """
    refuse_mapped(input, "nonzero", KEEP_SHAPE)
    array = getattr(tensor_arg(input, "nonzero"), "array", input)
    if as_tuple:
        return tuple(wrap(i) for i in np.nonzero(np.atleast_1d(array)))
    return wrap(np.argwhere(array))


@export()
def argwhere(input: Any) -> Any:
    """The indices of the entries that are not zero, one row each.

    >>> import chainrule as cr
    >>> cr.argwhere(cr.tensor([0, 3, 4]))
    tensor([[1],
            [2]])
    """
    return nonzero(input)


@export()
def where(condition: Any, input: Any = None, other: Any = None) -> Any:
    """Entries of `input` where `condition` holds, of `other` elsewhere, with broadcasting.

    With the condition alone, the indices where it holds: `nonzero(condition, as_tuple=True)`.

    Raises:
        RuntimeError: if the condition is not boolean, or the shapes do not broadcast.

    >>> import chainrule as cr
    >>> cr.where(cr.tensor([True, False]), 1.0, cr.tensor([2.0, 3.0]))
    tensor([1., 3.])
    """
    if input is None and other is None:
        return nonzero(condition, as_tuple=True)
    mask = unbox(condition)[0]
    if hasattr(mask, "dtype") and mask.dtype.char not in "?B":
        raise RuntimeError(
            "where expected condition to be a boolean tensor, but got a tensor with dtype "
            f"{mask.dtype.name}; compare it first, for example condition != 0"
        )
    return select(condition, input, other)


attach("where", lambda self, condition, other: where(condition, self, other))
