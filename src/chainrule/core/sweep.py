"""The reverse sweep: cotangents carried back over nodes in reverse order of creation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.core import special_modes
from chainrule.core.abstract import AbstractArray
from chainrule.core.boxes import Box
from chainrule.core.hooks import Arrived, run_post_hooks, run_pre_hooks, run_tensor_hooks
from chainrule.core.namespaces import raw, recorded
from chainrule.core.node import Aval, Node
from chainrule.core.partials import MINUS_ONE, NAMED, NONE, ONE, contribution
from chainrule.core.primitive import LEAF, PICK, pick
from chainrule.core.scatter import add_at
from chainrule.core.tensor import Tensor, wrap

REAL = frozenset(map(np.dtype, (np.float32, np.float64)))
ndarray = np.ndarray


class Restart(Exception):  # noqa: N818 - a signal, not an error
    """A plain sweep brought a nan to user code, which must see the careful sweep's gradient."""


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

    def spread(self, node: Node) -> Any:
        """The cotangent as an array of the node's shape."""
        buffer = np.zeros(node.shape or (), node.dtype)
        self.add_into(buffer)
        return buffer


class Owned:
    """A cotangent in a buffer that nothing else holds, so that it may be written."""

    __slots__ = ("array",)

    dtype = shape = None

    def __init__(self, array: Any) -> None:
        self.array = array

    def spread(self, node: Node) -> Any:
        """The cotangent as an array."""
        return self.array


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
        if type(g) is Owned:
            g = g.array
            if known is None and g.dtype == node.dtype:
                self.grads[node] = g
                self.owned.add(node)
                return
        array = g.array if isinstance(g, Tensor) else g
        if array.shape != node.shape:
            g = array = unbroadcast(self.xp, g, node.shape)
        if array.dtype != node.dtype:
            g = self.xp.astype(g, dtype=node.dtype)
        if known is None:
            self.grads[node] = g
        elif node in self.owned:
            np.add(known, g, out=known)
        else:
            self.grads[node] = total = known + g
            if type(total) is ndarray:  # NumPy's scalars cannot be written
                self.owned.add(node)

    def _scatter(self, node: Node, known: Any, g: Scatter) -> None:
        if known is None:
            known = self.grads[node] = np.zeros(node.shape or (), node.dtype)
        elif node not in self.owned:
            known = self.grads[node] = np.array(known, order="C")  # NumPy scalars too
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
    if isinstance(values, tuple):
        return tuple(map(special_modes.unpacked, values))
    return special_modes.unpacked(values)


def boxed(node: Node, args: Any, out: Any) -> tuple[Any, Any]:
    """Kept arguments and output of a node as tensors on the tape."""
    if node.prim.side_effects:  # user code places its own values
        return args, out
    args = tuple(
        [
            tensor_of(a, p)
            if type(a) is ndarray or not (a is None or isinstance(a, (Aval, int, float, complex)))
            else a
            for a, p in zip(args, node.parents, strict=True)
        ]
    )
    if out is None:
        return args, None
    if isinstance(out, tuple):
        return args, tuple(
            [
                o if o is None or isinstance(o, Aval) else output_of(node, i, o)
                for i, o in enumerate(out)
            ]
        )
    return args, tensor_of(out, node)


def tensor_of(value: Any, node: Node | None) -> Any:
    """The tensor of a value kept on the tape, or of one that is only traced."""
    if isinstance(value, AbstractArray):
        return value.tensor(node)
    return wrap(value, node)


def output_of(node: Node, index: int, value: Any) -> Any:
    """The tensor of one output among several."""
    if isinstance(value, AbstractArray):
        return value.output(node, index)
    return pick(node, index, value)


def has_nan(g: Any) -> bool:
    """Whether any entry is nan, at the cost of one dot product."""
    if isinstance(g, Box):
        return any(map(has_nan, g.parts()))
    a = g.array if isinstance(g, Tensor) else g
    if a is None:
        return False
    if isinstance(a, list):
        return any(map(has_nan, a))
    total = np.vdot(a, a) if type(a) is ndarray else a
    return bool(total != total)


