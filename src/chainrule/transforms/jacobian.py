"""Whole Jacobians and Hessians, in one sweep with many cotangents or many tangents."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule import tree
from chainrule.core.boxes import entered
from chainrule.core.namespaces import recorded
from chainrule.core.tensor import Tensor, wrap
from chainrule.transforms.batch import BatchTag, batched, check_randomness
from chainrule.transforms.forward import ForwardTag
from chainrule.transforms.gradient import ones_of
from chainrule.transforms.inputs import (
    Arguments,
    all_given,
    check_inexact,
    check_real,
    outputs,
    with_aux,
)
from chainrule.transforms.reverse import Pullback
from chainrule.transforms.scope import zeros_of
from chainrule.transforms.tangents import run_forward
from chainrule.tree import Spec

Function = Callable[..., Any]


def basis(like: Sequence[Tensor], start: int, stop: int) -> list[Tensor]:
    """Rows `start` to `stop` of the identity over all entries of the tensors, split among them.

    Tensor number i of the result has shape (stop - start, *shape of number i).
    """
    made = []
    offset = 0
    for x in like:
        shape = tuple(x.array.shape)
        size = int(np.prod(shape, dtype=np.int64))
        block = np.zeros((stop - start, size), x.array.dtype)
        first, last = max(start, offset), min(stop, offset + size)
        if first < last:
            rows = np.arange(first, last)
            block[rows - start, rows - offset] = 1
        made.append(wrap(block.reshape(stop - start, *shape)))
        offset += size
    return made


def sizes(xs: Sequence[Tensor]) -> list[int]:
    """The number of entries of each tensor."""
    return [int(np.prod(tuple(x.array.shape), dtype=np.int64)) for x in xs]


def chunks(total: int, chunk_size: int | None, title: str) -> list[tuple[int, int]]:
    """Ranges that cover `total` rows.

    Raises:
        ValueError: for a chunk size that is not a positive integer.
    """
    if chunk_size is not None and not (isinstance(chunk_size, int) and chunk_size > 0):
        raise ValueError(
            f"{title}: `chunk_size` should be None or an integer greater than 0, got {chunk_size!r}"
        )
    step = max(total if chunk_size is None else chunk_size, 1)
    return [(i, min(i + step, total)) for i in range(0, total, step)]


def jacrev(
    func: Function, argnums: Any = 0, *, has_aux: bool = False, chunk_size: int | None = None,
    _preallocate_and_copy: bool = False,
) -> Function:  # fmt: skip
    """A function that returns the Jacobian, by reverse mode: best for few outputs.

    All rows are found in one sweep over the record, with a cotangent per entry of the output.

    Args:
        func: returns a tree of tensors; or, with `has_aux`, a pair of it and anything.
        argnums: which positional argument to differentiate, or a tuple of them.
        has_aux: the result becomes (jacobian, aux).
        chunk_size: how many rows to compute at a time; None for all of them.

    Returns:
        A function giving, for each leaf of the output (shape S) and each of the input (shape R),
        a tensor of shape S + R: a tree of trees.

    Raises:
        RuntimeError: if outputs are not tensors of floating point, or an input is not
            differentiable, or something is complex.

    >>> import chainrule as cr
    >>> cr.func.jacrev(lambda x: cr.stack([x[0] * x[1], x[0] + x[1] ** 2]))(cr.tensor([2.0, 3.0]))
    tensor([[3., 2.],
            [1., 6.]])
    """

    return _by_rows(func, argnums, has_aux, chunk_size, "jacrev")


def _by_rows(
    func: Function, argnums: Any, has_aux: bool, chunk_size: int | None, title: str
) -> Function:
    """`jacrev`, under the name that the user called."""

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        given = Arguments(args, kwargs, argnums, title)
        check_real(given.leaves, "inputs", title)
        run = Pullback(lambda *xs: given.call(func, xs), given.leaves, title)
        result, aux = with_aux(run.result, title) if has_aux else (run.result, None)
        outs, spec = outputs(result, title)
        check_real(outs, "outputs", title)
        check_inexact(outs, spec, title, every=True, aux=title == "jacrev")
        rows = rows_of(run, outs, chunk_size, title)
        found = _arranged(rows, outs, given.leaves, spec, given)
        if not has_aux:
            return found
        aux = tree.map(lambda x: run.settled(x) if isinstance(x, Tensor) else x, aux)
        return found, all_given(aux, given.arrays)

    return wrapper


def rows_of(
    run: Pullback, outs: Sequence[Tensor], chunk_size: int | None, title: str
) -> list[Tensor]:
    """The Jacobian's rows: for each input a tensor of shape (entries of outputs, *its shape)."""
    total = sum(sizes(outs))
    if total == 1:
        cs = [ones_of(y) for y in outs if y.array.size]
        found = run.pull([y for y in outs if y.array.size], cs)
        return [recorded.expand_dims(g, axis=(0,)) for g in found]
    parts = []
    for start, stop in chunks(total, chunk_size, title) or [(0, 0)]:
        with entered(BatchTag(title, stop - start)) as tag:
            cs = [batched(tag, c) for c in basis(outs, start, stop)]
            parts.append([tag.inner(g) for g in run.pull(outs, cs)])
    return [joined(column) for column in zip(*parts, strict=True)]


