"""Clean-up: casts, broadcasts, reshapes, transposes and copies that change nothing, or meet.

They come from rules of derivatives, which are written for all shapes and dtypes alike.
"""

from __future__ import annotations

from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from chainrule.core.node import Node
from chainrule.core.primitive import REGISTRY
from chainrule.graph.ir import Graph
from chainrule.graph.passes.base import (
    UNKNOWN,
    Fired,
    Operand,
    graph_pass,
    known,
    make,
    operand,
    operand_of,
)
from chainrule.graph.passes.patterns import Procedure, Table, same
from chainrule.graph.rewrite import rewritten, with_arguments

RESHAPES = ("reshape", "expand_dims", "squeeze")
EXTREMES = ("amax", "amin", "max_all", "min_all")


def _only(node: Node) -> Node | None:
    """The node that computes the one argument; None if that is a constant."""
    return node.parents[0]


def _through(node: Node, *prims: str) -> Node | None:
    """The argument of the argument, if the latter comes from one of these primitives."""
    inner = node.parents[0]
    if inner is None or inner.prim.name not in prims:
        return None
    return inner.parents[0]


def _unchanged(node: Node) -> Node | None:
    """The argument, if the result has its shape and dtype."""
    x = _only(node)
    return x if x is not None and x.shape == node.shape and x.dtype == node.dtype else None


# ---------------------------------------------------------------- casts


def holds_exactly(wide: np.dtype[Any], narrow: np.dtype[Any]) -> bool:
    """Whether every number of one dtype is a number of another.

    A float of p bits of precision holds integers of up to p bits.
    """
    if "V" in (wide.kind, narrow.kind):
        return wide == narrow
    if narrow.kind in "iu" and wide.kind in "fc":
        precision = np.finfo(wide).nmant + 1
        return 8 * narrow.itemsize - (narrow.kind == "i") <= precision
    return bool(np.can_cast(narrow, wide, "safe"))


def _cast_of_cast(node: Node) -> Node | None:
    """A cast after a cast that lost nothing.

    From floats to integers it stays: what numbers out of range become depends on the float.
    """
    x = _through(node, "astype")
    if x is None:
        return None
    middle = node.parents[0].dtype  # type: ignore[union-attr]
    if not holds_exactly(middle, x.dtype) or (node.dtype.kind in "iu" and middle.kind in "fc"):
        return None
    if x.dtype == node.dtype:
        return x
    return make("astype", [operand_of(x)], node, dtype=node.dtype)


# ---------------------------------------------------------------- shapes


def _broadcast_again(node: Node) -> Node | None:
    x = _through(node, "broadcast_to")
    return None if x is None else make("broadcast_to", [operand_of(x)], node, shape=node.shape)


def _broadcast_of_leading(node: Node) -> Node | None:
    """A broadcast adds leading axes by itself."""
    x = _through(node, *RESHAPES)
    inner = node.parents[0]
    if x is None or inner is None or x.shape is None or inner.shape is None:
        return None
    extra = len(inner.shape) - len(x.shape)
    if extra <= 0 or inner.shape[extra:] != x.shape or set(inner.shape[:extra]) != {1}:
        return None
    return make("broadcast_to", [operand_of(x)], node, shape=node.shape)


def _needless_broadcast(node: Node) -> Node | None:
    """An operand that is broadcast before an operation that would broadcast it anyway."""
    for i, p in enumerate(node.parents):
        if p is None or p.prim.name != "broadcast_to":
            continue
        found = operand(p, 0)
        if known(*found) is UNKNOWN and found.node is None:
            continue
        shapes = [tuple(getattr(a, "shape", ())) for a in node.args]
        shapes[i] = found.shape
        if np.broadcast_shapes(*shapes) == node.shape:
            args, parents = list(node.args), list(node.parents)
            args[i], parents[i] = found.value, found.node
            return with_arguments(node, args, parents)
    return None


