"""A graph as values: each node's operation in loads, scalar operations, views, reductions, calls.

What has no compiled form becomes a call of NumPy, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from chainrule.compiler.contractions import CONTRACTIONS
from chainrule.compiler.formulas import FORMULAS, gelu, where_
from chainrule.compiler.gathers import GATHERS
from chainrule.compiler.indices import INDICES, put
from chainrule.compiler.losses import LOSSES
from chainrule.compiler.lowering import COMPILED_DTYPES, FUNCTIONS, OPERATIONS, has_function
from chainrule.compiler.maps import Row, Shape, split_map
from chainrule.compiler.moves import MOVES, full_map, moving
from chainrule.compiler.reductions import REDUCTIONS
from chainrule.compiler.scans import SCANS
from chainrule.compiler.values import (
    CALL,
    GIVEN,
    MAP,
    NUMBER,
    PICK,
    RESHAPED,
    VIEW,
    Unsupported,
    Value,
    apply,
    cast,
    dropped,
    inserted,
    number,
    view,
    viewed,
    widened,
)
from chainrule.core.abstract import AbstractArray
from chainrule.core.node import Node
from chainrule.core.primitive import PICK as PICK_PRIM
from chainrule.graph.ir import Graph
from chainrule.graph.passes.base import UNKNOWN, number_in
from chainrule.graph.run import constant
from chainrule.transforms.tracing import CONSTANT, INPUT


class Expansion:
    """The values of a graph.

    Attributes:
        of: the value of each node; a tuple for an operation with several results.
        order: the values that are computed, each after those that it needs.
        calls: per node that is a call of NumPy, why.
    """

    def __init__(self, graph: Graph, refused: Mapping[Node, str] | None = None) -> None:
        self.of: dict[Node, Any] = {}
        self.order: list[Value] = []
        self.calls: dict[Node, str] = {}
        for node in graph.nodes:
            self.of[node] = self._expand(node, (refused or {}).get(node))

    def _expand(self, node: Node, refusal: str | None) -> Any:
        if node.prim is INPUT:
            return _shaped(GIVEN, "input", (), node)
        if node.prim is PICK_PRIM:
            parent = node.parents[0]
            assert parent is not None
            assert node.params is not None
            found = self.of[parent]
            index = node.params["index"]
            if isinstance(found, tuple):
                return found[index]
            made = _shaped(PICK, "pick", (found,), node, index)
            self.order.append(made)
            return made
        raw = [
            constant(node, a) if p is None else self.of[p]
            for a, p in zip(node.args, node.parents, strict=True)
        ]
        args = [a if isinstance(a, Value) else _constant(a, node) for a in raw]
        if node.prim is CONSTANT:
            return args[0]
        try:
            if refusal is not None:
                raise Unsupported(refusal)
            return self._enter(_compiled_form(node, args), node)
        except Unsupported as reason:
            self.calls[node] = str(reason)
            needed = tuple([a for a in raw if isinstance(a, Value)])
            shape = node.shape if node.shape is not None else ()
            made = Value(CALL, node.prim.name, needed, shape, node.dtype, raw, node)
            self.order.append(made)
            return made

    def _enter(self, found: Any, node: Node) -> Any:
        """List the values that are new, which belong to no node yet, those needed first."""
        stack = [*(found if isinstance(found, tuple) else (found,))]
        while stack:
            value = stack[-1]
            waiting = [a for a in value.args if a.node is None]
            if value.node is None and waiting:
                stack.extend(reversed(waiting))
                continue
            stack.pop()
            if value.node is None:
                value.node = node
                self.order.append(value)
        return found


def _shaped(kind: str, op: str, args: tuple[Value, ...], node: Node, detail: Any = None) -> Value:
    assert node.shape is not None
    return Value(kind, op, args, node.shape, node.dtype, detail, node)


def _constant(value: Any, node: Node) -> Any:
    """A constant of an equation: one number, or an array that is given; None stays None."""
    if value is None:
        return None
    if isinstance(value, AbstractArray):
        raise TypeError(f"{node.prim.name}: a constant without values")
    array = np.asarray(value)
    found = UNKNOWN if array.dtype.kind not in "biuf" or array.ndim == 0 else number_in(array)
    if array.ndim == 0 or found is not UNKNOWN:
        scalar = array if array.ndim == 0 else array.flat[0]
        made = Value(NUMBER, "number", (), array.shape, array.dtype, np.asarray(scalar)[()])
    else:
        made = Value(GIVEN, "constant", (), array.shape, array.dtype, array)
    made.node = node
    return made


def _compiled_form(node: Node, args: Sequence[Any]) -> Any:
    """The node's operation on values.

    Raises:
        Unsupported: if it has no compiled form.
    """
    name = node.prim.name
    params = node.params or {}
    rule = EXPANSIONS.get(name)
    if rule is None:
        raise Unsupported(f"{name} has no compiled form")
    if any(a is None for a in args) and name not in _OPTIONAL:
        raise Unsupported(f"{name} without one of its arguments has no compiled form")
    results = node.out if isinstance(node.out, tuple) else (node.out,)
    for x in (*[a for a in args if a is not None], *results):
        if np.dtype(x.dtype) not in COMPILED_DTYPES:
            raise Unsupported(f"{x.dtype} is not compiled")
        if 0 in x.shape:
            raise Unsupported("an array without entries has nothing to compute")
    found = rule(node, args, params)
    made = found if isinstance(found, tuple) else (found,)
    for value, wanted in zip(made, results, strict=True):
        if tuple(value.shape) != tuple(wanted.shape) or value.dtype != wanted.dtype:
            raise Unsupported(
                f"{name} of these dtypes has no compiled form: {value!r} for {wanted!r}"
            )
    return found


Rule = Callable[[Node, Sequence[Value], Mapping[str, Any]], Any]


def _joint(node: Node, args: Sequence[Value]) -> Sequence[Value]:
    """Operands in their joint dtype, which is that of an equation with explicit casts."""
    kinds = {a.dtype for a in args}
    if len(kinds) > 1:
        joint = np.result_type(*kinds)
        return [cast(a, joint) for a in args]
    return args


def _elementwise(name: str) -> Rule:
    """A scalar operation or a formula of them."""

    def rule(node: Node, args: Sequence[Value], params: Mapping[str, Any]) -> Value:
        given = _joint(node, args)
        formula = FORMULAS.get(name)
        if formula is not None:
            if given[0].dtype.kind != "f" and any(type(p) is float for p in params.values()):
                raise Unsupported("integers and a number with a fraction: NumPy widens them")
            found = formula(*given, **params)
        else:
            if not has_function(name):
                raise Unsupported(f"{name} has no compiled form yet")
            found = apply(name, *given)
        found = widened(found, node.shape or ())
        _check_functions(found, name)
        return found

    return rule


def _check_functions(found: Value, name: str) -> None:
    """Refuse a formula that needs a function that is not there."""
    stack, seen = [found], set()
    while stack:
        value = stack.pop()
        if id(value) in seen or value.node is not None:
            continue
        seen.add(id(value))
        if value.kind == MAP and not has_function(value.op):
            raise Unsupported(f"{name} has no compiled form yet: it needs {value.op}")
        stack.extend(value.args)


def _where(node: Node, args: Sequence[Value], params: Any) -> Value:
    condition, x, y = args
    x, y = _joint(node, [cast(v, node.dtype) if v.kind == NUMBER else v for v in (x, y)])
    return widened(where_(condition, x, y), node.shape or ())


def _pull_product(node: Node, args: Sequence[Value], params: Any) -> Value:
    return widened(apply("pull_product", *_joint(node, args)), node.shape or ())


def _pull_selection(node: Node, args: Sequence[Value], params: Any) -> Value:
    g, chosen = args
    taken = g if chosen.dtype.kind == "b" else g * chosen
    return widened(where_(chosen, taken, number(0, g.dtype)), node.shape or ())


def _gelu(node: Node, args: Sequence[Value], params: Any) -> Any:
    found = gelu(args[0])
    _check_functions(found[1], "gelu")
    return found


def _reduction(name: str) -> Rule:
    def rule(node: Node, args: Sequence[Value], params: Mapping[str, Any]) -> Any:
        found = REDUCTIONS[name](*args, **params)
        for value in found if isinstance(found, tuple) else (found,):
            _check_functions(value, name)
        return found

    return rule


# ---------------------------------------------------------------- moved entries


def _permuted(node: Node, args: Sequence[Value], params: Mapping[str, Any]) -> Value:
    x, axes = args[0], params["axes"]
    place = {a: i for i, a in enumerate(axes)}
    rows = tuple(moving(x.shape[a], place[a]) for a in range(x.ndim))
    return view(x, rows, tuple(x.shape[a] for a in axes))


def _flipped(node: Node, args: Sequence[Value], params: Mapping[str, Any]) -> Value:
    x = args[0]
    axes = {a % x.ndim for a in params["axis"]}
    rows: list[Row] = [
        (d - 1, ((k, -1),)) if k in axes and d != 1 else moving(d, k) for k, d in enumerate(x.shape)
    ]
    return view(x, tuple(rows), x.shape)


def reshape(x: Value, shape: Shape) -> Value:
    """A reshape: a view where axes are split, else another shape of what stands in memory."""
    if x.shape == shape:
        return x
    if x.kind == NUMBER:
        return view(x, (), shape)
    rows = split_map(x.shape, shape)
    if rows is not None:
        return view(x, rows, shape)
    if x.kind == VIEW:
        x = Value(MAP, "copy", (x,), x.shape, x.dtype)
    while x.kind == RESHAPED:
        x = x.args[0]
    return Value(RESHAPED, "reshape", (x,), shape, x.dtype)


def _reshaped(node: Node, args: Sequence[Value], params: Mapping[str, Any]) -> Value:
    x, shape = args[0], tuple(params["shape"])
    if -1 in shape:
        known = prod(d for d in shape if d != -1)
        shape = tuple(x.size // known if d == -1 else d for d in shape)
    return reshape(x, shape)


def _written(node: Node, args: Sequence[Value], params: Mapping[str, Any]) -> Value:
    """A value with another one put where a view of it shows."""
    x, y = args
    name, taken = params["view"]
    shown = EXPANSIONS[name](node, [Value(GIVEN, "input", (), x.shape, x.dtype)], dict(taken))
    base, rows = viewed(shown)
    if base.kind != GIVEN:
        raise Unsupported("a write through a view that is no index map")
    return put(x, widened(cast(y, x.dtype), shown.shape), rows or full_map(x.shape))


def _contraction(name: str) -> Rule:
    def rule(node: Node, args: Sequence[Value], params: Mapping[str, Any]) -> Value:
        given = _joint(node, [a for a in args if a is not None])
        found: Value = CONTRACTIONS[name](*given, **params)
        return found

    return rule


# Operations of which an argument may be None.
_OPTIONAL = frozenset(("linear", "linear_each", "nll", "nll_spread"))


def _same(node: Node, args: Sequence[Value], params: Any) -> Value:
    return args[0]


EXPANSIONS: dict[str, Rule] = {
    **{name: _elementwise(name) for name in (*OPERATIONS, *FUNCTIONS, *FORMULAS)},
    **{name: _reduction(name) for name in REDUCTIONS},
    **{name: _contraction(name) for name in CONTRACTIONS},
    "where": _where,
    "pull_product": _pull_product,
    "pull_selection": _pull_selection,
    "gelu": _gelu,
    "astype": lambda node, args, params: cast(args[0], node.dtype),
    "reshape": _reshaped,
    "broadcast_to": lambda node, args, params: widened(args[0], tuple(params["shape"])),
    "permute_dims": _permuted,
    "expand_dims": lambda node, args, params: inserted(
        args[0], params["axis"], args[0].ndim + len(params["axis"])
    ),
    "squeeze": lambda node, args, params: dropped(args[0], params["axis"]),
    "flip": _flipped,
    "write_view": _written,
    "set_data": lambda node, args, params: args[1],
    "overwrite": lambda node, args, params: widened(cast(args[1], node.dtype), args[0].shape),
    **MOVES,
    **INDICES,
    **GATHERS,
    **LOSSES,
    **SCANS,
    **dict.fromkeys(("detach", "clone", "real", "conj"), _same),
}

__all__ = ["EXPANSIONS", "Expansion", "number", "reshape"]
