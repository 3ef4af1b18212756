"""The walks over nodes.  Every way to differentiate is one of these; none of them recurses.

`reach` and `between` choose nodes and order them; `sweep` carries cotangents back over them and
`push` carries tangents forward.  Both run the primitives' rules, on raw arrays or, where the
derivative must itself be recorded, on tensors.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from chainrule.core import modes, mutation
from chainrule.core.hooks import run_post_hooks, run_pre_hooks
from chainrule.core.namespaces import raw, recorded
from chainrule.core.node import Aval, Freed, Leaf, Node
from chainrule.core.partials import NAMED, ONE, contribution
from chainrule.core.primitive import LEAF, PICK, pick
from chainrule.core.scatter import add_at
from chainrule.core.source import caller, describe
from chainrule.core.special_modes import unpacked
from chainrule.core.tensor import Tensor, wrap

REAL = frozenset(map(np.dtype, (np.float32, np.float64)))
_seq = attrgetter("seq")


def reach(roots: Iterable[Node]) -> list[Node]:
    """All nodes that the roots depend on, themselves included, in order of creation."""
    stack = list(dict.fromkeys(roots))
    seen = set(stack)
    found = []
    while stack:
        node = stack.pop()
        found.append(node)
        for parent in node.parents:
            if parent is not None and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    found.sort(key=_seq)
    return found


def between(outs: Iterable[Node], ins: Iterable[Node]) -> tuple[list[Node], set[Node]]:
    """The nodes on paths from `ins` to `outs`, in order of creation, and the same as a set.

    Nodes older than the oldest input cannot depend on it, so the walk stops there.
    """
    live = set(ins)
    oldest = min((n.seq for n in live), default=0)
    stack = [n for n in dict.fromkeys(outs) if n.seq >= oldest]
    seen = set(stack)
    found = []
    while stack:
        node = stack.pop()
        found.append(node)
        for parent in node.parents:
            if parent is not None and parent.seq >= oldest and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    found.sort(key=_seq)
    path = []
    for node in found:
        if node in live:
            path.append(node)
        elif any(parent in live for parent in node.parents):
            live.add(node)
            path.append(node)
    return path, live


class Restart(Exception):  # noqa: N818 - a signal, not an error
    """The sweep met user code (a hook, a custom function), which must run once and carefully."""


class Scatter:
    """A cotangent that is zero outside `index`: added in place, never spread over zeros."""

    __slots__ = ("add_at", "index", "value")

    dtype = shape = None  # never equal to a node's: contributions always go through `add`

    def __init__(self, index: Any, value: Any, add_at: bool) -> None:
        self.index = index
        self.value = value
        self.add_at = add_at

    def add_into(self, buffer: Any) -> None:
        """Add the value to the buffer at the index; repeated positions add up."""
        if self.add_at:
            add_at(buffer, self.index, self.value)
        else:
            buffer[self.index] += self.value


class Adjoints:
    """Which cotangent has arrived at which node so far: `node_to_grad` of the textbooks.

    Contributions are brought to the node's shape and dtype and added.  A sum is a fresh buffer, so
    later contributions are added to it in place.
    """

    __slots__ = ("grads", "owned", "xp")

    def __init__(self, xp: Any) -> None:
        self.grads: dict[Node, Any] = {}
        self.owned: set[Node] = set()
        self.xp = xp

    def add(self, node: Node, g: Any) -> None:
        """Add a partial adjoint to what has arrived at the node."""
        known = self.grads.get(node)
        if type(g) is Scatter:
            self._scatter(node, known, g)
            return
        if g.shape != node.shape:
            g = unbroadcast(self.xp, g, node.shape)
        if g.dtype != node.dtype:
            g = self.xp.astype(g, dtype=node.dtype)
        if known is None:
            self.grads[node] = g
        elif node in self.owned:
            np.add(known, g, out=known)
        else:
            self.grads[node] = total = known + g
            if type(total) is np.ndarray:  # NumPy's scalars cannot be written
                self.owned.add(node)

    def _scatter(self, node: Node, known: Any, g: Scatter) -> None:
        if known is None:
            known = self.grads[node] = np.zeros(node.shape or (), node.dtype)
        elif node not in self.owned:
            known = self.grads[node] = known.copy()
        self.owned.add(node)
        g.add_into(known)

    def add_output(self, node: Node, index: int, g: Any) -> None:
        """Add the cotangent of one output of a node that has several."""
        parts = self.grads.get(node)
        if parts is None:
            parts = self.grads[node] = [None] * len(node.out)
        parts[index] = g if parts[index] is None else parts[index] + g


def unbroadcast(xp: Any, g: Any, shape: Any) -> Any:
    """Sum a cotangent over the axes along which its argument was broadcast."""
    extra = len(g.shape) - len(shape)
    if extra < 0 or any(d not in (1, s) for d, s in zip(shape, g.shape[extra:], strict=True)):
        return xp.broadcast_to(g, shape=tuple(shape))
    axes = tuple(range(extra)) + tuple(
        extra + i for i, d in enumerate(shape) if d == 1 and g.shape[extra + i] != 1
    )
    if axes:
        g = xp.sum(g, axis=axes, keepdims=False)
    return g if g.shape == shape else xp.reshape(g, shape=tuple(shape))


def unpack(values: Any) -> Any:
    """Saved values with those that a saved-tensor hook had packed brought back."""
    return tuple(map(unpacked, values)) if isinstance(values, tuple) else unpacked(values)


def boxed(node: Node, args: Any, out: Any) -> tuple[Any, Any]:
    """Kept arguments and output of a node as tensors on the tape."""
    args = tuple(
        a if a is None or isinstance(a, (Aval, int, float, complex)) else wrap(a, p)
        for a, p in zip(args, node.parents, strict=True)
    )
    if out is None:
        return args, None
    if isinstance(out, tuple):
        return args, tuple(
            o if isinstance(o, Aval) else pick(node, i, o) for i, o in enumerate(out)
        )
    return args, wrap(out, node)


def check_alive(order: Sequence[Node]) -> None:
    """Raise if a node was freed by an earlier backward pass or lost a saved value to a write."""
    last = mutation.last_seq()
    for node in order:
        args = node.args
        if type(args) is Freed:
            raise RuntimeError(
                "Trying to backward through the graph a second time (or directly access saved "
                "tensors after they have already been freed). Saved intermediate values of the "
                f"graph were freed by {args.where}. Either compute the value again before "
                "differentiating it again, or pass retain_graph=True to that first call; "
                f"the operation concerned is {node.prim.name} at {node.where}."
            )
        if node.seq < last and args is not None:
            mutation.check_saved(node)


def sweep(
    order: Sequence[Node],
    seeds: Sequence[tuple[Node, Any]],
    live: set[Node] | None,
    wanted: set[Node] | None,
    create_graph: bool,
    careful: bool,
) -> tuple[dict[Node, Any], dict[Node, Any]]:
    """Carry cotangents back over `order`.

    Returns the cotangents of the `wanted` nodes (None: of the leaves), and those of the nodes whose
    tensors asked to retain theirs.

    Raises:
        Restart: if user code is met and the sweep is not `careful`.
    """
    xp = recorded if create_graph else raw
    adjoints = Adjoints(xp)
    for node, g in seeds:
        adjoints.add(node, g)
    grads, owned, multiply = adjoints.grads, adjoints.owned, xp.multiply
    got: dict[Node, Any] = {}
    retained: dict[Node, Any] = {}
    for node in reversed(order):
        g = grads.pop(node, None)
        if g is None:
            continue
        if owned:
            owned.discard(node)
        prim = node.prim
        if node.extra is not None or prim.side_effects:
            if not careful:
                raise Restart
            if node.extra is not None:
                g = run_pre_hooks(node, g)
                if node.extra.retain is not None:
                    retained[node] = g
        if prim is LEAF:
            if wanted is None or node in wanted:
                got[node] = g
            continue
        if wanted is not None and node in wanted:
            got[node] = g
        if prim is PICK:
            adjoints.add_output(node.parents[0], node.params["index"], g)  # type: ignore[arg-type,index]
            continue
        args, out = node.args, node.out
        if node.extra is not None:
            args, out = unpack(args), unpack(out)
        if create_graph:
            args, out = boxed(node, args, out)
        if prim.partials is None or node.extra is not None:
            partial = prim.pull(node, g, xp, args, out, live, careful)
            if node.extra is not None:
                partial = run_post_hooks(node, partial, g)
            for parent, gp in zip(node.parents, partial, strict=True):
                if gp is not None:
                    adjoints.add(parent, gp)
            continue
        # The rest is `Elementwise.pull` unrolled: nearly all nodes of a tape come this way.
        for parent, (case, detail) in zip(node.parents, prim.partials):  # noqa: B905 - hot
            if parent is None or (live is not None and parent not in live):
                continue
            if case == ONE:
                gp = g
            elif case == NAMED and not careful and node.dtype in REAL:
                gp = multiply(g, args[detail] if detail >= 0 else out)
            else:
                gp = contribution(case, detail, node, g, xp, args, out, careful)
                if gp is None:
                    continue
            if parent not in grads and gp.dtype is parent.dtype and gp.shape == parent.shape:
                grads[parent] = gp
            else:
                adjoints.add(parent, gp)
    return got, retained


def pull(
    order: Sequence[Node],
    seeds: Sequence[tuple[Node, Any]],
    live: set[Node] | None,
    wanted: set[Node] | None,
    create_graph: bool,
) -> tuple[dict[Node, Any], dict[Node, Any]]:
    """Reverse mode over `order`: what `sweep` returns.

    A zero cotangent wins over an infinite or nan local derivative.  Testing for it at every step
    would double the cost, so the first sweep multiplies plainly, and only if a nan arrives is the
    sweep repeated with the test.  A nan that does not arrive was multiplied away by a selection,
    which is what the test would have done.
    """
    check_alive(order)
    with quiet(create_graph):
        try:
            found = sweep(order, seeds, live, wanted, create_graph, careful=False)
            if not any(has_nan(g) for g in found[0].values()):
                return found
        except Restart:
            pass
        return sweep(order, seeds, live, wanted, create_graph, careful=True)


@contextlib.contextmanager
def quiet(create_graph: bool) -> Iterator[None]:
    """Differentiate without NumPy's floating-point warnings, recording exactly if asked."""
    token = modes.enter(modes.changed(grad=create_graph))
    try:
        with np.errstate(all="ignore"):
            yield
    finally:
        modes.leave(token)


