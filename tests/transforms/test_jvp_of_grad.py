"""Forward mode over reverse mode: the Hessian times a vector."""

import pytest

import chainrule as cr
from chainrule.func import grad, hessian, hvp, jvp, vjp

from . import programs as p
from .programs import CR, POINT, PROGRAMS, against, every_program, is_number, near, number, scalar

TestJvpOfGrad = against(p.jvp, p.grad)
TestJvpOfVjp = against(p.jvp, p.vjp)


@every_program
def test_hvp_is_the_hessian_times_the_vector(program):
    f = lambda x: scalar(CR, PROGRAMS[program](CR, x))
    x, v = cr.tensor(POINT), cr.tensor([0.3, -1.0, 0.5], dtype=cr.float64)
    near(hvp(f, x, v), (hessian(f)(x) @ v).numpy(), 1e-12)


def test_perturbation_confusion():
    one = number(1.0)
    f = lambda x: x * grad(lambda y: x + y)(one)
    is_number(jvp(f, (one,), (one,))[1], 1.0)
    f = lambda x: x * grad(lambda y: x * y)(number(2.0))
    is_number(jvp(f, (one,), (one,))[1], 2.0)


def test_the_same_variable_at_two_levels():
    f = lambda x: grad(lambda y: x**2 * y**3)(x)
    is_number(jvp(f, (number(2.0),), (number(1.0),))[1], 96.0)


def test_only_the_closure_carries_a_tangent():
    f = lambda x: grad(lambda y: x * y * y)(number(3.0))
    is_number(jvp(f, (number(2.0),), (number(1.0),))[1], 6.0)


def test_only_the_inner_variable_carries_a_tangent():
    f = lambda x: grad(lambda y: y**3)(x)
    is_number(jvp(f, (number(2.0),), (number(0.5),))[1], 6.0)


def test_a_constant_gradient_has_no_tangent():
    is_number(jvp(grad(lambda x: 3.0 * x), (number(2.0),), (number(1.0),))[1], 0.0)
    is_number(jvp(grad(lambda x: number(3.0)), (number(2.0),), (number(1.0),))[1], 0.0)


def test_a_pullback_called_later_with_a_cotangent_that_carries_a_tangent():
    _, pull = vjp(cr.sin, number(0.5))
    found = jvp(lambda c: pull(c * c)[0], (number(3.0),), (number(1.0),))[1]
    is_number(found, 6.0 * float(cr.cos(number(0.5))))


def test_a_pullback_that_outlives_the_forward_run_it_was_made_in():
    kept = []

    def f(x):
        y, pull = vjp(cr.sin, x)
        kept.append(pull)
        return y

    jvp(f, (number(0.5),), (number(1.0),))
    with pytest.raises(RuntimeError, match="already returned"):
        kept[0](number(1.0))
    is_number(jvp(f, (number(0.5),), (number(1.0),))[1], float(cr.cos(number(0.5))))
