"""Parts along a dimension: `select`, `narrow`, `unfold`, and their out-of-place writes."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core import avals, batching
from chainrule.core.boxes import is_mapped
from chainrule.core.inplace import write_view
from chainrule.core.kinds import linear
from chainrule.core.namespaces import recorded
from chainrule.core.node import Aval
from chainrule.core.primitive import bind
from chainrule.core.samples import Sample, uniform
from chainrule.ops.api import export
from chainrule.ops.axes import normalize_dim
from chainrule.ops.diagonal import diagonal
from chainrule.ops.index import ARRAY, FULL, getitem, index_of, index_put
from chainrule.ops.shape import tensor_arg


def _windows(x: Any, axis: int, size: int, step: int) -> Any:
    windows = np.lib.stride_tricks.sliding_window_view(x, size, axis, writeable=step >= size)
    return windows[(*[slice(None)] * axis, slice(None, None, step))]


def _windows_aval(x: Any, axis: int, size: int, step: int) -> Aval:
    shape = list(x.shape)
    shape[axis] = (shape[axis] - size) // step + 1
    return Aval((*shape, size), x.dtype)


def _add_windows(g: Any, shape: tuple[int, ...], axis: int, size: int, step: int) -> Any:
    out = np.zeros(shape, g.dtype)
    to = np.moveaxis(out, axis, -1)
    parts = np.moveaxis(g, axis, -2)
    last = (parts.shape[-2] - 1) * step + 1
    for j in range(size):
        to[..., j : j + last : step] += parts[..., j]
    return out


unfold_prim = linear(
    "unfold", _windows,
    lambda xp, g, x_aval, axis, size, step: xp.unfold_transpose(
        g, shape=tuple(x_aval.shape), axis=axis, size=size, step=step
    ),
    view=True, aval=_windows_aval, batch=batching.along("axis"),
    samples=lambda: [
        Sample(uniform(5, 2), axis=0, size=3, step=1),
        Sample(uniform(2, 7), axis=1, size=2, step=3),
    ],
)  # fmt: skip
# Windows added up where they were taken from.
unfold_transpose = linear(
    "unfold_transpose", _add_windows,
    lambda xp, g, axis, size, step: xp.unfold(g, axis=axis, size=size, step=step),
    aval=avals.shaped_by("shape"),
    batch=batching.reparametrized(
        lambda size, shape, params: {
            "shape": (size, *params["shape"]), "axis": params["axis"] + 1
        }
    ),
    samples=lambda: [
        Sample(uniform(3, 2, 3), shape=(5, 2), axis=0, size=3, step=1),
        Sample(uniform(2, 2, 2), shape=(2, 7), axis=1, size=2, step=3),
    ],
)  # fmt: skip


@export(function=False)
def unfold(input: Any, dimension: int, size: int, step: int) -> Any:
    """All windows of `size` entries, `step` apart, along a dimension, as a view.

    The windows are numbered by that dimension; their entries are a new last one.

    Raises:
        RuntimeError: if a window does not fit or the step is not positive.

    >>> import chainrule as cr
    >>> cr.arange(4).unfold(0, 2, 1)
    tensor([[0, 1],
            [1, 2],
            [2, 3]])
    """
    shape = tuple(tensor_arg(input, "unfold").shape)
    d = normalize_dim(dimension, len(shape))
    n = shape[d] if shape else 1
    if size > n:
        raise RuntimeError(f"maximum size for tensor at dimension {d} is {n} but size is {size}")
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    if not shape:
        input = bind(getitem.prim, (input,), {"index": (None,)})
        return bind(getitem.prim, (input,), {"index": (("slice", 0, size, None),)})
    return unfold_prim(input, axis=d, size=int(size), step=int(step))


def _selected(input: Any, dim: int, index: Any, name: str) -> tuple[Any, ...]:
    shape = tuple(tensor_arg(input, name).shape)
    if not shape:
        raise IndexError(f"{name}() cannot be applied to a 0-dim tensor.")
    d = normalize_dim(dim, len(shape))
    i = index_of(index)
    if not -shape[d] <= i < shape[d]:
        raise IndexError(
            f"{name}(): index {i} out of range for tensor of size {list(shape)} at dimension {d}"
        )
    return (*[FULL] * d, i)


@export()
def select(input: Any, dim: int, index: int) -> Any:
    """The slice at one position of a dimension, which disappears, as a view.

    Raises:
        IndexError: if the position is out of range.

    >>> import chainrule as cr
    >>> cr.tensor([[1, 2], [3, 4]]).select(1, 0)
    tensor([1, 3])
    """
    return bind(getitem.prim, (input,), {"index": _selected(input, dim, index, "select")})


@export()
def narrow(input: Any, dim: int, start: Any, length: int) -> Any:
    """`length` entries of a dimension from `start` on, as a view.

    Raises:
        RuntimeError: if they are not all there.

    >>> import chainrule as cr
    >>> cr.arange(5).narrow(0, 1, 3)
    tensor([1, 2, 3])
    """
    shape = tuple(tensor_arg(input, "narrow").shape)
    if not shape:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    d = normalize_dim(dim, len(shape))
    n = shape[d]
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if is_mapped(start):
        return _narrow_mapped(input, d, start, length, n)
    i = int(getattr(start, "array", start))
    if not -n <= i <= n:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-n}, {n}], but got {i})"
        )
    i += n if i < 0 else 0
    if i + length > n:
        raise RuntimeError(f"start ({i}) + length ({length}) exceeds dimension size ({n}).")
    return bind(getitem.prim, (input,), {"index": (*[FULL] * d, ("slice", i, i + length, None))})


def _narrow_mapped(x: Any, d: int, start: Any, length: int, n: int) -> Any:
    """`narrow` from a place that every example has for itself: a copy."""
    first = recorded.where(recorded.less(start, 0), start + n, start)
    places = first + np.arange(length)
    try:
        return getitem(x, places, index=(*[FULL] * d, ARRAY))
    except IndexError as error:
        raise RuntimeError(
            f"start + length ({length}) exceeds dimension size ({n}) in an example: {error}"
        ) from None


def _check_source(src: Any, part: Any, name: str) -> None:
    if tuple(tensor_arg(src, name, "src").shape) != tuple(part.shape):
        raise RuntimeError(
            f"{name}: expected src to have a size equal to the slice of self. src size = "
            f"{list(src.shape)}, slice size = {list(part.shape)}"
        )


@export()
def select_scatter(input: Any, src: Any, dim: int, index: int) -> Any:
    """A copy of `input` with `src` in the place of `select(dim, index)`.

    >>> import chainrule as cr
    >>> cr.zeros(2, 2).select_scatter(cr.ones(2), 0, 1)
    tensor([[0., 0.],
            [1., 1.]])
    """
    where = _selected(input, dim, index, "select_scatter")
    _check_source(src, select(input, dim, index), "select_scatter")
    return index_put(input, src, index=where)


@export()
def slice_scatter(
    input: Any, src: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> Any:
    """A copy of `input` with `src` in the place of the slice start:end:step of a dimension.

    >>> import chainrule as cr
    >>> cr.zeros(4).slice_scatter(cr.ones(2), 0, 1, 3)
    tensor([0., 1., 1., 0.])
    """
    d = normalize_dim(dim, len(tensor_arg(input, "slice_scatter").shape))
    where = (*[FULL] * d, ("slice", start, end, step))
    _check_source(src, bind(getitem.prim, (input,), {"index": where}), "slice_scatter")
    return index_put(input, src, index=where)


@export()
def diagonal_scatter(input: Any, src: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """A copy of `input` with `src` on the diagonal.

    >>> import chainrule as cr
    >>> cr.zeros(2, 2).diagonal_scatter(cr.ones(2))
    tensor([[1., 0.],
            [0., 1.]])
    """
    part = diagonal(input, offset, dim1, dim2)
    _check_source(src, part, "diagonal_scatter")
    ndim = len(input.shape)
    a, b = normalize_dim(dim1, ndim), normalize_dim(dim2, ndim)
    where = (("axis1", a), ("axis2", b), ("offset", int(offset)))
    return write_view(input, src, view=("diagonal", where))
