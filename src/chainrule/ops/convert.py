"""Conversions between dtypes, copies, and the parts of complex numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core import avals, inplace
from chainrule.core.batching import unchanged
from chainrule.core.dtypes import as_numpy
from chainrule.core.kinds import linear
from chainrule.core.node import Aval
from chainrule.core.samples import Sample, uniform
from chainrule.core.tensor import Tensor
from chainrule.ops.api import export
from chainrule.ops.shape import tensor_arg
from chainrule.ops.subscript import assignable


def _astype(x: Any, dtype: np.dtype[Any]) -> Any:
    if x.dtype.kind == "c" and dtype.kind != "c":
        return x.real.astype(dtype)
    return np.asarray(x).astype(dtype)


# The engine casts each cotangent back to its argument's dtype, so the transpose does nothing.
astype = linear(
    "astype", _astype, lambda g: g, grad_name="ToCopy", batch=unchanged,
    aval=lambda x, dtype: Aval(avals.shape_of(x), as_numpy(dtype)),
    samples=lambda: [Sample(uniform(3), dtype=np.dtype("c16"))],
)  # fmt: skip
clone_prim = linear(
    "clone",
    lambda x: x.copy(),
    lambda g: g,
    aval=avals.same,
    batch=unchanged,
    samples=lambda: [Sample(uniform(2, 3))],
)


@export()
def clone(input: Any, *, memory_format: Any = None) -> Any:
    """A copy in memory of its own, through which gradients flow.

    >>> import chainrule as cr
    >>> x = cr.tensor([1.0, 2.0])
    >>> y = x.clone()
    >>> y[0] = 5.0
    >>> x
    tensor([1., 2.])
    """
    return clone_prim(input)


@export(function=False)
def copy_(self: Tensor, src: Any, non_blocking: bool = False) -> Tensor:
    """Write the entries of `src`, broadcast and converted, to this tensor, and return it.

    Raises:
        RuntimeError: if `src` does not broadcast to the shape, or the tensor may not be written.

    >>> import chainrule as cr
    >>> cr.zeros(2).copy_(cr.tensor([1, 2]))
    tensor([1., 2.])
    """
    if src is self:
        return self
    inplace.check_writable(self)
    return inplace.store(self, tensor_arg(src, "copy_", "other"))


@export(function=False)
def fill_(self: Tensor, value: Any) -> Tensor:
    """Write one number, or the entry of a 0-d tensor, to all entries, and return the tensor.

    Raises:
        RuntimeError: if `value` has dimensions, or the tensor may not be written.

    >>> import chainrule as cr
    >>> cr.zeros(2).fill_(3)
    tensor([3., 3.])
    """
    inplace.check_writable(self)
    title = "FillBackward3" if isinstance(value, Tensor) else "FillBackward2"
    value = value if isinstance(value, Tensor) else assignable(value, self)
    if len(value.shape):
        raise RuntimeError(
            "fill_ only supports 0-dimension value tensor but got tensor with "
            f"{len(value.shape)} dimensions."
        )
    return inplace.store(self, value, title=title)


@export(function=False)
def zero_(self: Tensor) -> Tensor:
    """Write zeros to all entries, and return the tensor.

    >>> import chainrule as cr
    >>> cr.ones(2).zero_()
    tensor([0., 0.])
    """
    inplace.check_writable(self)
    return inplace.store(self, 0, title="ZeroBackward0")


@export(method=False)
def fill(input: Any, value: Any) -> Any:
    """A tensor like `input` with the number `value` in all entries, which does not depend on it.

    >>> import chainrule as cr
    >>> cr.fill(cr.zeros(2), 3.0)
    tensor([3., 3.])
    """
    return fill_(clone(input), value)
