"""Losses with margins, and losses of embeddings and of several labels at once."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from chainrule.core.boxes import is_mapped, namespace_of, values_of
from chainrule.core.dtypes import category
from chainrule.core.namespaces import recorded as xp
from chainrule.nn.functional.common import (
    legacy,
    raw_dtype,
    reduced,
    require_tensor,
)
from chainrule.nn.functional.distances import pairwise_distance
from chainrule.ops.activation import log_sigmoid, relu
from chainrule.ops.bounds import clamp
from chainrule.ops.gather import check_range
from chainrule.ops.index_batch import ARRAY


def kl_div(
    input: Any, target: Any, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", log_target: bool = False,
) -> Any:  # fmt: skip
    """The Kullback-Leibler divergence target·(log target - input), with log-probabilities `input`.

    Args:
        target: probabilities, or with `log_target` their logarithms.
        reduction: "none", "sum", "mean" or "batchmean", which divides by the batch size and is the
            mathematical definition.

    >>> import chainrule as cr
    >>> cr.nn.functional.kl_div(cr.tensor([[0.0]]), cr.tensor([[1.0]]), reduction="batchmean")
    tensor(0.)
    """
    reduction = legacy(size_average, reduce, reduction)
    require_tensor(input, "kl_div")
    require_tensor(target, "kl_div", "target", 2)
    if log_target:
        loss = xp.exp(target) * (target - input)
    else:
        loss = xp.xlogy(target, target) - target * input
    if reduction == "mean":
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size. "
            "'batchmean' divides only by the batch size, and aligns with the KL div math "
            "definition.",
            stacklevel=2,
        )
    if reduction == "batchmean":
        return reduced(loss, "sum") / input.shape[0] if len(input.shape) else reduced(loss, "sum")
    return reduced(loss, reduction)


def hinge_embedding_loss(
    input: Any, target: Any, margin: float = 1.0, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean",
) -> Any:  # fmt: skip
    """The distance `input` where target is 1, max(0, margin - input) where it is -1.

    >>> import chainrule as cr
    >>> cr.nn.functional.hinge_embedding_loss(cr.tensor([0.5, 0.5]), cr.tensor([1, -1]))
    tensor(0.5000)
    """
    reduction = legacy(size_average, reduce, reduction)
    require_tensor(input, "hinge_embedding_loss")
    require_tensor(target, "hinge_embedding_loss", "target", 2)
    far = xp.where(target != 1, clamp(margin - input, min=0), 0.0)
    return reduced(far + xp.where(target != -1, input, 0.0), reduction)


def margin_ranking_loss(
    input1: Any, input2: Any, target: Any, margin: float = 0, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean",
) -> Any:  # fmt: skip
    """max(0, margin - target·(input1 - input2)): target 1 asks that input1 be the larger.

    Raises:
        RuntimeError: if the numbers of dimensions differ.

    >>> import chainrule as cr
    >>> one, two = cr.tensor([1.0]), cr.tensor([2.0])
    >>> cr.nn.functional.margin_ranking_loss(one, two, cr.tensor([1]))
    tensor(1.)
    """
    reduction = legacy(size_average, reduce, reduction)
    for i, (x, name) in enumerate([(input1, "input1"), (input2, "input2"), (target, "target")]):
        require_tensor(x, "margin_ranking_loss", name, i + 1)
    if not len(input1.shape) == len(input2.shape) == len(target.shape):
        raise RuntimeError(
            "margin_ranking_loss : All input tensors should have same dimension but got sizes: "
            f"input1: {input1.shape}, input2: {input2.shape}, target: {target.shape} "
        )
    return reduced(clamp(margin - target * (input1 - input2), min=0), reduction)


def cosine_embedding_loss(
    input1: Any, input2: Any, target: Any, margin: float = 0, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean",
) -> Any:  # fmt: skip
    """1 - cos(input1, input2) where target is 1, max(0, cos - margin) where it is -1.

    Raises:
        RuntimeError: if target is not of the batch's shape.

    >>> import chainrule as cr
    >>> x = cr.tensor([[1.0, 0.0]])
    >>> cr.nn.functional.cosine_embedding_loss(x, x, cr.tensor([-1]))
    tensor(1.)
    """
    reduction = legacy(size_average, reduce, reduction)
    for i, (x, name) in enumerate([(input1, "input1"), (input2, "input2"), (target, "target")]):
        require_tensor(x, "cosine_embedding_loss", name, i + 1)
    if len(target.shape) not in (0, 1):
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    if len(input1.shape) != len(target.shape) + 1 or len(input2.shape) != len(target.shape) + 1:
        raise RuntimeError(
            f"{len(target.shape)}D target tensor expects {len(target.shape) + 1}D input tensors, "
            f"but found inputs with sizes {list(input1.shape)} and {list(input2.shape)}."
        )
    # PyTorch's formula here adds eps under the roots rather than limiting the norms.
    last = (len(input1.shape) - 1,)
    eps = 1e-12
    dot = xp.sum(input1 * input2, axis=last, keepdims=False)
    norms = (xp.sum(x * x, axis=last, keepdims=False) + eps for x in (input1, input2))
    first, second = norms
    cosine = dot / xp.sqrt(first * second)
    near = xp.where(target == 1, 1 - cosine, 0.0)
    return reduced(near + xp.where(target == -1, clamp(cosine - margin, min=0), 0.0), reduction)


def triplet_margin_loss(
    anchor: Any, positive: Any, negative: Any, margin: float = 1.0, p: float = 2,
    eps: float = 1e-6, swap: bool = False, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean",
) -> Any:  # fmt: skip
    """max(0, |anchor - positive| - |anchor - negative| + margin) with p-norms.

    Args:
        swap: use |positive - negative| where that is smaller than |anchor - negative|.

    Raises:
        ValueError: if the margin is not positive.

    >>> import chainrule as cr
    >>> a, b = cr.zeros(1, 2), cr.ones(1, 2)
    >>> cr.nn.functional.triplet_margin_loss(a, a, b, p=1)
    tensor(0.)
    """
    return triplet_margin_with_distance_loss(
        anchor, positive, negative, distance_function=lambda a, b: pairwise_distance(a, b, p, eps),
        margin=margin, swap=swap, reduction=legacy(size_average, reduce, reduction),
    )  # fmt: skip


def triplet_margin_with_distance_loss(
    anchor: Any, positive: Any, negative: Any, *,
    distance_function: Callable[[Any, Any], Any] | None = None, margin: float = 1.0,
    swap: bool = False, reduction: str = "mean",
) -> Any:  # fmt: skip
    """`triplet_margin_loss` with a distance of one's own.

    Raises:
        ValueError: if the margin is not positive.

    >>> import chainrule as cr
    >>> a, b = cr.zeros(1, 2), cr.ones(1, 2)
    >>> cr.nn.functional.triplet_margin_with_distance_loss(a, b, b)
    tensor(1.)
    """
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    distance = distance_function or pairwise_distance
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = xp.minimum(far, distance(positive, negative))
    return reduced(clamp(near - far + margin, min=0), reduction)


def soft_margin_loss(
    input: Any, target: Any, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:  # fmt: skip
    """log(1 + exp(-target·input)) for targets 1 and -1.

    >>> import chainrule as cr
    >>> cr.nn.functional.soft_margin_loss(cr.tensor([0.0]), cr.tensor([1.0]))
    tensor(0.6931)
    """
    reduction = legacy(size_average, reduce, reduction)
    require_tensor(input, "soft_margin_loss")
    require_tensor(target, "soft_margin_loss", "target", 2)
    return reduced(-log_sigmoid(target * input), reduction)


def multilabel_soft_margin_loss(
    input: Any, target: Any, weight: Any = None, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean",
) -> Any:  # fmt: skip
    """The mean over classes of the cross entropy of sigmoid(input) and the labels 0 and 1.

    >>> import chainrule as cr
    >>> cr.nn.functional.multilabel_soft_margin_loss(cr.zeros(1, 2), cr.ones(1, 2))
    tensor(0.6931)
    """
    reduction = legacy(size_average, reduce, reduction)
    require_tensor(input, "multilabel_soft_margin_loss")
    require_tensor(target, "multilabel_soft_margin_loss", "target", 2)
    loss = -(target * log_sigmoid(input) + (1 - target) * log_sigmoid(-input))
    if weight is not None:
        loss = loss * weight
    last = len(input.shape) - 1
    return reduced(xp.sum(loss, axis=(last,), keepdims=False) / input.shape[last], reduction)


def _batch(input: Any, target: Any, function: str) -> tuple[Any, Any, bool]:
    """Scores (N, C) and integer targets with a batch dimension, and whether there was none.

    A single score counts as those of one class.
    """
    require_tensor(input, function)
    require_tensor(target, function, "target", 2)
    if len(input.shape) > 2 or category(raw_dtype(target)) != 1:
        raise RuntimeError(
            f"{function}() takes scores (N, C), (C,) or () and integer targets, got an input of "
            f"shape {list(input.shape)} and a target of dtype {raw_dtype(target).name}"
        )
    single = len(input.shape) < 2
    if single:
        input = xp.reshape(input, shape=(1, input.shape[0] if len(input.shape) else 1))
    return input, values_of(target), single


def _valid(index: Any, classes: int, problem: str) -> Any:
    """The class indices; RuntimeError, saying what the problem is, if one is no class."""
    if is_mapped(index):
        return check_range(index, 1, classes, RuntimeError)
    if index.size and (index.min() < 0 or index.max() >= classes):
        raise RuntimeError(problem)
    return index


def _taken(x: Any, *positions: Any) -> Any:
    """The entries at positions in each dimension."""
    return xp.getitem(x, *positions, index=(ARRAY,) * len(positions))


def multi_margin_loss(
    input: Any, target: Any, p: int = 1, margin: float = 1.0, weight: Any = None,
    size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean",
) -> Any:  # fmt: skip
    """The mean over the other classes i of max(0, margin - x[target] + x[i])ᵖ.

    Args:
        input: scores (N, C) or (C,); a 0-d tensor is one class.
        target: class indices (N,) or ().
        p: 1 or 2.
        weight: a weight per target class.

    Raises:
        ValueError: for another p.
        RuntimeError: if a target is not a class or the batch sizes differ.

    >>> import chainrule as cr
    >>> cr.nn.functional.multi_margin_loss(cr.tensor([[1.0, 0.5]]), cr.tensor([0]))
    tensor(0.2500)
    """
    reduction = legacy(size_average, reduce, reduction)
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    input, index, single = _batch(input, target, "multi_margin_loss")
    n, classes = input.shape
    ix = namespace_of(index)
    index = ix.reshape(index, shape=(prod(index.shape),))
    if index.shape != (n,):
        raise RuntimeError(f"inconsistent target size, expected {n} but got {list(target.shape)}")
    index = _valid(index, classes, f"target out of range: classes go from 0 to {classes - 1}")
    right = xp.reshape(_taken(input, np.arange(n), index), shape=(n, 1))
    loss = relu(margin - right + input)
    if p == 2:
        loss = xp.square(loss)
    if weight is not None:
        loss = loss * xp.reshape(_taken(weight, index), shape=(n, 1))
    others = ix.reshape(index, shape=(n, 1)) != np.arange(classes)
    loss = xp.sum(xp.where(others, loss, 0.0), axis=(1,), keepdims=False) / classes
    return reduced(xp.reshape(loss, shape=tuple(target.shape)) if single else loss, reduction)


def multilabel_margin_loss(
    input: Any, target: Any, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:  # fmt: skip
    """The sum over labels j and other classes i of max(0, 1 - x[j] + x[i]) / C.

    Args:
        input: scores (N, C) or (C,); a 0-d tensor is one class.
        target: of the same shape: class indices, ended by the first -1.

    Raises:
        RuntimeError: if the shapes differ or a target is not a class.

    >>> import chainrule as cr
    >>> x, y = cr.tensor([[1.0, 0.5]]), cr.tensor([[0, -1]])
    >>> cr.nn.functional.multilabel_margin_loss(x, y)
    tensor(0.2500)
    """
    reduction = legacy(size_average, reduce, reduction)
    shapes = {tuple(input.shape), tuple(target.shape)}
    if len(shapes) > 1 and shapes != {(), (1,)}:
        raise RuntimeError(
            f"inconsistent target size: {list(target.shape)} for input of size: {list(input.shape)}"
        )
    input, index, single = _batch(input, target, "multilabel_margin_loss")
    n, classes = input.shape
    ix = namespace_of(index)
    index = ix.reshape(index, shape=(n, classes))
    valid = ix.cumprod(index >= 0, axis=1, reverse=False) != 0  # up to the first -1
    index = _valid(
        ix.where(valid, index, 0), classes,
        f"argument #2 'target' is out of range: it must be below {classes}",
    )  # fmt: skip
    valid = ix.reshape(valid, shape=(n, classes, 1))
    named = (ix.reshape(index, shape=(n, classes, 1)) == np.arange(classes)) & valid
    is_label = ix.any(named, axis=(1,), keepdims=True)
    right = xp.reshape(_taken(input, np.arange(n)[:, None], index), shape=(n, classes, 1))
    loss = relu(1 - right + xp.reshape(input, shape=(n, 1, classes)))
    loss = xp.sum(xp.where(valid & ~is_label, loss, 0.0), axis=(1, 2), keepdims=False) / classes
    return reduced(xp.reshape(loss, shape=()) if single else loss, reduction)
