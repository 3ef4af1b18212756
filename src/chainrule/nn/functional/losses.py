"""Losses of classifiers: cross entropy and its relatives."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from chainrule.core.boxes import is_mapped
from chainrule.core.kinds import elementwise
from chainrule.core.namespaces import recorded as xp
from chainrule.core.primitive import titled
from chainrule.nn.functional.common import (
    check_reduction,
    legacy,
    raw_dtype,
    reduced,
    require_tensor,
    total,
)
from chainrule.ops.activation import log_sigmoid, log_softmax_prim
from chainrule.ops.contract import linear
from chainrule.ops.embedding import nll
from chainrule.ops.softmax_nll import places_of, softmax_nll


def _check_batch(input: Any, target: Any) -> None:
    """Raise ValueError unless the target has one entry per prediction."""
    sizes = input.array.shape
    n, ndim = sizes[0], len(sizes)
    if ndim > 1 and target.array.shape == (n, *sizes[2:]):
        return
    if ndim == 1 and prod(target.shape) == 1 and len(target.shape) < 2:
        return
    if ndim == 1:
        raise RuntimeError(
            f"size mismatch (got input: {list(input.shape)}, target: {list(target.shape)}); "
            "the scores of a single prediction take a target without dimensions"
        )
    if len(target.shape) == 0 or target.shape[0] != n:
        got = target.shape[0] if len(target.shape) else "none: it has no dimensions"
        raise ValueError(f"Expected input batch_size ({n}) to match target batch_size ({got}).")
    if tuple(target.shape) != (n, *input.shape[2:]):
        raise RuntimeError(
            f"Expected target size {[n, *input.shape[2:]]}, got {list(target.shape)}"
        )


def nll_loss(
    input: Any, target: Any, weight: Any = None, size_average: bool | None = None,
    ignore_index: int = -100, reduce: bool | None = None, reduction: str = "mean",
) -> Any:  # fmt: skip
    """The negative log-likelihood loss: minus the log-probability of each target class.

    Args:
        input: log-probabilities (N, C), (C,) or (N, C, d1, ...).
        target: class indices (N,), () or (N, d1, ...).
        weight: a weight per class (C,); the mean is the weighted one.
        ignore_index: targets of this value do not count.
        reduction: "none", "mean" or "sum".

    Raises:
        IndexError: if a target is not a class.
        ValueError: if batch sizes differ, or for another reduction.

    >>> import chainrule as cr
    >>> cr.nn.functional.nll_loss(cr.tensor([[-0.5, -1.0]]), cr.tensor([1]))
    tensor(1.)
    """
    reduction = legacy(size_average, reduce, reduction)
    require_tensor(input, "nll_loss")
    require_tensor(target, "nll_loss", "target", 2)
    check_reduction(reduction)
    if len(input.shape) == 0:
        raise ValueError("Expected 1 or more dimensions (got 0)")
    classes = _check_classes(input, target, weight)
    shape = tuple(target.shape)
    single = len(input.shape) == 1
    n = 1 if single else input.shape[0]
    rest = prod(shape[1:])
    loss = nll(
        xp.reshape(input, shape=(n, classes, rest)), xp.reshape(target, shape=(n, rest)), weight,
        ignore_index=int(ignore_index), reduction=reduction,
    )  # fmt: skip
    return xp.reshape(loss, shape=shape) if reduction == "none" else loss


def _check_classes(input: Any, target: Any, weight: Any) -> int:
    """The number of classes, if scores, class indices and class weights fit each other."""
    _check_batch(input, target)
    if target.array.dtype.kind not in "iu":
        raise RuntimeError(
            f"expected target dtype to be Long or Byte, but got {raw_dtype(target).name}: class "
            "indices are integers; convert the target with target.long()"
        )
    sizes = input.array.shape
    classes: int = sizes[1 if len(sizes) > 1 else 0]
    _check_weight(weight, classes)
    return classes


def _check_weight(weight: Any, classes: int) -> None:
    if weight is not None and tuple(weight.shape) != (classes,):
        raise RuntimeError(
            f"weight tensor should be defined either for all {classes} classes or no classes but "
            f"got weight tensor of shape: {list(weight.shape)}"
        )


def cross_entropy(
    input: Any, target: Any, weight: Any = None, size_average: bool | None = None,
    ignore_index: int = -100, reduce: bool | None = None, reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:  # fmt: skip
    """The cross entropy between logits and targets: minus the log-softmax at the target.

    Args:
        input: logits (N, C), (C,) or (N, C, d1, ...).
        target: class indices (N,), () or (N, d1, ...), or probabilities of input's shape.
        weight: a weight per class (C,).
        ignore_index: targets of this value do not count.
        reduction: "none", "mean" or "sum".
        label_smoothing: how much of each target is spread evenly over all classes, in [0, 1].

    Raises:
        IndexError: if a target is not a class.
        ValueError: if batch sizes differ, or for another reduction.

    >>> import chainrule as cr
    >>> cr.nn.functional.cross_entropy(cr.tensor([[0.0, 0.0]]), cr.tensor([1]))
    tensor(0.6931)
    """
    reduction = legacy(size_average, reduce, reduction)
    require_tensor(input, "cross_entropy_loss")
    require_tensor(target, "cross_entropy_loss", "target", 2)
    check_reduction(reduction)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    if input.array.ndim == 0:
        raise RuntimeError(
            "cross_entropy_loss() takes logits of at least one dimension, the classes; got none"
        )
    by_index = target.array.dtype.kind in "iub"
    if by_index and label_smoothing == 0.0:
        return _softmax_nll(input, target, weight, ignore_index, reduction)
    logp = log_softmax_prim(input, axis=1 if len(input.shape) > 1 else 0)
    if not by_index:
        if tuple(target.shape) != tuple(input.shape):
            if len(target.shape) == len(input.shape) - 1:
                raise RuntimeError(
                    f"expected target dtype to be Long or Byte, but got {raw_dtype(target).name}: "
                    "class indices are integers; convert the target with target.long()"
                )
            raise RuntimeError(
                "The size of input and target must match when the target is probabilities: got "
                f"input {list(input.shape)} and target {list(target.shape)}"
            )
        return _against_probabilities(logp, target, weight, reduction, label_smoothing)
    return _smoothed(logp, target, weight, ignore_index, reduction, label_smoothing)


def linear_cross_entropy(
    input: Any, linear_weight: Any, target: Any, *, linear_bias: Any = None, weight: Any = None,
    reduction: str = "mean", ignore_index: int | None = None, label_smoothing: float = 0.0,
) -> Any:  # fmt: skip
    """The cross entropy of the logits input @ linear_weightᵀ + linear_bias.

    Args:
        input: (N, k) or (k).
        linear_weight: (C, k), or (C, d1, ..., k) for logits (N, C, d1, ...).
        linear_bias: of the shape of `linear_weight` without k.
        target, weight, reduction, ignore_index, label_smoothing: as for `cross_entropy`; no
            `ignore_index` for targets that are probabilities.

    Raises:
        RuntimeError: if the shapes do not fit.

    >>> import chainrule as cr
    >>> x, w = cr.tensor([[1.0, 2.0]]), cr.zeros(2, 2)
    >>> cr.nn.functional.linear_cross_entropy(x, w, cr.tensor([1]))
    tensor(0.6931)
    """
    for x, name, position in ((input, "input", 1), (linear_weight, "linear_weight", 2)):
        require_tensor(x, "linear_cross_entropy", name, position)
    given, shape = tuple(input.shape), tuple(linear_weight.shape)
    if len(given) not in (1, 2):
        raise RuntimeError(f"expected input with dimensionality 1 or 2, got {len(given)}")
    if len(shape) < 2:
        raise RuntimeError(
            f"expected linear_weight with dimensionality at least 2, got {len(shape)}"
        )
    if given[-1] != shape[-1]:
        raise RuntimeError(
            "expected equal input and linear_weight last dimensions (in_features), got "
            f"{given[-1]} and {shape[-1]}, respectively"
        )
    if linear_bias is not None and tuple(linear_bias.shape) != shape[:-1]:
        raise RuntimeError(
            f"expected linear_bias shape {shape[:-1]}, got {tuple(linear_bias.shape)}"
        )
    if len(shape) > 2 and len(given) == 1:
        raise RuntimeError(
            f"K-dimensional loss defined by linear_weight shape {shape} requires batched input, "
            f"(N, {shape[-1]}), got unbatched input with shape {given}"
        )
    rows = prod(shape[:-1])
    bias = None if linear_bias is None else xp.reshape(linear_bias, shape=(rows,))
    logits = linear(input, xp.reshape(linear_weight, shape=(rows, shape[-1])), bias)
    logits = xp.reshape(logits, shape=(*given[:-1], *shape[:-1]))
    if ignore_index is not None and tuple(target.shape) == tuple(logits.shape):
        raise RuntimeError("ignore_index cannot be specified when target contains probabilities")
    return cross_entropy(
        logits, target, weight, ignore_index=-100 if ignore_index is None else ignore_index,
        reduction=reduction, label_smoothing=label_smoothing,
    )  # fmt: skip


def _softmax_nll(input: Any, target: Any, weight: Any, ignore_index: int, reduction: str) -> Any:
    """Cross entropy with a class per prediction."""
    classes = _check_classes(input, target, weight)
    if is_mapped(target) or is_mapped(weight):  # then places and divisors are different everywhere
        logp = log_softmax_prim(input, axis=1 if input.array.ndim > 1 else 0)
        return nll_loss(logp, target, weight, ignore_index=ignore_index, reduction=reduction)
    index, logits, single = target.array, input, input.array.ndim == 1
    if single:
        index, logits = index.reshape(1), xp.reshape(input, shape=(1, classes))
    weights = None if weight is None else np.asarray(getattr(weight, "array", weight))
    places, weights = places_of(index, weights, classes, logits.array.dtype, ignore_index)
    count = 1.0
    if reduction == "mean":
        count = float(index.size if weights is None else np.add.reduce(weights, None))
    summed = reduction != "none"
    loss = softmax_nll(logits, places, weights, divisor=count or 1.0, summed=summed)[0]
    if not count:  # the mean over nothing is nan, and its gradient 0
        return loss + float("nan")
    return xp.reshape(loss, shape=tuple(target.shape)) if single and not summed else loss


def _against_probabilities(
    logp: Any, target: Any, weight: Any, reduction: str, smoothing: float
) -> Any:
    """Cross entropy with a distribution per prediction; the mean is over predictions."""
    dim = 1 if len(logp.shape) > 1 else 0
    classes = logp.shape[dim]
    _check_weight(weight, classes)
    if smoothing:
        target = target * (1 - smoothing) + smoothing / classes
    if weight is not None:
        target = target * _per_class(weight, logp)
    loss = -xp.sum(logp * target, axis=(dim,), keepdims=False)
    return reduced(loss, reduction)


def _per_class(weight: Any, logp: Any) -> Any:
    """Class weights shaped to broadcast against log-probabilities."""
    return xp.reshape(weight, shape=(-1, *(1,) * max(len(logp.shape) - 2, 0)))


def _smoothed(
    logp: Any, target: Any, weight: Any, ignore_index: int, reduction: str, smoothing: float
) -> Any:
    """(1 - s)·nll + s/C · (the negative log-likelihood summed over all classes)."""
    dim = 1 if len(logp.shape) > 1 else 0
    classes = logp.shape[dim]
    sharp = nll_loss(logp, target, weight, ignore_index=ignore_index, reduction=reduction)
    weighted = logp if weight is None else logp * _per_class(weight, logp)
    smooth = -xp.sum(weighted, axis=(dim,), keepdims=False)
    used = target != ignore_index
    smooth = xp.where(used, smooth, 0.0)
    if reduction == "mean":
        counts = xp.astype(used, dtype=raw_dtype(logp))
        if weight is not None:  # the classes are valid: nll_loss has looked
            counts = counts * xp.embedding(weight, xp.where(used, target, 0), padding_idx=None)
        smooth = total(smooth) / (counts if weight is None else counts.detach()).sum()
    elif reduction == "sum":
        smooth = total(smooth)
    return sharp * (1 - smoothing) + smooth * (smoothing / classes)


def _bce(x: Any, t: Any) -> Any:
    with np.errstate(divide="ignore"):
        return (t - 1) * np.maximum(np.log1p(-x), -100) - t * np.maximum(np.log(x), -100)


# PyTorch's conventions where the loss is infinite: logarithms end at -100, denominators at 1e-12.
bce_prim = elementwise(
    "binary_cross_entropy", _bce,
    lambda xp, x, y: (x - y) / xp.where(x * (1 - x) < 1e-12, 1e-12, x * (1 - x)),
    lambda xp, x: xp.log(1 - x) - xp.log(x),
    real=True, result="float", domain=[(0.1, 0.9), (0.1, 0.9)],
    doc="Minus the log-likelihood of the outcome y under the probability x.",
)  # fmt: skip


def _bce_logits(x: Any, t: Any) -> Any:
    return np.maximum(x, 0) - x * t + np.log1p(np.exp(-np.abs(x)))


bce_logits_prim = elementwise(
    "binary_cross_entropy_with_logits", _bce_logits,
    lambda xp, x, y: xp.sigmoid(x) - y, lambda x: -x, real=True, result="float",
    doc="Minus the log-likelihood of the outcome y under the probability sigmoid(x).",
)  # fmt: skip


def _same_size(input: Any, target: Any, words: str) -> None:
    if tuple(input.shape) != tuple(target.shape):
        raise ValueError(words.format(target=target.shape, input=input.shape))


def binary_cross_entropy(
    input: Any, target: Any, weight: Any = None, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean",
) -> Any:  # fmt: skip
    """The cross entropy of probabilities `input` and outcomes `target`, both in [0, 1].

    Raises:
        RuntimeError: if an input is outside [0, 1].
        ValueError: if the sizes differ.

    >>> import chainrule as cr
    >>> cr.nn.functional.binary_cross_entropy(cr.tensor([0.5]), cr.tensor([1.0]))
    tensor(0.6931)
    """
    reduction = legacy(size_average, reduce, reduction)
    require_tensor(input, "binary_cross_entropy")
    require_tensor(target, "binary_cross_entropy", "target", 2)
    _same_size(
        input, target, "Using a target size ({target}) that is different to the input size "
        "({input}) is deprecated. Please ensure they have the same size.",
    )  # fmt: skip
    values = input.array
    if (
        not is_mapped(input)
        and values.size
        and not (np.minimum.reduce(values, None) >= 0 and values.max() <= 1)
    ):
        raise RuntimeError(
            "all elements of input should be between 0 and 1; for logits use "
            "binary_cross_entropy_with_logits"
        )
    loss = bce_prim(input, target)
    loss = reduced(loss if weight is None else loss * weight, reduction)
    return titled(loss, "BinaryCrossEntropyBackward0")


def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean", pos_weight: Any = None,
) -> Any:  # fmt: skip
    """The cross entropy of sigmoid(input) and outcomes `target`, exact for large logits.

    Args:
        input: logits of any shape.
        target: outcomes in [0, 1], of the same shape.
        weight: a factor for each loss, broadcast.
        pos_weight: a factor for the positive outcomes, broadcast.
        reduction: "none", "mean" or "sum".

    Raises:
        ValueError: if the sizes differ.

    >>> import chainrule as cr
    >>> cr.nn.functional.binary_cross_entropy_with_logits(cr.tensor([0.0]), cr.tensor([1.0]))
    tensor(0.6931)
    """
    reduction = legacy(size_average, reduce, reduction)
    require_tensor(input, "binary_cross_entropy_with_logits")
    require_tensor(target, "binary_cross_entropy_with_logits", "target", 2)
    _same_size(
        input, target, "Target size ({target}) must be the same as input size ({input})"
    )  # fmt: skip
    if pos_weight is None:
        loss = bce_logits_prim(input, target)
    else:
        loss = (1 - target) * input - (1 + (pos_weight - 1) * target) * log_sigmoid(input)
    loss = reduced(loss if weight is None else loss * weight, reduction)
    return titled(loss, "BinaryCrossEntropyWithLogitsBackward0")
