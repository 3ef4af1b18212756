"""What a graph costs: arithmetic, memory traffic, memory, and what its gradient adds.

Everything is counted from shapes; nothing is run.  Views (reshape, slices, transposes) share the
memory of what they view: they cost nothing and keep that memory alive.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

from chainrule.core.dtypes import is_inexact
from chainrule.core.node import Node
from chainrule.core.primitive import PICK
from chainrule.graph import extend, walk
from chainrule.graph.flops import COUNTS, Work, work
from chainrule.graph.ir import Graph
from chainrule.graph.run import last_uses
from chainrule.graph.tables import Shown, Table, amount, grouped
from chainrule.transforms.tracing import CONSTANT, INPUT

Key = tuple[Node, int]  # a buffer: the node that made it, and which of its results it is
_FREE = (INPUT, CONSTANT, PICK)
# What reads no more of its first argument than it returns.
_GATHERS = {"getitem", "embedding", "select_along", "diagonal", "sort_along", "topk_along"}
_SAME = {"detach", "alias", "scaled_gradient", "within"}  # return what they are given


class Line(NamedTuple):
    """The cost of all operations of one primitive.

    Attributes:
        name: the primitive.
        operations: how many there are.
        flops: operations on real numbers.
        transcendental: evaluations of exp, log, sin, ...
        read: bytes of arguments.
        written: bytes of results.
    """

    name: str
    operations: int
    flops: int
    transcendental: int
    read: int
    written: int


class Buffers:
    """Which memory the values of a graph live in."""

    def __init__(self, graph: Graph) -> None:
        self.of: dict[Node, tuple[Key, ...]] = {}
        self.bytes: dict[Key, int] = {}
        self.outside: set[Key] = set()  # of inputs and constants: not the run's own
        self._straight: set[Node] = set()  # nodes whose entries lie in memory in order
        for node in graph.nodes:
            self._place(node)

    def _place(self, node: Node) -> None:
        source = node.parents[0] if node.parents else None
        if node.prim is PICK:
            index = node.params["index"]  # type: ignore[index]
            self.of[node] = tuple(k for k in self.of[source] if k[1] == index)  # type: ignore[index]
            self._straight.add(node)
            return
        if source is not None and self._is_view(node, source):
            self.of[node] = self.of[source]
            if _keeps_order(node, source, source in self._straight):
                self._straight.add(node)
            return
        outs = node.out if type(node.out) is tuple else (node.out,)
        self.of[node] = tuple((node, i) for i, o in enumerate(outs) if o is not None)
        for key in self.of[node]:
            out = outs[key[1]]
            self.bytes[key] = math.prod(out.shape) * out.dtype.itemsize
        if node.prim in (INPUT, CONSTANT):
            self.outside.update(self.of[node])
        full = [p for p in node.parents if p is not None and p.shape == node.shape]
        # NumPy gives the result of an elementwise operation the layout of its arguments.
        if node.prim.partials is None or not full or any(p in self._straight for p in full):
            self._straight.add(node)

    def _is_view(self, node: Node, source: Node) -> bool:
        name = node.prim.name
        if name in _SAME:
            return True
        if not node.prim.view or len(node.args) > 1:  # indices in arrays make a copy
            return False
        return name != "reshape" or source in self._straight

    def nbytes(self, node: Node) -> int:
        """The bytes of a value; of one number spread over a shape, those that there are."""
        if node.shape is None:
            return sum(self.bytes[k] for k in self.of[node])
        nominal = math.prod(node.shape) * node.dtype.itemsize
        return min(nominal, sum(self.bytes[k] for k in self.of[node]))

    def is_new(self, node: Node) -> bool:
        """Whether a node makes memory of its own."""
        return any(k[0] is node for k in self.of[node])


def _keeps_order(node: Node, source: Node, straight: bool) -> bool:
    """Whether the entries of a view lie in memory in order, one after the other."""
    name, params = node.prim.name, node.params or {}
    if name == "reshape":
        return True
    if not straight or node.size != source.size:
        return False
    if name == "permute_dims":
        axes = [a for a in params["axes"] if source.shape[a] != 1]  # type: ignore[index]
        return axes == sorted(axes)
    return name in ("expand_dims", "squeeze", "broadcast_to", "getitem", *_SAME) and (
        node.dtype == source.dtype
    )


class Cost(Shown):
    """What a graph costs; see `Graph.cost`.

    Attributes:
        lines: the cost by primitive, dearest first.
        operations: how many operations a run performs.
        flops: how many operations on real numbers, `graph.flops` says which count.
        transcendental: how many evaluations of exp, log, sin, ...
        read, written: bytes of the arguments and results of all operations.
        peak: bytes of results alive at once during a run, inputs and constants not counted, and
            not what operations use inside.
        kept: bytes that the tape keeps for a backward pass, inputs and constants not counted.
        kept_inputs: bytes of inputs that the tape keeps.
        uncounted: primitives of the user's, whose arithmetic is not known.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        buffers = Buffers(graph)
        totals: dict[str, list[int]] = {}
        self.uncounted: tuple[str, ...] = ()
        for node in graph.nodes:
            if node.prim in _FREE:
                continue
            line = totals.setdefault(node.prim.name, [0] * 5)
            done = Work()
            if node.prim.name in COUNTS:
                done = work(node)
            elif node.prim.name not in self.uncounted:
                self.uncounted += (node.prim.name,)
            moved = traffic(node, buffers)
            for i, n in enumerate((1, done.flops, done.transcendental, *moved)):
                line[i] += n
        lines = [Line(name, *t) for name, t in totals.items()]
        self.lines = sorted(lines, key=_dearness, reverse=True)
        self.operations = sum(line.operations for line in lines)
        self.flops = sum(line.flops for line in lines)
        self.transcendental = sum(line.transcendental for line in lines)
        self.read = sum(line.read for line in lines)
        self.written = sum(line.written for line in lines)
        self.peak = peak(graph, buffers)
        self.kept, self.kept_inputs = kept(graph, buffers)

    @property
    def moved(self) -> int:
        """Bytes read and written by all operations."""
        return self.read + self.written

    @property
    def weighted(self) -> int:
        """The arithmetic in one number: a transcendental function counts as 8 operations."""
        return Work(self.flops, self.transcendental).weighted

    @cached_property
    def gradient(self) -> Cost | None:
        """The cost of value and gradient together; None where no input has a derivative.

        It is that of the graph extended by the adjoints, as `Graph.value_and_grad` and `Graph.vjp`
        make it, before any optimisation.

        Raises:
            NotImplementedError: if an operation has no derivative rule.
        """
        made = with_gradient(self.graph)
        return None if made is None else Cost(made)

    @property
    def ratio(self) -> float | None:
        """How many times the arithmetic of the value value and gradient take together."""
        if self.gradient is None:
            return None
        return self.gradient.weighted / self.weighted if self.weighted else math.nan

    def table(self) -> Table:
        header = ["", "operations", "flops", "exp, log, …", "read", "written"]
        body: list[list[str] | None] = [_row(line.name, line) for line in self.lines]
        body += [None, _row("value", self)]
        missing = ""
        try:
            found = self.gradient
        except NotImplementedError as error:
            found, missing = None, f"no gradient: {error}"
        if found is not None:
            body.append(_row("value and gradient", found))
            if self.operations and self.weighted and self.moved:
                body.append(_ratios(self, found))
        notes = [
            f"memory of a run: {amount(self.peak)} at the peak; kept for backward: "
            f"{amount(self.kept)}"
            + (f" and {amount(self.kept_inputs)} of inputs" if self.kept_inputs else "")
        ]
        if found is not None:
            notes.append(f"memory of value and gradient: {amount(found.peak)} at the peak")
        if missing:
            notes.append(missing)
        if self.uncounted:
            notes.append(f"arithmetic not known of: {', '.join(self.uncounted)}")
        return Table(f"cost of {self.graph.title}", header, body, notes)


