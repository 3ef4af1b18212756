"""Values as JSON and back, exactly: arrays, dtypes, and the parameters of primitives.

Numbers, strings, booleans and None are themselves, and a tuple is a list.  Everything else is an
object with one key that says what it is: `{"complex": [0.0, 1.0]}`, `{"dtype": "float64"}`,
`{"array": {...}}`.  Decoding builds these kinds of values and nothing else.
"""

from __future__ import annotations

import base64
import binascii
import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.dtypes import as_dtype, as_numpy, category, dtype

SMALL = 16  # arrays of at most so many entries are written as numbers
_EXCEPTIONS = {e.__name__: e for e in (IndexError, RuntimeError, TypeError, ValueError)}
_SPECIAL = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class UnstorableError(TypeError):
    """A value that has no written form."""


class MalformedError(ValueError):
    """A written form that stands for no value."""


def encode(value: Any) -> Any:
    """The JSON form of a value.

    Raises:
        UnstorableError: for functions, and whatever else has none.
    """
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"float": _special(value)}
    if isinstance(value, (np.ndarray, np.generic)):
        kind = "array" if isinstance(value, np.ndarray) else "scalar"
        return {kind: encode_array(np.asarray(value))}
    if type(value) is complex:
        return {"complex": [encode(value.real), encode(value.imag)]}
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return [encode(v) for v in value]
    if type(value) is list:
        return {"list": [encode(v) for v in value]}
    if type(value) is dict:
        return {"dict": [[encode(k), encode(v)] for k, v in value.items()]}
    if type(value) is slice:
        return {"slice": [encode(v) for v in (value.start, value.stop, value.step)]}
    if value is Ellipsis:
        return {"ellipsis": True}
    if isinstance(value, np.dtype):
        return {"dtype": value.name}
    if isinstance(value, dtype):
        return {"named dtype": value.name}
    if isinstance(value, type) and value in _EXCEPTIONS.values():
        return {"exception": value.__name__}
    raise UnstorableError(f"{type(value).__name__} {value!r:.60}")


def encode_array(array: np.ndarray) -> dict[str, Any]:
    """The JSON form of an array: few entries as numbers, many as the base64 of their bytes.

    The bytes are little-endian, in C order, or in Fortran's where the array is laid out so: the
    order of a sum, and so its last digit, follows the layout.

    Raises:
        UnstorableError: for entries that are no numbers.
    """
    try:
        category(array.dtype)
    except TypeError as error:
        raise UnstorableError(f"an array of {array.dtype}") from error
    found: dict[str, Any] = {"dtype": array.dtype.name, "shape": list(array.shape)}
    if array.flags.f_contiguous and not array.flags.c_contiguous:
        found["order"] = "F"
    if array.size <= SMALL:
        values = [_number(v) for v in array.ravel(order="C").tolist()]
        if _from_numbers(values, array.dtype).tobytes() == array.tobytes():  # nans have payloads
            return {**found, "values": values}
    data = array.tobytes(order=found.get("order", "C"))
    if sys.byteorder == "big":
        data = array.byteswap().tobytes(order=found.get("order", "C"))
    return {**found, "base64": base64.b64encode(data).decode("ascii")}


def _number(v: Any) -> Any:
    if isinstance(v, complex):
        return [_number(v.real), _number(v.imag)]
    if isinstance(v, (bool, int)):
        return v
    v = float(v)  # of dtypes that NumPy does not have, an entry is a scalar of its own type
    return v if math.isfinite(v) else _special(v)


def _special(v: float) -> str:
    return "nan" if math.isnan(v) else "inf" if v > 0 else "-inf"


def _from_numbers(values: list[Any], dt: np.dtype[Any]) -> np.ndarray:
    plain = [complex(*map(_plain, v)) if isinstance(v, list) else _plain(v) for v in values]
    return np.array(plain, dt)


def _plain(v: Any) -> Any:
    if isinstance(v, str):
        return _SPECIAL[v]
    if not isinstance(v, (bool, int, float)):
        raise MalformedError(f"{v!r:.40} is no number")
    return v


def numpy_dtype(name: Any) -> np.dtype[Any]:
    """The dtype of a name.

    Raises:
        MalformedError: if there is none, or its entries are no numbers.
    """
    try:
        return as_numpy(_checked(name, str))
    except TypeError as error:
        raise MalformedError(f"unknown dtype {name!r:.40}") from error


def _checked(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise MalformedError(f"expected {kind.__name__}, got {value!r:.40}")
    return value


def shape_of(value: Any) -> tuple[int, ...]:
    """A shape.

    Raises:
        MalformedError: if it is no list of integers that are not negative.
    """
    if type(value) is not list or not all(type(n) is int and n >= 0 for n in value):
        raise MalformedError(f"{value!r:.40} is no shape")
    return tuple(value)


def decode_array(form: Any) -> np.ndarray:
    """The array of a JSON form.

    Raises:
        MalformedError: if it is none.
    """
    form = _checked(form, dict)
    dt, shape = numpy_dtype(form.get("dtype")), shape_of(form.get("shape"))
    order: Any = form.get("order", "C")
    if order not in ("C", "F"):
        raise MalformedError(f"unknown order {order!r:.40}")
    if "values" in form:
        values = _checked(form["values"], list)
        _check_size(len(values), shape, "values")
        try:
            flat = _from_numbers(values, dt)
        except (TypeError, ValueError, KeyError, OverflowError) as error:
            raise MalformedError(f"the values do not fit {dt}: {error}") from error
        return np.array(flat.reshape(shape), order=order)
    try:
        data = base64.b64decode(_checked(form.get("base64"), str), validate=True)
    except binascii.Error as error:
        raise MalformedError(f"damaged data: {error}") from error
    _check_size(len(data), (*shape, dt.itemsize), "bytes")
    flat = np.frombuffer(data, dt)
    if sys.byteorder == "big":
        flat = flat.byteswap()
    return flat.reshape(shape, order=order).copy(order=order)


def _check_size(have: int, shape: tuple[int, ...], what: str) -> None:
    if math.prod(shape) != have:
        raise MalformedError(f"{have} {what} for an array that needs {math.prod(shape)}")


def decode(form: Any) -> Any:
    """The value of a JSON form.

    Raises:
        MalformedError: if it is none.
    """
    if form is None or type(form) in (bool, int, float, str):
        return form
    if type(form) is list:
        return tuple([decode(v) for v in form])
    if type(form) is dict and len(form) == 1:
        ((kind, inner),) = form.items()
        if kind in _DECODERS:
            try:
                return _DECODERS[kind](inner)
            except (TypeError, KeyError) as error:
                raise MalformedError(f"{form!r:.60} stands for no value: {error}") from error
    raise MalformedError(f"{form!r:.60} stands for no value")


_DECODERS: dict[str, Callable[[Any], Any]] = {
    "float": lambda v: _SPECIAL[v],
    "complex": lambda v: complex(*map(decode, _checked(v, list))),
    "list": lambda v: [decode(i) for i in _checked(v, list)],
    "dict": lambda v: {decode(k): decode(i) for k, i in map(tuple, _checked(v, list))},
    "slice": lambda v: slice(*map(decode, _checked(v, list))),
    "ellipsis": lambda v: Ellipsis,
    "dtype": numpy_dtype,
    "named dtype": as_dtype,
    "exception": lambda v: _EXCEPTIONS[v],
    "array": decode_array,
    "scalar": lambda v: decode_array(v)[()],
}
