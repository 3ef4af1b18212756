"""Finding the operation in which a nan or an inf is born."""

from __future__ import annotations

from typing import Any

from chainrule.autograd.grad_mode import ModeContext
from chainrule.core import modes
from chainrule.core.modes import as_mode, changed, current, get_mode


class detect_anomaly(ModeContext):  # noqa: N801 - PyTorch's name
    """While active, the operation that gives birth to a nan or inf raises, forward or backward.

    The message names the operation, the line of the program, and the values it was given.

    >>> import numpy as np
    >>> import chainrule as cr
    >>> x = cr.tensor(0.0, requires_grad=True)
    >>> with np.errstate(divide="ignore"), cr.autograd.detect_anomaly():
    ...     cr.log(x)
    Traceback (most recent call last):
    chainrule.autograd.AnomalyError: Function 'Log' returned inf values in its forward pass...
    """

    def __init__(self, check_nan: bool = True) -> None:
        super().__init__()
        self.check_nan = check_nan

    def mode(self) -> bool | modes.Mode:
        return changed(anomaly=True, check_nan=self.check_nan)

    def clone(self) -> ModeContext:
        return detect_anomaly(self.check_nan)


class set_detect_anomaly(ModeContext):  # noqa: N801 - PyTorch's name
    """Switch `detect_anomaly` on or off: from now on as a call, for a block as a context manager.

    >>> import chainrule as cr
    >>> with cr.autograd.set_detect_anomaly(True):
    ...     cr.autograd.is_anomaly_enabled()
    True
    """

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        super().__init__()
        self.anomaly = bool(mode)
        self.check_nan = check_nan
        self._before: Any = get_mode()
        current.set(self.mode())

    def mode(self) -> bool | modes.Mode:
        return changed(anomaly=self.anomaly, check_nan=self.check_nan)

    def __enter__(self) -> None:
        self._outer.append(self._before)


def is_anomaly_enabled() -> bool:
    """Whether anomaly detection is switched on.

    >>> import chainrule as cr
    >>> cr.autograd.is_anomaly_enabled()
    False
    """
    return as_mode(get_mode()).anomaly


def is_anomaly_check_nan_enabled() -> bool:
    """Whether anomaly detection looks for nan and inf.

    >>> import chainrule as cr
    >>> cr.autograd.is_anomaly_check_nan_enabled()
    True
    """
    return as_mode(get_mode()).check_nan
