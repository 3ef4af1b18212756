"""What a function reads besides its arguments: numbers, flags and helpers around it.

A recording holds the numbers it met as constants, and took the branches that flags of modules
(`net.training`) chose. So they are part of the signature: change one, and the function is recorded
anew. Looked at are variables of enclosing functions and of the module that the code names, also in
functions that it calls: numbers, which tensors and arrays they are (their values are read in every
call anyway), what is in lists and dicts, flags and parameters of modules (`nn.Module`), and the
attributes of other objects, but not what is deeper inside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

import numpy as np

from chainrule.core.dtypes import default_dtype
from chainrule.core.source import INTERNAL
from chainrule.core.tensor import Tensor
from chainrule.nn.module import Module

NUMBERS = (bool, int, float, complex, str, type(None))
_SIMPLE = (*NUMBERS, Tensor, np.ndarray, FunctionType, MethodType)
MOST = 500  # functions that are looked into
WIDEST = 200  # entries of a list or dict that are looked at


class Getter(NamedTuple):
    """A variable, or a module: what tells it from others, and how its content is found."""

    key: Any
    content: Callable[[], Any]

    def state(self) -> Any:
        return state_of(self.content())


class Surroundings:
    """The variables around a function, and their state when asked for."""

    def __init__(self, f: Any) -> None:
        self._f = f
        self.getters: list[Getter] = []
        self._changed: set[Any] = set()  # what the function itself changes: it is not looked at
        self.look()

    def look(self) -> None:
        """Find out anew what there is: variables may have been defined, or functions replaced."""
        self.getters = [g for g in _getters(self._f) if g.key not in self._changed]

    def state(self) -> tuple[Any, ...]:
        """What has to be the same for a recording to hold."""
        return (default_dtype(), *[g.state() for g in self.getters])

    def forget_changed(self, before: tuple[Any, ...]) -> None:
        """No longer look at what has changed since a state: the function did that."""
        if len(before) == 1 + len(self.getters):
            pairs = zip(self.getters, before[1:], self.state()[1:], strict=True)
            self._changed.update(g.key for g, a, b in pairs if a != b)
            self.getters = [g for g in self.getters if g.key not in self._changed]


class Watch:
    """Tells quickly whether the state of surroundings is still what it was.

    What has no inside that matters is compared by identity; only if that fails, and for lists,
    dicts, modules and other objects, states are.
    """

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._state = surroundings.state()
        self._dtype = default_dtype()
        self._same: list[tuple[Callable[[], Any], Any]] = []
        self._deep: list[tuple[Getter, Any]] = []
        for getter in surroundings.getters:
            content = getter.content()
            if isinstance(content, _SIMPLE):
                self._same.append((getter.content, content))
            else:
                self._deep.append((getter, state_of(content)))

    def holds(self) -> bool:
        """Whether a recording for that state holds."""
        if default_dtype() is not self._dtype:
            return False
        for content, before in self._same:
            if content() is not before:
                return self._surroundings.state() == self._state
        return all(getter.state() == before for getter, before in self._deep)


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
            if name in f.__globals__ and not isinstance(f.__globals__[name], (ModuleType, type)):
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


def state_of(value: Any, depth: int = 2) -> Any:
    """What of a value has to be the same for a recording to hold; hashable."""
    kind = type(value)
    if kind in NUMBERS:
        return kind, value
    if isinstance(value, Module):
        return _flags(value)
    if isinstance(value, (Tensor, np.ndarray, FunctionType, MethodType)):
        return id(value)
    if depth and kind in (list, tuple, dict) and len(value) <= WIDEST:
        items = value.items() if kind is dict else enumerate(value)
        return (kind, *[(k, state_of(v, depth - 1)) for k, v in items])
    inside = getattr(value, "__dict__", None)
    if depth and type(inside) is dict and len(inside) <= WIDEST and not isinstance(value, type):
        return (id(value), *[(k, state_of(v, 0)) for k, v in inside.items()])
    return None


def _flags(module: Module) -> tuple[Any, ...]:
    found: list[Any] = [id(module)]
    for m in module.modules():
        found.append(m.training)
        found += map(id, m._parameters.values())
    return tuple(found)


def _of_cell(cell: CellType) -> Getter:
    return Getter(id(cell), lambda: _content(cell))


def _of_global(names: dict[str, Any], name: str) -> Getter:
    return Getter((id(names), name), lambda: names.get(name))


def _of_module(module: Module) -> Getter:
    return Getter(id(module), lambda: module)
