"""Matrices, and the comparison with PyTorch in values and gradients."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.autograd.reverse import grad
from chainrule.core.tensor import Tensor, set_requires_grad, wrap

torch = pytest.importorskip("torch")


L, T = cr.linalg, torch.linalg


def matrix(*shape, dtype="float64", seed=0):
    rng = np.random.default_rng([seed, *shape])
    a = rng.standard_normal(shape)
    if dtype == "complex128":
        a = a + 1j * rng.standard_normal(shape)
    return a


def positive(n, *batch, dtype="float64"):
    a = matrix(*batch, n, n, dtype=dtype)
    return a @ a.conj().swapaxes(-1, -2) + np.eye(n)


def leaf(a):
    t = wrap(np.array(a))
    set_requires_grad(t, True)
    return t


def parts(outs, tensor):
    return [o for o in (outs if isinstance(outs, tuple) else (outs,)) if isinstance(o, tensor)]


def as_numpy(t):
    return t.detach().resolve_conj().numpy()


def agrees(ours, theirs, *inputs, hermitian=False, tol=1e-9):
    """Same values, and the same gradients for one random cotangent.

    `hermitian` compares the Hermitian part of the gradients: of Cholesky factors, whose diagonal
    is real, PyTorch lets the imaginary part of a cotangent of the diagonal through.
    """
    xs = [leaf(a) for a in inputs]
    ts = [torch.tensor(a, requires_grad=True) for a in inputs]
    ys = parts(ours(*xs), Tensor)
    zs = parts(theirs(*ts), torch.Tensor)
    rng = np.random.default_rng(1)
    seeds = []
    for y, z in zip(ys, zs, strict=True):
        assert y.array.dtype == as_numpy(z).dtype
        assert y.array.shape == tuple(z.shape)
        np.testing.assert_allclose(y.array, as_numpy(z), rtol=tol, atol=tol)
        seed = rng.standard_normal(z.shape)
        seeds.append((seed + 1j * rng.standard_normal(z.shape)) if z.is_complex() else seed)
    live = [i for i, z in enumerate(zs) if z.requires_grad]
    assert live == [i for i, y in enumerate(ys) if y.node is not None]
    got = grad([ys[i] for i in live], xs, [wrap(seeds[i]) for i in live])
    expected = torch.autograd.grad(
        [zs[i] for i in live], ts, [torch.tensor(seeds[i]) for i in live]
    )
    for a, b in zip(got, expected, strict=True):
        b = as_numpy(b)
        b = (b + b.conj().swapaxes(-1, -2)) / 2 if hermitian else b
        np.testing.assert_allclose(a.array, b, rtol=tol, atol=tol)


DTYPES = pytest.mark.parametrize("dtype", ["float64", "complex128"])
