"""Division by differences of eigenvalues or singular values, and what to do where they vanish."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from chainrule.core.namespaces import raw
from chainrule.ops.linalg.common import (
    as_column,
    as_row,
    diagonal,
    hermitian,
    numpy_dtype,
    re,
)


def over_gaps(xp: Any, numerator: Any, values: Any, scale: Any, limit: Any = 0) -> Any:
    """numerator_ij / (λ_j - λ_i) off the diagonal, and 0 on it.

    Where both the gap and the numerator vanish, up to rounding, the quotient is `limit`; what
    counts as rounding in the numerator is measured by the entries of `scale`.  A numerator that
    does not vanish with its gap belongs to a function that depends on the choice of vectors: its
    derivative does not exist, and the division says so by an infinity.
    """
    n = values.shape[-1]
    eye = np.eye(n, dtype=bool)
    if n < 2:
        return xp.zeros_like(numerator)
    eps = 16 * n * float(np.finfo(numpy_dtype(numerator)).eps)
    gap = as_row(xp, values) - as_column(xp, values)
    last = (numerator.ndim - 2, numerator.ndim - 1)
    width = as_row(xp, xp.amax(xp.abs(values), axis=(values.ndim - 1,), keepdims=True))
    noise = xp.amax(xp.abs(scale), axis=last, keepdims=True) * eps
    lost = xp.logical_and(xp.abs(gap) <= eps * width, xp.abs(numerator) <= noise)
    quotient = numerator / xp.where(xp.logical_or(lost, eye), 1, gap)
    return xp.where(eye, 0, xp.where(lost, limit, quotient))


def slope_limit(xp: Any, inner: Any, slope: Any) -> Any:
    """What a vanished quotient tends to, for a function Σ φ(λ_i) v_iᴴ B v_i of the matrix.

    There the numerator is (φ_j - φ_i) B_ij, so the limit is φ' B_ij, while `inner` has the entries
    φ B_ij and the cotangents of the values, `slope`, are φ' B_ii: hence φ'/φ is found on the
    diagonal.  Functions of the values alone have inner = 0, and spectral projections slope = 0;
    both give 0, as they must.
    """
    if slope is None:
        return 0
    d = re(xp, diagonal(xp, inner))
    weight = d * d
    above = as_row(xp, slope * d) + as_column(xp, slope * d)
    below = as_row(xp, weight) + as_column(xp, weight)
    ratio = xp.where(below == 0, 0, above / xp.where(below == 0, 1, below))
    return ratio * hermitian(xp, inner)


def warn_assumed(xp: Any, inner: Any, values: Any, slope: Any, what: str) -> None:
    """Warn where a gradient rests on `slope_limit`: at equal values whose vectors mattered.

    The assumption is void unless a function used both the values and the vectors, and `inner` has a
    Hermitian part at the equal pair: only then is there a slope φ' to be guessed.
    """
    if xp is not raw or slope is None or values.shape[-1] < 2:
        return
    eps = 16 * values.shape[-1] * float(np.finfo(values.dtype).eps)
    size = np.abs(values).max(-1, keepdims=True)
    equal = np.triu(np.abs(values[..., None, :] - values[..., None]) <= eps * size[..., None], 1)
    if not equal.any():
        return
    part = np.abs(inner + inner.conj().swapaxes(-1, -2)) * 0.5
    skew = np.abs(inner - inner.conj().swapaxes(-1, -2)) * 0.5
    noise = eps * np.maximum(np.abs(inner).max((-2, -1)), np.abs(slope).max(-1))[..., None, None]
    guessed = np.argwhere(equal & (part > noise) & (skew <= noise))
    if guessed.size:
        *batch, i, j = guessed[0]
        first, second = values[(*batch, i)], values[(*batch, j)]
        warnings.warn(
            f"{what} {first:.6g} and {second:.6g} are equal, and there the gradient of a function "
            "of both values and vectors cannot be found from the vectors alone. It was taken to be "
            "one function of the matrix, the sum over i of f(value i) weighed by vector i; if it "
            "is anything else, the gradient is wrong. Perturb the matrix so that its values "
            "differ, or write the function through the values or the matrix itself.",
            UserWarning,
            stacklevel=2,
        )
