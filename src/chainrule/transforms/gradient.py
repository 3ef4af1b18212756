"""Reverse-mode transforms: `grad`, `grad_and_value`, `vjp`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule import tree
from chainrule.core.tensor import Tensor, wrap
from chainrule.transforms.inputs import (
    Arguments,
    all_given,
    apart,
    as_tensor,
    check_inexact,
    fitting,
    matching,
    outputs,
    with_aux,
)
from chainrule.transforms.reverse import Pullback
from chainrule.tree import Spec

Function = Callable[..., Any]


def ones_of(y: Any) -> Tensor:
    """Ones of the shape and dtype of a tensor."""
    made: Tensor = wrap(np.ones(tuple(y.array.shape), y.array.dtype))
    return made


def grad_and_value(func: Function, argnums: Any = 0, has_aux: bool = False) -> Function:
    """A function that returns the gradient of a scalar function, and its value.

    Args:
        func: returns one real 0-d tensor; or, with `has_aux`, a pair of it and anything.
        argnums: which positional argument to differentiate, or a tuple of them.  Arguments may be
            trees; the gradient has the same structure.
        has_aux: the result becomes (gradient, (value, aux)).

    Raises:
        RuntimeError: if the output is not a real scalar tensor of floating point, or an input is
            not differentiable.

    >>> import chainrule as cr
    >>> cr.func.grad_and_value(lambda x: (x * x).sum())(cr.tensor([1.0, 2.0]))
    (tensor([2., 4.]), tensor(5.))
    """
    return gradient_of(func, argnums, has_aux, True, "grad_and_value")


def grad(func: Function, argnums: Any = 0, has_aux: bool = False) -> Function:
    """A function that returns the gradient of a scalar function.

    Args:
        func: returns one real 0-d tensor; or, with `has_aux`, a pair of it and anything.
        argnums: which positional argument to differentiate, or a tuple of them.  Arguments may be
            trees; the gradient has the same structure.
        has_aux: the result becomes (gradient, aux).

    Raises:
        RuntimeError: if the output is not a real scalar tensor of floating point, or an input is
            not differentiable.

    >>> import chainrule as cr
    >>> cr.func.grad(cr.func.grad(lambda x: x**3))(cr.tensor(2.0))
    tensor(12.)
    """
    return gradient_of(func, argnums, has_aux, False, "grad")


def gradient_of(func: Function, argnums: Any, has_aux: bool, value: bool, title: str) -> Function:
    """`grad`, or with `value` `grad_and_value`, under the name that the user called."""

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        given = Arguments(args, kwargs, argnums, title)
        run = Pullback(lambda *xs: given.call(func, xs), given.leaves, title)
        result, aux = with_aux(run.result, title) if has_aux else (run.result, None)
        y = _scalar(result, title)
        found = given.result(run.pull([y], [ones_of(y)]))
        if value:
            out = given.given(run.settled(y))
            return (found, (out, _settled(aux, run, given.arrays))) if has_aux else (found, out)
        return (found, _settled(aux, run, given.arrays)) if has_aux else found

    return wrapper


def _settled(aux: Any, run: Pullback, arrays: bool) -> Any:
    found = tree.map(lambda x: run.settled(x) if isinstance(x, Tensor) else x, aux)
    return all_given(found, arrays)


def _scalar(y: Any, title: str) -> Tensor:
    """The output of a function to take a gradient of.

    Raises:
        RuntimeError: unless it is one real 0-d tensor of floating point.
    """
    t = as_tensor(y)
    if not isinstance(t, Tensor):
        raise RuntimeError(
            f"{title}(f)(*args): Expected f(*args) to return a Tensor, got {type(y).__name__} "
            "instead; additional outputs go into aux (has_aux=True)"
        )
    if tuple(t.array.shape) != ():
        raise RuntimeError(
            f"{title}(f)(*args): Expected f(*args) to return a scalar tensor, got tensor with "
            f"{t.array.ndim} dims (shape {list(t.array.shape)}). Maybe you wanted to use the vjp "
            "or jacrev APIs instead?"
        )
    if t.array.dtype.kind == "c":
        raise RuntimeError(
            f"{title}(f)(*args): Expected f(*args) to return a real tensor, got {t.dtype}: the "
            "gradient of a complex output is not defined. Take .real, .imag or .abs() of it, or "
            "use vjp"
        )
    check_inexact([t], tree.structure(y), f"{title}(f)(*args)", aux=title != "hvp")
    return t


def vjp(func: Function, *primals: Any, has_aux: bool = False) -> Any:
    """The value of a function, and the function that maps cotangents back: g ↦ gᵀJ.

    Args:
        func: returns a tree of tensors; or, with `has_aux`, a pair of it and anything.
        primals: the arguments, trees of tensors, arrays or floats.

    Returns:
        (output, vjp_fn), or (output, vjp_fn, aux).  `vjp_fn` takes a cotangent of the structure of
        the output (or, if that is a tuple, one argument for each) and returns a tuple with one
        entry per primal; it may be called any number of times.

    Raises:
        RuntimeError: if outputs are not tensors, or a cotangent does not fit; from `vjp_fn`, if no
            output is of floating point.

    >>> import chainrule as cr
    >>> out, vjp_fn = cr.func.vjp(cr.sin, cr.tensor(0.0))
    >>> vjp_fn(cr.tensor(2.0))
    (tensor(2.),)
    """
    given = Arguments(primals, {}, tuple(range(len(primals))), "vjp")
    run = Pullback(lambda *xs: given.call(func, xs), given.leaves, "vjp")
    result, aux = with_aux(run.result, "vjp") if has_aux else (run.result, None)
    outs, spec = outputs(result, "vjp")

    def vjp_fn(*cotangents: Any, retain_graph: Any = None, create_graph: Any = None) -> Any:
        leaves = matching(
            spec, _as_output(cotangents, spec), "the cotangents", "the output", "vjp_fn"
        )
        cs = fitting(leaves, outs, "cotangents", "the outputs", "vjp_fn")
        check_inexact(outs, spec, "vjp_fn", aux=True)
        return given.result(apart(run.pull(outs, cs), cs))

    out = spec.unflatten([given.given(run.settled(y)) for y in outs])
    if has_aux:
        return out, vjp_fn, _settled(aux, run, given.arrays)
    return out, vjp_fn


def _as_output(cotangents: tuple[Any, ...], spec: Spec) -> Any:
    """What a pullback was called with, as one tree like the output.

    Raises:
        RuntimeError: for several arguments, or none, if the output is not a tuple.
    """
    if spec.type is tuple and (len(cotangents) != 1 or not _is_container(cotangents[0])):
        return cotangents
    if len(cotangents) != 1:
        kind = "a tensor" if spec.type is None else f"one {spec.type.__name__}"
        raise RuntimeError(
            f"vjp_fn: Expected one cotangent, of the structure of the output, which is {kind}; got "
            f"{len(cotangents)} arguments"
        )
    return cotangents[0]


def _is_container(x: Any) -> bool:
    return tree.structure(x).type is not None


__all__ = ["grad", "grad_and_value", "gradient_of", "ones_of", "vjp"]
