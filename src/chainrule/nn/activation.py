"""Activations as modules: each applies the function of `nn.functional` named like it."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.dtypes import as_numpy, default_dtype
from chainrule.core.tensor import Parameter, wrap
from chainrule.nn import functional as F
from chainrule.nn.module import Module


class _Pointwise(Module):
    """A function of `nn.functional` with its options as attributes, named in `options`."""

    function = ""
    options: tuple[str, ...] = ()

    def forward(self, input: Any) -> Any:
        """The function of every entry."""
        options = {name: getattr(self, name) for name in self.options}
        return getattr(F, self.function)(input, **options)

    def extra_repr(self) -> str:
        shown = [(n, getattr(self, n)) for n in self.options if n != "inplace"]
        texts = [f"{name}={value!r}" for name, value in shown]
        if getattr(self, "inplace", False):
            texts.append("inplace=True")
        return ", ".join(texts)


class ReLU(_Pointwise):
    """max(0, x).

    >>> import chainrule as cr
    >>> cr.nn.ReLU()(cr.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """

    function = "relu"
    options = ("inplace",)

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace


class ReLU6(_Pointwise):
    """min(max(0, x), 6)."""

    function = "relu6"
    options = ("inplace",)

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace


class LeakyReLU(_Pointwise):
    """x where positive, negative_slope·x elsewhere."""

    function = "leaky_relu"
    options = ("negative_slope", "inplace")

    def __init__(self, negative_slope: float = 1e-2, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope = negative_slope
        self.inplace = inplace


class ELU(_Pointwise):
    """x where positive, alpha·(eˣ - 1) elsewhere."""

    function = "elu"
    options = ("alpha", "inplace")

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha
        self.inplace = inplace


class CELU(_Pointwise):
    """max(0, x) + min(0, alpha·(e^(x/alpha) - 1))."""

    function = "celu"
    options = ("alpha", "inplace")

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha
        self.inplace = inplace


class SELU(_Pointwise):
    """A scaled ELU that keeps mean zero and variance one."""

    function = "selu"
    options = ("inplace",)

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace


class GELU(_Pointwise):
    """x·Φ(x), exactly or by a tanh (`approximate="tanh"`)."""

    function = "gelu"
    options = ("approximate",)

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate


class SiLU(_Pointwise):
    """x·sigmoid(x)."""

    function = "silu"
    options = ("inplace",)

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace


class Mish(_Pointwise):
    """x·tanh(softplus(x))."""

    function = "mish"
    options = ("inplace",)

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace


class Hardswish(_Pointwise):
    """x·relu6(x + 3)/6."""

    function = "hardswish"
    options = ("inplace",)

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace


class Hardsigmoid(_Pointwise):
    """relu6(x + 3)/6."""

    function = "hardsigmoid"
    options = ("inplace",)

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace


class Hardtanh(_Pointwise):
    """x, kept between min_val and max_val."""

    function = "hardtanh"
    options = ("min_val", "max_val", "inplace")

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.min_val = min_val
        self.max_val = max_val
        self.inplace = inplace


class Softplus(_Pointwise):
    """log(1 + e^(beta·x))/beta; x itself where beta·x is above the threshold."""

    function = "softplus"
    options = ("beta", "threshold")

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = beta
        self.threshold = threshold


class Softsign(_Pointwise):
    """x/(1 + |x|)."""

    function = "softsign"


class Sigmoid(_Pointwise):
    """1/(1 + e⁻ˣ).

    >>> import chainrule as cr
    >>> cr.nn.Sigmoid()(cr.tensor(0.0))
    tensor(0.5000)
    """

    function = "sigmoid"


class LogSigmoid(_Pointwise):
    """log sigmoid(x)."""

    function = "logsigmoid"


class Tanh(_Pointwise):
    """The hyperbolic tangent."""

    function = "tanh"


class Tanhshrink(_Pointwise):
    """x - tanh(x)."""

    function = "tanhshrink"


class Hardshrink(_Pointwise):
    """x where |x| is above lambd, 0 elsewhere."""

    function = "hardshrink"
    options = ("lambd",)

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def extra_repr(self) -> str:
        return str(self.lambd)


class Softshrink(_Pointwise):
    """x moved towards 0 by lambd."""

    function = "softshrink"
    options = ("lambd",)

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def extra_repr(self) -> str:
        return str(self.lambd)


class Threshold(_Pointwise):
    """x where above the threshold, a value elsewhere."""

    function = "threshold"
    options = ("threshold", "value", "inplace")

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold = threshold
        self.value = value
        self.inplace = inplace


class GLU(_Pointwise):
    """The first half of dimension `dim` times the sigmoid of the second."""

    function = "glu"
    options = ("dim",)

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim


class Softmax(_Pointwise):
    """Positive numbers along `dim` that add up to one.

    >>> import chainrule as cr
    >>> cr.nn.Softmax(dim=0)(cr.zeros(2))
    tensor([0.5000, 0.5000])
    """

    function = "softmax"
    options = ("dim",)

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim


class LogSoftmax(_Pointwise):
    """The logarithm of `Softmax`, computed without overflow."""

    function = "log_softmax"
    options = ("dim",)

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim


class Softmin(_Pointwise):
    """`Softmax` of -x."""

    function = "softmin"
    options = ("dim",)

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim


class Softmax2d(Module):
    """`Softmax` over the channels of images (N, C, H, W) or (C, H, W).

    Raises:
        ValueError: for another number of dimensions.
    """

    def forward(self, input: Any) -> Any:
        """Positive numbers that add up to one over the channels."""
        if input.ndim not in (3, 4):
            raise ValueError(f"Softmax2d: expected input to be 3D or 4D, got {input.ndim}D instead")
        return F.softmax(input, -3)


class PReLU(Module):
    """x where positive, weight·x elsewhere, with a learned weight.

    Args:
        num_parameters: one weight for all channels, or as many as there are.
        init: where it starts.
    """

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.num_parameters, self.init = num_parameters, init
        dt = default_dtype() if dtype is None else as_numpy(dtype)
        self.weight = Parameter(wrap(np.full(num_parameters, init, dt)))

    def forward(self, input: Any) -> Any:
        """The function of every entry."""
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class RReLU(Module):
    """x where positive, a random slope (in training) times x elsewhere."""

    def __init__(
        self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False
    ) -> None:
        super().__init__()
        self.lower, self.upper, self.inplace = lower, upper, inplace

    def forward(self, input: Any) -> Any:
        """The function of every entry."""
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)

    def extra_repr(self) -> str:
        text = f"lower={self.lower}, upper={self.upper}"
        return text + (", inplace=True" if self.inplace else "")
