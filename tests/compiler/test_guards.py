"""Programs touch nothing outside their buffers (`tests/compiler/guarded.py`), each in a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

pytest.importorskip("llvmlite")
if os.name == "nt":
    pytest.skip("pages are forbidden by mprotect", allow_module_level=True)


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
