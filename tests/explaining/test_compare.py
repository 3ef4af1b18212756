"""compare_modes: every mode's result, error, work and growth, checked against what is known."""

import io
import tracemalloc

import numpy as np
import pytest

import chainrule as cr
from chainrule.explaining import compare, compare_work
from chainrule.explaining.compare_work import measured_memory, measured_time

compare_modes = cr.compare_modes
DIFFERENCES = ("difference", "central", "richardson", "complex")


def textbook(x):
    return cr.log(x[0]) + x[0] * x[1] - cr.sin(x[1])


def rows_of(found):
    return {row.mode: row for row in found.rows}


def test_the_textbook_example():
    found = compare_modes(textbook, np.array([2.0, 5.0]), quiet=True)
    rows = rows_of(found)
    exact = np.array([5.5, 2 - np.cos(5.0)])
    tolerance = {"difference": 1e-7, "central": 1e-9, "richardson": 1e-12}
    for mode in ("forward", "batched", "reverse", *DIFFERENCES):
        np.testing.assert_allclose(rows[mode].result, exact, rtol=tolerance.get(mode, 1e-14))
        assert rows[mode].time > 0
        assert rows[mode].memory > 0
        assert rows[mode].ratio == pytest.approx(rows[mode].time / found.value_time)
    assert found.reference == "complex"
    assert rows["complex"].error is None
    assert rows["difference"].error > rows["central"].error > rows["richardson"].error
    assert rows["forward"].error < 1e-15
    assert rows["reverse"].error < 1e-15


def test_evaluations_are_those_that_happen():
    calls = []

    def f(x):
        calls.append(1)
        return cr.exp(x).sum()

    x = cr.tensor(np.linspace(0, 1, 6))
    for mode, run in compare._modes(f, x, f(x)).items():
        if mode in ("shared", "unshared", "batched"):
            continue
        calls.clear()
        _, evaluations = run()
        assert evaluations == len(calls), mode
    rows = rows_of(compare_modes(f, x, quiet=True))
    assert rows["forward"].evaluations == 6
    assert rows["reverse"].evaluations == 1


def test_operations_are_the_graphs():
    x = np.linspace(0.5, 1.5, 10)
    found = compare_modes(lambda x: cr.sin(x).sum(), x, quiet=True)
    rows = rows_of(found)
    assert found.value_operations == 10 + 9
    # sin, cos, product, and the sum once more, for each of ten inputs
    assert rows["forward"].operations == 10 * (10 + 9 + 10 + 10 + 9)
    assert rows["reverse"].operations == 10 + 9 + 10 + 10  # sin, sum, cos, product
    assert rows["central"].operations == rows["central"].evaluations * 19


def test_a_jacobian():
    def f(x):
        return cr.stack([x[0] * x[1], x[0] + x[1] ** 2])

    found = compare_modes(f, np.array([2.0, 3.0]), quiet=True)
    rows = rows_of(found)
    for mode in ("forward", "batched", "reverse", "complex"):
        np.testing.assert_allclose(rows[mode].result, [[3, 2], [1, 6]], rtol=1e-14)
    graph = cr.graph.trace(f, np.ones(2))
    value = graph.cost()
    both = value.gradient
    assert rows["reverse"].operations == value.flops + 2 * (both.flops - value.flops)
    assert (
        "one number as their result" in rows["shared"].reason or "symbolic" in rows["shared"].reason
    )


def test_functions_of_a_number_and_of_single_precision():
    rows = rows_of(compare_modes(lambda x: cr.exp(x) * x, 1.0, quiet=True))
    assert rows["reverse"].result == pytest.approx(2 * np.e, rel=1e-15)
    assert rows["forward"].result.shape == ()
    found = compare_modes(lambda x: cr.exp(x) * x, cr.tensor(1.0), quiet=True)
    rows = rows_of(found)
    assert rows["reverse"].result.dtype == np.float32
    assert 0 < rows["reverse"].error < 1e-6  # measured against double precision
    assert found.reference == "complex"


def test_a_mode_that_does_not_apply_says_why():
    found = compare_modes(lambda x: cr.relu(x).sum(), np.array([1.0, -2.0]), quiet=True)
    rows = rows_of(found)
    assert rows["complex"].result is None
    assert '"relu" not implemented' in rows["complex"].reason
    assert found.reference == "richardson"
    assert "complex step: " in repr(found)


def test_a_function_whose_path_depends_on_data():
    found = compare_modes(lambda x: x * 2 if x > 0 else x, 3.0, quiet=True)
    rows = rows_of(found)
    assert rows["reverse"].result == 2
    assert rows["reverse"].operations is None
    assert "operations are not counted: trace: the graph would depend on data" in found.note
    assert found.note in repr(found)


def test_operations_grow_as_the_theory_says():
    """Forward mode runs n times for a gradient, reverse mode a constant number of times."""
    found = compare_modes(
        lambda x: cr.prod(cr.sin(x)), lambda n: np.linspace(0.5, 1.5, n), sizes=[8, 32, 128],
        quiet=True,
    )  # fmt: skip
    assert [r.n for r in found.growth if r.mode == "reverse"] == [8, 32, 128]
    assert found.power("reverse") == pytest.approx(1, abs=0.05)
    assert found.power("forward") == pytest.approx(2, abs=0.05)
    assert found.power("central") == pytest.approx(2, abs=0.05)
    assert found.rows[0].n == 128
    for row in found.growth:
        if row.mode == "forward":
            assert row.evaluations == row.n
        if row.mode == "reverse":
            value = 2 * row.n - 1
            assert value < row.operations < 6 * value
    time = {r.n: r.time for r in found.growth if r.mode == "forward"}
    assert time[128] > 4 * time[8]
    text = repr(found)
    assert "operations of the derivative of f" in text
    assert "n^2.0" in text
    assert "n = 128" in text


