"""Linear algebra under every transform."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import func
from tests.transforms import public_checks as checks

L = cr.linalg


def general(*shape, seed=0):
    """Matrices with well separated singular values and eigenvalues."""
    rng = np.random.default_rng([seed, *shape])
    a = 0.3 * rng.standard_normal(shape)
    k = min(shape[-2:])
    a[..., range(k), range(k)] += np.arange(1, k + 1)
    return a


def complex_(*shape, seed=0):
    return general(*shape, seed=seed) + 0.3j * general(*shape, seed=seed + 5)


def symmetric(x):
    return x + x.mT


def spd(x):
    return x @ x.mT


def rows(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).uniform(0.5, 1.5, shape)


S, T, R = general(3, 3), general(2, 3, 3), rows(3, 2)
CASES = {
    "inv": (L.inv, S),
    "inv_batch": (cr.inverse, T),
    "inv_complex": (L.inv, complex_(2, 2)),
    "inv_ex": (lambda x: L.inv_ex(x).inverse, S),
    "det": (L.det, S),
    "det_batch": (cr.det, T),
    "det_singular": (L.det, np.arange(9.0).reshape(3, 3)),
    "slogdet": (lambda x: L.slogdet(x).logabsdet, T),
    "slogdet_complex": (L.slogdet, complex_(2, 2)),
    "logdet": (cr.logdet, S),
    "solve": (L.solve, S, R),
    "solve_vector": (L.solve, S, rows(3)),
    "solve_right": (lambda x, y: L.solve(x, y, left=False), S, rows(2, 3)),
    "solve_batch": (L.solve, T, rows(2, 3, 1)),
    "solve_ex": (lambda x, y: L.solve_ex(x, y).result, S, R),
    "tensorsolve": (L.tensorsolve, general(4, 4).reshape(2, 2, 2, 2), rows(2, 2)),
    "tensorinv": (lambda x: L.tensorinv(x, ind=1), general(4, 4).reshape(4, 2, 2)),
    "triangular": (lambda x, y: L.solve_triangular(x, y, upper=True), S, R),
    "triangular_right": (
        lambda x, y: L.solve_triangular(x, y, upper=False, left=False, unitriangular=True),
        S, rows(2, 3),
    ),
    "triangular_solve": (lambda y, x: cr.triangular_solve(y, x).solution, R, S),
    "cholesky": (lambda x: L.cholesky(spd(x)), S),
    "cholesky_upper": (lambda x: L.cholesky(spd(x), upper=True), T),
    "cholesky_ex": (lambda x: L.cholesky_ex(spd(x)).L, S),
    "cholesky_solve": (lambda y, x: cr.cholesky_solve(y, L.cholesky(spd(x))), R, S),
    "cholesky_inverse": (lambda x: cr.cholesky_inverse(L.cholesky(spd(x))), S),
    "qr": (lambda x: L.qr(x), general(4, 2)),
    "qr_wide": (lambda x: L.qr(x), general(2, 4)),
    "qr_r": (lambda x: L.qr(x, mode="r").R, S),
    "lu": (lambda x: L.lu(x)[1:], general(4, 3)),
    "lu_wide": (lambda x: L.lu(x)[1:], general(2, 3)),
    "lu_unpivoted": (lambda x: L.lu(x, pivot=False)[1:], S),
    "lu_factor": (lambda x: L.lu_factor(x).LU, S),
    "lu_factor_ex": (lambda x: L.lu_factor_ex(x).LU, S),
    "lu_solve": (lambda x, y: L.lu_solve(*L.lu_factor(x), y), S, R),
    "lu_solve_adjoint": (lambda x, y: L.lu_solve(*L.lu_factor(x), y, adjoint=True), S, R),
    "lu_solve_right": (lambda x, y: L.lu_solve(*L.lu_factor(x), y, left=False), S, rows(2, 3)),
    "eigh_values": (lambda x: L.eigh(symmetric(x)).eigenvalues, T),
    "eigh_vectors": (lambda x: L.eigh(symmetric(x)).eigenvectors.abs(), S),
    "eigh_lower": (lambda x: L.eigh(x, UPLO="L").eigenvalues, S),
    "eigvalsh": (lambda x: L.eigvalsh(x, UPLO="U"), S),
    "eig_values": (lambda x: L.eig(x).eigenvalues, S),
    "eig_vectors": (lambda x: L.eig(x).eigenvectors.abs(), S),
    "eigvals": (L.eigvals, S),
    "svd": (lambda x: (L.svd(x, full_matrices=False).U.abs(), L.svd(x, False).S), general(3, 2)),
    "torch_svd": (lambda x: cr.svd(x)[1], S),
    "svd_values_only": (lambda x: cr.svd(x, compute_uv=False)[1], S),
    "svdvals": (L.svdvals, general(2, 3, 2)),
    "pinv": (L.pinv, general(3, 2)),
    "pinv_hermitian": (lambda x: L.pinv(x, rtol=1e-3), S),
    "lstsq": (lambda x, y: L.lstsq(x, y).solution, general(4, 2), rows(4, 2)),
    "lstsq_vector": (lambda x, y: L.lstsq(x, y).solution, general(4, 2), rows(4)),
    "matrix_exp": (L.matrix_exp, S),
    "matrix_exp_batch": (cr.matrix_exp, T),
    "matrix_power": (lambda x: L.matrix_power(x, 3), S),
    "matrix_power_negative": (lambda x: L.matrix_power(x, -2), T),
    "matrix_power_1": (lambda x: L.matrix_power(x, 1), S),
    "matrix_power_0": (lambda x: L.matrix_power(x, 0), S),
    "matrix_norm_fro": (L.matrix_norm, T),
    "matrix_norm_nuc": (lambda x: L.matrix_norm(x, "nuc", dim=(0, 2), keepdim=True), T),
    "matrix_norm_2": (lambda x: L.matrix_norm(x, 2), S),
    "matrix_norm_minus2": (lambda x: L.matrix_norm(x, -2), T),
    "matrix_norm_1": (lambda x: L.matrix_norm(x, 1, keepdim=True), S),
    "matrix_norm_inf": (lambda x: L.matrix_norm(x, -float("inf")), T),
    "norm": (L.norm, S),
    "norm_dim": (lambda x: L.norm(x, 3, dim=-1), S),
    "norm_p": (lambda x: cr.norm(x, p=1, dim=0, keepdim=True), S),
    "norm_nuc": (lambda x: cr.norm(x, p="nuc"), S),
    "vector_norm": (lambda x: L.vector_norm(x, 3.0, dim=(0, -1)), T),
    "cond": (L.cond, S),
    "cond_fro": (lambda x: L.cond(x, "fro"), S),
    "vander": (lambda x: L.vander(x, N=4), rows(3)),
    "torch_vander": (cr.vander, rows(3)),
    "diagonal": (lambda x: L.diagonal(x, offset=1), T),
    "meshgrid": (lambda x, y: cr.meshgrid(x, y, indexing="xy"), rows(3), rows(2)),
    "cartesian_prod": (cr.cartesian_prod, rows(3), rows(2)),
    "combinations": (cr.combinations, rows(4)),
    "block_diag": (cr.block_diag, rows(2, 3), rows(2)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_linear_algebra(name):
    checks.check(*CASES[name])


SINGULAR = np.array([[1.0, 2.0], [2.0, 4.0]])
MIXED = np.stack([np.eye(2), SINGULAR, np.array([[0.0, 1.0], [2.0, 3.0]])])


def test_information_is_per_example():
    x, b = cr.tensor(MIXED), cr.tensor(rows(3, 2))
    found = func.vmap(L.inv_ex)(x)
    assert found.info.tolist() == [0, 2, 0]
    assert found.info.dtype == cr.int32
    assert found.inverse.isnan().any((1, 2)).tolist() == [False, True, False]
    np.testing.assert_allclose(found.inverse[2].numpy(), np.linalg.inv(MIXED[2]))
    found = func.vmap(L.solve_ex)(x, b)
    assert found.info.tolist() == [0, 2, 0]
    np.testing.assert_allclose(found.result[2].numpy(), np.linalg.solve(MIXED[2], b.numpy()[2]))
    assert found.result[1].isnan().all()
    assert func.vmap(L.lu_factor_ex)(x).info.tolist() == [0, 2, 0]
    definite = np.stack([np.eye(2), -np.eye(2), np.array([[1.0, 2.0], [2.0, 1.0]])])
    assert func.vmap(L.cholesky_ex)(cr.tensor(definite)).info.tolist() == [0, 1, 2]


def test_errors_name_the_example():
    x = cr.tensor(MIXED)
    with pytest.raises(L.LinAlgError, match=r"linalg.inv: \(Batch element 1\)"):
        func.vmap(L.inv)(x)
    with pytest.raises(RuntimeError, match=r"lu_factor: \(Batch element 1\)"):
        func.vmap(L.lu_factor)(x)


def test_rank():
    x = cr.tensor(MIXED)
    assert func.vmap(L.matrix_rank)(x).tolist() == [2, 1, 2]
    assert func.vmap(lambda a: L.matrix_rank(a @ a.mT, hermitian=True))(x).tolist() == [2, 1, 2]
    limits = cr.tensor([0.5, 1e-6, 1.0], dtype=cr.float64)
    assert func.vmap(lambda a, t: L.matrix_rank(a, tol=t))(x, limits).tolist() == [2, 1, 1]
    shared = func.vmap(lambda t: L.matrix_rank(cr.tensor(np.eye(2)), tol=t))(limits)
    assert shared.tolist() == [2, 2, 0]
    assert func.jvp(L.matrix_rank, (x,), (x,))[0].tolist() == [2, 1, 2]


def test_least_squares_of_a_shape_that_depends_on_data():
    A, B = cr.tensor(general(3, 4, 2)), cr.tensor(rows(3, 4, 1))
    found = func.vmap(lambda a, b: L.lstsq(a, b)[0::2])(A, B)
    assert found[1].tolist() == [2, 2, 2]
    with pytest.raises(RuntimeError, match="the shape of the residuals depends on the rank"):
        func.vmap(lambda a, b: L.lstsq(a, b, driver="gelsd").solution)(A, B)
    values = func.jvp(lambda a: L.lstsq(a, B[0], driver="gelsd")[1], (A[0],), (A[1],))[1]
    assert values.shape == (1,)


def test_nan_of_one_example_stays_there():
    x = MIXED.copy()
    x[1] = np.nan
    got = func.vmap(L.matrix_exp)(cr.tensor(x)).numpy()
    assert np.isnan(got[1]).all()
    np.testing.assert_allclose(got[0], np.e * np.eye(2))


def test_one_matrix_for_all_examples_is_factorised_once():
    A, b = cr.tensor(general(3, 3)), cr.tensor(rows(4, 3))

    def loss(a, v):
        return (L.solve(a, v) ** 2).sum()

    got = func.vmap(func.grad(loss, (0, 1)), (None, 0))(A, b)
    for i in range(4):
        for g, w in zip(got, func.grad(loss, (0, 1))(A, b[i]), strict=True):
            np.testing.assert_allclose(g[i].numpy(), w.numpy())
