"""Formulas: an equation as people write it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from chainrule.core.node import Node
from chainrule.core.primitive import PICK
from chainrule.transforms.tracing import CONSTANT


def formula(node: Node, names: Mapping[Node, str]) -> str:
    """The right-hand side of a node's equation in terms of the names of others."""
    if node.prim is PICK:
        return f"{names[node.parents[0]]}[{node.params['index']}]"  # type: ignore[index]
    if node.prim is CONSTANT:
        return constant(node.args[0])
    args = [
        constant(a) if p is None else names[p] for a, p in zip(node.args, node.parents, strict=True)
    ]
    if node.prim.symbol is not None and node.prim.symbol.count("{}") == len(args):
        return node.prim.symbol.format(*args)
    params = [f"{k}={v}" for k, v in (node.params or {}).items()]
    return f"{node.prim.name}({', '.join([*args, *params])})"


def constant(value: Any) -> str:
    """A constant in few characters."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, np.ndarray):
        return f"<{value.dtype}{list(value.shape)}>"
    return repr(value)
