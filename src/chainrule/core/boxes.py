"""Boxes: tensors that stand outside the tape while a transform runs.

A transform (forward mode, vmap, Taylor mode) wraps its inputs in boxes that carry its *tag*.  A
primitive that meets boxes is handed to the newest tag among them, which takes its boxes apart,
applies the primitive to what is inside, and boxes the result.  What is inside may be boxes of older
transforms, so nesting needs no counters and no stack: the newest tag is the outermost box.

Writing in place to a box computes the new value and lets the tensor *become* it, together with its
family of views; so does writing a box into an ordinary tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import count
from math import prod
from typing import Any

from chainrule.core.dtypes import is_inexact
from chainrule.core.modes import changed, enter, is_recording, leave, lifting, note_look
from chainrule.core.namespaces import raw, recorded
from chainrule.core.primitive import REGISTRY, Primitive
from chainrule.core.source import caller, describe
from chainrule.core.tensor import Tensor, as_array, note_view, put_view, set_requires_grad, wrap

next_level = count(1).__next__


class Tag:
    """One running transform: which boxes are its own, and what it does with a primitive.

    Attributes:
        level: a number that grows with time, so that the newest tag has the largest.
        alive: False once the transform has returned.
        title: what the user called, for messages: `jvp`, `vmap`.
    """

    __slots__ = ("alive", "level", "place", "title")

    # What random functions may do, in a transform that maps over examples; None in all others.
    randomness: Any = None

    def __init__(self, title: str) -> None:
        self.level = next_level()
        self.alive = True
        self.title = title
        self.place = caller(1)

    def process(self, prim: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """Apply a primitive whose newest boxes are this tag's."""
        raise NotImplementedError

    def adopt(self, x: Tensor) -> None:
        """Told of a tensor that has become a box of this tag."""

    def zeros_like(self, x: Tensor) -> Tensor:
        """What `x` becomes when it turns into a box of this tag without changing its value."""
        raise NotImplementedError


class Box(Tensor):
    """A tensor outside the tape: a tag, and inner tensors in a form that the tag knows.

    A traced tensor (`chainrule.transforms.tracing`) has nothing inside; it is the bottom itself.
    """

    __slots__ = ()

    tag: Any
    inner: Any

    @property
    def requires_grad(self) -> bool:
        """Whether operations on the tensor are recorded for differentiation."""
        return bottom(self).node is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        set_requires_grad(self, value)  # raises

    @property
    def is_leaf(self) -> bool:
        """Whether the tensor was made by the user rather than by a recorded operation."""
        return bottom(self).is_leaf

    def parts(self) -> list[Any]:
        """The inner tensors; None stands for zero."""
        raise NotImplementedError


def process(prim: Primitive, args: Sequence[Any], params: dict[str, Any] | None) -> Any:
    """Apply a primitive to arguments among which there are boxes.

    Raises:
        RuntimeError: if a box has outlived its transform.
    """
    tag = newest(args)
    if not tag.alive:
        raise escaped(tag, f"{prim.name}()")
    return tag.process(prim, args, params or {})


Box._box = Box
Box.process = staticmethod(process)  # type: ignore[attr-defined] # `bind` finds it by `_box`


def newest(args: Sequence[Any]) -> Any:
    """The newest tag among the arguments; None if there are no boxes."""
    found = None
    for x in args:
        if isinstance(x, Box) and (found is None or x.tag.level > found.level):
            found = x.tag
    return found


def is_box(x: Any) -> bool:
    """Whether a value is a box."""
    return isinstance(x, Box)


def is_mapped(x: Any) -> bool:
    """Whether every example has its own values of `x`, so that no decision may rest on them."""
    return isinstance(x, Box) and getattr(x.array, "is_mapped", False)


def values_of(x: Any) -> Any:
    """The array of a tensor (or the array given); a tensor that is mapped over stays a tensor.

    For computations with integers and conditions, which have no derivative: as fast as NumPy where
    nothing is mapped.  `namespace_of` gives the functions to compute with.
    """
    if is_mapped(x):
        return x
    note_look(x)
    return getattr(x, "array", x)


