"""Recording modes: whether, and how, operations are written to the tape.

One context variable holds the mode, so threads and async tasks never see each other's.  Its value
is `True` (record), `False` (do not record), or a `Mode` for everything rarer: inference mode,
anomaly detection, saved-tensor hooks.  The fast paths compare it with `True` by identity; a `Mode`
sends them to the slow path, which is the only place that looks inside.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar, Token
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Mode:
    """A recording mode that plain on/off cannot express."""

    grad: bool = True
    inference: bool = False
    anomaly: bool = False
    check_nan: bool = True
    pack: Callable[[Any], Any] | None = None
    unpack: Callable[[Any], Any] | None = None
    hooks_forbidden: str | None = None
    allow_mutation: bool = False
    everything: bool = False  # keep all values, also those that no rule names: for explanations
    forward: bool = False  # a forward walk over the record is to come: keep what it needs too
    # A function is recorded that will run again: gets each operation, each tensor that is to be
    # written, and each whose values are looked at, so that they become part of the recording.
    lift: Any = None


current: ContextVar[bool | Mode] = ContextVar("chainrule_mode", default=True)
get_mode = current.get


def is_recording() -> bool:
    """Whether an operation on a tensor that requires grad would be recorded now."""
    mode = get_mode()
    if mode is True or mode is False:
        return mode
    return mode.grad and not mode.inference


# The recordings of functions that run now, in any thread: a list, because the fast paths look at it
# where they have no need of the mode.
lifts: list[Any] = []


def lifting() -> Any:
    """What takes operations into a recording of a function, if one runs here."""
    mode = get_mode()
    return None if isinstance(mode, bool) else mode.lift


def array_of(x: Any) -> Any:
    """The array of a tensor, for an operation that takes an array.

    The recording of a function is told, so that the operation has the tensor for an argument.
    """
    if lifts:
        lift = lifting()
        if lift is not None:
            lift.shows(x)
    return x.array


def note_look(x: Any) -> None:
    """Tell the recording of a function that its course depends on the values of a tensor or array.

    For reads that are not operations; those of a box are noticed by what it has for an array.
    """
    if lifts:
        lift = lifting()
        if lift is not None:
            lift.seen(x)


def looked_at(x: Any) -> Any:
    """The array of a tensor whose values leave the operations; see `note_look`."""
    note_look(x)
    return x.array


def refuse_lifted(what: str) -> None:
    """Raise if a recording of a function runs, of which an action cannot become part.

    Raises:
        RuntimeError: which makes the function run without being recorded.
    """
    lift = lifting()
    if lift is not None:
        raise lift.refusal(what)


def note_question() -> None:
    """Tell a recording of a function, if one runs, that the mode around it makes a difference."""
    lift = lifting()
    if lift is not None:
        lift.mode_matters()


def as_mode(mode: bool | Mode) -> Mode:
    """The current mode as a `Mode`, whatever its short form."""
    return Mode(grad=mode) if isinstance(mode, bool) else mode


def simplest(mode: Mode) -> bool | Mode:
    """The short form of a mode, so that fast paths stay fast wherever they can."""
    return mode.grad if mode == Mode(grad=mode.grad) else mode


def changed(**fields: Any) -> bool | Mode:
    """The current mode with some fields replaced, in its short form."""
    if fields.keys() == {"grad"} and isinstance(get_mode(), bool):
        return bool(fields["grad"])
    return simplest(replace(as_mode(get_mode()), **fields))


def enter(mode: bool | Mode) -> Token[bool | Mode]:
    """Make `mode` current and return the token that `leave` takes."""
    return current.set(mode)


leave = current.reset
