"""Kernels as LLVM functions: `void kernel(buffer0, ..., i64 begin, i64 end)`.

`begin` and `end` are of the outermost loop. Extents are constants. Loops test at their end. The
innermost body is straight-line code on vectors: it is written once if it is long, all its loads and
stores under a mask, else twice, with a mask for what whole vectors leave over.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from chainrule.compiler.buffers import ALIGNMENT
from chainrule.compiler.kernel import (
    BLOCK,
    ROWS,
    Access,
    Instruction,
    Kernel,
    Nest,
    Store,
    sections_of,
    store_places,
)
from chainrule.compiler.lanes import Lanes, lanes_for
from chainrule.compiler.llvm import INLINED
from chainrule.compiler.lowering import OPERATIONS, Scalars, cost_of, emit, has_rare
from chainrule.compiler.positions import Positions
from chainrule.compiler.scans import write_scan
from chainrule.compiler.staging import Staging, held_back, varying

FEW = INLINED  # functions with rare arguments in code that is written again for those
LONG = 20  # instructions of a body that is written once, its masks costing little in comparison


@contextmanager
def counted(b: Any, begin: Any, end: Any, name: str, step: int = 1) -> Iterator[Any]:
    """A loop written where a builder stands; the code inside `with` is its body."""
    before = b.block
    body = b.append_basic_block(f"{name}.body")
    done = b.append_basic_block(f"{name}.done")
    b.cbranch(b.icmp_signed("<", begin, end), body, done)
    b.position_at_end(body)
    i = b.phi(begin.type, name)
    i.add_incoming(begin, before)
    yield i
    following = b.add(i, begin.type(step), flags=["nsw", "nuw"])
    i.add_incoming(following, b.block)
    b.cbranch(b.icmp_signed("<", following, end), body, done)
    b.position_at_end(done)


class Body:
    """A function under construction.

    Attributes:
        scalars: the instructions.
        buffers: the parameters, and memory of the function's own for those that are rows.
        start: where variables are declared, at the beginning of the function.
    """

    def __init__(self, module: Any, kernel: Kernel) -> None:
        scalars = Scalars(None)
        ir = scalars.ir
        self.size = ir.IntType(64)
        types = [scalars.memory_type(dt).as_pointer() for dt in kernel.dtypes]
        signature = ir.FunctionType(ir.VoidType(), [*types, self.size, self.size])
        self.function = ir.Function(module, signature, kernel.name)
        self.function.attributes.add("nounwind")
        self.function.attributes.alignstack = 64
        for argument in self.function.args[:-2]:
            argument.add_attribute("noalias")
        self.kernel = kernel
        entry = self.function.append_basic_block("entry")
        scalars.builder = self.builder = ir.IRBuilder(entry)
        self.scalars = scalars
        self.lanes = Lanes(scalars)
        self.along = -1  # the loop of which several iterations are computed at once
        self.buffers: list[Any] = list(self.function.args[:-2])
        for parameter, count in kernel.rows.items():
            kind = scalars.memory_type(kernel.dtypes[parameter])
            self.buffers[parameter] = self.variable(kind, count)
            self.buffers[parameter].align = ALIGNMENT
        self.begin, self.end = self.function.args[-2:]
        self.flag: Any = None  # where rare arguments are noted
        self.staging: Staging | None = None  # what holds results back
        self.positions = Positions(self)
        self.running: dict[int, Any] = {}  # what a nest carries from one iteration to the next
        if kernel.ordered:
            self.begin, self.end = self.whole(0), self.whole(kernel.outermost)

    def whole(self, number: int) -> Any:
        return self.size(number)

    def variable(self, type_: Any, count: int = 1) -> Any:
        """Memory of the function's own; LLVM keeps what it can in registers."""
        with self.builder.goto_entry_block():
            return self.builder.alloca(type_, count if count > 1 else None)

    def loop(
        self, begin: Any, end: Any, name: str = "i", step: int = 1
    ) -> AbstractContextManager[Any]:
        """A loop; the code inside `with` is its body."""
        return counted(self.builder, begin, end, name, step)

    def place(self, access: Access, indices: Sequence[Any]) -> Any:
        """offset + Σ stride·index, in entries."""
        b = self.builder
        found = None
        for stride, i in zip(access.strides, indices, strict=True):
            if stride:
                term = i if stride == 1 else b.mul(i, self.whole(stride), flags=["nsw"])
                found = term if found is None else b.add(found, term, flags=["nsw"])
        offset = self.whole(access.offset)
        if found is None:
            return offset
        return b.add(found, offset, flags=["nsw"]) if access.offset else found

    def pointer(
        self, access: Access, indices: Sequence[Any], moves: Iterable[tuple[Any, int]] = ()
    ) -> Any:
        """The address of an entry, moved on by computed indices with their strides."""
        b = self.builder
        place = self.place(access, indices)
        for index, stride in moves:
            place = b.add(place, b.mul(index, self.whole(stride), flags=["nsw"]), flags=["nsw"])
        return b.gep(self.buffers[access.buffer], [place], inbounds=True)

    def carried(self, place: int, type_: Any) -> Any:
        """A variable that keeps its value from one iteration to the next, by place in the code."""
        if place not in self.running:
            self.running[place] = self.variable(type_)
        return self.running[place]

    def twice(self, nest: Nest, work: Callable[[], None]) -> None:
        """What `work` writes, which may be run again: once more for arguments that are rare.

        Vectors compute sin, cos, tan of ordinary arguments only. Where one of a block is not, the
        whole block is computed again, by functions that branch.
        """
        if not is_repeated(nest):
            work()
            return
        s, b = self.scalars, self.builder
        byte = s.ir.IntType(8)
        flag = self.variable(byte)
        b.store(byte(0), flag)
        self.flag = flag
        work()
        self.flag = None
        with b.if_then(b.icmp_unsigned("!=", b.load(flag), byte(0)), likely=False):
            s.whole = True
            work()
            s.whole = False

    def across(
        self, nest: Nest, loop: int, begin: Any, end: Any, indices: Indices, then: Then
    ) -> None:
        """All iterations of an innermost loop, many neighbouring ones at once.

        Args:
            indices: of all loops, by the index of this one.
            then: what is done with the values of the nest's code, by the index of this loop.
        """
        lanes = 1 if self.scalars.whole else lanes_for(nest, loop)
        if lanes == 1:
            with self.loop(begin, end) as i:
                then(i, self.run(nest, indices(i)))
            return
        known = self._known(nest, loop, lanes, indices(begin))

        def some(i: Any, masked: bool) -> None:
            b = self.builder
            self.lanes.mask = self.lanes.mask_of(b.sub(end, i)) if masked else None
            then(i, self.run(nest, indices(i), known))
            self.lanes.mask = None

        with self.vectors_along(loop, lanes):
            self.in_vectors(lanes, begin, end, _cost(nest) > LONG, some)

    @contextmanager
    def vectors_along(self, loop: int, lanes: int) -> Iterator[None]:
        """Code inside `with` is for several neighbouring iterations of a loop."""
        self.along = loop
        with self.scalars.in_lanes(lanes):
            yield
        self.along = -1

    def in_vectors(
        self, lanes: int, begin: Any, end: Any, once: bool, some: Callable[[Any, bool], None]
    ) -> None:
        """`some(index, whether it needs a mask)` for vectors of iterations of a loop."""
        b = self.builder
        constants = [getattr(x, "constant", None) for x in (begin, end)]
        if None not in constants and (constants[1] - constants[0]) % lanes == 0:  # type: ignore[operator]
            with self.loop(begin, end, "vector", lanes) as i:
                some(i, False)
        elif once:
            with self.loop(begin, end, "vector", lanes) as i:
                some(i, True)
        else:
            length = b.and_(b.sub(end, begin), self.whole(-lanes))
            middle = b.add(begin, length, flags=["nsw"])
            with self.loop(begin, middle, "vector", lanes) as i:
                some(i, False)
            with b.if_then(b.icmp_signed("<", middle, end)):
                some(middle, True)

    def _known(self, nest: Nest, loop: int, lanes: int, indices: Sequence[Any]) -> list[Any]:
        """What the loop does not change, computed before it, in all lanes; None for the rest."""
        values: list[Any] = []
        for k, (c, moves) in enumerate(zip(nest.code, varying(nest, loop), strict=True)):
            moves = moves or has_rare(c.op, c.dtype)
            moves = moves or any(values[a] is None for a in c.args)
            values.append(None if moves else self._value(nest, k, values, indices))
        with self.scalars.in_lanes(lanes):  # numbers are written where they are needed
            return [
                None if v is None or c.op == "number" else self.lanes.spread(v)
                for c, v in zip(nest.code, values, strict=True)
            ]

    def _value(self, nest: Nest, k: int, values: Sequence[Any], indices: Sequence[Any]) -> Any:
        """The operation at a place in the code."""
        s, c = self.scalars, nest.code[k]
        if c.op == "number":
            return s.number(c.number, c.dtype)
        if c.op == "position":
            return self.positions.checked(c, values[c.args[0]])
        if c.op == "gather":
            return self.positions.gathered(c, [values[a] for a in c.args], indices)
        if c.op == "scan":
            return write_scan(self, nest, k, [values[a] for a in c.args], indices)
        if c.access is not None:
            return self._read(c, c.access, indices)
        assert c.operand is not None
        if c.op == "astype":
            return s.cast(values[c.args[0]], c.operand, c.dtype)
        return emit(s, c.op, c.operand, [values[a] for a in c.args])

    def _read(self, c: Instruction, access: Access, indices: Sequence[Any]) -> Any:
        """An entry of a buffer, or an index."""
        s = self.scalars
        stride = access.strides[self.along] if s.lanes > 1 else 0
        if c.op == "index":
            found = self.place(access, indices)
            if s.lanes == 1:
                return found
            return self.builder.add(self.lanes.spread(found), self.lanes.steps(stride))
        pointer = self.pointer(access, indices)
        return self.lanes.load(pointer, stride, c.dtype) if stride else s.load(pointer, c.dtype)

    def write(self, value: Any, access: Access, indices: Sequence[Any]) -> None:
        """Store an entry, or several neighbouring ones."""
        self.put(value, Store(0, access), self.pointer(access, indices))

    def put(self, value: Any, store: Store, pointer: Any) -> None:
        """Store an entry, or several neighbouring ones, at an address, or add them there."""
        s, access = self.scalars, store.access
        dtype = self.kernel.dtypes[access.buffer]
        if s.lanes > 1:
            stride = access.strides[self.along]
            if store.mode == "add":
                before = self.lanes.load(pointer, stride, dtype)
                value = OPERATIONS["add"](s, dtype, before, value)
            self.lanes.store(value, pointer, stride, dtype)
        else:
            if store.mode == "add":
                value = OPERATIONS["add"](s, dtype, s.load(pointer, dtype), value)
            s.store(value, pointer, dtype)

    def run(
        self, nest: Nest, indices: Sequence[Any], known: Sequence[Any] | None = None
    ) -> list[Any]:
        """The operations of a nest for one iteration, and its stores; the values.

        Args:
            known: values that are there already, by their place; None for those that are not.
        """
        s = self.scalars
        s.rare.clear()
        s.checked = _rare_functions(nest) > FEW
        values: list[Any] = []
        places = store_places(nest)
        for k in range(len(nest.code)):
            found = None if known is None else known[k]
            values.append(self._value(nest, k, values, indices) if found is None else found)
            for store in places.get(k, ()):
                if self.staging is None or store not in self.staging.stores:
                    found = [values[a] for a in store.args]
                    moves = zip(self.positions.single(found), store.strides, strict=True)
                    self.put(values[store.value], store, self.pointer(store.access, indices, moves))
        if self.flag is not None and s.rare:
            self._note(s.rare)
        return values

    def _note(self, rare: list[Any]) -> None:
        """Set the flag if an argument was rare."""
        b = self.builder
        found = functools.reduce(b.or_, rare)
        if self.scalars.lanes > 1:
            found = self.lanes.any(found)
        b.store(b.or_(b.load(self.flag), b.zext(found, self.scalars.ir.IntType(8))), self.flag)


