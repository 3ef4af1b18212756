"""The old constructor: `Tensor(2, 3)` with arbitrary entries, `Tensor([1, 2])` with these."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.dtypes import default_dtype
from chainrule.core.tensor import Tensor, wrap
from chainrule.ops.api import attach
from chainrule.ops.create import size_of
from chainrule.ops.data import array_of


def _new(cls: Any, *data: Any, **kwargs: Any) -> Any:
    if cls is not Tensor:
        return object.__new__(cls)
    dt = default_dtype()
    if kwargs:
        raise TypeError(
            f"Tensor() got an unexpected keyword argument '{next(iter(kwargs))}'; "
            "use chainrule.tensor(), which takes dtype and requires_grad"
        )
    if not data:
        return wrap(np.empty(0, dt))
    if len(data) == 1 and not isinstance(data[0], int):
        given = data[0].array if isinstance(data[0], Tensor) else data[0]
        if isinstance(given, tuple) and type(given) is not tuple:  # a Size
            return wrap(np.empty(given, dt))
        return wrap(array_of(given, dt, copy=False))
    return wrap(np.empty(size_of("Tensor", data), dt))


attach("__new__", staticmethod(_new))
