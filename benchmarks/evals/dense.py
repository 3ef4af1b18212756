"""Elementwise code, networks and long programs: what `compiled.py` measures.

Each is a function of a library and a dtype that returns programs, functions of no argument, by the
way in which they are written; a program's result is a sequence of arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from evals.libraries import Hips, Library, NumPy

Programs = dict[str, Callable[[], Any]]


def normal(rng: np.random.Generator, dtype: Any, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(dtype)


def million(lib: Library, dtype: Any) -> Programs:
    """Value and gradient of Σ sin(x)·exp(-x²) + tanh(x) of 10⁶ numbers."""
    x = lib.array(normal(np.random.default_rng(0), dtype, 10**6))
    if isinstance(lib, NumPy):
        return {"": lambda: million_by_hand(x)}
    xp = lib.np

    def f(x: Any) -> Any:
        return xp.sum(xp.sin(x) * xp.exp(-(x * x)) + xp.tanh(x))

    both = lib.program(lib.value_and_grad(f), x)
    return {"": lambda: both(x)}


def million_by_hand(x: np.ndarray) -> tuple[Any, np.ndarray]:
    sin, bell, tanh = np.sin(x), np.exp(-x * x), np.tanh(x)
    slope = bell * (np.cos(x) - 2 * x * sin) + 1 - tanh * tanh
    return (sin * bell + tanh).sum(), slope


def chain(lib: Library, dtype: Any) -> Programs:
    """The gradient of 50 operations on 4 numbers; NumPy arrays in and out."""
    x = np.linspace(0.1, 0.7, 4).astype(dtype)
    if isinstance(lib, NumPy):
        return {}
    xp = lib.np

    def f(x: Any) -> Any:
        for _ in range(25):
            x = xp.sin(x) * 1.01
        return xp.sum(x)

    slope = lib.program(lib.grad(f), lib.array(x))
    if lib.name in ("chainrule", "autograd"):
        return {"": lambda: (slope(x),)}
    if lib.name == "JAX":  # takes NumPy arrays, which is faster than converting them first
        return {"": lambda: (np.asarray(slope(x)),)}
    return {"": lambda: (lib.numpy(slope(lib.np.from_numpy(x))),)}


def training(lib: Library, dtype: Any) -> Programs:
    """A training step of the network 784-256-256-10, batch 128, Adam inside: loss and moments."""
    if isinstance(lib, NumPy | Hips):
        return {}
    rng = np.random.default_rng(0)
    sizes = ((784, 256), (256, 256), (256, 10))
    parts = [a for n, m in sizes for a in (normal(rng, dtype, n, m) / n**0.5, np.zeros(m, dtype))]
    x, y = normal(rng, dtype, 128, 784), rng.integers(0, 10, 128)
    xp, F = lib.np, lib.F

    def loss(params: Any, x: Any, y: Any) -> Any:
        w1, b1, w2, b2, w3, b3 = params
        h = F.relu(F.relu(x @ w1 + b1) @ w2 + b2)
        return F.cross_entropy(h @ w3 + b3, y)

    def step(params: Any, means: Any, squares: Any, t: Any, x: Any, y: Any) -> Any:
        value, grads = lib.value_and_grad(loss)(params, x, y)
        t = t + 1
        means = [0.9 * m + 0.1 * g for m, g in zip(means, grads, strict=True)]
        squares = [0.999 * s + 0.001 * (g * g) for s, g in zip(squares, grads, strict=True)]
        rate, root = 1e-3 / (1 - 0.9**t), xp.sqrt(1 - 0.999**t)
        params = [
            p - rate * m / (xp.sqrt(s) / root + 1e-8)
            for p, m, s in zip(params, means, squares, strict=True)
        ]
        return value, params, means, squares, t

    def state() -> list[Any]:
        params = [lib.array(p.copy()) for p in parts]
        zeros = [[lib.array(np.zeros_like(p)) for p in parts] for _ in range(2)]
        return [params, *zeros, lib.array(np.zeros((), dtype))]

    batch = lib.array(x), lib.array(y)
    program = lib.program(step, *state(), *batch, given_up=(0, 1, 2, 3))
    now = state()

    def run() -> Any:
        value, *now[:] = program(*now, *batch)
        return [value, *now[1]]

    return {"": run}


def softmax_loss(lib: Library, dtype: Any) -> Programs:
    """The gradient of the mean cross-entropy of 256 rows of 1024 scores."""
    if isinstance(lib, NumPy | Hips):
        return {}
    rng = np.random.default_rng(0)
    x, y = lib.array(normal(rng, dtype, 256, 1024)), lib.array(rng.integers(0, 1024, 256))
    slope = lib.program(lib.grad(lambda x, y: lib.F.cross_entropy(x, y)), x, y)
    return {"": lambda: (slope(x, y),)}


def layer_norm(lib: Library, dtype: Any) -> Programs:
    """Gradients of a layer norm of 256 rows of 1024: of the rows, the weight and the bias."""
    if isinstance(lib, NumPy | Hips):
        return {}
    rng = np.random.default_rng(0)
    shapes = ((256, 1024), (1024,), (1024,), (256, 1024))
    args = [lib.array(normal(rng, dtype, *shape)) for shape in shapes]

    def f(x: Any, weight: Any, bias: Any, c: Any) -> Any:
        return lib.np.sum(lib.F.layer_norm(x, (1024,), weight, bias) * c)

    slopes = lib.program(lib.grad(f, (0, 1, 2)), *args)
    return {"": lambda: slopes(*args)}


def gelu_block(lib: Library, dtype: Any) -> Programs:
    """Gradients of a block 1024 → GELU → 1024 of a network, batch 256: of all its arguments."""
    if isinstance(lib, NumPy | Hips):
        return {}
    rng = np.random.default_rng(0)
    shapes = ((256, 1024), (1024, 1024), (1024,), (1024, 1024), (1024,), (256, 1024))
    args = [lib.array(normal(rng, dtype, *s) / (32 if s == (1024, 1024) else 1)) for s in shapes]

    def f(x: Any, w1: Any, b1: Any, w2: Any, b2: Any, c: Any) -> Any:
        return lib.np.sum((lib.F.gelu(x @ w1 + b1) @ w2 + b2) * c)

    slopes = lib.program(lib.grad(f, (0, 1, 2, 3, 4)), *args)
    return {"": lambda: slopes(*args)}


def flat(lib: Library, result: Any) -> np.ndarray:
    return np.concatenate([np.asarray(lib.numpy(part), np.float64).ravel() for part in result])


def straight_line(np_: Any, nodes: int) -> Callable[[Any], Any]:
    """A function of so many operations, each of which needs the one before."""

    def f(x: Any) -> Any:
        y = x
        for i in range(nodes // 4):
            y = np_.tanh(y * 0.99 + x) - 0.001 * i
        return y

    return f
