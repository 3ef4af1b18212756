"""Derivatives through random draws."""

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule.func import (
    divergence,
    grad,
    hessian,
    hessian_diagonal,
    jacfwd,
    jacrev,
    jvp,
    laplacian,
    taylor,
    vjp,
    vmap,
)

from .draws import BATCH, REFUSED


@pytest.fixture(autouse=True)
def _seeded():
    cr.manual_seed(0)


# ---------------------------------------------------------------- derivatives


def test_tangents_pass_through_masks():
    x, t = cr.full((1000,), -2.0).double(), cr.linspace(1, 2, 1000).double()
    for f in (
        lambda x: F.dropout(x, 0.3),
        lambda x: F.rrelu(x, training=True),
        lambda x: x * cr.rand_like(x),
    ):
        y, dy = jvp(f, (x,), (t,))
        np.testing.assert_allclose(dy.numpy(), (y / x * t).numpy(), rtol=1e-12)
        assert y.any()


def test_alpha_dropout_scales_tangents():
    x, t = cr.randn(1000).double(), cr.ones(1000).double()
    y, dy = jvp(lambda x: F.alpha_dropout(x, 0.3, True), (x,), (t,))
    kept = dy != 0
    scale = dy[kept]
    assert (scale == scale[0]).all()
    np.testing.assert_allclose(
        (y[kept] - scale[0] * x[kept]).numpy(), (y[kept] - scale[0] * x[kept])[0].item(), atol=1e-12
    )


@pytest.mark.parametrize(
    "f",
    [
        lambda x: cr.normal(x, 1.0), lambda x: cr.normal(0.0, x), lambda x: cr.normal(x, x),
        lambda x: cr.bernoulli(x), lambda x: cr.poisson(x), lambda x: cr.rand_like(x),
        lambda x: x.clone().normal_(), lambda x: x.clone().bernoulli_(x),
        lambda x: x.clone().uniform_(1.0, 2.0),
    ],
)  # fmt: skip
def test_draws_do_not_vary_with_their_parameters(f):
    x = cr.tensor([0.2, 0.5, 0.9])
    y, dy = jvp(f, (x,), (cr.ones(3),))
    assert y.shape == dy.shape == (3,)
    assert not dy.any()
    _, pull = vjp(f, x)
    assert not pull(cr.ones(3))[0].any()
    assert not jacrev(f)(x).any()
    each = vmap(grad(lambda x: f(x).sum()), randomness="different")(cr.stack([x, x]))
    assert each.shape == (2, 3)
    assert not each.any()


def test_reparametrised_draws_have_derivatives():
    def f(mean, std):
        return mean + std * cr.randn(4, dtype=cr.float64)

    m, s = cr.tensor(1.0, dtype=cr.float64), cr.tensor(2.0, dtype=cr.float64)
    y, dy = jvp(f, (m, s), (0 * m, s / s))
    np.testing.assert_allclose(((y - m) / s).numpy(), dy.numpy(), rtol=1e-12)
    of_m, of_s = vmap(jacrev(f, (0, 1)), in_dims=(0, None), randomness="different")(m.expand(5), s)
    np.testing.assert_allclose(of_m.numpy(), 1)
    assert np.unique(of_s.numpy()).size == 20


@pytest.mark.parametrize("randomness", ["same", "different"])
def test_gradients_of_each_example_see_its_draw(randomness):
    x = cr.ones(BATCH, 20)
    g = vmap(grad(lambda x: F.dropout(x, 0.5).sum()), randomness=randomness)(x).numpy()
    assert set(np.unique(g)) == {0.0, 2.0}
    assert (g[0] == g[1]).all() == (randomness == "same")
    with pytest.raises(RuntimeError, match=REFUSED):
        vmap(grad(lambda x: F.dropout(x, 0.5).sum()))(x)


