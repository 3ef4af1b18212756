"""The walks over nodes.  Every way to differentiate is one of these; none of them recurses.

`reach` and `between` choose nodes and order them; `sweep` carries cotangents back over them and
`push` carries tangents forward.  Both run the primitives' rules, on raw arrays or, where the
derivative must itself be recorded, on tensors.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from chainrule.core import collector as collector
from chainrule.core import modes, mutation
from chainrule.core.hooks import run_multi_hooks, run_pre_hooks, run_tensor_hooks
from chainrule.core.namespaces import raw, recorded
from chainrule.core.node import Freed, Node
from chainrule.core.primitive import LEAF, PICK
from chainrule.core.source import caller
from chainrule.core.special_modes import AnomalyError
from chainrule.core.sweep import Restart, Scatter, Sweep, boxed, ends_of, unpack

__all__ = ["Scatter", "between", "boxed", "check_alive", "ends_of", "free", "pull", "push", "reach"]
_seq = attrgetter("seq")


def reach(roots: Iterable[Node]) -> list[Node]:
    """All nodes that the roots depend on, themselves included, in order of creation."""
    stack = list(dict.fromkeys(roots))
    seen: set[Node | None] = {None, *stack}
    found = []
    while stack:
        node = stack.pop()
        found.append(node)
        for parent in node.parents:
            if parent not in seen:
                seen.add(parent)
                stack.append(parent)  # type: ignore[arg-type] # None counts as seen
    found.sort(key=_seq)
    return found


def between(
    outs: Iterable[Node], ins: Iterable[Node], stops: Collection[Node] = ()
) -> tuple[list[Node], set[Node]]:
    """The nodes on paths from `ins` to `outs`, in order of creation, and the same as a set.

    Nodes older than the oldest input cannot depend on it, so the walk ends there.  Paths that go
    through one of the `stops` do not count; they may begin at one.
    """
    live = set(ins)
    oldest = min((n.seq for n in live), default=0)
    stack = [n for n in dict.fromkeys(outs) if n.seq >= oldest]
    seen: set[Node | None] = {None, *stack}
    found = []
    while stack:
        node = stack.pop()
        found.append(node)
        if node in stops:
            continue
        for parent in node.parents:
            if parent not in seen:
                seen.add(parent)
                if parent.seq >= oldest:  # type: ignore[union-attr] # None counts as seen
                    stack.append(parent)  # type: ignore[arg-type]
    found.sort(key=_seq)
    path = []
    for node in found:
        if node in live:
            path.append(node)
            continue
        if node in stops:
            continue
        for parent in node.parents:
            if parent in live:
                live.add(node)
                path.append(node)
                break
    return path, live


def freed_error(node: Node, freed: Freed) -> RuntimeError:
    """The error for a graph whose saved values are gone: who freed them, and both cures."""
    return RuntimeError(
        "Trying to backward through the graph a second time (or directly access saved tensors "
        "after they have already been freed). Saved intermediate values of the graph were freed by "
        f"{freed.where}. Either compute the value again before differentiating it again, or pass "
        "retain_graph=True to that first call; the operation concerned is "
        f"{node.prim.name} at {node.where}."
    )


def check_alive(order: Sequence[Node], ends: Collection[Node] = ()) -> None:
    """Raise if a node was freed by an earlier backward pass or lost a saved value to a write.

    What the `ends` of the sweep saved does not matter.
    """
    last = mutation.last_seq()
    for node in order:
        args = node.args
        if type(args) is Freed:
            if node not in ends:
                raise freed_error(node, args)
        elif node.seq < last and node.prim.saves and args is not None and node not in ends:
            mutation.check_saved(node)


def pull(
    order: Sequence[Node],
    seeds: Sequence[tuple[Node, Any]],
    live: set[Node] | None,
    wanted: set[Node] | None,
    create_graph: bool,
    on_tensors: bool = False,
    stops: Collection[Node] = (),
    careful: bool = False,
) -> tuple[dict[Node, Any], dict[Node, Any]]:
    """Reverse mode over `order`: cotangents of the wanted nodes, and of those that retain theirs.

    The rules run on tensors if the derivative is to be recorded, or if asked to because the
    cotangents are boxes.  Nothing is carried past the `stops`.

    A zero cotangent wins over an infinite or nan local derivative.  Testing for it at every step
    would double the cost, so the first sweep multiplies plainly, and only if a nan arrives is the
    sweep repeated with the test (or at once, if `careful`).  A nan that does not arrive was
    multiplied away by a selection, which is what the test would have done.
    """
    found = Sweep(live, wanted, create_graph or on_tensors)
    found.careful = careful
    if stops:
        found.ends.update(stops)
    check_alive(order, found.ends)
    outer = modes.get_mode()
    if isinstance(outer, modes.Mode):
        if outer.anomaly:
            found.watch, found.careful = outer.check_nan, True
        inner = modes.changed(grad=create_graph, check_nan=False)
    else:
        inner = create_graph
    modes.current.set(inner)
    try:
        with np.errstate(all="ignore"):
            try:
                found.run(order, seeds)
                again = not found.careful and found.has_nan()
            except Restart:
                again = True
            if again:
                found.careful = True
                found.run(order, seeds)
            leaf_hooks(found)
            if found.arrived:
                run_multi_hooks(found.arrived)
    except AnomalyError as error:
        # The way here through the engine says nothing; the message has the user's lines.
        raise error.with_traceback(None) from None
    except (RuntimeError, TypeError, AttributeError) as error:
        check_freed_meanwhile([n for n in order if n not in found.ends], error)
        raise
    finally:
        modes.current.set(outer)
    return found.got, found.retained


def leaf_hooks(found: Sweep) -> None:
    """Run the hooks of the leaves, which see the whole gradient, newest leaf first."""
    got = found.got
    hooked = [node for node in got if node.extra is not None and node.prim is LEAF]
    hooked.sort(key=_seq, reverse=True)
    for node in hooked:
        got[node] = run_pre_hooks(node, run_tensor_hooks(node, got[node], found.arrived))


def check_freed_meanwhile(order: Sequence[Node], error: Exception) -> None:
    """Explain an error in the middle of a sweep by another thread having freed the graph."""
    for node in order:
        if type(node.args) is Freed:
            raise freed_error(node, node.args) from error


@contextlib.contextmanager
def quiet(create_graph: bool) -> Iterator[None]:
    """Differentiate without NumPy's floating-point warnings, recording exactly if asked."""
    token = modes.enter(modes.changed(grad=create_graph))
    try:
        with np.errstate(all="ignore"):
            yield
    finally:
        modes.leave(token)


