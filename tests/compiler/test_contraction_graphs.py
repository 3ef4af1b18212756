"""Graphs in which contractions, elementwise operations and sums follow each other in any order."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

pytest.importorskip("llvmlite")
pytest.importorskip("scipy")

import chainrule as cr
from tests.compiler.inputs import ordinary
from tests.compiler.programs import both, trace

SIZES = {"a": 3, "b": 18, "c": 17, "d": 20, "e": 19}
STARTS = ("acd", "bcd", "dc", "ade", "d")


@st.composite
def graphs(draw):
    """A function of arrays with lettered axes, of 3 to 14 steps, to be differentiated or not."""
    steps = draw(st.lists(st.tuples(*[st.integers(0, 60)] * 5), min_size=3, max_size=14))

    def f(*arrays):
        values = list(zip(arrays, STARTS, strict=True))
        for step in steps:
            values.append(_grown(values, *step))
        results = [x for x, _ in values[-3:]]
        return sum(cr.tanh(x).sum() for x in results) if scalar else results

    scalar = draw(st.booleans())
    f.scalar, f.steps = scalar, steps
    return f


def _grown(values, kind, i, j, k, turn):
    """One more value, with its letters."""
    (x, s), (y, t) = values[i % len(values)], values[-1 - j % len(values)]
    if kind % 6 < 4:
        both_letters = [c for c in SIZES if c in s or c in t]
        out = [c for n, c in enumerate(both_letters) if (k >> n) & 1][:3]
        # Letters of one operand alone stay: einsum would sum them first, which is no contraction.
        out += [c for c in both_letters if (c in s) != (c in t) and c not in out]
        rotated = "".join(out[turn % len(out) :] + out[: turn % len(out)]) if out else ""
        if len(rotated) <= 3 and not {c for c in s if c in t} <= set(rotated):
            return cr.einsum(f"{s},{t}->{rotated}", x, y) / 4, rotated
        return (x * y + 1 if s == t else cr.sin(x)), s
    if kind % 6 == 4 and len(s) > 1:
        return x.sum(k % len(s)) / 4, s[: k % len(s)] + s[k % len(s) + 1 :]
    if kind % 6 == 5 and len(s) > 1:
        return x.transpose(0, 1) - x.transpose(0, 1).amax(), s[1] + s[0] + s[2:]
    return cr.tanh(x) * 2, s


@settings(max_examples=60, deadline=None, derandomize=True, phases=[Phase.generate])
@given(graphs())
def test_random_graphs(f):
    arrays = [ordinary([SIZES[c] for c in s], "float64", i) / 3 for i, s in enumerate(STARTS)]
    graph = trace(f, *arrays)
    if f.scalar:
        graph = graph.value_and_grad().optimize()
    program, found, wanted = both(graph, *arrays)
    assert not any("could not be compiled" in r for r in program.steps.refused.values())
    again = program.run(arrays)
    for a, b, c in zip(found, wanted, again, strict=True):
        scale = max(1.0, float(np.abs(b).max())) if b.size else 1.0
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-10 * scale)
        np.testing.assert_array_equal(a, c)


GUARDED = """
import ctypes, mmap
import numpy as np
import chainrule as cr
from chainrule.compiler.execute import compiled
from tests.compiler.inputs import ordinary
from tests.compiler.test_contractions import MODELS

libc = ctypes.CDLL(None, use_errno=True)
held = []

def allocate(shape, dtype):
    # Ends where a page that may not be touched begins; what stands before it is checked.
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    pages = size // mmap.PAGESIZE + 2
    memory = mmap.mmap(-1, (pages + 1) * mmap.PAGESIZE)
    raw = np.frombuffer(memory, np.uint8)
    raw[:] = 0xA5
    address = raw.ctypes.data + pages * mmap.PAGESIZE
    assert libc.mprotect(ctypes.c_void_p(address), mmap.PAGESIZE, 0) == 0
    start = pages * mmap.PAGESIZE - size
    held.append((raw, start))
    return np.ndarray(shape, dtype, raw, start)

for dtype in ("float32", "float64"):
    for f, shapes in MODELS.items():
        arrays = [allocate(s, dtype) for s in shapes]
        for i, x in enumerate(arrays):
            x[...] = ordinary(x.shape, dtype, i) / 4
        copies = [x.copy() for x in arrays]
        program = compiled(cr.graph.trace(f, *copies).value_and_grad().optimize())
        program.allocate = allocate
        program.run(arrays)
        for raw, start in held:
            assert (raw[:start] == 0xA5).all()
        for x, copy in zip(arrays, copies):
            assert np.array_equal(x, copy)
        held.clear()
print("untouched")
"""


def test_nothing_is_touched_outside_buffers():
    done = subprocess.run(
        [sys.executable, "-c", GUARDED], capture_output=True, text=True, timeout=600
    )
    assert done.stdout == "untouched\n", done.stderr[-2000:]


def test_products_run_in_threads():
    from concurrent.futures import ThreadPoolExecutor

    def f(x, w, v):
        return cr.tanh(cr.tanh(x @ w) @ v).sum()

    arrays = [ordinary(s, "float64", i) / 9 for i, s in enumerate([(60, 50), (50, 40), (40, 30)])]
    program, _, _ = both(trace(f, *arrays).value_and_grad().optimize(), *arrays)
    assert len(program.report().products) >= 5
    wanted = program.run(arrays)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: program.run(arrays), range(60)):
            for a, b in zip(found, wanted, strict=True):
                np.testing.assert_array_equal(a, b)