def test_a_slow_mode_is_left_out_for_larger_sizes(monkeypatch):
    monkeypatch.setattr(compare, "PATIENCE", 0.0)
    found = compare_modes(lambda x: x.sum(), np.ones, sizes=[2, 3], quiet=True)
    late = {r.mode: r for r in found.growth if r.n == 3}
    for mode in ("forward", "reverse", "central"):
        assert late[mode].result is None
        assert "not run: a smaller size took more than" in late[mode].reason
    assert late["reverse"].operations


def test_printing(capsys):
    compare_modes(textbook, np.array([2.0, 5.0]))
    text = capsys.readouterr().out
    assert text.startswith("The derivative of textbook by every mode; x has 2 entries\n")
    for name in ("forward mode", "reverse mode", "central difference", "complex step", "symbolic"):
        assert name in text
    assert "[5.5, 1.716]" in text
    assert "against the complex step in double precision" in text
    compare_modes(textbook, np.array([2.0, 5.0]), quiet=True)
    assert capsys.readouterr().out == ""


def test_markdown_html_and_rich():
    found = compare_modes(lambda x: (x * x).sum(), lambda n: np.ones(n), sizes=[2, 4], quiet=True)
    assert found.markdown().count("| reverse mode |") == 3
    assert found._repr_html_().count("<table") == 3
    rich = pytest.importorskip("rich.console")
    console = rich.Console(width=140, record=True, file=io.StringIO())
    console.print(found)
    assert "reverse mode" in console.export_text()


def test_plots(tmp_path):
    pytest.importorskip("matplotlib")
    found = compare_modes(textbook, np.array([2.0, 5.0]), quiet=True)
    figure = found.plot(tmp_path / "bars.svg")
    assert (tmp_path / "bars.svg").stat().st_size > 1000
    assert [a.get_title() for a in figure.axes] == [
        "error, relative to the largest entry", "time, in evaluations of f",
    ]  # fmt: skip
    grown = compare_modes(lambda x: x.sum(), np.ones, sizes=[2, 4], quiet=True)
    assert len(grown.plot().axes[0].lines) >= 7


def test_bad_arguments():
    with pytest.raises(TypeError, match="f is a int, not a function"):
        compare_modes(3, 1.0)
    with pytest.raises(TypeError, match="returned float"):
        compare_modes(lambda x: 1.0, 1.0)
    with pytest.raises(TypeError, match=r"tensor of real numbers, got chainrule\.int64"):
        compare_modes(lambda x: x, np.arange(3))
    with pytest.raises(TypeError, match="with sizes, x is a function of n"):
        compare_modes(lambda x: x.sum(), np.ones(3), sizes=[1, 2])
    with pytest.raises(ValueError, match="positive integers"):
        compare_modes(lambda x: x.sum(), np.ones, sizes=[0])
    with pytest.raises(ValueError, match="has no entries"):
        compare_modes(lambda x: x.sum(), np.ones(0))
    found = compare_modes(lambda x: x.sum(), np.ones(2), quiet=True)
    with pytest.raises(ValueError, match="nothing to show the growth of"):
        found.growth_table()

    def inside(x):
        compare_modes(lambda x: x.sum(), x)
        return x

    with pytest.raises(RuntimeError, match="belongs to a running"):
        cr.func.jvp(inside, (cr.ones(2),), (cr.ones(2),))


def test_an_interrupt_leaves_nothing_behind():
    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measured_memory(stop)
    assert not tracemalloc.is_tracing()


def test_memory_and_time_are_measured():
    assert measured_memory(lambda: np.ones(100_000).sum()) == pytest.approx(800_000, rel=0.02)
    tracemalloc.start()
    try:
        measured_memory(lambda: None)
        assert tracemalloc.is_tracing()
    finally:
        tracemalloc.stop()
    assert 0 < measured_time(lambda: sum(range(100))) < 0.01


def test_symbolic_modes():
    rows = rows_of(compare_modes(textbook, np.array([2.0, 5.0]), quiet=True))
    for mode in ("shared", "unshared"):
        np.testing.assert_allclose(rows[mode].result, [5.5, 2 - np.cos(5.0)], rtol=1e-14)
    n = 30
    rows = rows_of(compare_modes(cr.prod, np.linspace(0.9, 1.1, n), quiet=True))
    assert rows["unshared"].operations == n * (n - 2)
    assert rows["shared"].operations < 4 * n
    assert rows["unshared"].error < 1e-13


def test_formulas_that_are_too_long_are_counted_but_not_run(monkeypatch):
    monkeypatch.setattr(compare_work, "MOST", 100)
    rows = rows_of(compare_modes(cr.prod, np.linspace(0.9, 1.1, 30), quiet=True))
    assert rows["unshared"].operations == 30 * 28
    assert rows["unshared"].result is None
    assert "too many to be run" in rows["unshared"].reason
