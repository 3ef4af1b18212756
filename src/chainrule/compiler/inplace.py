"""Results written over arrays that are needed for the last time."""

from __future__ import annotations

from dataclasses import replace

from chainrule.compiler import buffers as kinds
from chainrule.compiler.buffers import Buffer
from chainrule.compiler.kernel import Access, Kernel, Nest, changed
from chainrule.compiler.lowering import has_rare


def overwrite(kernel: Kernel, used: list[Buffer], step: int) -> None:
    """Let results of a kernel stand where an operand stood that ends with this step.

    Every iteration must read the entry of the operand that it then writes, and no other; a
    kernel that computes blocks again would read what it wrote. Operand and result become one
    parameter. Only temporary operands are given up, never a user's arrays.
    """
    nest = kernel.nests[0]
    if len(kernel.nests) > 1 or any(has_rare(c.op, c.dtype) for c in nest.code):
        return
    made = [used[s.access.buffer] for s in nest.stores]
    for result in made:
        fresh = result.kind in (kinds.TEMPORARY, kinds.OUTPUT) and not result.filled
        if fresh and result.first == step:
            _overwrite(kernel, used, step, result)


def _overwrite(kernel: Kernel, used: list[Buffer], step: int, result: Buffer) -> None:
    """Find one operand for a result."""
    parameter = used.index(result)
    nest = kernel.nests[0]
    store = next(s for s in nest.stores if s.access.buffer == parameter)
    for operand, old in enumerate(used):
        if _gives_way(old, result, step) and _same_entries(nest, operand, store.access):
            if result.kind == kinds.OUTPUT:
                old.root.place = result
            else:
                result.place = old
            _join(kernel, used, operand, parameter)
            return


def _gives_way(old: Buffer, made: Buffer, step: int) -> bool:
    return (
        old.root.kind == kinds.TEMPORARY
        and not old.filled
        and old.first < step == old.last
        and old.dtype == made.dtype
        and old.size == made.size
    )


def _same_entries(nest: Nest, operand: int, access: Access) -> bool:
    found = [a for a in nest.accesses if a.buffer == operand]
    return bool(found) and all(
        a.offset == access.offset and a.strides == access.strides for a in found
    )


def _join(kernel: Kernel, used: list[Buffer], operand: int, result: int) -> None:
    """Make two parameters one: the result's; the operand's goes."""
    place = [i for i in range(len(used)) if i != operand]
    to = {old: new for new, old in enumerate(place)}
    to[operand] = to[result]
    to[-1] = -1  # the affine function of an index is in no buffer
    nest = changed(kernel.nests[0], lambda a: replace(a, buffer=to[a.buffer]))
    reductions = tuple(
        [r if r.partial is None else replace(r, partial=to[r.partial]) for r in nest.reductions]
    )
    kernel.nests[0] = replace(nest, reductions=reductions)
    kernel.written = {to[i] for i in kernel.written}
    del used[operand], kernel.dtypes[operand]
