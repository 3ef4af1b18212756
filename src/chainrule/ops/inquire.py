"""Questions about tensors that are functions in PyTorch: `is_tensor`, `numel`, `typename`, ..."""

from __future__ import annotations

from typing import Any

from chainrule.core.device import check_device
from chainrule.core.dtypes import category
from chainrule.core.tensor import Tensor
from chainrule.ops.api import export
from chainrule.ops.create import checked
from chainrule.ops.storage import strides_of

TYPE_NAMES = {
    "float32": "Float", "float64": "Double", "float16": "Half", "int64": "Long", "int32": "Int",
    "int16": "Short", "int8": "Char", "uint8": "Byte", "bool": "Bool", "bfloat16": "BFloat16",
    "complex64": "ComplexFloat", "complex128": "ComplexDouble",
}  # fmt: skip


def type_name(x: Tensor) -> str:
    """The name of the tensor's type in PyTorch's old style: `chainrule.FloatTensor`."""
    return f"chainrule.{TYPE_NAMES.get(x.dtype.name, x.dtype.name.capitalize())}Tensor"


def dtype_named(name: str) -> str:
    """The dtype meant by a name in the old style; other names stay."""
    short = name.rsplit(".", 1)[-1].removesuffix("Tensor")
    return next((dtype for dtype, old in TYPE_NAMES.items() if old == short), name)


@export(method=False)
def is_tensor(obj: Any) -> bool:
    """Whether the object is a tensor.

    >>> import chainrule as cr
    >>> cr.is_tensor([1.0])
    False
    """
    return isinstance(obj, Tensor)


@export()
def is_floating_point(input: Any) -> bool:
    """Whether the entries are real floating-point numbers.

    >>> import chainrule as cr
    >>> cr.is_floating_point(cr.tensor([1, 2]))
    False
    """
    return category(checked("is_floating_point", input).dtype) == 2


@export()
def is_complex(input: Any) -> bool:
    """Whether the entries are complex numbers.

    >>> import chainrule as cr
    >>> cr.is_complex(cr.tensor(1j))
    True
    """
    return category(checked("is_complex", input).dtype) == 3


@export()
def is_signed(input: Any) -> bool:
    """Whether the entries can be negative.

    >>> import chainrule as cr
    >>> cr.is_signed(cr.zeros(1, dtype=cr.uint8))
    False
    """
    return checked("is_signed", input).dtype.kind not in "ub"


@export()
def is_nonzero(input: Any) -> bool:
    """Whether the only entry is not zero.

    Raises:
        RuntimeError: if there is not exactly one entry.

    >>> import chainrule as cr
    >>> cr.is_nonzero(cr.tensor([0.0]))
    False
    """
    return bool(input)


@export()
def numel(input: Any) -> int:
    """The number of entries.

    >>> import chainrule as cr
    >>> cr.numel(cr.zeros(2, 3))
    6
    """
    return int(checked("numel", input).size)


@export()
def is_same_size(input: Any, other: Any) -> bool:
    """Whether two tensors have the same shape.

    >>> import chainrule as cr
    >>> cr.is_same_size(cr.zeros(2), cr.zeros(3))
    False
    """
    return bool(input.array.shape == other.array.shape)


@export(method=False)
def typename(obj: Any) -> str:
    """The name of a tensor's type, or of any other object's class.

    >>> import chainrule as cr
    >>> cr.typename(cr.zeros(2)), cr.typename(3)
    ('chainrule.FloatTensor', 'int')
    """
    if isinstance(obj, Tensor):
        return type_name(obj)
    kind = obj if isinstance(obj, type) or callable(obj) else type(obj)
    module = getattr(kind, "__module__", "")
    name = getattr(kind, "__qualname__", type(obj).__qualname__)
    return name if module in ("", "builtins", None) else f"{module}.{name}"


@export(method=False)
def get_device(input: Any) -> int:
    """-1, which stands for the CPU.

    >>> import chainrule as cr
    >>> cr.get_device(cr.zeros(2))
    -1
    """
    check_device(input.device)
    return -1


def _always(name: str, value: bool, doc: str) -> None:
    """A question that has the same answer for all tensors."""

    def question(input: Any) -> bool:
        checked(name, input)
        return value

    question.__name__ = name
    question.__doc__ = doc
    export(name, function=name in ("is_conj", "is_neg"))(question)


_always("is_conj", False, "Whether conjugation is still to be done: it is always done at once.")
_always("is_neg", False, "Whether negation is still to be done: it is always done at once.")
_always("is_pinned", False, "Whether the memory is pinned for an accelerator: there is none.")
_always("is_shared", False, "Whether the memory is shared with other processes.")


@export(function=False)
def dim_order(input: Any) -> tuple[int, ...]:
    """The dimensions from the outermost in memory to the innermost.

    >>> import chainrule as cr
    >>> cr.zeros(2, 3).T.dim_order()
    (1, 0)
    """
    steps = strides_of(input)
    return tuple(sorted(range(len(steps)), key=lambda d: -steps[d]))


@export(function=False)
def to_dense(input: Any, dtype: Any = None) -> Any:
    """The tensor itself: all tensors are dense."""
    return input if dtype is None else input.to(dtype)
