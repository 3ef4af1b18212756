"""Results with several parts: named tuples that print as PyTorch's `torch.return_types` do."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

RETURN_TYPES: dict[str, type] = {}


def _repr(self: Any) -> str:
    parts = ",\n".join(f"{name}={value!r}" for name, value in zip(self._fields, self, strict=True))
    return f"chainrule.return_types.{type(self).__name__}(\n{parts})"


def result_type(name: str, *fields: str) -> Any:
    """The named tuple type of an operation with several results; asked for twice, the same type.

    >>> from chainrule.ops.results import result_type
    >>> result_type("max", "values", "indices")(1, 2)
    chainrule.return_types.max(
    values=1,
    indices=2)
    """
    known = RETURN_TYPES.get(name)
    if known is None:
        base = namedtuple(name, fields)  # type: ignore[misc]
        known = type(name, (base,), {"__slots__": (), "__repr__": _repr, "__reduce__": _reduce})
        known.__module__ = "chainrule.return_types"
        RETURN_TYPES[name] = known
    return known


def _reduce(self: Any) -> tuple[Any, ...]:
    return _restore, (type(self).__name__, self._fields, tuple(self))


def _restore(name: str, fields: tuple[str, ...], values: tuple[Any, ...]) -> Any:
    return result_type(name, *fields)(*values)
