"""Fourier transforms agree with PyTorch in values, gradients and errors."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.autograd.reverse import grad
from chainrule.core.tensor import set_requires_grad, wrap

torch = pytest.importorskip("torch")
NORMS = [None, "backward", "forward", "ortho"]
REAL_ONLY = ("rfft", "ihfft")


def data(name, *shape):
    rng = np.random.default_rng(len(shape))
    a = rng.standard_normal(shape)
    return a if name.startswith(REAL_ONLY) else a + 1j * rng.standard_normal(shape)


def agrees(name, a, *args, **options):
    x = wrap(np.array(a))
    set_requires_grad(x, True)
    t = torch.tensor(a, requires_grad=True)
    y, z = getattr(cr.fft, name)(x, *args, **options), getattr(torch.fft, name)(t, *args, **options)
    expected = z.detach().resolve_conj().numpy()
    assert y.array.dtype == expected.dtype
    np.testing.assert_allclose(y.array, expected, atol=1e-12)
    g = np.random.default_rng(1).standard_normal(expected.shape).astype(expected.dtype)
    g = g * (1 - 2j) if np.iscomplexobj(g) else g
    (got,) = grad(y, x, wrap(g))
    (wanted,) = torch.autograd.grad(z, t, torch.tensor(g))
    np.testing.assert_allclose(got.array, wanted.resolve_conj().numpy(), atol=1e-12)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("n", [None, 3, 4, 9])
@pytest.mark.parametrize("name", ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"])
def test_one_dimension(name, n, norm):
    agrees(name, data(name, 6), n, norm=norm)
    agrees(name, data(name, 5, 2), n, 0, norm)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("s", [None, (3, 4), (5, 3), (-1, 4)])
@pytest.mark.parametrize("name", ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"])
def test_two_dimensions(name, s, norm):
    agrees(name + "2", data(name, 2, 4, 3), s, norm=norm)
    agrees(name + "n", data(name, 4, 5), s, norm=norm)
    agrees(name + "n", data(name, 4, 2, 5), s, (2, 0), norm)


@pytest.mark.parametrize("name", ["fftn", "ifftn", "rfftn", "irfftn"])
def test_all_dimensions(name):
    agrees(name, data(name, 3, 4, 5))


def test_real_input_and_integers():
    agrees("fft", data("rfft", 5))
    agrees("irfft", data("rfft", 5))
    assert cr.fft.fft(cr.arange(3)).dtype is cr.complex64
    assert cr.fft.rfft(cr.arange(3)).dtype is cr.complex64


def test_shifts_and_frequencies():
    a = np.arange(30.0).reshape(5, 6)
    for dim in (None, 0, (1,)):
        for name in ("fftshift", "ifftshift"):
            agrees(name, a, dim)
    for n in (4, 5):
        for name in ("fftfreq", "rfftfreq"):
            ours = getattr(cr.fft, name)(n, 0.5)
            assert ours.dtype is cr.float32
            np.testing.assert_allclose(ours.array, getattr(torch.fft, name)(n, 0.5).numpy())


@pytest.mark.parametrize(
    ("name", "shape", "options"),
    [
        ("fft", (), {}),
        ("fft", (4,), {"n": 0}),
        ("fft", (0,), {}),
        ("fft", (4,), {"dim": 3}),
        ("fft", (4,), {"norm": "foo"}),
        ("fftn", (2, 2), {"dim": (0, 0)}),
        ("fftn", (2, 2), {"dim": (0, 1), "s": (2,)}),
        ("fftn", (2, 2), {"s": (2, 2, 2)}),
        ("irfft", (1,), {}),
        ("irfftn", (), {}),
    ],
)
def test_errors_are_worded_as_pytorch(name, shape, options):
    with pytest.raises((RuntimeError, IndexError)) as expected:
        getattr(torch.fft, name)(torch.ones(shape), **options)
    with pytest.raises(type(expected.value)) as got:
        getattr(cr.fft, name)(wrap(np.ones(shape)), **options)
    assert str(got.value) == str(expected.value)


def test_real_transforms_refuse_complex_numbers():
    with pytest.raises(RuntimeError, match="rfft expects a real input tensor, but got Complex"):
        cr.fft.rfft(wrap(np.ones(2) * 1j))
