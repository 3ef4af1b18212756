"""Second derivatives of a map, and a map of second derivatives."""

import numpy as np

import chainrule as cr
from chainrule.func import hessian, hessian_diagonal, hvp, jacfwd, jacrev, laplacian, vmap

from . import programs as p
from .programs import POINT, against, near

ROWS = np.stack([POINT, POINT[::-1]])

TestHessianOfVmap = against(p.hessian, p.vmap)
TestVmapOfHessian = against(p.vmap, p.hessian, tol=1e-7)


def f(x):
    return cr.sum(x[:-1] ** 2 * cr.sin(x[1:]))


def test_every_way_to_a_hessian_agrees_under_a_map():
    rows = cr.tensor(ROWS)
    expected = np.stack([hessian(f)(x).numpy() for x in rows])
    ways = [jacfwd(jacfwd(f)), jacfwd(jacrev(f)), jacrev(jacfwd(f)), jacrev(jacrev(f)), hessian(f)]
    for way in ways:
        near(vmap(way)(rows), expected, 1e-13)
    diagonals = np.diagonal(expected, axis1=1, axis2=2)
    near(vmap(hessian_diagonal(f))(rows), diagonals, 1e-13)
    near(vmap(laplacian(f))(rows), diagonals.sum(1), 1e-13)
    v = cr.tensor(POINT)
    near(vmap(lambda x: hvp(f, x, v))(rows), expected @ POINT, 1e-13)


def test_the_hessian_of_a_sum_over_examples():
    total = lambda w: cr.sum(vmap(lambda x: f(x * w))(cr.tensor(ROWS)))
    expected = sum(hessian(lambda w, x=x: f(x * w))(cr.tensor(POINT)).numpy()
                   for x in cr.tensor(ROWS))  # fmt: skip
    near(hessian(total)(cr.tensor(POINT)), expected, 1e-13)
