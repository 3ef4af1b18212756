"""Pruning, folding, common subexpressions, and what all passes together report and keep."""

import sys
import time

import numpy as np
import pytest

import chainrule as cr
from chainrule.graph import Graph, trace
from chainrule.graph.passes import PASSES, algebra, cse, fold, prune
from chainrule.graph.rewrite import with_parents
from chainrule.transforms.tracing import CONSTANT, constant_node
from tests.graph.passes.ulps import apart


def f(x, y):
    return ((x.exp() * 1 + x.exp()) ** 1 + y * 0.0 - y).sum()


ONE, TWO = np.array([0.5, -1.0, 2.0]), np.array([3.0, 0.25, -2.0])


# ---------------------------------------------------------------- prune


def test_prune_keeps_what_some_outputs_need():
    graph = trace(lambda x, y: (x.sin(), y.exp() * 2, x * y), 1.0, 2.0)
    made, report = prune(graph, outputs=1)
    assert [n.prim.name for n in made.nodes] == ["input", "input", "exp", "multiply"]
    assert report.fired == {"outputs left out": 2, "nodes left out": 2}
    assert float(made(1.0, 2.0)) == 2 * np.exp(2.0)
    several, _ = prune(graph, outputs=[2, 0])
    assert [float(v) for v in several(2.0, 3.0)] == [6.0, np.sin(2.0)]
    inner, _ = prune(graph, outputs="v4")
    assert float(inner(1.0, 2.0)) == np.exp(2.0)
    with pytest.raises(ValueError, match=r"'w' is no value of .* which has 3 outputs"):
        prune(graph, outputs="w")
    with pytest.raises(ValueError, match="7 is no value"):
        prune(graph, outputs=7)


def test_prune_drops_outputs_of_an_operation_with_several():
    graph = trace(lambda x: cr.linalg.eigh(x @ x.T), np.eye(3) + 1)
    made, report = prune(graph, outputs=0)
    assert report.fired["nodes left out"] == 1
    np.testing.assert_allclose(made(np.eye(3)), np.ones(3))


def test_prune_forgets_what_is_kept_for_nodes_that_are_gone():
    x = cr.tensor(2.0, requires_grad=True)
    graph = Graph.of(x.exp() * x, names={"x": x})
    made, _ = prune(graph, outputs="v2")
    assert set(made.values) <= set(made.nodes)
    assert prune(made)[0] is made


# ---------------------------------------------------------------- fold


def with_constant(g, value, x=ONE):
    """The graph of g(x, c) whose c is a constant."""
    whole = trace(g, x, value)
    new = {whole.inputs[0]: whole.inputs[0], whole.inputs[1]: constant_node(value)}
    for n in whole.nodes[2:]:
        new[n] = with_parents(n, [None if p is None else new[p] for p in n.parents])
    outs = [new[n] for n in whole.outputs]
    return Graph(whole.inputs[:1], outs, arrays=True).verify()


def test_constants_are_evaluated():
    graph = with_constant(lambda x, c: x + (c * 2).exp(), ONE)
    made, report = fold(graph)
    assert report.fired == {"written into equations": 3, "evaluated": 2}
    assert made.operations == 1
    assert apart(made(ONE), graph(ONE)) == 0
    assert fold(trace(f, ONE, TWO))[1].fired == {}


def test_folding_makes_no_graph_larger():
    """One number spread over a megabyte stays a number; a large array may become another."""
    _, report = fold(with_constant(lambda x, c: x + c.expand(400, 400, 3), ONE))
    assert "evaluated" not in report.fired
    assert report.after.constants == ONE.nbytes
    large = np.ones((400, 400))
    once, report = fold(with_constant(lambda x, c: x.sum() * c.exp(), large))
    assert report.fired["evaluated"] == 1
    assert report.after.constants == large.nbytes
    graph = with_constant(lambda x, c: x.sum() * c.exp() + c, large)
    twice, report = fold(graph)
    assert "evaluated" not in report.fired, "the array is needed as it is, too"
    for y in (once, twice):
        assert np.isfinite(y(ONE)).all()


def test_an_equation_that_raises_is_left_to_the_run():
    made, _ = fold(with_constant(lambda x, c: x + cr.linalg.inv(c).sum(), np.zeros((2, 2))))
    with pytest.raises(RuntimeError, match="singular"):
        made(ONE)


# ---------------------------------------------------------------- common subexpressions


def test_equal_equations_become_one():
    graph = trace(lambda x, y: (x * y).sin() + (y * x).sin() * (x - y) / (y - x), 2.0, 3.0)
    made, report = cse(graph)
    assert report.fired == {"multiply": 1, "sin": 1}
    assert float(made(2.0, 3.0)) == float(graph(2.0, 3.0))


def test_constants_are_compared_by_value_and_sign():
    graph = trace(lambda x: (x * 0.0, x * -0.0, x * 0.0, x * 1.5, x * cr.tensor(1.5)), 2.0)
    made, report = cse(graph)
    assert report.fired == {"multiply": 2}
    assert np.signbit(float(made(2.0)[1]))
    assert not np.signbit(float(made(2.0)[0]))


def test_parameters_that_only_look_equal_stay_apart():
    graph = trace(lambda x: (x.sum(0), x.sum(1), x.sum(0, keepdim=True), x.sum(0)), np.ones((3, 3)))
    made, report = cse(graph)
    assert report.fired == {"sum": 1}
    assert [y.shape for y in made(np.ones((3, 3)))] == [(3,), (3,), (1, 3), (3,)]


