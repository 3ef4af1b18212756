"""Random functions under transforms: who draws, how often, and from what distribution."""

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

BATCH = 3
REFUSED = "called random operation while in randomness error mode"
SAME_BATCHED = "Vmap does not currently support same randomness with a batched tensor input"
UNBATCHED = "Cannot ask for different inplace randomness on an unbatched tensor"


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


# ---------------------------------------------------------------- distributions

N = 20_000


def of_rows(f, mapped):
    """f of each example, drawn for each, as float64."""
    return vmap(f, randomness="different")(cr.tensor(mapped)).numpy().astype(np.float64)


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
