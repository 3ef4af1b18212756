"""Values for the inputs of a graph: by position and by name, and what does not fit."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.graph import Graph, trace

X = np.array([1.0, 2.0])


@pytest.fixture
def graph():
    return trace(lambda x, factor: x * factor, X, 2.0)


def test_ways_to_give_values(graph):
    for found in (
        graph(X, 3.0), graph.bind(x=X, factor=3.0),
        graph.bind({"x": X, "factor": 3.0}), graph.bind({"x": X}, factor=3.0),
        graph(cr.tensor(X), cr.tensor(3.0)),
    ):  # fmt: skip
        np.testing.assert_array_equal(found, [3.0, 6.0])
    np.testing.assert_array_equal(graph.bind(x=[1, 2], factor=3), [3.0, 6.0])


def test_a_flat_graph_takes_positions_or_names():
    x = cr.tensor(X, requires_grad=True)
    y = cr.tensor(X, requires_grad=True)
    graph = Graph.of(x * y, names={"x": x, "y": y})
    np.testing.assert_array_equal(graph(X, X), [1.0, 4.0])
    np.testing.assert_array_equal(graph(x=X, y=X), [1.0, 4.0])
    with pytest.raises(TypeError, match="all by position or all by name"):
        graph(X, y=X)
    with pytest.raises(TypeError, match=r"takes 2 values \(x, y\), got 1"):
        graph(X)


def test_names_that_do_not_fit(graph):
    with pytest.raises(TypeError, match=r"'factor' is unbound: .*bind\(x=..., factor=...\)"):
        graph.bind(x=X)
    with pytest.raises(TypeError, match="'x', 'factor' are unbound"):
        graph.bind()
    with pytest.raises(TypeError, match="'x' is given twice, in the mapping and by keyword"):
        graph.bind({"x": X}, x=X, factor=1.0)
    with pytest.raises(TypeError, match=r"'factr' is no variable .*did you mean 'factor'"):
        graph.bind(x=X, factr=1.0)
    with pytest.raises(TypeError, match="got a ndarray"):
        graph.bind(X)
    with pytest.raises(TypeError, match="do not have the structure"):
        graph(X, 1.0, 2.0)
    with pytest.raises(TypeError):
        graph(X, X, x=X)


def test_names_that_are_no_identifiers():
    graph = trace(lambda p: p["w"] * p["b"], {"w": X, "b": 2.0})
    np.testing.assert_array_equal(graph.bind({"p['w']": X, "p['b']": 3.0}), [3.0, 6.0])
    with pytest.raises(TypeError, match=r"""bind\({"p\['w'\]": ..., "p\['b'\]": ...}\)"""):
        graph.bind()


@pytest.mark.parametrize("value", [None, "x", {1}, object(), [1, "x"], [[1], [1, 2]], [None, 1]])
def test_values_that_are_no_numbers(graph, value):
    with pytest.raises(TypeError, match="the value of 'x' is a"):
        graph.bind(x=value, factor=1.0)


def test_shapes_and_dtypes(graph):
    with pytest.raises(
        RuntimeError, match=r"'x' has shape \[3\], but the graph was made for \[2\]"
    ):
        graph(np.ones(3), 1.0)
    with pytest.raises(RuntimeError, match=r"'x' has shape \[\]"):
        graph(1.0, 1.0)
    with pytest.raises(RuntimeError, match=r"'x' is complex128, .* float64, which cannot hold it"):
        graph(X * 1j, 1.0)
    with pytest.raises(RuntimeError, match="complex"):
        cr.func.vmap(lambda z: graph(z, 1.0))(cr.tensor(np.ones((2, 2)) * 1j))
    whole = trace(lambda i: i * 2, np.arange(2))
    with pytest.raises(RuntimeError, match=r"'i' is float64, .* int64, which cannot hold it"):
        whole(X)
    flag = trace(lambda m: ~m, np.array([True, False]))
    with pytest.raises(RuntimeError, match=r"'m' is int64, .* bool"):
        flag(np.arange(2))
    assert graph(X.astype(np.float32), 1.0).dtype == np.float64
    assert graph(np.arange(2), 1.0).dtype == np.float64
    assert whole(np.array([True, False])).dtype == np.int64


def test_values_that_are_not_finite(graph):
    np.testing.assert_array_equal(graph(np.array([np.nan, np.inf]), 2.0), [np.nan, np.inf])


def test_arrays_that_mean_something_else(graph):
    with pytest.raises(TypeError, match="masked"):
        graph.bind(x=np.ma.masked_array(X), factor=1.0)


def test_data_is_not_changed_and_results_are_the_callers():
    graph = trace(lambda x: (x, x * 1), X)
    _, second = graph(X)
    second += 5
    np.testing.assert_array_equal(X, [1.0, 2.0])
    np.testing.assert_array_equal(graph(X)[1], X)
