"""Random functions under transforms: who draws, how often, and from what distribution."""

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule.func import (
    jacfwd,
    vmap,
)

from .draws import BATCH, REFUSED, SAME_BATCHED, UNBATCHED


@pytest.fixture(autouse=True)
def _seeded():
    cr.manual_seed(0)


def fills(name, *args):
    """An in-place fill of a mapped tensor, and of one that all examples share."""
    return {
        f"{name} of a mapped tensor": lambda lib, x, y: getattr(x.clone(), name)(*args),
        f"{name} of a shared tensor": lambda lib, x, y: getattr(y.clone(), name)(*args),
    }


# Functions of the library, of a mapped x and of a shared y, both (6, 2) of numbers in (0, 1).
CASES = {
    "rand": lambda lib, x, y: lib.rand(5),
    "rand(size=)": lambda lib, x, y: lib.rand(size=(5, 2)),
    "randn": lambda lib, x, y: lib.randn(5),
    "randn added": lambda lib, x, y: lib.randn(2) + y,
    "randint": lambda lib, x, y: lib.randint(0, 1000, (4,)),
    "randperm": lambda lib, x, y: lib.randperm(20),
    "rand_like mapped": lambda lib, x, y: lib.rand_like(x),
    "rand_like shared": lambda lib, x, y: lib.rand_like(y),
    "randn_like mapped": lambda lib, x, y: lib.randn_like(x),
    "randint_like mapped": lambda lib, x, y: lib.randint_like(x, 1000),
    "randint_like shared": lambda lib, x, y: lib.randint_like(y, 1, 1000),
    "bernoulli mapped": lambda lib, x, y: lib.bernoulli(x),
    "bernoulli shared": lambda lib, x, y: lib.bernoulli(y),
    "bernoulli(p) mapped": lambda lib, x, y: lib.bernoulli(x, p=0.5),
    "bernoulli(p) shared": lambda lib, x, y: lib.bernoulli(y, p=0.5),
    "normal mapped mean": lambda lib, x, y: lib.normal(x, 1.0),
    "normal mapped std": lambda lib, x, y: lib.normal(2.0, x),
    "normal both": lambda lib, x, y: lib.normal(x, y),
    "normal shared": lambda lib, x, y: lib.normal(y, 1.0),
    "normal numbers": lambda lib, x, y: lib.normal(0.0, 1.0, (3,)),
    "poisson mapped": lambda lib, x, y: lib.poisson(9 * x + 9),
    "poisson shared": lambda lib, x, y: lib.poisson(9 * y + 9),
    "multinomial mapped": lambda lib, x, y: lib.multinomial(x.reshape(12), 9),
    "multinomial rows": lambda lib, x, y: lib.multinomial(x, 9, replacement=True),
    "multinomial shared": lambda lib, x, y: lib.multinomial(y.reshape(12), 9),
    **fills("uniform_", 1.0, 2.0),
    **fills("normal_", 1.0, 2.0),
    **fills("bernoulli_", 0.5),
    **fills("exponential_"),
    **fills("random_", 1000),
    **fills("log_normal_"),
    **fills("cauchy_"),
    **fills("geometric_", 0.1),
    "bernoulli_ mapped by mapped": lambda lib, x, y: x.clone().bernoulli_(x),
    "bernoulli_ mapped by shared": lambda lib, x, y: x.clone().bernoulli_(y),
    "dropout": lambda lib, x, y: lib.nn.functional.dropout(x, 0.5),
    "dropout shared": lambda lib, x, y: lib.nn.functional.dropout(y, 0.5),
    "dropout in place": lambda lib, x, y: lib.nn.functional.dropout(x.clone(), 0.5, inplace=True),
    "dropout in evaluation": lambda lib, x, y: lib.nn.functional.dropout(x, 0.5, False),
    "dropout of nothing": lambda lib, x, y: lib.nn.functional.dropout(x, 0.0),
    "dropout of all": lambda lib, x, y: lib.nn.functional.dropout(x, 1.0),
    "dropout1d": lambda lib, x, y: lib.nn.functional.dropout1d(x, 0.5),
    "dropout2d": lambda lib, x, y: lib.nn.functional.dropout2d(x.reshape(1, 6, 2, 1), 0.5),
    "dropout3d": lambda lib, x, y: lib.nn.functional.dropout3d(x.reshape(6, 2, 1, 1), 0.5),
    "alpha_dropout": lambda lib, x, y: lib.nn.functional.alpha_dropout(x, 0.5, True),
    "alpha_dropout shared": lambda lib, x, y: lib.nn.functional.alpha_dropout(y, 0.5, True),
    "feature_alpha_dropout": lambda lib, x, y: lib.nn.functional.feature_alpha_dropout(
        x.reshape(1, 6, 2), 0.5, True
    ),
    "alpha_dropout of all": lambda lib, x, y: lib.nn.functional.alpha_dropout(x, 1.0, True),
    "gumbel_softmax": lambda lib, x, y: lib.nn.functional.gumbel_softmax(x),
    "attention": lambda lib, x, y: lib.nn.functional.scaled_dot_product_attention(
        x, x, x, dropout_p=0.5
    ),
    "attention without dropout": lambda lib, x, y: lib.nn.functional.scaled_dot_product_attention(
        x, x, x
    ),
}


