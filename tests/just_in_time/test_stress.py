"""Threads, forks, interrupts and other processes, in the middle of compiling."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import chainrule as cr
from chainrule.compiler import cache
from chainrule.just_in_time import jit

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX processes and signals")


def wave(x):
    return (cr.sin(x) * cr.exp(-x * x)).sum() + (x[0] if x[0] > 0 else -x[0])


def expected(x):
    return (np.sin(x) * np.exp(-x * x)).sum() + abs(x[0])


@pytest.fixture(params=["without a disk cache", "with a disk cache"])
def disk(request, monkeypatch, tmp_path):
    """Both ways to get machine code."""
    if request.param.startswith("with a"):
        monkeypatch.setenv("CHAINRULE_CACHE", "1")
        monkeypatch.setenv("CHAINRULE_CACHE_DIR", str(tmp_path))
        monkeypatch.setattr(cache, "_KNOWN", {})


def test_threads_compile_and_call(disk):
    """Eight threads; functions and signatures that they share, and some of their own."""
    shared = jit(wave)
    own = [jit(wave) for _ in range(8)]
    barrier_shapes = [5, 9, 33]

    def work(i):
        rng = np.random.default_rng(i)
        for k in range(12):
            x = rng.normal(size=barrier_shapes[k % 3])
            np.testing.assert_allclose(shared(x), expected(x), rtol=1e-12)
            np.testing.assert_allclose(own[i](x[:5]), expected(x[:5]), rtol=1e-12)
            slope = cr.func.grad(shared)(x)
            wanted = np.cos(x) * np.exp(-x * x) - 2 * x * np.sin(x) * np.exp(-x * x)
            wanted[0] += np.sign(x[0])
            np.testing.assert_allclose(slope, wanted, rtol=1e-9, atol=1e-12)
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))
    assert len(shared.signatures) == 3
    assert all(len(s.variants) <= 2 for s in shared.signatures)


def run_python(code, **environment):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True,
        env=os.environ | environment, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


FORKED = """
    import os, random, signal, sys, threading, time, warnings
    warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of forks with threads
    import numpy as np
    import chainrule as cr
    from chainrule.just_in_time import jit
    from tests.just_in_time.test_stress import expected, wave

    known = jit(wave)
    x = np.linspace(0.1, 1, 7)
    known(x)
    cr.func.grad(known)(x)
    stop = threading.Event()
    compiled = [0]

    def work(seed):
        n = seed
        while not stop.is_set():
            n += 10
            y = np.linspace(0.1, 1, n)
            made = jit(wave)
            assert abs(made(y) - expected(y)) < 1e-9
            known(np.linspace(0.1, 1, n % 50 + 8))
            cr.func.grad(made)(y)
            compiled[0] += 1

    threads = [threading.Thread(target=work, args=(i,)) for i in (20, 25)]
    for t in threads:
        t.start()
    rng = random.Random(0)
    for _ in range(12):
        time.sleep(rng.random() * 0.1)
        child = os.fork()
        if child == 0:
            signal.alarm(60)  # a child that waits for ever is killed
            y = np.linspace(0.1, 1, 13)
            fine = abs(known(x) - expected(x)) < 1e-9 and abs(known(y) - expected(y)) < 1e-9
            fine = fine and abs(jit(wave)(y) - expected(y)) < 1e-9
            cr.func.grad(known)(y)
            os._exit(0 if fine else 1)
        _, status = os.waitpid(child, 0)
        assert status == 0, status
    stop.set()
    for t in threads:
        t.join()
    print("done", compiled[0] > 0)
"""


@posix
@pytest.mark.parametrize("on", ["0", "1"])
def test_forks_while_other_threads_compile(tmp_path, on):
    out = run_python(FORKED, CHAINRULE_CACHE=on, CHAINRULE_CACHE_DIR=str(tmp_path))
    assert out == "done True\n"
    assert not [*tmp_path.rglob("*.part")]


class Interrupted(KeyboardInterrupt):
    """What Ctrl-C raises, at a moment of the test's choice."""


# An interrupt that comes during a finalizer is printed and ignored, by Python itself.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@posix
def test_interrupts_while_compiling(disk, tmp_path):
    """At whatever moment Ctrl-C comes, the next call works, and nothing is left half done."""

    def interrupt(*args):
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    x = np.linspace(0.1, 1, 6)
    hits = 0
    try:
        for k in range(12):
            f = jit(lambda x, k=k: wave(x) * (k + 1.5))
            for moment in (0.001 * (k + 1), 0.007 * (k + 1)):
                try:
                    signal.setitimer(signal.ITIMER_REAL, moment)
                    cr.func.grad(f)(x)
                    signal.setitimer(signal.ITIMER_REAL, 0)
                except Interrupted:
                    hits += 1
            np.testing.assert_allclose(f(x), expected(x) * (k + 1.5), rtol=1e-12)
            np.testing.assert_allclose(
                cr.func.grad(f)(x), cr.func.grad(wave)(x) * (k + 1.5), rtol=1e-12
            )
            # Outside of recordings, tensors are what they always are.
            assert wave(cr.tensor(x)).item() == pytest.approx(expected(x))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert hits > 5
    assert not [*tmp_path.rglob("*.part")]


UNPICKLED = """
    import pickle, sys
    import numpy as np
    from chainrule.compiler import cache
    f = pickle.loads(bytes.fromhex(sys.stdin.read()))
    x = np.linspace(0.1, 1, 11)
    print(repr(float(f(x))), cache.info().found, cache.info().stored)
"""


def test_a_pickled_function_is_compiled_where_it_arrives(monkeypatch, tmp_path):
    """Pickled is the function, not its machine code, which the other process finds on the disk."""
    monkeypatch.setenv("CHAINRULE_CACHE", "1")
    monkeypatch.setenv("CHAINRULE_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(cache, "_KNOWN", {})
    f = jit(wave, max_variants=3)
    x = np.linspace(0.1, 1, 11)
    here = float(f(x))
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(UNPICKLED)], input=pickle.dumps(f).hex(),
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == [repr(here), "1", "0"]
    again = pickle.loads(pickle.dumps(f))
    assert not again.signatures
    assert again._options == f._options
