"""Complex numbers: parts, conjugates, angles, and the passage to pairs of reals."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.avals import broadcast, complex_dtype, last_replaced, same, typed
from chainrule.core.batching import leading, unchanged
from chainrule.core.dtypes import real_dtype
from chainrule.core.kinds import elementwise, general, linear, promote
from chainrule.core.namespaces import publish, recorded
from chainrule.core.node import Aval
from chainrule.core.primitive import unbox
from chainrule.core.samples import Sample, uniform
from chainrule.core.tensor import Tensor
from chainrule.ops import rounding
from chainrule.ops.api import attach, export


def _complex_sample(seed: int = 0) -> np.ndarray:
    return uniform(2, 3, seed=seed) + 1j * uniform(2, 3, seed=seed + 1)


def is_complex_value(x: Any) -> bool:
    """Whether a tensor, array or number is complex."""
    value, _ = unbox(x)
    return value.dtype.kind == "c" if hasattr(value, "dtype") else isinstance(value, complex)


# Linear over the reals.  Gradients pair with tangents by Re(conj(g)·t), which gives the transposes.
real_prim = linear(
    "real", lambda x: x.real, lambda g: g, view=True, batch=unchanged,
    aval=typed(same, real_dtype),
    samples=lambda: [Sample(_complex_sample())],
)  # fmt: skip
imag_prim = linear(
    "imag", lambda x: x.imag, lambda g: g * 1j, view=True, batch=unchanged,
    aval=typed(same, real_dtype),
    samples=lambda: [Sample(_complex_sample())],
)  # fmt: skip
conj_prim = linear(
    "conj", np.conjugate, lambda xp, g: xp.conj(g), symbol="conj({})", batch=unchanged,
    aval=same,
    samples=lambda: [Sample(_complex_sample()), Sample(uniform(3))],
)  # fmt: skip


@export()
def real(input: Any) -> Any:
    """The real part: a view of a complex tensor, a real tensor itself.

    >>> import chainrule as cr
    >>> cr.real(cr.tensor([1 + 2j]))
    tensor([1.])
    """
    return real_prim(input) if is_complex_value(input) or not isinstance(input, Tensor) else input


@export()
def imag(input: Any) -> Any:
    """The imaginary part, a view of the tensor.

    Raises:
        RuntimeError: for a real tensor.

    >>> import chainrule as cr
    >>> cr.imag(cr.tensor([1 + 2j]))
    tensor([2.])
    """
    if not is_complex_value(input):
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    return imag_prim(input)


def _conj(input: Any) -> Any:
    return conj_prim(input) if is_complex_value(input) or not isinstance(input, Tensor) else input


publish("conj", np.conjugate, _conj)
publish("real", np.real, real)


def _set_part(name: str) -> Any:
    part = real if name == "real" else imag

    def write(self: Tensor, value: Any) -> None:
        part(self)[...] = value

    return property(part, write, doc=part.__doc__)


attach("real", _set_part("real"))
attach("imag", _set_part("imag"))


@export("conj_physical", in_place=True)
@export("conj")
def conj(input: Any) -> Any:
    """The complex conjugate of each entry; a real tensor itself.

    >>> import chainrule as cr
    >>> cr.conj(cr.tensor([1 + 2j]))
    tensor([1.-2.j])
    """
    return _conj(input)


@export("resolve_conj", "resolve_neg")
def resolve_conj(input: Any) -> Any:
    """The tensor itself: conjugation and negation are never postponed here.

    >>> import chainrule as cr
    >>> cr.resolve_conj(cr.tensor([1 + 2j]))
    tensor([1.+2.j])
    """
    return input


# z/|z| turns with z but does not grow: its derivative keeps the part of t across z, over |z|.
def _across(xp: Any, g: Any, x: Any, out: Any) -> Any:
    size = xp.abs(x)
    zero = size == 0
    rate = (g - out * xp.real(xp.conj(out) * g)) / xp.where(zero, 1, size)
    return xp.where(zero, 0, rate)


complex_sign = general(
    "complex_sign", np.sign, vjps=(_across,), grad_name="Sgn", batch=unchanged,
    aval=same,
    jvp=lambda xp, t, x, out: _across(xp, t[0], x, out),
    samples=lambda: [Sample(_complex_sample())],
)  # fmt: skip


@export("sgn", in_place=True)
def sgn(input: Any) -> Any:
    """The sign of each entry; for complex numbers z/|z|, and 0 at 0.

    >>> import chainrule as cr
    >>> cr.sgn(cr.tensor([3 + 4j]))
    tensor([0.6000+0.8000j])
    """
    return complex_sign(input) if is_complex_value(input) else rounding.sign(input)


publish("sgn", rounding.sign.prim.eval, sgn)


def _angle_gradient(xp: Any, x: Any) -> Any:
    square = xp.abs(x) * xp.abs(x)
    return 1j * x / xp.where(square == 0, 1, square)


complex_angle = elementwise(
    "angle", np.angle, _angle_gradient, result="real", symbol="angle({})",
    samples=lambda: [Sample(_complex_sample())],
)  # fmt: skip


def _half_turn(x: Any) -> Any:
    """π for negative numbers, 0 for others (-0.0 too), nan for nan."""
    return np.where(np.isnan(x), x, np.where(x < 0, np.pi, 0)).astype(x.dtype)


real_angle = elementwise(
    "real_angle", _half_turn, lambda xp, x: xp.zeros_like(x), result="float", grad_name="Angle",
    domain=[(0.2, 2)],
)  # fmt: skip


@export()
def angle(input: Any) -> Any:
    """The angle of each entry in the complex plane; of real numbers 0 or π.

    >>> import chainrule as cr
    >>> cr.angle(cr.tensor([1j, -1 + 0j]))
    tensor([1.5708, 3.1416])
    """
    return complex_angle(input) if is_complex_value(input) else real_angle(input)


def _join(x: Any, y: Any) -> Any:
    out = np.empty(np.broadcast_shapes(x.shape, y.shape), np.result_type(x.dtype, np.complex64))
    out.real, out.imag = x, y
    return out


complex_prim = general(
    "complex", _join,
    vjps=(lambda xp, g: xp.real(g), lambda xp, g: xp.imag(g)),
    jvp=lambda xp, t, x_aval, y_aval: xp.complex(
        np.zeros(x_aval.shape, x_aval.dtype) if t[0] is None else t[0],
        np.zeros(y_aval.shape, y_aval.dtype) if t[1] is None else t[1],
    ),
    symbol="{} + i*{}", batch=leading, real=True,
    aval=lambda x, y: Aval(broadcast(x, y).shape, complex_dtype(x.dtype)),
    samples=lambda: [Sample(uniform(2, 3), uniform(2, 3, seed=1)), Sample(uniform(3), uniform())],
)  # fmt: skip


@export("complex", method=False)
def _complex(real: Any, imag: Any) -> Any:
    """The complex tensor with these real and imaginary parts.

    Raises:
        RuntimeError: if the parts are not floating point, or their dtypes differ.

    >>> import chainrule as cr
    >>> cr.complex(cr.tensor([1.0]), cr.tensor([2.0]))
    tensor([1.+2.j])
    """
    for part in (real, imag):
        value = unbox(part)[0]
        if not hasattr(value, "dtype") or value.dtype.kind != "f":
            raise RuntimeError(
                "Expected both inputs to be Half, Float or Double tensors but got "
                f"{getattr(real, 'dtype', type(real).__name__)} and "
                f"{getattr(imag, 'dtype', type(imag).__name__)}"
            )
    if real.dtype != imag.dtype:
        raise RuntimeError(
            f"Expected object of scalar type {real.dtype} but got scalar type {imag.dtype} for "
            "second argument; convert one of them first"
        )
    return complex_prim(*promote(real, imag))


@export(method=False)
def polar(abs: Any, angle: Any) -> Any:
    """The complex tensor with this absolute value and angle.

    Raises:
        RuntimeError: if the parts are not floating point, or their dtypes differ.

    >>> import chainrule as cr
    >>> cr.polar(cr.tensor([2.0]), cr.tensor([0.0]))
    tensor([2.+0.j])
    """
    return _complex(recorded.cos(angle) * abs, recorded.sin(angle) * abs)


def _as_real(x: Any) -> Any:
    x = np.asarray(x)
    real = x.real
    return np.lib.stride_tricks.as_strided(real, (*x.shape, 2), (*x.strides, real.itemsize))


def _as_real_aval(x: Any) -> Aval:
    return Aval((*x.shape, 2), real_dtype(x.dtype))


def _as_complex(x: Any) -> Any:
    if x.strides[-1] != x.itemsize:
        x = np.ascontiguousarray(x)
    return x.view(np.result_type(x.dtype, np.complex64))[..., 0]


# Re(conj(g)·t) of complex numbers is the inner product of their pairs of reals, so each of these is
# the other's transpose.
as_real_prim = linear(
    "view_as_real", _as_real, lambda xp, g: xp.view_as_complex(g), view=True, batch=unchanged,
    aval=_as_real_aval,
    samples=lambda: [Sample(_complex_sample()), Sample(np.array(1 + 2j))],
)  # fmt: skip
as_complex_prim = linear(
    "view_as_complex", _as_complex, lambda xp, g: xp.view_as_real(g), view=True, batch=unchanged,
    real=True, aval=typed(last_replaced(1, lambda pair: ()), complex_dtype),
    samples=lambda: [Sample(uniform(3, 2)), Sample(uniform(2))],
)  # fmt: skip


@export(method=False)
def view_as_real(input: Any) -> Any:
    """A complex tensor seen as pairs of reals along a new last dimension of size 2.

    Raises:
        RuntimeError: for a real tensor.

    >>> import chainrule as cr
    >>> cr.view_as_real(cr.tensor([1 + 2j]))
    tensor([[1., 2.]])
    """
    if not is_complex_value(input):
        raise RuntimeError("view_as_real is only supported for complex tensors")
    return as_real_prim(input)


@export(method=False)
def view_as_complex(input: Any) -> Any:
    """Pairs of reals along the last dimension, which has size 2, seen as complex numbers.

    Raises:
        RuntimeError: if the last dimension has another size, or the tensor is not floating point.

    >>> import chainrule as cr
    >>> cr.view_as_complex(cr.tensor([[1.0, 2.0]]))
    tensor([1.+2.j])
    """
    array = unbox(input)[0]
    if array.dtype.kind != "f":
        raise RuntimeError(
            "view_as_complex is only supported for half, float and double tensors, but got a "
            f"tensor of scalar type: {array.dtype.name}"
        )
    if array.ndim == 0 or array.shape[-1] != 2:
        raise RuntimeError(
            f"Tensor must have a last dimension of size 2, but got shape {list(array.shape)}"
        )
    return as_complex_prim(input)
