"""Numerical derivatives: values, errors that tell the truth, trees, dtypes and bad input."""

import math
from typing import NamedTuple

import numpy as np
import pytest

import chainrule as cr
from chainrule import numerical
from chainrule.numerical.schemes import METHODS, stencil

# (function of NumPy and tensors, x, derivative)
SMOOTH = {
    "sine": (np.sin, 1.2, math.cos(1.2)),
    "far from zero": (np.sin, 1e3, math.cos(1e3)),
    "small argument": (np.log, 1e-3, 1e3),
    "fast": (lambda x: np.sin(300 * x), 0.7, 300 * math.cos(210)),
    "polynomial": (lambda x: x**3 - 2 * x, 2.0, 10.0),
    "constant": (lambda x: 0 * x + 5, 2.0, 0.0),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", SMOOTH)
def test_derivative_and_its_error(name, method):
    f, x, exact = SMOOTH[name]
    found = numerical.derivative(f, np.float64(x), method=method)
    wrong = abs(found.value - exact)
    assert wrong <= 2 * found.error + 1e-15 * abs(exact)
    limit = {"forward": 1e-4, "central": 1e-6, "richardson": 1e-9, "complex": 1e-13}[method]
    assert found.error <= limit * max(abs(exact), 1.0)
    assert found.step > 0
    assert found.method == method
    assert found.evaluations > 1
    assert float(found) == found.value


def test_errors_are_honest_on_average():
    """Over many functions of very different scales the estimate is of the size of the error."""
    ratios = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        x, w = float(rng.uniform(-3, 3)), float(10 ** rng.uniform(-2, 4))
        f = lambda t, w=w: math.sin(w * t) * math.exp(-t * t / 9)
        damp = math.exp(-x * x / 9)
        exact = (w * math.cos(w * x) - 2 * x / 9 * math.sin(w * x)) * damp
        for method in ("forward", "central", "richardson"):
            found = numerical.derivative(f, x, method=method)
            ratios.append(abs(found.value - exact) / found.error)
    assert max(ratios) < 3
    assert np.median(ratios) > 1e-3


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("method", ["forward", "central", "richardson"])
def test_higher_orders(method, order):
    found = numerical.derivative(math.exp, 0.5, method=method, order=order)
    assert abs(found.value - math.exp(0.5)) <= found.error
    powers = numerical.derivative(lambda x: x**order, 1.0, method=method, order=order, step=0.5)
    assert powers.value == pytest.approx(math.factorial(order), rel=1e-12)


@pytest.mark.parametrize(("method", "accuracy"), [("forward", 1), ("central", 2)])
@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_stencils(method, accuracy, order):
    """Exact for polynomials of degree order + accuracy - 1, and not beyond."""
    s = stencil(method, order)
    offsets, weights = np.array(s.offsets, float), np.array(s.weights)
    for power in range(order + accuracy + 1):
        moment = float(weights @ offsets**power)
        if power == order:
            assert moment == math.factorial(order)
        elif power < order + accuracy:
            assert moment == 0
        else:
            assert moment != 0


def test_a_kink_has_an_error():
    for method in ("central", "richardson"):
        found = numerical.derivative(abs, 0.0, method=method)
        assert found.value == 0
        assert found.error == pytest.approx(1.0)


def test_edge_of_the_domain():
    """An automatic step stays inside; a given one that leaves is an error that says where."""
    assert numerical.derivative(np.sqrt, np.float64(1e-7)).value == pytest.approx(
        0.5 / math.sqrt(1e-7), rel=1e-6
    )
    for method in ("central", "richardson"):
        assert numerical.derivative(math.log, 1e-7, method=method).value == pytest.approx(1e7)
        assert numerical.derivative(lambda x: x**0.5, 1e-7, method=method).value > 1000
        with pytest.raises(ValueError, match=r"not finite at x \+ t·v .* x = -1 \(at x it is 1\)"):
            numerical.derivative(math.log, 1.0, step=2.0, method=method)
    with np.errstate(all="ignore"), pytest.raises(ValueError, match="is not finite at x: it has"):
        numerical.derivative(np.log, np.float64(0.0))


def test_kinds_of_arguments():
    assert type(numerical.derivative(math.sin, 1.0).value) is float
    assert type(numerical.derivative(np.sin, np.float64(1.0)).value) is np.float64
    x = np.array([1.0, 2.0])
    assert type(numerical.gradient(lambda x: (x * x).sum(), x).value) is np.ndarray
    t = cr.tensor([1.0, 2.0], dtype=cr.float64)
    found = numerical.gradient(lambda x: (x * x).sum(), t)
    assert isinstance(found.value, cr.Tensor)
    assert isinstance(found.error, cr.Tensor)
    assert found.value.tolist() == pytest.approx([2.0, 4.0])
    assert isinstance(numerical.jacobian(lambda x: x * 2, t).value, cr.Tensor)
    assert isinstance(numerical.hessian(lambda x: (x**3).sum(), t).value, cr.Tensor)
    seen = []
    numerical.derivative(lambda x: seen.append(type(x)) or x * 1.0, 1.0)
    assert set(seen) == {float}


def test_single_precision():
    x = cr.tensor([0.5, 1.5])
    seen = set()

    def f(x):
        seen.add(x.dtype)
        return x.sin().sum()

    found = numerical.gradient(f, x)
    assert seen == {cr.float32}
    assert found.value.dtype == cr.float32
    wrong = np.abs(found.value.numpy() - np.cos([0.5, 1.5]))
    assert (wrong <= found.error.numpy()).all()
    assert 1e-6 < found.error.max().item() < 1e-2
    assert found.step > 1e-3
    # single precision inside of a function of double precision numbers is known by the result
    inside = numerical.derivative(lambda x: np.sin(x).astype(np.float32), np.array(0.5))
    assert abs(inside.value - math.cos(0.5)) <= inside.error < 1e-2


def test_jacobian_against_automatic():
    x = cr.tensor(np.random.default_rng(0).standard_normal((2, 3)))
    f = lambda x: (x.exp() @ x.T).sin()
    exact = cr.autograd.functional.jacobian(f, x).numpy()
    for method in METHODS:
        found = numerical.jacobian(f, x, method=method)
        assert found.value.shape == (2, 2, 2, 3)
        wrong = np.abs(found.value.numpy() - exact)
        assert (wrong <= 3 * found.error.numpy() + 1e-14).all()


def test_hessian_against_automatic():
    x = cr.tensor(np.array([[0.3, -1.2], [30.0, 0.1]]))
    f = lambda x: (x.sin() * x.flip(0)).sum() * x[0, 0].exp()
    exact = cr.autograd.functional.hessian(f, x).numpy()
    for method in ("forward", "central", "richardson"):
        found = numerical.hessian(f, x, method=method)
        assert (np.abs(found.value.numpy() - exact) <= 2 * found.error.numpy()).all()
        assert (found.value.numpy() == found.value.numpy().transpose(2, 3, 0, 1)).all()
    assert found.error.max().item() < 1e-7


def test_trees():
    class Pair(NamedTuple):
        a: object
        b: object

    x = {"w": np.array([1.0, 2.0]), "p": Pair(cr.tensor(3.0, dtype=cr.float64), 4.0)}
    f = lambda x: (x["w"] ** 2).sum() * x["p"].a.item() * x["p"].b
    found = numerical.gradient(f, x).value
    assert found["w"] == pytest.approx(np.array([24.0, 48.0]))
    assert found["p"].a.item() == pytest.approx(20.0)
    assert found["p"].b == pytest.approx(15.0)
    g = lambda x: {"y": x["w"] * x["p"].b, "z": x["p"].b ** 2}
    jac = numerical.jacobian(g, x).value
    assert jac["y"]["w"] == pytest.approx(4 * np.eye(2))
    assert jac["y"]["p"].b == pytest.approx(np.array([1.0, 2.0]))
    assert jac["z"]["p"].b == pytest.approx(8.0)
    v = {"w": np.array([0.0, 1.0]), "p": Pair(cr.tensor(0.0, dtype=cr.float64), 1.0)}
    moved = numerical.jvp(g, x, v).value
    assert moved["y"] == pytest.approx(np.array([1.0, 6.0]))
    assert moved["z"] == pytest.approx(8.0)
    hess = numerical.hessian(f, x).value
    assert hess["w"]["p"].b == pytest.approx(np.array([6.0, 12.0]), rel=1e-5)


def test_directions():
    x = np.array([2.0, 3.0])
    f = lambda x: x[0] ** 2 * x[1]
    assert numerical.derivative(f, x, np.array([1.0, -1.0])).value == pytest.approx(8.0)
    assert numerical.derivative(f, x, np.array([1.0, 0.0]), order=2).value == pytest.approx(6.0)
    assert numerical.derivative(f, x, np.zeros(2)).value == 0
    tiny = numerical.derivative(f, x, np.array([1e-9, 0.0]))
    assert tiny.value == pytest.approx(12e-9)
    z = numerical.derivative(lambda z: z**2, 1 + 2j, 1j)
    assert z.value == pytest.approx(2j * (1 + 2j))


def test_complex_step_refuses_what_is_not_analytic():
    one = np.float64(1.0)
    with pytest.raises(ValueError, match="at x \\+ ih, but there it returns float64"):
        numerical.derivative(np.abs, one, method="complex")
    with pytest.raises(ValueError, match="does not take complex numbers"):
        numerical.derivative(math.sin, 1.0, method="complex")
    with pytest.raises(ValueError, match="the complex step gives 0 where central differences"):
        numerical.derivative(lambda z: z * np.conj(z), one, method="complex")
    with pytest.raises(ValueError, match="not analytic"):
        numerical.gradient(lambda z: z[0] ** 2 + z[1] * np.conj(z[1]), np.ones(2), method="complex")
    with pytest.raises(ValueError, match="first derivatives only"):
        numerical.derivative(np.sin, one, method="complex", order=2)
    with pytest.raises(TypeError, match="takes real x"):
        numerical.derivative(np.sin, 1j, method="complex")
    deep = numerical.derivative(
        lambda x: np.exp(x) / np.sqrt(np.sin(x) ** 3 + np.cos(x) ** 3), np.float64(1.5),
        method="complex",
    )  # fmt: skip
    assert deep.value == pytest.approx(4.05342789389862, rel=1e-14)  # Squire and Trapp 1998


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: numerical.derivative(math.sin, 1), TypeError, "x is int64; convert it"),
        (lambda: numerical.gradient(np.sum, np.arange(3)), TypeError, "x is int64"),
        (lambda: numerical.gradient(len, {"a": "text"}), TypeError, r"x\['a'\] is str|<U4"),
        (lambda: numerical.derivative(lambda x: 3, 1.0), TypeError, "must return floating-point"),
        (lambda: numerical.derivative(lambda x: x > 0, 1.0), TypeError, "result is bool"),
        (lambda: numerical.derivative(math.sin, 1.0, step=0), ValueError, "must be positive"),
        (lambda: numerical.derivative(math.sin, 1.0, step=-1.0), ValueError, "must be positive"),
        (lambda: numerical.derivative(math.sin, 1.0, step=math.nan), ValueError, "got nan"),
        (lambda: numerical.derivative(math.sin, 1.0, step="h"), TypeError, "step is a number"),
        (lambda: numerical.derivative(math.sin, 1.0, method="five"), ValueError, "one of forward"),
        (lambda: numerical.derivative(math.sin, 1.0, order=0), ValueError, "order is an integer"),
        (lambda: numerical.derivative(np.sin, np.ones(2)), ValueError, "a direction is needed"),
        (lambda: numerical.jvp(np.sin, np.ones(2), np.ones(3)), ValueError, r"shape \[3\] where"),
        (lambda: numerical.jvp(lambda x: x["a"], {"a": 1.0}, 1.0), ValueError, "direction"),
        (lambda: numerical.jvp(np.sin, 1.0, math.inf), ValueError, "direction is not finite"),
        (lambda: numerical.gradient(np.sum, np.array([1.0, np.nan])), ValueError, r"x\[1\] is nan"),
        (lambda: numerical.gradient(np.sum, np.ones((0, 2))), ValueError, "has no entries"),
        (lambda: numerical.gradient(np.sin, np.ones(2)), ValueError, "must return one real number"),
        (lambda: numerical.gradient(lambda x: x * 1j, 1.0), ValueError, "one real number"),
        (lambda: numerical.gradient(lambda x: abs(x), 1j), TypeError, "takes real x"),
        (lambda: numerical.gradient(lambda x: None, 1.0), ValueError, "returned nothing"),
    ],
)
def test_bad_input(call, error, said):
    with pytest.raises(error, match=said):
        call()