def has_nan(g: Any) -> bool:
    """Whether any entry is nan, at the cost of one dot product."""
    a = g.array if isinstance(g, Tensor) else g
    total = np.vdot(a, a) if type(a) is np.ndarray else a
    return bool(total != total)


def push(order: Sequence[Node], seeds: dict[Node, Any], create_graph: bool) -> dict[Node, Any]:
    """Forward mode over a recorded region: the tangent of every node of `order` that has one."""
    xp = recorded if create_graph else raw
    tangents: dict[Node, Any] = dict(seeds)
    with quiet(create_graph):
        for node in order:
            incoming = [tangents.get(p) if p is not None else None for p in node.parents]
            if node in seeds or all(t is None for t in incoming):
                continue
            if node.prim is PICK:
                t = incoming[0][node.params["index"]]  # type: ignore[index]
            else:
                args, out = (
                    boxed(node, node.args, node.out) if create_graph else (node.args, node.out)
                )
                t = node.prim.push(node, incoming, xp, args, out)
                if node.shape is not None and t is not None and t.shape != node.shape:
                    t = xp.broadcast_to(t, shape=node.shape)
            if t is not None:
                tangents[node] = t
    return tangents


def free(order: Iterable[Node]) -> None:
    """Release the values kept for backward, leaving a note of who did."""
    freed = Freed(describe(*caller(2)))
    for node in order:
        if node.prim.saves and node.args is not None:
            node.args = freed
            node.out = None


def leaf_of(node: Node) -> Tensor | None:
    """The tensor whose leaf this is, if it still lives."""
    return node.tensor() if isinstance(node, Leaf) else None
