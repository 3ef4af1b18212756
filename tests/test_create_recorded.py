"""Tensors that require grad as the numbers of a creation function: never a silent detach."""

import warnings

import numpy as np
import pytest

import chainrule as cr
from chainrule.autograd import gradcheck, gradgradcheck
from chainrule.func import grad, jacfwd, jacrev, vmap


def leaf(value, dtype=cr.float64):
    return cr.tensor(value, dtype=dtype, requires_grad=True)


RANGES = {
    "linspace": lambda a, b: cr.linspace(a, b, 4, dtype=cr.float64),
    "from a number": lambda a, b: cr.linspace(0.5, b, 5, dtype=cr.float64) * a,
    "to a number": lambda a, b: cr.linspace(a, -1, 5, dtype=cr.float64) * b,
    "one step": lambda a, b: cr.linspace(a, b, 1, dtype=cr.float64) * b,
    "no steps": lambda a, b: cr.linspace(a, b, 0, dtype=cr.float64).sum() + a * b,
    "logspace": lambda a, b: cr.logspace(a, b, 3, dtype=cr.float64),
    "logspace of base 2": lambda a, b: cr.logspace(a, b, 4, 2.0, dtype=cr.float64),
}


@pytest.mark.parametrize("name", RANGES)
def test_ends_of_ranges_get_their_gradients(name):
    f = RANGES[name]
    assert gradcheck(f, (leaf(0.3), leaf(1.2)), check_forward_ad=True)
    assert gradgradcheck(f, (leaf(0.3), leaf(1.2)))
    plain = f(cr.tensor(0.3, dtype=cr.float64), cr.tensor(1.2, dtype=cr.float64))
    np.testing.assert_array_equal(f(leaf(0.3), leaf(1.2)).detach().numpy(), plain.numpy())


def test_gradients_of_ranges_by_hand():
    t = leaf(2.0, cr.float32)
    x = cr.linspace(0, t, 3)
    assert x.dtype == cr.float32
    (x * cr.tensor([5.0, 1.0, 1.0])).sum().backward()
    assert t.grad.item() == 1.5
    assert t.grad.dtype == cr.float32
    y = cr.logspace(0, t, 3)  # 1, 10**(t/2), 10**t
    (g,) = cr.autograd.grad(y.sum(), t)
    assert g.item() == pytest.approx(np.log(10) * (0.5 * 10 + 100), rel=1e-6)


def test_ranges_as_torch_where_no_gradient_flows():
    torch = pytest.importorskip("torch")
    for lib in (cr, torch):
        s = lib.tensor(2.0, requires_grad=True)
        with lib.no_grad():
            assert not lib.linspace(0, s, 3).requires_grad
        assert not lib.linspace(0, s.detach(), 3).requires_grad
        assert lib.linspace(0, s, 3, dtype=lib.int64).tolist() == [0, 1, 2]
        assert lib.linspace(0, 1, 3, requires_grad=True).is_leaf
    a, b = 0.3, 1.7
    found = cr.linspace(leaf(a, cr.float32), b, 7).tolist()
    np.testing.assert_allclose(found, torch.linspace(torch.tensor(a), b, 7).tolist(), rtol=1e-7)


def test_complex_ends():
    a = cr.tensor(1j, dtype=cr.complex128, requires_grad=True)
    assert gradcheck(lambda a: cr.linspace(a, 2.0, 4, dtype=cr.complex128), (a,))
    assert cr.linspace(a, 2.0, 3).dtype == cr.complex64


def test_ranges_inside_transforms():
    f = lambda b: cr.linspace(0.0, b, 3, dtype=cr.float64)
    point, half = cr.tensor(2.0, dtype=cr.float64), [0.0, 0.5, 1.0]
    assert jacfwd(f)(point).tolist() == half
    assert jacrev(f)(point).tolist() == half
    assert grad(lambda b: (f(b) ** 2).sum())(point).item() == 5.0
    mapped = vmap(f)(cr.tensor([2.0, 4.0], dtype=cr.float64))
    assert mapped.tolist() == [[0, 1, 2], [0, 2, 4]]
    found = vmap(grad(lambda b: (f(b) ** 2).sum()))(cr.tensor([2.0, 4.0], dtype=cr.float64))
    assert found.tolist() == [5.0, 10.0]


def ignoring(f, *args):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # range is deprecated
        return f(*args)


X = cr.ones(3)
REFUSED = {
    "arange": lambda s: cr.arange(s),
    "arange to": lambda s: cr.arange(0, s, 1),
    "arange by": lambda s: cr.arange(0, 4, s),
    "full": lambda s: cr.full((2,), s),
    "full_like": lambda s: cr.full_like(X, s),
    "new_full": lambda s: X.new_full((2,), s),
    "scalar_tensor": lambda s: cr.scalar_tensor(s),
    "range": lambda s: ignoring(cr.range, 0, s),
    "base of logspace": lambda s: cr.logspace(0, 2, 3, base=s),
    "fftfreq": lambda s: cr.fft.fftfreq(4, s),
    "rfftfreq": lambda s: cr.fft.rfftfreq(4, s),
    "histc": lambda s: cr.histc(X, 3, 0, s),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_others_say_that_a_derivative_would_be_lost(name):
    """PyTorch too takes a tensor for these numbers only if it does not require grad."""
    f = REFUSED[name]
    s = cr.tensor(2.0, requires_grad=True)
    words = r"must be Number: the derivative .* would be lost\. .*item\(\)"
    for run in (lambda: f(s), lambda: f(s * 2), lambda: jacfwd(f)(s.detach())):
        with pytest.raises(TypeError, match=words):
            run()
    with cr.no_grad():
        f(s)
    f(s.detach())
    f(s.item())
