"""Sample inputs: what every generic test of an operation is run on."""

from __future__ import annotations

from typing import Any

import numpy as np


class Sample:
    """Positional arrays and keyword parameters for one call of a primitive's `eval`."""

    __slots__ = ("args", "params")

    def __init__(self, *args: Any, **params: Any) -> None:
        self.args = args
        self.params = params

    def __repr__(self) -> str:
        shown = [f"{a.dtype}{list(a.shape)}" if hasattr(a, "shape") else repr(a) for a in self.args]
        return f"Sample({', '.join(shown + [f'{k}={v!r}' for k, v in self.params.items()])})"


def uniform(*shape: int, low: float = -2.0, high: float = 2.0, seed: int = 0) -> np.ndarray:
    """A float64 array of distinct values away from the ends of the interval."""
    size = int(np.prod(shape))
    rng = np.random.default_rng([seed, size])
    values = (rng.permutation(size) + rng.uniform(0.2, 0.8, size)) / max(size, 1)
    return (low + (high - low) * (0.03 + 0.94 * values)).reshape(shape)
