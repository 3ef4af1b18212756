"""What a reverse sweep starts with: the cotangents given, checked against their outputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.tensor import Tensor, as_array


def seed(shape: tuple[int, ...], dt: np.dtype[Any], g: Any, i: int) -> Any:
    """The array of the cotangent of output `i`: of the given one, or 1 for a scalar.

    Raises:
        RuntimeError: if it is missing, or does not fit the output's shape and dtype.
    """
    if g is None:
        if any(n != 1 for n in shape):
            raise RuntimeError(
                "grad can be implicitly created only for scalar outputs, but this one has shape "
                f"{list(shape)}; call .sum() first, or pass a gradient of that shape"
            )
        if dt.kind == "c":
            raise RuntimeError(
                f"grad can be implicitly created only for real scalar outputs but got {dt.name}; "
                "take .real or .abs() first, or pass a gradient"
            )
        return np.ones(shape, dt)
    raw = g.array if isinstance(g, Tensor) else as_array(g)
    if not (isinstance(raw, np.ndarray) or isinstance(g, Tensor)):
        raise TypeError(
            "gradients can be either Tensors or None, but got "
            f"{type(g).__name__}; wrap it in chainrule.tensor()"
        )
    if raw.shape != shape:
        raise RuntimeError(
            f"Mismatch in shape: grad_output[{i}] has a shape of {list(raw.shape)} and "
            f"output[{i}] has a shape of {list(shape)}; the gradient must have the shape of "
            "the output"
        )
    if (raw.dtype.kind == "c") != (dt.kind == "c"):
        raise RuntimeError(
            "For complex Tensors, both grad_output and output are required to have the same "
            f"dtype. Mismatch in dtype: grad_output[{i}] has a dtype of {raw.dtype.name} and "
            f"output[{i}] has a dtype of {dt.name}."
        )
    return raw


def unused(i: int) -> RuntimeError:
    """The error for an input that the outputs do not depend on."""
    return RuntimeError(
        f"The differentiated Tensor at index {i} appears to not have been used in the graph. Set "
        "allow_unused=True if this is the desired behavior."
    )


__all__ = ["seed", "unused"]
