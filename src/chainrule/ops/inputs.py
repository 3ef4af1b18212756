"""What reductions and their like accept: tensors and arrays, a dimension or several, a dtype."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.dtypes import as_numpy, category
from chainrule.core.tensor import Tensor, wrap
from chainrule.ops.axes import normalize_dim, normalize_dims
from chainrule.ops.convert import astype

_TORCH_NAMES = {"bool": "Bool", "uint8": "Byte", "int8": "Char", "int16": "Short", "int32": "Int",
                "int64": "Long", "float16": "Half", "float32": "Float", "float64": "Double",
                "complex64": "ComplexFloat", "complex128": "ComplexDouble"}  # fmt: skip


def as_input(x: Any, name: str, argument: str = "input") -> Any:
    """The argument as a tensor; arrays are constants.

    Raises:
        TypeError: for anything else, lists and numbers included.
    """
    if isinstance(x, Tensor):
        return x
    if isinstance(x, (np.ndarray, np.generic)):
        return wrap(np.asarray(x))
    place = " (position 1)" if argument == "input" else ""
    raise TypeError(
        f"{name}(): argument '{argument}'{place} must be Tensor, not {type(x).__name__}; convert "
        "it with chainrule.tensor()"
    )


def converted(x: Any, dtype: Any) -> Any:
    """The tensor in the given dtype (None: as it is)."""
    if dtype is None:
        return x
    numpy = as_numpy(dtype)
    return x if x.dtype == numpy else astype(x, dtype=numpy)


def numpy_dtype(x: Any) -> np.dtype[Any]:
    """The NumPy dtype of an array or tensor."""
    return as_numpy(x.dtype)


def is_complex(x: Any) -> bool:
    """Whether an array or tensor is complex."""
    return category(as_numpy(x.dtype)) == 3


def conjugate(xp: Any, x: Any) -> Any:
    """The complex conjugate, which for a real tensor costs nothing."""
    return xp.conj(x) if is_complex(x) else x


def torch_name(x: Any) -> str:
    """PyTorch's word for the dtype in error messages: Long, Bool, Float, ..."""
    name = numpy_dtype(x).name
    return _TORCH_NAMES.get(name, name)


def axes_of(dim: Any, ndim: int) -> tuple[int, ...]:
    """The dimensions to reduce; None and the empty list mean all.

    Raises:
        TypeError: if one is not an integer.
        IndexError, RuntimeError: if one is out of range or appears twice.
    """
    several = isinstance(dim, (tuple, list))
    if dim is None or (several and not dim):
        return tuple(range(ndim))
    for d in dim if several else (dim,):
        if not hasattr(d, "__index__"):
            raise TypeError(f"argument 'dim' must be int or tuple of ints, not {type(d).__name__}")
    return normalize_dims(dim, ndim)


def axis_of(dim: Any, ndim: int, name: str) -> int:
    """The one dimension an operation works along.

    Raises:
        TypeError: if it is not an integer.
        IndexError: if it is out of range.
    """
    if isinstance(dim, bool) or not hasattr(dim, "__index__"):
        raise TypeError(f"{name}(): argument 'dim' must be int, not {type(dim).__name__}")
    return normalize_dim(dim, ndim)


def count_of(shape: Any, axes: tuple[int, ...]) -> int:
    """How many entries are reduced to one."""
    n = 1
    for i in axes:
        n *= shape[i]
    return n


def require_entries(x: Any, axes: tuple[int, ...], name: str, everything: bool) -> None:
    """Raise if a reduction that needs at least one entry has none.

    Raises:
        RuntimeError: for an empty tensor reduced over everything.
        IndexError: for a reduced dimension of size zero.
    """
    shape = x.shape
    if 0 not in shape:
        return
    if everything:
        raise RuntimeError(
            f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the "
            "reduction dim with the 'dim' argument."
        )
    for i in axes:
        if shape[i] == 0:
            raise IndexError(f"{name}(): Expected reduction dim {i} to have non-zero size.")
