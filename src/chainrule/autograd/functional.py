"""Jacobians, Hessians and their products with vectors, with PyTorch's signatures.

A function is run once and recorded; products with J are walks over the record: a pull for vᵀJ, a
push for J·v.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.autograd.grad_mode import enable_grad
from chainrule.autograd.reverse import grad
from chainrule.core import engine
from chainrule.core.tensor import Tensor, set_requires_grad, wrap
from chainrule.ops.join import stack

Function = Callable[..., Any]
Tensors = tuple[Tensor, ...]


def _as_tuple(x: Any, what: str, name: str) -> tuple[bool, Tensors]:
    """Whether `x` is a tuple, and its tensors."""
    several = isinstance(x, tuple)
    items = x if several else (x,)
    for i, item in enumerate(items):
        if not isinstance(item, Tensor):
            where = f"the value at index {i} has type" if several else "the given value has type"
            raise TypeError(
                f"The {what} {'given to' if what == 'inputs' else 'of the function given to'} "
                f"{name} must be either a Tensor or a tuple of Tensors but {where} {type(item)}"
            )
    return several, tuple(items)


def _inputs(inputs: Any, name: str, create_graph: bool) -> tuple[bool, Tensors]:
    """The inputs as tensors to differentiate by: on the caller's tape only if asked to be."""
    several, xs = _as_tuple(inputs, "inputs", name)
    made = []
    for x in xs:
        if create_graph and x.node is not None:
            made.append(x.view_as(x))
        else:
            made.append(wrap(x.array))
            set_requires_grad(made[-1], True)
    return several, tuple(made)


def _run(func: Function, xs: Tensors, name: str) -> tuple[bool, Tensors]:
    with enable_grad():
        return _as_tuple(func(*xs), "outputs", name)


def _vector(v: Any, like: Tensors, what: str, name: str) -> Tensors:
    """`v` as tensors of the shapes of `like`; None stands for ones where all are scalars.

    Raises:
        RuntimeError: if it is missing or its shapes do not fit.
    """
    if v is None:
        if len(like) == 1 and like[0].array.size == 1:
            return (wrap(np.ones_like(like[0].array)),)
        raise RuntimeError(
            f"The vector v can only be None if the user-provided function {what} a single Tensor "
            f"with a single element; pass v to {name}"
        )
    _, vs = _as_tuple(v, "v", name)
    if len(vs) != len(like):
        raise RuntimeError(
            f"v is a tuple of invalid length: should be {len(like)} but got {len(vs)}."
        )
    for i, (a, b) in enumerate(zip(vs, like, strict=True)):
        if a.array.shape != b.array.shape:
            raise RuntimeError(
                f"v has invalid size: entry {i} should be {tuple(b.array.shape)} but got "
                f"{tuple(a.array.shape)}."
            )
    return vs


def _pull(
    outs: Tensors, xs: Tensors, vs: Tensors, create_graph: bool, strict: bool, name: str
) -> list[Any]:
    """vᵀJ for each input, with zeros where nothing depends on it."""
    live = [(o, v) for o, v in zip(outs, vs, strict=True) if o.node is not None]
    if strict and len(live) < len(outs):
        raise RuntimeError(
            f"The output of the user-provided function given to {name} is independent of the "
            "inputs: it does not require gradients. This is not allowed in strict mode."
        )
    if not live:
        return [wrap(np.zeros_like(x.array)) for x in xs]
    found = grad([o for o, _ in live], xs, [v for _, v in live], True, create_graph, True)
    _check_strict(found, strict, create_graph, name)
    return [
        wrap(np.zeros_like(x.array)) if g is None else g for g, x in zip(found, xs, strict=True)
    ]


def _check_strict(found: Sequence[Any], strict: bool, create_graph: bool, name: str) -> None:
    if not strict:
        return
    for i, g in enumerate(found):
        if g is None:
            raise RuntimeError(
                f"Output of the user-provided function given to {name} is independent of input "
                f"{i}. This is not allowed in strict mode."
            )
        if create_graph and g.node is None:
            raise RuntimeError(
                f"The derivative in {name} with respect to input {i} is independent of the "
                "inputs: it cannot be differentiated. This is not allowed in strict mode."
            )


def _push(outs: Tensors, xs: Tensors, vs: Tensors, create_graph: bool) -> list[Any]:
    """J·v for each output, with zeros where it does not depend on the inputs."""
    roots = [o.node for o in outs if o.node is not None]
    nodes = [x.node for x in xs if x.node is not None]
    order, live = engine.between(roots, nodes)
    if any(node.prim.side_effects for node in order):
        return _push_by_pulls(outs, xs, vs, create_graph)
    seeds: dict[Any, Any] = {
        x.node: v if create_graph else v.array for x, v in zip(xs, vs, strict=True)
    }
    found = engine.push(order, seeds, create_graph)
    pushed = []
    for o in outs:
        t = found.get(o.node) if o.node in live else None
        if t is None:
            t = np.zeros_like(o.array)
        pushed.append(t if isinstance(t, Tensor) else wrap(np.asarray(t)))
    return pushed


