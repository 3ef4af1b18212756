"""Random numbers: distributions, generators, states, errors."""

import copy
import pickle
import threading

import numpy as np
import pytest

import chainrule as cr

N = 40_000


@pytest.fixture(autouse=True)
def _seeded():
    cr.manual_seed(0)


def mean_std(x):
    return x.array.astype(np.float64).mean(), x.array.astype(np.float64).std()


FILLS = {
    "rand": (lambda: cr.rand(N), 0.5, 12**-0.5),
    "rand_half": (lambda: cr.rand(N, dtype=cr.float16), 0.5, 12**-0.5),
    "randn": (lambda: cr.randn(N), 0.0, 1.0),
    "randn_half": (lambda: cr.randn(N, dtype=cr.float16), 0.0, 1.0),
    "uniform_": (lambda: cr.empty(N).uniform_(-1, 3), 1.0, 4 / 12**0.5),
    "normal_": (lambda: cr.empty(N).normal_(2, 3), 2.0, 3.0),
    "normal": (lambda: cr.normal(2.0, 3.0, (N,)), 2.0, 3.0),
    "normal_of_tensors": (lambda: cr.normal(cr.full((N,), 2.0), cr.tensor(3.0)), 2.0, 3.0),
    "bernoulli": (lambda: cr.bernoulli(cr.full((N,), 0.3)), 0.3, 0.21**0.5),
    "bernoulli_": (lambda: cr.empty(N).bernoulli_(0.3), 0.3, 0.21**0.5),
    "bernoulli_p": (lambda: cr.bernoulli(cr.empty(N), 0.3), 0.3, 0.21**0.5),
    "exponential_": (lambda: cr.empty(N).exponential_(2.0), 0.5, 0.5),
    "geometric_": (lambda: cr.empty(N).geometric_(0.5), 2.0, 2**0.5),
    "poisson": (lambda: cr.poisson(cr.full((N,), 4.0)), 4.0, 2.0),
    "randint": (lambda: cr.randint(0, 6, (N,)), 2.5, (35 / 12) ** 0.5),
    "random_": (lambda: cr.empty(N, dtype=cr.int64).random_(6), 2.5, (35 / 12) ** 0.5),
    "log_normal_": (lambda: cr.empty(N).log_normal_(0, 0.25).log(), 0.0, 0.25),
    "multinomial": (lambda: cr.multinomial(cr.tensor([1.0, 0.0, 1.0]), N, True), 1.0, 1.0),
}


@pytest.mark.parametrize("name", FILLS)
def test_mean_and_deviation(name):
    draw, mean, std = FILLS[name]
    found_mean, found_std = mean_std(draw())
    assert found_mean == pytest.approx(mean, abs=6 * std / N**0.5)
    assert found_std == pytest.approx(std, rel=0.05)


def test_complex_normal_has_unit_variance():
    z = cr.randn(N, dtype=cr.complex64).array
    assert z.dtype == np.complex64
    assert (abs(z) ** 2).mean() == pytest.approx(1, rel=0.05)
    assert z.real.var() == pytest.approx(0.5, rel=0.05)


def test_cauchy_quartiles():
    x = cr.empty(N).cauchy_(1.0, 2.0).array
    np.testing.assert_allclose(np.percentile(x, [25, 50, 75]), [-1, 1, 3], atol=0.15)


DTYPES = {
    "rand": lambda dt: cr.rand(3, dtype=dt), "randn": lambda dt: cr.randn(3, dtype=dt),
    "rand_like": lambda dt: cr.rand_like(cr.zeros(3, dtype=dt)),
    "randn_like": lambda dt: cr.randn_like(cr.zeros(3, dtype=dt)),
    "uniform_": lambda dt: cr.zeros(3, dtype=dt).uniform_(),
    "normal_": lambda dt: cr.zeros(3, dtype=dt).normal_(),
    "exponential_": lambda dt: cr.zeros(3, dtype=dt).exponential_(),
    "bernoulli": lambda dt: cr.bernoulli(cr.zeros(3, dtype=dt)),
    "poisson": lambda dt: cr.poisson(cr.ones(3, dtype=dt)),
    "normal": lambda dt: cr.normal(cr.zeros(3, dtype=dt), 1.0),
}  # fmt: skip


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("dt", [cr.float16, cr.float32, cr.float64])
def test_dtype_is_kept(name, dt):
    assert DTYPES[name](dt).dtype is dt


