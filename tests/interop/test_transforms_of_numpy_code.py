"""Programs written for NumPy arrays, under every transform: arrays in, arrays out.

Each program is a plain NumPy function of one array.  Its derivatives in all modes are compared with
differences of the program run by NumPy itself, with each other, with a loop over a batch, and with
JAX where it is installed.
"""

import numpy as np
import pytest

import chainrule as cr
from tests.interop.test_functions import CALLS
from tests.interop.test_functions import arrays as plain

RNG = np.random.default_rng(0)
DATA = RNG.standard_normal((8, 3))
LABELS = (DATA[:, 0] > 0.2).astype(float)
GRID = RNG.standard_normal((5, 4))
TIMES = np.linspace(0.0, 1.0, 9)


def rosenbrock(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def logistic_loss(w):
    scores = DATA @ w
    return np.mean(np.logaddexp(0.0, scores) - LABELS * scores) + 0.01 * np.dot(w, w)


def kepler(state):
    """Two bodies, integrated by semi-implicit Euler steps in rows of a prepared array."""
    q, p = state[:2], state[2:]
    path = np.zeros((11, 2), like=state)
    path[0] = q
    for i in range(10):
        p = p - 0.05 * q / np.linalg.norm(q) ** 3
        q = q + 0.05 * p
        path[i + 1] = q
    return np.sum(path**2) + q[0] * p[1] - q[1] * p[0]


def power_spectrum(x):
    power = np.abs(np.fft.rfft(x * np.hanning(x.shape[0]))) ** 2
    return np.sum(np.log(power + 0.1) * np.fft.rfftfreq(x.shape[0]))


def gaussian_likelihood(theta):
    """Log-density of `TIMES`-points under a Gaussian process with three parameters."""
    gaps = (TIMES[:, None] - TIMES[None, :]) ** 2
    cov = np.exp(theta[0] - gaps / np.exp(theta[1])) + np.exp(theta[2]) * np.eye(len(TIMES))
    y = np.sin(5 * TIMES)
    sign, logdet = np.linalg.slogdet(cov)
    return -0.5 * (y @ np.linalg.solve(cov, y) + sign * logdet + len(y) * np.log(2 * np.pi))


def cholesky_likelihood(theta):
    a = np.outer(theta, theta) + 2 * np.eye(theta.shape[0])
    factor = np.linalg.cholesky(a)
    z = np.linalg.solve(factor, np.arange(1.0, 1.0 + theta.shape[0]))
    return -0.5 * z @ z - np.log(np.diagonal(factor)).sum()


def bilinear(xy):
    """`GRID` between its nodes, at the point (xy[0], xy[1]) in the cell (2, 1)."""
    u, v = xy[0] % 1.0, xy[1] % 1.0
    cell = GRID[2:4, 1:3]
    return (cell[0, 0] * (1 - u) + cell[1, 0] * u) * (1 - v) + (
        cell[0, 1] * (1 - u) + cell[1, 1] * u
    ) * v


def random_walk(x):
    steps = np.cumsum(np.tanh(x))
    return np.sum(np.cumprod(1 + 0.1 * steps) * np.arange(1.0, 1.0 + x.shape[0]))


def contraction(x):
    m = np.einsum("i,j->ij", x, np.sin(x))
    return np.einsum("ij,jk,k->", m, m.T, x) + np.trace(m @ m)


def clipped(x):
    return np.sum(np.where(x > 0, np.sqrt(np.abs(x)), np.clip(x, -0.5, 0.5) ** 3))


def order_statistics(x):
    ranked = np.sort(x)
    return ranked @ np.arange(1.0, 1.0 + x.shape[0]) ** 2 + np.median(x) ** 2 + np.max(x) ** 3


def interpolation(x):
    return np.sum(np.interp(x, np.array([-3.0, -1.0, 0.3, 3.0]), np.array([1.0, 2, -1, 4])) ** 2)


def filled(x):
    out = np.zeros_like(x)
    for i in range(x.shape[0]):
        out[i] = x[i] ** 2 if i == 0 else np.cos(x[i] + 1) + 0.5 * x[i]
    out[:2] *= np.array([0.5, 3.0])
    out += np.roll(out, 1)
    return np.sum(out**2)


def stacked(x):
    rotation = np.stack([np.stack([np.cos(x[0]), -np.sin(x[0])]),
                         np.array([np.sin(x[0]), np.cos(x[0])], like=x)])  # fmt: skip
    return np.sum((rotation @ x[1:3]) ** 3)


def polynomials(x):
    return np.polyval(x, 0.7) ** 2 + np.linalg.norm(x) + np.polyfit(np.arange(4.0), x, 1)[0] ** 2


def left_arrays(x):
    return (DATA[:4].T @ x) @ np.ones(3) + (DATA[:4, 0] * x - np.float64(2) / (3 + x**2)).sum()


def unpacked(x):
    a, b, *rest = x
    total = sum(r * r for r in rest)
    return np.hypot(a, b) * np.arctan2(a, 2 + b**2) + total


def statistics(x):
    return np.var(x) * np.std(x, ddof=1) + np.percentile(x, 30) ** 2 + np.ptp(x) ** 2


# name: (program, a point)
PROGRAMS = {
    "rosenbrock": (rosenbrock, np.array([-1.2, 1.0, 0.5])),
    "logistic": (logistic_loss, np.array([0.3, -0.7, 1.1])),
    "kepler": (kepler, np.array([1.0, 0.2, -0.1, 0.9])),
    "spectrum": (power_spectrum, RNG.standard_normal(8)),
    "gaussian": (gaussian_likelihood, np.array([0.1, -1.0, -2.0])),
    "cholesky": (cholesky_likelihood, np.array([0.4, -0.3, 0.8])),
    "bilinear": (bilinear, np.array([2.3, 1.6])),
    "walk": (random_walk, RNG.standard_normal(5)),
    "einsum": (contraction, RNG.standard_normal(3)),
    "clip": (clipped, np.array([0.4, -0.2, -0.9, 1.3])),
    "sort": (order_statistics, np.array([0.4, -0.2, -0.9, 1.3, 0.1])),
    "interp": (interpolation, np.array([-2.1, -0.4, 0.9, 1.3])),
    "filled": (filled, np.array([0.4, -0.2, 0.9, 1.3])),
    "stacked": (stacked, np.array([0.4, -0.2, 0.9])),
    "polynomials": (polynomials, np.array([0.4, -0.2, 0.9, 1.3])),
    "left": (left_arrays, np.array([0.4, -0.2, 0.9, 1.3])),
    "unpacked": (unpacked, np.array([0.4, -0.2, 0.9, 1.3])),
    "statistics": (statistics, np.array([0.4, -0.2, 0.9, 1.3, -1.4])),
}


def slopes(f, x, h=1e-5):
    """The derivatives of `f` by central differences of the program as NumPy runs it."""
    steps = h * np.eye(x.size)
    return np.stack([(f(x + s) - f(x - s)) / (2 * h) for s in steps], -1)


def close(a, b, rtol=1e-9):
    assert type(a) is np.ndarray
    assert a.dtype == np.float64
    np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * max(1.0, np.abs(b).max()))


