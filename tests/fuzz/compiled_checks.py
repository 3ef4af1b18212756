"""Random programs as machine code: their graphs, and `jit` in every mode of differentiation."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

import chainrule as cr
from chainrule import func
from chainrule.compiler.execute import compiled
from chainrule.graph import Graph
from chainrule.just_in_time.function import JitWarning, jit

Compared = tuple[str, Any, Any]


def program_of(made: Graph) -> Any:
    """The machine code of a graph; a kernel that LLVM refuses is an error here."""
    program = compiled(made, keep=False)
    for reason in program.steps.refused.values():
        assert "could not be compiled" not in reason, reason
    return program


def of_graph(c: Any, made: Graph) -> Iterator[Compared]:
    """A traced program's value, gradient and second derivative, plain and optimised."""
    yield "compiled graph", program_of(made)(c.at()), made(c.at())
    gradient = made.value_and_grad()
    for name, g in (("gradient", gradient), ("optimised gradient", gradient.optimize())):
        value, slope = program_of(g)(c.at())
        yield f"value beside the compiled {name}", value, made(c.at())
        yield f"compiled {name}", slope, c.gradient()
    second = made.grad().jvp().optimize()
    yield (
        "compiled second derivative",
        program_of(second)(c.at(), c.along())[1],
        second(c.at(), c.along())[1],
    )


def of_function(c: Any, groups: Any) -> Iterator[Compared]:
    """`jit` of the program, inside of and around derivatives; `groups` of the checks below."""
    checks = [_values, _derivatives] + ([] if c.program.branches else [_mapped])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", JitWarning)  # programs whose paths depend on much
        for i, check in enumerate(checks):
            if i in groups:
                yield from check(c)


def _values(c: Any) -> Iterator[Compared]:
    f = jit(c.f)
    yield "jit", f(c.at()), c.value
    yield "jit, called again", f(c.at()), c.value
    for p in c.points:  # another path, perhaps
        yield "jit on other data", f(cr.tensor(p)), c.f(cr.tensor(p))
    yield "jit, back again", f(c.at()), c.value
    yield "jit of arrays", cr.tensor(f(c.x)), c.value
    if f.signatures[0].reason:
        c.notes["functions that run eagerly"] += 1
    c.notes["paths compiled"] += len(f.variants())


def _derivatives(c: Any) -> Iterator[Compared]:
    g = c.gradient()
    f, loss = jit(c.f), jit(c.loss)
    outside = jit(func.grad(c.loss))
    for _ in range(2):
        yield "jit of grad", outside(c.at()), g
        yield "grad of jit", func.grad(loss)(c.at()), g
    weights = cr.tensor(c.w)
    yield "grad around jit", func.grad(lambda x: cr.sum(f(x) * weights))(c.at()), g
    for p in c.points[:2]:
        x = cr.tensor(p)
        yield "jit of grad on other data", outside(x), func.grad(c.loss)(x)
        yield "grad of jit on other data", func.grad(loss)(x), func.grad(c.loss)(x)
    y, t = func.jvp(f, (c.at(),), (c.along(),))
    yield "value of jvp of jit", y, c.value
    yield "jvp of jit", np.sum(t.detach().numpy() * c.w), g @ c.v
    x = c.at().requires_grad_()
    cost = loss(x)
    if cost.requires_grad:
        (first,) = cr.autograd.grad(cost, x, create_graph=True, materialize_grads=True)
        yield "backward through jit", first, g
        second = cr.zeros_like(x)
        if first.requires_grad:
            (second,) = cr.autograd.grad(first, x, c.along(), materialize_grads=True)
        hv = func.jvp(func.grad(c.loss), (c.at(),), (c.along(),))[1]
        yield "double backward through jit", second, hv
        inside = lambda x: func.jvp(func.grad(loss), (x,), (c.along(),))[1]
        yield "second derivative of jit", inside(c.at()), hv
        yield "jit of a second derivative of jit", jit(inside)(c.at()), hv


def _mapped(c: Any) -> Iterator[Compared]:
    points = cr.tensor(c.points)
    f, loss = jit(c.f), jit(c.loss)
    values = np.stack([c.f(cr.tensor(p)).detach().numpy() for p in c.points])
    slopes = np.stack([func.grad(c.loss)(cr.tensor(p)).detach().numpy() for p in c.points])
    yield "vmap of jit", func.vmap(f)(points), values
    yield "jit of vmap", jit(func.vmap(c.f))(points), values
    yield "vmap of grad of jit", func.vmap(func.grad(loss))(points), slopes
    yield "jit of vmap of grad of jit", jit(func.vmap(func.grad(loss)))(points), slopes
    yield "grad of vmap of jit", func.grad(lambda x: func.vmap(loss)(x).sum())(points), slopes
