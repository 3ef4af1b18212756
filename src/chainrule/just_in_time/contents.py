"""What variables hold, and what is in that: attributes of objects, entries of lists and dicts.

One walk gives everything that counts, each with the way to it, and checks that tell quickly whether
anything has been replaced since: they compare by identity only.  Of objects those attributes count
that the code names.
"""

from __future__ import annotations

import sys
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from functools import cached_property, partial
from itertools import chain
from operator import is_
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

import numpy as np

from chainrule.core.tensor import Tensor
from chainrule.nn.module import Module
from chainrule.nn.module_hooks import HookTable

Path = tuple[Any, ...]

NUMBERS = (bool, int, str, bytes, type(None))
WIDEST = 200  # entries of a list or dict that are looked at
DEEPEST = 6  # levels of objects, lists and dicts inside each other
MOST = 20_000  # things that count; of further ones only which they are
HERE = __name__.partition(".")[0]
LIBRARIES = frozenset((*sys.stdlib_module_names, "numpy", "scipy", HERE)) - {"__main__"}
MISSING: Any = object()


def is_foreign(module: str) -> bool:
    """Whether a module, by its name, is part of a library and not the user's program."""
    return module.partition(".")[0] in LIBRARIES


class Same:
    """Equal to another one if it is about the very same object, which it does not keep alive."""

    __slots__ = ("_hash", "_of")

    def __init__(self, x: Any) -> None:
        self._hash = id(x)
        try:
            self._of: Callable[[], Any] = weakref.ref(x)
        except TypeError:
            self._of = lambda: x

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Same):
            return False
        mine = self._of()
        return mine is not None and mine is other._of()

    def __hash__(self) -> int:
        return self._hash


class Place(NamedTuple):
    """A variable: what tells it from others, and how it is read."""

    path: Path
    read: Callable[[], Any]


