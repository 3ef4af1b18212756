"""symbolic_grad: formulas, counts, programs and graphs, with and without sharing."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.graph import NoFormula, TooLarge, symbolic_grad
from chainrule.graph.symbolic import logistic_map
from chainrule.graph.symbolic.expressions import postorder
from chainrule.graph.symbolic.result import unshared


def textbook(x1, x2):
    return cr.log(x1) + x1 * x2 - cr.sin(x2)


FUNCTIONS = [
    (textbook, [2.0, 5.0]),
    (lambda x, y: cr.exp(x * y) / (1 + cr.cos(x) ** 2) + cr.sqrt(x) ** y, [0.7, 1.3]),
    (lambda x, y: x / y - y / x + 3 / x + x / 2, [0.7, 1.3]),
    (lambda x: cr.prod(x) + cr.relu(x).sum(), [np.array([1.0, -2.0, 3.0])]),
    (lambda x, w: cr.tanh(x @ w).sum() + cr.logsumexp(w, 1).sum(),
     [np.array([0.3, -0.2]), np.array([[1.0, 2.0, -1.0], [0.5, 0.1, 0.7]])]),
    (lambda w: cr.linalg.det(w) * cr.linalg.inv(w).sum() + cr.linalg.norm(w),
     [np.array([[2.0, 1.0], [0.3, 1.5]])]),
    (lambda x: cr.where(x > 0, x**3, cr.sin(x)).sum() + x.max() + cr.var(x),
     [np.array([1.0, -2.0, 3.0])]),
    (lambda x: cr.nn.functional.cross_entropy(x, cr.tensor([0, 2])) + cr.softmax(x, 1)[0, 0],
     [np.array([[1.0, -2.0, 3.0], [0.1, 0.2, 0.3]])]),
    (lambda x, y: cr.atan2(x, y) + cr.maximum(x, y) * cr.hypot(x, y) + abs(x), [0.7, 1.3]),
    (lambda x, y: x.detach() * y + x * 0 + 5.0, [0.7, 1.3]),
    (lambda x: logistic_map(x, 4), [0.3]),
]  # fmt: skip


def several(x):
    """Results as a tuple, also a single one."""
    return x if type(x) is tuple else (x,)


@pytest.mark.parametrize("simplify", [False, True])
@pytest.mark.parametrize("sharing", [True, False])
@pytest.mark.parametrize("case", range(len(FUNCTIONS)))
def test_formulas_have_the_value_of_reverse_mode(case, sharing, simplify):
    f, args = FUNCTIONS[case]
    graph = cr.graph.trace(f, *args)
    expected = several(graph.grad(list(graph.input_names))(*args))
    found = symbolic_grad(graph, list(graph.input_names), sharing=sharing, simplify=simplify)
    for a, b in zip(several(found(*args)), expected, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-12, atol=1e-14)
    found.graph.verify()
    space = {}
    for module, inputs in (("numpy", args), ("chainrule", [cr.tensor(a) for a in args])):
        exec(found.source(module=module), space)
        got = space["df"](*inputs)
        for a, b in zip(several(got), expected, strict=True):
            np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=2e-6, atol=1e-6)
            if module == "numpy":
                np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-12, atol=1e-14)


def nodes_of_tree(found):
    """Operations of a tree that is really built, counted one by one."""
    roots = [unshared(e) for e in found._roots]
    total = 0
    for r in roots:
        order = postorder([r])
        inner = [n for n in order if n.prim.name not in ("input", "getitem")]
        uses = [p for n in inner for p in n.parents if p in set(inner)]
        assert len(uses) == len(set(uses))  # nothing is shared
        total += len(inner)
    return total


@pytest.mark.parametrize("case", range(len(FUNCTIONS)))
def test_counts_are_those_of_trees_that_are_built(case):
    f, args = FUNCTIONS[case]
    found = symbolic_grad(cr.graph.trace(f, *args), sharing=False)
    assert found.operations.total == nodes_of_tree(found)
    shared = symbolic_grad(cr.graph.trace(f, *args), sharing=True)
    inner = [
        n for n in postorder(shared._roots) if n.prim.name not in ("input", "getitem")
    ]  # fmt: skip
    assert shared.operations.total == len(inner) <= found.operations.total


def test_the_textbook_example_reads_like_the_textbook():
    found = symbolic_grad(textbook)
    assert str(found) == "∂f/∂x₁ = 1/x₁ + x₂\n∂f/∂x₂ = x₁ − cos x₂"
    assert found.formula("ascii") == "df/dx1 = 1/x1 + x2\ndf/dx2 = x1 - cos(x2)"
    assert str(symbolic_grad(textbook, "x2")) == "x₁ − cos x₂"
    assert r"\frac{\partial f}{\partial x_{1}} &= \frac{1}{x_{1}} + x_{2}" in found.latex()
    assert found._repr_latex_() == f"$$\n{found.latex()}\n$$"
    assert repr(found) == (
        "<gradient of textbook by x1, x2, with sharing: 2 additions, 1 division, 1 function>"
    )


@pytest.mark.parametrize(
    ("f", "formula"),
    [
        (lambda x: x * cr.sin(x), "sin x + x·cos x"),
        (lambda x: cr.sin(x) / x, "(cos x·x − sin x)/x²"),
        (lambda x: x**3, "3·x²"),
        (lambda x: x**-1, "−x⁻²"),
        (lambda x: 1 / x, "−1/x²"),
        (lambda x: cr.cos(2 * x), "−2·sin(2·x)"),
        (lambda x: cr.exp(x) ** 2, "2·exp x·exp x"),
        (lambda x: cr.log(cr.sin(x)), "cos x/sin x"),
        (lambda x: cr.sqrt(1 + x**2), "2·x/(2·√(x² + 1))"),
        (lambda x: cr.tanh(x), "1 − (tanh x)²"),
        (lambda x: cr.relu(x) * x, None),
        (lambda x: 2**x, None),
        (lambda x: x - x.detach() + 1.0, "1"),
    ],
)
def test_naive_formulas_are_a_students(f, formula):
    found = symbolic_grad(f, "x", sharing=False)
    if formula is not None:
        assert str(found) == formula
    point = 0.7
    expected = cr.func.grad(f)(cr.tensor(point, dtype=cr.float64)).item()
    assert found(point).item() == pytest.approx(expected, rel=1e-13)


def test_simplification_keeps_every_bit():
    x = cr.graph.trace(
        lambda x, y: -(0 - x) * y + (x + 0) * (x * 1) + (-x) * (-y) + x / -y, 1.0, 1.0
    )
    point = 0.1234567, -7.654321
    plain, simple = x.symbolic_grad(), x.symbolic_grad(simplify=True)
    assert [a.item() for a in plain(*point)] == [a.item() for a in simple(*point)]
    assert simple.operations.total < plain.operations.total
    assert "−(−" not in str(simple)


def test_shared_parts_have_names_that_no_input_has():
    found = symbolic_grad(lambda t1, x: cr.exp(t1 * x) * t1 * cr.exp(t1 * x))
    assert str(found).startswith("tt₁ = ")
    assert re.search(r"\n    tt?\d+ = ", found.source())
    space = {}
    exec(found.source(), space)
    np.testing.assert_allclose(space["df"](0.3, 0.2), [a.item() for a in found(0.3, 0.2)])


def test_names_of_inputs_from_trees_become_parameters():
    graph = cr.graph.trace(lambda p: p["a"] * cr.sum(p["lambda"]), {"a": 2.0, "lambda": np.ones(2)})
    found = graph.symbolic_grad()
    space = {}
    exec(found.source("d_loss"), space)
    a, b = space["d_loss"](3.0, np.array([1.0, 4.0]))
    assert a == 5.0
    assert b.tolist() == [3.0, 3.0]


def test_a_deep_chain_is_no_problem():
    def f(x):
        for _ in range(2000):
            x = cr.sin(x)
        return x

    for sharing in (True, False):
        found = symbolic_grad(f, "x", sharing=sharing)
        if sharing:
            assert found.operations.total == 2 * 2000 + 2000 - 2
            space = {}
            exec(found.source(), space)
            assert space["df"](1.0) == pytest.approx(found(1.0).item(), rel=1e-12)
    assert found.operations.functions == sum(range(1, 2001))


def test_what_is_too_long_is_counted_but_not_written():
    found = symbolic_grad(cr.graph.trace(lambda x: logistic_map(x, 300), 0.5), "x", sharing=False)
    assert found.operations.total > 2**300
    for write in (str, lambda g: g.latex(), lambda g: g.source(), lambda g: g.graph):
        with pytest.raises(TooLarge, match=r"about 10\^9\d operations written out.*sharing=True"):
            write(found)
    with pytest.raises(TooLarge, match="operations written out"):
        found.value_formula()
    assert symbolic_grad(found.value, "x").source().count("\n") < 3000


def test_bad_arguments_are_refused():
    with pytest.raises(RuntimeError, match=r"only for scalar outputs.*have shapes \[2\]"):
        symbolic_grad(cr.graph.trace(lambda x: x * 2, np.ones(2)))
    with pytest.raises(RuntimeError, match=r"takes graphs of a real number.*complex128"):
        symbolic_grad(cr.graph.trace(lambda x: x * 2j, 1.0))
    with pytest.raises(RuntimeError, match="'z' is no input of the graph, which has x1, x2"):
        symbolic_grad(textbook, "z")
    with pytest.raises(TypeError, match="not int"):
        symbolic_grad(3)
    with pytest.raises(NoFormula, match=r"svdvals|svd \(.*test_gradient.py"):
        symbolic_grad(lambda x: cr.linalg.svdvals(x).sum(), examples=[np.eye(2)])
    with pytest.raises(ValueError, match="no name for a Python function"):
        symbolic_grad(textbook).source("2x")
    with pytest.raises(ValueError, match="module must be"):
        symbolic_grad(textbook).source(module="jax")
    with pytest.raises(NotImplementedError, match=r"mish \(.*no function of numpy"):
        cr.graph.trace(lambda x: cr.nn.functional.mish(x), 1.0).source()


def test_graphs_have_thin_methods():
    graph = cr.graph.trace(textbook, 2.0, 5.0)
    assert str(graph.symbolic_grad("x1", simplify=True)) == "1/x₁ + x₂"
    assert graph.source("g") == (
        "import numpy as np\n\n\ndef g(x1, x2):\n    return np.log(x1) + x1*x2 - np.sin(x2)"
    )
    assert graph.latex().startswith("\\begin{aligned}\nv_{")
    twice = cr.graph.trace(lambda x: cr.exp(x) ** 2 + x, 1.0)
    assert twice.latex().count("&=") == 1
    graph = cr.graph.trace(lambda x: [y := cr.exp(x), y * y][1], 1.0)
    assert graph.latex() == (
        "\\begin{aligned}\nv_{2} &= e^{x} \\\\\nv_{3} &= v_{2} \\cdot v_{2}\n\\end{aligned}"
    )


def programs():
    """Random formulas of two variables, smooth and defined near the point (0.7, 1.3)."""
    leaf = st.sampled_from(["x", "y", "2", "0.5", "-3"])

    def deeper(inner):
        two = st.tuples(st.sampled_from("+-*"), inner, inner).map(lambda t: f"({t[1]}{t[0]}{t[2]})")
        one = st.tuples(
            st.sampled_from(["sin", "cos", "tanh", "sigmoid", "atan", "square"]), inner
        ).map(lambda t: f"cr.{t[0]}(x*0+{t[1]})")
        quotient = st.tuples(inner, inner).map(lambda t: f"({t[0]}/(2+cr.sin(x*0+{t[1]})))")
        return two | one | quotient

    return st.recursive(leaf, deeper, max_leaves=12)


@settings(max_examples=60, deadline=None)
@given(programs())
def test_random_formulas(text):
    f = eval(f"lambda x, y: x*y + ({text})", {"cr": cr})
    point = 0.7, 1.3
    graph = cr.graph.trace(f, *point)
    expected = [g.item() for g in graph.grad(["x", "y"])(*point)]
    for sharing in (True, False):
        for simplify in (True, False):
            found = symbolic_grad(graph, ["x", "y"], sharing=sharing, simplify=simplify)
            np.testing.assert_allclose([g.item() for g in found(*point)], expected, rtol=1e-9,
                                       atol=1e-12)  # fmt: skip
            space = {}
            exec(found.source(), space)
            np.testing.assert_allclose(space["df"](*point), expected, rtol=1e-9, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(programs())
def test_random_formulas_through_sympy_and_back(text):
    sympy = pytest.importorskip("sympy")
    f = eval(f"lambda x, y: x*y + ({text})", {"cr": cr})
    point = 0.7, 1.3
    graph = cr.graph.trace(f, *point)
    expression = graph.to_sympy()
    back = cr.graph.from_sympy(expression, ["x", "y"])
    assert back(*point).item() == pytest.approx(graph(*point).item(), rel=1e-9, abs=1e-9)
    x = sympy.Symbol("x", real=True)
    theirs = cr.graph.from_sympy(sympy.diff(expression, x), ["x", "y"])(*point).item()
    assert graph.grad("x")(*point).item() == pytest.approx(theirs, rel=1e-8, abs=1e-8)


def test_a_live_tape_is_differentiated_as_well():
    x = cr.tensor(2.0, requires_grad=True)
    w = cr.tensor(3.0)
    assert str(cr.graph.Graph.of((x * w).exp()).symbolic_grad("x")) == "3·exp(3·x)"
    with pytest.raises(RuntimeError, match="the tape did not keep a constant of add"):
        cr.graph.Graph.of((x + w).exp()).symbolic_grad("x")


def test_a_constant_that_the_tape_dropped_is_named():
    x = cr.tensor([2.0], requires_grad=True)
    graph = cr.graph.Graph.of(cr.cat([x, cr.tensor([1.0])]).sum())
    for use in (lambda: graph(cr.tensor([2.0])), lambda: graph.symbolic_grad("x")):
        with pytest.raises(RuntimeError, match="the tape did not keep a constant of concat"):
            use()


def test_expressions_of_declared_variables():
    a, b = cr.sym.var("a", shape=()), cr.sym.var("b")
    assert str(symbolic_grad(cr.exp(a) + 2 * a, "a")) == "exp a + 2"
    found = symbolic_grad((b * b).sum(), "b", examples={"b": (2,)}, simplify=True)
    assert str(found) == "∂f/∂b₀ = 2·b₀\n∂f/∂b₁ = 2·b₁"
