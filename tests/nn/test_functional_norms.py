"""Normalisation, dropout, lookups and attention against PyTorch."""

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F

from .oracle import TF, compare, compare_errors, compare_float32, normal, torch

INDEX = np.array([[1, 2, 1], [2, 0, 4]])
TABLE = normal(5, 3)


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 5), (4, 3, 2, 5)])
@pytest.mark.parametrize("affine", [False, True])
def test_norms(shape, affine):
    x, w, b = normal(*shape), normal(3), normal(3, seed=1)
    pair = {"weight": w, "bias": b} if affine else {}
    compare("batch_norm", x, None, None, training=True, **pair)
    compare("batch_norm", x, running_mean=w, running_var=np.abs(b) + 0.5, **pair)
    if len(shape) > 2:
        compare("group_norm", x, 3, **pair)
    compare("group_norm", x, 1, **pair)
    if len(shape) > 2:
        compare("instance_norm", x, **pair)
        compare("local_response_norm", x, 2, alpha=0.3, beta=0.6, k=1.5)
        compare("local_response_norm", x, 3)
    last = shape[-1:]
    pair = {"weight": normal(*last), "bias": normal(*last, seed=1)} if affine else {}
    compare("layer_norm", x, last, **pair)
    pair.pop("bias", None)
    compare("rms_norm", x, last, **pair)
    compare("rms_norm", x, last, eps=0.1)


def test_gradients_of_scale_and_shift():
    x, w, b = normal(4, 3, 5), normal(3), normal(3, seed=1)
    compare("batch_norm", x, None, None, w, b, True)
    compare("instance_norm", x, None, None, w, b)
    compare("group_norm", x, 1, w, b)
    compare("layer_norm", x, (3, 5), normal(3, 5), normal(3, 5, seed=1))
    compare_float32("layer_norm", x, (5,), normal(5), normal(5, seed=1))
    compare_float32("batch_norm", x, None, None, w, b, True)


@pytest.mark.parametrize("name", ["batch_norm", "instance_norm"])
@pytest.mark.parametrize("momentum", [0.1, 0.7])
def test_running_statistics(name, momentum):
    x, start = normal(4, 3, 5), (np.zeros(3), np.ones(3))
    ours = [cr.tensor(s) for s in start]
    theirs = [torch.tensor(s) for s in start]
    for _ in range(2):
        getattr(F, name)(cr.tensor(x), *ours, None, None, True, momentum)
        getattr(TF, name)(torch.tensor(x), *theirs, None, None, True, momentum)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy())
        assert a._version == 2
    if name == "batch_norm":
        evaluated = F.batch_norm(cr.tensor(x), *ours)
        expected = TF.batch_norm(torch.tensor(x), *theirs)
        np.testing.assert_allclose(evaluated.numpy(), expected.numpy())


@pytest.mark.parametrize(("name", "args", "kwargs"), [
    ("layer_norm", (normal(3, 4), (5,)), {}),
    ("layer_norm", (normal(3, 4), (4,)), {"weight": normal(3)}),
    ("batch_norm", (normal(1, 4), None, None), {"training": True}),
    ("batch_norm", (normal(2, 4), None, None), {}),
    ("batch_norm", (normal(2, 4), normal(3), normal(3)), {}),
    ("group_norm", (normal(2, 4), 3), {}),
    ("instance_norm", (normal(2, 4, 1),), {}),
    ("dropout", (normal(3), 1.5), {}),
    ("embedding", (np.array([7]), TABLE), {}),
    ("embedding", (np.array([1]), TABLE), {"padding_idx": 5}),
    ("one_hot", (np.array([1, 5]), 3), {}),
    ("one_hot", (np.array([-1, 5]), 3), {}),
    ("one_hot", (np.zeros(0, np.int64),), {}),
    ("embedding_bag", (np.array([1, 2]), TABLE), {}),
])  # fmt: skip
def test_errors(name, args, kwargs):
    compare_errors(name, *args, start=40, **kwargs)


DROPOUTS = [
    ("dropout", (50, 40)), ("dropout1d", (50, 40, 2)), ("dropout2d", (50, 40, 2, 2)),
    ("dropout3d", (50, 40, 2, 2, 1)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "shape"), DROPOUTS)
