"""A map over a map."""

import numpy as np

import chainrule as cr
from chainrule.func import vmap

from . import programs as p
from .programs import POINT, A, against, near

TestVmapOfVmap = against(p.vmap, p.vmap)
B = A + 0.1


def test_all_pairs():
    a, b = cr.tensor(A), cr.tensor(B)
    pairs = vmap(lambda x: vmap(lambda y: cr.dot(x, y))(b))(a)
    near(pairs, A @ B.T, 1e-14)
    near(vmap(vmap(cr.dot, (None, 0)), (0, None))(a, b), A @ B.T, 1e-14)
    near(vmap(vmap(cr.dot, (0, None)), (None, 0))(a, b), B @ A.T, 1e-14)


def test_the_same_variable_at_two_levels():
    x = cr.tensor(POINT)
    near(vmap(lambda a: vmap(lambda b: a * b + a)(x))(x), np.outer(POINT, POINT) + POINT[:, None])


def test_three_levels():
    x = cr.tensor(POINT)
    cube = vmap(lambda a: vmap(lambda b: vmap(lambda c: a - b * c)(x))(x))(x)
    a, b, c = np.meshgrid(POINT, POINT, POINT, indexing="ij")
    near(cube, a - b * c, 1e-15)


def test_dimensions_at_both_levels():
    t = np.arange(24.0).reshape(2, 3, 4)
    f = vmap(vmap(lambda v: v * 2, in_dims=1, out_dims=1), in_dims=1, out_dims=2)
    near(f(cr.tensor(t)), np.moveaxis(2 * t, 1, 2))


def test_the_inner_map_does_not_depend_on_the_outer():
    x = cr.tensor(POINT)
    near(vmap(lambda a: vmap(cr.sin)(x))(x), np.stack([np.sin(POINT)] * 3), 1e-15)


def test_a_constant():
    x = cr.tensor(POINT)
    near(
        vmap(lambda a: vmap(lambda b: cr.tensor(1.5, dtype=cr.float64))(x))(x), np.full((3, 3), 1.5)
    )


def test_an_inner_map_over_what_the_outer_made():
    """The outer example is a row; the inner maps over its entries, and reads the whole row."""
    found = vmap(lambda row: vmap(lambda e: e * cr.sum(row))(row))(cr.tensor(A))
    near(found, A * A.sum(1, keepdims=True), 1e-14)
