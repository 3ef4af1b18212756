"""However the numbers lie in memory, value and derivative are the same."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.primitive import REGISTRY
from chainrule.core.tensor import wrap
from tests.ops import checks

CASES = [
    pytest.param(prim, sample, id=f"{name}-{i}")
    for name, prim in sorted(REGISTRY.items())
    for i, sample in enumerate(prim.samples() if prim.samples else ())
    if prim.differentiable and any(checks.is_variable(a) for a in sample.args)
]


def strided(a):
    wide = np.full((*a.shape[:-1], 2 * a.shape[-1] + 1), 77, a.dtype)
    wide[..., 1::2] = a
    return wide[..., 1::2]


def reversed_(a):
    every = (slice(None, None, -1),) * a.ndim
    return a[every].copy()[every]


def read_only(a):
    a = np.array(a)
    a.flags.writeable = False
    return a


def unaligned(a):
    memory = np.zeros(a.nbytes + 1, np.uint8)
    out = memory[1:].view(a.dtype).reshape(a.shape)
    out[...] = a
    return out


LAYOUTS = {
    "strided": lambda a: strided(a) if a.ndim else a,
    "fortran": lambda a: np.asarray(a, order="F"),
    "negative": reversed_,
    "read_only": read_only,
    "unaligned": unaligned,
}


def run(prim, sample, arrange, arrange_cotangent=None):
    """Values and gradients with every argument and cotangent arranged in memory in some way."""
    leaves, args = [], []
    for i, a in enumerate(sample.args):
        if isinstance(a, np.ndarray):
            a = arrange(a)
        if i in checks.differentiable_args(prim, sample):
            a = wrap(a)
            a.requires_grad_()
            leaves.append(a)
        args.append(a)
    outs = [o for o in checks.flat(prim(*args, **sample.params)) if o.node is not None]
    rng = np.random.default_rng(3)
    gs = [checks.random_like(o.array, rng) for o in outs]
    gs = [wrap((arrange_cotangent or arrange)(g)) for g in gs]
    grads = cr.autograd.grad(outs, leaves, gs, allow_unused=True, materialize_grads=True)
    return [x.detach().numpy().copy() for x in (*outs, *grads)]


def same(found, expected):
    for a, b in zip(found, expected, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("prim", "sample"), CASES)
def test_layout(prim, sample, layout):
    before = [np.array(a) for a in sample.args if isinstance(a, np.ndarray)]
    same(run(prim, sample, LAYOUTS[layout]), run(prim, sample, np.copy))
    arrays = [a for a in sample.args if isinstance(a, np.ndarray)]
    for a, b in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(a, b)


def spread(a):
    """Stride 0, as expand() makes: the same number everywhere, in one place of memory."""
    if not checks.is_variable(a) or not a.size:
        return a
    return np.broadcast_to(a.reshape(-1)[0], a.shape)


@pytest.mark.parametrize(("prim", "sample"), CASES)
def test_broadcast_cotangent(prim, sample):
    same(
        run(prim, sample, np.copy, spread),
        run(prim, sample, np.copy, lambda g: spread(g).copy()),
    )


@pytest.mark.parametrize(("prim", "sample"), CASES)
def test_broadcast_input(prim, sample):
    try:
        expected = run(prim, sample, lambda a: spread(a).copy(), np.copy)
    except RuntimeError:
        pytest.skip("equal numbers are outside the domain")
    same(run(prim, sample, spread, np.copy), expected)
