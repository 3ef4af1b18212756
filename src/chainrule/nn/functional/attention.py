"""Attention, and the bilinear map."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.core.namespaces import recorded as xp
from chainrule.core.tensor import wrap
from chainrule.nn.functional.common import raw_dtype, require_tensor
from chainrule.nn.functional.dropout import dropout
from chainrule.ops.activation import softmax_prim
from chainrule.ops.api import export
from chainrule.ops.contract import matmul


def scaled_dot_product_attention(
    query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0,
    is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False,
) -> Any:  # fmt: skip
    """softmax(query keyᵀ · scale + mask) value.

    Args:
        query: (..., L, E).
        key: (..., S, E).
        value: (..., S, Ev).
        attn_mask: True where attention is allowed, or numbers added to the scores; (..., L, S).
        dropout_p: the probability of dropping an attention weight.
        is_causal: position i sees positions up to i only.
        scale: 1/√E by default.
        enable_gqa: heads of key and value (dimension -3) are repeated to match those of query.

    Raises:
        RuntimeError: if both a mask and `is_causal` are given.

    >>> import chainrule as cr
    >>> q, v = cr.zeros(2, 3), cr.tensor([[1.0], [3.0]])
    >>> cr.nn.functional.scaled_dot_product_attention(q, q, v)
    tensor([[2.],
            [2.]])
    """
    for i, (x, name) in enumerate([(query, "query"), (key, "key"), (value, "value")]):
        require_tensor(x, "scaled_dot_product_attention", name, i + 1)
    if is_causal and attn_mask is not None:
        raise RuntimeError(
            "scaled_dot_product_attention: Explicit attn_mask should not be set when is_causal=True"
        )
    rows, width = query.shape[-2], query.shape[-1]
    if enable_gqa:
        repeats = query.shape[-3] // key.shape[-3]
        key, value = (x.repeat_interleave(repeats, -3) for x in (key, value))
    scores = matmul(query, key.transpose(-2, -1)) * (
        1 / math.sqrt(width) if scale is None else scale
    )
    allowed = None
    if is_causal:
        allowed = wrap(np.tri(rows, key.shape[-2], dtype=bool))
    elif attn_mask is not None and raw_dtype(attn_mask) == np.bool_:
        allowed = attn_mask
    elif attn_mask is not None:
        scores = scores + attn_mask
    weights = _softmax_where(scores, allowed)
    return matmul(dropout(weights, dropout_p) if dropout_p else weights, value)


def _softmax_where(scores: Any, allowed: Any) -> Any:
    """The softmax over allowed positions; a row without any is zero."""
    last = len(scores.shape) - 1
    if allowed is None:
        return softmax_prim(scores, axis=last)
    some = xp.any(allowed, axis=(len(allowed.shape) - 1,), keepdims=True)
    scores = xp.where(xp.logical_or(allowed, xp.logical_not(some)), scores, -math.inf)
    return xp.where(some, softmax_prim(scores, axis=last), 0.0)


@export("bilinear", method=False)
def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    """y[..., o] = Σ input1[..., i] · weight[o, i, j] · input2[..., j] + bias[o].

    Raises:
        RuntimeError: if the shapes do not fit.

    >>> import chainrule as cr
    >>> cr.bilinear(cr.tensor([2.0]), cr.tensor([3.0]), cr.ones(1, 1, 1))
    tensor([6.])
    """
    for i, (x, name) in enumerate([(input1, "input1"), (input2, "input2"), (weight, "weight")]):
        require_tensor(x, "bilinear", name, i + 1)
    if tuple(input1.shape[:-1]) != tuple(input2.shape[:-1]):
        raise RuntimeError(
            "bilinear(): input batch dimensions do not match: got "
            f"{list(input1.shape[:-1])} and {list(input2.shape[:-1])}"
        )
    o, i, j = weight.shape
    if (input1.shape[-1], input2.shape[-1]) != (i, j):
        raise RuntimeError(
            f"bilinear(): input1 size does not match weight size: got {input1.shape[-1]} and "
            f"{input2.shape[-1]} features but the weight has shape {list(weight.shape)}"
        )
    # (..., i) by (i, o·j), then a sum over j.
    side = xp.reshape(xp.permute_dims(weight, axes=(1, 0, 2)), shape=(i, o * j))
    left = xp.reshape(matmul(input1, side), shape=(*input1.shape[:-1], o, j))
    right = xp.reshape(input2, shape=(*input2.shape[:-1], 1, j))
    out = xp.sum(left * right, axis=(len(left.shape) - 1,), keepdims=False)
    return out if bias is None else out + bias
