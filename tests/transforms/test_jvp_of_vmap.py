"""Forward mode through a map."""

import numpy as np

import chainrule as cr
from chainrule.func import jvp, vmap

from . import programs as p
from .programs import POINT, A, against, is_number, near, number

TestJvpOfVmap = against(p.jvp, p.vmap)
TestLinearizeOfVmap = against(p.linearize, p.vmap)


def test_the_variable_is_mapped_and_closed_over():
    x, v = cr.tensor(POINT), cr.tensor(POINT[::-1].copy())
    found = jvp(lambda x: vmap(lambda xi: xi * cr.sum(x))(x), (x,), (v,))[1]
    near(found, POINT[::-1] * POINT.sum() + POINT * POINT.sum(), 1e-15)


def test_the_variable_is_closed_over_only():
    f = lambda w: vmap(lambda row: cr.sum(row * w))(cr.tensor(A))
    near(jvp(f, (cr.tensor(POINT),), (cr.tensor(POINT),))[1], A @ POINT, 1e-15)


def test_an_output_that_is_the_same_for_every_example():
    found = jvp(lambda x: vmap(lambda row: x)(cr.tensor(A)), (number(2.0),), (number(5.0),))[1]
    near(found, np.full(3, 5.0))


def test_the_mapped_function_ignores_the_variable():
    found = jvp(lambda x: vmap(lambda row: row * 2)(cr.tensor(A)), (number(2.0),), (number(1.0),))
    near(found[0], 2 * A)
    near(found[1], np.zeros((3, 3)))


def test_perturbation_confusion_with_a_map_between():
    """d/dx Σᵢ x d/dy (x y)|rᵢ = d/dx 3 x²."""
    one = number(1.0)

    def f(x):
        slopes = vmap(lambda r: x * jvp(lambda y: x * y, (r,), (one,))[1])(cr.tensor(POINT))
        return cr.sum(slopes)

    is_number(jvp(f, (number(2.0),), (one,))[1], 12.0)
