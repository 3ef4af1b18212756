"""The native entry of a program: arrays in, arrays out, and what it refuses."""

import gc
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule.compiler import entry, execute, threads
from chainrule.compiler.execute import compiled
from chainrule.compiler.lowering import COMPILED_DTYPES
from chainrule.graph.run import evaluate, plan_of
from tests.compiler.inputs import ordinary

pytest.importorskip("llvmlite")


def program_of(f, *examples):
    program = compiled(cr.graph.trace(f, *examples))
    assert program.fast is program._entry, "the program should have a native entry"
    return program


def is_evaluated(program, *arrays, rtol=0):
    found = program.fast(*arrays)
    wanted = evaluate(plan_of(program.graph), list(arrays))
    assert type(found) is list
    for a, b in zip(found, wanted, strict=True):
        assert type(a) is np.ndarray
        assert a.flags.owndata
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=rtol)


@pytest.mark.parametrize("dtype", sorted(COMPILED_DTYPES, key=str), ids=str)
@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 4, 5)], ids=str)
def test_results_of_all_dtypes_and_shapes(dtype, shape):
    x = np.asarray(ordinary(shape, dtype, 0))
    is_evaluated(program_of(lambda x: (cr.maximum(x, x), cr.isnan(x)), x), x)


def test_constants_scratch_and_several_arguments():
    table = np.arange(12.0).reshape(3, 4)

    def f(x, y):
        z = (x * y).sum(0)
        return z * x + cr.asarray(table), (x - z).sum(1), x.transpose(0, 1) * 2

    x, y = ordinary((3, 4), "float64", 0), ordinary((3, 4), "float64", 1)
    program = program_of(f, x, y)
    assert 0 < program.steps.scratch <= entry.ON_STACK
    is_evaluated(program, x, y, rtol=1e-14)
    wide = ordinary((20, 5_000), "float64", 2)
    program = program_of(lambda x: (x - (x * 2).sum(0)).transpose(0, 1) + 1, wide)
    assert program.steps.scratch > entry.ON_STACK
    is_evaluated(program, wide)


def test_what_does_not_fit_is_refused():
    x = np.ones((4, 6))
    program = program_of(lambda x: x * 2, x)
    room = np.zeros(4 * 6 * 8 + 1, np.uint8)
    others = [
        np.ones((6, 4)),
        np.ones(24),
        np.ones((4, 6), np.float32),
        np.ones((4, 6), ">f8"),
        np.ones((4, 12))[:, ::2],
        np.asfortranarray(x),
        room[1:].view(np.float64).reshape(4, 6),
        np.ma.masked_array(x),
        x.tolist(),
        cr.asarray(x),
        None,
        3.0,
    ]
    for other in others:
        assert program.fast(other) is None, repr(other)
    assert program.fast() is None
    assert program.fast(x, x) is None
    with pytest.raises(TypeError):
        program.fast(x=x)
    for other in others[3:7]:
        np.testing.assert_array_equal(program.run([other])[0], other * 2)


def test_scalars_of_numpy_are_no_arrays():
    program = program_of(lambda x: x * 2, np.array(3.0))
    assert program.fast(np.float64(3)) is None
    assert program.run([np.float64(3)])[0] == 6


def test_nothing_is_left_behind():
    """Reference counts of arguments, dtypes and results; code that outlives its program."""
    x = np.ones(3)
    run = program_of(lambda x: (x * 2, x.sum()), x).fast
    gc.collect()
    np.testing.assert_array_equal(run(x)[0], [2, 2, 2])
    refused = np.ones(4)
    things = [x, refused, x.dtype, None]
    before = [sys.getrefcount(thing) for thing in things]
    for _ in range(1000):
        run(x)
        run(refused)
    after = [sys.getrefcount(thing) for thing in things]
    assert all(abs(b - a) < 20 for a, b in zip(before, after, strict=True))
    assert sys.getrefcount(run(x)[0]) == sys.getrefcount(np.ones(3))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_no_memory_is_an_error_of_python(monkeypatch):
    import resource

    monkeypatch.setattr(threads, "LARGE", 1 << 40)

    x = np.ones((1, 1))
    run = program_of(lambda x: (x * 2, x.expand(1, 1 << 25) + 1), x).fast
    limits = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 26), limits[1]))
    try:
        with pytest.raises(MemoryError):
            run(x)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
    assert run(x)[1].shape == (1, 1 << 25)


def test_long_programs_let_other_threads_run(monkeypatch):
    monkeypatch.setattr(threads, "LARGE", 1 << 40)
    x = ordinary((1 << 20,), "float64", 0)
    program = program_of(lambda x: cr.sin(cr.exp(cr.sin(cr.exp(cr.sin(x))))), x)
    ticks = []
    stop = threading.Event()

    def count():
        while not stop.is_set():
            ticks.append(1)

    other = threading.Thread(target=count)
    other.start()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        while not ticks:
            pass
        before = len(ticks)
        program.fast(x)
        assert len(ticks) > before
    finally:
        stop.set()
        other.join()
        sys.setswitchinterval(interval)


def test_without_the_known_layout(monkeypatch):
    """Where arrays are laid out otherwise, programs run without an entry."""
    monkeypatch.setattr(execute, "is_known", lambda: False)
    x = np.arange(5.0)
    program = compiled(cr.graph.trace(lambda x: (x * 2, x.sum()), x))
    assert program._entry is None
    np.testing.assert_array_equal(program.fast(x)[0], x * 2)
    assert program.fast(x[::-1]) is None
    assert program.fast(x.astype("f")) is None
    assert program.fast(x, x) is None
    np.testing.assert_array_equal(program.run([x[::-1]])[0], 2 * x[::-1])
