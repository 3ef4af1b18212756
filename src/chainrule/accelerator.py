"""Questions that portable programs ask about accelerators; chainrule uses none."""

from __future__ import annotations

from chainrule.core.device import device


def is_available() -> bool:
    """False: chainrule computes on the CPU.

    >>> import chainrule as cr
    >>> cr.accelerator.is_available()
    False
    """
    return False


def device_count() -> int:
    """0: chainrule computes on the CPU."""
    return 0


def current_accelerator(check_available: bool = False) -> device | None:
    """None: chainrule computes on the CPU."""
    return None
