"""Eager mode against PyTorch (one thread), HIPS autograd and MyGrad, in one run.

    make bench                                   # or: python benchmarks/eager.py --only chain

Prints medians as ratios to each peer.  Peers that are not installed are left out.
"""

from __future__ import annotations

# ruff: noqa: I001 - threads are limited before NumPy is imported
import single_thread  # noqa: F401

import gc
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import chainrule as cr
from chainrule import nn, optim
from chainrule.core import engine, mutation
from chainrule.nn import functional as F
from table import Row, main, ratios, row
from timing import time_in_turns

try:
    import torch

    torch.set_num_threads(1)
except ImportError:
    torch = None
try:
    import autograd as hips
    import autograd.numpy as anp
except ImportError:
    hips = None
try:
    import mygrad as mg
except ImportError:
    mg = None


def chain(x: Any, b: Any) -> Any:
    for _ in range(25):
        x = x * 1.01 + b
    return x


@row
def chain_backward() -> Iterator[Row]:
    ones = np.ones(4, np.float32)
    x, b, g = cr.tensor(ones, requires_grad=True), cr.tensor(ones), cr.tensor(ones)
    candidates: dict[str, Callable[[], object]] = {"chainrule": lambda: chain(x, b).backward(g)}
    if torch:
        tx, tb, tg = torch.ones(4, requires_grad=True), torch.ones(4), torch.ones(4)
        candidates["PyTorch"] = lambda: chain(tx, tb).backward(tg)
    if hips:
        gradient = hips.grad(lambda z: anp.sum(chain(z, ones)))
        candidates["autograd"] = lambda: gradient(ones)
    if mg:
        mx = mg.tensor(ones)
        candidates["MyGrad"] = lambda: chain(mx, ones).sum().backward()
    yield from ratios(
        "50-op chain, forward+backward",
        time_in_turns(candidates),
        {"PyTorch": 0.5, "autograd": 0.3},
    )


@row
def recording() -> Iterator[Row]:
    ones = np.ones(4, np.float32)
    x = cr.tensor(ones, requires_grad=True)
    multiply, times = np.multiply, range(100)

    def ours() -> None:
        for _ in times:
            x * x

    def numpys() -> None:
        for _ in times:
            multiply(ones, ones)

    medians = time_in_turns({"chainrule": ours, "numpy": numpys})
    over = (medians["chainrule"] - medians["numpy"]) / len(times)
    yield "recording x*x, µs over NumPy", over * 1e6, 0.6, ""


@row
def chain_twice() -> Iterator[Row]:
    ones = np.ones(4, np.float32)

    def ours() -> object:
        x = cr.tensor(ones, requires_grad=True)
        (g,) = cr.autograd.grad(product_chain(x).sum(), x, create_graph=True)
        return cr.autograd.grad(g.sum(), x)

    def theirs() -> object:
        x = torch.ones(4, requires_grad=True)
        (g,) = torch.autograd.grad(product_chain(x).sum(), x, create_graph=True)
        return torch.autograd.grad(g.sum(), x)

    candidates: dict[str, Callable[[], object]] = {"chainrule": ours}
    if torch:
        candidates["PyTorch"] = theirs
    yield from ratios(
        "50-op chain, reverse over reverse", time_in_turns(candidates), {"PyTorch": 1.0}
    )


def product_chain(x: Any) -> Any:
    y = x
    for _ in range(25):
        y = y * 1.01 + x * 0.5
    return y * x


@row
def million_entries() -> Iterator[Row]:
    data = np.random.default_rng(0).standard_normal(10**6).astype(np.float32)

    def run(lib: Any, x: Any) -> None:
        x.grad = None
        (lib.sin(x) * lib.exp(-x * x) + lib.tanh(x)).sum().backward()

    x = cr.tensor(data, requires_grad=True)
    candidates: dict[str, Callable[[], object]] = {"chainrule": lambda: run(cr, x)}
    if torch:
        tx = torch.tensor(data, requires_grad=True)
        candidates["PyTorch"] = lambda: run(torch, tx)
    if hips:
        f = hips.grad(lambda z: anp.sum(anp.sin(z) * anp.exp(-z * z) + anp.tanh(z)))
        candidates["autograd"] = lambda: f(data)
    yield from ratios(
        "sin·exp+tanh on 10⁶ float32", time_in_turns(candidates, 4.0), {"PyTorch": 1.0}
    )


@row
def mlp_step() -> Iterator[Row]:
    rng = np.random.default_rng(0)
    images = rng.standard_normal((128, 784)).astype(np.float32)
    labels = rng.integers(0, 10, 128)

    def build(n: Any, o: Any, f: Any, tensor: Any) -> Callable[[], object]:
        net = n.Sequential(
            n.Linear(784, 256), n.ReLU(), n.Linear(256, 256), n.ReLU(), n.Linear(256, 10)
        )
        return step_of(net, o.Adam(net.parameters(), lr=1e-3), f, tensor(images), tensor(labels))

    candidates = {"chainrule": build(nn, optim, F, cr.tensor)}
    if torch:
        candidates["PyTorch"] = build(torch.nn, torch.optim, torch.nn.functional, torch.tensor)
    yield from ratios(
        "MLP 784-256-256-10 step, batch 128, Adam", time_in_turns(candidates, 4.0), {"PyTorch": 1.0}
    )


