"""Creating tensors: from data, from a shape, like another tensor."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.core.boxes import is_mapped
from chainrule.core.device import check_device, check_layout
from chainrule.core.dtypes import as_numpy, category, default_dtype, python_dtype
from chainrule.core.modes import is_recording
from chainrule.core.namespaces import publish
from chainrule.core.tensor import Tensor, set_requires_grad, wrap
from chainrule.ops.api import export
from chainrule.ops.data import array_of, check_buffer, fill_of, warn_of_copy


def _zeros_like(x: Any) -> Any:
    return np.zeros(x.shape, getattr(x, "array", x).dtype)


# In rules, `xp.zeros_like(x)` and `xp.ones_like(x)` are constants with the shape and dtype of x.
publish("zeros_like", _zeros_like, lambda x: wrap(_zeros_like(x)))
publish("ones_like", lambda x: _zeros_like(x) + 1, lambda x: wrap(_zeros_like(x) + 1))


def made(array: Any, requires_grad: bool = False) -> Tensor:
    """A new tensor of this array, a leaf that requires grad if asked."""
    return requiring(wrap(array), requires_grad)


def requiring(t: Tensor, requires_grad: bool) -> Tensor:
    """A new tensor, a leaf that requires grad if asked."""
    if requires_grad:
        set_requires_grad(t, True)
    return t


def size_of(name: str, size: tuple[Any, ...]) -> tuple[int, ...]:
    """The shape given as `f(2, 3)`, `f((2, 3))` or `f([2, 3])`.

    Raises:
        TypeError: if an entry is not an integer.
        RuntimeError: if an entry is negative.
    """
    if not size:
        raise TypeError(f'{name}() missing 1 required positional arguments: "size"')
    if len(size) == 1 and isinstance(size[0], (tuple, list)):
        (size,) = size
    shape = []
    for i, d in enumerate(size):
        try:
            if isinstance(d, bool):
                raise TypeError
            shape.append(d.__index__())
        except (TypeError, AttributeError):
            raise TypeError(
                f"{name}(): argument 'size' must be tuple of ints, but found element of type "
                f"{type(d).__name__} at pos {i + 1}"
            ) from None
        if shape[-1] < 0:
            raise RuntimeError(
                f"{name}: Dimension size must be non-negative: trying to create tensor with "
                f"negative dimension {shape[-1]}: {list(size)}"
            )
    return tuple(shape)


def dtype_or_default(dtype: Any) -> np.dtype[Any]:
    """The NumPy dtype asked for, or the default floating-point one."""
    return default_dtype() if dtype is None else as_numpy(dtype)


def checked(name: str, input: Any) -> Any:
    """The array of the argument of a `*_like` function.

    Raises:
        TypeError: if it is not a tensor or array.
    """
    if isinstance(input, Tensor):
        return input.array
    if isinstance(input, np.ndarray):
        return input
    raise TypeError(
        f"{name}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}"
    )


def has_derivative(value: Any) -> bool:
    """Whether reading the entries of a tensor would lose a derivative, or cannot be done."""
    if not isinstance(value, Tensor):
        return False
    return value._box is not None or (value.node is not None and is_recording())


def number(name: str, argument: str, value: Any) -> Any:
    """A Python number given as such or as a tensor or array with one entry.

    Raises:
        TypeError: for anything else, and for a tensor that carries a derivative.
    """
    if isinstance(value, (bool, int, float, complex)):
        return value.item() if isinstance(value, np.generic) else value
    if has_derivative(value) and not is_mapped(value):
        raise TypeError(
            f"{name}(): argument '{argument}' must be Number: the derivative that the tensor given "
            "carries would be lost. Expand the tensor instead, or pass value.item()"
        )
    if isinstance(value, (Tensor, np.ndarray, np.generic)) and math.prod(value.shape) == 1:
        return value.item()
    raise TypeError(f"{name}(): argument '{argument}' must be Number, not {type(value).__name__}")


@export(method=False)
def tensor(
    data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """A tensor with a copy of `data`: a number, nested sequences, an array, or a tensor.

    Python floats take the default dtype, integers int64, complex numbers the default complex dtype;
    arrays and NumPy scalars keep theirs.

    Raises:
        ValueError: if nested sequences have different lengths, or an integer does not fit.
        TypeError, RuntimeError: if `data` holds something that is not a number.

    >>> import chainrule as cr
    >>> cr.tensor([[1.0, 2.0], [3.0, 4.0]])
    tensor([[1., 2.],
            [3., 4.]])
    """
    check_device(device)
    if isinstance(data, Tensor) and data._box is not None:
        warn_of_copy(3)
        copied = data.detach().clone() if dtype is None else data.detach().clone().to(dtype)
        return copied.requires_grad_() if requires_grad else copied  # type: ignore[no-any-return]
    return made(array_of(data, None if dtype is None else as_numpy(dtype)), requires_grad)


@export(method=False)
def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """`data` as a tensor, sharing memory (and the graph, if it is a tensor) where possible.

    >>> import chainrule as cr
    >>> cr.as_tensor([1, 2])
    tensor([1, 2])
    """
    check_device(device)
    wanted = None if dtype is None else as_numpy(dtype)
    if isinstance(data, Tensor):
        same = wanted is None or data.array.dtype == wanted
        return data if same else data.to(wanted)
    return made(array_of(data, wanted, copy=False))


@export(method=False)
def asarray(
    obj: Any, *, dtype: Any = None, device: Any = None, copy: bool | None = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """`obj` as a tensor: `copy=True` always copies, `False` never does, None copies if needed.

    Raises:
        ValueError: if `copy=False` but a copy is needed.

    >>> import chainrule as cr
    >>> cr.asarray([1.0, 2.0])
    tensor([1., 2.])
    """
    if isinstance(obj, Tensor):
        found = as_tensor(obj, dtype, device)
        if copy and found is obj:
            found = obj.clone()
        if not requires_grad:
            found = found.detach()
        elif found.node is None and found._box is None:
            found = made(found.array, True)
    else:
        check_device(device)
        wanted = None if dtype is None else as_numpy(dtype)
        found = made(array_of(obj, wanted, copy=bool(copy)), requires_grad)
    boxed = isinstance(obj, Tensor) and obj._box is not None
    if (
        copy is False
        and not boxed
        and not np.may_share_memory(found.array, getattr(obj, "array", obj))
    ):
        raise ValueError(
            "asarray(): copy=False, but this object or its conversion needs a copy; leave copy out"
        )
    return found


@export(method=False)
def from_numpy(ndarray: Any) -> Tensor:
    """The array as a tensor that shares its memory: writing to one changes the other.

    Raises:
        TypeError: if it is not an array of numbers or booleans.
        ValueError: if its byte order is not the machine's.

    >>> import chainrule as cr, numpy as np
    >>> cr.from_numpy(np.arange(3.0))
    tensor([0., 1., 2.], dtype=chainrule.float64)
    """
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    category(ndarray.dtype)
    if not ndarray.dtype.isnative:
        raise ValueError(
            "given numpy array has byte order different from the native byte order. Convert it "
            "first: a.astype(a.dtype.newbyteorder('='))"
        )
    return made(ndarray)


@export(method=False)
def from_dlpack(ext_tensor: Any) -> Tensor:
    """A tensor sharing the memory of an object of another library that speaks DLPack.

    >>> import chainrule as cr, numpy as np
    >>> cr.from_dlpack(np.ones(2))
    tensor([1., 1.], dtype=chainrule.float64)
    """
    return made(np.from_dlpack(ext_tensor))


@export(method=False)
def frombuffer(
    buffer: Any, *, dtype: Any, count: int = -1, offset: int = 0, requires_grad: bool = False
) -> Tensor:
    """A one-dimensional tensor sharing the memory of a bytes-like object.

    Raises:
        ValueError: if the buffer is too small, or its size not a multiple of the dtype's.

    >>> import chainrule as cr
    >>> cr.frombuffer(bytearray([1, 2]), dtype=cr.uint8)
    tensor([1, 2], dtype=chainrule.uint8)
    """
    dt = as_numpy(dtype)
    check_buffer(buffer, dt, count, offset)
    return made(np.frombuffer(buffer, dt, count, offset), requires_grad)


def _of_size(name: str, make: Any, doc: str) -> None:
    """Publish `name(*size)` and `name_like(input)` for one way to fill an array."""

    def of_size(
        *size: Any, dtype: Any = None, layout: Any = None, device: Any = None,
        requires_grad: bool = False, pin_memory: bool = False, memory_format: Any = None,
        **named: Any,
    ) -> Tensor:  # fmt: skip
        if named:
            if size or named.keys() != {"size"}:
                unknown = next((k for k in named if k != "size"), "size")
                raise TypeError(f"{name}() got an unexpected keyword argument '{unknown}'")
            size = (tuple(named["size"]),)
        check_device(device)
        check_layout(layout)
        return made(make(size_of(name, size), dtype_or_default(dtype)), requires_grad)

    def like(
        input: Any, *, dtype: Any = None, layout: Any = None, device: Any = None,
        requires_grad: bool = False, memory_format: Any = None,
    ) -> Tensor:  # fmt: skip
        check_device(device)
        check_layout(layout)
        array = checked(f"{name}_like", input)
        dt = array.dtype if dtype is None else as_numpy(dtype)
        return made(make(array.shape, dt), requires_grad)

    of_size.__name__, like.__name__ = name, f"{name}_like"
    shown = (
        "" if name == "empty" else f"\n    >>> cr.{name}(2, 3).shape\n    chainrule.Size([2, 3])"
    )
    of_size.__doc__ = f"""A tensor of the given size {doc}.

    Raises:
        TypeError, RuntimeError: if the size is not made of non-negative integers.

    >>> import chainrule as cr{shown}
    >>> cr.{name}((2,), dtype=cr.int64).dtype
    chainrule.int64
    """
    like.__doc__ = f"""A tensor {doc}, with the shape and dtype of `input`.

    >>> import chainrule as cr
    >>> cr.{name}_like(cr.tensor([[1, 2]])).shape
    chainrule.Size([1, 2])
    """
    export(method=False)(of_size)
    export(method=False)(like)


_of_size("zeros", np.zeros, "filled with 0")
_of_size("ones", np.ones, "filled with 1")
_of_size("empty", np.empty, "with arbitrary entries")


@export(method=False)
def full(
    size: Any, fill_value: Any, *, dtype: Any = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """A tensor of the given size with every entry `fill_value`, whose type decides the dtype.

    Raises:
        TypeError: if `size` is not a tuple of integers or `fill_value` not a number.

    >>> import chainrule as cr
    >>> cr.full((2,), 3.0)
    tensor([3., 3.])
    """
    check_device(device)
    check_layout(layout)
    if not isinstance(size, (tuple, list)):
        raise TypeError(
            f"full(): argument 'size' (position 1) must be tuple of ints, not {type(size).__name__}"
        )
    value = number("full", "fill_value", fill_value)
    dt = python_dtype(value) if dtype is None else as_numpy(dtype)
    return made(np.full(size_of("full", (size,)), fill_of(value, dt)), requires_grad)


@export(method=False)
def full_like(
    input: Any, fill_value: Any, *, dtype: Any = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False, memory_format: Any = None,
) -> Tensor:  # fmt: skip
    """A tensor with every entry `fill_value`, and the shape and dtype of `input`.

    >>> import chainrule as cr
    >>> cr.full_like(cr.zeros(2), 7)
    tensor([7., 7.])
    """
    check_device(device)
    check_layout(layout)
    array = checked("full_like", input)
    dt = array.dtype if dtype is None else as_numpy(dtype)
    value = number("full_like", "fill_value", fill_value)
    return made(np.full(array.shape, fill_of(value, dt)), requires_grad)


@export(method=False)
def scalar_tensor(
    s: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A 0-d tensor of the default dtype.

    >>> import chainrule as cr
    >>> cr.scalar_tensor(3)
    tensor(3.)
    """
    check_device(device)
    value = number("scalar_tensor", "s", s)
    return made(np.array(value, dtype_or_default(dtype)), requires_grad)


@export(method=False)
def eye(
    n: int, m: int | None = None, *, dtype: Any = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """The n x m matrix (n x n if m is left out) with ones on the diagonal and zeros elsewhere.

    Raises:
        RuntimeError: if a size is negative.

    >>> import chainrule as cr
    >>> cr.eye(2)
    tensor([[1., 0.],
            [0., 1.]])
    """
    check_device(device)
    check_layout(layout)
    for name, value in (("n", n), ("m", m)):
        if value is not None and value < 0:
            raise RuntimeError(f"{name} must be greater or equal to 0, got {value}")
    return made(np.eye(n, m, dtype=dtype_or_default(dtype)), requires_grad)
