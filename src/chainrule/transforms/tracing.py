"""Traced tensors: shape and dtype, no values, and the node that will compute them.

Operations on traced tensors make nodes and compute nothing.  The nodes are those of the tape, so
whatever differentiates a tape differentiates a trace too, which extends it.  A traced tensor is the
innermost of boxes: forward mode, vmap and the rest work around it, and reverse mode at it.

What a node of a trace holds: `args` are constants (arrays) where `parents` has None, and abstract
arrays elsewhere; `out` is an abstract array, or a tuple of them.  Operands have been brought to
their common dtype by explicit casts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from chainrule.core import modes
from chainrule.core.avals import same
from chainrule.core.batching import leading
from chainrule.core.boxes import Box, Tag, leaked, next_level, note_view, running
from chainrule.core.calls import operands
from chainrule.core.dtypes import is_inexact
from chainrule.core.kinds import general
from chainrule.core.node import Node, next_seq
from chainrule.core.primitive import Primitive, check_real, make_node
from chainrule.core.samples import Sample, uniform
from chainrule.core.source import caller
from chainrule.core.tensor import Tensor, as_array, new, set_requires_grad, wrap
from chainrule.transforms.traced_arrays import (
    CONSTANT,
    INPUT,
    DataDependence,
    TracedArray,
    equation,
    picked,
)

# The same value, without a derivative: what `detach` means in a graph, and, but for the tangent of
# forward mode, which does not know it, `no_grad`.
stop = general(
    "detach", lambda x, forward: x, aval=same, batch=leading,
    jvp=lambda xp, t, x_aval, forward: t[0] if forward else None, symbol="detach({})",
    samples=lambda: [Sample(uniform(2, 3), forward=False), Sample(uniform(), forward=False)],
)  # fmt: skip


class Traced(Box):
    """A tensor of which only shape, dtype and the node that computes it are known."""

    __slots__ = ()

    node: Any  # never None

    @staticmethod
    def of(node: Node, out: Any = None) -> Traced:
        """The tensor that a node of a trace computes."""
        return traced(node, out)

    @property
    def requires_grad(self) -> bool:
        """Whether derivatives with respect to the tensor make sense: it is not an integer."""
        return is_inexact(self.array.dtype)

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        set_requires_grad(self, value)  # raises

    @property
    def is_leaf(self) -> bool:
        """Whether the tensor is an input of the graph."""
        return self.node.prim is INPUT

    def parts(self) -> list[Any]:
        return []

    def detach(self) -> Any:
        """The same values, without a derivative."""
        made = stop(self, forward=False)
        lift = modes.lifting()
        if lift is not None:
            lift.shares(self, made)
        return made

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        shape = ", ".join(map(str, self.array.shape))
        return f"Traced({self.array.dtype}[{shape}], {getattr(self.node, 'prim', None)!r})"


class Recorder:
    """One run of a function that is traced.

    Attributes:
        captured: tensors that require grad and were met without being given, with the input nodes
            that stand for them, by identity of the tensor.
        stopped: values without derivatives, by the node of the value: what `no_grad` makes.
        constants: arrays from outside with what they held when they were met, by identity.
    """

    randomness = "error"
    title = "trace"
    level = 0
    array: type[TracedArray] = TracedArray  # what traced tensors show

    def __init__(self, closed: bool = True) -> None:
        self.captured: dict[int, tuple[Tensor, Traced]] = {}
        self.start = next_seq() if closed else 0
        self.stopped: dict[Node, Traced] = {}
        self.constants: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def capture(self, x: Any) -> Traced:
        """The input that stands for a tensor that was met without being given."""
        key = id(x.node) if isinstance(x, Traced) else id(x)
        found = self.captured.get(key)
        if found is None:
            node = input_node(x.array.shape, x.array.dtype, f"captured{len(self.captured)}")
            found = self.captured[key] = (x, traced(node))
        return found[1]

    def mode(self) -> Any:
        """The mode in which the function runs."""
        return modes.changed(grad=True)

    def constant(self, x: Any) -> Any:
        """A tensor without a record or an array, which an operation meets, as a constant."""
        return _held_value(x)

    def random_error(self, name: str) -> Exception:
        """The error for a random number, which would be the same in every run of the graph."""
        return RuntimeError(
            f"trace: {name}() draws random numbers, which would become constants of the graph, the "
            "same in every run. Draw them outside and pass them as an argument"
        )


# While a graph is extended by derivatives: the line of the operation whose rule runs.
derived_at: ContextVar[Any] = ContextVar("chainrule_derived_at", default=None)
recorder: ContextVar[Recorder | None] = ContextVar("chainrule_trace", default=None)


@contextmanager
def recording(record: Recorder) -> Any:
    """Let a function be traced: random numbers are refused, captured tensors become inputs."""
    token = recorder.set(record)
    outer = running.set((*running.get(), record))
    mode = modes.enter(record.mode())
    try:
        yield
    finally:
        modes.leave(mode)
        running.reset(outer)
        recorder.reset(token)


def traced(node: Node, out: Any = None) -> Traced:
    """The tensor that a node of a trace computes."""
    array = node.out if out is None else out
    made: Traced = new(array.box)
    made.tag = TRACE
    made.inner = None
    made.array = array
    made.node = node
    if array.knows_node:
        array.node = node
    return made


TracedArray.box = Traced


def abstract(shape: Sequence[int], dtype: Any) -> TracedArray:
    """The abstract array of a value of a trace."""
    known = recorder.get()
    array = TracedArray if known is None else known.array
    return array(tuple(shape), np.dtype(dtype))


def input_node(shape: Sequence[int], dtype: Any, name: str, place: Any = None) -> Node:
    """A fresh input of a graph."""
    node = make_node(INPUT, (), None, {"name": name}, (), place or caller(1))
    node.out = abstract(shape, dtype)
    node.shape, node.dtype = node.out.shape, node.out.dtype
    return node


def constant_node(value: Any) -> Node:
    """A node for a value that no input has a part in, as it is now."""
    array = held(np.asarray(as_array(value)))
    node = make_node(CONSTANT, (array,), None, {}, (None,), caller(1))
    node.out = abstract(array.shape, array.dtype)
    node.shape, node.dtype = array.shape, array.dtype
    return node


def held(array: np.ndarray) -> np.ndarray:
    """What an array holds now, as a constant of a graph: no later write will change it.

    An array that is met again and has not been written since is the same constant.
    """
    if not array.flags.writeable and array.base is None:
        return array
    record = recorder.get()
    known = None if record is None else record.constants.get(id(array))
    if known is not None and known[1].tobytes() == array.tobytes():
        return known[1]
    made = np.array(array)
    made.flags.writeable = False
    if record is not None:
        record.constants[id(array)] = array, made
    return made


def _as_held(x: Any) -> Any:
    """An argument, where it is a constant, as it is now."""
    if type(x) is not np.ndarray and not (
        isinstance(x, Tensor) and type(x) is not Traced and x.node is None
    ):
        return x
    known = recorder.get()
    return _held_value(x) if known is None else known.constant(x)


def _held_value(x: Any) -> Any:
    return held(x) if isinstance(x, np.ndarray) else wrap(held(x.array))


_NEVER_WRITTEN = frozenset({Traced, float, int, bool, complex, type(None)})


class TraceTag(Tag):
    """The tag of all traced tensors: oldest, so that every other transform works around it."""

    __slots__ = ()

    def process(self, prim: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        known = recorder.get()
        start = 0 if known is None else known.start
        first = args[0] if args else None
        if start:
            args = [_own(x, start) for x in args]
        elif known is None:  # nothing can be added to a recording that has ended
            for x in args:
                if type(x) is Traced and x.array.knows_node:
                    raise leaked(x)
        if not modes.is_recording() and prim.differentiable:
            args = [self._stopped(x) for x in args]
        dt = args[0].array.dtype if type(args[0]) is Traced else None
        for x in args:
            if type(x) is not Traced or x.array.dtype is not dt:
                args = _prepared(prim, args)
                break
        else:
            if prim.partials is not None and dt.kind not in "fc":  # type: ignore[union-attr]
                args = operands(prim, args)
        values = [x.array if isinstance(x, Tensor) else x for x in args]
        parents = [x.node if isinstance(x, Tensor) else None for x in args]
        if prim.real:
            check_real(prim, values)
        place = derived_at.get()
        node = equation(prim, values, parents, params, place or caller(2))
        if node.shape is None:
            return tuple(
                [None if o is None else traced(picked(node, i)) for i, o in enumerate(node.out)]
            )
        made = traced(node)
        if prim.view and len(args) == 1 and place is None:
            note_view(made, first if isinstance(first, Traced) else args[0], prim, params)
        return made

    def _stopped(self, x: Any) -> Any:
        """A value as `no_grad` sees it: without a derivative, made once per value."""
        if not isinstance(x, Traced) or not is_inexact(x.array.dtype) or x.node.prim is stop.prim:
            return x
        known = recorder.get()
        if known is None:
            return self._stop(x)
        found = known.stopped.get(x.node)
        if found is None:
            found = known.stopped[x.node] = self._stop(x)
        return found

    def _stop(self, x: Traced) -> Traced:
        place = x.node.code, x.node.lasti
        return traced(equation(stop.prim, (x.array,), (x.node,), {"forward": True}, place))

    def with_primal(self, x: Traced, change: Callable[[Any], Any]) -> Any:
        """The innermost tensor has no primal inside: it is the primal."""
        return change(x)

    def mapped_inner(self, x: Traced, change: Callable[[Any], Any]) -> Any:
        """There is nothing inside to change."""
        return x


TRACE = TraceTag("trace")
ABOVE_TRACE = next_level()  # for boxes that only traced tensors are inside of (`chainrule.sym`)


def _prepared(prim: Primitive, args: Sequence[Any]) -> Sequence[Any]:
    """Arguments of which not all are traced and of one dtype.

    Constants as they are now; operands of elementwise operations in their common dtype; tensors
    that require grad as inputs.
    """
    for x in args:
        if type(x) not in _NEVER_WRITTEN:
            args = list(map(_as_held, args))
            break
    if prim.partials is not None:
        args = operands(prim, args)
    return [
        _captured(x) if isinstance(x, Tensor) and not isinstance(x, Traced) and x.node is not None
        else np.asarray(x) if isinstance(x, np.generic) else x
        for x in args
    ]  # fmt: skip


def traced_value(x: Tensor) -> Traced:
    """A plain tensor as a traced one: a constant, or, if it requires grad, a captured input."""
    found = _captured(x) if x.node is not None else _as_held(x)
    return found if isinstance(found, Traced) else traced(constant_node(found.array))


def _own(x: Any, start: int) -> Any:
    """A value as the trace that began at `start` has it: what is traced around it is captured."""
    return _captured(x) if isinstance(x, Traced) and x.node.seq < start else x


def own(x: Traced) -> Traced:
    """A traced tensor as the innermost running trace has it."""
    known = recorder.get()
    found: Traced = x if known is None else _own(x, known.start)
    return found


def _captured(x: Tensor) -> Traced:
    """The input that stands for a tensor that requires grad and was not given as an argument."""
    known = recorder.get()
    if known is None:
        raise RuntimeError(
            "a graph cannot hold a tensor that requires grad as a constant: it would silently drop "
            "the gradient. Declare a variable for it (sym.var), or use tensor.detach() to say so"
        )
    return known.capture(x)


__all__ = [
    "ABOVE_TRACE", "CONSTANT", "INPUT", "TRACE", "DataDependence", "Recorder", "Traced",
    "TracedArray", "abstract", "constant_node", "derived_at", "equation", "input_node", "own",
    "picked", "recorder", "recording", "stop", "traced", "traced_value",
]  # fmt: skip
