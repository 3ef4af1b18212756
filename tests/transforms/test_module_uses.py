"""Modules under transforms: running statistics, randomness, masks, ties, and what uses them."""

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn, tree
from chainrule.func import grad, hessian, jacfwd, jacrev, jvp, vjp, vmap
from chainrule.func_modules import (
    functional_call,
    replace_all_batch_norm_modules_,
    stack_module_state,
)
from tests.transforms.families import (
    BATCH,
    Family,
    directions,
    equal,
    indices,
    inner,
    mlp,
    moved,
    normals,
    stacked,
)

pytestmark = pytest.mark.usefixtures("double_and_seeded")


# ---------------------------------------------------------------- running statistics

STATISTICS = [
    lambda **options: nn.BatchNorm1d(4, **options),
    lambda **options: nn.InstanceNorm1d(4, track_running_stats=True, **options),
]


@pytest.mark.parametrize("make", STATISTICS)
def test_examples_cannot_share_statistics_that_they_update(make):
    norm = make()
    x = cr.randn(BATCH, 5, 4, 3)
    with pytest.raises(RuntimeError, match="will be updated in place, were not batched"):
        vmap(norm)(x)
    assert norm.num_batches_tracked == 0
    assert not norm.running_mean.any()
    assert (norm.running_var == 1).all()
    equal(vmap(norm.eval())(x), cr.stack([norm(row) for row in x]))


@pytest.mark.parametrize("momentum", [0.1, None])
def test_models_of_an_ensemble_update_their_own_statistics(momentum):
    models = [nn.BatchNorm1d(4, momentum=momentum) for _ in range(BATCH)]
    parameters, buffers = stack_module_state(models)
    batches = cr.randn(2, BATCH, 5, 4)

    def step(ps, bs, x):
        y = functional_call(models[0], (ps, bs), (x,))
        return y, bs

    for x in batches:
        y, buffers = vmap(step)(parameters, buffers, x)
        equal(y, cr.stack([m(row) for m, row in zip(models, x, strict=True)]))
    for name, b in buffers.items():
        equal(b, cr.stack([dict(m.named_buffers())[name] for m in models]))


def test_statistics_of_the_outer_vmap_are_no_place_for_inner_batches():
    norm = nn.BatchNorm1d(4)
    buffers = stack_module_state([norm, norm])[1]

    def one(bs, x):
        return functional_call(norm, ({}, bs), (x,))

    with pytest.raises(RuntimeError, match="were not batched"):
        vmap(vmap(one, (None, 0)), (0, None))(buffers, cr.randn(BATCH, 5, 4))


def test_gradients_update_statistics_once():
    norm, twin = nn.BatchNorm1d(4), nn.BatchNorm1d(4)
    x = cr.randn(5, 4)
    ps = {n: p.detach() for n, p in norm.named_parameters()}
    for transform in (grad, lambda f: lambda p: jvp(f, (p,), (p,)), hessian):
        transform(lambda p: (functional_call(norm, p, (x,)) ** 3).sum())(ps)
        twin(x)
        equal(dict(norm.named_buffers()), dict(twin.named_buffers()))


def test_statistics_are_not_to_be_differentiated():
    norm = nn.BatchNorm1d(4)
    state = {n: t.detach() for n, t in [*norm.named_parameters(), *norm.named_buffers()]}
    del state["num_batches_tracked"]
    with pytest.raises(RuntimeError, match="Pass buffers to a transform as an argument of their"):
        grad(lambda s: functional_call(norm, s, (cr.randn(5, 4),)).sum())(state)


def test_replacing_batch_norms():
    net = nn.Sequential(nn.Linear(4, 4), nn.ModuleDict({"a": nn.BatchNorm1d(4)})["a"])
    assert replace_all_batch_norm_modules_(net) is net
    assert not dict(net.named_buffers())
    x = cr.randn(BATCH, 5, 4)
    equal(vmap(net)(x), cr.stack([net(row) for row in x]))
    equal(vmap(net.eval())(x), cr.stack([net(row) for row in x]))
    alone = replace_all_batch_norm_modules_(nn.BatchNorm1d(4))
    assert alone.running_mean is None
    kept = replace_all_batch_norm_modules_(nn.InstanceNorm1d(4, track_running_stats=True))
    assert kept.running_mean is not None


