"""Second derivatives without the Hessian: products, diagonal, trace; and the divergence."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from chainrule import tree
from chainrule.core.boxes import entered
from chainrule.core.namespaces import recorded
from chainrule.core.tensor import Tensor
from chainrule.transforms.batch import BatchTag, batched
from chainrule.transforms.forward import ForwardTag
from chainrule.transforms.gradient import gradient_of
from chainrule.transforms.inputs import Arguments, check_inexact, outputs
from chainrule.transforms.jacobian import basis, by_input, chunks, joined, sizes
from chainrule.transforms.scope import zeros_of
from chainrule.transforms.tangents import jvp, run_forward
from chainrule.transforms.taylor import Series, TaylorTag
from chainrule.tree import Spec

Function = Callable[..., Any]


def hvp(func: Function, primals: Any, tangents: Any) -> Any:
    """The product of a scalar function's Hessian with a vector: H·t, at a few times f's cost.

    Forward mode over reverse mode: the derivative of the gradient along t.

    Args:
        func: returns one real 0-d tensor.
        primals: the argument, or a tuple of arguments; trees of tensors.
        tangents: of the same structure and shapes.

    Returns:
        A result of the structure of `primals`.

    Raises:
        RuntimeError: if the structures or shapes differ, or the output is not a scalar.

    Source: Pearlmutter, Fast exact multiplication by the Hessian, Neural Computation 6 (1994).

    >>> import chainrule as cr
    >>> x, v = cr.tensor([2.0, 3.0]), cr.tensor([1.0, 0.0])
    >>> cr.func.hvp(lambda x: x[0] ** 2 * x[1], x, v)
    tensor([6., 4.])
    """
    several = isinstance(primals, tuple)
    xs = primals if several else (primals,)
    ts = tangents if several else (tangents,)
    gradient = gradient_of(func, tuple(range(len(xs))), False, False, "hvp")
    _, found = jvp(gradient, xs, ts)
    return found if several else found[0]


def _second_coefficients(
    func: Function, given: Arguments, chunk_size: int | None, title: str
) -> Iterator[tuple[list[Tensor], Spec]]:
    """Half the second derivatives along every entry of the inputs, a chunk of entries at a time.

    For each chunk: for every output a tensor of shape (entries of the chunk, *its shape).
    """
    total = sum(sizes(given.leaves))
    replayed: dict[Any, Tensor] = {}
    for start, stop in chunks(total, chunk_size, title) or [(0, 0)]:
        with (
            entered(BatchTag(title, stop - start, "same", replayed)) as many,
            entered(TaylorTag(title, 2)) as tag,
            np.errstate(all="ignore"),
        ):
            xs = [
                tag.boxed(Series([x, batched(many, v)], None))
                for x, v in zip(given.leaves, basis(given.leaves, start, stop), strict=True)
            ]
            outs, spec = outputs(given.call(func, xs), title)
            check_inexact(outs, spec, title)
            tops = [tag.components(y)[2] for y in outs]
            found = [
                many.inner(zeros_of(y) if c is None else c) for y, c in zip(outs, tops, strict=True)
            ]
        yield found, spec


def laplacian(func: Function, argnums: Any = 0, *, chunk_size: int | None = None) -> Function:
    """A function that returns the Laplacian: the sum of all second derivatives ∂²f/∂xᵢ².

    Taylor mode of order 2 runs along all axes at once; no Hessian is formed.

    Args:
        func: returns a tree of tensors, each of whose entries has a Laplacian.
        argnums: which positional argument to differentiate, or a tuple of them: the sum goes over
            the entries of all of them.
        chunk_size: how many axes to compute at a time; None for all of them.

    Raises:
        RuntimeError: if outputs are not tensors, or an input is not differentiable.

    Source: Dangel et al., Collapsing Taylor mode automatic differentiation (2025), for the
    directions that are run together.

    >>> import chainrule as cr
    >>> cr.func.laplacian(lambda x: (x**3).sum())(cr.tensor([1.0, 2.0]))
    tensor(18.)
    """

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        given = Arguments(args, kwargs, argnums, "laplacian")
        total: list[Any] = []
        spec: Any = None
        for found, spec in _second_coefficients(  # noqa: B007 - the last one is used
            func, given, chunk_size, "laplacian"
        ):
            sums = [recorded.sum(c, axis=(0,), keepdims=False) for c in found]
            total = [a + b for a, b in zip(total, sums, strict=True)] if total else sums
        return spec.unflatten([given.given(y * 2) for y in total])

    return wrapper


def hessian_diagonal(
    func: Function, argnums: Any = 0, *, chunk_size: int | None = None
) -> Function:
    """A function that returns the diagonal of the Hessian: ∂²f/∂xᵢ² for every entry.

    Taylor mode of order 2 runs along all axes at once; no Hessian is formed.

    Args:
        func: returns a tensor, usually a scalar.
        argnums: which positional argument to differentiate, or a tuple of them.
        chunk_size: how many axes to compute at a time; None for all of them.

    Returns:
        A function giving a tensor of shape S + R for an output of shape S and an input of shape R;
        trees of trees for trees.

    Raises:
        RuntimeError: if outputs are not tensors, or an input is not differentiable.

    >>> import chainrule as cr
    >>> cr.func.hessian_diagonal(lambda x: (x**3).sum())(cr.tensor([1.0, 2.0]))
    tensor([ 6., 12.])
    """

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        given = Arguments(args, kwargs, argnums, "hessian_diagonal")
        parts = []
        spec: Any = None
        for found, spec in _second_coefficients(  # noqa: B007 - the last one is used
            func, given, chunk_size, "hessian_diagonal"
        ):
            parts.append(found)
        return spec.unflatten([by_input(joined(c) * 2, given) for c in zip(*parts, strict=True)])

    return wrapper


def divergence(func: Function, argnums: Any = 0, *, chunk_size: int | None = None) -> Function:
    """A function that returns the divergence of a vector field: the trace of its Jacobian.

    Forward mode runs along all axes at once.

    Args:
        func: returns a tree of the structure and shapes of the differentiated argument.
        argnums: which positional argument to differentiate, or a tuple of them.
        chunk_size: how many axes to compute at a time; None for all of them.

    Raises:
        RuntimeError: if the output does not have the structure and shapes of the input.

    >>> import chainrule as cr
    >>> cr.func.divergence(lambda x: x * x)(cr.tensor([1.0, 2.0]))
    tensor(6.)
    """

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        given = Arguments(args, kwargs, argnums, "divergence")
        total: Any = None
        replayed: dict[Any, Tensor] = {}
        for start, stop in chunks(sum(sizes(given.leaves)), chunk_size, "divergence") or [(0, 0)]:
            with (
                entered(BatchTag("divergence", stop - start, "same", replayed)) as many,
                entered(ForwardTag("divergence")) as tag,
            ):
                rows = basis(given.leaves, start, stop)
                result, _ = run_forward(tag, func, given, [batched(many, t) for t in rows], False)
                outs = _like_inputs(result, given)
                tangents = [tag.split(y)[1] for y in outs]
                inner = [None if t is None else many.inner(t) for t in tangents]
            for t, row in zip(inner, rows, strict=True):
                if t is not None:  # the rows are 1 on the diagonal
                    part = _sum_of_all(t * row)
                    total = part if total is None else total + part
        if total is None:
            total = zeros_of(_sum_of_all(given.leaves[0]))
        return given.given(total)

    return wrapper


def _sum_of_all(x: Tensor) -> Tensor:
    found: Tensor = recorded.sum(x, axis=tuple(range(x.array.ndim)), keepdims=False)
    return found


def _like_inputs(result: Any, given: Arguments) -> Sequence[Tensor]:
    """The outputs of a vector field.

    Raises:
        RuntimeError: if they do not have the structure and shapes of the inputs.
    """
    outs, spec = outputs(result, "divergence")
    try:
        tree.check_same(given.spec, spec, "the inputs", "the outputs")
    except ValueError as error:
        raise RuntimeError(f"divergence: {error}") from None
    for y, x in zip(outs, given.leaves, strict=True):
        if tuple(y.array.shape) != tuple(x.array.shape):
            raise RuntimeError(
                "divergence: expected a vector field, whose outputs have the shapes of the inputs, "
                f"but got {list(y.array.shape)} for {list(x.array.shape)}"
            )
    check_inexact(outs, spec, "divergence")
    return outs


__all__ = ["divergence", "hessian_diagonal", "hvp", "laplacian"]
