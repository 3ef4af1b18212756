"""Activations of neural networks that have a derivative rule of their own."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.dtypes import as_numpy, is_inexact
from chainrule.core.kinds import elementwise, general
from chainrule.core.namespaces import composite, recorded
from chainrule.core.samples import Sample, uniform
from chainrule.core.tensor import Tensor
from chainrule.ops.api import export, export_elementwise
from chainrule.ops.axes import normalize_dim

relu = elementwise(
    "relu", lambda x: np.maximum(x, 0), lambda out: out > 0, grad_name="Relu",
    symbol="relu({})", doc="Each entry if it is positive, else 0.",
)  # fmt: skip
export_elementwise(relu)


def _log_sigmoid(x: Any) -> Any:
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))


# The derivative is sigmoid(-x) = sigmoid(x)·exp(-x), which this form gives without cancellation.
log_sigmoid = elementwise(
    "log_sigmoid", _log_sigmoid, lambda xp, x, out: xp.exp(out - x), result="float",
    symbol="logsigmoid({})", doc="The logarithm of the sigmoid of each entry.",
)  # fmt: skip


def _softmax(x: Any, axis: int) -> Any:
    if x.size == 0 or x.ndim == 0:
        return np.ones_like(x)
    e = x - np.maximum.reduce(x, axis, keepdims=True)
    np.exp(e, out=e)
    e /= np.add.reduce(e, axis, keepdims=True)
    return e


@composite
def softmax_rule(xp: Any, g: Any, out: Any, axis: int) -> Any:
    """The derivative of softmax, which is symmetric: y·(v - ⟨y, v⟩) for vjp and jvp alike."""
    if len(out.shape) == 0:
        return xp.zeros_like(out)
    return out * (g - xp.sum(out * g, axis=(axis,), keepdims=True))


softmax_prim = general(
    "softmax", _softmax,
    vjps=(lambda xp, g, out, axis: xp.softmax_rule(g, out, axis),),
    jvps=(lambda xp, t, out, axis: xp.softmax_rule(t, out, axis),),
    samples=lambda: [
        Sample(uniform(2, 3), axis=1), Sample(uniform(3, 2, 2), axis=0), Sample(uniform(), axis=0),
    ],
)  # fmt: skip


def _log_softmax(x: Any, axis: int) -> Any:
    if x.size == 0 or x.ndim == 0:
        return np.zeros_like(x)
    y = x - np.maximum.reduce(x, axis, keepdims=True)
    y -= np.log(np.add.reduce(np.exp(y), axis, keepdims=True))
    return y


def _log_softmax_vjp(xp: Any, g: Any, out: Any, axis: int) -> Any:
    if len(out.shape) == 0:
        return xp.zeros_like(out)
    return g - xp.exp(out) * xp.sum(g, axis=(axis,), keepdims=True)


def _log_softmax_jvp(xp: Any, t: Any, out: Any, axis: int) -> Any:
    if len(out.shape) == 0:
        return xp.zeros_like(out)
    return t - xp.sum(xp.exp(out) * t, axis=(axis,), keepdims=True)


log_softmax_prim = general(
    "log_softmax", _log_softmax, vjps=(_log_softmax_vjp,), jvps=(_log_softmax_jvp,),
    samples=lambda: [
        Sample(uniform(2, 3), axis=1), Sample(uniform(3, 2, 2), axis=0), Sample(uniform(), axis=0),
    ],
)  # fmt: skip


def floating(input: Any, dtype: Any, name: str) -> Any:
    """`input`, cast to `dtype` if given; it has to be of a floating-point type.

    Raises:
        NotImplementedError: for integers and booleans, as PyTorch.
        TypeError: for something that is not a tensor.
    """
    if not isinstance(input, Tensor):
        raise TypeError(
            f"{name}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}"
        )
    if dtype is not None:
        return recorded.astype(input, dtype=as_numpy(dtype))
    if not is_inexact(input.array.dtype):
        raise NotImplementedError(
            f'"{name}" not implemented for {input.array.dtype.name}; pass dtype= or convert the '
            "input, for example with x.float()"
        )
    return input


def _implicit_dim(ndim: int) -> int:
    """The dimension PyTorch takes when none is given."""
    return 0 if ndim in (0, 1, 3) else 1


@export("softmax")
def softmax(input: Any, dim: int | None = None, dtype: Any = None) -> Any:
    """exp(x) / sum(exp(x)) along `dim`: positive entries that sum to 1.

    >>> import chainrule as cr
    >>> cr.softmax(cr.tensor([0.0, 0.0]), dim=0)
    tensor([0.5000, 0.5000])
    """
    input = floating(input, dtype, "softmax")
    dim = _implicit_dim(input.ndim) if dim is None else dim
    return softmax_prim(input, axis=normalize_dim(dim, input.ndim))


@export("log_softmax")
def log_softmax(input: Any, dim: int | None = None, dtype: Any = None) -> Any:
    """The logarithm of softmax along `dim`, exact where softmax itself underflows.

    >>> import chainrule as cr
    >>> cr.log_softmax(cr.tensor([0.0, 0.0]), dim=0)
    tensor([-0.6931, -0.6931])
    """
    input = floating(input, dtype, "log_softmax")
    dim = _implicit_dim(input.ndim) if dim is None else dim
    return log_softmax_prim(input, axis=normalize_dim(dim, input.ndim))