def test_dropout(name, shape):
    cr.manual_seed(0)
    x = cr.ones(shape, requires_grad=True)
    y = getattr(F, name)(x, 0.25)
    kept = y.detach().numpy()
    np.testing.assert_allclose(np.unique(kept), [0, 4 / 3], rtol=1e-6)
    assert abs((kept == 0).mean() - 0.25) < 0.03
    flat = kept.reshape(*shape[:2], -1)
    assert (flat == flat[..., :1]).all()
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), kept)
    cr.manual_seed(0)
    np.testing.assert_array_equal(getattr(F, name)(x, 0.25).detach().numpy(), kept)
    assert getattr(F, name)(x, 0.25, training=False) is x
    assert not getattr(F, name)(x, 1.0).detach().numpy().any()


def test_dropout_in_place():
    x = cr.ones(100)
    assert F.dropout(x, 0.5, inplace=True) is x
    assert set(x.tolist()) == {0.0, 2.0}


@pytest.mark.parametrize("name", ["alpha_dropout", "feature_alpha_dropout"])
def test_alpha_dropout_keeps_mean_and_variance(name):
    cr.manual_seed(0)
    x = cr.tensor(normal(300, 300))
    y = getattr(F, name)(x, 0.3, training=True).numpy()
    assert abs(y.mean()) < 0.02
    assert abs(y.std() - 1) < 0.02
    assert not getattr(F, name)(x, 1.0, training=True).numpy().any()


@pytest.mark.parametrize("padding_idx", [None, 2, -3])
def test_embedding(padding_idx):
    compare("embedding", INDEX, TABLE, padding_idx=padding_idx)
    compare("embedding", INDEX, TABLE, padding_idx=padding_idx, scale_grad_by_freq=True)
    compare("embedding", np.array(3), TABLE, padding_idx=padding_idx)
    compare("embedding", np.zeros((0, 2), np.int64), TABLE)


def test_embedding_shortens_rows_in_place():
    ours, theirs = cr.tensor(TABLE), torch.tensor(TABLE)
    a = F.embedding(cr.tensor(INDEX), ours, max_norm=1.0)
    b = TF.embedding(torch.tensor(INDEX), theirs, max_norm=1.0)
    np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-6)
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-6)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("padding_idx", [None, 2])
def test_embedding_bag(mode, padding_idx):
    options = {"mode": mode, "padding_idx": padding_idx}
    compare("embedding_bag", INDEX, TABLE, **options)
    compare("embedding_bag", INDEX.ravel(), TABLE, np.array([0, 2, 2]), **options)
    last = np.array([0, 4, 6])
    compare("embedding_bag", INDEX.ravel(), TABLE, last, include_last_offset=True, **options)


def test_embedding_bag_with_factors():
    compare("embedding_bag", INDEX, TABLE, mode="sum", per_sample_weights=normal(2, 3))


def test_one_hot():
    compare("one_hot", INDEX)
    compare("one_hot", INDEX, 7)


@pytest.mark.parametrize("options", [
    {}, {"is_causal": True}, {"scale": 0.3}, {"attn_mask": normal(4, 5)},
    {"attn_mask": normal(4, 5) > 0},
    {"attn_mask": np.array([[1] * 5, [0] * 5, [1] * 5, [0, 1, 1, 0, 1]], bool)},
])  # fmt: skip
def test_attention(options):
    q, k, v = normal(2, 3, 4, 6), normal(2, 3, 5, 6), normal(2, 3, 5, 2)
    compare("scaled_dot_product_attention", q, k, v, tol=1e-7, **options)


def test_attention_with_grouped_heads():
    q, k, v = normal(2, 4, 3, 6), normal(2, 2, 5, 6), normal(2, 2, 5, 2)
    compare("scaled_dot_product_attention", q, k, v, tol=1e-7, enable_gqa=True)


def test_bilinear():
    compare("bilinear", normal(4, 3), normal(4, 2), normal(5, 3, 2), normal(5))
    compare("bilinear", normal(2, 4, 3), normal(2, 4, 2), normal(5, 3, 2))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(0,), (0, 2), (2, 0)])
def test_batch_norm_of_nothing(training, shape):
    x, channels = np.zeros(shape), shape[-1]
    compare("batch_norm", x, np.zeros(channels), np.ones(channels), training=training)
    mean, variance = cr.zeros(channels), cr.ones(channels)
    F.batch_norm(cr.tensor(x), mean, variance, training=training)
    assert mean.tolist() == [0.0] * channels
    assert variance.tolist() == [1.0] * channels
