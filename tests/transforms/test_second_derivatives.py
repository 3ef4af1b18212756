"""Products, diagonal and trace of the Hessian, and the divergence, inside and outside of others."""

import pytest

from . import programs as p
from .programs import agrees_with_differences, scalar


def hvp(m, xp, f):
    return lambda x: m.hvp(lambda u: scalar(xp, f(u)) * x[1], x, xp.sin(x))


def laplacian(m, xp, f):
    return lambda x: m.laplacian(lambda u: f(u) * x[1])(x)


def hessian_diagonal(m, xp, f):
    return lambda x: m.hessian_diagonal(lambda u: f(u) * x[1])(x)


def divergence(m, xp, f):
    return lambda x: m.divergence(lambda u: scalar(xp, f(u)) * xp.sin(u) * x[1])(x) * x


def second_derivative(m, xp, f):
    return lambda x: m.nth_derivative(lambda u: f(u) * x[1], 2)(x)


MODES = {f.__name__: f for f in (hvp, laplacian, hessian_diagonal, divergence, second_derivative)}
OTHERS = {f.__name__: f for f in (p.grad, p.jvp, p.linearize, p.vmap, p.jacrev, p.taylor)}
every_mode = pytest.mark.parametrize("mode", MODES)
every_other = pytest.mark.parametrize("other", OTHERS)
programs = pytest.mark.parametrize("program", ["elementary", "quadratic_form", "constant"])


@every_mode
@p.every_program
def test_alone(mode, program):
    agrees_with_differences([MODES[mode]], program)


@every_mode
@every_other
@programs
def test_inside_another(mode, other, program):
    agrees_with_differences([OTHERS[other], MODES[mode]], program, tol=1e-7)


@every_mode
@pytest.mark.parametrize("other", ["grad", "jvp", "vmap"])
@programs
def test_around_another(mode, other, program):
    agrees_with_differences([MODES[mode], OTHERS[other]], program, tol=1e-7)


@pytest.mark.parametrize("other", ["divergence", "hvp", "second_derivative"])
@every_mode
def test_around_one_another(mode, other):
    agrees_with_differences([MODES[mode], MODES[other]], "quadratic_form", tol=1e-6)
