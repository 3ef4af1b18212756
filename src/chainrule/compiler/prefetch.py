"""The next row is fetched while the nests that share rows compute this one.

The first nest of a row waits for memory, and the others find the row in the cache while memory has
nothing to do. So the last nest that reads a row of an array asks for the same entries of the next
row, and one that writes a row for those that it will write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chainrule.compiler.kernel import Access, Kernel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chainrule.compiler.loops import Body

LINE = 64  # bytes that are fetched at once
SMALL = 1 << 19  # bytes of all rows together that are in the cache anyway
NEAR = 3  # how close to the processor: the first cache


def next_rows(kernel: Kernel) -> dict[int, list[tuple[Access, bool]]]:
    """By the place of a nest, accesses of which it fetches the next row, and which it writes."""
    if len(kernel.nests) < 2 or kernel.ordered:
        return {}
    last: dict[tuple[int, bool], tuple[int, Access]] = {}
    for place, nest in enumerate(kernel.nests):
        loads = [(c.access, False) for c in nest.code if c.op == "load"]
        for access, writes in [*loads, *[(s.access, True) for s in nest.stores]]:
            if access is None or len(access.strides) < 2:
                continue
            if access.strides[0] and access.strides[-1] == 1:
                last[access.buffer, writes] = place, access
    rows = kernel.nests[0].extents[0]
    moved = sum(
        rows * abs(access.strides[0]) * kernel.dtypes[access.buffer].itemsize
        for _, access in last.values()
    )
    found: dict[int, list[tuple[Access, bool]]] = {}
    if moved > SMALL:
        for (_, writes), (place, access) in last.items():
            found.setdefault(place, []).append((access, writes))
    return found


def fetch(body: Body, accesses: Sequence[tuple[Access, bool]], indices: Sequence[Any]) -> None:
    """Ask for the lines in which the entries of a vector stand, one row further on."""
    ir, b = body.scalars.ir, body.builder
    byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
    name = "llvm.prefetch.p0"
    function = b.module.globals.get(name) or ir.Function(b.module, kind, name)
    for access, writes in accesses:
        itemsize = body.kernel.dtypes[access.buffer].itemsize
        # The row after the last one is not there; asking for it does no harm.
        place = b.add(body.place(access, indices), body.whole(access.strides[0]))
        start = b.gep(body.buffers[access.buffer], [place])
        for line in range(0, body.scalars.lanes * itemsize, LINE):
            at = b.gep(b.bitcast(start, byte), [body.whole(line)])
            b.call(function, [at, number(int(writes)), number(NEAR), number(1)])
