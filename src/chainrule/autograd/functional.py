"""Jacobians, Hessians and their products with vectors, with PyTorch's signatures.

Products with J are forward mode while the function runs; products with Jᵀ, walks back over a record
of it.  Whole Jacobians take all their rows (or columns) in one sweep.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from chainrule.autograd.function_rules import NoForwardRuleError
from chainrule.core import engine, modes
from chainrule.core.boxes import Box, entered
from chainrule.core.namespaces import recorded
from chainrule.core.tensor import Tensor, wrap
from chainrule.transforms.forward import ForwardTag, dual
from chainrule.transforms.gradient import ones_of
from chainrule.transforms.inputs import apart, fitting
from chainrule.transforms.jacobian import basis, by_columns, rows_of, sizes
from chainrule.transforms.reverse import Pullback, pull
from chainrule.transforms.scope import nodes_in, zeros_of
from chainrule.transforms.transposition import transposed

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


@contextmanager
def _recording(on: bool) -> Iterator[None]:
    token = modes.enter(modes.changed(grad=on))
    try:
        yield
    finally:
        modes.leave(token)


def _off_tape(y: Any) -> Any:
    if isinstance(y, Box):
        return y.tag.mapped_inner(y, _off_tape)
    return y if y.node is None else wrap(y.array)


class _Run:
    """One recorded run of the user's function.

    Attributes:
        several: whether it returned a tuple.
        outs: its outputs.
    """

    def __init__(
        self, func: Function, xs: Tensors, name: str, record: bool, strict: bool = False
    ) -> None:
        self.name = name
        self.xs = xs
        with _recording(record):
            self.run = Pullback(func, xs, name)
        self.several, self.outs = _as_tuple(self.run.result, "outputs", name)
        if strict:
            self._check_dependent()

    def _check_dependent(self) -> None:
        """Raise if an output does not depend on an input.

        Raises:
            RuntimeError: naming both.
        """
        for i, o in enumerate(self.outs):
            for j, x in enumerate(self.run.inputs):
                roots = nodes_in(o)
                live = engine.between(roots, nodes_in(x))[1]
                if not any(n in live for n in roots):
                    raise RuntimeError(
                        f"Output {i} of the user-provided function given to {self.name} is "
                        f"independent of input {j}. This is not allowed in strict mode."
                    )

    def values(self) -> Tensors:
        """The outputs as the caller gets them."""
        return tuple([self.run.settled(y) for y in self.outs])

    def pull(self, vs: Sequence[Any]) -> Tensors:
        """vᵀJ for each input, zeros where nothing depends on it."""
        return tuple(self.run.pull(self.outs, vs))

    def rows(self, vectorize: bool) -> list[Tensor]:
        """For each input the Jacobian's rows, those of all outputs one after the other."""
        if vectorize or not self._has_user_code():
            return rows_of(self.run, self.outs, None, self.name)
        total = sum(sizes(self.outs))
        found = [self.pull([c[0] for c in basis(self.outs, k, k + 1)]) for k in range(total)]
        if not found:
            return rows_of(self.run, self.outs, None, self.name)
        return [recorded.stack(*column, axis=0) for column in zip(*found, strict=True)]

    def _has_user_code(self) -> bool:
        """Whether a sweep meets rules of the user's, which may not work on many cotangents."""
        roots = [n for y in self.outs for n in nodes_in(y)]
        order, _ = engine.between(roots, [n for x in self.run.inputs for n in nodes_in(x)])
        return any(node.prim.side_effects for node in order)


def _vector(v: Any, like: Tensors, what: str, name: str) -> Tensors:
    """`v` as tensors of the shapes of `like`; None stands for ones where all are scalars.

    Raises:
        RuntimeError: if it is missing or its shapes do not fit.
    """
    if v is None:
        if len(like) == 1 and like[0].array.size == 1:
            return (ones_of(like[0]),)
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
        if tuple(a.array.shape) != tuple(b.array.shape):
            raise RuntimeError(
                f"v has invalid size: entry {i} should be {tuple(b.array.shape)} but got "
                f"{tuple(a.array.shape)}."
            )
    return tuple(fitting(vs, like, "v", "the values", name))


def _result(several: bool, items: Sequence[Any]) -> Any:
    return tuple(items) if several else items[0]


