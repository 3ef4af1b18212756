"""Broadcasting on demand: `expand`, `broadcast_to`, `broadcast_tensors`.  Results are views."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.namespaces import recorded
from chainrule.core.tensor import Size
from chainrule.ops.api import export
from chainrule.ops.shape import Shape, broadcast_to_prim, integers, reshape_prim, tensor_arg


@export(function=False)
def expand(input: Any, *sizes: Any, size: Any = None) -> Any:
    """The tensor with dimensions of size 1 repeated without copying; -1 keeps a size.

    Raises:
        RuntimeError: if the tensor does not broadcast to that shape.

    >>> import chainrule as cr
    >>> cr.zeros(3, 1).expand(-1, 4).shape
    chainrule.Size([3, 4])
    """
    wanted = list(integers(sizes if size is None else (size,), "expand"))
    shape = tuple(tensor_arg(input, "expand").shape)
    extra = len(wanted) - len(shape)
    if extra < 0:
        raise RuntimeError(
            f"expand({list(shape)}, size={wanted}): the number of sizes provided ({len(wanted)}) "
            f"must be greater or equal to the number of dimensions in the tensor ({len(shape)})"
        )
    for i, d in enumerate(wanted):
        if d == -1 and i < extra:
            raise RuntimeError(
                f"The expanded size of the tensor (-1) isn't allowed in a leading, non-existing "
                f"dimension {i}"
            )
        if d == -1:
            wanted[i] = shape[i - extra]
        elif i >= extra and shape[i - extra] not in (1, d):
            raise RuntimeError(
                f"The expanded size of the tensor ({d}) must match the existing size "
                f"({shape[i - extra]}) at non-singleton dimension {i}.  Target sizes: {wanted}.  "
                f"Tensor sizes: {list(shape)}"
            )
        elif d < 0:
            raise RuntimeError(f"expand: sizes cannot be negative, got {wanted}")
    return broadcast_to_prim(input, shape=tuple(wanted))


@export(function=False)
def expand_as(input: Any, other: Any) -> Any:
    """`expand` to the shape of another tensor.

    >>> import chainrule as cr
    >>> cr.zeros(3).expand_as(cr.zeros(2, 3)).shape
    chainrule.Size([2, 3])
    """
    return expand(input, tuple(other.shape))


@export()
def broadcast_to(input: Any, shape: Any) -> Any:
    """The tensor repeated along dimensions of size 1 to get `shape`, without copying.

    >>> import chainrule as cr
    >>> cr.broadcast_to(cr.zeros(3), (2, 3)).shape
    chainrule.Size([2, 3])
    """
    return expand(input, tuple(shape))


@export(method=False)
def broadcast_tensors(*tensors: Any) -> tuple[Any, ...]:
    """The tensors expanded to their common shape.

    >>> import chainrule as cr
    >>> [x.shape for x in cr.broadcast_tensors(cr.zeros(3, 1), cr.zeros(2))]
    [chainrule.Size([3, 2]), chainrule.Size([3, 2])]
    """
    shapes = [tuple(tensor_arg(x, "broadcast_tensors").shape) for x in tensors]
    shape = common_shape(*shapes)
    return tuple(broadcast_to_prim(x, shape=shape) for x in tensors)


@export(method=False)
def broadcast_shapes(*shapes: Any) -> Any:
    """The shape that tensors of these shapes broadcast to.

    >>> import chainrule as cr
    >>> cr.broadcast_shapes((3, 1), (2,))
    chainrule.Size([3, 2])
    """
    return Size(common_shape(*[(s,) if isinstance(s, int) else tuple(s) for s in shapes]))


def common_shape(*shapes: Shape) -> Shape:
    """The shape that arrays of these shapes broadcast to.

    Raises:
        RuntimeError: if they do not.
    """
    try:
        return tuple(np.broadcast_shapes(*shapes))
    except ValueError:
        raise RuntimeError(
            "Shape mismatch: objects cannot be broadcast to a single shape, got "
            f"{', '.join(str(list(s)) for s in shapes)}"
        ) from None


@export(function=False)
def sum_to_size(input: Any, *size: Any) -> Any:
    """The sum over the dimensions along which `size` would be expanded to the tensor's shape.

    Raises:
        RuntimeError: if `size` does not expand to that shape.

    >>> import chainrule as cr
    >>> cr.ones(2, 3).sum_to_size(2, 1).shape
    chainrule.Size([2, 1])
    """
    wanted = integers(size, "sum_to_size")
    shape = tuple(tensor_arg(input, "sum_to_size").shape)
    extra = len(shape) - len(wanted)
    if extra < 0 or any(d not in (1, n) for d, n in zip(wanted, shape[extra:], strict=True)):
        raise RuntimeError(f"size {list(wanted)} is not expandable to size {list(shape)}.")
    summed = *range(extra), *(extra + i for i, d in enumerate(wanted) if d != shape[extra + i])
    total = recorded.sum(input, axis=tuple(summed), keepdims=True) if summed else input
    return reshape_prim(total, shape=wanted)
