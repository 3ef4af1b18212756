"""The batched form of an `autograd.Function` with `generate_vmap_rule = True`.

It is a `Function` of its own, whose methods run those of the original on mapped values.  An
argument that is the same for all examples gets the sum of their gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.core import inplace
from chainrule.core.boxes import entered
from chainrule.core.namespaces import recorded
from chainrule.core.sweep import unbroadcast
from chainrule.core.tensor import Tensor
from chainrule.transforms.batch import BatchTag, batched


class Mapped:
    """The methods of the batched form, to be mixed into a `Function`.

    Attributes:
        original: the `Function` for one example.
        mapped: for each of its arguments, whether it has the mapped axis in front.
    """

    original: Any
    mapped: tuple[bool, ...]
    generate_vmap_rule = True

    @classmethod
    def forward(cls, vmap: BatchTag, *args: Any) -> Any:
        with _entered(vmap) as tag:
            boxes = cls._boxes(tag, args)
            result = cls.original.forward(*boxes)
            several = isinstance(result, tuple)
            outs = [_taken(tag, o, boxes, args) for o in (result if several else (result,))]
        return tuple(outs) if several else outs[0]

    @classmethod
    def setup_context(cls, ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        vmap, *args = inputs
        several = isinstance(output, tuple)
        outputs = output if several else (output,)
        with _entered(vmap) as tag:
            boxes = cls._boxes(tag, args)
            outs = [_box_of(tag, o, boxes, args) for o in outputs]
            inner = type(ctx)()
            inner.needs_input_grad = ctx.needs_input_grad[1:]
            cls.original.setup_context(inner, tuple(boxes), tuple(outs) if several else outs[0])
            ctx.vmap, ctx.inner = vmap, inner
            ctx.shapes = [tuple(x.array.shape) if isinstance(x, Tensor) else () for x in boxes]
            ctx.mapped_backward = [tag.holds(t) for t in inner._save]
            ctx.mapped_forward = [tag.holds(t) for t in inner._save_forward]
            ctx.save_for_backward(*[t.inner if tag.holds(t) else t for t in inner._save])
            ctx.save_for_forward(*[t.inner if tag.holds(t) else t for t in inner._save_forward])
        ctx.mark_dirty(*_counterparts(inner._dirty, boxes, args))
        ctx.mark_non_differentiable(*_counterparts(inner._constant, outs, outputs))
        ctx.set_materialize_grads(inner._materialize)
        inner._save = inner._save_forward = inner._dirty = inner._constant = ()

    @classmethod
    def backward(cls, ctx: Any, *grad_outputs: Any) -> Any:
        inner = ctx.inner
        with _entered(ctx.vmap) as tag:
            inner._save = _mapped_again(tag, ctx.saved_tensors, ctx.mapped_backward)
            inner._outer = ctx
            gs = [None if g is None else batched(tag, g) for g in grad_outputs]
            try:
                result = cls.original._backward_method()(inner, *gs)
            finally:
                inner._save, inner._outer = (), None
            grads = checked_count(result, len(cls.mapped), cls.prim.grad_name)  # type: ignore[attr-defined]
            found = [
                reduced(tag, g, shape, m)
                for g, shape, m in zip(grads, ctx.shapes, cls.mapped, strict=True)
            ]
        return (None, *found)

    @classmethod
    def jvp(cls, ctx: Any, _: Any, *tangents: Any) -> Any:
        inner = ctx.inner
        with _entered(ctx.vmap) as tag:
            if ctx.mapped_forward:
                inner._save_forward = _mapped_again(tag, ctx.saved_tensors, ctx.mapped_forward)
            else:
                inner._save = _mapped_again(tag, ctx.saved_tensors, ctx.mapped_backward)
            inner._in_jvp = True
            try:
                result = cls.original.jvp(inner, *cls._boxes(tag, tangents))
            finally:
                inner._in_jvp = False
                inner._save = inner._save_forward = ()
            several = isinstance(result, tuple)
            found = [
                tag.inner(t) if isinstance(t, Tensor) else t
                for t in (result if several else (result,))
            ]
        return tuple(found) if several else found[0]

    @classmethod
    def _boxes(cls, tag: BatchTag, args: Sequence[Any]) -> list[Any]:
        return [
            batched(tag, x) if m and x is not None else x
            for x, m in zip(args, cls.mapped, strict=True)
        ]

    @classmethod
    def _defines(cls, name: str) -> bool:
        if name == "jvp":
            found: bool = cls.original._defines(name)
            return found
        return name != "vmap"


def mapped_function(cls: Any, mapped: tuple[bool, ...]) -> Any:
    """The batched form of a `Function` for arguments that are mapped, or not, as said.

    Its `apply` takes what is known of the batch before the arguments.
    """
    from chainrule.autograd.function import Function  # which stands on this file

    return type(cls.__name__, (Mapped, Function), {"original": cls, "mapped": mapped})


def checked_count(result: Any, count: int, name: str) -> tuple[Any, ...]:
    """What `backward` returned, as a tuple with one entry for each argument.

    Raises:
        RuntimeError: if there are more or fewer.
    """
    grads: tuple[Any, ...] = result if isinstance(result, tuple) else (result,)
    if len(grads) > count and all(x is None for x in grads[count:]):
        grads = grads[:count]
    if len(grads) != count:
        raise RuntimeError(
            f"function {name} returned an incorrect number of gradients (expected {count}, got "
            f"{len(grads)}); backward must return one for every argument of forward except ctx"
        )
    return grads


def fits(shape: tuple[int, ...], target: tuple[int, ...] | None) -> bool:
    """Whether a gradient has the shape it belongs to, or can be summed to it."""
    target = target or ()
    try:
        return np.broadcast_shapes(shape, target) == shape
    except ValueError:
        return False


def _entered(vmap: BatchTag) -> Any:
    return entered(vmap.again())


def _taken(tag: BatchTag, o: Any, boxes: Sequence[Any], args: Sequence[Any]) -> Any:
    """An output of the original with the mapped axis in front.

    What was written to a mapped argument, which is no memory, is written to the memory behind it.
    """
    if not isinstance(o, Tensor):
        return o
    for box, x in zip(boxes, args, strict=True):
        if o is box and o is not x:
            if tag.inner(o) is not x:
                inplace.store(x, tag.inner(o))
            return x
    return tag.inner(o)


def _box_of(tag: BatchTag, o: Any, boxes: Sequence[Any], args: Sequence[Any]) -> Any:
    """An output as the original sees it: the very argument, if it was returned."""
    if not isinstance(o, Tensor):
        return o
    for box, x in zip(boxes, args, strict=True):
        if o is x:
            return box
    return batched(tag, o)


def _counterparts(chosen: Sequence[Any], items: Sequence[Any], others: Sequence[Any]) -> list[Any]:
    """For each chosen one of the items, what stands at its place among the others."""
    found = []
    for c in chosen:
        found += [other for item, other in zip(items, others, strict=True) if item is c] or [c]
    return found


def _mapped_again(tag: BatchTag, values: Sequence[Any], mapped: Sequence[bool]) -> tuple[Any, ...]:
    return tuple([batched(tag, x) if m else x for x, m in zip(values, mapped, strict=True)])


def reduced(tag: BatchTag, g: Any, shape: tuple[int, ...], mapped: bool) -> Any:
    """The gradient of one argument: per example, or summed over them if it is the same for all."""
    if not isinstance(g, Tensor):
        return g
    own = tuple(g.array.shape)
    if own != shape and fits(own, shape):
        g = unbroadcast(recorded, g, shape)
    inner = tag.inner(g)
    return inner if mapped else recorded.sum(inner, axis=(0,), keepdims=False)


__all__ = ["Mapped", "checked_count", "fits", "mapped_function", "reduced"]