NOT_IN_TORCH = {
    "rrelu": lambda lib, x, y: F.rrelu(-x, training=True),
    "rrelu shared": lambda lib, x, y: F.rrelu(-y, training=True),
    "rrelu in place": lambda lib, x, y: F.rrelu_(-x, training=True),
    "gumbel_softmax hard": lambda lib, x, y: F.gumbel_softmax(x, hard=True, dim=0),
}


def inputs(equal=False):
    """A batch, of equal examples if asked, and what they share."""
    rng = np.random.default_rng(0)
    x = rng.uniform(0.2, 0.8, (BATCH, 6, 2))
    return np.repeat(x[:1], BATCH, 0) if equal else x, x[0]


def outcome(lib, vmap, f, randomness):
    """Whether equal examples get equal results, or why they get none."""
    x, y = (lib.tensor(a) for a in inputs(equal=True))
    try:
        out = vmap(lambda x: f(lib, x, y), randomness=randomness)(x).numpy()
    except RuntimeError as error:
        for message in (REFUSED, SAME_BATCHED, UNBATCHED):
            if message in str(error):
                return message, None
        raise
    equal = all(np.array_equal(out[0], row) for row in out)
    return ("equal" if equal else "different"), out.shape


@pytest.mark.parametrize("randomness", ["error", "same", "different"])
@pytest.mark.parametrize("name", CASES)
def test_rules_are_pytorchs(name, randomness):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    theirs = outcome(torch, torch.func.vmap, CASES[name], randomness)
    assert outcome(cr, vmap, CASES[name], randomness) == theirs


@pytest.mark.parametrize("name", NOT_IN_TORCH)
def test_rules_where_pytorch_has_no_vmap(name):
    f = NOT_IN_TORCH[name]
    assert outcome(cr, vmap, f, "error")[0] == REFUSED
    assert outcome(cr, vmap, f, "same") == ("equal", (BATCH, 6, 2))
    assert outcome(cr, vmap, f, "different") == ("different", (BATCH, 6, 2))


def test_refusal_names_function_and_place():
    x = cr.zeros(BATCH)
    for name, f in [
        ("dropout", lambda x: F.dropout(x)),
        ("randn_like", lambda x: cr.randn_like(x)),
        ("gumbel_softmax", lambda x: F.gumbel_softmax(x, dim=0)),
        ("uniform_", lambda x: x.clone().uniform_()),
        ("rrelu", lambda x: F.rrelu(x, training=True)),
    ]:
        with pytest.raises(RuntimeError, match=rf"error mode: {name}\(\).*test_random\.py:\d+"):
            vmap(f)(x)


