"""kmeans: Newton's direction of Σ over points of the squared distance to the nearest centroid.

The Hessian is diagonal, so its diagonal is its product with a vector of ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from evals.libraries import Library, NumPy

SIZES = {"small": (1000, 10, 8), "medium": (10_000, 100, 8), "large": (10_000, 1000, 16)}


def generate(size: str, rng: np.random.Generator) -> dict[str, Any]:
    n, k, d = SIZES[size]
    return {"points": rng.uniform(size=(n, d)), "centroids": rng.uniform(size=(k, d))}


def programs(lib: Library, given: dict[str, Any]) -> dict[str, Any]:
    """Three ways to write the distances: all differences, their square multiplied out, and the
    nearest centroid looked up, whose choice has no derivative."""
    points, centroids = lib.array(given["points"]), lib.array(given["centroids"])
    if isinstance(lib, NumPy):
        return {"nearest": lambda: by_hand(points, centroids)}
    xp = lib.np

    def differences(c: Any, p: Any) -> Any:
        return xp.sum(xp.amin(xp.sum((p[:, None, :] - c[None, :, :]) ** 2, 2), 1))

    def products(c: Any, p: Any) -> Any:
        squares = xp.sum(c * c, 1) - 2 * (p @ c.T)
        return xp.sum(p * p) + xp.sum(xp.amin(squares, 1))

    def nearest(c: Any, p: Any) -> Any:
        chosen = xp.argmin(xp.sum(c * c, 1) - 2 * (p @ c.T), 1)
        return xp.sum((p - c[chosen]) ** 2)

    def direction(cost: Any) -> Any:
        gradient = lib.grad(cost)

        def newton(c: Any, p: Any) -> Any:
            if lib.transforms:
                slope, curvature = lib.jvp(lambda c: gradient(c, p), c, xp.ones_like(c))
            else:
                slope = gradient(c, p)
                curvature = lib.grad(lambda c: xp.sum(gradient(c, p)))(c)
            return slope / curvature

        compiled = lib.program(newton, centroids, points)
        return lambda: compiled(centroids, points)

    small = len(given["points"]) * len(given["centroids"]) <= 1_000_000
    ways = {"products": products, "nearest": nearest}
    if small or lib.name in ("chainrule", "JAX", "torch.compile"):  # others store the differences
        ways["differences"] = differences
    return {name: direction(cost) for name, cost in ways.items()}


def by_hand(p: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Gradient 2 Σ (c - p), Hessian 2 · count: the centroid less the mean of its points."""
    chosen = np.argmin((c * c).sum(1) - 2 * (p @ c.T), 1)
    count = np.bincount(chosen, minlength=len(c))
    sums = np.stack([np.bincount(chosen, column, len(c)) for column in p.T], 1)
    return c - sums / count[:, None]


def flat(lib: Library, result: Any) -> np.ndarray:
    return lib.numpy(result)
