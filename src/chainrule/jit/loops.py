"""Kernels as LLVM functions: `void kernel(buffer0, ..., i64 begin, i64 end)`.

`begin` and `end` are of the outermost loop. Extents are constants. Loops test at their end, and the
innermost body is straight-line code: what LLVM's loop vectoriser wants.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from chainrule.jit.kernel import BLOCK, Access, Kernel, Nest, Store
from chainrule.jit.lowering import OPERATIONS, Scalars, emit, has_rare
from chainrule.jit.scans import write_scan
from chainrule.jit.staging import Staging, held_back


@contextmanager
def counted(b: Any, begin: Any, end: Any, name: str) -> Iterator[Any]:
    """A loop written where a builder stands; the code inside `with` is its body."""
    before = b.block
    body = b.append_basic_block(f"{name}.body")
    done = b.append_basic_block(f"{name}.done")
    b.cbranch(b.icmp_signed("<", begin, end), body, done)
    b.position_at_end(body)
    i = b.phi(begin.type, name)
    i.add_incoming(begin, before)
    yield i
    following = b.add(i, begin.type(1), flags=["nsw", "nuw"])
    i.add_incoming(following, b.block)
    b.cbranch(b.icmp_signed("<", following, end), body, done)
    b.position_at_end(done)


class Body:
    """A function under construction.

    Attributes:
        scalars: the instructions.
        buffers: the parameters.
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
        for argument in self.function.args[:-2]:
            argument.add_attribute("noalias")
        self.kernel = kernel
        entry = self.function.append_basic_block("entry")
        scalars.builder = self.builder = ir.IRBuilder(entry)
        self.scalars = scalars
        self.buffers = self.function.args[:-2]
        self.begin, self.end = self.function.args[-2:]
        self.flag: Any = None  # where rare arguments are noted
        self.outside: dict[int, Any] = {}  # where an index out of bounds is, by its parameter
        self.running: dict[int, Any] = {}  # what a nest carries from one iteration to the next
        if kernel.ordered:
            self.begin, self.end = self.whole(0), self.whole(kernel.outermost)

    def whole(self, number: int) -> Any:
        return self.size(number)

    def variable(self, type_: Any, count: int = 1) -> Any:
        """Memory of the function's own; LLVM keeps what it can in registers."""
        with self.builder.goto_entry_block():
            return self.builder.alloca(type_, count if count > 1 else None)

    def loop(self, begin: Any, end: Any, name: str = "i") -> AbstractContextManager[Any]:
        """A loop; the code inside `with` is its body."""
        return counted(self.builder, begin, end, name)

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

    def position(self, index: Any, bounds: tuple[int, int, int], parameter: int) -> Any:
        """An index in low..high-1, with `added` if it is negative; 0, with a note, if it is not."""
        b = self.builder
        low, high, added = bounds
        found = index
        if added:
            wrapped = b.add(index, self.whole(added))
            found = b.select(b.icmp_signed("<", index, self.whole(0)), wrapped, index)
        shifted = b.sub(index, self.whole(low))
        inside = b.icmp_unsigned("<", shifted, self.whole(high - low))
        if parameter not in self.outside:
            note = self.outside[parameter] = self.variable(self.size)
            with b.goto_entry_block():
                b.store(self.whole(0), note)
        note = self.outside[parameter]
        b.store(b.or_(b.load(note), b.zext(b.not_(inside), self.size)), note)
        return b.select(inside, found, self.whole(0))

    def carried(self, place: int, type_: Any) -> Any:
        """A variable that keeps its value from one iteration to the next, by place in the code."""
        if place not in self.running:
            self.running[place] = self.variable(type_)
        return self.running[place]

    def finish(self) -> None:
        """The end of the function: an index out of bounds is told."""
        b = self.builder
        for parameter, note in self.outside.items():
            found = b.load(note)
            with b.if_then(b.icmp_unsigned("!=", found, self.whole(0)), likely=False):
                b.store(found, self.buffers[parameter])
        b.ret_void()

    def twice(self, nest: Nest, work: Callable[[], None]) -> None:
        """What `work` writes, which may be run again: once more for arguments that are rare.

        Vectors compute sin, cos, tan of ordinary arguments only. Where one of a block is not, the
        whole block is computed again, by functions that branch.
        """
        if not any(has_rare(c.op, c.dtype) for c in nest.code):
            work()
            return
        s, b = self.scalars, self.builder
        flag = self.variable(s.ir.IntType(8))
        b.store(s.ir.IntType(8)(0), flag)
        self.flag = flag
        work()
        self.flag = None
        with b.if_then(b.icmp_unsigned("!=", b.load(flag), s.ir.IntType(8)(0)), likely=False):
            s.whole = True
            work()
            s.whole = False

    def write(self, store: Store, value: Any, moves: Sequence[Any], indices: Sequence[Any]) -> None:
        """Store the value of one iteration, moved by computed indices."""
        s = self.scalars
        dtype = self.kernel.dtypes[store.access.buffer]
        pointer = self.pointer(store.access, indices, zip(moves, store.strides, strict=True))
        if store.mode == "add":
            value = OPERATIONS["add"](s, dtype, s.load(pointer, dtype), value)
        s.store(value, pointer, dtype)

    def run(self, nest: Nest, indices: Sequence[Any], staging: Staging | None = None) -> list[Any]:
        """The operations of a nest for one iteration, and its stores; the values."""
        s = self.scalars
        s.rare.clear()
        values: list[Any] = []
        for c in nest.code:
            if c.op == "number":
                values.append(s.number(c.number, c.dtype))
            elif c.op == "load":
                assert c.access is not None
                values.append(s.load(self.pointer(c.access, indices), c.dtype))
            elif c.op == "gather":
                assert c.access is not None
                moves = [(values[a], m) for a, m in zip(c.args, c.strides, strict=True)]
                values.append(s.load(self.pointer(c.access, indices, moves), c.dtype))
            elif c.op == "scan":
                values.append(write_scan(self, nest, len(values), c, values, indices))
            elif c.op == "position":
                assert c.access is not None
                values.append(self.position(values[c.args[0]], c.number, c.access.buffer))
            elif c.op == "index":
                assert c.access is not None
                values.append(self.place(c.access, indices))
            elif c.op == "astype":
                assert c.operand is not None
                values.append(s.cast(values[c.args[0]], c.operand, c.dtype))
            else:
                assert c.operand is not None
                values.append(emit(s, c.op, c.operand, [values[a] for a in c.args]))
        for store in nest.stores:
            if staging is None or store not in staging.stores:
                self.write(store, values[store.value], [values[a] for a in store.args], indices)
        if staging is not None:
            staging.hold(values, indices[-1])
        if self.flag is not None:
            b, byte = self.builder, s.ir.IntType(8)
            for found in s.rare:
                b.store(b.or_(b.load(self.flag), b.zext(found, byte)), self.flag)
        return values