# ---------------------------------------------------------------- randomness, masks, ties


def random_modules():
    return {
        "Dropout": (nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.5)), (6,)),
        "AlphaDropout": (nn.AlphaDropout(0.5), (6,)),
        "Dropout2d": (nn.Dropout2d(0.5), (1, 8, 2, 2)),
        "RReLU": (nn.RReLU(), (8,)),
        "LSTM": (nn.LSTM(3, 8, 2, dropout=0.5), (4, 1, 3)),
        "MultiheadAttention": (Attention(), (5, 1, 4)),
        "TransformerEncoderLayer": (nn.TransformerEncoderLayer(4, 2, 8, dropout=0.5), (5, 1, 4)),
    }


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.MultiheadAttention(4, 2, dropout=0.5)

    def forward(self, x):
        return self.inner(x, x, x)[0]


@pytest.mark.parametrize("name", random_modules())
def test_random_layers(name):
    module, shape = random_modules()[name]
    x = cr.tensor(np.broadcast_to(-np.abs(normals(*shape)[0]), (BATCH, *shape)).copy())
    with pytest.raises(RuntimeError, match="randomness error mode"):
        vmap(module)(x)

    def outputs(randomness):
        y = tree.flatten(vmap(module, randomness=randomness)(x))[0][0].detach().numpy()
        return y.reshape(BATCH, -1)

    same, different = outputs("same"), outputs("different")
    np.testing.assert_allclose(same[1:], same[:-1])
    assert not np.allclose(different[0], different[1])
    module.eval()
    expected = tree.flatten(module(x[0]))[0][0].detach().numpy().reshape(-1)
    found = tree.flatten(vmap(module)(x))[0][0].detach().numpy().reshape(BATCH, -1)
    np.testing.assert_allclose(found, np.tile(expected, (BATCH, 1)))


def test_gradients_of_examples_with_masks_of_their_own():
    net = nn.Sequential(nn.Linear(3, 64), nn.Dropout(0.5), nn.Linear(64, 1))
    ps = {n: p.detach() for n, p in net.named_parameters()}
    x = cr.ones(BATCH, 3)

    def loss(p, x):
        return functional_call(net, p, (x,)).sum()

    for randomness in ("same", "different"):
        found = vmap(grad(loss), (None, 0), randomness=randomness)(ps, x)
        used = found["0.bias"].numpy() != 0
        assert (used[0] == used[1]).all() == (randomness == "same")
        assert 0 < used.sum() < used.size
        # The first layer's gradient is zero where the example's mask is: one mask, both ways.
        values = found["2.weight"].numpy()[:, 0] != 0
        np.testing.assert_array_equal(values, used)


def test_masks_of_attention_may_be_mapped():
    attention = nn.MultiheadAttention(4, 2)
    x, rng = cr.randn(BATCH, 5, 2, 4), np.random.default_rng(0)
    padding = rng.random((BATCH, 2, 5)) < 0.3
    padding[..., 0] = False
    forbidden = np.triu(rng.random((BATCH, 5, 5)) < 0.5, 1)
    added = cr.randn(BATCH, 5, 5)

    def f(x, padding, mask):
        return attention(x, x, x, key_padding_mask=padding, attn_mask=mask)

    for masks in ((cr.tensor(padding), cr.tensor(forbidden)), (cr.tensor(padding), added)):
        found = vmap(f)(x, *masks)
        equal(found, stacked([f(x[i], *[m[i] for m in masks]) for i in range(BATCH)]))


def test_tied_weights_have_one_gradient():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(6, 3)
            self.out = nn.Linear(3, 6, bias=False)
            self.out.weight = self.table.weight

        def forward(self, i):
            return self.out(self.table(i))

    net = Tied()
    ps = {n: p.detach() for n, p in net.named_parameters()}
    assert list(ps) == ["table.weight"]
    i = cr.tensor(indices(4))
    found = vmap(grad(lambda p, i: (functional_call(net, p, (i,)) ** 2).sum()), (None, 0))(ps, i)
    for row, g in zip(i, found["table.weight"], strict=True):
        net.zero_grad()
        (net(row) ** 2).sum().backward()
        equal(net.table.weight.grad, g)


