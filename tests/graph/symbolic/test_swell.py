"""Expression swell: counted, checked against trees that are built, against SymPy, and shown."""

from __future__ import annotations

import builtins
from itertools import pairwise

import numpy as np
import pytest

import chainrule as cr
from chainrule.graph import TooLarge, swell, symbolic_grad
from chainrule.graph.symbolic import logistic_map, product
from chainrule.graph.symbolic.swell import short_count


@pytest.mark.parametrize("f", [product, cr.prod, lambda x: cr.prod(x)])
def test_a_product_of_200_numbers(f):
    """n(n - 2) multiplications on paper, 3(n - 2) with sharing, and nothing else."""
    for row in swell(f, [2, 3, 7, 200]).rows:
        n = row.n
        assert row.value.total == row.value.multiplications == n - 1
        assert row.naive.total == row.naive.multiplications == n * (n - 2)
        assert row.shared.total == row.shared.multiplications == 3 * (n - 2)
    assert n * (n - 2) == 200 * 198


def test_the_naive_gradient_of_a_product_is_the_products_of_the_others():
    found = symbolic_grad(product, sharing=False, examples=[np.ones(4)])
    assert str(found).splitlines() == [
        "∂f/∂x₀ = x₁·x₂·x₃", "∂f/∂x₁ = x₀·x₂·x₃", "∂f/∂x₂ = x₀·x₁·x₃", "∂f/∂x₃ = x₀·x₁·x₂",
    ]  # fmt: skip


def test_the_logistic_map_against_sympy():
    """The value's count is SymPy's, where SymPy is kept from simplifying.

    On l = 4·x·(1 - x) both write two products and a difference; SymPy counts the sign in -x + 1 as
    part of a difference, as here.
    """
    sympy = pytest.importorskip("sympy")
    x = sympy.Symbol("x")
    value = x
    table = swell(logistic_map, range(1, 8))
    for row in table.rows:
        assert sympy.count_ops(value) == row.value.total
        with sympy.evaluate(False):
            four = sympy.Mul(sympy.Integer(4), value)
            value = sympy.Mul(four, sympy.Add(sympy.Integer(1), -value))


def test_the_counts_of_the_logistic_map_follow_their_recurrences():
    """T(n+1) = 2·T(n) + 3, and for the derivative (4·d)·(1 - l) - (4·l)·d of 4·l·(1 - l), where d
    is the derivative of l, D(n+1) = 2·D(n) + 2·T(n) + 6; for n = 1, d = 1 is not written.
    """
    rows = swell(logistic_map, range(1, 12)).rows
    for a, b in pairwise(rows):
        assert b.value.total == 2 * a.value.total + 3
    for a, b in pairwise(rows[1:]):
        # 4·d, 1 - l and their product; 4·l and its product with d; the difference
        assert b.naive.total == 2 * a.naive.total + 2 * a.value.total + 6
    shared = [r.shared.total for r in rows[1:]]
    assert set(np.diff(shared)) == {7}


def test_enormous_counts_are_exact_integers():
    row = swell(logistic_map, [400]).rows[0]
    assert row.value.total == 3 * (2**399 - 1)
    assert row.naive.total > 2**399
    text = str(swell(logistic_map, [400]))
    assert "·10¹²⁰" in text


def test_what_is_counted_equals_reverse_mode():
    for n in (3, 5):
        row = swell(logistic_map, [n]).rows[0]
        expected = cr.func.grad(lambda x, n=n: logistic_map(x, n))(cr.tensor(0.3, dtype=cr.float64))
        for gradient in row.gradients:
            assert gradient.graph.bind(x=0.3).item() == pytest.approx(expected.item(), rel=1e-12)


def test_tables():
    table = swell(logistic_map, [1, 2, 3, 4, 20])
    text = str(table)
    lines = text.splitlines()
    assert lines[0] == "operations of logistic_map and its gradient"
    assert " ".join(lines[1].split()) == "n f f′ naive its × f′/f f′ shared its × saving"
    assert "×2." in table.growth
    assert "shared: as n^1." in table.growth
    assert len({len(line) for line in lines[1:-1]}) == 1
    markdown = table.markdown().splitlines()
    assert markdown[3].count("--:") == 8
    assert markdown[5] == "| 2 | 3 | 4 | 2 | 1.3 | 4 | 2 | 1.0 |"
    page = table._repr_html_()
    assert page.count("<tr>") == 6
    assert "f′ naive" in page


def test_growth_of_a_product_is_quadratic():
    table = swell(cr.prod, [10, 20, 40])
    assert table.growth == "naive: as n^2.08; shared: as n^1.08"
    assert swell(cr.prod, [4]).growth == ""


def test_in_a_terminal(capsys):
    rich = pytest.importorskip("rich.console")
    table = swell(logistic_map, [2, 3, 20, 100])
    console = rich.Console(width=80, record=True, force_terminal=False)
    console.print(table)
    assert "…" not in console.export_text()
    table.show()
    assert "f′ naive" in capsys.readouterr().out


def test_without_rich_the_table_is_plain(monkeypatch, capsys):
    real = builtins.__import__

    def no_rich(name, *args, **kwargs):
        if name.startswith("rich"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_rich)
    table = swell(cr.prod, [3])
    table.show()
    assert capsys.readouterr().out == f"{table}\n"


def test_formulas_by_size():
    rows = swell(logistic_map, [1, 2, 3, 7]).formulas("ascii")
    assert rows[0] == (1, "x", "df/dx = 1", "df/dx = 1")
    assert rows[1] == (2, "4*x*(1 - x)", "df/dx = 4*(1 - x) - 4*x", "df/dx = 4*(1 - x) - 4*x")
    assert rows[2][2] == (
        "df/dx = 4*(4*(1 - x) - 4*x)*(1 - 4*x*(1 - x)) - 4*4*x*(1 - x)*(4*(1 - x) - 4*x)"
    )
    assert rows[3][2].endswith(" operations")


def test_families_of_other_kinds():
    by_example = swell(
        lambda x, y: (x * y).sum(), [2, 4], example=lambda n: (np.ones(n), np.ones(n))
    )
    assert [r.naive.total for r in by_example.rows] == [0, 0]
    graphs = swell(lambda n: cr.graph.trace(product, np.ones(n)), [5])
    assert graphs.rows[0].naive.multiplications == 15
    assert swell(product, [5], wrt="x").rows[0].shared.multiplications == 9


def test_bad_families_are_refused(monkeypatch):
    with pytest.raises(ValueError, match="sizes of at least 1, got \\[0\\]"):
        swell(product, [0])
    with pytest.raises(ValueError, match="one or more sizes"):
        swell(product, [])
    with pytest.raises(TypeError, match=r"parameters \(a, b, c\); say what to call it with"):
        swell(lambda a, b, c: a, [1])
    with pytest.raises(TypeError, match="must return a graph, got int"):
        swell(lambda n: n, [1])
    monkeypatch.setattr("chainrule.graph.symbolic.expressions.LIMIT", 1000)
    with pytest.raises(TooLarge, match="more than 1,000 distinct subexpressions"):
        swell(product, [300])


def test_counts_in_few_characters():
    assert short_count(9_999_999) == "9,999,999"
    assert short_count(29_622_271) == "3.0·10⁷"
    assert short_count(10**5000) == "1.0·10⁵⁰⁰⁰"