@row
def cnn_step() -> Iterator[Row]:
    rng = np.random.default_rng(0)
    images = rng.standard_normal((64, 1, 8, 8)).astype(np.float32)
    labels = rng.integers(0, 10, 64)

    def build(n: Any, o: Any, f: Any, tensor: Any) -> Callable[[], object]:
        net = n.Sequential(
            n.Conv2d(1, 16, 3, padding=1), n.ReLU(), n.MaxPool2d(2),
            n.Conv2d(16, 32, 3, padding=1), n.ReLU(), n.MaxPool2d(2),
            n.Flatten(), n.Linear(128, 10),
        )  # fmt: skip
        return step_of(net, o.Adam(net.parameters(), lr=1e-3), f, tensor(images), tensor(labels))

    candidates = {"chainrule": build(nn, optim, F, cr.tensor)}
    if torch:
        candidates["PyTorch"] = build(torch.nn, torch.optim, torch.nn.functional, torch.tensor)
    yield from ratios(
        "digits CNN step, batch 64, Adam", time_in_turns(candidates, 4.0), {"PyTorch": 1.5}
    )


def step_of(net: Any, opt: Any, f: Any, x: Any, y: Any) -> Callable[[], object]:
    def step() -> None:
        opt.zero_grad()
        f.cross_entropy(net(x), y).backward()
        opt.step()

    return step


def indexed_sum(x: Any, n: int) -> None:
    s = 0.0
    for i in range(n):
        s += x[i] * x[i]
    s.backward()  # type: ignore[attr-defined]


@row
def indexing() -> Iterator[Row]:
    per_entry = {}
    for n in (1000, 4000):
        x = cr.ones(n, requires_grad=True)
        candidates: dict[str, Callable[[], object]] = {
            "chainrule": lambda x=x, n=n: indexed_sum(x, n)
        }
        if torch:
            tx = torch.ones(n, requires_grad=True)
            candidates["PyTorch"] = lambda tx=tx, n=n: indexed_sum(tx, n)
        times = time_in_turns(candidates, 3.0)
        per_entry[n] = times["chainrule"] / n
        yield from ratios(f"s += x[i]*x[i], n={n}", times, {"PyTorch": 1.0})
    yield "  the same, per entry, n=4000 over n=1000", per_entry[4000] / per_entry[1000], 1.25, ""


def mixed_chain(lib: Any, x: Any) -> Any:
    for i in range(20):
        x = lib.sin(x) * 1.01
        x = lib.exp(-x * x)
        x = lib.tanh(x) + float(i)
    return x


def kept_by(tensor: Any, inputs: list[Any]) -> int:
    """Bytes of the arrays that the tape of a tensor keeps, inputs and result not counted."""
    buffers = {}
    for node in engine.reach([tensor.node]):
        for array in (*(node.args or ()), node.out):
            if isinstance(array, np.ndarray) and array.ndim:
                owner = mutation.owner_of(array)
                buffers[id(owner)] = owner.nbytes
    for own in (tensor, *inputs):
        buffers.pop(id(mutation.owner_of(own.array)), None)
    return sum(buffers.values())


@row
def bytes_kept() -> Iterator[Row]:
    n = 10**6
    x = cr.ones(n, requires_grad=True)
    ours = kept_by(mixed_chain(cr, x), [x])
    if not torch:
        yield "bytes kept by a 100-op chain, arrays of 4 MB", ours / (4 * n), None, ""
        return
    kept: dict[int, int] = {}
    alive = []

    def pack(t: Any) -> Any:
        alive.append(t)
        kept[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
        return t

    tx = torch.ones(n, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        ty = mixed_chain(torch, tx)
    for own in (tx, ty):
        kept.pop(own.data_ptr(), None)
    theirs = sum(size for size in kept.values() if size > 8)
    yield "bytes kept by a 100-op chain / PyTorch", ours / theirs, 1.0, f"{ours // 4 // n} arrays"


@row
def long_tape() -> Iterator[Row]:
    def per_op(n: int) -> float:
        x = cr.ones(4, requires_grad=True)
        gc.collect()
        start = time.perf_counter()
        y = x
        for _ in range(n):
            y = y + x
        y.backward(cr.ones(4))
        return (time.perf_counter() - start) / n

    small = statistics.median(per_op(10**4) for _ in range(9))
    large = statistics.median(per_op(10**6) for _ in range(3))
    yield "tape of 10⁶ ops, time per op over 10⁴", large / small, 1.5, f"{large * 1e6:.3g} µs"


@row
def import_time() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as cache:

        def seconds(statement: str) -> float:
            code = (
                f"import time; s = time.perf_counter(); {statement}; print(time.perf_counter() - s)"
            )
            command = [sys.executable, "-X", f"pycache_prefix={cache}", "-c", code]
            env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
            runs = [
                float(subprocess.run(command, capture_output=True, check=True, env=env).stdout)
                for _ in range(10)
            ]
            return statistics.median(runs[1:])  # the first writes the bytecode

        extra = seconds("import numpy, chainrule") - seconds("import numpy")
    yield "import chainrule over import numpy, ms", extra * 1e3, 60, ""


if __name__ == "__main__":
    main(__doc__)
