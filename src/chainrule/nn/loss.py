"""Losses as modules: each applies the function of `nn.functional` with its options.

`reduction` is "mean", "sum" or "none" everywhere.
"""

from __future__ import annotations

from typing import Any

from chainrule.core.tensor import Tensor
from chainrule.nn import functional as F
from chainrule.nn.module import Module


class _Loss(Module):
    """A loss; `options` names the attributes passed to the function besides `reduction`."""

    function = ""
    options: tuple[str, ...] = ()
    reduction: str

    def _set(self, reduction: str, **options: Any) -> None:
        super().__init__()
        for name, value in options.items():
            if name in ("weight", "pos_weight") and (value is None or isinstance(value, Tensor)):
                self.register_buffer(name, value)
            else:
                setattr(self, name, value)
        self.reduction = reduction

    def _options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in (*self.options, "reduction")}

    def forward(self, input: Any, target: Any) -> Any:
        """The loss between what the model gives and what is wanted."""
        return getattr(F, self.function)(input, target, **self._options())


class L1Loss(_Loss):
    """The absolute difference."""

    function = "l1_loss"

    def __init__(
        self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
    ) -> None:
        self._set(legacy(size_average, reduce, reduction))


class MSELoss(_Loss):
    """The squared difference.

    >>> import chainrule as cr
    >>> cr.nn.MSELoss()(cr.tensor([1.0, 2.0]), cr.tensor([1.0, 4.0]))
    tensor(2.)
    """

    function = "mse_loss"

    def __init__(
        self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
    ) -> None:
        self._set(legacy(size_average, reduce, reduction))


class SmoothL1Loss(_Loss):
    """Squared difference up to `beta`, absolute beyond."""

    function = "smooth_l1_loss"
    options = ("beta",)

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        beta: float = 1.0,
    ) -> None:
        self._set(legacy(size_average, reduce, reduction), beta=beta)


class HuberLoss(_Loss):
    """Squared difference up to `delta`, delta times the absolute beyond."""

    function = "huber_loss"
    options = ("delta",)

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        self._set(reduction, delta=delta)


