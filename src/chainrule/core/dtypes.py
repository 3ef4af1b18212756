"""The dtype objects and PyTorch's type promotion, on NumPy's dtypes.

Inside the library a dtype is NumPy's; `dtype` is the face that users see (`cr.float32`).  Promotion
differs from NumPy's in two ways (PyTorch documentation, "Tensor Attributes"): a zero-dimensional
tensor or a Python number decides only when its *category* (bool < integer < float < complex) is
higher, and integers that become floating point take the default dtype.
"""

from __future__ import annotations

from typing import Any

import numpy as np

NUMPY_BOOL = np.dtype(np.bool_)
NUMPY_INT64 = np.dtype(np.int64)
NUMPY_FLOAT32 = np.dtype(np.float32)


class dtype:  # noqa: N801 - PyTorch's name
    """The type of a tensor's entries; compares equal to the NumPy dtype it stands for."""

    __slots__ = ("dtype", "name")

    def __init__(self, name: str, numpy: Any) -> None:
        self.name = name
        self.dtype = np.dtype(numpy)
        OF_NUMPY[self.dtype] = self

    @property
    def is_floating_point(self) -> bool:
        """Whether entries are real floating-point numbers."""
        return category(self.dtype) == 2

    @property
    def is_complex(self) -> bool:
        """Whether entries are complex numbers."""
        return category(self.dtype) == 3

    @property
    def is_signed(self) -> bool:
        """Whether entries can be negative."""
        return self.dtype.kind not in "ub"

    @property
    def itemsize(self) -> int:
        """Bytes per entry."""
        return self.dtype.itemsize

    def to_complex(self) -> dtype:
        """The complex dtype of the same precision."""
        return OF_NUMPY[np.result_type(self.dtype, np.complex64)]

    def to_real(self) -> dtype:
        """The real dtype of the same precision."""
        return OF_NUMPY[real_dtype(self.dtype)]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, dtype):
            return self is other
        try:
            return self.dtype == np.dtype(other)  # type: ignore[call-overload, no-any-return]
        except (TypeError, ValueError):
            return False

    def __hash__(self) -> int:
        return hash(self.dtype)

    def __repr__(self) -> str:
        return f"chainrule.{self.name}"

    def __reduce__(self) -> tuple[Any, ...]:
        return as_dtype, (self.name,)


OF_NUMPY: dict[np.dtype[Any], dtype] = {}

bool_ = dtype("bool", np.bool_)
uint8 = dtype("uint8", np.uint8)
uint16 = dtype("uint16", np.uint16)
uint32 = dtype("uint32", np.uint32)
uint64 = dtype("uint64", np.uint64)
int8 = dtype("int8", np.int8)
int16 = dtype("int16", np.int16)
int32 = dtype("int32", np.int32)
int64 = dtype("int64", np.int64)
float16 = dtype("float16", np.float16)
float32 = dtype("float32", np.float32)
float64 = dtype("float64", np.float64)
complex64 = dtype("complex64", np.complex64)
complex128 = dtype("complex128", np.complex128)

_CATEGORY: dict[np.dtype[Any], int] = {}


def category(dt: np.dtype[Any]) -> int:
    """0 for bool, 1 for integers, 2 for floating point (bfloat16 included), 3 for complex."""
    known = _CATEGORY.get(dt)
    if known is None:
        kinds = {"b": 0, "i": 1, "u": 1, "f": 2, "V": 2, "c": 3}
        if dt.kind not in kinds or (dt.kind == "V" and dt.names is not None):
            raise TypeError(f"tensors hold numbers and booleans, not {dt}; convert the data first")
        if dt.itemsize > (16 if dt.kind == "c" else 8):
            double = "complex128" if dt.kind == "c" else "float64"
            raise TypeError(
                f"can't make a tensor of {dt}: nothing more precise than {double} is supported; "
                f"convert the data with .astype({double!r})"
            )
        known = _CATEGORY[dt] = kinds[dt.kind]
    return known


def is_inexact(dt: np.dtype[Any]) -> bool:
    """Whether a tensor of this dtype can require gradients."""
    return category(dt) >= 2


def narrowed(out: Any, dt: np.dtype[Any]) -> Any:
    """What NumPy computed of bfloat16, in bfloat16: its products and sums come in float32.

    `dt` is the dtype of the operands; results of any other are right already.
    """
    return out.astype(dt) if dt.kind == "V" and out.dtype != dt else out


def bfloat16() -> dtype:
    """The bfloat16 dtype of the `ml_dtypes` package.

    Raises:
        ImportError: if `ml_dtypes` is not installed.
    """
    try:
        import ml_dtypes
    except ImportError as error:
        raise ImportError("bfloat16 needs the package ml_dtypes: pip install ml_dtypes") from error
    found = OF_NUMPY.get(np.dtype(ml_dtypes.bfloat16))
    return dtype("bfloat16", ml_dtypes.bfloat16) if found is None else found


_ALIASES = {"float": "float32", "double": "float64", "half": "float16", "long": "int64",
            "int": "int32", "short": "int16", "cfloat": "complex64",
            "cdouble": "complex128"}  # fmt: skip

# What `chainrule` exports: every dtype under its name and PyTorch's aliases.
NAMED: dict[str, dtype] = {d.name: d for d in OF_NUMPY.values()}
NAMED |= {alias: NAMED[name] for alias, name in _ALIASES.items()}


