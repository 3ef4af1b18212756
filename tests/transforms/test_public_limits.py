"""Writes in place, errors, and statistics of reductions, losses and lookups inside transforms."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import func, tensor
from chainrule.nn import functional as F
from tests.transforms.public_checks import (
    check_jacobians,
    check_jvp,
    check_mapped_choices,
    check_vmap,
    integers,
    real,
)

A, B = real(2, 3), real(2, 3, seed=1)


def written(name, *args, **kwargs):
    """The method that writes in place, applied to a copy of the first argument."""

    def f(x, *rest):
        y = x.clone()
        getattr(y, name)(*args, *rest, **kwargs)
        return y * x

    return f


WRITES = {
    "cumsum_": (written("cumsum_", 1), (A,)),
    "cumprod_": (written("cumprod_", 0), (A,)),
    "clamp_": (written("clamp_", -1.0, 1.0), (A,)),
    "relu_": (written("relu_"), (A,)),
    "renorm_": (written("renorm_", 2, 0, 1.0), (A,)),
    "nan_to_num_": (written("nan_to_num_"), (A,)),
    "scatter_": (lambda x, i, y: x.clone().scatter_(1, i, y), (A, np.array([[2], [0]]), B)),
    "scatter_add_": (lambda x, i, y: x.clone().scatter_add_(1, i, y),
                     (A, integers(2, 3, high=3), B)),
    "scatter_reduce_": (lambda x, i, y: x.clone().scatter_reduce_(1, i, y, "mean"),
                        (A, integers(2, 3, high=3), B)),
    "index_add_": (lambda x, i, y: x.clone().index_add_(1, i, y), (A, np.array([0, 0, 2]), B)),
    "index_copy_": (lambda x, i, y: x.clone().index_copy_(1, i, y), (A, np.array([1, 0, 2]), B)),
    "index_fill_": (lambda x, i: x.clone().index_fill_(1, i, 2.0), (A, np.array([1, 0]))),
    "put_": (lambda x, i, y: x.clone().put_(i, y), (A, np.array([1, 0, 4]), real(3))),
    "written into a constant": (
        lambda x, i: cr.zeros(2, 3, dtype=cr.float64).scatter_add_(1, i, x),
        (A, integers(2, 3, high=3)),
    ),
    "view of a copy": (lambda x: x.clone()[0].cumsum_(0) * x, (A,)),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITES)
def test_writes(name):
    f, args = WRITES[name]
    check_vmap(f, args)
    check_jvp(f, args)
    check_jacobians(f, args)
    check_mapped_choices(f, args)


WEIGHTED = {
    "bincount": lambda w: cr.bincount(tensor([0, 2, 2]), w, minlength=4),
    "histogram": lambda w: cr.histogram(cr.tensor([0.1, 0.4, 0.9]).double(), 2, weight=w).hist,
    "density": lambda w: (
        cr.histogram(cr.tensor([0.1, 0.4, 0.9]).double(), 2, weight=w * w, density=True).hist
    ),
}


@pytest.mark.parametrize("name", WEIGHTED)
def test_weights_of_bins(name):
    f, args = WEIGHTED[name], (real(3, low=0.5),)
    check_vmap(f, args)
    check_jvp(f, args)
    check_jacobians(f, args)


X = tensor(real(3, 4))
COUNTS = tensor(integers(3, 4, high=3))


@pytest.mark.parametrize(
    ("name", "f", "x", "instead"),
    [
        ("unique", cr.unique, X, "sort"),
        ("unique_consecutive", cr.unique_consecutive, X, "neighbours"),
        ("bincount", cr.bincount, COUNTS, "one_hot"),
        ("histc", lambda x: cr.histc(x, 3), X, "bucketize"),
        ("histogram", lambda x: cr.histogram(x, 3), X, "bucketize"),
        ("one_hot", F.one_hot, COUNTS, "num_classes"),
    ],
)
def test_shapes_that_depend_on_values(name, f, x, instead):
    with pytest.raises(RuntimeError, match="dynamic shape") as caught:
        func.vmap(f)(x)
    assert f"{name}()" in str(caught.value)
    assert instead in str(caught.value)
    with pytest.raises(RuntimeError, match="dynamic shape"):
        func.vmap(lambda y: func.jvp(lambda z: z + 0 * f((z * 1).to(x.dtype)).sum(), (y,), (y,)))(
            x.double()
        )


BAD = tensor([[0, 1], [2, 5], [1, 0]])
BELOW = tensor([[0, 1], [2, -1], [1, 0]])


@pytest.mark.parametrize("index", [BAD, BELOW], ids=["beyond", "below"])
@pytest.mark.parametrize(
    ("f", "kind"),
    [
        (lambda x, i: cr.gather(x, 0, i), RuntimeError),
        (lambda x, i: x.scatter(0, i, 1.0), RuntimeError),
        (lambda x, i: F.embedding(i, x.reshape(4, 1)), IndexError),
        (lambda x, i: F.nll_loss(x[None].expand(2, 4), i), IndexError),
        (lambda x, i: F.cross_entropy(x[None].expand(2, 4), i), IndexError),
        (lambda x, i: F.cross_entropy(x[None].expand(2, 4), i, label_smoothing=0.1), IndexError),
        (lambda x, i: F.nll_loss(x[None].expand(2, 4), i, x.abs()), IndexError),
        (lambda x, i: F.multi_margin_loss(x[None].expand(2, 4), i), RuntimeError),
        (lambda x, i: F.one_hot(i, 4) * x, RuntimeError),
        (lambda x, i: F.embedding_bag(i[None], x.reshape(4, 1)), IndexError),
    ],
)
def test_positions_out_of_range(f, kind, index):
    with pytest.raises(kind, match=r"out of (bounds|range)"):
        func.vmap(f)(X, index)
    with pytest.raises(kind, match=r"out of (bounds|range)"):
        func.vmap(f, in_dims=(None, 0))(X[0], index)


def test_positions_from_the_end():
    index = tensor([[0, -1], [2, -3]])
    for f in (lambda i: cr.index_fill(X, 1, i, 0.5), lambda i: cr.take(X, i)):
        found = func.vmap(f)(index)
        for b in range(2):
            assert cr.equal(found[b], f(index[b]))


def test_wrong_dtype_of_a_mapped_index():
    with pytest.raises(RuntimeError, match="Expected dtype int64 for index"):
        func.vmap(lambda i: cr.gather(X, 1, i))(cr.zeros(2, 3, 1))


def test_padding_gets_no_gradient():
    table = tensor(real(3, 5, 2))
    index = tensor([[0, 1, 1], [1, 2, 1], [4, 4, 1]])

    def f(i, w):
        return (F.embedding(i, w, padding_idx=1) ** 2).sum()

    for dims in ((0, 0), (None, 0), (0, None)):
        i = index if dims[0] == 0 else index[0]
        w = table if dims[1] == 0 else table[0]
        found = func.vmap(func.grad(f, 1), in_dims=dims)(i, w)
        for b in range(3):
            want = func.grad(f, 1)(i if dims[0] is None else i[b], w if dims[1] is None else w[b])
            np.testing.assert_allclose(found[b].numpy(), want.numpy())
            assert not found[b][1].any()


def test_running_statistics():
    x, mean, var = tensor(real(3, 4, 2)), cr.zeros(2).double(), cr.ones(2).double()
    with pytest.raises(RuntimeError, match="running_mean or running_var, which will be updated"):
        func.vmap(lambda y: F.batch_norm(y, mean, var, training=True))(x)
    assert not mean.any()

    def with_own(y, m, v):
        out = F.batch_norm(y, m, v, training=True)
        return out, m, v

    means, variances = cr.zeros(3, 2).double(), cr.ones(3, 2).double()
    found = func.vmap(with_own)(x, means, variances)
    for b in range(3):
        want = with_own(x[b], cr.zeros(2).double(), cr.ones(2).double())
        for got, one in zip(found, want, strict=True):
            np.testing.assert_allclose(got[b].numpy(), one.numpy(), rtol=1e-12)

    func.jvp(lambda y: F.batch_norm(y, mean, var, training=True), (x[0],), (x[1],))
    np.testing.assert_allclose(mean.numpy(), 0.1 * x[0].mean(0).numpy())


def test_rows_are_not_shortened_inside_transforms():
    table, index = tensor(real(5, 2)), tensor([[0, 1], [2, 3]])
    for f in (
        lambda: func.vmap(lambda i: F.embedding(i, table, max_norm=1.0))(index),
        lambda: func.jvp(lambda w: F.embedding(index, w, max_norm=1.0), (table,), (table,)),
    ):
        with pytest.raises(RuntimeError, match=r"max_norm.*renorm"):
            f()


def test_values_out_of_range_are_still_seen_without_vmap():
    bad = tensor([0.5, 1.5])
    with pytest.raises(RuntimeError, match="between 0 and 1"):
        func.jvp(lambda x: F.binary_cross_entropy(x, x.detach()), (bad,), (bad,))


def test_the_mean_of_nothing():
    """Where all targets of an example are ignored, its loss is nan and its gradient 0."""
    x, target = tensor(real(2, 3, 4)), tensor([[0, 1, 3], [-100, -100, -100]])

    def f(y, t):
        return F.cross_entropy(y, t)

    loss = func.vmap(f)(x, target)
    assert not loss[0].isnan()
    assert loss[1].isnan()
    gradient = func.vmap(func.grad(f))(x, target)
    assert gradient[0].abs().sum() > 0
    assert not gradient[1].any()


def test_gradients_of_single_samples():
    """What per-sample gradients are for: one sweep gives the gradient of every sample."""
    w, x = tensor(real(3, 4)), tensor(real(5, 4, seed=2))
    target = tensor([0, 2, 1, 1, 0])

    def loss(w, x, t):
        return F.cross_entropy(w @ x, t)

    found = func.vmap(func.grad(loss), in_dims=(None, 0, 0))(w, x, target)
    for b in range(5):
        v = w.clone().requires_grad_()
        loss(v, x[b], target[b]).backward()
        np.testing.assert_allclose(found[b].numpy(), v.grad.numpy(), rtol=1e-12)


def test_gradients_of_single_samples_as_torch():
    """Mapped targets, class weights, ignored targets and scatters: torch.func's numbers."""
    torch = pytest.importorskip("torch")
    x, y = real(5, 4, 3), real(5, 4, 3, seed=1)
    classes, rows = integers(5, 4, high=3), integers(5, 4, 3, high=4)
    classes[2, 1] = -100
    weight = real(3, low=0.5, seed=2)

    def entropy(functional, w):
        return lambda a, t: functional.cross_entropy(a, t, w, label_smoothing=0.1)

    def scattered(a, i, b):
        return (a.scatter_reduce(0, i, b, "prod") ** 2).sum()

    def gathered(a, i):
        return (a.gather(0, i).cumprod(0).logsumexp(1)).sum()

    cases = [
        (entropy(F, tensor(weight)), entropy(torch.nn.functional, torch.tensor(weight)),
         (x, classes)),
        (scattered, scattered, (x, rows, y)),
        (gathered, gathered, (x, rows)),
    ]  # fmt: skip
    for ours, theirs, arrays in cases:
        found = func.vmap(func.grad(ours))(*map(tensor, arrays))
        wanted = torch.stack(
            [torch.func.grad(theirs)(*[torch.tensor(a[b]) for a in arrays]) for b in range(5)]
        )
        np.testing.assert_allclose(found.numpy(), wanted.numpy(), rtol=1e-10, atol=1e-12)
