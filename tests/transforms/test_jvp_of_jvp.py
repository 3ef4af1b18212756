"""Forward mode inside forward mode."""

import pytest

import chainrule as cr
from chainrule.func import jvp, linearize

from . import programs as p
from .programs import against, is_number, near, number

TestJvpOfJvp = against(p.jvp, p.jvp)
TestJvpOfLinearize = against(p.jvp, p.linearize)
TestLinearizeOfJvp = against(p.linearize, p.jvp)
TestLinearizeOfLinearize = against(p.linearize, p.linearize)
TestLinearizeOfGrad = against(p.linearize, p.grad)
TestLinearizeOfVjp = against(p.linearize, p.vjp)


def derivative(f):
    return lambda x: jvp(f, (x,), (number(1.0),))[1]


def test_perturbation_confusion():
    """Siskind and Pearlmutter, Nesting forward-mode AD in a functional framework (2008)."""
    one = number(1.0)
    is_number(derivative(lambda x: x * derivative(lambda y: x + y)(one))(one), 1.0)
    is_number(derivative(lambda x: x * derivative(lambda y: x * y)(number(2.0)))(one), 2.0)
    is_number(derivative(lambda x: x * derivative(lambda y: x * y * y)(x))(number(3.0)), 54.0)


def test_three_levels_closed_over_one_another():
    """∂³/∂x∂y∂z of x y² z³ x at x = y = z, then by x: everything meets at one point."""
    f = lambda x: derivative(lambda y: derivative(lambda z: x * y**2 * z**3)(y))(x)
    is_number(f(number(2.0)), 12 * 2.0**4)  # d/dy (3 x y⁴) = 12 x y³ at y = x
    is_number(derivative(f)(number(2.0)), 48 * 2.0**3)


def test_a_function_that_shifts_functions():
    """Manzyuk et al., Perturbation confusion in forward AD of higher-order functions (2019).

    The derivative of a shift by u, at u = 0, is the derivative operator; applied twice it is the
    second derivative, and confusing the two runs gives zero.
    """
    shift = lambda u: lambda f: lambda x: f(x + u)
    operator = lambda f: lambda x: derivative(lambda u: shift(u)(f)(x))(number(0.0))
    x = number(0.7)
    near(operator(operator(cr.exp))(x), cr.exp(x).numpy(), 1e-14)
    near(operator(operator(cr.sin))(x), -cr.sin(x).numpy(), 1e-14)


def test_a_function_must_not_come_out_of_a_run():
    """A curried function would carry the tangents of a run that is over."""
    with pytest.raises(RuntimeError, match="unsupported type function"):
        derivative(lambda u: lambda x: u * x)(number(1.0))
    kept = []
    derivative(lambda u: kept.append(lambda x: u * x) or u)(number(1.0))
    with pytest.raises(RuntimeError, match="jvp that has already returned"):
        derivative(kept[0])(number(2.0))
    is_number(derivative(lambda x: x * x)(number(2.0)), 4.0)


def test_tangents_of_tangents():
    """The tangent itself depends on the outer variable: d/dx (cos(x) x²)."""
    f = lambda x: jvp(cr.sin, (x,), (x * x,))[1]
    x = number(0.7)
    near(derivative(f)(x), (2 * x * cr.cos(x) - x * x * cr.sin(x)).numpy(), 1e-14)


def test_a_linear_function_is_linear_in_two_runs():
    _, push = linearize(cr.sin, number(0.5))
    is_number(derivative(derivative(lambda t: push(t) * t))(number(3.0)),
              2 * float(cr.cos(number(0.5))))  # fmt: skip


def test_constants_and_unused_inputs():
    is_number(derivative(derivative(lambda x: number(3.0)))(number(2.0)), 0.0)
    found = jvp(lambda x, y: x * x, (number(2.0), number(3.0)), (number(0.0), number(1.0)))[1]
    is_number(found, 0.0)
