"""Looking up, and adding up, by indices: selections along an axis, embeddings, bins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from chainrule.compiler.formulas import where
from chainrule.compiler.indices import INT64, Place, gather, position_of
from chainrule.compiler.maps import Shape
from chainrule.compiler.moves import Rule, full_map, moving
from chainrule.compiler.reductions import position, total
from chainrule.compiler.values import (
    MAP,
    PATCH,
    Unsupported,
    Value,
    apply,
    cast,
    dropped,
    inserted,
    number,
    widened,
)
from chainrule.core.node import Node


def _in_range(node: Node, args: Sequence[Value], params: Mapping[str, Any]) -> Value:
    """Positions as they are, once they are checked."""
    x = args[0]
    if x.dtype != INT64:
        raise Unsupported("positions of another dtype than int64")
    return Value(MAP, "position", (x,), x.shape, INT64, (params["low"], params["size"], 0))


def _in_image(node: Node, args: Sequence[Value], params: Mapping[str, Any]) -> Value:
    """Positions in an image as they are, once they are checked."""
    return _in_range(node, args, {"low": 0, "size": prod(params["size"])})


def _select(node: Node, args: Sequence[Value], params: Mapping[str, Any]) -> Value:
    """Entries along an axis, at an index for every line."""
    x, index = args
    axis = params["axis"]
    if not x.ndim:
        return x
    places: list[Place] = [*full_map(x.shape)]
    places[axis] = 0
    at = position_of(index, -x.shape[axis], x.shape[axis])
    if any(n != d for k, (n, d) in enumerate(zip(index.shape, x.shape, strict=True)) if k != axis):
        raise Unsupported("an index that is no line for every line")
    found = gather(x, places, [at], index.shape)
    return found if params.get("keepdims", True) else dropped(found, (axis,))


def _spread(node: Node, args: Sequence[Value], params: Mapping[str, Any]) -> Value:
    """Zeros with entries at an index of every line."""
    g, index = args
    axis, shape = params["axis"], params["shape"]
    if not shape:
        return g
    if not params["keepdims"]:
        g = inserted(g, (axis,), len(shape))
    zeros = widened(number(0, g.dtype), shape)
    at = position_of(index, -shape[axis], shape[axis])
    if index.shape[axis] == 1:
        return where(position(zeros, axis).same(at), widened(g, shape), zeros)
    places: list[Place] = [*full_map(shape)]
    places[axis] = 0
    mode = "add" if params["repeats"] else "put"
    return Value(PATCH, mode, (zeros, widened(g, index.shape), at), shape, g.dtype, tuple(places))


def _embedding(node: Node, args: Sequence[Value], params: Mapping[str, Any]) -> Value:
    table, index = args
    shape = (*index.shape, *table.shape[1:])
    return gather(table, _rows(index, table.shape[1:]), [_rows_at(index, table.shape)], shape)


def _rows(index: Value, width: Shape) -> list[Place]:
    """The places of rows at an index: the other axes follow those of the index."""
    return [0, *[moving(d, index.ndim + k) for k, d in enumerate(width)]]


def _rows_at(index: Value, table: Shape) -> Value:
    """A checked index of rows, which broadcasts against the rows that are taken."""
    low = 0
    at = position_of(index, low, table[0])
    places = range(index.ndim, index.ndim + len(table) - 1)
    return inserted(at, tuple(places), index.ndim + len(table) - 1)


def _embedding_rows(node: Node, args: Sequence[Value], params: Mapping[str, Any]) -> Value:
    """A table with rows added at an index; what goes to the padding row is left out."""
    g, index = args
    padding = params["padding_idx"]
    table = (params["rows"], *g.shape[index.ndim :])
    if isinstance(padding, tuple):
        raise Unsupported("several tables with a padding row each")
    at = _rows_at(index, table)
    if padding is not None:
        g = where(at.same(padding), number(0, g.dtype), g)
    places = tuple(_rows(index, table[1:]))
    zeros = widened(number(0, g.dtype), table)
    return Value(PATCH, "add", (zeros, g, at), table, g.dtype, places)


def _bins(node: Node, args: Sequence[Value], params: Mapping[str, Any]) -> Value:
    """Weights added up by bin, in float64 as NumPy does."""
    w, index = args
    shape = (params["size"],)
    wide = cast(w, "f8")
    zeros = widened(number(0, wide.dtype), shape)
    at = position_of(index, 0, params["size"])
    return cast(Value(PATCH, "add", (zeros, wide, at), shape, wide.dtype, (0,)), w.dtype)


def _without_nan(node: Node, args: Sequence[Value], params: Mapping[str, Any]) -> Value:
    """A sum in which nan counts as 0."""
    x = args[0]
    if x.dtype.kind == "f":
        x = where(apply("isnan", x), number(0, x.dtype), x)
    found: Value = total(x, **params)
    return found


GATHERS: dict[str, Rule] = {
    "nansum": _without_nan,
    "positions_in_range": _in_range,
    "within": _in_image,
    "spread_along": _spread,
    "embedding": _embedding,
    "embedding_rows": _embedding_rows,
    "weight_per_bin": _bins,
    **dict.fromkeys(
        ["select_along", "max_along", "min_along", "cummax_along", "cummin_along", "sort_along",
         "topk_along", "kthvalue_along", "median_along", "nanmedian_along", "mode_along"],
        _select,
    ),
}  # fmt: skip
