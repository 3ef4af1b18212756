"""From a graph to the steps of a program: kernels, and calls of NumPy for the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np

from chainrule.compiler import buffers as kinds
from chainrule.compiler.blocking import Part, chosen
from chainrule.compiler.buffers import Buffer, arrange
from chainrule.compiler.clusters import Call, Cluster, Clusters
from chainrule.compiler.columns import Columns
from chainrule.compiler.expand import Expansion
from chainrule.compiler.gemm import Gemm
from chainrule.compiler.groups import Groups
from chainrule.compiler.inplace import overwrite
from chainrule.compiler.kernel import Kernel, Nest, arranged, permuted, sections_of
from chainrule.compiler.layouts import Layouts
from chainrule.compiler.maps import contiguous_strides, strided
from chainrule.compiler.nests import KernelBuilder
from chainrule.compiler.reduce import state_dtype
from chainrule.compiler.rows import keep_rows
from chainrule.compiler.values import (
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
from chainrule.core.node import Node
from chainrule.graph.ir import Graph


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

    @property
    def trip(self) -> int:
        """Of the loop that threads may share."""
        return self.kernel.trip


@dataclass
class LibraryStep:
    """Call BLAS: `buffers` are of the operands and of the result."""

    gemm: Gemm
    buffers: list[Buffer]
    node: Node


@dataclass
class TileStep:
    """One of the two steps of a product in tiles.

    `buffers` are of A and its copies, or of the copies, B and C.
    """

    part: Part
    buffers: list[Buffer]
    node: Node

    @property
    def trip(self) -> int:
        """Of the loop that threads may share."""
        return self.part.trip


@dataclass
class CallStep:
    """Evaluate a primitive: `args` are windows and constants; `outs` says what becomes of its
    results, by their place among them (None: it has one)."""

    node: Node
    args: list[Any]
    outs: list[tuple[int | None, Buffer]]
    reason: str


Step = KernelStep | LibraryStep | TileStep | CallStep


@dataclass
class Steps:
    """What a program does, in order.

    Attributes:
        steps: kernels, matrix products, calls of NumPy.
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
        self.groups = Groups(self.clusters)
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
            is_input = value.op == "input"
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
        for group in self.groups.steps:
            if isinstance(group, Call):
                if group.value.kind == CONTRACT:
                    self.made.extend(self._product(group.value))
                else:
                    self.made.append(self._call(group.value))
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

    def _product(self, value: Value) -> list[Step]:
        """A product of matrices: by BLAS, or in tiles."""
        node, out = value.node, self.of[id(value)]
        assert node is not None
        a, b = (self.buffer(viewed(x)[0]) for x in value.args)
        gemm = value.detail.gemm(value, self.layouts.strides)
        found = chosen(gemm, value.dtype)
        if found is None:
            return [LibraryStep(gemm, [a, b, out], node)]
        if found.swapped:
            a, b = b, a
        copied = Buffer(len(self.buffers), kinds.TEMPORARY, (found.copied,), value.dtype)
        self.buffers.append(copied)
        return [
            TileStep(Part(found, True), [a, copied], node),
            TileStep(Part(found, False), [copied, b, out], node),
        ]

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
        nests = [arranged(self._nest(builder, cluster, shared)) for cluster in group]
        used = builder.buffers
        dtypes = [b.dtype for b in used]
        count, _ = sections_of(nests) if shared else nests[0].parts
        nests = [self._split(nest, count, used, dtypes) for nest in nests]
        kernel = Kernel(f"kernel{len(self.made)}", dtypes, nests, builder.written)
        nodes = list(dict.fromkeys(v.node for c in group for v in c.members if v.node is not None))
        return KernelStep(kernel, used, nodes)

    def _nest(self, builder: KernelBuilder, cluster: Cluster, shared: bool) -> Nest:
        """The nest of a cluster, the loop that it shares outermost."""
        nest = builder.nest(cluster, shared)
        first = self.groups.row_loop.get(id(cluster), 0)
        if not first:
            return nest
        return permuted(nest, [first, *[k for k in range(len(nest.extents)) if k != first]])

    def _split(self, nest: Nest, count: int, used: list[Buffer], dtypes: list[Any]) -> Nest:
        """Room for the partial results of reductions over the outermost loop, which has parts."""
        if count == 1 or not nest.reductions or not nest.reduced[0]:
            return nest
        kept = [d for d, gone in zip(nest.extents, nest.reduced, strict=True) if not gone]
        changed = []
        for r in nest.reductions:
            dt = state_dtype(r.op, nest.code[r.value].dtype)
            shape = (count, prod(kept))
            buffer = Buffer(len(self.buffers), kinds.TEMPORARY, shape, dt)
            self.buffers.append(buffer)
            used.append(buffer)
            dtypes.append(dt)
            changed.append(replace(r, partial=len(used) - 1))
        return replace(nest, reductions=tuple(changed))

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


__all__ = ["CallStep", "KernelStep", "LibraryStep", "Steps", "TileStep", "Window", "fuse"]
