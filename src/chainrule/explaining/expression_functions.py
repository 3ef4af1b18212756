"""The functions and constants that expressions may use; nothing else can be called."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import chainrule as cr

CONSTANTS = {"pi": math.pi, "e": math.e, "inf": math.inf}


@dataclass(frozen=True, slots=True)
class Function:
    """A function of expressions: what computes it, and how many arguments it takes.

    The arguments arrive as tensors; the first one of `where` is a condition.
    """

    apply: Callable[..., Any]
    least: int = 1
    most: int = 1

    def arguments(self) -> str:
        """`1 argument`, `1 or 2 arguments`."""
        number = str(self.most) if self.least == self.most else f"{self.least} or {self.most}"
        return f"{number} argument{'s' * (self.most > 1)}"


def _softplus(x: Any) -> Any:
    # Beyond 40, log(1 + exp(x)) is x to the last bit of a float64; PyTorch's default, 20, is for
    # float32 and would be seen in the ninth digit.
    return cr.nn.functional.softplus(x, threshold=40.0)


def _max(*xs: Any) -> Any:
    return cr.maximum(*xs) if len(xs) == 2 else cr.max(*xs)


def _min(*xs: Any) -> Any:
    return cr.minimum(*xs) if len(xs) == 2 else cr.min(*xs)


# The same name here and in chainrule, one argument.
_SAME = (
    "abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "cos", "cosh", "det", "erf", "erfc",
    "exp", "expm1", "log", "log10", "log1p", "log2", "mean", "norm", "prod", "relu", "sigmoid",
    "sign", "sin", "sinh", "sqrt", "square", "sum", "tan", "tanh", "trace",
)  # fmt: skip

FUNCTIONS: dict[str, Function] = {name: Function(getattr(cr, name)) for name in _SAME} | {
    "arccos": Function(cr.acos),
    "arcsin": Function(cr.asin),
    "arctan": Function(cr.atan),
    "arcosh": Function(cr.acosh),
    "arsinh": Function(cr.asinh),
    "artanh": Function(cr.atanh),
    "atan2": Function(cr.atan2, 2, 2),
    "dot": Function(cr.dot, 2, 2),
    "inv": Function(cr.linalg.inv),
    "ln": Function(cr.log),
    "matmul": Function(cr.matmul, 2, 2),
    "max": Function(_max, 1, 2),
    "min": Function(_min, 1, 2),
    "softplus": Function(_softplus),
    "where": Function(cr.where, 3, 3),
}
FUNCTIONS = dict(sorted(FUNCTIONS.items()))
