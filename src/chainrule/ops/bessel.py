"""Bessel functions, from SciPy.

The derivatives are the recurrences of Abramowitz and Stegun, 9.1.27-28 and 9.6.26-27.
"""

from __future__ import annotations

from typing import Any

from chainrule.core.kinds import elementwise
from chainrule.ops.api import SPECIAL, export_elementwise
from chainrule.ops.special import from_scipy

_POSITIVE = [(0.3, 4.0)]


def _over(xp: Any, a: Any, x: Any, at_zero: float) -> Any:
    """a/x for a function with a(0) = 0, whose limit at 0 is given."""
    zero = x == 0
    return xp.where(zero, at_zero, a / xp.where(zero, 1, x))


def _bessel(name: str, scipy: str, derivative: Any, doc: str, domain: Any = None) -> Any:
    return elementwise(
        name, from_scipy(scipy), derivative, result="float", symbol=f"{name}({{}})", domain=domain,
        doc=doc, grad_name="I0" if name == "i0" else "Special" + name.title().replace("_", ""),
    )  # fmt: skip


bessel_j0 = _bessel(
    "bessel_j0", "j0", lambda xp, x: -xp.bessel_j1(x),
    "The Bessel function of the first kind and order 0.",
)  # fmt: skip
bessel_j1 = _bessel(
    "bessel_j1", "j1", lambda xp, x, out: xp.bessel_j0(x) - _over(xp, out, x, 0.5),
    "The Bessel function of the first kind and order 1.",
)  # fmt: skip
bessel_y0 = _bessel(
    "bessel_y0", "y0", lambda xp, x: -xp.bessel_y1(x),
    "The Bessel function of the second kind and order 0; nan below zero.", _POSITIVE,
)  # fmt: skip
bessel_y1 = _bessel(
    "bessel_y1", "y1", lambda xp, x, out: xp.bessel_y0(x) - out / x,
    "The Bessel function of the second kind and order 1; nan below zero.", _POSITIVE,
)  # fmt: skip
i0 = _bessel(
    "i0", "i0", lambda xp, x: xp.i1(x), "The modified Bessel function of the first kind, order 0."
)
i1 = _bessel(
    "i1", "i1", lambda xp, x, out: xp.i0(x) - _over(xp, out, x, 0.5),
    "The modified Bessel function of the first kind, order 1.",
)  # fmt: skip
i0e = _bessel(
    "i0e", "i0e", lambda xp, x, out: xp.i1e(x) - xp.sign(x) * out,
    "exp(-|x|)·i0(x), which does not overflow.", [(0.2, 3)],
)  # fmt: skip
i1e = _bessel(
    "i1e", "i1e", lambda xp, x, out: xp.i0e(x) - xp.sign(x) * out - _over(xp, out, x, 0.5),
    "exp(-|x|)·i1(x), which does not overflow.", [(0.2, 3)],
)  # fmt: skip
k0 = _bessel(
    "modified_bessel_k0", "k0", lambda xp, x: -xp.modified_bessel_k1(x),
    "The modified Bessel function of the second kind, order 0.", _POSITIVE,
)  # fmt: skip
k1 = _bessel(
    "modified_bessel_k1", "k1", lambda xp, x, out: -xp.modified_bessel_k0(x) - out / x,
    "The modified Bessel function of the second kind, order 1.", _POSITIVE,
)  # fmt: skip
k0e = _bessel(
    "scaled_modified_bessel_k0", "k0e", lambda xp, x, out: out - xp.scaled_modified_bessel_k1(x),
    "exp(x) times the modified Bessel function of the second kind, order 0.", _POSITIVE,
)  # fmt: skip
k1e = _bessel(
    "scaled_modified_bessel_k1", "k1e",
    lambda xp, x, out: out - xp.scaled_modified_bessel_k0(x) - out / x,
    "exp(x) times the modified Bessel function of the second kind, order 1.", _POSITIVE,
)  # fmt: skip

export_elementwise(i0)
for _op in (bessel_j0, bessel_j1, bessel_y0, bessel_y1, i1, i0e, i1e, k0, k1, k0e, k1e):
    export_elementwise(_op, in_place=False, method=False, namespace=SPECIAL)
for _op, _alias in ((i0, "modified_bessel_i0"), (i1, "modified_bessel_i1")):
    export_elementwise(_op, _alias, in_place=False, method=False, namespace=SPECIAL)
