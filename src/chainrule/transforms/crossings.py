"""Where unmapped values enter mapped operations, on the tape of a reverse transform.

Under vmap, what is the same for all examples is computed once.  Where it enters an operation on
mapped values, the tape has a *crossing*: a node that repeats the value for every example, without
copying.  A pull runs over the mapped part of the tape down to the crossings, which gives a gradient
per example there, and then over the unmapped part with those gradients as one mapped cotangent.

Rules that are themselves recorded run inside of pulls, where boxes of older transforms have been
taken apart; what crosses there, is met by a later pull when it has taken apart those boxes, too.
That set of tags is the crossing's *frame*.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from chainrule.core.batching import moved
from chainrule.core.boxes import Box, bottom
from chainrule.core.node import Node
from chainrule.transforms.batch import Batched, BatchTag, batched, opened_by_pulls
from chainrule.transforms.scope import Scope, nodes_in
from chainrule.transforms.tracing import Traced


@contextmanager
def opened(tag: Any) -> Iterator[None]:
    """Work on what is inside the boxes of a tag."""
    token = opened_by_pulls.set(opened_by_pulls.get() | {tag})
    try:
        yield
    finally:
        opened_by_pulls.reset(token)


@contextmanager
def closed(tag: Any) -> Iterator[None]:
    """Work on values that are not inside the boxes of a tag."""
    token = opened_by_pulls.set(opened_by_pulls.get() - {tag})
    try:
        yield
    finally:
        opened_by_pulls.reset(token)


class Pending:
    """A vmap that a pull has taken apart, and what remains to be done for it further down.

    Attributes:
        tag: the vmap.
        crossings: by frame, (value, copy) for its crossings that have not been met yet.
        shared: which of the inputs it may not map: they are reached by crossings only.
        nodes: those of all its copies, which no sweep passes.
    """

    __slots__ = ("crossings", "nodes", "shared", "tag")

    def __init__(
        self, tag: BatchTag, crossings: dict[frozenset[Any], list[Any]], shared: Sequence[int],
        nodes: set[Node] | None = None,
    ) -> None:  # fmt: skip
        self.tag = tag
        self.crossings = crossings
        self.shared = shared
        if nodes is None:
            copies = [copy for found in crossings.values() for _, copy in found]
            nodes = {n for copy in copies for n in nodes_in(copy)}
        self.nodes = nodes

    def here(self) -> list[Any]:
        """The crossings to meet now: all boxes that had been taken apart around them, are."""
        if not self.crossings:
            return []
        frame = self.tag.frame()
        return [c for f, found in self.crossings.items() if f <= frame for c in found]

    def met(self) -> Pending:
        """What remains when the crossings that are here have been met."""
        frame = self.tag.frame()
        left = {f: c for f, c in self.crossings.items() if not f <= frame}
        return Pending(self.tag, left, self.shared, self.nodes)

    def of(self, inputs: Sequence[int]) -> Pending:
        """The same for a selection of the inputs."""
        shared = [j for j, i in enumerate(inputs) if i in self.shared]
        return Pending(self.tag, self.crossings, shared, self.nodes)

    def also(self, new: Sequence[int]) -> Pending:
        """The same when more inputs are wanted, of which nothing is known."""
        return Pending(self.tag, self.crossings, [*self.shared, *new], self.nodes)


def refuse_bypass(tag: BatchTag, pairs: Any, crossings: Any, inputs: Any) -> None:
    """Raise if mapped values depend on an unmapped input otherwise than by a crossing."""
    nodes = {bottom(x).node for x in inputs}
    seen: set[Node | None] = {bottom(copy).node for c in crossings.values() for _, copy in c}
    stack = [bottom(y).node for y, _ in pairs]
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node in nodes:
            raise RuntimeError(
                f"{tag.title}: the gradient with respect to a tensor that is not mapped over was "
                "asked for inside the mapped function by autograd.grad or backward; use func.grad "
                "or func.vjp there, which give every example a gradient of its own"
            )
        stack.extend(node.parents)


def crossings_of(
    tag: BatchTag, scope: Scope | None, inputs: Sequence[Any]
) -> dict[frozenset[Any], list[Any]]:
    """Where unmapped values entered operations mapped by the tag, since the inputs were made.

    By frame, (value, copy) for each.
    """
    found: dict[frozenset[Any], list[Any]] = {}
    if scope is None or not scope.crossings:
        scope = tag.scopes[0] if tag.scopes else None
    if scope is None:
        return found
    oldest = min((n.seq for x in inputs if (n := bottom(x).node) is not None), default=0)
    for by, frame, value, copy in reversed(scope.crossings):
        if bottom(copy).node.seq < oldest:  # type: ignore[union-attr]
            break
        if by is tag:
            found.setdefault(frame, []).append((value, copy))
    return found


def position_of(value: Any, inputs: Sequence[Any]) -> int | None:
    """Which of the inputs a value is, as it is."""
    if isinstance(value, Box) and not isinstance(value, Traced):
        return None
    return next((i for i, x in enumerate(inputs) if x.node is value.node), None)


def unmapped_under(tag: BatchTag, c: Any) -> Any:
    """A cotangent with the tag's axis in front, when newer vmaps may map it too."""
    if isinstance(c, Batched) and c.tag.level > tag.level:
        return batched(c.tag, moved(unmapped_under(tag, c.inner), 1, 0))
    return tag.inner(c)


def mapped_over(tag: BatchTag, g: Any) -> Any:
    """What `unmapped_under` undoes: newer vmaps stay outermost."""
    if isinstance(g, Batched) and g.tag.level > tag.level:
        return batched(g.tag, mapped_over(tag, moved(g.inner, 1, 0)))
    return batched(tag, g)
