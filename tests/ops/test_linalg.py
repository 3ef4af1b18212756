"""Linear algebra agrees with PyTorch in values, gradients and errors."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.autograd.reverse import grad
from chainrule.core.tensor import wrap

from .matrices import DTYPES, L, T, agrees, leaf, matrix, positive, torch


@DTYPES
@pytest.mark.parametrize("batch", [(), (2,), (2, 1)])
@pytest.mark.parametrize(
    "name", ["inv", "det", "slogdet", "matrix_exp", "pinv", "svdvals", "matrix_norm", "cond"]
)
def test_functions_of_square_matrices(name, batch, dtype):
    agrees(getattr(L, name), getattr(T, name), matrix(*batch, 3, 3, dtype=dtype))


@DTYPES
@pytest.mark.parametrize("batch", [(), (2,)])
@pytest.mark.parametrize("name", ["cholesky", "eigvalsh", "inv"])
def test_functions_of_positive_matrices(name, batch, dtype):
    a = positive(3, *batch, dtype=dtype)
    agrees(getattr(L, name), getattr(T, name), a, hermitian=name == "cholesky")


@DTYPES
@pytest.mark.parametrize("shape", [(4, 3), (3, 4), (2, 3, 2), (3, 3)])
@pytest.mark.parametrize("name", ["pinv", "svdvals", "lu", "qr", "lu_factor"])
def test_functions_of_rectangular_matrices(name, shape, dtype):
    agrees(getattr(L, name), getattr(T, name), matrix(*shape, dtype=dtype))


@DTYPES
def test_eigenvalues(dtype):
    a = matrix(4, 4, dtype=dtype)
    agrees(
        lambda a: (L.eigvals(a) ** 3).sum() + L.eigvals(a).sum() ** 2,
        lambda a: (T.eigvals(a) ** 3).sum() + T.eigvals(a).sum() ** 2,
        a,
    )


@DTYPES
@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4), (2, 3, 2)])
def test_svd_gradient_of_invariant_functions(shape, dtype):
    def f(lib, a, full=False):
        U, S, Vh = lib.svd(a, full_matrices=full)
        k = S.shape[-1]
        U, Vh = U[..., :k], Vh[..., :k, :]
        return (U * (S * S + 1 / S)[..., None, :].to(U.dtype)) @ Vh + (U @ Vh)

    a = matrix(*shape, dtype=dtype)
    agrees(lambda a: f(L, a), lambda a: f(T, a), a)
    agrees(lambda a: f(L, a, True), lambda a: f(T, a, True), a)


@DTYPES
@pytest.mark.parametrize("batch", [(), (2,)])
def test_eigh_gradient_of_invariant_functions(batch, dtype):
    def f(lib, a):
        w, v = lib.eigh(a)
        return (v * (w**3)[..., None, :].to(v.dtype)) @ v.mH + lib.eigvalsh(a).sum()

    agrees(lambda a: f(L, a), lambda a: f(T, a), positive(3, *batch, dtype=dtype))


@DTYPES
def test_eig_gradient_of_invariant_functions(dtype):
    def f(lib, a):
        w, v = lib.eig(a)
        return (v * (w**2)) @ lib.inv(v) + (v.abs() ** 2 * w.abs()).sum()

    agrees(lambda a: f(L, a), lambda a: f(T, a), matrix(3, 3, dtype=dtype))


@DTYPES
@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((3, 3), (3, 2)),
        ((3, 3), (3,)),
        ((2, 3, 3), (2, 3)),
        ((2, 3, 3), (3, 1)),
        ((3, 3), (2, 3, 1)),
    ],
)
def test_solve(a, b, dtype):
    agrees(L.solve, T.solve, matrix(*a, dtype=dtype), matrix(*b, dtype=dtype))


@DTYPES
def test_solve_from_the_right(dtype):
    agrees(
        lambda a, b: L.solve(a, b, left=False),
        lambda a, b: T.solve(a, b, left=False),
        matrix(3, 3, dtype=dtype),
        matrix(2, 3, dtype=dtype),
    )


@DTYPES
@pytest.mark.parametrize("upper", [True, False])
@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("unitriangular", [True, False])
def test_solve_triangular(upper, left, unitriangular, dtype):
    options = {"upper": upper, "left": left, "unitriangular": unitriangular}
    a = matrix(2, 3, 3, dtype=dtype)
    a = (np.triu(a) if upper else np.tril(a)) + 2 * np.eye(3)
    agrees(
        lambda a, b: L.solve_triangular(a, b, **options),
        lambda a, b: T.solve_triangular(a, b, **options),
        a,
        matrix(3, 3, dtype=dtype),
    )


@DTYPES
@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("adjoint", [True, False])
def test_lu_solve(left, adjoint, dtype):
    def f(lib, a, b):
        return lib.lu_solve(*lib.lu_factor(a), b, left=left, adjoint=adjoint)

    a, b = matrix(3, 3, dtype=dtype), matrix(3, 3, dtype=dtype, seed=1)
    agrees(lambda a, b: f(L, a, b), lambda a, b: f(T, a, b), a, b)


@DTYPES
@pytest.mark.parametrize("upper", [True, False])
def test_cholesky_family(upper, dtype):
    a, b = positive(3, dtype=dtype), matrix(3, 2, dtype=dtype)

    def solved(lib, a, b):
        return lib.cholesky_solve(b, lib.linalg.cholesky(a, upper=upper), upper)

    def inverse(lib, a):
        return lib.cholesky_inverse(lib.linalg.cholesky(a, upper=upper), upper)

    def factor(lib, a):
        return lib.cholesky_ex(a, upper=upper)[0]

    agrees(lambda a, b: solved(cr, a, b), lambda a, b: solved(torch, a, b), a, b)
    agrees(lambda a: inverse(cr, a), lambda a: inverse(torch, a), a)
    agrees(lambda a: factor(L, a), lambda a: factor(T, a), a, hermitian=True)


@pytest.mark.parametrize("shape", [(4, 2), (2, 4), (3, 3)])
def test_lstsq(shape):
    agrees(
        lambda a, b: L.lstsq(a, b).solution,
        lambda a, b: T.lstsq(a, b).solution,
        matrix(*shape),
        matrix(shape[0], 2),
    )
    ours = L.lstsq(wrap(matrix(*shape)), wrap(matrix(shape[0], 2)), driver="gelsd")
    theirs = T.lstsq(
        torch.tensor(matrix(*shape)), torch.tensor(matrix(shape[0], 2)), driver="gelsd"
    )
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.array, b.numpy(), atol=1e-12)


@DTYPES
@pytest.mark.parametrize("order", ["fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf])
def test_matrix_norms(order, dtype):
    a = matrix(2, 3, 4, dtype=dtype)
    agrees(lambda a: L.matrix_norm(a, order), lambda a: T.matrix_norm(a, order), a)
    agrees(lambda a: L.norm(a, order, (2, 0), True), lambda a: T.norm(a, order, (2, 0), True), a)
    a = matrix(3, 3, dtype=dtype)
    np.testing.assert_allclose(L.cond(wrap(a), order).array, T.cond(torch.tensor(a), order).numpy())
    if order in ("nuc", 2, -2):  # PyTorch overwrites what it needs for the gradient of the others
        agrees(lambda a: L.cond(a, order), lambda a: T.cond(a, order), a)


@DTYPES
@pytest.mark.parametrize("n", [-3, -1, 0, 1, 2, 5])
def test_matrix_power(n, dtype):
    a = matrix(2, 3, 3, dtype=dtype)
    np.testing.assert_allclose(
        L.matrix_power(wrap(a), n).array, T.matrix_power(torch.tensor(a), n).numpy(), atol=1e-9
    )
    agrees(lambda a: L.matrix_power(a, n), lambda a: T.matrix_power(a, n), a, tol=1e-8)


@DTYPES
def test_structured_products(dtype):
    def m(*shape):
        return matrix(*shape, dtype=dtype, seed=len(shape))

    chain = [m(2, 5), m(5, 3), m(3, 4), m(4, 2)]
    agrees(lambda *xs: L.multi_dot(xs), lambda *xs: T.multi_dot(xs), *chain)
    agrees(lambda *xs: L.multi_dot(xs), lambda *xs: T.multi_dot(xs), m(5), m(5, 3), m(3))
    agrees(L.vecdot, T.vecdot, m(2, 3), m(3))
    agrees(L.cross, T.cross, m(2, 3), m(1, 3))
    agrees(lambda a, b: L.cross(a, b, dim=0), lambda a, b: T.cross(a, b, dim=0), m(3, 2), m(3, 2))
    agrees(cr.trace, torch.trace, m(3, 4))
    agrees(cr.kron, torch.kron, m(2, 3), m(3, 1))
    agrees(cr.kron, torch.kron, m(2), m(3, 1))
    agrees(L.vander, T.vander, m(2, 3))
    agrees(lambda x: L.vander(x, N=5), lambda x: T.vander(x, N=5), m(3))
    agrees(L.tensorinv, T.tensorinv, m(2, 3, 6))
    agrees(lambda a: L.tensorinv(a, 1), lambda a: T.tensorinv(a, 1), m(6, 2, 3))
    agrees(L.tensorsolve, T.tensorsolve, m(2, 3, 6), m(2, 3))
    agrees(
        lambda a, b: L.tensorsolve(a, b, (0, 2)),
        lambda a, b: T.tensorsolve(a, b, (0, 2)),
        m(2, 6, 3),
        m(6),
    )


def test_matrix_rank():
    a = matrix(2, 4, 3)
    a[1, :, 2] = a[1, :, 0]
    assert L.matrix_rank(wrap(a)).tolist() == [3, 2]
    assert L.matrix_rank(wrap(a), rtol=10.0).tolist() == [0, 0]
    assert L.matrix_rank(wrap(positive(3)), hermitian=True).item() == 3


def test_logdet():
    a = positive(3)
    agrees(cr.logdet, torch.logdet, a)
    assert np.isnan(cr.logdet(wrap(-np.eye(3))).item())


@pytest.mark.parametrize("mode", ["reduced", "complete", "r"])
def test_qr_modes(mode):
    for shape in [(2, 4), (3, 3)]:
        ours, theirs = L.qr(wrap(matrix(*shape)), mode), T.qr(torch.tensor(matrix(*shape)), mode)
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a.array, b.numpy(), atol=1e-12)
    x = leaf(matrix(4, 2))
    with pytest.raises(RuntimeError, match="not differentiable when mode='complete'"):
        L.qr(x, "complete").Q.sum().backward()
    L.qr(x, "r").R.sum().backward()  # which needs no Q from the user


def test_float32_stays_float32():
    a = matrix(3, 3).astype(np.float32)
    for name in ("inv", "det", "svdvals", "pinv", "matrix_exp", "eigvalsh", "cond"):
        assert getattr(L, name)(wrap(a)).dtype is cr.float32
    assert L.eigvals(wrap(a)).dtype is cr.complex64


def test_results_are_named_and_printed_like_pytorch():
    r = L.svd(cr.eye(2))
    assert r._fields == ("U", "S", "Vh")
    assert repr(L.slogdet(cr.eye(2))) == (
        "chainrule.return_types.linalg_slogdet(\nsign=tensor(1.),\nlogabsdet=tensor(0.))"
    )


@pytest.mark.parametrize("shape", [(70, 70), (2, 40, 65), (80, 33), (0, 3, 3), (3, 0)])
def test_lu_in_blocks(shape):
    a = matrix(*shape)
    ours, theirs = L.lu(wrap(a)), T.lu(torch.tensor(a))
    for x, y in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(x.array, y.numpy(), atol=1e-11)
    if a.size:
        x, y = L.lu_factor(wrap(a)), T.lu_factor(torch.tensor(a))
        np.testing.assert_array_equal(x.pivots.array, y.pivots.numpy())
    single = L.lu_factor(wrap(matrix(40, 40).astype(np.float32)))
    assert single.LU.dtype is cr.float32


def test_results_written_to_out():
    a, out = wrap(positive(3)), cr.empty(3, 3, dtype=cr.float64)
    assert L.inv(a, out=out) is out
    np.testing.assert_array_equal(out.array, L.inv(a).array)
    w, v = cr.empty(0, dtype=cr.float64), cr.empty(0, dtype=cr.float64)
    assert L.eigh(a, out=(w, v)).eigenvectors is v
    assert w.shape == (3,)


def test_low_precision_is_refused_as_by_pytorch():
    with pytest.raises(RuntimeError) as expected:
        T.inv(torch.eye(2).half())
    with pytest.raises(RuntimeError) as got:
        L.inv(cr.eye(2).half())
    assert str(got.value) == str(expected.value)


@pytest.mark.parametrize("uplo", ["L", "U"])
@DTYPES
def test_eigh_reads_one_triangle_when_asked(uplo, dtype):
    a = matrix(3, 3, dtype=dtype)
    for name in ("eigh", "eigvalsh"):
        ours, theirs = getattr(L, name)(wrap(a), uplo), getattr(T, name)(torch.tensor(a), uplo)
        w, z = (ours[0], theirs[0]) if name == "eigh" else (ours, theirs)
        np.testing.assert_allclose(w.array, z.numpy(), atol=1e-12)


def test_norms_at_zero_have_gradient_zero():
    for order in ("fro", 1, np.inf):
        x = leaf(np.zeros((2, 2)))
        (g,) = grad(L.matrix_norm(x, order), x)
        assert not g.array.any()


def test_empty_matrices():
    x = leaf(np.zeros((0, 0)))
    assert L.det(x).item() == 1
    assert L.inv(x).shape == (0, 0)
    assert L.svd(wrap(np.zeros((0, 3)))).Vh.shape == (3, 3)
    assert L.eigh(x).eigenvalues.shape == (0,)
