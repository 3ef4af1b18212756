"""The loss of sequences whose alignment is unknown (connectionist temporal classification)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.core.namespaces import recorded as xp
from chainrule.core.tensor import Tensor, wrap
from chainrule.nn.functional.common import check_reduction, raw_dtype, reduced, require_tensor
from chainrule.ops.api import export
from chainrule.ops.pad import pad


@export("ctc_loss", method=False)
def ctc_loss(
    log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any, blank: int = 0,
    reduction: str = "mean", zero_infinity: bool = False,
) -> Any:  # fmt: skip
    """Minus the log-probability of the labels `targets`, summed over all alignments with blanks.

    Args:
        log_probs: log-probabilities (T, N, C) or (T, C), from log_softmax.
        targets: labels (N, S), (S,), or those of all samples one after the other.
        input_lengths, target_lengths: the lengths of each sample, tensors or sequences.
        blank: the class that stands for no label.
        reduction: "none", "sum", or "mean": each loss by its target's length, then the mean.
        zero_infinity: count samples that cannot be aligned as 0.

    Raises:
        RuntimeError: if lengths do not fit.

    >>> import chainrule as cr
    >>> certain = cr.tensor([[[-9.0, 0.0]], [[0.0, -9.0]]])
    >>> cr.ctc_loss(certain, cr.tensor([[1]]), [2], [1])
    tensor(-0.0001)
    """
    require_tensor(log_probs, "ctc_loss", "log_probs")
    require_tensor(targets, "ctc_loss", "targets", 2)
    check_reduction(reduction)
    single = len(log_probs.shape) == 2
    if single:
        log_probs = xp.reshape(log_probs, shape=(log_probs.shape[0], 1, log_probs.shape[1]))
    steps, n, classes = log_probs.shape
    if not 0 <= blank < classes:
        raise RuntimeError("blank must be in label range")
    ends = _lengths(input_lengths, n, "input_lengths")
    sizes = _lengths(target_lengths, n, "target_lengths")
    if ends.size and ends.max() > steps:
        raise RuntimeError(
            f"Expected input_lengths to have value at most {steps}, but got value {ends.max()}"
        )
    labels = _padded_labels(targets.array, sizes, blank)
    loss = -_log_likelihood(log_probs, labels, ends, sizes, blank)
    if zero_infinity:
        loss = xp.where(wrap(np.isinf(loss.array)), 0.0, loss)
    if reduction == "mean":
        loss = loss / wrap(np.maximum(sizes, 1).astype(raw_dtype(loss)))
    loss = reduced(loss, reduction)
    return xp.reshape(loss, shape=()) if single and reduction == "none" else loss


def _lengths(given: Any, n: int, name: str) -> Any:
    """The lengths as an array of n integers."""
    found = np.atleast_1d(given.array if isinstance(given, Tensor) else np.asarray(given, np.int64))
    if found.shape != (n,):
        raise RuntimeError(f"{name} must be of size batch_size: expected {n}, got {found.size}")
    return found


def _padded_labels(targets: Any, sizes: Any, blank: int) -> Any:
    """Labels (N, longest), with blanks behind the end."""
    n, longest = sizes.size, int(sizes.max(initial=0))
    inside = np.arange(longest) < sizes[:, None]
    labels = np.full((n, longest), blank, np.int64)
    if targets.ndim == 2:
        if longest > targets.shape[1]:
            raise RuntimeError(
                f"Expected tensor to have size at least {longest} at dimension 1, but got size "
                f"{list(targets.shape)} for argument 'targets'"
            )
        labels[inside] = targets[:, :longest][inside]
    else:
        if targets.size != sizes.sum():
            raise RuntimeError(
                f"targets hold {targets.size} labels, but target_lengths add up to {sizes.sum()}"
            )
        labels[inside] = targets
    return labels


def _log_likelihood(log_probs: Any, labels: Any, ends: Any, sizes: Any, blank: int) -> Any:
    """The forward recursion of Graves et al. (2006), over all samples and states at once.

    State 2i + 1 has emitted label i last and state 2i the blank before it.  A state is reached from
    itself, the one before, and, between different labels, the one before that.
    """
    n, longest = labels.shape
    states = np.full((n, 2 * longest + 1), blank, np.int64)
    states[:, 1::2] = labels
    skip = np.zeros(states.shape, bool)
    skip[:, 2:] = (states[:, 2:] != blank) & (states[:, 2:] != states[:, :-2])
    rows = wrap(np.arange(n)[:, None])
    emitted = wrap(states)
    begin = wrap(np.arange(states.shape[1]) < 2)
    alpha = xp.where(begin, log_probs[0][rows, emitted], -math.inf)
    for t in range(1, int(ends.max(initial=1))):
        reached = xp.logaddexp(alpha, _shifted(alpha, 1))
        reached = xp.logaddexp(reached, xp.where(wrap(skip), _shifted(alpha, 2), -math.inf))
        running = wrap((t < ends)[:, None])
        alpha = xp.where(running, reached + log_probs[t][rows, emitted], alpha)
    one = wrap(np.arange(n))
    last = alpha[one, wrap(2 * sizes)]
    before = alpha[one, wrap(np.maximum(2 * sizes - 1, 0))]
    return xp.logaddexp(last, xp.where(wrap(sizes > 0), before, -math.inf))


def _shifted(alpha: Any, by: int) -> Any:
    """The states moved up, with impossible ones below."""
    width = alpha.shape[1]
    return pad(alpha[:, : max(width - by, 0)], (min(by, width), 0), value=-math.inf)
