"""llsq: ½ Σᵢ (sign(tᵢ) - Σⱼ xⱼ tᵢʲ)², a polynomial fitted to a step at n points from -1 to 1."""

from __future__ import annotations

from typing import Any

import numpy as np

from evals.libraries import Library, NumPy

SIZES = {"small": 128, "medium": 2048, "large": 16392}


def generate(size: str, rng: np.random.Generator) -> dict[str, Any]:
    return {"x": rng.uniform(size=128), "n": SIZES[size]}


def programs(lib: Library, given: dict[str, Any]) -> dict[str, Any]:
    """Two ways: powers as a matrix made beforehand, and Horner's rule, which needs no memory."""
    x = lib.array(given["x"])
    points = np.linspace(-1.0, 1.0, given["n"])
    powers = np.vander(points, len(given["x"]), increasing=True)
    if isinstance(lib, NumPy):
        step = np.sign(points)
        return {"matrix": lambda: powers.T @ (powers @ x - step)}
    t, step, matrix = lib.array(points), lib.array(np.sign(points)), lib.array(powers)

    def by_matrix(x: Any, matrix: Any) -> Any:
        return 0.5 * lib.np.sum((step - matrix @ x) ** 2)

    def by_horner(x: Any, t: Any) -> Any:
        value = x[-1] + 0 * t
        for j in range(x.shape[0] - 2, -1, -1):
            value = value * t + x[j]
        return 0.5 * lib.np.sum((step - value) ** 2)

    matrix_gradient = lib.program(lib.grad(by_matrix), x, matrix)
    horner_gradient = lib.program(lib.grad(by_horner), x, t)
    return {"matrix": lambda: matrix_gradient(x, matrix), "Horner": lambda: horner_gradient(x, t)}


def flat(lib: Library, result: Any) -> np.ndarray:
    return lib.numpy(result)