def test_the_order_of_zeros_counts():
    """maximum(0.0, -0.0) is its first argument, so swapped ones are not the same."""
    graph = trace(lambda x, y: (cr.maximum(x, y), cr.maximum(y, x)), 1.0, 1.0)
    assert not cse(graph)[1].fired


def test_unknown_constants_are_not_equal():
    x = cr.tensor(ONE, requires_grad=True)
    graph = Graph.of(((x + cr.tensor(ONE)) * (x + cr.tensor(TWO))).sum(), names={"x": x})
    assert "add" not in cse(graph)[1].fired


def test_functions_of_the_user_run_as_often_as_they_were_called():
    calls = []

    class Counted(cr.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            calls.append(1)
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 2

    x = cr.tensor(ONE, requires_grad=True)
    with cr.graph.keep_everything():
        y = (Counted.apply(x) * Counted.apply(x)).sum()
    made = Graph.of(y, names={"x": x}).optimize()
    assert [n.prim.side_effects for n in made.nodes].count(True) in (0, 2)


# ---------------------------------------------------------------- together


def test_optimize_keeps_values_names_and_roles():
    graph = trace(f, ONE, TWO)
    made = graph.optimize()
    assert made.operations < graph.operations
    assert float(made(ONE, TWO)) == float(graph(ONE, TWO))
    for node in made.nodes:
        if node in graph.names:
            assert made.names[node] == graph.names[node]
    assert set(made.names.values()) <= set(graph.names.values())
    gradient = graph.grad()
    optimised = gradient.optimize()
    kinds = {optimised.names[n]: r.kind for n, r in optimised.roles.items()}
    assert kinds["adj_x"] == kinds["adj_y"] == "adjoint"
    assert not any(n in graph.nodes for n in optimised.roles)
    for a, b in zip(gradient(ONE, TWO), optimised(ONE, TWO), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(gradient(ONE, TWO), made.grad()(ONE, TWO), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_value_that_an_adjoint_turns_out_to_be_has_no_role():
    """The gradient of x·y by x is y itself."""
    gradient = trace(lambda x, y: x * y, 2.0, 3.0).grad("x").optimize()
    assert gradient.outputs == (gradient.inputs[1],)
    assert not gradient.roles
    assert float(gradient(2.0, 3.0)) == 3.0


def test_fast_allows_what_holds_for_ordinary_numbers():
    graph = trace(lambda x: (x.exp().log() - x) + 0.0 * x, 2.0)
    assert graph.optimize().operations == graph.operations
    assert graph.optimize(fast=True).operations == 0
    assert float(graph.optimize(fast=True)(3.0)) == 0.0


def test_passes_can_be_chosen():
    graph = trace(f, ONE, TWO)
    assert {r.name for r in graph.optimize(passes=["algebra", cse]).optimization} == {
        "algebra", "common subexpressions",
    }  # fmt: skip
    assert graph.optimize(passes=[]).operations == graph.operations
    with pytest.raises(ValueError, match="there is no pass 'magic'; there are 'prune'"):
        graph.optimize(passes=["magic"])
    with pytest.raises(TypeError, match="a pass is given by name or as a pass, not int"):
        graph.optimize(passes=[3])


def test_the_table_has_the_numbers(capsys):
    graph = trace(f, ONE, TWO)
    made = graph.optimize(verbose=True)
    text = capsys.readouterr().out
    table = made.optimization
    assert text == f"{table}\n"
    assert f"{len(graph.nodes)} -> {len(made.nodes)}" in text.splitlines()[-1]
    assert f"{graph.operations} -> {made.operations}" in text.splitlines()[-1]
    assert "x*1 → x ×1" in text
    assert table.fired["exp"] == 1
    assert max(map(len, str(table.side_by_side()).splitlines())) < 100
    html = table._repr_html_()
    assert html.count("<table") == html.count("</table>") == 2
    assert "x*1 → x ×1" in html
    assert "-&gt;" in html
    assert repr(table) == str(table)


def test_a_graph_that_is_optimal_is_returned_as_it_is():
    graph = trace(lambda x: x.sin() * x, 2.0).optimize()
    for p in PASSES:
        made, report = p(graph)
        assert made is graph
        assert not report.fired
        assert str(report).endswith("(nothing to do)")


def test_optimising_twice_changes_nothing():
    once = trace(f, ONE, TWO).grad().optimize()
    twice = once.optimize()
    assert twice.nodes == once.nodes


# ---------------------------------------------------------------- size


def chain(x):
    for _ in range(25_000):
        x = cr.sin(x) * 1.0 + 0.5
    return x


def tree(x):
    layer = [x * float(i % 100) for i in range(25_000)]
    while len(layer) > 1:
        layer = [cr.tanh(a) + b for a, b in zip(layer[::2], layer[1::2], strict=False)]
    return layer[0]


@pytest.mark.parametrize("g", [chain, tree])
def test_large_graphs_without_recursion(g):
    """Every step is linear, and deep graphs need no deep stack; time that this process had."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(250)
    try:
        began = time.process_time()
        graph = trace(g, 0.5).verify()
        made = graph.optimize()
        assert time.process_time() - began < 20
        gradient = made.grad().optimize()
    finally:
        sys.setrecursionlimit(limit)
    assert made.operations < graph.operations
    assert np.isfinite(float(gradient(0.5)))


def test_nothing_is_left_constant_in_the_middle():
    """A constant node is only there to be an output."""
    made = trace(lambda x: (x * 1, (x - x) * 0), 2.0).optimize(fast=True)
    assert [n.prim is CONSTANT for n in made.outputs] == [False, True]
    assert algebra(made)[0] is made
