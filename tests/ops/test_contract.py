"""Matrix products and einsum: values, gradients and errors agree with PyTorch."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.autograd.reverse import grad
from chainrule.core.tensor import set_requires_grad, wrap
from chainrule.ops.contract import linear

torch = pytest.importorskip("torch")


DTYPES = pytest.mark.parametrize("dtype", ["float64", "complex128"])


def arrays(*shapes, dtype=np.float64):
    rng = np.random.default_rng(0)
    made = [rng.standard_normal(s) for s in shapes]
    if np.dtype(dtype).kind == "c":
        made = [a + 1j * rng.standard_normal(a.shape) for a in made]
    return [np.asarray(a, dtype) for a in made]


def leaf(a):
    t = wrap(np.array(a))
    set_requires_grad(t, True)
    return t


def agrees(ours, theirs, inputs):
    """Same value, and same gradients for one random cotangent."""
    xs = [leaf(a) for a in inputs]
    ts = [torch.tensor(a, requires_grad=True) for a in inputs]
    y, z = ours(*xs), theirs(*ts)
    np.testing.assert_allclose(y.array, z.detach().resolve_conj().numpy(), rtol=1e-12, atol=1e-12)
    assert y.array.dtype == z.detach().resolve_conj().numpy().dtype
    g = np.random.default_rng(1).standard_normal(z.shape).astype(y.array.dtype)
    g = g * (1 + 0.5j) if np.iscomplexobj(g) else g
    got = grad(y, xs, wrap(g))
    expected = torch.autograd.grad(z, ts, torch.tensor(g))
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a.array, b.resolve_conj().numpy(), rtol=1e-10, atol=1e-12)


MATMUL = [
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 2)),
    ((2, 3), (3, 4)),
    ((5, 2, 3), (5, 3, 4)),
    ((5, 2, 3), (3, 4)),
    ((2, 3), (5, 3, 4)),
    ((5, 2, 3), (3,)),
    ((3,), (5, 3, 4)),
    ((6, 1, 2, 3), (5, 3, 4)),
    ((2, 5, 2, 3), (3, 1)),
    ((0, 3), (3, 2)),
    ((2, 0), (0, 2)),
    ((1, 2, 3), (4, 3, 2)),
    ((0, 2, 3), (3, 2)),
    ((2, 2, 0), (0, 3)),
]


@pytest.mark.parametrize(("a", "b"), MATMUL)
@DTYPES
def test_matmul(a, b, dtype):
    agrees(lambda x, y: x @ y, torch.matmul, arrays(a, b, dtype=dtype))


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("mm", [(2, 3), (3, 4)]),
        ("mv", [(2, 3), (3,)]),
        ("bmm", [(2, 2, 3), (2, 3, 1)]),
        ("dot", [(3,), (3,)]),
        ("vdot", [(3,), (3,)]),
        ("inner", [(2, 3), (4, 3)]),
        ("inner", [(), (4, 3)]),
        ("outer", [(2,), (3,)]),
        ("addmm", [(4,), (2, 3), (3, 4)]),
        ("addmv", [(1,), (2, 3), (3,)]),
        ("addr", [(2, 3), (2,), (3,)]),
        ("baddbmm", [(2, 1), (3, 2, 2), (3, 2, 4)]),
        ("addbmm", [(2, 4), (3, 2, 2), (3, 2, 4)]),
        ("tensordot", [(2, 3, 4), (3, 4, 2)]),
    ],
)
@DTYPES
def test_named_products(name, shapes, dtype):
    agrees(getattr(cr, name), getattr(torch, name), arrays(*shapes, dtype=dtype))


def test_addmm_scales():
    a = arrays((2, 2), (2, 3), (3, 2))
    agrees(
        lambda *xs: cr.addmm(*xs, beta=0.5, alpha=3),
        lambda *xs: torch.addmm(*xs, beta=0.5, alpha=3),
        a,
    )
    a[0][0, 0] = np.nan
    assert not np.isnan(cr.addmm(*map(wrap, a), beta=0).array).any()


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 4, 3), (0, 3)])
@pytest.mark.parametrize("bias", [True, False])
@DTYPES
def test_linear(shape, bias, dtype):
    agrees(
        linear,
        torch.nn.functional.linear,
        arrays(shape, (5, 3), *([(5,)] if bias else []), dtype=dtype),
    )


EINSUM = [
    ("ij,jk->ik", [(2, 3), (3, 4)]),
    ("ij,jk", [(2, 3), (3, 4)]),
    ("bij,bjk->bik", [(2, 2, 3), (2, 3, 1)]),
    ("ii", [(3, 3)]),
    ("ii->i", [(3, 3)]),
    ("ij->", [(2, 3)]),
    ("ij->ji", [(2, 3)]),
    ("ji", [(2, 3)]),
    ("i,j->ij", [(2,), (3,)]),
    ("i,i", [(3,), (3,)]),
    ("...ij,...jk->...ik", [(2, 2, 3), (3, 4)]),
    ("...ij->...ji", [(2, 3, 4)]),
    ("i...->i", [(2, 3)]),
    ("iij,jk->ik", [(2, 2, 3), (3, 4)]),
    ("ij,ij->ij", [(2, 3), (2, 3)]),
    ("ij,kj->", [(2, 3), (4, 3)]),
    ("ab,bc,cd->ad", [(2, 3), (3, 4), (4, 2)]),
    ("bn,anm,bm->ba", [(2, 3), (5, 3, 4), (2, 4)]),
    ("i,ij,j->", [(2,), (2, 3), (3,)]),
    ("ij,ij", [(2, 3), (1, 3)]),
    ("ij,jk->ik", [(2, 1), (3, 4)]),
    ("ij->j...", [(2, 3)]),
    ("iii->i", [(2, 2, 2)]),
    ("ijij->j", [(2, 3, 2, 3)]),
    ("...,...", [(2, 3), (3,)]),
    ("a,b,c,d->dcba", [(2,), (3,), (2,), (1,)]),
    (" i j , j -> i ", [(2, 3), (3,)]),
    ("i,->i", [(2,), ()]),
    ("ij,jk,kl,il->", [(2, 3), (3, 4), (4, 5), (2, 5)]),
]


@pytest.mark.parametrize(("equation", "shapes"), EINSUM)
@DTYPES
def test_einsum(equation, shapes, dtype):
    agrees(
        lambda *xs: cr.einsum(equation, *xs),
        lambda *xs: torch.einsum(equation, *xs),
        arrays(*shapes, dtype=dtype),
    )


def test_einsum_sublists():
    a = arrays((2, 3), (3, 4))
    agrees(
        lambda x, y: cr.einsum(x, [0, 1], y, [1, 2], [2, 0]),
        lambda x, y: torch.einsum(x, [0, 1], y, [1, 2], [2, 0]),
        a,
    )
    agrees(
        lambda x: cr.einsum(x, [0, ...], [..., 0]),
        lambda x: torch.einsum(x, [0, ...], [..., 0]),
        a[:1],
    )


@pytest.mark.parametrize("dims", [0, 1, ([1], [0]), ([0, 1], [1, 0]), ([-1], [-2])])
def test_tensordot(dims):
    a = arrays((2, 3), (3, 2))
    agrees(lambda x, y: cr.tensordot(x, y, dims), lambda x, y: torch.tensordot(x, y, dims), a)


BAD = [
    ("matmul", [(2, 3), (4, 5)]),
    ("matmul", [(2, 3), (4,)]),
    ("matmul", [(3,), (4, 5)]),
    ("matmul", [(3,), (4,)]),
    ("matmul", [(2, 2, 3), (2, 4, 5)]),
    ("matmul", [(2, 2, 3), (3, 3, 5)]),
    ("matmul", [(2, 3, 3), (4, 5)]),
    ("matmul", [(2, 3, 3), (4,)]),
    ("matmul", [(), (4,)]),
    ("mm", [(2,), (2, 2)]),
    ("mm", [(2, 2), (2,)]),
    ("mv", [(2, 2), (2, 2)]),
    ("mv", [(2, 2), (3,)]),
    ("bmm", [(2, 2), (2, 2)]),
    ("bmm", [(2, 2, 3), (2, 2)]),
    ("bmm", [(2, 2, 3), (2, 2, 2)]),
    ("bmm", [(2, 2, 3), (3, 2, 2)]),
    ("dot", [(2, 2), (2,)]),
    ("dot", [(2,), (3,)]),
    ("inner", [(2, 3), (2, 2)]),
    ("outer", [(2, 3), (2,)]),
    ("addmm", [(3,), (2, 3), (3, 5)]),
    ("addmm", [(2,), (2, 3), (4, 5)]),
    ("addr", [(3, 3), (2, 2), (4,)]),
    ("vdot", [(2,), (3,)]),
    ("tensordot", [(2, 3), (4, 5)]),
]


@pytest.mark.parametrize(("name", "shapes"), BAD)
def test_shape_errors_are_worded_as_pytorch(name, shapes):
    a = arrays(*shapes)
    with pytest.raises(RuntimeError) as expected:
        getattr(torch, name)(*map(torch.tensor, a))
    with pytest.raises(RuntimeError) as got:
        getattr(cr, name)(*map(wrap, a))
    assert str(got.value) == str(expected.value)


@pytest.mark.parametrize(
    "shapes", [[(2, 3), (3, 2)], [(3,), (3,)], [(2, 3), (3,)], [(1, 2, 3), (1, 3, 2)]]
)
@pytest.mark.parametrize("other", ["float32", "int64", "complex128"])
def test_dtype_errors_are_worded_as_pytorch(shapes, other):
    a, b = arrays(*shapes)
    b = b.astype(other)
    with pytest.raises(RuntimeError) as expected:
        torch.tensor(a) @ torch.tensor(b)
    with pytest.raises(RuntimeError) as got:
        wrap(a) @ wrap(b)
    assert str(got.value) == str(expected.value)


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("ij,jk->ik", [(2, 3), (4, 5)]),
        ("ij,jk->il", [(2, 3), (3, 5)]),
        ("ijk,jk->ik", [(2, 3), (3, 5)]),
        ("ij,jk->ik", [(2, 3)]),
        ("ij->ik", [(2, 3), (3,)]),
        ("ij->ii", [(2, 3)]),
        ("i1", [(2, 3)]),
        ("ii", [(2, 3)]),
        ("ij", [(2, 3, 4)]),
        ("ij..", [(2, 3, 4)]),
        ("...ij->j", [(2,)]),
        ("i......->i", [(2, 3)]),
    ],
)
def test_einsum_errors_are_worded_as_pytorch(equation, shapes):
    a = arrays(*shapes)
    with pytest.raises(RuntimeError) as expected:
        torch.einsum(equation, *map(torch.tensor, a))
    with pytest.raises(RuntimeError) as got:
        cr.einsum(equation, *map(wrap, a))
    assert str(got.value) == str(expected.value)


def test_operators_take_tensors_and_arrays_only():
    x = leaf(np.eye(2))
    assert grad(cr.dot(np.array([1.0, 2.0]) @ x, wrap(np.ones(2))), x)[0].array.tolist() == [
        [1, 1],
        [2, 2],
    ]
    with pytest.raises(TypeError, match="unsupported operand"):
        x @ 2
    with pytest.raises(TypeError, match="must be Tensor, not int"):
        cr.matmul(x, 2)


def test_only_the_other_factor_is_kept():
    x, w = wrap(np.ones((4, 3))), leaf(np.ones((2, 3)))
    node = linear(x, w, leaf(np.ones(2))).node
    assert node.args[0] is x.array
    assert not isinstance(node.args[1], np.ndarray)


def test_einsum_that_changes_nothing_returns_a_tensor_of_its_own():
    x = leaf(np.ones((2, 2)))
    y = cr.einsum("ij->ij", x)
    assert y is not x
    assert not y.is_leaf


def test_einsum_contracts_in_a_cheap_order():
    a, b = np.ones((2000, 2)), np.ones((2, 2000))
    # Left to right this would make a matrix of 2000 × 2000 first.
    y = cr.einsum("ij,jk,kl->il", wrap(a), wrap(b), wrap(a))
    assert y.shape == (2000, 2)
    assert y.array[0, 0] == 4000
