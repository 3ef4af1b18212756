"""The error-against-step curve, and the random-direction check."""

import builtins

import numpy as np
import pytest

import chainrule as cr
from chainrule import numerical
from chainrule.autograd import Function


def test_both_regimes():
    curve = numerical.error_curve(lambda x: x.sin() * x.exp(), cr.tensor(1.0, dtype=cr.float64))
    assert list(curve.errors) == ["forward", "central", "richardson", "complex"]
    assert curve.order("forward") == pytest.approx(1, abs=0.05)
    assert curve.order("central") == pytest.approx(2, abs=0.05)
    assert curve.order("richardson") > 6
    for method, low, high in (("forward", 1e-10, 1e-6), ("central", 1e-7, 1e-4)):
        step, error = curve.best(method)
        assert low < step < high
        errors = curve.errors[method]
        assert errors[0] > 1e3 * error  # round-off on the left
        assert errors[-1] > 1e3 * error  # truncation on the right
    assert curve.errors["complex"][0] < 1e-14  # nothing is subtracted: no round-off
    x = 1.0
    exact = np.exp(x) * (np.sin(x) + np.cos(x))
    assert curve.exact.item() == pytest.approx(exact, rel=1e-15)
    lines = repr(curve).splitlines()
    assert len(lines) == 3 + len(curve.steps)
    assert lines[1].split() == ["step", "forward", "central", "richardson", "complex"]


def test_arrays_directions_and_given_derivatives():
    x = np.array([1.0, 2.0])
    v = np.array([0.0, 1.0])
    steps = [1e-2, 1e-4, 1e-6]
    curve = numerical.error_curve(np.sin, x, steps, ("central",), direction=v)
    assert curve.steps.tolist() == [1e-6, 1e-4, 1e-2]
    assert curve.exact == pytest.approx(np.array([0.0, np.cos(2.0)]))
    given = numerical.error_curve(
        np.sin, x, steps, ("central",), exact=np.array([0.0, np.cos(2.0)]), direction=v
    )
    assert given.errors["central"] == pytest.approx(curve.errors["central"], abs=1e-15)
    assert curve.errors["central"][2] == pytest.approx(abs(np.cos(2.0)) * 1e-4 / 6, rel=1e-3)


def test_outside_of_the_domain_is_nan():
    curve = numerical.error_curve(np.log, np.float64(0.01), [1e-3, 0.5], ("central", "forward"))
    assert np.isnan(curve.errors["central"]).tolist() == [False, True]
    assert np.isfinite(curve.errors["forward"]).all()


def test_not_analytic_leaves_the_complex_step_out():
    curve = numerical.error_curve(np.abs, np.float64(1.0), [1e-3, 1e-2])
    assert "complex" not in curve.errors
    with pytest.raises(ValueError, match="not analytic"):
        numerical.error_curve(np.abs, np.float64(1.0), [1e-3], ("complex",))


def test_single_precision():
    curve = numerical.error_curve(lambda x: x.sin(), cr.tensor(1.0))
    assert curve.steps[0] == pytest.approx(1e-9)
    assert 1e-5 < curve.best("forward")[0] < 1e-1
    assert curve.exact.item() == pytest.approx(np.cos(1.0), abs=1e-7)


def test_plot(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    curve = numerical.error_curve(np.exp, np.float64(1.0))
    figure = curve.plot(tmp_path / "curve.svg")
    (axes,) = figure.axes
    assert axes.get_xlabel() == "step h"
    assert axes.get_ylabel() == "absolute error of the derivative"
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    said = {t.get_text() for t in axes.texts}
    assert {"← round-off", "truncation →", "h", "h²", "ε/h"} <= said
    assert (tmp_path / "curve.svg").stat().st_size > 5000
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        curve.plot()


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"steps": [1e-3, -1.0]}, ValueError, "must be positive"),
        ({"steps": []}, ValueError, "no steps"),
        ({"methods": ("best",)}, ValueError, "methods are among"),
        ({"exact": np.ones(3)}, ValueError, "exact derivative has shapes"),
        ({"direction": np.ones(3)}, ValueError, "the direction has shape"),
    ],
)
def test_bad_input(options, error, said):
    with pytest.raises(error, match=said):
        numerical.error_curve(np.sin, np.ones(2), **options)


