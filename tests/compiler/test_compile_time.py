"""What compiling costs, in counts that do not depend on the machine; and what it says meanwhile."""

import io
import os
import re
import subprocess
import sys
import threading

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import chainrule as cr
from chainrule.compiler import progress
from chainrule.compiler.execute import compiled
from tests.compiler.inputs import ordinary


def instructions(program):
    """Lines of optimised code, without labels and empty lines."""
    return len(re.findall(r"^  \S", program.report().ir, re.MULTILINE))


def chain(n):
    def f(x):
        for i in range(n):
            x = cr.sin(x) * x if i % 2 else cr.tanh(x) + 0.3
        return x.sum()

    return f


def gradient(f, x):
    return compiled(cr.graph.trace(f, x).value_and_grad().optimize())


@pytest.mark.parametrize("shape", [(), (4,), (3, 5)], ids=str)
def test_code_grows_in_proportion(shape):
    """Functions that are used often are written once: each further use takes a few instructions."""
    x = ordinary(shape, "float64", 0)
    few, many = (instructions(gradient(chain(n), np.asarray(x))) for n in (320, 640))
    assert many < 2.1 * few
    assert many < 100 * 640  # a sine or tangent and its derivative, of some 50 instructions each


def test_a_function_that_is_used_once_is_inlined():
    x = ordinary((100_000,), "float32", 0)
    code = gradient(exp, x).report().ir
    assert re.findall(r"call .*@chainrule\.(?:exp|sigmoid)\b", code) == []
    assert re.findall(r"call .*@llvm\.fma", code)


def exp(x):
    return (cr.exp(x) * cr.sigmoid(x)).sum()


def test_a_body_is_written_once():
    """Not again for the entries that whole vectors leave over, if it is long."""
    for size in (64, 1000, 1001):
        x = ordinary((size,), "float32", 0)
        code = compiled(cr.graph.trace(cr.tanh, x)).report().ir
        assert code.count("fdiv") <= 1, size


def test_long_programs_are_cut():
    """No function is so long that LLVM's time, which grows faster than the code, is felt."""

    def f(x):
        for i in range(6000):
            x = x * 1.0001 + 0.5 if i % 3 else cr.maximum(x, 0.1)
        return x

    for shape in ((), (20,)):
        program = compiled(cr.graph.trace(f, np.full(shape, 0.3)))
        functions = re.split(r"^define ", program.report().ir, flags=re.MULTILINE)[1:]
        assert len(functions) > 4
        assert max(text.count("\n") for text in functions) < 4000
        assert instructions(program) < 6 * 6000


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_line_on_the_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    gradient(chain(20), np.ones(4))
    said = sys.stderr.getvalue()
    assert re.match(r"\rcompiling .*, [\d,]+ operations: \d+ s", said)
    assert said.endswith("\r\x1b[K")


def test_quick_compiling_says_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(progress, "PATIENCE", 60.0)
    before = threading.active_count()
    compiled(cr.graph.trace(cr.exp, np.ones(4)))
    assert sys.stderr.getvalue() == ""
    assert threading.active_count() == before


def test_nothing_is_said_to_a_file(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    compiled(cr.graph.trace(cr.exp, np.ones(4)))
    assert sys.stderr.getvalue() == ""


INTERRUPTED = """
import signal
import numpy as np
import chainrule as cr
from chainrule.compiler.execute import compiled

def f(x):
    for i in range(400):
        x = cr.sin(x) * x if i % 2 else cr.tanh(x) + 0.3
    return x.sum()

x = np.linspace(0, 1, 5)
graph = cr.graph.trace(f, x)
wanted = compiled(graph).run([x])[0]
caught = 0
signal.signal(signal.SIGALRM, signal.default_int_handler)
for k in range(25):
    try:
        # More than once: Python drops what is raised in a finalizer.
        signal.setitimer(signal.ITIMER_REAL, 0.01 * k + 0.001, 0.3)
        while True:
            compiled(graph)
    except KeyboardInterrupt:
        signal.setitimer(signal.ITIMER_REAL, 0)
        caught += 1
    assert compiled(graph).run([x])[0] == wanted
print("caught", caught)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_interrupts_while_compiling():
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"CHAINRULE_CACHE": "0"},
    )
    assert done.stdout == "caught 25\n", done.stderr[-2000:]