def test_a_module_is_as_it_was_after_a_transform_that_failed():
    net = nn.Linear(3, 2)
    weight = net.weight
    with pytest.raises(RuntimeError, match="randomness error mode"):
        vmap(lambda w, x: functional_call(nn.Sequential(net, nn.Dropout()), {"0.weight": w}, (x,)))(
            cr.randn(BATCH, 2, 3), cr.randn(BATCH, 3)
        )
    assert net.weight is weight
    assert type(net.weight) is nn.Parameter


def test_training_an_ensemble():
    models = [mlp() for _ in range(4)]
    parameters, _ = stack_module_state(models)
    x, y = cr.randn(16, 3), cr.randn(16, 2)

    def loss(p):
        return F.mse_loss(functional_call(models[0], p, (x,)), y)

    p = tree.map(lambda p: p.detach(), parameters)
    alone = [cr.optim.SGD(m.parameters(), lr=0.1) for m in models]
    first = vmap(loss)(p)
    for _ in range(10):
        p = moved(p, vmap(grad(loss))(p), -0.1)
        for m, optimizer in zip(models, alone, strict=True):
            optimizer.zero_grad()
            F.mse_loss(m(x), y).backward()
            optimizer.step()
    assert (vmap(loss)(p) < first).all()
    for name, value in p.items():
        equal(value, cr.stack([dict(m.named_parameters())[name] for m in models]))
    # The sum of the losses of all models trains them through the tape as well.
    (g,) = cr.autograd.grad(vmap(loss)(parameters).sum(), [parameters["0.weight"]])
    equal(g, vmap(grad(loss))(tree.map(lambda p: p.detach(), parameters))["0.weight"])


# ---------------------------------------------------------------- what people build of these


@pytest.mark.parametrize("name", ["MLP", "CNN"])
def test_neural_tangent_kernel(name):
    """By whole Jacobians, by vector products, and by products with single rows."""
    family = Family(name)
    family.module.eval()
    net, ps, x = family.module, family.parameters, family.xs[0]
    if name == "CNN":
        x = x[:, :1]  # one image per example

    def single(p, x):
        return functional_call(net, p, (x,)).reshape(-1)

    def blocks(a, b):
        ja, jb = (vmap(jacrev(single), (None, 0))(ps, v) for v in (a, b))
        flat = [(u.flatten(2), v.flatten(2)) for u, v in zip(ja.values(), jb.values(), strict=True)]
        return sum(cr.einsum("Naf,Mbf->NMab", u, v) for u, v in flat)

    def products(a, b):
        def one(a, b):
            out, pull = vjp(lambda p: single(p, a), ps)

            def row(c):
                return jvp(lambda p: single(p, b), (ps,), (pull(c)[0],))[1]

            return vmap(row)(cr.eye(out.shape[0]))

        return vmap(vmap(one, (None, 0)), (0, None))(a, b)

    kernel = blocks(x, x)
    equal(products(x, x), kernel, 1e-8)
    p = np.concatenate(  # one row after the other
        [
            np.concatenate([g.flatten(1).numpy() for g in jacrev(single)(ps, v).values()], -1)
            for v in x
        ]
    )
    gram = (p @ p.T).reshape(BATCH, -1, BATCH, kernel.shape[-1]).transpose(0, 2, 1, 3)
    np.testing.assert_allclose(kernel.numpy(), gram, rtol=1e-8, atol=1e-10)


def test_gradients_through_training_steps():
    """Meta-learning: tasks train copies of one network, and the network learns from how they do."""
    net = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))
    ps = {n: p.detach() for n, p in net.named_parameters()}
    x, y = cr.randn(BATCH, 6, 1), cr.randn(BATCH, 6, 1)

    def loss(p, x, y):
        return F.mse_loss(functional_call(net, p, (x,)), y)

    def after_training(p, x, y):
        for _ in range(3):
            p = moved(p, grad(loss)(p, x[:4], y[:4]), -0.1)
        return loss(p, x[4:], y[4:])

    def meta(p):
        return vmap(after_training, (None, 0, 0))(p, x, y).mean()

    g, d, h = grad(meta)(ps), directions(ps), 1e-5
    difference = (meta(moved(ps, d, h)) - meta(moved(ps, d, -h))) / (2 * h)
    np.testing.assert_allclose(inner(g, d).item(), difference.item(), rtol=1e-7)
    equal(jvp(meta, (ps,), (d,))[1], inner(g, d))
    each = [grad(after_training)(ps, x[i], y[i]) for i in range(BATCH)]
    equal(g, tree.map(lambda *gs: sum(gs) / BATCH, *each))


