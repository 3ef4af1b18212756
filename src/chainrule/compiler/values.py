"""Values: a graph in the few kinds of step that kernels are made of.

The graph's operations are many; a kernel knows loads, numbers, scalar operations (`MAP`), moved
entries (`VIEW`) and reductions (`REDUCE`). What has no such form is a `CALL` of NumPy.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from chainrule.compiler.maps import Map, Shape, broadcast, compose, domain_of
from chainrule.core.node import Node

GIVEN = "given"  # an array from outside: an input, a constant array
NUMBER = "number"  # one number, in as many places as wanted
MAP = "map"  # a scalar operation, entry by entry, with broadcasting
VIEW = "view"  # entries of another value, moved by an index map
RESHAPED = "reshaped"  # a value that stands in memory, in another shape
REDUCE = "reduce"  # sum, prod, max, min, any, all over axes
CONTRACT = "contract"  # a matrix product by BLAS
CALL = "call"  # an operation of NumPy
PICK = "pick"  # one of several results of a call
JOIN = "join"  # parts, each in a window of the result
PATCH = "patch"  # a value with another put, or added, in some places
FILLED = "filled"  # memory that `place` operations write: what joins and patches become


class Unsupported(Exception):  # noqa: N818 - a reason, not a failure
    """An operation has no compiled form; the message says why."""


class Value:
    """One value on the way to kernels.

    Attributes:
        kind: one of the constants above.
        op: the name of the scalar operation or of the reduction.
        args: the values that it needs.
        shape, dtype: of the value.
        detail: the number, the index map (from the entries of `args[0]` to the axes of this
            value), the axes of a reduction, the windows of a join, the places of a patch, or the
            primitive's parameters, by kind.
        node: the node of the graph whose computation this is part of.
    """

    __slots__ = ("args", "detail", "dtype", "kind", "node", "op", "shape")

    def __init__(
        self, kind: str, op: str, args: tuple[Value, ...], shape: Shape, dtype: np.dtype[Any],
        detail: Any = None, node: Node | None = None,
    ) -> None:  # fmt: skip
        self.kind = kind
        self.op = op
        self.args = args
        self.shape = shape
        self.dtype = dtype
        self.detail = detail
        self.node = node

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def domain(self) -> Shape:
        """The extents of the loops that compute it."""
        return domain_of(self.args[0].shape if self.kind == REDUCE else self.shape)

    def __repr__(self) -> str:
        return f"<{self.kind} {self.op} {self.dtype}{list(self.shape)}>"

    # Formulas are written with operators; Python numbers take the dtype of the other operand.

    def __add__(self, other: Any) -> Value:
        return apply("add", self, other)

    def __radd__(self, other: Any) -> Value:
        return apply("add", other, self)

    def __sub__(self, other: Any) -> Value:
        return apply("subtract", self, other)

    def __rsub__(self, other: Any) -> Value:
        return apply("subtract", other, self)

    def __mul__(self, other: Any) -> Value:
        return apply("multiply", self, other)

    def __rmul__(self, other: Any) -> Value:
        return apply("multiply", other, self)

    def __truediv__(self, other: Any) -> Value:
        return apply("divide", self, other)

    def __rtruediv__(self, other: Any) -> Value:
        return apply("divide", other, self)

    def __neg__(self) -> Value:
        return apply("negative", self)

    def __gt__(self, other: Any) -> Value:
        return apply("greater", self, other)

    def __lt__(self, other: Any) -> Value:
        return apply("less", self, other)

    def __le__(self, other: Any) -> Value:
        return apply("less_equal", self, other)

    def __and__(self, other: Any) -> Value:
        return apply("logical_and", self, other)

    def __or__(self, other: Any) -> Value:
        return apply("logical_or", self, other)

    def same(self, other: Any) -> Value:
        """Whether entries are equal."""
        return apply("equal", self, other)


BOOL = np.dtype(bool)
_TO_BOOL = frozenset([
    "equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "logical_and",
    "logical_or", "logical_xor", "logical_not", "isnan", "isinf", "isfinite", "signbit",
])  # fmt: skip


def number(value: Any, dtype: np.dtype[Any], shape: Shape = ()) -> Value:
    """A constant number."""
    return Value(NUMBER, "number", (), shape, dtype, np.asarray(value).astype(dtype)[()])


def apply(op: str, *args: Any, dtype: Any = None, detail: Any = None) -> Value:
    """A scalar operation on values and Python numbers, entry by entry."""
    kinds = [a.dtype for a in args if isinstance(a, Value)]
    inner = kinds[-1]
    values = tuple([a if isinstance(a, Value) else number(a, inner) for a in args])
    if dtype is None:
        dtype = BOOL if op in _TO_BOOL else inner
    shape = values[0].shape
    for v in values[1:]:
        if v.shape != shape:
            shape = np.broadcast_shapes(shape, v.shape)
    return Value(MAP, op, values, shape, np.dtype(dtype), detail)


def cast(x: Value, dtype: Any) -> Value:
    """The value in another dtype."""
    dt = np.dtype(dtype)
    if x.dtype == dt:
        return x
    if x.kind == NUMBER:
        with np.errstate(all="ignore"):
            return Value(NUMBER, "number", (), x.shape, dt, np.asarray(x.detail).astype(dt)[()])
    return apply("astype", x, dtype=dt)


def view(x: Value, rows: Map, shape: Shape) -> Value:
    """Entries of x moved by an index map; views of views are one view."""
    if x.kind == NUMBER:
        return Value(NUMBER, x.op, (), shape, x.dtype, x.detail)
    if x.kind == VIEW:
        return view(x.args[0], compose(x.detail, rows), shape)
    return Value(VIEW, "view", (x,), shape, x.dtype, rows)


def viewed(x: Value) -> tuple[Value, Map | None]:
    """What a view looks at, and how; a value that is no view and None."""
    return (x.args[0], x.detail) if x.kind == VIEW else (x, None)


def widened(x: Value, shape: Shape) -> Value:
    """The value broadcast to a shape."""
    return x if x.shape == shape else view(x, broadcast(x.shape, shape), shape)


def reduce(op: str, x: Value, axes: Sequence[int], keepdims: bool = False) -> Value:
    """A reduction over axes, which are non-negative."""
    gone = frozenset(axes)
    kept = tuple(1 if i in gone else d for i, d in enumerate(x.shape))
    moving = tuple(i for i in sorted(gone) if x.shape[i] != 1)
    made = Value(REDUCE, op, (x,), kept, x.dtype, moving) if moving else x
    return made if keepdims else dropped(made, gone)


def dropped(x: Value, axes: Sequence[int] | frozenset[int]) -> Value:
    """The value without axes of length 1."""
    if not axes:
        return x
    left = [i for i in range(x.ndim) if i not in axes]
    place = {axis: k for k, axis in enumerate(left)}
    rows = tuple(
        (0, ((place[i], 1),)) if i in place and d != 1 else (0, ()) for i, d in enumerate(x.shape)
    )
    return view(x, rows, tuple(x.shape[i] for i in left))


def inserted(x: Value, axes: Sequence[int], ndim: int) -> Value:
    """The value with new axes of length 1, at the given places of the result."""
    left = [i for i in range(ndim) if i not in axes]
    shape = [1] * ndim
    for i, d in zip(left, x.shape, strict=True):
        shape[i] = d
    rows = tuple((0, ((i, 1),)) if d != 1 else (0, ()) for i, d in zip(left, x.shape, strict=True))
    return view(x, rows, tuple(shape))
