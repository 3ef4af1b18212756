"""Partial derivatives as data: what an elementwise operation declares, ready for the sweeps.

A partial is declared as a rule, the number 1 or -1, the name of an argument (or "out") whose value
is itself the derivative, `selection(rule)`, or None where there is none.  Here it becomes a pair
(case, detail).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.node import Node
from chainrule.core.ownership import held_once
from chainrule.core.rules import Rule

LARGE = 1 << 14  # entries
ONE, NAMED, RULE, MINUS_ONE, NONE, SELECTION = range(6)
_POSITION = {"out": -1, "x": 0, "y": 1, "z": 2, "w": 3}


class selection:  # noqa: N801 - read as a function
    """A partial derivative that says which argument the result was taken from (0 or a mask: not).

    Where it is zero nothing flows, not even an infinite cotangent: sqrt(maximum(x, 0)) has the
    gradient 0 at negative x, not 0·inf = nan.
    """

    __slots__ = ("rule",)

    def __init__(self, rule: Callable[..., Any]) -> None:
        self.rule = rule


def case_of(partial: Any) -> tuple[int, Any]:
    """A declared partial derivative as (case, what the case needs)."""
    if partial is None:
        return NONE, None
    if isinstance(partial, selection):
        return SELECTION, Rule(partial.rule)
    if isinstance(partial, str):
        return NAMED, _POSITION[partial]
    if callable(partial):
        return RULE, Rule(partial)
    return (ONE, None) if partial == 1 else (MINUS_ONE, None)


def contribution(
    case: int, detail: Any, node: Node, g: Any, xp: Any, args: Any, out: Any, careful: bool
) -> Any:
    """The cotangent `g` times one partial derivative: what flows to one argument.

    For complex numbers the partial is conjugated (PyTorch's convention: the gradient points to
    steepest ascent).  If `careful`, a zero cotangent wins over an infinite or nan partial,
    and an entry that was not selected over any cotangent.
    """
    if case == ONE:
        return g
    if case == NAMED:
        local = args[detail] if detail >= 0 else out
    elif case == SELECTION:
        local = detail.call(xp, g, args, out, node.params)
        return xp.pull_selection(g, local) if careful else xp.multiply(g, local)
    elif case == RULE:
        local = detail.call(xp, g, args, out, node.params)
    else:
        return -g if case == MINUS_ONE else None
    if node.dtype.kind == "c" and hasattr(local, "dtype"):
        local = xp.conj(local)
    if careful:
        return xp.pull_product(g, local)
    if (
        case == RULE
        and type(local) is np.ndarray
        and local.size > LARGE
        and held_once(local)
        and local.shape == g.shape
        and local.dtype == g.dtype
    ):
        # The rule's own temporary: fresh memory for megabytes costs as much as the arithmetic.
        return xp.multiply(g, local, out=local)
    return xp.multiply(g, local)
