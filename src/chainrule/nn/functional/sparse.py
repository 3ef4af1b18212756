"""Lookups by integer: embeddings and one-hot encoding."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from chainrule.core.boxes import is_box, is_mapped, namespace_of, refuse_mapped, values_of
from chainrule.core.dtypes import category
from chainrule.core.modes import note_look
from chainrule.core.mutation import note_write
from chainrule.core.namespaces import recorded as xp
from chainrule.core.tensor import wrap
from chainrule.nn.functional.common import raw_dtype, require_tensor
from chainrule.ops.api import export
from chainrule.ops.gather import check_range
from chainrule.ops.index_batch import ARRAY


def one_hot(tensor: Any, num_classes: int = -1) -> Any:
    """Integers as rows of zeros with a single one; the number of classes is found unless given.

    Raises:
        RuntimeError: for entries that are not class indices.

    >>> import chainrule as cr
    >>> cr.nn.functional.one_hot(cr.tensor([0, 2]))
    tensor([[1, 0, 0],
            [0, 0, 1]])
    """
    require_tensor(tensor, "one_hot", "tensor")
    index = tensor.array
    if category(index.dtype) != 1:
        raise RuntimeError(
            "one_hot is only applicable to index tensor of type LongTensor; convert it with .long()"
        )
    if is_mapped(tensor):
        if num_classes == -1:
            refuse_mapped(tensor, "one_hot", "pass num_classes")
        if num_classes < 1:
            raise RuntimeError("num_classes should be positive")
        index = check_range(tensor, tensor.ndim, num_classes, RuntimeError)
        rows = xp.reshape(index, shape=(*tensor.shape, 1)) == np.arange(num_classes)
        return xp.astype(rows, dtype=np.dtype(np.int64))
    note_look(tensor)
    if index.size == 0 and num_classes <= 0:
        raise RuntimeError(
            "Can not infer total number of classes from empty tensor; pass num_classes"
        )
    if index.size and index.min() < 0:
        raise RuntimeError("Class values must be non-negative.")
    classes = int(index.max()) + 1 if num_classes == -1 else num_classes
    if classes < 1:
        raise RuntimeError("num_classes should be positive")
    if index.size and index.max() >= classes:
        raise RuntimeError("Class values must be smaller than num_classes.")
    return wrap((index[..., None] == np.arange(classes)).astype(np.int64))


def check_indices(index: Any, function: str) -> None:
    """Raise unless `index` is an integer tensor."""
    require_tensor(index, function)
    if category(raw_dtype(index)) != 1:
        raise RuntimeError(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: "
            f"Long, Int; but got {raw_dtype(index).name} instead; convert it with .long()"
        )


def embedding(
    input: Any, weight: Any, padding_idx: int | None = None, max_norm: float | None = None,
    norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False,
) -> Any:  # fmt: skip
    """The rows of `weight` at the indices `input`.

    Args:
        input: integers of any shape.
        weight: the table (rows, features).
        padding_idx: a row that gets no gradient.
        max_norm: rows that are used and longer than this are first shortened, in place.
        norm_type: the p of the norm meant by `max_norm`.
        scale_grad_by_freq: divide a row's gradient by how often the row was used.
        sparse: accepted for PyTorch's sake; gradients are dense.

    Raises:
        IndexError: if an index is not a row.

    >>> import chainrule as cr
    >>> cr.nn.functional.embedding(cr.tensor([1, 0]), cr.tensor([[1.0], [2.0]]))
    tensor([[2.],
            [1.]])
    """
    check_indices(input, "embedding")
    require_tensor(weight, "embedding", "weight", 2)
    rows = weight.shape[0]
    if padding_idx is not None:
        if not -rows <= padding_idx < rows:
            raise AssertionError("Padding_idx must be within num_embeddings")
        padding_idx %= rows
    if max_norm is not None:
        _renormalize(input, weight, max_norm, norm_type)
    found = xp.embedding(weight, input, padding_idx=padding_idx)
    if not scale_grad_by_freq:
        return found
    index = values_of(input)
    ix = namespace_of(index)
    counts = ix.getitem(_uses(index, rows), index, index=(ARRAY,))
    share = 1 / ix.reshape(ix.astype(counts, dtype=raw_dtype(weight)), shape=(*input.shape, 1))
    return xp.scaled_gradient(found, share)


def _uses(index: Any, rows: int) -> Any:
    """How often each of so many rows is named."""
    if not is_mapped(index):
        return np.bincount(index.reshape(-1), minlength=rows)
    return xp.index_add(np.zeros(rows, np.int64), np.ones((), np.int64), index, index=(ARRAY,))


def _renormalize(input: Any, weight: Any, max_norm: float, norm_type: float) -> None:
    """Shorten in place the rows that are used and longer than `max_norm`.

    Raises:
        RuntimeError: inside transforms, where every example or tangent would have its own table.
    """
    if is_mapped(input) or is_box(weight) or not weight.array.flags.writeable:
        raise RuntimeError(
            "embedding(): max_norm shortens rows of the table in place, which has no meaning for "
            "a table or indices inside vmap, jvp and other transforms; call "
            "chainrule.renorm(weight, p, 0, max_norm) first"
        )
    used = np.unique(input.array)
    rows = weight.array[used]
    norms = np.linalg.norm(rows, norm_type, axis=1, keepdims=True)
    weight.array[used] = np.where(norms > max_norm, rows * (max_norm / (norms + 1e-7)), rows)
    note_write(weight.array)


def embedding_bag(
    input: Any, weight: Any, offsets: Any = None, max_norm: float | None = None,
    norm_type: float = 2, scale_grad_by_freq: bool = False, mode: str = "mean",
    sparse: bool = False, per_sample_weights: Any = None, include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Any:  # fmt: skip
    """The sum, mean or maximum of the rows of `weight` in each bag of indices.

    Args:
        input: indices: one bag per row, or all bags one after the other.
        offsets: where each bag begins, if `input` has one dimension.
        mode: "sum", "mean" or "max"; an empty bag gives zeros.
        per_sample_weights: a factor for each row, with mode "sum".
        include_last_offset: `offsets` ends with the number of indices.
        padding_idx: an index that does not count.

    Raises:
        ValueError: if `offsets` does not fit, or for another mode.

    >>> import chainrule as cr
    >>> table = cr.tensor([[1.0], [2.0], [4.0]])
    >>> cr.nn.functional.embedding_bag(cr.tensor([[0, 2]]), table, mode="sum")
    tensor([[5.]])
    """
    check_indices(input, "embedding_bag")
    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum, mean or max")
    if per_sample_weights is not None:
        if mode != "sum":
            raise NotImplementedError(
                "embedding_bag: per_sample_weights was not None. per_sample_weights is only "
                f"supported for mode='sum' (got mode='{mode}')."
            )
        if tuple(per_sample_weights.shape) != tuple(input.shape):
            raise ValueError(
                f"embedding_bag: If per_sample_weights ({per_sample_weights.shape}) is not None, "
                f"then it must have the same shape as the input ({input.shape})"
            )
        per_sample_weights = xp.reshape(per_sample_weights, shape=(-1, 1))
    bag, bags = _bags(input, offsets, include_last_offset)
    index = xp.reshape(input, shape=(prod(input.shape),))
    rows = embedding(index, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights
    if padding_idx is None:
        return _reduced_bags(rows, bag, bags, mode, True)
    # What does not count goes to one more bag, which is dropped.
    used = values_of(index) != padding_idx % weight.shape[0]
    bag = namespace_of(used, bag).where(used, bag, bags)
    return _reduced_bags(rows, bag, bags + 1, mode, False)[:bags]


def _reduced_bags(rows: Any, bag: Any, bags: int, mode: str, in_order: bool) -> Any:
    """The rows of each bag reduced to one; `in_order` says that they stand side by side."""
    if mode == "max":
        return _largest(rows, bag, bags, in_order)
    summed = xp.embedding_rows(rows, bag, rows=bags, padding_idx=None)
    if mode == "sum":
        return summed
    ix = namespace_of(bag)
    counts = ix.astype(ix.maximum(_uses(bag, bags), 1), dtype=raw_dtype(rows))
    return summed / ix.reshape(counts, shape=(bags, 1))


def _bags(input: Any, offsets: Any, include_last: bool) -> tuple[Any, int]:
    """Which bag each index belongs to, and how many bags there are."""
    if len(input.shape) == 2:
        if offsets is not None:
            raise ValueError(
                "if input is 2D, then offsets has to be None, as input is treated is a mini-batch "
                f"of fixed length sequences. However, found offsets of type {type(offsets)}"
            )
        return np.repeat(np.arange(input.shape[0]), input.shape[1]), input.shape[0]
    if len(input.shape) != 1:
        raise ValueError(
            f"input has to be 1D or 2D Tensor, but got Tensor of dimension {input.ndim}"
        )
    if offsets is None or len(offsets.shape) != 1:
        raise ValueError(
            "offsets has to be a 1D Tensor but got "
            + ("None" if offsets is None else f"a Tensor of dimension {len(offsets.shape)}")
        )
    n = input.shape[0]
    bags = offsets.shape[0] - include_last
    if is_mapped(offsets):
        place = xp.searchsorted(offsets[:bags], np.arange(n), right=True) - 1
        return check_range(place, 0, bags, ValueError), bags
    starts = values_of(offsets)[:bags]
    if starts.size and starts[0] != 0:
        raise ValueError(
            "offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from "
            f"position 0. However, got {starts[0]}"
        )
    if starts.size and starts[-1] > n:
        raise ValueError(
            f"offsets[-1] can not be greater than input's length ({n}), but got offsets[-1] of "
            f"{starts[-1]}"
        )
    return np.repeat(np.arange(bags), np.diff(np.append(starts, n))), bags


def _largest(rows: Any, bag: Any, bags: int, in_order: bool) -> Any:
    """The largest entries of each bag; the gradient goes to the first of equals.

    `in_order` says that the members of a bag stand side by side.
    """
    n, width = rows.shape
    if n == 0:
        return xp.embedding_rows(rows, bag, rows=bags, padding_idx=None)
    if not in_order:
        order = namespace_of(bag).argsort(bag, axis=0, descending=False)
        bag = namespace_of(bag).getitem(bag, order, index=(ARRAY,))
        rows = xp.getitem(rows, order, index=(ARRAY,))
    counts = _uses(bag, bags)
    values = values_of(rows.detach())
    ix, iv = namespace_of(bag), namespace_of(bag, values)
    first = ix.cumsum(counts, axis=0, reverse=False) - counts
    longest = n if is_mapped(bag) else int(counts.max(initial=0))
    table = iv.index_put(
        np.full((bags, longest, width), -np.inf, raw_dtype(rows)), values,
        bag, np.arange(n) - ix.getitem(first, bag, index=(ARRAY,)), index=(ARRAY, ARRAY),
    )  # fmt: skip
    chosen = ix.reshape(first, shape=(bags, 1)) + iv.argmax(table, axis=1, keepdims=False)
    chosen = iv.minimum(chosen, n - 1)
    picked = xp.getitem(rows, chosen, np.arange(width), index=(ARRAY, ARRAY))
    return xp.where(ix.reshape(counts > 0, shape=(bags, 1)), picked, 0.0)


for _f in (embedding, embedding_bag):
    export(_f.__name__, method=False)(_f)
