"""How far apart two results are, in units of the last place."""

import numpy as np

BITS = {2: np.int16, 4: np.int32, 8: np.int64}


def ordered(x):
    """Floats as integers whose difference counts the floats in between; both zeros are 0."""
    bits = x.view(BITS[x.dtype.itemsize]).astype(object)
    lowest = int(np.iinfo(BITS[x.dtype.itemsize]).min)
    return np.array([b if b >= 0 else lowest - b for b in bits.ravel()], object)


def apart(a, b, zeros=True):
    """The largest distance between two arrays; infinite where only one is nan or infinite.

    With `zeros`, 0.0 and -0.0 are infinitely far apart.
    """
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape, (a.shape, b.shape)
    assert a.dtype == b.dtype, (a.dtype, b.dtype)
    if a.dtype.kind == "c":
        return max(apart(a.real, b.real, zeros), apart(a.imag, b.imag, zeros))
    if a.dtype.kind != "f":
        return 0 if np.array_equal(a, b) else np.inf
    if a.size == 0:
        return 0
    a, b = np.ascontiguousarray(a).reshape(-1), np.ascontiguousarray(b).reshape(-1)
    nan = np.isnan(a)
    if not np.array_equal(nan, np.isnan(b)):
        return np.inf
    a, b = a[~nan], b[~nan]
    infinite = np.isinf(a) | np.isinf(b)
    if not np.array_equal(a[infinite], b[infinite]):
        return np.inf
    if zeros and not np.array_equal(np.signbit(a[a == 0]), np.signbit(b[a == 0])):
        return np.inf
    a, b = a[~infinite], b[~infinite]
    return max(np.abs(ordered(a) - ordered(b)), default=0) if a.size else 0
