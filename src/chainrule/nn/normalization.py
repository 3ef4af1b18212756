"""Normalisation layers: by batch, by layer, by group, by instance, by root mean square."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.boxes import is_box
from chainrule.core.dtypes import as_numpy, default_dtype
from chainrule.core.modes import lifting
from chainrule.core.mutation import note_write
from chainrule.core.tensor import wrap
from chainrule.nn import functional as F
from chainrule.nn import init
from chainrule.nn.linear import empty_parameter
from chainrule.nn.module import Module


class _Affine(Module):
    """A layer with a weight that starts at one and a bias that starts at zero, or without them."""

    def _register_affine(self, shape: Any, weight: bool, bias: bool, dtype: Any) -> None:
        self.register_parameter("weight", empty_parameter(shape, dtype) if weight else None)
        self.register_parameter("bias", empty_parameter(shape, dtype) if bias else None)

    def reset_parameters(self) -> None:
        """Back to weight one and bias zero."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)


class _RunningNorm(_Affine):
    """What batch and instance normalisation share: running mean and variance."""

    dims: tuple[int, ...] = ()
    words = ""

    def _build(
        self, num_features: int, eps: float, momentum: float | None, affine: bool,
        track_running_stats: bool, dtype: Any, bias: bool,
    ) -> None:  # fmt: skip
        self.num_features, self.eps = num_features, eps
        self.momentum: Any = momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self._register_affine(num_features, affine, affine and bias, dtype)
        dt = default_dtype() if dtype is None else as_numpy(dtype)
        track = track_running_stats
        self.register_buffer("running_mean", wrap(np.zeros(num_features, dt)) if track else None)
        self.register_buffer("running_var", wrap(np.ones(num_features, dt)) if track else None)
        count = wrap(np.zeros((), np.int64)) if track else None
        self.register_buffer("num_batches_tracked", count)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget what was seen in training."""
        if self.track_running_stats:
            init.zeros_(self.running_mean)
            init.ones_(self.running_var)
            init.zeros_(self.num_batches_tracked)

    def reset_parameters(self) -> None:
        """Back to weight one, bias zero and nothing seen."""
        self.reset_running_stats()
        super().reset_parameters()

    def _check_dims(self, input: Any) -> None:
        if input.ndim not in self.dims:
            raise ValueError(f"expected {self.words} input (got {input.ndim}D input)")

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_RunningNorm):
    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1,
        affine: bool = True, track_running_stats: bool = True, device: Any = None,
        dtype: Any = None, *, bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self._build(num_features, eps, momentum, affine, track_running_stats, dtype, bias)

    def forward(self, input: Any) -> Any:
        """The normalised input; in training the running statistics are updated."""
        self._check_dims(input)
        lift = lifting()
        if lift is not None:
            for statistic in (self.running_mean, self.running_var, self.num_batches_tracked):
                if statistic is not None:
                    lift.written(statistic)
        momentum = 0.0 if self.momentum is None else self.momentum
        count = self.num_batches_tracked if self.training else None
        if count is not None and self.momentum is None:  # the mean over all batches
            momentum = 1.0 / (count + 1 if is_box(count) else int(count.array) + 1)
        by_batch = self.training or self.running_mean is None
        keep = not self.training or self.track_running_stats
        out = F.batch_norm(
            input, self.running_mean if keep else None, self.running_var if keep else None,
            self.weight, self.bias, by_batch, momentum, self.eps,
        )  # fmt: skip
        if is_box(count):
            count.add_(1)  # type: ignore[union-attr]
        elif count is not None:
            count.array += 1
            note_write(count.array)
        return out


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of (N, C) or (N, C, L); arguments as `BatchNorm2d`."""

    dims, words = (2, 3), "2D or 3D"


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of images (N, C, H, W).

    Args:
        num_features: the number C of channels.
        eps: added to the variance.
        momentum: the weight of a new batch in the running statistics; None for their mean.
        affine: whether to learn a weight and (unless `bias` is False) a bias for each channel.
        track_running_stats: whether to keep the statistics that `eval` mode uses.

    Raises:
        ValueError: for an input of another number of dimensions.

    >>> import chainrule as cr
    >>> cr.nn.BatchNorm2d(3)(cr.ones(2, 3, 4, 4)).shape
    chainrule.Size([2, 3, 4, 4])
    """

    dims, words = (4,), "4D"


class BatchNorm3d(_BatchNorm):
    """Batch normalisation of (N, C, D, H, W); arguments as `BatchNorm2d`."""

    dims, words = (5,), "5D"


class _InstanceNorm(_RunningNorm):
    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = False,
        track_running_stats: bool = False, device: Any = None, dtype: Any = None, *,
        bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self._build(num_features, eps, momentum, affine, track_running_stats, dtype, bias)

    def forward(self, input: Any) -> Any:
        """Every channel of every sample normalised by itself."""
        self._check_dims(input)
        single = input.ndim == self.dims[0]
        out = F.instance_norm(
            input.unsqueeze(0) if single else input, self.running_mean, self.running_var,
            self.weight, self.bias, self.training or not self.track_running_stats, self.momentum,
            self.eps,
        )  # fmt: skip
        return out.squeeze(0) if single else out


class InstanceNorm1d(_InstanceNorm):
    """Instance normalisation of (N, C, L) or (C, L)."""

    dims, words = (2, 3), "2D or 3D"


class InstanceNorm2d(_InstanceNorm):
    """Instance normalisation of (N, C, H, W) or (C, H, W)."""

    dims, words = (3, 4), "3D or 4D"


class InstanceNorm3d(_InstanceNorm):
    """Instance normalisation of (N, C, D, H, W) or (C, D, H, W)."""

    dims, words = (4, 5), "4D or 5D"


class LayerNorm(_Affine):
    """Every sample normalised over its last dimensions.

    Args:
        normalized_shape: the sizes of those dimensions.
        eps: added to the variance.
        elementwise_affine: whether to learn a weight and a bias for each entry.
        bias: whether to learn the bias.

    >>> import chainrule as cr
    >>> cr.nn.LayerNorm(2)(cr.tensor([[0.0, 2.0]])).detach()
    tensor([[-1.0000,  1.0000]])
    """

    def __init__(
        self, normalized_shape: Any, eps: float = 1e-5, elementwise_affine: bool = True,
        bias: bool = True, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.normalized_shape = _as_shape(normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        self._register_affine(
            self.normalized_shape, elementwise_affine, elementwise_affine and bias, dtype
        )
        self.reset_parameters()

    def forward(self, input: Any) -> Any:
        """The normalised input."""
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )


def _as_shape(shape: Any) -> tuple[int, ...]:
    return (shape,) if isinstance(shape, int) else tuple(shape)


class RMSNorm(_Affine):
    """Every sample divided by the root mean square over its last dimensions."""

    def __init__(
        self, normalized_shape: Any, eps: float | None = None, elementwise_affine: bool = True,
        device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.normalized_shape = _as_shape(normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        shape = self.normalized_shape
        self.register_parameter(
            "weight", empty_parameter(shape, dtype) if elementwise_affine else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Back to weight one."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, input: Any) -> Any:
        """The normalised input."""
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


class GroupNorm(_Affine):
    """Groups of channels of every sample normalised together.

    Args:
        num_groups: the number of groups, which divides the number of channels.
        num_channels: the number of channels.
        eps: added to the variance.
        affine: whether to learn a weight and a bias for each channel.

    Raises:
        ValueError: if the channels cannot be divided into the groups.
    """

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True,
        device: Any = None, dtype: Any = None, *, bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        if num_channels % num_groups:
            raise ValueError(
                f"num_channels ({num_channels}) must be divisible by num_groups ({num_groups})"
            )
        self.num_groups, self.num_channels = num_groups, num_channels
        self.eps, self.affine = eps, affine
        self._register_affine(num_channels, affine, affine and bias, dtype)
        self.reset_parameters()

    def forward(self, input: Any) -> Any:
        """The normalised input."""
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class LocalResponseNorm(Module):
    """Every entry divided by the magnitude of its neighbours in other channels."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, input: Any) -> Any:
        """The normalised input."""
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
