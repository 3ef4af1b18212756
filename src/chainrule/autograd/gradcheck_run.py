"""What `gradcheck` and `gradgradcheck` work with: checked inputs, cotangents, first derivatives."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.autograd.grad_mode import enable_grad
from chainrule.autograd.gradcheck_compare import Check
from chainrule.autograd.gradcheck_numeric import Probe, as_tuple
from chainrule.autograd.gradcheck_support import (
    check_batched_forward,
    check_batched_pull,
    check_undefined,
    check_zero_cotangent,
)
from chainrule.autograd.reverse import grad
from chainrule.core.boxes import any_box
from chainrule.core.dtypes import is_inexact
from chainrule.core.tensor import Tensor, set_requires_grad, wrap
from chainrule.transforms import reverse as reverse_mode
from chainrule.transforms.scope import Scope, alias

__all__ = [
    "Check",
    "Probe",
    "as_tuple",
    "check_batched_forward",
    "check_batched_pull",
    "check_undefined",
    "check_zero_cotangent",
    "checked_inputs",
    "differentiable",
    "first_derivative",
    "random_like",
]


def checked_inputs(inputs: Any) -> tuple[Any, ...]:
    """The inputs as a tuple, each in memory that may be written.

    Raises:
        ValueError: if none requires grad.
        RuntimeError: if entries of one share memory.
    """
    args = as_tuple(inputs)
    found = False
    for i, x in enumerate(args):
        if not isinstance(x, Tensor) or x.node is None:
            continue
        found = True
        if x.array.dtype not in (np.float64, np.complex128):
            warnings.warn(
                f"Input #{i} requires gradient and is not a double precision floating point or "
                "complex. This check will likely fail if all the inputs are not of double "
                f"precision floating point or complex. It is {x.dtype}; convert it by x.double().",
                stacklevel=4,
            )
        strides = zip(x.array.strides, x.array.shape, strict=True)
        if x.array.size and any(s == 0 and d > 1 for s, d in strides):
            raise RuntimeError(
                f"The {i}th input has a dimension with stride 0. gradcheck only supports inputs "
                "that are non-overlapping to be able to compute the numerical gradients correctly. "
                "You should call .contiguous on the input before passing it to gradcheck."
            )
    if not found:
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, but none of them "
            "have requires_grad=True."
        )
    return tuple(_writable(x) for x in args)


def _writable(x: Any) -> Any:
    """`x`, or a copy of it if it requires grad and lies in memory that may not be written."""
    if isinstance(x, Tensor) and x.node is not None and not x.array.flags.writeable:
        x = wrap(x.array.copy())
        set_requires_grad(x, True)
    return x


def random_like(out: Tensor, which: int, non_contiguous: bool) -> Tensor:
    """A cotangent for `out` with entries in [-1, 1), requiring grad."""
    shape = (*out.array.shape, 2) if non_contiguous else out.array.shape
    rng = np.random.default_rng(which)
    v = np.asarray(rng.uniform(-1, 1, shape))
    if out.array.dtype.kind == "c":
        v = v + 1j * rng.uniform(-1, 1, shape)
    v = v.astype(out.array.dtype)
    made: Tensor = wrap(v[..., 0] if non_contiguous else v)
    set_requires_grad(made, True)
    return made


def differentiable(items: Sequence[Any]) -> list[Tensor]:
    return [x for x in items if isinstance(x, Tensor) and x.node is not None]


def first_derivative(
    func: Callable[..., Any], originals: Sequence[Any], count: int
) -> Callable[..., Any]:
    """The function (inputs, `count` cotangents) -> gradients of `func`."""
    places = [i for i, x in enumerate(originals) if isinstance(x, Tensor) and x.node is not None]

    def gradients(*values: Any) -> tuple[Any, ...]:
        xs, cotangents = list(values[: len(values) - count]), values[len(values) - count :]
        with enable_grad():
            if any_box(values):
                return _pulled_through_boxes(func, xs, places, cotangents)
            outs = differentiable(as_tuple(func(*xs)))
            found = grad(
                outs, [xs[i] for i in places], cotangents, create_graph=True, allow_unused=True
            )
        return tuple(g for g in found if g is not None)

    return gradients


def _pulled_through_boxes(
    func: Callable[..., Any], xs: list[Any], places: Sequence[int], cotangents: Sequence[Any]
) -> tuple[Any, ...]:
    """The gradients where inputs are duals: reverse mode inside of forward mode."""
    scope = Scope()
    for i in places:
        xs[i] = alias(xs[i], scope)
    with scope:
        results = as_tuple(func(*xs))
    outs = [o for o in results if isinstance(o, Tensor) and is_inexact(o.array.dtype)]
    pulled = reverse_mode.pull(outs, cotangents, [xs[i] for i in places], scope)
    return tuple(g for g in pulled if g is not None)
