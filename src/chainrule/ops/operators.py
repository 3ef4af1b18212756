"""Python's operators on tensors.

Each is the operation itself, except that an operand it does not know gives NotImplemented: Python
then tries the other operand's method, `==` becomes False, and `<` raises TypeError.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core import fast, inplace
from chainrule.core.kinds import bind_elementwise
from chainrule.core.primitive import titled
from chainrule.core.tensor import Tensor
from chainrule.ops import arithmetic, bitwise, compare
from chainrule.ops.api import attach

_KNOWN = (Tensor, np.ndarray, np.generic, int, float, complex)


def _is_operand(x: Any) -> bool:
    return isinstance(x, _KNOWN) or (hasattr(x, "dtype") and hasattr(x, "shape"))


def _bind_operands(prim: Any, args: Any, params: Any) -> Any:
    if all(map(_is_operand, args)):
        return bind_elementwise(prim, args, params)
    return NotImplemented


def _direct(op: Any) -> Any:
    """The operation as a method for operators: the same fast path, a milder slow one."""
    return fast.function_of(op.prim, _bind_operands)


def _reflected(op: Any) -> Any:
    def method(self: Tensor, other: Any) -> Any:
        return op(other, self)

    return method


def _in_place(op: Any, name: str) -> Any:
    def method(self: Tensor, other: Any) -> Any:
        return inplace.apply(self, op, other) if _is_operand(other) else NotImplemented

    method.__name__ = method.__qualname__ = name
    return method


_multiply = _direct(arithmetic.multiply)
_power = _direct(arithmetic.power)


def _to_power(self: Tensor, other: Any) -> Any:
    if arithmetic.is_plain_square(self, other):
        return arithmetic.square(self)
    return _power(self, other)


BINARY = {
    "add": _direct(arithmetic.add), "sub": _direct(arithmetic.subtract), "mul": _multiply,
    "truediv": _direct(arithmetic.divide), "floordiv": _direct(arithmetic.floor_divide),
    "mod": _direct(arithmetic.remainder), "pow": _power, "and": _direct(bitwise.bitwise_and),
    "or": _direct(bitwise.bitwise_or), "xor": _direct(bitwise.bitwise_xor),
    "lshift": _direct(bitwise.bitwise_left_shift), "rshift": _direct(bitwise.bitwise_right_shift),
}  # fmt: skip
for _name, _op in BINARY.items():
    attach(f"__{_name}__", _op)
    attach(f"__r{_name}__", _reflected(_op))
    attach(f"__i{_name}__", _in_place(_op, f"__i{_name}__"))


def _subtract_from(self: Tensor, other: Any) -> Any:
    made = BINARY["sub"](other, self)
    return made if made is NotImplemented else titled(made, "RsubBackward1")


attach("__rsub__", _subtract_from)
attach("__div__", BINARY["truediv"])
attach("__rdiv__", _reflected(BINARY["truediv"]))
attach("__radd__", BINARY["add"])
attach("__rmul__", _multiply)
attach("__pow__", _to_power)


def _divmod(self: Tensor, other: Any) -> Any:
    return self // other, self % other


attach("__divmod__", _divmod)
attach("__rdivmod__", lambda self, other: (other // self, other % self))

for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    attach(f"__{_name}__", _direct(compare.COMPARISONS[_name]))

attach("__neg__", arithmetic.negative)
attach("__pos__", arithmetic.positive)
attach("__invert__", bitwise.bitwise_not)
