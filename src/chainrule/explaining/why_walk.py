"""Backpropagation over a live tape with everything kept: who contributed what to which adjoint.

Rules run on arrays and nothing is recorded or written: neither `.grad` nor the tape changes, and
hooks are not run.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from chainrule.core import engine
from chainrule.core.namespaces import raw
from chainrule.core.node import Aval, Freed, Leaf, Node
from chainrule.core.primitive import PICK
from chainrule.core.source import line_of
from chainrule.core.sweep import unpack
from chainrule.graph.walk import fitted


class Part(NamedTuple):
    """What one use of a value contributes to the value's adjoint."""

    source: Node  # the operation that uses the value
    position: int  # which argument of it the value is
    value: Any


class Walk:
    """Reverse mode from one node to another.

    Attributes:
        order: the nodes between them, oldest first.
        live: the same as a set.
        start, end: the nodes whose adjoints are sought, and given.
        adjoint: the adjoint of each node; for an operation with several outputs a list.
        parts: what is summed in each adjoint.
    """

    def __init__(self, end: Node, start: Node) -> None:
        self.start, self.end = start, end
        self.order, self.live = engine.between([end], [start])
        self.adjoint: dict[Node, Any] = {}
        self.parts: dict[Node, list[Part]] = {}
        if end not in self.live:
            return
        inner = [n for n in self.order if n is not start]
        engine.check_alive(inner)
        self.adjoint[end] = np.ones(end.shape or (), end.dtype)
        with engine.quiet(False):
            for node in reversed(inner):
                if node in self.adjoint:
                    self._visit(node)

    @property
    def connected(self) -> bool:
        """Whether the one depends on the other by operations that are recorded."""
        return self.end in self.live

    @property
    def gradient(self) -> Any:
        """The adjoint sought; None where nothing arrived."""
        return self.adjoint.get(self.start)

    def _visit(self, node: Node) -> None:
        g = self.adjoint[node]
        if node.prim is PICK:
            (source,) = node.parents
            index = node.params["index"]  # type: ignore[index]
            outs = self.adjoint.setdefault(source, [None] * len(source.out))  # type: ignore[union-attr,arg-type]
            outs[index] = g if outs[index] is None else outs[index] + g
            self.parts.setdefault(source, []).append(Part(node, index, g))  # type: ignore[arg-type]
            return
        for i, (p, found) in enumerate(zip(node.parents, self.pulled(node, g), strict=True)):
            if p is None or found is None or p not in self.live:
                continue
            found = np.asarray(fitted(raw, found, p))
            self.parts.setdefault(p, []).append(Part(node, i, found))
            known = self.adjoint.get(p)
            self.adjoint[p] = found if known is None else known + found

    def pulled(self, node: Node, g: Any, careful: bool = True) -> Sequence[Any]:
        """What a node's rule makes of an adjoint for each argument."""
        args, out = saved(node)
        with engine.quiet(False):
            return node.prim.pull(node, g, raw, args, out, self.live, careful)  # type: ignore[no-any-return]

    def response(self, node: Node, parent: Node) -> Any:
        """Which entries of an argument an operation passes adjoints to at all.

        It pulls random numbers, which almost surely do not cancel.
        """
        rng = np.random.default_rng(0)
        g = self.adjoint[node]
        if type(g) is list:
            g = [None if a is None else _random(rng, a) for a in g]
        else:
            g = _random(rng, g)
        total = np.zeros(parent.shape or (), bool)
        for p, found in zip(node.parents, self.pulled(node, g), strict=True):
            if p is parent and found is not None:
                total |= np.asarray(fitted(raw, found, p)) != 0
        return total

    def reached(self, node: Node, parent: Node, entries: Any) -> Any:
        """Which entries of the result depend on some entries of an argument.

        For an operation with several outputs, a list; None where the tape does not keep what the
        pushforward needs.
        """
        if node.prim.partials is not None:
            return np.broadcast_to(entries, node.shape)  # type: ignore[arg-type]
        args, out = saved(node)
        args_needed, out_needed = node.prim.kept_for_push(
            tuple([p is not None for p in node.parents])
        )
        missing = [n and isinstance(a, Aval) for n, a in zip(args_needed, args, strict=True)]
        if any(missing) or (out_needed and (out is None or isinstance(out, Aval))):
            return None
        if isinstance(out, tuple) and out_needed and any(isinstance(o, Aval) for o in out):
            return None
        t = _random(np.random.default_rng(1), np.empty(entries.shape, parent.dtype)) * entries
        tangents = [t if p is parent else None for p in node.parents]
        with engine.quiet(False):
            found = node.prim.push(node, tangents, raw, args, out)
        if type(found) is tuple:
            return [None if f is None else np.asarray(f) != 0 for f in found]
        if found is None:
            return None
        return np.broadcast_to(np.asarray(found) != 0, node.shape)  # type: ignore[arg-type]