def write_kernel(module: Any, kernel: Kernel) -> Any:
    """The function of a kernel, added to a module."""
    from chainrule.jit.reduce import Reducing

    body = Body(module, kernel)
    shared = len(kernel.nests) > 1
    if shared:
        with body.loop(body.begin, body.end, "row") as row:
            for nest in kernel.nests:
                if nest.reductions:
                    Reducing(body, nest).inside([row])
                else:
                    _elementwise(body, nest, [row])
    else:
        nest = kernel.nests[0]
        if nest.reductions:
            Reducing(body, nest).whole()
        else:
            _elementwise(body, nest, [])
    body.finish()
    return body.function


def _elementwise(body: Body, nest: Nest, indices: list[Any]) -> None:
    """The loops within those whose indices are given, and the code in them."""
    depth, loops = len(indices), len(nest.extents)
    if depth == loops and depth:
        # One iteration of a loop that other nests share.
        *outer, i = indices
        _innermost(body, nest, outer, i, body.builder.add(i, body.whole(1)))
        return
    first = not indices
    begin = body.begin if first else body.whole(0)
    end = body.end if first else body.whole(nest.extents[depth])
    if depth >= loops - 1:
        _innermost(body, nest, indices, begin, end)
        return
    with body.loop(begin, end, f"i{depth}") as i:
        _elementwise(body, nest, [*indices, i])


def _innermost(body: Body, nest: Nest, indices: list[Any], begin: Any, end: Any) -> None:
    """The innermost loop; in blocks, if it may have to be repeated, or results are held back."""
    staging = Staging(body, nest) if held_back(nest) else None

    def work(start: Any, stop: Any) -> None:
        with body.loop(start, stop, "i") as i:
            body.run(nest, [*indices, i][: len(nest.extents)], staging)

    if staging is None and not any(has_rare(c.op, c.dtype) for c in nest.code):
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
