"""Activations: functions of one entry, and the softmax family."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core import inplace as in_place
from chainrule.core.dtypes import category
from chainrule.core.namespaces import recorded as xp
from chainrule.core.randomness import drawing
from chainrule.core.tensor import wrap
from chainrule.nn.functional.common import raw_dtype, require_tensor
from chainrule.ops import activation as ops
from chainrule.ops.api import export
from chainrule.ops.axes import normalize_dim


def _applied(op: Any, input: Any, inplace: bool = False, **params: Any) -> Any:
    """`op(input)`, written to the memory of `input` if asked."""
    require_tensor(input, op.__name__)
    return in_place.apply(input, op, **params) if inplace else op(input, **params)


def relu(input: Any, inplace: bool = False) -> Any:
    """Each entry if it is positive, else 0.

    >>> import chainrule as cr
    >>> cr.nn.functional.relu(cr.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    require_tensor(input, "relu")
    if category(raw_dtype(input)) == 0:
        raise RuntimeError("Boolean inputs not supported for relu; convert with x.float()")
    return _applied(ops.relu, input, inplace)


def relu_(input: Any) -> Any:
    """In-place version of `relu`."""
    return relu(input, inplace=True)


def relu6(input: Any, inplace: bool = False) -> Any:
    """Each entry limited to [0, 6].

    >>> import chainrule as cr
    >>> cr.nn.functional.relu6(cr.tensor([-1.0, 2.0, 9.0]))
    tensor([0., 2., 6.])
    """
    return _applied(ops.hardtanh, input, inplace, low=0, high=6)


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    """Each entry limited to [min_val, max_val].

    Raises:
        ValueError: if the interval is empty.

    >>> import chainrule as cr
    >>> cr.nn.functional.hardtanh(cr.tensor([-2.0, 0.5]))
    tensor([-1.0000,  0.5000])
    """
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    return _applied(ops.hardtanh, input, inplace, low=min_val, high=max_val)


def hardtanh_(input: Any, min_val: float = -1.0, max_val: float = 1.0) -> Any:
    """In-place version of `hardtanh`."""
    return hardtanh(input, min_val, max_val, inplace=True)


def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """Each entry where positive, else `negative_slope` times it.

    >>> import chainrule as cr
    >>> cr.nn.functional.leaky_relu(cr.tensor([-1.0, 2.0]), 0.5)
    tensor([-0.5000,  2.0000])
    """
    return _applied(ops.leaky_relu, input, inplace, negative_slope=negative_slope)


def leaky_relu_(input: Any, negative_slope: float = 0.01) -> Any:
    """In-place version of `leaky_relu`."""
    return leaky_relu(input, negative_slope, inplace=True)


@export("prelu")
def prelu(input: Any, weight: Any) -> Any:
    """Each entry where positive, else `weight` times it; one weight, or one per channel.

    Raises:
        RuntimeError: if there is another number of weights.

    >>> import chainrule as cr
    >>> cr.prelu(cr.tensor([-1.0, 2.0]), cr.tensor([0.5]))
    tensor([-0.5000,  2.0000])
    """
    require_tensor(input, "prelu")
    require_tensor(weight, "prelu", "weight", 2)
    count, ndim = int(np.prod(weight.shape)), len(input.shape)
    if count != 1:
        channels = input.shape[1] if ndim > 1 else 1
        if channels != count:
            raise RuntimeError(
                "Mismatch of parameter numbers and input channel size. Found parameter numbers = "
                f"{count} and channel size = {channels}."
            )
    shape = (1, count, *(1,) * (ndim - 2)) if ndim > 1 else (1,) * ndim
    return ops.prelu(input, xp.reshape(weight, shape=shape))


@export("rrelu", method=False)
def rrelu(
    input: Any, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False,
    inplace: bool = False,
) -> Any:  # fmt: skip
    """`leaky_relu` with slopes drawn from [lower, upper] in training, and their mean otherwise.

    >>> import chainrule as cr
    >>> cr.rrelu(cr.tensor([-1.0, 2.0]), 0.5, 0.5)
    tensor([-0.5000,  2.0000])
    """
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    from chainrule.nn.functional.dropout import uniform_draw

    require_tensor(input, "rrelu")
    dtype = raw_dtype(input)
    place = drawing("rrelu")
    shape = tuple(input.shape)
    drawn = place.drawn(lambda: uniform_draw(place, shape, dtype) * (upper - lower) + lower)
    slopes = xp.where(input > 0, 1.0, drawn)
    return input.mul_(slopes) if inplace else input * slopes


def rrelu_(
    input: Any, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False
) -> Any:
    """In-place version of `rrelu`."""
    return rrelu(input, lower, upper, training, inplace=True)


def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """Each entry where positive, else alpha·(exp(x) - 1).

    >>> import chainrule as cr
    >>> cr.nn.functional.elu(cr.tensor([0.0, 2.0]))
    tensor([0., 2.])
    """
    return _applied(ops.elu, input, inplace, alpha=alpha, scale=1.0, rate=1.0)


def elu_(input: Any, alpha: float = 1.0) -> Any:
    """In-place version of `elu`."""
    return elu(input, alpha, inplace=True)


_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


@export("selu", method=False)
def selu(input: Any, inplace: bool = False) -> Any:
    """`elu` scaled so that mean 0 and variance 1 are preserved from layer to layer.

    >>> import chainrule as cr
    >>> cr.selu(cr.tensor([0.0, 1.0]))
    tensor([0.0000, 1.0507])
    """
    return _applied(ops.elu, input, inplace, alpha=_SELU_ALPHA, scale=_SELU_SCALE, rate=1.0)


def selu_(input: Any) -> Any:
    """In-place version of `selu`."""
    return selu(input, inplace=True)


@export("celu", method=False)
def celu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """Each entry where positive, else alpha·(exp(x / alpha) - 1).

    Raises:
        RuntimeError: if alpha is 0.

    >>> import chainrule as cr
    >>> cr.celu(cr.tensor([0.0, 2.0]))
    tensor([0., 2.])
    """
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    return _applied(ops.elu, input, inplace, alpha=alpha, scale=1.0, rate=1.0 / alpha)


def celu_(input: Any, alpha: float = 1.0) -> Any:
    """In-place version of `celu`."""
    return celu(input, alpha, inplace=True)


def gelu(input: Any, approximate: str = "none") -> Any:
    """x·Φ(x) with the normal distribution function Φ, or its "tanh" approximation.

    Raises:
        RuntimeError: for another `approximate`.

    >>> import chainrule as cr
    >>> cr.nn.functional.gelu(cr.tensor([0.0, 1.0]))
    tensor([0.0000, 0.8413])
    """
    if approximate not in ("none", "tanh"):
        raise RuntimeError("approximate argument must be either none or tanh.")
    return _applied(ops.gelu if approximate == "none" else ops.gelu_tanh, input)


def silu(input: Any, inplace: bool = False) -> Any:
    """x·sigmoid(x), also called swish.

    >>> import chainrule as cr
    >>> cr.nn.functional.silu(cr.tensor([0.0, 1.0]))
    tensor([0.0000, 0.7311])
    """
    return _applied(ops.silu, input, inplace)


def mish(input: Any, inplace: bool = False) -> Any:
    """x·tanh(softplus(x)).

    >>> import chainrule as cr
    >>> cr.nn.functional.mish(cr.tensor([0.0, 1.0]))
    tensor([0.0000, 0.8651])
    """
    return _applied(ops.mish, input, inplace)


def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """log(1 + exp(beta·x)) / beta, a smooth relu; x itself where beta·x exceeds the threshold.

    >>> import chainrule as cr
    >>> cr.nn.functional.softplus(cr.tensor([0.0, 30.0]))
    tensor([ 0.6931, 30.0000])
    """
    return _applied(ops.softplus, input, beta=beta, threshold=threshold)


def softsign(input: Any) -> Any:
    """x / (1 + |x|).

    >>> import chainrule as cr
    >>> cr.nn.functional.softsign(cr.tensor([-1.0, 1.0]))
    tensor([-0.5000,  0.5000])
    """
    require_tensor(input, "softsign")
    if raw_dtype(input).kind == "c":
        return input / (input.abs() + 1)
    return ops.softsign(input)


def tanh(input: Any) -> Any:
    """The hyperbolic tangent of each entry.

    >>> import chainrule as cr
    >>> cr.nn.functional.tanh(cr.tensor([0.0]))
    tensor([0.])
    """
    return xp.tanh(input)


def sigmoid(input: Any) -> Any:
    """1 / (1 + exp(-x)).

    >>> import chainrule as cr
    >>> cr.nn.functional.sigmoid(cr.tensor([0.0]))
    tensor([0.5000])
    """
    return xp.sigmoid(input)


def tanhshrink(input: Any) -> Any:
    """x - tanh(x).

    >>> import chainrule as cr
    >>> cr.nn.functional.tanhshrink(cr.tensor([0.0]))
    tensor([0.])
    """
    require_tensor(input, "tanhshrink")
    return input - xp.tanh(input)


def hardsigmoid(input: Any, inplace: bool = False) -> Any:
    """x / 6 + 1/2, limited to [0, 1].

    >>> import chainrule as cr
    >>> cr.nn.functional.hardsigmoid(cr.tensor([-4.0, 0.0]))
    tensor([0.0000, 0.5000])
    """
    result = _applied(ops.hardtanh, input, low=-3, high=3) / 6 + 0.5
    return in_place.assign(input, result, "hardsigmoid_") if inplace else result


def hardswish(input: Any, inplace: bool = False) -> Any:
    """x times `hardsigmoid` of x.

    >>> import chainrule as cr
    >>> cr.nn.functional.hardswish(cr.tensor([-4.0, 3.0]))
    tensor([-0.,  3.])
    """
    return _applied(ops.hardswish, input, inplace)


def logsigmoid(input: Any) -> Any:
    """log(sigmoid(x)), exact for large negative x.

    >>> import chainrule as cr
    >>> cr.nn.functional.logsigmoid(cr.tensor([0.0]))
    tensor([-0.6931])
    """
    return _applied(ops.log_sigmoid, input)


def softshrink(input: Any, lambd: float = 0.5) -> Any:
    """Each entry moved towards 0 by `lambd`, at most to 0.

    Raises:
        RuntimeError: if `lambd` is negative.

    >>> import chainrule as cr
    >>> cr.nn.functional.softshrink(cr.tensor([-2.0, 0.1]))
    tensor([-1.5000,  0.0000])
    """
    if not lambd >= 0:
        raise RuntimeError(f"lambda must be greater or equal to 0, but found to be {lambd}.")
    return _applied(ops.softshrink, input, lambd=lambd)


@export("hardshrink")
def hardshrink(input: Any, lambd: float = 0.5) -> Any:
    """Each entry, but 0 where it is at most `lambd` in magnitude.

    >>> import chainrule as cr
    >>> cr.hardshrink(cr.tensor([-2.0, 0.1]))
    tensor([-2.,  0.])
    """
    return _applied(ops.hardshrink, input, lambd=lambd)


@export("threshold", method=False)
def threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Any:
    """Each entry that exceeds `threshold`, and `value` for the others.

    >>> import chainrule as cr
    >>> cr.threshold(cr.tensor([1.0, 3.0]), 2.0, 0.0)
    tensor([0., 3.])
    """
    return _applied(ops.threshold, input, inplace, threshold=threshold, value=value)


def threshold_(input: Any, threshold: float, value: float) -> Any:
    """In-place version of `threshold`."""
    return _applied(ops.threshold, input, True, threshold=threshold, value=value)


def glu(input: Any, dim: int = -1) -> Any:
    """The first half along `dim` times the sigmoid of the second.

    Raises:
        RuntimeError: if the dimension is odd.

    >>> import chainrule as cr
    >>> cr.nn.functional.glu(cr.tensor([2.0, 0.0]))
    tensor([1.])
    """
    require_tensor(input, "glu")
    if len(input.shape) == 0:
        raise RuntimeError("glu does not support 0-dimensional tensors")
    dim = normalize_dim(dim, len(input.shape))
    size = input.shape[dim]
    if size % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {dim} is size {size}")
    lead = (slice(None),) * dim
    first = input[(*lead, slice(0, size // 2))]
    return first * xp.sigmoid(input[(*lead, slice(size // 2, size))])


def softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """exp(x) / sum(exp(x)) along `dim`: positive entries that sum to 1.

    >>> import chainrule as cr
    >>> cr.nn.functional.softmax(cr.tensor([0.0, 0.0]), dim=0)
    tensor([0.5000, 0.5000])
    """
    return ops.softmax(input, dim, dtype)


def softmin(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """The softmax of -x along `dim`.

    >>> import chainrule as cr
    >>> cr.nn.functional.softmin(cr.tensor([0.0, 0.0]), dim=0)
    tensor([0.5000, 0.5000])
    """
    require_tensor(input, "softmin")
    return ops.softmax(-input, dim, dtype)


def log_softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """The logarithm of softmax along `dim`, exact where softmax itself underflows.

    >>> import chainrule as cr
    >>> cr.nn.functional.log_softmax(cr.tensor([0.0, 0.0]), dim=0)
    tensor([-0.6931, -0.6931])
    """
    return ops.log_softmax(input, dim, dtype)


def gumbel_softmax(
    logits: Any, tau: float = 1.0, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Any:
    """A differentiable draw from the categorical distribution of `logits`.

    Args:
        logits: unnormalised log-probabilities.
        tau: the temperature: the smaller, the closer draws are to one-hot.
        hard: return one-hot draws, with the gradient of the soft ones.
        eps: accepted for PyTorch's sake.
        dim: the dimension of the categories.

    >>> import chainrule as cr
    >>> cr.nn.functional.gumbel_softmax(cr.zeros(2, 3), hard=True).sum()
    tensor(2.)
    """
    from chainrule.nn.functional.dropout import uniform_draw

    require_tensor(logits, "gumbel_softmax", "logits")
    dtype, ndim = raw_dtype(logits), len(logits.shape)
    place = drawing("gumbel_softmax")
    shape = tuple(logits.shape)

    def draw() -> Any:
        uniform = np.maximum(uniform_draw(place, shape, dtype), np.finfo(dtype).tiny)
        return -np.log(-np.log(uniform))

    gumbels = place.drawn(draw)
    soft = ops.softmax((logits + gumbels) / tau, dim)
    if not hard:
        return soft
    values, axis = soft.detach(), normalize_dim(dim, ndim)
    classes = np.arange(logits.shape[axis]).reshape(-1, *(1,) * (ndim - 1 - axis))
    one_hot = values.argmax(axis, keepdim=True) == wrap(classes)
    return soft + (xp.astype(one_hot, dtype=dtype) - values)


for _f in (relu_, celu_, rrelu_, selu_, threshold_):
    export(_f.__name__, method=False)(_f)
