"""Programs touch nothing outside their buffers (`tests/compiler/guarded.py`), each in a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("llvmlite")
if os.name == "nt":
    pytest.skip("pages are forbidden by mprotect", allow_module_level=True)

import chainrule as cr
from tests.compiler.guarded import Guard


def guarded(*options):
    """What `python -m tests.compiler.guarded` says, which dies where memory is touched wrongly."""
    command = [sys.executable, "-m", "tests.compiler.guarded", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)
    last = done.stderr[-2000:]
    assert done.returncode != -signal.SIGSEGV, f"touched memory outside a buffer:\n{last}"
    assert done.returncode == 0, last
    return int(done.stdout.split()[0])


@pytest.mark.parametrize("where", ["end", "begin"])
def test_nothing_is_touched_outside_buffers(where):
    assert guarded(where, "functions", "8", "1" if where == "end" else "5") >= 6
    assert guarded(where, "registry", "24", "0" if where == "end" else "12") > 40
    assert guarded(where, "graphs", "20", "7" if where == "end" else "3") == 10


@pytest.mark.slow
@pytest.mark.parametrize("where", ["end", "begin"])
@pytest.mark.parametrize("programs", ["functions", "registry", "fuzzer", "graphs"])
def test_nothing_is_touched_outside_buffers_by_any_program(where, programs):
    assert guarded(where, programs) > 50


BROKEN = """
import sys
from chainrule.compiler import loops
from tests.compiler import guarded

real = loops._innermost

def wrong(body, nest, indices, begin, end):
    one = body.whole(1)
    if sys.argv[1] == "end":
        end = body.builder.add(end, one)
    else:
        begin = body.builder.sub(begin, one)
    real(body, nest, indices, begin, end)

loops._innermost = wrong
guarded.main(sys.argv[1], "functions")
"""


@pytest.mark.parametrize("where", ["end", "begin"])
def test_an_entry_too_many_is_found(where):
    """A loop that goes one too far, at its end or its beginning, is killed."""
    done = subprocess.run(
        [sys.executable, "-c", BROKEN, where], capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGSEGV
    assert "Segmentation fault" in done.stderr


def spilled(a, b, c, d, e, x, f, y, s):
    """So much at once that masks are kept in memory, and flags beside numbers of 8 bytes."""
    t = cr.tanh(cr.sin(x))
    u = cr.logaddexp(y, x)
    v = cr.sin(u * u)
    w = 1 / (cr.cos(v) + 1.5)
    q = w / (cr.cos(v) + 1.5)
    r = s / 18 * a * -q * -cr.sin(v)
    r = (r + b) * cr.cos(u * u) * u
    return (y == x) & cr.isinf(x), r + r, (e + -d * t) * f - c, -(q / (cr.cos(v) + 1.5)), -v


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_flags_are_stored_under_their_mask(dtype):
    """Found by the fuzzer: six flags in vectors of eight lanes, of which LLVM wrote more."""
    cube, plane = (3, 2, 3), (2, 3)
    shapes = [cube, cube, plane, plane, plane, plane, plane, cube, ()]
    rng = np.random.default_rng(0)
    arrays = [np.asarray(rng.normal(size=shape), dtype) for shape in shapes]
    graph = cr.graph.trace(spilled, *arrays).optimize()
    Guard(at_end=False).run("flags", graph, arrays)
