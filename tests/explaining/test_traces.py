"""What explain prints: the textbook's numbers, and numbers that agree with every other mode."""

import json

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.primitive import REGISTRY
from chainrule.explaining.fold import Repeat, folded
from chainrule.graph.tables import Table, width


def textbook(x1, x2):
    return cr.log(x1) + x1 * x2 - cr.sin(x2)


def rows(explanation, trace):
    table = explanation.table(trace)
    return [tuple(cell.removeprefix("= ") for cell in row[:4]) for row in table.rows]


@pytest.fixture(scope="module", params=["function", "expression"])
def explained(request):
    if request.param == "function":
        return cr.explain(textbook, 2.0, 5.0)
    return cr.explain("log(x1) + x1*x2 - sin(x2)", x1=2, x2=5)


class TestTextbook:
    # The evaluation trace of Baydin et al. (2018), Automatic differentiation in machine learning:
    # a survey, tables 2 and 3, in this numbering.

    def test_forward(self, explained):
        assert rows(explained, explained.forward) == [
            ("v₁", "x₁", "", "2"),
            ("v₂", "x₂", "", "5"),
            ("v₃", "ln v₁", "ln 2", "0.693"),
            ("v₄", "v₁·v₂", "2·5", "10"),
            ("v₅", "sin v₂", "sin 5", "−0.959"),
            ("v₆", "v₃ + v₄", "0.693 + 10", "10.693"),
            ("v₇", "v₆ − v₅", "10.693 − (−0.959)", "11.652"),
        ]

    def test_tangents(self, explained):
        (trace,) = explained.tangents
        assert rows(explained, trace) == [
            ("v̇₁", "", "", "1"),
            ("v̇₂", "", "", "0"),
            ("v̇₃", "v̇₁/v₁", "1/2", "0.5"),
            ("v̇₄", "v̇₁·v₂ + v̇₂·v₁", "1·5 + 0·2", "5"),
            ("v̇₅", "v̇₂·cos v₂", "0·0.284", "0"),
            ("v̇₆", "v̇₃ + v̇₄", "0.5 + 5", "5.5"),
            ("v̇₇", "v̇₆ − v̇₅", "5.5 − 0", "5.5"),
        ]

    def test_adjoints(self, explained):
        assert rows(explained, explained.reverse) == [
            ("v̄₇", "", "", "1"),
            ("v̄₆", "v̄₇", "1", "1"),
            ("v̄₅", "−v̄₇", "−1", "−1"),
            ("v̄₄", "v̄₆", "1", "1"),
            ("v̄₃", "v̄₆", "1", "1"),
            ("v̄₂", "v̄₄·v₁ + v̄₅·cos v₂", "1·2 + (−1)·0.284", "1.716"),
            ("v̄₁", "v̄₃/v₁ + v̄₄·v₂", "1/2 + 1·5", "5.5"),
        ]

    def test_result(self, explained):
        assert explained.result == pytest.approx(np.log(2) + 10 - np.sin(5), rel=1e-15)
        assert explained.gradients["x1"] == pytest.approx(5.5, rel=1e-15)
        assert explained.gradients["x2"] == pytest.approx(2 - np.cos(5), rel=1e-15)

    def test_terminal(self, explained):
        text = str(explained)
        assert "v̄₂   = v̄₄·v₁ + v̄₅·cos v₂   = 1·2 + (−1)·0.284   = 1.716" in text
        assert "at x₁ = 2, x₂ = 5" in text.splitlines()[0]

    def test_latex(self, explained):
        latex = explained.latex()
        assert (
            r"$\bar{v}_{2}$ & $= \bar{v}_{4} \cdot v_{1} + \bar{v}_{5} \cdot \cos v_{2}$ & "
            r"$= 1 \cdot 2 + \left(-1\right) \cdot 0.284$ & $= 1.716$ \\" in latex
        )
        assert r"\frac{\bar{v}_{3}}{v_{1}}" in latex
        assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == 4

    def test_markdown(self, explained):
        assert "| v₃ | = ln v₁ | = ln 2 | = 0.693 |" in explained.markdown().splitlines()

    def test_html(self, explained):
        html = explained._repr_html_()
        assert "v̄₄·v₁ + v̄₅·cos v₂" in html
        assert html.count("<table") == html.count("</table>") == 4

    def test_node_to_grad_after_each_step(self, explained):
        model = json.loads(explained.render("json"))
        steps = model["phases"][-1]["steps"]
        last = {e["name"]: (e["parts"], e["sum"]) for e in steps[-1]["node_to_grad"]}
        assert last["v₂"] == (["−0.284", "2"], "1.716")
        assert last["v₁"] == (["5", "0.5"], "5.5")
        third = {e["name"]: e["sum"] for e in steps[2]["node_to_grad"]}
        assert third == {"v₇": "1", "v₆": "1", "v₅": "−1", "v₄": "", "v₃": "", "v₂": ""}


