"""Differentiation of recorded programs, with PyTorch's names."""

from chainrule.autograd import function as function
from chainrule.autograd import methods as methods
from chainrule.autograd.function import Function as Function
from chainrule.autograd.grad_mode import enable_grad as enable_grad
from chainrule.autograd.grad_mode import inference_mode as inference_mode
from chainrule.autograd.grad_mode import no_grad as no_grad
from chainrule.autograd.grad_mode import set_grad_enabled as set_grad_enabled
from chainrule.autograd.reverse import backward as backward
from chainrule.autograd.reverse import grad as grad
