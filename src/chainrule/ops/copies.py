"""Functions under PyTorch's other names: `permute_copy` copies, `unsafe_split` is `split`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule.core.tensor import Tensor
from chainrule.ops.api import FUNCTIONS, export
from chainrule.ops.convert import clone
from chainrule.ops.pad import pad

# name of the view: (arguments after the tensor, what they give for cr.arange(4).view(2, 2))
_COPIED = {
    "as_strided": ("(2,), (3,)", "tensor([0, 3])"),
    "detach": ("", "tensor([[0, 1],\n            [2, 3]])"),
    "diagonal": ("", "tensor([0, 3])"),
    "expand": ("(1, 2, 2)", "tensor([[[0, 1],\n             [2, 3]]])"),
    "narrow": ("0, 1, 1", "tensor([[2, 3]])"),
    "permute": ("(1, 0)", "tensor([[0, 2],\n            [1, 3]])"),
    "select": ("0, 1", "tensor([2, 3])"),
    "split": ("1", "(tensor([[0, 1]]), tensor([[2, 3]]))"),
    "split_with_sizes": ("(1, 1)", "(tensor([[0, 1]]), tensor([[2, 3]]))"),
    "squeeze": ("", "tensor([[0, 1],\n            [2, 3]])"),
    "t": ("", "tensor([[0, 2],\n            [1, 3]])"),
    "transpose": ("0, 1", "tensor([[0, 2],\n            [1, 3]])"),
    "unbind": ("", "(tensor([0, 1]), tensor([2, 3]))"),
    "unfold": ("0, 2, 1", "tensor([[[0, 2],\n             [1, 3]]])"),
    "unsqueeze": ("0", "tensor([[[0, 1],\n             [2, 3]]])"),
    "view": ("(4,)", "tensor([0, 1, 2, 3])"),
}


def _copying(name: str) -> Callable[..., Any]:
    """The function that gives a copy of what the view of this name gives."""

    def copied(input: Any, *args: Any, **kwargs: Any) -> Any:
        view = FUNCTIONS.get(name) or getattr(Tensor, name)  # declared by now
        found = view(input, *args, **kwargs)
        return clone(found) if isinstance(found, Tensor) else tuple(map(clone, found))

    given, printed = _COPIED[name]
    call = f"cr.{name}_copy(cr.arange(4).view(2, 2){', ' + given if given else ''})"
    copied.__doc__ = f"""A copy of what `{name}` gives, in memory of its own.

    >>> import chainrule as cr
    >>> {call}
    {printed}
    """
    copied.__name__ = copied.__qualname__ = f"{name}_copy"
    return copied


for _name in _COPIED:
    export(f"{_name}_copy", method=_name == "narrow")(_copying(_name))


@export(method=False)
def alias_copy(input: Any) -> Any:
    """A copy in memory of its own: `clone`.

    >>> import chainrule as cr
    >>> cr.alias_copy(cr.tensor([1, 2]))
    tensor([1, 2])
    """
    return clone(input)


@export()
def unsafe_chunk(input: Any, chunks: int, dim: int = 0) -> Any:
    """`chunk`; its views may be written here in any case.

    >>> import chainrule as cr
    >>> cr.unsafe_chunk(cr.arange(4), 2)
    (tensor([0, 1]), tensor([2, 3]))
    """
    return FUNCTIONS["chunk"](input, chunks, dim)


@export()
def unsafe_split(tensor: Any, split_size: Any, dim: int = 0) -> Any:
    """`split`; its views may be written here in any case.

    >>> import chainrule as cr
    >>> cr.unsafe_split(cr.arange(4), 2)
    (tensor([0, 1]), tensor([2, 3]))
    """
    return FUNCTIONS["split"](tensor, split_size, dim)


@export()
def unsafe_split_with_sizes(input: Any, split_sizes: Any, dim: int = 0) -> Any:
    """`split_with_sizes`; its views may be written here in any case.

    >>> import chainrule as cr
    >>> cr.unsafe_split_with_sizes(cr.arange(3), (1, 2))
    (tensor([0]), tensor([1, 2]))
    """
    return FUNCTIONS["split_with_sizes"](input, split_sizes, dim)


@export(method=False)
def constant_pad_nd(input: Any, pad: Any, value: Any = 0) -> Any:
    """The tensor with a margin of one value: `nn.functional.pad`.

    >>> import chainrule as cr
    >>> cr.constant_pad_nd(cr.tensor([1, 2]), (1, 2))
    tensor([0, 1, 2, 0, 0])
    """
    return _pad(input, pad, value=value)


_pad = pad
