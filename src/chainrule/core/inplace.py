"""In-place writes and views: the memory really changes, and the tape stays right.

Tensors that share memory form a tree: each view knows its parent and how it was taken.  A write to
any of them gives the written tensor a new node; the nodes of its ancestors become "the old value
with that region replaced", and all other views of the family are taken anew from their parents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

import numpy as np

from chainrule.core import avals, mutation
from chainrule.core.batching import aligned, rank, shape_of, spread, with_rank
from chainrule.core.boxes import REPEATED, WRITES_INPUT, Box, become, is_input, refuse_write
from chainrule.core.dtypes import category, is_inexact
from chainrule.core.kinds import general
from chainrule.core.modes import Mode, get_mode, is_recording, lifting
from chainrule.core.namespaces import raw
from chainrule.core.node import Leaf, Node, extra_of, next_seq
from chainrule.core.primitive import REGISTRY, Primitive, make_node, record
from chainrule.core.source import caller
from chainrule.core.sweep import Owned
from chainrule.core.tensor import Tensor, as_array, wrap


def _region(base: Any, view: tuple[str, tuple[Any, ...]]) -> Any:
    name, params = view
    return REGISTRY[name].eval(base, **dict(params))


def _write_view(base: Any, value: Any, view: Any) -> Any:
    out = np.array(base)
    region = _region(out, view)
    if np.may_share_memory(region, out):
        region[...] = value
    else:  # in the copy's layout the same view does not exist: write to the positions it shows
        out = np.array(base, order="C")
        positions = _region(np.arange(out.size).reshape(out.shape), view)
        out.reshape(-1)[positions] = value
    return out


def _take_view(xp: Any, g: Any, view: Any) -> Any:
    name, params = view
    return getattr(xp, name)(g, **dict(params))


def _write_view_vjp(xp: Any, g: Any, y_aval: Any, need: Any, view: Any) -> tuple[Any, Any]:
    mine = type(g) is Owned  # then its array may be written, unless the view does not exist in it
    array = g.array if mine else g
    gy = _take_view(xp, array, view) if need[1] else None
    if xp is raw and need[0]:
        gy = None if gy is None else gy.copy()
        if mine and np.may_share_memory(_region(array, view), array):
            _region(array, view)[...] = 0
        else:
            array = _write_view(array, 0, view)
        return Owned(array), gy
    return (xp.write_view(array, np.zeros((), y_aval.dtype), view=view) if need[0] else None, gy)


def _write_view_batch(
    prim: Any, size: int, args: Sequence[Any], mapped: Sequence[bool], params: dict[str, Any]
) -> Any:
    base = args[0] if mapped[0] else spread(args[0], size)
    name, taken = params["view"]
    view = REGISTRY[name]
    whole = view.batch.params(size, shape_of(base)[1:], dict(taken))  # type: ignore[union-attr]
    value = args[1]
    if mapped[1]:
        value = with_rank(value, rank(view.apply((base,), whole)) - 1)
    return prim.apply((base, value), {"view": (name, tuple(sorted(whole.items())))})


def _overwrite_batch(
    prim: Any, size: int, args: Sequence[Any], mapped: Sequence[bool], params: dict[str, Any]
) -> Any:
    x = args[0] if mapped[0] else spread(args[0], size)
    return prim.apply(aligned((x, args[1]), (True, mapped[1])), params)


def _set_data_batch(
    prim: Any, size: int, args: Sequence[Any], mapped: Sequence[bool], params: dict[str, Any]
) -> Any:
    return prim.apply(
        [x if m else spread(x, size) for x, m in zip(args, mapped, strict=True)], params
    )


# out = base, except in the region that the view shows, where it is value
write_view = general(
    "write_view",
    _write_view,
    vjp=_write_view_vjp,
    jvp=lambda xp, t, x_aval, y_aval, view: xp.write_view(
        np.zeros(x_aval.shape, x_aval.dtype) if t[0] is None else t[0],
        np.zeros((), y_aval.dtype) if t[1] is None else t[1],
        view=view,
    ),
    aval=avals.same,
    batch=_write_view_batch,
)
write_view.prim.reuses = True
write_view.prim.namer = lambda params: "CopySlices"

# out = value: all of x is forgotten; the title is the node's name in `grad_fn`
overwrite = general(
    "overwrite",
    lambda x, y, title: np.broadcast_to(y, x.shape).astype(x.dtype),
    vjps=(lambda g, x_aval: np.zeros(x_aval.shape, x_aval.dtype) if not isinstance(g, Tensor)
          else wrap(np.zeros(x_aval.shape, x_aval.dtype)), lambda g: g),
    jvp=lambda xp, t, x_aval: xp.broadcast_to(t[1], shape=x_aval.shape) if t[1] is not None
    else np.zeros(x_aval.shape, x_aval.dtype),
    aval=avals.same, batch=_overwrite_batch,
)  # fmt: skip
overwrite.prim.namer = lambda params: str(params["title"])

# out = value, and in reverse the derivative of x: what a write is that is not recorded, as under
# no_grad. The tensor keeps its place in the graph, and later operations find another number there.
# Forward mode does not know no_grad: the tangent is that of the value.
set_data = general(
    "set_data", lambda x, value: value.copy(), vjps=(lambda g: g, None),
    jvp=lambda xp, t, x_aval: np.zeros(x_aval.shape, x_aval.dtype) if t[1] is None else t[1],
    aval=avals.same, batch=_set_data_batch,
)  # fmt: skip


def check_writable(x: Tensor) -> None:
    """Raise if `x` may not be written in place now.

    Raises:
        RuntimeError: for a leaf that requires grad, a view of one, a view made under no_grad of a
            tensor that is recorded, a view that shows an entry more than once, or the input of a
            reverse transform.
    """
    lift = lifting()
    if lift is not None:
        lift.written(x)
    if x._box is not None:
        reason = refuse_write(x)
        if reason is not None:
            raise RuntimeError(reason)
        return
    if is_recording():
        if type(x.node) is Leaf:
            refuse_leaf()
        if x._view is not None:
            _check_family(x)
    array = x.array
    if not array.flags.writeable or (
        0 in array.strides
        and array.size > 1
        and any(s == 0 and d > 1 for s, d in zip(array.strides, array.shape, strict=True))
    ):
        raise RuntimeError(WRITES_INPUT if _shows_input(x) else REPEATED)


def _shows_input(x: Tensor) -> bool:
    """Whether a tensor is, or is a view of, the input of a reverse transform."""
    while x._view is not None:
        x = x._view.parent
    return x.node is not None and is_input(x.node)


def refuse_leaf() -> NoReturn:
    """Raise the error for a leaf that requires grad."""
    raise RuntimeError(
        "a leaf Variable that requires grad is being used in an in-place operation. Write to it "
        "under chainrule.no_grad(), or use the operation that returns a new tensor."
    )


def _check_family(x: Tensor) -> None:
    """Raise if a tensor that the view `x` was taken from forbids writing."""
    ancestor = x
    while ancestor._view is not None:
        ancestor = ancestor._view.parent
        if type(ancestor.node) is Leaf:
            raise RuntimeError(
                "a view of a leaf Variable that requires grad is being used in an in-place "
                "operation. Write to it under chainrule.no_grad(), or clone the leaf first."
            )
        if ancestor.node is not None and x.node is None and is_inexact(x.array.dtype):
            raise RuntimeError(
                "A view was created in no_grad mode and is being modified inplace with grad mode "
                "enabled. The write could not be recorded for the tensor it was taken from: take "
                "the view outside chainrule.no_grad(), or write inside it."
            )


def check_fits(x: Tensor, array: Any, what: str) -> None:
    """Raise if a result cannot be stored in `x`: wrong shape, or a higher dtype category."""
    if category(array.dtype) > category(x.array.dtype):
        raise RuntimeError(
            f"result type {array.dtype.name} can't be cast to the desired output type "
            f"{x.array.dtype.name} in {what}; convert the tensor first, for example x.float()"
        )
    if array.shape != x.array.shape and not broadcasts_to(array.shape, x.array.shape):
        raise RuntimeError(
            f"output with shape {list(x.array.shape)} doesn't match the broadcast shape "
            f"{list(array.shape)} in {what}"
        )


def apply(x: Tensor, op: Callable[..., Any], *args: Any, **kwargs: Any) -> Tensor:
    """Do `op(x, *args, **kwargs)` in place: the result is written to the memory of `x`.

    Raises:
        RuntimeError: see `check_writable` and `check_fits`.
    """
    check_writable(x)
    if x._box is not None:
        return assign(x, op(x, *args, **kwargs), op)
    mode = get_mode()
    prim = getattr(op, "prim", None)
    if len(args) == 1 and not kwargs and _is_direct(x, prim, args[0], mode):
        return _apply_directly(x, prim, args[0], mode)
    since = next_seq()
    old = x
    if mode is not True and mode is not False and mode.pack is not None:
        # What a pack hook is given cannot be exchanged later.
        old = wrap(x.array.copy(), x.node)
        args = tuple(old if a is x else a for a in args)
    result = op(old, *args, **kwargs)
    node = result.node if isinstance(result, Tensor) else None
    if node is not None and (prim is None or prim.saves):
        keep_copies(node, since, x.array)
    return assign(x, result, op, since)


def _is_direct(x: Tensor, prim: Any, y: Any, mode: Any) -> bool:
    """Whether NumPy may write the result itself: like tensors, of which no rule keeps anything."""
    if prim is None or prim.saves or type(prim.eval) is not np.ufunc or type(y) is not Tensor:
        return False
    a, b = x.array, y.array
    plain = mode is True or mode is False
    return plain and a.dtype is b.dtype and is_inexact(a.dtype) and a.shape == b.shape


def _apply_directly(x: Tensor, prim: Any, y: Tensor, mode: bool | Mode) -> Tensor:
    a, b = x.array, y.array
    prim.eval(a, b, out=a)
    place = caller(2)
    mutation.note_write(a, place)
    if mode and (x.node is not None or y.node is not None):
        node = make_node(prim, (None, None), None, None, (x.node, y.node), place)
        node.shape, node.dtype = a.shape, a.dtype
        rebind(x, node)
    return x


def keep_copies(node: Node, since: int, array: Any) -> None:
    """Let the nodes recorded after `since` keep copies of what is about to be overwritten."""
    owner = mutation.owner_of(array)
    copies: dict[int, Any] = {}
    stack: list[Node | None] = [node]
    while stack:
        n = stack.pop()
        if n is not None and n.seq > since and n.args is not None:
            n.args = _detached_from(owner, n.args, copies)
            n.out = _detached_from(owner, n.out, copies)
            stack.extend(n.parents)


def _detached_from(owner: Any, value: Any, copies: dict[int, Any]) -> Any:
    """A kept value, or tuple of them, with copies in place of arrays in the memory of `owner`."""
    if type(value) is tuple:
        return tuple([_detached_from(owner, v, copies) for v in value])
    if not isinstance(value, np.ndarray) or mutation.owner_of(value) is not owner:
        return value
    if id(value) not in copies:
        copies[id(value)] = value.copy()
    return copies[id(value)]


def assign(x: Tensor, result: Any, op: Any, since: int | None = None) -> Tensor:
    """Write `result`, a tensor or number that `op` computed elsewhere, into all of `x`.

    If the result's node is younger than `since`, it is nobody else's and becomes that of `x`.
    """
    target = x.array
    value = result.array if isinstance(result, Tensor) else as_array(result)
    if value.dtype is not target.dtype or value.shape != target.shape:
        name = op if isinstance(op, str) else getattr(op, "__name__", "operation")
        check_fits(x, value, name.rstrip("_") + "_")
    if x._box is not None or isinstance(result, Box):
        return become(x, result)
    node = result.node if isinstance(result, Tensor) else None
    fresh = (
        node is not None
        and since is not None
        and node.seq > since
        and node.shape == target.shape
        and node.dtype == target.dtype
    )
    return store(x, result, node if fresh else None)


def store(x: Tensor, value: Any, node: Node | None = None, title: str = "CopyBackwards") -> Tensor:
    """Write a tensor, array or number to all of `x`, converted and broadcast to fit.

    `node`, if given, is the one of the new value, and is recorded for nothing else; otherwise one
    with the given title is made.

    Raises:
        RuntimeError: if the value does not broadcast to the shape of `x`.
    """
    array = value.array if isinstance(value, Tensor) else as_array(value)
    if x._box is not None or isinstance(value, Box):
        if not broadcasts_to(array.shape, x.array.shape):
            raise _misfit(x, array)
        return become(x, value)
    try:
        np.copyto(x.array, array, casting="unsafe")
    except ValueError:
        raise _misfit(x, array) from None
    mutation.note_write(x.array)
    if is_recording() and (x.node is not None or getattr(value, "node", None) is not None):
        node = node or record_write(overwrite.prim, (x, value), {"title": title}, x.array)
        if node is not None:
            rebind(x, node)
    return x


def _misfit(x: Tensor, array: Any) -> RuntimeError:
    return RuntimeError(
        f"output with shape {list(x.array.shape)} doesn't match the shape {list(array.shape)} "
        "of the value to be written, which does not broadcast to it"
    )


def broadcasts_to(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether an array of one shape can be broadcast to the other."""
    try:
        return np.broadcast_shapes(shape, wanted) == tuple(wanted)
    except ValueError:
        return False