def namespace_of(*values: Any) -> Any:
    """The namespace for values of which some may be tensors."""
    return recorded if any(isinstance(x, Tensor) for x in values) else raw


def refuse_mapped(x: Any, name: str, instead: str) -> None:
    """Raise if `x` is mapped over, for an operation whose result's shape depends on the values.

    Raises:
        RuntimeError: with what to do `instead`.
    """
    if is_mapped(x):
        raise x.array.dynamic_shape(f"{name}()", instead)
    note_look(x)


def opened(x: Any) -> tuple[Tensor, list[Any]]:
    """The tensor inside a box, primal at every level, and the vmaps that map it, newest first."""
    x = x.detach()
    mapping = []
    while isinstance(x, Box) and x.inner is not None:
        mapping.append(x.tag)
        x = x.inner
    found: Tensor = x
    return found, mapping


def any_box(args: Sequence[Any]) -> bool:
    """Whether there is a box among the values."""
    return any(isinstance(x, Box) for x in args)


def escaped(tag: Tag, what: str) -> RuntimeError:
    """The error for a box that is used after its transform has returned."""
    return RuntimeError(
        f"{what} got a tensor that belongs to a call of {tag.title} that has already returned "
        f"({describe(*tag.place)}): the function given to {tag.title} stored it, or wrote it into "
        "a tensor from outside. Return it from the function instead."
    )


def leaked(x: Tensor) -> RuntimeError:
    """The error for a tensor that a function has kept from its recording, which has ended."""
    return RuntimeError(
        f"a tensor ({x.array.dtype}{list(x.array.shape)}) of a function that was recorded by jit "
        f"is used after the recording, at {describe(*caller(2))}: the function stored it, in a "
        "list, an attribute or a global variable, and it has no values. Return it from the function"
    )


# ---------------------------------------------------------------- running transforms

running: ContextVar[tuple[Any, ...]] = ContextVar("chainrule_transforms", default=())


@contextmanager
def entered(tag: Any) -> Iterator[Any]:
    """Let a transform run: its tag is alive, and known to those that begin inside."""
    token = running.set((*running.get(), tag))
    try:
        yield tag
    finally:
        tag.alive = False
        running.reset(token)


@contextmanager
def outside(tag: Any) -> Iterator[None]:
    """Work on what is inside the boxes of a tag: what begins here is not mapped by it again."""
    token = running.set(tuple([t for t in running.get() if t is not tag]))
    try:
        yield
    finally:
        running.reset(token)


def tags_in(values: Iterable[Any]) -> list[Any]:
    """All tags of boxes among the values and inside them, oldest first."""
    found = {}
    stack = list(values)
    while stack:
        x = stack.pop()
        if isinstance(x, Box):
            found[x.tag.level] = x.tag
            stack += x.parts()
    return [found[level] for level in sorted(found)]


# ---------------------------------------------------------------- in place


def become(x: Tensor, value: Any, title: str = "writing in place") -> Tensor:
    """Let `x` be `value`, in its own shape and dtype: what a write in place does to boxes.

    The tensors that share memory with `x` follow: what `x` is a view of, and all other views.
    The memory itself is not written; it belongs to whoever made it.

    Raises:
        RuntimeError: if a box has outlived its transform.
    """
    tag = newest((x, value))
    if not tag.alive:
        raise escaped(tag, title)
    shape, dt = x.array.shape, x.array.dtype
    if not isinstance(value, Tensor):
        value = wrap(as_array(value))
    if value.array.dtype != dt:
        value = recorded.astype(value, dtype=dt)
    if value.array.shape != shape:
        value = recorded.broadcast_to(value, shape=tuple(shape))
    root = x
    while root._view is not None:
        taken, root = root._view, root._view.parent
        key = (taken.prim.name, tuple(sorted(taken.params.items())))
        value = recorded.write_view(root, value, view=key)
    node = bottom(value).node
    if not isinstance(value, Box) or (node is not None and is_input(node)):
        value = recorded.clone(value)  # it may be written next, so it needs a value of its own
    if not is_recording() and is_inexact(root.array.dtype):
        value = _unrecorded(root, value)
    take_over(root, value)
    renew_views(root)
    return x


