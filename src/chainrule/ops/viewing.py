"""The short way to take a view: tensor, node and family entry are made in one place.

Programs take views all the time, so this does what `bind` would, without its generality.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from chainrule.core.fast import place_of
from chainrule.core.modes import get_mode
from chainrule.core.node import Aval, Node, next_seq
from chainrule.core.primitive import Primitive, bind
from chainrule.core.tensor import Parameter, Tensor, new, note_view

_last: tuple[Any, ...] = (Aval((), np.dtype(float)),)


def _args_of(x: Any) -> tuple[Any, ...]:
    """What the node of a view keeps: shape and dtype, the same object for views in a row."""
    global _last
    known = _last
    aval = known[0]
    if aval.shape != x.shape or aval.dtype is not x.dtype:
        known = _last = (Aval(x.shape, x.dtype),)
    return known


def is_plain(x: Any, mode: Any) -> bool:
    """Whether the short way is open: an ordinary tensor, and no special recording mode."""
    kind = type(x)
    return (kind is Tensor or kind is Parameter) and (mode is True or mode is False)


def result_of(
    x: Tensor, found: Any, prim: Primitive, params: dict[str, Any], mode: Any, shared: bool
) -> Tensor:
    """The array `found` as the result of `prim`, whose rules need no more than the shape of `x`.

    If it shares the memory of `x`, it is a view.
    """
    t: Tensor = new(Tensor)
    t.array = found
    t.node = None
    parent = x.node
    if parent is not None and mode:
        node = t.node = Node()
        node.prim = prim
        node.args = _args_of(x.array)
        node.out = node.extra = None
        node.params = params
        node.parents = (parent,)
        node.seq = next_seq()
        node.shape = found.shape
        node.dtype = found.dtype
        node.code, node.lasti = place_of(sys._getframe(1))
    if shared:
        note_view(t, x, prim, params)
    return t


def view_or_copy(
    x: Tensor, found: Any, prim: Primitive, params: dict[str, Any], mode: Any
) -> Tensor:
    """The array `found` as the result of `prim` for `x`, whose memory it shares or not."""
    array = x.array
    # NumPy gives some views that change nothing, such as squeeze(()), as the array itself.
    shared = found is array or (found.base is not None and np.may_share_memory(found, array))
    return result_of(x, found, prim, params, mode, shared)


def viewing(function: Any) -> Any:
    """The function of a one-argument view primitive, taking the short way where it is open."""
    prim = function.prim

    def take(x: Any, **params: Any) -> Any:
        mode = get_mode()
        if not is_plain(x, mode):
            return bind(prim, (x,), params)
        return view_or_copy(x, prim.eval(x.array, **params), prim, params, mode)

    take.__name__ = take.__qualname__ = prim.name
    take.prim = prim  # type: ignore[attr-defined]
    return take