def _rare_functions(nest: Nest) -> int:
    return sum(has_rare(c.op, c.dtype) for c in nest.code)


def is_repeated(nest: Nest) -> bool:
    """Whether blocks with rare arguments are computed again.

    Not, if so many functions have rare arguments that they are called anyway: they look themselves.
    """
    return 0 < _rare_functions(nest) <= FEW


Indices = Callable[[Any], Sequence[Any]]
Then = Callable[[Any, list[Any]], None]


def _cost(nest: Nest) -> int:
    return sum(cost_of(c.op, c.dtype) for c in nest.code)


def write_kernel(module: Any, kernel: Kernel) -> Any:
    """The function of a kernel, added to a module."""
    from chainrule.compiler.reduce import Reducing

    body = Body(module, kernel)
    if any(nest.over_rows for nest in kernel.nests):
        _sections(body, kernel)
    elif len(kernel.nests) > 1:
        with body.loop(body.begin, body.end, "row") as row:
            for nest in kernel.nests:
                _in_row(body, nest, row)
    else:
        nest = kernel.nests[0]
        if nest.reductions:
            Reducing(body, nest).whole()
        else:
            _elementwise(body, nest, [])
    body.positions.finish()
    return body.function


def _in_row(body: Body, nest: Nest, row: Any) -> None:
    """A nest that shares the loop over rows, for one row."""
    from chainrule.compiler.reduce import Reducing

    if nest.reductions:
        Reducing(body, nest).inside([row])
    else:
        _elementwise(body, nest, [row])


