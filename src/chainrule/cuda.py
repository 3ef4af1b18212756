"""Questions that portable programs ask about graphics cards; chainrule uses none."""

from __future__ import annotations


def is_available() -> bool:
    """False: chainrule computes on the CPU.

    >>> import chainrule as cr
    >>> device = "cuda" if cr.cuda.is_available() else "cpu"
    """
    return False


def device_count() -> int:
    """0: chainrule computes on the CPU."""
    return 0


def manual_seed(seed: int) -> None:
    """Nothing: there is no generator on another device."""


def manual_seed_all(seed: int) -> None:
    """Nothing: there is no generator on another device."""