def as_numpy(dt: Any) -> np.dtype[Any]:
    """The NumPy dtype meant by a chainrule dtype, a NumPy dtype, a Python type or a name."""
    if isinstance(dt, dtype):
        return dt.dtype
    if dt is None:
        raise TypeError("a dtype is needed, got None; pass one such as chainrule.float32")
    if isinstance(dt, str):
        dt = dt.rsplit(".", 1)[-1]
        if dt == "bfloat16":
            return bfloat16().dtype
        dt = _ALIASES.get(dt, dt)
    try:
        found = np.dtype(dt)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{dt!r} is not a dtype; pass one such as chainrule.float32") from error
    category(found)
    return found if found.isnative else found.newbyteorder("=")


def as_dtype(dt: Any) -> dtype:
    """The chainrule dtype meant by anything `as_numpy` accepts."""
    numpy = as_numpy(dt)
    found = OF_NUMPY.get(numpy)
    return dtype(numpy.name, numpy) if found is None else found


class _Default:
    """The dtype that Python floats take; complex numbers take the matching complex one."""

    value = NUMPY_FLOAT32


def default_dtype() -> np.dtype[Any]:
    """The NumPy dtype of a tensor made from Python floats."""
    return _Default.value


def get_default_dtype() -> dtype:
    """The dtype of a tensor made from Python floats (float32 unless set otherwise).

    >>> import chainrule as cr
    >>> cr.get_default_dtype()
    chainrule.float32
    """
    return OF_NUMPY[_Default.value]


def set_default_dtype(d: Any) -> None:
    """Set the dtype of tensors made from Python floats.

    Raises:
        TypeError: if `d` is not a floating-point dtype.

    >>> import chainrule as cr
    >>> cr.set_default_dtype(cr.float64)
    >>> cr.tensor(1.5).dtype
    chainrule.float64
    >>> cr.set_default_dtype(cr.float32)
    """
    numpy = as_numpy(d)
    if category(numpy) != 2:
        raise TypeError(f"only floating-point types are supported as the default type, not {d!r}")
    _Default.value = numpy
    PYTHON_DTYPE[float] = numpy
    PYTHON_DTYPE[complex] = np.result_type(numpy, np.complex64)


PYTHON_DTYPE: dict[type, np.dtype[Any]] = {
    bool: NUMPY_BOOL,
    int: NUMPY_INT64,
    float: NUMPY_FLOAT32,
    complex: np.dtype(np.complex64),
}


def real_dtype(dt: np.dtype[Any]) -> np.dtype[Any]:
    """The real dtype with the precision of `dt`."""
    return np.dtype(f"f{dt.itemsize // 2}") if dt.kind == "c" else dt


def python_dtype(x: Any) -> np.dtype[Any]:
    """The dtype a Python number takes when nothing else decides."""
    for kind in (bool, int, float, complex):
        if isinstance(x, kind):
            return PYTHON_DTYPE[kind]
    raise TypeError(f"expected a number or a tensor, got {type(x).__name__}")


def result_dtype(*operands: Any) -> np.dtype[Any]:
    """The common dtype of arrays (or avals) and Python numbers under PyTorch's promotion rules."""
    groups: list[np.dtype[Any] | None] = [None, None, None]  # arrays, 0-d arrays, numbers
    for x in operands:
        if hasattr(x, "dtype") and hasattr(x, "shape"):
            rank, dt = (0 if len(x.shape) else 1), x.dtype
        else:
            rank, dt = 2, python_dtype(x)
        groups[rank] = dt if groups[rank] is None else promote_types(groups[rank], dt)  # type: ignore[arg-type]
    result = None
    for dt in groups:
        if dt is not None and (result is None or category(dt) > category(result)):
            if result is not None and category(dt) == 3 and category(result) == 2:
                dt = np.result_type(result, np.complex64)
            result = dt
    assert result is not None
    return result


def promote_types(a: np.dtype[Any], b: np.dtype[Any]) -> np.dtype[Any]:
    """The smallest dtype holding both, where an integer meeting a float takes the float's dtype."""
    if a == b:
        return a
    ca, cb = category(a), category(b)
    if (ca < 2) != (cb < 2):
        return a if ca > cb else b
    if "u" in (a.kind, b.kind) and ca == cb and max(a.itemsize, b.itemsize) == 8:
        return _promote_uint64(a, b)
    if ca == cb == 2 and "V" in (a.kind, b.kind):
        wide = a if a.kind == "f" else b  # bfloat16 and float16 meet in float32
        return NUMPY_FLOAT32 if wide.itemsize <= 4 else wide
    return np.promote_types(a, b)


def _promote_uint64(a: np.dtype[Any], b: np.dtype[Any]) -> np.dtype[Any]:
    """The common dtype of two integers of which one is unsigned and one has 64 bits.

    Raises:
        RuntimeError: for uint64 and a signed integer, which no integer dtype holds.
    """
    found = np.promote_types(a, b)
    if found.kind == "f":
        raise RuntimeError(
            "Promotion for uint16, uint32, uint64 types is not supported, attempted to promote "
            f"{a.name} and {b.name}; convert one of them first, for example with x.long()"
        )
    return found
