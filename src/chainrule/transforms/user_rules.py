"""Primitives whose rules are the user's code, under the transforms.

Such a rule cannot be run on arrays and then taken apart: it is called once at every level of boxes,
with the values of that level, so that what it computes there is itself differentiated and mapped by
the transforms further in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.core.abstract import AbstractArray
from chainrule.core.boxes import become, escaped, newest, outside, take_over
from chainrule.core.calls import fitted
from chainrule.core.dtypes import is_inexact
from chainrule.core.node import Aval
from chainrule.core.primitive import Primitive
from chainrule.core.tensor import Tensor, new, wrap
from chainrule.transforms.batch import BatchTag, batched
from chainrule.transforms.forward import ForwardTag, dual
from chainrule.transforms.tracing import Recorder, input_node, recording, traced


class UserPrimitive(Primitive):
    """A primitive that applies itself to boxes, by rules that subclasses get from the user.

    Results are a tensor or a tuple; a tuple may hold values that are no tensors.  A result that is
    one of the arguments was written in place.
    """

    kind = "function"
    side_effects = True
    jvp: Any = None
    jvps: Any = None

    def __init__(self, name: str, eval: Callable[..., Any], **declared: Any) -> None:
        super().__init__(name, eval, aval=self.predict, **declared)

    def predict(self, *args: Any, **params: Any) -> Any:
        """Shapes and dtypes of the results: the user's code runs on tensors without values.

        Raises:
            chainrule.graph.DataDependence: if it looks at values.
            NotImplementedError: if it writes in place to an argument.
        """
        with recording(Recorder()):
            xs = [_without_value(a) for a in args]
            out = self.value(xs)
        for o in out if isinstance(out, tuple) else (out,):
            if _position(o, xs) is not None:
                raise NotImplementedError(
                    f"trace: {self.name} returns one of its arguments, perhaps written in place, "
                    "which an equation of a graph cannot do: return a copy (x.clone())"
                )
        return tuple(map(_aval, out)) if isinstance(out, tuple) else _aval(out)

    def value(self, args: Sequence[Any]) -> Any:
        """The results as the user's code computes them, without its derivative rule."""
        raise NotImplementedError

    def apply(self, args: Sequence[Any], params: dict[str, Any]) -> Any:
        tag = newest(args)
        if tag is None:
            return self.run(args)
        if not tag.alive:
            raise escaped(tag, self.name)
        if isinstance(tag, ForwardTag):
            return self._apply_forward(tag, args)
        if isinstance(tag, BatchTag):
            return self._apply_mapped(tag, args)
        return tag.process(self, args, {})

    def run(self, args: Sequence[Any]) -> Any:
        """Apply to arguments without boxes, recording where needed."""
        raise NotImplementedError

    def run_forward(
        self, primals: Sequence[Any], tangents: Sequence[Any]
    ) -> tuple[Any, Sequence[Any]]:
        """The result for the primals, and the tangent of each output; None stands for zero."""
        raise NotImplementedError

    def run_mapped(
        self, tag: BatchTag, args: Sequence[Any], mapped: Sequence[bool]
    ) -> tuple[Any, Sequence[bool]]:
        """The result for a batch, and for each output whether it has the mapped axis in front."""
        raise NotImplementedError

    def _apply_forward(self, tag: ForwardTag, args: Sequence[Any]) -> Any:
        pairs = [tag.split(x) for x in args]
        primals = [p for p, _ in pairs]
        out, tangents = self.run_forward(primals, [t for _, t in pairs])
        several = isinstance(out, tuple)
        outs = out if several else (out,)
        found = tuple(
            [_with_tangent(tag, o, t, args, primals) for o, t in zip(outs, tangents, strict=True)]
        )
        return found if several else found[0]

    def _apply_mapped(self, tag: BatchTag, args: Sequence[Any]) -> Any:
        crossed = tag.crossing(args)
        mapped = [tag.holds(x) for x in crossed]
        inner = [x.inner if m else x for x, m in zip(crossed, mapped, strict=True)]
        with outside(tag):
            out, axes = self.run_mapped(tag, inner, mapped)
        several = isinstance(out, tuple)
        found = []
        for o, has_axis in zip(out if several else (out,), axes, strict=True):
            if has_axis:
                written = _position(o, inner)
                o = batched(tag, o)
                if written is not None and mapped[written]:
                    o = become(args[written], o, self.name)
            found.append(o)
        return tuple(found) if several else found[0]


def _without_value(a: Any) -> Any:
    """An argument as a tensor, traced where only shape and dtype are known."""
    if isinstance(a, np.ndarray):
        return wrap(a)
    if isinstance(a, (Aval, AbstractArray)):
        return traced(input_node(a.shape, a.dtype, "x"))
    return a


def _aval(o: Any) -> Aval | None:
    return Aval(tuple(o.array.shape), o.array.dtype) if isinstance(o, Tensor) else None


def _position(o: Any, items: Sequence[Any]) -> int | None:
    """Which of the items an object is."""
    if isinstance(o, Tensor):
        for i, x in enumerate(items):
            if x is o:
                return i
    return None


def _with_tangent(
    tag: ForwardTag, o: Any, t: Any, args: Sequence[Any], primals: Sequence[Any]
) -> Any:
    """An output with its tangent; a written argument becomes what was written."""
    if not isinstance(o, Tensor):
        return o
    written = _position(o, primals)
    differentiable = t is not None and is_inexact(o.array.dtype)
    if written is None:
        return dual(tag, o, fitted(t, o)) if differentiable else o
    x = args[written]
    if x is o:  # had no tangent before: what it was stands inside what it becomes
        if not differentiable:
            return x
        o = new(Tensor)
        take_over(o, x)
    return become(x, dual(tag, o, fitted(t, o)) if differentiable else o, "apply")


__all__ = ["UserPrimitive"]
