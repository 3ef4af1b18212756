"""Losses of scores by class: the score of the right class, and the way back to all classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.core.node import Node
from chainrule.jit.formulas import where
from chainrule.jit.indices import Place, gather, position_of
from chainrule.jit.moves import Rule, moving
from chainrule.jit.reductions import position
from chainrule.jit.values import Unsupported, Value, apply, cast, inserted, number, reduce, widened


def _weights(
    target: Value, weight: Value | None, classes: int, dtype: np.dtype[Any], ignore_index: int
) -> tuple[Value, Value]:
    """Each target's weight, 0 where it is ignored, and the checked targets, 0 where ignored."""
    if target.dtype.kind != "i":
        raise Unsupported("targets that are no signed integers have no compiled form")
    used = apply("not_equal", target, ignore_index)
    index = position_of(where(used, target, 0), 0, classes)
    counts = cast(used, dtype)
    if weight is None:
        return counts, index
    return cast(gather(weight, [0], [index], index.shape), dtype) * counts, index


def _nll(node: Node, args: Sequence[Value], params: Mapping[str, Any]) -> Value:
    """Minus the weighted entry of x (N, C, ...) at the target class (N, ...)."""
    x, target, weight = args
    c, index = _weights(target, weight, x.shape[1], x.dtype, params["ignore_index"])
    rest = [moving(d, k) for k, d in enumerate(target.shape)]
    places: list[Place] = [rest[0], 0, *rest[1:]]
    picked = gather(x, places, [index], index.shape)
    loss = where(c.same(0), number(0, x.dtype), -picked * c)
    if params["reduction"] == "none":
        return loss
    axes = range(loss.ndim)
    total = reduce("sum", loss, axes)
    if params["reduction"] == "sum":
        return total
    count = reduce("sum", c, axes)
    return where(count.same(0), np.nan, total / count)


def _spread(node: Node, args: Sequence[Value], params: Mapping[str, Any]) -> Value:
    """Minus the weighted cotangent at the target class, 0 elsewhere."""
    g, target, weight = args
    classes = params["classes"]
    c, index = _weights(target, weight, classes, g.dtype, params["ignore_index"])
    if params["reduction"] == "mean":
        total = reduce("sum", c, range(c.ndim))
        g = where(total.same(0), g * 0, g / total)
    found = inserted(widened(-g * c, target.shape), (1,), target.ndim + 1)
    shape = (target.shape[0], classes, *target.shape[1:])
    zeros = widened(number(0, g.dtype), shape)
    return where(position(zeros, 1).same(inserted(index, (1,), target.ndim + 1)), found, zeros)


CLASSES: dict[str, Rule] = {"nll": _nll, "nll_spread": _spread}