def test_jacobians_of_one_draw():
    x = cr.ones(20)
    of_dropout = jacrev(F.dropout)(x).numpy()  # the function runs once, before rows are mapped
    diagonal = np.diag(of_dropout)
    assert set(diagonal) == {0.0, 2.0}
    np.testing.assert_array_equal(of_dropout, np.diag(diagonal))
    with pytest.raises(RuntimeError, match=f"jacfwd: {REFUSED}: dropout"):
        jacfwd(F.dropout)(x)
    for chunk_size in (None, 3):  # in chunks the function runs several times
        found = jacfwd(F.dropout, randomness="same", chunk_size=chunk_size)(x).numpy()
        assert set(np.diag(found)) == {0.0, 2.0}
        np.testing.assert_array_equal(found, np.diag(np.diag(found)))
    cr.manual_seed(5)
    whole = jacfwd(F.dropout, randomness="same")(x)
    cr.manual_seed(5)
    assert (jacfwd(F.dropout, randomness="same", chunk_size=3)(x) == whole).all()


def test_hessian_with_dropout():
    x = cr.linspace(0.5, 1.5, 12).double()
    h = hessian(lambda x: (F.dropout(x, 0.5) ** 3).sum())(x).numpy()
    d = np.diag(h)
    np.testing.assert_array_equal(h, np.diag(d))
    full = 6 * 8 * x.numpy()
    assert ((d == 0) | np.isclose(d, full)).all()
    assert 0 < np.count_nonzero(d) < 12


@pytest.mark.parametrize("chunk_size", [None, 2])
def test_one_draw_for_all_axes(chunk_size):
    x = cr.linspace(0.5, 1.5, 6).double()
    mask = []

    def f(x):
        y = F.dropout(x, 0.5)
        mask.append((y != 0).numpy())
        return y**3

    def check(found, derivative):
        assert all((m == mask[0]).all() for m in mask)
        np.testing.assert_allclose(found.numpy(), (mask[0] * derivative).sum(), rtol=1e-12)
        mask.clear()

    check(laplacian(lambda x: f(x).sum(), chunk_size=chunk_size)(x), 48 * x.numpy())
    check(divergence(f, chunk_size=chunk_size)(x), 24 * x.numpy() ** 2)
    diagonal = hessian_diagonal(lambda x: f(x).sum(), chunk_size=chunk_size)(x)
    check(diagonal.sum(), 48 * x.numpy())


def test_series_of_draws():
    x = cr.full((50,), 2.0).double()
    value, first, second = taylor(lambda x: F.dropout(x, 0.5) ** 2, x, cr.ones(50).double(), 2)
    mask = (value != 0).numpy()
    np.testing.assert_allclose(value.numpy(), 16 * mask)
    np.testing.assert_allclose(first.numpy(), 16 * mask)
    np.testing.assert_allclose(second.numpy(), 4 * mask)
    for f in (cr.poisson, lambda x: cr.normal(x, x), lambda x: x.clone().bernoulli_(x / 4)):
        assert not any(c.any() for c in taylor(f, x, cr.ones(50).double(), 2)[1:])


def test_gumbel_softmax_hard_keeps_soft_gradients():
    x = cr.tensor([[0.1, 0.7, 0.3], [1.0, -1.0, 0.0]], dtype=cr.float64)

    def of(hard):
        def f(x):
            return (F.gumbel_softmax(x, tau=0.7, hard=hard) * cr.arange(3.0)).sum()

        return f

    cr.manual_seed(2)
    soft = vmap(grad(of(False)), randomness="different")(x)
    cr.manual_seed(2)
    np.testing.assert_allclose(
        vmap(grad(of(True)), randomness="different")(x).numpy(), soft.numpy()
    )
    hard = vmap(lambda x: F.gumbel_softmax(x, hard=True), randomness="different")(x).numpy()
    np.testing.assert_allclose(np.sort(hard, -1), [[0, 0, 1], [0, 0, 1]], atol=1e-12)


def test_writes_of_draws_reach_views():
    def f(x):
        y = x.clone()
        y[:2].uniform_(5.0, 6.0)
        return y

    out = vmap(f, randomness="different")(cr.zeros(3, 4)).numpy()
    assert ((out[:, :2] >= 5) & (out[:, :2] < 6)).all()
    assert not out[:, 2:].any()
    assert np.unique(out[:, :2]).size == 6


def test_alpha_dropout_in_place_refuses_a_leaf():
    x = cr.ones(4, requires_grad=True)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        F.alpha_dropout(x, 0.5, True, inplace=True)
    assert (x.detach() == 1).all()
