"""Numbers and arrays in few characters, as they stand in formulas and tables."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

STYLES = ("unicode", "ascii", "latex", "python")
_SUPER = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_SUB = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
MANY = 6  # entries of an array that are all written


def numeral(value: Any, digits: int = 3, style: str = "unicode") -> str:
    """A number with so many decimals, trailing zeros left out; an array by shape and entries.

    Very large and very small numbers are written with a power of ten.  In the style "python"
    numbers are exact.

    >>> from chainrule.graph.numerals import numeral
    >>> numeral(0.6931), numeral(-5.0), numeral(1.5e-7)
    ('0.693', '−5', '1.5·10⁻⁷')
    """
    array = np.asarray(getattr(value, "array", value))
    if array.ndim:
        return _array(array, digits, style)
    return _number(array.item(), digits, style)


def _number(value: Any, digits: int, style: str) -> str:
    if isinstance(value, (bool, int)) or style == "python":
        text = repr(value)
    elif isinstance(value, complex):
        text = _complex(value, digits, style)
    elif not isinstance(value, float):
        value = float(value)  # bfloat16 and its like
        text = _float(value, digits, style)
    else:
        text = _float(value, digits, style)
    return text.replace("-", "−") if style == "unicode" else text


def _complex(value: complex, digits: int, style: str) -> str:
    real, imag = _float(value.real, digits, style), _float(abs(value.imag), digits, style)
    negative = math.copysign(1, value.imag) < 0
    unit = "i" if style != "ascii" else "j"
    return f"{real} {'-' if negative else '+'} {imag}{unit}"


def _float(value: float, digits: int, style: str) -> str:
    if value != value:
        return r"\mathrm{nan}" if style == "latex" else "nan"
    if math.isinf(value):
        sign = "-" if value < 0 else ""
        return sign + {"unicode": "∞", "latex": r"\infty"}.get(style, "inf")
    size = abs(value)
    if size and not 0.5 * 10.0**-digits <= size < 1e6:
        mantissa, exponent = f"{value:.{digits}e}".split("e")
        mantissa = _stripped(mantissa)
        if style == "unicode":
            return f"{mantissa}·10{str(int(exponent)).translate(_SUPER)}"
        if style == "latex":
            return rf"{mantissa} \cdot 10^{{{int(exponent)}}}"
        return f"{mantissa}e{int(exponent)}"
    text = _stripped(f"{value:.{digits}f}")
    return "0" if text == "-0" and value == 0 else text


def _stripped(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def _array(array: np.ndarray, digits: int, style: str) -> str:
    """All entries of a small vector or matrix; shape and first entries of a larger array."""
    if array.ndim <= 2 and 0 < array.size <= MANY:
        rows = [[_number(v, digits, style) for v in row] for row in np.atleast_2d(array).tolist()]
        if style == "latex":
            return _matrix(rows)
        if array.ndim == 1:
            return "[" + ", ".join(rows[0]) + "]"
        return "[" + ", ".join("[" + ", ".join(row) + "]" for row in rows) + "]"
    times = {"latex": r" \times "}.get(style, "×" if style == "unicode" else "x")
    shape = times.join(map(str, array.shape))
    if array.size == 0:
        return f"[] ({shape})"
    first = ", ".join(_number(v, digits, style) for v in array.ravel()[:3].tolist())
    dots = {"latex": r"\ldots", "unicode": "…"}.get(style, "...")
    if style == "latex":
        return rf"[{first}, {dots}]_{{{shape}}}"
    return f"{'[' * array.ndim}{first}, {dots}{']' * array.ndim} ({shape})"


def _matrix(rows: list[list[str]]) -> str:
    inside = r" \\ ".join(" & ".join(row) for row in rows)
    return rf"\begin{{pmatrix}} {inside} \end{{pmatrix}}"


def subscript(number: int | str) -> str:
    """Digits as subscripts: 12 is ₁₂."""
    return str(number).translate(_SUB)


def superscript(number: int | str) -> str:
    """Digits as superscripts: -2 is ⁻²."""
    return str(number).translate(_SUPER)
