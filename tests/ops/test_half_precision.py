"""Results of bfloat16 and of integers have the dtypes that PyTorch's have."""

import numpy as np
import pytest

import chainrule as cr

torch = pytest.importorskip("torch")
pytest.importorskip("ml_dtypes")

RNG = np.random.default_rng(0)
MATRIX, ROW = RNG.uniform(0.5, 1, (3, 3)), RNG.uniform(0.5, 1, 3)
BATCH, IMAGE = RNG.uniform(0.5, 1, (2, 3, 3)), RNG.uniform(0.5, 1, (1, 2, 5))
KERNEL = RNG.uniform(0.5, 1, (2, 2, 3))

ACTIVATIONS = {
    "elu": (), "selu": (), "celu": (0.7,), "gelu": (), "hardtanh": (-0.6, 0.6),
    "leaky_relu": (0.1,), "softplus": (2.0,), "softshrink": (0.3,), "hardshrink": (0.3,),
    "threshold": (0.4, 1.5), "relu6": (), "hardswish": (), "hardsigmoid": (), "silu": (),
    "mish": (), "logsigmoid": (), "softsign": (), "tanhshrink": (), "rrelu": (),
}  # fmt: skip
PRODUCTS = {
    "bmm": lambda l, F: l.bmm(of(l, BATCH), of(l, BATCH)),
    "baddbmm": lambda l, F: l.baddbmm(of(l, BATCH), of(l, BATCH), of(l, BATCH)),
    "matmul": lambda l, F: l.matmul(of(l, BATCH), of(l, MATRIX)),
    "einsum": lambda l, F: l.einsum("bij,bkj->bik", of(l, BATCH), of(l, BATCH)),
    "outer by einsum": lambda l, F: l.einsum("i,j->ji", of(l, ROW), of(l, ROW)),
    "trace": lambda l, F: l.trace(of(l, MATRIX)),
    "attention": lambda l, F: F.scaled_dot_product_attention(*[of(l, BATCH)] * 3),
    "conv_transpose": lambda l, F: F.conv_transpose1d(of(l, IMAGE), of(l, KERNEL), stride=2),
    "cross_entropy": lambda l, F: F.cross_entropy(of(l, MATRIX), l.tensor([0, 1, 2])),
    "huber_loss": lambda l, F: F.huber_loss(of(l, MATRIX), of(l, MATRIX) * 2),
    "smooth_l1_loss": lambda l, F: F.smooth_l1_loss(of(l, MATRIX), of(l, MATRIX) * 2),
    "layer_norm": lambda l, F: F.layer_norm(of(l, MATRIX), (3,)),
    "rms_norm": lambda l, F: F.rms_norm(of(l, MATRIX), (3,)),
    "tanh approximation": lambda l, F: F.gelu(of(l, MATRIX), approximate="tanh"),
    "sinc": lambda l, F: l.sinc(of(l, ROW)),
}


def of(lib, array):
    return lib.tensor(array.tolist()).to(lib.bfloat16)


def same(ours, theirs):
    assert str(ours.dtype).split(".")[1] == str(theirs.dtype).split(".")[1]
    found, expected = ours.double().tolist(), theirs.double().tolist()
    np.testing.assert_allclose(found, expected, rtol=2e-2, atol=1e-2)  # 8 bits


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_of_bfloat16_and_their_gradients(name):
    results = []
    for lib in (cr, torch):
        x = lib.tensor([-2.0, -0.5, 0.5, 3.0]).to(lib.bfloat16).requires_grad_()
        y = getattr(lib.nn.functional, name)(x, *ACTIVATIONS[name])
        y.sum().backward()
        results.append((y.detach(), x.grad))
    for ours, theirs in zip(*results, strict=True):
        same(ours, theirs)


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_and_losses_of_bfloat16(name):
    ours, theirs = (PRODUCTS[name](lib, lib.nn.functional) for lib in (cr, torch))
    same(ours, theirs)


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "bool", "bfloat16", "float32"])
def test_heaviside(dtype):
    results = []
    for lib in (cr, torch):
        x, at_zero = (lib.tensor(v).to(getattr(lib, dtype)) for v in ([0, 1, 2], [1, 1, 0]))
        results.append(lib.heaviside(x, at_zero))
    same(*results)


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8"])
@pytest.mark.parametrize(
    ("name", "args"),
    [("hardtanh", (0.0, 2.0)), ("hardtanh", (1, 2)), ("relu6", ()), ("threshold", (1.0, 7.0))],
)
def test_integers_limited_to_an_interval_stay_integers(name, args, dtype):
    results = []
    for lib in (cr, torch):
        x = lib.tensor([0, 1, 2, 9]).to(getattr(lib, dtype))
        results.append(getattr(lib.nn.functional, name)(x, *args))
    same(*results)
