"""Running sums, products and extremes: compiled = evaluated, bit for bit where nothing rounds."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import chainrule as cr
from tests.compiler.inputs import data, ordinary
from tests.compiler.programs import both, trace
from tests.compiler.test_moves import check

SCANS = {
    "cumsum": lambda x, d: cr.cumsum(x, d),
    "cumsum of products": lambda x, d: cr.cumsum(x * x.sin(), d) * 2,
    "cumprod": lambda x, d: cr.cumprod(x * 0.5, d),
    "cummax": lambda x, d: cr.cummax(x, d).values,
    "cummin": lambda x, d: cr.cummin(x, d).indices,
    "logcumsumexp": lambda x, d: cr.logcumsumexp(x, d),
    "two ways": lambda x, d: cr.cumsum(cr.cumsum(x, 0), x.ndim - 1),
    "reversed": lambda x, d: x.flip(d).cumsum(d).flip(d) + x,
    "and a sum": lambda x, d: cr.cumsum(x, d) - x.sum(d, keepdim=True),
}


@pytest.mark.parametrize("shape", [(7,), (50,), (4, 6), (33, 70), (3, 2, 40)])
@pytest.mark.parametrize("name", SCANS)
def test_scans(name, shape):
    x = ordinary(shape, "float64", 0)
    for d in range(len(shape)):
        check(lambda x, d=d: SCANS[name](x, d), x, exact=False, grad="cummin" not in name)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "bool"])
def test_special_numbers(dtype):
    x = data((40, 21), dtype, 1)
    prims = [cr.cumsum, cr.cumprod] + ([] if dtype == "bool" else [cr.cummax, cr.cummin])
    for d in (0, 1):
        for f in prims:
            outs = lambda x, f=f, d=d: [*f(x, d)] if f in (cr.cummax, cr.cummin) else f(x, d)
            program, found, wanted = both(trace(outs, x), x)
            assert not program.steps.refused
            for a, b in zip(found, wanted, strict=True):
                np.testing.assert_array_equal(a, b)
                assert a.dtype == b.dtype


def test_neighbours_are_vectors():
    """Sums down the columns of a matrix: the innermost loop is along its rows."""
    x = ordinary((100, 256), "float64", 0)
    program = check(lambda x: cr.cumsum(x, 0), x, grad=False)
    assert "x double>" in program.report().ir