@pytest.fixture(params=PROGRAMS)
def program(request):
    f, x = PROGRAMS[request.param]
    return f, x, np.random.default_rng(1).standard_normal(x.shape)


def test_gradient(program):
    f, x, _ = program
    g, value = cr.func.grad_and_value(f)(x)
    close(value, f(x))
    close(g, slopes(f, x), 1e-6)
    g += 1.0  # the result is the caller's


def test_forward_mode(program):
    f, x, t = program
    value, slope = cr.func.jvp(f, (x,), (t,))
    close(value, f(x))
    close(slope, cr.func.grad(f)(x) @ t)
    out, pushed = cr.func.linearize(f, x)
    close(out, f(x))
    close(pushed(t), slope)


def test_jacobians(program):
    f, x, _ = program
    g = cr.func.grad(f)(x)
    close(cr.func.jacrev(f)(x), g)
    close(cr.func.jacfwd(f)(x), g)
    out, pull = cr.func.vjp(f, x)
    close(out, f(x))
    close(pull(np.array(2.0))[0], 2 * g)


def test_hessian(program):
    f, x, t = program
    hessian = cr.func.hessian(f)(x)
    close(hessian, slopes(cr.func.grad(f), x), 1e-5)
    close(cr.func.jacfwd(cr.func.grad(f))(x), hessian)
    close(cr.func.jacrev(cr.func.jacfwd(f))(x), hessian)
    close(cr.func.hvp(f, x, t), hessian @ t)


