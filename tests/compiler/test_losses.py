"""Losses of classes: compiled = evaluated, with weights, ignored targets, and wrong classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import chainrule as cr
from chainrule.compiler.execute import compiled
from chainrule.func import grad
from chainrule.nn import functional as F
from tests.compiler.inputs import ordinary
from tests.compiler.programs import both, trace

TARGETS = {
    "rows": np.array([0, 2, 1, 3, 3, 0, 1, 2, 2]),
    "ignored": np.array([0, -100, 1, 3, 3, -100, 1, 2, 2]),
    "all ignored": np.full(9, -100),
    "with places": np.arange(18).reshape(9, 2) * 7 % 4,
}


@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", TARGETS)
def test_value_and_gradient(name: str, reduction: str, weighted: bool, dtype: Any) -> None:
    target = TARGETS[name]
    rng = np.random.default_rng(0)
    x = rng.standard_normal((9, 4, *target.shape[1:])).astype(dtype)
    weight = rng.uniform(0.5, 2, 4).astype(dtype) if weighted else None

    def loss(x: Any, target: Any, weight: Any = None) -> Any:
        return F.cross_entropy(x, target, weight, reduction=reduction).sum()

    args = (x, target) if weight is None else (x, target, weight)
    for f in (loss, grad(loss)):
        graph = cr.graph.trace(f, *args).optimize()
        program = compiled(graph)
        assert not program.report().calls
        limit = 50 * np.finfo(dtype).eps
        np.testing.assert_allclose(program(*args), graph(*args), rtol=limit, atol=limit)


@pytest.mark.parametrize("bad", [4, -1])
def test_target_out_of_bounds(bad: int) -> None:
    x, target = np.ones((3, 4)), np.array([0, 1, 2])
    for f in (F.cross_entropy, grad(F.cross_entropy)):
        program = compiled(cr.graph.trace(f, x, target).optimize())
        assert not program.report().calls
        program(x, target)
        with pytest.raises(IndexError, match=f"Target {bad} is out of bounds"):
            program(x, np.array([0, bad, 2]))
        program(x, target)


def test_the_sum_over_classes_is_the_one_entry() -> None:
    x, target = np.random.default_rng(0).standard_normal((70, 80)), np.arange(70)
    graph = cr.graph.trace(grad(F.cross_entropy), x, target).optimize()
    program = compiled(graph)
    sums = [
        r
        for step in program.steps.steps
        for nest in step.kernel.nests
        for r in nest.reductions
        if r.op == "sum" and nest.extents == (70, 80)
    ]
    assert len(sums) == 1  # of exponentials
    np.testing.assert_allclose(program(x, target), graph(x, target), rtol=1e-12, atol=1e-18)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("shape", [(9, 4), (3, 5, 7), (40, 600)])
def test_many_classes_and_places(shape, reduction, weighted, dtype):
    rng = np.random.default_rng(0)
    x = ordinary(shape, dtype, 0)
    y = rng.integers(0, shape[1], (shape[0], *shape[2:]))
    y[1] = -100
    weight = np.linspace(0, 2, shape[1]).astype(dtype)

    def f(x, y, weight):
        w = weight if weighted else None
        loss = F.cross_entropy(x, y, weight=w, reduction=reduction)
        return (loss * loss).sum() if reduction == "none" else loss

    graph = trace(f, x, y, weight).value_and_grad("x").optimize()
    program, found, wanted = both(graph, x, y, weight)
    assert not program.steps.refused
    eps = np.finfo(dtype).eps
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == b.dtype
        scale = float(np.abs(b).max())
        np.testing.assert_allclose(a, b, rtol=200 * eps, atol=50 * eps * scale)