def test_function_that_cannot_be_differentiated():
    with pytest.raises(TypeError, match="pass exact="):
        numerical.error_curve(lambda x: 2.0, 1.0)


class Wrong(Function):
    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, g):
        return 2.02 * g


def network(p):
    h = (p["layers"][0]["w"].tanh() @ p["layers"][1]).exp()
    return (h * p["scale"]).sum()


def parameters(dtype):
    rng = np.random.default_rng(0)
    return {
        "layers": [{"w": rng.standard_normal((30, 20)).astype(dtype)},
                   rng.standard_normal(20).astype(dtype) / 20],
        "scale": np.asarray(0.5, dtype),
    }  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_random_directions(dtype):
    theta = parameters(dtype)
    before = [theta["layers"][0]["w"].copy(), theta["layers"][1].copy()]
    report = numerical.check_direction(network, theta, n=4)
    assert report
    assert report.ok
    assert report.analytical.shape == report.numerical.shape == (4,)
    assert (theta["layers"][0]["w"] == before[0]).all()
    assert (theta["layers"][1] == before[1]).all()
    assert "4 of 4 random directions agree" in repr(report)
    assert cr.autograd.check_random_direction is numerical.check_direction
    if dtype is np.float64:
        exact = report.analytical
        assert report.numerical == pytest.approx(exact, rel=1e-6, abs=1e-8)


def test_a_wrong_gradient_is_found_and_placed():
    def f(p):
        q = {"layers": [p["layers"][0], Wrong.apply(p["layers"][1])], "scale": p["scale"]}
        return network(q)

    report = numerical.check_direction(f, parameters(np.float64))
    assert not report
    assert report.leaves == ("theta['layers'][1]",)
    assert "wrong is the gradient by theta['layers'][1]" in repr(report)
    assert "!" in repr(report)


def test_directions_have_length_one_and_no_preference():
    from chainrule.autograd.direction import _Problem

    problem = _Problem(lambda p: p["a"].sum() + p["b"].sum(), {"a": cr.ones(40), "b": cr.ones(60)})
    parts = [problem.directions(seed) for seed in range(400)]
    flat = np.array([np.concatenate(p) for p in parts])
    assert (flat**2).sum(1) == pytest.approx(np.ones(400))
    assert np.abs((flat.T @ flat) / 400 - np.eye(100) / 100).max() < 5 / 100 / np.sqrt(400) * 1.2


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: numerical.check_direction(lambda x: x, cr.ones(2)), ValueError, r"shape \[2\]"),
        (lambda: numerical.check_direction(lambda x: 1.0, cr.ones(2)), ValueError, "got float"),
        (lambda: numerical.check_direction(lambda x: x.sum(), cr.arange(2)), TypeError, "int64"),
        (lambda: numerical.check_direction(lambda x: x, 1j), TypeError, "complex128"),
        (lambda: numerical.check_direction(lambda x: x, 1.0, n=0), ValueError, "n must be"),
        (lambda: numerical.check_direction(lambda x: x, 1.0, eps=0), ValueError, "eps must be"),
        (lambda: numerical.check_direction(lambda x: x.log(), 0.0), ValueError, "not finite"),
        (
            lambda: numerical.check_direction(lambda x: x.log(), 1.0, eps=2.0, n=1),
            ValueError,
            "at a distance of 2",
        ),
        (lambda: numerical.check_direction(lambda x: x, []), ValueError, "has no entries"),
    ],
)
def test_bad_input_of_directions(call, error, said):
    with np.errstate(all="ignore"), pytest.raises(error, match=said):
        call()


def test_a_detached_function_is_wrong():
    report = numerical.check_direction(lambda x: x.detach().exp().sum(), cr.ones(3).double())
    assert not report
    assert (report.analytical == 0).all()