def _dearness(line: Line) -> tuple[int, int]:
    return Work(line.flops, line.transcendental).weighted, line.read + line.written


def _row(name: str, x: Line | Cost) -> list[str]:
    counts = [x.operations, x.flops, x.transcendental]
    return [name, *map(grouped, counts), amount(x.read), amount(x.written)]


def _ratios(value: Cost, both: Cost) -> list[str]:
    pairs = [
        (both.operations, value.operations), (both.flops, value.flops),
        (both.transcendental, value.transcendental), (both.read, value.read),
        (both.written, value.written),
    ]  # fmt: skip
    return ["ratio", *(f"{a / b:.2f}" if b else "" for a, b in pairs)]


def traffic(node: Node, buffers: Buffers) -> tuple[int, int]:
    """Bytes that an operation reads and writes; a view does neither."""
    if not buffers.is_new(node):
        return 0, 0
    read = 0
    if node.prim.side_effects:  # what the user's function keeps are no arguments
        return sum(buffers.nbytes(p) for p in node.parents if p is not None), buffers.nbytes(node)
    for i, (a, p) in enumerate(zip(node.args, node.parents, strict=True)):
        size = getattr(a, "nbytes", 0) if p is None else buffers.nbytes(p)
        if i == 0 and node.prim.name in _GATHERS:
            size = min(size, node.size * node.dtype.itemsize)
        read += size
    return read, buffers.nbytes(node)


