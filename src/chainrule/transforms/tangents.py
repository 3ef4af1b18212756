"""Forward-mode transforms: `jvp` and `linearize`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule import tree
from chainrule.core import engine, modes
from chainrule.core.boxes import any_box, entered
from chainrule.core.tensor import Tensor
from chainrule.transforms.forward import ForwardTag, dual
from chainrule.transforms.inputs import (
    Arguments,
    all_given,
    apart,
    fitting,
    matching,
    outputs,
    with_aux,
)
from chainrule.transforms.reverse import Pullback
from chainrule.transforms.scope import zeros_of

Function = Callable[..., Any]


def jvp(
    func: Function, primals: Any, tangents: Any, *, strict: bool = False, has_aux: bool = False
) -> Any:
    """The value of a function, and its derivative along a direction: J·t.

    The derivative is computed while the function runs, and nothing is kept: memory does not grow
    with the length of the program.

    Args:
        func: returns a tree of tensors; or, with `has_aux`, a pair of it and anything.
        primals: the tuple of arguments.
        tangents: a tuple of the same structure and shapes.
        strict: raise if an output does not depend on the inputs, instead of giving zeros.

    Returns:
        (output, tangent), or (output, tangent, aux).

    Raises:
        RuntimeError: if the structures or shapes differ, or outputs are not tensors.

    Source: Griewank and Walther, Evaluating Derivatives, 2nd ed., section 3.1.

    >>> import chainrule as cr
    >>> cr.func.jvp(cr.sin, (cr.tensor(0.0),), (cr.tensor(2.0),))
    (tensor(0.), tensor(2.))
    """
    title = "jvp(f, primals, tangents)"
    for name, value in (("primals", primals), ("tangents", tangents)):
        if not isinstance(value, tuple):
            raise RuntimeError(
                f"{title}: Expected {name} to be a tuple. E.g. it should be valid to call "
                f"f(*primals); got {type(value).__name__}"
            )
    given = Arguments(primals, {}, tuple(range(len(primals))), "jvp")
    found = matching(given.spec, tangents, "the tangents", "the primals", title)
    ts = fitting(found, given.leaves, "tangents", "the primals", title)
    with entered(ForwardTag("jvp")) as tag:
        result, aux = run_forward(tag, func, given, ts, has_aux)
        outs, spec = outputs(result, "jvp")
        pairs = [tag.split(y) for y in outs]
        aux = tree.map(lambda x: tag.split(x)[0], aux)
    if strict and any(t is None for _, t in pairs):
        raise RuntimeError(
            f"{title}: The output of f is independent of the inputs. This is not allowed when "
            "strict=True."
        )
    found = [p for p, _ in pairs] + [zeros_of(p) if t is None else t for p, t in pairs]
    found = [given.given(x) for x in apart(found, [*given.leaves, *ts])]
    out, tangent = spec.unflatten(found[: len(outs)]), spec.unflatten(found[len(outs) :])
    return (out, tangent, all_given(aux, given.arrays)) if has_aux else (out, tangent)


def run_forward(
    tag: ForwardTag, func: Function, given: Arguments, tangents: Sequence[Tensor], has_aux: bool
) -> tuple[Any, Any]:
    """Result and auxiliary result of a function whose inputs carry tangents.

    What a tangent meets beside its primal (an infinite derivative times zero) is no news: NumPy's
    floating-point warnings are off.
    """
    duals = [dual(tag, x, t) for x, t in zip(given.leaves, tangents, strict=True)]
    with np.errstate(all="ignore"):
        result = given.call(func, duals)
    return with_aux(result, "jvp") if has_aux else (result, None)


def linearize(func: Function, *primals: Any) -> tuple[Any, Function]:
    """The value of a function, and its derivative as a linear function: t ↦ J·t.

    The function runs once and is recorded; each call of the linear function walks the record.

    Args:
        func: returns a tree of tensors.
        primals: the arguments.

    Returns:
        (output, jvp_fn); `jvp_fn` takes one tangent per primal.

    Raises:
        RuntimeError: if the structures or shapes differ, or outputs are not tensors.

    >>> import chainrule as cr
    >>> out, jvp_fn = cr.func.linearize(cr.sin, cr.tensor(0.0))
    >>> jvp_fn(cr.tensor(2.0))
    tensor(2.)
    """
    given = Arguments(primals, {}, tuple(range(len(primals))), "linearize")
    token = modes.enter(modes.changed(forward=True))
    try:
        run = Pullback(lambda *xs: given.call(func, xs), given.leaves, "linearize")
    finally:
        modes.leave(token)
    outs, spec = outputs(run.result, "linearize")

    def jvp_fn(*tangents: Any) -> Any:
        found = matching(given.spec, tangents, "the tangents", "the primals", "jvp_fn")
        ts = fitting(found, given.leaves, "tangents", "the primals", "jvp_fn")
        if any_box([*outs, *run.inputs]):  # the record is inside other transforms
            with entered(ForwardTag("linearize")) as tag:
                result, _ = run_forward(tag, func, given, ts, False)
                pairs = [tag.split(y) for y in outputs(result, "linearize")[0]]
        else:
            pairs = list(zip(outs, _pushed(run, outs, ts), strict=True))
        found = [zeros_of(y) if t is None else t for y, t in pairs]
        return spec.unflatten([given.given(t) for t in apart(found, ts)])

    return spec.unflatten([given.given(run.settled(y)) for y in outs]), jvp_fn


def _pushed(run: Pullback, outs: Sequence[Tensor], ts: Sequence[Tensor]) -> list[Any]:
    """Tangents of the outputs by a walk over the record."""
    order, _live = engine.between([y.node for y in outs if y.node], [x.node for x in run.inputs])  # type: ignore[misc]
    create_graph = run.must_record(order, ts)
    seeds = {x.node: t for x, t in zip(run.inputs, ts, strict=True)}
    found = engine.push(order, seeds, create_graph, on_tensors=True)  # type: ignore[arg-type]
    return [None if y.node is None else found.get(y.node) for y in outs]