def test_short_floats_stay_below_one():
    assert float(cr.rand(N, dtype=cr.float16).array.max()) < 1
    assert float(cr.zeros(N, dtype=cr.float16).uniform_(0, 3).array.max()) < 3


def test_signatures():
    assert cr.randint(3, (2, 2)).shape == (2, 2)
    assert cr.randint(low=2, high=3, size=(2,)).tolist() == [2, 2]
    assert cr.randint(1, 2, (2,), dtype=cr.float32).tolist() == [1.0, 1.0]
    assert cr.rand((2, 3)).shape == cr.rand(2, 3).shape == cr.rand(size=(2, 3)).shape == (2, 3)
    assert cr.randn(()).shape == ()
    assert cr.randperm(5).dtype is cr.int64
    assert sorted(cr.randperm(50).tolist()) == list(range(50))
    assert cr.randn(2, requires_grad=True).is_leaf
    assert cr.rand(2, requires_grad=True).requires_grad
    assert cr.empty(2).uniform_(b=0.5, a=0.5).tolist() == [0.5, 0.5]
    assert set(cr.empty(100, dtype=cr.bool).random_().tolist()) == {True, False}
    assert cr.empty(100, dtype=cr.uint8).random_().array.max() > 127
    assert cr.zeros(3).random_().array.max() <= 2**24


def test_multinomial_without_replacement():
    rows = cr.multinomial(cr.tensor([[1.0, 2.0, 0.0, 4.0]] * 5000), 3)
    assert rows.shape == (5000, 3)
    assert rows.dtype is cr.int64
    assert all(sorted(row) == [0, 1, 3] for row in rows.tolist())
    first = np.bincount(rows.array[:, 0], minlength=4) / 5000
    np.testing.assert_allclose(first, np.array([1, 2, 0, 4]) / 7, atol=0.03)
    with_replacement = cr.multinomial(cr.tensor([[0.0, 1.0], [1.0, 0.0]]), 4, True)
    assert with_replacement.tolist() == [[1] * 4, [0] * 4]


def test_gradients_with_respect_to_parameters_are_zero():
    for draw in (
        lambda p: cr.normal(p, 1.0), lambda p: cr.normal(0.0, p), lambda p: cr.normal(p, p),
        cr.bernoulli, cr.poisson,
    ):  # fmt: skip
        p = cr.full((3,), 0.5, requires_grad=True)
        y = draw(p)
        assert y.requires_grad
        y.backward(cr.ones(3))
        assert p.grad.tolist() == [0, 0, 0]


def test_in_place_draw_cuts_the_tape():
    x = cr.ones(3, requires_grad=True)
    y = x * 2
    y.normal_()
    y.backward(cr.ones(3))
    assert x.grad.tolist() == [0, 0, 0]
    with pytest.raises(RuntimeError, match="leaf Variable that requires grad"):
        x.uniform_()
    with cr.no_grad():
        assert x.uniform_() is x


def test_same_seed_same_numbers():
    a = cr.rand(4)
    cr.manual_seed(0)
    assert (cr.rand(4) == a).all()
    assert cr.initial_seed() == 0
    g, h = cr.Generator().manual_seed(5), cr.Generator().manual_seed(5)
    assert (cr.randn(4, generator=g) == cr.randn(4, generator=h)).all()
    assert (cr.randperm(9, generator=g) == cr.randperm(9, generator=h)).all()
    assert g.manual_seed(-1).initial_seed() == 2**64 - 2


