"""autograd.Function under forward mode, vmap, Taylor mode, and their nestings."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import func
from chainrule.autograd import Function

from .own_functions import CUBES, NumpyCube, X, close, plain_scaled, real, scaled
from .programs import Cube

# ---------------------------------------------------------------- one mode


@pytest.mark.parametrize("cube", CUBES)
def test_grad(cube):
    close(func.grad(lambda x: cube.apply(x).sum())(real(*X)), 3 * X**2)


@pytest.mark.parametrize("cube", CUBES)
def test_vjp_and_jvp(cube):
    out, pullback = func.vjp(cube.apply, real(*X))
    close(out, X**3)
    close(pullback(real(1, 2, 3))[0], 3 * X**2 * [1, 2, 3])
    out, tangent = func.jvp(cube.apply, (real(*X),), (real(1, 2, 3),))
    close(out, X**3)
    close(tangent, 3 * X**2 * [1, 2, 3])


@pytest.mark.parametrize("cube", CUBES)
def test_linearize(cube):
    out, push = func.linearize(cube.apply, real(*X))
    close(out, X**3)
    close(push(real(1, 2, 3)), 3 * X**2 * [1, 2, 3])


@pytest.mark.parametrize("cube", CUBES)
def test_vmap(cube):
    x = np.outer(X, [1.0, 2.0])
    close(func.vmap(cube.apply)(cr.from_numpy(x)), x**3)
    close(func.vmap(cube.apply, in_dims=1, out_dims=1)(cr.from_numpy(x)), x**3)


@pytest.mark.parametrize("jacobian", [func.jacrev, func.jacfwd])
@pytest.mark.parametrize("cube", CUBES)
def test_jacobians(cube, jacobian):
    close(jacobian(cube.apply)(real(*X)), np.diag(3 * X**2))


@pytest.mark.parametrize("cube", [Cube, NumpyCube])
def test_taylor(cube):
    found = func.taylor(cube.apply, real(*X), order=5)
    for k, want in enumerate([X**3, 3 * X**2, 3 * X, np.ones(3), 0 * X, 0 * X]):
        close(found[k], want)


def test_the_class_evaluates_outside_the_library_once():
    NumpyCube.forward_calls = 0
    func.vmap(func.grad(lambda x: NumpyCube.apply(x).sum()))(real(*X)[:, None])
    assert NumpyCube.forward_calls == 1


# ---------------------------------------------------------------- nestings


@pytest.mark.parametrize("cube", CUBES)
@pytest.mark.parametrize("outer", [func.jacrev, func.jacfwd])
@pytest.mark.parametrize("inner", [func.jacrev, func.jacfwd])
def test_second_derivatives(cube, outer, inner):
    found = outer(inner(cube.apply))(real(*X))
    want = np.zeros((3, 3, 3))
    np.einsum("iii->i", want)[:] = 6 * X
    close(found, want)


@pytest.mark.parametrize("outer", [func.grad, lambda f: func.jacfwd(f), func.jacrev])
@pytest.mark.parametrize("middle", [func.grad, func.jacfwd])
@pytest.mark.parametrize("inner", [func.grad, func.jacfwd])
def test_third_derivatives(outer, middle, inner):
    close(outer(middle(inner(Cube.apply)))(cr.tensor(2.0, dtype=cr.float64)), 6.0)


@pytest.mark.parametrize("cube", CUBES)
def test_vmap_of_derivatives(cube):
    one = lambda x: cube.apply(x)
    close(func.vmap(func.grad(one))(real(*X)), 3 * X**2)
    close(func.vmap(func.grad(func.grad(one)))(real(*X)), 6 * X)
    close(func.vmap(func.jacfwd(func.grad(one)))(real(*X)), 6 * X)
    close(func.vmap(func.jacrev(func.jacfwd(one)))(real(*X)), 6 * X)
    push = func.vmap(lambda x, t: func.jvp(one, (x,), (t,))[1])
    close(push(real(*X), real(1, 2, 3)), 3 * X**2 * [1, 2, 3])


@pytest.mark.parametrize("cube", CUBES)
def test_derivatives_of_vmap(cube):
    f = func.vmap(cube.apply)
    close(func.grad(lambda x: f(x).sum())(real(*X)), 3 * X**2)
    close(func.jvp(f, (real(*X),), (real(1, 2, 3),))[1], 3 * X**2 * [1, 2, 3])
    close(func.hessian(lambda x: f(x).sum())(real(*X)), np.diag(6 * X))
    close(func.vmap(f)(real(*X)[None]), X[None] ** 3)


@pytest.mark.parametrize("cube", CUBES)
def test_taylor_of_gradient_and_gradient_of_taylor(cube):
    x = cr.tensor(2.0, dtype=cr.float64)
    found = func.taylor(func.grad(cube.apply), x, order=3)
    for k, want in enumerate([12.0, 12.0, 3.0, 0.0]):
        close(found[k], want)
    close(func.grad(lambda x: func.taylor(cube.apply, x, order=2)[2])(x), 3.0)


def test_several_arguments_and_results():
    x, a = real(*X), cr.tensor(1.5, dtype=cr.float64)
    for argnums in (0, 1, (0, 1)):
        got = func.grad(scaled, argnums)(x, a)
        want = func.grad(plain_scaled, argnums)(x, a)
        cr.tree.map(close, got, want)
    for transform in (func.jacfwd, func.jacrev, func.hessian):
        got = transform(scaled, (0, 1))(x, a)
        want = transform(plain_scaled, (0, 1))(x, a)
        cr.tree.map(close, got, want)
    ts = (real(1, 2, 3), cr.tensor(-1.0, dtype=cr.float64))
    cr.tree.map(close, func.jvp(scaled, (x, a), ts), func.jvp(plain_scaled, (x, a), ts))


def test_an_unmapped_argument_gets_the_sum_of_the_gradients():
    x, a = cr.from_numpy(np.outer(X, [1.0, 2.0])), cr.tensor(1.5, dtype=cr.float64)
    total = lambda f: lambda x, a: func.vmap(f, in_dims=(0, None))(x, a).sum()
    got = func.grad(total(scaled), (0, 1))(x, a)
    want = func.grad(total(plain_scaled), (0, 1))(x, a)
    cr.tree.map(close, got, want)
    per_example = func.vmap(func.grad(scaled, 1), in_dims=(0, None))(x, a)
    close(per_example, func.vmap(func.grad(plain_scaled, 1), in_dims=(0, None))(x, a))
    got = func.hessian(total(scaled), 1)(x, a)
    close(got, func.hessian(total(plain_scaled), 1)(x, a))


def test_a_rule_may_differentiate_by_itself():
    """The tags of transforms around a rule do not reach into what it computes."""

    class Tanh(Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x):
            return x.tanh()

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)
            ctx.save_for_forward(*inputs)

        @staticmethod
        def backward(ctx, g):
            return g * func.grad(lambda x: x.tanh().sum())(ctx.saved_tensors[0])

        @staticmethod
        def jvp(ctx, t):
            return func.jvp(cr.tanh, ctx.saved_tensors, (t,))[1]

    x = real(*X)
    want = 1 - np.tanh(X) ** 2
    close(func.grad(lambda x: Tanh.apply(x).sum())(x), want)
    close(func.vmap(func.grad(Tanh.apply))(x), want)
    close(func.grad(lambda x: func.vmap(Tanh.apply)(x).sum())(x), want)
    close(func.vmap(func.vmap(func.grad(Tanh.apply)))(x[None]), want[None])
    second = -2 * np.tanh(X) * want
    for outer, inner in [
        (a, b) for a in (func.grad, func.jacfwd) for b in (func.grad, func.jacfwd)
    ]:
        close(func.vmap(outer(inner(Tanh.apply)))(x), second)
