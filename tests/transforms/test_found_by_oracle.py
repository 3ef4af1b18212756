"""What comparing every public operation in every mode with the reference derivatives has found."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import func, tensor
from chainrule.nn import functional as F

from .public_checks import real

EMPTY = {
    "matmul": (lambda x: x @ x.mT, (0, 2, 3)),
    "inv": (cr.linalg.inv, (0, 0, 0)),
    "det": (cr.linalg.det, (0, 0, 0)),
    "solve": (lambda x: cr.linalg.solve(x, x), (0, 2, 2)),
    "svdvals": (cr.linalg.svdvals, (0, 3, 2)),
    "pinv": (cr.linalg.pinv, (0, 3, 2)),
    "broadcast": (lambda x: x @ cr.ones(1, 3, 2, dtype=cr.float64), (0, 2, 3)),
}


@pytest.mark.parametrize("name", EMPTY)
def test_products_of_empty_batches(name):
    f, shape = EMPTY[name]
    x = cr.zeros(*shape, dtype=cr.float64)
    wanted = (*f(x).shape, *shape)
    assert func.jacrev(f)(x).shape == wanted
    assert func.jacfwd(f)(x).shape == wanted
    mapped = func.vmap(f)(cr.zeros(3, *shape, dtype=cr.float64))
    assert mapped.shape == (3, *f(x).shape)
    assert func.jvp(f, (x,), (x,))[1].shape == f(x).shape


@pytest.mark.parametrize("f", [cr.linalg.pinv, cr.linalg.matrix_rank])
@pytest.mark.parametrize("name", ["rtol", "atol"])
def test_mapped_tolerances(f, name):
    a = tensor(real(3, 4, 3))
    a = a @ a.mT
    limits = tensor(np.array([1e-9, 0.3, 0.9]))
    got = func.vmap(lambda a, t: f(a, **{name: t}))(a, limits)
    batch = f(a, **{name: limits})
    for i in range(3):
        want = f(a[i], **{name: float(limits[i])}).numpy()
        np.testing.assert_allclose(got[i].numpy(), want, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(batch[i].numpy(), want, rtol=1e-9, atol=1e-12)
    shared = func.vmap(lambda t: f(a[0], **{name: t}))(limits)
    for i in range(3):
        want = f(a[0], **{name: limits[i]}).numpy()
        np.testing.assert_allclose(shared[i].numpy(), want, rtol=1e-9, atol=1e-12)


def test_gradient_through_mapped_tolerance():
    a, limits = tensor(real(3, 3)), tensor(np.array([1e-9, 0.5]))

    def f(a, t):
        return (cr.linalg.pinv(a, rtol=t) ** 2).sum()

    got = func.vmap(func.grad(f), (None, 0))(a, limits)
    for i in range(2):
        want = func.grad(lambda a, i=i: f(a, float(limits[i])))(a)
        np.testing.assert_allclose(got[i].numpy(), want.numpy(), rtol=1e-9, atol=1e-12)


ORDERED = {
    "adaptive_max_pool1d": lambda z: F.adaptive_max_pool1d(z, 2),
    "scatter_reduce": lambda z: z.scatter_reduce(1, cr.zeros(2, 4, dtype=cr.int64), z, "amax"),
    "index_reduce": lambda z: z.index_reduce(1, tensor([0, 0, 1, 1]), z, "amin"),
}


@pytest.mark.parametrize("name", ORDERED)
def test_complex_numbers_have_no_order(name):
    z = cr.ones(2, 4, dtype=cr.complex128)
    with pytest.raises(NotImplementedError, match=r"complex"):
        ORDERED[name](z)
    with pytest.raises(NotImplementedError, match=r"complex"):
        func.vmap(ORDERED[name])(cr.stack([z, z]))


def test_empty_residuals_of_complex_systems_are_real():
    a = cr.eye(2, dtype=cr.complex128)
    assert cr.linalg.lstsq(a, a).residuals.dtype == cr.float64


def power(t):
    return (2 + t) ** t


def log_sum(t):
    return cr.logaddexp(1 + t, 1 + 2 * t)


# The coefficients at 0: with L = log 2, power is 1 + Lt + (1 + L²)/2 t² + ..., and log_sum is
# 1 + L + 3/2 t + 1/8 t²; at both points a rule has a case of its own.
L2 = np.log(2)
SPECIAL = {
    "pow": (power, [1, L2, (1 + L2 * L2) / 2]),
    "logaddexp": (log_sum, [1 + L2, 1.5, 0.125]),
    "logaddexp2": (lambda t: cr.logaddexp2(1 + t, 1 + 2 * t), [2, 1.5, L2 / 8]),
}


@pytest.mark.parametrize("name", SPECIAL)
def test_second_derivatives_where_a_rule_has_a_case(name):
    f, want = SPECIAL[name]
    zero = tensor(np.array(0.0))
    one = cr.ones_like(zero)

    def along(g):
        return lambda t: func.jvp(g, (t,), (one,))[1]

    assert [c.item() for c in func.taylor(f, zero, order=2)] == pytest.approx(want)
    for second in (along(along(f)), func.grad(func.grad(f)), along(func.grad(f)),
                   func.grad(along(f))):  # fmt: skip
        assert second(zero).item() == pytest.approx(2 * want[2])
        assert func.vmap(second)(zero[None]).item() == pytest.approx(2 * want[2])


def test_log_of_sums_of_infinite_and_complex_numbers():
    x = tensor(np.array([np.inf, -np.inf, 1.0, 0.0]))
    y = tensor(np.array([np.inf, -np.inf, 1.0, np.inf]))
    (share,) = func.vjp(lambda x: cr.logaddexp(x, y), x)[1](cr.ones_like(x))
    assert share.tolist() == [0.5, 0.5, 0.5, 0.0]
    a, b = np.array([1 + 3j, 2 - 1j]), np.array([2 + 3j, 2 + 2j])
    got = cr.logaddexp(tensor(a), tensor(b)).numpy()
    np.testing.assert_allclose(np.exp(got), np.exp(a) + np.exp(b), rtol=1e-12)
    z = F.softsign(tensor(a)).numpy()
    np.testing.assert_allclose(z, a / (1 + np.abs(a)), rtol=1e-12)
