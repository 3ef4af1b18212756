"""Graphs of live tapes: what the tape knows, what it does not, and what it must not be."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.graph import Graph, keep_everything


def leaf(*values):
    return cr.tensor(values, dtype=cr.float64, requires_grad=True)


def test_names_are_the_callers_variables():
    weight = leaf(1.0, 2.0)
    bias = leaf(3.0, 4.0)
    graph = Graph.of((weight * bias).sum()).verify()
    assert graph.input_names == ["weight", "bias"]
    assert Graph.of((weight * bias).sum(), names={"w": weight}).input_names[0] == "w"


def test_values_of_the_run():
    x = leaf(1.0, 2.0)
    y = (x.exp() * x).sum()
    graph = Graph.of(y)
    known = {graph.names[n]: v for n, v in graph.values.items()}
    np.testing.assert_allclose(known["x"], [1.0, 2.0])
    np.testing.assert_allclose(known[graph.names[graph.outputs[0]]], y.detach())
    with keep_everything():
        graph = Graph.of((x + 1).sin())
    assert len(graph.values) == len([n for n in graph if n.shape is not None])


def test_constants_that_the_tape_dropped():
    x = leaf(1.0, 2.0)
    graph = Graph.of(x + cr.tensor([3.0, 4.0]))
    assert str(graph)
    with pytest.raises(RuntimeError, match="keep_everything"):
        graph(np.ones(2))
    with keep_everything():
        y = x + cr.tensor([3.0, 4.0])
    np.testing.assert_allclose(Graph.of(y)(np.ones(2)), [4.0, 5.0])


@pytest.mark.parametrize(
    "f",
    [
        lambda x: (x * x).sum(),
        lambda x: cr.nn.functional.layer_norm(x[None], (3,)).pow(2).sum(),
        lambda x: cr.linalg.svd(x[:, None] * x).S.sum(),
        lambda x: x.max(dim=0)[0] * x.sort()[0].sum(),
        lambda x: cr.nn.functional.linear(x[None], cr.ones(2, 3, dtype=cr.float64)).sum(),
        lambda x: (x.float() * 2).sum().double(),
        lambda x: x[[0, 0, 2]].prod(),
    ],
)
def test_gradients(f):
    x = leaf(0.5, 1.5, -0.7)
    with keep_everything():
        y = f(x)
    graph = Graph.of(y, names={"x": x}).verify()
    y.backward(retain_graph=True)
    np.testing.assert_allclose(graph.grad("x")(x.detach()), x.grad, rtol=1e-6)
    np.testing.assert_allclose(graph(x.detach()), y.detach(), rtol=1e-6)
    other = cr.tensor([0.2, 1.1, -0.3], dtype=cr.float64)  # in the same order: a tape is one path
    np.testing.assert_allclose(graph(other), f(other), rtol=1e-6)


def test_writes_in_place():
    x = leaf(1.0, 2.0)
    with keep_everything():
        y = x * 2
        y[0] = 5.0
        y += x
    graph = Graph.of(y.sum(), names={"x": x}).verify()
    np.testing.assert_allclose(float(graph(np.array([3.0, 4.0]))), 5 + 3 + 8 + 4)
    np.testing.assert_allclose(graph.grad("x")(np.ones(2)), [1.0, 3.0])


def test_several_outputs_share_nodes():
    x = leaf(1.0, 2.0)
    e = x.exp()
    graph = Graph.of(e, e.sum(), x)
    assert graph.operations == 2
    found = graph(np.zeros(2))
    np.testing.assert_allclose(found[0], np.ones(2))
    np.testing.assert_allclose(found[1], 2.0)


def test_a_leaf_alone():
    x = leaf(1.0)
    graph = Graph.of(x).verify()
    assert graph.outputs == graph.inputs


def test_bad_input():
    with pytest.raises(TypeError, match="got none"):
        Graph.of()
    with pytest.raises(TypeError, match="got float"):
        Graph.of(3.0)
    with pytest.raises(RuntimeError, match="does not require grad"):
        Graph.of(cr.ones(2))
    with pytest.raises(RuntimeError, match="running vmap"):
        cr.func.vmap(lambda t: Graph.of(t))(cr.ones(2))


def test_the_tape_stays_as_it_was():
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    Graph.of(y).grad("x")
    y.backward()
    np.testing.assert_allclose(x.grad, [2.0, 4.0])
