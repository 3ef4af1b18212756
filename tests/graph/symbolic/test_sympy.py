"""SymPy: every elementwise primitive converts with its value and derivative, and comes back."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.primitive import REGISTRY
from chainrule.graph import NoFormula, TooLarge, from_sympy
from chainrule.graph.symbolic.sympy_forms import FORMS, number

from . import samples

sympy = pytest.importorskip("sympy")

# No closed form, or one that SymPy cannot express for symbols.
WITHOUT = frozenset({"nextafter", "round"})
# SymPy leaves the derivative of what rounds unevaluated; ours is 0 where it exists.
ROUNDED = frozenset(
    ["ceil", "floor", "floor_divide", "fmod", "frac", "remainder", "trunc", "truncated_divide"]
)


def converted():
    """The elementwise primitives that have a form."""
    return [p for p in samples.elementwise() if p.name not in WITHOUT]


def values_of(names, values):
    return {sympy.Symbol(n, real=True): sympy.Float(v, 40) for n, v in zip(names, values)}  # noqa: B905


def at(expression, names, values):
    """The value of an expression, computed by SymPy to 30 digits."""
    found = expression.subs(values_of(names, values))
    if found in (sympy.true, sympy.false):
        return bool(found)
    return float(sympy.N(found.doit(), 30))


@pytest.mark.parametrize("prim", converted(), ids=lambda p: p.name)
def test_the_expression_has_the_value_of_the_primitive(prim):
    for graph, values in samples.numbers(prim):
        expression = graph.to_sympy()
        assert at(expression, graph.input_names, values) == pytest.approx(
            graph(*values).item(), rel=1e-9, abs=1e-12
        )


@pytest.mark.parametrize("name", sorted(WITHOUT))
def test_what_has_no_form_says_so(name):
    assert name not in FORMS
    graph, _ = next(samples.numbers(REGISTRY[name]))
    with pytest.raises(NoFormula, match=rf"{name} \(.*has no form in SymPy"):
        graph.to_sympy()


def smooth():
    """Primitives with a derivative that SymPy knows as well."""
    return [p for p in converted() if p.differentiable and p.name not in ROUNDED]


@pytest.mark.parametrize("prim", smooth(), ids=lambda p: p.name)
def test_sympys_derivative_is_ours(prim):
    for graph, values in samples.numbers(prim):
        expression = graph.to_sympy()
        for node in graph.inputs:
            try:
                gradient = graph.symbolic_grad(node)
            except NoFormula:
                continue
            name = node.params["name"]
            theirs = sympy.diff(expression, sympy.Symbol(name, real=True))
            theirs = at(theirs, graph.input_names, values)
            assert gradient(*values).item() == pytest.approx(theirs, rel=1e-9, abs=1e-12)
            ours = at(gradient.to_sympy(), graph.input_names, values)
            assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("prim", converted(), ids=lambda p: p.name)
def test_expressions_come_back(prim):
    for graph, values in samples.numbers(prim):
        back = from_sympy(graph.to_sympy(), graph.input_names)
        assert back(*values).item() == pytest.approx(graph(*values).item(), rel=1e-9, abs=1e-12)


def test_inputs_are_symbols_of_their_name_and_shape():
    graph = cr.graph.trace(lambda x, w: x @ w, np.ones(2), np.ones((2, 3)))
    found = graph.to_sympy()
    x = sympy.IndexedBase("x", shape=(2,), real=True)
    w = sympy.IndexedBase("w", shape=(2, 3), real=True)
    assert found.shape == (3,)
    assert found[1] == w[0, 1] * x[0] + w[1, 1] * x[1]
    assert sympy.diff(found[1], x[0]) == w[0, 1]
    run = sympy.lambdify([x, w], found.tolist())
    x_, w_ = np.array([1.5, -2.0]), np.arange(6.0).reshape(2, 3)
    np.testing.assert_allclose(run(x_, w_), x_ @ w_)


def test_shapes_of_outputs_are_kept():
    graph = cr.graph.trace(lambda x: (x, x[0], x[0, 0], x[None]), np.ones((2, 3)))
    matrix, vector, entry, cube = graph.to_sympy()
    assert isinstance(matrix, sympy.ImmutableMatrix)
    assert (matrix.shape, vector.shape, cube.shape) == ((2, 3), (3,), (1, 2, 3))
    assert entry == matrix[0, 0]


def test_symbols_may_be_given():
    z = sympy.Symbol("z")
    assert cr.graph.trace(cr.sin, 1.0).to_sympy({"input": z}) == sympy.sin(z)


def test_numbers_are_exact():
    for value, expected in [
        (3.0, sympy.Integer(3)), (0.375, sympy.Rational(3, 8)), (math.pi, sympy.pi),
        (-math.e, -sympy.E), (math.inf, sympy.oo), (np.float32(0.5), sympy.Rational(1, 2)),
        (True, sympy.true), (1 + 2j, 1 + 2 * sympy.I), (7, sympy.Integer(7)),
    ]:  # fmt: skip
        assert number(sympy, value) == expected
    assert float(number(sympy, 0.1)) == 0.1
    assert number(sympy, math.nan) is sympy.nan


def test_a_graph_that_swells_is_refused():
    graph = cr.graph.trace(lambda x: cr.graph.symbolic.logistic_map(x, 40), 0.5)
    with pytest.raises(TooLarge, match="about 10\\^12 operations as a formula"):
        graph.to_sympy()


def test_a_gradient_as_sympy_expression():
    gradient = cr.graph.symbolic_grad(lambda x: cr.sin(x) ** 2 + cr.cos(x) ** 2, "x")
    assert gradient.to_sympy(simplify=True) == 0
    x, y = sympy.symbols("x y", real=True)
    both = cr.graph.symbolic_grad(lambda x, y: x**2 * y)
    assert both.to_sympy() == (2 * x * y, x**2)


X, Y = sympy.symbols("x y")
R = sympy.Symbol("r", real=True)
V = sympy.IndexedBase("v")
A, B = sympy.MatrixSymbol("A", 2, 2), sympy.MatrixSymbol("B", 2, 2)

EXPRESSIONS = [
    X + Y - X * Y / 3, X**5 / Y**2, -(X**-1) - Y, sympy.sqrt(X) / sympy.sqrt(Y), X**Y, 2**X,
    X ** sympy.Rational(2, 3), sympy.pi * X + sympy.E - sympy.EulerGamma, sympy.exp(-(X**2) / 2),
    *[f(X) for f in (
        sympy.sin, sympy.cos, sympy.tan, sympy.cot, sympy.sec, sympy.csc, sympy.atan, sympy.acot,
        sympy.sinh, sympy.cosh, sympy.tanh, sympy.coth, sympy.sech, sympy.csch, sympy.asinh,
        sympy.acsch, sympy.erf, sympy.erfc, sympy.gamma, sympy.loggamma, sympy.digamma,
        sympy.factorial, sympy.sinc, sympy.floor, sympy.ceiling, sympy.sign, sympy.Abs, sympy.frac,
        sympy.asec, sympy.acsc, sympy.acosh, sympy.acoth, sympy.conjugate, sympy.Heaviside,
        sympy.log, sympy.zeta,
    )],
    *[f(X / 4) for f in (
        sympy.asin, sympy.acos, sympy.atanh, sympy.asech, sympy.erfinv, sympy.erfcinv,
    )],
    *[f(n, X) for n in (0, 1) for f in (
        sympy.besselj, sympy.bessely, sympy.besseli, sympy.besselk, sympy.polygamma,
    )],
    sympy.log(X, 10), sympy.atan2(X, Y), sympy.Max(X, Y, 1), sympy.Min(X, 2 * Y), sympy.Mod(X, Y),
    sympy.zeta(X, Y), sympy.beta(X, Y), sympy.binomial(X, Y), sympy.erf2(X, Y),
    sympy.lowergamma(X, Y), sympy.uppergamma(X, Y), sympy.re(R), sympy.Heaviside(X, 1),
    sympy.Piecewise((X, X < Y), (Y, X > 5), (X * Y, True)),
    sympy.Piecewise((1, sympy.And(X > 1, Y < 1)), (2, sympy.Or(X > 3, Y > 2)), (3, True)),
    sympy.Piecewise((1, sympy.Not(sympy.Or(X < Y, X > 2))), (2, X > 0)),
    sympy.ITE(X > 1, Y > 2, Y < 2), sympy.Xor(X > 1, Y > 0), sympy.Eq(X, 2), sympy.Ne(X, 2),
    sympy.Sum(X ** sympy.Symbol("k"), (sympy.Symbol("k"), 0, 3)), sympy.Derivative(X**3, X),
    sympy.Product(X + sympy.Symbol("k"), (sympy.Symbol("k"), 1, 3)),
]  # fmt: skip


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=str)
def test_sympys_functions_become_graphs(expression):
    point = {"x": 2.3, "y": 1.7, "r": -0.4}
    graph = from_sympy(expression).verify()
    got = graph.bind({n: point[n] for n in graph.input_names}).item()
    symbols = {s: sympy.Float(point[s.name], 40) for s in expression.free_symbols}
    expected = expression.rewrite(sympy.erf).rewrite(sympy.erfinv).subs(symbols).doit()
    if expected in (sympy.true, sympy.false):
        assert got is bool(expected)
    else:
        assert got == pytest.approx(float(sympy.N(expected, 30)), rel=1e-11)


def test_matrices_become_graphs():
    a, b = np.array([[2.0, 1.0], [0.5, 3.0]]), np.array([[1.0, -1.0], [4.0, 0.5]])
    one = np.eye(2)
    for expression, expected in [
        (A * B - 2 * A.T, a @ b - 2 * a.T), (A.inv() + sympy.Identity(2), np.linalg.inv(a) + one),
        (sympy.Determinant(A) * sympy.Trace(B), np.linalg.det(a) * np.trace(b)), (A**3, a @ a @ a),
        (sympy.HadamardProduct(A, B), a * b), (sympy.Matrix([[A[0, 1], 1], [2, B[1, 0]]]),
        np.array([[a[0, 1], 1], [2, b[1, 0]]])),
        (sympy.Array([A[0, 0] ** 2, 3]), np.array([a[0, 0] ** 2, 3.0])),
    ]:  # fmt: skip
        graph = from_sympy(expression)
        given = {"A": a, "B": b}
        got = graph.bind({n: given[n] for n in graph.input_names}).numpy()
        np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_variables_in_order_and_several_outputs():
    graph = from_sympy([X - Y, V[2] * X], [Y, "x", V, "unused"], dtype=cr.float32)
    assert graph.input_names == ["y", "x", "v", "unused"]
    assert [n.shape for n in graph.inputs] == [(), (), (3,), ()]
    first, second = graph(1.0, 3.0, [0.0, 0.0, 5.0], 0.0)
    assert (first.item(), second.item(), first.dtype) == (2.0, 15.0, cr.float32)
    assert from_sympy(sympy.Integer(3))().item() == 3.0


def test_deep_expressions_become_graphs_without_recursion():
    found = X
    for _ in range(3000):
        found = sympy.sin(found, evaluate=False)
    graph = from_sympy(found)
    assert graph.operations == 3000


@pytest.mark.parametrize(
    ("expression", "variables", "error", "words"),
    [
        ("x + 1", None, TypeError, "parse it first"),
        ([X, None], None, TypeError, "got NoneType"),
        (sympy.LambertW(X), None, NotImplementedError, "LambertW in LambertW(x)"),
        (sympy.besselj(2, X), None, NotImplementedError, "besselj in besselj(2, x)"),
        (sympy.Function("f")(X), None, NotImplementedError, "f in f(x)"),
        (sympy.Integral(sympy.exp(sympy.sin(X)), X), None, NotImplementedError, "does not carry"),
        (X + Y, [X], ValueError, "symbol 'y', which is not among the variables x"),
        (X + sympy.Symbol("x", real=True), None, ValueError, "two different variables"),
        (V[sympy.Symbol("i")], None, NotImplementedError, "no number"),
        (sympy.zoo, None, ValueError, "complex infinity"),
    ],
)
def test_what_cannot_become_a_graph_says_why(expression, variables, error, words):
    with pytest.raises(error, match=re.escape(words)):
        from_sympy(expression, variables)


def test_without_sympy_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sympy", None)
    with pytest.raises(ImportError, match=re.escape('pip install "chainrule[explain]"')):
        cr.graph.trace(cr.sin, 1.0).to_sympy()
