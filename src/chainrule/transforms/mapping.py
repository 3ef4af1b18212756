"""`vmap`: a function of one example as a function of a batch."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from chainrule import tree
from chainrule.core.batching import moved
from chainrule.core.boxes import entered
from chainrule.core.namespaces import recorded
from chainrule.core.tensor import Tensor, wrap
from chainrule.transforms.batch import RANDOMNESS, BatchTag, batched, check_randomness
from chainrule.transforms.inputs import apart, as_given, as_tensor, gives_arrays
from chainrule.tree import Spec

Function = Callable[..., Any]


def vmap(
    func: Function,
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Function:
    """A function that applies `func` to every example of a batch, in one run.

    Args:
        func: takes and returns trees of tensors.
        in_dims: for each positional argument the dimension to map over; None for an argument that
            is the same for all examples.  An integer stands for all arguments; a tree, for the
            leaves of a tree.  Keyword arguments are mapped over dimension 0.
        out_dims: where the mapped dimension goes in the outputs.
        randomness: "error" refuses random functions inside; "different" draws for each example;
            "same" gives all examples the same draw.
        chunk_size: how many examples to compute at a time; None for all of them.

    Raises:
        ValueError: if `in_dims` or `out_dims` do not fit, or sizes differ.
        RuntimeError: if the function branches on mapped values, or `randomness` forbids it.

    >>> import chainrule as cr
    >>> x, y = cr.tensor([[1.0, 2.0], [3.0, 4.0]]), cr.tensor([10.0, 1.0])
    >>> cr.func.vmap(cr.dot, in_dims=(0, None))(x, y)
    tensor([12., 34.])
    """
    check_randomness(randomness)
    if not (chunk_size is None or (isinstance(chunk_size, int) and chunk_size > 0)):
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        name = getattr(func, "__name__", type(func).__name__)
        leaves, dims, spec = mapped_leaves(args, kwargs, in_dims, name)
        size = batch_size(leaves, dims)
        arrays = gives_arrays(leaves)
        tensors = [as_tensor(x) for x in leaves]
        if chunk_size is None or chunk_size >= size:
            found, out_spec = _run(func, tensors, dims, spec, size, randomness, name)
            parts = [found]
        else:
            parts = []
            replayed: dict[Any, Tensor] = {}
            for start in range(0, size, chunk_size):
                stop = min(start + chunk_size, size)
                cut = [_cut(x, d, start, stop) for x, d in zip(tensors, dims, strict=True)]
                found, out_spec = _run(
                    func, cut, dims, spec, stop - start, randomness, name, replayed
                )
                parts.append(found)
        outs = [
            column[0] if len(column) == 1 else recorded.concat(*column, axis=0)
            for column in zip(*parts, strict=True)
        ]
        places = out_places(out_dims, outs, out_spec, name)
        placed = [
            moved(y, 0, d if d >= 0 else d + y.array.ndim)
            for y, d in zip(outs, places, strict=True)
        ]
        own = apart(placed, [x for x in tensors if isinstance(x, Tensor)])
        return out_spec.unflatten([as_given(y, arrays) for y in own])

    return wrapper


def _run(
    func: Function, tensors: Sequence[Any], dims: Sequence[int | None], spec: Spec, size: int,
    randomness: str, name: str, replayed: dict[Any, Tensor] | None = None,
) -> tuple[list[Tensor], Spec]:  # fmt: skip
    """The outputs of one run, the mapped dimension in front."""
    with entered(BatchTag("vmap", size, randomness, replayed)) as tag:
        boxes = [
            x if d is None else batched(tag, moved(x, d, 0))
            for x, d in zip(tensors, dims, strict=True)
        ]
        args, kwargs = spec.unflatten(boxes)
        result = func(*args, **kwargs)
        leaves, out_spec = tree.flatten(result)
        outs = []
        for i, y in enumerate(leaves):
            t = as_tensor(y)
            if isinstance(t, (bool, int, float, complex)):
                t = wrap(np.asarray(t))
            if not isinstance(t, Tensor):
                path = out_spec.paths()[i]
                raise ValueError(
                    f"vmap({name}, ...): `{name}` must only return Tensors, got type "
                    f"{type(y).__name__}{' at ' + path if path else ''} as a return"
                )
            outs.append(tag.inner(t))
    return outs, out_spec


def mapped_leaves(
    args: Sequence[Any], kwargs: dict[str, Any], in_dims: Any, name: str
) -> tuple[list[Any], list[int | None], Spec]:
    """All leaves of the arguments, the dimension to map each over, and their structure.

    Raises:
        ValueError: if `in_dims` does not fit the arguments.
    """
    what = f"vmap({name}, in_dims={in_dims!r}, ...)(<inputs>)"
    if not isinstance(in_dims, (int, tuple, list)) or isinstance(in_dims, bool):
        raise ValueError(
            f"{what}: expected `in_dims` to be int or a (potentially nested) tuple matching the "
            f"structure of inputs, got: {type(in_dims).__name__}."
        )
    if not args and not kwargs:
        raise ValueError(
            f"{what}: got no inputs. Maybe you forgot to add inputs, or you are trying to vmap over"
            " a function with no inputs. The latter is unsupported."
        )
    prefix = in_dims if isinstance(in_dims, int) else tuple(in_dims)
    if not isinstance(prefix, int) and len(prefix) != len(args):
        raise ValueError(
            f"{what}: in_dims is not compatible with the structure of inputs: it has "
            f"{len(prefix)} entries for {len(args)} arguments"
        )
    leaves, spec = tree.flatten((tuple(args), kwargs))
    try:
        dims = _dims_by_argument(prefix, spec, kwargs)
    except ValueError as error:
        raise ValueError(
            f"{what}: in_dims is not compatible with the structure of inputs: {error}"
        ) from None
    return leaves, [_checked_dim(x, d, what) for x, d in zip(leaves, dims, strict=True)], spec


def _dims_by_argument(prefix: Any, spec: Spec, kwargs: Any) -> list[Any]:
    """One entry of `in_dims` for every leaf of the arguments."""
    if isinstance(prefix, int) and not kwargs:
        return [prefix] * spec.num_leaves
    plain = isinstance(prefix, tuple) and all(d is None or type(d) is int for d in prefix)
    return list((_known_dims if plain else _broadcast_dims)(prefix, spec))


def _broadcast_dims(prefix: Any, spec: Spec) -> list[Any]:
    return tree.broadcast_prefix((prefix, 0), spec, what_prefix="in_dims", what_full="the inputs")


_known_dims = lru_cache(256)(_broadcast_dims)


def _checked_dim(x: Any, d: Any, what: str) -> int | None:
    if d is None:
        return None
    if isinstance(d, bool) or not isinstance(d, int):
        raise ValueError(
            f"{what}: Got in_dim={d!r} for an input but in_dim must be either an integer dimension "
            "or None."
        )
    t = as_tensor(x)
    if not isinstance(t, Tensor):
        raise ValueError(
            f"{what}: Got in_dim={d} for an input but the input is of type {type(x).__name__}. We "
            "cannot vmap over non-Tensor arguments, please use None as the respective in_dim"
        )
    ndim = t.array.ndim
    if not -ndim <= d < ndim:
        raise ValueError(
            f"{what}: Got in_dim={d} for some input, but that input is a Tensor of dimensionality "
            f"{ndim} so expected in_dim to satisfy -{ndim} <= in_dim < {ndim}."
        )
    return d % ndim


def batch_size(leaves: Sequence[Any], dims: Sequence[int | None]) -> int:
    """The common length of the mapped dimensions.

    Raises:
        ValueError: if they differ, or nothing is mapped.
    """
    sizes = [
        as_tensor(x).array.shape[d] for x, d in zip(leaves, dims, strict=True) if d is not None
    ]
    if not sizes:
        raise ValueError("vmap: at least one input must be mapped over, but all in_dims are None")
    if len(set(sizes)) > 1:
        raise ValueError(
            "vmap: Expected all tensors to have the same size in the mapped dimension, got sizes "
            f"{sizes} for the mapped dimension"
        )
    return int(sizes[0])


def _cut(x: Any, d: int | None, start: int, stop: int) -> Any:
    return x if d is None else x[(slice(None),) * d + (slice(start, stop),)]


def out_places(out_dims: Any, outs: Sequence[Tensor], spec: Spec, name: str) -> list[int]:
    """For each output, where its mapped dimension goes.

    Raises:
        ValueError: if `out_dims` does not fit the outputs.
    """
    what = f"vmap({name}, ..., out_dims={out_dims!r})"
    is_tuple = spec.type is not None and issubclass(spec.type, tuple)
    if isinstance(out_dims, tuple) and len(out_dims) == 1 and not is_tuple:
        out_dims = out_dims[0]
    try:
        if type(out_dims) is int:
            dims = [out_dims] * len(outs)
        else:
            dims = tree.broadcast_prefix(
                out_dims, spec, what_prefix="out_dims", what_full="the outputs"
            )
    except ValueError as error:
        raise ValueError(
            f"{what}: out_dims is not compatible with the structure of outputs: {error}"
        ) from None
    for y, d in zip(outs, dims, strict=True):
        if isinstance(d, bool) or not isinstance(d, int):
            raise ValueError(
                f"{what}: out_dims must be int or a tree of ints matching the outputs, got {d!r}"
            )
        n = y.array.ndim
        if not -n <= d < n:
            raise ValueError(
                f"{what}: Dimension out of range (expected to be in range of [-{n}, {n - 1}], but "
                f"got {d})"
            )
    return dims


__all__ = ["RANDOMNESS", "batch_size", "mapped_leaves", "vmap"]
