"""The short-time Fourier transform and its inverse."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from chainrule.core.boxes import is_mapped
from chainrule.core.namespaces import recorded as xp
from chainrule.core.tensor import Tensor, wrap
from chainrule.ops.api import export
from chainrule.ops.complex import view_as_real
from chainrule.ops.contract_checks import operand, scalar_name
from chainrule.ops.fourier import FOURIER
from chainrule.ops.pad import pad
from chainrule.ops.products import numpy_dtype

_BOTH_SIDED = "Cannot have onesided output if window or input is complex"


def _steps(
    name: str, n_fft: int, hop_length: int | None, win_length: int | None, longest: int | None
) -> tuple[int, int]:
    """The distance of windows and their length, with PyTorch's defaults.

    Raises:
        RuntimeError: if a length is out of range.
    """
    hop = n_fft // 4 if hop_length is None else hop_length
    win = n_fft if win_length is None else win_length
    if n_fft <= 0 or (longest is not None and n_fft > longest):
        raise RuntimeError(f"{name}: expected 0 < n_fft < {longest}, but got n_fft={n_fft}")
    if hop <= 0:
        raise RuntimeError(f"{name}: expected hop_length > 0, but got hop_length={hop}")
    if not 0 < win <= n_fft:
        raise RuntimeError(f"{name}: expected 0 < win_length <= n_fft, but got win_length={win}")
    return hop, win


def _window(name: str, window: Any, win: int, n_fft: int, dtype: Any) -> Any:
    """The window in the middle of n_fft entries.

    Raises:
        RuntimeError: if it is not 1-d of length `win`.
    """
    if window is None:
        warnings.warn(
            f"{name}: A window was not provided. A rectangular window will be applied, which is "
            "known to cause spectral leakage. Pass window=chainrule.hann_window(n_fft), or "
            "chainrule.ones(n_fft) to suppress this warning.",
            stacklevel=5,
        )
        window = wrap(np.ones(win, np.empty(0, dtype).real.dtype))
    w = operand(window, name, "window", 5)
    if tuple(w.shape) != (win,):
        raise RuntimeError(
            f"{name}: expected a 1D window tensor of size equal to win_length={win}, but got "
            f"window with size {list(w.shape)}"
        )
    before = (n_fft - win) // 2
    return pad(window, (before, n_fft - win - before)) if win < n_fft else window


def _is_complex(x: Any) -> bool:
    return bool(numpy_dtype(x.array).kind == "c")


@export()
def stft(
    input: Any, n_fft: int, hop_length: int | None = None, win_length: int | None = None,
    window: Any = None, center: bool = True, pad_mode: str = "reflect", normalized: bool = False,
    onesided: bool | None = None, return_complex: bool | None = None,
    align_to_window: bool | None = None,
) -> Any:  # fmt: skip
    """The Fourier transforms of overlapping windows of a signal, (..., frequency, window).

    Args:
        input: (L) or (B, L), real or complex.
        n_fft: the length of each transform.
        hop_length: the distance of windows; n_fft // 4 by default.
        win_length: the length of the window, which stands in the middle of n_fft entries.
        window: (win_length); ones by default.
        center: whether window t is centred at entry t·hop_length; then the signal gets a margin of
            n_fft // 2, as `pad_mode` says.
        normalized: divide by the root of n_fft.
        onesided: leave out the frequencies that are mirror images, for real signals only.
        return_complex: must be given for real signals; False gives real and imaginary parts.
        align_to_window: must be None if `center`; otherwise windows begin where `window` does
            rather than the n_fft entries around it.

    Raises:
        RuntimeError: if a length is out of range, or shapes do not fit.

    Source: Griffin and Lim, Signal estimation from modified short-time Fourier transform, IEEE
    Trans. ASSP 32 (1984).

    >>> import chainrule as cr
    >>> cr.stft(cr.ones(8), 4, window=cr.hann_window(4), return_complex=True).shape
    chainrule.Size([3, 9])
    """
    x = operand(input, "stft", "input", 1)
    if numpy_dtype(x).kind not in "fc":
        raise RuntimeError(
            f"stft: expected a tensor of floating point or complex values, got {scalar_name(x)}"
        )
    if x.ndim not in (1, 2):
        raise RuntimeError(f"stft: expected a 1D or 2D tensor, got {list(x.shape)}")
    two_sided = numpy_dtype(x).kind == "c" or (isinstance(window, Tensor) and _is_complex(window))
    if return_complex is None and not two_sided:
        raise RuntimeError(
            "stft requires the return_complex parameter be given for real inputs, and will further "
            "require that return_complex=True in a future PyTorch release."
        )
    if onesided and two_sided:
        raise RuntimeError(_BOTH_SIDED)
    if center and align_to_window is not None:
        raise RuntimeError("stft align_to_window should only be set when center = false.")
    signal = input if x.ndim == 2 else xp.reshape(input, shape=(1, *x.shape))
    if center:
        signal = pad(signal, (n_fft // 2, n_fft // 2), mode=pad_mode)
    hop, win = _steps("stft", n_fft, hop_length, win_length, signal.shape[-1])
    if align_to_window:
        before = (n_fft - win) // 2
        signal = pad(signal, (before, n_fft - win - before))
    taper = _window("stft", window, win, n_fft, numpy_dtype(x))
    windows = xp.unfold(signal, axis=1, size=n_fft, step=hop) * taper
    kind = "fft" if two_sided or onesided is False else "rfft"
    found = FOURIER[kind](windows, norm="ortho" if normalized else None)
    found = xp.permute_dims(found, axes=(0, 2, 1))
    if x.ndim == 1:
        found = xp.reshape(found, shape=tuple(found.shape[1:]))
    return view_as_real(found) if return_complex is False else found


@export()
def istft(
    input: Any, n_fft: int, hop_length: int | None = None, win_length: int | None = None,
    window: Any = None, center: bool = True, normalized: bool = False,
    onesided: bool | None = None, length: int | None = None, return_complex: bool = False,
) -> Any:  # fmt: skip
    """The signal whose short-time Fourier transform is nearest to the one given: inverts `stft`.

    Args:
        input: complex, (frequency, window) or (B, frequency, window).
        length: how many entries to return; as many as the windows cover by default.
        return_complex: whether the signal is complex.
        n_fft, hop_length, win_length, window, center, normalized, onesided: as for `stft`.

    Raises:
        RuntimeError: if a length is out of range, shapes do not fit, or some entry is covered by
            zeros of the windows only.

    Source: Griffin and Lim, Signal estimation from modified short-time Fourier transform, IEEE
    Trans. ASSP 32 (1984), equation 6.

    >>> import chainrule as cr
    >>> x, w = cr.tensor([1.0, 2.0, 3.0, 4.0]), cr.ones(4)
    >>> cr.istft(cr.stft(x, 4, window=w, return_complex=True), 4, window=w)
    tensor([1., 2., 3., 4.])
    """
    x = operand(input, "istft", "input", 1)
    hop, win = _steps("istft", n_fft, hop_length, win_length, None)
    _check_spectrum(x, n_fft, hop, win, onesided, return_complex)
    if isinstance(window, Tensor) and _is_complex(window) and not return_complex:
        raise RuntimeError("Complex windows are incompatible with return_complex=False")
    if return_complex and (x.shape[-2] != n_fft if onesided is None else onesided):
        raise RuntimeError(_BOTH_SIDED)
    taper = _window("istft", window, win, n_fft, numpy_dtype(x))
    spectrum = input if x.ndim == 3 else xp.reshape(input, shape=(1, *x.shape))
    norm = "ortho" if normalized else None
    rows = xp.permute_dims(spectrum, axes=(0, 2, 1))
    if return_complex:
        rows = FOURIER["ifft"](rows, norm=norm)
    else:
        rows = FOURIER["irfft"](rows[..., : n_fft // 2 + 1], n=n_fft, norm=norm)
    count, covered = x.shape[-1], n_fft + hop * (x.shape[-1] - 1)
    signal = xp.unfold_transpose(
        rows * taper, shape=(spectrum.shape[0], covered), axis=1, size=n_fft, step=hop
    )
    squares = xp.broadcast_to(taper * taper, shape=(count, n_fft))
    weight = xp.unfold_transpose(squares, shape=(covered,), axis=0, size=n_fft, step=hop)
    start = n_fft // 2 if center else 0
    end = covered - start if length is None else min(start + length, covered)
    weight = weight[start:end]
    _check_cover(weight)
    signal = signal[:, start:end] / weight
    if length is not None and end - start < length:
        warnings.warn(
            "istft: The length of signal is shorter than the length parameter. Result is being "
            "padded with zeros in the tail. Please check your center and hop_length settings.",
            stacklevel=3,
        )
        signal = pad(signal, (0, length - (end - start)))
    return signal if x.ndim == 3 else xp.reshape(signal, shape=tuple(signal.shape[1:]))


def _check_spectrum(
    x: Any, n_fft: int, hop: int, win: int, onesided: bool | None, return_complex: bool
) -> None:
    if numpy_dtype(x).kind != "c":
        raise RuntimeError(
            "istft requires a complex-valued input tensor matching the output from stft with "
            "return_complex=True."
        )
    if x.ndim not in (2, 3):
        raise RuntimeError(f"istft: expected a tensor with 2 or 3 dimensions, got {x.ndim}")
    if 0 in x.shape:
        raise RuntimeError("istft: input tensor cannot be empty.")
    if hop > win:
        raise RuntimeError(f"istft: expected 0 < hop_length <= win_length, got {hop} and {win}")
    half = n_fft // 2 + 1
    one = x.shape[-2] != n_fft if onesided is None else onesided
    if x.shape[-2] != (half if one else n_fft):
        wanted = "n_fft / 2 + 1 when onesided=True" if one else "n_fft when onesided=False"
        raise RuntimeError(
            "istft: expected the frequency dimension (3rd to the last) of the input tensor to "
            f"match {wanted}, but got {x.shape[-2]}"
        )


def _check_cover(weight: Any) -> None:
    """Raise if windows vanish where the signal is asked for; mapped windows are taken on trust."""
    if not is_mapped(weight) and weight.array.size:
        least = np.abs(weight.array).min()
        if least <= 1e-11:
            raise RuntimeError(
                f"istft: window overlap add min: {least}. The windows vanish where the signal is "
                "asked for; use another window, a smaller hop_length, or center=True"
            )


__all__ = ["istft", "stft"]
