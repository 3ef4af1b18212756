"""Clusters as nests: every value as code on scalars, every index map as an access to a buffer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from chainrule.compiler.buffers import Buffer
from chainrule.compiler.clusters import Cluster, Clusters, reduced_loops
from chainrule.compiler.kernel import Access, Instruction, Nest, Reduction, Store
from chainrule.compiler.layouts import Layouts
from chainrule.compiler.maps import (
    Map,
    Row,
    broadcast,
    compose,
    contiguous_strides,
    identity,
    strided,
)
from chainrule.compiler.values import MAP, NUMBER, REDUCE, Value, viewed


class KernelBuilder:
    """The nests of one kernel.

    Attributes:
        buffers: what its parameters are.
        written: the parameters that are written.
    """

    def __init__(
        self,
        clusters: Clusters,
        buffer_of: Callable[[Value], Buffer],
        layouts: Layouts,
        flag: Callable[[], Buffer],
    ) -> None:
        self.clusters = clusters
        self.buffer_of = buffer_of
        self.layouts = layouts
        self.flag = flag
        self.buffers: list[Buffer] = []
        self.written: set[int] = set()
        self._parameter: dict[int, int] = {}

    def parameter(self, value: Value) -> int:
        """The parameter that is the memory of a value."""
        return self._of_buffer(self.buffer_of(value))

    def flag_parameter(self) -> int:
        """The parameter that takes note of an index out of bounds."""
        found = self._of_buffer(self.flag())
        self.written.add(found)
        return found

    def _of_buffer(self, buffer: Buffer) -> int:
        found = self._parameter.get(buffer.index)
        if found is None:
            found = self._parameter[buffer.index] = len(self.buffers)
            self.buffers.append(buffer)
        return found

    def nest(self, cluster: Cluster, rows: bool) -> Nest:
        """The loops of a cluster; `rows`: other nests share the outermost one."""
        return _NestBuilder(self, cluster).nest(rows)


class _NestBuilder:
    """Code for the members of one cluster."""

    def __init__(self, kernel: KernelBuilder, cluster: Cluster) -> None:
        self.kernel = kernel
        self.cluster = cluster
        self.code: list[Instruction] = []
        self.place: dict[Any, int] = {}

    def nest(self, rows: bool) -> Nest:
        clusters, domain = self.kernel.clusters, self.cluster.domain
        stores, reductions = [], []
        for value in self.cluster.members:
            if value.kind == REDUCE:
                done = self.read(value.args[0], identity(value.args[0].shape))
                reductions.append(Reduction(value.op, done, self._result(value)))
            elif value.op == "place":
                stores.append(self._placed(value))
            else:
                done = self.read(value, identity(value.shape))
                if id(value) in clusters.stored:
                    stores.append(Store(done, self._result(value)))
        gone = self.cluster.reduced or frozenset()
        return Nest(
            domain, tuple(k in gone for k in range(len(domain))), tuple(self.code),
            tuple(stores), tuple(reductions), rows,
        )  # fmt: skip

    def _placed(self, value: Value) -> Store:
        """The store that writes a part into memory, in a window or at indices."""
        mode, places = value.detail
        part, *rest = value.args
        loops = identity(value.shape)
        done = self.read(part, compose(broadcast(part.shape, value.shape), loops))
        parameter = self.kernel.parameter(value)
        self.kernel.written.add(parameter)
        strides = contiguous_strides(self.kernel.buffer_of(value).shape)
        access, args, steps = self._at(parameter, 0, places, strides, value, rest[1:], loops)
        return Store(done, access, mode, args, steps)

    def _at(
        self, parameter: int, offset: int, places: Any, strides: Sequence[int], value: Value,
        arrays: Sequence[Value], rows: Map,
    ) -> tuple[Access, tuple[int, ...], tuple[int, ...]]:  # fmt: skip
        """An entry at places that are affine or indices: access, the indices, their strides."""
        affine = [(p, s) for p, s in zip(places, strides, strict=True) if type(p) is tuple]
        by_loops = compose(tuple([p for p, _ in affine]), rows)
        start, steps = strided(by_loops, [s for _, s in affine], len(self.cluster.domain))
        moves = [0] * len(arrays)
        for p, s in zip(places, strides, strict=True):
            if type(p) is int:
                moves[p] += s
        args = [self.read(a, compose(broadcast(a.shape, value.shape), rows)) for a in arrays]
        return Access(parameter, offset + start, steps), tuple(args), tuple(moves)

    def _gathered(self, value: Value, rows: Map) -> Instruction:
        """A load at indices from a value in memory, which may be a view of it."""
        x, *arrays = value.args
        base, inner = viewed(x)
        offset, strides = 0, self.kernel.layouts.strides(base)
        if inner is not None:
            offset, strides = strided(inner, strides, x.ndim)
        access, args, moves = self._at(
            self.kernel.parameter(base), offset, value.detail, strides, value, arrays, rows
        )
        return Instruction("gather", value.dtype, args, access=access, strides=moves)

    def _result(self, value: Value) -> Access:
        """Where a result of this cluster is written."""
        parameter = self.kernel.parameter(value)
        self.kernel.written.add(parameter)
        if value.kind == REDUCE:
            gone = reduced_loops(value)
            kept = [k for k in range(len(self.cluster.domain)) if k not in gone]
            strides = [0] * len(self.cluster.domain)
            extents = tuple(self.cluster.domain[k] for k in kept)
            for k, stride in zip(kept, contiguous_strides(extents), strict=True):
                strides[k] = stride
            return Access(parameter, 0, tuple(strides))
        return self._access(parameter, value, identity(value.shape))

    def _access(self, parameter: int, value: Value, rows: Map) -> Access:
        memory = self.kernel.layouts.strides(value)
        offset, strides = strided(rows, memory, len(self.cluster.domain))
        return Access(parameter, offset, strides)

    def read(self, value: Value, rows: Map) -> int:
        """The place in the code of an entry of a value."""
        base, inner = viewed(value)
        if inner is not None:
            rows = compose(inner, rows)
        key = (id(base), rows if base.kind != NUMBER else None)
        found = self.place.get(key)
        if found is None:
            self.code.append(self._instruction(base, rows))
            found = self.place[key] = len(self.code) - 1
        return found

    def _instruction(self, value: Value, rows: Map) -> Instruction:
        if value.kind == NUMBER:
            return Instruction("number", value.dtype, number=value.detail)
        clusters = self.kernel.clusters
        here = clusters.home.get(id(value)) is self.cluster and rows == identity(value.shape)
        if value.kind != MAP or (clusters.is_readable(value) and not here):
            access = self._access(self.kernel.parameter(value), value, rows)
            return Instruction("load", value.dtype, access=access)
        if value.op == "scan":
            op, axis = value.detail
            args = tuple([self.read(a, rows) for a in value.args])
            along = _by_loops(rows[axis], len(self.cluster.domain))
            return Instruction("scan", value.dtype, args, value.dtype, along, op)
        if value.op == "index":
            along = _by_loops(rows[value.detail], len(self.cluster.domain))
            return Instruction("index", value.dtype, access=along)
        if value.op == "gather":
            return self._gathered(value, rows)
        places = [self.read(a, compose(broadcast(a.shape, value.shape), rows)) for a in value.args]
        if value.op == "position":
            still = Access(self.kernel.flag_parameter(), 0, (0,) * len(self.cluster.domain))
            return Instruction(
                value.op, value.dtype, tuple(places), value.dtype, still, value.detail
            )
        return Instruction(value.op, value.dtype, tuple(places), value.args[-1].dtype)


def _by_loops(row: Row, loops: int) -> Access:
    """The index along an axis, as a function of the loops."""
    offset, terms = row
    strides = [0] * loops
    for loop, step in terms:
        strides[loop] += step
    return Access(-1, offset, tuple(strides))
