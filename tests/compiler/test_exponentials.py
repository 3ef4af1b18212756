"""Gradients of logsumexp and its kin take one exponential, and special values come out right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.func import grad

pytest.importorskip("llvmlite")
from chainrule.compiler.execute import compiled

INF, NAN = np.inf, np.nan
WEIGHTS = np.linspace(0.5, 2.0, 12).reshape(3, 4)
FUNCTIONS: dict[str, Any] = {
    "logsumexp of all": lambda x: cr.logsumexp(x, (0, 1)),
    "logsumexp of rows": lambda x: (cr.logsumexp(x, 1) * 2.0).sum(),
    "logsumexp of columns": lambda x: (cr.logsumexp(x, 0, keepdim=True) * 2.0).sum(),
    "log_softmax": lambda x: (cr.log_softmax(x, 1) * WEIGHTS[: x.shape[0], : x.shape[1]]).sum(),
    "of a square": lambda x: cr.logsumexp(x * x, 1).sum(),
}
ROWS = {
    "ordinary": [0.5, -1.0, 2.0, 0.25],
    "large": [800.0, 799.0, 1e300, -5.0],
    "all -inf": [-INF] * 4,
    "some -inf": [-INF, 1.0, -INF, 2.0],
    "inf": [INF, 800.0, 0.0, -INF],
    "nan": [NAN, 1.0, 2.0, 3.0],
}


def exponentials(program: Any) -> int:
    return sum(
        c.op == "exp"
        for step in program.steps.steps
        for nest in getattr(step, "kernel").nests  # noqa: B009 - every step is a kernel
        for c in nest.code
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradient_takes_one_exponential(name: str, dtype: Any) -> None:
    x = np.random.default_rng(0).standard_normal((3, 4)).astype(dtype) * 5
    graph = cr.graph.trace(grad(FUNCTIONS[name]), x).optimize()
    program = compiled(graph)
    assert exponentials(program) == 1
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(program.run([x])[0], graph(x), rtol=200 * eps, atol=20 * eps)


@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_special_values(name: str, row: str) -> None:
    x = np.array([ROWS["ordinary"], ROWS[row], ROWS["ordinary"][::-1]])
    graph = cr.graph.trace(grad(FUNCTIONS[name]), x).optimize()
    found = compiled(graph).run([x])[0]
    np.testing.assert_allclose(found, graph(x), rtol=1e-13, atol=1e-300)


def test_other_differences_keep_their_exponential() -> None:
    x, y = np.random.default_rng(0).standard_normal((2, 4, 4))
    for f in (
        lambda x, y: cr.exp(x - cr.logsumexp(x, 0)),  # along the other axis
        lambda x, y: cr.exp(y - cr.logsumexp(x, 1, keepdim=True)),
        lambda x, y: cr.exp(x - cr.logsumexp(x, 1)),
    ):
        graph = cr.graph.trace(f, x, y).optimize()
        np.testing.assert_allclose(compiled(graph).run([x, y])[0], graph(x, y), rtol=1e-13)
