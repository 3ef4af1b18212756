"""What a function reads besides its arguments: numbers, flags and helpers around it.

A recording holds the numbers it met as constants, and took the branches that flags of modules
(`net.training`) chose. So they are part of the signature: change one, and the function is recorded
anew. Looked at are variables of enclosing functions and of the module that the code names, also in
functions that it calls, and modules (`nn.Module`) among them. Attributes of other objects are not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import CellType, CodeType, FunctionType, MethodType
from typing import Any

from chainrule.core.source import INTERNAL
from chainrule.nn.module import Module

NUMBERS = (bool, int, float, complex, str, type(None))
MOST = 500  # functions that are looked into

Getter = Callable[[], Any]


class Surroundings:
    """The variables around a function, and their state when asked for."""

    def __init__(self, f: Any) -> None:
        self._f = f
        self._getters: list[Getter] = []
        self.look()

    def look(self) -> None:
        """Find out anew what there is: variables may have been defined, or functions replaced."""
        self._getters = list(_getters(self._f))

    def state(self) -> tuple[Any, ...]:
        """What has to be the same for a recording to hold."""
        return tuple([get() for get in self._getters]) if self._getters else ()


def _getters(f: Any) -> Iterator[Getter]:
    """Ways to get at everything around a function, and around functions that it names."""
    pending: list[Any] = [f]
    seen: set[int] = set()
    while pending and len(seen) < MOST:
        f = pending.pop()
        if id(f) in seen:
            continue
        seen.add(id(f))
        if isinstance(f, Module):
            yield _of_module(f)
            continue
        if isinstance(f, MethodType):
            pending += [f.__func__, f.__self__] if isinstance(f.__self__, Module) else [f.__func__]
            continue
        inner = getattr(f, "__wrapped__", None) or getattr(f, "func", None)
        if inner is not None:
            pending.append(inner)
        if not isinstance(f, FunctionType):
            continue
        for cell in f.__closure__ or ():
            yield _of_cell(cell)
            pending += _worth(_content(cell))
        if INTERNAL[f.__code__.co_filename]:
            continue
        for name in _names(f.__code__):
            if name in f.__globals__:
                yield _of_global(f.__globals__, name)
                pending += _worth(f.__globals__[name])


def _worth(value: Any) -> list[Any]:
    """A value, if it has surroundings of its own."""
    callable_ = isinstance(value, (FunctionType, MethodType, Module))
    return [value] if callable_ or hasattr(value, "__wrapped__") else []


def _names(code: CodeType) -> set[str]:
    """The names of globals in a piece of code, and in the functions defined in it."""
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= _names(constant)
    return found


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return None


def _state(value: Any) -> Any:
    if type(value) in NUMBERS:
        return type(value), value
    if isinstance(value, Module):
        return _flags(value)
    return id(value) if isinstance(value, (FunctionType, MethodType)) else None


def _flags(module: Module) -> tuple[Any, ...]:
    return (id(module), *[m.training for m in module.modules()])


def _of_cell(cell: CellType) -> Getter:
    return lambda: _state(_content(cell))


def _of_global(names: dict[str, Any], name: str) -> Getter:
    return lambda: _state(names.get(name))


def _of_module(module: Module) -> Getter:
    return lambda: _flags(module)
