"""Differentiation of recorded programs, with PyTorch's names."""

from __future__ import annotations

from importlib import import_module as _import_module
from typing import TYPE_CHECKING
from typing import Any as _Any

from chainrule.autograd import graph as graph
from chainrule.autograd import methods as methods
from chainrule.autograd.anomaly import detect_anomaly as detect_anomaly
from chainrule.autograd.anomaly import is_anomaly_check_nan_enabled as is_anomaly_check_nan_enabled
from chainrule.autograd.anomaly import is_anomaly_enabled as is_anomaly_enabled
from chainrule.autograd.anomaly import set_detect_anomaly as set_detect_anomaly
from chainrule.autograd.grad_mode import enable_grad as enable_grad
from chainrule.autograd.grad_mode import inference_mode as inference_mode
from chainrule.autograd.grad_mode import no_grad as no_grad
from chainrule.autograd.grad_mode import set_grad_enabled as set_grad_enabled

# A function and the module it is in have one name: imported later, the module would replace it.
from chainrule.autograd.gradcheck import GradcheckError as GradcheckError
from chainrule.autograd.gradcheck import gradcheck as gradcheck
from chainrule.autograd.gradcheck import gradgradcheck as gradgradcheck
from chainrule.autograd.methods import Variable as Variable
from chainrule.autograd.reverse import backward as backward
from chainrule.autograd.reverse import grad as grad
from chainrule.core.special_modes import AnomalyError as AnomalyError

if TYPE_CHECKING:
    from chainrule.autograd import direction as direction
    from chainrule.autograd import forward_ad as forward_ad
    from chainrule.autograd import function as function
    from chainrule.autograd import functional as functional
    from chainrule.autograd.direction import check_direction
    from chainrule.autograd.function import Function as Function

    check_random_direction = check_direction

# What is imported when it is first used, so that `import chainrule` is quick: the module, and the
# name in it, or None for the module itself.
_ON_FIRST_USE: dict[str, tuple[str, str | None]] = {
    "Function": ("function", "Function"),
    "check_random_direction": ("direction", "check_direction"),
    "direction": ("direction", None),
    "forward_ad": ("forward_ad", None),
    "function": ("function", None),
    "functional": ("functional", None),
}


def __getattr__(name: str) -> _Any:
    """What is imported when it is first used."""
    if name not in _ON_FIRST_USE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    place, attribute = _ON_FIRST_USE[name]
    found: _Any = _import_module(f"{__name__}.{place}")
    if attribute is not None:
        found = getattr(found, attribute)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_ON_FIRST_USE})
