"""The primitives behind `autograd.Function`: their rules call the user's methods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from chainrule.autograd.function_vmap import checked_count, fits, mapped_function
from chainrule.core.abstract import AbstractArray
from chainrule.core.avals import same
from chainrule.core.batching import moved
from chainrule.core.boxes import any_box
from chainrule.core.calls import Call
from chainrule.core.dtypes import is_inexact
from chainrule.core.hooks import as_tensor
from chainrule.core.namespaces import recorded
from chainrule.core.node import Node
from chainrule.core.primitive import Primitive
from chainrule.core.tensor import Tensor, wrap
from chainrule.transforms.batch import BatchTag
from chainrule.transforms.user_rules import UserPrimitive


class NoForwardRuleError(NotImplementedError):
    """Forward mode met a `Function` without a jvp."""

    __module__ = "chainrule.autograd"


class VmapInfo(NamedTuple):
    """What a `vmap` staticmethod is told of the batch."""

    batch_size: int
    randomness: str


class FunctionPrimitive(UserPrimitive):
    """The primitive behind a subclass of `Function`: its rules call the user's methods."""

    def __init__(self, cls: Any) -> None:
        super().__init__(cls.__name__, self._evaluate, grad_name=f"{cls.__name__}Backward")
        self.cls = cls
        self.mapped_classes: dict[tuple[bool, ...], Any] = {}

    def _evaluate(self, *args: Any) -> Any:
        outs = self.cls.apply(*[wrap(a) if isinstance(a, np.ndarray) else a for a in args])
        if isinstance(outs, tuple):
            return tuple(o.array if isinstance(o, Tensor) else o for o in outs)
        return outs.array if isinstance(outs, Tensor) else outs

    def run(self, args: Sequence[Any]) -> Any:
        return self.cls._run(args)[0]

    def value(self, args: Sequence[Any]) -> Any:
        return self.cls._value(args)[0]

    def run_forward(
        self, primals: Sequence[Any], tangents: Sequence[Any]
    ) -> tuple[Any, Sequence[Any]]:
        self._require_jvp()
        if any_box(primals):
            if not self.cls._defines("setup_context"):
                self.cls._context(primals, None)
            output = self.apply(primals, {})
            return output, self._push(self.cls._context(primals, output), primals, output, tangents)
        # The node, if there is one, has what the context saved: it stays alive until here.
        output, ctx, _node = self.cls._run(primals)
        return output, self._push(ctx, primals, output, tangents)

    def run_mapped(
        self, tag: BatchTag, args: Sequence[Any], mapped: Sequence[bool]
    ) -> tuple[Any, Sequence[bool]]:
        cls, name = self.cls, self.name
        own, derived = cls._defines("vmap"), cls.generate_vmap_rule
        if own and derived:
            raise RuntimeError(
                f"You tried to vmap over {name}, but it has both generate_vmap_rule=True and an "
                "overriden vmap staticmethod. Please set generate_vmap_rule=False or delete the "
                "overriden vmap staticmethod to avoid ambiguity."
            )
        if not (own or derived):
            raise RuntimeError(
                f"You tried to vmap over {name}, but it does not have vmap support. Please override"
                " and implement the vmap staticmethod or set generate_vmap_rule=True."
            )
        info = VmapInfo(tag.size, tag.randomness)
        if own:
            result = cls.vmap(info, tuple([0 if m else None for m in mapped]), *args)
            return _placed(result, tag.size, name)
        if not cls._defines("setup_context"):
            cls._context(args, None)
        key = tuple(mapped)
        if key not in self.mapped_classes:
            self.mapped_classes[key] = mapped_function(cls, key)
        output = self.mapped_classes[key].apply(tag, *args)
        outs = output if isinstance(output, tuple) else (output,)
        return output, [isinstance(o, Tensor) for o in outs]

    def _details(self, node: Node, args: Any, out: Any) -> tuple[Any, Sequence[int], int]:
        """Context, positions among the arguments of those that have parents, their number.

        A node of the tape keeps its context.  One of a graph has all arguments as parents, and
        values only when a derivative is taken: the context is made then.
        """
        if node.params:
            return node.params["ctx"], node.params["positions"], node.params["count"]
        xs, outs = values_in_graph(node, args, out)
        wanted = tuple([p is not None for p in node.parents])
        return self.cls._context_again(xs, outs, wanted), range(len(xs)), len(xs)

    def _require_jvp(self) -> None:
        """Raise if the class has no forward-mode rule.

        Raises:
            NoForwardRuleError: saying what to add, and where else to turn.
        """
        if not self.cls._defines("jvp"):
            raise NoForwardRuleError(
                f"You must implement the jvp function for custom autograd.Function to use it with "
                f"forward mode AD: {self.name} has none. Add a staticmethod jvp(ctx, *tangents) "
                "that returns one tangent per output (save what it needs with "
                "ctx.save_for_forward), or use reverse mode (func.grad, func.vjp, func.jacrev)."
            )

    def _push(
        self, ctx: Any, args: Sequence[Any], output: Any, tangents: Sequence[Any]
    ) -> list[Any]:
        """Tangents of the outputs by the user's `jvp`, None for outputs that have none."""
        filled = []
        for x, t in zip(args, tangents, strict=True):
            if t is None and ctx._materialize and _is_inexact(x):
                t = np.zeros(tuple(x.array.shape), x.array.dtype)
            filled.append(as_tensor(t))
        outs = output if isinstance(output, tuple) else (output,)
        found = list(self._jvp(ctx, filled))
        if len(found) != len(outs):
            raise RuntimeError(
                f"the jvp of {self.name} returned {len(found)} tangents, expected {len(outs)}: one "
                "for every output of forward"
            )
        for i, (t, o) in enumerate(zip(found, outs, strict=True)):
            if t is None or i in ctx._constant_outputs or not _is_inexact(o):
                found[i] = None
            elif not isinstance(t, Tensor):
                raise TypeError(
                    f"the jvp of {self.name} returned a {type(t).__name__} at position {i}; "
                    "expected a Tensor or None"
                )
            elif tuple(t.array.shape) != tuple(o.array.shape):
                raise RuntimeError(
                    f"the jvp of {self.name} returned an invalid tangent at index {i} - got "
                    f"{list(t.array.shape)} but expected the shape of the output, "
                    f"{list(o.array.shape)}"
                )
        return found

    def _jvp(self, ctx: Any, tangents: Sequence[Any]) -> tuple[Any, ...]:
        ctx._in_jvp = True
        try:
            result = self.cls.jvp(ctx, *tangents)
        finally:
            ctx._in_jvp = False
        return result if isinstance(result, tuple) else (result,)

    def pull(
        self, node: Node, g: Any, xp: Any, args: Any, out: Any, live: Any, careful: bool
    ) -> Sequence[Any]:
        ctx, positions, count = self._details(node, args, out)
        grads = [as_tensor(x) for x in g] if isinstance(g, (list, tuple)) else [as_tensor(g)]
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
        grads = checked_count(result, count, name)
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
            if (
                x is not None
                and parent is not None
                and not fits(tuple(x.array.shape), parent.shape)
            ):
                raise RuntimeError(
                    f"Function {name} returned an invalid gradient at index {positions[i]} - got "
                    f"{list(x.array.shape)} but expected shape compatible with "
                    f"{list(parent.shape or ())}"
                )
        return [None if p is None else x for x, p in zip(found, node.parents, strict=True)]

    def push(self, node: Any, tangents: Sequence[Any], xp: Any, args: Any, out: Any) -> Any:
        self._require_jvp()
        several = isinstance(out, tuple)
        if isinstance(node, Call):  # not on the tape
            found = self._push(self.cls._context(args, out), args, out, tangents)
            return tuple(found) if several else found[0]
        ctx, positions, count = self._details(node, args, out)
        filled: list[Any] = [None] * count
        for i, t, parent in zip(positions, tangents, node.parents, strict=True):
            if t is None and ctx._materialize and parent is not None:
                t = np.zeros(parent.shape or (), parent.dtype)
            filled[i] = as_tensor(t)
        result = self._jvp(ctx, filled)
        if xp is not recorded:
            result = tuple([None if t is None else t.array for t in result])
        return result[0] if node.shape is not None else result


