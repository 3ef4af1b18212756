"""Distances, similarities, and scaling to unit length."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.kinds import promote
from chainrule.core.namespaces import recorded as xp
from chainrule.core.tensor import wrap
from chainrule.nn.functional.common import require_tensor
from chainrule.ops.api import export
from chainrule.ops.axes import normalize_dims
from chainrule.ops.expand import common_shape
from chainrule.ops.norms import vector_norm


def normalize(input: Any, p: float = 2.0, dim: Any = 1, eps: float = 1e-12, out: Any = None) -> Any:
    """The tensor divided by its p-norm along `dim`; norms below `eps` count as `eps`.

    >>> import chainrule as cr
    >>> cr.nn.functional.normalize(cr.tensor([3.0, 4.0]), dim=0)
    tensor([0.6000, 0.8000])
    """
    require_tensor(input, "normalize")
    result = input / xp.clamp_min(vector_norm(input, p, dim, True), eps)
    return result if out is None else out.copy_(result)


@export("cosine_similarity", method=False)
def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    """⟨x1, x2⟩ / (|x1|·|x2|) along `dim`; norms below `eps` count as `eps`.

    >>> import chainrule as cr
    >>> cr.cosine_similarity(cr.tensor([1.0, 0.0]), cr.tensor([1.0, 1.0]), dim=0)
    tensor(0.7071)
    """
    require_tensor(x1, "cosine_similarity", "x1")
    require_tensor(x2, "cosine_similarity", "x2", 2)
    x1, x2 = promote(x1, x2)
    if x1.shape != x2.shape:
        shape = common_shape(tuple(x1.shape), tuple(x2.shape))
        x1, x2 = (xp.broadcast_to(x, shape=shape) for x in (x1, x2))
    norms = [xp.clamp_min(vector_norm(x, 2, dim, True), eps) for x in (x1, x2)]
    product = (x1 / norms[0]) * (x2 / norms[1])
    return xp.sum(product, axis=normalize_dims(dim, len(product.shape)), keepdims=False)


@export("pairwise_distance", method=False)
def pairwise_distance(
    x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Any:
    """The p-norm of x1 - x2 + eps along the last dimension.

    >>> import chainrule as cr
    >>> cr.pairwise_distance(cr.zeros(1, 2), cr.ones(1, 2), p=cr.inf)
    tensor([1.0000])
    """
    require_tensor(x1, "pairwise_distance", "x1")
    require_tensor(x2, "pairwise_distance", "x2", 2)
    return vector_norm(x1 - x2 + eps, p, -1, keepdim)


@export("pdist", method=False)
def pdist(input: Any, p: float = 2.0) -> Any:
    """The p-norm distances between all pairs of rows: (0, 1), (0, 2), ..., (1, 2), ...

    Raises:
        RuntimeError: if the input is not a matrix.

    >>> import chainrule as cr
    >>> cr.pdist(cr.tensor([[0.0], [1.0], [3.0]]))
    tensor([1., 3., 2.])
    """
    require_tensor(input, "pdist")
    if len(input.shape) != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {len(input.shape)}D")
    first, second = np.triu_indices(input.shape[0], 1)
    return vector_norm(input[wrap(first)] - input[wrap(second)], p, -1)
