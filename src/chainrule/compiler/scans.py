"""Running sums, products and extremes: each entry along one axis from the one before.

The loop over that axis carries the result, in a register where it is the innermost one, else in the
memory of the result, so that the innermost loop, over neighbours, is made of vectors. Entries are
added in NumPy's order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from chainrule.compiler.formulas import where
from chainrule.compiler.indices import INT64
from chainrule.compiler.kernel import Access, Nest
from chainrule.compiler.lowering import emit, has_rare
from chainrule.compiler.moves import Rule, full_map
from chainrule.compiler.reductions import position
from chainrule.compiler.values import MAP, Unsupported, Value, apply, cast, number, view
from chainrule.core.node import Node

if TYPE_CHECKING:
    from chainrule.compiler.loops import Body


def scan(op: str, args: Sequence[Value], axis: int, reverse: bool = False) -> Value:
    """The running result of an operation along an axis; of a "recurrence", x·before + y."""
    last = args[-1]
    if last.ndim == 0 or last.shape[axis] == 1:
        return last
    if reverse:
        args = [_flipped(a, axis) for a in args]
    made = Value(MAP, "scan", tuple(args), last.shape, last.dtype, (op, axis))
    return _flipped(made, axis) if reverse else made


def _flipped(x: Value, axis: int) -> Value:
    rows = list(full_map(x.shape))
    rows[axis] = (x.shape[axis] - 1, ((axis, -1),))
    return view(x, tuple(rows), x.shape)


def _accumulated(op: str) -> Rule:
    def rule(node: Node, args: Sequence[Value], params: Mapping[str, Any]) -> Value:
        x = args[0] if args[0].dtype.kind == "f" else cast(args[0], INT64)
        return scan(op, [x], params["axis"], params.get("reverse", False))

    return rule


def _recurrence(node: Node, args: Sequence[Value], params: Mapping[str, Any]) -> Value:
    x, y = args
    if x.shape != y.shape or x.dtype != y.dtype:
        raise Unsupported("a recurrence of two shapes or dtypes")
    return scan("recurrence", [x, y], params["axis"], params["reverse"])


def _index(op: str) -> Rule:
    """Where the running extreme stands: the last of equal entries, or a nan once there is one."""

    def rule(node: Node, args: Sequence[Value], params: Mapping[str, Any]) -> Value:
        x, axis = args[0], params["axis"]
        if not x.ndim or x.shape[axis] == 1:
            return view(number(0, INT64), (), x.shape)
        hit = x.same(scan(op, [x], axis))
        if x.dtype.kind == "f":
            hit = hit | apply("isnan", x)
        return scan("maximum", [where(hit, position(x, axis), 0)], axis)

    return rule


SCANS: dict[str, Rule] = {
    "cumsum": _accumulated("add"),
    "cumprod": _accumulated("multiply"),
    "logcumsumexp": _accumulated("logaddexp"),
    "recurrence": _recurrence,
    "cummax_index": _index("maximum"),
    "cummin_index": _index("minimum"),
}


def write_scan(
    body: Body, nest: Nest, place: int, args: Sequence[Any], indices: Sequence[Any]
) -> Any:
    """One entry of a running result, or several neighbouring ones.

    Blocks with rare arguments are computed again, so there the entry before comes from memory.
    """
    b, s, c = body.builder, body.scalars, nest.code[place]
    assert c.access is not None
    assert c.operand is not None
    first = b.icmp_signed("==", body.place(c.access, indices), body.whole(0))
    inner = c.access.strides[-1] != 0 and not any(has_rare(k.op, k.dtype) for k in nest.code)
    if inner:
        memory = body.carried(place, s.type_of(c.dtype))
        before = b.load(memory)
    else:
        before = _entry_before(body, nest, place, c.access, first, indices)
    if c.number == "recurrence":
        following = b.fadd(b.fmul(args[0], before), args[1])
    else:
        following = emit(s, c.number, c.operand, [before, args[0]])
    found = b.select(first, args[-1], following)
    if inner:
        b.store(found, memory)
    return found


def _entry_before(
    body: Body, nest: Nest, place: int, along: Access, first: Any, indices: Sequence[Any]
) -> Any:
    """The result one step back; what stands in the entry itself, where there is none before."""
    b, s = body.builder, body.scalars
    store = next(x.access for x in nest.stores if x.value == place)
    step = sum(a * d for a, d in zip(store.strides, along.strides, strict=True))
    back = b.select(first, body.whole(0), body.whole(-step))
    pointer = body.pointer(store, indices, [(back, 1)])
    dtype = nest.code[place].dtype
    if s.lanes == 1:
        return s.load(pointer, dtype)
    return body.lanes.load(pointer, store.strides[body.along], dtype)
