"""Reverse mode over forward mode."""

import chainrule as cr
from chainrule.func import grad, jvp, linearize

from . import programs as p
from .programs import against, is_number, near, number

TestGradOfJvp = against(p.grad, p.jvp)
TestVjpOfJvp = against(p.vjp, p.jvp)
TestGradOfLinearize = against(p.grad, p.linearize)
TestVjpOfLinearize = against(p.vjp, p.linearize)


def slope(f, x, v=None):
    return jvp(f, (x,), (number(1.0) if v is None else v,))[1]


def test_perturbation_confusion():
    one = number(1.0)
    is_number(grad(lambda x: x * slope(lambda y: x + y, one))(one), 1.0)
    is_number(grad(lambda x: x * slope(lambda y: x * y, number(2.0)))(one), 2.0)


def test_the_same_variable_at_two_levels():
    is_number(grad(lambda x: slope(lambda y: x**2 * y**3, x))(number(2.0)), 96.0)


def test_the_variable_as_primal_tangent_and_closure():
    """(x y²)' along v = x³ at y = x is 2 x⁵."""
    is_number(grad(lambda x: slope(lambda y: x * y * y, x, x**3))(number(2.0)), 160.0)


def test_the_tangent_alone_depends_on_the_variable():
    is_number(
        grad(lambda v: slope(cr.sin, number(0.5), v))(number(3.0)), float(cr.cos(number(0.5)))
    )


def test_primal_output_and_tangent_output():
    def f(x):
        y, t = jvp(lambda u: u**3, (x,), (x,))
        return y * t

    is_number(grad(f)(number(2.0)), 18 * 2.0**5)


def test_a_constant_has_a_zero_tangent():
    is_number(grad(lambda x: slope(lambda y: number(3.0), x) * x)(number(2.0)), 0.0)
    is_number(grad(lambda x: slope(lambda y: x, x) * x)(number(2.0)), 0.0)


def test_a_linear_function_made_outside_is_called_inside():
    _, push = linearize(lambda x: cr.sin(x), number(0.5))
    is_number(grad(lambda t: push(t) * t)(number(3.0)), 6.0 * float(cr.cos(number(0.5))))


def test_a_linear_function_made_inside_is_differentiated_by_its_point():
    def f(x):
        _, push = linearize(cr.sin, x)
        return push(x) + push(number(1.0))

    x = number(0.5)
    near(grad(f)(x), (cr.cos(x) - (x + 1) * cr.sin(x)).numpy(), 1e-14)
