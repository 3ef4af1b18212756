"""chainrule: automatic differentiation on NumPy arrays, with PyTorch's names."""

from __future__ import annotations

from importlib import import_module as _import_module
from importlib.util import find_spec as _find_spec
from math import e, inf, nan, pi
from typing import Any as _Any

from chainrule import autograd
from chainrule import conversion as conversion
from chainrule import interop as interop
from chainrule import ops as ops
from chainrule import return_types as return_types
from chainrule import special as special
from chainrule import tensor_methods as tensor_methods
from chainrule.autograd.anomaly import is_anomaly_check_nan_enabled, is_anomaly_enabled
from chainrule.autograd.grad_mode import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from chainrule.core import device as _device
from chainrule.core import dtypes as _dtypes
from chainrule.core.device import (
    device,
    get_default_device,
    layout,
    memory_format,
    set_default_device,
)
from chainrule.core.dtypes import dtype, get_default_dtype, set_default_dtype
from chainrule.core.generator import Generator, default_generator
from chainrule.core.tensor import Size, Tensor
from chainrule.core.typeinfo import can_cast, finfo, iinfo, promote_types, result_type
from chainrule.ops.api import FUNCTIONS as _FUNCTIONS
from chainrule.printing import set_printoptions
from chainrule.settings import (
    are_deterministic_algorithms_enabled,
    get_float32_matmul_precision,
    is_deterministic_algorithms_warn_only_enabled,
    set_float32_matmul_precision,
    use_deterministic_algorithms,
)

__version__ = "0.1.0"
newaxis = None

globals().update(_FUNCTIONS)
globals().update(_dtypes.NAMED)
globals().update(_device.CONSTANTS)

__all__ = [
    "Generator",
    "Size",
    "Tensor",
    "are_deterministic_algorithms_enabled",
    "autograd",
    "can_cast",
    "default_generator",
    "device",
    "dtype",
    "e",
    "enable_grad",
    "finfo",
    "get_default_device",
    "get_default_dtype",
    "get_float32_matmul_precision",
    "iinfo",
    "inf",
    "inference_mode",
    "is_anomaly_check_nan_enabled",
    "is_anomaly_enabled",
    "is_deterministic_algorithms_warn_only_enabled",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "layout",
    "load",
    "memory_format",
    "nan",
    "newaxis",
    "no_grad",
    "pi",
    "promote_types",
    "result_type",
    "save",
    "set_default_device",
    "set_default_dtype",
    "set_float32_matmul_precision",
    "set_grad_enabled",
    "set_printoptions",
    "use_deterministic_algorithms",
]
__all__ += sorted(_FUNCTIONS.keys() | _dtypes.NAMED.keys() | _device.CONSTANTS.keys())


def __getattr__(name: str) -> _Any:
    """What is imported when it is first used, so that `import chainrule` is quick.

    These are the submodules (`chainrule.nn`, `chainrule.optim`, ...), `save` and `load`, bfloat16,
    in-place functions, and the functions of neural networks that PyTorch has at top level too.
    """
    found = None if name.startswith("_") else _on_first_use(name)
    if found is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found


def _on_first_use(name: str) -> _Any:
    if name == "bfloat16":
        try:
            return _dtypes.bfloat16()
        except ImportError as error:  # so that hasattr() is False
            raise AttributeError(str(error)) from error
    if name in ("mixed_derivative", "nth_derivative", "taylor"):
        return getattr(_import_module(f"{__name__}.func"), name)
    if name in ("get_num_threads", "set_num_threads"):
        return getattr(_import_module(f"{__name__}.compiler.threads"), name)
    if name in ("save", "load"):
        return getattr(_import_module(f"{__name__}.serialization"), name)
    if name in ("JitWarning", "jit"):
        return getattr(_import_module(f"{__name__}.just_in_time"), name)
    if name in ("compare_modes", "draw", "explain", "why"):
        return getattr(_import_module(f"{__name__}.explaining"), name)
    if name == "custom_rule":
        return _import_module(f"{__name__}.custom").custom_rule
    if _find_spec(f"{__name__}.{name}") is not None:
        return _import_module(f"{__name__}.{name}")
    if name.endswith("_") and hasattr(Tensor, name):
        return getattr(Tensor, name)
    _import_module(f"{__name__}.nn.functional")
    return _FUNCTIONS.get(name)
