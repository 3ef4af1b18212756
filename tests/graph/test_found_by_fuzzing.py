"""Programs on which tracing, running or extending a graph once went wrong."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import func
from chainrule.graph import trace

X = np.array([1.0, 2.0, 3.0])
ONES = cr.ones(3, dtype=cr.float64)
WEIGHTS = cr.tensor([1.0, 2.0, 5.0], dtype=cr.float64)
EYE = 2 * cr.eye(3, dtype=cr.float64)


def point():
    return cr.tensor(X)


DIFFERENTIATES_BY_A_CONSTANT = {
    "grad": lambda x: func.grad(lambda u: cr.sum(u * u * x))(ONES),
    "vjp": lambda x: func.vjp(lambda u: u * u * x, ONES)[1](x)[0],
    "jacrev": lambda x: cr.sum(func.jacrev(lambda u: u * u * x)(ONES), 0),
    "linearize": lambda x: func.linearize(lambda u: u * u * x, ONES)[1](x),
    "vmap of grad": lambda x: func.vmap(func.grad(lambda u: cr.sum(u * u * x[0])))(ONES),
}
CROSSES_INTO_A_VMAP = {
    "vjp": lambda v: func.vmap(lambda e: func.vjp(lambda u: cr.sin(u) * e, v)[1](v)[0])(EYE),
    "jacfwd of grad": lambda v: func.jacfwd(func.grad(lambda u: cr.sum(cr.sin(u))))(v),
    "jacfwd of vjp": lambda v: func.jacfwd(lambda u: func.vjp(cr.sin, u)[1](v)[0])(v),
    "hessian": lambda v: func.hessian(lambda u: cr.sum(cr.sin(u) * v))(v),
}
PROGRAMS = {**DIFFERENTIATES_BY_A_CONSTANT, **CROSSES_INTO_A_VMAP}


@pytest.mark.parametrize("name", PROGRAMS)
def test_transforms_inside_a_trace(name):
    """Of constants, whose alias once became an input; of values that cross into a vmap."""
    f = PROGRAMS[name]
    graph = trace(f, point()).verify()
    assert graph.input_names in (["x"], ["v"])
    np.testing.assert_allclose(graph(point()).numpy(), f(point()).numpy(), rtol=1e-12)

    def loss(x):
        return cr.sum(f(x) * WEIGHTS)

    found = trace(loss, point()).grad()(point())
    np.testing.assert_allclose(found.numpy(), func.grad(loss)(point()).numpy(), rtol=1e-12)


def test_a_constant_mask_indexes_a_traced_tensor():
    mask = cr.tensor([True, False, True])
    graph = trace(lambda x: x[mask] * 2, point()).verify()
    np.testing.assert_array_equal(graph(point()).numpy(), [2.0, 6.0])
    with pytest.raises(RuntimeError, match="values of"):
        trace(lambda x: x[x > 0], point())


def test_constants_are_what_they_were_when_met():
    def f(x):
        v = cr.zeros(3, dtype=cr.float64)
        y = x + v
        v += 1
        return y * v

    graph = trace(f, point())
    np.testing.assert_array_equal(graph(point()).numpy(), f(point()).numpy())
    array, tensor = np.zeros(3), cr.ones(3, dtype=cr.float64)
    graph = trace(lambda x: x + array + tensor, point())
    array += 1
    tensor += 1
    np.testing.assert_array_equal(graph(point()).numpy(), X + 1)


@pytest.mark.parametrize("recorded", [False, True])
def test_outputs_share_memory_with_nothing(recorded):
    constant = cr.ones(3, dtype=cr.float64)

    def f(x):
        return x * 1, x.exp(), x.exp(), constant, x.reshape(3, 1)

    graph = trace(f, point()).optimize()
    x = point().requires_grad_(recorded)
    outs = graph(x)
    expected = [y.detach().numpy().copy() for y in outs]
    for i, y in enumerate(outs):
        with cr.no_grad():
            y += 1
        for j, other in enumerate(outs):
            want = expected[j] + (j <= i)
            np.testing.assert_array_equal(other.detach().numpy(), want)
    np.testing.assert_array_equal(x.detach().numpy(), X)
    np.testing.assert_array_equal(graph(x)[3].detach().numpy(), np.ones(3))


def test_outputs_that_are_inputs_have_gradients():
    graph = trace(lambda x: x * 1, point()).optimize()
    np.testing.assert_array_equal(func.grad(lambda x: cr.sum(graph(x) * x))(point()).numpy(), 2 * X)
    np.testing.assert_array_equal(func.vmap(graph)(EYE).numpy(), EYE.numpy())
    again = trace(lambda x: graph(x) + x, point())
    np.testing.assert_array_equal(again(point()).numpy(), 2 * X)