class NLLLoss(_Loss):
    """Minus the log-probability of the target class."""

    function = "nll_loss"
    options = ("weight", "ignore_index")

    def __init__(
        self,
        weight: Any = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        self._set(legacy(size_average, reduce, reduction), weight=weight, ignore_index=ignore_index)


class CrossEntropyLoss(_Loss):
    """Cross entropy of logits with class numbers or probabilities.

    >>> import chainrule as cr
    >>> cr.nn.CrossEntropyLoss()(cr.zeros(1, 4), cr.tensor([2]))
    tensor(1.3863)
    """

    function = "cross_entropy"
    options = ("weight", "ignore_index", "label_smoothing")

    def __init__(
        self,
        weight: Any = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        self._set(
            legacy(size_average, reduce, reduction),
            weight=weight,
            ignore_index=ignore_index,
            label_smoothing=label_smoothing,
        )


class BCELoss(_Loss):
    """Cross entropy of probabilities of two classes."""

    function = "binary_cross_entropy"
    options = ("weight",)

    def __init__(
        self,
        weight: Any = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        self._set(legacy(size_average, reduce, reduction), weight=weight)


class BCEWithLogitsLoss(_Loss):
    """Cross entropy of logits of two classes."""

    function = "binary_cross_entropy_with_logits"
    options = ("weight", "pos_weight")

    def __init__(
        self,
        weight: Any = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        pos_weight: Any = None,
    ) -> None:
        self._set(legacy(size_average, reduce, reduction), weight=weight, pos_weight=pos_weight)


class KLDivLoss(_Loss):
    """The Kullback-Leibler divergence of log-probabilities from probabilities."""

    function = "kl_div"
    options = ("log_target",)

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        log_target: bool = False,
    ) -> None:
        self._set(legacy(size_average, reduce, reduction), log_target=log_target)


class PoissonNLLLoss(_Loss):
    """Minus the log-likelihood of counts."""

    function = "poisson_nll_loss"
    options = ("log_input", "full", "eps")

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        size_average: bool | None = None,
        eps: float = 1e-8,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        self._set(legacy(size_average, reduce, reduction), log_input=log_input, full=full, eps=eps)


class HingeEmbeddingLoss(_Loss):
    """x for target 1, max(0, margin - x) for target -1."""

    function = "hinge_embedding_loss"
    options = ("margin",)

    def __init__(
        self,
        margin: float = 1.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        self._set(legacy(size_average, reduce, reduction), margin=margin)


class SoftMarginLoss(_Loss):
    """log(1 + exp(-target·x))."""

    function = "soft_margin_loss"

    def __init__(
        self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
    ) -> None:
        self._set(legacy(size_average, reduce, reduction))


class MultiLabelSoftMarginLoss(_Loss):
    """One-against-all cross entropy of logits."""

    function = "multilabel_soft_margin_loss"
    options = ("weight",)

    def __init__(
        self,
        weight: Any = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        self._set(legacy(size_average, reduce, reduction), weight=weight)


class MultiLabelMarginLoss(_Loss):
    """Margins between listed and other classes."""

    function = "multilabel_margin_loss"

    def __init__(
        self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
    ) -> None:
        self._set(legacy(size_average, reduce, reduction))


class MultiMarginLoss(_Loss):
    """Margins between the target class and the others."""

    function = "multi_margin_loss"
    options = ("p", "margin", "weight")

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Any = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        self._set(legacy(size_average, reduce, reduction), p=p, margin=margin, weight=weight)


class GaussianNLLLoss(Module):
    """Minus the log-likelihood of a normal distribution with a predicted variance."""

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__()
        self.full, self.eps, self.reduction = full, eps, reduction

    def forward(self, input: Any, target: Any, var: Any) -> Any:
        """The loss for means `input` and variances `var`."""
        return F.gaussian_nll_loss(
            input, target, var, full=self.full, eps=self.eps, reduction=self.reduction
        )


class CosineEmbeddingLoss(_Loss):
    """1 - cos for target 1, max(0, cos - margin) for target -1."""

    function = "cosine_embedding_loss"

    def __init__(
        self,
        margin: float = 0.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        self._set(legacy(size_average, reduce, reduction), margin=margin)

    def forward(self, input1: Any, input2: Any, target: Any) -> Any:  # type: ignore[override]
        """The loss for pairs of vectors."""
        return F.cosine_embedding_loss(
            input1, input2, target, margin=self.margin, reduction=self.reduction
        )


class MarginRankingLoss(_Loss):
    """max(0, -target·(x₁ - x₂) + margin)."""

    function = "margin_ranking_loss"

    def __init__(
        self,
        margin: float = 0.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        self._set(legacy(size_average, reduce, reduction), margin=margin)

    def forward(self, input1: Any, input2: Any, target: Any) -> Any:  # type: ignore[override]
        """The loss for pairs of scores."""
        return F.margin_ranking_loss(
            input1, input2, target, margin=self.margin, reduction=self.reduction
        )


class TripletMarginLoss(_Loss):
    """max(0, d(anchor, positive) - d(anchor, negative) + margin)."""

    function = "triplet_margin_loss"
    options = ("margin", "p", "eps", "swap")

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        self._set(legacy(size_average, reduce, reduction), margin=margin, p=p, eps=eps, swap=swap)

    def forward(self, anchor: Any, positive: Any, negative: Any) -> Any:  # type: ignore[override]
        """The loss for triples of vectors."""
        return F.triplet_margin_loss(anchor, positive, negative, **self._options())


def legacy(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """The reduction that PyTorch's old arguments mean."""
    if size_average is None and reduce is None:
        return reduction
    if reduce is False:
        return "none"
    return "sum" if size_average is False else "mean"
