"""Every nest of three, one more of four, and Taylor mode at every place."""

import itertools

import pytest

import chainrule as cr
from chainrule.func import grad, jacrev, jvp, vmap

from . import programs as p
from .programs import POINT, agrees_with_differences, agrees_with_jax, is_number, near, number

MODES = {"grad": p.grad, "jvp": p.jvp, "vmap": p.vmap}
NESTS = [" of ".join(names) for names in itertools.product(MODES, repeat=3)]
every_nest = pytest.mark.parametrize("nest", NESTS)


@every_nest
@pytest.mark.parametrize("program", ["polynomial", "network", "running", "linear_algebra"])
def test_against_differences(nest, program):
    agrees_with_differences([MODES[name] for name in nest.split(" of ")], program, tol=1e-7)


@pytest.mark.slow
@every_nest
@p.few_programs
def test_against_jax(nest, program):
    agrees_with_jax([MODES[name] for name in nest.split(" of ")], program)


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("others", list(itertools.product(MODES, repeat=2)), ids=" ".join)
def test_taylor_mode_at_every_place(place, others):
    modes = [MODES[name] for name in others]
    modes.insert(place, p.taylor)
    agrees_with_differences(modes, "quotient", tol=1e-7)


@pytest.mark.parametrize(
    "modes",
    [
        [p.jvp, p.vmap, p.grad, p.jvp],
        [p.vmap, p.grad, p.vmap, p.jvp],
        [p.grad, p.jvp, p.vmap, p.vmap],
    ],
)
def test_four_deep(modes):
    agrees_with_differences(modes, "elementary", tol=1e-6)


def derivatives():
    """Four ways to take the derivative of a function of a number."""
    one = number(1.0)
    return {
        "grad": grad,
        "jvp": lambda f: lambda x: jvp(f, (x,), (one,))[1],
        "jacrev": jacrev,
        "vmap of grad": lambda f: lambda x: vmap(grad(f))(cr.stack([x, x]))[1],
    }


@pytest.mark.parametrize("ways", list(itertools.product(derivatives(), repeat=3)), ids="-".join)
def test_perturbation_confusion(ways):
    """At every level what lies outside is closed over: d/dx x d/dy y d/dz (x + y + z) = 1, ..."""
    first, second, third = (derivatives()[w] for w in ways)
    one, two = number(1.0), number(2.0)
    sums = lambda x: x * second(lambda y: y * third(lambda z: x + y + z)(one))(one)
    is_number(first(sums)(two), 1.0)
    products = lambda x: second(lambda y: third(lambda z: x * y**2 * z**3)(y))(x)
    is_number(products(two), 12 * two.item() ** 4)
    is_number(first(products)(two), 48 * two.item() ** 3)


def test_three_maps_of_three_derivatives():
    """A polynomial in three closed-over variables on a grid, differentiated once by each."""
    x = cr.tensor(POINT)
    f = lambda a, b, c: a**2 * b**2 * c**2
    mixed = grad(grad(grad(f, 0), 1), 2)
    grid = vmap(lambda a: vmap(lambda b: vmap(lambda c: mixed(a, b, c))(x))(x))(x)
    near(grid, 8 * POINT[:, None, None] * POINT[:, None] * POINT, 1e-13)