def test_wrt_chooses_tangents_and_adjoints():
    e = cr.explain(textbook, 2.0, 5.0, wrt="x2")
    assert [t.along.params["name"] for t in e.tangents] == ["x2"]
    assert list(e.gradients) == ["x2"]
    assert len(cr.explain(textbook, 2.0, 5.0, wrt=["x1", 1]).tangents) == 2
    with pytest.raises(RuntimeError, match="'y' is no input"):
        cr.explain(textbook, 2.0, 5.0, wrt="y")


def test_matrix_rules_are_written_as_matrices():
    W, x = np.arange(6.0).reshape(2, 3) / 10, np.ones((4, 2))
    e = cr.explain(lambda x, W: cr.tanh(x @ W).sum(), x, W)
    formulas = {r[0]: r[1] for r in rows(e, e.reverse)}
    assert formulas["v̄₁"] == "v̄₃ v₂ᵀ"
    assert formulas["v̄₂"] == "v₁ᵀ v̄₃"
    expected = cr.func.grad(lambda x, W: cr.tanh(x @ W).sum(), argnums=(0, 1))(x, W)
    np.testing.assert_allclose(e.gradients["x"], expected[0], rtol=1e-14)
    np.testing.assert_allclose(e.gradients["W"], expected[1], rtol=1e-14)
    assert "(4×2)" in str(e)


def test_loops_fold():
    def logistic(x):
        for _ in range(13):
            x = 4 * x * (1 - x)
        return x

    e = cr.explain(logistic, 0.3)
    text = str(e)
    assert "… ×11: 3 lines like these, in a loop at test_traces.py" in text
    assert len(text.splitlines()) < 45
    assert e.gradients["x"] == pytest.approx(cr.func.grad(logistic)(0.3), rel=1e-12)


@pytest.mark.parametrize("period", [1, 2, 5])
@pytest.mark.parametrize("rounds", [3, 4, 9])
def test_folding_keeps_the_first_and_the_last_round(period, rounds):
    keys = ["a", "b", *[f"r{i}" for i in range(period)] * rounds, "z"]
    shown = folded(keys)
    hidden = sum(r.length * r.rounds for r in shown if isinstance(r, Repeat))
    assert hidden == (0 if rounds < 4 else period * (rounds - 2))
    assert len([i for i in shown if not isinstance(i, Repeat)]) + hidden == len(keys)


def test_an_unused_input_is_said_to_be_unused():
    e = cr.explain(lambda x, y: x * x, 3.0, 4.0)
    assert e.gradients["y"] is None
    assert "does not depend on it" in str(e)


def test_integers_are_differentiated_by_if_there_is_nothing_else():
    assert cr.explain(lambda x: x**2, 3).gradients["x"] == 6
    assert cr.explain(lambda x, n: x**n, 3.0, 2).gradients == {"x": np.array(6.0)}


def test_branches_show_the_path_taken():
    e = cr.explain(lambda x: x * 2 if x > 0 else -x, -3.0)
    assert [r[1] for r in rows(e, e.forward)] == ["x", "−v₁"]


def test_a_tensor_explains_itself():
    x = cr.tensor(3.0, requires_grad=True)
    e = cr.explain((x * x).sin())
    assert [r[1] for r in rows(e, e.forward)] == ["x", "v₁·v₁", "sin v₂"]
    assert x.grad is None


