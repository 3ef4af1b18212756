"""Derivatives of graphs by extension: against differences, the eager engine, textbooks."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.graph import trace

RNG = np.random.default_rng(3)


def test_the_textbook_example():
    graph = trace(lambda x1, x2: cr.log(x1) + x1 * x2 - cr.sin(x2), 2.0, 5.0)
    value, d1, d2 = graph.value_and_grad()(2.0, 5.0)
    np.testing.assert_allclose(float(value), np.log(2) + 10 - np.sin(5))
    np.testing.assert_allclose([float(d1), float(d2)], [5.5, 2 - np.cos(5)])
    out, tan = graph.jvp("x1")(2.0, 5.0, 1.0)
    np.testing.assert_allclose([float(out), float(tan)], [float(value), 5.5])


def test_the_product_of_exponentials():
    graph = trace(lambda x: (cr.exp(x) + 1) * cr.exp(x), 0.5)
    e = np.exp(0.5)
    first = graph.grad("x")
    np.testing.assert_allclose(float(first(0.5)), 2 * e * e + e)
    np.testing.assert_allclose(float(first.grad("x")(0.5)), 4 * e * e + e)
    assert {r.kind for r in first.roles.values()} <= {"adjoint", "partial"}
    of = {first.names[n]: first.names.get(r.of) for n, r in first.roles.items()}
    assert all(name == f"adj_{node}" or node is None for name, node in of.items() if "adj" in name)


def test_orders_of_a_power():
    graph = trace(lambda x: x**3, 2.0)
    for want in (12.0, 12.0, 6.0, 0.0, 0.0):
        graph = graph.grad("x").verify()
        assert float(graph(2.0)) == want


@pytest.mark.parametrize("seed", range(4))
def test_against_differences(seed):
    rng = np.random.default_rng(seed)
    w = rng.normal(size=(3, 3))

    def f(x):
        return (cr.tanh(w @ x) * cr.exp(-x * x)).sum() + cr.logsumexp(x, 0)

    x, d = rng.normal(size=3), rng.normal(size=3)
    graph = trace(f, x)
    h = 1e-6
    slope = (float(graph(x + h * d)) - float(graph(x - h * d))) / (2 * h)
    np.testing.assert_allclose(graph.grad("x")(x) @ d, slope, rtol=1e-7)
    np.testing.assert_allclose(float(graph.jvp()(x, d)[1]), slope, rtol=1e-7)
    gradient = graph.grad("x")
    along = (gradient(x + h * d) - gradient(x - h * d)) / (2 * h)
    np.testing.assert_allclose(gradient.vjp()(x, d), along, rtol=1e-6)  # a symmetric Hessian
    np.testing.assert_allclose(gradient.jvp()(x, d)[1], along, rtol=1e-6)


def test_pullback_and_pushforward_are_adjoint():
    graph = trace(lambda x, y: (x @ y, x.sum(dim=0) * y[0, 0]), np.ones((2, 3)), np.ones((3, 4)))
    x, y = RNG.normal(size=(2, 3)), RNG.normal(size=(3, 4))
    tx, ty = RNG.normal(size=(2, 3)), RNG.normal(size=(3, 4))
    c1, c2 = RNG.normal(size=(2, 4)), RNG.normal(size=3)
    _, _, t1, t2 = graph.jvp()(x, y, tx, ty)
    gx, gy = graph.vjp()(x, y, c1, c2)
    np.testing.assert_allclose((c1 * t1).sum() + (c2 * t2).sum(), (gx * tx).sum() + (gy * ty).sum())


def test_choices_of_inputs():
    graph = trace(lambda x, y, n: x * y * n.sum(), 2.0, 3.0, np.arange(3))
    for wrt in ("y", 1, graph.inputs[1]):
        assert float(graph.grad(wrt)(2.0, 3.0, np.arange(3))) == 6.0
    assert [float(g) for g in graph.grad(["y", "x"])(2.0, 3.0, np.arange(3))] == [6.0, 9.0]
    assert len(graph.grad()(2.0, 3.0, np.arange(3))) == 2
    with pytest.raises(RuntimeError, match="'n' is int64"):
        graph.grad("n")
    with pytest.raises(RuntimeError, match="'z' is no input of the graph, which has x, y, n"):
        graph.grad("z")


def test_outputs_that_have_no_gradient():
    with pytest.raises(RuntimeError, match=r"scalar outputs; .* have shapes \[2\].*vjp"):
        trace(lambda x: x * x, np.ones(2)).grad()
    with pytest.raises(RuntimeError, match="is complex128"):
        trace(lambda x: x * 1j, 1.0).grad()
    with pytest.raises(RuntimeError, match="is int64"):
        trace(lambda x: (x > 0).sum(), np.ones(2)).grad()
    with pytest.raises(RuntimeError, match="no input that is not an integer"):
        trace(lambda x: (x * 2.0).sum(), np.arange(2)).grad()


def test_inputs_without_influence():
    graph = trace(lambda x, y: (x * 2).sum(), np.ones(2), np.ones((3, 4)))
    gx, gy = graph.grad()(np.ones(2), np.ones((3, 4)))
    np.testing.assert_array_equal(gx, [2.0, 2.0])
    np.testing.assert_array_equal(gy, np.zeros((3, 4)))


def test_a_zero_cotangent_wins():
    graph = trace(lambda x: cr.where(x > 0, cr.sqrt(x), 0.0).sum(), np.ones(2))
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(graph.grad("x")(np.array([4.0, 0.0])), [0.25, 0.0])


def test_names_of_cotangents_that_are_taken():
    graph = trace(lambda ct, tan_ct: ct * tan_ct, 1.0, 1.0)
    assert len(set(graph.vjp().input_names)) == 3
    assert len(set(graph.jvp().verify().input_names)) == 4
    assert float(graph.vjp("ct")(2.0, 3.0, 1.0)) == 3.0
