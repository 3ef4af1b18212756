"""Losses of classes: compiled = evaluated, with weights, ignored targets, and wrong classes."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import chainrule.nn.functional as F
from chainrule.compiler.execute import compiled
from tests.compiler.inputs import ordinary
from tests.compiler.programs import both, trace


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("shape", [(9, 4), (3, 5, 7), (40, 600)])
def test_cross_entropy(shape, reduction, weighted, dtype):
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


def test_all_targets_are_ignored():
    x, y = ordinary((4, 3), "float64", 0), np.full(4, -100)
    graph = trace(lambda x, y: F.nll_loss(x, y), x, y).value_and_grad("x")
    _program, found, wanted = both(graph, x, y)
    assert np.isnan(found[0])
    assert np.isnan(wanted[0])
    np.testing.assert_array_equal(found[1], wanted[1])


@pytest.mark.parametrize("bad", [3, -1])
def test_a_target_that_is_no_class_raises(bad):
    x, y = ordinary((4, 3), "float64", 0), np.array([0, 1, 2, 0])
    program = compiled(trace(lambda x, y: F.cross_entropy(x, y), x, y).value_and_grad("x"))
    assert not program.steps.refused
    with pytest.raises(IndexError, match="out of bounds"):
        program.run([x, np.array([0, bad, 2, 0])])
