"""Convolutions, pooling, attention, images and recurrent layers under every transform."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import func
from tests.transforms import public_checks as checks

F = cr.nn.functional


def uniform(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).uniform(-1, 1, shape)


def apart(*shape):
    """Entries far enough from each other that small moves keep their order."""
    n = int(np.prod(shape))
    return np.random.default_rng(1).permutation(np.arange(n) * 0.7 - n / 3).reshape(shape)


W2 = uniform(2, 2, 2, 2, seed=1)
CASES = {
    "conv1d": (F.conv1d, uniform(2, 2, 5), uniform(3, 2, 3), uniform(3)),
    "conv1d_single": (lambda x, w: F.conv1d(x, w, padding="same"), uniform(2, 5), uniform(3, 2, 3)),
    "conv1d_groups": (
        lambda x, w, b: F.conv1d(x, w, b, stride=2, padding=1, groups=2),
        uniform(1, 4, 5), uniform(6, 2, 2), uniform(6),
    ),
    "conv2d": (
        lambda x, w, b: F.conv2d(x, w, b, dilation=(1, 2), padding=1),
        uniform(1, 2, 3, 3), W2, uniform(2),
    ),
    "conv2d_depthwise": (
        lambda x, w: F.conv2d(x, w, groups=2), uniform(1, 2, 3, 3), uniform(2, 1, 2, 2)
    ),
    "conv3d": (F.conv3d, uniform(1, 1, 2, 3, 2), uniform(2, 1, 2, 2, 1)),
    "conv_transpose1d": (
        lambda x, w, b: F.conv_transpose1d(x, w, b, stride=2, output_padding=1),
        uniform(2, 2, 3), uniform(2, 3, 2), uniform(3),
    ),
    "conv_transpose2d": (
        lambda x, w, b: F.conv_transpose2d(x, w, b, groups=2),
        uniform(2, 2, 2), uniform(2, 1, 2, 2), uniform(2),
    ),
    "conv_transpose3d": (F.conv_transpose3d, uniform(1, 1, 1, 2, 2), uniform(1, 1, 2, 1, 2)),
    "max_pool1d": (lambda x: F.max_pool1d(x, 2), apart(2, 5)),
    "max_pool1d_dilated": (lambda x: F.max_pool1d(x, 2, 1, dilation=2), apart(1, 2, 5)),
    "max_pool2d": (lambda x: F.max_pool2d(x, 2, padding=1, ceil_mode=True), apart(1, 1, 3, 4)),
    "max_pool2d_overlapping": (lambda x: F.max_pool2d(x, 2, 1), apart(1, 3, 3)),
    "max_pool2d_indices": (
        lambda x: F.max_pool2d(x, 2, return_indices=True), apart(1, 1, 4, 2)
    ),
    "max_pool3d": (lambda x: F.max_pool3d(x, (1, 2, 2)), apart(1, 1, 2, 2, 4)),
    "avg_pool1d": (lambda x: F.avg_pool1d(x, 3, 2, 1, count_include_pad=False), uniform(1, 2, 5)),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 2, ceil_mode=True), uniform(1, 3, 3)),
    "avg_pool2d_divisor": (lambda x: F.avg_pool2d(x, 2, divisor_override=3), uniform(1, 1, 2, 4)),
    "avg_pool3d": (lambda x: F.avg_pool3d(x, 2, 1), uniform(1, 2, 3, 2)),
    "adaptive_avg_pool1d": (lambda x: F.adaptive_avg_pool1d(x, 2), uniform(2, 5)),
    "adaptive_avg_pool2d": (lambda x: F.adaptive_avg_pool2d(x, (2, None)), uniform(1, 3, 2)),
    "adaptive_avg_pool2d_even": (lambda x: F.adaptive_avg_pool2d(x, 2), uniform(1, 1, 4, 2)),
    "adaptive_avg_pool2d_one": (lambda x: F.adaptive_avg_pool2d(x, 1), uniform(1, 1, 3, 2)),
    "adaptive_avg_pool3d": (lambda x: F.adaptive_avg_pool3d(x, 2), uniform(1, 3, 2, 3)),
    "adaptive_max_pool1d": (lambda x: F.adaptive_max_pool1d(x, 2), apart(1, 2, 5)),
    "adaptive_max_pool2d": (
        lambda x: F.adaptive_max_pool2d(x, 2, return_indices=True), apart(1, 3, 3)
    ),
    "adaptive_max_pool3d": (lambda x: F.adaptive_max_pool3d(x, (1, 2, 1)), apart(1, 2, 3, 2)),
    "lp_pool1d": (lambda x: F.lp_pool1d(x, 2, 2), uniform(2, 4) + 2),
    "lp_pool2d": (lambda x: F.lp_pool2d(x, 3.0, 2), uniform(1, 2, 4) + 2),
    "lp_pool3d": (lambda x: F.lp_pool3d(x, 2, (2, 2, 1)), uniform(1, 2, 2, 2) + 2),
    "max_unpool1d": (
        lambda x: F.max_unpool1d(*F.max_pool1d(x, 2, return_indices=True), 2), apart(2, 4)
    ),
    "max_unpool2d": (
        lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2), apart(1, 1, 2, 4)
    ),
    "max_unpool1d_indices": (
        lambda x, i: F.max_unpool1d(x, i, 2), uniform(1, 3), np.array([[0, 2, 5]])
    ),
    "attention": (
        F.scaled_dot_product_attention, uniform(2, 3), uniform(4, 3), uniform(4, 2)
    ),
    "attention_causal": (
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.7),
        uniform(2, 3, 2), uniform(2, 3, 2, seed=1), uniform(2, 3, 2, seed=2),
    ),
    "attention_bias": (
        F.scaled_dot_product_attention, uniform(2, 3), uniform(3, 3), uniform(3, 2), uniform(2, 3),
    ),
    "attention_mask": (
        F.scaled_dot_product_attention, uniform(2, 3), uniform(3, 3), uniform(3, 2),
        np.array([[True, False, True], [False, False, False]]),
    ),
    "attention_gqa": (
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, enable_gqa=True),
        uniform(2, 2, 2), uniform(1, 3, 2), uniform(1, 3, 2, seed=1),
    ),
    "bilinear": (F.bilinear, uniform(3), uniform(2), uniform(2, 3, 2), uniform(2)),
    "unfold": (lambda x: F.unfold(x, 2, padding=1, stride=2), uniform(1, 2, 3, 3)),
    "unfold_single": (lambda x: F.unfold(x, (1, 2)), uniform(1, 3, 3)),
    "fold": (lambda x: F.fold(x, (3, 3), 2), uniform(2, 4, 4)),
    "fold_single": (lambda x: F.fold(x, (2, 3), 2), uniform(4, 2)),
    "interpolate_nearest": (lambda x: F.interpolate(x, scale_factor=1.5), uniform(1, 2, 4)),
    "interpolate_exact": (
        lambda x: F.interpolate(x, size=3, mode="nearest-exact"), uniform(1, 1, 5)
    ),
    "interpolate_bilinear": (
        lambda x: F.interpolate(x, size=(3, 4), mode="bilinear", align_corners=True),
        uniform(1, 1, 2, 3),
    ),
    "interpolate_bicubic": (
        lambda x: F.interpolate(x, size=(2, 3), mode="bicubic"), uniform(1, 1, 2, 2)
    ),
    "interpolate_trilinear": (
        lambda x: F.interpolate(x, size=2, mode="trilinear"), uniform(1, 1, 1, 3, 2)
    ),
    "interpolate_area": (lambda x: F.interpolate(x, size=2, mode="area"), uniform(1, 2, 3)),
    "upsample": (lambda x: F.upsample(x, scale_factor=2), uniform(1, 1, 2)),
    "pixel_shuffle": (lambda x: F.pixel_shuffle(x, 2), uniform(4, 1, 2)),
    "pixel_unshuffle": (lambda x: F.pixel_unshuffle(x, 2), uniform(1, 1, 2, 4)),
    "channel_shuffle": (lambda x: F.channel_shuffle(x, 2), uniform(1, 4, 2)),
    "affine_grid": (
        lambda t: F.affine_grid(t, (1, 1, 2, 3), align_corners=False), uniform(1, 2, 3)
    ),
    "affine_grid_3d": (
        lambda t: F.affine_grid(t, (1, 1, 2, 1, 2), align_corners=True), uniform(1, 3, 4)
    ),
    "grid_sample": (
        lambda x, g: F.grid_sample(x, g, align_corners=False),
        uniform(1, 2, 3, 3), 0.31 + 0.01 * uniform(1, 2, 2, 2),
    ),
    "grid_sample_bicubic": (
        lambda x, g: F.grid_sample(x, g, mode="bicubic", align_corners=False),
        uniform(1, 2, 3, 3), 0.31 + 0.01 * uniform(1, 2, 2, 2),
    ),
    "fractional_max_pool2d": (
        lambda x, u: F.fractional_max_pool2d(x, 2, output_size=(3, 2), _random_samples=u),
        uniform(1, 2, 5, 4), 0.45 + 0.01 * uniform(1, 2, 2),
    ),
    "linear_cross_entropy": (
        lambda x, w, b: F.linear_cross_entropy(x, w, cr.tensor([2, 0]), linear_bias=b),
        uniform(2, 3), uniform(4, 3), uniform(4),
    ),
    "linear_cross_entropy_rows": (
        lambda x, w: F.linear_cross_entropy(x, w, cr.tensor([[2, 0], [1, 3]]), reduction="none"),
        uniform(2, 3), uniform(4, 2, 3),
    ),
    "grid_sample_border": (
        lambda x, g: F.grid_sample(x, g, padding_mode="border", align_corners=True),
        uniform(1, 1, 3, 4), 0.31 + 0.01 * uniform(1, 2, 1, 2),
    ),
    "grid_sample_reflection": (
        lambda x, g: F.grid_sample(x, g, padding_mode="reflection", align_corners=False),
        uniform(1, 1, 3, 3), 1.27 + 0.01 * uniform(1, 2, 1, 2),
    ),
    "grid_sample_nearest": (
        lambda x, g: F.grid_sample(x, g, mode="nearest", align_corners=False),
        uniform(1, 1, 3, 3), 0.1 + 0.01 * uniform(1, 2, 1, 2),
    ),
    "grid_sample_3d": (
        lambda x, g: F.grid_sample(x, g, align_corners=False),
        uniform(1, 1, 2, 2, 3), 0.13 + 0.01 * uniform(1, 1, 2, 1, 3),
    ),
    "pad_reflect": (lambda x: F.pad(x, (1, 1), mode="reflect"), uniform(1, 2, 3)),
    "pad_circular": (lambda x: F.pad(x, (1, 2), mode="circular"), uniform(1, 2, 3)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_functions(name):
    checks.check(*CASES[name])


def module_function(module, name):
    """A module of float64 as a function of one of its parameters and its input."""
    module = module.double().requires_grad_(False)
    own = dict(module.named_parameters())

    def f(p, *xs):
        old = own[name]
        holder, leaf = module, name
        while "." in leaf:
            first, leaf = leaf.split(".", 1)
            holder = getattr(holder, first)
        del holder._parameters[leaf]
        object.__setattr__(holder, leaf, p)
        try:
            return flat(module(*xs))
        finally:
            object.__delattr__(holder, leaf)
            holder._parameters[leaf] = old

    return f, own[name].numpy()


def flat(y):
    return [z for part in y for z in flat(part)] if isinstance(y, tuple) else [y]


LAYERS = {
    "rnn": (lambda: cr.nn.RNN(2, 3), "weight_hh_l0", uniform(3, 1, 2)),
    "rnn_single": (lambda: cr.nn.RNN(2, 3, nonlinearity="relu"), "bias_ih_l0", uniform(3, 2)),
    "lstm": (lambda: cr.nn.LSTM(2, 3, bidirectional=True), "weight_hh_l0", uniform(2, 1, 2)),
    "lstm_projected": (
        lambda: cr.nn.LSTM(2, 3, batch_first=True, proj_size=2), "weight_hr_l0", uniform(1, 3, 2)
    ),
    "gru": (lambda: cr.nn.GRU(2, 2, num_layers=2), "weight_ih_l1", uniform(2, 1, 2)),
    "rnn_cell": (lambda: cr.nn.RNNCell(2, 3), "weight_ih", uniform(1, 2)),
    "lstm_cell": (lambda: cr.nn.LSTMCell(2, 2), "weight_hh", uniform(1, 2)),
    "gru_cell": (lambda: cr.nn.GRUCell(2, 2), "weight_hh", uniform(2)),
    "attention": (
        lambda: cr.nn.MultiheadAttention(4, 2), "in_proj_weight",
        uniform(2, 1, 4), uniform(3, 1, 4), uniform(3, 1, 4, seed=1),
    ),
    "attention_padded": (
        lambda: cr.nn.MultiheadAttention(4, 2, batch_first=True), "out_proj.weight",
        uniform(1, 2, 4), uniform(1, 3, 4), uniform(1, 3, 4, seed=1),
        np.array([[False, False, True]]),
    ),
    "conv2d": (
        lambda: cr.nn.Conv2d(1, 2, 2), "weight", uniform(1, 1, 3, 3)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name):
    make, parameter, *xs = LAYERS[name]
    cr.manual_seed(0)
    f, p = module_function(make(), parameter)
    checks.check(f, p, *xs)


def test_backward_hooks_of_modules_are_refused():
    """A hook that would silently not run, or see a whole batch, is an error."""
    layer = cr.nn.Linear(2, 1).double()
    handle = layer.register_full_backward_hook(lambda m, gi, go: None)
    per_example = func.vmap(func.grad(lambda x: layer(x).sum()))
    xs = cr.tensor(uniform(3, 2))
    with pytest.raises(RuntimeError, match="vmap: a module with backward hooks was called"):
        per_example(xs)
    handle.remove()
    want = np.broadcast_to(layer.weight.detach().numpy(), (3, 2))
    np.testing.assert_allclose(per_example(xs).detach().numpy(), want)


def test_max_unpool_checks_mapped_indices():
    with pytest.raises(RuntimeError, match="Found an invalid max index: 9"):
        func.vmap(lambda x, i: F.max_unpool1d(x, i, 2))(
            cr.ones(2, 1, 2), cr.tensor([[[0, 2]], [[0, 9]]])
        )
