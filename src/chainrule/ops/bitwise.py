"""Operations on the bits of integers and on booleans, and the integers' divisors."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.kinds import elementwise
from chainrule.core.samples import Sample
from chainrule.ops.api import export_elementwise


def _integers() -> list[Sample]:
    return [Sample(np.array([[1, 6, 3], [12, 0, 7]]), np.array([2, 3, 1]))]


def _bits(name: str, ufunc: Any, symbol: str, doc: str) -> Any:
    op = elementwise(
        name, ufunc, None, None, symbol=f"{{}} {symbol} {{}}", doc=doc, samples=_integers
    )
    return export_elementwise(op)


bitwise_and = _bits("bitwise_and", np.bitwise_and, "&", "The bits set in both entries.")
bitwise_or = _bits("bitwise_or", np.bitwise_or, "|", "The bits set in at least one entry.")
bitwise_xor = _bits("bitwise_xor", np.bitwise_xor, "^", "The bits set in exactly one entry.")
bitwise_left_shift = _bits(
    "bitwise_left_shift", np.left_shift, "<<", "Entries times a power of two."
)
bitwise_right_shift = _bits(
    "bitwise_right_shift", np.right_shift, ">>", "Entries over a power of two, rounded down."
)

bitwise_not = elementwise(
    "bitwise_not", np.invert, None, symbol="~{}", doc="All bits turned over; logical not of bool.",
    samples=lambda: [Sample(np.array([1, -2])), Sample(np.array([True, False]))],
)  # fmt: skip
export_elementwise(bitwise_not)

for _name, _ufunc, _doc in [
    ("gcd", np.gcd, "The greatest common divisor of two integers."),
    ("lcm", np.lcm, "The least common multiple of two integers."),
]:
    export_elementwise(elementwise(_name, _ufunc, None, None, doc=_doc, samples=_integers))
