"""Every mode of differentiation against torch.func and JAX (one thread), in one run.

    make bench                                   # or: python benchmarks/transforms.py --only jac

Prints medians as ratios to each peer.  Peers that are not installed are left out.  JAX runs without
jit, as the others do, except where a row says so.
"""

from __future__ import annotations

# ruff: noqa: I001 - threads are limited before NumPy is imported
import single_thread  # noqa: F401

import functools
import gc
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import chainrule as cr
import chainrule.func as cf
from chainrule import autograd
from table import Row, main, ratios, row
from timing import time_in_turns

try:
    import torch
    import torch.func as tf

    torch.set_num_threads(1)
except ImportError:
    torch = None
try:
    import jax
    import jax.numpy as jnp
except ImportError:
    jax = None

RNG = np.random.default_rng(0)
Candidates = dict[str, Callable[[], object]]


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def both(array: np.ndarray) -> tuple[Any, Any]:
    """The array as our tensor and as PyTorch's."""
    return cr.tensor(array), torch.tensor(array) if torch else None


def chain(x: Any, length: int = 25) -> Any:
    for _ in range(length):
        x = x * 1.01 + 0.5
    return x


@row
def jvp_chain() -> Iterator[Row]:
    x, tx = both(np.ones(4, np.float32))
    v, tv = both(normal(4))
    candidates: Candidates = {"chainrule": lambda: cf.jvp(chain, (x,), (v,))}
    if torch:
        candidates["torch.func"] = lambda: tf.jvp(chain, (tx,), (tv,))
    yield from ratios("jvp of a 50-op chain", time_in_turns(candidates), {"torch.func": 0.5})


@row
def jvp_memory() -> Iterator[Row]:
    x, v = cr.ones(4), cr.ones(4)

    def peak(length: int) -> int:
        gc.collect()
        tracemalloc.start()
        cf.jvp(functools.partial(chain, length=length), (x,), (v,))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(10)
    short, long = peak(500), peak(500_000)
    yield "jvp: peak memory of 10⁶ ops over 10³", long / short, 1.1, f"{long} bytes"


def tanh_network(w1: Any, w2: Any) -> Callable[[Any], Any]:
    return lambda x: (w2 @ (w1 @ x).tanh()).tanh()


@row
def jacobians() -> Iterator[Row]:
    (w1, t1), (w2, t2) = both(normal(100, 100) / 10), both(normal(100, 100) / 10)
    x, tx = both(normal(100))
    for name in ("jacrev", "jacfwd"):
        ours = getattr(cf, name)(tanh_network(w1, w2))
        candidates: Candidates = {"chainrule": lambda ours=ours: ours(x)}
        if torch:
            theirs = getattr(tf, name)(tanh_network(t1, t2))
            assert np.allclose(ours(x).numpy(), theirs(tx).numpy(), atol=1e-5)
            candidates["torch.func"] = lambda theirs=theirs: theirs(tx)
        yield from ratios(
            f"{name}, 2-layer tanh network R¹⁰⁰→R¹⁰⁰",
            time_in_turns(candidates),
            {"torch.func": 0.8},
        )


def scalar_network(w1: Any, w2: Any, w3: Any) -> Callable[[Any], Any]:
    return lambda x: (w3 * (w2 @ (w1 @ x).tanh()).tanh()).sum()


def networks(n: int) -> tuple[Any, Any, Any, Any]:
    """A scalar 2-layer network of n inputs and a point, ours and PyTorch's."""
    arrays = normal(n, n) / n**0.5, normal(n, n) / n**0.5, normal(n)
    pairs = [both(a) for a in arrays]
    x, tx = both(normal(n))
    return scalar_network(*[p[0] for p in pairs]), scalar_network(*[p[1] for p in pairs]), x, tx


@row
def hessian() -> Iterator[Row]:
    f, tf_, x, tx = networks(200)
    candidates: Candidates = {"chainrule": lambda: cf.hessian(f)(x)}
    if torch:
        assert np.allclose(cf.hessian(f)(x).numpy(), tf.hessian(tf_)(tx).numpy(), atol=1e-4)
        candidates["torch.func"] = lambda: tf.hessian(tf_)(tx)
    yield from ratios(
        "hessian of a scalar network, n = 200", time_in_turns(candidates), {"torch.func": 0.8}
    )


@row
def hvp() -> Iterator[Row]:
    f, tf_, x, tx = networks(200)
    v, tv = both(normal(200))
    candidates: Candidates = {"chainrule": lambda: cf.hvp(f, x, v)}
    if torch:
        candidates["torch.func"] = lambda: tf.jvp(tf.grad(tf_), (tx,), (tv,))[1]
    yield from ratios(
        "hvp of a scalar network, n = 200", time_in_turns(candidates), {"torch.func": 0.8}
    )