def _needless_guard(node: Node) -> Node | None:
    """A guard that is never zero, or stands there already, guards nothing."""
    if len(node.args) == 2:
        return None
    kept = [0, 1]
    met = [operand(node, 0)]
    for i in range(2, len(node.args)):
        guard = operand(node, i)
        value = known(*guard)
        if (value is not UNKNOWN and np.all(value)) or any(same(guard, m) for m in met):
            continue
        met.append(guard)
        kept.append(i)
    if len(kept) == len(node.args):
        return None
    args, parents = [node.args[i] for i in kept], [node.parents[i] for i in kept]
    shape = np.broadcast_shapes(*[tuple(getattr(a, "shape", ())) for a in args])
    return with_arguments(node, args, parents) if shape == node.shape else None


def _without_guards(node: Node) -> Node | None:
    """For ordinary numbers, guards guard nothing."""
    if len(node.args) == 2:
        return None
    shapes = [tuple(getattr(a, "shape", ())) for a in node.args[:2]]
    if np.broadcast_shapes(*shapes) != node.shape:
        return None
    return with_arguments(node, node.args[:2], node.parents[:2])


def _reshape_again(node: Node) -> Node | None:
    x = _through(node, *RESHAPES)
    if x is None:
        return None
    return _shaped(x, node)


def _permute_again(node: Node) -> Node | None:
    x = _through(node, "permute_dims")
    if x is None:
        return None
    inner = node.parents[0].params["axes"]  # type: ignore[union-attr,index]
    axes = tuple([inner[a] for a in node.params["axes"]])  # type: ignore[index]
    if axes == tuple(range(len(axes))):
        return x
    return make("permute_dims", [operand_of(x)], node, axes=axes)


def _permute_nothing(node: Node) -> Node | None:
    """Axes that keep their order, those of length 1 aside: the entries stay where they are."""
    x, axes = _only(node), node.params["axes"]  # type: ignore[index]
    if x is None or x.shape is None:
        return None
    if axes == tuple(range(len(axes))):
        return x
    long = [a for a in axes if x.shape[a] != 1]
    if any(a > b for a, b in pairwise(long)):
        return None
    return _shaped(x, node)


def _same_parameters(name: str) -> Procedure:
    """Twice with the same parameters is not at all, as flipping is, or once, as cutting is."""
    undoes = name == "flip"

    def change(node: Node) -> Node | None:
        x = _through(node, name)
        if x is None or node.params != node.parents[0].params:  # type: ignore[union-attr]
            return None
        return x if undoes else node.parents[0]

    return Procedure(f"{name} twice", (name,), change)


# ---------------------------------------------------------------- reductions and joins


def _sum_nothing(node: Node) -> Node | None:
    """A sum over axes of length 1: the entries themselves, but for -0.0, of which it makes 0.0."""
    return None if node.dtype.kind in "biu" else _reduce_nothing(node)


def _sum_no_integers(node: Node) -> Node | None:
    return _reduce_nothing(node) if node.dtype.kind in "biu" else None


def _reduce_nothing(node: Node) -> Node | None:
    """A product or extreme over axes of length 1: the entries themselves."""
    x = _only(node)
    if x is None or x.shape is None or x.dtype != node.dtype:
        return None
    axis = node.params["axis"]  # type: ignore[index]
    if any(x.shape[a] != 1 for a in axis):
        return None
    return _shaped(x, node)


def _sum_of_broadcast(node: Node) -> Node | None:
    """n times the entry, for axes that a broadcast has made; rounded once, not n times."""
    x = _through(node, "broadcast_to")
    inner = node.parents[0]
    if x is None or inner is None or x.shape is None or inner.shape is None:
        return None
    if node.dtype != x.dtype or node.params["keepdims"]:  # type: ignore[index]
        return None
    axis = node.params["axis"]  # type: ignore[index]
    extra = len(inner.shape) - len(x.shape)
    repeated = all(a < extra or x.shape[a - extra] == 1 for a in axis)
    kept = [d for a, d in enumerate(inner.shape) if a not in axis]
    if not repeated or prod(kept) != prod(x.shape):
        return None
    n = np.asarray(prod(inner.shape[a] for a in axis), node.dtype)
    scaled = make("multiply", [operand_of(x), Operand(n, None)], node)
    return _shaped(scaled, node)


