"""Series per example, and series of maps."""

import math

import numpy as np

import chainrule as cr
from chainrule.func import nth_derivative, ode_series, taylor, vmap

from . import programs as p
from .programs import POINT, A, against_differences, near, number

TestVmapOfTaylor = against_differences(p.vmap, p.taylor)
TestTaylorOfVmap = against_differences(p.taylor, p.vmap)


def test_only_the_points_or_the_directions_or_the_closure_are_mapped():
    x, v = cr.tensor(POINT), cr.tensor(POINT[::-1].copy())
    coefficient = lambda c, x, v: taylor(lambda x: c * cr.exp(x), x, v, 3)[3]
    rows = cr.tensor(A)
    sixth = lambda c, x, v: c * np.exp(x) * v**3 / 6
    w, y = POINT[::-1], POINT
    near(vmap(coefficient, (None, 0, None))(x, rows, v), sixth(y, A, w), 1e-14)
    near(vmap(coefficient, (None, None, 0))(x, x, rows), sixth(y, y, A), 1e-14)
    near(vmap(coefficient, (0, None, None))(rows, x, v), sixth(A, y, w), 1e-14)


def test_perturbation_confusion():
    f = lambda x: x * taylor(lambda y: x * y, x, order=1)[1]
    near(vmap(f)(cr.tensor(POINT)), POINT**2, 1e-15)


def test_the_expanded_variable_is_mapped_and_closed_over():
    """Around t = 0 of Σᵢ (xᵢ + t) Σⱼ (xⱼ + t) = (Σ x + 3 t)²."""
    f = lambda x: cr.sum(vmap(lambda xi: xi * cr.sum(x))(x))
    s = POINT.sum()
    found = taylor(f, cr.tensor(POINT), order=3)
    for c, expected in zip(found, (s * s, 6 * s, 9.0, 0.0), strict=True):
        near(c, expected, 1e-14)


def test_a_constant_in_every_example():
    coefficients = vmap(lambda x: taylor(lambda y: number(2.0), x, order=2))(cr.tensor(POINT))
    near(coefficients[0], np.full(3, 2.0))
    near(coefficients[2], np.zeros(3))


def test_solutions_from_a_batch_of_initial_values():
    series = vmap(lambda a: ode_series(lambda y: y * y, a, 4))(cr.tensor(POINT))
    for k, c in enumerate(series):
        near(c, POINT ** (k + 1), 1e-14)


def test_nth_derivative_per_example():
    near(vmap(nth_derivative(lambda x: x**6, 4))(cr.tensor(POINT)),
         math.perm(6, 4) * POINT**2, 1e-13)  # fmt: skip
