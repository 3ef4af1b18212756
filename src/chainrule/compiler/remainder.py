"""The remainder of floating-point numbers, C's `fmod`, exactly, for vectors.

With q = trunc(x/y), x - q·y is the remainder if q is right. The quotient is rounded before it is
cut, so below 2^(p-1) (p bits of precision) q is right or, where x/y was rounded up to an integer,
larger by 1 in magnitude; never smaller, as integers are representable. If it is right, the
remainder is a multiple of the last bit of y and less than y, so it is representable and one fused
multiplication and addition gives it exactly. If q is larger by 1, x - q·y is as small, with the
other sign, and adding |y| with the sign of x is exact for the same reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.compiler.llvm import host

if TYPE_CHECKING:
    from chainrule.compiler.lowering import Scalars


def float_remainder(s: Scalars, dt: np.dtype[Any], x: Any, y: Any) -> Any:
    """x - q·y with the sign of x; the library's function where the quotient is large, or x or y
    is 0, infinite or nan."""
    b = s.builder
    if not host().has_fma:
        return b.frem(x, y)
    quotient = s.intrinsic("trunc", b.fdiv(x, y))
    rest = s.intrinsic("fma", b.fneg(quotient), y, x)
    zero = s.number(0, dt)
    over = b.fcmp_ordered("<", b.fmul(s.intrinsic("copysign", s.number(1, dt), x), rest), zero)
    size = s.intrinsic("copysign", s.intrinsic("fabs", y), x)
    rest = s.intrinsic("copysign", b.select(over, b.fadd(rest, size), rest), x)
    limit = s.number(2.0 ** np.finfo(dt).nmant, dt)
    small = b.fcmp_ordered("<", s.intrinsic("fabs", quotient), limit)
    hard = b.or_(b.not_(small), b.fcmp_unordered("uno", rest, rest))
    bits = s.ir.IntType(s.lanes)
    some = hard if s.lanes == 1 else b.icmp_unsigned("!=", b.bitcast(hard, bits), bits(0))
    with b.goto_entry_block():
        memory = b.alloca(x.type)
    b.store(rest, memory)
    with b.if_then(some, likely=False):
        b.store(b.frem(x, y), memory)
    return b.load(memory)
