"""Infinities, nans, zeros with their signs, denormal numbers, thresholds, as in NumPy and C."""

import itertools

import numpy as np
import pytest

pytest.importorskip("llvmlite")
pytest.importorskip("mpmath")
pytest.importorskip("scipy")

from chainrule.compiler.vecmath.registry import FUNCTIONS

from .loops import everywhere
from .references import REFERENCES

INF, NAN = np.inf, np.nan
SPECIAL = [0.0, -0.0, INF, -INF, NAN, 1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 0.5, -0.5, 1e30, -1e30]
DTYPES = ["float32", "float64"]
UNARY = [name for name, f in FUNCTIONS.items() if f.arguments == 1]
# Where SciPy has something else: here as C's tgamma and lgamma and PyTorch's digamma have it.
OURS = {
    "gamma": {"0.0": INF, "-0.0": -INF, "-inf": NAN},
    "digamma": {"0.0": -INF, "-0.0": INF, "-inf": NAN},
    "lgamma": {"-inf": INF, "5e-324": 744.4400719213812, "-5e-324": 744.4400719213812},
}


def numbers(dtype):
    info = np.finfo(dtype)
    ends = [info.tiny, info.smallest_subnormal, info.max]
    return np.array([*SPECIAL, *ends, *(-v for v in ends)], dtype)


def same_kind(got, expected, label):
    """Both nan, both the same infinity, both zeros of one sign, or both ordinary numbers."""
    if np.isnan(expected) or np.isinf(expected):
        np.testing.assert_equal(got, expected, err_msg=label)
    elif expected == 0:
        assert str(got) == str(expected), label
    else:
        assert got == pytest.approx(expected, rel=1e-5), label


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", UNARY)
def test_of_one_argument(name, dtype):
    x = numbers(dtype)
    got = everywhere(name, dtype)(x)
    with np.errstate(all="ignore"):
        expected = np.asarray(REFERENCES[name].double(x.astype(float))).astype(dtype)
    for value, result, reference in zip(x, got, expected, strict=True):
        reference = OURS.get(name, {}).get(str(float(value)), reference)
        same_kind(result, reference, f"{name}({value!r})")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["pow", "atan2", "hypot", "xlogy", "logaddexp"])
def test_of_two_arguments(name, dtype):
    values = numbers(dtype)
    x, y = (np.array(a, dtype) for a in zip(*itertools.product(values, values), strict=True))
    got = everywhere(name, dtype)(x, y)
    with np.errstate(all="ignore"):
        expected = np.asarray(REFERENCES[name].double(x, y))
    for a, b, result, reference in zip(x, y, got, expected, strict=True):
        same_kind(result, reference, f"{name}({a!r}, {b!r})")


@pytest.mark.parametrize("dtype", DTYPES)
def test_softplus(dtype):
    f = everywhere("softplus", dtype)
    one, threshold = np.ones(1, dtype), np.full(1, 20, dtype)

    def at(x, beta=one, threshold=threshold):
        return f(np.array([x], dtype), beta, threshold)[0]

    assert at(INF) == INF
    assert at(-INF) == 0
    assert np.isnan(at(NAN))
    assert at(25.0) == 25.0
    assert at(1.0, threshold=np.zeros(1, dtype)) == 1.0
    assert at(2.0, beta=one * -1) == pytest.approx(-np.log1p(np.exp(-2.0)), rel=1e-6)
    assert at(1e30, threshold=np.full(1, INF, dtype)) == np.float64(1e30).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "name", ["sin", "tan", "asin", "atan", "sinh", "tanh", "asinh", "atanh", "expm1", "log1p"]
)
def test_denormal_arguments_stay(name, dtype):
    smallest = np.finfo(dtype).smallest_subnormal
    x = smallest * np.array([1, 2, 3, -1, -7, 12345], dtype)
    np.testing.assert_array_equal(everywhere(name, dtype)(x), x)


@pytest.mark.parametrize(
    ("name", "last_finite", "dtype"),
    [
        ("exp", 88.72283, "float32"),
        ("exp", 709.782712893384, "float64"),
        ("expm1", 709.782712893384, "float64"),
        ("sinh", 710.4758600739439, "float64"),
        ("cosh", 710.4758600739439, "float64"),
        ("gamma", 171.6243769563027, "float64"),
        ("gamma", 35.040096, "float32"),
        ("lgamma", 2.5599833278516383e305, "float64"),
        ("erfcx", -26.62873571375149, "float64"),
    ],
)
def test_overflow_threshold(name, last_finite, dtype):
    last = np.array([last_finite], dtype)
    beyond = np.nextafter(last, np.sign(last) * np.array([INF], dtype))
    f = everywhere(name, dtype)
    assert np.isfinite(f(last)[0])
    assert f(beyond)[0] == INF


def test_exact_results_are_exact():
    k = np.arange(-1074, 1024).astype(float)
    np.testing.assert_array_equal(everywhere("exp2", "float64")(k), np.ldexp(1.0, k.astype(int)))
    powers = np.ldexp(1.0, k.astype(int))
    np.testing.assert_array_equal(everywhere("log2", "float64")(powers), k)
    tens = 10.0 ** np.arange(23)
    np.testing.assert_array_equal(everywhere("log10", "float64")(tens), np.arange(23))
    small = np.arange(1.0, 20.0)
    factorials = np.cumprod([1.0, *range(1, 19)])
    np.testing.assert_array_equal(everywhere("gamma", "float64")(small), factorials)
    np.testing.assert_array_equal(everywhere("cbrt", "float64")(small**3), small)
    exponents = np.full_like(small, 3.0)
    np.testing.assert_array_equal(everywhere("pow", "float64")(-small, exponents), -(small**3))
