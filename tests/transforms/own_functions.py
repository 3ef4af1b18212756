"""Subclasses of `Function` that the tests of their modes share."""

import numpy as np

import chainrule as cr
from chainrule.autograd import Function

from .programs import Cube


class NumpyCube(Function):
    """As Cube, but forward leaves the library, so that no mode can look inside."""

    generate_vmap_rule = False
    forward_calls = 0

    @staticmethod
    def forward(x):
        NumpyCube.forward_calls += 1
        return cr.from_numpy(np.asarray(x.detach().numpy() ** 3))

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * Square3.apply(x)

    @staticmethod
    def jvp(ctx, t):
        (x,) = ctx.saved_tensors
        return Square3.apply(x) * t

    @staticmethod
    def vmap(info, in_dims, x):
        return NumpyCube.apply(x), in_dims[0]


class Square3(Function):
    """3x², in NumPy."""

    @staticmethod
    def forward(x):
        return cr.from_numpy(np.asarray(3 * x.detach().numpy() ** 2))

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * 6 * x

    @staticmethod
    def jvp(ctx, t):
        (x,) = ctx.saved_tensors
        return 6 * x * t

    @staticmethod
    def vmap(info, in_dims, x):
        return Square3.apply(x), in_dims[0]


class Scale(Function):
    """The two results x·a·k and sin(x) for a tensor x, a scalar tensor a and a number k."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x, a, k):
        return x * a * k, x.sin()

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, a, ctx.k = inputs
        ctx.save_for_backward(x, a)
        ctx.save_for_forward(x, a)

    @staticmethod
    def backward(ctx, g, h):
        x, a = ctx.saved_tensors
        return g * a * ctx.k + h * x.cos(), (g * x * ctx.k).sum(), None

    @staticmethod
    def jvp(ctx, t, s, _):
        x, a = ctx.saved_tensors
        return (t * a + x * s) * ctx.k, t * x.cos()


def scaled(x, a):
    y, z = Scale.apply(x, a, 2.0)
    return (y * z).sum() + (y * y).sum()


def plain_scaled(x, a):
    y, z = x * a * 2.0, x.sin()
    return (y * z).sum() + (y * y).sum()


def real(*values):
    return cr.tensor(list(values), dtype=cr.float64)


X = np.array([0.5, -1.25, 2.0])


CUBES = [Cube, NumpyCube]


def close(a, b):
    a = a.detach().numpy() if isinstance(a, cr.Tensor) else a
    b = b.detach().numpy() if isinstance(b, cr.Tensor) else b
    np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
