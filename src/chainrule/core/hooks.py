"""Hooks: the user's functions that a backward pass calls on its way.

Only nodes with an `Extra` come here.  Hooks see tensors, and what they return replaces the gradient
if it has its shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

from chainrule.core.modes import refuse_lifted
from chainrule.core.node import Node
from chainrule.core.tensor import Tensor, wrap

_ids = count().__next__


class RemovableHandle:
    """Removes a hook: call `remove()`, or use the handle as a context manager."""

    def __init__(self, hooks: dict[int, Any]) -> None:
        self.id = _ids()
        self._hooks = hooks

    def remove(self) -> None:
        """Take the hook out; a second call does nothing."""
        self._hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


class RemovableHandles(RemovableHandle):
    """Removes several hooks at once."""

    def __init__(self, handles: Sequence[RemovableHandle]) -> None:
        super().__init__({})
        self._handles = handles

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()


class MultiHook:
    """A hook on the gradients of several tensors: one entry stands in the table of each.

    What has arrived is kept by the sweep, so that passes in several threads do not mix.
    """

    def __init__(self, fn: Any, count: int, mode: str) -> None:
        self.fn = fn
        self.count = count
        self.mode = mode

    def entry(self, index: int) -> MultiEntry:
        """The hook of the tensor at `index`."""
        return MultiEntry(self, index)


class MultiEntry:
    """One tensor's share of a `MultiHook`."""

    __slots__ = ("group", "index")

    def __init__(self, group: MultiHook, index: int) -> None:
        self.group = group
        self.index = index

    def __call__(self, g: Any, arrived: Arrived) -> None:
        """Note the tensor's gradient among those that arrived in this sweep."""
        group = self.group
        grads = arrived.get(group)
        if grads is None:
            grads = arrived[group] = [None] * group.count
            if group.mode == "any":
                group.fn(g)
        grads[self.index] = g


Arrived = dict[MultiHook, list[Any]]


def run_multi_hooks(arrived: Arrived) -> None:
    """Call the hooks that wait for the gradients of all their tensors, at the end of a sweep."""
    for group, grads in arrived.items():
        if group.mode == "all":
            group.fn(grads)


def add_hook(hooks: dict[int, Any], hook: Any) -> RemovableHandle:
    """Register a callable in a table of hooks."""
    if not callable(hook):
        raise TypeError(f"a hook must be callable, got {type(hook).__name__}")
    refuse_lifted("registering a hook")
    handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    return handle


def as_tensor(g: Any) -> Any:
    """A raw cotangent as a tensor; None and tensors stay."""
    return g if g is None or isinstance(g, Tensor) else wrap(g)


def like(g: Any, result: Any) -> Any:
    """What a hook returned in the form (raw or tensor) that the sweep works with."""
    return result if isinstance(g, Tensor) else result.array


def checked(result: Any, g: Any, what: str) -> Any:
    """A hook's result, if it can stand in for the gradient `g`."""
    if not isinstance(result, Tensor):
        raise TypeError(f"{what} must return None or a Tensor, got {type(result).__name__}")
    if g is not None and result.array.shape != g.shape:
        raise RuntimeError(
            f"{what} has changed the size of the gradient: got {list(result.array.shape)}, "
            f"expected {list(g.shape)}"
        )
    return result


def run_tensor_hooks(node: Node, g: Any, arrived: Arrived) -> Any:
    """Run the hooks of the node's tensor on the cotangent that arrived."""
    extra = node.extra
    assert extra is not None
    for hook in list(extra.hooks.values()):
        if type(hook) is MultiEntry:
            hook(as_tensor(g), arrived)
            continue
        result = hook(as_tensor(g))
        if result is not None:
            g = like(g, checked(result, g, "a tensor hook"))
    return g


def run_pre_hooks(node: Node, g: Any) -> Any:
    """Run the node's pre-hooks on the cotangent that arrived, or on one for each output."""
    extra = node.extra
    assert extra is not None
    if extra.pre_hooks:
        several = isinstance(g, list)
        grads = tuple(map(as_tensor, g)) if several else (as_tensor(g),)
        for hook in list(extra.pre_hooks.values()):
            result = hook(grads)
            if result is not None:
                result = result if isinstance(result, tuple) else (result,)
                if len(result) != len(grads):
                    raise RuntimeError(
                        f"a pre-hook returned {len(result)} gradients, expected {len(grads)}"
                    )
                grads = tuple(
                    None if r is None else checked(r, old, "a pre-hook")
                    for r, old in zip(result, grads, strict=True)
                )
        raw = [None if t is None else like(g[0] if several else g, t) for t in grads]
        g = raw if several else raw[0]
    return g


def run_post_hooks(node: Node, grads: Sequence[Any], g: Any) -> Sequence[Any]:
    """Run the node's post-hooks on the gradients it produced and the one it received."""
    extra = node.extra
    assert extra is not None
    if not extra.post_hooks:
        return grads
    inputs = tuple(map(as_tensor, grads))
    outputs = tuple(map(as_tensor, g)) if isinstance(g, list) else (as_tensor(g),)
    for hook in list(extra.post_hooks.values()):
        result = hook(inputs, outputs)
        if result is not None:
            result = result if isinstance(result, tuple) else (result,)
            if len(result) != len(inputs):
                raise RuntimeError(
                    f"a hook returned {len(result)} gradients, expected {len(inputs)}"
                )
            inputs = tuple(
                None if r is None else checked(r, old, "a hook")
                for r, old in zip(result, inputs, strict=True)
            )
    return [
        None if t is None else (t if isinstance(old, Tensor) else t.array)
        for t, old in zip(inputs, grads, strict=True)
    ]
