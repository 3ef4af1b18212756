"""The loss of classifiers: entries at target classes, with weights, and its transpose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.compiler.formulas import where
from chainrule.compiler.indices import INT64, Place, gather, position_of
from chainrule.compiler.maps import Shape
from chainrule.compiler.moves import Rule, full_map
from chainrule.compiler.reductions import position, total
from chainrule.compiler.values import Unsupported, Value, apply, cast, inserted, number, widened
from chainrule.core.node import Node


def _targets(
    target: Value, weight: Value | None, classes: int, dtype: np.dtype[Any], ignored: int
) -> tuple[Value, Value]:
    """Each target's weight, 0 where it is ignored, and the classes, checked, 0 where ignored."""
    if target.dtype.kind not in "iu" or dtype.kind != "f":
        raise Unsupported("a loss of classes of these dtypes")
    target = cast(target, INT64)
    used = apply("not_equal", target, ignored)
    place = position_of(where(used, target, 0), 0, classes)
    weights: Value = cast(used, dtype)
    if weight is not None:
        taken = gather(cast(weight, dtype), [0], [place], target.shape)
        weights = taken * weights
    return weights, place


def _everything(x: Value) -> Value:
    return total(x, tuple(range(x.ndim)))


def _nll(node: Node, args: Sequence[Any], params: Mapping[str, Any]) -> Value:
    """Minus the weighted entry of x (N, C, ...) at the target class (N, ...)."""
    x, target, weight = args
    weights, place = _targets(target, weight, x.shape[1], x.dtype, params["ignore_index"])
    places = _places(target.shape)
    picked = gather(x, places, [place], target.shape)
    loss = where(weights.same(0), number(0, x.dtype), -picked * weights)
    if params["reduction"] == "none":
        return loss
    summed = _everything(loss)
    if params["reduction"] == "sum":
        return summed
    count = _everything(weights)
    return where(count.same(0), number(np.nan, x.dtype), summed / count)


def _places(shape: Shape) -> list[Place]:
    """Where an entry stands of an array with an axis more, the second one, which is indexed."""
    first, *rest = full_map(shape)
    return [first, 0, *rest]


def _nll_spread(node: Node, args: Sequence[Any], params: Mapping[str, Any]) -> Value:
    """Minus the weighted cotangent at the target class, 0 elsewhere."""
    g, target, weight = args
    classes = params["classes"]
    weights, place = _targets(target, weight, classes, g.dtype, params["ignore_index"])
    if params["reduction"] == "mean":
        count = _everything(weights)
        g = where(count.same(0), g * 0, g / count)
    shape = (target.shape[0], classes, *target.shape[1:])
    spread = inserted(widened(-g * weights, target.shape), (1,), len(shape))
    zeros = widened(number(0, g.dtype), shape)
    here = position(zeros, 1).same(inserted(place, (1,), len(shape)))
    return widened(where(here, spread, zeros), shape)


LOSSES: dict[str, Rule] = {"nll": _nll, "nll_spread": _nll_spread}
