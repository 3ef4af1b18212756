"""vmap: one run of a function computes it for a whole batch.

A mapped value is a box whose inner tensor has the mapped axis in front; its shape, as the function
sees it, is that of one example.  A primitive that meets mapped values is applied to the inner
tensors by its batch rule.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

from chainrule.core import batching
from chainrule.core.abstract import AbstractArray
from chainrule.core.batching import moved, spread
from chainrule.core.boxes import Box, Tag, bottom, box_like, note_view
from chainrule.core.calls import operands
from chainrule.core.kinds import linear
from chainrule.core.modes import get_mode
from chainrule.core.node import Aval
from chainrule.core.primitive import Primitive, make_node
from chainrule.core.samples import Sample, uniform
from chainrule.core.source import describe
from chainrule.core.tensor import Tensor, new, wrap


class MappedArray(AbstractArray):
    """What a mapped tensor shows instead of an array: the shape of one example, and no values."""

    __slots__ = ("title",)

    def __init__(self, shape: tuple[int, ...], dtype: Any, title: str) -> None:
        self.shape = shape
        self.dtype = dtype
        self.ndim = len(shape)
        self.title = title

    def refusal(self) -> Exception:
        return RuntimeError(
            f"{self.title}: this looks at the values of a tensor that is mapped over, and every "
            "example has its own: it looks like you're either calling .item() on a Tensor, using "
            "it in data-dependent control flow (if x > 0, while, range(n)), or converting it to "
            "a NumPy array or a number. Use where(condition, a, b) instead of a branch, and "
            "operations on the tensor instead of its numbers."
        )

    def __repr__(self) -> str:
        return f"<mapped {self.dtype}{list(self.shape)}>"


class Batched(Box):
    """A value per example: `inner` has the mapped axis in front."""

    __slots__ = ()

    def parts(self) -> list[Any]:
        return [self.inner]

    def detach(self) -> Any:
        """The same values, not recorded."""
        return batched(self.tag, self.inner.detach())

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"Batched(size={self.tag.size}, {self.inner!r})"


def batched(tag: BatchTag, inner: Tensor) -> Batched:
    """A box of the tag around a tensor with the mapped axis in front."""
    made: Batched = new(Batched)
    made.tag = tag
    made.inner = inner
    array = inner.array
    made.array = MappedArray(tuple(array.shape[1:]), array.dtype, tag.title)
    made.node = None
    return made


RANDOMNESS = ("error", "different", "same")


def check_randomness(randomness: str) -> None:
    """Raise RuntimeError unless this says what random functions may do."""
    if randomness not in RANDOMNESS:
        raise RuntimeError(
            "Only allowed values for randomness are 'error', 'different', or 'same'. Got "
            f"{randomness!r}"
        )


# The tags whose boxes a pull has taken apart around the code that runs now.
opened_by_pulls: ContextVar[frozenset[Any]] = ContextVar("chainrule_opened", default=frozenset())


def _repeat(x: Any, size: int) -> Any:
    if x.flags.c_contiguous:  # several times as fast as `np.broadcast_to`
        return np.ndarray((size, *x.shape), x.dtype, x, 0, (0, *x.strides))
    return np.broadcast_to(x, (size, *x.shape))


def _repeat_batch(prim: Any, size: int, args: Any, mapped: Any, params: Any) -> Any:
    return moved(prim.apply(args, params), 1, 0)


# The same for every example, in memory that is not copied.
repeat = linear(
    "repeat_example", _repeat,
    lambda xp, g: xp.sum(g, axis=(0,), keepdims=False),
    aval=lambda x, size: Aval((size, *x.shape), x.dtype),
    batch=_repeat_batch, samples=lambda: [Sample(uniform(2, 3), size=4), Sample(uniform(), size=2)],
)  # fmt: skip


def _as_it_is(x: Tensor) -> Tensor:
    """The same value in a tensor of its own, which no write in place will change."""
    if isinstance(x, Box):
        made: Tensor = box_like(type(x), x.tag, x.inner, x.array)
        made.node = x.node  # a traced tensor has one
    else:
        made = wrap(x.array, x.node)
    return made


class BatchTag(Tag):
    """vmap, running.

    Attributes:
        size: the number of examples.
        randomness: "error", "different" or "same": what random functions may do.
        scopes: the reverse transforms that began inside and whose functions still run, outermost
            first.
        entered: the vmap that this enters again, if it does.
        replayed: shared by several runs of one function that are to have the same draws if
            `randomness` is "same": the states of generators before the first draw from each, to
            which they return when another run begins.  None if there is only one run.
    """

    __slots__ = ("entered", "randomness", "replayed", "scopes", "size")

    def __init__(
        self, title: str, size: int, randomness: str = "error",
        replayed: dict[Any, Tensor] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(title)
        self.size = size
        self.randomness = randomness
        self.replayed = replayed
        self.entered: BatchTag | None = None
        self.scopes: list[Any] = []
        for generator, state in (replayed or {}).items():
            generator.set_state(state)

    def again(self) -> BatchTag:
        """The same vmap around what was inside its boxes, for rules that want to see examples."""
        made = BatchTag(self.title, self.size, self.randomness)
        made.entered = self.entered or self
        made.scopes = self.scopes
        return made

    def random_error(self, name: str) -> Exception:
        """The error for a random number where `randomness` is "error"."""
        return RuntimeError(
            f"{self.title}: called random operation while in randomness error mode: {name}(). "
            "Please either use the 'same' or 'different' randomness flags on vmap or perform "
            f"the randomness operation out of vmap ({self.title} was called at "
            f"{describe(*self.place)})"
        )

    def holds(self, x: Any) -> bool:
        """Whether a value is mapped by this transform, at the outermost level."""
        return type(x) is Batched and x.tag is self

    def inner(self, x: Any) -> Any:
        """A value with the mapped axis in front, spread if it is the same for all examples."""
        if self.scopes:
            x = self._crossing(x)
        return x.inner if self.holds(x) else spread(x, self.size)

    def boxed(self, inner: Tensor) -> Batched:
        """A box of this tag around a tensor with the mapped axis in front."""
        return batched(self, inner)

    def mapped_inner(self, x: Batched, change: Callable[[Any], Any]) -> Batched:
        """The box with what is inside changed."""
        return batched(self, change(x.inner))

    def process(self, prim: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        args = self.crossing(args)
        if prim.partials is not None:
            return batched(self, self._elementwise(prim, args, params))
        mapped = [type(x) is Batched and x.tag is self for x in args]
        inner = [x.inner if m else x for x, m in zip(args, mapped, strict=True)]
        rule = prim.batch
        if rule is None:
            rule = batching.one_by_one
            warnings.warn(
                f"{self.title}: {prim.name} has no batching rule, so it runs in a loop over the "
                f"{self.size} examples, which is slow",
                UserWarning,
                stacklevel=3,
            )
        out = rule(prim, self.size, inner, mapped, params)
        if isinstance(out, tuple):
            return tuple([batched(self, o) for o in out])
        made = batched(self, out)
        if prim.view and len(args) == 1 and out._view is not None:  # indexing by arrays copies
            note_view(made, args[0], prim, params)
        return made

    def crossing(self, args: Sequence[Any]) -> Sequence[Any]:
        """The arguments of a mapped operation, those mapped that must be for their gradients."""
        return [self._crossing(x) for x in args] if self.scopes else args

    def frame(self) -> frozenset[Any]:
        """The older tags whose boxes a pull has taken apart around the code that runs now."""
        opened = opened_by_pulls.get()
        return frozenset([t for t in opened if t.level < self.level]) if opened else opened

    def _crossing(self, x: Any) -> Any:
        """An unmapped argument that a scope may differentiate by, made mapped on the tape.

        What enters a mapped operation unmapped has one gradient per example there.  The node of the
        copy is where a pull stops adding up over examples (`chainrule.transforms.reverse`).
        """
        if not isinstance(x, Tensor) or self.holds(x):
            return x
        outermost = self.scopes[0]
        node = bottom(x).node
        if node is None or node.seq <= outermost.since:
            return x
        vmap = self.entered or self
        key = (vmap, node)
        known = self.scopes[-1].crossed.get(key) if x.node is node else None
        if known is None:
            known = self._repeated(x)
            if bottom(known).node is None:  # under no_grad
                return x
            found = (vmap, vmap.frame(), _as_it_is(x), known)
            for scope in self.scopes:
                scope.crossings.append(found)
            if x.node is node:
                self.scopes[-1].crossed[key] = known
        return batched(self, known)

    def _repeated(self, x: Tensor) -> Tensor:
        if type(x) is not Tensor or get_mode() is not True:
            made: Tensor = repeat(x, size=self.size)
            return made
        # What `bind` would do: parameters cross in every call of a per-example gradient.
        array, parent = x.array, x.node
        node = make_node(
            repeat.prim, (Aval(array.shape, array.dtype),), None, {"size": self.size}, (parent,),
            (parent.code, parent.lasti),  # type: ignore[union-attr]
        )  # fmt: skip
        made = wrap(_repeat(array, self.size), node)
        node.shape, node.dtype = made.array.shape, array.dtype
        return made

    def _elementwise(self, prim: Any, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """The operation on the inner tensors, axes lined up, in the dtype that examples have."""
        inner = []
        dt = ndim = None
        widest = 0
        for x in args:
            array = getattr(x, "array", None)
            if array is None:
                if type(x) is not float and type(x) is not int:
                    break
            elif dt is not None and array.dtype != dt:
                break
            elif type(x) is Batched and x.tag is self:
                if ndim is not None and array.ndim != ndim:
                    break
                dt, ndim, x = array.dtype, array.ndim, x.inner
            else:
                dt, widest = array.dtype, max(widest, array.ndim)
            inner.append(x)
        else:
            if ndim is not None and widest <= ndim:
                return prim.function(*inner, **params)
        mapped = [self.holds(x) for x in args]
        inner = [x.inner if m else x for x, m in zip(operands(prim, args), mapped, strict=True)]
        return prim.apply(batching.aligned(inner, mapped), params)


__all__ = ["BatchTag", "Batched", "MappedArray", "batched"]
