"""Forward mode while the program runs: dual numbers, with PyTorch's names.

>>> import chainrule as cr
>>> import chainrule.autograd.forward_ad as fwAD
>>> with fwAD.dual_level():
...     x = fwAD.make_dual(cr.tensor(2.0), cr.tensor(1.0))
...     fwAD.unpack_dual(x**3)
UnpackedDualTensor(primal=tensor(8.), tangent=tensor(12.))
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from chainrule.core.boxes import Box, newest, running, take_over
from chainrule.core.calls import fitted
from chainrule.core.dtypes import is_inexact
from chainrule.core.tensor import Tensor, wrap
from chainrule.transforms.batch import Batched, batched
from chainrule.transforms.forward import Dual, ForwardTag, dual
from chainrule.transforms.scope import zeros_of

_levels: ContextVar[tuple[ForwardTag, ...]] = ContextVar("chainrule_dual_levels", default=())


class UnpackedDualTensor(NamedTuple):
    """What `unpack_dual` returns: a value, and its tangent or None."""

    primal: Tensor
    tangent: Tensor | None


def enter_dual_level() -> int:
    """Begin a level in which dual tensors can be made; returns its number.

    Levels may be nested; each has its own tangents.

    >>> import chainrule as cr
    >>> fwAD = cr.autograd.forward_ad
    >>> level = fwAD.enter_dual_level()
    >>> fwAD.exit_dual_level(level=level)
    """
    tag = ForwardTag("dual_level", remembers=True)
    levels = _levels.get()
    _levels.set((*levels, tag))
    running.set((*running.get(), tag))
    return len(levels)


def exit_dual_level(*, level: int | None = None) -> None:
    """End the newest level: all its dual tensors lose their tangents.

    Raises:
        RuntimeError: if there is none, or `level` is another.

    >>> import chainrule as cr
    >>> fwAD = cr.autograd.forward_ad
    >>> level = fwAD.enter_dual_level()
    >>> x = fwAD.make_dual(cr.tensor(2.0), cr.tensor(1.0))
    >>> fwAD.exit_dual_level()
    >>> fwAD.unpack_dual(x)
    UnpackedDualTensor(primal=tensor(2.), tangent=None)
    """
    levels = _levels.get()
    if not levels and level is None:
        raise RuntimeError(
            "Dual level must be a positive number: there is no level to exit; call "
            "enter_dual_level() first, or use `with dual_level():`"
        )
    if level is not None and level != len(levels) - 1:
        raise RuntimeError(
            "Trying to exit a forward AD level that was not the last one that was created. This is "
            f"not supported: level {level}, the last one being {len(levels) - 1}."
        )
    tag = levels[-1]
    _levels.set(levels[:-1])
    running.set(tuple([t for t in running.get() if t is not tag]))
    tag.alive = False
    for x in list(tag.living or ()):
        if isinstance(x, Dual) and x.tag is tag:
            take_over(x, x.inner[0])


@contextmanager
def dual_level() -> Iterator[int]:
    """A level in which dual tensors can be made, as a context manager.

    >>> import chainrule as cr
    >>> fwAD = cr.autograd.forward_ad
    >>> with fwAD.dual_level():
    ...     x = fwAD.make_dual(cr.tensor([1.0, 2.0]), cr.tensor([1.0, 0.0]))
    ...     fwAD.unpack_dual((x * x).sum()).tangent
    tensor(2.)
    """
    level = enter_dual_level()
    try:
        yield level
    finally:
        exit_dual_level(level=level)


def make_dual(tensor: Tensor, tangent: Tensor, *, level: int | None = None) -> Tensor:
    """The tensor with a tangent: what is computed from it has one, too.

    Args:
        tensor: the primal.  If it requires grad, reverse mode works on the results as well.
        tangent: of the same shape.
        level: which level; None for the newest.

    Raises:
        RuntimeError: if there is no level, or the shapes differ.
        ValueError: for integers.

    Source: Wengert, A simple automatic derivative evaluation program, CACM 7 (1964).

    >>> import chainrule as cr
    >>> fwAD = cr.autograd.forward_ad
    >>> w = cr.tensor(3.0, requires_grad=True)
    >>> with fwAD.dual_level():
    ...     y = fwAD.make_dual(w, cr.tensor(1.0)) ** 3
    ...     cr.autograd.grad(fwAD.unpack_dual(y).tangent, w)
    (tensor(18.),)
    """
    tag = _tag(level)
    if tag is None:
        raise RuntimeError(
            "Trying to create a dual Tensor for forward AD but no level exists, make sure to "
            "enter_dual_level() first."
        )
    for what, x in (("primal", tensor), ("tangent", tangent)):
        if not isinstance(x, Tensor):
            raise TypeError(f"make_dual: the {what} must be a Tensor, got {type(x).__name__}")
        if not is_inexact(x.array.dtype):
            raise ValueError(f"Expected {what} to be floating point or complex, but got: {x.dtype}")
    found = newest((tensor, tangent))
    if found is tag:
        raise RuntimeError(
            "Making a dual Tensor based on a Tensor that already has a forward gradient at the "
            f"same level {_levels.get().index(tag)} is not supported."
        )
    if found is not None and found.level > tag.level:
        raise RuntimeError(
            f"make_dual: the tensor belongs to a call of {found.title} that began inside this "
            "level; enter a level inside the function, or use func.jvp there"
        )
    if tuple(tensor.array.shape) != tuple(tangent.array.shape):
        raise RuntimeError(
            "Trying to set a forward gradient that has a different size than that of the original "
            f"Tensor, this is not supported. Tensor is of size {list(tensor.array.shape)} while "
            f"the given forward gradient is of size {list(tangent.array.shape)}."
        )
    primal = tensor if isinstance(tensor, Box) else wrap(tensor.array, tensor.node)
    return dual(tag, primal, fitted(tangent, primal))


def unpack_dual(tensor: Tensor, *, level: int | None = None) -> UnpackedDualTensor:
    """The value and the tangent of a tensor; the tangent is None if it has none.

    Args:
        tensor: any tensor.
        level: which level; None for the newest.

    >>> import chainrule as cr
    >>> cr.autograd.forward_ad.unpack_dual(cr.tensor(2.0))
    UnpackedDualTensor(primal=tensor(2.), tangent=None)
    """
    tag = _tag(level)
    if tag is None:
        return UnpackedDualTensor(tensor, None)
    return UnpackedDualTensor(*_split(tag, tensor))


def _tag(level: int | None) -> ForwardTag | None:
    levels = _levels.get()
    if level is None:
        return levels[-1] if levels else None
    if not 0 <= level < len(levels):
        raise RuntimeError(
            f"forward AD: there is no level {level}; {len(levels)} levels are running"
        )
    return levels[level]


def _split(tag: ForwardTag, x: Any) -> tuple[Any, Any]:
    """Primal and tangent, also inside boxes of newer transforms."""
    if not isinstance(x, Box) or x.tag.level <= tag.level:
        return tag.split(x)
    if isinstance(x, Batched):
        p, t = _split(tag, x.inner)
        return batched(x.tag, p), None if t is None else batched(x.tag, t)
    pairs = [(None, None) if c is None else _split(tag, c) for c in x.tag.components(x)]
    primal = x.tag.joined([p for p, _ in pairs])
    if all(t is None for _, t in pairs):
        return primal, None
    first = zeros_of(x) if pairs[0][1] is None else pairs[0][1]
    return primal, x.tag.joined([first, *[t for _, t in pairs[1:]]])


__all__ = [
    "UnpackedDualTensor",
    "dual_level",
    "enter_dual_level",
    "exit_dual_level",
    "make_dual",
    "unpack_dual",
]
