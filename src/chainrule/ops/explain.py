"""Errors that arise inside NumPy or Python, put in terms of the call that the user wrote.

Functions check what they can name precisely.  Whatever else goes wrong below a public function,
say in a ufunc or because an argument lacks an attribute, would speak of internals; `explain`
turns it into an error about the call.  It runs only once something has failed.
"""

from __future__ import annotations

import dis
import functools
import inspect
import re
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any

import numpy as np

from chainrule.core.abstract import ShapeNeeded
from chainrule.core.source import INTERNAL
from chainrule.core.tensor import Tensor

_RAISE = dis.opmap["RAISE_VARARGS"]
_BINDING = re.compile(r"[\w.<>]+\(\) (missing|takes|got an unexpected|got multiple|got some) ?")
_WRONG_KIND = (TypeError, AttributeError, KeyError, AssertionError)
_WRONG_VALUE = (ValueError, IndexError, OverflowError, ZeroDivisionError, RuntimeError)


def explain(error: Exception, f: Callable[..., Any], name: str, args: Any, kwargs: Any) -> None:
    """Raise the error to be seen instead of one that came out of the call `f(*args, **kwargs)`.

    Returns if it should pass as it is: it was raised on purpose by this package or by the user's
    own code, or the call was not the user's but that of another function here, which will ask.
    No variable here or in the caller holds the new error: its traceback would close a cycle.
    """
    if not isinstance(error, _WRONG_KIND + _WRONG_VALUE) or isinstance(error, RecursionError):
        return
    if INTERNAL[sys._getframe(2).f_code.co_filename] or not _accidental(error.__traceback__):
        return
    taken = f"it takes {name}{_signature(f)}"
    binding = _BINDING.match(str(error)) if isinstance(error, TypeError) else None
    if binding is not None:
        raise TypeError(f"{name}() {str(error)[binding.start(1) :]}; {taken}") from error
    given = ", ".join([*map(describe, args), *(f"{k}={describe(v)}" for k, v in kwargs.items())])
    if isinstance(error, _WRONG_KIND):
        raise TypeError(
            f"{name}() cannot take these kinds of arguments: ({given}); {taken}. Sequences and "
            "NumPy data become tensors with chainrule.tensor()"
        ) from error
    kind = IndexError if isinstance(error, IndexError) else RuntimeError
    raise kind(
        f"{name}() cannot work with these shapes or values: ({given}); {taken}. See its help for "
        "the shapes that fit"
    ) from error


def _accidental(tb: TracebackType | None) -> bool:
    """Whether an error arose in NumPy, SciPy or an expression here, not in a `raise` statement."""
    if tb is None:
        return False
    while tb.tb_next is not None:
        tb = tb.tb_next
    code = tb.tb_frame.f_code
    if INTERNAL[code.co_filename]:
        return code.co_code[tb.tb_lasti] != _RAISE
    module = tb.tb_frame.f_globals.get("__name__", "")
    return module.partition(".")[0] in ("numpy", "scipy")


def _signature(f: Callable[..., Any]) -> str:
    """The parameters of a function, without annotations."""
    signature = inspect.signature(f)
    bare = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    return str(inspect.Signature(bare))


def describe(value: Any) -> str:
    """An argument in few words: kind, dtype and shape of tensors, plain values as they are."""
    if isinstance(value, (Tensor, np.ndarray)):
        return f"{type(value).__name__} {value.dtype.name} {list(value.shape)}"
    if value is None or isinstance(value, (bool, int, float, complex, str)):
        text = repr(value)
        return text if len(text) <= 40 else text[:37] + "..."
    if type(value) in (tuple, list) and len(value) <= 4:
        inside = ", ".join(map(describe, value))
        return f"({inside})" if type(value) is tuple else f"[{inside}]"
    return type(value).__name__


_CALLS: set[Any] = set()  # the code of the functions that ask `postponed`


def postponing(wrapper: Any) -> Any:
    """Mark a function that calls `postponed` when it meets `ShapeNeeded`."""
    _CALLS.add(wrapper.__code__)
    return wrapper


def postponed(needed: ShapeNeeded, function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """What stands for the result of a call that needs a shape which is not known yet.

    Raises:
        ShapeNeeded: if the call is not the user's but that of another public function, which is
            then postponed as a whole; or if it cannot wait.
    """
    frame = sys._getframe(2)
    while frame is not None and INTERNAL[frame.f_code.co_filename]:
        if frame.f_code in _CALLS:
            raise needed
        frame = frame.f_back  # type: ignore[assignment]
    return needed.postponed(function, args, kwargs)


def guarded(f: Any, name: str | None = None) -> Any:
    """`f`, whose errors speak of the call rather than of what happened inside."""
    name = name or f.__name__

    @functools.wraps(f)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return f(*args, **kwargs)
        except ShapeNeeded as needed:
            return postponed(needed, wrapper, args, kwargs)
        except Exception as error:
            explain(error, f, name, args, kwargs)
            raise

    return postponing(wrapper)
