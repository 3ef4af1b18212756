"""From a graph to the steps of a program: kernels, and calls of NumPy for the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from chainrule.core.node import Node
from chainrule.graph.ir import Graph
from chainrule.jit import buffers as kinds
from chainrule.jit.buffers import Buffer, arrange
from chainrule.jit.clusters import Call, Cluster, Clusters
from chainrule.jit.columns import Columns
from chainrule.jit.expand import Expansion
from chainrule.jit.gemm import Gemm
from chainrule.jit.inplace import overwrite
from chainrule.jit.kernel import Kernel, Nest, arranged
from chainrule.jit.layouts import Layouts
from chainrule.jit.maps import contiguous_strides, identity, strided
from chainrule.jit.nests import KernelBuilder
from chainrule.jit.reduce import state_dtype
from chainrule.jit.rows import keep_rows
from chainrule.jit.values import (
    CALL,
    CONTRACT,
    FILLED,
    GIVEN,
    JOIN,
    MAP,
    NUMBER,
    PATCH,
    PICK,
    REDUCE,
    RESHAPED,
    VIEW,
    Value,
    viewed,
)
from chainrule.transforms.tracing import INPUT

LONGEST_ROW = 1 << 15  # entries of a row that nests share while it is in the cache
SHORTEST_ROW = 64


@dataclass(frozen=True)
class Window:
    """A buffer, or part of one, as an array: strides and offset in bytes."""

    buffer: Buffer
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0


@dataclass
class KernelStep:
    """Run a kernel on buffers, one for each of its parameters."""

    kernel: Kernel
    buffers: list[Buffer]
    nodes: list[Node]


@dataclass
class LibraryStep:
    """Call BLAS: `buffers` are of the operands and of the result."""

    gemm: Gemm
    buffers: list[Buffer]
    node: Node


@dataclass
class CallStep:
    """Evaluate a primitive: `args` are windows and constants; `outs` says what becomes of its
    results, by their place among them (None: it has one)."""

    node: Node
    args: list[Any]
    outs: list[tuple[int | None, Buffer]]
    reason: str


Step = KernelStep | LibraryStep | CallStep


@dataclass
class Steps:
    """What a program does, in order.

    Attributes:
        steps: kernels, calls of BLAS, calls of NumPy.
        buffers: all of them; temporary ones have offsets into `scratch` bytes.
        inputs: the buffers of the graph's inputs.
        outputs: the results, as windows; those of kind "given" or "constant" are to be copied.
        refused: why nodes are calls, by node.
        flag: where kernels note that an index is out of bounds; None if none is checked.
    """

    graph: Graph
    steps: list[Step]
    buffers: list[Buffer]
    inputs: list[Buffer]
    outputs: list[Window]
    scratch: int
    refused: dict[Node, str] = field(default_factory=dict)
    flag: Buffer | None = None


def fuse(graph: Graph, refused: Mapping[Node, str] | None = None) -> Steps:
    """The steps of a graph.

    Args:
        graph: verified, and optimised as far as wanted.
        refused: nodes that are not to be compiled, and why.
    """
    return _Fusion(graph, refused).steps()


class _Fusion:
    """The state of one `fuse`."""

    def __init__(self, graph: Graph, refused: Mapping[Node, str] | None) -> None:
        self.graph = graph
        self.expansion = Expansion(graph, refused)
        self.buffers: list[Buffer] = []
        self.of: dict[int, Buffer] = {}  # by identity of the value
        self.made: list[Step] = []
        for node in graph.inputs:
            self._given(self.expansion.of[node])
        self.flag: Buffer | None = None
        results = self._results()
        columns = Columns(self.expansion.order, [v for v, _ in results])
        self.results = [(columns.result(v), shape) for v, shape in results]
        self.clusters = Clusters(columns.order, [v for v, _ in self.results])
        self.layouts = Layouts(self.clusters.live, [id(v) for v, _ in self.results])

    # ------------------------------------------------ results

    def _results(self) -> list[tuple[Value, tuple[int, ...]]]:
        """Per output a value that stands in memory of its own, and the output's shape."""
        found: list[tuple[Value, tuple[int, ...]]] = []
        taken: set[int] = set()
        for node in self.graph.outputs:
            value = self.expansion.of[node]
            base = _whole(value)
            if base is None or id(base) in taken:
                base = Value(MAP, "copy", (value,), value.shape, value.dtype, None, node)
                if 0 in value.shape or value.kind == GIVEN or base.dtype.kind not in "biuf":
                    base = value
                else:
                    self.expansion.order.append(base)
            taken.add(id(base))
            found.append((base, value.shape))
        return found

    # ------------------------------------------------ buffers

    def _new(self, kind: str, value: Value) -> Buffer:
        buffer = Buffer(len(self.buffers), kind, value.shape, value.dtype)
        self.buffers.append(buffer)
        return buffer

    def _fill(self, value: Value, results: set[int]) -> None:
        """The memory that operations write part by part; that of an older value is used on."""
        before = value.detail
        buffer = self._new(kinds.TEMPORARY, value) if before is None else self.of[id(before)]
        buffer.filled = True
        if id(value) in results:
            buffer.kind = kinds.OUTPUT
        for writer in (value, *value.args):
            self.of[id(writer)] = buffer

    def _flag(self) -> Buffer:
        """Where kernels note that an index is out of bounds."""
        if self.flag is None:
            shape, dtype = (1,), np.dtype(np.int64)
            self.flag = Buffer(len(self.buffers), kinds.FLAG, shape, dtype)
            self.buffers.append(self.flag)
        return self.flag

    def _given(self, value: Value) -> Buffer:
        found = self.of.get(id(value))
        if found is None:
            is_input = value.node is not None and value.node.prim is INPUT
            found = self.of[id(value)] = self._new(
                kinds.GIVEN if is_input else kinds.CONSTANT, value
            )
            if not is_input:
                found.value = np.require(value.detail, requirements=["C", "A"])
        return found

    def buffer(self, value: Value) -> Buffer:
        """Where a value stands that is in memory."""
        while value.kind == RESHAPED:
            value = value.args[0]
        return self._given(value) if value.kind == GIVEN else self.of[id(value)]

    def window(self, value: Value) -> Window:
        """A value, which may be a view, as an array."""
        base, rows = viewed(value)
        buffer = self.buffer(base)
        item = value.dtype.itemsize
        strides = self.layouts.strides(base)
        if rows is None:
            return Window(buffer, value.shape, tuple(s * item for s in strides))
        offset, steps = strided(rows, strides, value.ndim)
        return Window(buffer, value.shape, tuple(s * item for s in steps), offset * item)

    # ------------------------------------------------ steps

    def steps(self) -> Steps:
        results = {id(v) for v, _ in self.results}
        for value in self.clusters.live:
            if id(value) in self.clusters.stored and value.op != "place":
                kind = kinds.OUTPUT if id(value) in results else kinds.TEMPORARY
                self.of[id(value)] = self._new(kind, value)
            elif value.kind == FILLED:
                self._fill(value, results)
            elif value.kind == PICK or (value.kind == CALL and value.node.shape is not None):  # type: ignore[union-attr]
                self.of[id(value)] = self._new(kinds.MADE, value)
        for group in self._groups():
            if isinstance(group, Call):
                call = self._library if group.value.kind == CONTRACT else self._call
                self.made.append(call(group.value))
                continue
            # What is computed again wherever it is needed has no kernel of its own.
            used = [c for c in group if not self.clusters.stored.isdisjoint(map(id, c.members))]
            if used:
                self.made.append(self._kernel(used))
        outputs = [self._output(v, shape) for v, shape in self.results]
        self._lifetimes(outputs)
        for i, step in enumerate(self.made):
            if isinstance(step, KernelStep):
                overwrite(step.kernel, step.buffers, i)
                keep_rows(step.kernel, step.buffers, i)
        return Steps(
            self.graph, self.made, self.buffers,
            [self.of[id(self.expansion.of[n])] for n in self.graph.inputs],
            outputs, arrange(self.buffers), self.expansion.calls, self.flag,
        )  # fmt: skip

    def _output(self, value: Value, shape: tuple[int, ...]) -> Window:
        if value.kind == VIEW or value.shape == shape:
            return self.window(value)
        item = value.dtype.itemsize
        buffer = self.buffer(value)
        if buffer.kind == kinds.OUTPUT:
            buffer.shape = shape  # the array is allocated as it is returned
        return Window(buffer, shape, tuple(s * item for s in contiguous_strides(shape)))

    def _library(self, value: Value) -> Step:
        assert value.node is not None
        buffers = [self.buffer(viewed(a)[0]) for a in value.args]
        gemm = value.detail.gemm(value, self.layouts.strides)
        return LibraryStep(gemm, [*buffers, self.of[id(value)]], value.node)

    def _call(self, value: Value) -> Step:
        node = value.node
        assert node is not None
        args = [self._argument(a) for a in value.detail]
        if node.shape is not None:
            outs: list[tuple[int | None, Buffer]] = [(None, self.of[id(value)])]
        else:
            outs = [
                (v.detail, self.of[id(v)])
                for v in self.clusters.live
                if v.kind == PICK and v.args[0] is value
            ]
        return CallStep(node, args, outs, self.expansion.calls[node])

    def _argument(self, arg: Any) -> Any:
        if not isinstance(arg, Value):
            return arg
        if arg.kind == NUMBER:
            made = np.full(arg.shape, arg.detail, arg.dtype)
            made.flags.writeable = False
            return made
        return self.window(arg)

    def _kernel(self, group: list[Cluster]) -> KernelStep:
        shared = len(group) > 1
        builder = KernelBuilder(self.clusters, self.buffer, self.layouts, self._flag)
        nests = [arranged(builder.nest(cluster, shared)) for cluster in group]
        used = builder.buffers
        dtypes = [b.dtype for b in used]
        nests = [self._split(nest, used, dtypes) for nest in nests]
        kernel = Kernel(f"kernel{len(self.made)}", dtypes, nests, builder.written)
        nodes = list(dict.fromkeys(v.node for c in group for v in c.members if v.node is not None))
        return KernelStep(kernel, used, nodes)

    def _split(self, nest: Nest, used: list[Buffer], dtypes: list[Any]) -> Nest:
        """Room for the partial results of a reduction of everything that is done in parts."""
        count, _ = nest.parts
        if count == 1:
            return nest
        changed = []
        for r in nest.reductions:
            dt = state_dtype(r.op, nest.code[r.value].dtype)
            buffer = Buffer(len(self.buffers), kinds.TEMPORARY, (count,), dt)
            self.buffers.append(buffer)
            used.append(buffer)
            dtypes.append(dt)
            changed.append(type(r)(r.op, r.value, r.access, len(used) - 1))
        return type(nest)(
            nest.extents, nest.reduced, nest.code, nest.stores, tuple(changed), nest.rows
        )

    def _lifetimes(self, outputs: Sequence[Window]) -> None:
        for i, step in enumerate(self.made):
            if not isinstance(step, CallStep):
                touched = step.buffers
            else:
                touched = [a.buffer for a in step.args if isinstance(a, Window)]
                touched += [b for _, b in step.outs]
            for buffer in touched:
                if buffer.first < 0:
                    buffer.first = i
                buffer.last = i
        for window in outputs:
            window.buffer.last = len(self.made)

    # ------------------------------------------------ nests that share rows

    def _groups(self) -> list[Any]:
        """Clusters whose outermost loop is shared, and calls, in an order in which they can run.

        A later nest may follow an earlier one in the same loop over rows if it needs of its
        results the same row only, and a row is long enough to fill vectors and short enough to
        stay in the cache.
        """
        groups: list[Any] = []
        place: dict[int, int] = {}
        for step in self.clusters.steps:
            at, joins = self._earliest(step, place, groups)
            if isinstance(step, Cluster) and joins and isinstance(groups[at], list):
                groups[at].append(step)
            else:
                at = len(groups)
                groups.append([step] if isinstance(step, Cluster) else step)
            place[step.position] = at
        return groups

    def _earliest(self, step: Any, place: dict[int, int], groups: list[Any]) -> tuple[int, bool]:
        """The last group that makes something the step needs, and whether it can join that."""
        if not isinstance(step, Cluster):
            return -1, False
        at, joins = -1, False
        needed = self.clusters.needed(step)
        for home, base, rows in [(m, b, r) for b, r in needed for m in self.clusters.makers(b)]:
            group = place[home.position]
            fits = (
                isinstance(groups[group], list)
                and base.kind in (MAP, REDUCE)
                and rows is not None
                and _same_row(base, rows)
                and _rows_of(step) is not None
                and _rows_of(step) == _rows_of(home)
            )
            if group > at:
                at, joins = group, fits
            elif group == at:
                joins = joins and fits
        if joins:
            long = any(_row_length(c) >= SHORTEST_ROW for c in groups[at])
            joins = long and all(_rows_of(c) == _rows_of(step) for c in groups[at])
        return at, joins


