"""Graphs, pictures and compiled kernels: the limits that the documents quote, in one run.

    make bench                                   # or: python benchmarks/graphs.py --only grad

Seconds and sizes are given as ratios to their limit, derivatives as ratios to tracing, kernels as
ratios to JAX, where it is installed.
"""

from __future__ import annotations

# ruff: noqa: I001 - threads are limited before NumPy is imported
import single_thread  # noqa: F401

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import chainrule as cr
from chainrule.graph import Graph, swell, trace
from table import Row, main, row
from timing import time_in_turns

NODES = 100_000


def chain(operations: int) -> Callable[[Any], Any]:
    """A function of so many operations, one after the other."""

    def f(x: Any) -> Any:
        for _ in range(operations // 2):
            x = cr.sin(x) * 1.0001
        return x

    return f


def wide(x: Any) -> Any:
    """A sum of many products, added in pairs."""
    terms = [x * float(i + 1) for i in range(NODES // 2)]
    while len(terms) > 1:
        odd = terms[-1:] if len(terms) % 2 else []
        terms = [a + b for a, b in zip(terms[::2], terms[1::2], strict=False)] + odd
    return terms[0]


def unrolled(layers: int) -> Callable[[Any, Any], Any]:
    """A network of so many layers that share their weights."""

    def f(w: Any, x: Any) -> Any:
        for _ in range(layers):
            x = cr.tanh(x @ w)
        return x.sum()

    return f


@row
def large_graphs() -> Iterator[Row]:
    for name, f in (("chain", chain(NODES)), ("wide tree", wide)):
        start = time.perf_counter()
        optimised = trace(f, 0.5).verify().optimize()
        seconds = time.perf_counter() - start
        assert isinstance(optimised, Graph)
        title = f"trace, verify, optimise 10⁵ nodes, {name} / 5 s"
        yield title, seconds / 5, 1.0, f"{seconds:.2f} s"


@row
def gradients_of_graphs() -> Iterator[Row]:
    weights, batch = np.full((8, 8), 0.1), np.ones((4, 8))
    for name, f, args in (
        ("chain of 2,000 operations", chain(2000), (0.5,)),
        ("MLP of 2 layers", unrolled(2), (weights, batch)),
        ("MLP unrolled to 5,000 layers", unrolled(5000), (weights, batch)),
    ):
        graph = trace(f, *args)
        times = time_in_turns(
            {"trace": lambda f=f, args=args: trace(f, *args), "grad": lambda g=graph: g.grad()}
        )
        yield f"graph.grad / trace: {name}", times["grad"] / times["trace"], 3.0, ""


PICTURE = """
import chainrule as cr
y = cr.randn(3, requires_grad=True)
for _ in range(149):
    y = cr.sin(y) * 1.01
drawing = cr.draw(y.sum())
assert len(drawing.picture.nodes) == 300
drawing.svg
"""


@row
def pictures_and_pages() -> Iterator[Row]:
    def draw() -> object:
        return subprocess.run([sys.executable, "-c", PICTURE], check=True)

    seconds = time_in_turns({"draw": draw}, rounds=3)["draw"]
    yield "picture of 300 nodes, a fresh process / 2 s", seconds / 2, 1.0, f"{seconds:.2f} s"
    with tempfile.TemporaryDirectory() as folder:
        e = cr.explain("log(x1) + x1*x2 - sin(x2)", x1=2, x2=5)
        size = e.save(Path(folder) / "trace.html").stat().st_size
    yield "page of the textbook's example / 600 kB", size / 600_000, 1.0, f"{size / 1000:.0f} kB"


@row
def expression_swell() -> Iterator[Row]:
    (counts,) = swell(cr.prod, [200]).rows
    naive, shared = counts.naive.multiplications, counts.shared.multiplications
    yield "gradient of ∏xᵢ, n = 200: naive / 200·198", naive / (200 * 198), 1.0, f"{naive}"
    yield "  the same, with sharing / 3 n", shared / 600, 1.0, f"{shared}"


@row
def compiled_kernels() -> Iterator[Row]:
    try:
        import jax
        import jax.numpy as jnp

        from chainrule.compiler.execute import compiled
    except ImportError as error:
        print(f"compiled kernels: {error}")
        return
    jax.config.update("jax_enable_x64", True)

    def ours(x: Any) -> Any:
        return (cr.sin(x) * cr.exp(-(x * x)) + cr.tanh(x)).sum()

    def theirs(x: Any) -> Any:
        return (jnp.sin(x) * jnp.exp(-(x * x)) + jnp.tanh(x)).sum()

    for dtype in (np.float32, np.float64):
        x = np.random.default_rng(0).standard_normal(10**6).astype(dtype)
        program = compiled(trace(ours, x).value_and_grad("x"))
        peer, given = jax.jit(jax.value_and_grad(theirs)), jnp.asarray(x)
        np.testing.assert_allclose(program.run([x])[1], peer(given)[1], rtol=1e-4, atol=1e-5)
        times = time_in_turns(
            {"chainrule": lambda p=program, x=x: p.run([x]),
             "JAX": lambda p=peer, x=given: jax.block_until_ready(p(x))}
        )  # fmt: skip
        title = f"value and gradient of Σ sin·exp+tanh, 10⁶ {np.dtype(dtype)} / JAX"
        note = f"{times['chainrule'] * 1e3:.2f} ms"
        yield title, times["chainrule"] / times["JAX"], 0.2, note


if __name__ == "__main__":
    main(__doc__)
