"""Facts about dtypes: their limits, and what PyTorch's promotion makes of several."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core import dtypes
from chainrule.core.dtypes import OF_NUMPY, as_dtype, as_numpy, category, dtype
from chainrule.core.tensor import Tensor


class finfo:  # noqa: N801 - PyTorch's name
    """The limits of a floating-point dtype (the default one if left out).

    Attributes:
        bits: bits per number.
        eps: the difference between 1 and the next number.
        max, min: the largest and smallest number.
        tiny, smallest_normal: the smallest positive number of full precision.
        resolution: the approximate decimal resolution.

    Raises:
        TypeError: if the dtype is not floating-point or complex.

    >>> import chainrule as cr
    >>> cr.finfo(cr.float32).bits
    32
    """

    __slots__ = (
        "bits", "dtype", "eps", "max", "min", "resolution", "smallest_normal", "tiny",
    )  # fmt: skip

    def __init__(self, type: Any = None) -> None:
        numpy = dtypes.default_dtype() if type is None else as_numpy(type)
        if category(numpy) < 2:
            raise TypeError(
                "chainrule.finfo() requires a floating point input type. Use chainrule.iinfo to "
                f"handle '{as_dtype(numpy).name}'"
            )
        info: Any = np.finfo(numpy) if numpy.kind != "V" else _extension_info(numpy)
        self.bits = int(info.bits)
        self.dtype = as_dtype(dtypes.real_dtype(numpy)).name
        self.eps = float(info.eps)
        self.max = float(info.max)
        self.min = float(info.min)
        self.resolution = float(info.resolution)
        self.tiny = self.smallest_normal = float(info.tiny)

    def __repr__(self) -> str:
        fields = ("resolution", "min", "max", "eps", "smallest_normal", "tiny")
        shown = ", ".join(f"{f}={getattr(self, f):g}" for f in fields)
        return f"finfo({shown}, dtype={self.dtype})"


def _extension_info(numpy: np.dtype[Any]) -> Any:
    import ml_dtypes

    info: Any = ml_dtypes.finfo
    return info(numpy)


class iinfo:  # noqa: N801 - PyTorch's name
    """The limits of an integer dtype: `bits`, `min`, `max`.

    Raises:
        TypeError: if the dtype is not an integer one.

    >>> import chainrule as cr
    >>> cr.iinfo(cr.int8)
    iinfo(min=-128, max=127, dtype=int8)
    """

    __slots__ = ("bits", "dtype", "max", "min")

    def __init__(self, type: Any) -> None:
        numpy = as_numpy(type)
        if category(numpy) != 1:
            raise TypeError(
                "chainrule.iinfo() requires an integer input type. Use chainrule.finfo to handle "
                f"'{as_dtype(numpy).name}'"
            )
        info = np.iinfo(numpy)
        self.bits = info.bits
        self.dtype = numpy.name
        self.max = int(info.max)
        self.min = int(info.min)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min:g}, max={self.max:g}, dtype={self.dtype})"


def can_cast(from_: Any, to: Any) -> bool:
    """Whether promotion allows storing a result of dtype `from_` in one of dtype `to`.

    Only the step to a lower category (complex, floating point, integer, bool) is not allowed.

    >>> import chainrule as cr
    >>> cr.can_cast(cr.float64, cr.float32), cr.can_cast(cr.float32, cr.int64)
    (True, False)
    """
    return category(as_numpy(from_)) <= category(as_numpy(to))


def promote_types(type1: Any, type2: Any) -> dtype:
    """The dtype of a result of operands of these dtypes.

    >>> import chainrule as cr
    >>> cr.promote_types(cr.int64, cr.float32)
    chainrule.float32
    """
    return as_dtype(dtypes.promote_types(as_numpy(type1), as_numpy(type2)))


def result_type(tensor1: Any, tensor2: Any) -> dtype:
    """The dtype of a result of these two tensors or numbers.

    >>> import chainrule as cr
    >>> cr.result_type(cr.tensor([1, 2]), 1.0)
    chainrule.float32
    """
    operands = [x.array if isinstance(x, Tensor) else x for x in (tensor1, tensor2)]
    return OF_NUMPY[dtypes.result_dtype(*operands)]
