"""Writes in place, directly and through views: values and gradients as PyTorch's."""

import numpy as np
import pytest

from chainrule.autograd.reverse import grad
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

    @staticmethod
    def grad(ys, cots, xs):
        gs = grad(ys, xs, [wrap(c) for c in cots], allow_unused=True, materialize_grads=True)
        return [g.array for g in gs]


class Theirs:
    """The same on PyTorch."""

    leaf = staticmethod(lambda array: torch.tensor(array, requires_grad=True))
    const = staticmethod(lambda array: torch.tensor(array))
    array = staticmethod(lambda x: x.detach().numpy())

    @staticmethod
    def grad(ys, cots, xs):
        cots = [torch.tensor(c) for c in cots]
        gs = torch.autograd.grad(ys, xs, cots, allow_unused=True, materialize_grads=True)
        return [g.numpy() for g in gs]


def agree(program, *arrays):
    """`program(lib, *leaves)`, which returns tensors, has the same values and gradients in both."""
    results = []
    for lib in (Ours, Theirs):
        leaves = [lib.leaf(a) for a in arrays]
        outs = program(lib, *leaves)
        outs = outs if isinstance(outs, (list, tuple)) else [outs]
        values = [lib.array(y).copy() for y in outs]
        recorded = [y for y in outs if y.requires_grad]
        rng = np.random.default_rng(len(outs))
        cots = [rng.normal(size=tuple(y.shape)).astype(lib.array(y).dtype) for y in recorded]
        results.append((values, lib.grad(recorded, cots, leaves)))
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
    x[0].add_(x[0])
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
    q.mul_(p.clone())
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
    s = x[0] * 3 + b
    x[0] = b
    return x, s, x[0] * 2


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
        rows.append(np.concatenate(Ours.grad([y[i]], [np.ones(())], [u, v])))
    np.testing.assert_allclose(rows, [[2, 3, 2, 0], [0, 4, 16, 26]])
    np.testing.assert_allclose(y.array, [7, 56])


def test_old_value_is_kept_for_the_derivative():
    a = Ours.leaf(A)
    x = a * 1
    x.mul_(x)  # PyTorch refuses this at backward; the old value is known, so there is no need to
    x.mul_(x[0].clone())
    (g,) = Ours.grad([x], [np.ones((3, 4))], [a])
    expected = 2 * A * A[0] ** 2
    expected[0] += (A**2).sum(0) * 2 * A[0]
    np.testing.assert_allclose(g, expected)


def random_index(rng, shape):
    """A basic index that leaves entries over."""
    index = []
    for n in shape:
        choice = rng.integers(4)
        if choice == 0 and len(shape) > 1:
            index.append(int(rng.integers(n)))
        elif choice == 1:
            start = int(rng.integers(n))
            index.append(slice(start, int(rng.integers(start + 1, n + 1))))
        elif choice == 2:
            index.append(slice(None, None, int(rng.integers(1, 3))))
        else:
            index.append(slice(None))
    return tuple(index)


def random_view(rng, x):
    shape = tuple(x.shape)
    choice = rng.integers(6)
    if choice == 0 and len(shape) > 1:
        i, j = (int(d) for d in rng.choice(len(shape), 2, replace=False))
        return x.transpose(i, j)
    if choice == 1:
        return x.unsqueeze(int(rng.integers(len(shape) + 1)))
    if choice == 2:
        return x.reshape(-1)  # a copy if need be
    if choice == 3 and len(shape) > 1 and shape[0] == shape[1]:
        return x.diagonal()
    return x[random_index(rng, shape)]


def random_write(rng, x, others):
    shape = tuple(x.shape)
    fits = [y for y in others if tuple(y.shape) == shape]
    value = fits[rng.integers(len(fits))].clone() if fits and rng.random() < 0.7 else 0.5
    choice = rng.integers(7)
    if choice == 0:
        x.add_(value)
    elif choice == 1:
        x.mul_(value)
    elif choice == 2:
        x[...] = value
    elif choice == 3:
        index = random_index(rng, shape)
        x[index] = x[index].clone() * 2 if rng.random() < 0.5 else 1.25
    elif choice == 4:
        x.zero_()
    elif choice == 5:
        x[x > 1] = 0.75
    else:
        x.sub_(value)


def random_program(seed):
    def program(lib, a, b):
        rng = np.random.default_rng(seed)
        base = a * 1 if rng.random() < 0.6 else lib.const(np.ones((3, 3, 2)))
        pool = [base, b * 1, a.transpose(0, 1) * 2]
        results = []
        for _ in range(int(rng.integers(3, 10))):
            x = pool[rng.integers(len(pool))]
            step = rng.random()
            if step < 0.4:
                pool.append(random_view(rng, x))
            elif step < 0.85:
                random_write(rng, x, pool)
            else:
                results.append(x * 2 + x * x)
        return [*pool, *results]

    return program


@pytest.mark.parametrize("block", range(10))
def test_random_programs(block):
    a = np.linspace(0.4, 1.7, 18).reshape(3, 3, 2)
    b = np.linspace(1.5, 0.3, 6).reshape(3, 2)
    compared = 0
    for seed in range(40 * block, 40 * block + 40):
        program = random_program(seed)
        try:
            x, y = Theirs.leaf(a), Theirs.leaf(b)
            outs = [o for o in program(Theirs, x, y) if o.requires_grad]
            Theirs.grad(outs, [np.ones(tuple(o.shape)) for o in outs], [x, y])
        except RuntimeError:
            continue  # a saved value was overwritten, which PyTorch also refuses where we need not
        agree(program, a, b)
        compared += 1
    assert compared >= 20


def test_view_of_a_single_entry_beside_arithmetic():
    a = Ours.leaf([2.0, 3.0])
    x = a[0] * a[1]
    y = x[...] * 5 + x * 2 + x[None] * x
    np.testing.assert_array_equal(Ours.grad([y], [np.ones(1)], [a])[0], [3 * 19, 2 * 19])


def second_order(lib, program, a, b):
    """The gradient of the squared gradient of the cubes of all that a program returns."""
    leaves = [lib.leaf(a), lib.leaf(b)]
    outs = [o for o in program(lib, *leaves) if o.requires_grad]
    rng = np.random.default_rng(0)
    cots = [lib.const(rng.normal(size=tuple(o.shape))) for o in outs]
    differentiate = grad if lib is Ours else torch.autograd.grad
    options = {"allow_unused": True, "materialize_grads": True}
    cubes = [o * o * o for o in outs]
    gs = differentiate(cubes, leaves, cots, create_graph=True, **options)
    gs = [g for g in gs if g.requires_grad]
    ones = [lib.const(np.ones(tuple(g.shape))) for g in gs]
    return [lib.array(h) for h in differentiate([g * g for g in gs], leaves, ones, **options)]


@pytest.mark.parametrize("block", range(4))
def test_random_programs_to_second_order(block):
    a = np.linspace(0.4, 1.7, 18).reshape(3, 3, 2)
    b = np.linspace(1.5, 0.3, 6).reshape(3, 2)
    compared = 0
    for seed in range(1000 + 30 * block, 1030 + 30 * block):
        program = random_program(seed)
        try:
            expected = second_order(Theirs, program, a, b)
        except RuntimeError:
            continue  # a saved value was overwritten
        for x, y in zip(second_order(Ours, program, a, b), expected, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-9)
        compared += 1
    assert compared >= 15