def joined(parts: Sequence[Tensor]) -> Tensor:
    """Chunks of rows, one after the other."""
    return parts[0] if len(parts) == 1 else recorded.concat(*parts, axis=0)


def _arranged(
    rows: Sequence[Tensor], outs: Sequence[Tensor], ins: Sequence[Tensor], spec: Spec,
    given: Arguments,
) -> Any:  # fmt: skip
    """The rows for all outputs, cut up and arranged as a tree of outputs of trees of inputs."""
    found = []
    start = 0
    for y, size in zip(outs, sizes(outs), strict=True):
        shape = tuple(y.array.shape)
        parts = [
            recorded.reshape(
                r if len(outs) == 1 else r[start : start + size],
                shape=shape + tuple(x.array.shape),
            )
            for r, x in zip(rows, ins, strict=True)
        ]
        found.append(given.result(parts))
        start += size
    return spec.unflatten(found)


def jacfwd(
    func: Function, argnums: Any = 0, has_aux: bool = False, *, chunk_size: int | None = None,
    randomness: str = "error",
) -> Function:  # fmt: skip
    """A function that returns the Jacobian, by forward mode: best for few inputs.

    All columns are found in one run of the function, with a tangent per entry of the input.

    Args:
        func: returns a tree of tensors; or, with `has_aux`, a pair of it and anything.
        argnums: which positional argument to differentiate, or a tuple of them.
        has_aux: the result becomes (jacobian, aux).
        chunk_size: how many columns to compute at a time, one run for each chunk.
        randomness: see `vmap`.

    Returns:
        As `jacrev`.

    Raises:
        RuntimeError: if outputs are not tensors or none of them is of floating point, or an input
            is not differentiable, or something is complex.

    >>> import chainrule as cr
    >>> cr.func.jacfwd(lambda x: cr.stack([x[0] * x[1], x[0] + x[1] ** 2]))(cr.tensor([2.0, 3.0]))
    tensor([[3., 2.],
            [1., 6.]])
    """
    return by_columns(func, argnums, has_aux, chunk_size, randomness)


def by_columns(
    func: Function, argnums: Any, has_aux: bool = False, chunk_size: int | None = None,
    randomness: str = "error", jumps: bool = False,
) -> Function:  # fmt: skip
    """`jacfwd`; with `jumps`, functions none of whose outputs has a derivative get zeros."""
    check_randomness(randomness)

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        given = Arguments(args, kwargs, argnums, "jacfwd")
        check_real(given.leaves, "inputs", "jacfwd")
        total = sum(sizes(given.leaves))
        parts = []
        replayed: dict[Any, Tensor] = {}
        for start, stop in chunks(total, chunk_size, "jacfwd") or [(0, 0)]:
            with (
                entered(BatchTag("jacfwd", stop - start, randomness, replayed)) as many,
                entered(ForwardTag("jacfwd")) as tag,
            ):
                ts = [batched(many, t) for t in basis(given.leaves, start, stop)]
                result, aux = run_forward(tag, func, given, ts, has_aux)
                outs, spec = outputs(result, "jacfwd")
                check_real(outs, "outputs", "jacfwd")
                if not jumps:
                    check_inexact(outs, spec, "jacfwd", aux=True)
                pairs = [tag.split(y) for y in outs]
                aux = tree.map(lambda x, tag=tag: tag.split(x)[0], aux)
                parts.append([many.inner(zeros_of(p) if t is None else t) for p, t in pairs])
        columns = [joined(column) for column in zip(*parts, strict=True)]
        found = spec.unflatten([by_input(c, given) for c in columns])
        return (found, all_given(aux, given.arrays)) if has_aux else found

    return wrapper


def by_input(columns: Tensor, given: Arguments) -> Any:
    """Values for all entries of the inputs, of shape (entries, *S), as a tree of shapes S + R."""
    ndim = columns.array.ndim
    last = recorded.permute_dims(columns, axes=(*range(1, ndim), 0))
    shape = tuple(last.array.shape[:-1])
    found = []
    start = 0
    for x, size in zip(given.leaves, sizes(given.leaves), strict=True):
        part = last if len(given.leaves) == 1 else last[..., start : start + size]
        found.append(recorded.reshape(part, shape=shape + tuple(x.array.shape)))
        start += size
    return given.result(found)


def hessian(func: Function, argnums: Any = 0, *, chunk_size: int | None = None) -> Function:
    """A function that returns the Hessian: the Jacobian of the gradient.

    The gradient is recorded, and one sweep over that record finds all rows.

    Args:
        func: returns a tensor, usually a scalar.
        argnums: which positional argument to differentiate, or a tuple of them.
        chunk_size: how many rows to compute at a time.

    Returns:
        A function giving a tensor of shape S + R + R for an output of shape S and an input of shape
        R; trees of trees for trees.

    Raises:
        RuntimeError: if outputs are not tensors, or an input is not differentiable.

    >>> import chainrule as cr
    >>> cr.func.hessian(lambda x: x[0] ** 2 * x[1])(cr.tensor([2.0, 3.0]))
    tensor([[6., 4.],
            [4., 0.]])
    """
    gradient = _by_rows(func, argnums, False, None, "hessian")
    return _by_rows(gradient, argnums, False, chunk_size, "hessian")
