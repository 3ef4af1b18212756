"""Derivative rules run once per kind of node, and their equations copied for the rest.

What a rule adds to a graph depends on the operation, its parameters and constants, and the shapes
and dtypes, not on values.  So it is run on placeholders the first time a combination is met; for
every other node of that kind its equations are copied, with the node's own values for placeholders.
That is several times as fast as running Python rules again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from chainrule.core.namespaces import recorded
from chainrule.core.node import Node
from chainrule.core.primitive import PICK, make_node
from chainrule.core.sweep import boxed
from chainrule.graph.walk import by_rules, fitted, needed, node_of, on_trace
from chainrule.transforms.tracing import Traced, TracedArray, input_node, traced

SMALL = 64  # bytes of constants that are compared by value


class Equation(NamedTuple):
    """An equation of a template: its parents are places among the values of the template."""

    prim: Any
    args: tuple[Any, ...]
    out: Any
    params: dict[str, Any] | None
    parents: tuple[int | None, ...]
    shape: Any
    dtype: Any


class Template(NamedTuple):
    """What the rule of a kind of node adds to a graph.

    Places count the adjoint first, then the arguments, then the result, then the equations.

    Attributes:
        equations: in order.
        results: per argument of the node the place of its partial adjoint; a tensor that is
            constant; or None.
    """

    equations: list[Equation]
    results: list[Any]


class Templates:
    """Applies derivative rules on traced tensors; see `chainrule.graph.walk.Pull`."""

    def __init__(self) -> None:
        self.known: dict[Any, Template] = {}
        self.kept: list[Any] = []  # what keys know by identity, which must not be taken again
        self.rules = by_rules(on_trace, recorded)

    def __call__(self, node: Node, adjoint: Any, live: set[Node]) -> Sequence[Any]:
        key = self._key(node, adjoint, live)
        if key is None:
            return self.rules(node, adjoint, live)
        template = self.known.get(key)
        if template is None:
            template = self.known[key] = _made(node, adjoint, live)
        return _copied(template, node, adjoint)

    def _key(self, node: Node, adjoint: Any, live: set[Node]) -> Any:
        """What the rule's equations depend on; None where it is run for every node itself."""
        prim = node.prim
        if not node.parents or prim is PICK or node.shape is None or prim.side_effects:
            return None
        if type(adjoint) is not Traced:
            return None
        parts: list[Any] = [prim, adjoint.array.shape, adjoint.array.dtype, node.shape, node.dtype]
        for a, p in zip(node.args, node.parents, strict=True):
            if p is None:
                parts.append(self._constant(a))
            elif type(a) is not TracedArray:
                return None
            else:
                parts += (p in live, a.shape, a.dtype)
        if node.params:
            parts.append(tuple(node.params.items()))
        key = tuple(parts)
        try:
            hash(key)
        except TypeError:
            return None
        return key

    def _constant(self, a: Any) -> Any:
        if isinstance(a, np.ndarray) and a.nbytes <= SMALL:
            return a.shape, a.dtype, a.tobytes()
        if a is None or isinstance(a, (bool, int, float, complex)):
            return type(a), repr(a)
        self.kept.append(a)
        return id(a)


def _placeholder(array: Any) -> Node:
    return input_node(array.shape, array.dtype, "")


def _made(node: Node, adjoint: Any, live: set[Node]) -> Template:
    """Run the rule of a node on placeholders."""
    stand_ins = [None if p is None else _placeholder(a)
                 for a, p in zip(node.args, node.parents, strict=True)]  # fmt: skip
    seed = _placeholder(adjoint.array)
    result = make_node(
        node.prim, node.args, node.out, node.params, tuple(stand_ins), (node.code, node.lasti)
    )
    result.shape, result.dtype = node.shape, node.dtype
    args, out = boxed(result, node.args, node.out)
    wanted = {s for s, p in zip(stand_ins, node.parents, strict=True) if s and p in live}
    on_trace(result)  # what the rule makes is of this line
    pulled = node.prim.pull(result, traced(seed), recorded, args, out, wanted, True)
    made = [
        None if g is None or p is None or s not in wanted else fitted(recorded, g, p)
        for p, s, g in zip(node.parents, stand_ins, pulled, strict=True)
    ]
    place: dict[Node, int] = {seed: 0, result: 1 + len(stand_ins)}
    place.update((s, i) for i, s in enumerate(stand_ins, 1) if s is not None)
    equations = _equations([node_of(g) for g in made if isinstance(g, Traced)], place)
    results = [place[g.node] if isinstance(g, Traced) else g for g in made]
    return Template(equations, results)


def _equations(roots: Sequence[Node], place: dict[Node, int]) -> list[Equation]:
    """The equations that lead to some nodes from those that have a place, which all get one."""
    equations = []
    for i, node in enumerate(needed(roots, place), 1 + max(place.values())):
        place[node] = i
        parents = tuple([None if p is None else place[p] for p in node.parents])
        equations.append(
            Equation(node.prim, node.args, node.out, node.params, parents, node.shape, node.dtype)
        )
    return equations


def _copied(template: Template, node: Node, adjoint: Any) -> list[Any]:
    """The partial adjoints of a node, by equations like those of its kind."""
    values: list[Any] = [adjoint.node, *node.parents, node]
    where = node.code, node.lasti
    for prim, args, out, params, parents, shape, dtype in template.equations:
        made = make_node(
            prim, args, out, params, tuple([None if i is None else values[i] for i in parents]),
            where,
        )  # fmt: skip
        made.shape = shape
        made.dtype = dtype
        values.append(made)
    return [traced(values[r]) if type(r) is int else r for r in template.results]


__all__ = ["Template", "Templates"]