class Contents:
    """What places hold at one time.

    Args:
        places: the variables to begin with.
        names: attributes that count.
        skipped: what does not count, by the way to it.

    Attributes:
        items: everything that counts: the way to it, and what has to be the same.
        functions: functions that were met, also those that are methods.
        others: objects that are neither numbers nor functions nor containers.
    """

    def __init__(self, places: Sequence[Place], names: set[str], skipped: frozenset[Path]) -> None:
        self._names = names
        self._skipped = skipped
        self._seen: dict[int, Any] = {}
        self._classes: set[type] = set()
        self._wholes: list[Any] = []
        self._entries: list[Any] = []
        self._checks: list[tuple[Callable[[], Iterable[Any]], list[Any]]] = []
        self._roots = []
        self.items: list[tuple[Path, Any]] = []
        self.functions: list[Any] = []
        self.others: list[Any] = []
        for path, read in places:
            if path not in skipped:
                value = read()
                self._roots.append((read, value))
                self._walk(value, path, DEEPEST)

    def unchanged(self) -> bool:
        """Whether everything is still the very same object: then nothing that counts differs."""
        for look, before in self._roots:
            if look() is not before:
                return False
        if self._wholes:
            entries = chain.from_iterable(self._wholes)
            known = self._entries
            if sum(map(len, self._wholes)) != len(known) or not all(map(is_, entries, known)):
                return False
        for read, values in self._checks:
            found = list(read())
            if len(found) != len(values) or not all(map(is_, found, values)):
                return False
        return True

    def _whole(self, entries: Any) -> None:
        """Compare all entries of a list, dict or view with what they are now, whenever asked."""
        self._wholes.append(entries)
        self._entries += entries

    def _check(self, read: Callable[[], Iterable[Any]]) -> None:
        """Compare what is read with what it is now, whenever asked."""
        self._checks.append((read, list(read())))

    # ------------------------------------------------ one thing

    def _walk(self, value: Any, path: Path, depth: int) -> None:
        kind = type(value)
        if kind in NUMBERS:
            self.items.append((path, (kind, value)))
        elif kind is float or kind is complex:
            self.items.append((path, (kind, repr(value))))  # tells -0.0 from 0.0, and nan is nan
        elif isinstance(value, np.generic):
            self.items.append((path, (kind, value.tobytes())))
        elif isinstance(value, _WHOLE) or id(value) in self._seen or len(self.items) > MOST:
            self.items.append((path, Same(value)))
        else:
            self._seen[id(value)] = value
            self._inside(value, path, depth)

    def _inside(self, value: Any, path: Path, depth: int) -> None:
        kind = type(value)
        if isinstance(value, FunctionType) or wrapped(value) is not None:
            self.items.append((path, Same(value)))
            self.functions.append(value)
            if wrapped(value) is not None:
                self._walk(wrapped(value), (*path, "wrapped"), depth)
        elif isinstance(value, MethodType):  # made anew whenever it is looked up
            self.items.append((path, MethodType))
            self._walk(value.__func__, (*path, "function"), depth)
            self._walk(value.__self__, (*path, "self"), depth)
        elif isinstance(value, partial):
            self._sequence((value.func, value.args, value.keywords), path, depth)
        elif isinstance(value, Module):
            self._module(value, path, depth)
        elif isinstance(value, HookTable):
            self._attributes(value, path, depth, None)
        elif depth == 0:
            self.items.append((path, Same(value)))
        elif isinstance(value, (list, tuple, deque)):
            self._sequence(value, path, depth)
        elif isinstance(value, (set, frozenset)):
            self._set(value, path)
        elif isinstance(value, dict):
            self._dict(value, path, depth, WIDEST)
        elif isinstance(value, type):
            self.items.append((path, Same(value)))
            self._class(value, depth)
        elif isinstance(value, ModuleType):
            self.items.append((path, Same(value)))
            if not is_foreign(value.__name__):
                self._fields(value.__dict__, path, depth, self._names)
        elif kind.__module__.partition(".")[0] == HERE:
            self.items.append((path, Same(value)))
        else:
            self._attributes(value, path, depth, self._names)

    # ------------------------------------------------ many

    def _sequence(self, values: Any, path: Path, depth: int) -> None:
        n = len(values)
        if n > WIDEST:
            self.items.append((path, (Same(values), n)))
            return
        self.items.append((path, (type(values), n)))
        places = [i for i in range(n) if (*path, i) not in self._skipped]
        if isinstance(values, tuple):
            pass  # cannot change
        elif len(places) == n:
            self._whole(values)
        else:
            self._check(lambda: [values[i] if i < len(values) else MISSING for i in places])
        for i in places:
            self._walk(values[i], (*path, i), depth - 1)

    def _set(self, values: Any, path: Path) -> None:
        plain = len(values) <= WIDEST and all(type(x) in NUMBERS for x in values)
        self.items.append((path, (type(values), frozenset(values) if plain else Same(values))))
        self._whole(values)

    def _dict(self, values: dict[Any, Any], path: Path, depth: int, widest: int) -> None:
        n = len(values)
        if n > widest:
            self.items.append((path, (Same(values), n)))
            return
        keys = [k if type(k) in NUMBERS else Same(k) for k in values]
        self.items.append((path, (type(values), tuple(keys))))
        kept = [(k, key) for k, key in zip(values, keys, strict=True)
                if (*path, key) not in self._skipped]  # fmt: skip
        if len(kept) == n:
            self._whole(values)
            self._whole(values.values())
        else:
            self._check(lambda: [*values, *[values.get(k, MISSING) for k, _ in kept]])
        for k, key in kept:
            self._walk(values[k], (*path, key), depth - 1)

    def _module(self, module: Module, path: Path, depth: int) -> None:
        """A module of `nn`: what the user defined counts if it is named, all else always."""
        self.items.append((path, Same(module)))
        fields = module.__dict__
        ours = type(module).__module__.partition(".")[0] == HERE
        for name in ("_parameters", "_buffers", "_modules"):
            if name in fields:
                self._seen[id(fields[name])] = fields[name]
                self._dict(fields[name], (*path, name), depth + 1, MOST)
        plain = [k for k in fields if ours or k in self._names or k in _OF_MODULES]
        self._fields(fields, path, depth, plain)
        self._class(type(module), depth)

    def _attributes(self, value: Any, path: Path, depth: int, names: set[str] | None) -> None:
        """An object: which it is, its attributes, and those of its class."""
        self.others.append(value)
        self.items.append((path, Same(value)))
        inside = getattr(value, "__dict__", None)
        if type(inside) is dict:
            self._fields(inside, path, depth, inside.keys() if names is None else names)
        slots = [
            name for cls in type(value).__mro__ for name in _slots(cls)
            if (names is None or name in names) and (*path, name) not in self._skipped
        ]  # fmt: skip
        if slots:
            self._check(lambda: [getattr(value, name, MISSING) for name in slots])
            for name in slots:
                self._walk(getattr(value, name, MISSING), (*path, name), depth - 1)
        self._class(type(value), depth)

    def _fields(self, inside: dict[str, Any], path: Path, depth: int, names: Iterable[str]) -> None:
        """The attributes of an object that are among the names; a new one is noticed as well."""
        wanted = set(names)
        here = [k for k in inside if k in wanted and (*path, k) not in self._skipped]
        n = len(inside)
        if len(here) == n:
            self._whole(inside.values())
        else:
            self._check(lambda: [len(inside) == n, *[inside.get(k, MISSING) for k in here]])
        for k in here:
            self._walk(inside[k], (*path, k), depth - 1)

    def _class(self, cls: type, depth: int) -> None:
        """What the user's classes define under the names: numbers and the like, and methods."""
        for c in cls.__mro__:
            if c in self._classes or is_foreign(c.__module__):
                continue
            self._classes.add(c)
            path: Path = ("class", id(c))
            inside = vars(c)
            here = [
                k for k, x in inside.items()
                if (k in self._names or _is_special(k, x)) and (*path, k) not in self._skipped
            ]  # fmt: skip
            self._check(partial(_looked_up, inside, here))
            for k in here:
                self._member(inside[k], (*path, k), depth - 1)

    def _member(self, value: Any, path: Path, depth: int) -> None:
        """What a class has under a name."""
        if isinstance(value, (staticmethod, classmethod)):
            value = value.__func__
        elif isinstance(value, property):
            value = value.fget
        elif isinstance(value, cached_property):
            value = value.func
        self._walk(value, path, depth)


_WHOLE = (Tensor, np.ndarray, BuiltinFunctionType, Enum)  # nothing inside counts
_OF_MODULES = frozenset(("training", "forward", "_hooks", "_parameters", "_buffers", "_modules"))


def _looked_up(inside: Any, names: Sequence[str]) -> list[Any]:
    return [inside.get(k, MISSING) for k in names]


def _is_special(name: str, x: Any) -> bool:
    """Whether it is a method that Python, or `nn.Module`, calls without its being named."""
    return isinstance(x, FunctionType) and (
        name == "forward" or (name[:2] == "__" == name[-2:] and name != "__init__")
    )


def wrapped(x: Any) -> Any:
    """The function inside a decorated one; None if there is none."""
    inside = getattr(x, "__dict__", None)
    return inside.get("__wrapped__") if type(inside) is dict else None


def _slots(cls: type) -> Iterable[str]:
    found = vars(cls).get("__slots__", ())
    names = (found,) if isinstance(found, str) else found
    return [n for n in names if n not in ("__dict__", "__weakref__")]
