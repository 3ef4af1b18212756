"""What a reverse transform differentiates by: aliases of its inputs, and how far they reach."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.core import modes
from chainrule.core.avals import same
from chainrule.core.batching import leading
from chainrule.core.boxes import Box, bottom, next_level, running
from chainrule.core.kinds import linear
from chainrule.core.node import Aval, Node, next_seq
from chainrule.core.primitive import LEAF, make_node
from chainrule.core.samples import Sample, uniform
from chainrule.core.source import caller
from chainrule.core.tensor import Tensor, wrap
from chainrule.transforms.batch import Batched, BatchTag, batched
from chainrule.transforms.tracing import (
    Traced,
    equation,
    own,
    recorder,
    stop,
    traced,
    traced_value,
)


class Life:
    """What the nodes of aliases know of their transform: no more, so that no cycle arises.

    Attributes:
        alive: whether the transform's function still runs.
        level: its place in time among tags.
    """

    __slots__ = ("alive", "level")

    def __init__(self) -> None:
        self.alive = True
        self.level = next_level()


class Scope:
    """A reverse transform.

    Attributes:
        life: whether its function still runs.
        since: the time at which it began, on the clock of nodes.
        crossings: (tag, frame, value, copy) for each unmapped value that entered an operation
            mapped by the tag, and the mapped copy that stands for it there; oldest first.  The
            frame says which older boxes had been taken apart around the operation.
        crossed: the copies by tag and node of the value.
    """

    __slots__ = ("crossed", "crossings", "life", "recording", "since", "tags")

    def __init__(self) -> None:
        self.life = Life()
        self.since = next_seq()
        self.recording = modes.is_recording()
        self.crossings: list[tuple[BatchTag, frozenset[Any], Any, Any]] = []
        self.crossed: dict[tuple[BatchTag, Node], Any] = {}
        self.tags: list[BatchTag] = []

    def __enter__(self) -> Scope:
        self.tags = [t for t in running.get() if isinstance(t, BatchTag)]
        for tag in self.tags:
            tag.scopes.append(self)
        return self

    def __exit__(self, *error: Any) -> None:
        self.life.alive = False
        for tag in self.tags:
            tag.scopes.remove(self)


ALIAS = linear(
    "alias", lambda x, scope: x, lambda g: g, aval=same, batch=leading,
    samples=lambda: [Sample(uniform(2, 3), scope=Life())],
).prim  # fmt: skip


def alias(x: Any, scope: Scope) -> Any:
    """The same value with a fresh node at the bottom, to differentiate with respect to."""
    if not isinstance(x, Box):
        if recorder.get() is None:
            return _alias_plain(x, scope)
        x = traced_value(x)  # what it meets may be traced, and then follows it in the graph
    if isinstance(x, Traced):
        return _alias_traced(x, scope)
    if isinstance(x, Batched):
        return batched(x.tag, alias(x.inner, scope))
    return x.tag.with_primal(x, lambda primal: alias(primal, scope))


def _alias_plain(x: Tensor, scope: Scope) -> Tensor:
    array = x.array[...]
    array.flags.writeable = False  # the function must not change what its caller holds
    parent = x.node if scope.recording else None
    node = make_node(
        ALIAS, (Aval(array.shape, array.dtype),), None, {"scope": scope.life}, (parent,), caller(1)
    )
    node.shape, node.dtype = array.shape, array.dtype
    made: Tensor = wrap(array, node)
    return made


def _alias_traced(x: Traced, scope: Scope) -> Traced:
    x = own(x)
    parent = x.node if scope.recording else stop(x, forward=True).node
    return traced(equation(ALIAS, (x.array,), (parent,), {"scope": scope.life}, caller(1)))


def must_record(order: Sequence[Node], seeds: Sequence[Any], scope: Scope | None) -> bool:
    """Whether what a walk over a region computes may be differentiated by somebody else."""
    recording = modes.is_recording() if scope is None else scope.recording
    return recording and (any(bottom(c).node is not None for c in seeds) or leads_outside(order))


def leads_outside(order: Sequence[Node]) -> bool:
    """Whether somebody else may want to differentiate what was computed in a region."""
    inside = set(order)
    return wanted_by_others({p for n in order for p in n.parents if p and p not in inside})


def wanted_by_others(nodes: set[Node]) -> bool:
    """Whether a path leads from the nodes to a leaf, or to the alias of a running transform."""
    stack = list(nodes)
    seen = set(nodes)
    while stack:
        node = stack.pop()
        if node.prim is LEAF:
            return True
        if node.prim is ALIAS and node.params is not None and node.params["scope"].alive:
            return True
        for p in node.parents:
            if p is not None and p not in seen:
                seen.add(p)
                stack.append(p)
    return False


def zeros_of(x: Tensor) -> Tensor:
    """Zeros of the shape and dtype of a tensor."""
    made: Tensor = wrap(np.zeros(tuple(x.array.shape), x.array.dtype))
    return made


def nodes_in(x: Any) -> list[Node]:
    """The nodes at the bottom of a tensor or box, one for each recorded component."""
    if isinstance(x, Box) and not isinstance(x, Traced):
        return [n for part in x.parts() if part is not None for n in nodes_in(part)]
    return [] if x.node is None else [x.node]
