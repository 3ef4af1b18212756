"""The short way to record: what `bind` would do for plain tensors, without its generality.

Small operations that programs call all the time find their result and arguments themselves, and
have the node made here.  `is_plain` (in `viewing`) says when this way is open.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from chainrule.core.node import Aval
from chainrule.core.primitive import Primitive, make_node
from chainrule.core.source import caller
from chainrule.core.tensor import Tensor, wrap


def recorded_result(
    out: Any, prim: Primitive, args: tuple[Any, ...], params: dict[str, Any], parents: Any
) -> Tensor:
    """The array `out` as the result of `prim`; `args` are what its rules keep of the arguments."""
    node = make_node(prim, args, None, params, parents, caller(2))
    node.shape, node.dtype = out.shape, out.dtype
    return wrap(out, node)


def aval_of(array: Any) -> Aval:
    """Shape and dtype of an array, for an argument whose values no rule needs."""
    return Aval(array.shape, array.dtype)


@lru_cache(64)
def _grid(shape: tuple[int, ...]) -> tuple[Any, ...]:
    return tuple(
        np.arange(n).reshape((n,) + (1,) * (len(shape) - i - 1)) for i, n in enumerate(shape)
    )


# Grids of large arrays are made anew: kept ones would hold memory for long.
_SMALL = 1 << 12


def along_axis(index: Any, axis: int) -> tuple[Any, ...]:
    """`index` along an axis as a tuple of one integer array per dimension."""
    shape = index.shape
    if not shape:
        return ()
    grid = (_grid if max(shape) < _SMALL else _grid.__wrapped__)(shape)
    return (*grid[:axis], index, *grid[axis + 1 :])
