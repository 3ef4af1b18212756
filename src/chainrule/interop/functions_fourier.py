"""What `numpy.fft` means on tensors."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from chainrule.interop.functions_numpy import tensor


def _named(name: str) -> Any:
    return getattr(import_module("chainrule.fft"), name)


def _one(name: str) -> Callable[..., Any]:
    return lambda a, n=None, axis=-1, norm=None: _named(name)(tensor(a), n, axis, norm)


def _two(name: str) -> Callable[..., Any]:
    return lambda a, s=None, axes=(-2, -1), norm=None: _named(name)(tensor(a), s, axes, norm)


def _many(name: str) -> Callable[..., Any]:
    return lambda a, s=None, axes=None, norm=None: _named(name)(tensor(a), s, axes, norm)


def _shift(name: str) -> Callable[..., Any]:
    return lambda x, axes=None: _named(name)(tensor(x), axes)


FOURIER: dict[str, Callable[..., Any]] = {
    **{f"fft.{n}": _one(n) for n in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")},
    **{f"fft.{n}": _two(n) for n in ("fft2", "ifft2", "rfft2", "irfft2")},
    **{f"fft.{n}": _many(n) for n in ("fftn", "ifftn", "rfftn", "irfftn")},
    **{f"fft.{n}": _shift(n) for n in ("fftshift", "ifftshift")},
}
