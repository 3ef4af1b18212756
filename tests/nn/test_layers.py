"""Every layer and loss against PyTorch's: printed form, parameters, outputs, gradients."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn

torch = pytest.importorskip("torch")

IMAGE = (2, 4, 6, 6)
LAYERS = [
    ("Identity", (), {}, [(3,)]),
    ("Linear", (3, 5), {}, [(2, 3)]),
    ("Linear", (3, 5), {"bias": False}, [(4, 2, 3)]),
    ("Bilinear", (2, 3, 4), {}, [(5, 2), (5, 3)]),
    ("Flatten", (), {}, [(2, 3, 4)]),
    ("Unflatten", (1, (2, 2)), {}, [(3, 4)]),
    ("Conv1d", (4, 6, 3), {"padding": 1, "groups": 2}, [(2, 4, 7)]),
    ("Conv1d", (4, 6, 3), {"padding": "same", "dilation": 2}, [(2, 4, 9)]),
    ("Conv2d", (4, 3, (3, 2)), {"stride": 2, "padding": (1, 0), "dilation": (1, 2)}, [IMAGE]),
    ("Conv2d", (4, 3, 3), {"padding": 1, "padding_mode": "circular", "bias": False}, [IMAGE]),
    ("Conv2d", (4, 3, 3), {"padding": "same", "padding_mode": "reflect"}, [IMAGE]),
    ("Conv3d", (2, 3, 2), {"stride": (1, 2, 1)}, [(1, 2, 3, 4, 3)]),
    ("ConvTranspose1d", (4, 2, 3), {"stride": 2, "output_padding": 1}, [(2, 4, 5)]),
    ("ConvTranspose2d", (4, 2, 3), {"stride": 2, "padding": 1, "groups": 2}, [IMAGE]),
    ("ConvTranspose3d", (2, 1, 2), {"dilation": 2}, [(1, 2, 3, 3, 2)]),
    ("MaxPool1d", (2,), {}, [(2, 3, 7)]),
    ("MaxPool2d", (3,), {"stride": 2, "padding": 1, "ceil_mode": True}, [IMAGE]),
    ("MaxPool3d", (2,), {}, [(1, 2, 4, 4, 4)]),
    ("AvgPool1d", (3,), {"stride": 2, "padding": 1}, [(2, 3, 7)]),
    ("AvgPool2d", (3,), {"stride": 2, "padding": 1, "count_include_pad": False}, [IMAGE]),
    ("AvgPool3d", (2,), {}, [(1, 2, 4, 4, 4)]),
    ("AdaptiveAvgPool1d", (3,), {}, [(2, 3, 7)]),
    ("AdaptiveAvgPool2d", ((2, 5),), {}, [IMAGE]),
    ("AdaptiveAvgPool3d", (2,), {}, [(1, 2, 3, 4, 5)]),
    ("AdaptiveMaxPool1d", (3,), {}, [(2, 3, 7)]),
    ("AdaptiveMaxPool2d", (4,), {}, [IMAGE]),
    ("ZeroPad1d", (2,), {}, [(2, 3, 4)]),
    ("ZeroPad2d", ((1, 2, 0, 1),), {}, [IMAGE]),
    ("ConstantPad2d", (1, 3.5), {}, [IMAGE]),
    ("ReflectionPad1d", (2,), {}, [(2, 3, 4)]),
    ("ReflectionPad2d", ((1, 2, 0, 1),), {}, [IMAGE]),
    ("ReplicationPad2d", (2,), {}, [IMAGE]),
    ("CircularPad1d", (2,), {}, [(2, 3, 4)]),
    ("CircularPad2d", ((1, 2, 0, 1),), {}, [IMAGE]),
    ("LPPool1d", (2, 3), {}, [(2, 3, 7)]),
    ("LPPool2d", (4, 2), {"stride": 1}, [IMAGE]),
    ("Unfold", ((2, 3),), {"padding": 1, "stride": 2}, [IMAGE]),
    ("Fold", ((4, 5), (2, 2)), {"stride": 1}, [(2, 8, 12)]),
    ("ChannelShuffle", (2,), {}, [IMAGE]),
    ("UpsamplingNearest2d", (), {"scale_factor": 2}, [IMAGE]),
    ("UpsamplingBilinear2d", (), {"size": (9, 7)}, [IMAGE]),
    ("BatchNorm1d", (4,), {}, [(5, 4)]),
    ("BatchNorm1d", (4,), {"momentum": None}, [(5, 4, 3)]),
    ("BatchNorm2d", (4,), {"affine": False}, [IMAGE]),
    ("BatchNorm2d", (4,), {"track_running_stats": False}, [IMAGE]),
    ("BatchNorm3d", (2,), {}, [(2, 2, 2, 3, 2)]),
    ("InstanceNorm1d", (4,), {"affine": True}, [(2, 4, 5)]),
    ("InstanceNorm2d", (4,), {"track_running_stats": True}, [IMAGE]),
    ("LayerNorm", ((6, 6),), {}, [IMAGE]),
    ("LayerNorm", (3,), {"bias": False}, [(2, 3)]),
    ("RMSNorm", (3,), {"eps": 1e-5}, [(2, 3)]),
    ("GroupNorm", (2, 4), {}, [IMAGE]),
    ("LocalResponseNorm", (2,), {}, [IMAGE]),
    ("Dropout", (0.0,), {}, [(3, 3)]),
    ("PixelShuffle", (2,), {}, [IMAGE]),
    ("PixelUnshuffle", (2,), {}, [IMAGE]),
    ("Upsample", (), {"scale_factor": 2}, [IMAGE]),
    ("CosineSimilarity", (), {}, [(3, 4), (3, 4)]),
    ("PairwiseDistance", (), {}, [(3, 4), (3, 4)]),
    ("ReLU", (), {"inplace": False}, [(3, 4)]),
    ("ReLU6", (), {}, [(3, 4)]),
    ("LeakyReLU", (0.2,), {}, [(3, 4)]),
    ("ELU", (), {"alpha": 0.5}, [(3, 4)]),
    ("CELU", (), {"alpha": 0.5}, [(3, 4)]),
    ("SELU", (), {}, [(3, 4)]),
    ("GELU", (), {}, [(3, 4)]),
    ("GELU", (), {"approximate": "tanh"}, [(3, 4)]),
    ("SiLU", (), {}, [(3, 4)]),
    ("Mish", (), {}, [(3, 4)]),
    ("Hardswish", (), {}, [(3, 4)]),
    ("Hardsigmoid", (), {}, [(3, 4)]),
    ("Hardtanh", (-0.5, 0.7), {}, [(3, 4)]),
    ("Softplus", (), {"beta": 2.0}, [(3, 4)]),
    ("Softsign", (), {}, [(3, 4)]),
    ("Sigmoid", (), {}, [(3, 4)]),
    ("LogSigmoid", (), {}, [(3, 4)]),
    ("Tanh", (), {}, [(3, 4)]),
    ("Tanhshrink", (), {}, [(3, 4)]),
    ("Hardshrink", (), {}, [(3, 4)]),
    ("Softshrink", (), {}, [(3, 4)]),
    ("Threshold", (0.1, 20.0), {}, [(3, 4)]),
    ("GLU", (), {}, [(3, 4)]),
    ("Softmax", (), {"dim": 1}, [(3, 4)]),
    ("LogSoftmax", (), {"dim": 0}, [(3, 4)]),
    ("Softmin", (), {"dim": 1}, [(3, 4)]),
    ("Softmax2d", (), {}, [IMAGE]),
    ("PReLU", (4,), {}, [IMAGE]),
    ("L1Loss", (), {}, [(3, 4), (3, 4)]),
    ("MSELoss", (), {"reduction": "sum"}, [(3, 4), (3, 4)]),
    ("SmoothL1Loss", (), {"beta": 0.5}, [(3, 4), (3, 4)]),
    ("HuberLoss", (), {"delta": 0.5, "reduction": "none"}, [(3, 4), (3, 4)]),
    ("CosineEmbeddingLoss", (), {"margin": 0.2}, [(3, 4), (3, 4), "sign"]),
    ("MarginRankingLoss", (), {"margin": 0.2}, [(3,), (3,), "sign"]),
    ("HingeEmbeddingLoss", (), {}, [(3,), "sign"]),
    ("SoftMarginLoss", (), {}, [(3,), "sign"]),
    ("TripletMarginLoss", (), {"swap": True}, [(3, 4), (3, 4), (3, 4)]),
    ("CrossEntropyLoss", (), {"label_smoothing": 0.1}, [(3, 4), "class"]),
    ("NLLLoss", (), {"ignore_index": 1}, [(3, 4), "class"]),
    ("MultiMarginLoss", (), {"p": 2}, [(3, 4), "class"]),
    ("BCELoss", (), {}, ["probability", "probability"]),
    ("BCEWithLogitsLoss", (), {}, [(3, 4), "probability"]),
    ("KLDivLoss", (), {"reduction": "batchmean"}, [(3, 4), "probability"]),
    ("PoissonNLLLoss", (), {"full": True}, [(3, 4), "count"]),
    ("GaussianNLLLoss", (), {}, [(3, 4), (3, 4), "probability"]),
    ("MultiLabelSoftMarginLoss", (), {}, [(3, 4), "probability"]),
    ("RNN", (3, 4, 2), {"nonlinearity": "relu", "bidirectional": True}, [(5, 2, 3)]),
    ("LSTM", (3, 4, 2), {"batch_first": True}, [(2, 5, 3)]),
    ("LSTM", (3, 4), {"proj_size": 2, "bidirectional": True}, [(5, 2, 3)]),
    ("GRU", (3, 4, 2), {"bias": False, "bidirectional": True}, [(5, 2, 3)]),
    ("GRU", (3, 4), {}, [(5, 3)]),
    ("RNNCell", (3, 4), {}, [(2, 3)]),
    ("LSTMCell", (3, 4), {}, [(2, 3)]),
    ("GRUCell", (3, 4), {}, [(2, 3)]),
    ("MultiheadAttention", (4, 2), {}, [(5, 2, 4), (3, 2, 4), (3, 2, 4)]),
    ("MultiheadAttention", (4, 2), {"batch_first": True, "kdim": 3, "vdim": 5, "bias": False},
     [(2, 5, 4), (2, 3, 3), (2, 3, 5)]),
    ("TransformerEncoderLayer", (4, 2, 8, 0.0), {}, [(5, 2, 4)]),
    ("TransformerEncoderLayer", (4, 2, 8, 0.0), {"norm_first": True, "batch_first": True,
                                                 "activation": "gelu"}, [(2, 5, 4)]),
]  # fmt: skip


def make_inputs(specs):
    rng = np.random.default_rng(3)
    made = []
    for spec in specs:
        if spec == "sign":
            made.append(np.array([1.0, -1.0, 1.0]))
        elif spec == "class":
            made.append(np.array([2, 0, 1]))
        elif spec == "count":
            made.append(rng.integers(1, 6, (3, 4)).astype(float))
        elif spec == "probability":
            made.append(rng.uniform(0.1, 0.9, (3, 4)))
        else:
            made.append(rng.normal(size=spec))
    return made


def tensors_of(result):
    """The tensors in a result that may be a nested tuple."""
    if isinstance(result, (tuple, list)):
        return [t for part in result for t in tensors_of(part)]
    return [] if result is None else [result]


def both(name, args, options):
    """The layer here and in PyTorch with the same parameters, in float64."""
    mine = getattr(nn, name)(*args, **options).double()
    theirs = getattr(torch.nn, name)(*args, **options).double()
    rng = np.random.default_rng(5)
    with torch.no_grad():
        for p, q in zip(mine.parameters(), theirs.parameters(), strict=True):
            p.array[...] = rng.normal(size=p.shape) * 0.5
            q.copy_(torch.tensor(p.array))
    return mine, theirs


@pytest.mark.parametrize(("name", "args", "options", "inputs"), LAYERS)
@pytest.mark.parametrize("training", [True, False])
def test_against_pytorch(name, args, options, inputs, training):
    mine, theirs = both(name, args, options)
    mine.train(training)
    theirs.train(training)
    arrays = make_inputs(inputs)
    xs = [cr.tensor(a, requires_grad=i == 0) for i, a in enumerate(arrays)]
    ys = [torch.tensor(a, requires_grad=i == 0) for i, a in enumerate(arrays)]
    for _ in range(2):  # twice: running statistics
        outs, expected = tensors_of(mine(*xs)), tensors_of(theirs(*ys))
    weights = np.random.default_rng(7)
    total, wanted = 0, 0
    for out, right in zip(outs, expected, strict=True):
        np.testing.assert_allclose(out.array, right.detach().numpy(), rtol=1e-9, atol=1e-11)
        w = weights.normal(size=out.shape)
        total, wanted = total + (out * cr.tensor(w)).sum(), wanted + (right * torch.tensor(w)).sum()
    total.backward()
    wanted.backward()
    # PyTorch's hard sigmoid differentiates with 1/6 rounded to float32.
    accuracy = {"rtol": 1e-7 if name == "Hardsigmoid" else 1e-8, "atol": 1e-10}
    pairs = [(xs[0], ys[0]), *zip(mine.parameters(), theirs.parameters(), strict=True)]
    for p, q in pairs:
        np.testing.assert_allclose(p.grad.array, q.grad.numpy(), **accuracy)
    for b, c in zip(mine.buffers(), theirs.buffers(), strict=True):
        np.testing.assert_allclose(b.array, c.numpy(), rtol=1e-12)


@pytest.mark.parametrize(("name", "args", "options", "inputs"), LAYERS)
def test_looks_like_pytorchs(name, args, options, inputs):
    mine, theirs = getattr(nn, name)(*args, **options), getattr(torch.nn, name)(*args, **options)
    assert repr(mine) == repr(theirs).replace("NonDynamicallyQuantizableLinear", "Linear")
    saved = [
        {k: (tuple(v.shape), str(v.dtype).split(".")[1]) for k, v in m.state_dict().items()}
        for m in (mine, theirs)
    ]
    assert saved[0] == saved[1]
    for p, q in zip(mine.parameters(), theirs.parameters(), strict=True):
        # the same distribution: constant or not, and within about the same bounds
        spread, expected = p.array.std(), q.detach().numpy().std()
        assert (spread == 0) == (expected == 0)
        if p.array.size > 20 and expected > 0:
            assert 0.4 < spread / expected < 2.5


@pytest.mark.parametrize(
    ("name", "args", "options"),
    [
        ("Embedding", (7, 3), {"padding_idx": -1}),
        ("Embedding", (7, 3), {"max_norm": 1.0, "scale_grad_by_freq": True}),
        ("EmbeddingBag", (7, 3), {"mode": "sum"}),
        ("EmbeddingBag", (7, 3), {"mode": "max"}),
    ],
)
def test_embeddings(name, args, options):
    mine, theirs = both(name, args, options)
    assert repr(mine) == repr(theirs)
    index = np.array([[1, 2, 1], [6, 0, 5]])
    out, right = mine(cr.tensor(index)), theirs(torch.tensor(index))
    np.testing.assert_allclose(out.array, right.detach().numpy(), rtol=1e-12)
    (out * out).sum().backward()
    (right * right).sum().backward()
    np.testing.assert_allclose(mine.weight.grad.array, theirs.weight.grad.numpy(), rtol=1e-10)
    table = nn.Embedding.from_pretrained(cr.ones(3, 2))
    assert not table.weight.requires_grad
    with pytest.raises(AssertionError, match="Padding_idx"):
        nn.Embedding(3, 2, padding_idx=3)


def test_initial_values_are_pytorchs_schemes():
    cr.manual_seed(0)
    layer = nn.Linear(400, 300)
    bound = 1 / np.sqrt(400)
    assert abs(layer.weight.array).max() <= bound
    np.testing.assert_allclose(layer.weight.array.std(), bound / np.sqrt(3), rtol=0.02)
    assert abs(layer.bias.array).max() <= bound
    conv = nn.Conv2d(16, 64, 5)
    bound = 1 / np.sqrt(16 * 25)
    np.testing.assert_allclose(conv.weight.array.std(), bound / np.sqrt(3), rtol=0.02)
    np.testing.assert_allclose(nn.Embedding(200, 100).weight.array.std(), 1, rtol=0.02)
    cr.manual_seed(0)
    np.testing.assert_array_equal(nn.Linear(400, 300).weight.array, layer.weight.array)


SHAPE = (60, 20, 3, 3)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("uniform_", {"a": -2.0, "b": 1.0}),
        ("normal_", {"mean": 1.0, "std": 0.5}),
        ("trunc_normal_", {"std": 2.0, "a": -1.0, "b": 3.0}),
        ("xavier_uniform_", {"gain": 2.0}),
        ("xavier_normal_", {}),
        ("kaiming_uniform_", {"a": 0.3}),
        ("kaiming_normal_", {"mode": "fan_out", "nonlinearity": "relu"}),
        ("orthogonal_", {"gain": 3.0}),
        ("constant_", {"val": 0.5}),
        ("ones_", {}),
        ("zeros_", {}),
        ("dirac_", {"groups": 2}),
    ],
)
def test_initialisers_have_pytorchs_moments(name, options):
    cr.manual_seed(1)
    torch.manual_seed(1)
    w = cr.empty(SHAPE, requires_grad=True)
    assert getattr(nn.init, name)(w, **options) is w
    assert w.requires_grad
    assert w.dtype == cr.float32
    right = getattr(torch.nn.init, name)(torch.empty(SHAPE), **options).numpy()
    np.testing.assert_allclose(w.array.mean(), right.mean(), atol=0.06)
    np.testing.assert_allclose(w.array.std(), right.std(), rtol=0.05, atol=1e-9)


def test_initialisers_of_matrices():
    np.testing.assert_array_equal(nn.init.eye_(cr.empty(2, 3)).array, np.eye(2, 3))
    sparse = nn.init.sparse_(cr.empty(10, 4), sparsity=0.35)
    np.testing.assert_array_equal((sparse.array == 0).sum(0), 4)
    for shape in ((3, 5), (5, 3)):
        q = nn.init.orthogonal_(cr.empty(shape, dtype=cr.float64)).array
        small = q @ q.T if shape[0] < shape[1] else q.T @ q
        np.testing.assert_allclose(small, np.eye(3), atol=1e-12)
    for name in ("tanh", "relu", "selu", "linear", "sigmoid", "leaky_relu"):
        gain = torch.nn.init.calculate_gain(name)
        assert nn.init.calculate_gain(name) == pytest.approx(gain)
    with pytest.raises(ValueError, match="Unsupported nonlinearity"):
        nn.init.calculate_gain("sine")
    with pytest.raises(ValueError, match="fewer than 2 dimensions"):
        nn.init.xavier_uniform_(cr.empty(3))
    with pytest.raises(ValueError, match="not supported"):
        nn.init.kaiming_uniform_(cr.empty(3, 3), mode="fan")


def test_batch_norm_uses_what_it_saw():
    layer = nn.BatchNorm1d(2)
    x = cr.tensor([[0.0, 10.0], [2.0, 30.0]])
    for _ in range(200):
        layer(x)
    np.testing.assert_allclose(layer.running_mean.array, [1, 20], rtol=1e-3)
    assert layer.num_batches_tracked.item() == 200
    layer.eval()
    np.testing.assert_allclose(layer(cr.tensor([[1.0, 20.0]])).detach().array, 0, atol=1e-3)
    with pytest.raises(ValueError, match="expected 2D or 3D input"):
        layer(cr.zeros(2))


def test_pooling_is_undone():
    x = np.random.default_rng(0).normal(size=(1, 2, 6, 4))
    found = []
    for library, tensor in ((cr, cr.tensor), (torch, torch.tensor)):
        y, at = library.nn.MaxPool2d(2, return_indices=True)(tensor(x))
        found.append(library.nn.MaxUnpool2d(2)(y, at, output_size=(6, 4)).numpy())
    np.testing.assert_array_equal(*found)


def test_dropout_only_in_training():
    cr.manual_seed(0)
    layer = nn.Dropout(0.25)
    x = cr.ones(10000)
    kept = layer(x).array
    assert set(np.unique(kept).round(4)) == {0.0, np.float32(4 / 3).round(4)}
    assert abs((kept == 0).mean() - 0.25) < 0.02
    assert layer.eval()(x) is x
    with pytest.raises(ValueError, match="dropout probability"):
        nn.Dropout(1.5)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: nn.Conv2d(3, 4, 3, groups=2), "in_channels must be divisible by groups"),
        (lambda: nn.Conv2d(4, 3, 3, groups=2), "out_channels must be divisible by groups"),
        (lambda: nn.Conv2d(4, 4, 3, groups=0), "groups must be a positive integer"),
        (lambda: nn.Conv2d(1, 1, 3, padding="full"), "Invalid padding string"),
        (lambda: nn.Conv2d(1, 1, 3, stride=2, padding="same"), "strided convolutions"),
        (lambda: nn.Conv2d(1, 1, 3, padding_mode="mirror"), "padding_mode must be one of"),
        (lambda: nn.ConvTranspose2d(1, 1, 3, padding_mode="reflect"), 'Only "zeros" padding'),
        (lambda: nn.GroupNorm(3, 4), "must be divisible by num_groups"),
    ],
)
def test_impossible_layers(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_transposed_convolution_of_a_wanted_size():
    mine, theirs = both("ConvTranspose2d", (2, 3, 3), {"stride": 2, "padding": 1})
    x = np.random.default_rng(0).normal(size=(1, 2, 4, 4))
    out = mine(cr.tensor(x), output_size=(8, 7))
    right = theirs(torch.tensor(x), output_size=(8, 7))
    np.testing.assert_allclose(out.detach().array, right.detach().numpy(), rtol=1e-10)
    with pytest.raises(ValueError, match="valid sizes range"):
        mine(cr.tensor(x), output_size=(9, 7))
