"""What is unmapped is computed once, and has one gradient per example where that is asked for."""

import gc
import itertools
import math
import weakref

import numpy as np
import pytest

import chainrule as cr
from chainrule import func
from chainrule.func import grad, hessian, jacfwd, jacrev, jvp, taylor, vjp, vmap


@pytest.fixture(autouse=True)
def _float64(double_and_seeded):
    pass


STEPS = {
    "grad": grad,
    "jvp": lambda g: lambda x: jvp(g, (x,), (cr.ones(()),))[1],
    "jvp on a batch of directions": lambda g: (
        lambda x: vmap(lambda t: jvp(g, (x,), (t,))[1])(cr.ones(2))[1]
    ),
    "grad of an unmapped input": lambda g: (
        lambda x: vmap(lambda s: grad(lambda w: g(w) * s)(x))(cr.tensor([2.0, 1.0]))[1]
    ),
    "jacrev": jacrev,
    "taylor": lambda g: lambda x: taylor(g, x, cr.ones(()), 1)[1],
}
FUNCTIONS = {
    "x e^x": (lambda x: x * x.exp(), lambda k: (0.6 + k) * math.exp(0.6)),
    "x^5": (lambda x: x.square().square() * x, lambda k: math.perm(5, k) * 0.6 ** (5 - k)),
}


def nest(f, names):
    for name in names:
        f = STEPS[name](f)
    return f


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_every_nest_of_derivatives(name, depth):
    f, derivative = FUNCTIONS[name]
    x = cr.tensor(0.6)
    for names in itertools.product(STEPS, repeat=depth):
        h = nest(f, names)
        for found in (h(x), vmap(h)(x.reshape(1))[0]):
            np.testing.assert_allclose(found.item(), derivative(depth), rtol=1e-12, err_msg=names)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_fourth_derivatives(name):
    f, derivative = FUNCTIONS[name]
    steps = ("grad", "jvp", "jvp on a batch of directions")
    for names in itertools.product(steps, repeat=4):
        found = nest(f, names)(cr.tensor(0.6)).item()
        np.testing.assert_allclose(found, derivative(4), rtol=1e-11, err_msg=names)


def test_three_maps_and_gradients_in_every_order():
    x = cr.tensor([0.5, -1.2])
    grids = x[:, None, None], x[:, None], x
    for count in (1, 2, 3):
        for order in itertools.permutations(range(3), count):
            f = lambda a, b, c: a**2 * b**2 * c**2
            for k in order:
                f = grad(f, k)
            found = vmap(lambda a: vmap(lambda b: vmap(lambda c: f(a, b, c))(x))(x))(x)  # noqa: B023
            wanted = 1.0
            for k, v in enumerate(grids):
                wanted = wanted * (2 * v if k in order else v * v)
            np.testing.assert_allclose(found.numpy(), wanted.numpy(), rtol=1e-14)


def branching(x):
    y = x * 2 if x.sum() > 0 else x * 3
    return (y.sin() * x).sum()


@pytest.mark.parametrize("inner", [grad, jacrev])
def test_branches_on_unmapped_values(inner):
    x = cr.tensor([0.5, -1.2, 2.0])
    wanted = hessian(branching)(x).numpy()
    np.testing.assert_allclose(jacfwd(inner(branching))(x).numpy(), wanted, rtol=1e-12)


def test_loops_and_branches_on_shared_parameters():
    w, x = cr.tensor([1.0, 2.0, 3.0]), cr.randn(4, 3)

    def per_example(s):
        def loss(w):
            u = w * w if w.sum() > 0 else w
            while u.sum() < 20.0:
                u = u + w
            return (u.sin() * s).sum() * s[0] + (w * w).sum()

        return grad(loss)(w)

    wanted = np.stack([per_example(s).numpy() for s in x])
    np.testing.assert_allclose(vmap(per_example)(x).numpy(), wanted, rtol=1e-12)


