"""chainrule: automatic differentiation on NumPy arrays, with PyTorch's names."""

from chainrule import autograd as autograd
from chainrule import ops as ops
from chainrule.autograd.grad_mode import enable_grad as enable_grad
from chainrule.autograd.grad_mode import inference_mode as inference_mode
from chainrule.autograd.grad_mode import is_grad_enabled as is_grad_enabled
from chainrule.autograd.grad_mode import is_inference_mode_enabled as is_inference_mode_enabled
from chainrule.autograd.grad_mode import no_grad as no_grad
from chainrule.autograd.grad_mode import set_grad_enabled as set_grad_enabled
from chainrule.ops.api import FUNCTIONS

globals().update(FUNCTIONS)
