"""Convolutions and their transposes in one, two and three dimensions; `linear`."""

from __future__ import annotations

from typing import Any

from chainrule.core.namespaces import recorded as xp
from chainrule.nn.functional.common import along_channels, raw_dtype, require_tensor
from chainrule.ops import contract
from chainrule.ops.api import export
from chainrule.ops.window import Ints, Pads, ntuple, span

_TORCH_NAME = {"float32": "float", "float64": "double", "float16": "Half", "int64": "long int"}


def _check_dtypes(input: Any, weight: Any, bias: Any) -> None:
    for what, other in (("weight", weight), ("bias", bias)):
        if other is not None and raw_dtype(other) != raw_dtype(input):
            a, b = (_TORCH_NAME.get(d.name, d.name) for d in (raw_dtype(input), raw_dtype(other)))
            raise RuntimeError(
                f"Input type ({a}) and {what} type ({b}) should be the same; convert one of them "
                "with .to(dtype)"
            )


def _check_rank(input: Any, weight: Any, n: int, name: str) -> None:
    require_tensor(input, name)
    require_tensor(weight, name, "weight", 2)
    if len(input.shape) not in (n + 1, n + 2):
        raise RuntimeError(
            f"Expected {n + 1}D (unbatched) or {n + 2}D (batched) input to {name}, but got input "
            f"of size: {list(input.shape)}"
        )
    if len(weight.shape) != n + 2:
        raise RuntimeError(
            f"Expected {n + 2}D weight for {name}, but got weight of size: {list(weight.shape)}"
        )


def _check_positive(stride: Ints, dilation: Ints, groups: int) -> None:
    if min(stride) <= 0:
        raise RuntimeError("non-positive stride is not supported")
    if min(dilation) <= 0:
        raise RuntimeError("dilation should be greater than zero")
    if groups <= 0:
        raise RuntimeError("non-positive groups is not supported")


def _pads(padding: Any, kernel: Ints, stride: Ints, dilation: Ints) -> Pads:
    """Padding before and after along each dimension, from numbers or "same" or "valid"."""
    if isinstance(padding, str):
        if padding == "valid":
            return ((0, 0),) * len(kernel)
        if padding != "same":
            raise RuntimeError(f"Invalid padding string: '{padding}'; use 'same' or 'valid'")
        if any(s != 1 for s in stride):
            raise RuntimeError("padding='same' is not supported for strided convolutions")
        return tuple(((e - 1) // 2, e - 1 - (e - 1) // 2) for e in span(kernel, dilation))
    each = ntuple(padding, len(kernel), "padding")
    if min(each) < 0:
        raise RuntimeError("negative padding is not supported")
    return tuple((p, p) for p in each)


def _check_channels(input: Any, weight: Any, bias: Any, groups: int) -> None:
    size, wsize, o = list(input.shape), list(weight.shape), weight.shape[0]
    if o < groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be at least {groups} at dimension 0, but "
            f"got weight of size {wsize} instead"
        )
    if o % groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, "
            f"but got weight of size [{wsize}] instead"
        )
    if size[1] != weight.shape[1] * groups:
        raise RuntimeError(
            f"Given groups={groups}, weight of size {wsize}, expected input{size} to have "
            f"{weight.shape[1] * groups} channels, but got {size[1]} channels instead"
        )
    if bias is not None and tuple(bias.shape) != (o,):
        raise RuntimeError(
            f"Given weight of size {wsize}, expected bias to be 1-dimensional with {o} elements, "
            f"but got bias of size {list(bias.shape)} instead"
        )


