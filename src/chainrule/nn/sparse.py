"""Tables of vectors looked up by number."""

from __future__ import annotations

from typing import Any

from chainrule.core.tensor import Parameter
from chainrule.nn import functional as F
from chainrule.nn import init
from chainrule.nn.linear import empty_parameter
from chainrule.nn.module import Module


class _Table(Module):
    """A weight of one row per number."""

    def _build(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None,
        weight: Any, dtype: Any,
    ) -> None:  # fmt: skip
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise AssertionError("Padding_idx must be within num_embeddings")
            padding_idx %= num_embeddings
        self.padding_idx = padding_idx
        if weight is None:
            self.weight = empty_parameter((num_embeddings, embedding_dim), dtype)
            self.reset_parameters()
        else:
            if tuple(weight.shape) != (num_embeddings, embedding_dim):
                raise AssertionError(
                    "Shape of weight does not match num_embeddings and embedding_dim"
                )
            self.weight = Parameter(weight)

    def reset_parameters(self) -> None:
        """Draw new values; the row of `padding_idx` is zero."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            self.weight.array[self.padding_idx] = 0

    @classmethod
    def from_pretrained(cls, embeddings: Any, freeze: bool = True, **options: Any) -> Any:
        """A table of the given rows, not learned if `freeze`.

        Raises:
            AssertionError: if `embeddings` is not two-dimensional.
        """
        if embeddings.ndim != 2:
            raise AssertionError("Embeddings parameter is expected to be 2-dimensional")
        rows, columns = embeddings.shape
        made = cls(rows, columns, _weight=embeddings, **options)  # type: ignore[call-arg]
        made.weight.requires_grad = not freeze
        return made


class Embedding(_Table):
    """A learned vector for each of `num_embeddings` numbers.

    Args:
        num_embeddings, embedding_dim: the size of the table.
        padding_idx: a row that stays as it is and starts at zero.
        max_norm, norm_type: rows with a larger norm are scaled down when they are looked up.
        scale_grad_by_freq: divide a row's gradient by how often it occurs.
        sparse: accepted; gradients are dense.

    >>> import chainrule as cr
    >>> cr.nn.Embedding(10, 3)(cr.tensor([[1, 2], [4, 9]])).shape
    chainrule.Size([2, 2, 3])
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None,
        max_norm: float | None = None, norm_type: float = 2.0, scale_grad_by_freq: bool = False,
        sparse: bool = False, _weight: Any = None, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.max_norm, self.norm_type = max_norm, norm_type
        self.scale_grad_by_freq, self.sparse = scale_grad_by_freq, sparse
        self._build(num_embeddings, embedding_dim, padding_idx, _weight, dtype)

    def forward(self, input: Any) -> Any:
        """The rows of the table at the integers in `input`."""
        return F.embedding(
            input, self.weight, self.padding_idx, self.max_norm, self.norm_type,
            self.scale_grad_by_freq, self.sparse,
        )  # fmt: skip

    def extra_repr(self) -> str:
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        if self.padding_idx is not None:
            text += f", padding_idx={self.padding_idx}"
        if self.max_norm is not None:
            text += f", max_norm={self.max_norm}"
        if self.norm_type != 2:
            text += f", norm_type={self.norm_type}"
        if self.scale_grad_by_freq:
            text += ", scale_grad_by_freq=True"
        if self.sparse:
            text += ", sparse=True"
        return text


class EmbeddingBag(_Table):
    """Sums, means or maxima of the rows of a table over bags of numbers.

    Args:
        num_embeddings, embedding_dim: the size of the table.
        max_norm, norm_type, scale_grad_by_freq, sparse, padding_idx: as in `Embedding`.
        mode: "sum", "mean" or "max".
        include_last_offset: the last offset is the end of the last bag.
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, max_norm: float | None = None,
        norm_type: float = 2.0, scale_grad_by_freq: bool = False, mode: str = "mean",
        sparse: bool = False, _weight: Any = None, include_last_offset: bool = False,
        padding_idx: int | None = None, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.max_norm, self.norm_type = max_norm, norm_type
        self.scale_grad_by_freq, self.sparse = scale_grad_by_freq, sparse
        self.mode, self.include_last_offset = mode, include_last_offset
        self._build(num_embeddings, embedding_dim, padding_idx, _weight, dtype)

    def forward(self, input: Any, offsets: Any = None, per_sample_weights: Any = None) -> Any:
        """One row for each bag: each row of a 2-d `input`, or from each offset of a 1-d one."""
        return F.embedding_bag(
            input, self.weight, offsets, self.max_norm, self.norm_type, self.scale_grad_by_freq,
            self.mode, self.sparse, per_sample_weights, self.include_last_offset, self.padding_idx,
        )  # fmt: skip

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}, mode={self.mode!r}"
