"""Spread and correlation: var, std, var_mean, std_mean, cov, corrcoef."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from chainrule.core.batching import along
from chainrule.core.dtypes import default_dtype, is_inexact
from chainrule.core.kinds import general
from chainrule.core.samples import Sample, uniform
from chainrule.core.tensor import wrap
from chainrule.ops.api import FUNCTIONS, export
from chainrule.ops.inputs import as_input, axes_of, converted, count_of, is_complex, numpy_dtype
from chainrule.ops.reduce import expand, in_float32, mean, reduced_real, sum_prim
from chainrule.ops.shape import permute_dims, reshape_prim

_Axes = tuple[int, ...]
_add: Any = np.add.reduce


def _freedom(shape: Any, axis: _Axes, correction: float) -> float:
    return max(0.0, count_of(shape, axis) - correction)


def _var_of(x: Any, axis: _Axes, correction: float, keepdims: bool = False) -> Any:
    """Two passes: subtracting the mean first keeps the digits that Σx² - (Σx)²/n would lose."""
    n = count_of(x.shape, axis)
    freedom = _freedom(x.shape, axis, correction)
    d = x - _add(x, axis, keepdims=True) / max(n, 1)
    squares = np.square(d) if d.dtype.kind == "f" else np.square(d.real) + np.square(d.imag)
    total = _add(squares, axis, keepdims=keepdims)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.true_divide(total, freedom, dtype=total.dtype)


def _per(number: float, shape: Any, axis: _Axes, correction: float) -> float:
    freedom = _freedom(shape, axis, correction)
    return number / freedom if freedom else np.inf


def _centred(xp: Any, x: Any, axis: _Axes) -> Any:
    return x - xp.mean(x, axis=axis, keepdims=True)


def _along(xp: Any, t: Any, d: Any) -> Any:
    """Re(t·conj(d)), entry by entry."""
    return xp.real(t * xp.conj(d)) if is_complex(d) else t * d


def _samples() -> list[Sample]:
    return [
        Sample(uniform(2, 3), axis=(0, 1), correction=1, keepdims=False),
        Sample(uniform(2, 3), axis=(1,), correction=0, keepdims=True),
        Sample(uniform(2, 3, 2), axis=(0, 2), correction=1, keepdims=False),
    ]


# The mean depends on x too, but the centred entries sum to zero, so that term drops out.
var_prim = general(
    "var", in_float32(_var_of),
    vjps=(
        lambda xp, g, x, axis, correction, keepdims: expand(
            xp, g * _per(2, x.shape, axis, correction), x, axis, keepdims
        ) * _centred(xp, x, axis),
    ),
    jvps=(
        lambda xp, t, x, axis, correction, keepdims: _per(2, x.shape, axis, correction)
        * xp.sum(_along(xp, t, _centred(xp, x, axis)), axis=axis, keepdims=keepdims),
    ),
    aval=reduced_real, symbol="var({})", samples=_samples, batch=along("axis"),
)  # fmt: skip


def _std_slope(xp: Any, g: Any, out: Any, scale: float) -> Any:
    """g·scale/out; 0 for a constant, where the standard deviation has a kink."""
    flat = out == 0
    return xp.where(flat, 0, g * scale / xp.where(flat, 1, out))


std_prim = general(
    "std",
    in_float32(lambda x, **params: np.sqrt(_var_of(x, **params))),
    vjps=(
        lambda xp, g, x, out, axis, correction, keepdims: expand(
            xp, _std_slope(xp, g, out, _per(1, x.shape, axis, correction)), x, axis, keepdims
        ) * _centred(xp, x, axis),
    ),
    jvps=(
        lambda xp, t, x, out, axis, correction, keepdims: _std_slope(
            xp, xp.sum(_along(xp, t, _centred(xp, x, axis)), axis=axis, keepdims=keepdims), out,
            _per(1, x.shape, axis, correction),
        ),
    ),
    aval=reduced_real, symbol="std({})", samples=_samples, batch=along("axis"),
)  # fmt: skip


def _spread(
    prim: Any, name: str, input: Any, dim: Any, unbiased: Any, keepdim: bool, correction: Any
) -> Any:
    x = as_input(input, name)
    if not is_inexact(numpy_dtype(x)):
        raise RuntimeError("std and var only support floating point and complex dtypes")
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if correction is None:
        correction = 1 if unbiased is None else int(unbiased)
    axes = axes_of(dim, x.ndim)
    if count_of(x.shape, axes) <= correction:
        warnings.warn(
            f"{name}(): degrees of freedom is <= 0. Correction should be strictly less than the "
            "reduction factor (input numel divided by output numel).",
            stacklevel=4,
        )
    return prim(x, axis=axes, correction=correction, keepdims=keepdim)


@export("var")
def var(
    input: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *,
    correction: Any = None,
) -> Any:  # fmt: skip
    """Variance over one dimension, several, or all: squared deviations over n - correction (1).

    Raises:
        RuntimeError: for integers and booleans.

    >>> import chainrule as cr
    >>> cr.var(cr.tensor([1.0, 2.0, 6.0]))
    tensor(7.)
    """
    return _spread(var_prim, "var", input, dim, unbiased, keepdim, correction)


@export("std")
def std(
    input: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *,
    correction: Any = None,
) -> Any:  # fmt: skip
    """Standard deviation over one dimension, several, or all: the root of `var`.

    Raises:
        RuntimeError: for integers and booleans.

    >>> import chainrule as cr
    >>> cr.std(cr.tensor([1.0, 3.0]), correction=0)
    tensor(1.)
    """
    return _spread(std_prim, "std", input, dim, unbiased, keepdim, correction)


@export("var_mean")
def var_mean(
    input: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *,
    correction: Any = None,
) -> Any:  # fmt: skip
    """Variance and mean, as `var` and `mean` give them.

    >>> import chainrule as cr
    >>> cr.var_mean(cr.tensor([1.0, 2.0, 6.0]))
    (tensor(7.), tensor(3.))
    """
    spread = _spread(var_prim, "var_mean", input, dim, unbiased, keepdim, correction)
    return spread, mean(input, None if isinstance(dim, bool) else dim, keepdim)


@export("std_mean")
def std_mean(
    input: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *,
    correction: Any = None,
) -> Any:  # fmt: skip
    """Standard deviation and mean, as `std` and `mean` give them.

    >>> import chainrule as cr
    >>> cr.std_mean(cr.tensor([1.0, 3.0]), correction=0)
    (tensor(1.), tensor(2.))
    """
    spread = _spread(std_prim, "std_mean", input, dim, unbiased, keepdim, correction)
    return spread, mean(input, None if isinstance(dim, bool) else dim, keepdim)


@export("cov")
def cov(
    input: Any, *, correction: float = 1, fweights: Any = None, aweights: Any = None
) -> Any:  # fmt: skip
    """The covariance matrix of variables (rows) observed together (columns).

    `fweights` says how often each observation was made, `aweights` how important it is.

    Raises:
        RuntimeError: for more than two dimensions.

    >>> import chainrule as cr
    >>> cr.cov(cr.tensor([[0.0, 2.0], [1.0, 5.0]]))
    tensor([[2., 4.],
            [4., 8.]])
    """
    x = as_input(input, "cov")
    if x.ndim > 2:
        raise RuntimeError(
            "cov(): expected input to have two or fewer dimensions but got an input with "
            f"{x.ndim} dimensions"
        )
    scalar = x.ndim < 2
    x = reshape_prim(x, shape=(1, -1)) if scalar else x
    if not is_inexact(numpy_dtype(x)):
        x = converted(x, default_dtype())
    n = x.shape[1]
    weights = None
    for given, what in ((fweights, "fweights"), (aweights, "aweights")):
        if given is not None:
            w = as_input(given, "cov", what)
            if tuple(w.shape) != (n,):
                raise RuntimeError(
                    f"cov(): expected {what} to have one entry for each of the {n} observations "
                    f"but got shape {list(w.shape)}"
                )
            weights = w if weights is None else weights * w
    if weights is None:
        centred = x - mean(x, 1, True)
        weighted: Any = centred
        freedom: Any = n - correction
    else:
        weights = converted(weights, x.dtype)
        total = sum_prim(weights, axis=(0,), keepdims=False)
        centred = x - sum_prim(x * weights, axis=(1,), keepdims=True) / total
        weighted = centred * weights
        lost = total
        if aweights is not None:
            squares = weights * converted(as_input(aweights, "cov"), x.dtype)
            lost = sum_prim(squares, axis=(0,), keepdims=False)
        freedom = total - correction * lost / total
    turned = permute_dims(centred, axes=(1, 0))
    matrix = FUNCTIONS["matmul"](weighted, turned.conj() if is_complex(x) else turned)
    if isinstance(freedom, (int, float)) and freedom <= 0:
        warnings.warn("cov(): degrees of freedom is <= 0", stacklevel=3)
        freedom = wrap(np.zeros((), numpy_dtype(matrix)))
    matrix = matrix / freedom
    return reshape_prim(matrix, shape=()) if scalar else matrix


@export("corrcoef")
def corrcoef(input: Any) -> Any:
    """The correlation coefficients of variables (rows) observed together (columns).

    Raises:
        RuntimeError: for more than two dimensions.

    >>> import chainrule as cr
    >>> cr.corrcoef(cr.tensor([[0.0, 2.0], [1.0, 5.0]]))
    tensor([[1., 1.],
            [1., 1.]])
    """
    matrix = cov(input)
    if matrix.ndim == 0:
        return matrix / matrix
    n = matrix.shape[0]
    own = wrap(np.arange(n))
    deviation = FUNCTIONS["sqrt"](matrix[own, own])
    if is_complex(matrix):
        deviation = deviation.real
    rows, columns = (reshape_prim(deviation, shape=s) for s in ((n, 1), (1, n)))
    return matrix / rows / columns
