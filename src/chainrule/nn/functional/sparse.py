"""Lookups by integer: embeddings and one-hot encoding."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.dtypes import category
from chainrule.core.namespaces import recorded as xp
from chainrule.core.tensor import wrap
from chainrule.nn.functional.common import raw_dtype, require_tensor


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
        _renormalize(input.array, weight, max_norm, norm_type)
    found = xp.embedding(weight, input, padding_idx=padding_idx)
    if not scale_grad_by_freq:
        return found
    # The value of the row itself, the gradient of `share` times the row.
    counts = np.bincount(input.array.reshape(-1), minlength=rows)[input.array]
    share = (1 / counts).astype(raw_dtype(weight))[..., None]
    return found * wrap(share) + wrap(found.array * (1 - share))


def _renormalize(index: Any, weight: Any, max_norm: float, norm_type: float) -> None:
    """Shorten in place the rows that are used and longer than `max_norm`."""
    from chainrule.core.mutation import note_write

    used = np.unique(index)
    rows = weight.array[used]
    norms = np.linalg.norm(rows, norm_type, axis=1, keepdims=True)
    weight.array[used] = np.where(norms > max_norm, rows * (max_norm / (norms + 1e-7)), rows)
    note_write(weight.array)
