"""Combining vectors: `meshgrid`, `cartesian_prod`, `combinations`, `block_diag`."""

from __future__ import annotations

import itertools
from math import prod
from typing import Any

import numpy as np

from chainrule.core.kinds import promote
from chainrule.core.primitive import bind
from chainrule.ops.api import export
from chainrule.ops.index import ARRAY, getitem
from chainrule.ops.join import cat, stack
from chainrule.ops.pad import pad_prim
from chainrule.ops.shape import broadcast_to_prim, permute_dims, reshape_prim, tensor_arg


@export(method=False)
def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple[Any, ...]:
    """Grids of coordinates made from vectors, one for each, as views.

    `indexing` is "ij" (the default) or "xy", which exchanges the first two dimensions.

    Raises:
        RuntimeError: for tensors with several dimensions, or another indexing.

    >>> import chainrule as cr
    >>> cr.meshgrid(cr.tensor([1, 2]), cr.tensor([3, 4]), indexing="ij")[0]
    tensor([[1, 1],
            [2, 2]])
    """
    if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)):
        tensors = tuple(tensors[0])
    if indexing not in (None, "ij", "xy"):
        raise RuntimeError(
            'torch.meshgrid: indexing must be one of "xy" or "ij", but received: ' + str(indexing)
        )
    if not tensors:
        raise ValueError("meshgrid expects a non-empty TensorList")
    sizes = []
    for x in tensors:
        shape = tuple(tensor_arg(x, "meshgrid", "tensors").shape)
        if len(shape) > 1:
            raise RuntimeError(
                "torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: "
                f"{list(shape)}"
            )
        sizes.append(prod(shape))
    n = len(tensors)
    grids = []
    for i, x in enumerate(tensors):
        column = reshape_prim(x, shape=tuple(sizes[i] if j == i else 1 for j in range(n)))
        grid = broadcast_to_prim(column, shape=tuple(sizes))
        if indexing == "xy" and n > 1:
            grid = permute_dims(grid, axes=(1, 0, *range(2, n)))
        grids.append(grid)
    return tuple(grids)


@export(method=False)
def cartesian_prod(*tensors: Any) -> Any:
    """All combinations of one entry from each vector, one row each.

    >>> import chainrule as cr
    >>> cr.cartesian_prod(cr.tensor([1, 2]), cr.tensor([3, 4])).shape
    chainrule.Size([4, 2])
    """
    for x in tensors:
        if len(tensor_arg(x, "cartesian_prod", "tensors").shape) != 1:
            raise RuntimeError("Expect a 1D vector, but got shape " + str(list(x.shape)))
    if len(tensors) == 1:
        return tensors[0]
    grids = meshgrid(*tensors, indexing="ij")
    size = prod(grids[0].shape)
    return stack([reshape_prim(g, shape=(size,)) for g in grids], 1)


@export()
def combinations(input: Any, r: int = 2, with_replacement: bool = False) -> Any:
    """All combinations of `r` entries of a vector, one row each, in order of position.

    Raises:
        RuntimeError: for anything but a vector, or a negative `r`.

    >>> import chainrule as cr
    >>> cr.combinations(cr.tensor([1, 2, 3]))
    tensor([[1, 2],
            [1, 3],
            [2, 3]])
    """
    shape = tuple(tensor_arg(input, "combinations").shape)
    if len(shape) != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(shape)}")
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = list(choose(range(shape[0]), r)) if r else []
    positions = np.array(rows, np.int64).reshape(len(rows), r)
    return bind(
        getitem.prim, (input, positions if r else positions.reshape(0)), {"index": (ARRAY,)}
    )


@export(method=False)
def block_diag(*tensors: Any) -> Any:
    """The matrix with the given matrices (vectors count as rows) on its diagonal.

    Raises:
        RuntimeError: for more than two dimensions.

    >>> import chainrule as cr
    >>> cr.block_diag(cr.tensor([[1, 2]]), cr.tensor(3))
    tensor([[1, 2, 0],
            [0, 0, 3]])
    """
    blocks = []
    for i, x in enumerate(promote(*[tensor_arg(x, "block_diag", "tensors") for x in tensors])):
        shape = tuple(x.shape)
        if len(shape) > 2:
            raise RuntimeError(
                f"torch.block_diag: Input tensors must have 2 or fewer dimensions. Input {i} has "
                f"{len(shape)} dimensions"
            )
        blocks.append(
            x if len(shape) == 2 else reshape_prim(x, shape=(1, *shape) if shape else (1, 1))
        )
    width = sum(b.shape[1] for b in blocks)
    rows = []
    left = 0
    for b in blocks:
        right = width - left - b.shape[1]
        rows.append(pad_prim(b, pad_width=((0, 0), (left, right)), mode="constant", value=0))
        left += b.shape[1]
    return cat(rows, 0)