def test_non_finite_numbers_in_tables():
    e = cr.explain(lambda x: cr.sqrt(x) / x, 0.0)
    assert [r[3] for r in rows(e, e.forward)] == ["0", "0", "nan"]
    assert "∞" in str(cr.explain(lambda x: cr.log(x), 0.0))
    assert r"\infty" in cr.explain(lambda x: cr.log(x), 0.0).latex()


def test_several_outputs_and_multi_output_operations():
    e = cr.explain(lambda x: cr.frexp(x).mantissa * 2, 5.0)
    assert e.gradients["x"] == pytest.approx(0.25)
    e = cr.explain(lambda x: (x.sin(), x.cos()), 1.0)
    assert e.gradients["x"] == pytest.approx(np.cos(1) - np.sin(1))


def test_modules_name_their_parameters():
    layer = cr.nn.Linear(2, 1)
    e = cr.explain(layer, cr.ones(3, 2))
    assert set(e.graph.input_names) == {"weight", "bias", "input"}


class TestBadInput:
    def test_nothing_to_trace(self):
        with pytest.raises(RuntimeError, match="why"):
            cr.explain(lambda x: x.detach() * 2, 3.0)

    def test_not_a_tensor(self):
        with pytest.raises(RuntimeError, match="unsupported type str"):
            cr.explain(lambda x: "text", 3.0)

    def test_unknown_suffix(self, tmp_path):
        with pytest.raises(ValueError, match=r"\.html, \.md"):
            cr.explain("x", x=1.0).save(tmp_path / "a.docx")

    def test_missing_folder(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="Create it first"):
            cr.explain("x*x", x=1.0).save(tmp_path / "no" / "a.html")

    def test_inside_a_transform(self):
        with pytest.raises(RuntimeError, match="running transform"):
            cr.func.vmap(lambda x: cr.explain(lambda y: y * y, x).result)(cr.ones(3))


@pytest.mark.parametrize("suffix", [".html", ".md", ".tex", ".txt", ".svg", ".json"])
def test_saving(tmp_path, suffix):
    path = cr.explain(textbook, 2.0, 5.0).save(tmp_path / f"trace{suffix}")
    text = path.read_text(encoding="utf-8")
    assert "1.716" in text
    assert len(text) < 600_000


def _unary():
    return sorted(
        name
        for name, prim in REGISTRY.items()
        if prim.kind == "elementwise" and prim.arity == 1 and prim.differentiable
        and not prim.has_params and name in vars(cr) and prim.result != "real"
    )  # fmt: skip


@pytest.mark.parametrize("name", _unary())
def test_numbers_agree_with_the_transforms(name):
    """Of every elementwise function: the last tangent and the first adjoint are the derivative."""
    f = getattr(cr, name)
    sample = next(iter(REGISTRY[name].samples())).args[0]
    x = np.asarray(sample).ravel()[:2].astype(float)

    def g(x):
        return (f(x) * x).sum()

    e = cr.explain(g, x, digits=9)
    expected = cr.func.grad(g)(x)
    np.testing.assert_allclose(e.gradients["x"], expected, rtol=1e-13, equal_nan=True)
    last = e.tangents[0].rows[-1].target
    np.testing.assert_allclose(e.values[last], expected.sum(), rtol=1e-13, equal_nan=True)
    for style in ("unicode", "latex"):
        assert all(t.rows for t in e.tables(style))


def test_columns_line_up_in_spite_of_marks_and_wide_letters():
    table = Table(
        "", ["a", "b"], [["v̄₁", "x"], ["汉字", "y"], ["long", "z"]], left=None, ruled=False
    )
    lines = table.text().splitlines()
    assert width("v̄₁") == 2
    assert width("汉字") == 4
    ends = {width(line.rstrip()[:-1]) for line in lines[2:]}
    assert len(ends) == 1


def test_the_result_has_a_name_of_its_own():
    explained = cr.explain("sqrt(x)*y", x=4, y=3)
    assert explained.title == "z = √x·y at x = 4, y = 3"
    assert [row[0] for row in explained.gradient_table().rows] == ["∂z/∂x", "∂z/∂y"]
    assert "v̄ᵢ = ∂z/∂vᵢ" in explained.text()
