"""Operations on the bits of integers and on booleans, and the integers' divisors."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.kinds import elementwise
from chainrule.core.samples import Sample
from chainrule.core.tensor import Tensor
from chainrule.ops.api import attach, export_elementwise


def _integers() -> list[Sample]:
    return [Sample(np.array([[1, 6, 3], [12, 0, 7]]), np.array([2, 3, 1]))]


def _reflected(op: Any) -> Any:
    def method(self: Tensor, other: Any) -> Any:
        return op(other, self)

    return method


for _name, _ufunc, _operator, _symbol, _doc in [
    ("bitwise_and", np.bitwise_and, "and", "&", "The bits set in both entries."),
    ("bitwise_or", np.bitwise_or, "or", "|", "The bits set in at least one entry."),
    ("bitwise_xor", np.bitwise_xor, "xor", "^", "The bits set in exactly one entry."),
    ("bitwise_left_shift", np.left_shift, "lshift", "<<", "Entries times a power of two."),
    ("bitwise_right_shift", np.right_shift, "rshift", ">>",
     "Entries divided by a power of two, rounded down."),
]:  # fmt: skip
    _op = elementwise(
        _name, _ufunc, None, None, symbol=f"{{}} {_symbol} {{}}", doc=_doc, samples=_integers
    )
    export_elementwise(_op)
    attach(f"__{_operator}__", _op)
    attach(f"__r{_operator}__", _reflected(_op))

bitwise_not = elementwise(
    "bitwise_not", np.invert, None, symbol="~{}", doc="All bits turned over; logical not of bool.",
    samples=lambda: [Sample(np.array([1, -2])), Sample(np.array([True, False]))],
)  # fmt: skip
export_elementwise(bitwise_not)
attach("__invert__", bitwise_not)

for _name, _ufunc, _doc in [
    ("gcd", np.gcd, "The greatest common divisor of two integers."),
    ("lcm", np.lcm, "The least common multiple of two integers."),
]:
    export_elementwise(elementwise(_name, _ufunc, None, None, doc=_doc, samples=_integers))
