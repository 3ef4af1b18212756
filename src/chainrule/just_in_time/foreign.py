"""Random numbers that are not the library's own, in a function that is recorded.

A recording would hold the numbers that it met.  So whoever draws from NumPy or from Python's
`random` runs eagerly, and the generators go back to where they were before the recording.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple


class Source(NamedTuple):
    """A generator: its state as something that can be compared, and how it is put back."""

    state: Any
    read: Callable[[], Any]
    put_back: Callable[[], None]


def _of_numpy(g: Any) -> Source:
    before = g.bit_generator.state

    def read() -> str:
        return repr(g.bit_generator.state)

    def put_back() -> None:
        g.bit_generator.state = before

    return Source(repr(before), read, put_back)


def _of_old_numpy(g: Any) -> Source:
    before = g.get_state(legacy=False)
    return Source(
        _bytes(before), lambda: _bytes(g.get_state(legacy=False)), lambda: g.set_state(before)
    )


def _bytes(state: dict[str, Any]) -> Any:
    inner = state["state"]
    return inner["key"].tobytes(), inner["pos"], state["has_gauss"]


def _of_python(g: Any) -> Source:
    before = g.getstate()
    return Source(before, g.getstate, lambda: g.setstate(before))


def kinds() -> list[tuple[type, Callable[[Any], Source]]]:
    """The kinds of generators that there may be: of modules that have been imported."""
    found: list[tuple[type, Callable[[Any], Source]]] = []
    numpy, python = sys.modules.get("numpy.random"), sys.modules.get("random")
    if numpy is not None:
        found += [(numpy.Generator, _of_numpy), (numpy.RandomState, _of_old_numpy)]
    if python is not None:
        found.append((python.Random, _of_python))
    return found


class Sources:
    """Generators that a function could draw from, as they are now.

    Args:
        things: arguments, and what is in variables around the function.
    """

    def __init__(self, things: Iterable[Any]) -> None:
        known = kinds()
        shared = [
            getattr(sys.modules.get(module), name, None)
            for module, name in (("numpy.random.mtrand", "_rand"), ("random", "_inst"))
        ]
        self._found = []
        for x in (*shared, *things):
            for kind, source in known:
                if type(x) is kind:
                    self._found.append(source(x))

    def drawn_from(self) -> bool:
        """Whether numbers have been drawn since; then the generators are put back."""
        drawn = [s for s in self._found if s.read() != s.state]
        for s in drawn:
            s.put_back()
        return bool(drawn)
