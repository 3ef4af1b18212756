"""Shape: the same entries, arranged otherwise.  Most results are views that share memory."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from chainrule.core import avals, batching
from chainrule.core.dtypes import as_numpy, dtype
from chainrule.core.kinds import linear
from chainrule.core.modes import get_mode
from chainrule.core.namespaces import composite
from chainrule.core.node import Aval
from chainrule.core.samples import Sample, uniform
from chainrule.core.tensor import Tensor, wrap
from chainrule.ops.api import export
from chainrule.ops.axes import normalize_dim, normalize_dims
from chainrule.ops.viewing import is_plain, view_or_copy, viewing

Shape = tuple[int, ...]


def _inverse(axes: Shape) -> Shape:
    found = [0] * len(axes)
    for i, axis in enumerate(axes):
        found[axis] = i
    return tuple(found)


def _broadcast_to(x: Any, shape: Shape) -> Any:
    # NumPy's result is read-only; where nothing is repeated there is no reason for that.
    return x[...] if x.shape == shape else np.broadcast_to(x, shape)


def _expanded(shape: Sequence[int], axis: Shape) -> Shape:
    full = list(shape)
    for a in sorted(axis):
        full.insert(a, 1)
    return tuple(full)


def _reshape_aval(x: Any, shape: Shape) -> Aval:
    return Aval(complete(shape, x.size), x.dtype)


def _broadcast_batch(
    prim: Any, size: int, args: Sequence[Any], mapped: Sequence[bool], params: dict[str, Any]
) -> Any:
    x = batching.with_rank(args[0], len(params["shape"]))
    return prim.apply((x,), {"shape": (size, *params["shape"])})


_broadcast_batch.params = lambda size, shape, params: {  # type: ignore[attr-defined]
    "shape": (size, *params["shape"])
}

# Axes that are known to be non-negative.
_raised_axis = batching.reparametrized(
    lambda size, shape, params: {"axis": tuple([a + 1 for a in params["axis"]])}
)

reshape_prim = linear(
    "reshape", lambda x, shape: x.reshape(shape),
    lambda xp, g, x_aval: xp.reshape(g, shape=x_aval.shape), view=True, grad_name="View",
    aval=_reshape_aval,
    batch=batching.reparametrized(
        # In an empty batch, -1 could be anything.
        lambda size, shape, params: {"shape": (size, *complete(params["shape"], prod(shape)))}
    ),
    samples=lambda: [Sample(uniform(2, 6), shape=(3, 4)), Sample(uniform(1), shape=())],
)  # fmt: skip
broadcast_to_prim = linear(
    "broadcast_to", _broadcast_to, lambda g: g, view=True, grad_name="Expand",
    aval=avals.shaped_by("shape"), batch=_broadcast_batch,
    samples=lambda: [Sample(uniform(3, 1), shape=(2, 3, 4)), Sample(uniform(2), shape=(2,))],
)  # fmt: skip
permute_dims = linear(
    "permute_dims", lambda x, axes: x.transpose(axes),
    lambda xp, g, axes: xp.permute_dims(g, axes=_inverse(axes)), view=True, grad_name="Permute",
    aval=avals.permuted,
    batch=batching.reparametrized(
        lambda size, shape, params: {"axes": (0, *[a + 1 for a in params["axes"]])}
    ),
    samples=lambda: [Sample(uniform(2, 3, 4), axes=(2, 0, 1)), Sample(uniform(), axes=())],
)  # fmt: skip
# Axes of the result, non-negative and distinct.
expand_dims = linear(
    "expand_dims", lambda x, axis: x.reshape(_expanded(x.shape, axis)),
    lambda xp, g, axis: xp.squeeze(g, axis=axis), view=True,
    grad_name="Unsqueeze", batch=_raised_axis,
    aval=lambda x, axis: Aval(_expanded(x.shape, axis), x.dtype),
    samples=lambda: [Sample(uniform(2, 3), axis=(0, 2)), Sample(uniform(), axis=(0,))],
)  # fmt: skip
squeeze_prim = linear(
    "squeeze", lambda x, axis: x.squeeze(axis),
    lambda xp, g, axis: xp.expand_dims(g, axis=axis), view=True,
    aval=avals.reduced, batch=_raised_axis,
    samples=lambda: [Sample(uniform(1, 3, 1), axis=(0, 2)), Sample(uniform(2), axis=())],
)  # fmt: skip

reshape_prim, broadcast_to_prim, permute_dims, expand_dims, squeeze_prim = map(
    viewing, (reshape_prim, broadcast_to_prim, permute_dims, expand_dims, squeeze_prim)
)


@composite
def matrix_transpose(xp: Any, x: Any) -> Any:
    """The last two axes of a matrix or a batch of matrices exchanged."""
    n = len(x.shape)
    return xp.permute_dims(x, axes=(*range(n - 2), n - 1, n - 2))


def tensor_arg(x: Any, name: str, what: str = "input") -> Any:
    """`x` itself, if it is a tensor or an array.

    Raises:
        TypeError: otherwise.
    """
    if isinstance(x, (Tensor, np.ndarray)):
        return x
    raise TypeError(
        f"{name}(): argument '{what}' must be Tensor, not {type(x).__name__}; "
        "wrap numbers and sequences in chainrule.tensor()"
    )


def integers(args: Any, name: str) -> Shape:
    """Sizes or dimensions given as one sequence or one by one, as a tuple of Python integers."""
    if len(args) == 1 and isinstance(args[0], (Sequence, np.ndarray)):
        args = args[0]
    try:
        return tuple(a if type(a) is int else a.__index__() for a in args)
    except (AttributeError, TypeError):
        kinds = ", ".join(type(a).__name__ for a in args)
        raise TypeError(f"{name}(): expected integers, got ({kinds})") from None


def complete(shape: Shape, size: int) -> Shape:
    """`shape` with its -1, if any, worked out for `size` entries.

    Raises:
        RuntimeError: if that is impossible.
    """
    if -1 in shape:
        known = prod(d for d in shape if d != -1)
        if shape.count(-1) > 1:
            raise RuntimeError("only one dimension can be inferred")
        if known == 0 and size == 0:
            raise RuntimeError(
                f"cannot reshape tensor of 0 elements into shape {list(shape)} because the "
                "unspecified dimension size -1 can be any value and is ambiguous"
            )
        if known > 0 and size % known == 0:
            shape = tuple(size // known if d == -1 else d for d in shape)
    if min(shape, default=0) < 0 or prod(shape) != size:
        if min(shape, default=0) < -1:
            raise RuntimeError(f"invalid shape dimension {min(shape)}")
        raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {size}")
    return shape


@export()
def reshape(input: Any, *sizes: Any, shape: Any = None) -> Any:
    """The entries in another shape: a view where the memory allows it, else a copy.

    One size may be -1: it follows from the others.

    Raises:
        RuntimeError: if the number of entries does not fit.

    >>> import chainrule as cr
    >>> cr.arange(6).reshape(2, -1).shape
    chainrule.Size([2, 3])
    """
    mode = get_mode()
    if shape is None and is_plain(input, mode):
        plain = sizes[0] if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)) else sizes
        try:
            found = input.array.reshape(plain) if min(plain) >= -1 else None
        except (TypeError, ValueError):  # not sizes, none, or such as do not fit: see below
            found = None
        if found is not None:
            return view_or_copy(input, found, reshape_prim.prim, {"shape": found.shape}, mode)
    x = tensor_arg(input, "reshape")
    wanted = integers(sizes if shape is None else (shape,), "reshape")
    return reshape_prim(x, shape=complete(wanted, prod(x.shape)))


@export(function=False)
def view(input: Any, *sizes: Any, shape: Any = None) -> Any:
    """The entries in another shape (or, given a dtype, the bits read as that dtype), shared.

    Raises:
        RuntimeError: if the number of entries does not fit, or the shape needs a copy.

    >>> import chainrule as cr
    >>> cr.arange(6).view(3, 2).shape
    chainrule.Size([3, 2])
    """
    if sizes and isinstance(sizes[0], (dtype, np.dtype, type)):
        dt = as_numpy(sizes[0])
        if input.array.dtype == dt:
            return input
        if input._box is not None:
            raise RuntimeError(
                "view(dtype) reads the bits of numbers as other numbers, which has no derivative "
                "and is not available inside transforms; convert with x.to(dtype)"
            )
        return wrap(input.array.view(dt))
    wanted = integers(sizes if shape is None else (shape,), "view")
    made = reshape_prim(input, shape=complete(wanted, prod(input.shape)))
    if made._view is None and made._box is None and made.array.size:
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one "
            "dimension spans across two contiguous subspaces). Use .reshape(...) instead."
        )
    return made


@export(function=False)
def view_as(input: Any, other: Any) -> Any:
    """`view` in the shape of another tensor.

    >>> import chainrule as cr
    >>> cr.arange(4).view_as(cr.zeros(2, 2)).shape
    chainrule.Size([2, 2])
    """
    return view(input, tuple(other.shape))


@export(function=False)
def reshape_as(input: Any, other: Any) -> Any:
    """`reshape` to the shape of another tensor.

    >>> import chainrule as cr
    >>> cr.arange(4).reshape_as(cr.zeros(2, 2)).shape
    chainrule.Size([2, 2])
    """
    return reshape(input, tuple(other.shape))


@export()
def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """The dimensions from `start_dim` to `end_dim`, both included, merged into one.

    Raises:
        RuntimeError: if they are in the wrong order.

    >>> import chainrule as cr
    >>> cr.zeros(2, 3, 4).flatten(1).shape
    chainrule.Size([2, 12])
    """
    shape = tuple(tensor_arg(input, "flatten").shape)
    a, b = normalize_dim(start_dim, len(shape)), normalize_dim(end_dim, len(shape))
    if a > b:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if a == b and shape:
        return input
    return reshape_prim(input, shape=(*shape[:a], prod(shape[a : b + 1]), *shape[b + 1 :]))


@export()
def ravel(input: Any) -> Any:
    """All entries in one dimension.

    >>> import chainrule as cr
    >>> cr.zeros(2, 3).ravel().shape
    chainrule.Size([6])
    """
    return flatten(input)


@export()
def unflatten(input: Any, dim: int, sizes: Any) -> Any:
    """The dimension `dim` split into several of the given sizes, one of which may be -1.

    Raises:
        RuntimeError: if the sizes do not multiply to the dimension's.

    >>> import chainrule as cr
    >>> cr.zeros(2, 6).unflatten(1, (3, -1)).shape
    chainrule.Size([2, 3, 2])
    """
    shape = tuple(tensor_arg(input, "unflatten").shape)
    d = normalize_dim(dim, len(shape))
    wanted = integers((sizes,), "unflatten")
    try:
        wanted = complete(wanted, shape[d])
    except RuntimeError:
        raise RuntimeError(
            f"unflatten: Provided sizes {list(wanted)} don't multiply up to the size of dim {d} "
            f"({shape[d]}) in the input tensor"
        ) from None
    return reshape_prim(input, shape=(*shape[:d], *wanted, *shape[d + 1 :]))


@export()
def squeeze(input: Any, dim: Any = None) -> Any:
    """The tensor without its dimensions of size 1: all, or those of `dim` that have it.

    >>> import chainrule as cr
    >>> cr.zeros(1, 3, 1).squeeze(-1).shape
    chainrule.Size([1, 3])
    """
    shape = tuple(tensor_arg(input, "squeeze").shape)
    dims = normalize_dims(dim, len(shape))
    return squeeze_prim(input, axis=tuple(d for d in dims if shape[d] == 1))


@export()
def unsqueeze(input: Any, dim: int) -> Any:
    """The tensor with a dimension of size 1 inserted at `dim`, as a view.

    >>> import chainrule as cr
    >>> cr.zeros(3).unsqueeze(-1).shape
    chainrule.Size([3, 1])
    """
    ndim = len(tensor_arg(input, "unsqueeze").shape)
    return expand_dims(input, axis=(normalize_dim(dim, ndim + 1),))