def test_an_unmapped_gradient_stays_unmapped():
    w = cr.tensor([1.0, 2.0])
    seen = []

    def f(s):
        g = grad(lambda w: (w * w).sum())(w)
        seen.append(type(g))
        return g * s

    np.testing.assert_allclose(vmap(f)(cr.ones(3)).numpy(), [[2.0, 4.0]] * 3)
    assert seen == [cr.Tensor]


def test_pullbacks_with_mapped_and_unmapped_outputs():
    w, x = cr.tensor([1.0, 2.0, 3.0]), cr.randn(4, 3)
    f = lambda s: vjp(lambda w: (w.sin() * s, w * w), w)[1]((s, s * s))[0]
    np.testing.assert_allclose(vmap(f)(x).numpy(), np.stack([f(s).numpy() for s in x]), rtol=1e-13)


def test_leaves_outside_get_the_sum():
    leaf, x = cr.tensor([1.0, 2.0, 3.0], requires_grad=True), cr.randn(4, 3)
    f = lambda s: grad(lambda v: ((leaf * v).sin() * s).sum())(leaf * 1.0)
    mapped, looped = vmap(f)(x), cr.stack([f(s) for s in x])
    found = [cr.autograd.grad((y * y).sum(), leaf)[0].numpy() for y in (mapped, looped)]
    np.testing.assert_allclose(*found, rtol=1e-12)


def test_a_gradient_inside_of_nested_jacobians():
    """Found by the fuzzer: a cotangent that is unmapped crosses, too."""

    def f(v):
        inner = lambda u: grad(lambda w: w.sin().sin().sum())(u).sum()
        return jacfwd(grad(inner))(v)

    x = cr.tensor([0.3, 0.7, -1.1])
    np.testing.assert_allclose(jacfwd(f)(x).numpy(), jacrev(f)(x).numpy(), rtol=1e-12)


def test_linear_function_of_a_shared_input():
    w, x = cr.tensor([1.0, 2.0]), cr.randn(3, 2)
    f = lambda s: func.linearize(lambda w: (w * w * s).sum(), w)[1](s)
    np.testing.assert_allclose(vmap(f)(x).numpy(), [f(s).item() for s in x], rtol=1e-13)


def test_a_value_that_becomes_mapped_after_it_crossed():
    """Found by the fuzzer: what crosses is the value, not the tensor that is written later."""

    def per_example(u):
        def written(v):
            y = v.clone()
            y[::2] = u
            return y.sum()

        return grad(written)(cr.ones(4)).sum() * u

    np.testing.assert_allclose(vmap(per_example)(cr.tensor([3.0, 5.0])).numpy(), [6.0, 10.0])


def test_a_copy_of_an_input_may_be_written():
    """Found by the fuzzer: copying an input into a tensor does not make that tensor the input."""

    def per_example(s, w):
        def written(v):
            y = cr.zeros(3)
            y.copy_(v)
            y[0] = s
            return (y * y).sum()

        return grad(written)(w.sin())

    w = cr.tensor([0.3, 0.7, -1.1])
    wanted = 2 * np.sin(w.numpy()) * [0, 1, 1]
    found, tangent = jvp(lambda x: vmap(per_example, (0, None))(x, x), (w,), (cr.ones(3),))
    np.testing.assert_allclose(found.numpy(), [wanted] * 3, rtol=1e-14)
    np.testing.assert_allclose(tangent.numpy(), [2 * np.cos(w.numpy()) * [0, 1, 1]] * 3, rtol=1e-14)


def test_the_tape_is_freed_without_the_collector():
    gc.collect()
    gc.disable()
    try:
        w, seen = cr.tensor([1.0, 2.0]), []

        def loss(w, s):
            u = (w * w).sin()
            seen.append(weakref.ref(u.node))
            return (u * s).sum()

        vmap(grad(loss), (None, 0))(w, cr.ones(3))
        assert [node() for node in seen] == [None]
    finally:
        gc.enable()
