"""The recorded graph in the user's hands: nodes, edges, hooks on saved tensors and on gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from chainrule.autograd.grad_fn import GradFn, grad_fn_of, output_number
from chainrule.autograd.grad_mode import ModeContext
from chainrule.core import modes, mutation
from chainrule.core.hooks import MultiHook, RemovableHandles, add_hook
from chainrule.core.modes import as_mode, changed, get_mode
from chainrule.core.node import Leaf, extra_of
from chainrule.core.node import Node as EngineNode
from chainrule.core.primitive import PICK, make_node
from chainrule.core.tensor import Tensor, wrap

Node = GradFn


class GradientEdge(NamedTuple):
    """A place in the graph where a gradient flows: output `output_nr` of `node`.

    `grad` and `backward` take it in place of a tensor, so that the tensor itself need not be kept.
    """

    node: GradFn
    output_nr: int
    ownership_token: EngineNode | None = None


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """The edge on which the gradient of `tensor` arrives.

    Raises:
        RuntimeError: if the tensor does not require grad.

    >>> import chainrule as cr
    >>> x = cr.tensor(3.0, requires_grad=True)
    >>> y = x * x
    >>> edge = cr.autograd.graph.get_gradient_edge(y)
    >>> cr.autograd.grad(edge, x, cr.tensor(1.0))
    (tensor(6.),)
    """
    if tensor.node is None:
        raise RuntimeError(
            "It is not possible to get the gradient edge for a Tensor that does not require "
            "gradients; call requires_grad_() on it, or on what it is computed from"
        )
    return GradientEdge(grad_fn_of(tensor.node), output_number(tensor.node), tensor.node)


def node_of(place: Any) -> EngineNode | None:
    """The engine's node behind a tensor or a gradient edge."""
    if isinstance(place, Tensor):
        return place.node
    if not isinstance(place, GradientEdge):
        raise TypeError(
            f"expected a Tensor or a GradientEdge, got {type(place).__name__}; pass tensors that "
            "require grad, or what autograd.graph.get_gradient_edge returned"
        )
    if place.ownership_token is not None:
        return place.ownership_token
    node = place.node.node
    if isinstance(node, Leaf) or node.shape is not None:
        return node
    output = node.out[place.output_nr]
    picked = make_node(
        PICK, (None,), None, {"index": place.output_nr}, (node,), (node.code, node.lasti)
    )
    picked.shape, picked.dtype = output.shape, output.dtype
    return picked


class saved_tensors_hooks(ModeContext):  # noqa: N801 - PyTorch's name
    """While active, what operations save is `pack_hook(tensor)`, and `unpack_hook` brings it back.

    Raises:
        RuntimeError: on entering a block where `disable_saved_tensors_hooks` is in force.

    >>> import chainrule as cr
    >>> x = cr.tensor([1.0, 2.0], requires_grad=True)
    >>> with cr.autograd.graph.saved_tensors_hooks(lambda t: t.numpy() * 1, cr.tensor):
    ...     y = (x * x).sum()
    >>> y.backward()
    >>> x.grad
    tensor([2., 4.])
    """

    def __init__(
        self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]
    ) -> None:
        super().__init__()
        for hook in (pack_hook, unpack_hook):
            if not callable(hook):
                raise TypeError(f"saved tensor hooks must be callable, got {type(hook).__name__}")
        self.pack_hook = pack_hook
        self.unpack_hook = unpack_hook

    def mode(self) -> bool | modes.Mode:
        forbidden = as_mode(get_mode()).hooks_forbidden
        if forbidden is not None:
            raise RuntimeError(forbidden)
        return changed(pack=self.pack_hook, unpack=self.unpack_hook)

    def clone(self) -> ModeContext:
        return saved_tensors_hooks(self.pack_hook, self.unpack_hook)


class save_on_cpu(saved_tensors_hooks):  # noqa: N801 - PyTorch's name
    """Keep copies of saved tensors in main memory; the arrays of this library are there anyway.

    >>> import chainrule as cr
    >>> x = cr.tensor(3.0, requires_grad=True)
    >>> with cr.autograd.graph.save_on_cpu():
    ...     y = x * x
    >>> cr.autograd.grad(y, x)
    (tensor(6.),)
    """

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda") -> None:
        super().__init__(lambda t: t.array.copy(), wrap)

    def clone(self) -> ModeContext:
        return save_on_cpu()


class disable_saved_tensors_hooks(ModeContext):  # noqa: N801 - PyTorch's name
    """While active, using `saved_tensors_hooks` raises RuntimeError with this message.

    >>> import chainrule as cr
    >>> with cr.autograd.graph.disable_saved_tensors_hooks("not here"):
    ...     pass
    """

    def __init__(self, error_message: str) -> None:
        super().__init__()
        self.error_message = error_message

    def mode(self) -> bool | modes.Mode:
        if as_mode(get_mode()).pack is not None:
            raise RuntimeError(self.error_message)
        return changed(hooks_forbidden=self.error_message)

    def clone(self) -> ModeContext:
        return disable_saved_tensors_hooks(self.error_message)


class allow_mutation_on_saved_tensors(ModeContext):  # noqa: N801 - PyTorch's name
    """While active, tensors needed for backward may be written in place: operations save copies.

    >>> import chainrule as cr
    >>> x = cr.tensor([2.0], requires_grad=True)
    >>> with cr.autograd.graph.allow_mutation_on_saved_tensors():
    ...     y = x.clone()
    ...     z = y * y
    ...     _ = y.zero_()
    >>> cr.autograd.grad(z, x)
    (tensor([4.]),)
    """

    def mode(self) -> bool | modes.Mode:
        return changed(allow_mutation=True)


def register_multi_grad_hook(
    tensors: Sequence[Tensor], fn: Callable[..., Any], *, mode: str = "all"
) -> RemovableHandles:
    """Call `fn` when gradients of several tensors have been computed in one backward pass.

    Args:
        tensors: tensors that require grad.
        fn: called with the list of gradients (None where none arrived) if `mode` is "all", with the
            first gradient to arrive if it is "any".

    Raises:
        ValueError: for another mode.

    >>> import chainrule as cr
    >>> x, y = cr.tensor(2.0, requires_grad=True), cr.tensor(3.0, requires_grad=True)
    >>> h = cr.autograd.graph.register_multi_grad_hook([x, y], lambda gs: print(gs))
    >>> (x * y).backward()
    [tensor(3.), tensor(2.)]
    """
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    for i, t in enumerate(tensors):
        if t.node is None:
            raise RuntimeError(
                f"cannot register a hook on a tensor that doesn't require gradient: tensor {i}"
            )
    group = MultiHook(fn, len(tensors), mode)
    nodes = [t.node for t in tensors if t.node is not None]
    return RemovableHandles(
        [add_hook(extra_of(n).hooks, group.entry(i)) for i, n in enumerate(nodes)]
    )


def increment_version(tensor: Tensor | Iterable[Tensor]) -> None:
    """Declare that the memory of tensors was written by other means than their operations.

    >>> import chainrule as cr
    >>> x = cr.tensor([1.0])
    >>> cr.autograd.graph.increment_version(x)
    >>> x._version
    1
    """
    tensors: Iterable[Tensor] = (tensor,) if isinstance(tensor, Tensor) else tensor
    for t in tensors:
        mutation.note_write(t.array)
