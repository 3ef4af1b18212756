"""Reverse mode as a transform: functions in, pullbacks out, under any other transforms.

An input is *aliased*: the function gets the same values with a fresh node, and gradients are taken
with respect to that node.  So nested reverse transforms cannot be confused, whatever they close
over.

Under forward mode, Taylor mode or vmap the values are boxes.  Then the tensor at the bottom of the
box is aliased, and a pull goes component by component.  With series y(ε) = Σ y_k ε^k, x(ε), c(ε)
for output, input and cotangent (in forward mode of order 1), the gradient J(x(ε))ᵀ c(ε) has
components

    g_k = Σ_{i+j=k} (∂y_i/∂x_0)ᵀ c_j,

because coefficient i of J(x(ε)) is ∂y_i/∂x_0 with the other coefficients of x held fixed.

Under vmap, what is the same for all examples is computed once.  Where it enters an operation on
mapped values, the tape has a *crossing*: a node that repeats the value for every example, without
copying.  A pull runs over the mapped part of the tape down to the crossings, which gives a gradient
per example there, and then over the unmapped part with those gradients as one mapped cotangent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from chainrule.core import engine, modes
from chainrule.core.avals import same
from chainrule.core.batching import leading, moved
from chainrule.core.boxes import Box, Tag, bottom, escaped, newest, next_level, outside, running
from chainrule.core.dtypes import is_inexact
from chainrule.core.kinds import linear
from chainrule.core.node import Aval, Node, next_seq
from chainrule.core.primitive import LEAF, make_node
from chainrule.core.samples import Sample, uniform
from chainrule.core.source import caller
from chainrule.core.tensor import Tensor, wrap
from chainrule.transforms.batch import Batched, BatchTag, batched, opened_by_pulls
from chainrule.transforms.forward import ForwardTag
from chainrule.transforms.taylor import TaylorTag


class Scope:
    """A reverse transform: alive while its function runs.

    Attributes:
        since: the time at which it began, on the clock of nodes.
        crossings: (tag, frame, value, copy) for each unmapped value that entered an operation
            mapped by the tag, and the mapped copy that stands for it there; oldest first.  The
            frame says which older boxes had been taken apart around the operation.
        crossed: the copies by tag and node of the value.
    """

    __slots__ = ("alive", "crossed", "crossings", "level", "recording", "since", "tags")

    def __init__(self) -> None:
        self.alive = True
        self.level = next_level()
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
        self.alive = False
        for tag in self.tags:
            tag.scopes.remove(self)


ALIAS = linear(
    "alias", lambda x, scope: x, lambda g: g, aval=same, batch=leading,
    samples=lambda: [Sample(uniform(2, 3), scope=Scope())],
).prim  # fmt: skip


def alias(x: Any, scope: Scope) -> Any:
    """The same value with a fresh node at the bottom, to differentiate with respect to."""
    if not isinstance(x, Box):
        return _alias_plain(x, scope)
    if isinstance(x, Batched):
        return batched(x.tag, alias(x.inner, scope))
    return x.tag.with_primal(x, lambda primal: alias(primal, scope))


def _alias_plain(x: Tensor, scope: Scope) -> Tensor:
    array = x.array[...]
    array.flags.writeable = False  # the function must not change what its caller holds
    parent = x.node if scope.recording else None
    node = make_node(
        ALIAS, (Aval(array.shape, array.dtype),), None, {"scope": scope}, (parent,), caller(1)
    )
    node.shape, node.dtype = array.shape, array.dtype
    made: Tensor = wrap(array, node)
    return made


def pull(
    outs: Sequence[Any], cotangents: Sequence[Any], inputs: Sequence[Any], scope: Scope | None,
    create_graph: bool = False, pending: Sequence[Pending] = (),
) -> list[Any]:  # fmt: skip
    """Gradients with respect to aliased inputs; None where nothing depends on an input.

    `pending` are the vmaps that have been taken apart further up, with crossings yet to be met.
    """
    pairs = [(y, c) for y, c in zip(outs, cotangents, strict=True) if c is not None]
    if not pairs:
        return [None] * len(inputs)
    for i, mine in enumerate(pending):
        crossings = mine.here()
        if crossings:
            others = [*pending[:i], *pending[i + 1 :]]
            return _pull_across(mine, crossings, pairs, inputs, scope, create_graph, others)
    ys = [y for y, _ in pairs]
    tag = newest([*ys, *inputs, *[below_batches(c) for _, c in pairs]])
    if tag is not None:
        if not tag.alive:
            raise escaped(tag, "vjp_fn")
        newer = newest([c for _, c in pairs])
        if newer is not None and newer.level > tag.level and not isinstance(newer, BatchTag):
            return _pull_apart(newer, pairs, inputs, scope, create_graph, pending)
        found: list[Any] = _PULLS[type(tag)](tag, pairs, inputs, scope, create_graph, pending)
        return found
    stops = {n for p in pending for n in p.nodes}
    return _pull_plain(pairs, [x.node for x in inputs], scope, create_graph, stops)


def below_batches(c: Any) -> Any:
    """What a cotangent is below the vmaps that map it.

    Maps that the outputs know nothing of stay around the cotangent to the end, where the rules meet
    them; forward and Taylor modes are taken apart, because a pull is linear in its cotangent.
    """
    while isinstance(c, Batched):
        c = c.inner
    return c


def _pull_plain(
    pairs: Sequence[tuple[Tensor, Any]], nodes: Sequence[Node | None], scope: Scope | None,
    create_graph: bool, stops: set[Node],
) -> list[Any]:  # fmt: skip
    wanted = {n for n in nodes if n is not None}
    pairs = [(y, c) for y, c in pairs if y.node is not None]
    boxes = any(isinstance(c, Box) for _, c in pairs)
    order, live = engine.between([y.node for y, _ in pairs if y.node is not None], wanted, stops)
    seeds = [(y.node, c) for y, c in pairs if y.node in live]
    if not seeds:
        return [None] * len(nodes)
    create_graph = create_graph or must_record(order, live, [c for _, c in seeds], scope)
    if not (create_graph or boxes):
        seeds = [(n, c.array) for n, c in seeds]
    found, _ = engine.pull(order, seeds, live, wanted, create_graph, boxes, stops)  # type: ignore[arg-type]
    return [None if g is None else g if isinstance(g, Tensor) else wrap(g)
            for g in (None if n is None else found.get(n) for n in nodes)]  # fmt: skip


def must_record(
    order: Sequence[Node], live: set[Node], seeds: Sequence[Any], scope: Scope | None
) -> bool:
    """Whether what a walk over a region computes may be differentiated by somebody else."""
    recording = modes.is_recording() if scope is None else scope.recording
    return recording and (
        any(bottom(c).node is not None for c in seeds) or leads_outside(order, live)
    )


def leads_outside(order: Sequence[Node], live: set[Node]) -> bool:
    """Whether somebody else may want to differentiate what was computed in a region.

    So it is if a path leads from the region to a leaf that requires grad, or to the alias of a
    transform that is still running.
    """
    leaving = {p for n in order for p in n.parents if p is not None and p not in live}
    stack = list(leaving)
    while stack:
        node = stack.pop()
        if node.prim is LEAF:
            return True
        if node.prim is ALIAS and node.params is not None and node.params["scope"].alive:
            return True
        for p in node.parents:
            if p is not None and p not in leaving:
                leaving.add(p)
                stack.append(p)
    return False


# ---------------------------------------------------------------- component by component


def _pull_series(
    tag: Any, pairs: Any, inputs: Any, scope: Any, create_graph: bool, pending: Any
) -> list[Any]:
    """Forward and Taylor mode: a tangent is coefficient 1 of a series of order 1."""
    split = [(tag.components(y), components_under(tag, c)) for y, c in pairs]
    bottoms = [tag.components(x)[0] for x in inputs]
    found = []
    with opened(tag):
        for k in range(len(split[0][0])):
            products = [(ys[i], cs[k - i]) for ys, cs in split for i in range(k + 1)]
            wanted = [(y, c) for y, c in products if y is not None and c is not None]
            columns = [y for y, _ in wanted], [c for _, c in wanted]
            found.append(pull(*columns, bottoms, scope, create_graph, pending))
    return [join_over(tag, g) for g in zip(*found, strict=True)]


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


def _pull_apart(
    tag: Any, pairs: Any, inputs: Any, scope: Any, create_graph: bool, pending: Any
) -> list[Any]:
    """Cotangents that are series of a transform newer than the values: a pull is linear in them."""
    split = [(y, components_under(tag, c)) for y, c in pairs]
    found = []
    for k in range(len(split[0][1])):
        wanted = [(y, cs[k]) for y, cs in split if cs[k] is not None]
        columns = [y for y, _ in wanted], [c for _, c in wanted]
        found.append(pull(*columns, inputs, scope, create_graph, pending))
    return [join_over(tag, g) for g in zip(*found, strict=True)]


def components_under(tag: Any, c: Any) -> list[Any]:
    """Components of a cotangent that may be mapped by newer vmaps: boxes in between."""
    if isinstance(c, Batched) and c.tag.level > tag.level:
        return [None if p is None else batched(c.tag, p) for p in components_under(tag, c.inner)]
    found: list[Any] = tag.components(c)
    return found


def join_over(tag: Any, components: Sequence[Any]) -> Any:
    """The gradient with these components; what newer vmaps map over stays outermost."""
    some = next((c for c in components if c is not None), None)
    if some is None:
        return None
    first = zeros_of(some) if components[0] is None else components[0]
    components = [first, *components[1:]]
    newer = newest(components)
    if newer is not None and newer.level > tag.level and isinstance(newer, BatchTag):
        inner = [None if c is None else newer.inner(c) for c in components]
        return batched(newer, join_over(tag, inner))
    return tag.joined(components)


def zeros_of(x: Tensor) -> Tensor:
    """Zeros of the shape and dtype of a tensor."""
    made: Tensor = wrap(np.zeros(tuple(x.array.shape), x.array.dtype))
    return made


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


def _pull_batched(
    tag: BatchTag, pairs: Any, inputs: Any, scope: Any, create_graph: bool, pending: Any
) -> list[Any]:
    mapped = [(y.inner, unmapped_under(tag, c)) for y, c in pairs if tag.holds(y)]
    rest = [(y, c) for y, c in pairs if not tag.holds(y)]
    shared = [i for i, x in enumerate(inputs) if not tag.holds(x)]
    sums: list[Any] = [None] * len(inputs)
    if mapped:
        crossings = crossings_of(tag, scope, inputs)
        if shared and not (scope is not None and scope.crossings):
            _refuse_bypass(tag, mapped, crossings, [inputs[i] for i in shared])
        ys, cs = [y for y, _ in mapped], [c for _, c in mapped]
        targets = [x.inner if tag.holds(x) else x for x in inputs]
        below = [*pending, Pending(tag, crossings, shared)]
        # Rules of the user may differentiate, and alias what they work on.
        with outside(tag), opened(tag):
            sums = pull(ys, cs, targets, scope, create_graph, below)
        for i, g in enumerate(sums):
            if g is not None and i not in shared:
                sums[i] = mapped_over(tag, g)
    if rest and shared:
        ys, cs = [y for y, _ in rest], [c for _, c in rest]
        others = [p.of(shared) for p in pending]
        more = pull(ys, cs, [inputs[i] for i in shared], scope, create_graph, others)
        for i, g in zip(shared, more, strict=True):
            sums[i] = _plus(sums[i], g)
    return sums


def _pull_across(
    mine: Pending, crossings: Any, pairs: Any, inputs: Any, scope: Any, create_graph: bool,
    others: Sequence[Pending],
) -> list[Any]:  # fmt: skip
    """First down to the crossings, then from the values that crossed, one cotangent per example."""
    n = len(inputs)
    targets = [*inputs, *[copy for _, copy in crossings]]
    ys, cs = [y for y, _ in pairs], [c for _, c in pairs]
    within = [p.also(range(n, len(targets))) for p in others]
    found = pull(ys, cs, targets, scope, create_graph, [mine.met(), *within])
    sums = found[:n]
    shared = [inputs[i] for i in mine.shared]
    values, gs = [], []
    for (value, _), g in zip(crossings, found[n:], strict=True):
        if g is None:
            continue
        g = mapped_over(mine.tag, g)
        position = _position(value, shared)
        if position is None:
            values.append(value)
            gs.append(g)
        else:
            i = mine.shared[position]
            sums[i] = _plus(sums[i], g)
    if values and shared:
        below = [p.of(mine.shared) for p in others]
        with closed(mine.tag):
            rest = pull(values, gs, shared, scope, create_graph, below)
        for i, g in zip(mine.shared, rest, strict=True):
            sums[i] = _plus(sums[i], g)
    return sums


def nodes_in(x: Any) -> list[Node]:
    """The nodes at the bottom of a tensor or box, one for each recorded component."""
    if isinstance(x, Box):
        return [n for part in x.parts() if part is not None for n in nodes_in(part)]
    return [] if x.node is None else [x.node]


def _plus(a: Any, b: Any) -> Any:
    """The sum of two gradients, either of which may be None for zero."""
    return b if a is None else a if b is None else a + b


def _refuse_bypass(tag: BatchTag, pairs: Any, crossings: Any, inputs: Any) -> None:
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


def _position(value: Any, inputs: Sequence[Any]) -> int | None:
    """Which of the inputs a value is, as it is."""
    if isinstance(value, Box):
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


_PULLS: dict[type[Tag], Callable[..., list[Any]]] = {
    ForwardTag: _pull_series,
    TaylorTag: _pull_series,
    BatchTag: _pull_batched,
}


# ---------------------------------------------------------------- running a function


class Pullback:
    """What one run of a function left to differentiate.

    Attributes:
        inputs: the aliased inputs.
        outs: the outputs, tensors.
    """

    def __init__(self, f: Callable[..., Any], xs: Sequence[Tensor], title: str) -> None:
        for i, x in enumerate(xs):
            if not is_inexact(x.array.dtype):
                raise RuntimeError(
                    f"{title}: only Tensors of floating point and complex dtype can be "
                    f"differentiated with respect to, but input {i} is {x.dtype}; convert it, for "
                    "example with x.double()"
                )
        self.scope = Scope()
        self.inputs = [alias(x, self.scope) for x in xs]
        token = modes.enter(modes.changed(grad=True))
        try:
            with self.scope:
                self.result = f(*self.inputs)
        finally:
            modes.leave(token)

    def settled(self, y: Tensor) -> Tensor:
        """An output as the caller gets it: off the tape unless the caller's tape goes on."""
        if isinstance(y, Batched):
            return batched(y.tag, self.settled(y.inner))
        if isinstance(y, Box):
            found: Tensor = y.tag.mapped_inner(y, self.settled)
            return found
        if y.node is None:
            return y
        if self.scope.recording and leads_outside((y.node,), set()):
            return y
        array = y.array
        made: Tensor = wrap(array if array.flags.writeable else array.copy())
        return made

    def must_record(self, order: Sequence[Node], live: set[Node], seeds: Sequence[Any]) -> bool:
        """Whether what a walk over the region computes may be differentiated by the caller."""
        return must_record(order, live, seeds, self.scope)

    def pull(self, outs: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
        """Gradients with respect to the inputs, zeros where nothing depends on one."""
        found = pull(outs, cotangents, self.inputs, self.scope)
        return [zeros_of(x) if g is None else g for g, x in zip(found, self.inputs, strict=True)]


__all__ = ["ALIAS", "Pullback", "Scope", "alias", "bottom", "leads_outside", "pull"]
