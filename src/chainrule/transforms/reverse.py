"""Reverse mode as a transform: functions in, pullbacks out, under any other transforms.

An input is *aliased*: the function gets the same values with a fresh node, and gradients are taken
with respect to that node.  So nested reverse transforms cannot be confused, whatever they close
over.

Under forward mode, Taylor mode or vmap the values are boxes.  Then the tensor at the bottom of the
box is aliased, and a pull goes component by component.  With series y(ε) = Σ y_k ε^k, x(ε), c(ε) for
output, input and cotangent (in forward mode of order 1), the gradient J(x(ε))ᵀ c(ε) has components

    g_k = Σ_{i+j=k} (∂y_i/∂x_0)ᵀ c_j,

because coefficient i of J(x(ε)) is ∂y_i/∂x_0 with the other coefficients of x held fixed.  Under vmap an input that is the same for all
examples is first spread over them (without copying), so that each has a gradient of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.core import engine, modes
from chainrule.core.avals import same
from chainrule.core.batching import leading, moved, spread
from chainrule.core.boxes import Box, Tag, bottom, escaped, newest, next_level, outside, running
from chainrule.core.dtypes import is_inexact
from chainrule.core.kinds import linear
from chainrule.core.node import Aval, Node
from chainrule.core.primitive import LEAF, make_node
from chainrule.core.samples import Sample, uniform
from chainrule.core.source import caller
from chainrule.core.tensor import Tensor, wrap
from chainrule.transforms.batch import Batched, BatchTag, batched
from chainrule.transforms.forward import ForwardTag
from chainrule.transforms.taylor import TaylorTag


class Scope:
    """A reverse transform: alive while its function runs."""

    __slots__ = ("alive", "level", "recording")

    def __init__(self) -> None:
        self.alive = True
        self.level = next_level()
        self.recording = modes.is_recording()


ALIAS = linear(
    "alias", lambda x, scope: x, lambda g: g, aval=same, batch=leading,
    samples=lambda: [Sample(uniform(2, 3), scope=Scope())],
).prim  # fmt: skip


def alias(x: Tensor, scope: Scope) -> Tensor:
    """The same value with a fresh node at the bottom, to differentiate with respect to."""
    tags = [t for t in running.get() if isinstance(t, BatchTag)]
    return _alias(x, scope, tags)


def _alias(x: Any, scope: Scope, tags: list[BatchTag]) -> Any:
    """Alias under the running vmaps `tags`, the newest of which is last."""
    tag = x.tag if isinstance(x, Box) else None
    if tags and (tag is None or tag.level < tags[-1].level):
        *older, top = tags
        if tag is None and not older and (x.node is None or not scope.recording):
            spread_array = np.broadcast_to(x.array, (top.size, *x.array.shape))
            return batched(top, _alias_array(spread_array, None, scope))
        return batched(top, _alias(spread(x, top.size), scope, older))
    if tag is None:
        return _alias_plain(x, scope)
    if isinstance(x, Batched):
        return batched(tag, _alias(x.inner, scope, [t for t in tags if t is not tag]))
    return tag.with_primal(x, lambda primal: _alias(primal, scope, tags))


def _alias_plain(x: Tensor, scope: Scope) -> Tensor:
    array = x.array[...]
    array.flags.writeable = False  # the function must not change what its caller holds
    return _alias_array(array, x.node if scope.recording else None, scope)


def _alias_array(array: Any, parent: Node | None, scope: Scope) -> Tensor:
    node = make_node(
        ALIAS, (Aval(array.shape, array.dtype),), None, {"scope": scope}, (parent,), caller(1)
    )
    node.shape, node.dtype = array.shape, array.dtype
    made: Tensor = wrap(array, node)
    return made


def pull(
    outs: Sequence[Any], cotangents: Sequence[Any], inputs: Sequence[Any], scope: Scope | None,
    create_graph: bool = False,
) -> list[Any]:  # fmt: skip
    """Gradients with respect to aliased inputs; None where nothing depends on an input."""
    pairs = [(y, c) for y, c in zip(outs, cotangents, strict=True) if c is not None]
    if not pairs:
        return [None] * len(inputs)
    ys = [y for y, _ in pairs]
    tag = newest([*ys, *inputs, *[below_batches(c) for _, c in pairs]])
    if tag is not None:
        if not tag.alive:
            raise escaped(tag, "vjp_fn")
        newer = newest([c for _, c in pairs])
        if newer is not None and newer.level > tag.level and not isinstance(newer, BatchTag):
            return _pull_apart(newer, pairs, inputs, scope, create_graph)
        found: list[Any] = _PULLS[type(tag)](tag, pairs, inputs, scope, create_graph)
        return found
    return _pull_plain(pairs, [x.node for x in inputs], scope, create_graph)


def below_batches(c: Any) -> Any:
    """What a cotangent is below the vmaps that map it.

    Maps that the outputs know nothing of stay around the cotangent to the end, where the rules meet
    them; forward and Taylor modes are taken apart, because a pull is linear in its cotangent.
    """
    while isinstance(c, Batched):
        c = c.inner
    return c


def _pull_plain(
    pairs: Sequence[tuple[Tensor, Any]], nodes: Sequence[Node], scope: Scope | None,
    create_graph: bool,
) -> list[Any]:  # fmt: skip
    pairs = [(y, c) for y, c in pairs if y.node is not None]
    boxes = any(isinstance(c, Box) for _, c in pairs)
    order, live = engine.between([y.node for y, _ in pairs if y.node is not None], nodes)
    seeds = [(y.node, c) for y, c in pairs if y.node in live]
    if not seeds:
        return [None] * len(nodes)
    create_graph = create_graph or must_record(order, live, [c for _, c in seeds], scope)
    if not (create_graph or boxes):
        seeds = [(n, c.array) for n, c in seeds]
    found, _ = engine.pull(order, seeds, live, set(nodes), create_graph, on_tensors=boxes)  # type: ignore[arg-type]
    return [None if g is None else g if isinstance(g, Tensor) else wrap(g)
            for g in (found.get(n) for n in nodes)]  # fmt: skip


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


def _pull_series(tag: Any, pairs: Any, inputs: Any, scope: Any, create_graph: bool) -> list[Any]:
    """Forward and Taylor mode: a tangent is coefficient 1 of a series of order 1."""
    split = [(tag.components(y), components_under(tag, c)) for y, c in pairs]
    bottoms = [tag.components(x)[0] for x in inputs]
    found = []
    for k in range(len(split[0][0])):
        products = [(ys[i], cs[k - i]) for ys, cs in split for i in range(k + 1)]
        wanted = [(y, c) for y, c in products if y is not None and c is not None]
        columns = [y for y, _ in wanted], [c for _, c in wanted]
        found.append(pull(*columns, bottoms, scope, create_graph))
    return [join_over(tag, g) for g in zip(*found, strict=True)]


def _pull_apart(tag: Any, pairs: Any, inputs: Any, scope: Any, create_graph: bool) -> list[Any]:
    """Cotangents that are series of a transform newer than the values: a pull is linear in them."""
    split = [(y, components_under(tag, c)) for y, c in pairs]
    found = []
    for k in range(len(split[0][1])):
        wanted = [(y, cs[k]) for y, cs in split if cs[k] is not None]
        columns = [y for y, _ in wanted], [c for _, c in wanted]
        found.append(pull(*columns, inputs, scope, create_graph))
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


def _pull_batched(
    tag: BatchTag, pairs: Any, inputs: Any, scope: Any, create_graph: bool
) -> list[Any]:
    if not all(tag.holds(x) for x in inputs):
        raise RuntimeError(
            f"{tag.title}: the gradient with respect to a tensor that is not mapped over was asked "
            "for inside the mapped function by autograd.grad or backward; use func.grad or "
            "func.vjp there, which give every example a gradient of its own"
        )
    ys = [tag.inner(y) for y, _ in pairs]
    cs = [unmapped_under(tag, c) for _, c in pairs]
    with outside(tag):  # rules of the user may differentiate, and alias what they work on
        found = pull(ys, cs, [x.inner for x in inputs], scope, create_graph)
    return [None if g is None else mapped_over(tag, g) for g in found]


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
            self.result = f(*self.inputs)
        finally:
            self.scope.alive = False
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
