"""Differentiation of recorded programs, with PyTorch's names."""

from chainrule.autograd import direction as direction
from chainrule.autograd import forward_ad as forward_ad
from chainrule.autograd import function as function
from chainrule.autograd import functional as functional
from chainrule.autograd import graph as graph
from chainrule.autograd import methods as methods
from chainrule.autograd.anomaly import detect_anomaly as detect_anomaly
from chainrule.autograd.anomaly import is_anomaly_check_nan_enabled as is_anomaly_check_nan_enabled
from chainrule.autograd.anomaly import is_anomaly_enabled as is_anomaly_enabled
from chainrule.autograd.anomaly import set_detect_anomaly as set_detect_anomaly
from chainrule.autograd.function import Function as Function
from chainrule.autograd.grad_mode import enable_grad as enable_grad
from chainrule.autograd.grad_mode import inference_mode as inference_mode
from chainrule.autograd.grad_mode import no_grad as no_grad
from chainrule.autograd.grad_mode import set_grad_enabled as set_grad_enabled
from chainrule.autograd.gradcheck import GradcheckError as GradcheckError
from chainrule.autograd.gradcheck import gradcheck as gradcheck
from chainrule.autograd.gradcheck import gradgradcheck as gradgradcheck
from chainrule.autograd.methods import Variable as Variable
from chainrule.autograd.reverse import backward as backward
from chainrule.autograd.reverse import grad as grad
from chainrule.core.special_modes import AnomalyError as AnomalyError

check_random_direction = direction.check_direction
