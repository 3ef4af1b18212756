"""Modules of every family as functions of their parameters, under every transform."""

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn, tree
from chainrule.func import grad, grad_and_value, hessian, jacfwd, jacrev, jvp, vjp, vmap
from chainrule.func_modules import (
    functional_call,
    replace_all_batch_norm_modules_,
    stack_module_state,
)

BATCH = 3


@pytest.fixture(autouse=True)
def _double_and_seeded():
    before = cr.get_default_dtype()
    cr.set_default_dtype(cr.float64)
    cr.manual_seed(0)
    yield
    cr.set_default_dtype(before)


def indices(*shape):
    return np.random.default_rng(1).integers(0, 6, (BATCH, *shape))


def normals(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal((BATCH, *shape))


class OfIndices(nn.Module):
    """Embedded words, averaged and classified."""

    def __init__(self):
        super().__init__()
        self.table, self.out = nn.Embedding(6, 3), nn.Linear(3, 2)

    def forward(self, words):
        return self.out(self.table(words).mean(-2))


class Loss(nn.Module):
    """A loss of a linear layer, for targets given as an input."""

    def __init__(self, loss):
        super().__init__()
        self.layer, self.loss = nn.Linear(4, 6), loss

    def forward(self, x, target):
        return self.loss(self.layer(x), target)


def mlp():
    return nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.LayerNorm(4), nn.Linear(4, 2))


def cnn():
    return nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2, track_running_stats=False), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 3),
    )  # fmt: skip


def encoder(**options):
    return nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, **options)


# A module, and the shapes of its inputs (or the inputs) for one example.
FAMILIES = {
    "Linear": (lambda: nn.Linear(3, 2), (4, 3)),
    "Linear of a vector": (lambda: nn.Linear(3, 2, bias=False), (3,)),
    "Bilinear": (lambda: nn.Bilinear(3, 2, 2), (4, 3), (4, 2)),
    "MLP": (mlp, (3,)),
    "in place": (
        lambda: nn.Sequential(nn.Linear(3, 4), nn.ELU(inplace=True), nn.SiLU(inplace=True)), (3,)
    ),
    "PReLU": (lambda: nn.PReLU(3), (4, 3)),
    "Conv1d": (lambda: nn.Conv1d(2, 3, 3, padding=1), (2, 2, 5)),
    "Conv2d": (lambda: nn.Conv2d(2, 4, 3, stride=2, groups=2), (2, 2, 5, 5)),
    "Conv2d of one image": (lambda: nn.Conv2d(1, 2, 2, dilation=2), (1, 4, 4)),
    "Conv2d circular": (
        lambda: nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"), (1, 2, 4, 4)
    ),
    "Conv3d": (lambda: nn.Conv3d(1, 2, 2), (2, 1, 3, 3, 3)),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(2, 3, 3, stride=2), (2, 2, 3, 3)),
    "CNN": (cnn, (2, 1, 6, 6)),
    "pooling": (lambda: nn.Sequential(nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1)), (2, 1, 6, 6)),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(3, track_running_stats=False), (4, 3)),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(3, track_running_stats=False), (4, 3, 2, 2)),
    "BatchNorm1d in evaluation": (lambda: nn.BatchNorm1d(3).eval(), (4, 3)),
    "InstanceNorm1d": (lambda: nn.InstanceNorm1d(3, affine=True), (4, 3, 5)),
    "LayerNorm": (lambda: nn.LayerNorm(5), (4, 5)),
    "RMSNorm": (lambda: nn.RMSNorm(5), (4, 5)),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), (3, 4, 2)),
    "Dropout in evaluation": (lambda: nn.Sequential(nn.Linear(3, 2), nn.Dropout()).eval(), (4, 3)),
    "RNN": (lambda: nn.RNN(3, 4, 2), (5, 2, 3)),
    "RNN both ways": (
        lambda: nn.RNN(3, 2, nonlinearity="relu", bidirectional=True, batch_first=True), (2, 4, 3)
    ),
    "RNNCell": (lambda: nn.RNNCell(3, 4), (2, 3)),
    "LSTM": (lambda: nn.LSTM(3, 4, 2), (5, 2, 3)),
    "LSTM projected": (lambda: nn.LSTM(3, 4, proj_size=2, bidirectional=True), (4, 3)),
    "LSTMCell": (lambda: nn.LSTMCell(3, 4), (2, 3)),
    "GRU": (lambda: nn.GRU(3, 4, bidirectional=True), (5, 2, 3)),
    "GRUCell": (lambda: nn.GRUCell(3, 4), (2, 3)),
    "MultiheadAttention": (lambda: nn.MultiheadAttention(4, 2), (5, 2, 4), (3, 2, 4), (3, 2, 4)),
    "MultiheadAttention of sizes": (
        lambda: nn.MultiheadAttention(4, 2, kdim=3, vdim=5), (5, 2, 4), (6, 2, 3), (6, 2, 5)
    ),
    "TransformerEncoderLayer": (encoder, (5, 2, 4)),
    "TransformerEncoder": (
        lambda: nn.TransformerEncoder(encoder(norm_first=True, activation="gelu"), 2), (3, 1, 4)
    ),
    "Embedding": (OfIndices, indices(2, 4)),
    "EmbeddingBag": (lambda: nn.EmbeddingBag(6, 3, mode="sum", padding_idx=2), indices(2, 4)),
    "CrossEntropyLoss": (
        lambda: Loss(nn.CrossEntropyLoss(label_smoothing=0.1)), (2, 4), indices(2)
    ),
}  # fmt: skip


