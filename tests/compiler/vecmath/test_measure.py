"""The ruler itself: an error of a known size is seen as that size."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")
pytest.importorskip("mpmath")
pytest.importorskip("scipy")

from .measure import errors, shifted


def measured(got, truth, dtype):
    got, truth = np.array(got, dtype), np.array(truth, float)
    shift = shifted(truth)
    return errors(got, np.ldexp(truth, shift), 0.0, shift)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_neighbours_are_one_ulp_away(dtype):
    info = np.finfo(dtype)
    truth = np.array(
        [1.5, -3.75, 1e-9, 0.0625, 3e30, info.tiny, 5 * info.smallest_subnormal], dtype
    )
    beyond = np.nextafter(truth, np.sign(truth) * np.array(np.inf, dtype))
    np.testing.assert_allclose(measured(beyond, truth, dtype), 1.0, rtol=1e-9)
    np.testing.assert_array_equal(measured(truth, truth, dtype), 0.0)


def test_small_results_count():
    assert measured([0.0], [1e-30], "float32") > 1e6
    assert measured([2e-10], [1e-10], "float64") > 1e15


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_infinities_and_nans(dtype):
    limit = float(np.finfo(dtype).max)
    assert measured([np.inf], [1.0], dtype) == np.inf
    assert measured([np.nan], [1.0], dtype) == np.inf
    assert measured([1.0], [np.nan], dtype) == np.inf
    assert measured([np.nan], [np.nan], dtype) == 0
    assert measured([np.inf], [np.inf], dtype) == 0
    assert measured([-np.inf], [np.inf], dtype) > 1e6
    assert measured([limit], [np.inf], dtype) <= 1
