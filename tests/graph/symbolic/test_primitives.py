"""Every primitive: its formula has its value, the formula's derivative is the primitive's."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.kinds import Elementwise
from chainrule.core.primitive import REGISTRY
from chainrule.graph import NoFormula, TooLarge
from chainrule.graph.symbolic.entries import Entries
from chainrule.graph.symbolic.expressions import Builder
from chainrule.graph.symbolic.result import SymbolicGradient, _assembled
from chainrule.graph.symbolic.rules import TEXTBOOK

from . import samples

# Which operations on arrays have formulas; a new one is either added here, or says why not.
ON_ARRAYS = frozenset(
    [
        "adjugate",
        "alias",
        "amax",
        "amin",
        "as_strided",
        "as_strided_transpose",
        "astype",
        "bmm",
        "broadcast_to",
        "channel_sum",
        "clone",
        "col2im",
        "concat",
        "contract_pair",
        "contract_single",
        "conv_transpose",
        "conv_weight",
        "convolution",
        "cross",
        "cumprod",
        "cumsum",
        "det",
        "detach",
        "diagonal",
        "diagonal_transpose",
        "dot",
        "embedding",
        "embedding_rows",
        "expand_dims",
        "flip",
        "gelu",
        "getitem",
        "im2col",
        "index_add",
        "index_put",
        "inv",
        "linear",
        "linear_each",
        "log_softmax",
        "logsumexp",
        "max_all",
        "max_along",
        "mean",
        "min_all",
        "min_along",
        "mm",
        "mv",
        "nll",
        "nll_spread",
        "pad",
        "pad_transpose",
        "permute_dims",
        "pool_pick",
        "pool_spread",
        "prod",
        "pull_product",
        "repeat_example",
        "reshape",
        "roll",
        "select_along",
        "shift",
        "softmax",
        "softmax_nll",
        "spread_along",
        "squeeze",
        "stack",
        "std",
        "sum",
        "tile",
        "tril",
        "triu",
        "unfold",
        "unfold_transpose",
        "var",
        "vector_norm",
        "weight_per_bin",
        "where",
        "window_spread",
        "window_sum",
    ]
)


def evaluated(graph: cr.graph.Graph, values: list[np.ndarray]) -> np.ndarray:
    """The value of a graph's formulas."""
    entries = Entries(graph, Builder())
    (out,) = entries.outputs
    node = _assembled(list(out.ravel()), out.shape, graph.outputs[0].dtype)
    return cr.graph.Graph(graph.inputs, [node])(*values).numpy()


@pytest.mark.parametrize("prim", samples.elementwise(), ids=lambda p: p.name)
def test_an_elementwise_formula_has_the_value_of_the_primitive(prim):
    for graph, values, expected in samples.graphs(prim):
        np.testing.assert_array_equal(evaluated(graph, values), expected)


@pytest.mark.parametrize("name", sorted(ON_ARRAYS))
def test_the_formulas_of_an_operation_on_arrays_have_its_value(name):
    found = 0
    for graph, values, expected in samples.graphs(REGISTRY[name]):
        got = evaluated_or_refused(graph, values)
        if isinstance(got, NoFormula):
            assert name in str(got) or "complex" in str(got)
        else:
            np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-14)
            found += 1
    assert found


def evaluated_or_refused(graph, values):
    """The value of a graph's formulas, or the error that says that it has none."""
    try:
        return evaluated(graph, values)
    except NoFormula as error:
        return error


def test_operations_without_formulas_say_so():
    known = {p.name for p in samples.primitives() if p.partials is not None} | ON_ARRAYS
    checked = 0
    for prim in samples.primitives():
        if prim.name in known:
            continue
        for graph, values, expected in samples.graphs(prim):
            got = evaluated_or_refused(graph, values)
            if isinstance(got, NoFormula):
                assert prim.name in str(got)
                assert "Write it with elementary operations" in str(got)
                checked += 1
            else:
                np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-14)
    assert checked > 50


def smooth() -> list[Elementwise]:
    """The elementwise primitives with a derivative."""
    return [p for p in samples.elementwise() if p.differentiable]


@pytest.mark.parametrize("sharing", [True, False])
@pytest.mark.parametrize("prim", smooth(), ids=lambda p: p.name)
def test_the_symbolic_derivative_is_the_primitives(prim, sharing):
    for graph, values in samples.numbers(prim):
        for node in graph.inputs:
            try:
                expected = graph.grad(node)(*values).item()
            except NotImplementedError:
                with pytest.raises(NoFormula, match=prim.name):
                    SymbolicGradient(graph, node, sharing, False)
                continue
            for simplify in (False, True):
                got = SymbolicGradient(graph, node, sharing, simplify)(*values).item()
                assert got == pytest.approx(expected, rel=1e-12, abs=1e-14)


@pytest.mark.parametrize("name", sorted(TEXTBOOK))
def test_the_textbooks_forms_are_the_rules(name):
    """The same at random places in the domain, and for constant operands."""
    prim = REGISTRY[name]
    rng = np.random.default_rng(3)
    for _ in range(20):
        point = [rng.uniform(low, high) for low, high in prim.domain]
        for i in range(prim.arity):
            f = lambda x, i=i: prim.apply([*point[:i], x, *point[i + 1 :]], {})  # noqa: B023
            graph = cr.graph.trace(f, point[i])
            expected = graph.grad("x")(point[i]).item()
            got = graph.symbolic_grad("x")(point[i]).item()
            assert got == pytest.approx(expected, rel=1e-12, abs=1e-14)


def test_a_value_with_too_many_entries_is_refused():
    with pytest.raises(NoFormula, match="1,000,000 entries"):
        cr.graph.trace(lambda x: x.sum(), np.ones((1000, 1000))).symbolic_grad("x")


def test_too_many_subexpressions_are_refused(monkeypatch):
    monkeypatch.setattr("chainrule.graph.symbolic.expressions.LIMIT", 10)
    with pytest.raises(TooLarge, match="more than 10 distinct subexpressions"):
        cr.graph.trace(lambda x: (x * x).sum(), np.ones(20)).symbolic_grad("x")
