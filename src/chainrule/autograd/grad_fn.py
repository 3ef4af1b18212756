"""`grad_fn`: a node as PyTorch's users see it, named after its operation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakValueDictionary

from chainrule.core.engine import check_alive
from chainrule.core.hooks import RemovableHandle, add_hook
from chainrule.core.node import Aval, Leaf, Node, extra_of
from chainrule.core.primitive import PICK
from chainrule.core.sweep import boxed, unpack
from chainrule.core.tensor import Tensor

# What the rules of an operation call x, y, z, w and out, in PyTorch's names.
_SAVED = {"self": 0, "other": 1, "input": 0, "exponent": 1}


class GradFn:
    """The node of an operation: its name, its neighbours, its saved values, its hooks.

    Views of the same node are equal; each class is named after its operation (`MulBackward0`).
    """

    __slots__ = ("__weakref__", "node")

    def __init__(self, node: Node) -> None:
        self.node = node

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GradFn) and other.node is self.node

    def __hash__(self) -> int:
        return hash(self.node)

    def __repr__(self) -> str:
        return f"<{self.name()} object at {id(self.node):#x}>"

    def name(self) -> str:
        """The name of the function, as its class is called."""
        return type(self).__name__

    @property
    def next_functions(self) -> tuple[tuple[GradFn | None, int], ...]:
        """The functions that this one passes gradients to, each with its output's number."""
        return tuple(edge_of(parent) for parent in self.node.parents)

    @property
    def metadata(self) -> dict[Any, Any]:
        """A dictionary that lives as long as the node, for the user's notes."""
        return extra_of(self.node).metadata

    @property
    def where(self) -> str:
        """The line of the program that recorded the operation."""
        return self.node.where

    def register_hook(self, fn: Callable[..., Any]) -> RemovableHandle:
        """Call `fn(grad_inputs, grad_outputs)` after this function ran in a backward pass.

        What it returns, unless None, replaces `grad_inputs`.
        """
        return add_hook(extra_of(self.node).post_hooks, fn)

    def register_prehook(self, fn: Callable[..., Any]) -> RemovableHandle:
        """Call `fn(grad_outputs)` before this function runs in a backward pass.

        What it returns, unless None, replaces `grad_outputs`.
        """
        return add_hook(extra_of(self.node).pre_hooks, fn)

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """The tensors kept for the backward pass.

        Raises:
            RuntimeError: if they were freed or overwritten.
        """
        ctx = (self.node.params or {}).get("ctx")
        if ctx is not None:
            return tuple(ctx.saved_tensors)
        args, out = self._saved()
        outs = out if isinstance(out, tuple) else (out,)
        return tuple(a for a in (*args, *outs) if isinstance(a, Tensor))

    def _saved(self) -> tuple[Any, Any]:
        node = self.node
        check_alive([node])
        args, out = unpack(node.args), unpack(node.out)
        if not node.prim.side_effects and args:  # a number that is there to be shown is not saved
            keeps, _ = node.prim.kept(tuple([p is not None for p in node.parents]))
            pairs = zip(args, node.parents, keeps, strict=True)
            args = tuple([a if keep or p is not None else None for a, p, keep in pairs])
        return boxed(node, args, out)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_saved_"):
            found = self._find_saved(name.removeprefix("_saved_"))
            if found is not None:
                return found
        ctx = (self.node.params or {}).get("ctx")  # of an autograd.Function
        if ctx is not None and not name.startswith("__"):
            return getattr(ctx, name)
        raise AttributeError(f"{self.name()!r} object has no attribute {name!r}")

    def _find_saved(self, what: str) -> Any:
        params = self.node.params or {}
        if what in params:
            return params[what]
        args, out = self._saved()
        if what == "result":
            return out if isinstance(out, Tensor) else None
        position = _SAVED.get(what, len(args))
        found = args[position] if position < len(args) else None
        return None if isinstance(found, Aval) else found

    def __dir__(self) -> list[str]:
        names = [f"_saved_{what}" for what in (*_SAVED, "result", *(self.node.params or ()))]
        return [*super().__dir__(), *(name for name in names if hasattr(self, name))]


class AccumulateGrad(GradFn):
    """Where the gradient of a leaf is added to its `.grad`."""

    __slots__ = ()

    @property
    def variable(self) -> Tensor | None:
        """The leaf, if it still lives."""
        node = self.node
        return node.tensor() if isinstance(node, Leaf) else None


_classes: dict[str, type[GradFn]] = {"AccumulateGrad": AccumulateGrad}
# As in PyTorch, a function that somebody holds is the same object wherever it is met again.
_held: WeakValueDictionary[int, GradFn] = WeakValueDictionary()


def class_of(node: Node) -> type[GradFn]:
    """The class of grad_fn for an operation, made on first use."""
    name = node.prim.grad_fn_name(node)
    found = _classes.get(name)
    if found is None:
        found = _classes[name] = type(name, (GradFn,), {"__slots__": (), "__module__": __name__})
    return found


def grad_fn_of(node: Node) -> GradFn:
    """The view of a node; a pick shows the operation that it picks from."""
    if node.prim is PICK:
        assert node.parents[0] is not None
        node = node.parents[0]
    found = _held.get(id(node))
    if found is None:  # a held one keeps its node alive, so its id is not another's
        cls = AccumulateGrad if isinstance(node, Leaf) else class_of(node)
        found = _held[id(node)] = cls(node)
    return found


def output_number(node: Node | None) -> int:
    """Which output of its operation a node stands for."""
    if node is None or node.prim is not PICK or node.params is None:
        return 0
    index: int = node.params["index"]
    return index


def edge_of(node: Node | None) -> tuple[GradFn | None, int]:
    """An entry of `next_functions`."""
    return (None if node is None else grad_fn_of(node)), output_number(node)
