"""The two namespaces a rule may compute in.

`raw` evaluates primitives on arrays and records nothing; `recorded` applies them to tensors, so
that what a rule computes is itself on the tape.  Both fill themselves as primitives are declared.
Names and signatures are the Array API's where it has the function.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

raw = SimpleNamespace()
recorded = SimpleNamespace()


def publish(name: str, on_arrays: Any, on_tensors: Any) -> None:
    """Make a function available to rules under `xp.<name>`."""
    setattr(raw, name, on_arrays)
    setattr(recorded, name, on_tensors)


def composite(function: Any) -> Any:
    """Declare a function of other primitives, `f(xp, ...)`, for use in rules as `xp.f(...)`."""

    def on_arrays(*args: Any, **kwargs: Any) -> Any:
        return function(raw, *args, **kwargs)

    def on_tensors(*args: Any, **kwargs: Any) -> Any:
        return function(recorded, *args, **kwargs)

    publish(function.__name__, on_arrays, on_tensors)
    return on_tensors