def _is_inexact(x: Any) -> bool:
    return isinstance(x, Tensor) and is_inexact(x.array.dtype)


def _placed(result: Any, size: int, name: str) -> tuple[Any, Sequence[bool]]:
    """What a `vmap` staticmethod returned, with the mapped axes in front.

    Raises:
        RuntimeError: if it is not a pair, or an axis does not fit.
    """
    what = (
        f"{name}: Expected the vmap staticmethod to have two returns, an output and out_dims with "
        "pytree structure compatible with the output. "
    )
    if not isinstance(result, tuple):
        raise RuntimeError(f"{what}Got a {type(result)} instead")
    if len(result) != 2:
        raise RuntimeError(f"{what}Got {len(result)} returns instead")
    output, out_dims = result
    several = isinstance(output, tuple)
    outs = output if several else (output,)
    dims = tuple(out_dims) if isinstance(out_dims, (tuple, list)) else (out_dims,) * len(outs)
    if len(dims) != len(outs):
        raise RuntimeError(f"{what}Got {len(outs)} outputs and {len(dims)} out_dims")
    found = []
    for o, d in zip(outs, dims, strict=True):
        if d is not None:
            shape = tuple(o.array.shape)
            if not -len(shape) <= d < len(shape) or shape[d] != size:
                raise RuntimeError(
                    f"{name}: the vmap staticmethod says that the batch of {size} is dimension {d} "
                    f"of an output of shape {list(shape)}"
                )
            o = moved(o, d % len(shape), 0)
        found.append(o)
    return tuple(found) if several else found[0], [d is not None for d in dims]


def values_in_graph(node: Node, args: Any, out: Any) -> tuple[list[Any], Any]:
    """Arguments and result of a node of a graph as tensors, traced or not."""
    xs = [_tensor(a, p) for a, p in zip(args, node.parents, strict=True)]
    if not isinstance(out, tuple):
        return xs, _tensor(out, node)
    return xs, tuple(
        [o.output(node, i) if isinstance(o, AbstractArray) else _tensor(o, None)
         for i, o in enumerate(out)]
    )  # fmt: skip


def _tensor(value: Any, node: Node | None) -> Any:
    if isinstance(value, AbstractArray):
        if node is None:
            raise RuntimeError(
                "the tape did not keep an argument of a function of yours that is not recorded: "
                "trace the function instead: graph.trace(f, ...)"
            )
        return value.tensor(node)
    return wrap(value) if isinstance(value, np.ndarray) else value


class Delayed(Primitive):
    """What stands behind the result of a backward that may be differentiated once only."""

    side_effects = True

    def __init__(self) -> None:
        super().__init__(
            "once_differentiable", lambda *xs: xs[0], aval=same, grad_name="DelayedError"
        )

    def pull(
        self, node: Node, g: Any, xp: Any, args: Any, out: Any, live: Any, careful: bool
    ) -> Sequence[Any]:
        raise RuntimeError(
            "trying to differentiate twice a function that was marked with @once_differentiable "
            f"(the first derivative was taken at {node.where})"
        )


DELAYED = Delayed()