def test_taylor(program):
    f, x, t = program
    c0, c1, c2, c3 = cr.func.taylor(f, x, t, 3)
    close(c0, f(x))
    close(c1, cr.func.grad(f)(x) @ t)
    close(c2, t @ cr.func.hessian(f)(x) @ t / 2)
    third = cr.func.jvp(lambda y: cr.func.hvp(f, y, t), (x,), (t,))[1] @ t
    close(c3, third / 6, 1e-8)


def test_batches(program):
    f, x, t = program
    xs = np.stack([x, x + 0.01 * t, x - 0.02 * t])
    close(cr.func.vmap(f)(xs), np.stack([f(row) for row in xs]))
    close(cr.func.vmap(cr.func.grad(f))(xs), np.stack([cr.func.grad(f)(row) for row in xs]))
    close(cr.func.vmap(cr.func.hessian(f))(xs), np.stack([cr.func.hessian(f)(r) for r in xs]))


WITH_JAX = ("rosenbrock", "logistic", "spectrum", "gaussian", "cholesky", "walk", "einsum", "clip",
            "sort", "interp", "left")  # fmt: skip


@pytest.mark.parametrize("name", WITH_JAX)
def test_agrees_with_jax(name):
    jax = pytest.importorskip("jax")
    f, x = PROGRAMS[name]
    names = {**f.__globals__, "np": jax.numpy}
    theirs = type(f)(f.__code__, names)
    with jax.enable_x64(True):
        point = jax.numpy.asarray(x)
        close(cr.func.grad(f)(x), np.asarray(jax.grad(theirs)(point)))
        close(cr.func.hessian(f)(x), np.asarray(jax.hessian(theirs)(point)), 1e-8)


# ---------------------------------------------------------------- one function at a time


def scalar(call):
    """The sum of squares of all that a call gives."""

    def f(x):
        result = call(x)
        parts = result if isinstance(result, (tuple, list)) else [result]
        return sum(np.sum(p * p) for p in parts if p.dtype == x.dtype)

    return f


@pytest.mark.parametrize("name", CALLS)
def test_every_function_in_every_mode(name):
    call, x = CALLS[name]
    f = scalar(call)
    t = np.random.default_rng(1).standard_normal(x.shape)
    t = t + t.T if name in ("eigh", "eigvalsh", "cholesky") else t
    h = cr.func.hvp(f, x, t)
    gradient = cr.func.grad(f)(x)
    close(cr.func.jvp(f, (x,), (t,))[1], np.sum(gradient * t))
    close(cr.func.jvp(cr.func.grad(f), (x,), (t,))[1], h, 1e-8)
    close(np.einsum("...ij,ij" if x.ndim == 2 else "...i,i", cr.func.hessian(f)(x), t), h, 1e-7)
    close(cr.func.taylor(f, x, t, 2)[2], np.sum(h * t) / 2, 1e-7)
    for column, row in zip(
        cr.tree.leaves(cr.func.jacfwd(call)(x)), cr.tree.leaves(cr.func.jacrev(call)(x)),
        strict=True,
    ):  # fmt: skip
        np.testing.assert_allclose(column, row, rtol=1e-8, atol=1e-10)
    if name.startswith("unique"):
        with pytest.raises(RuntimeError, match="dynamic shape"):
            cr.func.vmap(call)(x[None])
        return
    xs = np.stack([x, x + 0.01 * t])
    found = plain(cr.func.vmap(call)(xs))
    for i, row in enumerate(xs):
        for a, b in zip(found, plain(call(row)), strict=True):
            np.testing.assert_allclose(a[i], b, rtol=1e-9, atol=1e-10)
    close(cr.func.vmap(cr.func.grad(f))(xs)[0], gradient)


