"""Python data as arrays: numbers, nested sequences, arrays and tensors, with PyTorch's dtypes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.core import cuts
from chainrule.core.dtypes import PYTHON_DTYPE, category, default_dtype, promote_types
from chainrule.core.modes import lifting, lifts, note_look
from chainrule.core.primitive import REGISTRY
from chainrule.core.tensor import Tensor

_NUMBERS = (bool, int, float, complex)


def array_of(data: Any, dt: np.dtype[Any] | None, copy: bool = True) -> np.ndarray:
    """`data` as an array of dtype `dt`, or of the dtype it implies.

    Raises:
        ValueError: if nested sequences have different lengths, or an integer does not fit.
        TypeError, RuntimeError: if the data holds something that is not a number.
    """
    if isinstance(data, Tensor):
        if copy:
            warn_of_copy(5)
        if data.node is not None:
            cuts.note("tensor()", data.node)
        return _converted(data.array, dt, copy)
    if isinstance(data, (np.ndarray, np.generic)):
        return _converted(np.asarray(data), dt, copy)
    if isinstance(data, _NUMBERS):
        return _built(data, dt or PYTHON_DTYPE[type_of(data)])
    if isinstance(data, str):
        raise TypeError("new(): invalid data type 'str'")
    if hasattr(data, "__array__") or hasattr(data, "__array_interface__"):
        return _converted(np.asarray(data), dt, copy)
    if not isinstance(data, Sequence):
        raise RuntimeError(f"Could not infer dtype of {type(data).__name__}")
    kinds: set[Any] = set()
    plain = _collect(data, kinds, set())
    if dt is None:
        dt = _common(kinds)
    if not plain:
        tensors: list[Tensor] = []
        data = _plain(data, tensors)
        for t in tensors:
            if t.node is not None:
                cuts.note("tensor()", t.node)
        if any(t.node is not None or t._box is not None for t in tensors):
            warnings.warn(
                "chainrule.tensor() copies the entries of a tensor that requires grad and loses "
                "their gradient; use chainrule.stack() to keep it, or tensor.detach() to say so",
                UserWarning,
                stacklevel=4,
            )
    return _built(data, dt)


def check_kind(x: Any) -> None:
    """Raise for arrays that are more than their entries: masked arrays, and NumPy's matrices.

    Raises:
        TypeError: with what to pass instead.
    """
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(
            "a masked array would lose its mask: pass x.data and the mask as two arguments, and "
            "select with numpy.where(mask, 0, x)"
        )
    if isinstance(x, np.matrix):
        raise TypeError(
            "a numpy.matrix would become an array, whose * is not the product of matrices: pass "
            "numpy.asarray(x) and multiply with @"
        )


def warn_of_copy(level: int) -> None:
    """Warn that a tensor is copied without its record, as PyTorch does."""
    warnings.warn(
        "To copy construct from a tensor, it is recommended to use "
        "sourceTensor.detach().clone() or "
        "sourceTensor.detach().clone().requires_grad_(True), rather than "
        "chainrule.tensor(sourceTensor).",
        UserWarning,
        stacklevel=level,
    )


def type_of(number: Any) -> type:
    """Which of Python's number types a number is, subclasses included."""
    return next(kind for kind in _NUMBERS if isinstance(number, kind))


def _converted(array: np.ndarray, dt: np.dtype[Any] | None, copy: bool) -> np.ndarray:
    category(array.dtype)
    dt = dt or array.dtype.newbyteorder("=")
    if array.dtype.kind == "c" and dt.kind != "c":
        array = array.real
    if not copy and array.dtype == dt:
        return array
    lift = lifting() if lifts else None
    if lift is not None:  # how it is made is part of the recording
        made: np.ndarray = lift.computed(REGISTRY["astype"], (array,), {"dtype": dt}).array
        return made
    # order="C": the copy of a transposed array is contiguous, as PyTorch's is
    return np.array(array, dt, order="C") if copy else array.astype(dt, copy=False)


def _collect(data: Any, kinds: set[Any], path: set[int]) -> bool:
    """Gather the types (for arrays and tensors, the dtypes) of all entries of nested sequences.

    Returns whether NumPy can convert the data as it is, because no tensors are in it.
    """
    if id(data) in path:
        raise ValueError("a sequence contains itself: it cannot be made into a tensor")
    if len(path) > 64:
        raise ValueError("too many dimensions: sequences are nested deeper than 64 levels")
    types = set(map(type, data))
    plain = True
    if types <= {bool, int, float, complex}:
        kinds |= types
        return plain
    path.add(id(data))
    for x in data:
        if isinstance(x, Tensor):
            kinds.add(x.array.dtype)
            plain = False
        elif isinstance(x, (np.ndarray, np.generic)):
            kinds.add(x.dtype)
        elif isinstance(x, _NUMBERS):
            kinds.add(type_of(x))
        elif isinstance(x, str):
            raise ValueError(f"too many dimensions 'str': {x!r} is not a number")
        elif isinstance(x, Sequence):
            plain &= _collect(x, kinds, path)
        elif hasattr(x, "__array__"):
            kinds.add(np.asarray(x).dtype)
        else:
            raise RuntimeError(f"Could not infer dtype of {type(x).__name__}")
    path.discard(id(data))
    return plain