def test_evaluation_and_certainty_draw_nothing():
    x = cr.ones(BATCH, 4)
    state = cr.get_rng_state()
    for f in (
        lambda x: F.dropout(x, training=False),
        lambda x: F.dropout(x, 0.0),
        lambda x: F.dropout(x, 1.0),
        lambda x: F.rrelu(x),
        lambda x: F.alpha_dropout(x),
    ):
        assert vmap(f)(x).shape == (BATCH, 4)
    assert (cr.get_rng_state() == state).all()


# ---------------------------------------------------------------- nesting, seeds, generators


@pytest.mark.parametrize("outer", ["same", "different"])
@pytest.mark.parametrize("inner", ["same", "different"])
def test_each_vmap_has_its_own_rule(outer, inner):
    x = cr.zeros(3, 4)
    draws = {
        "rand": lambda a, b: cr.rand(2),
        "rand_like": lambda a, b: cr.rand_like(b.expand(2)),
        "of the outer": lambda a, b: cr.rand_like(a[:2]),
        "dropout": lambda a, b: F.dropout(cr.ones(8), 0.5),
        "permutation": lambda a, b: cr.randperm(20),
    }
    for draw in draws.values():
        rows = vmap(
            lambda a, draw=draw: vmap(lambda b: draw(a, b), randomness=inner)(a), randomness=outer
        )
        out = rows(x).numpy()
        assert out.shape[:2] == (3, 4)
        assert np.array_equal(out[0], out[1]) == (outer == "same")
        assert np.array_equal(out[:, 0], out[:, 1]) == (inner == "same")


@pytest.mark.parametrize("randomness", ["same", "different"])
def test_the_strictest_vmap_decides(randomness):
    x = cr.zeros(3, 4)
    for outer, inner in ((randomness, "error"), ("error", randomness)):
        with pytest.raises(RuntimeError, match=REFUSED):
            vmap(
                lambda a, inner=inner: vmap(lambda b: cr.rand(2), randomness=inner)(a),
                randomness=outer,
            )(x)


def test_parameters_mapped_by_some_of_the_vmaps():
    def f(a, b):  # a (): mapped by the outer; b (): by the inner
        mean = 100 * a + 10 * b.expand(3)
        return (
            cr.normal(mean, 0.0), cr.normal(100 * a.expand(3), 0 * b.expand(3)),
            cr.normal(b.expand(2, 3), 0 * a.expand(3)), cr.bernoulli(b.expand(2, 1)),
        )  # fmt: skip

    a, b = np.arange(4.0), np.array([0.0, 1.0])
    rows = vmap(
        lambda a: vmap(lambda b: f(a, b), randomness="different")(cr.tensor(b)),
        randomness="different",
    )
    of_both, of_a, of_b, ones = (y.numpy() for y in rows(cr.tensor(a)))
    np.testing.assert_allclose(of_both[..., 0], 100 * a[:, None] + 10 * b)
    np.testing.assert_allclose(of_a, np.broadcast_to(100 * a[:, None, None], (4, 2, 3)))
    np.testing.assert_allclose(of_b, np.broadcast_to(b[:, None, None], (4, 2, 2, 3)))
    np.testing.assert_allclose(ones, np.broadcast_to(b[:, None, None], (4, 2, 2, 1)))


def test_the_outer_vmap_forbids_what_the_inner_allows():
    x = cr.rand(3, 4)
    with pytest.raises(RuntimeError, match=SAME_BATCHED):
        vmap(
            lambda a: vmap(lambda b: cr.bernoulli(b), randomness="different")(a), randomness="same"
        )(x)
    with pytest.raises(RuntimeError, match=UNBATCHED):
        vmap(
            lambda a: vmap(lambda b: b.clone().uniform_(), randomness="different")(cr.zeros(2)),
            randomness="different",
        )(x)


