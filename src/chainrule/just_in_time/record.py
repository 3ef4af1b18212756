"""Recording a function for the compiler: one run, and everything that a later run needs.

What a run of the function reads and changes besides its arguments becomes explicit: tensors and
arrays from outside are inputs, random numbers are inputs that are drawn before each run, tensors
written in place are outputs that are copied into them afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any, NamedTuple

import numpy as np

from chainrule import tree
from chainrule.core import modes
from chainrule.core.boxes import Box
from chainrule.core.collector import paused
from chainrule.core.inplace import set_data
from chainrule.core.node import Node
from chainrule.core.source import caller
from chainrule.core.tensor import Tensor
from chainrule.graph.ir import Graph
from chainrule.graph.rewrite import without_aliases
from chainrule.graph.walk import needed
from chainrule.just_in_time.constants import Constant, constant
from chainrule.just_in_time.live import LiveArray, NotRecorded
from chainrule.just_in_time.ownership import families, is_held_here
from chainrule.just_in_time.recorder import Draw, Guard, LiveRecorder
from chainrule.transforms.inputs import as_tensor, is_array
from chainrule.transforms.tracing import (
    CONSTANT,
    INPUT,
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
        unrecorded: for those, arguments first, whether all writes were under no_grad.
        recorded_only: whether it holds only where operations are recorded, because the function
            asks for that, or switches it on.
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
        self.unrecorded: list[bool] = []
        self.recorded_only = False


@contextmanager
def _lifting(record: LiveRecorder) -> Iterator[None]:
    """While it lasts, the fast paths ask whether a function is recorded."""
    modes.lifts.append(record)
    try:
        yield
    finally:
        modes.lifts.remove(record)


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
    with recording(record), _lifting(record), paused():
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
    record.values.known.clear()
    record.views.clear()
    record.derived.clear()
    record.shown.clear()
    made.converted = record.converted
    made.recorded_only = record.recorded_only
    results, arguments = outputs[:n], outputs[n:]
    entries = []
    while record.captured:  # nothing here may hold what nobody else does
        x, t = record.captured.popitem()[1]
        entries.append((x, t.node))
        del x, t
    entries.reverse()
    captured = _from_outside(entries)
    looked = _guards(record, made)
    were = [inputs[i] for i in made.written_arguments]
    for x, node in captured:
        if id(x) in record.becomes:
            made.written.append(x)
            were.append(node)
            arguments.append(record.becomes[id(x)])
    made.unrecorded = [_is_unrecorded(node, was) for node, was in zip(arguments, were, strict=True)]
    arguments = [
        _value(node) if quiet else node
        for node, quiet in zip(arguments, made.unrecorded, strict=True)
    ]
    used = set(needed([*results, *looked, *arguments], ()))
    captured = [(x, node) for x, node in captured if node in used or id(x) in record.becomes]
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


def _guards(record: LiveRecorder, made: Recording) -> list[Node]:
    """The nodes that were looked at, but for those that are the same in every run.

    Raises:
        NotRecorded: if one has too many values to be compared in every call.
    """
    varying: set[Node] = set()
    for node in needed(record.looked, ()):
        if node.prim is INPUT or any(p in varying for p in node.parents):
            varying.add(node)
    looked = {node: guard for node, guard in record.looked.items() if node in varying}
    for node, guard in looked.items():
        if guard.value is None:
            raise NotRecorded(
                f"the {prod(node.shape or ())} values of a tensor from outside are looked at, at "
                f"{guard.where}"
            )
    made.guards = list(looked.values())
    return list(looked)


def _is_unrecorded(node: Node, was: Node) -> bool:
    """Whether a tensor that was one node and is now another has only been written under no_grad."""
    while node.prim is set_data.prim:
        (node, _) = node.parents  # type: ignore[assignment]
    return node is was


def _value(node: Node) -> Node:
    """What a tensor contains that was written under no_grad and has kept its derivative."""
    if node.prim is not set_data.prim:
        return node
    value = node.parents[1]
    return constant_node(node.args[1]) if value is None else value


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
