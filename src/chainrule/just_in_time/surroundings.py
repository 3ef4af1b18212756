"""What a function reads besides its arguments: numbers, flags and helpers around it.

A recording holds the numbers it met as constants, and took the branches that flags of modules
(`net.training`) chose. So they are part of the signature: change one, and the function is recorded
anew. Looked at are variables of enclosing functions and of the modules that the code names, default
values of parameters, and what is in them (`contents.py`), also of functions that are called. Of
tensors and arrays it counts which they are; their values are read in every call anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import CellType, CodeType, FunctionType, MethodType
from typing import Any

from chainrule.core.dtypes import default_dtype
from chainrule.core.source import INTERNAL
from chainrule.just_in_time.contents import Contents, Path, Place, is_foreign, wrapped
from chainrule.nn.module import Module

MOST = 500  # functions that are looked into
_ITSELF: Path = ("object",)
ROUNDS = 50  # functions are found in what other functions name, and so on


class State:
    """What has to be the same for a recording to hold.

    Attributes:
        items: what counts, by the way to it.
    """

    __slots__ = ("_hash", "items")

    def __init__(self, items: tuple[tuple[Path, Any], ...]) -> None:
        self.items = items
        self._hash = hash(items)

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, State) and self._hash == other._hash and self.items == other.items
        )

    def __hash__(self) -> int:
        return self._hash


class Surroundings:
    """The variables around a function, and their state when asked for.

    Args:
        of: a function, or an object whose attributes and methods count.
        beside: surroundings of the function that gets the object; it names attributes too.
    """

    def __init__(self, of: Any, beside: Surroundings | None = None) -> None:
        self.of = of
        self._beside = beside
        self._changed: set[Path] = set()  # what the function itself changes: it is not looked at
        self._known: tuple[State, Contents, Any] | None = None
        self._places: list[Place] | None = None
        self.names: frozenset[str] = frozenset()
        self._given: frozenset[str] = frozenset()  # names of `beside`

    def look(self) -> None:
        """Find out anew what there is: variables may have been defined, or functions replaced."""
        if self._beside is not None and self._beside._places is None:
            self._beside.look()
        self._given = frozenset() if self._beside is None else self._beside.names
        names = set(self._given)
        of = self.of
        places: list[Place] = [Place(_ITSELF, lambda: of)]
        seen: set[int] = set()
        pending: list[Any] = [self.of]
        for _ in range(ROUNDS):
            for f in _unwrapped(pending, seen):
                places += [Place(path, read) for path, read in _around(f)]
                if not is_library(f):
                    names |= names_in(f.__code__)
            contents = Contents(places, names, frozenset(self._changed))
            pending = [f for f in contents.functions if id(f) not in seen]
            if not pending or len(seen) > MOST:
                break
        self._places, self.names = places, frozenset(names)
        self._known = None

    def state(self) -> State:
        """What has to be the same for a recording to hold."""
        known = self._known
        if known is not None and known[2] is default_dtype() and known[1].unchanged():
            return known[0]
        if self._places is None or (self._beside and self._beside.names is not self._given):
            self.look()
        dtype = default_dtype()
        contents = Contents(self._places or [], set(self.names), frozenset(self._changed))
        items = contents.items
        if self._beside is not None and not isinstance(self.of, Module):
            items = [item for item in items if item[0] != _ITSELF]  # arguments are compared by ==
        found = State(((("default dtype",), dtype), *items))
        if known is not None and found == known[0]:
            found = known[0]  # comparing that with what others keep is quick
        self._known = found, contents, dtype
        return found

    def others(self) -> list[Any]:
        """Objects that variables hold, or other objects."""
        self.state()
        return [] if self._known is None else self._known[1].others

    def forget_changed(self, before: State) -> None:
        """No longer look at what has changed since a state: the function did that."""
        was, now = dict(before.items), dict(self.state().items)
        changed = {path for path in {*was, *now} if was.get(path) != now.get(path)}
        if changed:
            self._changed |= changed
            self._known = None


def _unwrapped(pending: Iterable[Any], seen: set[int]) -> Iterator[FunctionType]:
    """The functions of Python among things that are called, and inside them."""
    stack = list(pending)
    while stack:
        f = stack.pop()
        if id(f) in seen:
            continue
        seen.add(id(f))
        if isinstance(f, MethodType):
            stack.append(f.__func__)
        elif isinstance(f, partial):
            stack.append(f.func)
        elif wrapped(f) is not None:
            stack.append(wrapped(f))
        if isinstance(f, FunctionType):
            yield f


def _around(f: FunctionType) -> Iterator[tuple[Path, Callable[[], Any]]]:
    """The variables that a function sees, and how each is read."""
    for cell in f.__closure__ or ():
        yield ("cell", id(cell)), partial(_content, cell)
    if is_library(f):
        return
    for name in ("__defaults__", "__kwdefaults__"):
        yield (name, id(f)), partial(getattr, f, name)
    space = f.__globals__
    for name in sorted(names_in(f.__code__) & space.keys()):
        yield ("global", id(space), name), partial(space.get, name)


def is_library(f: FunctionType) -> bool:
    """Whether a function is part of a library: what it reads does not change."""
    return INTERNAL[f.__code__.co_filename] or is_foreign(f.__module__ or "")


def names_in(code: CodeType) -> set[str]:
    """The names of variables and attributes in a piece of code, and in functions defined in it.

    Words in strings are among them, which may be what `getattr` is asked for.
    """
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= names_in(constant)
        elif isinstance(constant, str) and constant.isidentifier():
            found.add(constant)
    return found


def _content(cell: CellType) -> Any:
    """What a variable of an enclosing function holds; None if it is not assigned yet."""
    try:
        return cell.cell_contents
    except ValueError:
        return None