def test_function_that_changes_shape():
    sizes = iter([2, 3, 2, 2])
    with pytest.raises(ValueError, match="the same structure and shapes"):
        numerical.derivative(lambda x: x * np.ones(next(sizes)), 1.0)


def test_not_under_a_transform():
    def f(x):
        return cr.tensor(float(numerical.derivative(lambda y: (y * y).sum(), x).value))

    with pytest.raises(TypeError, match="call it outside of them"):
        cr.func.jvp(f, (cr.tensor(1.0),), (cr.tensor(1.0),))


def test_a_failing_function_is_not_hidden():
    def f(x):
        if x != 1.0:
            raise ValueError("no such luck")
        return x

    with pytest.raises(ValueError, match="no such luck"):
        numerical.derivative(f, 1.0)


def test_repr():
    text = repr(numerical.derivative(math.sin, 0.0))
    assert text.startswith("Estimate(0.99999999")
    assert "±" in text
    assert "central, step" in text
    array = repr(numerical.gradient(lambda x: (x * x).sum(), np.array([1.0, 2.0]), step=0.5))
    assert array == (
        "Estimate(array([2., 4.]), error up to 5.9e-15; central, step 0.5, 9 evaluations)"
    )


def test_progress_is_for_terminals(monkeypatch):
    from chainrule.autograd import progress

    class Terminal:
        def __init__(self, tty):
            self.tty, self.text = tty, ""

        def isatty(self):
            return self.tty

        def write(self, text):
            self.text += text

        def flush(self):
            pass

    clock = iter(range(1000))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    for tty in (True, False):
        stream = Terminal(tty)
        monkeypatch.setattr(progress.sys, "stderr", stream)
        assert list(progress.counted(5, "jacobian")) == [0, 1, 2, 3, 4]
        assert ("jacobian: 4 of 5 (80 %)" in stream.text) == tty
        assert not tty or stream.text.endswith("\r\x1b[K")
