"""Graphs of random programs: traced, run, optimised, differentiated, taken from the tape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import chainrule as cr
from chainrule import func, graph
from chainrule.graph import Graph
from tests.graph.passes.ulps import apart

ULPS = 4
Compared = tuple[str, Any, Any]


class Different(AssertionError):  # noqa: N818 - says what is wrong
    """Two ways to compute the same differ in more than their last bits."""


def close(name: str, found: Any, expected: Any) -> None:
    """Raise if two results differ by more than a few units in the last place."""
    a, b = (np.asarray(x.detach().numpy()) for x in (found, expected))
    if a.shape != b.shape or a.dtype != b.dtype:
        raise Different(f"{name}: {a.dtype}{a.shape} and {b.dtype}{b.shape}")
    distance = apart(a, b, zeros=False)
    if distance > ULPS:
        raise Different(f"{name}: {a} and {b} are {distance} ulp apart")


def traced(c: Any, made: Graph) -> Iterator[Compared]:
    """The program as a graph: its value, optimised too, and its derivatives, optimised too."""
    value = made.verify()(c.at())
    yield "value of a graph", value, c.loss(c.at())
    optimised = made.optimize()
    close("value of an optimised graph", optimised(c.at()), value)
    gradient = made.grad()
    g = gradient(c.at())
    yield "gradient of a graph", g, c.gradient()
    close("optimised gradient", gradient.optimize()(c.at()), g)
    yield "gradient of an optimised graph", optimised.grad()(c.at()), g
    fast = made.optimize(fast=True)
    yield "value of a graph optimised fast", fast(c.at()), value
    yield "gradient of a graph optimised fast", fast.grad()(c.at()), g
    tangent = made.jvp()
    _, t = tangent(c.at(), c.along())
    yield "jvp of a graph", t, c.gradient() @ c.v
    close("optimised jvp", tangent.optimize()(c.at(), c.along())[1], t)
    yield "graph as a function", func.grad(lambda x: optimised(x))(c.at()), g
    if not c.program.branches:
        other = cr.tensor(c.points[0])
        yield "a graph on other data", optimised(other), c.loss(other)


def second(c: Any, made: Graph, hv: Any) -> Iterator[Compared]:
    """The graph of the gradient, differentiated."""
    made = made.optimize().grad().jvp()
    found = made(c.at(), c.along())[1]
    yield "jvp of a gradient graph", found, hv
    close("optimised second derivative", made.optimize()(c.at(), c.along())[1], found)


def recorded(c: Any) -> Iterator[Compared]:
    """The graph of a run, from the tape: same data, and other data where the path is the same."""
    x = c.at().requires_grad_()
    with graph.keep_everything():
        loss = c.loss(x)
    if not loss.requires_grad:
        return
    made = Graph.of(loss, names={"x": x}).verify()
    if made.input_names != ["x"]:
        return
    close("rerun of a tape", made(c.at()), loss)
    yield "gradient of a tape's graph", made.grad()(c.at()), c.gradient()
    close("rerun of an optimised tape", made.optimize()(c.at()), loss)
    if not c.program.branches:
        other = cr.tensor(c.points[0])
        yield "a tape's graph on other data", made(other), c.loss(other)
