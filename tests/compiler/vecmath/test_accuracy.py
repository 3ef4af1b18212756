"""Every function within its bound of the true value, over the whole range of both types."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")
pytest.importorskip("mpmath")
pytest.importorskip("scipy")

from chainrule.compiler.vecmath.registry import FUNCTIONS

from .measure import (
    float32_errors,
    float64_errors,
    float64_samples,
    pairs_of,
    patterns,
)
from .references import REFERENCES

UNARY = [name for name, f in FUNCTIONS.items() if f.arguments == 1]
OTHERS = [name for name, f in FUNCTIONS.items() if f.arguments > 1]


def check(name, error, got, *arguments):
    worst = int(np.argmax(error))
    where = [a[worst] for a in arguments]
    assert error[worst] <= REFERENCES[name].bound, (
        f"{error[worst]:.3f} ulp at {where}: {got[worst]!r}"
    )


def test_every_function_has_a_reference():
    assert set(FUNCTIONS) == set(REFERENCES)


@pytest.mark.parametrize("name", UNARY)
def test_float32_over_all_exponents_and_signs(name):
    x = patterns(2**20, start=977)
    got, error = float32_errors(name, x)
    check(name, error, got, x)


@pytest.mark.slow
@pytest.mark.parametrize("name", UNARY)
def test_float32_densely(name):
    """A 64th of all numbers, other ones each time; `table --every` has all."""
    start = int(np.random.default_rng().integers(64))
    for block in range(0, 2**32, 2**30):
        x = np.arange(block + start, block + 2**30, 64, dtype=np.uint64)
        x = x.astype(np.uint32).view(np.float32)
        got, error = float32_errors(name, x)
        check(name, error, got, x)


@pytest.mark.parametrize("name", OTHERS)
def test_float32_of_several_arguments(name):
    arguments = pairs_of(name, 50_000, "float32")
    got, error = float32_errors(name, *arguments)
    check(name, error, got, *arguments)


@pytest.mark.parametrize("name", UNARY)
def test_float64_in_every_binade(name):
    x = float64_samples(name, 1000)
    got, error = float64_errors(name, x)
    check(name, error, got, x)


@pytest.mark.slow
@pytest.mark.parametrize("name", UNARY)
def test_float64_densely(name):
    x = float64_samples(name, 20_000, seed=np.random.SeedSequence().entropy % 2**32)
    got, error = float64_errors(name, x)
    check(name, error, got, x)


@pytest.mark.parametrize("name", OTHERS)
def test_float64_of_several_arguments(name):
    arguments = pairs_of(name, 1500, "float64")
    got, error = float64_errors(name, *arguments)
    check(name, error, got, *arguments)


@pytest.mark.parametrize("name", UNARY)
def test_without_fused_multiply_add(name):
    x = float64_samples(name, 100, seed=1)
    got, error = float64_errors(name, x, target="plain")
    check(name, error, got, x)


@pytest.mark.parametrize("name", OTHERS)
def test_several_arguments_without_fused_multiply_add(name):
    arguments = pairs_of(name, 150, "float64", seed=1)
    got, error = float64_errors(name, *arguments, target="plain")
    check(name, error, got, *arguments)


@pytest.mark.parametrize("name", ["exp", "tanh", "sin", "cos"])
def test_without_tables_in_registers(name):
    x = float64_samples(name, 1000)
    got, error = float64_errors(name, x, target="narrow")
    check(name, error, got, x)
    x = patterns(2**20, start=977)
    got, error = float32_errors(name, x, target="narrow")
    check(name, error, got, x)
