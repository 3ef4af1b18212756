"""What differentiation adds to tensors: `backward`, `grad_fn`, hooks, `retain_grad`, `_version`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule.autograd.grad_fn import GradFn, grad_fn_of, output_number
from chainrule.autograd.reverse import backward as backward_of
from chainrule.autograd.reverse import retain
from chainrule.core.hooks import RemovableHandle, add_hook
from chainrule.core.mutation import version_of
from chainrule.core.node import Leaf, extra_of
from chainrule.core.tensor import Tensor, set_requires_grad, wrap


def backward(
    self: Tensor,
    gradient: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Differentiate this tensor with respect to the leaves and add the results to their `.grad`.

    Args:
        gradient: a cotangent of this tensor's shape; may be left out for a scalar.
        retain_graph: keep what the graph saved, so that it can be differentiated again.
        create_graph: record the derivative itself, so that it can be differentiated.
        inputs: accumulate into these tensors only.

    Raises:
        RuntimeError: see `chainrule.autograd.backward`.

    >>> import chainrule as cr
    >>> x = cr.tensor(3.0, requires_grad=True)
    >>> (x * x).backward()
    >>> x.grad
    tensor(6.)
    """
    backward_of(self, gradient, retain_graph, create_graph, inputs)


def grad_fn(self: Tensor) -> GradFn | None:
    """The function that passes gradients through this tensor; None for leaves and constants."""
    node = self.node
    return None if node is None or type(node) is Leaf else grad_fn_of(node)


def output_nr(self: Tensor) -> int:
    """Which output of its `grad_fn` this tensor is."""
    return output_number(self.node)


def retain_grad(self: Tensor) -> None:
    """Keep this tensor's gradient in `.grad` though it is not a leaf.

    Raises:
        RuntimeError: if the tensor does not require grad.

    >>> import chainrule as cr
    >>> x = cr.tensor(3.0, requires_grad=True)
    >>> y = x * x
    >>> y.retain_grad()
    >>> (2 * y).backward()
    >>> y.grad
    tensor(2.)
    """
    if self.node is None:
        raise RuntimeError(
            "can't retain_grad on Tensor that has requires_grad=False; call requires_grad_() on "
            "an input before computing it"
        )
    if type(self.node) is not Leaf:
        retain(self)


def retains_grad(self: Tensor) -> bool:
    """Whether this tensor, which is not a leaf, was told to keep its gradient."""
    node = self.node
    if node is None or type(node) is Leaf or node.extra is None or node.extra.retain is None:
        return False
    return node.extra.retain() is self


def register_hook(self: Tensor, hook: Callable[[Tensor], Any]) -> RemovableHandle:
    """Call `hook(grad)` whenever the gradient of this tensor is computed.

    What the hook returns, unless None, replaces the gradient.

    Raises:
        RuntimeError: if the tensor does not require grad.

    >>> import chainrule as cr
    >>> x = cr.tensor(3.0, requires_grad=True)
    >>> handle = x.register_hook(lambda g: g * 10)
    >>> (x * x).backward()
    >>> x.grad
    tensor(60.)
    """
    if self.node is None:
        raise RuntimeError(
            "cannot register a hook on a tensor that doesn't require gradient; call "
            "requires_grad_() first"
        )
    return add_hook(extra_of(self.node).hooks, hook)


def register_post_accumulate_grad_hook(
    self: Tensor, hook: Callable[[Tensor], None]
) -> RemovableHandle:
    """Call `hook(tensor)` after a backward pass added to the `.grad` of this leaf.

    Raises:
        RuntimeError: if the tensor does not require grad or is not a leaf.

    >>> import chainrule as cr
    >>> x = cr.tensor(3.0, requires_grad=True)
    >>> handle = x.register_post_accumulate_grad_hook(lambda p: print(p.grad))
    >>> (x * x).backward()
    tensor(6.)
    """
    if self.node is None:
        raise RuntimeError(
            "cannot register a hook on a tensor that doesn't require gradient; call "
            "requires_grad_() first"
        )
    if type(self.node) is not Leaf:
        raise RuntimeError(
            "post accumulate grad hooks cannot be registered on non-leaf tensors; use "
            "register_hook for those"
        )
    return add_hook(extra_of(self.node).post_accumulate, hook)


def _version(self: Tensor) -> int:
    """How many times the memory of this tensor was written in place."""
    return version_of(self.array)


def Variable(data: Any, requires_grad: bool = False) -> Tensor:  # noqa: N802 - PyTorch's name
    """PyTorch's old way to say `tensor.requires_grad_()`: a tensor on the same memory.

    >>> import chainrule as cr
    >>> cr.autograd.Variable(cr.ones(2), requires_grad=True)
    tensor([1., 1.], requires_grad=True)
    """
    if not isinstance(data, Tensor):
        raise TypeError(f"Variable data has to be a tensor, but got {type(data).__name__}")
    made: Tensor = wrap(data.array)
    if requires_grad:
        set_requires_grad(made, True)
    return made


for _method in (
    backward, retain_grad, register_hook, register_post_accumulate_grad_hook,
):  # fmt: skip
    setattr(Tensor, _method.__name__, _method)
for _getter in (grad_fn, output_nr, retains_grad, _version):
    setattr(Tensor, _getter.__name__, property(_getter))