def ends_of(wanted: set[Node] | None, live: set[Node] | None) -> set[Node]:
    """The wanted nodes behind which nothing is wanted: a sweep does not run them."""
    if wanted is None or live is None:
        return set()
    return {n for n in wanted if not any(p in live for p in n.parents)}


class Sweep:
    """One reverse sweep: what it carries, what it found, and how careful it is.

    Attributes:
        on_tensors: whether the rules run on tensors, because they are recorded or meet boxes.
        live: the nodes that may receive a cotangent; None means all.
        ends: the wanted nodes that pass nothing on.
        wanted: the nodes whose cotangents to return; None means the leaves.
        careful: whether a zero cotangent wins over an infinite or nan derivative at every step.
        watch: whether to look for the step that gives birth to a nan or inf.
        done: what nodes with user code gave, kept for the careful sweep: such code runs once.
        arrived: the gradients that hooks on several tensors wait for.
        got: the cotangents of the wanted nodes.
        retained: those of nodes whose tensors asked to retain theirs.
    """

    def __init__(self, live: set[Node] | None, wanted: set[Node] | None, on_tensors: bool) -> None:
        self.live = live
        self.wanted = wanted
        self.ends = ends_of(wanted, live)
        self.on_tensors = on_tensors
        self.xp: Any = recorded if on_tensors else raw
        self.careful = self.watch = False
        self.owner: Node | None = None  # the last node met whose cotangent nothing else holds
        self.done: dict[Node, tuple[Any, Any]] = {}
        self.arrived: Arrived = {}
        self.got: dict[Node, Any] = {}
        self.retained: dict[Node, Any] = {}

    def run(self, order: Sequence[Node], seeds: Sequence[tuple[Node, Any]]) -> None:
        """Carry the seeds back over `order`.

        Raises:
            Restart: if a nan meets user code and the sweep is not careful.
        """
        self.adjoints = adjoints = Adjoints(self.xp)
        self.got.clear()
        self.retained.clear()
        for node, g in seeds:
            adjoints.add(node, g)
        grads, owned, take = adjoints.grads, adjoints.owned, adjoints.grads.pop
        multiply, xp = self.xp.multiply, self.xp
        live, wanted, careful, got = self.live, self.wanted, self.careful, self.got
        rare = self.watch or self.on_tensors
        for node in reversed(order):
            g = take(node, None)
            if g is None:
                continue
            if owned and node in owned:
                owned.discard(node)
                self.owner = node
            prim = node.prim
            if prim is LEAF:  # its hooks see the whole gradient, after the sweep
                if wanted is None or node in wanted:
                    got[node] = g
                continue
            partials = prim.partials
            if partials is None or rare or node.extra is not None:
                self.visit(node, g)
                continue
            if wanted is not None and node in wanted:
                got[node] = g
                if node in self.ends:
                    continue
            # `Elementwise.pull` unrolled: nearly all nodes of a tape come this way.
            args = node.args
            for parent, (case, detail) in zip(node.parents, partials):  # noqa: B905 - hot
                if parent is None or (live is not None and parent not in live):
                    continue
                if case == ONE:
                    gp = g
                elif case == NAMED and not careful and node.dtype in REAL:
                    gp = multiply(g, args[detail] if detail >= 0 else node.out)
                else:
                    gp = contribution(case, detail, node, g, xp, args, node.out, careful)
                    if gp is None:
                        continue
                if parent not in grads and gp.dtype is parent.dtype and gp.shape == parent.shape:
                    grads[parent] = gp
                else:
                    adjoints.add(parent, gp)

    def has_nan(self) -> bool:
        """Whether a nan arrived anywhere."""
        for g in self.got.values():
            if has_nan(g):
                return True
        return bool(self.retained) and any(map(has_nan, self.retained.values()))

    def visit(self, node: Node, g: Any) -> None:
        """Pass a cotangent through any node but a leaf: picks, general rules, hooks, recording."""
        prim = node.prim
        wanted = self.wanted
        if node.extra is None and not prim.side_effects:
            if wanted is not None and node in wanted:
                self.got[node] = g
                if node in self.ends:
                    return
            if prim is PICK:
                self._to_output(node, g)
                return
            if prim.partials is not None and not self.watch:
                self._record_elementwise(node, g)
                return
            if prim.reuses and self.owner is node and node not in self.got:
                g = Owned(g)
            pulled = self._pull(node, g, self.careful)
        else:
            g, pulled = self._visit_user_code(node, g)
            if pulled is None:
                return
        add, live = self.adjoints.add, self.live
        for parent, gp in zip(node.parents, pulled, strict=True):
            # A joint rule may give more than was asked for.
            if gp is not None and parent is not None and (live is None or parent in live):
                add(parent, gp)

    def _to_output(self, pick_node: Node, g: Any) -> None:
        """Pass a pick's cotangent to the operation that it picks from."""
        (node,) = pick_node.parents
        assert node is not None
        assert pick_node.params is not None
        self.adjoints.add_output(node, pick_node.params["index"], g)

    def _pull(self, node: Node, g: Any, careful: bool) -> Sequence[Any]:
        args, out = node.args, node.out
        if node.extra is not None:
            args, out = unpack(args), unpack(out)
        if self.on_tensors:
            args, out = boxed(node, args, out)
        pulled = node.prim.pull(node, g, self.xp, args, out, self.live, careful)
        if self.watch:
            special_modes.check_pull(node, g, pulled)
        return pulled

    def _visit_user_code(self, node: Node, g: Any) -> tuple[Any, Any]:
        """Pass a cotangent through a node with hooks or a rule of the user's, running them once."""
        prim, extra = node.prim, node.extra
        known = self.done.get(node)
        if known is not None:
            g, pulled = known
        else:
            if not self.careful and has_nan(g):
                raise Restart
            if extra is not None:
                g = run_tensor_hooks(node, g, self.arrived)
            pulled = None
        if self.wanted is not None and node in self.wanted:
            self.got[node] = g
        if extra is not None and extra.retain is not None:
            self.retained[node] = g
        if node in self.ends:
            self._keep(node, g, None)
            return g, None
        if prim is PICK:
            self._keep(node, g, None)
            self._to_output(node, g)
            return g, None
        if known is None:
            arrived = run_pre_hooks(node, g) if extra is not None else g
            pulled = self._pull(node, arrived, True)
            if extra is not None:
                pulled = [
                    x.spread(p) if type(x) in (Scatter, Owned) and p is not None else x
                    for x, p in zip(pulled, node.parents, strict=True)
                ]
                pulled = run_post_hooks(node, pulled, arrived)
            self._keep(node, g, pulled)
        return g, pulled

    def _keep(self, node: Node, g: Any, pulled: Any) -> None:
        """Keep what user code gave, if a second sweep may come."""
        if not self.careful:
            self.done[node] = g, pulled

    def _record_elementwise(self, node: Node, g: Any) -> None:
        """`Elementwise.pull` on tensors, boxing no more than the rules name."""
        live, xp, careful, adjoints = self.live, self.xp, self.careful, self.adjoints
        args, out, parents = node.args, node.out, node.parents
        boxed_args = None
        for parent, (case, detail) in zip(parents, node.prim.partials):  # noqa: B905 - hot
            if parent is None or case == NONE or (live is not None and parent not in live):
                continue
            if case == ONE:
                gp = g
            elif case == MINUS_ONE:
                gp = -g
            elif case == NAMED and not careful and node.dtype in REAL:
                local = (
                    tensor_of(args[detail], parents[detail])
                    if detail >= 0
                    else tensor_of(out, node)
                )
                gp = xp.multiply(g, local)
            else:
                if boxed_args is None:
                    boxed_args, out = boxed(node, args, out)
                gp = contribution(case, detail, node, g, xp, boxed_args, out, careful)
            array = gp.array
            if parent not in adjoints.grads and (
                array.dtype is parent.dtype and array.shape == parent.shape
            ):
                adjoints.grads[parent] = gp
            else:
                adjoints.add(parent, gp)
