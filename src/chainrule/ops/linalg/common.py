"""What linear algebra shares: its error, checks of arguments, and pieces that rules are made of."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.avals import last_replaced, typed
from chainrule.ops.contract_checks import operand, scalar_name
from chainrule.ops.products import adjoint, conj, numpy_dtype, transpose

# Shape rules of what there is for each matrix (m, n): a number, an int32, min(m, n) values.
number_each = last_replaced(2, lambda m, n: ())
info_each = typed(number_each, np.int32)
values_each = last_replaced(2, lambda m, n: (min(m, n),))


class LinAlgError(RuntimeError):
    """A matrix that an algorithm cannot work with: singular, or not positive definite."""


def check_matrix(x: Any, name: str, argument: str = "A") -> Any:
    """The array behind a matrix or batch of matrices of a floating-point dtype.

    Raises:
        RuntimeError: if it has fewer than two dimensions or is of another dtype.
    """
    a = operand(x, name, argument, 1)
    if a.ndim < 2:
        raise RuntimeError(f"{name}: The input tensor {argument} must have at least 2 dimensions.")
    dt = numpy_dtype(a)
    if dt.kind not in "fcV":
        raise RuntimeError(
            f"{name}: Expected a floating point or complex tensor as input. Got {scalar_name(a)}"
        )
    if dt.kind == "V" or dt.itemsize < 4:
        raise RuntimeError(f"{name}: Low precision dtypes not supported. Got {scalar_name(a)}")
    return a


def check_square(x: Any, name: str, argument: str = "A") -> Any:
    """The array behind a square matrix or batch of them.

    Raises:
        RuntimeError: if it is not square, or not a floating-point matrix.
    """
    a = operand(x, name, argument, 1)
    if a.ndim >= 2 and a.shape[-1] != a.shape[-2]:
        raise RuntimeError(
            f"{name}: {argument} must be batches of square matrices, but they are {a.shape[-2]} "
            f"by {a.shape[-1]} matrices"
        )
    return check_matrix(x, name, argument)


def batch_element(flags: Any) -> str:
    """PyTorch's mention of the first batch element that `flags` marks; nothing without a batch."""
    if flags.ndim == 0:
        return ""
    return f"(Batch element {int(np.argmax(flags.reshape(-1)))}): "


def first_zero(values: Any) -> Any:
    """The place, from 1, of the first zero along the last axis; 0 if there is none."""
    zero = values == 0
    if not zero.shape[-1]:
        return np.zeros(zero.shape[:-1], np.int32)
    return np.where(zero.any(-1), zero.argmax(-1) + 1, 0).astype(np.int32)


def adjoint_raw(a: Any) -> Any:
    """The conjugate transpose of arrays."""
    a = a.swapaxes(-1, -2)
    return a.conj() if a.dtype.kind == "c" else a


def re(xp: Any, a: Any) -> Any:
    """The real part."""
    return xp.real(a) if numpy_dtype(a).kind == "c" else a


def tril(xp: Any, a: Any, k: int = 0) -> Any:
    """Entries on and below the k-th diagonal; zero elsewhere."""
    return xp.where(np.tri(a.shape[-2], a.shape[-1], k, dtype=bool), a, 0)


def triu(xp: Any, a: Any, k: int = 0) -> Any:
    """Entries on and above the k-th diagonal; zero elsewhere."""
    return xp.where(np.tri(a.shape[-2], a.shape[-1], k - 1, dtype=bool), 0, a)


def hermitian(xp: Any, a: Any) -> Any:
    """The Hermitian part (A + Aᴴ)/2."""
    return (a + adjoint(xp, a)) * 0.5


def as_row(xp: Any, v: Any) -> Any:
    """(..., n) as (..., 1, n): multiplies columns."""
    return xp.reshape(v, shape=(*v.shape[:-1], 1, v.shape[-1]))


def as_column(xp: Any, v: Any) -> Any:
    """(..., n) as (..., n, 1): multiplies rows."""
    return xp.reshape(v, shape=(*v.shape, 1))


def diagonal(xp: Any, a: Any) -> Any:
    """The diagonals of square matrices."""
    n = a.shape[-1]
    return xp.sum(xp.where(np.eye(n, dtype=bool), a, 0), axis=(a.ndim - 1,), keepdims=False)


def diagonal_matrix(xp: Any, v: Any) -> Any:
    """Square matrices with the given diagonals."""
    return xp.where(np.eye(v.shape[-1], dtype=bool), as_row(xp, v), 0)


def columns(xp: Any, a: Any, start: int, stop: int) -> Any:
    """Some columns of matrices."""
    return xp.getitem(a, index=(Ellipsis, ("slice", start, stop, None)))


def rows_of(xp: Any, a: Any, start: int, stop: int) -> Any:
    """Some rows of matrices."""
    return xp.getitem(
        a, index=(Ellipsis, ("slice", start, stop, None), ("slice", None, None, None))
    )


def spd(n: int, *batch: int, complex: bool = False) -> np.ndarray:
    """A Hermitian positive definite sample with well separated eigenvalues."""
    q = np.linalg.qr(general_matrix(n, n, *batch, complex=complex))[0]
    values = np.arange(1, n + 1) * 0.7 + 0.5
    made: np.ndarray = (q * values) @ np.conj(np.swapaxes(q, -1, -2))
    return made


def general_matrix(m: int, n: int, *batch: int, complex: bool = False, seed: int = 3) -> np.ndarray:
    """A sample with well separated singular values."""
    rng = np.random.default_rng([seed, m, n])
    a = rng.standard_normal((*batch, m, n))
    if complex:
        a = a + 1j * rng.standard_normal((*batch, m, n))
    u, _, vh = np.linalg.svd(a, full_matrices=False)
    made: np.ndarray = (u * (np.arange(min(m, n), 0, -1) * 0.6 + 0.3)) @ vh
    return made


__all__ = [
    "LinAlgError", "adjoint", "adjoint_raw", "as_column", "as_row", "batch_element", "check_matrix",
    "check_square", "columns", "conj", "diagonal", "diagonal_matrix", "first_zero",
    "general_matrix", "hermitian", "info_each", "number_each", "numpy_dtype", "operand", "re",
    "rows_of", "scalar_name", "spd", "transpose", "tril", "triu", "values_each",
]  # fmt: skip
