"""Convolutions of whole batches of examples, each still one convolution.

Convolution is linear in its operands and treats three of their dimensions alike: the images N, the
channels O that come out, and, in a weight's gradient, the channels C that go in.  If only one
operand differs between examples, the examples are simply more of these.  If both do, every example
is a group of its own.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from chainrule.core.batching import (
    Rule,
    aligned,
    folded,
    moved,
    no_examples,
    shape_of,
    unfolded,
    xp,
)  # fmt: skip


class Places(NamedTuple):
    """Dimensions that the examples go into; those in `grouped` hold groups, each with all examples.

    Attributes:
        alone: per operand the dimension of it and of the result, if it alone is mapped.
        both: of the first operand, the second, and the result, if both are.
        grouped: what of `alone` is divided into groups, as ("in" or "out", operand).
    """

    alone: tuple[tuple[int, int], tuple[int, int]]
    both: tuple[int, int, int]
    grouped: frozenset[tuple[str, int]]


def _merged(x: Any, axis: int, groups: int) -> Any:
    """(B, ..., G·n, ...) as (..., G·B·n, ...)."""
    if groups == 1:
        return folded(x, axis)
    shape = shape_of(x)
    size, lead, n, rest = shape[0], shape[1 : axis + 1], shape[axis + 1], shape[axis + 2 :]
    x = moved(xp.reshape(x, shape=(size, *lead, groups, n // groups, *rest)), 0, axis + 1)
    return xp.reshape(x, shape=(*lead, size * n, *rest))


def _split(x: Any, size: int, axis: int, groups: int) -> Any:
    """What `_merged` undoes."""
    if groups == 1:
        return unfolded(x, size, axis)
    shape = shape_of(x)
    lead, n, rest = shape[:axis], shape[axis] // size, shape[axis + 1 :]
    x = moved(xp.reshape(x, shape=(*lead, groups, size, n // groups, *rest)), axis + 1, 0)
    return xp.reshape(x, shape=(size, *lead, n, *rest))


def _places(places: Places) -> Rule:
    def rule(prim: Any, size: int, args: Any, mapped: Any, params: Any) -> Any:
        if not size:
            return no_examples(prim, args, mapped, params)
        x, y, *rest = args
        groups = params["groups"]
        if mapped[0] and mapped[1]:
            a, b, out = places.both
            made = prim.apply(
                (folded(x, a), folded(y, b), *rest), {**params, "groups": groups * size}
            )
            return unfolded(made, size, out)
        i = 0 if mapped[0] else 1
        into, out = places.alone[i]
        operands = [x, y]
        operands[i] = _merged(operands[i], into, groups if ("in", i) in places.grouped else 1)
        made = prim.apply((*operands, *rest), params)
        return _split(made, size, out, groups if ("out", i) in places.grouped else 1)

    return rule


_product = _places(
    Places(((0, 0), (0, 1)), (1, 0, 1), frozenset({("in", 1), ("out", 1)}))
)  # fmt: skip


def convolution_batch(prim: Any, size: int, args: Any, mapped: Any, params: Any) -> Any:
    """x * w + b: the bias is added at the end unless only the images are mapped."""
    x, w, b = args
    if not (mapped[1] or mapped[2]):
        return _product(prim, size, args, mapped, params)
    if mapped[0] or mapped[1]:
        product = _product(prim, size, (x, w, None), (*mapped[:2], False), params)
    else:
        product = prim.apply((x, w, None), params)
    if b is None:
        return product
    shape = shape_of(b)
    b = xp.reshape(b, shape=(*shape, *(1,) * len(params["stride"])))
    return xp.add(*aligned((product, b), (mapped[0] or mapped[1], mapped[2])))


weight_batch = _places(
    Places(((1, 1), (1, 0)), (1, 1, 0), frozenset({("in", 0), ("in", 1), ("out", 1)}))
)
transpose_batch = _places(Places(((0, 0), (1, 1)), (1, 0, 1), frozenset({("out", 1)})))


def channel_sum_batch(prim: Any, size: int, args: Any, mapped: Any, params: Any) -> Any:
    """The sum over all but the mapped dimension and the channels."""
    n = len(shape_of(args[0]))
    return xp.sum(args[0], axis=(1, *range(3, n)), keepdims=False)
