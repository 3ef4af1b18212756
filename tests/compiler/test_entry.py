"""The native entry of a program: arrays in, arrays out, and what it refuses."""

import gc
import sys
import threading
import time
import weakref
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


@pytest.fixture
def all_large(monkeypatch):
    """Kernels are shared by threads, of which there are two."""
    monkeypatch.setattr(threads, "LARGE", 1000)
    before = cr.get_num_threads()
    cr.set_num_threads(2)
    yield
    cr.set_num_threads(before)


def driven_program_of(f, *examples):
    program = compiled(cr.graph.trace(f, *examples))
    assert program._driven
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


def normalised(x, y):
    """Rows that add up to 1, two sums of everything, a small kernel between large ones."""
    z = cr.exp(x)
    rows = z / z.sum(1, keepdim=True)
    return rows * (y * 2).sum(), (rows * x).sum(), y + 1


@pytest.mark.parametrize("shape", [(50, 100), (300, 400)], ids=str)
def test_large_kernels_on_any_number_of_threads(all_large, shape):
    x, y = ordinary(shape, "float64", 0), ordinary((5,), "float64", 1)
    program = driven_program_of(normalised, x, y)
    assert any(isinstance(step, threads.Shared) for step in program._runs)
    assert not all(isinstance(step, threads.Shared) for step in program._runs)
    wanted = program.fast(x, y)
    for count in (1, 3, 1, 2):
        cr.set_num_threads(count)
        is_evaluated(program, x, y, rtol=1e-13)
        for a, b in zip(program.fast(x, y), wanted, strict=True):
            assert a.tobytes() == b.tobytes()
    assert program.fast(x, x) is None
    assert program.fast(x) is None
    assert program.fast(x, y, y) is None
    turned = np.asfortranarray(x)
    for a, b in zip(program.run([turned, y]), wanted, strict=True):
        assert a.tobytes() == b.tobytes()


def test_numpy_is_called_between_kernels():
    def f(x, y):
        z = cr.sin(x) * y
        w = cr.sort(z, 1)[0]
        return w * z, w, x, w.sum(0), cr.linalg.inv(z @ z.transpose(0, 1))

    x, y = ordinary((3, 7), "float64", 0), ordinary((7,), "float64", 1)
    program = compiled(cr.graph.trace(f, x, y))
    assert len(program.report().calls) == 2
    assert program.report().kernels
    assert program._driven
    assert not program._native
    is_evaluated(program, x, y, rtol=1e-12)
    assert not np.may_share_memory(program.fast(x, y)[2], x)
    assert program.fast(x, x) is None


@pytest.mark.parametrize("dtype", ["float16", "complex64", "complex128"])
def test_arrays_that_only_numpy_computes_with(dtype):
    x, y = np.arange(6).reshape(2, 3).astype(dtype), ordinary((4,), "float64", 0)
    program = driven_program_of(lambda x, y: (x * x, y.exp() + 1, x), x, y)
    is_evaluated(program, x, y, rtol=1e-15)


def test_an_index_out_of_bounds_is_an_error_on_every_way(all_large):
    x, index = ordinary((2000,), "float64", 0), np.arange(2000) % 7
    program = driven_program_of(lambda x, i: (cr.exp(x[i]) * x, (x[:3] * 2).sum()), x, index)
    for count in (2, 1):
        cr.set_num_threads(count)
        is_evaluated(program, x, index, rtol=1e-15)
        with pytest.raises(IndexError, match="2000"):
            program.fast(x, index + 1997)
        is_evaluated(program, x, index, rtol=1e-15)


@pytest.mark.parametrize("count", [1, 2])
def test_nothing_is_left_behind_by_a_driver(all_large, count):
    """Reference counts of arguments and results; scratch memory is kept, one piece of it."""
    cr.set_num_threads(count)
    x, y = ordinary((50, 100), "float64", 0), ordinary((5,), "float64", 1)
    program = driven_program_of(normalised, x, y)
    run = program.fast
    run(x, y)
    refused = np.ones(4)
    gc.collect()  # what other tests left refers to dtypes
    things = [x, y, refused, x.dtype, None, program, program._drive.__func__]
    before = [sys.getrefcount(thing) for thing in things]
    (scratch,) = program._free
    for _ in range(300):
        run(x, y)
        run(x, refused)
    until = time.monotonic() + 60
    while not threads._pool()._jobs.empty():  # jobs that are over, which hold a few None
        assert time.monotonic() < until
        time.sleep(0.01)
    after = [sys.getrefcount(thing) for thing in things]
    assert all(abs(b - a) < 20 for a, b in zip(before, after, strict=True))
    assert len(program._free) == 1
    assert program._free[0] is scratch
    assert sys.getrefcount(run(x, y)[0]) == sys.getrefcount(np.ones(3))


def test_the_error_of_a_driver_comes_out(all_large):
    """Memory that other threads may still use is not kept for the next call."""
    x, y = ordinary((50, 100), "float64", 0), ordinary((5,), "float64", 1)
    program = driven_program_of(normalised, x, y)
    program.fast(x, y)
    real, seen = program._drive, []

    def drive(table, made, scratch, *arrays):
        seen.append(weakref.ref(scratch))
        raise KeyboardInterrupt

    program._drive = drive
    counts = sys.getrefcount(x), sys.getrefcount(y)
    with pytest.raises(KeyboardInterrupt):
        program.fast(x, y)
    assert (sys.getrefcount(x), sys.getrefcount(y)) == counts
    assert seen[0]() is None
    assert not program._free
    program._drive = real
    is_evaluated(program, x, y, rtol=1e-13)


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
