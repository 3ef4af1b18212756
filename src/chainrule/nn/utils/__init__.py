"""What training loops do to all parameters at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from chainrule.core.modes import refuse_lifted
from chainrule.core.mutation import note_write
from chainrule.core.tensor import Tensor, wrap
from chainrule.nn.utils import stateless
from chainrule.ops.api import FUNCTIONS

__all__ = [
    "clip_grad_norm_",
    "clip_grad_value_",
    "clip_grads_with_norm_",
    "get_total_norm",
    "parameters_to_vector",
    "stateless",
    "vector_to_parameters",
]


def _list(parameters: Any) -> list[Tensor]:
    return [parameters] if isinstance(parameters, Tensor) else list(parameters)


def _gradients(parameters: Any) -> list[Any]:
    refuse_lifted("clipping gradients")
    return [p._grad.array for p in _list(parameters) if p._grad is not None]


def _norm(arrays: list[Any], norm_type: float) -> float:
    """The norm of all entries of all arrays together."""
    if not arrays:
        return 0.0
    flat = [np.abs(a).reshape(-1).astype(np.float64, copy=False) for a in arrays]
    if norm_type == np.inf:
        return float(max(a.max(initial=0.0) for a in flat))
    if norm_type == 2.0:
        return float(np.sqrt(sum(a @ a for a in flat)))
    return float(sum((a**norm_type).sum() for a in flat) ** (1.0 / norm_type))


def get_total_norm(
    tensors: Any, norm_type: float = 2.0, error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:  # fmt: skip
    """The norm of all entries of the tensors, taken as one vector.

    Raises:
        RuntimeError: if it is not finite and `error_if_nonfinite`.
    """
    arrays = [t.array for t in _list(tensors)]
    return _checked_norm(arrays, float(norm_type), error_if_nonfinite)


def _checked_norm(arrays: list[Any], norm_type: float, error_if_nonfinite: bool) -> Tensor:
    total = _norm(arrays, norm_type)
    if error_if_nonfinite and not np.isfinite(total):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, "
            "so it cannot be clipped. To disable this error and scale the gradients by the "
            "non-finite norm anyway, set `error_if_nonfinite=False`"
        )
    dt = np.result_type(*[a.real.dtype for a in arrays]) if arrays else np.float32
    made: Tensor = wrap(np.asarray(total, dt))
    return made


def clip_grads_with_norm_(
    parameters: Any, max_norm: float, total_norm: Any, foreach: bool | None = None
) -> None:
    """Scale the gradients down by max_norm/total_norm, if that is less than one."""
    total = float(total_norm.array if isinstance(total_norm, Tensor) else total_norm)
    factor = max_norm / (total + 1e-6)
    if not factor >= 1.0:
        for g in _gradients(parameters):
            g *= factor
            note_write(g)


def clip_grad_norm_(
    parameters: Any, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:  # fmt: skip
    """Scale the gradients down so that together they have at most the norm `max_norm`.

    Returns the norm they had.

    Raises:
        RuntimeError: if the norm is not finite and `error_if_nonfinite`.

    >>> import chainrule as cr
    >>> x = cr.zeros(2, requires_grad=True)
    >>> (x * cr.tensor([3.0, 4.0])).sum().backward()
    >>> cr.nn.utils.clip_grad_norm_([x], max_norm=1.0)
    tensor(5.)
    >>> x.grad
    tensor([0.6000, 0.8000])
    """
    parameters = _list(parameters)
    total = _checked_norm(_gradients(parameters), float(norm_type), error_if_nonfinite)
    clip_grads_with_norm_(parameters, float(max_norm), total)
    return total


def clip_grad_value_(parameters: Any, clip_value: float, foreach: bool | None = None) -> None:
    """Bring every entry of the gradients between -clip_value and clip_value."""
    for g in _gradients(parameters):
        np.clip(g, -float(clip_value), float(clip_value), out=g)
        note_write(g)


def parameters_to_vector(parameters: Iterable[Tensor]) -> Any:
    """All parameters as one vector, differentiably.

    >>> import chainrule as cr
    >>> cr.nn.utils.parameters_to_vector([cr.ones(2), cr.zeros(1, 2)])
    tensor([1., 1., 0., 0.])
    """
    return FUNCTIONS["cat"]([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Write consecutive pieces of a vector into the parameters.

    Raises:
        TypeError: if `vec` is not a tensor.
        ValueError: if it has another number of entries than the parameters together.
    """
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected chainrule.Tensor, but got: {type(vec).__name__}")
    tensors = list(parameters)
    total = sum(p.array.size for p in tensors)
    if vec.array.shape != (total,):
        raise ValueError(
            f"the vector has shape {list(vec.array.shape)}, but the parameters have {total} entries"
        )
    start = 0
    for p in tensors:
        size = p.array.size
        p.array[...] = vec.array[start : start + size].reshape(p.array.shape)
        note_write(p.array)
        start += size
