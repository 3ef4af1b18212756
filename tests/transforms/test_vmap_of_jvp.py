"""Many tangents, many points: forward mode under a map."""

import numpy as np

import chainrule as cr
from chainrule.func import jvp, linearize, vmap

from . import programs as p
from .programs import POINT, A, against, near, number

TestVmapOfJvp = against(p.vmap, p.jvp)
TestVmapOfLinearize = against(p.vmap, p.linearize)


def test_perturbation_confusion():
    f = lambda x: x * jvp(lambda y: x * y, (x,), (number(1.0),))[1]
    near(vmap(f)(cr.tensor(POINT)), POINT**2, 1e-15)


def test_only_the_tangents_are_mapped():
    x = cr.tensor(POINT)
    columns = vmap(lambda v: jvp(lambda x: cr.sin(x) * cr.sum(x), (x,), (v,))[1])(
        cr.eye(3, dtype=cr.float64)
    )
    near(columns.T, np.diag(np.cos(POINT) * POINT.sum()) + np.sin(POINT)[:, None], 1e-14)


def test_only_the_points_are_mapped():
    v = cr.tensor(POINT)
    found = vmap(lambda x: jvp(cr.sin, (x,), (v,))[1])(cr.tensor(A))
    near(found, np.cos(A) * POINT, 1e-15)


def test_only_the_closure_is_mapped():
    x, v = cr.tensor(POINT), cr.tensor(POINT[::-1].copy())
    found = vmap(lambda c: jvp(lambda x: c * cr.sin(x), (x,), (v,))[1])(cr.tensor(A))
    near(found, A * np.cos(POINT) * POINT[::-1], 1e-15)


def test_a_constant_has_the_tangent_zero_in_every_example():
    x = cr.tensor(POINT)
    near(vmap(lambda c: jvp(lambda x: c, (x,), (x,))[1])(cr.tensor(A)), np.zeros((3, 3)))


def test_a_linear_function_on_a_batch_of_tangents():
    _, push = linearize(cr.sin, cr.tensor(POINT))
    near(vmap(push)(cr.tensor(A)), np.cos(POINT) * A, 1e-15)
    near(push(cr.tensor(POINT)), np.cos(POINT) * POINT, 1e-15)
