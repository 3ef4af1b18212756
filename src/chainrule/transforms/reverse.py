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

Under vmap, unmapped values enter mapped operations at crossings (`chainrule.transforms.crossings`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from chainrule.core import engine, modes
from chainrule.core.boxes import Box, Tag, escaped, newest, outside
from chainrule.core.dtypes import is_inexact
from chainrule.core.node import Node
from chainrule.core.tensor import Tensor, wrap
from chainrule.transforms.batch import Batched, BatchTag, batched
from chainrule.transforms.crossings import (
    Pending,
    closed,
    crossings_of,
    mapped_over,
    opened,
    position_of,
    refuse_bypass,
    unmapped_under,
)
from chainrule.transforms.forward import ForwardTag
from chainrule.transforms.scope import Scope, alias, must_record, wanted_by_others, zeros_of
from chainrule.transforms.taylor import TaylorTag
from chainrule.transforms.tracing import TraceTag


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
    create_graph: bool, stops: set[Node], traced: bool = False,
) -> list[Any]:  # fmt: skip
    wanted = {n for n in nodes if n is not None}
    pairs = [(y, c) for y, c in pairs if y.node is not None]
    boxes = any(isinstance(c, Box) for _, c in pairs)
    order, live = engine.between([y.node for y, _ in pairs if y.node is not None], wanted, stops)
    if traced:  # what has no derivative is on a trace too
        live = {n for n in live if n.shape is None or is_inexact(n.dtype)}
        order = [n for n in order if n in live]
    seeds = [(y.node, c) for y, c in pairs if y.node in live]
    if not seeds:
        return [None] * len(nodes)
    create_graph = traced or create_graph or must_record(order, [c for _, c in seeds], scope)
    if not (create_graph or boxes):
        seeds = [(n, c.array) for n, c in seeds]
    found, _ = engine.pull(  # a trace knows no values, by which to tell whether care is needed
        order,
        seeds,
        live,
        wanted,
        create_graph,
        boxes,
        stops,
        careful=traced,  # type: ignore[arg-type]
    )
    return [None if g is None else g if isinstance(g, Tensor) else wrap(g)
            for g in (None if n is None else found.get(n) for n in nodes)]  # fmt: skip


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
            refuse_bypass(tag, mapped, crossings, [inputs[i] for i in shared])
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
        position = position_of(value, shared)
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


def _plus(a: Any, b: Any) -> Any:
    """The sum of two gradients, either of which may be None for zero."""
    return b if a is None else a if b is None else a + b


def _pull_traced(
    tag: Any, pairs: Any, inputs: Any, scope: Any, create_graph: bool, pending: Any
) -> list[Any]:
    """On a trace, which is a tape without values: the pull extends it."""
    stops = {n for p in pending for n in p.nodes}
    return _pull_plain(pairs, [x.node for x in inputs], scope, create_graph, stops, traced=True)


_PULLS: dict[type[Tag], Callable[..., list[Any]]] = {
    ForwardTag: _pull_series,
    TaylorTag: _pull_series,
    BatchTag: _pull_batched,
    TraceTag: _pull_traced,
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
        if self.scope.recording and wanted_by_others({y.node}):
            return y
        array = y.array
        made: Tensor = wrap(array if array.flags.writeable else array.copy())
        return made

    def must_record(self, order: Sequence[Node], seeds: Sequence[Any]) -> bool:
        """Whether what a walk over the region computes may be differentiated by the caller."""
        return must_record(order, seeds, self.scope)

    def pull(self, outs: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
        """Gradients with respect to the inputs, zeros where nothing depends on one."""
        found = pull(outs, cotangents, self.inputs, self.scope)
        return [zeros_of(x) if g is None else g for g, x in zip(found, self.inputs, strict=True)]
