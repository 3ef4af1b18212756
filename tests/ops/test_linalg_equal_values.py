"""Linear algebra where eigenvalues or singular values are equal, or a matrix is singular."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.autograd.reverse import grad
from chainrule.core.tensor import wrap

from .matrices import L, leaf, matrix

# Degenerate cases.


def test_det_of_a_singular_matrix_has_the_adjugate_as_gradient():
    for a in (
        np.zeros((2, 2)),
        np.diag([1.0, 2.0, 0.0]),
        np.ones((3, 3)),
        np.array([[1.0, 2], [2, 4]]),
    ):
        x = leaf(a)
        (g,) = grad(L.det(x), x)
        n = len(a)
        expected = np.array(
            [
                [
                    (-1) ** (i + j) * np.linalg.det(np.delete(np.delete(a, i, 0), j, 1))
                    for j in range(n)
                ]
                for i in range(n)
            ]
        )
        np.testing.assert_allclose(g.array, expected, atol=1e-14)


def test_det_of_a_singular_matrix_has_a_hessian():
    x = leaf(np.zeros((2, 2)))
    (g,) = grad(L.det(x), x, create_graph=True)
    (h,) = grad(g[0, 0], x)
    assert h.array.tolist() == [[0, 0], [0, 1]]


def test_svd_gradient_at_equal_singular_values():
    x = leaf(np.eye(2))
    U, S, Vh = L.svd(x)
    with pytest.warns(UserWarning, match="singular values 1 and 1 are equal"):
        (g,) = grad(((U * S) @ Vh).sum(), x)
    np.testing.assert_allclose(g.array, np.ones((2, 2)), atol=1e-14)


def test_nuclear_norm_and_projection_at_equal_values():
    q = np.linalg.qr(matrix(4, 4))[0]
    x = leaf(3 * q)
    (g,) = grad(L.svd(x).S.sum(), x)
    np.testing.assert_allclose(g.array, q, atol=1e-12)
    a = (q * [1, 1, 5, 5]) @ q.T
    x = leaf((a + a.T) / 2)
    v = L.eigh(x).eigenvectors[:, 2:]
    b = matrix(4, 4)
    b = b + b.T
    (g,) = grad(((v @ v.mT) * wrap(b)).sum(), x)
    # to first order the projection changes by (P dA Q + Q dA P)/gap, with Q = I - P
    P = q[:, 2:] @ q[:, 2:].T
    Q = np.eye(4) - P
    np.testing.assert_allclose(g.array, (P @ b @ Q + Q @ b @ P) / 4, atol=1e-12)


def test_spectral_function_at_equal_eigenvalues():
    x = leaf(2 * np.eye(3))
    w, v = L.eigh(x)
    b = matrix(3, 3)
    b = b + b.T
    with pytest.warns(UserWarning, match="eigenvalues 2 and 2 are equal"):
        (g,) = grad(((v * w**2) @ v.mT * wrap(b)).sum(), x)
    np.testing.assert_allclose(g.array, 4 * b, atol=1e-12)


def test_a_function_that_depends_on_the_vectors_has_no_gradient_where_values_coincide():
    x = leaf(np.eye(2))
    (g,) = grad(L.eigh(x).eigenvectors[0, 1], x)
    assert not np.isfinite(g.array).all()


def test_tangents_at_equal_values():
    from chainrule.core import engine

    x = leaf(np.diag([1.0, 1, 3]))
    w, v = L.eigh(x)
    t = np.zeros((3, 3))
    t[0, 2] = t[2, 0] = 1
    order, _ = engine.between([w.node, v.node], [x.node])
    pushed = engine.push(order, {x.node: t}, False)
    assert not pushed[w.node].any()
    dv = pushed[v.node]
    assert np.isfinite(dv).all()
    # A v = v w to first order
    np.testing.assert_allclose(t @ v.array + x.array @ dv, dv * w.array, atol=1e-14)


def _gradient_at(f, a):
    x = cr.tensor(a, requires_grad=True)
    f(x).backward()
    return x.grad.array


@pytest.mark.filterwarnings("error")
def test_a_gradient_that_rests_on_an_assumption_at_equal_values_warns():
    eye, weights = np.eye(3), cr.tensor(np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, 0]]))

    def whole(x):
        U, S, Vh = L.svd(x)
        return U @ cr.diag(S) @ Vh

    with pytest.warns(UserWarning, match="singular values 1 and 1 are equal.*[Pp]erturb"):
        np.testing.assert_allclose(_gradient_at(lambda x: whole(x).sum(), eye), np.ones((3, 3)))
    with pytest.warns(UserWarning, match="are equal"):
        _gradient_at(lambda x: (whole(x) * weights).sum(), eye)

    def square(x):
        w, v = L.eigh(x)
        return (v * w**2) @ v.mT

    with pytest.warns(UserWarning, match="eigenvalues 1 and 1 are equal"):
        found = _gradient_at(lambda x: square(x).sum(), eye)
    np.testing.assert_allclose(found, 2 * np.ones((3, 3)))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("f", [
    lambda x: L.svdvals(x).sum(),
    lambda x: L.svd(x).S.prod(),
    lambda x: L.eigvalsh(x).exp().sum(),
    lambda x: L.eigh(x).eigenvalues.square().sum(),
    lambda x: ((v := L.eigh(x).eigenvectors[:, :2]) @ v.mT).sum(),
    lambda x: ((p := L.svd(x)).U @ p.Vh).sum(),
    lambda x: ((p := L.eigh(x)).eigenvectors * p.eigenvalues @ p.eigenvectors.mT).trace(),
])  # fmt: skip
def test_other_gradients_at_equal_values_are_silent(f):
    assert np.isfinite(_gradient_at(f, np.diag([2.0, 2.0, 5.0]))).all()


@pytest.mark.filterwarnings("error")
def test_distinct_values_are_silent():
    _gradient_at(lambda x: L.svd(x).U.sum() + L.svd(x).S.sum(), np.diag([1.0, 2.0, 5.0]))
