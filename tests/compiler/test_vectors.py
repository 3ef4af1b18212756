"""Code in vectors: lengths around widths, distances between entries, masks, rare arguments."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import chainrule as cr
from tests.compiler.inputs import ordinary
from tests.compiler.programs import both, trace

LENGTHS = [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 129, 511, 513, 1030]


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "int32", "float32", "float64"])
def test_every_length(dtype):
    """Short code and long code; what whole vectors leave over is under a mask."""

    def short(x):
        return cr.maximum(x, cr.flip(x, (0,)))

    def long(x):
        return cr.tanh(x.to(cr.float32)) * cr.exp(-x.to(cr.float32)), x.any(), x.sum()

    for f in (short, long):
        for n in LENGTHS:
            x = ordinary((n,), dtype, 0)
            program, found, wanted = both(trace(f, x), x)
            assert not program.steps.refused
            for a, b in zip(found, wanted, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float32", "float64"])
@pytest.mark.parametrize("step", [2, 3, -1, -2, 5])
def test_entries_that_stand_apart(dtype, step):
    for n in (5, 64, 211):
        x = ordinary((7, n), dtype, 0)

        def f(x):
            y = x[:, ::step] if step > 0 else cr.flip(x, (1,))[:, ::-step]
            return cr.maximum(y, y[:1]), y.transpose(0, 1) + y[0, 0], y.amax(0), y.amax(1)

        program, found, wanted = both(trace(f, x), x)
        assert not program.steps.refused
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 2, 3, 8, 19, 700])
def test_functions_that_look_for_rare_arguments(dtype, n):
    """Many of them in one program are called, and branch, rather than the loop being repeated."""
    x = ordinary((n,), dtype, 0)
    x[::3] = np.array([2.0**18, -3e9, 2.0**41, -1e15, 1e22, 2.0**100], dtype)[
        np.arange(-(-n // 3)) % 6
    ]
    x[-1] = np.inf

    def f(x):
        functions = cr.sin, cr.cos, cr.tan
        return tuple(g(x * k) for g in functions for k in (1, 2, -4))

    program, found, wanted = both(trace(f, x), x)
    assert not program.steps.refused
    assert (".checked." in program.report().ir) == (n > 1)
    eps = np.finfo(dtype).eps
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=4 * eps, atol=2 * eps)


def test_an_ordinary_neighbour_keeps_its_bits():
    """A rare argument changes no other result where functions look for themselves."""

    def f(x):
        return cr.sin(x), cr.sin(x * 2), cr.cos(x), cr.cos(x * 2), cr.tan(x)

    x = ordinary((100,), "float32", 0)
    program, usual, _ = both(trace(f, x), x)
    x[50] = 1e20
    for a, b in zip(program.run([x]), usual, strict=True):
        np.testing.assert_array_equal(np.delete(a, 50), np.delete(b, 50))


def test_what_a_loop_does_not_change_is_computed_before_it():
    x = ordinary((50, 300), "float64", 0)
    program, found, wanted = both(trace(lambda x: x * (x[:, :1] + 2.5), x), x)
    np.testing.assert_array_equal(found[0], wanted[0])
    code = program.report().ir
    assert "fadd double" in code  # once for each row
    assert "fadd <" not in code
