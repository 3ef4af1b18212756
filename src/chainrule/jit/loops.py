"""Kernels as LLVM functions: `void kernel(buffer0, ..., i64 begin, i64 end)`.

`begin` and `end` are of the outermost loop. Extents are constants. Loops test at their end, and the
innermost body is straight-line code: what LLVM's loop vectoriser wants.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from chainrule.jit.kernel import Access, Kernel, Nest
from chainrule.jit.lowering import Scalars, emit


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

    def whole(self, number: int) -> Any:
        return self.size(number)

    def variable(self, type_: Any, count: int = 1) -> Any:
        """Memory of the function's own; LLVM keeps what it can in registers."""
        with self.builder.goto_entry_block():
            return self.builder.alloca(type_, count if count > 1 else None)

    @contextmanager
    def loop(self, begin: Any, end: Any, name: str = "i") -> Iterator[Any]:
        """A loop; the code inside `with` is its body."""
        b = self.builder
        before = b.block
        body = b.append_basic_block(f"{name}.body")
        done = b.append_basic_block(f"{name}.done")
        b.cbranch(b.icmp_signed("<", begin, end), body, done)
        b.position_at_end(body)
        i = b.phi(self.size, name)
        i.add_incoming(begin, before)
        yield i
        following = b.add(i, self.whole(1), flags=["nsw", "nuw"])
        i.add_incoming(following, b.block)
        b.cbranch(b.icmp_signed("<", following, end), body, done)
        b.position_at_end(done)

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

    def run(self, nest: Nest, indices: Sequence[Any]) -> list[Any]:
        """The operations of a nest for one iteration, and its stores; the values."""
        s = self.scalars
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
        elif not nest.extents:
            with body.loop(body.begin, body.end, "once"):
                body.run(nest, [])
        else:
            with body.loop(body.begin, body.end, "i0") as i:
                _elementwise(body, nest, [i])
    body.builder.ret_void()
    return body.function


def _elementwise(body: Body, nest: Nest, indices: list[Any]) -> None:
    """The loops within those whose indices are given, and the code in them."""
    depth = len(indices)
    if depth == len(nest.extents):
        body.run(nest, indices)
        return
    with body.loop(body.whole(0), body.whole(nest.extents[depth]), f"i{depth}") as i:
        _elementwise(body, nest, [*indices, i])
