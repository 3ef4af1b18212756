"""Modules of every family with inputs, and what tests of modules under transforms compare by."""

import numpy as np

import chainrule as cr
from chainrule import nn, tree
from chainrule.func_modules import functional_call

BATCH = 3


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
