"""Functions to differentiate, transforms to nest, and the truth to compare with.

A program is `f(xp, x)`, ordinary array code that runs on tensors, NumPy arrays and JAX's alike, for
x of shape (3,) near `POINT`.  A mode is `mode(m, xp, f)`: it makes of a function of x another
function of x, by a transform of `m`, and closes over x at every level.  So a nest of modes is
written once, and run with this library (`m = chainrule.func`) and with what it must agree with:
differences (`reference`), which know nothing of derivatives, or JAX.
"""

from types import SimpleNamespace

import numpy as np
import pytest

import chainrule as cr
from chainrule import func

from . import reference

POINT = np.array([0.7, -0.4, 1.3])
A = np.array([[0.5, -1.2, 0.3], [0.8, 0.1, -0.7], [-0.4, 0.9, 0.6]])


def namespace(module, **others):
    """A module's names, and what is called differently in different libraries."""
    return SimpleNamespace(
        **{**vars(module), "solve": module.linalg.solve, "det": module.linalg.det, **others}
    )


CR = namespace(cr, sort=lambda x: cr.sort(x).values, concatenate=cr.cat)
NP = namespace(np)


def polynomial(xp, x):
    return x[0] * x[1] ** 2 + x[2] ** 3 * x[0]


def elementary(xp, x):
    return xp.sin(x) * xp.exp(-x * x) + xp.tanh(x[0] * x)


def quotient(xp, x):
    return xp.log(2.0 + x * x) / xp.sqrt(3.0 + x[0] * x[1])


def network(xp, x):
    return A @ xp.tanh(A @ x + x)


def quadratic_form(xp, x):
    return xp.einsum("i,ij,j->", xp.exp(x), A, x)


def branches(xp, x):
    return xp.where(x > 0, xp.sqrt(xp.abs(x) + 1.0), x * x) + xp.maximum(x, 0.2 * x)


def loop(xp, x):
    y = x
    for _ in range(3):
        y = xp.sin(y) + x * y[1]
    return y


def reshaped(xp, x):
    m = xp.reshape(xp.concatenate([x, x * x]), (2, 3))
    return xp.stack([m[0], m[1]]).T @ m[:, 1]


def running(xp, x):
    return xp.cumsum(x * x, axis=0) * xp.prod(1.0 + 0.3 * x)


def ordered(xp, x):
    return xp.sort(x) ** 2 * xp.exp(x)


def gathered(xp, x):
    return xp.sum(xp.outer(x[[2, 0, 2]], x[::2]) ** 2)


def complex_inside(xp, x):
    return (xp.exp(1j * x) * (1 + 2j) * x).real


def linear_algebra(xp, x):
    m = xp.outer(x, x) + A + 3 * np.eye(3)
    return xp.solve(m, xp.sin(x)) * xp.det(m)


def partly_unused(xp, x):
    return x[1] ** 3 * 0.5


def constant(xp, x):
    return xp.sum(x[1:] * 0.0) + 2.0


def recursive(xp, x, depth=2):
    return x if depth == 0 else xp.sin(0.5 * x * recursive(xp, x, depth - 1))


class Cube(cr.autograd.Function):
    """x³, with every rule stated."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x * x * x

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * 3 * x * x

    @staticmethod
    def jvp(ctx, t):
        (x,) = ctx.saved_tensors
        return 3 * x * x * t


PROGRAMS = {
    f.__name__: f
    for f in [
        polynomial, elementary, quotient, network, quadratic_form, branches, loop, reshaped,
        running, ordered, gathered, complex_inside, linear_algebra, partly_unused, constant,
        recursive,
    ]
}  # fmt: skip
every_program = pytest.mark.parametrize("program", PROGRAMS)
few_programs = pytest.mark.parametrize(
    "program", ["running", pytest.param("elementary", marks=pytest.mark.slow)]
)


# ---------------------------------------------------------------- modes


def scalar(xp, y):
    return xp.sum(y * (y + 0.5))


def grad(m, xp, f):
    return lambda x: m.grad(lambda u: scalar(xp, f(u)) * xp.sum(xp.cos(x)))(x)


def vjp(m, xp, f):
    def mode(x):
        y, pull = m.vjp(lambda u: f(u) * x[2], x)
        return pull(y)[0] * x

    return mode


def jvp(m, xp, f):
    return lambda x: m.jvp(lambda u: f(u) * x[0], (x,), (xp.sin(x),))[1]


def linearize(m, xp, f):
    return lambda x: m.linearize(lambda u: f(u) * x[0], x)[1](xp.sin(x))


def vmap(m, xp, f):
    return lambda x: m.vmap(lambda s, u: f(s * u) + x[0], (0, None))(1.0 + 0.1 * x[:2], x)


def jacfwd(m, xp, f):
    return lambda x: m.jacfwd(lambda u: f(u) * x[1])(x)


def jacrev(m, xp, f):
    return lambda x: m.jacrev(lambda u: f(u) * x[1])(x)


def hessian(m, xp, f):
    return lambda x: m.hessian(lambda u: scalar(xp, f(u)) * x[1])(x)


def taylor(m, xp, f):
    def mode(x):
        c = m.taylor(lambda u: f(u) * x[1], x, xp.cos(x), 2)
        return c[0] + 2.0 * c[1] + 3.0 * c[2]

    return mode


def nested(modes, m, xp, program):
    """The modes applied to a program, the first one outermost."""
    f = lambda x: PROGRAMS[program](xp, x)
    for mode in reversed(modes):
        f = mode(m, xp, f)
    return f


def near(found, expected, tol=1e-8):
    found = found.detach().numpy()
    assert found.dtype == np.float64
    assert found.shape == np.shape(expected)
    scale = max(1.0, np.max(np.abs(expected), initial=0.0))
    np.testing.assert_allclose(found, expected, rtol=tol, atol=tol * scale)


def number(x):
    """A float64 tensor without dimensions."""
    return cr.tensor(x, dtype=cr.float64)


def is_number(found, expected, tol=1e-12):
    """A result without dimensions, against its closed form."""
    assert tuple(found.shape) == ()
    assert abs(float(found.detach()) - expected) <= tol * max(1.0, abs(expected))


def agrees_with_differences(modes, program, tol=1e-8):
    """The nest in this library gives what nested differences give."""
    found = nested(modes, func, CR, program)(cr.tensor(POINT))
    near(found, nested(modes, reference, NP, program)(POINT), tol)


def agrees_with_jax(modes, program):
    """The nest in this library gives what JAX gives in float64."""
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        f = jax.jit(nested(modes, jax, namespace(jax.numpy), program))
        expected = np.asarray(f(jax.numpy.asarray(POINT)))
    near(nested(modes, func, CR, program)(cr.tensor(POINT)), expected, 1e-11)


def against_differences(*modes, tol=1e-8):
    """The test of a nest with all programs."""

    class Nest:
        @every_program
        def test_against_differences(self, program):
            agrees_with_differences(modes, program, tol)

    return Nest


def against(*modes, tol=1e-8):
    """The tests of a nest: all programs with differences, and a few with JAX."""

    class Nest(against_differences(*modes, tol=tol)):
        @few_programs
        def test_against_jax(self, program):
            agrees_with_jax(modes, program)

    return Nest
