"""Activations of neural networks that have a derivative rule of their own."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.core.avals import same, several
from chainrule.core.batching import along_line, leading
from chainrule.core.dtypes import as_numpy, is_inexact, narrowed
from chainrule.core.kinds import elementwise, general
from chainrule.core.namespaces import composite, raw, recorded
from chainrule.core.partials import selection
from chainrule.core.samples import Sample, uniform
from chainrule.core.tensor import Tensor
from chainrule.ops.api import export, export_elementwise
from chainrule.ops.axes import normalize_dim

relu = elementwise(
    "relu", lambda x: np.maximum(x, 0), selection(lambda out: out > 0), real=True, grad_name="Relu",
    symbol="relu({})", doc="Each entry if it is positive, else 0.",
)  # fmt: skip
export_elementwise(relu)


def _log_sigmoid(x: Any) -> Any:
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))


log_sigmoid = elementwise(
    "log_sigmoid", _log_sigmoid, lambda xp, x: xp.sigmoid(-x), real=True, result="float",
    symbol="logsigmoid({})", doc="The logarithm of the sigmoid of each entry.",
)  # fmt: skip


def _cases(**params: Any) -> Any:
    """Samples of a function of one array with these parameters."""
    return lambda: [Sample(uniform(2, 3), **params), Sample(uniform(), **params)]


@composite
def is_positive(xp: Any, x: Any) -> Any:
    """1 where x > 0, else 0, in x's dtype.

    Sums of products with it are several times faster than a selection, which stumbles over every
    change of sign.
    """
    return xp.astype(x > 0, dtype=getattr(x, "array", x).dtype)


def _leaky_relu(x: Any, negative_slope: float) -> Any:
    if 0 < negative_slope <= 1:  # 0·inf would be nan
        return np.maximum(x, negative_slope * x)
    positive = np.maximum(x, 0)
    return positive + negative_slope * np.minimum(x, 0) if negative_slope else positive


leaky_relu = elementwise(
    "leaky_relu", _leaky_relu,
    lambda xp, x, negative_slope: (1 - negative_slope) * xp.is_positive(x) + negative_slope,
    real=True, result="float", has_params=True, samples=_cases(negative_slope=0.1),
    doc="x where positive, else slope·x.",
)  # fmt: skip
prelu = elementwise(
    "prelu", lambda x, w: np.maximum(x, 0) + w * np.minimum(x, 0),
    lambda xp, x, y: xp.where(x > 0, xp.ones_like(x), y), lambda xp, x: xp.minimum(x, 0),
    real=True, doc="x where positive, else weight·x.",
)  # fmt: skip


def _elu(x: Any, alpha: float, scale: float, rate: float) -> Any:
    return scale * np.maximum(x, 0) + alpha * scale * np.expm1(rate * np.minimum(x, 0))


def _elu_slope(xp: Any, x: Any, alpha: float, scale: float, rate: float) -> Any:
    left = alpha * scale * rate
    return left * xp.exp(rate * xp.minimum(x, 0)) + (scale - left) * xp.is_positive(x)


# The family of elu, selu and celu.  Exponents are cut off at 0, where the other branch begins.
elu = elementwise(
    "elu", _elu, _elu_slope, real=True, result="float", has_params=True,
    samples=_cases(alpha=1.3, scale=1.1, rate=0.7),
    doc="scale·x where positive, else scale·alpha·(exp(rate·x) - 1).",
)  # fmt: skip


def _softplus(x: Any, beta: float, threshold: float) -> Any:
    scaled = beta * x
    return np.where(scaled > threshold, x, np.log1p(np.exp(np.minimum(scaled, threshold))) / beta)


softplus = elementwise(
    "softplus", _softplus,
    lambda xp, x, beta, threshold: xp.where(beta * x > threshold, 1, xp.sigmoid(beta * x)),
    real=True, result="float", has_params=True, samples=_cases(beta=1.5, threshold=2.0),
    doc="log(1 + exp(beta·x)) / beta, and x itself beyond the threshold.",
)  # fmt: skip


def _gelu(x: Any) -> tuple[Any, Any]:
    """x·Φ(x) and Φ(x), which the derivative needs and is the costly part."""
    cdf = raw.erf(x * math.sqrt(0.5))
    cdf += 1
    cdf *= 0.5
    return narrowed(x * cdf, x.dtype), narrowed(cdf, x.dtype)


@composite
def normal_density(xp: Any, x: Any) -> Any:
    """The derivative of Φ."""
    return xp.exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi))


def _gelu_vjp(xp: Any, g: Any, x: Any, out: Any) -> tuple[Any]:
    density = xp.normal_density(x)
    total = None if g[0] is None else g[0] * (out[1] + x * density)
    if g[1] is not None:
        part = g[1] * density
        total = part if total is None else total + part
    return (total,)


def _gelu_jvp(xp: Any, t: Any, x: Any, out: Any) -> tuple[Any, Any]:
    density = xp.normal_density(x)
    return t[0] * (out[1] + x * density), t[0] * density


gelu_prim = general(
    "gelu", _gelu, real=True, vjp=_gelu_vjp, jvp=_gelu_jvp, batch=leading,
    aval=several(same, same),
    samples=lambda: [Sample(uniform(2, 3)), Sample(uniform(1))],
    doc="x·Φ(x), with the normal distribution function Φ.",
)  # fmt: skip


def gelu(input: Any) -> Any:
    """x·Φ(x)."""
    return gelu_prim(floating(input, None, "gelu"))[0]


_TANH_SCALE, _TANH_CUBIC = math.sqrt(2 / math.pi), 0.044715


def _gelu_tanh(x: Any) -> Any:
    return x * (0.5 * (1 + np.tanh(_TANH_SCALE * (x + _TANH_CUBIC * (x * x * x)))))


def _gelu_tanh_slope(xp: Any, x: Any) -> Any:
    t = xp.tanh(_TANH_SCALE * (x + _TANH_CUBIC * (x * x * x)))
    inner = _TANH_SCALE * (1 + 3 * _TANH_CUBIC * (x * x))
    return 0.5 * (1 + t) + (0.5 * x) * (1 - t * t) * inner


gelu_tanh = elementwise(
    "gelu_tanh", _gelu_tanh, _gelu_tanh_slope, real=True, result="float", grad_name="Gelu",
    doc="gelu, with Φ approximated by a hyperbolic tangent.",
)  # fmt: skip


def _silu_slope(xp: Any, x: Any) -> Any:
    s = xp.sigmoid(x)
    return s * (1 + x * (1 - s))


silu = elementwise(
    "silu", lambda x: x * raw.sigmoid(x), _silu_slope, result="float", doc="x·sigmoid(x)."
)


def _mish_slope(xp: Any, x: Any) -> Any:
    t = xp.tanh(-xp.log_sigmoid(-x))
    return t + x * (1 - t * t) * xp.sigmoid(x)


mish = elementwise(
    "mish", lambda x: x * np.tanh(-_log_sigmoid(-x)), _mish_slope, real=True, result="float",
    doc="x·tanh(log(1 + exp(x))).",
)  # fmt: skip
softsign = elementwise(
    "softsign", lambda x: x / (1 + np.abs(x)), lambda xp, out: xp.square(1 - xp.abs(out)),
    real=True, result="float", doc="x / (1 + |x|).",
)  # fmt: skip
# Unlike `clamp`, PyTorch's hardtanh passes nothing at the bounds themselves.
hardtanh = elementwise(
    "hardtanh", lambda x, low, high: np.minimum(np.maximum(x, low), high),
    selection(lambda x, low, high: (x > low) & (x < high)),
    real=True, has_params=True, samples=_cases(low=-1.0, high=0.5),
    doc="x, limited to [low, high].",
)  # fmt: skip
hardswish = elementwise(
    "hardswish", lambda x: x * np.minimum(np.maximum(x + 3, 0), 6) / 6,
    lambda xp, x: xp.where(xp.abs(x) < 3, x / 3 + 0.5, xp.where(x > 0, xp.ones_like(x), 0)),
    real=True, result="float", domain=[(-5, 5)], doc="x·min(max(x + 3, 0), 6) / 6.",
)  # fmt: skip
softshrink = elementwise(
    "softshrink", lambda x, lambd: x - np.minimum(np.maximum(x, -lambd), lambd),
    selection(lambda xp, x, lambd: xp.abs(x) > lambd),
    real=True, result="float", has_params=True, samples=_cases(lambd=0.8),
    doc="x moved towards 0 by lambd, at most to 0.",
)  # fmt: skip
hardshrink = elementwise(
    "hardshrink", lambda x, lambd: np.where(np.abs(x) <= lambd, 0, x),
    selection(lambda xp, x, lambd: xp.abs(x) > lambd),
    real=True, has_params=True, samples=_cases(lambd=0.8),
    doc="x, but 0 where |x| is at most lambd.",
)  # fmt: skip
threshold = elementwise(
    "threshold", lambda x, threshold, value: np.where(x > threshold, x, value),
    selection(lambda x, threshold: x > threshold),
    real=True, has_params=True, samples=_cases(threshold=0.4, value=-1.5),
    doc="x where it exceeds the threshold, else the value.",
)  # fmt: skip


def _softmax(x: Any, axis: int) -> Any:
    if x.size == 0 or x.ndim == 0:
        return np.exp(x - x)  # 1, but nan for what is not finite
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
    real=True, batch=along_line, aval=same,
    vjps=(lambda xp, g, out, axis: xp.softmax_rule(g, out, axis),),
    jvps=(lambda xp, t, out, axis: xp.softmax_rule(t, out, axis),),
    samples=lambda: [
        Sample(uniform(2, 3), axis=1), Sample(uniform(3, 2, 2), axis=0), Sample(uniform(), axis=0),
    ],
)  # fmt: skip


def _log_softmax(x: Any, axis: int) -> Any:
    if x.size == 0 or x.ndim == 0:
        return x - x
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
    "log_softmax", _log_softmax, real=True, vjps=(_log_softmax_vjp,), jvps=(_log_softmax_jvp,),
    batch=along_line, aval=same,
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
