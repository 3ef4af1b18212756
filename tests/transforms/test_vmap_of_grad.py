"""Gradients per example."""

import numpy as np

import chainrule as cr
from chainrule.func import grad, grad_and_value, vjp, vmap

from . import programs as p
from .programs import POINT, A, against, near

ROWS = np.stack([POINT, POINT[::-1], POINT * 0.5])

TestVmapOfGrad = against(p.vmap, p.grad)
TestVmapOfVjp = against(p.vmap, p.vjp)


def rows():
    return cr.tensor(ROWS)


def test_perturbation_confusion():
    """Each example's derivative of x ↦ x d/dy (x y) is its own 2 x... as a value: x²."""
    f = lambda x: x * grad(lambda y: x * y)(x)
    near(vmap(f)(rows()[0]), ROWS[0] ** 2, 1e-14)


def test_gradients_by_what_all_examples_share():
    """The weights are not mapped: every example still has a gradient of its own."""
    loss = lambda w, x: cr.sum(cr.sin(w @ x))
    found = vmap(grad(loss), in_dims=(None, 0))(cr.tensor(A), rows())
    expected = np.stack([np.outer(np.cos(A @ x), x) for x in ROWS])
    near(found, expected, 1e-13)


def test_the_closed_over_variable_is_mapped_and_the_differentiated_is_not():
    f = lambda x: grad(lambda w: cr.sum(w * x))(cr.tensor(POINT))
    near(vmap(f)(rows()), ROWS, 1e-14)


def test_nothing_inside_depends_on_the_example():
    f = lambda x: grad(lambda w: cr.sum(w * w))(cr.tensor(POINT))
    near(vmap(f)(rows()), np.stack([2 * POINT] * 3), 1e-14)


def test_a_constant_function():
    f = grad(lambda x: cr.tensor(2.0, dtype=cr.float64))
    near(vmap(f)(rows()), np.zeros((3, 3)))


def test_values_and_gradients():
    gradients, values = vmap(grad_and_value(lambda x: cr.sum(x**3)))(rows())
    near(gradients, 3 * ROWS**2, 1e-14)
    near(values, (ROWS**3).sum(1), 1e-14)


def test_a_pullback_applied_to_a_batch_of_cotangents():
    """Rows of the Jacobian, and the pullback keeps nothing of the map when it is over."""
    _, pull = vjp(cr.sin, cr.tensor(POINT))
    near(vmap(pull)(cr.eye(3, dtype=cr.float64))[0], np.diag(np.cos(POINT)), 1e-14)
    near(pull(cr.ones(3, dtype=cr.float64))[0], np.cos(POINT), 1e-14)


def test_inner_and_outer_dimensions():
    columns = vmap(grad(lambda x: cr.sum(x**3)), in_dims=1, out_dims=1)(rows())
    near(columns, 3 * ROWS**2, 1e-14)
