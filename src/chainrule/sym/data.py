"""Data for variables of unknown shapes: the shapes and dtypes that follow from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.core.node import Aval
from chainrule.core.tensor import Tensor, wrap
from chainrule.graph.binding import check_dtype, listed
from chainrule.ops.data import check_kind
from chainrule.sym.deferred import Deferred
from chainrule.sym.expression import Variable, check_shape
from chainrule.transforms.inputs import as_tensor, number_dtype


def avals_of(variables: Sequence[Variable], values: Mapping[str, Any]) -> dict[str, Aval]:
    """Shape and dtype of each variable that follow from data; tangents have those of others.

    Raises:
        TypeError: if a value is no tensor, array or number.
        RuntimeError: if a shape or dtype is not what was declared.
    """
    kind = number_dtype([v for v in values.values() if not isinstance(v, Aval)])
    found = {}
    for v in variables:
        if v.derived or v.name not in values:
            continue
        aval = _aval(v.name, values[v.name], kind)
        if v.shape is not None:
            check_shape(v.name, aval, v.source)
            continue
        if v.dtype is not None:
            check_dtype(v.name, aval.dtype, v.dtype, "the variable was declared as")
            aval = Aval(aval.shape, v.dtype)
        found[v.name] = aval
    return found


def _aval(name: str, value: Any, kind: Any) -> Aval:
    if isinstance(value, Aval):
        return value
    if isinstance(value, complex):
        return Aval((), np.result_type(kind, np.complex64))
    if isinstance(value, float):
        return Aval((), kind)
    if isinstance(value, (bool, int, list, tuple)):
        value = data_of(name, value)
    if isinstance(value, (np.ndarray, np.generic)):
        check_kind(value)
        value = as_tensor(value)
    if not isinstance(value, Tensor):
        raise TypeError(
            f"the value of {name!r} is a {type(value).__name__}; it must be a tensor, an array, a "
            "number or a list of numbers"
        )
    if isinstance(value, Deferred):
        raise TypeError(
            f"the value of {name!r} is an expression of unknown shape; data is bound to variables, "
            "not expressions"
        )
    return Aval(tuple(value.array.shape), value.array.dtype)


def data_of(name: str, value: Any) -> Tensor:
    """Numbers in lists as a tensor.

    Raises:
        TypeError: if they are no numbers, or not of one shape.
    """
    made: Tensor = wrap(listed(name, value))
    return made
