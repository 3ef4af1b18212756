"""NumPy's functions on tensors: `np.sum(t)`, `np.concatenate([t, u])`, `np.linalg.solve(a, b)`.

NumPy hands a call with a tensor among its arguments to `Tensor.__array_function__`.  The tables in
the modules `functions_*` say, per function and with NumPy's own argument names, what it means in
chainrule.  A function or an argument that is not covered is an error: a tensor never turns into an
array behind the user's back, which would lose the gradient.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from chainrule.core.tensor import Tensor, wrap
from chainrule.interop.functions_create import CREATE
from chainrule.interop.functions_curves import CURVES
from chainrule.interop.functions_fourier import FOURIER
from chainrule.interop.functions_linalg import LINALG
from chainrule.interop.functions_numerical import NUMERICAL
from chainrule.interop.functions_numpy import NUMPY
from chainrule.interop.functions_shape import SHAPE
from chainrule.interop.functions_write import WRITE, check_target
from chainrule.ops.api import attach, write_out
from chainrule.ops.data import check_kind

FUNCTIONS: dict[str, Callable[..., Any]] = {
    **NUMPY, **NUMERICAL, **SHAPE, **LINALG, **FOURIER, **CREATE, **CURVES, **WRITE,
}  # fmt: skip


def name_of(function: Any) -> str:
    """The function's name below `numpy`: "sum", "linalg.solve"."""
    module = (getattr(function, "__module__", None) or "numpy").removeprefix("numpy")
    return f"{module}.{function.__name__}".lstrip(".")


def wrapped(x: Any) -> Any:
    """Arrays among the arguments as constant tensors, also inside lists and tuples."""
    if isinstance(x, np.ndarray):
        check_kind(x)
        return wrap(x)
    if isinstance(x, (list, tuple)) and any(isinstance(i, (np.ndarray, list, tuple)) for i in x):
        return type(x)(map(wrapped, x)) if type(x) in (list, tuple) else x
    return x


def _array_function(
    self: Tensor,
    function: Callable[..., Any],
    types: Iterable[type],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    if not all(issubclass(t, (Tensor, np.ndarray)) for t in types):
        return NotImplemented
    name = name_of(function)
    ours = FUNCTIONS.get(name)
    if ours is None:
        raise TypeError(f"numpy.{name}() is not recorded for tensors{_nearest(name)}.{_WAY_OUT}")
    out = kwargs.pop("out", None)
    if out is not None and not isinstance(out, Tensor):
        raise TypeError(
            f"numpy.{name}() of a tensor cannot write its result to an array: pass a tensor as "
            "out, or convert first with x.detach().numpy()"
        )
    if kwargs.get("device", "cpu") in (None, "cpu"):
        kwargs.pop("device", None)
    check_target(name, ours, args, kwargs)
    args = tuple(map(wrapped, args))
    kwargs = {key: wrapped(value) for key, value in kwargs.items()}
    try:
        result = ours(*args, **kwargs)
    except TypeError as error:
        # A lambda's complaint about its arguments, in words that name NumPy's function.
        text = str(error)
        if "<lambda>" not in text:
            raise
        said = re.sub(r"[\w.<>]*<lambda>", f"numpy.{name}", text)
        raise TypeError(f"{said}: this argument is not supported for tensors.{_WAY_OUT}") from None
    return result if out is None else write_out(out, result, f"numpy.{name}")


_WAY_OUT = (
    " Use chainrule's own function, or x.detach().numpy() to compute on plain numbers, through "
    "which no gradient flows"
)


def _nearest(name: str) -> str:
    import difflib

    near = difflib.get_close_matches(name, FUNCTIONS, n=1, cutoff=0.5)
    return f"; the nearest function that is: numpy.{near[0]}" if near else ""


attach("__array_function__", _array_function)