def _whole(value: Value) -> Value | None:
    """The computed value whose memory, as it is, an output can be; None if there is none."""
    base, rows = viewed(value)
    while base.kind == RESHAPED and rows is None:
        base = base.args[0]
    if (
        base.kind not in (MAP, REDUCE, CONTRACT, CALL, PICK, JOIN, PATCH)
        or base.size != value.size
        or value.size == 0
    ):
        return base if base is value and base.kind in (CALL, PICK) else None
    if rows is not None:
        offset, strides = strided(rows, contiguous_strides(base.shape), value.ndim)
        wanted = contiguous_strides(value.shape)
        if offset or any(
            s != w for s, w, d in zip(strides, wanted, value.shape, strict=True) if d != 1
        ):
            return None
    return base


def _rows_of(step: Any) -> int | None:
    """The extent of the outermost loop, if other nests may share it."""
    if not isinstance(step, Cluster) or not step.domain or 0 in (step.reduced or ()):
        return None
    length = _row_length(step)
    return step.domain[0] if length == 1 or SHORTEST_ROW <= length <= LONGEST_ROW else None


def _row_length(cluster: Cluster) -> int:
    return prod(cluster.domain[1:])


def _same_row(base: Value, rows: Any) -> bool:
    """Whether iteration i of the outermost loop needs row i of a value, and nothing else of it."""
    own = identity(base.shape)
    first = next((k for k, row in enumerate(own) if row[1]), None)
    if first is None or rows[first] != (0, ((0, 1),)):
        return False
    return all(loop != 0 for k, row in enumerate(rows) if k != first for loop, _ in row[1])


__all__ = ["CallStep", "KernelStep", "LibraryStep", "Steps", "Window", "fuse"]