def record_write(prim: Primitive, args: Any, params: Any, out: Any) -> Node | None:
    """A node for a value that is already in memory; None if nothing is to be recorded."""
    mode = get_mode()
    parents = [a.node if isinstance(a, Tensor) else None for a in args]
    if mode is False or all(p is None for p in parents) or not is_inexact(out.dtype):
        return None
    values = [a.array if isinstance(a, Tensor) else as_array(a) for a in args]
    return record(prim, values, params, parents, out, mode, caller(2))


def rebind(x: Tensor, node: Node | None, written_to: Any = None) -> None:
    """Make `node` the node of `x` after a write, and bring its whole family up to date.

    Views that show none of the written memory (`written_to`, an array; all of `x` if None) keep
    their nodes.
    """
    _renew(x, node)
    if x._view is None and not x._views:
        return
    memory = x.array if written_to is None else written_to
    written = {id(x)}
    while x._view is not None:
        view, parent = x._view, x._view.parent
        key = (view.prim.name, tuple(sorted(view.params.items())))
        _renew(parent, record_write(write_view.prim, (parent, x), {"view": key}, parent.array))
        written.add(id(parent))
        x = parent
    stack = [x]
    while stack:
        parent = stack.pop()
        for child in living_views(parent):
            if id(child) not in written:
                if child.node is not None and not np.may_share_memory(child.array, memory):
                    continue
                if type(child.node) is not Leaf:
                    taken: Any = child._view
                    _renew(child, record_write(taken.prim, (parent,), taken.params, child.array))
            stack.append(child)


def _renew(x: Tensor, node: Node | None) -> None:
    """Give `x` the node of its new value; if it retains its gradient, it does so from there."""
    old = x.node
    x.node = node
    if old is not None and old.extra is not None and old.extra.retain is not None:
        if node is not None:
            extra_of(node).retain = old.extra.retain
        old.extra.retain = None


def living_views(x: Tensor) -> Iterator[Tensor]:
    """The views taken directly from `x` that are still alive."""
    for weak in x._views or ():
        child = weak()
        if child is not None and child._view is not None:
            yield child
