"""Checking derivatives against differences: `gradcheck` and `gradgradcheck`.

The flow is PyTorch's: the Jacobian of every output by every input, or in fast mode vᵀJu for random
u and v, then the checks of what a backward must do with zero, missing and batched cotangents.
What does the work is imported when a check is first made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from chainrule.autograd.grad_mode import enable_grad

__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]


class GradcheckError(RuntimeError):
    """A derivative does not agree with differences.

    Attributes:
        output, input: the numbers of the output and of the input; None where no entry is meant.
        index: the worst entry, as a pair (index in the output, index in the input).
        analytical, numerical: its two values.
        cause: what probably is wrong, in words.
    """

    output: int | None = None
    input: int | None = None
    index: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    analytical: Any = None
    numerical: Any = None
    cause: str | None = None


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
    from chainrule.autograd import gradcheck_run as run

    args = run.checked_inputs(inputs)
    try:
        with enable_grad():
            probe = run.Probe(func, args, eps)
            check = run.Check(probe, atol, rtol, nondet_tol, fast_mode)
            check.run(check_backward_ad, check_forward_ad, check_grad_dtypes)
            if check.outs and check_batched_forward_grad:
                run.check_batched_forward(probe)
            if check.outs and check_backward_ad:
                run.check_zero_cotangent(check.joint, bool(masked), check_grad_dtypes)
                if check_batched_grad:
                    run.check_batched_pull(check.outs, check.variables, probe.variables)
                if check_undefined_grad:
                    run.check_undefined([o for _, o in check.outs], check.variables)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


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
    from chainrule.autograd import gradcheck_run as run

    args = run.checked_inputs(inputs)
    if grad_outputs is None:
        outs = run.differentiable(run.as_tuple(func(*args)))
        gs: Sequence[Any] = [
            run.random_like(o, i, gen_non_contig_grad_outputs) for i, o in enumerate(outs)
        ]
    else:
        gs = run.as_tuple(grad_outputs)
    return gradcheck(
        run.first_derivative(func, args, len(gs)), (*args, *gs), eps=eps, atol=atol, rtol=rtol,
        raise_exception=raise_exception, nondet_tol=nondet_tol,
        check_undefined_grad=check_undefined_grad, check_grad_dtypes=check_grad_dtypes,
        check_batched_grad=check_batched_grad, check_forward_ad=check_fwd_over_rev,
        check_backward_ad=check_rev_over_rev, fast_mode=fast_mode, masked=masked,
    )  # fmt: skip
