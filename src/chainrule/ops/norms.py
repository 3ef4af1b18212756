"""Vector norms and distances."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.dtypes import is_inexact
from chainrule.core.kinds import general
from chainrule.core.samples import Sample, uniform
from chainrule.ops.api import export
from chainrule.ops.inputs import as_input, axes_of, converted, is_complex, numpy_dtype, torch_name
from chainrule.ops.reduce import expand

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
    return xp.where(flat, 0, direction * xp.pow(ratio, ord - 1))


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
    "vector_norm", _norm_of, vjps=(_norm_vjp,), jvps=(_norm_jvp,), symbol="‖{}‖",
    grad_name="LinalgVectorNorm",
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


@export("norm")
def norm(
    input: Any, p: Any = "fro", dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Any:
    """The p-norm of the entries over one dimension, several, or all; "fro" is 2, "nuc" nuclear.

    Raises:
        RuntimeError: for integers, and for another word as `p`.

    >>> import chainrule as cr
    >>> cr.norm(cr.tensor([[3.0, 4.0], [6.0, 8.0]]), dim=1)
    tensor([ 5., 10.])
    """
    if isinstance(p, str):
        if p == "nuc":
            from chainrule.ops import linalg

            return linalg.matrix_norm(converted(input, dtype), "nuc", dim or (-2, -1), keepdim)
        if p != "fro":
            raise RuntimeError(f"linalg.matrix_norm: Order {p} not supported.")
        p = 2
    return vector_norm(input, 2 if p is None else p, dim, keepdim, dtype=dtype)
