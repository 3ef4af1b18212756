"""Reverse and forward mode over Taylor mode."""

import math

import chainrule as cr
from chainrule.func import grad, hessian, jvp, laplacian, mixed_derivative, nth_derivative, taylor

from . import programs as p
from .programs import CR, POINT, against_differences, is_number, near, number, scalar

TestGradOfTaylor = against_differences(p.grad, p.taylor)
TestVjpOfTaylor = against_differences(p.vjp, p.taylor)
TestJvpOfTaylor = against_differences(p.jvp, p.taylor)
TestLinearizeOfTaylor = against_differences(p.linearize, p.taylor)
TestJacfwdOfTaylor = against_differences(p.jacfwd, p.taylor)
TestJacrevOfTaylor = against_differences(p.jacrev, p.taylor)


def test_perturbation_confusion():
    one = number(1.0)
    coefficient = lambda f, x: taylor(f, x, order=1)[1]
    for outer in (grad, lambda f: lambda x: jvp(f, (x,), (one,))[1]):
        is_number(outer(lambda x: x * coefficient(lambda y: x + y, one))(one), 1.0)
        is_number(outer(lambda x: x * coefficient(lambda y: x * y, number(2.0)))(one), 2.0)


def test_the_variable_as_point_direction_and_closure():
    """(x y³)'' along v = x at y = x, halved, is 3 x · x · x²."""
    f = lambda x: taylor(lambda y: x * y**3, x, x, 2)[2]
    is_number(f(number(2.0)), 48.0)
    is_number(grad(f)(number(2.0)), 96.0)
    is_number(jvp(f, (number(2.0),), (number(1.0),))[1], 96.0)


def test_the_direction_alone_depends_on_the_variable():
    """Coefficient 3 along v is homogeneous of degree 3 in v."""
    f = lambda v: taylor(cr.exp, number(0.5), v, 3)[3]
    is_number(grad(f)(number(2.0)), math.exp(0.5) * 2.0**2 / 2)


def test_grad_of_an_nth_derivative_is_the_next():
    f = lambda x: cr.exp(cr.sin(x))
    near(grad(nth_derivative(f, 5))(number(0.3)), nth_derivative(f, 6)(number(0.3)).numpy(), 1e-12)


def test_grad_of_the_laplacian():
    """Of Σ sin(xᵢ) x₀: the Laplacian is 2 cos x₀ - x₀ Σ sin xᵢ."""
    f = lambda x: cr.sum(cr.sin(x)) * x[0]
    closed = lambda x: 2 * cr.cos(x[0]) - x[0] * cr.sum(cr.sin(x))
    x = cr.tensor(POINT)
    near(laplacian(f)(x), closed(x).numpy(), 1e-14)
    near(grad(laplacian(f))(x), grad(closed)(x).numpy(), 1e-13)


def test_the_second_coefficient_by_its_direction_is_the_hessian():
    f = lambda x: scalar(CR, p.network(CR, x))
    x = cr.tensor(POINT)
    quadratic = lambda v: taylor(f, x, v, 2)[2]
    near(hessian(quadratic)(cr.zeros(3, dtype=cr.float64)), hessian(f)(x).numpy(), 1e-12)


def test_grad_of_a_mixed_derivative():
    a, b = cr.eye(3, dtype=cr.float64)[:2]
    f = lambda x: mixed_derivative(lambda u: u[0] ** 2 * u[1] ** 3, x, [a, b])
    x, y, _ = POINT
    near(grad(f)(cr.tensor(POINT)), [6 * y**2, 12 * x * y, 0.0], 1e-13)


def test_constants():
    is_number(grad(lambda x: taylor(lambda y: number(3.0), x, order=2)[2])(number(2.0)), 0.0)
