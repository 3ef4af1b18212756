"""chainrule: automatic differentiation on NumPy arrays, with PyTorch's names."""

from __future__ import annotations

from chainrule import autograd as autograd
from chainrule import conversion as conversion
from chainrule import ops as ops
from chainrule import tensor_methods as tensor_methods
from chainrule.autograd.grad_mode import enable_grad as enable_grad
from chainrule.autograd.grad_mode import inference_mode as inference_mode
from chainrule.autograd.grad_mode import is_grad_enabled as is_grad_enabled
from chainrule.autograd.grad_mode import is_inference_mode_enabled as is_inference_mode_enabled
from chainrule.autograd.grad_mode import no_grad as no_grad
from chainrule.autograd.grad_mode import set_grad_enabled as set_grad_enabled
from chainrule.core import device as _device
from chainrule.core import dtypes as _dtypes
from chainrule.core.device import device as device
from chainrule.core.dtypes import dtype as dtype
from chainrule.core.dtypes import get_default_dtype as get_default_dtype
from chainrule.core.dtypes import set_default_dtype as set_default_dtype
from chainrule.core.tensor import Size as Size
from chainrule.core.tensor import Tensor as Tensor
from chainrule.ops.api import FUNCTIONS as _FUNCTIONS
from chainrule.printing import set_printoptions as set_printoptions

globals().update(_FUNCTIONS)
globals().update(_dtypes.NAMED)
globals().update(_device.CONSTANTS)
