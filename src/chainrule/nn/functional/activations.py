"""Activations."""

from __future__ import annotations

from typing import Any

from chainrule.core import inplace as in_place
from chainrule.nn.functional.common import require_tensor
from chainrule.ops import activation as ops


def apply(op: Any, input: Any, inplace: bool) -> Any:
    """`op(input)`, written to the memory of `input` if asked."""
    require_tensor(input, op.__name__)
    return in_place.apply(input, op) if inplace else op(input)


def relu(input: Any, inplace: bool = False) -> Any:
    """Each entry if it is positive, else 0.

    >>> import chainrule as cr
    >>> cr.nn.functional.relu(cr.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    return apply(ops.relu, input, inplace)


def softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """exp(x) / sum(exp(x)) along `dim`: positive entries that sum to 1.

    >>> import chainrule as cr
    >>> cr.nn.functional.softmax(cr.tensor([0.0, 0.0]), dim=0)
    tensor([0.5000, 0.5000])
    """
    return ops.softmax(input, dim, dtype)


def log_softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """The logarithm of softmax along `dim`, exact where softmax itself underflows.

    >>> import chainrule as cr
    >>> cr.nn.functional.log_softmax(cr.tensor([0.0, 0.0]), dim=0)
    tensor([-0.6931, -0.6931])
    """
    return ops.log_softmax(input, dim, dtype)


def logsigmoid(input: Any) -> Any:
    """log(sigmoid(x)), exact for large negative x.

    >>> import chainrule as cr
    >>> cr.nn.functional.logsigmoid(cr.tensor([0.0]))
    tensor([-0.6931])
    """
    return ops.log_sigmoid(input)


__all__ = ["log_softmax", "logsigmoid", "relu", "softmax"]