def _conv(n: int, input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any,
          groups: int) -> Any:  # fmt: skip
    name = f"conv{n}d"
    _check_rank(input, weight, n, name)
    stride, dilation = ntuple(stride, n, "stride"), ntuple(dilation, n, "dilation")
    _check_positive(stride, dilation, groups)
    kernel = tuple(weight.shape[2:])
    pads = _pads(padding, kernel, stride, dilation)
    single = len(input.shape) == n + 1
    if single:
        input = xp.reshape(input, shape=(1, *input.shape))
    _check_channels(input, weight, bias, groups)
    _check_dtypes(input, weight, bias)
    padded = [s + lo + hi for s, (lo, hi) in zip(input.shape[2:], pads, strict=True)]
    if any(p < e for p, e in zip(padded, span(kernel, dilation), strict=True)):
        sizes = [" x ".join(map(str, v)) for v in (padded, span(kernel, dilation))]
        raise RuntimeError(
            f"Calculated padded input size per channel: ({sizes[0]}). Kernel size: ({sizes[1]}). "
            "Kernel size can't be greater than actual input size"
        )
    out = xp.convolution(
        input, weight, bias, stride=stride, padding=pads, dilation=dilation, groups=groups
    )
    return xp.reshape(out, shape=tuple(out.shape[1:])) if single else out


@export(method=False)
def conv1d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> Any:  # fmt: skip
    """Correlate signals with filters, as neural networks understand convolution.

    Args:
        input: (N, C, L) or (C, L).
        weight: (O, C / groups, K).
        bias: (O,).
        padding: a number, or "same" or "valid".

    Raises:
        RuntimeError: if the shapes or dtypes do not fit.

    >>> import chainrule as cr
    >>> cr.conv1d(cr.tensor([[1.0, 2.0, 4.0]]), cr.tensor([[[1.0, -1.0]]]))
    tensor([[-1., -2.]])
    """
    return _conv(1, input, weight, bias, stride, padding, dilation, groups)


@export(method=False)
def conv2d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> Any:  # fmt: skip
    """Correlate images with filters, as neural networks understand convolution.

    Args:
        input: (N, C, H, W) or (C, H, W).
        weight: (O, C / groups, KH, KW).
        bias: (O,).
        padding: a number, a pair, or "same" or "valid".

    Raises:
        RuntimeError: if the shapes or dtypes do not fit.

    >>> import chainrule as cr
    >>> cr.conv2d(cr.ones(1, 1, 3, 3), cr.ones(1, 1, 2, 2)).shape
    chainrule.Size([1, 1, 2, 2])
    """
    return _conv(2, input, weight, bias, stride, padding, dilation, groups)


@export(method=False)
def conv3d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> Any:  # fmt: skip
    """Correlate volumes with filters, as neural networks understand convolution.

    Args:
        input: (N, C, D, H, W) or (C, D, H, W).
        weight: (O, C / groups, KD, KH, KW).
        bias: (O,).
        padding: a number, a triple, or "same" or "valid".

    Raises:
        RuntimeError: if the shapes or dtypes do not fit.

    >>> import chainrule as cr
    >>> cr.conv3d(cr.ones(1, 1, 3, 3, 3), cr.ones(1, 1, 2, 2, 2)).shape
    chainrule.Size([1, 1, 2, 2, 2])
    """
    return _conv(3, input, weight, bias, stride, padding, dilation, groups)


def _transposed(n: int, input: Any, weight: Any, bias: Any, stride: Any, padding: Any,
                output_padding: Any, groups: int, dilation: Any) -> Any:  # fmt: skip
    name = f"conv_transpose{n}d"
    _check_rank(input, weight, n, name)
    stride, dilation = ntuple(stride, n, "stride"), ntuple(dilation, n, "dilation")
    extra = ntuple(output_padding, n, "output_padding")
    _check_positive(stride, dilation, groups)
    kernel = tuple(weight.shape[2:])
    pads = _pads(ntuple(padding, n, "padding"), kernel, stride, dilation)
    single = len(input.shape) == n + 1
    if single:
        input = xp.reshape(input, shape=(1, *input.shape))
    _check_transposed(input, weight, bias, groups)
    _check_dtypes(input, weight, bias)
    if any(p >= max(s, d) for p, s, d in zip(extra, stride, dilation, strict=True)):
        raise RuntimeError(
            "output padding must be smaller than either stride or dilation, but got "
            f"output_padding={extra}, stride={stride}, dilation={dilation}"
        )
    # What output_padding adds at the far side is so much less cut off there.
    pads = tuple((lo, hi - p) for (lo, hi), p in zip(pads, extra, strict=True))
    size = tuple(
        (m - 1) * s + e - lo - hi
        for m, s, e, (lo, hi) in zip(
            input.shape[2:], stride, span(kernel, dilation), pads, strict=True
        )
    )
    if min(size) <= 0:
        raise RuntimeError(
            f"Given input size per channel: {list(input.shape[2:])}. Calculated output size per "
            f"channel: {list(size)}. Output size is too small"
        )
    out = xp.conv_transpose(
        input, weight, size=size, stride=stride, padding=pads, dilation=dilation, groups=groups
    )
    if bias is not None:
        out = out + along_channels(bias, n + 2)
    return xp.reshape(out, shape=tuple(out.shape[1:])) if single else out


