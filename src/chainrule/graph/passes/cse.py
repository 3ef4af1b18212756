"""Common subexpressions: equations that compute the same value become one.

Hash-consing: an equation's key is its operation, parameters and operands, where operands have been
made one already.  So a single walk in order finds all of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.node import Node
from chainrule.graph.ir import Graph
from chainrule.graph.passes.base import UNKNOWN, Fired, graph_pass, known
from chainrule.graph.passes.patterns import COMMUTATIVE
from chainrule.graph.rewrite import rewritten
from chainrule.transforms.tracing import INPUT

SMALL = 1024  # bytes up to which constants are compared by value

# Of equal operands, 0.0 and -0.0, these return the first, so their order counts for floats.
_ORDER_OF_ZEROS = frozenset({"maximum", "minimum", "fmax", "fmin"})
_PLAIN = (int, str, bool, type(None), type(...), np.dtype)


@graph_pass("common subexpressions")
def cse(graph: Graph, fired: Fired) -> Graph:
    """Let equations that compute the same value become one."""
    known_keys: dict[Any, Node] = {}
    kept: list[Any] = []  # what keys name by identity must live as long as they do

    def change(node: Node) -> Node:
        key = _key(node, kept)
        if key is None:
            return node
        found = known_keys.setdefault(key, node)
        if found is not node:
            fired[node.prim.name] += 1
        return found

    return rewritten(graph, change)


def _key(node: Node, kept: list[Any]) -> Any:
    """What equations that compute the same have in common; None for what must stay apart."""
    prim = node.prim
    if prim is INPUT or prim.side_effects:
        return None
    if None in node.parents:
        operands = []
        for a, p in zip(node.args, node.parents, strict=True):
            value = id(p) if p is not None else known(a, None)
            if value is UNKNOWN:
                return None
            operands.append(value if p is not None else _constant_key(value))
    else:
        operands = [id(p) for p in node.parents]
    if len(operands) == 2 and prim.name in COMMUTATIVE and _commutes(node):
        operands.sort(key=_order)
    params = _params_key(node.params, kept) if node.params else None
    return (prim, params, *operands)


def _commutes(node: Node) -> bool:
    """Whether the order of operands cannot be seen in the result, not even in its last bit."""
    if node.dtype.kind == "f":
        return node.prim.name not in _ORDER_OF_ZEROS
    # The parts of a complex product are sums of products, which compilers fuse from one side.
    return node.dtype.kind != "c" or node.prim.name != "multiply"


def _order(key: Any) -> tuple[bool, Any]:
    return (True, repr(key)) if isinstance(key, tuple) else (False, key)


def _constant_key(value: Any) -> Any:
    if type(value) is np.ndarray:
        if value.nbytes <= SMALL and value.dtype.kind in "biufc":
            return ("array", value.dtype.char, value.shape, value.tobytes())
        return ("array", id(value))
    return (type(value).__name__, repr(value))


def _params_key(params: dict[str, Any], kept: list[Any]) -> Any:
    """Parameters as a key: 1, 1.0 and True apart, 0.0 and -0.0 too; other objects by identity."""
    found: list[Any] = []
    pending: list[Any] = [x for item in params.items() for x in item]
    while pending:
        value = pending.pop()
        if isinstance(value, (tuple, list)):
            found.append((type(value).__name__, len(value)))
            pending.extend(value)
        elif isinstance(value, (float, complex)):
            found.append(repr(value))
        elif isinstance(value, _PLAIN):
            found.append((type(value).__name__, value))
        else:
            kept.append(value)
            found.append(id(value))
    return tuple(found)
