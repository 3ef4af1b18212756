"""The primitives behind `autograd.Function`: their rules call the user's methods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.core.hooks import as_tensor
from chainrule.core.namespaces import recorded
from chainrule.core.node import Node
from chainrule.core.primitive import Primitive
from chainrule.core.tensor import Tensor, wrap


class FunctionPrimitive(Primitive):
    """The primitive behind a subclass of `Function`: its rules call the user's methods."""

    kind = "function"
    side_effects = True

    def __init__(self, cls: Any) -> None:
        super().__init__(cls.__name__, self._evaluate, grad_name=f"{cls.__name__}Backward")
        self.cls = cls

    def _evaluate(self, *args: Any) -> Any:
        outs = self.cls.apply(*[wrap(a) if isinstance(a, np.ndarray) else a for a in args])
        if isinstance(outs, tuple):
            return tuple(o.array if isinstance(o, Tensor) else o for o in outs)
        return outs.array if isinstance(outs, Tensor) else outs

    def pull(
        self, node: Node, g: Any, xp: Any, args: Any, out: Any, live: Any, careful: bool
    ) -> Sequence[Any]:
        ctx, positions, count = _details(node)
        grads = [as_tensor(x) for x in g] if isinstance(g, list) else [as_tensor(g)]
        if ctx._materialize and any(x is None for x in grads):
            grads = [
                wrap(np.zeros(o.shape, o.dtype)) if x is None and o is not None else x
                for x, o in zip(grads, node.out, strict=True)
            ]
        result = self.cls._backward_method()(ctx, *grads)
        found = self._checked(result, node, positions, count)
        return found if xp is recorded else [None if x is None else x.array for x in found]

    def _checked(self, result: Any, node: Node, positions: Sequence[int], count: int) -> list[Any]:
        """What `backward` returned, for each tensor argument, if it fits."""
        name = self.grad_name
        grads = result if isinstance(result, tuple) else (result,)
        if len(grads) > count and all(x is None for x in grads[count:]):
            grads = grads[:count]
        if len(grads) != count:
            raise RuntimeError(
                f"function {name} returned an incorrect number of gradients (expected {count}, got "
                f"{len(grads)}); backward must return one for every argument of forward except ctx"
            )
        for i, x in enumerate(grads):
            if x is None:
                continue
            if not isinstance(x, Tensor):
                raise TypeError(
                    f"function {name} returned a {type(x).__name__} at position {i}; expected "
                    "Variable or None"
                )
            if i not in positions:
                raise RuntimeError(
                    f"function {name} returned a gradient different from None at position {i + 1}, "
                    "but the corresponding forward input was not a Variable"
                )
        found = [grads[i] for i in positions]
        for i, (x, parent) in enumerate(zip(found, node.parents, strict=True)):
            if x is not None and parent is not None and not _fits(x.array.shape, parent.shape):
                raise RuntimeError(
                    f"Function {name} returned an invalid gradient at index {positions[i]} - got "
                    f"{list(x.array.shape)} but expected shape compatible with "
                    f"{list(parent.shape or ())}"
                )
        return [None if p is None else x for x, p in zip(found, node.parents, strict=True)]

    def push(self, node: Node, tangents: Sequence[Any], xp: Any, args: Any, out: Any) -> Any:
        ctx, positions, count = _details(node)
        filled: list[Any] = [None] * count
        for i, t, parent in zip(positions, tangents, node.parents, strict=True):
            if t is None and ctx._materialize and parent is not None:
                t = np.zeros(parent.shape or (), parent.dtype)
            filled[i] = as_tensor(t)
        ctx._in_jvp = True
        try:
            result = self.cls.jvp(ctx, *filled)
        finally:
            ctx._in_jvp = False
        if xp is recorded:
            return result
        if isinstance(result, tuple):
            return tuple(None if t is None else t.array for t in result)
        return None if result is None else result.array


def _details(node: Node) -> tuple[Any, tuple[int, ...], int]:
    """Context, positions of the tensors among the arguments, and the number of arguments."""
    assert node.params is not None
    return node.params["ctx"], node.params["positions"], node.params["count"]


def _fits(shape: tuple[int, ...], target: tuple[int, ...] | None) -> bool:
    """Whether a gradient has the shape it belongs to, or can be summed to it."""
    target = target or ()
    try:
        return np.broadcast_shapes(shape, target) == shape
    except ValueError:
        return False


class Delayed(Primitive):
    """What stands behind the result of a backward that may be differentiated once only."""

    side_effects = True

    def __init__(self) -> None:
        super().__init__("once_differentiable", lambda *xs: xs[0], grad_name="DelayedError")

    def pull(
        self, node: Node, g: Any, xp: Any, args: Any, out: Any, live: Any, careful: bool
    ) -> Sequence[Any]:
        raise RuntimeError(
            "trying to differentiate twice a function that was marked with @once_differentiable "
            f"(the first derivative was taken at {node.where})"
        )


DELAYED = Delayed()
