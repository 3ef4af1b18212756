"""In-place writes and views: the memory really changes, and the tape stays right.

Tensors that share memory form a tree: each view knows its parent and how it was taken.  A write to
any of them gives the written tensor a new node; the nodes of its ancestors become "the old value
with that region replaced", and all other views of the family are taken anew from their parents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from chainrule.core import mutation
from chainrule.core.dtypes import category, is_inexact
from chainrule.core.kinds import general
from chainrule.core.modes import as_mode, get_mode, is_recording
from chainrule.core.node import Leaf, Node
from chainrule.core.primitive import REGISTRY, Primitive, record
from chainrule.core.source import caller
from chainrule.core.tensor import Tensor, as_array, wrap


def _region(base: Any, view: tuple[str, tuple[Any, ...]]) -> Any:
    name, params = view
    return REGISTRY[name].eval(base, **dict(params))


def _write_view(base: Any, value: Any, view: Any) -> Any:
    out = np.array(base)
    _region(out, view)[...] = value
    return out


def _take_view(xp: Any, g: Any, view: Any) -> Any:
    name, params = view
    return getattr(xp, name)(g, **dict(params))


# out = base, except in the region that the view shows, where it is value
write_view = general(
    "write_view",
    _write_view,
    vjps=(
        lambda xp, g, y_aval, view: xp.write_view(g, np.zeros((), y_aval.dtype), view=view),
        lambda xp, g, view: _take_view(xp, g, view),
    ),
    jvp=lambda xp, t, x_aval, y_aval, view: xp.write_view(
        np.zeros(x_aval.shape, x_aval.dtype) if t[0] is None else t[0],
        np.zeros((), y_aval.dtype) if t[1] is None else t[1],
        view=view,
    ),
    grad_name="CopySlices",
)

# out = value: all of x is forgotten
overwrite = general(
    "overwrite",
    lambda x, y: np.broadcast_to(y, x.shape).astype(x.dtype),
    vjps=(lambda g, x_aval: np.zeros(x_aval.shape, x_aval.dtype) if not isinstance(g, Tensor)
          else wrap(np.zeros(x_aval.shape, x_aval.dtype)), lambda g: g),
    jvp=lambda xp, t, x_aval: xp.broadcast_to(t[1], shape=x_aval.shape) if t[1] is not None
    else np.zeros(x_aval.shape, x_aval.dtype),
    grad_name="Copy",
)  # fmt: skip


def family_root(x: Tensor) -> Tensor:
    """The tensor at the root of the tree of views that `x` belongs to."""
    while x._view is not None:
        x = x._view.parent
    return x


def check_writable(x: Tensor) -> None:
    """Raise if `x` may not be written in place now.

    Raises:
        RuntimeError: for a leaf that requires grad, a view of one, or a view that shows an entry
            more than once.
    """
    if is_recording():
        if type(x.node) is Leaf and x._view is None:
            raise RuntimeError(
                "a leaf Variable that requires grad is being used in an in-place operation. Write "
                "to it under chainrule.no_grad(), or use the operation that returns a new tensor."
            )
        if type(family_root(x).node) is Leaf:
            raise RuntimeError(
                "a view of a leaf Variable that requires grad is being used in an in-place "
                "operation. Write to it under chainrule.no_grad(), or clone the leaf first."
            )
    if not x.array.flags.writeable or 0 in [
        s for s, d in zip(x.array.strides, x.array.shape, strict=True) if d > 1
    ]:
        raise RuntimeError(
            "unsupported operation: more than one element of the written-to tensor refers to a "
            "single memory location (or its memory is read-only). Please clone() the tensor before "
            "performing the operation."
        )


def check_fits(x: Tensor, array: Any, what: str) -> None:
    """Raise if a result cannot be stored in `x`: wrong shape, or a higher dtype category."""
    if category(array.dtype) > category(x.array.dtype):
        raise RuntimeError(
            f"result type {array.dtype.name} can't be cast to the desired output type "
            f"{x.array.dtype.name} in {what}; convert the tensor first, for example x.float()"
        )
    if array.shape != x.array.shape:
        try:
            fits = np.broadcast_shapes(array.shape, x.array.shape) == x.array.shape
        except ValueError:
            fits = False
        if not fits:
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
    prim: Primitive | None = getattr(op, "prim", None)
    old = x
    if x.node is not None or any(isinstance(a, Tensor) and a.node is not None for a in args):
        if is_recording() and (prim is None or prim.saves):
            # Rules may keep the value that is about to be overwritten: let them keep a copy.
            old = wrap(x.array.copy(), x.node)
            args = tuple(old if a is x else a for a in args)
    result = op(old, *args, **kwargs)
    return assign(x, result, f"{getattr(op, '__name__', 'operation')}_")


def assign(x: Tensor, result: Any, what: str) -> Tensor:
    """Write `result`, a tensor or number computed elsewhere, into all of `x`."""
    value = result.array if isinstance(result, Tensor) else as_array(result)
    node = result.node if isinstance(result, Tensor) else None
    check_fits(x, value, what)
    np.copyto(x.array, value, casting="unsafe")
    mutation.note_write(x.array)
    if not is_recording() or (node is None and x.node is None):
        return x
    if node is None or node.shape != x.array.shape or node.dtype != x.array.dtype:
        node = record_write(overwrite.prim, (x, result), {}, x.array)
    rebind(x, node)
    return x


def record_write(prim: Primitive, args: Any, params: Any, out: Any) -> Node | None:
    """A node for a value that is already in memory."""
    parents = [a.node if isinstance(a, Tensor) else None for a in args]
    if all(p is None for p in parents) or not is_inexact(out.dtype):
        return None
    values = [a.array if isinstance(a, Tensor) else as_array(a) for a in args]
    return record(prim, values, params, parents, out, as_mode(get_mode()), caller(2))


def rebind(x: Tensor, node: Node | None) -> None:
    """Make `node` the node of `x` after a write, and bring its whole family up to date."""
    x.node = node
    written = {id(x)}
    while x._view is not None:
        view, parent = x._view, x._view.parent
        key = (view.prim.name, tuple(sorted(view.params.items())))
        parent.node = record_write(
            write_view.prim,
            (parent, x),
            {"view": key},
            parent.array,
        )
        written.add(id(parent))
        x = parent
    stack = [x]
    while stack:
        parent = stack.pop()
        for child in living_views(parent):
            if id(child) not in written:
                view = child._view
                assert view is not None
                child.node = record_write(view.prim, (parent,), view.params, child.array)
            stack.append(child)


def living_views(x: Tensor) -> Iterator[Tensor]:
    """The views taken directly from `x` that are still alive."""
    for weak in x._views or ():
        child = weak()
        if child is not None and child._view is not None:
            yield child
