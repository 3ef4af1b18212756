"""Whether an array has one holder only, so that its memory may be reused or given away."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np


def _count(x: Any) -> int:
    return sys.getrefcount(x)


def _calibrate() -> int:
    own = np.empty(1)
    return _count(own)


# What getrefcount says, inside a function, of an argument that only the caller's variable holds.
# Interpreters differ in the references that a call itself takes, so it is measured.
_ONE_HOLDER = _calibrate()


def held_once(x: Any) -> bool:
    """Whether `x` is an array with memory of its own that only the caller's variable refers to."""
    return type(x) is np.ndarray and x.base is None and sys.getrefcount(x) == _ONE_HOLDER
