"""Random functions under vmap: each example has its own distribution."""

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule.func import (
    vmap,
)

from .draws import BATCH, N, of_rows


@pytest.fixture(autouse=True)
def _seeded():
    cr.manual_seed(0)


MOMENTS = {  # mean and standard deviation for a parameter m of the example
    "normal": (lambda m: cr.normal(m.expand(N), 2 * m), lambda m: m, lambda m: 2 * m),
    "normal by std": (lambda m: cr.normal(1.0, m.expand(N)), lambda m: 1, lambda m: m),
    "poisson": (lambda m: cr.poisson(m.expand(N)), lambda m: m, lambda m: m**0.5),
    "bernoulli": (
        lambda m: cr.bernoulli(m.expand(N) / 10), lambda m: m / 10,
        lambda m: (m / 10 * (1 - m / 10)) ** 0.5,
    ),
    "bernoulli of p": (
        lambda m: cr.bernoulli(m.expand(N), p=m / 10), lambda m: m / 10,
        lambda m: (m / 10 * (1 - m / 10)) ** 0.5,
    ),
    "multinomial": (
        lambda m: cr.multinomial(cr.stack([10 - m, m]), N, replacement=True), lambda m: m / 10,
        lambda m: (m / 10 * (1 - m / 10)) ** 0.5,
    ),
    "dropout": (
        lambda m: F.dropout(m.expand(N), 0.2), lambda m: m, lambda m: m * 0.5,
    ),
    "alpha_dropout": (
        lambda m: F.alpha_dropout((m - m).expand(N), 0.2, True), lambda m: 0,
        lambda m: 1.75809934 * 0.4 * ((1.75809934**2 * 0.2 + 1) * 0.8) ** -0.5,
    ),
    "uniform": (lambda m: cr.rand_like(m.expand(N)) * m, lambda m: m / 2, lambda m: m / 12**0.5),
    "exponential_": (
        lambda m: m.expand(N).clone().exponential_(2.0), lambda m: 0.5, lambda m: 0.5,
    ),
    "rrelu": (
        lambda m: F.rrelu(-m.expand(N), 0.1, 0.3, training=True), lambda m: -0.2 * m,
        lambda m: 0.2 * m / 12**0.5,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MOMENTS)
def test_each_example_has_its_own_distribution(name):
    draw, mean, std = MOMENTS[name]
    parameters = np.array([1.0, 4.0, 9.0])
    out = of_rows(draw, parameters)
    assert out.shape == (3, N)
    for row, m in zip(out, parameters, strict=True):
        sigma = std(m)
        assert abs(row.mean() - mean(m)) < 5 * sigma / N**0.5
        assert abs(row.std() - sigma) < 0.05 * sigma
    correlation = np.corrcoef(out)[np.triu_indices(3, 1)]
    assert np.abs(correlation).max() < 5 / N**0.5  # the examples are independent


def test_multinomial_without_replacement_draws_each_category_once():
    weights = cr.tensor([[1.0, 0.0, 3.0, 4.0], [0.0, 5.0, 1.0, 1.0]])
    out = vmap(lambda w: cr.multinomial(w, 3), randomness="different")(weights).numpy()
    assert sorted(out[0]) == [0, 2, 3]
    assert sorted(out[1]) == [1, 2, 3]


def test_permutations_are_permutations():
    out = vmap(lambda x: cr.randperm(50), randomness="different")(cr.zeros(20)).numpy()
    assert (np.sort(out, -1) == np.arange(50)).all()
    assert len({tuple(row) for row in out}) == 20


def test_dtypes_are_kept():
    x = cr.zeros(BATCH, 4)
    for dtype in (cr.float16, cr.float32, cr.float64, cr.complex64):
        out = vmap(lambda x, d=dtype: cr.randn(4, dtype=d), randomness="different")(x)
        assert out.dtype == dtype
    for f in (F.dropout, cr.bernoulli, cr.poisson, lambda x: F.rrelu(x, training=True)):
        assert vmap(f, randomness="different")(x.double()).dtype == cr.float64
        assert vmap(f, randomness="different")(x).dtype == cr.float32


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda x: cr.bernoulli(x), "expects p to be in"),
        (lambda x: x.clone().bernoulli_(x), "expects p to be in"),
        (lambda x: cr.normal(0.0, x - 3), "expects std >= 0.0"),
        (lambda x: cr.poisson(x - 3), "invalid Poisson rate"),
        (lambda x: cr.multinomial(x - 3, 1), "inf.*nan.*< 0"),
        (lambda x: cr.multinomial(0 * x, 1), "invalid multinomial"),
    ],
)
def test_bad_parameters_of_one_example(f, message):
    with pytest.raises(RuntimeError, match=message):
        vmap(f, randomness="different")(cr.arange(5.0).reshape(5, 1))
