"""Writing in place under transforms gives what the functional program gives."""

import copy
import pickle

import numpy as np
import pytest

import chainrule as cr
from chainrule import func
from tests.transforms import public_checks as checks

A, B = np.array([0.7, -1.2, 0.4]), np.array([1.1, 0.3, -0.8])
M = np.array([[0.7, -1.2, 0.4], [0.2, 0.9, -0.5]])
I = np.array([2, 0])
MASK = np.array([True, False, True])


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


def put(x, index, value):
    y = x.clone()
    y[index] = value
    return y * y


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


# ---------------------------------------------------------------- boxes as Python objects


def in_jvp(use):
    found = []
    func.jvp(lambda x: (found.append(use(x)), x)[1], (cr.tensor(A),), (cr.tensor(B),))
    return found[0]


def in_vmap(use):
    found = []
    func.vmap(lambda x: (found.append(use(x)), x)[1])(cr.tensor(M))
    return found[0]


def test_values_of_a_dual_are_those_of_its_primal():
    assert in_jvp(lambda x: x[0].item()) == A[0]
    assert in_jvp(lambda x: bool(x[0] > 0)) is True
    assert in_jvp(lambda x: x.tolist()) == A.tolist()
    assert in_jvp(lambda x: f"{x[1]:.1f}") == "-1.2"
    assert in_jvp(lambda x: x[1] in x) is True
    assert in_jvp(lambda x: x.detach().numpy()).tolist() == A.tolist()
    assert in_jvp(lambda x: x.numpy(force=True)).tolist() == A.tolist()


CONVERSIONS = [
    lambda x: x.numpy(), np.asarray, lambda x: float(x[0]), lambda x: int(x[0]),
    lambda x: complex(x[0]),
]  # fmt: skip


@pytest.mark.parametrize("convert", CONVERSIONS)
def test_a_dual_is_not_silently_detached(convert):
    with pytest.raises(RuntimeError, match=r"carries derivatives \(jvp\)"):
        in_jvp(convert)


VALUES = [
    *CONVERSIONS, lambda x: x[0].item(), lambda x: bool(x[0] > 0), lambda x: x.tolist(),
    lambda x: 1 if x[0] else 2, lambda x: x.numpy(force=True), lambda x: range(x[0].long()),
    lambda x: cr.allclose(x, x), lambda x: cr.equal(x, x), lambda x: 1.0 in x,
    lambda x: cr.full((2,), x[0]), lambda x: cr.tensor([x[0], x[1]]), lambda x: f"{x[0]:.1f}",
    lambda x: x.split(x[0].long()), lambda x: x[: x[0].long()], lambda x: cr.arange(x[0]),
    lambda x: x.data_ptr(), lambda x: x.storage(),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*copies the entries")
@pytest.mark.parametrize("look", VALUES)
def test_values_of_a_mapped_tensor_are_not_to_be_had(look):
    with pytest.raises(RuntimeError, match="vmap: this looks at the values"):
        in_vmap(look)


DYNAMIC = [
    lambda x: x[x > 0], lambda x: x.masked_select(x > 0), lambda x: x.nonzero(),
    lambda x: cr.argwhere(x), lambda x: cr.where(x > 0), lambda x: put(x, x > 0, x[:2]),
    lambda x: cr.repeat_interleave(x, x.long(), dim=0),
]  # fmt: skip


@pytest.mark.parametrize("look", DYNAMIC)
def test_shapes_that_depend_on_mapped_values_are_refused(look):
    with pytest.raises(RuntimeError, match=r"dynamic shape.*(use|repeat) "):
        in_vmap(look)


@pytest.mark.parametrize("where", [in_jvp, in_vmap])
def test_boxes_are_tensors(where):
    assert where(lambda x: isinstance(x, cr.Tensor) and cr.is_tensor(x))
    assert where(lambda x: len({x, x, x.clone()})) == 2
    assert where(lambda x: (x.requires_grad, x.is_leaf, x.grad)) == (False, True, None)
    assert where(lambda x: (len(x), x.shape, x.ndim, x.numel(), x.dtype)) == (
        3, (3,), 1, 3, cr.float64,
    )  # fmt: skip
    assert where(lambda x: [row.shape for row in x]) == [()] * 3
    assert where(lambda x: x.stride() == (1,) and x.is_contiguous())


@pytest.mark.parametrize("where", [in_jvp, in_vmap])
def test_boxes_do_not_leave_their_transform(where):
    with pytest.raises(RuntimeError, match=r"deepcopy.*clone\(\)"):
        where(copy.deepcopy)
    with pytest.raises(RuntimeError, match="pickle"):
        where(pickle.dumps)
    with pytest.raises(RuntimeError, match=r"to call Tensor\.requires_grad_\(\)"):
        where(lambda x: x.requires_grad_())
    with pytest.raises(RuntimeError, match="resize"):
        where(lambda x: x.resize_(2))


def test_a_box_over_a_recorded_tensor_requires_grad():
    x = cr.tensor(A)
    seen = []
    func.grad(lambda x: func.vmap(lambda v: (seen.append(v.requires_grad), v)[1])(x).sum())(x)
    assert seen == [True]


def test_detached_boxes():
    assert type(in_jvp(lambda x: x.detach())) is cr.Tensor
    assert in_jvp(lambda x: x.clone().detach_().tolist()) == A.tolist()
    _, t = func.jvp(lambda x: x * x.detach(), (cr.tensor(A),), (cr.tensor(B),))
    checks.close(t, cr.tensor(A * B))
    checks.close(func.vmap(lambda x: x.data * 2)(cr.tensor(M)), cr.tensor(2 * M))
    with pytest.warns(UserWarning, match="copy construct"):
        checks.close(func.vmap(lambda x: cr.tensor(x) * 2)(cr.tensor(M)), cr.tensor(2 * M))


def test_nothing_loses_the_derivative_in_silence():
    with pytest.raises(TypeError, match=r"fill_value.*would be lost"):
        in_jvp(lambda x: cr.full((2,), x[0]))
    with pytest.raises(TypeError, match="has no derivative rule"):
        in_jvp(lambda x: np.spacing(x))
    with pytest.raises(TypeError, match="where its gradient would be lost"):
        in_jvp(lambda x: np.add(x, 1.0, out=np.empty(3)))
    with pytest.raises(RuntimeError, match="reads the bits"):
        in_jvp(lambda x: x.view(cr.int64))
    with pytest.warns(UserWarning, match="loses their gradient"):
        in_jvp(lambda x: cr.tensor([x[0], x[1]]))


def test_parts_of_complex_numbers():
    def f(z):
        w = z.clone()
        w.real = w.real * 2
        w.imag = 0.5
        cr.view_as_real(w)[..., 1].mul_(3)
        return w * z

    checks.check_vmap(f, (A + 1j * B,))
    checks.check_jvp(f, (A + 1j * B,))


def test_boxes_print_what_they_are():
    assert in_jvp(lambda x: repr(x[:1])).startswith("Dual(primal=tensor([0.7000]")
    assert in_vmap(lambda x: repr(x[0])).startswith("Batched(size=2, tensor([0.7000, 0.2000]")
