"""What `gradcheck` checks beside values: zero, missing and batched cotangents, and dtypes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.autograd.gradcheck import GradcheckError
from chainrule.autograd.gradcheck_analytic import Pull, push
from chainrule.autograd.gradcheck_numeric import Array, Probe, unit_vector
from chainrule.autograd.reverse import grad
from chainrule.core.boxes import entered
from chainrule.core.tensor import Tensor, wrap
from chainrule.transforms.batch import BatchTag, batched

_PAIR = 2  # cotangents or tangents in a batch


def check_zero_cotangent(pull: Pull, masked: bool, dtypes: bool) -> None:
    """A zero cotangent gives zero gradients, of their tensors' dtypes and shapes.

    Raises:
        GradcheckError: if not.
    """
    for i, (g, x) in enumerate(zip(pull(pull.zeros()), pull.variables, strict=True)):
        if g is None:
            continue
        if not (np.allclose(g, 0) if masked else not np.any(g)):
            raise GradcheckError(
                "backward not multiplied by grad_output: with zeros for it, the gradient of "
                f"differentiable input {i} is not zero. Likely cause: a backward of your own that "
                "ignores the incoming gradient or adds to it."
            )
        if g.dtype != x.array.dtype:
            what = "Gradient has dtype mismatch" if dtypes else "grad is incorrect type"
            raise GradcheckError(f"{what}: {g.dtype} for an input of {x.array.dtype}")
        if g.shape != x.array.shape:
            raise GradcheckError(
                f"grad is incorrect size: {list(g.shape)} for an input of {list(x.array.shape)}"
            )


def check_undefined(outs: Sequence[Tensor], variables: Sequence[Tensor]) -> None:
    """Backward works when the cotangent of one of several outputs never arrives.

    Raises:
        GradcheckError: if it fails, or gives anything but zero for zeros at the others.
    """
    for missing in range(len(outs)):
        rest = [o for i, o in enumerate(outs) if i != missing]
        if not rest:
            return
        pull = Pull(rest, variables)
        try:
            found = pull(pull.zeros())
        except (RuntimeError, TypeError, AttributeError) as error:
            raise GradcheckError(
                "Expected backward function to handle undefined output grads: without a gradient "
                f"for output {missing} it raised {type(error).__name__}: {error}. In a custom "
                "Function, test for None, or leave set_materialize_grads(True)."
            ) from error
        if any(g is not None and np.any(g) for g in found):
            raise GradcheckError(
                "Expected all input grads to be undefined or zero when all output grads are "
                f"undefined or zero, but without a gradient for output {missing} they are not."
            )


def check_batched_pull(
    outs: Sequence[tuple[int, Tensor]], variables: Sequence[Tensor], positions: Sequence[int]
) -> None:
    """`is_grads_batched` gives what one gradient after another does.

    Raises:
        GradcheckError: if it fails or differs.
    """
    for j, out in outs:
        vs = _pair(out.array)
        pull = Pull([out], variables)
        wanted = [pull((v,)) for v in vs]
        try:
            found = grad(
                out, variables, wrap(vs), retain_graph=True, allow_unused=True,
                is_grads_batched=True,
            )  # fmt: skip
        except RuntimeError as error:
            raise GradcheckError(
                f"While computing batched gradients, got: {error}\n\nLikely cause: the backward of "
                f"output {j} looks at values of the incoming gradient or has no vmap rule; pass "
                "check_batched_grad=False if nobody needs it."
            ) from error
        for position, g, one in zip(positions, found, zip(*wanted, strict=True), strict=True):
            _compare(j, position, None if g is None else g.array, one, "gradients")


def check_batched_forward(probe: Probe) -> None:
    """Tangents mapped over by vmap give what one tangent after another does.

    Raises:
        GradcheckError: if it fails or differs.
    """
    for position in probe.variables:
        ts = _pair(probe.inputs[position].array)
        wanted = [push(probe, position, wrap(t)) for t in ts]
        tag = BatchTag("gradcheck", _PAIR)
        try:
            with entered(tag):
                mapped = push(probe, position, batched(tag, wrap(ts)))
                found = [tag.inner(t).array for t in mapped]
        except RuntimeError as error:
            raise GradcheckError(
                f"While computing batched gradients, got: {error}\n\nLikely cause: the function "
                "looks at values of its mapped tangents or has no vmap rule; pass "
                "check_batched_forward_grad=False if nobody needs it."
            ) from error
        numbers = [j for j, o in enumerate(probe.outputs) if o.node is not None]
        for j, t, one in zip(numbers, found, zip(*wanted, strict=True), strict=True):
            _compare(j, position, t, [x.array for x in one], "forward-mode gradients")


def _pair(like: Array) -> Array:
    """Two random arrays like one, stacked."""
    vs = unit_vector(_PAIR * like.size, 5) - 0.3 * unit_vector(_PAIR * like.size, 6)
    return np.asarray(vs.astype(like.dtype).reshape(_PAIR, *like.shape))


def _compare(j: int, position: int, got: Any, wanted: Sequence[Any], what: str) -> None:
    zero = np.zeros(())
    got = zero if got is None else got
    expected = np.stack([zero if w is None else w for w in wanted])
    if not np.allclose(got, expected):
        raise GradcheckError(
            f"For output {j} and input {position}: batched {what} differ from those computed one "
            f"by one.\n\nGot:\n{wrap(np.asarray(got))}\n\nExpected:\n{wrap(expected)}\n\nLikely "
            "cause: a wrong vmap rule."
        )
