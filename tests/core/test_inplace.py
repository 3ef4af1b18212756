"""Writes in place, directly and through views: values and gradients as PyTorch's."""

import numpy as np
import pytest

from chainrule.autograd.reverse import grad
from chainrule.core.engine import pull  # noqa: F401
from chainrule.core.tensor import set_requires_grad, wrap

torch = pytest.importorskip("torch")


class Ours:
    """The few things a program needs, on chainrule."""

    @staticmethod
    def leaf(array):
        x = wrap(np.array(array))
        set_requires_grad(x, True)
        return x

    @staticmethod
    def const(array):
        return wrap(np.array(array))

    array = staticmethod(lambda x: x.array)
    grad = staticmethod(
        lambda y, xs: [g.array for g in grad(y, xs, allow_unused=True, materialize_grads=True)]
    )


class Theirs:
    """The same on PyTorch."""

    leaf = staticmethod(lambda array: torch.tensor(array, requires_grad=True))
    const = staticmethod(lambda array: torch.tensor(array))
    array = staticmethod(lambda x: x.detach().numpy())
    grad = staticmethod(
        lambda y, xs: [
            g.numpy() for g in torch.autograd.grad(y, xs, allow_unused=True, materialize_grads=True)
        ]
    )


def agree(program, *arrays):
    """`program(lib, *leaves)`, which returns tensors, has the same values and gradients in both."""
    results = []
    for lib in (Ours, Theirs):
        leaves = [lib.leaf(a) for a in arrays]
        outs = program(lib, *leaves)
        outs = outs if isinstance(outs, (list, tuple)) else [outs]
        values = [lib.array(y).copy() for y in outs]
        total = None
        for i, y in enumerate(outs):
            weights = np.random.default_rng(i).normal(size=tuple(y.shape))
            part = (y * lib.const(weights)).sum()
            total = part if total is None else total + part
        results.append((values, lib.grad(total, leaves)))
    (values, gs), (values_t, gs_t) = results
    for a, b in zip(values, values_t, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13)
    for a, b in zip(gs, gs_t, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


A = np.linspace(0.5, 2.0, 12).reshape(3, 4)
B = np.linspace(-1.0, 1.0, 4)


def fill_zeros(lib, a, b):
    y = lib.const(np.zeros((3, 4)))
    y[0] = a[0] * 2
    y[1, 2] = b[3] * a[0, 0]
    y[2, 1:3] = b[:2]
    return y


def fill_in_loop(lib, a, b):
    y = lib.const(np.zeros(4))
    for i in range(4):
        y[i] = a[i % 3, i] * b[i]
    return y


def add_self(lib, a, b):
    x = a * 1
    x.add_(x)
    x.mul_(x)
    return x


def constant_times_variable(lib, a, b):
    x = lib.const(np.ones((3, 4)) * 2)
    x.mul_(a)
    x.mul_(b)
    return x


def through_view_of_view(lib, a, b):
    x = a * 1
    v = x[1:]
    w = v[:, 2]
    w.mul_(b[0])
    return x, v, w


def write_base_after_views(lib, a, b):
    x = a * 1
    v, w, u = x[0], x.transpose(0, 1), x[2]
    x[0, 1:] = b[1:]
    return x, v, w, u


def view_before_base_has_node(lib, a, b):
    x = lib.const(np.zeros((3, 4)))
    v, w = x[1], x[2]
    x[1] = b
    return x, v * 2, w


def view_of_constant_written(lib, a, b):
    x = lib.const(np.ones((3, 4)))
    v, w = x.reshape(2, 6), x[0]
    v[0, :4] = b
    return x, v, w


def mask_write(lib, a, b):
    x = a * 1
    x[x > 1.0] = 0.25
    y = a * 1
    y[y > 1.6] = b[:3]
    return x, y


def chained(lib, a, b):
    x = a * 1
    x[0][1] = b[0]
    x[1][2:][0] = 7.0
    return x


def augmented(lib, a, b):
    x = a * 1
    x[0] *= b
    x[1, 1] += b[1]
    x[:, 2] -= 1
    return x


def overlapping(lib, a, b):
    x = a * 1
    x[1:] = x[:-1].clone()
    return x


def zero_and_fill(lib, a, b):
    x = a * 1
    x[0].zero_()
    x[1].fill_(b[0])
    y = a * 1
    y.zero_()
    return x, y


def copy(lib, a, b):
    x = a * 1
    x.copy_(b)
    y = a * 1
    y[1].copy_(b * 2)
    return x, y


def copied_tensor_is_separate(lib, a, b):
    x = lib.const(np.zeros(4))
    x.copy_(b)
    x.mul_(3)
    return x, b * 1


def transposed_write(lib, a, b):
    x = a * 1
    x.transpose(0, 1)[0] = b[:3]
    x.permute(1, 0)[1:3, 0] = 5.0
    return x


def reshaped_write(lib, a, b):
    x = a * 1
    x.view(2, 6)[1, 2:].mul_(2)
    x.reshape(12)[::5] = b[:3]
    return x


def unsqueezed_write(lib, a, b):
    x = a * 1
    x.unsqueeze(1)[0, 0] = b
    x[None, :, 1].squeeze(0).mul_(b[0])
    return x


def expanded_value(lib, a, b):
    x = a * 1
    x[:, :] = b[:1]
    y = a * 1
    y[1:, ::2] = b[None, :2]
    return x, y


def value_with_leading_ones(lib, a, b):
    x = a * 1
    x[1] = b[None, None]
    return x


def split_write(lib, a, b):
    x = a * 1
    p, q = x[:, :2], x[:, 2:]
    p.mul_(2)
    q.mul_(p)
    return x


def integer_index_write(lib, a, b):
    x = a * 1
    x[[0, 2]] = b
    x[:, [1, 1]] = a[:, :1] * 3
    x[[0, 1], [3, 2]] = b[:2]
    return x


def mixed_index_write(lib, a, b):
    x = (a * 1).reshape(3, 2, 2)
    x[0, :, [0, 1]] = b.reshape(2, 2)
    x[[0, 1], None, 1] = b[2:]
    return x


def read_between_writes(lib, a, b):
    x = a * 1
    s = (x[0] * b).sum()
    x[0] = b
    return x, s, (x[0] * 2).sum()


def two_writes_same_place(lib, a, b):
    x = a * 1
    x[0] = b
    x[0] = b * 2
    x[0, 0] = b[1]
    return x


def float32_base(lib, a, b):
    x = lib.const(np.zeros(4, np.float32))
    x[:] = b
    return x


def no_grad_of_constant(lib, a, b):
    x = lib.const(np.zeros(4))
    x[0] = 2.0
    x[1] = b[1]
    return x * a


PROGRAMS = [
    fill_zeros, fill_in_loop, add_self, constant_times_variable, through_view_of_view,
    write_base_after_views, view_before_base_has_node, view_of_constant_written, mask_write,
    chained, augmented, overlapping, zero_and_fill, copy, copied_tensor_is_separate,
    transposed_write, reshaped_write, unsqueezed_write, expanded_value, value_with_leading_ones,
    split_write, integer_index_write, mixed_index_write, read_between_writes,
    two_writes_same_place, float32_base, no_grad_of_constant,
]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_program(program):
    agree(program, A, B)


def test_jacobian_of_a_function_that_fills_a_tensor():
    rows = []
    for i in range(2):
        u, v = Ours.leaf([1.0, 2.0]), Ours.leaf([3.0, 4.0])
        y = Ours.const(np.zeros(2))
        y[0] = u[0] ** 2 + u[1] * v[0]
        y[1] = u[1] * v[1] + v[0] * v[1] ** 2
        rows.append(np.concatenate(Ours.grad(y[i], [u, v])))
    np.testing.assert_allclose(rows, [[2, 3, 2, 0], [0, 4, 16, 26]])
    np.testing.assert_allclose(y.array, [7, 56])
