"""Attention, and the encoder layer of the transformer."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.namespaces import recorded
from chainrule.nn import functional as F
from chainrule.nn import init
from chainrule.nn.container import ModuleList
from chainrule.nn.dropout import Dropout
from chainrule.nn.linear import Linear, empty_parameter
from chainrule.nn.module import Module
from chainrule.nn.normalization import LayerNorm
from chainrule.ops.api import FUNCTIONS


class MultiheadAttention(Module):
    """Attention of several heads (Vaswani et al. 2017).

    Args:
        embed_dim: size of queries and results; `num_heads` divides it.
        num_heads: how many attend side by side.
        dropout: probability of ignoring a position in training.
        bias: whether the projections have one.
        kdim, vdim: sizes of keys and values, where they differ.
        batch_first: whether the batch comes before the sequence.

    Raises:
        AssertionError: if `num_heads` does not divide `embed_dim`.

    >>> import chainrule as cr
    >>> attention = cr.nn.MultiheadAttention(4, num_heads=2, batch_first=True)
    >>> x = cr.ones(3, 5, 4)
    >>> out, weights = attention(x, x, x)
    >>> out.shape, weights.shape
    (chainrule.Size([3, 5, 4]), chainrule.Size([3, 5, 5]))
    """

    def __init__(
        self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True,
        kdim: int | None = None, vdim: int | None = None, batch_first: bool = False,
        device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if embed_dim % num_heads:
            raise AssertionError("embed_dim must be divisible by num_heads")
        self.embed_dim, self.num_heads, self.dropout = embed_dim, num_heads, dropout
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self.batch_first, self.head_dim = batch_first, embed_dim // num_heads
        self._same = self.kdim == self.vdim == embed_dim
        sizes = (embed_dim, self.kdim, self.vdim)
        if self._same:
            self.in_proj_weight = empty_parameter((3 * embed_dim, embed_dim), dtype)
        else:
            for name, size in zip("qkv", sizes, strict=True):
                setattr(self, f"{name}_proj_weight", empty_parameter((embed_dim, size), dtype))
        self.register_parameter(
            "in_proj_bias", empty_parameter(3 * embed_dim, dtype) if bias else None
        )
        self.out_proj = Linear(embed_dim, embed_dim, bias, dtype=dtype)
        for name, p in self.named_parameters():
            if name.endswith("proj_weight"):
                init.xavier_uniform_(p)
        if bias:
            init.zeros_(self.out_proj.bias)

    def _project(self, inputs: tuple[Any, Any, Any]) -> list[Any]:
        """Queries, keys and values, from (length, batch, size) to (batch, head, length, part)."""
        if self._same:
            weights = FUNCTIONS["chunk"](self.in_proj_weight, 3)
        else:
            weights = [self.q_proj_weight, self.k_proj_weight, self.v_proj_weight]
        biases: Any = (None,) * 3
        if self.in_proj_bias is not None:
            biases = FUNCTIONS["chunk"](self.in_proj_bias, 3)
        projected = [F.linear(x, w, b) for x, w, b in zip(inputs, weights, biases, strict=True)]
        return [
            x.reshape(*x.shape[:2], self.num_heads, self.head_dim).permute(1, 2, 0, 3)
            for x in projected
        ]

    def forward(
        self, query: Any, key: Any, value: Any, key_padding_mask: Any = None,
        need_weights: bool = True, attn_mask: Any = None, average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Any, Any]:  # fmt: skip
        """The attended values, and the weights (or None).

        In masks, True forbids a position; a mask of numbers is added to the scores.  `attn_mask` is
        (target, source) or (batch·heads, target, source), `key_padding_mask` (batch, source).

        Raises:
            RuntimeError: for `is_causal` without a mask.
        """
        if is_causal and attn_mask is None:
            raise RuntimeError("Need attn_mask if specifying the is_causal hint.")
        single = query.ndim == 2
        inputs = (query, key, value)
        if single:
            inputs = tuple(x.unsqueeze(1) for x in inputs)  # type: ignore[assignment]
        elif self.batch_first:
            inputs = tuple(x.transpose(0, 1) for x in inputs)  # type: ignore[assignment]
        q, k, v = self._project(inputs)
        scores = (q * (1 / math.sqrt(self.head_dim))) @ k.transpose(-2, -1)
        scores = self._masked(scores, key_padding_mask, attn_mask)
        weights = F.softmax(scores, dim=-1)
        used = F.dropout(weights, self.dropout, self.training) if self.dropout else weights
        out = (used @ v).permute(2, 0, 1, 3).reshape(*inputs[0].shape[:2], self.embed_dim)
        out = self.out_proj(out)
        if single:
            out, weights = out.squeeze(1), weights.squeeze(0)
        elif self.batch_first:
            out = out.transpose(0, 1)
        if not need_weights:
            return out, None
        return out, (weights.mean(-3) if average_attn_weights else weights)

    def _masked(self, scores: Any, key_padding_mask: Any, attn_mask: Any) -> Any:
        """The scores with minus infinity where attention is forbidden."""
        batch, heads, targets, sources = scores.shape
        if attn_mask is not None:
            if attn_mask.ndim == 3:
                attn_mask = attn_mask.reshape(batch, heads, targets, sources)
            scores = scores + _additive(attn_mask, scores)
        if key_padding_mask is not None:
            scores = scores + _additive(key_padding_mask, scores).reshape(-1, 1, 1, sources)
        return scores


def _additive(mask: Any, scores: Any) -> Any:
    """A mask as numbers to add: 0 or, where it is True, minus infinity."""
    if mask.array.dtype != bool:
        return mask
    dt = scores.array.dtype
    return recorded.where(mask, np.asarray(-np.inf, dt), np.asarray(0, dt))


class TransformerEncoderLayer(Module):
    """Self-attention and two linear layers, each with a residual connection and normalisation.

    Args:
        d_model: the size of the input.
        nhead: how many heads attend side by side.
        dim_feedforward: the size between the linear layers.
        dropout: probability of zeroing in training.
        activation: "relu", "gelu" or a function, between the linear layers.
        layer_norm_eps: added to the variance.
        batch_first: whether the batch comes before the sequence.
        norm_first: normalise before instead of after.
        bias: whether linear layers and normalisations have one.

    >>> import chainrule as cr
    >>> cr.nn.TransformerEncoderLayer(4, nhead=2, dim_feedforward=8)(cr.ones(5, 3, 4)).shape
    chainrule.Size([5, 3, 4])
    """

    def __init__(
        self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1,
        activation: str | Callable[[Any], Any] = "relu", layer_norm_eps: float = 1e-5,
        batch_first: bool = False, norm_first: bool = False, bias: bool = True,
        device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if isinstance(activation, str):
            if activation not in ("relu", "gelu"):
                raise RuntimeError(f"activation should be relu/gelu, not {activation}")
            activation = F.relu if activation == "relu" else F.gelu
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout, bias, batch_first=batch_first, dtype=dtype
        )
        self.linear1 = Linear(d_model, dim_feedforward, bias, dtype=dtype)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, dtype=dtype)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype)
        self.dropout1, self.dropout2 = Dropout(dropout), Dropout(dropout)
        self.activation: Any = activation

    def _attend(self, x: Any, mask: Any, padding: Any) -> Any:
        out = self.self_attn(x, x, x, attn_mask=mask, key_padding_mask=padding, need_weights=False)[
            0
        ]
        return self.dropout1(out)

    def _feed(self, x: Any) -> Any:
        return self.dropout2(self.linear2(self.dropout(self.activation(self.linear1(x)))))

    def forward(
        self, src: Any, src_mask: Any = None, src_key_padding_mask: Any = None,
        is_causal: bool = False,
    ) -> Any:  # fmt: skip
        """The encoded sequence; masks as in `MultiheadAttention`."""
        if self.norm_first:
            x = src + self._attend(self.norm1(src), src_mask, src_key_padding_mask)
            return x + self._feed(self.norm2(x))
        x = self.norm1(src + self._attend(src, src_mask, src_key_padding_mask))
        return self.norm2(x + self._feed(x))


class TransformerEncoder(Module):
    """A stack of copies of one encoder layer.

    Args:
        encoder_layer: what to copy.
        num_layers: how many.
        norm: applied to the result, if given.
    """

    def __init__(self, encoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.layers = ModuleList([copy.deepcopy(encoder_layer) for _ in range(num_layers)])
        self.num_layers, self.norm = num_layers, norm

    def forward(
        self, src: Any, mask: Any = None, src_key_padding_mask: Any = None,
        is_causal: bool | None = None,
    ) -> Any:  # fmt: skip
        """The encoded sequence; masks as in `MultiheadAttention`."""
        for layer in self.layers:
            src = layer(src, src_mask=mask, src_key_padding_mask=src_key_padding_mask)
        return src if self.norm is None else self.norm(src)
