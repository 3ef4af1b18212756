"""Checking derivatives against differences: `gradcheck` and `gradgradcheck`.

The flow is PyTorch's: the Jacobian of every output by every input, or in fast mode vᵀJu for random
u and v, then the checks of what a backward must do with zero, missing and batched cotangents.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.autograd.grad_mode import enable_grad
from chainrule.autograd.gradcheck_compare import Check
from chainrule.autograd.gradcheck_numeric import Probe, as_tuple
from chainrule.autograd.gradcheck_report import GradcheckError
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

__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]


def _checked_inputs(inputs: Any) -> tuple[Any, ...]:
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


def gradcheck(
    func: Callable[..., Any], inputs: Any, *, eps: float = 1e-6, atol: float = 1e-5,
    rtol: float = 1e-3, raise_exception: bool = True, nondet_tol: float = 0.0,
    check_undefined_grad: bool = True, check_grad_dtypes: bool = False,
    check_batched_grad: bool = False, check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False, check_backward_ad: bool = True, fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:  # fmt: skip
    """Compare the derivatives of `func` with central differences; True if they agree.

    For a complex output the gradients of its real and of its imaginary part are compared; for a
    complex input, ∂/∂Re + i ∂/∂Im.

    Args:
        func: takes tensors, returns a tensor or a tuple of them.
        inputs: the arguments; those that require grad are checked, in double precision.  While the
            differences are taken their entries are changed in place, and restored.
        eps: the step of the differences.
        atol, rtol: derivatives a and n (numerical) agree if |a - n| <= atol + rtol·|n|.
        raise_exception: return False instead of raising.
        nondet_tol: how far two backward passes may differ.
        check_undefined_grad: also check backward with the cotangent of one output missing.
        check_grad_dtypes: also check that gradients have the dtype of their tensors.
        check_batched_grad: also compare `is_grads_batched` with one gradient after another.
        check_batched_forward_grad: also compare `vmap` over `jvp` with one after another.
        check_forward_ad, check_backward_ad: which modes to check.
        fast_mode: compare vᵀJu for one random u and v with entries ≥ 0, not every entry of J.
        masked: with True, a zero cotangent may give a gradient that is only nearly zero.

    Raises:
        GradcheckError: naming output, input, the worst entry, both values and a likely cause.
        ValueError: if no input requires grad.
        RuntimeError: if entries of an input share memory.
        AssertionError: if the checks asked for contradict each other, or perturbing an input
            changes the shape or dtype of an output.

    >>> import chainrule as cr
    >>> x = cr.tensor([0.5, 1.5], dtype=cr.float64, requires_grad=True)
    >>> cr.autograd.gradcheck(lambda x: (x * x).exp(), (x,))
    True
    """
    if not (check_forward_ad or check_backward_ad):
        raise AssertionError(
            "Expected at least one of check_forward_ad or check_backward_ad to be True"
        )
    if check_batched_grad and not check_backward_ad:
        raise AssertionError(
            "Setting check_batched_grad=True requires check_backward_ad to be True"
        )
    if check_batched_forward_grad and not check_forward_ad:
        raise AssertionError(
            "Setting check_batched_forward_grad=True requires check_forward_ad to be True"
        )
    if not eps > 0:
        raise ValueError(f"eps, the step of the differences, must be positive, got {eps}")
    args = _checked_inputs(inputs)
    try:
        with enable_grad():
            probe = Probe(func, args, eps)
            check = Check(probe, atol, rtol, nondet_tol, fast_mode)
            check.run(check_backward_ad, check_forward_ad, check_grad_dtypes)
            if check.outs and check_batched_forward_grad:
                check_batched_forward(probe)
            if check.outs and check_backward_ad:
                check_zero_cotangent(check.joint, bool(masked), check_grad_dtypes)
                if check_batched_grad:
                    check_batched_pull(check.outs, check.variables, probe.variables)
                if check_undefined_grad:
                    check_undefined([o for _, o in check.outs], check.variables)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def _random_like(out: Tensor, which: int, non_contiguous: bool) -> Tensor:
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


def gradgradcheck(
    func: Callable[..., Any], inputs: Any, grad_outputs: Any = None, *, eps: float = 1e-6,
    atol: float = 1e-5, rtol: float = 1e-3, gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True, nondet_tol: float = 0.0, check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False, check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False, check_rev_over_rev: bool = True, fast_mode: bool = False,
    masked: bool = False,
) -> bool:  # fmt: skip
    """Compare the second derivatives of `func` with differences of its first.

    What is checked is the function (inputs, cotangents) -> gradients, so both how gradients depend
    on the inputs and that they are linear in the cotangents.

    Args:
        grad_outputs: cotangents of the outputs; random ones if left out.
        gen_non_contig_grad_outputs: make the random ones non-contiguous.
        check_fwd_over_rev, check_rev_over_rev: which modes to check.

    The other arguments and errors are those of `gradcheck`.

    >>> import chainrule as cr
    >>> x = cr.tensor([0.5, 1.5], dtype=cr.float64, requires_grad=True)
    >>> cr.autograd.gradgradcheck(lambda x: (x * x).exp(), (x,))
    True
    """
    if not (check_fwd_over_rev or check_rev_over_rev):
        raise AssertionError(
            "Expected at least one of check_fwd_over_rev or check_rev_over_rev to be True"
        )
    for name, asked in (
        ("check_undefined_grad", check_undefined_grad), ("check_batched_grad", check_batched_grad)
    ):  # fmt: skip
        if asked and not check_rev_over_rev:
            raise AssertionError(f"Setting {name}=True requires check_rev_over_rev to be True")
    args = _checked_inputs(inputs)
    if grad_outputs is None:
        outs = _differentiable(as_tuple(func(*args)))
        gs: Sequence[Any] = [
            _random_like(o, i, gen_non_contig_grad_outputs) for i, o in enumerate(outs)
        ]
    else:
        gs = as_tuple(grad_outputs)
    return gradcheck(
        _first_derivative(func, args, len(gs)), (*args, *gs), eps=eps, atol=atol, rtol=rtol,
        raise_exception=raise_exception, nondet_tol=nondet_tol,
        check_undefined_grad=check_undefined_grad, check_grad_dtypes=check_grad_dtypes,
        check_batched_grad=check_batched_grad, check_forward_ad=check_fwd_over_rev,
        check_backward_ad=check_rev_over_rev, fast_mode=fast_mode, masked=masked,
    )  # fmt: skip


def _differentiable(items: Sequence[Any]) -> list[Tensor]:
    return [x for x in items if isinstance(x, Tensor) and x.node is not None]


def _first_derivative(
    func: Callable[..., Any], originals: Sequence[Any], count: int
) -> Callable[..., Any]:
    """The function (inputs, `count` cotangents) -> gradients of `func`."""
    places = [i for i, x in enumerate(originals) if isinstance(x, Tensor) and x.node is not None]

    def gradients(*values: Any) -> tuple[Any, ...]:
        xs, cotangents = list(values[: len(values) - count]), values[len(values) - count :]
        with enable_grad():
            if any_box(values):
                return _pulled_through_boxes(func, xs, places, cotangents)
            outs = _differentiable(as_tuple(func(*xs)))
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
