"""Kernels as LLVM functions: `void kernel(buffer0, ..., i64 begin, i64 end)`.

`begin` and `end` are of the outermost loop. Extents are constants. Loops test at their end, and the
innermost body is straight-line code: what LLVM's loop vectoriser wants.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from chainrule.jit.buffers import ALIGNMENT
from chainrule.jit.kernel import BLOCK, Access, Kernel, Nest
from chainrule.jit.lowering import Scalars, emit, has_rare


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
        for argument in self.function.args[:-2]:
            argument.add_attribute("noalias")
        self.kernel = kernel
        entry = self.function.append_basic_block("entry")
        scalars.builder = self.builder = ir.IRBuilder(entry)
        self.scalars = scalars
        self.buffers = list(self.function.args[:-2])
        for parameter, count in kernel.rows.items():
            kind = scalars.memory_type(kernel.dtypes[parameter])
            self.buffers[parameter] = self.variable(kind, count)
            self.buffers[parameter].align = ALIGNMENT
        self.begin, self.end = self.function.args[-2:]
        self.flag: Any = None  # where rare arguments are noted

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

    def pointer(self, access: Access, indices: Sequence[Any]) -> Any:
        return self.builder.gep(
            self.buffers[access.buffer], [self.place(access, indices)], inbounds=True
        )

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

    def run(self, nest: Nest, indices: Sequence[Any]) -> list[Any]:
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
            dtype = self.kernel.dtypes[store.access.buffer]
            s.store(values[store.value], self.pointer(store.access, indices), dtype)
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
    body.builder.ret_void()
    return body.function


def _elementwise(body: Body, nest: Nest, indices: list[Any]) -> None:
    """The loops within those whose indices are given, and the code in them."""
    depth, loops = len(indices), len(nest.extents)
    if depth == loops and depth:
        body.twice(nest, lambda: _run(body, nest, indices))
        return
    first = not indices
    begin = body.begin if first else body.whole(0)
    end = body.end if first else body.whole(nest.extents[depth])
    if depth >= loops - 1:
        _innermost(body, nest, indices, begin, end)
        return
    with body.loop(begin, end, f"i{depth}") as i:
        _elementwise(body, nest, [*indices, i])


def _run(body: Body, nest: Nest, indices: list[Any]) -> None:
    body.run(nest, indices)


def _innermost(body: Body, nest: Nest, indices: list[Any], begin: Any, end: Any) -> None:
    """The innermost loop; in blocks, if it may have to be repeated."""

    def work(start: Any, stop: Any) -> None:
        with body.loop(start, stop, "i") as i:
            body.run(nest, [*indices, i][: len(nest.extents)])

    if not any(has_rare(c.op, c.dtype) for c in nest.code):
        work(begin, end)
        return
    b = body.builder
    length = b.add(b.sub(end, begin), body.whole(BLOCK - 1))
    with body.loop(body.whole(0), b.udiv(length, body.whole(BLOCK)), "block") as block:
        start = b.add(begin, b.mul(block, body.whole(BLOCK), flags=["nsw"]), flags=["nsw"])
        stop = b.add(start, body.whole(BLOCK), flags=["nsw"])
        stop = b.select(b.icmp_signed("<", stop, end), stop, end)
        body.twice(nest, lambda: work(start, stop))
