"""Every primitive of the registry: compiled = evaluated, and what is compiled stays so."""

from __future__ import annotations

import re

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import chainrule as cr
from tests.compiler.calls import CALLS, PARTLY
from tests.compiler.programs import both
from tests.compiler.registry import DRAWS, cases, primitives, status, traced

NAMES = [p.name for p in primitives()]
PRIMS = {p.name: p for p in primitives()}


def agree(label, found, wanted):
    """Equal but for the rounding of functions, sums and products: 64 ulp of the largest entry."""
    for a, b in zip(found, wanted, strict=True):
        b = np.asarray(b)
        assert a.shape == b.shape, label
        if a.dtype.kind not in "fc":
            np.testing.assert_array_equal(a, b.astype(a.dtype), label)
            continue
        finite = b[np.isfinite(b)]
        scale = np.abs(finite).max(initial=np.finfo(a.dtype).tiny)
        tolerance = 64 * np.finfo(a.dtype).eps
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * scale, err_msg=label)


def compare(prim, every):
    """One program of many cases, against NumPy."""
    parts = [(case, graph) for case in cases(prim, every) if (graph := traced(case)) is not None]
    if not parts:
        assert prim.name == "getitem"
        return

    def f(*xs):
        found, at = [], 0
        for case, _ in parts:
            n = len(case.arrays)
            made = case.function(*xs[at : at + n])
            found.append(made)
            at += n
        return found

    arrays = [np.asarray(x) for case, _ in parts for x in case.arrays]
    graph = cr.graph.trace(f, *arrays)
    program, found, wanted = both(graph, *arrays)
    broken = [r for r in program.steps.refused.values() if "could not be compiled" in r]
    assert not broken
    if prim.name not in DRAWS:
        agree(", ".join(case.label for case, _ in parts), found, wanted)


@pytest.mark.parametrize("name", NAMES)
def test_compiled_is_evaluated(name):
    compare(PRIMS[name], every=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_sample(name):
    compare(PRIMS[name], every=True)


def test_what_is_compiled_stays_so():
    """Only primitives that are listed in `calls.py` are calls of NumPy, for the reasons there."""
    listed = {name for names in CALLS.values() for name in names.split()}
    found = {name: status(prim) for name, prim in PRIMS.items()}
    calls = {name for name, s in found.items() if not s.compiled}
    assert calls <= listed, f"fell back to NumPy: {sorted(calls - listed)}"
    assert calls >= listed, f"compiled now, so not in calls.py: {sorted(listed - calls)}"
    partly = {name: s.reasons for name, s in found.items() if s.compiled and s.reasons}
    assert partly.keys() == PARTLY.keys()
    for name, reasons in partly.items():
        assert all(re.match(f".*({PARTLY[name]})", reason) for reason in reasons), (name, reasons)