def _sections(body: Body, kernel: Kernel) -> None:
    """Nests that share rows, of which some reduce over the rows; begin and end are of sections."""
    from chainrule.compiler.rowsums import RowSums

    b = body.builder
    rows = kernel.nests[0].extents[0]
    _, length = sections_of(kernel.nests)
    sums = {id(nest): RowSums(body, nest) for nest in kernel.nests if nest.over_rows}

    def least(a: Any, limit: Any) -> Any:
        return b.select(b.icmp_signed("<", a, limit), a, limit)

    with body.loop(body.begin, body.end, "section") as section:
        first = b.mul(section, body.whole(length), flags=["nsw"])
        last = least(b.add(first, body.whole(length), flags=["nsw"]), body.whole(rows))
        for made in sums.values():
            made.begin()
        with body.loop(first, last, "block", ROWS) as start:
            for made in sums.values():
                made.begin_block()
            stop = least(b.add(start, body.whole(ROWS), flags=["nsw"]), last)
            with body.loop(start, stop, "row") as row:
                for nest in kernel.nests:
                    if nest.over_rows:
                        sums[id(nest)].add(row)
                    else:
                        _in_row(body, nest, row)
            for made in sums.values():
                made.end_block()
        for made in sums.values():
            made.end(section)


def _elementwise(body: Body, nest: Nest, indices: list[Any]) -> None:
    """The loops within those whose indices are given, and the code in them."""
    depth, loops = len(indices), len(nest.extents)
    if depth == loops:
        body.scalars.whole = True  # one entry: no vector to do without rare arguments
        body.run(nest, indices)
        body.scalars.whole = False
        return
    first = not indices
    begin = body.begin if first else body.whole(0)
    end = body.end if first else body.whole(nest.extents[depth])
    if depth == loops - 1:
        _innermost(body, nest, indices, begin, end)
        return
    with body.loop(begin, end, f"i{depth}") as i:
        _elementwise(body, nest, [*indices, i])


def _innermost(body: Body, nest: Nest, indices: list[Any], begin: Any, end: Any) -> None:
    """The innermost loop; in blocks, if it may have to be repeated, or results are held back."""
    staging = body.staging = Staging(body, nest) if held_back(nest) else None

    def then(i: Any, values: list[Any]) -> None:
        if staging is not None:
            staging.hold(values, i)

    def work(start: Any, stop: Any) -> None:
        body.across(nest, len(indices), start, stop, lambda i: [*indices, i], then)

    if staging is None and not is_repeated(nest):
        work(begin, end)
        return
    b = body.builder
    size = BLOCK if staging is None else staging.block
    length = b.add(b.sub(end, begin), body.whole(size - 1))
    with body.loop(body.whole(0), b.udiv(length, body.whole(size)), "block") as block:
        start = b.add(begin, b.mul(block, body.whole(size), flags=["nsw"]), flags=["nsw"])
        stop = b.add(start, body.whole(size), flags=["nsw"])
        stop = b.select(b.icmp_signed("<", stop, end), stop, end)
        if staging is not None:
            staging.start = start
        body.twice(nest, lambda: work(start, stop))
        if staging is not None:
            staging.release(indices, stop)
    body.staging = None
