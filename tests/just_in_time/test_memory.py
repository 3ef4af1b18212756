"""What a compiled function keeps alive: its code, and nothing that it was called with."""

from __future__ import annotations

import gc
import tracemalloc
import weakref

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import chainrule as cr
from chainrule.just_in_time import jit

x = np.linspace(0.1, 1, 50)


def grown(call, times):
    """The bytes that some more calls leave behind."""
    for i in range(min(times, 20)):
        call(i)
    gc.collect()
    tracemalloc.start()
    call(0)
    gc.collect()
    before, _ = tracemalloc.get_traced_memory()
    for i in range(times):
        call(i)
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return after - before


def backward(f):
    a = cr.tensor(x, requires_grad=True)

    def call(i):
        a.grad = None
        f(a).backward()

    return call


CALLS = {
    "short": lambda f: lambda i: f(x),
    "keywords": lambda f: lambda i: f(x=x),
    "backward": backward,
    "grad": lambda f: lambda i: cr.func.grad(f)(x),
    "vmap": lambda f: lambda i: cr.func.vmap(f)(np.stack([x, x])),
    "not recorded": lambda f: lambda i: f.clear() or f(x),
}


@pytest.mark.parametrize("kind", CALLS)
def test_calls_leave_nothing_behind(kind):
    call = CALLS[kind](jit(lambda x: (x.sin() * x).sum()))
    times = 3 if kind == "not recorded" else 300
    few, many = grown(call, times), grown(call, 3 * times)
    assert min(few, many) < 20_000


def test_writes_draws_and_paths_leave_nothing_behind():
    @jit
    def f(x):
        x.add_(cr.rand(50))
        return x * 2 if x[0] > 0 else x

    assert min(grown(lambda i: f((-1) ** i * 5 * x), n) for n in (200, 600)) < 20_000


@pytest.mark.filterwarnings("ignore:jit. .* was called with more than 3 different")
def test_signatures_are_bounded():
    scale = [0.0]
    f = jit(lambda x, name: x * scale[0], max_signatures=3)
    for i in range(12):
        scale[0] = float(i)
        f(x[: i + 1], "a" * i)
    assert len(f.signatures) <= 3
    assert len(f._quick) <= 3


def test_arguments_and_results_are_not_kept():
    class Settings:
        pass

    kept = []

    def watched(t):
        kept.extend([weakref.ref(t), weakref.ref(t.array)])
        return t

    fs = [
        jit(lambda a, b: (a * b).sum()), jit(lambda a, b: a * 2 if b[0] > 0 else b),
        jit(lambda a, b: (a * 1).add_(b)),
    ]  # fmt: skip
    for f in fs:
        for grad in (False, True):
            y = f(*[watched(cr.ones(1000).requires_grad_(grad)) for _ in "ab"])
            if grad:
                y.sum().backward()
            kept.append(weakref.ref(watched(y)))
            del y
    assert not [r for r in kept if r() is not None]


def test_a_function_goes_with_what_it_holds():
    """At once, without the garbage collector."""

    def made():
        table = cr.ones(50)
        f = jit(lambda x: x * table)
        f(x)
        cr.func.grad(lambda x: f(x).sum())(x)
        return [f, f.function, table]

    things = made()
    kept = list(map(weakref.ref, things))
    gc.collect()
    gc.disable()
    try:
        things.clear()
        assert [r() for r in kept] == [None] * 3
    finally:
        gc.enable()


def test_what_variables_held_before_is_not_kept():
    table = np.ones(1000)
    f = jit(lambda x: x + table, max_signatures=1)
    f(1.0)
    before = weakref.ref(table)
    table = np.zeros(1000)
    with pytest.warns(cr.just_in_time.JitWarning, match="more than 1 different"):
        f(1.0)
    gc.collect()
    assert before() is None
