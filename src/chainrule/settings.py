"""Switches of PyTorch's that change nothing here, but are remembered so that programs can ask."""

from __future__ import annotations

from typing import Any


class _Settings:
    """What was asked for."""

    deterministic = False
    warn_only = False
    precision = "highest"


def use_deterministic_algorithms(mode: Any, *, warn_only: bool = False) -> None:
    """Ask for deterministic algorithms: all of chainrule's are.

    >>> import chainrule as cr
    >>> cr.use_deterministic_algorithms(True)
    >>> cr.are_deterministic_algorithms_enabled()
    True
    >>> cr.use_deterministic_algorithms(False)
    """
    _Settings.deterministic, _Settings.warn_only = bool(mode), warn_only


def are_deterministic_algorithms_enabled() -> bool:
    """Whether `use_deterministic_algorithms(True)` was called."""
    return _Settings.deterministic


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """Whether `use_deterministic_algorithms` was called with `warn_only=True`."""
    return _Settings.warn_only


def set_float32_matmul_precision(precision: str) -> None:
    """Allow matrix products of float32 less precision; they are computed in full anyway.

    Raises:
        ValueError: unless `precision` is "highest", "high" or "medium".
    """
    if precision not in ("highest", "high", "medium"):
        raise ValueError(
            f"{precision} is not one of 'highest', 'high', or 'medium'; the product is computed in "
            "full precision with any of them"
        )
    _Settings.precision = precision


def get_float32_matmul_precision() -> str:
    """What `set_float32_matmul_precision` was called with last."""
    return _Settings.precision


__all__ = [
    "are_deterministic_algorithms_enabled",
    "get_float32_matmul_precision",
    "is_deterministic_algorithms_warn_only_enabled",
    "set_float32_matmul_precision",
    "use_deterministic_algorithms",
]