def test_states():
    g = cr.Generator()
    cr.rand(3, generator=g)
    cr.randint(0, 5, (1,), dtype=cr.int32, generator=g)
    state = g.get_state()
    a = cr.randn(5, generator=g)
    same = cr.Generator().set_state(state)
    for again in (pickle.loads(pickle.dumps(same)), copy.deepcopy(same), same):
        assert (cr.randn(5, generator=again) == a).all()
        assert again.initial_seed() == g.initial_seed()
    default = cr.get_rng_state()
    b = cr.rand(2)
    cr.set_rng_state(default)
    assert (cr.rand(2) == b).all()


def test_threads_share_the_default_generator():
    found = []

    def draw():
        for _ in range(200):
            found.append(cr.rand(50).array)

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(np.unique(np.concatenate(found))) > 0.99 * 4 * 200 * 50


ERRORS = {
    "generator_device": lambda lib: lib.Generator("cuda:9"),
    "rand_int": lambda lib: lib.rand(2, dtype=lib.int64),
    "randn_int": lambda lib: lib.randn(2, dtype=lib.int64),
    "rand_like_int": lambda lib: lib.rand_like(lib.tensor([1, 2])),
    "rand_negative": lambda lib: lib.rand(-1),
    "randint_empty_range": lambda lib: lib.randint(3, 3, (2,)),
    "randint_no_size": lambda lib: lib.randint(3),
    "randperm_negative": lambda lib: lib.randperm(-1),
    "bernoulli_range": lambda lib: lib.bernoulli(lib.tensor([2.0])),
    "bernoulli_int": lambda lib: lib.bernoulli(lib.tensor([1, 0])),
    "bernoulli_nan": lambda lib: lib.bernoulli(lib.tensor([float("nan")])),
    "normal_std": lambda lib: lib.normal(lib.tensor(1.0), -1.0),
    "normal_no_size": lambda lib: lib.normal(0.0, 1.0),
    "poisson_negative": lambda lib: lib.poisson(lib.tensor([-1.0])),
    "multinomial_many": lambda lib: lib.multinomial(lib.tensor([1.0, 2.0]), 3),
    "multinomial_negative": lambda lib: lib.multinomial(lib.tensor([-1.0, 2.0]), 1),
    "multinomial_zero": lambda lib: lib.multinomial(lib.tensor([0.0, 0.0]), 1),
    "multinomial_none": lambda lib: lib.multinomial(lib.tensor([1.0]), 0),
    "multinomial_dim": lambda lib: lib.multinomial(lib.ones(1, 1, 1), 1),
    "uniform": lambda lib: lib.zeros(2).uniform_(2, 1),
    "normal_": lambda lib: lib.zeros(2).normal_(0, -1),
    "bernoulli_": lambda lib: lib.zeros(2).bernoulli_(2),
    "exponential": lambda lib: lib.zeros(2).exponential_(-1),
    "geometric": lambda lib: lib.zeros(2).geometric_(0),
    "cauchy": lambda lib: lib.zeros(2).cauchy_(0, -1),
    "log_normal": lambda lib: lib.zeros(2).log_normal_(0, -1),
    "random": lambda lib: lib.zeros(2).random_(3, 3),
    "leaf": lambda lib: lib.zeros(2, requires_grad=True).uniform_(),
    "expanded": lambda lib: lib.zeros(1).expand(3).uniform_(),
    "state_type": lambda lib: lib.set_rng_state(lib.zeros(3)),
    "state_size": lambda lib: lib.set_rng_state(lib.zeros(3, dtype=lib.uint8)),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_have_torchs_type(case):
    torch = pytest.importorskip("torch")
    with pytest.raises(Exception) as theirs:
        ERRORS[case](torch)
    with pytest.raises(Exception) as ours:
        ERRORS[case](cr)
    assert type(ours.value) is type(theirs.value), (ours.value, theirs.value)


def test_seed_range():
    with pytest.raises(RuntimeError, match="64 bits"):
        cr.manual_seed(1 << 64)
    assert cr.seed() == cr.initial_seed()
    with pytest.raises(TypeError, match="Generator"):
        cr.rand(2, generator=np.random.default_rng())
