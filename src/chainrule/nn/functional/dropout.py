"""Dropout: random zeros in training."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.tensor import wrap
from chainrule.nn.functional.common import raw_dtype, require_tensor
from chainrule.ops.api import export

_generator = np.random.default_rng()


def _check_probability(p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def keep_mask(shape: Any, p: float, dtype: Any) -> Any:
    """A random array of ones, and zeros with probability p."""
    return (_generator.random(shape, np.float32) >= p).astype(dtype)


@export("dropout", method=False)
def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """In training, zero each entry with probability `p` and divide the others by 1 - p.

    Raises:
        ValueError: if `p` is not a probability.

    >>> import chainrule as cr
    >>> cr.nn.functional.dropout(cr.ones(3), training=False)
    tensor([1., 1., 1.])
    """
    require_tensor(input, "dropout")
    _check_probability(p)
    if not training or p == 0:
        return input
    mask = keep_mask(tuple(input.shape), p, raw_dtype(input))
    if p < 1:
        mask *= 1 / (1 - p)
    mask = wrap(mask)
    return input.mul_(mask) if inplace else input * mask