def _sum_of_sum(node: Node) -> Node | None:
    """One sum over all axes; the terms are added in another order."""
    x = _through(node, "sum")
    inner = node.parents[0]
    if x is None or inner is None or x.shape is None or x.dtype != node.dtype:
        return None
    first, then = inner.params["axis"], node.params["axis"]  # type: ignore[index]
    if inner.params["keepdims"] or node.params["keepdims"]:  # type: ignore[index]
        return None
    left = [a for a in range(len(x.shape)) if a not in first]
    axis = tuple(sorted([*first, *[left[a] for a in then]]))
    return make("sum", [operand_of(x)], node, axis=axis, keepdims=False)


def _join_of_one(node: Node) -> Node | None:
    x = _only(node)
    if len(node.parents) != 1 or x is None:
        return None
    return _shaped(x, node)


def _shaped(x: Node, node: Node) -> Node:
    """A node's entries in the shape of another."""
    return x if x.shape == node.shape else make("reshape", [operand_of(x)], node, shape=node.shape)


# ---------------------------------------------------------------- marks


def _detached_already(node: Node) -> Node | None:
    """A detach of what has no derivative anyway: detached, or an integer."""
    x = _only(node)
    if x is None:
        return None
    more = node.params.get("forward") or not x.params.get("forward")  # type: ignore[union-attr]
    return x if x.dtype.kind in "biu" or (x.prim.name == "detach" and more) else None


def _real_of_real(node: Node) -> Node | None:
    x = _unchanged(node)
    return x if x is not None and x.dtype.kind != "c" else None


_BROADCASTING = tuple(
    name for name, prim in REGISTRY.items()
    if prim.partials is not None or name in ("pull_product", "pull_selection", "where")
)  # fmt: skip

RULES = [
    Procedure("cast to the same dtype", ("astype",), _unchanged),
    Procedure("cast of a widening cast", ("astype",), _cast_of_cast),
    Procedure("broadcast to the same shape", ("broadcast_to",), _unchanged),
    Procedure("broadcast of a broadcast", ("broadcast_to",), _broadcast_again),
    Procedure("broadcast of leading axes", ("broadcast_to",), _broadcast_of_leading),
    Procedure("needless broadcast", _BROADCASTING, _needless_broadcast),
    Procedure("needless guard", ("pull_product",), _needless_guard),
    Procedure("guard", ("pull_product",), _without_guards, exact=False),
    Procedure("reshape to the same shape", RESHAPES, _unchanged),
    Procedure("reshape of a reshape", RESHAPES, _reshape_again),
    Procedure("transpose that moves nothing", ("permute_dims",), _permute_nothing),
    Procedure("transpose of a transpose", ("permute_dims",), _permute_again),
    Procedure("reduction over nothing", ("prod", *EXTREMES), _reduce_nothing),
    Procedure("sum of integers over nothing", ("sum",), _sum_no_integers),
    Procedure("sum over nothing", ("sum", "mean"), _sum_nothing, exact=False),
    Procedure("sum of a broadcast", ("sum",), _sum_of_broadcast, exact=False),
    Procedure("sum of a sum", ("sum",), _sum_of_sum, exact=False),
    Procedure("join of one", ("concat", "stack"), _join_of_one),
    Procedure("conj or real part of a real number", ("conj", "real"), _real_of_real),
    Procedure("copy", ("clone",), _unchanged),
    Procedure("detach of what has no derivative", ("detach",), _detached_already),
    *map(_same_parameters, ("flip", "tril", "triu")),
]
TABLE = Table(RULES)


@graph_pass("casts and shapes")
def clean(graph: Graph, fired: Fired, *, fast: bool = False) -> Graph:
    """Take out casts, broadcasts, reshapes, transposes and copies that change nothing, or meet."""
    return rewritten(graph, lambda node: TABLE.simplified(node, fast, fired))