def test_seeds_repeat_draws():
    x = cr.zeros(5)
    f = vmap(lambda x: cr.rand(3) + F.dropout(cr.ones(3)), randomness="different")
    cr.manual_seed(3)
    first = f(x)
    assert not (f(x) == first).all()
    cr.manual_seed(3)
    assert (f(x) == first).all()


@pytest.mark.parametrize("randomness", ["same", "different"])
def test_generators_are_used(randomness):
    x = cr.zeros(5, 2)
    draws = {
        "rand": lambda g, x: cr.rand(3, generator=g),
        "randn_like": lambda g, x: cr.randn_like(x, generator=g),
        "randint": lambda g, x: cr.randint(9, (3,), generator=g),
        "randperm": lambda g, x: cr.randperm(9, generator=g),
        "normal": lambda g, x: cr.normal(0.0, 1.0, (2,), generator=g),
        "multinomial": lambda g, x: cr.multinomial(cr.ones(9), 5, generator=g),
        "normal_": lambda g, x: x.clone().normal_(generator=g),
        "uniform_": lambda g, x: x.clone().uniform_(generator=g),
    }
    state = cr.get_rng_state()
    for draw in draws.values():
        g = cr.Generator().manual_seed(4)
        before = g.get_state()
        f = vmap(lambda x, draw=draw, g=g: draw(g, x), randomness=randomness)
        first = f(x)
        assert not (g.get_state() == before).all()
        g.manual_seed(4)
        assert (f(x) == first).all()
    assert (cr.get_rng_state() == state).all()


def test_the_draw_of_a_batch_is_the_draws_of_the_examples():
    x = cr.zeros(5)
    cr.manual_seed(1)
    rows = vmap(lambda x: cr.rand(3), randomness="different")(x).numpy()
    cr.manual_seed(1)
    np.testing.assert_array_equal(rows, np.stack([cr.rand(3).numpy() for _ in range(5)]))
    cr.manual_seed(1)
    shared = vmap(lambda x: cr.rand(3), randomness="same")(x).numpy()
    cr.manual_seed(1)
    np.testing.assert_array_equal(shared, np.tile(cr.rand(3).numpy(), (5, 1)))


def test_chunks_share_a_draw_that_is_the_same():
    g = cr.Generator().manual_seed(0)
    x = cr.zeros(7)

    def f(x):
        return cr.rand(3) + cr.rand(3, generator=g) + F.dropout(cr.ones(3))

    cr.manual_seed(0)
    whole = vmap(f, randomness="same")(x).numpy()
    after = cr.get_rng_state(), g.get_state()
    cr.manual_seed(0)
    g.manual_seed(0)
    parts = vmap(f, randomness="same", chunk_size=3)(x).numpy()
    np.testing.assert_array_equal(parts, whole)
    assert (cr.get_rng_state() == after[0]).all()
    assert (g.get_state() == after[1]).all()


def test_chunks_draw_on_where_draws_differ():
    out = vmap(lambda x: cr.rand(3), randomness="different", chunk_size=2)(cr.zeros(7)).numpy()
    assert len({tuple(row) for row in out}) == 7


def test_a_vmap_that_failed_leaves_randomness_as_it_was():
    with pytest.raises(RuntimeError, match=REFUSED):
        vmap(lambda x: cr.rand(2))(cr.zeros(3))
    assert cr.rand(2).shape == (2,)


def test_randomness_must_be_known():
    with pytest.raises(RuntimeError, match="Only allowed values for randomness"):
        vmap(lambda x: x, randomness="sometimes")
    with pytest.raises(RuntimeError, match="Only allowed values for randomness"):
        jacfwd(lambda x: x, randomness="sometimes")


def test_parameters_that_outlived_their_vmap():
    kept = []
    vmap(lambda x: kept.append(x) or x)(cr.rand(3, 4))
    for f in (
        cr.bernoulli,
        cr.poisson,
        lambda x: cr.normal(x, 1.0),
        lambda x: cr.multinomial(x, 1),
    ):
        with pytest.raises(RuntimeError, match="has already returned"):
            f(kept[0])
