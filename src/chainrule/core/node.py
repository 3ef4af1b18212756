"""The node: at once an entry of the tape and an equation of the computational graph."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from types import CodeType
from typing import Any
from weakref import ReferenceType

import numpy as np

from chainrule.core.source import describe

next_seq = count(1).__next__


class Aval:
    """Shape and dtype of an array that is not kept: what a rule may still ask about it."""

    __slots__ = ("dtype", "shape")

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.shape = shape
        self.dtype = dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    def __repr__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.shape))}]"


def joint_shape(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """What shapes broadcast to; NumPy is asked only where they differ."""
    first = shapes[0]
    for shape in shapes:
        if shape != first:
            return np.broadcast_shapes(*shapes)
    return first


class Node:
    """One recorded operation.

    `args` are the raw arrays and scalars that the derivative rules name; what no rule needs is
    replaced by None or an `Aval`, unless it is a constant number: so that the equation can be shown
    and run again.  `parents` stand at the same positions: the node that produced
    the argument, or None for a constant.  A node holds arrays and parent nodes, never tensors or
    closures, so a tape is acyclic and reference counting alone frees it.

    An operation with several outputs has `shape is None`; each output is a node of the primitive
    `pick`, which says which one it is.
    """

    __slots__ = (
        "__weakref__",
        "args",
        "code",
        "dtype",
        "extra",
        "lasti",
        "out",
        "params",
        "parents",
        "prim",
        "seq",
        "shape",
    )

    prim: Any  # a Primitive, which is declared above nodes
    args: Any
    out: Any
    params: dict[str, Any] | None
    parents: tuple[Node | None, ...]
    shape: tuple[int, ...] | None
    dtype: np.dtype[Any]
    seq: int
    code: CodeType | None
    lasti: int
    extra: Extra | None

    @property
    def ndim(self) -> int:
        """Number of dimensions of the output."""
        assert self.shape is not None
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of entries of the output."""
        return int(np.prod(self.shape or (), dtype=np.int64))

    @property
    def where(self) -> str:
        """The user's line that recorded this node."""
        return describe(self.code, self.lasti)

    def __repr__(self) -> str:
        return f"<node {self.seq}: {self.prim.name}>"


class Leaf(Node):
    """The node of a tensor that requires grad and was not computed: where gradients arrive.

    It knows its tensor only weakly, so that tensor and node form no cycle.
    """

    __slots__ = ("tensor",)

    tensor: ReferenceType[Any]


class Extra:
    """What few nodes have: hooks, retained gradients, metadata, packed saved tensors."""

    __slots__ = (
        "hooks",
        "metadata",
        "post_accumulate",
        "post_hooks",
        "pre_hooks",
        "retain",
        "unpack",
    )

    def __init__(self) -> None:
        self.hooks: dict[int, Any] = {}
        self.pre_hooks: dict[int, Any] = {}
        self.post_hooks: dict[int, Any] = {}
        self.post_accumulate: dict[int, Any] = {}
        self.retain: ReferenceType[Any] | None = None
        self.metadata: dict[Any, Any] = {}
        self.unpack: Any = None


class Freed:
    """Takes the place of a node's `args` after a backward pass has released them."""

    __slots__ = ("code", "lasti")

    def __init__(self, code: CodeType | None, lasti: int) -> None:
        self.code = code
        self.lasti = lasti

    @property
    def where(self) -> str:
        """The user's line that ran the backward pass."""
        return describe(self.code, self.lasti)


def extra_of(node: Node) -> Extra:
    """The node's `Extra`, made on first use."""
    if node.extra is None:
        node.extra = Extra()
    return node.extra
