"""A small program, and other processes, for the tests of the disk cache."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

from chainrule.compiler import execute
from tests.compiler.inputs import ordinary
from tests.compiler.programs import trace

X = ordinary((7, 90), "float64", 0)
KEY = "ab" * 32


def program(scale=2.0):
    return execute.compiled(trace(lambda x: (x * scale + 1).sum(), X))


def wanted(scale=2.0):
    return (X * scale + 1).sum()


def run_python(code, **environment):
    """Another process; what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True,
        env=os.environ | environment, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
