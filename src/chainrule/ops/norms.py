"""Vector norms and distances: norm, dist, cdist, renorm."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.batching import along
from chainrule.core.dtypes import is_inexact
from chainrule.core.kinds import general
from chainrule.core.samples import Sample, uniform
from chainrule.ops.api import export
from chainrule.ops.inputs import (
    as_input,
    axes_of,
    axis_of,
    converted,
    is_complex,
    numpy_dtype,
    torch_name,
)  # fmt: skip
from chainrule.ops.masks import where
from chainrule.ops.reduce import expand, in_float32, reduced_real
from chainrule.ops.shape import reshape_prim

_Axes = tuple[int, ...]
_add: Any = np.add.reduce


def _norm_of(x: Any, ord: float, axis: _Axes, keepdims: bool = False) -> Any:
    if ord == 2:
        squares = np.square(x) if x.dtype.kind != "c" else np.square(x.real) + np.square(x.imag)
        return np.sqrt(_add(squares, axis, keepdims=keepdims))
    size = np.abs(x)
    if ord == 1:
        return _add(size, axis, keepdims=keepdims)
    if np.isinf(ord):
        reduce: Any = np.maximum.reduce if ord > 0 else np.minimum.reduce
        return reduce(size, axis, keepdims=keepdims)
    if ord == 0:
        return _add(size != 0, axis, dtype=size.dtype, keepdims=keepdims)
    with np.errstate(divide="ignore"):
        return _add(size**ord, axis, keepdims=keepdims) ** (1 / ord)


def _direction(xp: Any, x: Any, size: Any) -> Any:
    """x/|x|, and 0 at 0."""
    return x / xp.where(size == 0, 1, size) if is_complex(x) else xp.sign(x)


def _norm_slope(xp: Any, x: Any, out: Any, ord: float, axis: _Axes, keepdims: bool) -> Any:
    """The derivative of the norm by each entry; 0 where the norm is not differentiable."""
    norm = expand(xp, out, x, axis, keepdims)
    flat = norm == 0
    if ord == 2:
        return xp.where(flat, 0, x / xp.where(flat, 1, norm))
    size = xp.abs(x)
    direction = _direction(xp, x, size)
    if ord == 1:
        return direction
    if np.isinf(ord):
        return direction * xp.tie_weights(size, out, axis=axis, keepdims=keepdims)
    flat = xp.logical_or(flat, size == 0)
    ratio = xp.where(flat, 1, size) / xp.where(flat, 1, norm)
    return xp.where(flat, 0, direction * ratio ** (ord - 1))


def _norm_vjp(xp: Any, g: Any, x: Any, out: Any, ord: float, axis: _Axes, keepdims: bool) -> Any:
    if ord == 0:
        return xp.zeros_like(x)
    return expand(xp, g, x, axis, keepdims) * _norm_slope(xp, x, out, ord, axis, keepdims)


def _norm_jvp(xp: Any, t: Any, x: Any, out: Any, ord: float, axis: _Axes, keepdims: bool) -> Any:
    if ord == 0:
        return xp.zeros_like(out)
    slope = _norm_slope(xp, x, out, ord, axis, keepdims)
    change = xp.real(t * xp.conj(slope)) if is_complex(x) else t * slope
    return xp.sum(change, axis=axis, keepdims=keepdims)


vector_norm_prim = general(
    "vector_norm", in_float32(_norm_of), vjps=(_norm_vjp,), jvps=(_norm_jvp,), symbol="‖{}‖",
    grad_name="LinalgVectorNorm", aval=reduced_real, batch=along("axis"),
    samples=lambda: [
        *(Sample(uniform(2, 3), ord=p, axis=(0, 1), keepdims=False)
          for p in (2.0, 1.0, np.inf, -np.inf, 0.0, 3.0, 1.5, 0.5, -1.0)),
        Sample(uniform(2, 3), ord=2.0, axis=(1,), keepdims=True),
        Sample(uniform(2, 3), ord=3.0, axis=(0,), keepdims=False),
    ],
)  # fmt: skip


def vector_norm(
    x: Any, ord: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Any:
    """The p-norm (Σ|x|^p)^(1/p) of the entries over one dimension, several, or all.

    `ord` may be any number: 0 counts nonzero entries, inf and -inf take the largest and smallest
    absolute value.

    Raises:
        RuntimeError: for integers, and for the inf norm of nothing.

    >>> import chainrule as cr
    >>> cr.norm(cr.tensor([3.0, 4.0]))
    tensor(5.)
    """
    x = converted(as_input(x, "linalg.vector_norm", "x"), dtype)
    if not is_inexact(numpy_dtype(x)):
        raise RuntimeError(
            "linalg.vector_norm: Expected a floating point or complex tensor as input. Got "
            f"{torch_name(x)}"
        )
    axes = axes_of(dim, x.ndim)
    if (ord < 0 or ord == np.inf) and any(x.shape[i] == 0 for i in axes):
        raise RuntimeError(
            f"linalg.vector_norm cannot compute the {ord} norm on an empty tensor because the "
            "operation does not have an identity"
        )
    return vector_norm_prim(x, ord=float(ord), axis=axes, keepdims=keepdim)


@export("dist")
def dist(input: Any, other: Any, p: float = 2) -> Any:
    """The p-norm of the difference of two tensors.

    >>> import chainrule as cr
    >>> cr.dist(cr.tensor([3.0, 4.0]), cr.tensor([0.0, 0.0]))
    tensor(5.)
    """
    return vector_norm(as_input(input, "dist") - other, p)


@export("cdist", method=False)
def cdist(
    x1: Any, x2: Any, p: float = 2.0, compute_mode: str = "use_mm_for_euclid_dist_if_necessary"
) -> Any:
    """Distances between all rows of `x1` (..., n, d) and of `x2` (..., m, d): (..., n, m).

    Differences are always taken, never squares expanded, so that close points keep their distance.

    Raises:
        RuntimeError: if the rows have different lengths.

    >>> import chainrule as cr
    >>> cr.cdist(cr.tensor([[0.0, 0.0]]), cr.tensor([[3.0, 4.0], [0.0, 1.0]]))
    tensor([[5., 1.]])
    """
    a, b = as_input(x1, "cdist", "x1"), as_input(x2, "cdist", "x2")
    for x, which in ((a, "X1"), (b, "X2")):
        if x.ndim < 2:
            raise RuntimeError(f"cdist only supports at least 2D tensors, {which} got: {x.ndim}D")
    if a.shape[-1] != b.shape[-1]:
        raise RuntimeError(
            f"X1 and X2 must have the same number of columns. X1: {a.shape[-1]} X2: {b.shape[-1]}"
        )
    rows = reshape_prim(a, shape=(*a.shape[:-1], 1, a.shape[-1]))
    columns = reshape_prim(b, shape=(*b.shape[:-2], 1, *b.shape[-2:]))
    return vector_norm(rows - columns, p, -1)


@export("renorm", in_place=True)
def renorm(input: Any, p: float, dim: int, maxnorm: float) -> Any:
    """The tensor with every slice along `dim` shrunk to p-norm `maxnorm` if it is longer.

    Raises:
        RuntimeError: for fewer than two dimensions.

    >>> import chainrule as cr
    >>> cr.renorm(cr.tensor([[3.0, 4.0], [0.3, 0.4]]), 2, 0, 1.0)
    tensor([[0.6000, 0.8000],
            [0.3000, 0.4000]])
    """
    x = as_input(input, "renorm")
    if x.ndim < 2:
        raise RuntimeError(f"renorm: input needs at least 2 dimensions, got {x.ndim} dimensions")
    axis = axis_of(dim, x.ndim, "renorm")
    size = vector_norm(x, p, tuple(i for i in range(x.ndim) if i != axis), True)
    # The 1e-7 is PyTorch's.
    return x * where(size > maxnorm, maxnorm / (size + 1e-7), 1.0)
