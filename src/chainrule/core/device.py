"""Devices, layouts and memory formats, as far as a library on NumPy has them.

There is one device, the CPU, and one layout, strided.  The objects exist so that programs which
name them run unchanged, and so that a program asking for another device is told at once.
"""

from __future__ import annotations

from typing import Any

_KNOWN = ("cpu", "cuda", "mps", "meta", "xpu", "hip", "xla")


class device:  # noqa: N801 - PyTorch's name
    """Where a tensor lives: always the CPU.

    Takes "cpu", "cpu:0", or a type and an index.

    Raises:
        RuntimeError: for a malformed or unknown name.

    >>> import chainrule as cr
    >>> cr.device("cpu")
    device(type='cpu')
    """

    __slots__ = ("index", "type")

    type: str
    index: int | None

    def __init__(self, type: Any, index: int | None = None) -> None:
        if isinstance(type, device):
            type, index = type.type, type.index if index is None else index
        elif isinstance(type, int) and not isinstance(type, bool):
            type, index = "cuda", type
        elif isinstance(type, str):
            name, colon, number = type.partition(":")
            if colon and (index is not None or not number.isdecimal()):
                raise RuntimeError(f"Invalid device string: {type!r}")
            type, index = name, int(number) if colon else index
        else:
            raise TypeError(f"device(): expected a string, got {type.__class__.__name__}")
        if type not in _KNOWN:
            raise RuntimeError(
                f"Expected one of {', '.join(_KNOWN)} device type at start of device string: {type}"
            )
        object.__setattr__(self, "type", type)
        object.__setattr__(self, "index", index)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"attribute {name!r} of a device is read-only")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, device):
            return NotImplemented
        return self.type == other.type and self.index == other.index

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        index = "" if self.index is None else f", index={self.index}"
        return f"device(type={self.type!r}{index})"

    def __reduce__(self) -> tuple[Any, ...]:
        return device, (self.type, self.index)

    def __enter__(self) -> device:
        check_device(self)
        return self

    def __exit__(self, *exc: object) -> None:
        return None


CPU = device("cpu")


def check_device(wanted: Any) -> None:
    """Accept the CPU (or None, which leaves the choice open).

    Raises:
        RuntimeError: for any other device.
    """
    if wanted is None or wanted is CPU:
        return
    found = device(wanted)
    if found.type != "cpu":
        raise RuntimeError(
            f"chainrule computes on the CPU with NumPy and has no device '{found}'. Leave out the "
            "device argument or pass device='cpu'; chainrule.cuda.is_available() is False, so "
            "code that asks first runs unchanged."
        )
    if found.index not in (None, 0):
        raise RuntimeError(f"CPU device index must be -1 or zero, got {found.index}")


def get_default_device() -> device:
    """The device on which tensors are created: the CPU.

    >>> import chainrule as cr
    >>> cr.get_default_device()
    device(type='cpu')
    """
    return CPU


def set_default_device(device: Any) -> None:
    """Set the device on which tensors are created; there is only the CPU.

    Raises:
        RuntimeError: for any other device.

    >>> import chainrule as cr
    >>> cr.set_default_device("cpu")
    """
    check_device(device)


class _Constant:
    """A named constant that prints as PyTorch's does."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"chainrule.{self._name}"

    def __reduce__(self) -> str:
        return self._name


class layout(_Constant):  # noqa: N801 - PyTorch's name
    """How the entries lie in memory: `chainrule.strided` for every tensor."""

    __slots__ = ()


class memory_format(_Constant):  # noqa: N801 - PyTorch's name
    """The order of dimensions in memory that a copy is asked to have."""

    __slots__ = ()


strided = layout("strided")
contiguous_format = memory_format("contiguous_format")
preserve_format = memory_format("preserve_format")
channels_last = memory_format("channels_last")
channels_last_3d = memory_format("channels_last_3d")
CONSTANTS: dict[str, Any] = {
    c._name: c
    for c in (strided, contiguous_format, preserve_format, channels_last, channels_last_3d)
}


def check_layout(wanted: Any) -> None:
    """Accept the strided layout (or None).

    Raises:
        RuntimeError: for another one.
    """
    if wanted is not None and wanted is not strided:
        raise RuntimeError(
            f"tensors have the layout chainrule.strided only, not {wanted!r}; leave out layout"
        )