def vjp(
    func: Function, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """The outputs of `func`, and vᵀJ.

    Args:
        func: takes and returns tensors or tuples of them.
        inputs: a tensor or a tuple of them.
        v: of the outputs' shapes; None stands for 1 if the output has a single entry.  With no v
            for other outputs, the second result is the function that takes v and returns vᵀJ.
        create_graph: whether the results can be differentiated.
        strict: raise if an output does not depend on an input, instead of giving zeros.

    Returns:
        The outputs and vᵀJ: one tensor per input, or the function from v to that.

    Raises:
        RuntimeError: if `v` does not have the shapes of the outputs, or in strict mode.

    >>> import chainrule as cr
    >>> f = lambda x: cr.stack([x[0] * x[1], x[0] + x[1] ** 2])
    >>> cr.autograd.functional.vjp(f, cr.tensor([2.0, 3.0]), cr.ones(2))
    (tensor([ 6., 11.]), tensor([4., 8.]))
    """
    several, xs = _as_tuple(inputs, "inputs", "vjp")
    run = _Run(func, xs, "vjp", create_graph, strict)

    def pulled(v: Any) -> Any:
        with _recording(create_graph):
            vs = _vector(v, run.outs, "returns", "vjp")
            return _result(several, apart(run.pull(vs), vs))

    values = _result(run.several, run.values())
    if v is None and not (len(run.outs) == 1 and run.outs[0].array.size == 1):
        return values, pulled
    return values, pulled(v)


def jvp(
    func: Function, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """The outputs of `func`, and J·v, by forward mode.

    Where forward mode meets a `Function` without a jvp, J·v is found by transposing v ↦ vᵀJ.

    Args:
        func: takes and returns tensors or tuples of them.
        inputs: a tensor or a tuple of them.
        v: of the inputs' shapes; None stands for 1 if the input has a single entry.
        create_graph: whether the results can be differentiated.
        strict: raise if an output does not depend on an input, instead of giving zeros.

    Returns:
        The outputs and J·v: one tensor per output.

    Raises:
        RuntimeError: if `v` does not have the shapes of the inputs, or in strict mode.

    >>> import chainrule as cr
    >>> f = lambda x: cr.stack([x[0] * x[1], x[0] + x[1] ** 2])
    >>> cr.autograd.functional.jvp(f, cr.tensor([2.0, 3.0]), cr.tensor([1.0, 0.0]))[1]
    tensor([3., 1.])
    """
    _, xs = _as_tuple(inputs, "inputs", "jvp")
    vs = _vector(v, xs, "takes", "jvp")
    if strict:
        _Run(func, xs, "jvp", create_graph, strict)
    try:
        several, values, tangents = _pushed(func, xs, vs, create_graph, "jvp")
    except NoForwardRuleError:
        run = _Run(func, xs, "jvp", True)
        several, values = run.several, run.values()
        tangents = _push_by_pulls(run, vs)
    if not create_graph:
        values, tangents = map(_off_tape, values), map(_off_tape, tangents)
    values = list(values)
    found = apart([*values, *tangents], [*xs, *vs])
    return _result(several, found[: len(values)]), _result(several, found[len(values) :])


def _pushed(
    func: Function, xs: Tensors, vs: Tensors, create_graph: bool, name: str
) -> tuple[bool, Any, Any]:
    """Outputs and tangents by forward mode."""
    primals = xs if create_graph else [_off_tape(x) for x in xs]
    with entered(ForwardTag(name)) as tag, _recording(True), np.errstate(all="ignore"):
        boxes = [dual(tag, x, v) for x, v in zip(primals, vs, strict=True)]
        several, outs = _as_tuple(func(*boxes), "outputs", name)
        pairs = [tag.split(y) for y in outs]
    tangents = [zeros_of(p) if t is None else t for p, t in pairs]
    return several, [p for p, _ in pairs], tangents


def _push_by_pulls(run: _Run, vs: Tensors) -> list[Any]:
    with _recording(True):
        what = f"the gradient in {run.name}"
        return transposed(run.pull, run.outs, vs, run.xs, what)


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
        func: takes and returns tensors or tuples of them.
        inputs: a tensor or a tuple of them.
        create_graph: whether the result can be differentiated.
        strict: raise if an output does not depend on an input, instead of giving zeros.
        vectorize: all rows come in one sweep in any case; only rules of the user's (`Function`)
            are called once for each row unless this is set.
        strategy: "reverse-mode" (rows) or "forward-mode" (columns).

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
    several, xs = _as_tuple(inputs, "inputs", "jacobian")
    if strategy == "forward-mode":
        if strict:  # on a record, where dependence can be seen
            _Run(func, xs, "jacobian", create_graph, strict)
        try:
            return _columns(func, xs, several, create_graph)
        except NoForwardRuleError:
            strategy = "reverse-mode"
    run = _Run(func, xs, "jacobian", create_graph, strict)
    with _recording(create_graph):
        rows = run.rows(vectorize)
        blocks = []
        start = 0
        for o, size in zip(run.outs, sizes(run.outs), strict=True):
            shape = tuple(o.array.shape)
            parts = [
                recorded.reshape(r[start : start + size], shape=shape + tuple(x.array.shape))
                for r, x in zip(rows, xs, strict=True)
            ]
            blocks.append(_result(several, parts))
            start += size
    return _result(run.several, blocks)


def _columns(func: Function, xs: Tensors, several: bool, create_graph: bool) -> Any:
    """The Jacobian by forward mode, all columns in one run."""
    shape: list[bool] = []

    def checked(*ys: Tensor) -> Any:
        several_outs, outs = _as_tuple(func(*ys), "outputs", "jacobian")
        shape.append(several_outs)
        return outs

    primals = xs if create_graph else [_off_tape(x) for x in xs]
    with _recording(True):
        found = by_columns(checked, tuple(range(len(xs))), jumps=True)(*primals)
    if not create_graph:
        found = tuple([tuple(map(_off_tape, row)) for row in found])
    return _result(shape[0], [_result(several, row) for row in found])


def _gradient(
    func: Function, name: str, strict: bool, values: list[Tensor] | None = None
) -> Function:
    """The gradient of a function with one single-entry output, itself on the tape."""

    def gradient(*xs: Tensor) -> Tensors:
        run = _Run(func, xs, name, True)
        outs = run.outs
        if len(outs) != 1 or outs[0].array.size != 1:
            raise RuntimeError(
                f"The function given to {name} should return a single Tensor with a single "
                f"element, got {[list(o.array.shape) for o in outs]}"
            )
        if values is not None:
            values.append(run.values()[0])
        found = pull(outs, [ones_of(outs[0])], run.run.inputs, run.run.scope)
        on_record = any(nodes_in(x) for x in xs)  # else forward mode runs, after such a check
        for i, g in enumerate(found):
            if strict and (g is None or (on_record and not nodes_in(g))):
                raise RuntimeError(
                    f"The {'output' if g is None else 'gradient'} of the user-provided function "
                    f"given to {name} is independent of input {i}. This is not allowed in strict "
                    "mode."
                )
        return tuple([zeros_of(x) if g is None else g for g, x in zip(found, xs, strict=True)])

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

    Args:
        func: takes tensors and returns one with a single entry.
        inputs: a tensor or a tuple of them.
        create_graph, strict, vectorize: see `jacobian`.
        outer_jacobian_strategy: how the gradient is differentiated: "reverse-mode" or
            "forward-mode".

    Raises:
        RuntimeError: if the result has more entries.

    >>> import chainrule as cr
    >>> cr.autograd.functional.hessian(lambda x: (x**3).sum(), cr.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    several, _ = _as_tuple(inputs, "inputs", "hessian")
    gradient = _gradient(func, "hessian", strict)
    return jacobian(
        gradient if several else lambda x: gradient(x)[0],
        inputs, create_graph, strict, vectorize, outer_jacobian_strategy,
    )  # fmt: skip


def hvp(
    func: Function, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """The value of a function with a single-entry result, and H·v, forward over reverse.

    Where forward mode meets a `Function` without a jvp, this is `vhp`: H is symmetric.

    Raises:
        RuntimeError: if the result has more entries, or `v` does not have the inputs' shapes.

    Source: Pearlmutter, Fast exact multiplication by the Hessian, Neural Computation 6 (1994).

    >>> import chainrule as cr
    >>> x, v = cr.tensor([1.0, 2.0]), cr.tensor([1.0, 1.0])
    >>> cr.autograd.functional.hvp(lambda x: (x**3).sum(), x, v)
    (tensor(9.), tensor([ 6., 12.]))
    """
    several, xs = _as_tuple(inputs, "inputs", "hvp")
    vs = _vector(v, xs, "takes", "hvp")
    values: list[Any] = []
    gradient = _gradient(func, "hvp", strict, values)
    if strict:  # on a record, where dependence can be seen
        _Run(gradient, xs, "hvp", create_graph, strict)
    try:
        _, primals, tangents = _pushed(
            lambda *ys: (*gradient(*ys), values[-1]), xs, vs, create_graph, "hvp"
        )
    except NoForwardRuleError:
        return vhp(func, inputs, v, create_graph, strict)
    value, found = primals[-1], tangents[:-1]
    if not create_graph:
        value, found = _off_tape(value), [_off_tape(t) for t in found]
    return value, _result(several, found)


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
    several, xs = _as_tuple(inputs, "inputs", "vhp")
    vs = _vector(v, xs, "takes", "vhp")
    values: list[Tensor] = []
    run = _Run(_gradient(func, "vhp", strict, values), xs, "vhp", create_graph, strict)
    with _recording(create_graph):
        found = run.pull(vs)
        return run.run.settled(values[0]), _result(several, found)


__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]
