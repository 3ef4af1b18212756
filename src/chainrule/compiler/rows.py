"""Arrays of which nests that share rows need one row at a time: memory for one row.

What one nest of a kernel makes for the others in the same iteration of the loop over rows, and
nobody needs later, is overwritten by the next row. It stays in the first cache, and each thread
that runs part of the rows has its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from chainrule.compiler import buffers as kinds
from chainrule.compiler.buffers import Buffer
from chainrule.compiler.kernel import Access, Kernel, Nest, changed

LARGEST = 1 << 16  # bytes of the rows of one kernel together: they are on the stack


def keep_rows(kernel: Kernel, used: Sequence[Buffer], step: int) -> None:
    """Make temporary arrays of a kernel rows, where that is possible.

    Args:
        kernel: changed in place.
        used: its parameters; of an array that becomes a row, hardly any memory is left.
        step: the kernel's place in the program.
    """
    if len(kernel.nests) < 2:
        return
    room = LARGEST
    for parameter in sorted(kernel.written):
        buffer = used[parameter]
        if (
            buffer.kind != kinds.TEMPORARY
            or buffer.filled
            or buffer.place is not None
            or (buffer.first, buffer.last) != (step, step)
        ):
            continue
        row = buffer.size // kernel.nests[0].extents[0]
        need = row * buffer.dtype.itemsize
        if need <= room and _by_rows(kernel.nests, parameter, row):
            room -= need
            kernel.rows[parameter] = row
            kernel.nests = [_in_one_row(nest, parameter) for nest in kernel.nests]
            buffer.shape = ()


def _by_rows(nests: Sequence[Nest], parameter: int, row: int) -> bool:
    """Whether iteration i of the loop over rows touches row i of an array, and no other."""
    for nest in nests:
        if any(c.op == "scan" and c.access and c.access.strides[0] for c in nest.code):
            return False  # it needs the row before
        if any(r.partial == parameter for r in nest.reductions):
            return False
        if any(c.access and c.access.buffer == parameter and c.op != "load" for c in nest.code):
            return False  # read at indices that are values, or in the order of the loops
        for a in nest.accesses:
            if a.buffer != parameter:
                continue
            inner = [s * (d - 1) for s, d in zip(a.strides[1:], nest.extents[1:], strict=True)]
            first = a.offset + sum(min(s, 0) for s in inner)
            last = a.offset + sum(max(s, 0) for s in inner)
            if a.strides[0] != row or first < 0 or last >= row:
                return False
    return True


def _in_one_row(nest: Nest, parameter: int) -> Nest:
    def still(a: Access) -> Access:
        return replace(a, strides=(0, *a.strides[1:])) if a.buffer == parameter else a

    return changed(nest, still)
