"""Verification: what is wrong with a graph that was built by hand, said by node."""

import pickle

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.primitive import REGISTRY, make_node
from chainrule.graph import Graph, GraphError, trace
from chainrule.transforms.tracing import abstract, constant_node, equation, input_node, picked

F64 = np.dtype(np.float64)


def node(name, *parents, **params):
    return equation(REGISTRY[name], [p.out for p in parents], parents, params, (None, -1))


def variable(name="x", shape=(3,)):
    return input_node(shape, F64, name)


def test_a_good_graph():
    x = variable()
    graph = Graph([x], [node("exp", x)])
    assert graph.verify() is graph
    np.testing.assert_allclose(graph(np.zeros(3)), np.ones(3))


def test_a_cycle():
    x = variable()
    a = node("exp", x)
    b = node("sin", a)
    a.parents = (b,)
    with pytest.raises(GraphError, match=r"cycle: .*(sin|exp).* <- .*(sin|exp)"):
        Graph([x], [b]).verify()


def test_a_node_that_needs_itself():
    x = variable()
    a = node("exp", x)
    a.parents = (a,)
    with pytest.raises(GraphError, match=r"cycle: exp .* <- exp"):
        Graph([x], [a]).verify()


def test_a_node_before_its_argument():
    x = variable()
    a = node("exp", x)
    b = node("sin", x)
    a.parents = (b,)
    with pytest.raises(GraphError, match=r"exp .*stands before its argument 0, sin"):
        Graph([x], [a]).verify()


def test_a_variable_that_is_no_input():
    x, y = variable(), variable("y")
    with pytest.raises(GraphError, match=r"the variable 'y' .* is not among its inputs"):
        Graph([x], [node("add", x, y)]).verify()


def test_an_input_twice():
    x = variable()
    with pytest.raises(GraphError, match="listed twice"):
        Graph([x, x], [node("exp", x)]).verify()


def test_two_variables_of_one_name():
    x, y = variable("a"), variable("a")
    with pytest.raises(
        GraphError, match=r"two variables .* the name 'a', one made at .*test_verif"
    ):
        Graph([x, y], [node("add", x, y)]).verify()


def test_wrong_shapes_and_dtypes():
    x = variable()
    a = node("exp", x)
    a.out, a.shape = abstract((4,), F64), (4,)
    with pytest.raises(GraphError, match=r"result is float64\[4\], but it is float64\[3\]"):
        Graph([x], [a]).verify()
    b = node("exp", x)
    b.out, b.dtype = abstract((3,), np.float32), np.dtype(np.float32)
    with pytest.raises(GraphError, match=r"result is float32\[3\], but it is float64\[3\]"):
        Graph([x], [b]).verify()
    c = node("exp", x)
    c.args = (abstract((2,), F64),)
    with pytest.raises(GraphError, match=r"expects float64\[2\] as its argument 0, but gets"):
        Graph([x], [c]).verify()


def test_wrong_numbers_of_arguments_and_results():
    x = variable()
    a = make_node(REGISTRY["add"], (x.out,), x.out, {}, (x,), (None, -1))
    a.shape, a.dtype = (3,), F64
    with pytest.raises(GraphError, match="has 1 arguments, but takes 2"):
        Graph([x], [a]).verify()
    b = node("exp", x)
    b.parents = (x, x)
    with pytest.raises(GraphError, match="has 1 arguments, but 2 parents"):
        Graph([x], [b]).verify()
    c = node("exp", x)
    c.params = {"axis": 1}
    with pytest.raises(GraphError, match="takes no parameters, but has axis"):
        Graph([x], [c]).verify()
    d = node("sum", x, axis=(0,), keepdims=False)
    d.params = {"axis": ("first",), "keepdims": False}
    with pytest.raises(GraphError, match=r"sum .*does not fit its arguments"):
        Graph([x], [d]).verify()


def test_a_tuple_as_an_argument():
    x = variable("x", (3, 3))
    both = node("slogdet", x)
    assert both.shape is None
    right = node("exp", picked(both, 1))
    Graph([x], [right]).verify()
    wrong = node("exp", picked(both, 1))
    wrong.parents = (both,)
    with pytest.raises(GraphError, match="takes the tuple of outputs of slogdet"):
        Graph([x], [wrong]).verify()


def test_an_output_that_is_an_input_or_constant():
    x = variable()
    graph = Graph([x], [x, constant_node(2.0)]).verify()
    assert float(graph(np.ones(3))[1]) == 2.0


def test_what_stores_say_of_hand_made_graphs():
    x = variable()
    a = node("exp", x)
    a.out, a.shape = abstract((4,), F64), (4,)
    with pytest.raises(GraphError, match="result is"):
        pickle.loads(pickle.dumps(Graph([x], [a])))


@pytest.mark.parametrize("n", [100_000])
def test_enormous_graphs(n):
    def f(x):
        for _ in range(n // 2):
            x = x * 0.5 + 1.0
        return x

    graph = trace(f, 1.0).verify()
    assert len(graph) == n + 1
    assert float(graph(1.0)) == 2.0
    text = str(graph)
    assert len(text.splitlines()) == 1003
    assert f"... {n + 1 - 1000} more lines" in text
    assert len(pickle.loads(pickle.dumps(graph))) == n + 1
    assert float(graph.grad("x")(1.0)) == 0.0  # 0.5 to the power of n/2


def test_many_variables():
    def f(*xs):
        total = xs[0]
        for x in xs[1:]:
            total = total + x
        return total

    graph = trace(f, *[1.0] * 3000).verify()
    assert float(graph(*[2.0] * 3000)) == 6000.0
    assert len(graph.grad()(*[2.0] * 3000)) == 3000
    assert cr.graph.Graph.__len__(pickle.loads(pickle.dumps(graph))) == len(graph)