class Family:
    """A module, its parameters and buffers, and a batch of inputs."""

    def __init__(self, name):
        self.make, *inputs = FAMILIES[name]
        self.module = self.make()
        self.parameters = {n: p.detach() for n, p in self.module.named_parameters()}
        self.buffers = dict(self.module.named_buffers())
        self.xs = [
            cr.tensor(normals(*x, seed=i) if isinstance(x, tuple) else x)
            for i, x in enumerate(inputs)
        ]

    def rows(self):
        return [tuple(x[i] for x in self.xs) for i in range(BATCH)]

    def floating(self):
        """Which inputs have derivatives."""
        return tuple(i for i, x in enumerate(self.xs) if x.is_floating_point())

    def call(self, parameters, *xs):
        return functional_call(self.module, (parameters, self.buffers), xs)

    def loss(self, parameters, *xs):
        ys = tree.flatten(self.call(parameters, *xs))[0]
        return sum((y * y).sum() + y.sin().sum() for y in ys)


@pytest.fixture(params=FAMILIES)
def family(request):
    return Family(request.param)


def stacked(rows):
    return tree.map(lambda *leaves: cr.stack(list(leaves)), *rows)


def equal(a, b, tol=1e-9):
    a, b = tree.flatten(a)[0], tree.flatten(b)[0]
    assert len(a) == len(b)
    for x, y in zip(a, b, strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_allclose(x.detach().numpy(), y.detach().numpy(), rtol=tol, atol=tol)


def directions(values, seed=7):
    rng = np.random.default_rng(seed)
    return tree.map(lambda v: cr.tensor(rng.standard_normal(tuple(v.shape))), values)


def inner(a, b):
    a, b = tree.flatten(a)[0], tree.flatten(b)[0]
    return sum((x * y).sum() for x, y in zip(a, b, strict=True))


def moved(values, direction, step):
    return tree.map(lambda v, d: v + step * d, values, direction)


# ---------------------------------------------------------------- one batch instead of a loop


def test_values_of_a_batch(family):
    ps = family.parameters
    found = vmap(lambda *x: family.call(ps, *x))(*family.xs)
    equal(found, stacked([family.call(ps, *x) for x in family.rows()]))
    equal(vmap(family.module)(*family.xs), found)


def test_gradients_of_each_example(family):
    ps, xs = family.parameters, family.xs
    dims = (None,) + (0,) * len(xs)
    if ps:
        found = vmap(grad(family.loss), dims)(ps, *xs)
        equal(found, stacked([grad(family.loss)(ps, *x) for x in family.rows()]))
    argnums = tuple(1 + i for i in family.floating())
    if argnums:
        found, values = vmap(grad_and_value(family.loss, argnums), dims)(ps, *xs)
        equal(found, stacked([grad(family.loss, argnums)(ps, *x) for x in family.rows()]))
        equal(values, stacked([family.loss(ps, *x) for x in family.rows()]))


def test_ensembles(family):
    models = [family.make() for _ in range(4)]
    if not family.parameters:
        pytest.skip("has no parameters")
    parameters, buffers = stack_module_state(models)
    x = family.rows()[0]

    def one(ps, bs, *x):
        return functional_call(models[0], (ps, bs), x)

    of_one = vmap(one, (0, 0) + (None,) * len(x))(parameters, buffers, *x)
    equal(of_one, stacked([m(*x) for m in models]))
    of_all = vmap(vmap(one, (None, None) + (0,) * len(x)), (0, 0) + (None,) * len(x))
    expected = stacked([stacked([m(*x) for x in family.rows()]) for m in models])
    equal(of_all(parameters, buffers, *family.xs), expected)

    def loss(ps, bs):
        return inner(one(ps, bs, *x), one(ps, bs, *x))

    found = vmap(grad(loss))(tree.map(lambda p: p.detach(), parameters), buffers)
    for name, g in found.items():
        each = []
        for m in models:
            m.zero_grad()
            y = m(*x)
            inner(y, y).backward()
            each.append(dict(m.named_parameters())[name].grad)
        equal(g, cr.stack(each))


# ---------------------------------------------------------------- derivatives


def test_forward_and_reverse_mode_and_differences_agree(family):
    ps, xs = family.parameters, family.rows()[0]
    argnums = family.floating()

    def of(ps, floats):
        full = list(xs)
        for i, x in zip(argnums, floats, strict=True):
            full[i] = x
        return family.loss(ps, *full)

    at = (ps, [xs[i] for i in argnums])
    d = directions(at)
    value, forward = jvp(of, at, d)
    equal(value, of(*at))
    equal(forward, inner(grad(of, (0, 1))(*at), d), 1e-8)
    h = 1e-5
    difference = (of(*moved(at, d, h)) - of(*moved(at, d, -h))) / (2 * h)
    np.testing.assert_allclose(forward.item(), difference.item(), rtol=1e-5, atol=1e-6)
    many = vmap(lambda t: jvp(of, at, t)[1])(stacked([d, moved(d, d, 1.0)]))
    equal(many, cr.stack([forward, 2 * forward]), 1e-8)


def test_jacobians(family):
    ps, xs = family.parameters, family.rows()[0]

    def first(ps):
        return tree.flatten(family.call(ps, *xs))[0][0]

    if ps:
        equal(jacrev(first)(ps), jacfwd(first)(ps), 1e-8)
    if 0 in family.floating():

        def of_x(x):
            return tree.flatten(family.call(ps, x, *xs[1:]))[0][0]

        found = jacrev(of_x)(xs[0])
        equal(found, jacfwd(of_x)(xs[0]), 1e-8)
        out, pull = vjp(of_x, xs[0])
        c = directions(out)
        equal(pull(c)[0], cr.tensordot(c, found, out.ndim), 1e-8)


def test_second_derivatives(family):
    if 0 not in family.floating():
        pytest.skip("integers have no derivatives")
    ps, (x, *rest) = family.parameters, family.rows()[0]

    def f(x):
        return family.loss(ps, x, *rest)

    v = directions(x)
    product = jvp(grad(f), (x,), (v,))[1]
    h = 1e-5
    difference = (grad(f)(x + h * v) - grad(f)(x - h * v)) / (2 * h)
    np.testing.assert_allclose(product.numpy(), difference.numpy(), rtol=1e-4, atol=1e-5)
    equal(vjp(grad(f), x)[1](v)[0], product, 1e-8)  # the Hessian is symmetric
    if x.numel() <= 24:
        full = hessian(f)(x)
        equal(cr.tensordot(full, v, v.ndim), product, 1e-8)
        equal(jacfwd(jacfwd(f))(x), full, 1e-8)
        mapped = vmap(hessian(lambda x, *r: family.loss(ps, x, *r)))(*family.xs)
        equal(mapped[0], full, 1e-8)


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


# ---------------------------------------------------------------- PyTorch

IN_TORCH = [
    "Linear", "MLP", "CNN", "Conv1d", "ConvTranspose2d", "BatchNorm2d", "GroupNorm", "LSTM", "GRU",
    "MultiheadAttention", "TransformerEncoderLayer", "Embedding",
]  # fmt: skip


def torch_twin(torch, module):
    """The same module in PyTorch: a class of the same name and arguments, or of the same parts."""
    kind = type(module).__name__
    if isinstance(module, nn.Sequential):
        return torch.nn.Sequential(*[torch_twin(torch, m) for m in module])
    if isinstance(module, OfIndices):

        class Twin(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.table, self.out = torch.nn.Embedding(6, 3), torch.nn.Linear(3, 2)

            def forward(self, words):
                return self.out(self.table(words).mean(-2))

        return Twin()
    made = {
        "Linear": lambda: torch.nn.Linear(module.in_features, module.out_features),
        "LayerNorm": lambda: torch.nn.LayerNorm(module.normalized_shape),
        "Conv1d": lambda: torch.nn.Conv1d(2, 3, 3, padding=1),
        "Conv2d": lambda: torch.nn.Conv2d(1, 2, 3),
        "ConvTranspose2d": lambda: torch.nn.ConvTranspose2d(2, 3, 3, stride=2),
        "BatchNorm2d": lambda: torch.nn.BatchNorm2d(module.num_features, track_running_stats=False),
        "GroupNorm": lambda: torch.nn.GroupNorm(2, 4),
        "MaxPool2d": lambda: torch.nn.MaxPool2d(2),
        "LSTM": lambda: torch.nn.LSTM(3, 4, 2),
        "GRU": lambda: torch.nn.GRU(3, 4, bidirectional=True),
        "MultiheadAttention": lambda: torch.nn.MultiheadAttention(4, 2),
        "TransformerEncoderLayer": lambda: torch.nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0),
    }
    return made[kind]() if kind in made else getattr(torch.nn, kind)()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", IN_TORCH)
def test_pytorch_agrees(name):
    torch = pytest.importorskip("torch")
    family = Family(name)
    twin = torch_twin(torch, family.module).double()
    ps = {n: torch.tensor(p.numpy()) for n, p in family.parameters.items()}
    assert list(dict(twin.named_parameters())) == list(ps)

    def loss(p, *xs):
        out = torch.func.functional_call(twin, p, xs)
        leaves = torch.utils._pytree.tree_leaves(out)
        return sum((y * y).sum() + y.sin().sum() for y in leaves)

    xs = [torch.tensor(x.numpy()) for x in family.xs]
    # What PyTorch computes example after example needs no batching rule of its own.
    theirs = [torch.func.grad(loss)(ps, *row) for row in zip(*xs, strict=True)]
    ours = vmap(grad(family.loss), (None,) + (0,) * len(xs))(family.parameters, *family.xs)
    for n, g in ours.items():
        expected = np.stack([t[n].numpy() for t in theirs])
        np.testing.assert_allclose(g.numpy(), expected, rtol=1e-8, atol=1e-9)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["Linear", "MLP", "CNN", "GroupNorm"])
def test_pytorchs_vmap_agrees(name):
    torch = pytest.importorskip("torch")
    family = Family(name)
    twin = torch_twin(torch, family.module).double()
    ps = {n: torch.tensor(p.numpy()) for n, p in family.parameters.items()}

    def loss(p, x):
        y = torch.func.functional_call(twin, p, (x,))
        return (y * y).sum() + y.sin().sum()

    x = torch.tensor(family.xs[0].numpy())
    theirs = torch.func.vmap(torch.func.grad(loss), (None, 0))(ps, x)
    ours = vmap(grad(family.loss), (None, 0))(family.parameters, family.xs[0])
    for n, g in ours.items():
        np.testing.assert_allclose(g.numpy(), theirs[n].numpy(), rtol=1e-8, atol=1e-9)
    if family.xs[0][0].numel() <= 24:
        theirs = torch.func.vmap(torch.func.hessian(lambda x: loss(ps, x)))(x)
        ours = vmap(hessian(lambda x: family.loss(family.parameters, x)))(family.xs[0])
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-7, atol=1e-8)