def _random(rng: Any, like: Any) -> Any:
    a = np.asarray(like)
    made = np.asarray(rng.uniform(0.5, 1.5, a.shape))
    if a.dtype.kind == "c":
        made = made + 1j * rng.uniform(0.5, 1.5, a.shape)
    return made.astype(a.dtype)


def saved(node: Node) -> tuple[Any, Any]:
    """What the tape keeps of a node's arguments and result."""
    if node.extra is None:
        return node.args, node.out
    return unpack(node.args), unpack(node.out)


def is_freed(node: Node) -> bool:
    """Whether a backward pass has released what a node kept."""
    return type(node.args) is Freed


def place(code: Any, lasti: int) -> str:
    """A place in the user's program: `demo.py:8`, with its text."""
    import linecache

    found = line_of(code, lasti)
    if found is None:
        return "an unknown line"
    filename, line = found
    text = linecache.getline(filename, line).strip()
    inside = os.path.relpath(filename) if os.path.isabs(filename) else filename
    shown = filename if inside.startswith("..") else inside
    return f"{shown}:{line}" + (f" ({text})" if text else "")


def at(node: Node) -> str:
    """An operation and its place."""
    if type(node) is Leaf:
        return f"the tensor made at {place(node.code, node.lasti)}"
    name = node.parents[0].prim.name if node.prim is PICK else node.prim.name  # type: ignore[union-attr]
    return f"{name} at {place(node.code, node.lasti)}"


def known_values(end: Node) -> dict[Node, Any]:
    """The values that the tape still has, by node, among those that a node depends on."""
    values: dict[Node, Any] = {}
    for node in engine.reach([end]):
        if type(node) is Leaf:
            tensor = node.tensor()
            if tensor is not None:
                values[node] = tensor.array
            continue
        if is_freed(node):
            continue
        args, out = saved(node)
        if type(out) is np.ndarray:
            values[node] = out
        elif node.prim is PICK:
            outs = saved(node.parents[0])[1]  # type: ignore[arg-type]
            kept = outs[node.params["index"]] if outs is not None else None  # type: ignore[index]
            if type(kept) is np.ndarray:
                values[node] = kept
        if args is None or node.prim.side_effects:
            continue
        for a, p in zip(args, node.parents, strict=True):
            if p is not None and type(a) is np.ndarray:
                values.setdefault(p, a)
    return values


def arguments(node: Node, values: dict[Node, Any]) -> list[Any]:
    """The arguments of an operation as far as they are known; None where they are not."""
    if is_freed(node) or node.prim.side_effects or node.prim is PICK:
        return [values.get(p) for p in node.parents]  # type: ignore[arg-type]
    args, _ = saved(node)
    found = []
    for a, p in zip(args, node.parents, strict=True):
        known = isinstance(a, (np.ndarray, int, float, complex))
        found.append(a if known else values.get(p))  # type: ignore[arg-type]
    return found


def entry(array: Any, shape: Any, index: tuple[int, ...]) -> Any:
    """The entry of an argument that belongs to an entry of the result; None if none does."""
    if array is None:
        return None
    a = np.asarray(array)
    if a.ndim > len(shape) or any(
        d not in (1, s) for d, s in zip(a.shape, shape[len(shape) - a.ndim :], strict=True)
    ):
        return None
    return np.broadcast_to(a, shape)[index]
