"""Writing to the result of a transform changes nothing that the caller passed in.

PyTorch hands the argument itself back where the function does.  A derivative and its point, or two
coefficients of a series, are values of their own here.
"""

from itertools import product

import numpy as np
import pytest

import chainrule as cr
from chainrule.autograd import functional
from chainrule.func import jvp, linearize, nth_derivative, ode_series, taylor, vjp, vmap

FUNCTIONS = {
    "itself": lambda x: x,
    "a view": lambda x: x[1:],
    "twice": lambda x: (x, x),
    "in a tree": lambda x: {"a": x.reshape(-1), "b": [x, x * 2]},
}
TRANSFORMS = {
    "jvp": lambda f, x, t: jvp(f, (x,), (t,)),
    "linearize": lambda f, x, t: linearize(f, x)[0],
    "linearize, pushed": lambda f, x, t: linearize(f, x)[1](t),
    "vjp": lambda f, x, t: vjp(f, x)[0],
    "taylor": lambda f, x, t: taylor(f, x, t, order=2),
    "nth_derivative": lambda f, x, t: (nth_derivative(f, 0)(x), nth_derivative(f, 1)(x)),
    "functional.jvp": lambda f, x, t: functional.jvp(f, x, t),
}


# `autograd.functional` takes and returns tensors and tuples of them: no arrays, no trees.
CASES = [
    (transform, name, kind)
    for transform, name, kind in product(TRANSFORMS, FUNCTIONS, ["tensors", "arrays"])
    if not (transform.startswith("functional") and (kind == "arrays" or name == "in a tree"))
]


@pytest.mark.parametrize(("transform", "name", "kind"), CASES)
def test_results_may_be_written(transform, name, kind):
    f, run = FUNCTIONS[name], TRANSFORMS[transform]
    point, direction = np.arange(3.0), np.ones(3)
    x, t = point.copy(), direction.copy()
    if kind == "tensors":
        x, t = cr.tensor(x), cr.tensor(t)
    expected = [np.array(y) for y in cr.tree.leaves(run(f, x, t))]
    results = cr.tree.leaves(run(f, x, t))
    for i, y in enumerate(results):
        np.testing.assert_array_equal(np.asarray(y), expected[i])  # untouched by earlier writes
        y += 10.0
    np.testing.assert_array_equal(np.asarray(x), point)
    np.testing.assert_array_equal(np.asarray(t), direction)


def test_cotangents_and_coefficients_may_be_written():
    g = cr.ones(3)
    (found,) = vjp(lambda x: x, cr.zeros(3))[1](g)
    found += 1
    _, other = functional.vjp(lambda x: x, cr.zeros(3), g)
    other += 1
    assert g.tolist() == [1, 1, 1]
    mapped = vmap(lambda x: x)(g)
    mapped += 1
    assert g.tolist() == [1, 1, 1]
    y0 = cr.ones(3)
    first, second, third = ode_series(lambda y: y, y0, 2)
    second += 1
    assert y0.tolist() == first.tolist() == [1, 1, 1]
    assert third.tolist() == [0.5, 0.5, 0.5]


def test_what_is_recorded_or_inside_another_transform_is_not_copied():
    x = cr.ones(3, requires_grad=True)
    out, _ = jvp(lambda x: x, (x,), (cr.ones(3),))
    out.sum().backward()
    assert x.grad.tolist() == [1, 1, 1]
    _, twice = jvp(lambda x: jvp(lambda y: y, (x,), (x,))[1], (cr.ones(3),), (cr.ones(3),))
    assert twice.tolist() == [1, 1, 1]
