"""In which order the axes of temporary arrays stand in memory.

A product of many matrices is fastest where each matrix is in one piece. So an array that such
products read or write has the axes of their batch outermost, if all of them agree about it. What is
computed from it entry by entry has the same order.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from chainrule.compiler.contractions import Matrices
from chainrule.compiler.maps import Shape, contiguous_strides
from chainrule.compiler.values import CONTRACT, MAP, RESHAPED, VIEW, Value, viewed


class Layouts:
    """The strides of values in memory, in entries.

    Args:
        live: all values.
        fixed: values that have to be in C order, by identity, because they are results.
    """

    def __init__(self, live: Sequence[Value], fixed: Collection[int]) -> None:
        wanted: dict[int, tuple[int, ...] | None] = dict.fromkeys(fixed)
        for value in live:
            if value.kind == CONTRACT:
                letters = value.detail.letters
                for v, names in zip((*value.args, value), letters, strict=True):
                    base = viewed(v)[0]
                    order = _batch_first(v, names, value.detail)
                    if wanted.setdefault(id(base), order) != order:
                        wanted[id(base)] = None
            elif value.kind == RESHAPED:
                base = value.args[0]
                wanted[id(base.args[0] if base.kind == VIEW else base)] = None
        self._order = wanted
        for value in live:
            if value.kind == MAP and id(value) not in wanted:
                same = [a for a in value.args if a.shape == value.shape]
                order = next((o for a in same if (o := wanted.get(id(a)))), None)
                if order is not None:
                    wanted[id(value)] = order

    def strides(self, value: Value) -> Shape:
        """Of a value that stands in memory."""
        order = self._order.get(id(value)) if value.kind in (MAP, CONTRACT) else None
        if order is None:
            return contiguous_strides(value.shape)
        inside = contiguous_strides(tuple(value.shape[axis] for axis in order))
        found = dict(zip(order, inside, strict=True))
        return tuple(found[axis] for axis in range(value.ndim))


def _batch_first(value: Value, letters: str, product: Matrices) -> tuple[int, ...] | None:
    """The axes of what stands in memory, those of the batch first; None if one is of both kinds."""
    base, rows = viewed(value)
    if rows is None:
        kinds = [{c in product.batch} for c in letters]
    else:
        kinds = [{letters[axis] in product.batch for axis, _ in terms} for _, terms in rows]
    if any(len(kind) > 1 for kind in kinds):
        return None
    outer = [axis for axis, kind in enumerate(kinds) if True in kind]
    return (*outer, *[axis for axis in range(base.ndim) if axis not in outer])