def test_hessian_of_all_parameters():
    net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    ps = {n: p.detach() for n, p in net.named_parameters()}
    x = cr.randn(4, 2)

    def loss(p):
        return (functional_call(net, p, (x,)) ** 2).sum()

    h, d = hessian(loss)(ps), directions(ps)
    product = {a: sum(cr.tensordot(h[a][b], d[b], d[b].ndim) for b in ps) for a in ps}
    equal(product, jvp(grad(loss), (ps,), (d,))[1])
    equal(h, jacfwd(jacrev(loss))(ps))


def test_ensembles_with_dropout():
    models = [nn.Sequential(nn.Linear(3, 32), nn.Dropout(0.5)) for _ in range(2)]
    for m in models:
        nn.init.zeros_(m[0].weight)
        nn.init.ones_(m[0].bias)
    parameters, _ = stack_module_state(models)
    x = cr.ones(4, 3)

    def outputs(of_models, of_examples):
        def of(p):
            return vmap(lambda x: functional_call(models[0], p, (x,)), randomness=of_examples)(x)

        return vmap(of, randomness=of_models)(parameters).detach().numpy()

    for of_models in ("same", "different"):
        for of_examples in ("same", "different"):
            y = outputs(of_models, of_examples)
            assert y.shape == (2, 4, 32)
            assert set(np.unique(y)) == {0.0, 2.0}
            assert np.array_equal(y[0], y[1]) == (of_models == "same")
            assert np.array_equal(y[:, 0], y[:, 1]) == (of_examples == "same")


def test_initialising_mapped_parameters():
    weights = cr.zeros(BATCH, 16, 8)
    for draw in (
        nn.init.xavier_uniform_,
        nn.init.kaiming_normal_,
        nn.init.trunc_normal_,
        nn.init.orthogonal_,
        lambda w: nn.init.orthogonal_(w.T).T,
        lambda w: nn.init.sparse_(w, 0.25),
    ):
        found = vmap(lambda w, draw=draw: draw(w.clone()), randomness="different")(weights)
        assert (found[0] != found[1]).any()
        assert abs(found.std(dim=(1, 2)) / found.std() - 1).max() < 0.3
        same = vmap(lambda w, draw=draw: draw(w.clone()), randomness="same")(weights)
        assert (same == same[0]).all()
        with pytest.raises(RuntimeError, match="randomness error mode"):
            vmap(lambda w, draw=draw: draw(w.clone()))(weights)
    found = vmap(lambda w: nn.init.orthogonal_(w.clone()), randomness="different")(weights)
    equal(found.mT @ found, cr.eye(8).expand(BATCH, 8, 8))
    found = vmap(lambda w: nn.init.sparse_(w.clone(), 0.25), randomness="different")(weights)
    assert ((found == 0).sum(1) == 4).all()


def test_gradients_by_frequency():
    """PyTorch divides the gradient by the number of uses, in reverse mode alone."""
    words, table = cr.tensor([[0, 1, 1], [2, 2, 2]]), cr.randn(3, 2)

    def f(table, i):
        return F.embedding(i, table, scale_grad_by_freq=True)

    values, tangents = jvp(lambda t: f(t, words[0]), (table,), (cr.ones(3, 2),))
    equal(values, table[words[0]], 0)
    assert (tangents == 1).all()
    equal(grad(lambda t: f(t, words[0]).sum())(table), cr.tensor([[1.0] * 2, [1.0] * 2, [0.0] * 2]))
    each = vmap(grad(lambda t, i: (f(t, i) ** 2).sum()), (None, 0))(table, words)
    used = cr.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    equal(each, 2 * table * used.unsqueeze(-1))
    tables = cr.randn(4, 3, 2)
    equal(vmap(f, (0, None))(tables, words[1]), tables[:, words[1]], 0)
