"""Taylor mode inside Taylor mode, and its cost."""

import math

import pytest

import chainrule as cr
from chainrule.func import nth_derivative, ode_series, taylor

from . import programs as p
from .programs import POINT, against_differences, is_number, near, number

TestTaylorOfTaylor = against_differences(p.taylor, p.taylor, tol=1e-7)


def test_mixed_derivatives_of_two_variables():
    """Coefficient (i, j) of exp(x) sin(y) in two nested series."""
    x, y = number(0.3), number(0.7)
    inner = lambda x: taylor(lambda y: cr.exp(x) * cr.sin(y), y, order=3)[3]
    found = taylor(inner, x, order=2)[2]
    is_number(found, math.exp(0.3) / 2 * -math.cos(0.7) / 6)


def test_perturbation_confusion():
    one = number(1.0)
    f = lambda x: x * taylor(lambda y: x + y, one, order=1)[1]
    is_number(taylor(f, one, order=1)[1], 1.0)
    f = lambda x: x * taylor(lambda y: x * y, number(2.0), order=1)[1]
    is_number(taylor(f, one, order=1)[1], 2.0)
    assert [c.item() for c in taylor(f, one, order=3)] == [1.0, 2.0, 1.0, 0.0]


def test_the_same_variable_at_two_levels():
    """The second derivative of ∂²/∂y² x y⁴ at y = x, that is of 12 x³."""
    f = lambda x: nth_derivative(lambda y: x * y**4, 2)(x)
    is_number(nth_derivative(f, 2)(number(2.0)), 144.0)


@pytest.mark.parametrize("split", [(0, 6), (1, 5), (3, 3), (6, 0)])
def test_derivatives_of_derivatives_add_up(split):
    first, second = split
    f = nth_derivative(nth_derivative(lambda x: cr.sin(x) * cr.exp(x), first), second)
    x = cr.tensor(POINT)
    expected = nth_derivative(lambda x: cr.sin(x) * cr.exp(x), 6)(x)
    near(f(x), expected.numpy(), 1e-13)


def test_the_series_of_a_solution_by_its_initial_value():
    """y' = y² from a: y = a/(1 - a t), whose coefficient k is a^(k+1)."""
    f = lambda a: ode_series(lambda y: y * y, a, 4)[4]
    found = taylor(f, number(2.0), order=3)
    for k, c in enumerate(found):
        is_number(c, math.comb(5, k) * 2.0 ** (5 - k))


def test_a_constant_and_order_zero():
    f = lambda x: taylor(lambda y: number(3.0), x, order=2)[2]
    is_number(taylor(f, number(1.0), order=1)[1], 0.0)
    (only,) = taylor(lambda x: taylor(lambda y: y * x, x, order=0)[0], number(3.0), order=0)
    is_number(only, 9.0)
