"""Discrete Fourier transforms: complex to complex, real to half-complex, and half-complex to real.

Each of the three is linear over the reals, and the adjoint of each is one of them again, with the
scale moved to the other direction.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from chainrule.core.avals import complex_dtype, same, typed
from chainrule.core.batching import along
from chainrule.core.dtypes import as_numpy, default_dtype, real_dtype
from chainrule.core.kinds import linear
from chainrule.core.namespaces import recorded
from chainrule.core.node import Aval
from chainrule.core.samples import Sample, uniform
from chainrule.core.tensor import set_requires_grad, wrap
from chainrule.ops.arrange import roll_prim
from chainrule.ops.axes import normalize_dim, normalize_dims
from chainrule.ops.contract_checks import operand, scalar_name
from chainrule.ops.convert import astype
from chainrule.ops.create import number
from chainrule.ops.index import getitem
from chainrule.ops.pad import pad_prim
from chainrule.ops.products import conj, numpy_dtype

FOURIER: dict[str, Callable[..., Any]] = {}
_FLIPPED = {"backward": "forward", "forward": "backward", "ortho": "ortho"}
_Dims = tuple[int, ...]


def _fft(x: Any, dim: _Dims, norm: str, inverse: bool) -> Any:
    if not dim:
        return x.astype(np.result_type(x.dtype, np.complex64))
    transform: Any = np.fft.ifftn if inverse else np.fft.fftn
    return transform(x, axes=dim, norm=norm)


fft_prim = linear(
    "fft", _fft,
    lambda xp, g, dim, norm, inverse: xp.fft(g, dim=dim, norm=_FLIPPED[norm], inverse=not inverse),
    grad_name="FftC2C", batch=along("dim"), aval=typed(same, complex_dtype),
    samples=lambda: [
        Sample(uniform(4), dim=(0,), norm="backward", inverse=False),
        Sample(uniform(2, 3) + 1j * uniform(2, 3, seed=1), dim=(0, 1), norm="ortho", inverse=True),
        Sample(uniform(2, 3) * 1j, dim=(1,), norm="forward", inverse=False),
    ],
)  # fmt: skip


def _with_length(shape: _Dims, axis: int, n: int) -> _Dims:
    """A shape with another length along one axis."""
    return (*shape[:axis], n, *shape[axis + 1 :])


def _half_weights(n: int, axis: int, ndim: int, inner: float, dtype: Any) -> Any:
    """1 at the frequencies that mirror themselves (0, and n/2 for even n), elsewhere `inner`."""
    w = np.full(n // 2 + 1, inner, dtype)
    w[0] = 1
    if n % 2 == 0:
        w[-1] = 1
    return w.reshape([-1 if i == axis else 1 for i in range(ndim)])


def _real_dtype(a: Any) -> Any:
    return np.empty(0, numpy_dtype(a)).real.dtype


# The inverse real transform adds the mirror image of every frequency between 0 and n/2, which a
# cotangent does not have: half of it stands for each.
def _rfft_vjp(xp: Any, g: Any, x_aval: Any, dim: _Dims, norm: str) -> Any:
    n = x_aval.shape[dim[-1]]
    w = _half_weights(n, dim[-1], x_aval.ndim, 0.5, _real_dtype(g))
    return xp.irfft(g * w, dim=dim, n=n, norm=_FLIPPED[norm])


rfft_prim = linear(
    "rfft", lambda x, dim, norm: np.fft.rfftn(x, axes=dim, norm=norm), _rfft_vjp,
    grad_name="FftR2C", batch=along("dim"),
    aval=lambda x, dim, norm: Aval(
        _with_length(x.shape, dim[-1], x.shape[dim[-1]] // 2 + 1), complex_dtype(x.dtype)
    ),
    samples=lambda: [
        Sample(uniform(4), dim=(0,), norm="backward"), Sample(uniform(5), dim=(0,), norm="ortho"),
        Sample(uniform(3, 4), dim=(0, 1), norm="forward"),
        Sample(uniform(5, 2), dim=(1, 0), norm="backward"),
    ],
)  # fmt: skip


def _irfft(x: Any, dim: _Dims, n: int, norm: str) -> Any:
    transform: Any = np.fft.irfftn
    return transform(x, s=[*(x.shape[d] for d in dim[:-1]), n], axes=dim, norm=norm)


def _irfft_vjp(xp: Any, g: Any, dim: _Dims, n: int, norm: str) -> Any:
    w = _half_weights(n, dim[-1], g.ndim, 2.0, _real_dtype(g))
    return xp.rfft(g, dim=dim, norm=_FLIPPED[norm]) * w


# Along the last of `dim` there are n//2 + 1 frequencies.
irfft_prim = linear(
    "irfft", _irfft, _irfft_vjp, grad_name="FftC2R", batch=along("dim"),
    aval=lambda x, dim, n, norm: Aval(
        _with_length(x.shape, dim[-1], n), real_dtype(complex_dtype(x.dtype))
    ),
    samples=lambda: [
        Sample(uniform(3) + 1j * uniform(3, seed=1), dim=(0,), n=4, norm="backward"),
        Sample(uniform(3) + 1j * uniform(3, seed=1), dim=(0,), n=5, norm="ortho"),
        Sample(uniform(3, 2) * (1 - 2j), dim=(0, 1), n=3, norm="forward"),
    ],
)  # fmt: skip


def _input(x: Any, name: str) -> Any:
    """The tensor in a dtype that can be transformed; integers become the default dtype."""
    a = operand(x, name, "input", 1)
    dt = numpy_dtype(a)
    if dt.kind not in "fc":
        return astype(x, dtype=default_dtype())
    if dt.itemsize < 4:
        raise RuntimeError(
            f"Unsupported dtype {scalar_name(a)}; {name} works on float32 and float64, so convert "
            "the input first, for example with x.float()"
        )
    return x


def _resized(x: Any, dim: int, n: int) -> Any:
    """The tensor cut, or filled up with zeros, to length n along a dimension."""
    have = x.shape[dim]
    if n == have:
        return x
    if n < have:
        whole = ("slice", None, None, None)
        cut = ("slice", 0, n, None)
        return getitem(x, index=tuple(cut if i == dim else whole for i in range(x.ndim)))
    widths = tuple((0, n - have if i == dim else 0) for i in range(x.ndim))
    return pad_prim(x, pad_width=widths, mode="constant", value=0)


def _dims_and_sizes(x: Any, s: Any, dim: Any) -> tuple[_Dims, list[int | None]]:
    """The dimensions to transform and the lengths asked for; None and -1 mean as they are."""
    if isinstance(dim, int):
        if x.ndim == 0:
            raise IndexError("Dimension specified as -1 but tensor has no dimensions")
        return (normalize_dim(dim, x.ndim),), [None if s is None else int(s)]
    if s is not None and dim is not None and len(s) != len(dim):
        raise RuntimeError("When given, dim and shape arguments must have the same length")
    if dim is None:
        count = x.ndim if s is None else len(s)
        if count > x.ndim:
            raise RuntimeError(
                f"Got shape with {count} values but input tensor only has {x.ndim} dimensions."
            )
        dims: _Dims = tuple(range(x.ndim - count, x.ndim))
    else:
        if len({d % max(x.ndim, 1) for d in dim}) < len(dim):
            raise RuntimeError("FFT dims must be unique")
        dims = normalize_dims(tuple(dim), x.ndim)
    return dims, [None if n == -1 else int(n) for n in s] if s is not None else [None] * len(dims)


def _check_length(n: int) -> None:
    if n < 1:
        raise RuntimeError(f"Invalid number of data points ({n}) specified")


def _mode(norm: str | None) -> str:
    norm = norm or "backward"
    if norm not in _FLIPPED:
        raise RuntimeError(f'Invalid normalization mode: "{norm}"')
    return norm


def _fitted(x: Any, dims: _Dims, sizes: list[int | None]) -> Any:
    for d, n in zip(dims, sizes, strict=True):
        length = x.shape[d] if n is None else n
        _check_length(length)
        x = _resized(x, d, length)
    return x


def _complex(name: str, x: Any, s: Any, dim: Any, norm: str | None, inverse: bool) -> Any:
    x = _input(x, name)
    dims, sizes = _dims_and_sizes(x, s, dim)
    return fft_prim(_fitted(x, dims, sizes), dim=dims, norm=_mode(norm), inverse=inverse)


def _to_half(name: str, x: Any, s: Any, dim: Any, norm: str | None) -> Any:
    if numpy_dtype(operand(x, name, "input", 1)).kind == "c":
        raise RuntimeError(f"{name} expects a real input tensor, but got {scalar_name(x)}")
    x = _input(x, name)
    dims, sizes = _dims_and_sizes(x, s, dim)
    if not dims:
        raise RuntimeError(f"{name} must transform at least one axis")
    return rfft_prim(_fitted(x, dims, sizes), dim=dims, norm=_mode(norm))


def _to_real(name: str, x: Any, s: Any, dim: Any, norm: str | None) -> Any:
    x = _input(x, name)
    if numpy_dtype(x).kind != "c":
        x = astype(x, dtype=np.result_type(numpy_dtype(x), np.complex64))
    dims, sizes = _dims_and_sizes(x, s, dim)
    if not dims:
        raise RuntimeError(f"{name} must transform at least one axis")
    last = sizes[-1]
    n = 2 * (x.shape[dims[-1]] - 1) if last is None else last
    _check_length(n)
    x = _fitted(x, dims, [*sizes[:-1], n // 2 + 1])
    return irfft_prim(x, dim=dims, n=n, norm=_mode(norm))


def _hermitian(name: str, x: Any, s: Any, dim: Any, norm: str | None) -> Any:
    return _to_real(name, conj(recorded, x), s, dim, _FLIPPED[_mode(norm)])


def _inverse_hermitian(name: str, x: Any, s: Any, dim: Any, norm: str | None) -> Any:
    return conj(recorded, _to_half(name, x, s, dim, _FLIPPED[_mode(norm)]))


_KINDS: dict[str, tuple[Any, str, str]] = {
    "fft": (partial(_complex, inverse=False), "The discrete Fourier transform", ""),
    "ifft": (partial(_complex, inverse=True), "The inverse discrete Fourier transform", ""),
    "rfft": (_to_half, "The discrete Fourier transform of real data",
             " Only the half of the last dimension that is not a mirror image is computed."),
    "irfft": (_to_real, "The inverse of the transform of real data",
              " The last length is 2·(m - 1) unless given."),
    "hfft": (_hermitian, "The discrete Fourier transform, real, of data with Hermitian symmetry",
             " The last length is 2·(m - 1) unless given."),
    "ihfft": (_inverse_hermitian, "The inverse transform of real data, Hermitian symmetric",
              " Only the half of the last dimension that is not a mirror image is computed."),
}  # fmt: skip
_DETAILS = """

    Args:
        input: a tensor; integers become the default dtype.
        {arg}: cut or fill up with zeros to this {arg_text} first.
        dim: along which {dims}.
        norm: where the factor 1/n goes: "backward" (to the inverse), "forward", "ortho" (1/√n).

    Raises:
        RuntimeError: for an empty or complex input where that makes no sense, or another `norm`.

    >>> import chainrule as cr
    >>> cr.fft.{name}(cr.ones({shape})).shape
    chainrule.Size({result})
