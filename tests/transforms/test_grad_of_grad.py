"""Reverse mode inside reverse mode."""

import chainrule as cr
from chainrule.func import grad, grad_and_value, vjp

from . import programs as p
from .programs import against, is_number, near, number

TestGradOfGrad = against(p.grad, p.grad)
TestGradOfVjp = against(p.grad, p.vjp)
TestVjpOfGrad = against(p.vjp, p.grad)
TestVjpOfVjp = against(p.vjp, p.vjp)


def test_perturbation_confusion():
    """Siskind and Pearlmutter, Nesting forward-mode AD in a functional framework (2008)."""
    one = number(1.0)
    is_number(grad(lambda x: x * grad(lambda y: x + y)(one))(one), 1.0)
    is_number(grad(lambda x: x * grad(lambda y: x * y)(number(2.0)))(one), 2.0)
    is_number(grad(lambda x: x * grad(lambda y: x * y * y)(x))(number(3.0)), 54.0)


def test_the_same_variable_at_two_levels():
    """d/dx of ∂/∂y x²y³ at y = x is d/dx 3x⁴."""
    is_number(grad(lambda x: grad(lambda y: x**2 * y**3)(x))(number(2.0)), 96.0)


def test_the_inner_function_ignores_its_argument():
    is_number(grad(lambda x: x * grad(lambda y: x**3)(x))(number(2.0)), 0.0)
    is_number(grad(lambda x: grad(lambda y: y**3)(number(2.0)) * x)(number(5.0)), 12.0)


def test_a_gradient_of_a_constant_is_zero():
    is_number(grad(grad(lambda x: number(3.0)))(number(2.0)), 0.0)
    is_number(grad(grad(lambda x: 3.0 * x))(number(2.0)), 0.0)


def test_fifth_order():
    f = cr.sin
    for expected in (cr.cos, lambda x: -cr.sin(x), lambda x: -cr.cos(x), cr.sin, cr.cos):
        f = grad(f)
        near(f(number(0.7)), expected(number(0.7)).numpy(), 1e-14)


def test_values_of_both_levels():
    def inner_value(x):
        slope, value = grad_and_value(lambda y: x * y**3)(x)
        return slope * value

    gradient, value = grad_and_value(inner_value)(number(2.0))
    is_number(value, 3 * 2.0**7)
    is_number(gradient, 21 * 2.0**6)


def test_a_closure_returned_as_aux_is_called_under_another_grad():
    _, scale = grad(lambda x: (x * x, lambda y: x * y * y), has_aux=True)(number(3.0))
    is_number(grad(scale)(number(2.0)), 12.0)

    def outer(x):
        _, scale = grad(lambda u: (u * u, lambda y: u * y * y), has_aux=True)(x)
        return scale(x)

    is_number(grad(outer)(number(2.0)), 12.0)


def test_a_pullback_made_outside_is_called_inside():
    """c ↦ c cos x is linear in c, and its derivative by x is known to nobody outside."""
    _, pull = vjp(cr.sin, number(0.5))
    is_number(grad(lambda c: pull(c)[0] * c)(number(3.0)), 6.0 * float(cr.cos(number(0.5))))


def test_a_pullback_is_differentiated_by_the_point_it_was_made_at():
    def f(x):
        _, pull = vjp(cr.sin, x)
        return pull(x)[0]

    x = number(0.5)
    is_number(grad(f)(x), float(cr.cos(x) - x * cr.sin(x)))


def test_argnums_at_both_levels():
    f = lambda x, y: x**2 * y**3
    x, y = number(2.0), number(3.0)
    is_number(grad(grad(f, 0), 1)(x, y), 2 * 2.0 * 3 * 9.0)
    is_number(grad(grad(f, 1), 0)(x, y), 2 * 2.0 * 3 * 9.0)
    first, second = grad(lambda x, y: grad(f)(x, y), (0, 1))(x, y)
    is_number(first, 2 * 27.0)
    is_number(second, 2 * 2.0 * 27.0)