def _common(kinds: set[Any]) -> np.dtype[Any]:
    """The dtype that holds entries of all these kinds; the default one if there are none."""
    found: np.dtype[Any] | None = None
    for kind in kinds:
        dt = PYTHON_DTYPE.get(kind, kind)
        category(dt)
        found = dt if found is None else promote_types(found, dt)
    return default_dtype() if found is None else found


def _plain(data: Any, tensors: list[Tensor]) -> Any:
    """Nested sequences with tensors, which are noted in the list, replaced by their arrays."""
    if isinstance(data, Tensor):
        tensors.append(data)
        note_look(data)
        return data.array
    if isinstance(data, Sequence):
        return [_plain(x, tensors) for x in data]
    return data


def _built(data: Any, dt: np.dtype[Any]) -> np.ndarray:
    """Numbers or nested sequences of them, converted by NumPy, with PyTorch's errors."""
    try:
        array = np.array(data, _holding(dt))
    except OverflowError as error:
        raise ValueError(f"Overflow when unpacking long long: {error}") from None
    except (ValueError, TypeError):
        check_regular(data)
        raise
    return array if array.dtype == dt else _narrowed(array, dt)


def _holding(dt: np.dtype[Any]) -> np.dtype[Any] | None:
    """The dtype to read numbers in: for integers and booleans, whichever the data has."""
    return None if dt.kind in "iub" else dt


def _narrowed(array: np.ndarray, dt: np.dtype[Any]) -> np.ndarray:
    """Numbers in an integer or boolean dtype, truncated toward zero.

    Raises:
        ValueError, RuntimeError: if one does not fit.
    """
    if array.dtype.kind == "O":
        raise ValueError(f"Overflow when unpacking long long: an integer does not fit in {dt.name}")
    if array.dtype.kind == "c":
        raise TypeError("must be real number, not complex")
    if dt.kind in "iu" and array.size:
        info = np.iinfo(dt)
        low = info.min if dt.kind == "i" else -info.max  # negatives wrap, as in C
        if not np.isfinite(array).all():
            raise RuntimeError(
                f"value cannot be converted to type {dt.name} without overflow: nan and inf are "
                "not integers"
            )
        if array.max() > info.max or array.min() < low:
            if array.dtype.kind != "f" and (array.dtype.kind == "u" or dt.itemsize == 8):
                raise ValueError(
                    f"Overflow when unpacking long long: an integer does not fit in {dt.name}"
                )
            raise RuntimeError(f"value cannot be converted to type {dt.name} without overflow")
    return array.astype(dt)


def fill_of(value: Any, dt: np.dtype[Any]) -> np.ndarray:
    """The number that fills a tensor of dtype `dt`, as a 0-d array.

    Raises:
        RuntimeError: if it does not fit.
    """
    try:
        with np.errstate(over="ignore"):
            array = _built(value, dt)
        fits = bool(np.isfinite(array)) or not np.isfinite(value)
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise RuntimeError(f"value cannot be converted to type {dt.name} without overflow: {value}")
    return array


def check_regular(data: Any) -> None:
    """Raise if nested sequences differ in length or depth.

    Raises:
        ValueError: naming the dimension and both lengths.
        TypeError: if a number stands where a sequence belongs, or the other way round.
    """
    shape: list[int] = []
    first = data
    while isinstance(first, Sequence) or np.ndim(first):
        shape.append(len(first))
        if not shape[-1]:
            break
        first = first[0]
    level = [data]
    for dim, length in enumerate(shape):
        for x in level:
            if not isinstance(x, Sequence) and not np.ndim(x):
                raise TypeError(
                    f"not a sequence: {x!r} at dim {dim}, where other entries have length {length}"
                )
            if len(x) != length:
                raise ValueError(
                    f"expected sequence of length {length} at dim {dim} (got {len(x)})"
                )
        level = [y for x in level for y in x]
    for x in level:
        if isinstance(x, Sequence) or np.ndim(x):
            raise TypeError(
                f"'{type(x).__name__}' object cannot be interpreted as a number: entry {x!r} is "
                f"nested deeper than the first one, at dim {len(shape)}"
            )


def check_buffer(buffer: Any, dt: np.dtype[Any], count: int, offset: int) -> None:
    """Raise if a bytes-like object does not hold `count` entries (-1: all) from byte `offset` on.

    Raises:
        ValueError: if it is too small, or its size is not a multiple of the dtype's.
    """
    length = memoryview(buffer).nbytes
    rest = length - offset
    if not 0 <= offset < length or rest < max(count, 1) * dt.itemsize:
        raise ValueError(
            f"a buffer of {length} bytes, read from byte {offset}, is too small for "
            f"{max(count, 1)} entries of {dt.name}"
        )
    if count < 0 and rest % dt.itemsize:
        raise ValueError(
            f"buffer length ({length} bytes) after offset ({offset} bytes) must be a multiple of "
            f"element size ({dt.itemsize})"
        )
