"""Matrix products, einsum and Fourier transforms under every transform."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import func
from tests.transforms import public_checks as checks


def uniform(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).uniform(-1, 1, shape)


def complex_(*shape, seed=0):
    return uniform(*shape, seed=seed) + 1j * uniform(*shape, seed=seed + 9)


A, B, C = uniform(2, 3), uniform(3, 4, seed=1), uniform(4, 2, seed=5)
V, W = uniform(3, seed=2), uniform(3, seed=3)
PRODUCTS = {
    "matmul": (cr.matmul, A, B),
    "matmul_vm": (cr.matmul, V, B),
    "matmul_mv": (cr.matmul, A, V),
    "matmul_vv": (cr.matmul, V, W),
    "matmul_bm": (cr.matmul, uniform(2, 2, 3), B),
    "matmul_bv": (cr.matmul, uniform(2, 2, 3), V),
    "matmul_vb": (cr.matmul, V, uniform(2, 3, 2)),
    "matmul_bb": (cr.matmul, uniform(2, 1, 2, 3), uniform(2, 3, 2)),
    "operator": (lambda x, y: x @ y, A, B),
    "mm": (cr.mm, A, B),
    "mv": (cr.mv, A, V),
    "bmm": (cr.bmm, uniform(2, 2, 3), uniform(2, 3, 2)),
    "dot": (cr.dot, V, W),
    "vdot": (cr.vdot, complex_(3), complex_(3, seed=1)),
    "outer": (cr.outer, V, W),
    "inner": (cr.inner, A, V),
    "inner_0d": (cr.inner, A, np.array(0.5)),
    "addmm": (lambda x, y, z: cr.addmm(x, y, z, beta=0.5, alpha=2.0), uniform(4), A, B),
    "addmv": (cr.addmv, uniform(2), A, V),
    "addr": (lambda x, y, z: cr.addr(x, y, z, beta=0), uniform(3, 3), V, W),
    "baddbmm": (cr.baddbmm, uniform(2, 1), uniform(2, 2, 3), uniform(2, 3, 2)),
    "addbmm": (cr.addbmm, uniform(2, 2), uniform(2, 2, 3), uniform(2, 3, 2)),
    "tensordot": (lambda x, y: cr.tensordot(x, y, dims=([1, 0], [0, 2])), A, uniform(3, 2, 2)),
    "tensordot_1": (lambda x, y: cr.tensordot(x, y, dims=1), A, B),
    "chain_matmul": (cr.chain_matmul, A, B, C),
    "multi_dot": (lambda x, y, z: cr.linalg.multi_dot([x, y, z]), V, B, C),
    "kron": (cr.kron, A, uniform(2, 2)),
    "kron_ranks": (cr.kron, V, A),
    "trace": (cr.trace, uniform(3, 3)),
    "trace_wide": (cr.trace, A),
    "linear": (cr.nn.functional.linear, uniform(2, 3), uniform(4, 3), uniform(4)),
    "linear_vector": (cr.nn.functional.linear, V, uniform(4, 3), uniform(4)),
    "linear_no_bias": (cr.nn.functional.linear, uniform(2, 2, 3), uniform(4, 3)),
    "linear_one_output": (cr.nn.functional.linear, A, V, np.array(0.5)),
    "bilinear": (cr.bilinear, A, uniform(2, 2), uniform(4, 3, 2), uniform(4)),
    "cross": (cr.cross, uniform(2, 3), uniform(2, 3, seed=1)),
    "linalg_cross": (lambda x, y: cr.linalg.cross(x, y, dim=0), uniform(3, 2), uniform(3, 1)),
    "vecdot": (lambda x, y: cr.linalg.vecdot(x, y, dim=0), A, uniform(2, 3, seed=4)),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products(name):
    checks.check(*PRODUCTS[name])


EQUATIONS = [
    ("ij,jk->ik", (2, 3), (3, 2)), ("ij,jk", (2, 3), (3, 2)),
    ("bij,bjk->bki", (2, 2, 3), (2, 3, 2)),
    ("ij->ji", (2, 3)), ("ii->i", (3, 3)), ("ii", (3, 3)), ("i,j->ji", (2,), (3,)),
    ("...j,j->...", (2, 2, 3), (3,)), ("ij,j,k->ik", (2, 3), (3,), (2,)),
    ("i,i,i->", (3,), (3,), (3,)),
    ("ij,ij->", (2, 3), (1, 3)), ("iij,jk->ik", (2, 2, 3), (3, 2)), (",i->i", (), (3,)),
]  # fmt: skip


@pytest.mark.parametrize("case", EQUATIONS, ids=lambda c: c[0])
def test_einsum(case):
    equation, *shapes = case
    args = [uniform(*s, seed=i) for i, s in enumerate(shapes)]
    checks.check(lambda *xs: cr.einsum(equation, *xs), *args)


def test_complex_products():
    checks.check(cr.matmul, complex_(2, 3), complex_(3, 2))
    checks.check(lambda x, y: cr.einsum("ij,kj->ik", x, y), complex_(2, 3), complex_(2, 3, seed=2))


FOURIER = {
    "fft": (cr.fft.fft, complex_(5)),
    "fft_dim": (lambda x: cr.fft.fft(x, n=3, dim=0, norm="ortho"), uniform(4, 2)),
    "ifft": (lambda x: cr.fft.ifft(x, n=6), complex_(2, 4)),
    "fft2": (cr.fft.fft2, complex_(2, 3)),
    "ifftn": (lambda x: cr.fft.ifftn(x, dim=(0, -1)), complex_(2, 2, 3)),
    "fftn_none": (lambda x: cr.fft.fftn(x, dim=()), complex_(2)),
    "rfft": (cr.fft.rfft, uniform(2, 5)),
    "rfftn": (lambda x: cr.fft.rfftn(x, s=(2, 4)), uniform(3, 3)),
    "irfft": (cr.fft.irfft, complex_(2, 4)),
    "irfft2": (lambda x: cr.fft.irfft2(x, s=(3, 5)), complex_(3, 3)),
    "hfft": (lambda x: cr.fft.hfft(x, dim=0), complex_(4, 2)),
    "ihfft": (cr.fft.ihfft, uniform(5)),
    "fftshift": (cr.fft.fftshift, uniform(2, 5)),
    "ifftshift": (lambda x: cr.fft.ifftshift(x, dim=-1), uniform(2, 5)),
    "round_trip": (lambda x: cr.fft.irfft(cr.fft.rfft(x) * 2.0, n=5), uniform(5)),
}  # fmt: skip


@pytest.mark.parametrize("name", FOURIER)
def test_fourier(name):
    checks.check(*FOURIER[name])


def test_sums_in_place():
    """`addmm_` and its like on mapped tensors, and with mapped products into a plain tensor."""
    x, a, b = (cr.tensor(uniform(3, 2, 2, seed=i)) for i in range(3))
    want = x.numpy() + a.numpy() @ b.numpy()
    np.testing.assert_allclose(func.vmap(lambda x, a, b: x.clone().addmm_(a, b))(x, a, b), want)
    shared = func.vmap(lambda a, b: cr.zeros(2, 2, dtype=cr.float64).addmm_(a, b))(a, b)
    np.testing.assert_allclose(shared, a.numpy() @ b.numpy())
    t = func.jvp(lambda x: x.clone().addmv_(a[0], b[0][0]), (x[0, 0],), (x[1, 0],))[1]
    np.testing.assert_allclose(t, x[1, 0])


def test_a_shared_weight_is_one_product():
    """Per-example gradients of layers, of one and of several rows per example, are a loop's."""
    F = cr.nn.functional
    w, v = cr.tensor(uniform(4, 3)), cr.tensor(uniform(4))
    for shape in [(5, 3), (5, 2, 3), (5, 2, 1, 3)]:
        xs = cr.tensor(uniform(*shape))
        grads = func.grad(lambda w, v, x: (F.linear(x, w, v) ** 2).sum(), (0, 1, 2))
        found = func.vmap(grads, (None, None, 0))(w, v, xs)
        nested = func.vmap(func.vmap(grads, (None, 0, None)), (None, None, 0))(
            w, cr.stack([v, 2 * v]), xs
        )
        for i in range(5):
            for g, n, one in zip(found, nested, grads(w, v, xs[i]), strict=True):
                np.testing.assert_allclose(g[i], one, rtol=1e-12, atol=1e-12)
                np.testing.assert_allclose(n[i, 0], one, rtol=1e-12, atol=1e-12)
