"""Modules of every family as functions of their parameters, under every transform."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, tree
from chainrule.func import grad, grad_and_value, hessian, jacfwd, jacrev, jvp, vjp, vmap
from chainrule.func_modules import functional_call, stack_module_state
from tests.transforms.families import (
    FAMILIES,
    Family,
    OfIndices,
    directions,
    equal,
    inner,
    moved,
    stacked,
)

pytestmark = pytest.mark.usefixtures("double_and_seeded")


@pytest.fixture(params=FAMILIES)
def family(request):
    return Family(request.param)


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
