"""lse: the gradient of log Σ exp(x), which is the softmax of x."""

from __future__ import annotations

from typing import Any

import numpy as np

from evals.libraries import Hips, Library, NumPy

SIZES = {"small": 10_000, "medium": 160_000}


def generate(size: str, rng: np.random.Generator) -> dict[str, Any]:
    return {"x": rng.uniform(size=SIZES[size])}


def programs(lib: Library, given: dict[str, Any]) -> dict[str, Any]:
    """Functions of no argument, by name, that return the gradient."""
    x = lib.array(given["x"])
    if isinstance(lib, NumPy):
        return {"": lambda: softmax(x)}
    if isinstance(lib, Hips):
        gradient = lib.grad(lambda x: lib.logsumexp(x, 0))
    else:
        gradient = lib.program(lib.grad(lambda x: lib.logsumexp(x, 0)), x)
    return {"": lambda: gradient(x)}


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max())
    e /= e.sum()
    return e


def flat(lib: Library, result: Any) -> np.ndarray:
    return lib.numpy(result)
