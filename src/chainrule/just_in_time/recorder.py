"""What takes operations into the recording of a function that will run again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from weakref import ref

import numpy as np

from chainrule.core import modes
from chainrule.core.boxes import Box, leaked
from chainrule.core.generator import Generator
from chainrule.core.node import Node
from chainrule.core.primitive import REGISTRY, Primitive
from chainrule.core.source import caller, describe
from chainrule.core.tensor import Tensor
from chainrule.just_in_time.live import (
    LARGEST_GUARD,
    LARGEST_GUARD_OUTSIDE,
    LiveArray,
    NotRecorded,
    Values,
)
from chainrule.transforms.tracing import (
    TRACE,
    DataDependence,
    Recorder,
    Traced,
    input_node,
    stop,
    traced,
)


class Draw(NamedTuple):
    """Random numbers of a run: a function that draws them, and the generator it draws from."""

    draw: Callable[[], np.ndarray]
    source: Generator


class Guard(NamedTuple):
    """A value that was looked at, which must be the same in later runs; None: it is too large."""

    value: Any
    where: str

    def holds(self, found: np.ndarray) -> bool:
        """Whether a value is the same; nan is the same as nan."""
        return found.tobytes() == self.value.tobytes() or bool(
            np.array_equal(found, self.value, equal_nan=self.value.dtype.kind in "fc")
        )


class _Original(NamedTuple):
    """A tensor from outside as it was before it was written in place."""

    tensor: Any
    cls: type
    array: Any
    node: Any


def root_of(x: Tensor) -> Tensor:
    """The tensor that a view, or a view of a view, was taken from."""
    while x._view is not None:
        x = x._view.parent
    return x


class LiveRecorder(Recorder):
    """A run of a function that is recorded; also what the mode `lift` refers to."""

    randomness = "lifted"
    title = "jit"
    array = LiveArray

    def __init__(self) -> None:
        super().__init__()
        self.values = Values()
        self.looked: dict[Node, Guard] = {}
        self.draws: list[tuple[Draw, Node]] = []
        self.states: dict[int, tuple[Generator, Any]] = {}
        self.originals: dict[int, _Original] = {}
        self.becomes: dict[int, Node] = {}  # what tensors from outside are in the end, by identity
        self.converted = False
        self.recorded_only = False
        self.refused: NotRecorded | None = None
        self.views: dict[int, tuple[Tensor, Traced]] = {}  # of tensors from outside
        # Tensors without a record, and their arrays, by identity, with how they were computed.
        self.derived: dict[int, tuple[Any, Traced]] = {}
        self.aliases: dict[int, tuple[ref[Any], Traced]] = {}  # what detach() gave, and what it is
        self.shown: dict[int, Tensor] = {}  # tensors whose arrays are arguments, by those arrays
        self.shared: list[tuple[ref[Any], ref[Any]]] = []  # tensors, and what they are detached as

    def mode(self) -> Any:
        self.recorded_outside = modes.is_recording()
        return modes.changed(grad=True, lift=self)

    def mode_matters(self) -> None:
        """Told that the function asks whether operations are recorded, or sees to it.

        A recording always has derivatives; so it is right where operations are recorded.

        Raises:
            NotRecorded: where they are not.
        """
        if not self.recorded_outside:
            raise NotRecorded("it asks for the mode (no_grad), and runs without recording", False)
        self.recorded_only = True

    # ------------------------------------------------ what the function meets

    def capture(self, x: Any) -> Traced:
        """The input that stands for a tensor or array that was met without being given."""
        if isinstance(x, Traced):
            raise leaked(x)
        found = self.captured.get(id(x)) or self.derived.get(id(x))
        if found is not None:
            return found[1]
        if isinstance(x, np.ndarray):
            return self._known_array(x) or self._input(x)
        if x.node is None:
            alias = self.aliases.get(id(x))
            if alias is not None and alias[0]() is x:
                return alias[1]
            found = self.derived.get(id(x.array))
            view = x._view
            if found is None and view is not None and view.parent.node is None:
                return self._viewed(x, view)  # the graph knows how it is taken
        return self._input(x) if found is None else found[1]

    def _known_array(self, x: np.ndarray) -> Traced | None:
        """The tensor, or what was computed, that an array is; None if it is an array as such."""
        shown = self.shown.get(id(x))
        if shown is not None:
            return self.capture(shown)
        base = x.base
        if not isinstance(base, np.ndarray) or id(base) not in {*self.shown, *self.derived}:
            return None
        if x.size == base.size and x.flags.c_contiguous and base.flags.c_contiguous:
            made: Traced = TRACE.process(
                REGISTRY["reshape"], (self.capture(base),), {"shape": x.shape}
            )
            return made
        self.seen(base)  # how NumPy took it is not known: what it is must not change
        return None

    def shows(self, x: Tensor) -> None:
        """Told that the array of a tensor is an argument of an operation to come."""
        if x._box is None:
            self.shown[id(x.array)] = x

    def _input(self, x: Any) -> Traced:
        """A tensor or array from outside as an input."""
        array = x if isinstance(x, np.ndarray) else x.array
        node = input_node(array.shape, array.dtype, f"captured{len(self.captured)}")
        self.values.known[node] = array
        made = traced(node)
        self.captured[id(x)] = (x, made)
        return made

    def _viewed(self, x: Tensor, view: Any) -> Traced:
        """A view of a tensor, taken in the graph."""
        found = self.views.get(id(x))
        if found is None:
            made = view.prim.apply((self.capture(view.parent),), view.params)
            found = self.views[id(x)] = (x, made)
        return found[1]

    def constant(self, x: Any) -> Any:
        array = x if isinstance(x, np.ndarray) else x.array
        if not array.flags.writeable and array.base is None:
            return x  # nobody can change it
        return self.capture(x)

    def look(self, array: LiveArray) -> np.ndarray:
        """The values of a traced tensor, which becomes a guard.

        Raises:
            NotRecorded: if they are not known, or too many to be compared in every call.
        """
        node = array.node
        guard = self.looked.get(node)
        if guard is None:
            where = describe(*caller(2))
            if array.size > LARGEST_GUARD:
                raise NotRecorded(f"the {array.size} values of a tensor are looked at, at {where}")
            found = np.array(self.values.of(node))
            found.flags.writeable = False
            guard = self.looked[node] = Guard(found, where)
        return guard.value

    # ------------------------------------------------ what modes.lift is asked

    def operation(self, prim: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """Apply a primitive to recorded tensors from outside, as part of the recording."""
        lifted = [
            self.capture(x) if isinstance(x, Tensor) and x._box is None and x.node is not None
            else x for x in args
        ]  # fmt: skip
        return TRACE.process(prim, lifted, params)

    def computed(self, prim: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """Apply a primitive to tensors and arrays that have no record.

        The result is what it always is, and may be looked at; but where it meets the recording, it
        is computed in the graph, from what comes from outside.
        """
        token = modes.enter(False)
        try:
            made = prim.apply(args, params)
        finally:
            modes.leave(token)
        lifted = [self.constant(x) if isinstance(x, (Tensor, np.ndarray)) else x for x in args]
        if any(isinstance(x, Traced) for x in lifted):
            refused = self.refused
            try:
                found = TRACE.process(prim, lifted, params)
            except (DataDependence, NotImplementedError):  # its shape depends on the values
                self.refused = refused
                for x in args:
                    self.seen(x)
                return made
            given = [getattr(x, "array", x) for x in args]
            for m, f in zip(_tuple(made), _tuple(found), strict=True):
                if m is not None and f is not None:
                    self.derived[id(m)] = m, f
                    if all(m.array is not a for a in given):
                        self.derived[id(m.array)] = m.array, f
        return made

    def detached(self, x: Any, made: Any) -> None:
        """Told that a tensor is another one without its record."""
        self.aliases[id(made)] = (
            ref(made),
            TRACE.process(stop.prim, (self.capture(x),), {"forward": False}),
        )
        self.shares(x, made)

    def shares(self, x: Any, made: Any) -> None:
        """Told that a tensor shares the memory of another one, which does not know it as a view."""
        self.shared.append((ref(x), ref(made)))

    def check_shared(self, root: Tensor) -> None:
        """Refuse to write to a tensor if another one that shares its memory can still be seen.

        Raises:
            RuntimeError: which makes the function run without being recorded.
        """
        for pair in self.shared:
            found: list[Any] = [x() for x in pair]
            if None not in found and any(root_of(x) is root for x in found):
                raise self.refusal("writing in place to what detach() shares memory with")

    def seen(self, x: Any) -> None:
        """Told that the values of a tensor or array without a record are used by Python."""
        if isinstance(x, Box) or not isinstance(x, (Tensor, np.ndarray)):
            return
        found = self.constant(x)
        if isinstance(found, Traced) and found.node not in self.looked:
            array = getattr(x, "array", x)
            known = array.copy() if array.size <= LARGEST_GUARD_OUTSIDE else None
            self.looked[found.node] = Guard(known, describe(*caller(2)))

    def written(self, x: Tensor) -> None:
        """Let a tensor that is about to be written in place become part of the recording."""
        from chainrule.core.boxes import renew_views, take_over

        root = root_of(x)
        self.check_shared(root)
        if root._box is None:
            take_over(root, self.capture(root))
            renew_views(root)

    def changing(self, x: Any) -> None:
        """Told that a tensor is about to get another class and contents."""
        if not isinstance(x, Box):
            self.originals.setdefault(id(x), _Original(x, type(x), x.array, x.node))

    def wrote(self) -> Exception:
        """The error for memory that was written without becoming part of the recording."""
        return RuntimeError(
            f"jit: at {describe(*caller(2))} a tensor is written in place by an operation that "
            "cannot be compiled and must not run during the recording only. Do it outside of the "
            "function, or use operations on tensors (x.add_(y), x[i] = y)"
        )

    def refusal(self, what: str) -> Exception:
        """What makes the function run without being recorded."""
        return NotRecorded(f"{what} is not compiled, at {describe(*caller(2))}")

    def draw(self, draw: Callable[[], np.ndarray], source: Generator) -> Traced:
        """Random numbers as an input; drawn now, because somebody may look at them."""
        self.states.setdefault(id(source), (source, source.get_state()))
        array = np.asarray(draw())
        node = input_node(array.shape, array.dtype, f"random{len(self.draws)}")
        self.values.known[node] = array
        self.draws.append((Draw(draw, source), node))
        return traced(node)

    # ------------------------------------------------ afterwards

    def restore(self) -> None:
        """Give tensors back what they were, and generators their states."""
        while self.originals:
            _, (x, cls, array, node) = self.originals.popitem()
            made = x.node if isinstance(x, Traced) else None
            x.__class__ = cls
            x.array, x.node = array, node
            if made is not None and x._view is None:
                if id(x) not in self.captured:
                    self._input(x)
                self.becomes[id(x)] = made
        for source, state in self.states.values():
            source.go_back(state.numpy().tobytes())


def _tuple(x: Any) -> tuple[Any, ...]:
    return x if isinstance(x, tuple) else (x,)
