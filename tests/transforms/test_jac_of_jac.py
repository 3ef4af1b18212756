"""Jacobians of Jacobians, and of everything else."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.func import grad, hessian, jacfwd, jacrev, jvp

from . import programs as p
from .programs import POINT, against, is_number, near, number

TestJacfwdOfJacfwd = against(p.jacfwd, p.jacfwd)
TestJacfwdOfJacrev = against(p.jacfwd, p.jacrev)
TestJacrevOfJacfwd = against(p.jacrev, p.jacfwd)
TestJacrevOfJacrev = against(p.jacrev, p.jacrev)
TestJacfwdOfGrad = against(p.jacfwd, p.grad)
TestJacrevOfGrad = against(p.jacrev, p.grad)
TestJacfwdOfJvp = against(p.jacfwd, p.jvp)
TestJacrevOfJvp = against(p.jacrev, p.jvp)
TestGradOfJacfwd = against(p.grad, p.jacfwd)
TestGradOfJacrev = against(p.grad, p.jacrev)
TestJvpOfJacfwd = against(p.jvp, p.jacfwd)
TestJvpOfJacrev = against(p.jvp, p.jacrev)
TestVmapOfJacfwd = against(p.vmap, p.jacfwd)
TestVmapOfJacrev = against(p.vmap, p.jacrev)
TestJacfwdOfVmap = against(p.jacfwd, p.vmap)
TestJacrevOfVmap = against(p.jacrev, p.vmap)

JACOBIANS = [jacfwd, jacrev]


@pytest.mark.parametrize("outer", JACOBIANS)
@pytest.mark.parametrize("inner", JACOBIANS)
def test_perturbation_confusion(outer, inner):
    one = number(1.0)
    is_number(outer(lambda x: x * inner(lambda y: x + y)(one))(one), 1.0)
    is_number(outer(lambda x: x * inner(lambda y: x * y)(number(2.0)))(one), 2.0)
    is_number(outer(lambda x: inner(lambda y: x**2 * y**3)(x))(number(2.0)), 96.0)
    is_number(outer(lambda x: inner(lambda y: x)(x))(number(2.0)), 0.0)


WAYS = [lambda f, a=a, b=b: a(b(f)) for a in JACOBIANS for b in JACOBIANS]


@pytest.mark.parametrize("way", [hessian, *WAYS])
def test_third_order_tensor(way):
    """∂³/∂xᵢ∂xⱼ∂xₖ of x₀ x₁² x₂³."""
    x, y, z = POINT
    f = lambda x: x[0] * x[1] ** 2 * x[2] ** 3
    found = jacrev(way(f))(cr.tensor(POINT)).numpy()
    expected = np.zeros((3, 3, 3))
    for i, j, k in np.ndindex(3, 3, 3):
        powers, factor = [1, 2, 3], 1.0
        for axis in (i, j, k):
            factor *= powers[axis]
            powers[axis] -= 1
        expected[i, j, k] = factor and factor * x ** powers[0] * y ** powers[1] * z ** powers[2]
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-14)


def test_shapes_of_outputs_and_inputs():
    f = lambda a, b: cr.outer(cr.sin(a), b * b)
    a, b = cr.tensor(POINT[:2].copy()), cr.tensor(POINT)
    found = jacfwd(jacrev(f, (0, 1)), (0, 1))(a, b)
    assert tuple(found[0][0].shape) == (2, 3, 2, 2)
    assert tuple(found[0][1].shape) == (2, 3, 2, 3)
    assert tuple(found[1][0].shape) == (2, 3, 3, 2)
    near(found[0][1].permute(0, 1, 3, 2), found[1][0].numpy(), 1e-15)


def test_chunks_at_both_levels():
    f = lambda x: cr.sin(x) * cr.sum(x**3)
    x = cr.tensor(POINT)
    expected = jacrev(jacrev(f))(x).numpy()
    near(jacrev(jacrev(f, chunk_size=2), chunk_size=4)(x), expected, 1e-14)
    near(jacfwd(jacfwd(f, chunk_size=2), chunk_size=1)(x), expected, 1e-14)
    near(hessian(lambda x: cr.sum(f(x)), chunk_size=2)(x), expected.sum(0), 1e-14)


def test_a_jacobian_in_a_gradient_in_a_tangent():
    """d/dt grad of the trace of the Jacobian of sin(c x): all three close over the one outside."""

    def f(c):
        trace = lambda x: cr.sum(jacrev(lambda u: cr.sin(c * u))(x).diagonal())
        return grad(trace)(cr.tensor(POINT))

    c = 0.8
    found = jvp(f, (number(c),), (number(1.0),))[1]
    near(found, -2 * c * np.sin(c * POINT) - c**2 * POINT * np.cos(c * POINT), 1e-14)