def push(
    order: Sequence[Node], seeds: dict[Node, Any], create_graph: bool, on_tensors: bool = False
) -> dict[Node, Any]:
    """Forward mode over a recorded region: the tangent of every node of `order` that has one.

    The rules run on tensors if the derivative is to be recorded, or if asked to.
    """
    on_tensors = on_tensors or create_graph
    xp = recorded if on_tensors else raw
    tangents: dict[Node, Any] = dict(seeds)
    last_write = mutation.last_seq()
    with quiet(create_graph):
        for node in order:
            if node.seq < last_write and node not in seeds:
                mutation.check_saved(node)
            incoming = [tangents.get(p) if p is not None else None for p in node.parents]
            if node in seeds or all(t is None for t in incoming):
                continue
            if node.prim is PICK:
                t = incoming[0][node.params["index"]]  # type: ignore[index]
            else:
                args, out = node.args, node.out
                if node.extra is not None:
                    args, out = unpack(args), unpack(out)
                if on_tensors:
                    args, out = boxed(node, args, out)
                t = node.prim.push(node, incoming, xp, args, out)
                if node.shape is not None and t is not None and t.shape != node.shape:
                    t = xp.broadcast_to(t, shape=node.shape)
            if t is not None:
                tangents[node] = t
    return tangents


def free(order: Iterable[Node], ends: Collection[Node] = ()) -> None:
    """Release the values kept for backward, leaving a note of who did; the `ends` keep theirs."""
    freed = Freed(*caller(2))
    for node in order:
        if node in ends:
            continue
        if node.prim.saves and node.args is not None and not keeps_number(node):
            node.args = freed
            node.out = None


def keeps_number(node: Node) -> bool:
    """Whether an operation of two arguments keeps a number at most: nothing worth freeing.

    So `2 * x` and `x % 2` can be differentiated again, as in PyTorch.
    """
    args = node.args
    if type(args) is not tuple or len(args) != 2 or node.out is not None:
        return False
    a, b = args
    if a is None:
        return b is None or (node.parents[1] is None and type(b) is np.ndarray and b.ndim == 0)
    return b is None and node.parents[0] is None and type(a) is np.ndarray and a.ndim == 0