def mlp_loss(params: Any, x: Any, y: Any) -> Any:
    w1, b1, w2, b2 = params
    h = (w1 @ x + b1).tanh()
    return ((w2 @ h + b2 - y) ** 2).sum()


@row
def per_example_gradients() -> Iterator[Row]:
    pairs = [both(normal(*s) / 8) for s in ((64, 64), (64,), (1, 64), (1,))]
    ours, theirs = tuple(p[0] for p in pairs), tuple(p[1] for p in pairs)
    (x, tx), (y, ty) = both(normal(64, 64)), both(normal(64, 1))
    dims = (None, 0, 0)
    candidates: Candidates = {"chainrule": lambda: cf.vmap(cf.grad(mlp_loss), dims)(ours, x, y)}
    if torch:
        candidates["torch.func"] = lambda: tf.vmap(tf.grad(mlp_loss), dims)(theirs, tx, ty)
        for a, b in zip(candidates["chainrule"](), candidates["torch.func"](), strict=True):  # type: ignore[call-overload]
            assert np.allclose(a.numpy(), b.numpy(), atol=1e-4)
    yield from ratios(
        "per-example gradients, MLP 64-64-1, batch 64",
        time_in_turns(candidates),
        {"torch.func": 0.8},
    )


def nested(grad: Any, f: Any, order: int) -> Any:
    for _ in range(order):
        f = grad(f)
    return f


@row
def eighth_derivative() -> Iterator[Row]:
    point = 0.3

    def f(x: Any) -> Any:
        return x.exp().sin()

    x = cr.tensor(point, dtype=cr.float64)
    taylor = cf.nth_derivative(f, 8)
    slow: Candidates = {"nested grad here": lambda: nested(cf.grad, f, 8)(x)}
    if torch:
        tx = torch.tensor(point, dtype=torch.float64)
        slow["torch.func nested"] = lambda: nested(tf.grad, f, 8)(tx)
    if jax:
        jax.config.update("jax_enable_x64", True)
        g = nested(jax.grad, lambda x: jnp.sin(jnp.exp(x)), 8)
        slow["JAX nested"] = lambda: g(point)
        compiled = jax.jit(g)
        slow["JAX nested, compiled"] = lambda: compiled(point).block_until_ready()
    values = [float(taylor(x).item()), *[float(np.asarray(c())) for c in slow.values()]]
    assert np.allclose(values, values[0], rtol=1e-9), values
    times = time_in_turns({"chainrule": lambda: taylor(x), **slow}, rounds=5)
    for name, seconds in times.items():
        if name != "chainrule":
            ours = times["chainrule"]
            goal = None if "compiled" in name else 0.05  # what is compiled was compiled before
            title = f"8th derivative of sin(exp x) / {name}"
            yield title, ours / seconds, goal, f"{ours * 1e6:.4g} µs"
    higher = time_in_turns(
        {"8": lambda: cf.taylor(f, x, order=8), "16": lambda: cf.taylor(f, x, order=16)}
    )
    yield "Taylor mode: order 16 / order 8", higher["16"] / higher["8"], 5.0, ""


@row
def laplacian() -> Iterator[Row]:
    f, tf_, x, tx = networks(100)
    candidates: Candidates = {"chainrule": lambda: cf.laplacian(f)(x)}
    if torch:
        theirs = tf.hessian(tf_)
        assert np.allclose(cf.laplacian(f)(x).item(), theirs(tx).trace().item(), rtol=1e-3)
        candidates["torch.func"] = lambda: theirs(tx).trace()
    yield from ratios(
        "Laplacian of a network, n = 100, / trace of hessian",
        time_in_turns(candidates),
        {"torch.func": 0.5},
    )


@row
def gradcheck() -> Iterator[Row]:
    weights = RNG.standard_normal((20, 50)) / 7
    point = RNG.standard_normal(50)
    w = cr.tensor(weights, requires_grad=True)
    p = cr.tensor(point)
    candidates: Candidates = {}
    for fast, goal in ((False, 1.0), (True, 0.5)):
        candidates["chainrule"] = lambda fast=fast: autograd.gradcheck(
            lambda w: (w @ p).tanh().sum(), (w,), fast_mode=fast
        )
        if torch:
            tw = torch.tensor(weights, requires_grad=True)
            tp = torch.tensor(point)
            candidates["PyTorch"] = lambda fast=fast, tw=tw, tp=tp: torch.autograd.gradcheck(
                lambda w: (w @ tp).tanh().sum(), (tw,), fast_mode=fast
            )
        mode = "fast mode" if fast else "all entries"
        yield from ratios(
            f"gradcheck of 1,000 parameters, {mode}",
            time_in_turns(candidates),
            {"PyTorch": goal},
        )


if __name__ == "__main__":
    main(__doc__)
