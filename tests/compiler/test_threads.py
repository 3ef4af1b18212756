"""Large kernels on several threads: the same bits, whatever happens to the threads."""

import gc
import os
import signal
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import itertools

import chainrule as cr
from chainrule.compiler import threads
from chainrule.compiler.execute import compiled
from chainrule.graph.run import evaluate, plan_of
from tests.compiler.inputs import ordinary
from tests.compiler.test_programs import batch_norm, chain, cross_entropy, layer_norm


@pytest.fixture(autouse=True)
def _as_before(monkeypatch):
    monkeypatch.setattr(threads, "LARGE", 1000)
    before = cr.get_num_threads()
    yield
    cr.set_num_threads(before)


def shared(program):
    """The steps of a program that threads share."""
    return [step for step in program._runs if isinstance(step, threads.Shared)]


PROGRAMS = {
    "sum of everything with rare arguments": (chain, (200_000,)),
    "rows": (layer_norm, (301, 200)),
    "columns": (batch_norm, (70, 1000)),
    "softmax": (cross_entropy, (203, 257)),
    "entries": (lambda x: (cr.exp(x) * 2, x + 1), (100_003,)),
    "transposed": (lambda x: cr.tanh(x).transpose(0, 1) * 2, (301, 203)),
    "one loop with rare arguments": (lambda x: cr.sin(x) * cr.cos(x), (50_001,)),
    "extremes": (lambda x: x.amax(0).sum() + x.amin(1).sum(), (300, 1000)),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_the_same_bits_for_every_number(name, dtype):
    f, shape = PROGRAMS[name]
    x = ordinary(shape, dtype, 0)
    if "rare" in name:
        x[[5, 1000, x.size // 2 + 3]] = [1e15, -3e15, 2.0**50]
    graph = cr.graph.trace(f, x)
    if graph.outputs[0].shape == ():
        graph = graph.value_and_grad()
    program = compiled(graph)
    assert shared(program)
    cr.set_num_threads(1)
    wanted = program.run([x])
    tolerance = 1e-3 if dtype == "float32" else 1e-9
    for a, b in zip(wanted, evaluate(plan_of(graph), [x]), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * np.abs(b).max())
    for count in (2, 3, 7, 16):
        cr.set_num_threads(count)
        for _ in range(3):
            for a, b in zip(program.run([x]), wanted, strict=True):
                assert a.tobytes() == b.tobytes()


def test_parts_cover_the_loop_once():
    x = ordinary((100_003,), "float32", 0)
    (step,) = shared(compiled(cr.graph.trace(cr.exp, x)))
    for units in (2, 3, 196):
        for count in (2, 5, 1000):
            parts = step._parts(units, count)
            assert parts[0][0] == 0
            assert parts[-1][1] == step.trip
            assert all(a[1] == b[0] for a, b in itertools.pairwise(parts))
            assert all(begin % 512 == 0 for begin, _ in parts)


def test_two_programs_at_once():
    x, y = ordinary((300, 500), "float64", 0), ordinary((400_000,), "float64", 1)
    first = compiled(cr.graph.trace(layer_norm, x).value_and_grad())
    second = compiled(cr.graph.trace(chain, y).value_and_grad())
    wanted = [first.run([x]), second.run([y])]
    cr.set_num_threads(3)

    def run(i):
        found = [first.run([x]), second.run([y])] if i % 2 else [second.run([y]), first.run([x])]
        return found if i % 2 else found[::-1]

    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(run, range(40)):
            for outs, right in zip(found, wanted, strict=True):
                for a, b in zip(outs, right, strict=True):
                    np.testing.assert_array_equal(a, b)


def test_nothing_is_kept_alive():
    """What a job held is free when it is done, also if a thread comes to it late."""
    x = ordinary((200_000,), "float64", 0)
    program = compiled(cr.graph.trace(cr.exp, x))
    cr.set_num_threads(3)
    for _ in range(20):
        (out,) = program.run([x])
        gone = weakref.ref(out)
        del out
        gc.collect()
        assert gone() is None


@pytest.mark.parametrize("native", [True, False])
def test_an_error_stops_all_threads(native):
    """What the waiting thread raises comes out; the memory lives until all have stopped."""
    x = ordinary((400_000,), "float64", 0)
    program = compiled(cr.graph.trace(cr.exp, x))
    (step,) = shared(program)
    native, main = step.part, threading.current_thread()
    started, stopped = threading.Event(), threading.Event()
    seen = []

    def part(addresses, begin, end):
        if threading.current_thread() is main:
            started.wait(10)
            raise KeyboardInterrupt
        started.set()
        stopped.wait(10)
        native(addresses, begin, end)
        seen.append((begin, end))

    cr.set_num_threads(2)
    step.part = part
    made = []
    if native:
        drive = program._drive

        def watched(table, outs, scratch, *arrays):
            made.append(weakref.ref(outs[0]))
            return drive(table, outs, scratch, *arrays)

        program._drive = watched
    else:

        def allocate(shape, dtype):
            made.append(weakref.ref(out := np.empty(shape, dtype)))
            return out

        program.allocate = allocate
    with pytest.raises(KeyboardInterrupt):
        program.run([x])
    assert made[0]() is not None  # the other thread still writes into it
    stopped.set()
    for _ in range(1000):
        if seen and made[0]() is None:
            break
        threading.Event().wait(0.01)
    assert len(seen) == 1
    assert made[0]() is None
    step.part = native
    program.allocate = np.empty
    np.testing.assert_allclose(program.run([x])[0], np.exp(x), rtol=1e-14)


INTERRUPTED = """
import signal
import numpy as np
import chainrule as cr
from chainrule.compiler import threads
from chainrule.compiler.execute import compiled
x = np.linspace(0, 9, 1 << 20)
program = compiled(cr.graph.trace(lambda x: (cr.sin(x) * cr.exp(-x * x)).sum(), x).value_and_grad())
cr.set_num_threads(3)
wanted = program.run([x])
caught = 0
signal.signal(signal.SIGALRM, signal.default_int_handler)
for k in range(60):
    try:
        # More than once: Python drops what is raised in a finalizer.
        signal.setitimer(signal.ITIMER_REAL, 0.001 + 0.0005 * (k % 20), 0.3)
        while True:
            program.run([x])
    except KeyboardInterrupt:
        signal.setitimer(signal.ITIMER_REAL, 0)
        caught += 1
    for a, b in zip(program.run([x]), wanted):
        assert (a == b).all()
print("caught", caught)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_interrupts_at_any_time():
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=300
    )
    assert done.stdout == "caught 60\n", done.stderr[-2000:]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_process_makes_threads_of_its_own():
    x = ordinary((200_000,), "float64", 0)
    program = compiled(cr.graph.trace(chain, x).value_and_grad())
    cr.set_num_threads(3)
    wanted = program.run([x])
    child = os.fork()
    if child == 0:  # pragma: no cover
        signal.alarm(60)
        same = all(np.array_equal(a, b) for a, b in zip(program.run([x]), wanted, strict=True))
        os._exit(0 if same else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_small_kernels_have_no_threads(monkeypatch):
    monkeypatch.setattr(threads, "LARGE", 1 << 23)
    program = compiled(cr.graph.trace(chain, np.ones(1000)))
    assert not shared(program)
    assert program.fast is program._entry


def test_no_threads_before_they_are_needed():
    code = (
        "import threading, numpy as np, chainrule as cr, chainrule.compiler.execute as e\n"
        "e.compiled(cr.graph.trace(cr.exp, np.ones(4))).run([np.ones(4)])\n"
        "print(threading.active_count())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "1\n", done.stderr


@pytest.mark.parametrize(("given", "most"), [("1", 1), ("4,2", 4), ("", None), ("many", None)])
def test_default_number(monkeypatch, given, most):
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    monkeypatch.setattr(threads._Setting, "count", None)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert cr.get_num_threads() == min(cores, most or cores)


def test_setting_the_number():
    cr.set_num_threads(5)
    assert cr.get_num_threads() == 5
    with pytest.raises(RuntimeError, match="positive"):
        cr.set_num_threads(0)
    for wrong in (2.0, "3", None, True):
        with pytest.raises(TypeError, match="expects an int"):
            cr.set_num_threads(wrong)
