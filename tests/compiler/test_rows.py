"""Nests that share rows: rows kept on the stack, and sums over the rows in the same pass."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.func import grad
from chainrule.nn import functional as F

pytest.importorskip("llvmlite")
from chainrule.compiler.execute import compiled

Arrays = tuple[np.ndarray, ...]


def least_squares(w: Any, m: Any, s: Any) -> Any:
    return 0.5 * ((s - m @ w) ** 2).sum()


def layer_norm(w: Any, m: Any, s: Any) -> Any:
    return (F.layer_norm(m, (m.shape[1],), w, w) * m * s[:, None]).sum()


PROGRAMS: dict[str, Any] = {
    "least squares": grad(least_squares),
    "layer norm": grad(layer_norm, argnums=(0, 1)),
    "largest of a column": lambda w, m, s: cr.softmax(m * s[:, None], 1).amax(0),
    "least of a column": lambda w, m, s: (m - m.sum(1, keepdims=True)).amin(0) * w,
    "three axes": lambda w, m, s: cr.softmax(
        cr.reshape(m, (m.shape[0], -1, 1)) * cr.reshape(w[:16], (1, 1, 16)), 1
    ).sum(0),
}


def inputs(n: int, m: int, dtype: Any) -> Arrays:
    rng = np.random.default_rng(n * m)
    return tuple(rng.standard_normal(shape).astype(dtype) for shape in (m, (n, m), n))


def over_rows(program: Any) -> int:
    return sum(nest.over_rows for step in program.steps.steps for nest in step.kernel.nests)


def check(name: str, args: Arrays) -> Any:
    graph = cr.graph.trace(PROGRAMS[name], *args).optimize()
    program = compiled(graph)
    assert not program.report().calls
    wanted, found = graph(*args), program(*args)
    pairs = zip(wanted, found, strict=True) if isinstance(wanted, tuple) else [(wanted, found)]
    for a, b in pairs:
        limit = 1e3 * np.finfo(a.dtype).eps
        np.testing.assert_allclose(a, b, rtol=limit, atol=limit * np.abs(a).max())
    return program


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(33, 64), (64, 64), (257, 65), (1000, 100), (5000, 17)])
@pytest.mark.parametrize("name", PROGRAMS)
def test_results(name: str, shape: tuple[int, int], dtype: Any) -> None:
    check(name, inputs(*shape, dtype))


@pytest.mark.parametrize("name", PROGRAMS)
def test_one_pass(name: str) -> None:
    program = check(name, inputs(300, 128, np.float64))
    assert over_rows(program) == 1
    (first, *_) = program.steps.steps
    assert len(first.kernel.nests) > 1


def test_rows_take_no_memory() -> None:
    x = np.random.default_rng(0).standard_normal((500, 1000))
    program = compiled(cr.graph.trace(lambda x: cr.softmax(x, 1), x))
    assert program.steps.scratch < x.nbytes / 100
    np.testing.assert_allclose(program(x), F.softmax(cr.tensor(x), 1).numpy(), rtol=1e-13)


def test_what_is_needed_later_is_whole() -> None:
    x = np.random.default_rng(0).standard_normal((100, 200))
    graph = cr.graph.trace(lambda x: (lambda y: (y, y.sum(0), y.T @ y))(cr.softmax(x, 1)), x)
    for wanted, found in zip(graph(x), compiled(graph)(x), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_sums_over_rows_do_not_depend_on_the_division() -> None:
    args = inputs(1000, 200, np.float64)
    program = compiled(cr.graph.trace(PROGRAMS["layer norm"], *args).optimize())
    (step,) = [s for s in program.steps.steps if any(n.over_rows for n in s.kernel.nests)]
    assert step.kernel.trip > 1  # threads share the sections, whatever their number
    first = program(*args)
    for a, b in zip(first, program(*args), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("rows", "fetched"), [(300, True), (8, False)])
def test_the_next_row_is_fetched_where_rows_are_not_in_the_cache(rows, fetched):
    program = check("layer norm", inputs(rows, 1024, np.float64))
    assert ("llvm.prefetch" in program.report().ir) == fetched
