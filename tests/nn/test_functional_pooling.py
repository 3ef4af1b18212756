"""Pooling against PyTorch over kernels, strides, padding, dilation and ceil_mode."""

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F

from .oracle import TF, compare, compare_errors, compare_float32, normal, torch

SIZES = {1: (9,), 2: (8, 7), 3: (5, 6, 4)}
MAX = [
    {"kernel_size": 2},
    {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": 2, "stride": 1, "dilation": 2},
    {"kernel_size": 3, "stride": 2, "ceil_mode": True},
    {"kernel_size": 2, "stride": 3, "padding": 1, "ceil_mode": True},
]
AVG = [
    {"kernel_size": 2},
    {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False},
    {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
    {"kernel_size": 2, "ceil_mode": True, "count_include_pad": False},
]


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("options", MAX)
@pytest.mark.parametrize("return_indices", [False, True])
def test_max_pool(n, options, return_indices):
    x = normal(2, 3, *SIZES[n])
    compare(f"max_pool{n}d", x, return_indices=return_indices, **options)
    compare(f"max_pool{n}d", x[0], return_indices=return_indices, **options)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("options", AVG)
def test_avg_pool(n, options):
    x = normal(2, 3, *SIZES[n])
    compare(f"avg_pool{n}d", x, **options)
    compare(f"avg_pool{n}d", x[0], **options)
    if n > 1:
        compare(f"avg_pool{n}d", x, divisor_override=5, **options)


def test_kernels_that_differ_by_dimension():
    x = normal(2, 3, 8, 7)
    compare("max_pool2d", x, (3, 2), (2, 1), (1, 0), (1, 2))
    compare("avg_pool2d", x, (3, 2), (2, 1), (1, 0))
    compare_float32("max_pool2d", x, 2)
    compare_float32("avg_pool2d", x, 2)


def test_ties_go_to_the_first():
    compare("max_pool2d", np.zeros((1, 1, 4, 4)), 2, return_indices=True)
    compare("max_pool2d", np.zeros((1, 1, 4, 4)), 3, 1, 1, return_indices=True)


def test_nan_and_infinities():
    x = normal(1, 1, 4, 4)
    x[0, 0, 1, 1], x[0, 0, 2, 3], x[0, 0, 3, 0] = np.nan, np.inf, -np.inf
    ours, theirs = F.max_pool2d(cr.tensor(x), 2), TF.max_pool2d(torch.tensor(x), 2)
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    y = cr.tensor(x, requires_grad=True)
    g = np.array([[[[1.0, np.inf], [1.0, 1.0]]]])
    F.max_pool2d(y, 2).backward(cr.tensor(g))
    assert np.isposinf(y.grad.numpy()).sum() == 1
    assert (y.grad.numpy()[~np.isinf(y.grad.numpy())] >= 0).all()


@pytest.mark.parametrize("kind", ["avg", "max"])
@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_adaptive(kind, n, size):
    options = {"return_indices": True} if kind == "max" else {}
    compare(f"adaptive_{kind}_pool{n}d", normal(2, 3, *SIZES[n]), size, **options)
    compare(f"adaptive_{kind}_pool{n}d", normal(3, *SIZES[n]), size, **options)


def test_adaptive_sizes():
    for kind in ("avg", "max"):
        compare(f"adaptive_{kind}_pool2d", normal(2, 3, 8, 7), (None, 3))
        compare(f"adaptive_{kind}_pool2d", normal(2, 3, 8, 7), (4, 7))
        compare(f"adaptive_{kind}_pool2d", normal(2, 3, 2, 3), (5, 4))


@pytest.mark.parametrize("n", [1, 2])
def test_lp_pool(n):
    x = np.abs(normal(2, 3, *SIZES[n]))
    compare(f"lp_pool{n}d", x, 2.0, 2)
    compare(f"lp_pool{n}d", x, 3.0, 3, stride=2, ceil_mode=True)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_max_unpool(n):
    x = torch.tensor(normal(2, 3, *(6, 4, 4)[:n]))
    y, i = getattr(TF, f"max_pool{n}d")(x, 2, return_indices=True)
    compare(f"max_unpool{n}d", y.numpy(), i.numpy(), 2)
    compare(f"max_unpool{n}d", y.numpy(), i.numpy(), 2, output_size=tuple(x.shape))


@pytest.mark.parametrize(("name", "args", "kwargs"), [
    ("max_pool2d", (normal(1, 3, 5, 5), 2), {"padding": 2}),
    ("max_pool2d", (normal(1, 3, 5, 5), 7), {}),
    ("max_pool2d", (normal(1, 3, 5, 5), 2), {"stride": 0}),
    ("max_pool2d", (normal(1, 3, 5, 5), (2, 2, 2)), {}),
    ("avg_pool2d", (normal(1, 3, 5, 5), 7), {}),
    ("avg_pool2d", (normal(1, 3, 5, 5), 2), {"padding": 2}),
    ("avg_pool2d", (normal(1, 3, 5, 5), 2), {"divisor_override": 0}),
    ("adaptive_avg_pool2d", (normal(3, 3), 2), {}),
])  # fmt: skip
def test_errors(name, args, kwargs):
    compare_errors(name, *args, start=60, **kwargs)


def test_second_order():
    x = cr.tensor(normal(1, 2, 4, 4), requires_grad=True)
    y = torch.tensor(normal(1, 2, 4, 4), requires_grad=True)
    found = []
    for library, f, leaf in ((cr, F, x), (torch, TF, y)):
        out = (f.max_pool2d(leaf, 3, 1) ** 3).sum() + (f.avg_pool2d(leaf, 2) ** 3).sum()
        (g,) = library.autograd.grad(out, leaf, create_graph=True)
        found.append(library.autograd.grad((g**2).sum(), leaf)[0].numpy())
    np.testing.assert_allclose(*found)


@pytest.mark.parametrize("p", [1, 1.5, 2, 3])
def test_lp_pool_of_negative_entries(p):
    compare("lp_pool1d", np.array([[-1.0, 2, -3, 4, -5, -6]]), p, 2)


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("size", [1, 2, (4, 3, 2)])
def test_fractional_max_pool(n, size):
    x = normal(2, 3, 7, 6, 5)[..., 0] if n == 2 else normal(2, 3, 7, 6, 5)
    size = size if isinstance(size, int) else size[:n]
    samples = np.random.default_rng(0).random((2, 3, n))
    name = f"fractional_max_pool{n}d"
    options = {"output_size": size, "return_indices": True}
    for images, u in ((x, samples), (x[0], samples[:1])):
        found = [
            getattr(lib, name)(made(images), 2, _random_samples=made(u), **options)
            for lib, made in ((TF, torch.tensor), (F, cr.tensor))
        ]
        for a, b in zip(*found, strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_fractional_max_pool_draws_its_windows():
    cr.manual_seed(0)
    x = cr.tensor(normal(1, 50, 9, 9))
    pooled, places = F.fractional_max_pool2d(x, 2, output_ratio=0.5, return_indices=True)
    assert pooled.shape == (1, 50, 4, 4)
    assert len({tuple(p.reshape(-1).tolist()) for p in places[0] // 9 // 2}) > 10
    np.testing.assert_array_equal(x.flatten(2).gather(2, places.flatten(2)), pooled.flatten(2))


def test_fractional_max_pool_refuses():
    x = cr.ones(1, 1, 4, 4)
    with pytest.raises(ValueError, match="requires specifying either an output_size"):
        F.fractional_max_pool2d(x, 2)
    with pytest.raises(RuntimeError, match="pool height 3 too large relative to input height 4"):
        F.fractional_max_pool2d(x, 3, output_size=3)
    with pytest.raises(RuntimeError, match="_random_samples"):
        F.fractional_max_pool2d(x, 2, 2, _random_samples=cr.ones(1, 1, 3))
    with pytest.raises(NotImplementedError, match="complex"):
        F.fractional_max_pool2d(x + 0j, 2, 2)
