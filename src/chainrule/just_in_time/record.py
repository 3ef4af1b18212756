"""Recording a function for the compiler: one run, and everything that a later run needs.

What a run of the function reads and changes besides its arguments becomes explicit: tensors and
arrays from outside are inputs, random numbers are inputs that are drawn before each run, tensors
written in place are outputs that are copied into them afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from chainrule import tree
from chainrule.core import modes
from chainrule.core.boxes import Box, leaked
from chainrule.core.collector import paused
from chainrule.core.generator import Generator
from chainrule.core.node import Node
from chainrule.core.primitive import Primitive
from chainrule.core.source import caller, describe
from chainrule.core.tensor import Tensor
from chainrule.graph.ir import Graph
from chainrule.graph.rewrite import without_aliases
from chainrule.just_in_time.constants import Constant, constant
from chainrule.just_in_time.live import LARGEST_GUARD, LiveArray, NotRecorded, Values
from chainrule.just_in_time.ownership import families, is_held_here
from chainrule.transforms.inputs import as_tensor, is_array
from chainrule.transforms.tracing import (
    CONSTANT,
    TRACE,
    Recorder,
    Traced,
    TracedArray,
    constant_node,
    input_node,
    own,
    recording,
    traced,
)


class Argument(NamedTuple):
    """An argument that is an input: its name, shape and dtype, and its value if it is known."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    value: np.ndarray | None


class Draw(NamedTuple):
    """Random numbers of a run: a function that draws them, and the generator it draws from."""

    draw: Callable[[], np.ndarray]
    source: Generator


class Guard(NamedTuple):
    """A value that was looked at, which must be the same in later runs."""

    value: np.ndarray
    where: str

    def holds(self, found: np.ndarray) -> bool:
        """Whether a value is the same; nan is the same as nan."""
        return found.tobytes() == self.value.tobytes() or bool(
            np.array_equal(found, self.value, equal_nan=self.value.dtype.kind in "fc")
        )


