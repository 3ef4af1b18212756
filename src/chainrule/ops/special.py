"""Special functions of mathematics, from SciPy."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

from chainrule.core.kinds import elementwise
from chainrule.ops.api import export_elementwise


@cache
def scipy_function(name: str) -> Callable[..., Any]:
    """A function of `scipy.special`, imported on first use.

    Raises:
        ImportError: if SciPy is not installed.
    """
    try:
        import scipy.special
    except ImportError as error:
        raise ImportError(
            f"this operation uses scipy.special.{name}, and SciPy is not installed: "
            "pip install scipy"
        ) from error
    function: Callable[..., Any] = getattr(scipy.special, name)
    return function


def from_scipy(name: str) -> Callable[..., Any]:
    """The `eval` of a primitive that is a function of `scipy.special`."""

    def evaluate(*args: Any) -> Any:
        return scipy_function(name)(*args)

    evaluate.__name__ = name
    evaluate.scipy_name = name  # type: ignore[attr-defined]
    return evaluate


TWO_OVER_SQRT_PI = 2 / math.sqrt(math.pi)

erf = elementwise(
    "erf", from_scipy("erf"), lambda xp, x: TWO_OVER_SQRT_PI * xp.exp(-x * x), result="float",
    symbol="erf({})", doc="The error function, 2/√π ∫₀ˣ exp(-t²) dt.",
)  # fmt: skip
erfc = elementwise(
    "erfc", from_scipy("erfc"), lambda xp, x: -TWO_OVER_SQRT_PI * xp.exp(-x * x), result="float",
    symbol="erfc({})", doc="One minus the error function, accurate where that is small.",
)  # fmt: skip
for _op in (erf, erfc):
    export_elementwise(_op)