def _push_by_pulls(outs: Tensors, xs: Tensors, vs: Tensors, create_graph: bool) -> list[Any]:
    """J·v as the derivative of u ↦ uᵀJ, which is linear: for custom functions without a jvp."""
    us = []
    for o in outs:
        us.append(wrap(np.zeros_like(o.array)))
        set_requires_grad(us[-1], True)
    with enable_grad():
        pulled = _pull(outs, xs, tuple(us), True, False, "jvp")
    return _pull(tuple(pulled), tuple(us), vs, create_graph, False, "jvp")


def _result(several: bool, items: Sequence[Any], create_graph: bool) -> Any:
    """Results as they are returned: off the tape unless asked for."""
    kept = tuple(x if create_graph else wrap(x.array) for x in items)
    return kept if several else kept[0]


def vjp(
    func: Function, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """The outputs of `func` at `inputs`, and vᵀJ: one tensor per input.

    Without `v`, a function with a single-entry output is differentiated; for any other output, a
    function `v -> vᵀJ` is returned in place of the product.

    Raises:
        RuntimeError: if `v` does not have the shapes of the outputs, or in strict mode if an
            output does not depend on an input.

    >>> import chainrule as cr
    >>> x = cr.tensor([2.0, 3.0])
    >>> f = lambda x: cr.stack([x[0] * x[1], x[0] + x[1] ** 2])
    >>> cr.autograd.functional.vjp(f, x, cr.tensor([1.0, 1.0]))[1]
    tensor([4., 8.])
    >>> out, pull = cr.autograd.functional.vjp(f, x)
    >>> pull(cr.tensor([1.0, 1.0]))
    tensor([4., 8.])
    """
    several, xs = _inputs(inputs, "vjp", create_graph)
    several_outs, outs = _run(func, xs, "vjp")
    output = _result(several_outs, outs, create_graph)

    def pull(*v: Any) -> Any:
        """vᵀJ for a vector v of the outputs' shapes."""
        vs = _vector(v if len(v) > 1 else v[0], outs, "returns", "vjp")
        with enable_grad():
            pulled = _pull(outs, xs, vs, create_graph, strict, "vjp")
        return _result(several, pulled, create_graph)

    if v is None and (len(outs) > 1 or outs[0].array.size != 1):
        return output, pull
    return output, pull(v)


def jvp(
    func: Function, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """The outputs of `func` at `inputs`, and J·v: one tensor per output.

    Raises:
        RuntimeError: if `v` does not have the shapes of the inputs, or in strict mode if an output
            does not depend on the inputs.

    >>> import chainrule as cr
    >>> f = lambda x: cr.stack([x[0] * x[1], x[0] + x[1] ** 2])
    >>> cr.autograd.functional.jvp(f, cr.tensor([2.0, 3.0]), cr.tensor([1.0, 0.0]))[1]
    tensor([3., 1.])
    """
    _, xs = _inputs(inputs, "jvp", create_graph)
    vs = _vector(v, xs, "takes", "jvp")
    several, outs = _run(func, xs, "jvp")
    if strict:
        _check_dependent(outs, xs, "jvp")
    with enable_grad():
        pushed = _push(outs, xs, vs, create_graph)
    return _result(several, outs, create_graph), _result(several, pushed, create_graph)


def _check_dependent(outs: Tensors, xs: Tensors, name: str) -> None:
    for i, o in enumerate(outs):
        for j, x in enumerate(xs):
            if o.node is None or o.node not in engine.between([o.node], [x.node])[1]:  # type: ignore[list-item]
                raise RuntimeError(
                    f"Output {i} of the user-provided function given to {name} is independent of "
                    f"input {j}. This is not allowed in strict mode."
                )


def jacobian(
    func: Function,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """The Jacobian of `func`: for output i and input j a tensor of shape (*output_i, *input_j).

    Nested tuples arise as in PyTorch where `func` has several outputs, or `inputs` is a tuple.

    Args:
        vectorize: accepted; the result is the same.
        strategy: "reverse-mode" (row by row) or "forward-mode" (column by column).

    Raises:
        RuntimeError: in strict mode, if an output does not depend on an input.

    >>> import chainrule as cr
    >>> f = lambda x: cr.stack([x[0] * x[1], x[0] + x[1] ** 2])
    >>> cr.autograd.functional.jacobian(f, cr.tensor([2.0, 3.0]))
    tensor([[3., 2.],
            [1., 6.]])
    """
    if strategy not in ("reverse-mode", "forward-mode"):
        raise ValueError(
            'Expected strategy to be either "forward-mode" or "reverse-mode". Hint: if your '
            "function has more outputs than inputs, forward-mode tends to be more performant."
        )
    several, xs = _inputs(inputs, "jacobian", create_graph)
    several_outs, outs = _run(func, xs, "jacobian")
    if strict:
        _check_dependent(outs, xs, "jacobian")
    with enable_grad():
        if strategy == "forward-mode":
            columns = [_columns(outs, xs, j, create_graph) for j in range(len(xs))]
            blocks = [[column[i] for column in columns] for i in range(len(outs))]
        else:
            blocks = [_rows(o, xs, create_graph, strict) for o in outs]
    rows = tuple(_result(several, row, create_graph) for row in blocks)
    return rows if several_outs else rows[0]


def _rows(out: Tensor, xs: Tensors, create_graph: bool, strict: bool) -> list[Any]:
    """The blocks of one output: a pull for each of its entries."""
    rows = []
    for k in range(out.array.size):
        v = np.zeros_like(out.array)
        v.flat[k] = 1
        rows.append(_pull((out,), xs, (wrap(v),), create_graph, strict, "jacobian"))
    shape = tuple(out.array.shape)
    return [
        _stacked([row[j] for row in rows], shape, tuple(x.array.shape), x, create_graph)
        for j, x in enumerate(xs)
    ]


def _stacked(
    items: list[Any], first: tuple[int, ...], rest: tuple[int, ...], like: Tensor, on_tape: bool
) -> Any:
    """Equal blocks joined along dimensions of extents `first`, which come first."""
    if not items:
        return wrap(np.zeros((*first, *rest), like.array.dtype))
    if on_tape:
        return stack(items).reshape((*first, *rest))
    return wrap(np.stack([x.array for x in items]).reshape((*first, *rest)))


def _columns(outs: Tensors, xs: Tensors, j: int, create_graph: bool) -> list[Any]:
    """The blocks of one input, for all outputs: a push for each of its entries."""
    x = xs[j]
    columns = []
    for k in range(x.array.size):
        vs = [wrap(np.zeros_like(y.array)) for y in xs]
        vs[j].array.flat[k] = 1
        columns.append(_push(outs, xs, tuple(vs), create_graph))
    blocks = []
    for i, o in enumerate(outs):
        shape, own = tuple(x.array.shape), tuple(o.array.shape)
        block = _stacked([c[i] for c in columns], shape, own, o, create_graph)
        dims = tuple(range(len(shape), len(shape) + len(own))) + tuple(range(len(shape)))
        blocks.append(block.permute(dims) if dims else block)
    return blocks


def _scalar_gradient(
    func: Function, name: str, strict: bool, values: list[Tensor] | None = None
) -> Function:
    """The gradient of a function with one single-entry output, itself on the tape."""

    def gradient(*xs: Tensor) -> Any:
        _, outs = _run(func, xs, name)
        if len(outs) != 1 or outs[0].array.size != 1:
            raise RuntimeError(
                f"The function given to {name} should return a single Tensor with a single "
                f"element, got {[list(o.array.shape) for o in outs]}"
            )
        seed = (wrap(np.ones_like(outs[0].array)),)
        if values is not None:
            values.append(outs[0])
        return tuple(_pull(outs, xs, seed, True, strict, name))

    return gradient


def hessian(
    func: Function,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """The Hessian of a function with a single-entry result: shape (*input_i, *input_j).

    Raises:
        RuntimeError: if the result has more entries.

    >>> import chainrule as cr
    >>> cr.autograd.functional.hessian(lambda x: (x**3).sum(), cr.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    several, _ = _as_tuple(inputs, "inputs", "hessian")
    gradient = _scalar_gradient(func, "hessian", strict)
    found = jacobian(
        gradient if several else lambda x: gradient(x)[0],
        inputs, create_graph, strict, vectorize, outer_jacobian_strategy,
    )  # fmt: skip
    return found


def _second(
    func: Function, inputs: Any, v: Any, create_graph: bool, strict: bool, name: str
) -> tuple[Any, Any]:
    """The value of `func` and the product of its Hessian with `v`."""
    several, xs = _inputs(inputs, name, create_graph)
    vs = _vector(v, xs, "takes", name)
    values: list[Tensor] = []
    gradient = _scalar_gradient(func, name, strict, values)
    with enable_grad():
        gs = gradient(*xs)
        found = (
            _push(gs, xs, vs, create_graph)
            if name == "hvp"
            else _pull(gs, xs, vs, create_graph, strict, name)
        )
    return _result(False, values, create_graph), _result(several, found, create_graph)


def hvp(
    func: Function, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """The value of a function with a single-entry result, and H·v, forward over reverse.

    Raises:
        RuntimeError: if the result has more entries, or `v` does not have the inputs' shapes.

    >>> import chainrule as cr
    >>> x, v = cr.tensor([1.0, 2.0]), cr.tensor([1.0, 1.0])
    >>> cr.autograd.functional.hvp(lambda x: (x**3).sum(), x, v)
    (tensor(9.), tensor([ 6., 12.]))
    """
    return _second(func, inputs, v, create_graph, strict, "hvp")


def vhp(
    func: Function, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """The value of a function with a single-entry result, and vᵀH, reverse over reverse.

    Raises:
        RuntimeError: if the result has more entries, or `v` does not have the inputs' shapes.

    >>> import chainrule as cr
    >>> x, v = cr.tensor([1.0, 2.0]), cr.tensor([1.0, 1.0])
    >>> cr.autograd.functional.vhp(lambda x: (x**3).sum(), x, v)
    (tensor(9.), tensor([ 6., 12.]))
    """
    return _second(func, inputs, v, create_graph, strict, "vhp")
