"""Convolutions and their transposes against PyTorch."""

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F

from .oracle import compare, compare_errors, compare_float32, normal, torch

SIZES = {1: (9,), 2: (8, 7), 3: (5, 6, 4)}
KERNELS = {1: (3,), 2: (3, 2), 3: (2, 3, 2)}
OPTIONS = [
    {},
    {"padding": 1},
    {"stride": 2, "padding": 1},
    {"dilation": 2, "padding": 2},
    {"groups": 2},
    {"groups": 2, "stride": 2, "padding": 1, "dilation": 1},
]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("channels", [2, 6])
def test_conv(n, channels, options):
    x = normal(2, channels, *SIZES[n])
    w = normal(4, channels // options.get("groups", 1), *KERNELS[n])
    compare(f"conv{n}d", x, w, normal(4), **options)
    compare(f"conv{n}d", x[0], w, **options)


@pytest.mark.parametrize("n", [1, 2])
def test_single_precision(n):
    x, w = normal(2, 3, *SIZES[n]), normal(4, 3, *KERNELS[n])
    compare_float32(f"conv{n}d", x, w, normal(4), padding=1)
    compare_float32(f"conv_transpose{n}d", x, normal(3, 4, *KERNELS[n]), normal(4), stride=2)


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("padding", ["same", "valid", (2, 1)])
@pytest.mark.parametrize("dilation", [1, (2, 3)])
def test_padding(padding, dilation):
    compare("conv2d", normal(2, 3, 8, 7), normal(4, 3, 3, 2), padding=padding, dilation=dilation)


@pytest.mark.parametrize("options", [
    {}, {"padding": 1}, {"stride": 2}, {"stride": 3, "padding": 1, "output_padding": 2},
    {"dilation": 2, "padding": 1}, {"dilation": 3, "output_padding": 2, "padding": 1},
    {"groups": 3, "stride": 2, "padding": 2, "output_padding": 1},
])  # fmt: skip
@pytest.mark.parametrize("n", [1, 2, 3])
def test_conv_transpose(n, options):
    w = normal(3, 2, *KERNELS[n])
    bias = normal(2 * options.get("groups", 1))
    compare(f"conv_transpose{n}d", normal(2, 3, *SIZES[n]), w, bias, **options)


def test_depthwise_and_pointwise():
    compare("conv2d", normal(2, 4, 6, 6), normal(8, 1, 3, 3), groups=4, padding=1)
    compare("conv2d", normal(2, 4, 6, 6), normal(8, 4, 1, 1), normal(8))


def test_complex():
    x = normal(1, 2, 6) + 1j * normal(1, 2, 6, seed=1)
    w = normal(3, 2, 3) + 1j * normal(3, 2, 3, seed=1)
    xs = [cr.tensor(a, requires_grad=True) for a in (x, w)]
    ts = [torch.tensor(a, requires_grad=True) for a in (x, w)]
    for library, leaves, f in ((cr, xs, F), (torch, ts, torch.nn.functional)):
        y = f.conv1d(*leaves)
        (y * y.conj()).real.sum().backward()
        assert library is not None
    for a, b in zip(xs, ts, strict=True):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy())


def test_empty_batch():
    compare("conv2d", np.zeros((0, 3, 5, 5)), normal(2, 3, 3, 3), normal(2))


def test_second_order():
    """The derivative of the gradient's norm agrees with PyTorch's."""
    arrays = [normal(2, 2, 5, 5), normal(3, 2, 3, 3), normal(3)]
    found = []
    for library, f in ((cr, F), (torch, torch.nn.functional)):
        leaves = [library.tensor(a).requires_grad_() for a in arrays]
        y = f.conv2d(*leaves, stride=2, padding=1)
        grads = library.autograd.grad((y**3).sum(), leaves, create_graph=True)
        total = sum((g**2).sum() for g in grads)
        found.append([g.numpy() for g in library.autograd.grad(total, leaves)])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)


X, W = normal(1, 3, 5, 5), normal(2, 3, 3, 3)


@pytest.mark.parametrize(("args", "kwargs"), [
    ((normal(5), W), {}),
    ((normal(1, 4, 5, 5), W), {}),
    ((normal(1, 3, 2, 2), W), {}),
    ((X, W, normal(3)), {}),
    ((X, W), {"stride": 0}),
    ((X, W), {"padding": -1}),
    ((X, W), {"padding": (1, 1, 1)}),
    ((X, W), {"stride": (1, 1, 1)}),
    ((X, W), {"padding": "foo"}),
    ((X, W), {"padding": "same", "stride": 2}),
    ((normal(1, 4, 5, 5), normal(1, 2, 3, 3)), {"groups": 2}),
    ((normal(1, 4, 5, 5), normal(3, 2, 3, 3)), {"groups": 2}),
    ((X, W), {"groups": 0}),
])  # fmt: skip
def test_errors(args, kwargs):
    compare_errors("conv2d", *args, start=60, **kwargs)


def test_errors_of_the_transpose():
    compare_errors("conv_transpose2d", normal(1, 4, 5, 5), normal(3, 2, 3, 3), start=100)
    compare_errors("conv_transpose2d", X, normal(3, 2, 3, 3), normal(3), start=100)
    compare_errors("conv_transpose2d", X, normal(3, 2, 3, 3), output_padding=1)


def test_dtypes_must_agree():
    with pytest.raises(RuntimeError, match=r"Input type \(double\) and weight type \(float\)"):
        F.conv2d(cr.tensor(X), cr.tensor(W).float())
    with pytest.raises(TypeError, match="must be Tensor, not list"):
        F.conv2d([1.0], cr.tensor(W))


def test_results_are_contiguous_and_top_level_names_exist():
    y = cr.conv2d(cr.tensor(X), cr.tensor(W))
    assert y.is_contiguous()
    assert y.view(1, -1).shape == (1, 18)
    turned = cr.conv_transpose2d(y, cr.ones(2, 1, 2, 2).double(), stride=2, padding=1)
    assert turned.is_contiguous()


def test_many_samples_go_through_in_blocks():
    x, w = normal(70, 8, 20, 20), normal(4, 8, 3, 3)
    compare("conv2d", x, w, normal(4), padding=1)
    compare("conv2d", normal(70, 2, 40, 40), normal(4, 1, 3, 3), groups=2)


def test_linear():
    compare("linear", normal(4, 3), normal(2, 3), normal(2))
    compare("linear", normal(5, 4, 3), normal(2, 3))
    compare("linear", normal(3), normal(2, 3), normal(2))
    compare_errors("linear", normal(3, 4), normal(2, 3))
