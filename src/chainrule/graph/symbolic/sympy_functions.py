"""SymPy's functions in terms of this library's, by the name of their class."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from chainrule import ops as ops  # declares the functions
from chainrule.core.namespaces import recorded
from chainrule.core.tensor import Tensor
from chainrule.ops.api import FUNCTIONS as _FUNCTIONS

F = SimpleNamespace(**_FUNCTIONS)

Function = Callable[..., Any]


def tensor(x: Any) -> Any:
    """A value as a tensor; numbers are constants in double precision."""
    if isinstance(x, (Tensor, bool)):
        return x
    return F.tensor(np.asarray(x, complex if isinstance(x, complex) else float))


def multiplied(*values: Any) -> Any:
    """The product of values."""
    found = values[0]
    for v in values[1:]:
        found = found * v
    return found


def added(*values: Any) -> Any:
    """The sum of values."""
    found = values[0]
    for v in values[1:]:
        found = found + v
    return found


def _folded(f: Function) -> Function:
    """A function of two values, of any number of them."""

    def of_all(*xs: Any) -> Any:
        found = tensor(xs[0])
        for x in xs[1:]:
            found = f(found, tensor(x))
        return found

    return of_all


def _over(f: Function) -> Function:
    return lambda x: F.reciprocal(f(x))


def _of_inverse(f: Function) -> Function:
    return lambda x: f(F.reciprocal(x))


def _zeta(s: Any, a: Any = 1.0) -> Any:
    return recorded.zeta(tensor(s), tensor(a))


def _heaviside(x: Any, at_zero: Any = 0.5) -> Any:
    return F.where(x > 0, 1.0, F.where(x < 0, 0.0, at_zero))


def _log(x: Any, base: Any = None) -> Any:
    return F.log(x) if base is None else F.log(x) / F.log(base)


def _beta(x: Any, y: Any) -> Any:
    gamma = recorded.gamma
    return gamma(x) * gamma(y) / gamma(x + y)


def _binomial(n: Any, k: Any) -> Any:
    gamma = recorded.gamma
    return gamma(n + 1) / (gamma(k + 1) * gamma(n - k + 1))


def _not(x: Any) -> Any:
    return not x if isinstance(x, bool) else F.logical_not(x)


def _both(x: Any, y: Any) -> Any:
    if isinstance(x, bool):
        return y if x else False
    return F.logical_and(x, y) if not isinstance(y, bool) else _both(y, x)


def _either(x: Any, y: Any) -> Any:
    if isinstance(x, bool):
        return True if x else y
    return F.logical_or(x, y) if not isinstance(y, bool) else _either(y, x)


def _compared(name: str) -> Function:
    return lambda x, y: getattr(F, name)(tensor(x), tensor(y))


def _plain(name: str) -> Function:
    return lambda x: getattr(F, name)(x)


ORDERS = {
    "besselj": ("bessel_j0", "bessel_j1"), "bessely": ("bessel_y0", "bessel_y1"),
    "besseli": ("i0", "i1"), "besselk": ("modified_bessel_k0", "modified_bessel_k1"),
}  # fmt: skip


def of_order(name: str, n: int) -> Function | None:
    """A function with an integer as its first argument, for that integer; None if it has none."""
    if name == "polygamma":
        return (lambda x: F.digamma(x)) if n == 0 else (lambda x: F.polygamma(n, x))
    known = ORDERS[name]
    if not 0 <= n < len(known):
        return None
    found: Function = getattr(recorded, known[n])
    return found


# Of tensors.
FUNCTIONS: dict[str, Function] = {
    **{name: _plain(name) for name in (
        "exp", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh",
        "acosh", "atanh", "erf", "erfc", "erfinv", "digamma", "floor", "sign",
    )},
    "log": _log,
    "cot": _over(_plain("tan")),
    "sec": _over(_plain("cos")),
    "csc": _over(_plain("sin")),
    "coth": _over(_plain("tanh")),
    "sech": _over(_plain("cosh")),
    "csch": _over(_plain("sinh")),
    "acot": _of_inverse(_plain("atan")),
    "asec": _of_inverse(_plain("acos")),
    "acsc": _of_inverse(_plain("asin")),
    "acoth": _of_inverse(_plain("atanh")),
    "asech": _of_inverse(_plain("acosh")),
    "acsch": _of_inverse(_plain("asinh")),
    "atan2": lambda y, x: F.atan2(y, x),
    "sinc": lambda x: F.sinc(x / math.pi),
    "Abs": _plain("abs"),
    "ceiling": _plain("ceil"),
    "frac": lambda x: x - F.floor(x),
    "Mod": lambda x, y: F.remainder(x, y),
    "Max": _folded(lambda x, y: F.maximum(x, y)),
    "Min": _folded(lambda x, y: F.minimum(x, y)),
    "Heaviside": _heaviside,
    "erf2": lambda x, y: F.erf(y) - F.erf(x),
    "erfcinv": lambda x: F.erfinv(1 - x),
    "gamma": lambda x: recorded.gamma(x),
    "factorial": lambda x: recorded.gamma(x + 1),
    "binomial": _binomial,
    "beta": _beta,
    "loggamma": _plain("lgamma"),
    "lowergamma": lambda s, x: recorded.gammainc(s, x) * recorded.gamma(s),
    "uppergamma": lambda s, x: recorded.gammaincc(s, x) * recorded.gamma(s),
    "zeta": _zeta,
    "conjugate": _plain("conj"),
    "re": lambda x: F.real(x) if x.is_complex() else x,
    "im": lambda x: F.imag(x) if x.is_complex() else F.zeros_like(x),
    "arg": _plain("angle"),
}  # fmt: skip

# Of conditions, and of matrices: numbers may be among the values.
OTHERS: dict[str, Function] = {
    "Equality": _compared("eq"),
    "Unequality": _compared("ne"),
    "StrictLessThan": _compared("lt"),
    "LessThan": _compared("le"),
    "StrictGreaterThan": _compared("gt"),
    "GreaterThan": _compared("ge"),
    "Not": _not,
    "And": lambda *xs: _all_of(_both, xs),
    "Or": lambda *xs: _all_of(_either, xs),
    "Xor": lambda *xs: _all_of(lambda x, y: F.logical_xor(x, y), xs),
    "ITE": lambda c, x, y: _either(_both(c, x), _both(_not(c), y)),
    "MatAdd": added,
    "MatMul": lambda *xs: _matrix_product(xs),
    "Transpose": lambda x: x.mT,
    "Inverse": lambda x, power=-1: F.inverse(x),
    "Determinant": lambda x: F.det(x),
    "Trace": lambda x: F.trace(x),
    "HadamardProduct": multiplied,
    "MatPow": lambda x, n: F.matrix_power(x, int(n)),
    "MatrixElement": lambda x, i, j: x[int(i), int(j)],
}


def _all_of(f: Function, xs: Sequence[Any]) -> Any:
    found = xs[0]
    for x in xs[1:]:
        found = f(found, x)
    return found


def _matrix_product(xs: Sequence[Any]) -> Any:
    """The product of numbers and matrices."""
    scale: Any = None
    found: Any = None
    for x in xs:
        if isinstance(x, Tensor) and x.ndim == 2:
            found = x if found is None else found @ x
        else:
            scale = x if scale is None else scale * x
    return found if scale is None else scale * found