"""


def _publish(stem: str) -> None:
    transform, what, remark = _KINDS[stem]

    def one(input: Any, n: int | None = None, dim: int = -1, norm: str | None = None) -> Any:
        return transform(stem, input, n, dim, norm)

    def two(input: Any, s: Any = None, dim: Any = (-2, -1), norm: str | None = None) -> Any:
        return transform(stem + "2", input, s, dim, norm)

    def many(input: Any, s: Any = None, dim: Any = None, norm: str | None = None) -> Any:
        return transform(stem + "n", input, s, dim, norm)

    half = {"fft": 4, "ifft": 4, "rfft": 3, "ihfft": 3, "irfft": 6, "hfft": 6}[stem]
    for f, name, where in [
        (one, stem, "along one dimension"), (two, stem + "2", "along two dimensions"),
        (many, stem + "n", "along several dimensions, all of them by default"),
    ]:  # fmt: skip
        single = f is one
        f.__name__ = f.__qualname__ = name
        f.__doc__ = f"{what}, {where}.{remark}" + _DETAILS.format(
            arg="n" if single else "s", arg_text="length" if single else "shape", name=name,
            dims="dimension" if single else "dimensions", shape="4" if single else "2, 4",
            result=[half] if single else [2, half],
        )  # fmt: skip
        FOURIER[name] = f


for _stem in _KINDS:
    _publish(_stem)


def _shift(input: Any, dim: Any, round_up: int) -> Any:
    """Every dimension rolled by half its length."""
    a = operand(input, "fftshift", "input", 1)
    dims = normalize_dims(dim, a.ndim)
    by = tuple((a.shape[d] + round_up) // 2 for d in dims)
    return roll_prim(input, shift=by, axis=dims) if dims else input


def fftshift(input: Any, dim: Any = None) -> Any:
    """The frequencies reordered so that zero is in the middle.

    >>> import chainrule as cr
    >>> cr.fft.fftshift(cr.arange(5))
    tensor([3, 4, 0, 1, 2])
    """
    return _shift(input, dim, 0)


def ifftshift(input: Any, dim: Any = None) -> Any:
    """The inverse of `fftshift`.

    >>> import chainrule as cr
    >>> cr.fft.ifftshift(cr.tensor([3, 4, 0, 1, 2]))
    tensor([0, 1, 2, 3, 4])
    """
    return _shift(input, dim, 1)


def _frequencies(values: Any, dtype: Any, requires_grad: bool) -> Any:
    made = wrap(values.astype(default_dtype() if dtype is None else as_numpy(dtype)))
    if requires_grad:
        set_requires_grad(made, True)
    return made


def fftfreq(
    n: int, d: float = 1.0, *, dtype: Any = None, device: Any = None, layout: Any = None,
    requires_grad: bool = False,
) -> Any:  # fmt: skip
    """The frequencies that belong to the results of `fft` of n samples at distance d.

    >>> import chainrule as cr
    >>> cr.fft.fftfreq(4)
    tensor([ 0.0000,  0.2500, -0.5000, -0.2500])
    """
    return _frequencies(np.fft.fftfreq(n, number("fftfreq", "d", d)), dtype, requires_grad)


def rfftfreq(
    n: int, d: float = 1.0, *, dtype: Any = None, device: Any = None, layout: Any = None,
    requires_grad: bool = False,
) -> Any:  # fmt: skip
    """The frequencies that belong to the results of `rfft` of n samples at distance d.

    >>> import chainrule as cr
    >>> cr.fft.rfftfreq(4)
    tensor([0.0000, 0.2500, 0.5000])
    """
    return _frequencies(np.fft.rfftfreq(n, number("rfftfreq", "d", d)), dtype, requires_grad)


FOURIER.update(fftshift=fftshift, ifftshift=ifftshift, fftfreq=fftfreq, rfftfreq=rfftfreq)
