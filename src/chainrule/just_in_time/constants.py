"""Parts of a result that are no tensors."""

from __future__ import annotations

from collections import deque
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, NamedTuple

from chainrule.just_in_time.live import NotRecorded
from chainrule.transforms.tracing import Traced


class Constant(NamedTuple):
    """A part of a result that is no tensor: it is returned as it was."""

    value: Any

    def again(self) -> Any:
        """The value for one call, which its caller may change."""
        return self.value.copy() if type(self.value) in (set, bytearray, deque) else self.value


def constant(y: Any, title: str) -> Constant:
    """A part of the result of a function of that name.

    Raises:
        NotRecorded: if it holds tensors, or has yet to run.
    """
    if isinstance(y, (GeneratorType, CoroutineType, AsyncGeneratorType)):
        if isinstance(y, CoroutineType):
            y.close()  # it is made again, and nobody waits for this one
        raise NotRecorded(f"{title} returns a {type(y).__name__}, which has yet to run")
    if any(isinstance(x, Traced) for x in _inside(y)):
        raise NotRecorded(
            f"{title} returns tensors inside of a {type(y).__name__}, which is not known as a "
            "tree: return a tuple, dict or dataclass, or register the class"
        )
    return Constant(y)


def _inside(y: Any) -> list[Any]:
    """The attributes or entries of an object that is a leaf."""
    if isinstance(y, (set, frozenset)):
        return list(y)
    found = getattr(y, "__dict__", None)
    return list(found.values()) if type(found) is dict else []
