"""`grad` and `backward` where transforms run: on boxes, and with many cotangents at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainrule.autograd.cotangents import seed, unused
from chainrule.core import engine
from chainrule.core.boxes import bottom, entered, tags_in
from chainrule.core.node import Leaf, Node
from chainrule.core.tensor import Tensor, wrap
from chainrule.transforms.batch import BatchTag, batched
from chainrule.transforms.forward import ForwardTag
from chainrule.transforms.reverse import pull
from chainrule.transforms.scope import Scope, nodes_in, zeros_of


def grad_of_boxes(
    outputs: Sequence[Any], inputs: Sequence[Any], grad_outputs: Sequence[Any] | None,
    create_graph: bool, allow_unused: Any, materialize: bool,
) -> tuple[Any, ...]:  # fmt: skip
    """`grad` where outputs, inputs or cotangents are boxes: the gradients are boxes, too.

    Raises:
        RuntimeError: if an input does not require grad, or was not used.
    """
    _check_tensors([*outputs, *inputs])
    for i, x in enumerate(inputs):
        if bottom(x).node is None:
            raise RuntimeError(
                f"One of the differentiated Tensors does not require grad: input {i} has no "
                "record; call requires_grad_() on it outside of the function that is transformed, "
                "or use func.grad or func.vjp"
            )
    gs = (None,) * len(outputs) if grad_outputs is None else grad_outputs
    if len(gs) != len(outputs):
        raise RuntimeError(f"got {len(outputs)} tensors and {len(gs)} gradients")
    cs = [_cotangent(y, g, i) for i, (y, g) in enumerate(zip(outputs, gs, strict=True))]
    found = pull(outputs, cs, inputs, _exactly(), create_graph)
    for i, g in enumerate(found):
        if g is None and not (allow_unused or materialize):
            raise unused(i)
    return tuple(
        [
            zeros_of(x) if g is None and materialize else g
            for g, x in zip(found, inputs, strict=True)
        ]
    )


def backward_of_boxes(tensors: Sequence[Any], grads: Sequence[Any] | None, inputs: Any) -> None:
    """`backward` on dual numbers: the gradients in `.grad` have tangents.

    Raises:
        RuntimeError: for the boxes of a function transform, whose results go nowhere else.
    """
    _check_tensors(tensors)
    for tag in tags_in([*tensors, *(grads or ())]):
        if not (isinstance(tag, ForwardTag) and tag.living is not None):
            raise RuntimeError(
                f"backward() called inside a function given to {tag.title}, on a value that "
                "belongs to it. This is not supported, please use func.grad or func.vjp, or "
                f"call backward() on what {tag.title} returns."
            )
    if inputs is None:
        roots = [n for y in tensors for n in nodes_in(y)]
        leaves = [n.tensor() for n in engine.reach(roots) if isinstance(n, Leaf)]
        inputs = [x for x in leaves if x is not None]
    found = grad_of_boxes(tensors, inputs, grads, False, True, False)
    for x, g in zip(inputs, found, strict=True):
        if g is not None:
            x._grad = g if x._grad is None else x._grad + g


def batched_grads(
    nodes: Sequence[Node], inputs: Sequence[Node], cotangents: Sequence[Any], size: int,
    retain_graph: bool, create_graph: bool,
) -> list[Any]:  # fmt: skip
    """For each input the gradients for all cotangents, in one sweep; None where it is not used."""
    wanted = set(inputs)
    order, live = engine.between(nodes, wanted)
    with entered(BatchTag("is_grads_batched", size)) as tag:
        seeds = [(n, batched(tag, c)) for n, c in zip(nodes, cotangents, strict=True) if n in live]
        found, _ = engine.pull(order, seeds, live, wanted, create_graph, on_tensors=True)
        grads = [None if n not in found else tag.inner(found[n]) for n in inputs]
    if not retain_graph:
        engine.free(order, engine.ends_of(wanted, live))
    return grads


def _check_tensors(values: Sequence[Any]) -> None:
    for x in values:
        if not isinstance(x, Tensor):
            raise TypeError(
                f"inside a transform, gradients are taken of tensors with respect to tensors, got "
                f"{type(x).__name__}"
            )


def _exactly() -> Scope:
    """A scope that records the derivative only if asked to: nobody else waits for it."""
    scope = Scope()
    scope.life.alive = scope.recording = False
    return scope


def _cotangent(y: Tensor, g: Any, i: int) -> Tensor:
    raw = seed(tuple(y.array.shape), y.array.dtype, g, i)
    made: Tensor = g if isinstance(g, Tensor) else wrap(raw)
    return made


__all__ = ["backward_of_boxes", "batched_grads", "grad_of_boxes"]
