"""The loss of sequences whose alignment is unknown (connectionist temporal classification)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.core.boxes import is_mapped, namespace_of, values_of
from chainrule.core.namespaces import recorded as xp
from chainrule.core.tensor import Tensor, wrap
from chainrule.nn.functional.common import check_reduction, raw_dtype, reduced, require_tensor
from chainrule.ops.api import export
from chainrule.ops.index_batch import ARRAY
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
    if not is_mapped(ends) and ends.max(initial=0) > steps:
        raise RuntimeError(
            f"Expected input_lengths to have value at most {steps}, but got value {ends.max()}"
        )
    labels = _padded_labels(values_of(targets), sizes, blank)
    loss = -_log_likelihood(log_probs, labels, ends, sizes, blank)
    if zero_infinity:
        loss = xp.where(xp.isinf(loss), 0.0, loss)
    if reduction == "mean":
        ix = namespace_of(sizes)
        loss = loss / ix.astype(ix.maximum(sizes, 1), dtype=raw_dtype(loss))
    loss = reduced(loss, reduction)
    return xp.reshape(loss, shape=()) if single and reduction == "none" else loss


def _lengths(given: Any, n: int, name: str) -> Any:
    """The lengths as an array (if mapped over, a tensor) of n integers."""
    found = values_of(given) if isinstance(given, Tensor) else np.asarray(given, np.int64)
    found = found if found.ndim else found.reshape(1)
    if found.shape != (n,):
        raise RuntimeError(
            f"{name} must be of size batch_size: expected {n}, got {math.prod(found.shape)}"
        )
    return found


def _padded_labels(targets: Any, sizes: Any, blank: int) -> Any:
    """Labels (N, longest), with blanks behind the end."""
    n, most = sizes.shape[0], targets.shape[-1]
    known = not is_mapped(sizes)
    longest = int(sizes.max(initial=0)) if known else most
    ix = namespace_of(targets, sizes)
    if targets.ndim == 2:
        if longest > most:
            raise RuntimeError(
                f"Expected tensor to have size at least {longest} at dimension 1, but got size "
                f"{list(targets.shape)} for argument 'targets'"
            )
        labels = targets[:, :longest]
    else:  # one after the other
        if known and most != sizes.sum():
            raise RuntimeError(
                f"targets hold {most} labels, but target_lengths add up to {sizes.sum()}"
            )
        starts = namespace_of(sizes).cumsum(sizes, axis=0, reverse=False) - sizes
        places = starts.reshape(n, 1) + np.arange(longest)
        places = namespace_of(places).minimum(places, max(most - 1, 0))
        labels = ix.getitem(targets, places, index=(ARRAY,))
    return ix.where(sizes.reshape(n, 1) > np.arange(longest), labels, blank)


def _log_likelihood(log_probs: Any, labels: Any, ends: Any, sizes: Any, blank: int) -> Any:
    """The forward recursion of Graves et al. (2006), over all samples and states at once.

    State 2i + 1 has emitted label i last and state 2i the blank before it.  A state is reached from
    itself, the one before, and, between different labels, the one before that.
    """
    n, longest = labels.shape
    blanks = np.full((n, longest + 1), blank, np.int64)
    ix = namespace_of(labels)
    pairs = ix.reshape(ix.stack(blanks[:, :-1], labels, axis=2), shape=(n, 2 * longest))
    states = ix.concat(pairs, blanks[:, -1:], axis=1)
    later = states[:, 2:]
    skip = ix.concat(
        np.zeros((n, min(2, 2 * longest + 1)), bool), (later != blank) & (later != states[:, :-2]),
        axis=1,
    )  # fmt: skip
    states, skip = (v if isinstance(v, Tensor) else wrap(v) for v in (states, skip))
    rows = wrap(np.arange(n)[:, None])
    begin = wrap(np.arange(2 * longest + 1) < 2)
    alpha = xp.where(begin, log_probs[0][rows, states], -math.inf)
    steps = log_probs.shape[0] if is_mapped(ends) else int(ends.max(initial=1))
    for t in range(1, steps):
        reached = xp.logaddexp(alpha, _shifted(alpha, 1))
        reached = xp.logaddexp(reached, xp.where(skip, _shifted(alpha, 2), -math.inf))
        alpha = xp.where((ends > t).reshape(n, 1), reached + log_probs[t][rows, states], alpha)
    last, before = (
        xp.getitem(alpha, np.arange(n), place, index=(ARRAY, ARRAY))
        for place in (2 * sizes, namespace_of(sizes).maximum(2 * sizes - 1, 0))
    )
    return xp.logaddexp(last, xp.where(sizes > 0, before, -math.inf))


def _shifted(alpha: Any, by: int) -> Any:
    """The states moved up, with impossible ones below."""
    width = alpha.shape[1]
    return pad(alpha[:, : max(width - by, 0)], (min(by, width), 0), value=-math.inf)