class Recording:
    """What one run of a function was.

    Attributes:
        described: the arguments, in words.
        graph: inputs are the arguments, then `captured`, then the draws; outputs are the parts of
            the result that are tensors, then the guards, then what is written in place.
        captured: tensors and arrays that were met without being given.
        draws: random numbers, in the order in which they are drawn.
        results: per part of the result the position of its output, or a constant.
        spec: the structure of the result.
        guards: values that were looked at.
        converted: whether numbers were made of tensors (`float(x)`), which for tensors that require
            grad is an error.
        written_arguments: positions of the arguments that are written in place.
        written: tensors from outside that are written in place.
        recorded_only: whether it holds only where operations are recorded, because the function
            asks for that, or switches it on.
        wrote_apart: whether something is written in place under `no_grad`.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self.described = ""
        self.graph: Graph
        self.captured: list[Any] = []
        self.draws: list[Draw] = []
        self.results: list[int | Constant] = []
        self.spec: Any = None
        self.guards: list[Guard] = []
        self.converted = False
        self.written_arguments: list[int] = []
        self.written: list[Tensor] = []
        self.recorded_only = False
        self.wrote_apart = False


class _Original(NamedTuple):
    """A tensor from outside as it was before it was written in place."""

    tensor: Any
    cls: type
    array: Any
    node: Any


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
        self.wrote_apart = False
        self.refused: NotRecorded | None = None
        self.views: dict[int, tuple[Tensor, Traced]] = {}  # of tensors from outside

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
        found = self.captured.get(id(x))
        if found is None:
            view = None if isinstance(x, np.ndarray) or x.node is not None else x._view
            if view is not None and view.parent.node is None:  # the graph knows how it is taken
                return self._viewed(x, view)
            array = x if isinstance(x, np.ndarray) else x.array
            node = input_node(array.shape, array.dtype, f"captured{len(self.captured)}")
            self.values.known[node] = array
            found = self.captured[id(x)] = (x, traced(node))
        return found[1]

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

    def written(self, x: Tensor) -> None:
        """Let a tensor that is about to be written in place become part of the recording."""
        from chainrule.core.boxes import renew_views, take_over

        root = x
        while root._view is not None:
            root = root._view.parent
        if root._box is None:
            take_over(root, self.capture(root))
            renew_views(root)

    def changing(self, x: Any) -> None:
        """Told that a tensor is about to get another class and contents."""
        self.wrote_apart = self.wrote_apart or not modes.is_recording()
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
                self.capture(x)
                self.becomes[id(x)] = made
        for source, state in self.states.values():
            source.go_back(state.numpy().tobytes())


def record(
    arguments: Sequence[Argument], call: Callable[[list[Any]], Any], title: str
) -> Recording:
    """Run a function once and keep what it did.

    Args:
        arguments: the inputs.
        call: runs the function on traced tensors in place of the arguments.
        title: the function's name.

    Raises:
        NotRecorded: if it cannot be recorded for these arguments.
    """
    record = LiveRecorder()
    place = caller(1)
    made = Recording(title)
    made.described = ", ".join(f"{a.name} {a.dtype}{list(a.shape)}" for a in arguments)
    with recording(record), paused():
        inputs, given = [], []
        for a in arguments:
            node = input_node(a.shape, a.dtype, a.name, place)
            if a.value is not None:
                record.values.known[node] = a.value
            inputs.append(node)
            given.append(traced(node))
        mode = modes.get_mode()
        try:
            leaves, made.spec = tree.flatten(call(list(given)))
            if record.refused is not None:
                raise record.refused
            if modes.get_mode() != mode:
                raise NotRecorded("it leaves recording switched on or off")
            outputs: list[Node] = []
            while leaves:  # nothing here may hold what nobody else does
                made.results.append(_result(leaves.pop(0), outputs, title))
        finally:
            record.restore()
    for i, (x, node) in enumerate(zip(given, inputs, strict=True)):
        if x.node is not node:
            made.written_arguments.append(i)
            outputs.append(x.node)
    return _finished(record, made, inputs, outputs)


def _finished(
    record: LiveRecorder, made: Recording, inputs: list[Node], outputs: list[Node]
) -> Recording:
    """The graph of a run, with what nobody else holds as constants."""
    n = len(outputs) - len(made.written_arguments)
    looked = list(record.looked)
    record.values.known.clear()
    record.views.clear()
    made.guards = list(record.looked.values())
    made.converted = record.converted
    made.recorded_only = record.recorded_only
    made.wrote_apart = record.wrote_apart
    results, arguments = outputs[:n], outputs[n:]
    entries = []
    while record.captured:  # nothing here may hold what nobody else does
        x, t = record.captured.popitem()[1]
        entries.append((x, t.node))
        del x, t
    entries.reverse()
    captured = _from_outside(entries)
    for x, _ in captured:
        if id(x) in record.becomes:
            made.written.append(x)
            arguments.append(record.becomes[id(x)])
    made.captured = [x for x, _ in captured]
    made.draws = [d for d, _ in record.draws]
    made.graph = without_aliases(
        Graph(
            [*inputs, *[node for _, node in captured], *[node for _, node in record.draws]],
            [*results, *looked, *arguments],
            title=made.title,
            out_spec=None,
        )
    )
    _without_values(made.graph)
    return made


def _without_values(graph: Graph) -> None:
    """Let the equations hold plain abstract arrays, which are as good and know no node."""
    known: dict[int, TracedArray] = {}

    def plain(a: Any) -> Any:
        if type(a) is tuple:
            return tuple(map(plain, a))
        if type(a) is not LiveArray:
            return a
        found = known.get(id(a))
        if found is None:
            found = known[id(a)] = TracedArray(a.shape, a.dtype)
        return found

    for node in graph.nodes:
        if node.args:
            node.args = tuple(map(plain, node.args))
        node.out = plain(node.out)


def _result(y: Any, outputs: list[Node], title: str) -> int | Constant:
    """Where a part of a result is among the outputs, to which it is added.

    Raises:
        NotRecorded: if it belongs to another transform, or is something that holds tensors or has
            yet to run.
    """
    if isinstance(y, Box) and not isinstance(y, Traced):
        raise NotRecorded(f"the result of {title} depends on a running {y.tag.title}")
    if isinstance(y, Traced):
        node = own(y).node
    elif isinstance(y, Tensor):
        node = _known(y)
    elif is_array(y):
        node = constant_node(as_tensor(y).array)
    else:
        return constant(y, title)
    outputs.append(node)
    return len(outputs) - 1


def _known(y: Tensor) -> Node:
    """The node of a tensor from outside that is returned."""
    from chainrule.transforms.tracing import traced_value

    node: Node = traced_value(y).node
    return node


def _from_outside(entries: list[tuple[Any, Node]]) -> list[tuple[Any, Node]]:
    """What the function met and somebody else holds; the inputs for the rest become constants."""
    settled: set[int] = set()
    for places in families(entries):
        family = [entries[i] for i in places]
        if not any(isinstance(x, Tensor) and x.node is not None for x, _ in family):
            settled.update(places if is_held_here(family) else ())
    for i in settled:
        x, node = entries[i]
        _settle(node, x)
    return [entry for i, entry in enumerate(entries) if i not in settled]


def _settle(node: Node, x: Any) -> None:
    """Make an input the constant that it is."""
    array = np.asarray(x if isinstance(x, np.ndarray) else x.array)
    array = array.view()
    array.flags.writeable = False  # and nobody else has it
    node.prim = CONSTANT
    node.args, node.parents, node.params = (array,), (None,), {}
