"""Errors of linear algebra are worded as in PyTorch."""

import numpy as np
import pytest

from chainrule.core.tensor import wrap

from .matrices import L, T, agrees, matrix, torch

# Errors.

SINGULAR = np.zeros((2, 2))


BATCH = np.stack([np.eye(2), np.array([[1.0, 2], [2, 4]]), np.eye(2)])


WIDE, VECTOR, INTEGER, NAN = (
    np.ones((2, 3)),
    np.ones(3),
    np.ones((2, 2), int),
    np.full((2, 2), np.nan),
)


NEEDS_SQUARE = ["inv", "det", "slogdet", "cholesky", "eigh", "eig", "matrix_exp"]


NEEDS_MATRIX = [*NEEDS_SQUARE, "svd", "qr", "svdvals", "pinv", "matrix_rank", "matrix_norm", "cond"]


NEEDS_FLOAT = ["inv", "det", "cholesky", "eigh", "svd", "qr", "pinv", "matrix_norm", "matrix_exp"]


ERRORS = [
    *[(name, (WIDE,), {}) for name in NEEDS_SQUARE],
    *[(name, (VECTOR,), {}) for name in [*NEEDS_MATRIX, "lu_factor"]],
    *[(name, (INTEGER,), {}) for name in NEEDS_FLOAT],
    ("inv", (SINGULAR,), {}),
    ("inv", (BATCH,), {}),
    ("solve", (SINGULAR, np.ones((2, 1))), {}),
    ("solve", (BATCH, np.ones((3, 2, 1))), {}),
    ("cholesky", (BATCH,), {}),
    ("cholesky", (-np.eye(2),), {}),
    ("lu_factor", (SINGULAR,), {}),
    ("lu_factor", (BATCH,), {}),
    ("matrix_power", (SINGULAR, -1), {}),
    ("solve", (np.eye(2), VECTOR), {}),
    ("solve", (np.eye(2), np.ones((3, 2))), {}),
    ("solve", (np.eye(2), np.ones((2, 1), np.float32)), {}),
    ("solve", (WIDE, np.ones(2)), {}),
    ("solve_triangular", (np.eye(2), np.ones(2)), {"upper": True}),
    ("svd", (NAN,), {}),
    ("eig", (NAN,), {}),
    ("qr", (np.eye(2), "foo"), {}),
    ("eigh", (np.eye(2), "X"), {}),
    ("matrix_norm", (np.eye(2), "foo"), {}),
    ("matrix_norm", (np.eye(2), 3), {}),
    ("norm", (np.ones((2, 2, 2)), 2), {}),
    ("cond", (np.eye(2), "x"), {}),
    ("multi_dot", ([np.eye(2)],), {}),
    ("multi_dot", ([WIDE, WIDE],), {}),
    ("cross", (np.ones(2), np.ones(2)), {}),
    ("cross", (VECTOR, WIDE), {}),
    ("tensorinv", (np.ones((2, 3, 4)),), {}),
    ("vander", (np.ones(2),), {"N": 0}),
    ("lstsq", (np.eye(2), VECTOR), {}),
]


@pytest.mark.parametrize(("name", "args", "options"), ERRORS)
def test_errors_are_worded_as_pytorch(name, args, options):
    def converted(x, make):
        if isinstance(x, list):
            return [make(a) for a in x]
        return make(x) if isinstance(x, np.ndarray) else x

    with pytest.raises((RuntimeError, NotImplementedError)) as expected:
        getattr(T, name)(*[converted(a, torch.tensor) for a in args], **options)
    with pytest.raises((RuntimeError, NotImplementedError)) as got:
        getattr(L, name)(*[converted(a, wrap) for a in args], **options)
    assert str(got.value) == str(expected.value)
    assert isinstance(got.value, L.LinAlgError) == isinstance(expected.value, T.LinAlgError)


def test_ex_variants_report_instead_of_raising():
    assert L.inv_ex(wrap(BATCH)).info.tolist() == T.inv_ex(torch.tensor(BATCH)).info.tolist()
    bad = np.stack([np.eye(2), np.diag([1.0, -1])])
    ours, theirs = L.cholesky_ex(wrap(bad)), T.cholesky_ex(torch.tensor(bad))
    assert ours.info.tolist() == theirs.info.tolist() == [0, 2]
    found = L.solve_ex(wrap(BATCH), wrap(np.ones((3, 2))))
    assert found.info.tolist() == [0, 2, 0]
    assert np.isnan(found.result.array).tolist() == [[False] * 2, [True] * 2, [False] * 2]
    agrees(lambda a: L.solve_ex(a, a)[0], lambda a: T.solve_ex(a, a)[0], matrix(2, 2))
    assert (
        L.solve_triangular(wrap(SINGULAR), wrap(np.ones((2, 1))), upper=True).array[1, 0] == np.inf
    )
