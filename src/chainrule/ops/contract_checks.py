"""What matrix products ask of their arguments; the messages are PyTorch's."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from chainrule.core.dtypes import NUMPY_BOOL
from chainrule.core.tensor import Parameter, Tensor
from chainrule.ops.products import numpy_dtype

# PyTorch's two ways to name a dtype in messages: of the memory, and of the scalar.
_C_NAMES = {"float32": "float", "float64": "double", "float16": "c10::Half", "int64": "long int",
            "bfloat16": "c10::BFloat16", "complex64": "c10::complex<float>",
            "complex128": "c10::complex<double>"}  # fmt: skip
_SCALAR_NAMES = {"float32": "Float", "float64": "Double", "float16": "Half", "int64": "Long",
                 "int32": "Int", "int16": "Short", "int8": "Char", "uint8": "Byte", "bool": "Bool",
                 "bfloat16": "BFloat16", "complex64": "ComplexFloat",
                 "complex128": "ComplexDouble"}  # fmt: skip


def scalar_name(x: Any) -> str:
    """PyTorch's name of the scalar type, as in "Float"."""
    name = numpy_dtype(x).name
    return _SCALAR_NAMES.get(name, name)


def operand(x: Any, name: str, label: str, position: int) -> Any:
    """The array behind a tensor argument, to be asked for shape and dtype.

    Raises:
        TypeError: if it is neither a tensor nor an array.
    """
    if type(x) is Tensor or type(x) is Parameter:
        return x.array
    if isinstance(x, (Tensor, np.ndarray)):
        return x
    raise TypeError(
        f"{name}(): argument '{label}' (position {position}) must be Tensor, not {type(x).__name__}"
    )


def _shape_text(a: Any) -> str:
    return "x".join(map(str, a.shape))


def check_columns(x: Any, y: Any) -> None:
    if x.shape[-1] != y.shape[0]:
        raise RuntimeError(
            "mat1 and mat2 shapes cannot be multiplied "
            f"({prod(x.shape[:-1])}x{x.shape[-1]} and {_shape_text(y)})"
        )


def check_mm(x: Any, y: Any) -> None:
    check_columns(x, y)
    if x.dtype != y.dtype:
        raise _mixed(x, y)
    if x.dtype == NUMPY_BOOL:
        raise NotImplementedError("\"addmm_impl_cpu_\" not implemented for 'Bool'")


def _mixed(x: Any, y: Any) -> RuntimeError:
    a, b = (_C_NAMES.get(numpy_dtype(v).name, numpy_dtype(v).name) for v in (x, y))
    return RuntimeError(f"expected m1 and m2 to have the same dtype, but got: {a} != {b}")


def check_linear(x: Any, weight: Any) -> None:
    """Raise RuntimeError if a layer's input and its weight (n, k) do not fit."""
    check_columns(x, weight.T)
    if x.dtype != weight.dtype:
        raise RuntimeError(
            "mat1 and mat2 must have the same dtype, but got "
            f"{scalar_name(x)} and {scalar_name(weight)}; convert the input with .to(weight.dtype)"
        )
    check_mm(x, weight.T)


def check_mv(x: Any, y: Any) -> None:
    if x.shape[-1] != y.shape[0]:
        n = prod(x.shape[:-1])
        raise RuntimeError(
            f"size mismatch, got input ({n}), mat ({n}x{x.shape[-1]}), vec ({y.shape[0]})"
        )
    if x.dtype != y.dtype:
        a, b = scalar_name(x), scalar_name(y)
        raise RuntimeError(
            f"addmv input tensors must have the same dtype, but got {b}, {a}, and {b}"
        )
    if x.dtype == NUMPY_BOOL:
        raise NotImplementedError("\"addmv_impl_cpu\" not implemented for 'Bool'")


def check_dot(x: Any, y: Any) -> None:
    if x.ndim != 1 or y.ndim != 1:
        raise RuntimeError(f"1D tensors expected, but got {x.ndim}D and {y.ndim}D tensors")
    if x.dtype != y.dtype:
        raise RuntimeError(
            "dot : expected both vectors to have same dtype, but found "
            f"{scalar_name(x)} and {scalar_name(y)}"
        )
    if x.dtype == NUMPY_BOOL:
        raise NotImplementedError("\"dot\" not implemented for 'Bool'")
    if x.shape != y.shape:
        n, m = x.shape[0], y.shape[0]
        raise RuntimeError(
            f"inconsistent tensor size, expected tensor [{n}] and src [{m}] to have the same "
            f"number of elements, but got {n} and {m} elements respectively"
        )


def check_bmm(x: Any, y: Any, batch: tuple[int, ...]) -> None:
    if x.shape[-1] != y.shape[-2]:
        n = prod(batch)
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: [{n}, {x.shape[-1]}] "
            f"but got: [{n}, {y.shape[-2]}]."
        )
    if x.dtype != y.dtype:
        raise RuntimeError(f"expected scalar type {scalar_name(x)} but found {scalar_name(y)}")
    if x.dtype == NUMPY_BOOL:
        raise NotImplementedError("\"bmm\" not implemented for 'Bool'")


def batch_shape(x: Any, y: Any) -> tuple[int, ...]:
    a, b = x.shape[:-2], y.shape[:-2]
    try:
        return np.broadcast_shapes(a, b)
    except ValueError:
        n = max(len(a), len(b))
        back = next(i for i in range(1, n + 1) if a[-i] != b[-i] and 1 not in (a[-i], b[-i]))
        raise RuntimeError(
            f"The size of tensor a ({a[-back]}) must match the size of tensor b ({b[-back]}) at "
            f"non-singleton dimension {n - back}"
        ) from None


def check_addend(b: Any, shape: tuple[int, ...], dtype: Any) -> None:
    """Raise unless `b` broadcasts to `shape` and has the dtype of the product it is added to."""
    extra = len(shape) - b.ndim
    for i, d in enumerate(b.shape):
        if extra < 0 or d not in (1, shape[extra + i]):
            raise RuntimeError(
                f"The expanded size of the tensor ({shape[extra + i] if extra >= 0 else d}) must "
                f"match the existing size ({d}) at non-singleton dimension {max(extra, 0) + i}.  "
                f"Target sizes: {list(shape)}.  Tensor sizes: {list(b.shape)}"
            )
    if numpy_dtype(b) != dtype:
        name = _SCALAR_NAMES.get(dtype.name, dtype.name)
        raise RuntimeError(
            f"self and mat2 must have the same dtype, but got {scalar_name(b)} and {name}"
        )


def check_batches(x: Any, y: Any) -> None:
    for i, a in enumerate((x, y)):
        if a.ndim != 3:
            raise RuntimeError(f"batch{i + 1} must be a 3D tensor")
    if x.shape[0] != y.shape[0] or x.shape[2] != y.shape[1]:
        raise RuntimeError(
            "Expected size for first two dimensions of batch2 tensor to be: "
            f"[{x.shape[0]}, {x.shape[2]}] but got: [{y.shape[0]}, {y.shape[1]}]."
        )
    check_bmm(x, y, x.shape[:1])
