"""Writing in place under transforms gives what the functional program gives."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import func
from tests.transforms import public_checks as checks

from .places import MASK, A, B, I, M, put


def zeros(*shape):
    return cr.zeros(*shape, dtype=cr.float64)


def filled_in_loop(x):
    y = zeros(3)
    for i in range(3):
        y[i] = x[i] * x[(i + 1) % 3]
    return y


def recursion(x):
    y = zeros(5)
    y[0] = x[0]
    for i in range(1, 5):
        y[i] = y[i - 1].clone() * x[i % 3] + 1
    return y


def views_of_views(x):
    y = zeros(2, 3)
    y[1].view(3, 1)[:, 0].copy_(x * 2)
    y.t()[0] += x[:2]
    return y


def later_views(x):
    y = zeros(2, 2)
    row, column, flat = y[0], y[:, 0], y.view(4)
    y[0, 0] = x[0]
    flat[1] = x[1] ** 2
    row *= 3
    column += x[2]
    return cr.cat([y.reshape(4), row, column, flat])


def detached_part(x):
    y = x.clone()
    part = y[:2]
    part.zero_()  # a constant: the rest of y still depends on x
    part.add_(1)
    part[0] = x[2]
    return y


def back_to_a_number(x):
    y = zeros(3)
    view = y[1:]
    y += x
    y.fill_(2.0)
    view.mul_(3)
    view[0] = x[0]
    return y * x


def augmented(x, z):
    y = x * 1
    y += z
    y -= 0.5 * z
    y *= z
    y /= z * z + 1
    y **= 2
    return y


def other_type(x):
    y = cr.zeros(3, dtype=cr.float32)
    y[:] = x
    return y.double()


def inner_gradient(x):
    def energy(v):
        total = zeros(3)
        for i in range(3):
            total[i] = v[i] ** 3
        w = v.clone()
        w[0] *= v[1]
        return (total * w).sum()

    y = zeros(3)
    y[:] = func.grad(energy)(x)
    y[1] += x[0]
    return y


def out_argument(x, z):
    y = zeros(3)
    cr.add(x, z, out=y)
    w = zeros(1)
    cr.mul(y, x, out=w)
    return w


def fill_diagonal(x):
    y = zeros(3, 3)
    y += x
    y.fill_diagonal_(2.0)
    y.diagonal(1).copy_(x[:2])
    return y


CASES = {
    "loop": (filled_in_loop, A),
    "recursion": (recursion, A),
    "views_of_views": (views_of_views, A),
    "later_views": (later_views, A),
    "part": (detached_part, A),
    "number": (back_to_a_number, A),
    "augmented": (augmented, A, B),
    "float32": (other_type, A),
    "gradient": (inner_gradient, A),
    "out": (out_argument, A, B),
    "fill_diagonal": (fill_diagonal, A),
    "slice": (lambda x, z: put(x, slice(None, None, 2), z[:2]), A, B),
    "column": (lambda x, z: put(x, (slice(None), 1), z[:2]), M, B),
    "broadcast": (lambda x, z: put(x, ..., z), M, B),
    "leading_ones": (lambda x, z: put(x, 0, z[None]), M, B),
    "array": (lambda x, i, z: put(x, i, z[:2]), A, I, B),
    "array_number": (lambda x, i: put(x, i, 5.0), A, I),
    "array_column": (lambda x, i, z: put(x, (slice(None), i), z[:2]), M, I, B),
    "arrays": (lambda x, i, z: put(x, (i // 2, i), z[:2]), M, I, B),
    "number_index": (lambda x, i, z: put(x, (0, i[0]), z[0]), M, I, B),
    "number_and_array": (lambda x, i, z: put(x[None] * x[:, None], (i[0], i), z[:2]), A, I, B),
    "mask_number": (lambda x, m: put(x, m, 5.0), A, MASK),
    "mask_rows": (lambda x, m, z: put(x.T.clone(), m, z[:2]), M, MASK, B),
    "mask_constant": (lambda x, z: put(x, cr.tensor(MASK), z[:2]), A, B),
    "plus": (lambda x, z: plus(x, slice(1, None), z[:2]), A, B),
    "plus_array": (lambda x, i, z: plus(x, i, z[:2]), A, I, B),
    "masked_fill_": (lambda x, m: x.clone().masked_fill_(m, 2.0), A, MASK),
    "masked_fill_tensor": (lambda x, m, z: x.clone().masked_fill_(m, z[0]), A, MASK, B),
    "masked_scatter_": (lambda x, m, z: x.clone().masked_scatter_(m, z), A, MASK, B),
    "scatter_": (lambda x, i, z: x.clone().scatter_(0, i, z), A, I, B),
    "scatter_add_": (lambda x, i, z: x.clone().scatter_add_(0, i, z), A, I, B),
    "index_add_": (lambda x, i, z: x.clone().index_add_(0, i, z[:2]), A, I, B),
    "index_copy_": (lambda x, i, z: x.clone().index_copy_(0, i, z[:2]), A, I, B),
    "index_fill_": (lambda x, i: x.clone().index_fill_(0, i, 3.0) * x, A, I),
    "index_put_": (lambda x, i, z: x.clone().index_put_((i,), z[:2]), A, I, B),
    "put_": (lambda x, i, z: x.clone().put_(i, z[:2]), M, I, B),
    "copy_": (lambda x, z: x.clone().copy_(z), M, B),
    "fill_": (lambda x, z: x.clone().fill_(z[0]) * x, A, B),
    "zero_": (lambda x: x.clone().zero_() + x, A),
    "exp_": (lambda x: x.clone().exp_().sin_(), A),
    "clamp_": (lambda x: x.clone().clamp_(min=-1.0), A),
    "tril_": (lambda x: x.clone().tril_(), M),
    "squeeze_": (lambda x: (x * 2)[None].squeeze_(0).unsqueeze_(1).mul_(2), A),
    "lerp_": (lambda x, z: x.clone().lerp_(z, 0.3), A, B),
    "data": (lambda x, z: with_data(x, z), A, B),
}  # fmt: skip


def plus(x, index, value):
    y = x.clone()
    y[index] += value
    return y * y


def with_data(x, z):
    y = cr.zeros(3, dtype=cr.float64)
    y.data = z
    return y * 0 + x


@pytest.mark.parametrize("name", list(CASES))
def test_vmap(name):
    f, *args = CASES[name]
    checks.check_vmap(f, args)
    checks.check_empty(f, args)


@pytest.mark.parametrize("name", [n for n in CASES if n != "float32"])
def test_jvp(name):
    f, *args = CASES[name]
    checks.check_jvp(f, args)


@pytest.mark.parametrize("name", [n for n in CASES if n not in ("out", "float32")])
def test_jacobians(name):
    f, *args = CASES[name]
    checks.check_jacobians(f, args)


@pytest.mark.parametrize("name", [n for n in CASES if n not in ("out", "float32")])
def test_gradients(name):
    f, *args = CASES[name]
    checks.check_gradients(f, args)


@pytest.mark.parametrize("name", ["loop", "recursion", "views_of_views", "later_views", "gradient"])
def test_second_derivatives(name):
    f, x = CASES[name]
    scalar = lambda x: (f(x) ** 2).sum()
    x = cr.tensor(x)
    reverse = func.jacrev(func.jacrev(scalar))(x)
    checks.close(func.jacfwd(func.jacrev(scalar))(x), reverse)
    checks.close(func.jacfwd(func.jacfwd(scalar))(x), reverse)
    checks.close(func.jacrev(func.jacfwd(scalar))(x), reverse)


def test_both_transforms_write_to_one_tensor():
    x, z = cr.tensor(A), cr.tensor(np.stack([A, B]))

    def outer(x):
        def inner(row):
            y = zeros(2)
            y[0] = (row * x).sum()
            y[1] = y[0] * x[0]
            return y

        return func.vmap(inner)(z)

    _, t = func.jvp(outer, (x,), (cr.tensor(B),))
    sums = (z * cr.tensor(B)).sum(1)
    second = sums * x[0] + (z * x).sum(1) * B[0]
    checks.close(t, cr.stack([sums, second], 1))


# ---------------------------------------------------------------- what is written, and what is not


def test_the_input_of_forward_mode_and_vmap_keeps_its_values():
    x = cr.tensor(M)
    func.vmap(lambda v: v.mul_(2).sum())(x)
    func.jvp(lambda v: v.zero_().add_(1), (x,), (x,))
    checks.close(x, cr.tensor(M))


@pytest.mark.parametrize("write", [lambda x: x.mul_(2), lambda x: x[0].mul_(2), lambda x: put_(x)])
def test_the_input_of_a_reverse_transform_is_refused(write):
    x = cr.tensor(A)
    grad = func.grad(lambda x: write(x).sum())
    with pytest.raises(RuntimeError, match=r"in place to its input.*x\.clone\(\)"):
        grad(x)
    with pytest.raises(RuntimeError, match=r"in place to its input.*x\.clone\(\)"):
        func.jvp(grad, (x,), (x,))
    with pytest.raises(RuntimeError, match=r"in place to its input.*x\.clone\(\)"):
        func.vmap(grad)(cr.tensor(M))


def put_(x):
    x[0] = 1.0
    return x


def test_a_box_inside_a_reverse_transform_may_be_written():
    x = cr.tensor(A)
    f = lambda x: func.jvp(lambda y: y.mul_(y).sum(), (x,), (cr.tensor(B),))[1]
    checks.close(func.grad(f)(x), 2 * cr.tensor(B))


def test_an_expanded_tensor_is_refused():
    x = cr.tensor(A)
    for write in (lambda v: v.expand(2, 3).mul_(2), lambda v: v.unfold(0, 2, 1)[0].mul_(2)):
        with pytest.raises(RuntimeError, match="more than one element"):
            func.jvp(write, (x,), (x,))
        with pytest.raises(RuntimeError, match="more than one element"):
            func.vmap(write)(cr.tensor(M))


def test_a_tensor_from_outside_dies_with_the_transform():
    kept = zeros(3)

    def leak(x):
        kept[0] = x[0]
        return kept * x

    _, t = func.jvp(leak, (cr.tensor(A),), (cr.tensor(B),))
    assert t[0].item() == pytest.approx(2 * A[0] * B[0])
    for use in (lambda: kept + 1, lambda: kept.zero_(), lambda: kept[0], lambda: put_(kept)):
        with pytest.raises(
            RuntimeError, match="belongs to a call of jvp that has already returned"
        ):
            use()


def test_a_leaf_that_requires_grad_is_refused():
    leaf = cr.tensor(A, requires_grad=True)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        func.jvp(lambda x: leaf.add_(x), (cr.tensor(A),), (cr.tensor(B),))


def test_the_tape_outside_sees_writes_inside():
    w = cr.tensor(B, requires_grad=True)

    def f(x):
        y = w * 2  # recorded, not mapped
        y[0] = x[0] * w[1]
        return y.sum()

    func.vmap(f)(cr.tensor(M)).sum().backward()
    checks.close(w.grad, cr.tensor([0.0, 4 + M[:, 0].sum(), 4.0], dtype=cr.float64))


def test_shapes_that_do_not_fit_are_refused():
    batch = cr.tensor(M)
    with pytest.raises(RuntimeError, match=r"expanded size|shape mismatch"):
        func.vmap(lambda x: put(x, slice(0, 2), x))(batch)
    with pytest.raises(RuntimeError, match=r"does not broadcast|doesn't match"):
        func.vmap(lambda x: zeros(2).copy_(x))(batch)
    with pytest.raises(RuntimeError, match="doesn't match the broadcast shape"):
        func.vmap(lambda x: x.add_(zeros(2, 3)))(batch)
    with pytest.raises(RuntimeError, match="can't be cast"):
        func.vmap(lambda x: cr.zeros(3, dtype=cr.int64).add_(x))(batch)
    with pytest.raises(IndexError, match="out of bounds"):
        func.vmap(lambda x: put(x, 7, 0.0))(batch)
