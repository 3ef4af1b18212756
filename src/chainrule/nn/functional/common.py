"""What the functions of this package share: checks, reductions, small compositions."""

from __future__ import annotations

import warnings
from math import prod
from typing import Any

import numpy as np

from chainrule.core.kinds import promote
from chainrule.core.namespaces import raw
from chainrule.core.namespaces import recorded as xp
from chainrule.core.tensor import Tensor, wrap


def raw_dtype(x: Any) -> Any:
    """The NumPy dtype of a tensor or array."""
    return x.dtype.dtype if isinstance(x, Tensor) else x.dtype


def require_tensor(x: Any, function: str, argument: str = "input", position: int = 1) -> None:
    """Raise TypeError, as PyTorch words it, unless `x` is a tensor."""
    if not isinstance(x, Tensor):
        raise TypeError(
            f"{function}(): argument '{argument}' (position {position}) must be Tensor, not "
            f"{type(x).__name__}"
        )


def off_tape(x: Any) -> tuple[Any, Any]:
    """What computes on the values of a tensor without derivatives, and those values.

    They are an array where there is one; where every example has its own, a tensor off the tape.
    """
    return (raw, x.array) if isinstance(x.array, np.ndarray) else (xp, x.detach())


def as_tensor(x: Any) -> Any:
    """What was computed `off_tape`, as a tensor."""
    return x if isinstance(x, Tensor) else wrap(x)


def check_reduction(reduction: str) -> None:
    """Raise ValueError unless `reduction` is "none", "mean" or "sum"."""
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(
            f"{reduction} is not a valid value for reduction; use 'none', 'mean' or 'sum'"
        )


def total(x: Any) -> Any:
    """The sum of all entries."""
    return xp.sum(x, axis=tuple(range(len(x.shape))), keepdims=False)


def average(x: Any) -> Any:
    """The mean of all entries; nan if there are none."""
    count = prod(x.shape)
    return total(x) / (count if count else float("nan"))


def reduced(loss: Any, reduction: str) -> Any:
    """A loss per entry, reduced as asked."""
    check_reduction(reduction)
    if reduction == "none":
        return loss
    return average(loss) if reduction == "mean" else total(loss)


def along_channels(v: Any, ndim: int) -> Any:
    """A vector of one value per channel, shaped to broadcast against (N, C, ...)."""
    return xp.reshape(v, shape=(-1, *(1,) * (ndim - 2)))


def legacy(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """The reduction meant by PyTorch's old pair of flags, if they are given."""
    if size_average is None and reduce is None:
        return reduction
    warnings.warn(
        "size_average and reduce args will be deprecated, please use reduction= instead.",
        stacklevel=3,
    )
    if reduce is False:
        return "none"
    return "mean" if size_average is None or size_average else "sum"


def pair(input: Any, target: Any, function: str) -> tuple[Any, Any]:
    """Prediction and target in one dtype and shape; a broadcast is warned about, as in PyTorch."""
    require_tensor(input, function)
    require_tensor(target, function, "target", 2)
    if tuple(input.shape) != tuple(target.shape):
        warnings.warn(
            f"Using a target size ({target.shape}) that is different to the input size "
            f"({input.shape}). This will likely lead to incorrect results due to broadcasting. "
            "Please ensure they have the same size.",
            stacklevel=3,
        )
    input, target = promote(input, target)
    return input, target


def weighted(loss: Any, weight: Any, reduction: str) -> Any:
    """A loss per entry times its weight, reduced; a weighted mean divides by the weights' sum."""
    if weight is None:
        return reduced(loss, reduction)
    if tuple(weight.shape) != tuple(loss.shape):
        raise ValueError("Weights and input must have the same size.")
    check_reduction(reduction)
    loss = loss * weight
    return total(loss) / total(weight) if reduction == "mean" else reduced(loss, reduction)


def cubic_weights(t: Any) -> list[Any]:
    """The weights of the four neighbours of a place at t in [0, 1] between the middle two.

    Source: Keys, Cubic convolution interpolation for digital image processing, IEEE Trans. ASSP 29
    (1981), with the parameter a = -0.75.
    """
    a = -0.75
    near = [((a + 2) * u - (a + 3)) * u * u + 1 for u in (t, 1 - t)]
    far = [((a * u - 5 * a) * u + 8 * a) * u - 4 * a for u in (t + 1, 2 - t)]
    return [far[0], near[0], near[1], far[1]]