def _check_transposed(input: Any, weight: Any, bias: Any, groups: int) -> None:
    size, wsize = list(input.shape), list(weight.shape)
    if size[1] != wsize[0]:
        raise RuntimeError(
            f"Given transposed=1, weight of size {wsize}, expected input{size} to have "
            f"{wsize[0]} channels, but got {size[1]} channels instead"
        )
    if wsize[0] % groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, "
            f"but got weight of size [{wsize}] instead"
        )
    o = wsize[1] * groups
    if bias is not None and tuple(bias.shape) != (o,):
        raise RuntimeError(
            f"Given transposed=1, weight of size {wsize}, expected bias to be 1-dimensional with "
            f"{o} elements, but got bias of size {list(bias.shape)} instead"
        )


@export(method=False)
def conv_transpose1d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Any:  # fmt: skip
    """The transpose of `conv1d`: each entry of the input places a filter in the output.

    Args:
        input: (N, C, L) or (C, L).
        weight: (C, O / groups, K).
        output_padding: entries added at the far side, to choose among sizes with equal `conv1d`.

    Raises:
        RuntimeError: if the shapes or dtypes do not fit.

    >>> import chainrule as cr
    >>> cr.conv_transpose1d(cr.tensor([[1.0, 2.0]]), cr.tensor([[[1.0, 1.0]]]))
    tensor([[1., 3., 2.]])
    """
    return _transposed(1, input, weight, bias, stride, padding, output_padding, groups, dilation)


@export(method=False)
def conv_transpose2d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Any:  # fmt: skip
    """The transpose of `conv2d`: each pixel of the input places a filter in the output.

    Args:
        input: (N, C, H, W) or (C, H, W).
        weight: (C, O / groups, KH, KW).
        output_padding: pixels added at the far sides, to choose among sizes with equal `conv2d`.

    Raises:
        RuntimeError: if the shapes or dtypes do not fit.

    >>> import chainrule as cr
    >>> cr.conv_transpose2d(cr.ones(1, 1, 2, 2), cr.ones(1, 1, 2, 2), stride=2).shape
    chainrule.Size([1, 1, 4, 4])
    """
    return _transposed(2, input, weight, bias, stride, padding, output_padding, groups, dilation)


@export(method=False)
def conv_transpose3d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Any:  # fmt: skip
    """The transpose of `conv3d`: each entry of the input places a filter in the output.

    Args:
        input: (N, C, D, H, W) or (C, D, H, W).
        weight: (C, O / groups, KD, KH, KW).
        output_padding: entries added at the far sides, to choose among sizes with equal `conv3d`.

    Raises:
        RuntimeError: if the shapes or dtypes do not fit.

    >>> import chainrule as cr
    >>> cr.conv_transpose3d(cr.ones(1, 1, 2, 2, 2), cr.ones(1, 1, 2, 2, 2), stride=2).shape
    chainrule.Size([1, 1, 4, 4, 4])
    """
    return _transposed(3, input, weight, bias, stride, padding, output_padding, groups, dilation)


def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """input @ weightᵀ + bias.

    Args:
        input: (..., in_features).
        weight: (out_features, in_features) or (in_features,).
        bias: (out_features,).

    Raises:
        RuntimeError: if the shapes do not fit.

    >>> import chainrule as cr
    >>> cr.nn.functional.linear(cr.tensor([1.0, 2.0]), cr.tensor([[3.0, 4.0]]))
    tensor([11.])
    """
    return contract.linear(input, weight, bias)


__all__ = [
    "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
    "linear",
]  # fmt: skip