def _unrecorded(x: Tensor, value: Tensor) -> Tensor:
    """The value with the place of `x` on the tape, which a write that is not recorded leaves."""
    if not isinstance(x, Box) and x.node is None:
        return value
    token = enter(changed(grad=True))
    try:
        made: Tensor = REGISTRY["set_data"].apply((x, value), {})
    finally:
        leave(token)
    return made


def refuse_write(x: Tensor) -> str | None:
    """Why a box may not be written in place; None if it may.

    It may not if it is the input of a reverse transform, which differentiates with respect to it,
    or shows an entry several times.
    """
    ancestor: Tensor | None = x
    while ancestor is not None:
        node = bottom(ancestor).node
        level = ancestor.tag.level if isinstance(ancestor, Box) else 0
        if node is not None and is_input(node) and node.params["scope"].level > level:  # type: ignore[index]
            return WRITES_INPUT
        taken = ancestor._view
        if taken is None:
            return None
        ancestor = taken.parent
        repeats = taken.prim.name == "broadcast_to" and prod(ancestor.shape) < prod(x.shape)
        overlaps = taken.prim.name == "unfold" and taken.params["step"] < taken.params["size"]
        if repeats or overlaps:
            return REPEATED
    return None


def is_input(node: Any) -> bool:
    """Whether a node stands for an input that a reverse transform differentiates by."""
    return bool(node.prim.name == "alias")


WRITES_INPUT = (
    "the function given to a transform such as func.grad or func.vjp writes in place to its input, "
    "with respect to which it is differentiated. Write to a copy: x = x.clone()"
)
REPEATED = (
    "unsupported operation: more than one element of the written-to tensor refers to a "
    "single memory location (or its memory is read-only). Please clone() the tensor before "
    "performing the operation."
)


def bottom(x: Any) -> Tensor:
    """The tensor at the bottom of a box: innermost, and primal at every level."""
    while isinstance(x, Box) and x.inner is not None:
        x = x.inner if isinstance(x.inner, Tensor) else x.inner[0]
    found: Tensor = x
    return found


def renew_views(root: Tensor) -> None:
    """Take all views of `root`, and theirs, anew from what they are views of."""
    stack = [root]
    token = enter(changed(grad=True))  # a view keeps its derivative, whatever was written
    try:
        while stack:
            parent = stack.pop()
            for child in [weak() for weak in parent._views or ()]:
                if child is not None and child._view is not None:
                    taken = child._view
                    take_over(child, REGISTRY[taken.prim.name].apply((parent,), taken.params))
                    stack.append(child)
    finally:
        leave(token)


def take_over(x: Any, value: Tensor) -> None:
    """Give `x` the class and contents of `value`; its place among views stays."""
    lift = lifting()
    if lift is not None:
        lift.changing(x)
        if not isinstance(value, Box):
            value = lift.capture(value)  # what is written is part of the recording, as `x` is
    if isinstance(value, Box):
        x.__class__ = type(value)
        x.tag, x.inner = value.tag, value.inner
        x.tag.adopt(x)
    elif x._box is not None:
        x.__class__ = Tensor
    x.array, x.node = value.array, value.node


def box_like(cls: Any, tag: Any, inner: Any, array: Any) -> Any:
    """A box of the class with this content; `array` answers for shape and dtype."""
    made = _new(cls)
    made.tag = tag
    made.inner = inner
    made.array = array
    made.node = None
    return made


_new: Callable[[Any], Any] = object.__new__

__all__ = [
    "Box",
    "Tag",
    "any_box",
    "become",
    "box_like",
    "entered",
    "escaped",
    "is_box",
    "is_mapped",
    "leaked",
    "namespace_of",
    "newest",
    "note_view",
    "opened",
    "outside",
    "process",
    "put_view",
    "refuse_mapped",
    "running",
    "tags_in",
    "take_over",
    "values_of",
]
