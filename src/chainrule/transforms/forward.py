"""Forward mode: every value carries its tangent while the program runs.

Nothing is kept, so memory does not grow with the length of the program.  Many tangents at once are
a tangent that is mapped (`chainrule.transforms.batch`) over an unmapped primal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakSet

import numpy as np

from chainrule.core.boxes import Box, Tag, note_view
from chainrule.core.calls import Call, fitted, operands
from chainrule.core.dtypes import is_inexact
from chainrule.core.fast import constants
from chainrule.core.namespaces import raw, recorded
from chainrule.core.partials import NAMED, NONE, ONE, RULE
from chainrule.core.primitive import Primitive
from chainrule.core.tensor import Tensor, ndarray, new, wrap

_REAL = frozenset(map(np.dtype, (np.float32, np.float64)))


class Dual(Box):
    """A value and its derivative along one direction: `inner` is (primal, tangent)."""

    __slots__ = ()

    @property
    def primal(self) -> Tensor:
        """The value."""
        found: Tensor = self.inner[0]
        return found

    @property
    def tangent(self) -> Tensor:
        """The derivative, of the shape and dtype of the value."""
        found: Tensor = self.inner[1]
        return found

    def parts(self) -> list[Any]:
        return list(self.inner)

    def detach(self) -> Any:
        """The value without its tangent, at every level."""
        return self.inner[0].detach()

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"Dual(primal={self.inner[0]!r}, tangent={self.inner[1]!r})"


def dual(tag: ForwardTag, primal: Tensor, tangent: Tensor) -> Dual:
    """A box of the tag."""
    made: Dual = new(Dual)
    made.tag = tag
    made.inner = (primal, tangent)
    made.array = primal.array
    made.node = None
    if tag.living is not None:
        tag.living.add(made)
    return made


class ForwardTag(Tag):
    """Forward mode, running.

    Attributes:
        living: the boxes of a level of `autograd.forward_ad`, which become their primals when it
            ends; None for the others, which are not to be used after their transform.
    """

    __slots__ = ("living",)

    def __init__(self, title: str, remembers: bool = False) -> None:
        super().__init__(title)
        self.living: WeakSet[Tensor] | None = WeakSet() if remembers else None

    def adopt(self, x: Any) -> None:
        if self.living is not None:
            self.living.add(x)

    def split(self, x: Any) -> tuple[Any, Any]:
        """Primal and tangent of a value; the tangent of what is not ours is None, for zero."""
        if type(x) is Dual and x.tag is self:
            found: tuple[Any, Any] = x.inner
            return found
        return x, None

    def components(self, x: Any) -> list[Any]:
        """Primal and tangent, as a list."""
        return list(self.split(x))

    def joined(self, components: Sequence[Any]) -> Any:
        """The value with these components; the first is not None."""
        primal, tangent = components
        return primal if tangent is None else dual(self, primal, tangent)

    def with_primal(self, x: Dual, change: Callable[[Any], Any]) -> Dual:
        """The box with another primal of the same value."""
        return dual(self, change(x.inner[0]), x.inner[1])

    def mapped_inner(self, x: Dual, change: Callable[[Any], Any]) -> Dual:
        """The box with all that is inside changed."""
        return dual(self, change(x.inner[0]), change(x.inner[1]))

    def process(self, prim: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        if len(args) <= 2 and prim.partials is not None and not params:
            found = self._process_plainly(prim, args)
            if found is not None:
                return found
        primals, tangents = [], []
        for x in args:
            p, t = self.split(x)
            primals.append(p)
            tangents.append(t)
        out = prim.apply(primals, params)
        if not prim.pushes:
            return out
        several = isinstance(out, tuple)
        first = out[0] if several else out
        ts = prim.push(
            Call(params, first.array.dtype),  # type: ignore[arg-type]
            tangents,
            recorded,
            operands(prim, primals),
            out,
        )
        if several:
            return tuple(
                [self._boxed(o, t) for o, t in zip(out, ts or [None] * len(out), strict=True)]
            )
        made = self._boxed(out, ts)
        if prim.view and len(args) == 1 and out._view is not None and isinstance(made, Dual):
            note_view(made, args[0], prim, params)
        return made

    def _boxed(self, out: Any, t: Any) -> Any:
        if t is None or not is_inexact(out.array.dtype):
            return out
        return dual(self, out, fitted(t, out))

    def _process_plainly(self, prim: Any, args: Sequence[Any]) -> Any:
        """Elementwise operations on plain arrays and numbers: no tensors for what is inside."""
        arrays: list[Any] = []
        tangents = []
        shape = dt = None
        for x in args:
            if type(x) is Dual and x.tag is self:
                p, t = x.inner
                if type(p) is not Tensor or type(t) is not Tensor or p.node or t.node:
                    return None
                arrays.append(p.array)
                tangents.append(t.array)
                shape, dt = p.array.shape, p.array.dtype
            elif type(x) is float or type(x) is int:
                arrays.append(x)
                tangents.append(None)
            elif type(x) is Tensor and x.node is None:
                arrays.append(x.array)
                tangents.append(None)
            else:
                return None
        if dt not in _REAL or prim.result != "same":
            return None
        for i, a in enumerate(arrays):
            if type(a) is not ndarray:
                arrays[i] = constants[dt][a]
            elif a.dtype is not dt or a.shape != shape:
                return None
        out = prim.eval(*arrays)
        total = None
        for t, (case, detail) in zip(tangents, prim.partials, strict=True):
            if t is None or case == NONE:
                continue
            if case == NAMED:
                t = t * (arrays[detail] if detail >= 0 else out)
            elif case == RULE:
                t = t * detail.call(raw, t, arrays, out, None)
            elif case != ONE:
                return None
            total = t if total is None else total + t
        if total is None:
            return None
        return dual(self, wrap(out), wrap(total))


__all__ = ["Dual", "ForwardTag", "dual"]
