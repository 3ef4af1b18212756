"""Inputs for the compiler's tests: awkward numbers in awkward shapes."""

from __future__ import annotations

import numpy as np

DTYPES = ("float32", "float64", "int32", "int64", "uint8", "bool")
ALL_DTYPES = ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32",
              "uint64", "bool")  # fmt: skip
SPECIAL = [
    0.0, -0.0, 1, -1, 0.5, -0.5, 1.5, 2.5, np.inf, -np.inf, np.nan, 1e-310, -1e-40, 1e300, -1e30,
    3.7, -2.2, 100, -100, 1e6, 0.1, 88.8, -88.9, 709.9, 2.0**31, -(2.0**31),
]  # fmt: skip


def data(shape, dtype, seed):
    """Ordinary and special numbers; integers of the whole range for even seeds."""
    dt = np.dtype(dtype)
    rng = np.random.default_rng(seed)
    n = int(np.prod(shape))
    if dt.kind == "b":
        return rng.random(shape) > 0.5
    if dt.kind in "iu":
        info = np.iinfo(dt)
        if seed % 2:
            return rng.integers(max(-5, info.min), 9, n).astype(dt).reshape(shape)
        return rng.integers(info.min, info.max, n, dtype=dt, endpoint=True).reshape(shape)
    values = rng.normal(size=n) * np.where(rng.random(n) < 0.2, 1e3, 1.5)
    special = np.array(SPECIAL)[rng.integers(0, len(SPECIAL), n)]
    with np.errstate(all="ignore"):
        return np.where(rng.random(n) < 0.3, special, values).astype(dt).reshape(shape)


def ordinary(shape, dtype, seed):
    """Numbers about 1, none of them special."""
    values = np.random.default_rng(seed).normal(size=shape)
    return (values > 0) if np.dtype(dtype) == bool else (values * 3).astype(dtype)
