"""What the compiler's tests share: compiled and evaluated results, and how far apart they are."""

from __future__ import annotations

import numpy as np

import chainrule as cr
from chainrule.compiler.execute import compiled
from chainrule.compiler.lowering import FUNCTIONS
from chainrule.compiler.values import MAP, REDUCE
from chainrule.graph.run import evaluate, plan_of


def both(graph, *arrays):
    """The program, its results, and those of evaluation, as lists of arrays."""
    program = compiled(graph)
    with np.errstate(all="ignore"):
        found = program.run(list(arrays))
        wanted = evaluate(plan_of(graph), list(arrays))
    return program, found, wanted


def ulps(found, wanted):
    """The largest distance in units of the last place; inf where one is nan and the other not."""
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert found.shape == wanted.shape
    assert found.dtype == wanted.dtype
    if found.dtype.kind != "f":
        return 0 if np.array_equal(found, wanted) else np.inf
    found, wanted = np.atleast_1d(found).ravel(), np.atleast_1d(wanted).ravel()
    nan = np.isnan(found)
    if not np.array_equal(nan, np.isnan(wanted)):
        return np.inf
    bits = np.int32 if found.dtype.itemsize == 4 else np.int64

    def ordered(x):
        """Integers in the order of the numbers; both zeros are 0."""
        raw = x[~nan].view(bits)
        return np.where(raw < 0, np.iinfo(bits).min - raw, raw).astype(object)

    apart = np.abs(ordered(found) - ordered(wanted))
    return int(apart.max()) if apart.size else 0


def functions_in(steps):
    """The elementary functions that the kernels of a program contain."""
    return {
        c.op
        for step in steps.steps
        if hasattr(step, "kernel")
        for nest in step.kernel.nests
        for c in nest.code
        if c.op in FUNCTIONS
    }


def trace(f, *examples):
    return cr.graph.trace(f, *examples)


__all__ = ["MAP", "REDUCE", "both", "functions_in", "trace", "ulps"]
