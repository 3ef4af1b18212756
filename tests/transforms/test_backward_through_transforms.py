"""The eager tape and the transforms: `.backward()` through results, and eager code inside."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.func import grad, hessian, jacfwd, jacrev, jvp, linearize, taylor, vjp, vmap

from . import programs as p
from .programs import CR, POINT, PROGRAMS, Cube, every_program, near, scalar

MODES = {
    m.__name__: m for m in (p.grad, p.vjp, p.jvp, p.linearize, p.vmap, p.jacfwd, p.jacrev, p.taylor)
}
every_mode = pytest.mark.parametrize("mode", MODES)


def leaf(values=POINT):
    return cr.tensor(np.array(values, dtype=float), requires_grad=True)


def transformed(mode, program):
    return MODES[mode](p.func, CR, lambda x: PROGRAMS[program](CR, x))


@every_mode
@every_program
def test_backward_is_grad_of_the_result(mode, program):
    f = transformed(mode, program)
    x = leaf()
    y = scalar(CR, f(x))
    y.backward()
    near(x.grad, grad(lambda x: scalar(CR, f(x)))(cr.tensor(POINT)).numpy(), 1e-12)


@every_mode
def test_a_leaf_that_is_closed_over(mode):
    """The weights w belong to the eager program; the transform differentiates by x only."""
    inner = lambda w: MODES[mode](p.func, CR, lambda x: cr.sin(w * x) * cr.sum(w))
    w = leaf([0.3, -0.8, 0.5])
    x = cr.tensor(POINT)
    scalar(CR, inner(w)(x)).backward()
    expected = grad(lambda w: scalar(CR, inner(w)(x)))(w.detach())
    near(w.grad, expected.numpy(), 1e-12)


@every_mode
def test_create_graph_and_backward_again(mode):
    f = transformed(mode, "elementary")
    x = leaf()
    (g,) = cr.autograd.grad(scalar(CR, f(x)), x, create_graph=True)
    (g * g).sum().backward()
    twice = grad(lambda x: cr.sum(grad(lambda u: scalar(CR, f(u)))(x) ** 2))
    near(x.grad, twice(cr.tensor(POINT)).numpy(), 1e-11)


@every_mode
def test_gradients_accumulate_and_the_graph_is_kept_on_demand(mode):
    x = leaf()
    y = scalar(CR, transformed(mode, "network")(x))
    y.backward(retain_graph=True)
    once = x.grad.numpy().copy()
    y.backward()
    near(x.grad, 2 * once, 1e-14)


@every_mode
def test_no_grad_outside_means_nothing_is_recorded(mode):
    f = transformed(mode, "elementary")
    x = leaf()
    with cr.no_grad():
        y = f(x)
    assert not y.requires_grad
    near(y, f(cr.tensor(POINT)).numpy(), 1e-15)


def test_no_grad_inside():
    """It stops reverse mode at every level that is running, but not forward mode."""

    def f(x):
        with cr.no_grad():
            held = x * x
        return cr.sum(held * x)

    x = cr.tensor(POINT)
    near(grad(f)(x), POINT**2, 1e-15)
    near(vmap(grad(f))(x[:, None]), (POINT**2)[:, None], 1e-15)
    assert not grad(f)(leaf()).requires_grad
    near(jvp(f, (x,), (cr.ones_like(x),))[1], (3 * POINT**2).sum(), 1e-14)


def test_the_result_of_a_transform_of_constants_is_not_on_the_tape():
    x = cr.tensor(POINT)
    for y in (grad(cr.sum)(x), jvp(cr.sin, (x,), (x,))[1], vmap(cr.sin)(x), vjp(cr.sin, x)[0],
              jacrev(cr.sin)(x), jacfwd(cr.sin)(x), linearize(cr.sin, x)[0],
              taylor(cr.sin, x, order=1)[1], hessian(cr.sum)(x)):  # fmt: skip
        assert not y.requires_grad


def test_hooks_on_what_a_transform_made():
    seen = []
    x = leaf()
    y = vmap(grad(lambda u: u**3))(x)
    y.register_hook(lambda g: seen.append(g.numpy().copy()) or 2 * g)
    cr.sum(y).backward()
    np.testing.assert_array_equal(seen, [np.ones(3)])
    near(x.grad, 12 * POINT, 1e-14)


def test_hooks_inside_a_transformed_function():
    """A hook on a value inside changes what flows through it, at every level above."""

    def f(x):
        y = x * x
        y.register_hook(lambda g: 10 * g)
        return cr.sum(y)

    near(grad(f)(cr.tensor(POINT)), 20 * POINT, 1e-15)


def test_backward_inside_a_transformed_function():
    """Inside, an independent eager computation runs to its end."""

    def f(x):
        w = leaf([1.0, 2.0, 3.0])
        cr.sum(w * w).backward()
        return cr.sum(x * w.grad)

    near(grad(f)(cr.tensor(POINT)), [2.0, 4.0, 6.0])
    near(vmap(f)(cr.tensor(POINT[None])), [(POINT * [2, 4, 6]).sum()], 1e-15)
    near(jvp(f, (cr.tensor(POINT),), (cr.ones(3, dtype=cr.float64),))[1], 12.0)


def test_autograd_grad_inside():
    """∂/∂x Σ (∂(x u³)/∂u)² of an eager inner gradient that closes over x."""

    def f(x):
        u = leaf([1.0, -0.5, 2.0])
        (g,) = cr.autograd.grad(cr.sum(x * u**3), u, create_graph=True)
        return cr.sum(g * g)

    u = np.array([1.0, -0.5, 2.0])
    near(grad(f)(cr.tensor(POINT)), 2 * POINT * 9 * u**4, 1e-14)
    ones = cr.ones(3, dtype=cr.float64)
    near(jvp(f, (cr.tensor(POINT),), (ones,))[1], (2 * POINT * 9 * u**4).sum(), 1e-14)


def test_autograd_grad_with_a_cotangent_from_a_transform():
    """The gradient is linear in its cotangent, which alone carries a tangent or a map."""
    u = leaf()
    y = cr.sin(u)
    f = lambda c: cr.autograd.grad(y, u, c * c, retain_graph=True)[0]
    c = cr.tensor(POINT[::-1].copy())
    near(jvp(f, (c,), (c,))[1], 2 * POINT[::-1] ** 2 * np.cos(POINT), 1e-14)
    near(vmap(f)(c[None]), (POINT[::-1] ** 2 * np.cos(POINT))[None], 1e-14)


def test_backward_on_a_value_of_a_transform_is_refused():
    def f(x):
        w = leaf()
        cr.sum(w * x).backward()
        return x

    x = cr.tensor(POINT)
    with pytest.raises(RuntimeError, match="inside a function given to jvp"):
        jvp(f, (x,), (x,))
    with pytest.raises(RuntimeError, match="inside a function given to vmap"):
        vmap(f)(x[None])


@every_mode
def test_a_custom_function_inside(mode):
    custom, plain = (MODES[mode](p.func, CR, f) for f in (Cube.apply, lambda x: x**3))
    x = cr.tensor(POINT)
    near(custom(x), plain(x).numpy(), 1e-13)
    y = leaf()
    scalar(CR, custom(y)).backward()
    near(y.grad, grad(lambda x: scalar(CR, plain(x)))(x).numpy(), 1e-12)


def in_place(x):
    y = cr.zeros(3, dtype=cr.float64)
    y[0] = x[0] * x[1]
    y[1:] = cr.sin(x[:2])
    y *= x
    view = y[1:]
    view += x[0]
    return y


def out_of_place(x):
    rest = cr.sin(x[:2]) * x[1:] + x[0]
    return cr.cat([(x[0] * x[1] * x[0])[None], rest])


@every_mode
@pytest.mark.parametrize("outer", MODES)
def test_in_place_code_inside(mode, outer):
    x = cr.tensor(POINT)
    written, plain = (
        MODES[outer](p.func, CR, MODES[mode](p.func, CR, f)) for f in (in_place, out_of_place)
    )
    near(written(x), plain(x).numpy(), 1e-12)
    y = leaf()
    scalar(CR, written(y)).backward()
    near(y.grad, grad(lambda x: scalar(CR, plain(x)))(x).numpy(), 1e-11)


def test_a_value_that_a_linear_function_needs_is_overwritten():
    """The record of a linear function keeps values of its own."""

    def overwrites(x):
        y = x * 1.0
        z = y * y
        y += 1.0
        return y * z

    x, v = cr.tensor(POINT), cr.tensor(POINT[::-1].copy())
    _, push = linearize(overwrites, x)
    expected = (3 * POINT**2 + 2 * POINT) * POINT[::-1]
    near(push(v), expected, 1e-14)
    near(jvp(overwrites, (x,), (v,))[1], expected, 1e-14)


def test_a_leaf_is_written_between_two_runs():
    """Nothing remembers the old values."""
    w = leaf()
    f = lambda: vmap(lambda s: cr.sum(s * w * w))(cr.ones(2, dtype=cr.float64)).sum()
    f().backward()
    near(w.grad, 4 * POINT, 1e-15)
    w.grad = None
    with cr.no_grad():
        w += 1
    f().backward()
    near(w.grad, 4 * (POINT + 1), 1e-15)


def test_a_value_saved_by_a_transform_is_overwritten():
    """The write is noticed by the backward pass, not ignored."""
    x = leaf()
    y = x * 1.0
    z = vmap(lambda e: e * e)(y)
    with cr.no_grad():
        y += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        cr.sum(z).backward()
