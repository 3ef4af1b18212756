"""gmm: the gradient of a Gaussian mixture's log-likelihood with a Wishart prior.

The inverse covariance of component k is QᵀQ, with Q lower triangular: exp(q) on its diagonal and
the entries l, column by column, below it.
"""

from __future__ import annotations

from math import lgamma, log, pi
from typing import Any

import numpy as np

from evals.libraries import Hips, Library, NumPy

SIZES = {"small": (2, 5, 1000), "medium": (20, 50, 1000), "large": (64, 100, 1000)}


def generate(size: str, rng: np.random.Generator) -> dict[str, Any]:
    d, k, n = SIZES[size]
    return {
        "x": rng.standard_normal((n, d)), "alpha": rng.standard_normal(k),
        "mu": rng.uniform(size=(k, d)), "q": rng.standard_normal((k, d)),
        "l": rng.standard_normal((k, d * (d - 1) // 2)), "m": 0, "gamma": 1.0,
    }  # fmt: skip


def constant_of(k: int, d: int, n: int, gamma: float, m: int) -> float:
    """What does not depend on the parameters."""
    freedom = d + m + 1
    wishart = freedom * d * (log(gamma) - 0.5 * log(2)) - (
        0.25 * d * (d - 1) * log(pi) + sum(lgamma(0.5 * (freedom - j)) for j in range(d))
    )
    return -0.5 * n * d * log(2 * pi) + k * wishart


def programs(lib: Library, given: dict[str, Any]) -> dict[str, Any]:
    """Two ways to fill the triangles: entries looked up, and entries written into zeros."""
    if isinstance(lib, NumPy):
        return {}
    xp, m, gamma = lib.np, given["m"], given["gamma"]
    (n, d), k = given["x"].shape, len(given["alpha"])
    columns, rows = np.triu_indices(d, 1)  # the entries in the order of l
    place = np.zeros((d, d), np.int64)
    place[range(d), range(d)] = range(1, d + 1)
    place[rows, columns] = range(d + 1, d + 1 + len(rows))
    place = lib.array(place.ravel())
    written = [lib.array(np.r_[range(d), a]) for a in (rows, columns)]
    everyone = lib.array(np.arange(k)[:, None])
    constant = constant_of(k, d, n, gamma, m)

    def looked_up(diagonal: Any, l: Any) -> Any:  # noqa: E741 - its name in the papers
        entries = xp.concatenate([0 * diagonal[:, :1], diagonal, l], 1)
        return entries[:, place]

    def filled(diagonal: Any, l: Any) -> Any:  # noqa: E741
        entries = xp.concatenate([diagonal, l], 1)
        return lib.written((k, d, d), (everyone, *written), entries)

    def likelihood(triangles: Any) -> Any:
        def f(alpha: Any, mu: Any, q: Any, l: Any, x: Any) -> Any:  # noqa: E741
            diagonal = xp.exp(q)
            triangle = xp.reshape(triangles(diagonal, l), (k * d, d))
            centres = xp.einsum("kij,kj->ki", xp.reshape(triangle, (k, d, d)), mu)
            away = xp.reshape(x @ triangle.T, (n, k, d)) - centres
            inner = alpha + xp.sum(q, 1) - 0.5 * xp.sum(away * away, 2)
            prior = 0.5 * gamma**2 * (xp.sum(diagonal * diagonal) + xp.sum(l * l)) - m * xp.sum(q)
            fit = xp.sum(lib.logsumexp(inner, 1)) - n * lib.logsumexp(alpha, 0)
            return fit - prior + constant

        return f

    args = [lib.array(given[name]) for name in ("alpha", "mu", "q", "l", "x")]
    ways = {"look-up": looked_up} if isinstance(lib, Hips) else {
        "look-up": looked_up, "written": filled
    }  # fmt: skip
    made = {}
    for name, triangles in ways.items():
        gradient = lib.program(lib.grad(likelihood(triangles), (0, 1, 2, 3)), *args)
        made[name] = lambda gradient=gradient: gradient(*args)
    return made


def flat(lib: Library, result: Any) -> np.ndarray:
    return np.concatenate([lib.numpy(part).ravel() for part in result])
