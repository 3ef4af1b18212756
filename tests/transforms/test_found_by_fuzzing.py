"""What tests/fuzz found, made minimal."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import func

X = np.random.default_rng(0).uniform(-1, 1, (3, 3))


def points():
    return cr.tensor(X)


def close(a, b):
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-12, atol=1e-14)


def test_jacrev_in_a_mapped_function():
    """The axis of the rows lies outside that of the examples, which is older."""
    f = lambda x: func.jacrev(lambda u: cr.outer(cr.sin(u), x))(x)
    close(func.vmap(f)(points()), cr.stack([f(x) for x in points()]))


def test_detach_as_a_function_of_a_mapped_tensor():
    f = lambda x: cr.detach(x) * x
    close(func.vmap(f)(points()), points() ** 2)
    close(func.vmap(func.grad(lambda x: cr.sum(f(x))))(points()), points())


V = cr.tensor(X[1])
LATER = {
    "vmap": lambda pull: func.vmap(lambda c: pull(c)[0])(points()),
    "jvp": lambda pull: func.jvp(lambda c: pull(c * c)[0], (V,), (cr.cos(V),))[1],
    "jvp of vmap": lambda pull: func.jvp(
        lambda s: func.vmap(lambda c: pull(s * c)[0])(points()),
        (cr.tensor(1.0, dtype=cr.float64),),
        (cr.tensor(1.0, dtype=cr.float64),),
    )[1],
}


@pytest.mark.parametrize("later", LATER)
def test_a_pullback_under_a_transform_older_and_one_newer_than_itself(later):
    def f(x):
        _, pull = func.vjp(lambda u: cr.sin(u) * cr.sum(u * u), x)
        return LATER[later](pull)

    close(func.vmap(f)(points()), cr.stack([f(x) for x in points()]))
    x = points()[0]
    difference = (f(x + 1e-6 * V) - f(x - 1e-6 * V)) / 2e-6
    found = func.jvp(f, (x,), (V,))[1]
    np.testing.assert_allclose(found.numpy(), difference.numpy(), rtol=1e-8, atol=1e-8)


def test_linearize_sees_the_values_of_its_time():
    """What is overwritten after it was used, while the function runs."""

    def rows(x):
        y = cr.zeros(3, dtype=cr.float64)
        for i in range(3):
            y[i] = x[i] * x[i]
        return cr.sum(y)

    _, push = func.linearize(func.grad(rows), V)
    close(push(V), 2 * V)

    def overwritten(x):
        y = x.clone()
        z = y * y
        y += 1
        return z

    _, push = func.linearize(overwritten, V)
    close(push(V), 2 * V * V)


def test_indexing_by_arrays_gives_no_view_in_taylor_mode():
    def f(x):
        y = cr.zeros(3, dtype=cr.float64)
        y[:] = x * x
        taken = y[cr.tensor([0, 2])]
        y[cr.tensor([0])] += cr.sum(x)
        return cr.sum(y) + cr.sum(taken)

    found = cr.taylor(f, points()[0], V, 1)[1]
    close(found, func.jvp(f, (points()[0],), (V,))[1])


TRANSFORMS = {
    "grad": lambda f, x: func.grad(lambda u: cr.sum(f(u)))(x),
    "jvp": lambda f, x: func.jvp(f, (x,), (V,))[1],
    "vmap": lambda f, x: func.vmap(f)(cr.stack([x, x])),
    "jacrev of grad": lambda f, x: func.jacrev(func.grad(lambda u: cr.sum(f(u))))(x),
    "taylor": lambda f, x: cr.taylor(f, x, V, 2)[2],
}


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_what_was_copied_from_an_input_may_be_written(transform):
    def written(x):
        y = cr.zeros(3, dtype=cr.float64)
        y.copy_(x)
        y[0] = x[1] * x[2]
        return y * y

    def joined(x):
        y = cr.stack([x[1] * x[2], x[1], x[2]])
        return y * y

    x = points()[0]
    kept = x.clone()
    close(TRANSFORMS[transform](written, x), TRANSFORMS[transform](joined, x))
    close(x, kept)


def test_third_derivatives_through_a_selection_are_finite():
    """In the derivative of cotangent times local derivative, a zero cotangent still wins."""

    def f(x):
        return cr.where(x > 0, cr.sqrt(x), 0.0).sum()

    first = cr.func.grad(f)
    second = cr.func.grad(lambda x: first(x).sum())
    third = cr.func.grad(lambda x: second(x).sum())
    x = np.array([0.5, -0.3, 0.0])
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(third(x), [0.375 * 0.5**-2.5, 0, 0], rtol=1e-14)
        forward = cr.func.jvp(second, (x,), (np.ones(3),))[1]
    np.testing.assert_allclose(forward, [0.375 * 0.5**-2.5, 0, 0], rtol=1e-14)
