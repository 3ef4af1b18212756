"""Lengths around vector widths, odd addresses, and arguments in every layout."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import chainrule as cr
from chainrule.core.primitive import REGISTRY
from tests.compiler.inputs import ALL_DTYPES, data, ordinary
from tests.compiler.programs import both, trace, ulps

LENGTHS = [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 129, 511, 512, 513, 1025]
ODD = [1, 7, 9, 17, 65, 513]


def copied(x, offset):
    """The same array, whose memory begins at an address that is `offset` after a multiple of 64."""
    memory = np.zeros(x.nbytes + 128, np.uint8)
    start = -memory.ctypes.data % 64 + offset
    made = np.ndarray(x.shape, x.dtype, memory, start)
    made[...] = x
    return made


def entrywise(*xs):
    """Loads forwards, backwards and in steps, a selection, and a reduction, of each array."""
    maximum, where, amax = REGISTRY["maximum"], REGISTRY["where"], REGISTRY["amax"]
    made = []
    for x in xs:
        back = x.flip(0)
        made += [
            maximum(x, back),
            where(x > back, x[::2].reshape(-1, 1), back),
            x[1:],
            amax.apply((x,), {"axis": (0,), "keepdims": False}),
        ]
    return made


@pytest.mark.parametrize("dtype", ALL_DTYPES)
def test_lengths_and_addresses(dtype):
    """One program for all lengths; arguments at aligned, unaligned and odd addresses."""
    lengths = LENGTHS if dtype == "float32" else ODD
    lengths = [n for n in lengths if n > 1]
    xs = [data((n,), dtype, 2 * n) for n in lengths]
    program, found, wanted = both(trace(entrywise, *xs), *xs)
    assert not program.steps.refused
    for a, b in zip(found, wanted, strict=True):
        assert ulps(a, b) == 0
    size = np.dtype(dtype).itemsize
    for offset in (size, 3 * size, 64 - size, 1, 13):
        again = program.run([copied(x, offset) for x in xs])
        for a, b in zip(again, found, strict=True):
            assert ulps(a, b) == 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sums_and_functions_of_all_lengths(dtype):
    """Functions are exact to 4 ulp, sums to the last digits, the same at every address."""
    xs = [ordinary((n,), dtype, n) for n in (LENGTHS if dtype == "float32" else ODD)]

    def f(*xs):
        return [y for x in xs for y in (x.sum(), (x * x).mean(), cr.tanh(x), cr.exp(x).flip(0))]

    program, found, wanted = both(trace(f, *xs), *xs)
    assert not program.steps.refused
    eps = np.finfo(dtype).eps
    for k, (a, b) in enumerate(zip(found, wanted, strict=True)):
        total = np.abs(xs[k // 4]).sum() if k % 4 == 0 else 0
        np.testing.assert_allclose(a, b, rtol=40 * eps, atol=40 * eps * total)
        assert a.dtype == b.dtype
    for offset in (np.dtype(dtype).itemsize, 1):
        for a, b in zip(program.run([copied(x, offset) for x in xs]), found, strict=True):
            np.testing.assert_array_equal(a, b)


def layouts(x):
    """Arrays equal to x (whose shape is (9, 17)) in other layouts."""
    wide = np.zeros((18, 51), x.dtype)
    wide[::2, ::3] = x
    yield "every third", wide[::2, ::3]
    yield "Fortran order", np.asfortranarray(x)
    yield "backwards", np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1]
    yield "rows apart", np.concatenate([x, x], 1)[:, :17]
    yield "another byte order", x.astype(x.dtype.newbyteorder())
    yield "odd address", copied(x, 1)
    frozen = x.copy()
    frozen.flags.writeable = False
    yield "read-only", frozen
    yield "subclass", x.view(Sub)


class Sub(np.ndarray):
    """An array that is none, strictly."""


@pytest.mark.parametrize("dtype", ALL_DTYPES)
def test_layouts_of_arguments(dtype):
    x = data((9, 17), dtype, 4)
    constant = np.repeat(x[:1, :1], 9, axis=0)  # broadcast with stride 0 below

    def f(x, row, one):
        top = REGISTRY["maximum"](x, row)
        return top, x.transpose(0, 1), REGISTRY["minimum"](top, one), REGISTRY["equal"](x, one)

    row, one = x[3], x[2, 5]
    program, found, wanted = both(trace(f, x, row, np.asarray(one)), x, row, np.asarray(one))
    assert not program.steps.refused
    for a, b in zip(found, wanted, strict=True):
        assert ulps(a, b) == 0
    given = x.copy()
    for name, y in layouts(x):
        again = program.run([y, row[::-1].copy()[::-1], np.asarray(one)])
        for a, b in zip(again, found, strict=True):
            assert ulps(a, b) == 0, name
            assert type(a) is np.ndarray
            assert not np.may_share_memory(a, y)
    np.testing.assert_array_equal(x, given)
    spread = np.broadcast_to(constant[0], (9, 17))
    for a, b in zip(program.run([spread, row, one]), program.run([spread.copy(), row, one]),
                    strict=True):  # fmt: skip
        assert ulps(a, b) == 0


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), ()])
def test_empty_and_without_dimensions(shape):
    x = ordinary(shape, "float64", 0)

    def f(x):
        return x.exp() + 1, x.sum(), x.reshape(-1), cr.stack([x, x]), x > 0

    _, found, wanted = both(trace(f, x), x)
    for a, b in zip(found, wanted, strict=True):
        assert a.shape == np.shape(b)
        assert a.dtype == np.asarray(b).dtype
        np.testing.assert_allclose(a, b, rtol=1e-15)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ALL_DTYPES)
@pytest.mark.parametrize("n", LENGTHS)
def test_every_primitive_of_every_length(dtype, n):
    """What `test_elementwise` compares for few lengths."""
    from tests.compiler.test_elementwise import NAMES, WITH_FUNCTIONS, accepts, params_of

    for arity in (1, 2, 3):
        prims = [REGISTRY[name] for name in NAMES if name not in WITH_FUNCTIONS]
        prims = [p for p in prims if p.arity == arity and accepts(p, dtype)]
        xs = [data((n,), dtype, 5 * n + k) for k in range(arity)]

        def f(*xs, prims=prims):
            return [p.apply(xs, params_of(p)) for p in prims]

        program, found, wanted = both(trace(f, *xs), *xs)
        assert not any("could not be compiled" in r for r in program.steps.refused.values())
        for p, a, b in zip(prims, found, wanted, strict=True):
            assert ulps(a, b.astype(a.dtype)) <= (2 if p.name == "rad2deg" else 0), p.name
