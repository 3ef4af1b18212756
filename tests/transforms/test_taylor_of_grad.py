"""Taylor mode over reverse and forward mode."""

import math

import chainrule as cr
from chainrule.func import grad, hessian, jvp, linearize, nth_derivative, taylor, vjp

from . import programs as p
from .programs import CR, POINT, against_differences, is_number, near, number, scalar

TestTaylorOfGrad = against_differences(p.taylor, p.grad)
TestTaylorOfVjp = against_differences(p.taylor, p.vjp)
TestTaylorOfJvp = against_differences(p.taylor, p.jvp)
TestTaylorOfLinearize = against_differences(p.taylor, p.linearize)
TestTaylorOfJacfwd = against_differences(p.taylor, p.jacfwd)
TestTaylorOfJacrev = against_differences(p.taylor, p.jacrev)


def test_perturbation_confusion():
    f = lambda x: x * grad(lambda y: x * y)(number(2.0))
    assert [c.item() for c in taylor(f, number(1.0), order=3)] == [1.0, 2.0, 1.0, 0.0]
    f = lambda x: x * jvp(lambda y: x * y, (number(2.0),), (number(1.0),))[1]
    assert [c.item() for c in taylor(f, number(1.0), order=3)] == [1.0, 2.0, 1.0, 0.0]


def test_the_same_variable_at_two_levels():
    """3 x⁴ around 2."""
    found = taylor(lambda x: grad(lambda y: x**2 * y**3)(x), number(2.0), order=4)
    for k, c in enumerate(found):
        is_number(c, 3 * math.comb(4, k) * 2.0 ** (4 - k))


def test_the_first_coefficient_of_a_gradient_is_the_hessian_times_the_direction():
    f = lambda x: scalar(CR, p.network(CR, x))
    x, v = cr.tensor(POINT), cr.tensor(POINT[::-1].copy())
    near(taylor(grad(f), x, v, 1)[1], (hessian(f)(x) @ v).numpy(), 1e-13)


def test_seventh_derivative_one_at_a_time_or_six_together():
    f = lambda x: cr.exp(cr.sin(x))
    x = number(0.3)
    near(nth_derivative(grad(f), 6)(x), nth_derivative(f, 7)(x).numpy(), 1e-12)


def test_a_pullback_made_outside_is_expanded():
    """The cotangent alone is a series: c² cos(1/2)."""
    _, pull = vjp(cr.sin, number(0.5))
    _, push = linearize(cr.sin, number(0.5))
    for f in (lambda c: pull(c * c)[0], lambda c: push(c * c)):
        found = taylor(f, number(3.0), order=3)
        for c, expected in zip(found, (9.0, 6.0, 1.0, 0.0), strict=True):
            is_number(c, expected * math.cos(0.5))


def test_the_gradient_of_a_constant():
    found = taylor(grad(lambda x: number(3.0)), number(2.0), order=2)
    assert [c.item() for c in found] == [0.0, 0.0, 0.0]