def peak(graph: Graph, buffers: Buffers) -> int:
    """The largest number of bytes alive at once, in the order and with the lifetimes of a run."""
    holders: dict[Key, int] = {}
    alive = most = 0
    ending = last_uses(graph)
    for node in graph.nodes:
        for key in buffers.of[node]:
            if key in buffers.outside:
                continue
            if key not in holders:
                alive += buffers.bytes[key]
            holders[key] = holders.get(key, 0) + 1
        most = max(most, alive)
        for done in ending.get(node, ()):
            for key in buffers.of[done]:
                if key in holders:
                    holders[key] -= 1
                    if not holders[key]:
                        alive -= buffers.bytes[key]
    return most


def kept(graph: Graph, buffers: Buffers) -> tuple[int, int]:
    """Bytes that the tape keeps: of results, and of inputs."""
    wrt = [n for n in graph.inputs if is_inexact(n.dtype)]
    order, live = walk.between(graph, wrt)
    found: dict[Key, int] = {}
    for node in order:
        for key in kept_by(node, live, buffers):
            found[key] = buffers.bytes[key]
    inputs = {k for n in graph.inputs for k in buffers.of[n]}
    own = sum(b for k, b in found.items() if k not in buffers.outside)
    return own, sum(b for k, b in found.items() if k in inputs)


def kept_by(node: Node, live: set[Node], buffers: Buffers) -> Iterator[Key]:
    """The memory that one node keeps: what its rules name."""
    if node.prim in _FREE:
        return
    args, out = node.prim.kept(tuple([p in live for p in node.parents]))
    for keep, p in zip(args, node.parents, strict=True):
        if keep and p is not None:
            yield from buffers.of[p]
    if out:
        yield from buffers.of[node]


def with_gradient(graph: Graph) -> Graph | None:
    """The graph with the adjoints of its inputs as further outputs; None where there are none."""
    wrt = [n for n in graph.inputs if is_inexact(n.dtype)]
    if not wrt or not any(is_inexact(n.dtype) for n in graph.outputs):
        return None
    one = len(graph.outputs) == 1 and graph.outputs[0].shape == ()
    if one and graph.outputs[0].dtype.kind == "f":
        made = extend.grad(graph, wrt)
    else:
        made = extend.vjp(graph, wrt)
    return Graph(made.inputs, [*graph.outputs, *made.outputs], title=made.title, roles=made.roles,
                 captured=made.captured, labels=made.labels)  # fmt: skip


__all__ = ["Buffers", "Cost", "Line", "kept", "peak", "traffic", "with_gradient"]