OPERATORS = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "power": lambda a, b: a**b,
    "floor_divide": lambda a, b: a // b + a * b,
    "remainder": lambda a, b: a % b,
    "matmul": lambda a, b: a @ b,
    "maximum": np.maximum,
    "divmod": lambda a, b: divmod(a, b)[1],
    "hypot": np.hypot,
    "compare": lambda a, b: np.where(a < b, a * b, a - b) + (a >= b) * (a != b) * (b > a + 1),
}


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("kind", [np.asarray, lambda a: np.float64(a[0]), lambda a: float(a[0])])
def test_operators_with_plain_operands_on_both_sides(name, kind):
    operator, x = OPERATORS[name], np.array([1.3, 0.4])
    other = kind(np.array([0.7, 2.2]))
    if name == "matmul" and np.ndim(other) == 0:
        other = np.array([[0.7, 2.2], [1.0, -1.0]])
    for f in (lambda v: operator(other, v), lambda v: operator(v, other)):
        expected = slopes(f, x)
        close(cr.func.jacfwd(f)(x), expected, 1e-6)
        close(cr.func.jacrev(f)(x), expected, 1e-6)
        close(cr.func.taylor(f, x, np.ones(2), 2)[1], expected.sum(-1), 1e-6)
        xs = np.stack([x, x + 0.01])
        close(cr.func.vmap(f)(xs), np.stack([f(row) for row in xs]))


def test_ufuncs_of_scipy():
    special = pytest.importorskip("scipy.special")
    x = np.array([0.3, 0.6])
    for name in ("erf", "erfc", "gammaln", "expit", "log_ndtr", "psi", "i0e", "expm1", "erfinv"):
        f = getattr(special, name)
        close(cr.func.jvp(f, (x,), (np.ones(2),))[1], np.diagonal(slopes(f, x)), 1e-6)
        close(cr.func.grad(lambda v, f=f: f(v).sum())(x), np.diagonal(slopes(f, x)), 1e-6)
        close(cr.func.vmap(f)(x), f(x))
        close(cr.func.taylor(f, x, np.ones(2), 1)[1], np.diagonal(slopes(f, x)), 1e-6)


def test_minimize():
    optimize = pytest.importorskip("scipy.optimize")
    start = np.array([-1.2, 1.0, 0.5])
    value, gradient = rosenbrock, cr.func.grad(rosenbrock)
    methods = {
        "BFGS": {}, "L-BFGS-B": {}, "CG": {}, "Newton-CG": {"hess": cr.func.hessian(rosenbrock)},
        "trust-ncg": {"hessp": lambda x, v: cr.func.hvp(rosenbrock, x, v)},
        "trust-exact": {"hess": cr.func.hessian(rosenbrock)},
    }  # fmt: skip
    for method, extra in methods.items():
        found = optimize.minimize(value, start, jac=gradient, method=method, **extra)
        np.testing.assert_allclose(found.x, 1.0, atol=1e-4, err_msg=method)

    def both(x):
        g, v = cr.func.grad_and_value(rosenbrock)(x)
        return v, g

    assert optimize.minimize(both, start, jac=True).success
    least = optimize.least_squares(
        lambda w: np.tanh(DATA @ w) - LABELS, np.zeros(3),
        jac=cr.func.jacfwd(lambda w: np.tanh(DATA @ w) - LABELS), ftol=1e-14,
    )  # fmt: skip
    assert np.linalg.norm(least.grad) < 1e-5
    root = optimize.root(lambda x: x**3 - np.array([1.0, 8.0]), np.array([2.0, 3.0]),
                         jac=cr.func.jacrev(lambda x: x**3 - np.array([1.0, 8.0])))  # fmt: skip
    np.testing.assert_allclose(root.x, [1, 2])
    assert optimize.newton(lambda x: np.cos(x) - x, 0.5,
                           fprime=cr.func.grad(lambda x: np.cos(x) - x)) == pytest.approx(
        0.7390851332151607, abs=1e-12)  # fmt: skip
