"""The gradient of a function of a whole batch."""

import numpy as np

import chainrule as cr
from chainrule.func import grad, vjp, vmap

from . import programs as p
from .programs import POINT, A, against, is_number, near, number

ROWS = np.stack([POINT, POINT[::-1], POINT * 0.5])

TestGradOfVmap = against(p.grad, p.vmap)
TestVjpOfVmap = against(p.vjp, p.vmap)


def test_a_batch_shares_its_weights():
    loss = lambda w: cr.sum(vmap(lambda x: cr.sin(w @ x))(cr.tensor(ROWS)))
    near(grad(loss)(cr.tensor(A)), sum(np.outer(np.cos(A @ x), x) for x in ROWS), 1e-13)


def test_the_variable_is_mapped_and_closed_over():
    """Σᵢ xᵢ Σⱼ xⱼ = (Σ x)²."""
    f = lambda x: cr.sum(vmap(lambda xi: xi * cr.sum(x))(x))
    near(grad(f)(cr.tensor(POINT)), np.full(3, 2 * POINT.sum()), 1e-14)


def test_the_variable_is_closed_over_only():
    f = lambda x: cr.sum(vmap(lambda row: cr.dot(row, x))(cr.tensor(ROWS)))
    near(grad(f)(cr.tensor(POINT)), ROWS.sum(0), 1e-14)


def test_the_mapped_function_ignores_the_variable():
    f = lambda x: cr.sum(vmap(lambda row: row * 2)(cr.tensor(ROWS))) * x
    is_number(grad(f)(number(2.0)), 2 * ROWS.sum())
    f = lambda x: cr.sum(vmap(lambda row: row * 2)(cr.tensor(ROWS))) + 0 * x
    is_number(grad(f)(number(2.0)), 0.0)


def test_an_output_that_is_the_same_for_every_example():
    """x is spread over three examples, so its gradient is three."""
    f = lambda x: cr.sum(vmap(lambda row: x)(cr.tensor(ROWS)))
    is_number(grad(f)(number(2.0)), 3.0)


def test_a_gradient_inside_the_mapped_function():
    """Σᵢ d/dy (x y²) at y = rᵢ is 2 x Σ r."""
    f = lambda x: cr.sum(vmap(lambda r: grad(lambda y: x * y * y)(r))(cr.tensor(POINT)))
    is_number(grad(f)(number(2.0)), 2 * POINT.sum())


def test_chunks_add_up():
    def f(x):
        return cr.sum(vmap(lambda row: cr.sin(row * x), chunk_size=2)(cr.tensor(ROWS)))

    near(grad(f)(cr.tensor(POINT)), (np.cos(ROWS * POINT) * ROWS).sum(0), 1e-14)


def test_two_mapped_outputs():
    f = lambda x: vmap(lambda r: (r * x, cr.sin(x)))(cr.tensor(ROWS))
    (a, b), pull = vjp(f, cr.tensor(POINT))
    (found,) = pull((cr.ones_like(a), 2 * cr.ones_like(b)))
    near(found, ROWS.sum(0) + 6 * np.cos(POINT), 1e-14)
