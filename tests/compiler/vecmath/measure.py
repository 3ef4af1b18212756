"""Errors in units in the last place, and the arguments at which they are measured.

An ulp is the distance of floating-point numbers around the true value, of denormal ones too. An
overflow counts as the next power of two, so inf for a value just above the greatest number is
no error.
"""

from __future__ import annotations

import mpmath as mp
import numpy as np

from chainrule.compiler.vecmath.registry import FUNCTIONS

from .loops import everywhere
from .references import REFERENCES

# Results that are differences of larger terms; their errors are measured against those terms
# in float64 (`chainrule.compiler.vecmath` documents it), as the largest of |result| and this.
TERMS = {
    "lgamma": lambda x: np.where(x < 0, 3.0, 0.0),
    "digamma": lambda x: np.where(x < 0, 4.0, 0.0),
    "logaddexp": lambda x, y: np.maximum(x, y),
}


def exponent_of(value: np.ndarray) -> np.ndarray:
    return np.frexp(value)[1].astype(np.int64)


def shifted(value: np.ndarray) -> np.ndarray:
    """Powers of two that take values well inside the range of doubles."""
    return np.where(np.abs(value) < 1, 80, -80)


def errors(got, high, low, shift, scale=None) -> np.ndarray:
    """The distance of results from (high + low)/2^shift in ulps; inf where only one is nan."""
    info = np.finfo(got.dtype)
    with np.errstate(all="ignore"):
        limit = np.ldexp(1.0, int(info.maxexp) + shift)  # what inf stands for, shifted
        result = np.clip(np.ldexp(got.astype(float), shift), -limit, limit)
        high = np.clip(high, -limit, limit)
        size = np.abs(high) if scale is None else np.maximum(np.abs(high), np.ldexp(scale, shift))
        lowest = int(info.minexp) - int(info.nmant) + shift
        exponent = np.maximum(exponent_of(size) - 1 - int(info.nmant), lowest)
        unit = np.ldexp(1.0, np.where(np.isfinite(size), exponent, 0))
        distance = np.abs((result - high) - low) / unit
        distance = np.where(np.isnan(got) & np.isnan(high), 0.0, distance)
        wrong = np.isnan(got) != np.isnan(high)
        below = np.abs(high) < limit * (1 - 2.0 ** -int(info.nmant) / 2)
    return np.where(wrong | (np.isinf(got) & below), np.inf, distance)


def float32_errors(
    name: str, *arguments: np.ndarray, target: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Results of a float32 function, and their errors against double precision.

    Those that are rounded correctly, nearly all, count as 1/2 without being measured, or as 0.
    """
    got = everywhere(name, "float32", target)(*arguments)
    with np.errstate(all="ignore"):
        wide = [a.astype(np.float64) for a in arguments]
        reference = np.asarray(REFERENCES[name].double(*wide), np.float64)
        nearest = reference.astype(np.float32)
        error = np.where((nearest == reference) | np.isnan(reference), 0.0, 0.5)
        other = np.flatnonzero((got != nearest) & ~(np.isnan(got) & np.isnan(nearest)))
        value = reference[other]
        shift = shifted(value)
        scale = np.abs(TERMS[name](*wide))[other] if name == "logaddexp" else None
        error[other] = errors(got[other], np.ldexp(value, shift), 0.0, shift, scale)
        return got, error


def exact_values(name: str, *arguments: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The true results as (high + low)/2^shift; inf where they exceed 2^1024."""
    count = arguments[0].size
    high, low, shift = np.empty(count), np.zeros(count), np.empty(count, int)
    exact = REFERENCES[name].exact
    with mp.workprec(200):
        largest = mp.mpf(2) ** 1024
        for i, values in enumerate(zip(*arguments, strict=True)):
            value = exact(*(mp.mpf(float(v)) for v in values))
            shift[i] = 80 if abs(value) < 1 else -80
            if abs(value) >= largest:
                high[i] = np.inf if value > 0 else -np.inf
            elif abs(value) < mp.mpf(2) ** -1100:
                high[i] = 0.0
            else:
                value = mp.ldexp(value, int(shift[i]))
                high[i] = float(value)
                low[i] = float(value - high[i])
    return high, low, shift


def float64_errors(
    name: str, *arguments: np.ndarray, target: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Results of a float64 function, and their errors against mpmath."""
    got = everywhere(name, "float64", target)(*arguments)
    scale = np.abs(TERMS[name](*arguments)) if name in TERMS else None
    return got, errors(got, *exact_values(name, *arguments), scale)


def patterns(count: int, start: int = 0) -> np.ndarray:
    """float32 numbers of all exponents and signs, evenly over the bit patterns; nans too."""
    stride = 2**32 // count
    bits = np.arange(start % stride, 2**32, stride, dtype=np.uint64)
    return bits.astype(np.uint32).view(np.float32)


# Where functions change their formula or overflow, denormal results begin, and zeros lie.
HARD = (
    [0.25, 0.5, 0.41421356, 0.70710678, 1.0, 1.41421356, 2.0, 2.41421356, 3.0, 4.0, 5.0, 6.0, 7.0]
    + [8.0, 20.0, 22.0, 26.5, 27.2, 37.5, 38.5, 170.6, 171.62, 177.0, 184.0, 2.0**17, 2.0**40]
    + [2.0**30, 2.0**60, 2.0**52, 2.0**53, 708.39, 709.78, 710.47, 744.4, 745.13, 1021.5]
    + [1022.0, 1023.99, 1074.5, 1.46163214, 2.0**-26, 2.0**-30, 2.0**-60, 2.0**-1022, 2.5e305]
    + [k * np.pi / 2 for k in (1, 2, 3, 4, 100, 12345, 10**7)]
)


def float64_samples(name: str, count: int, seed: int = 0) -> np.ndarray:
    """Numbers of every binade in the domain, more where it is not trivial, and hard ones."""
    reference = REFERENCES[name]
    generator = np.random.default_rng(seed)
    bits = generator.integers(0, 2**64, count, dtype=np.uint64)
    binades = np.resize(np.arange(0, 2047, dtype=np.uint64), count)
    everywhere_ = ((bits & np.uint64(0x800FFFFFFFFFFFFF)) | (binades << np.uint64(52))).view(float)
    signs = generator.choice([-1.0, 1.0], 2 * count)
    spread = np.exp2(generator.uniform(-8, 11, 2 * count)) * signs
    hard = np.repeat([*HARD, *(-h for h in HARD)], 4)
    near = hard * (
        1 + 2.0 ** generator.uniform(-53, -20, hard.size) * generator.choice([-1, 1], hard.size)
    )
    unit = generator.uniform(-1, 1, count)
    if name in ("sin", "cos", "tan"):
        hard = np.concatenate([hard, multiples_of_half_pi(200, generator)])
    samples = np.concatenate([everywhere_, spread, hard, near, unit, 1 + unit])
    inside = (samples >= reference.low) & (samples <= reference.high) & (samples != 0)
    if name in ("log", "log2", "log10", "rsqrt"):
        inside &= samples > 0
    if name in ("log1p", "atanh"):
        inside &= np.abs(samples) != 1
    if name in ("gamma", "lgamma", "digamma"):
        inside &= (samples > 0) | (samples != np.floor(samples))
    if name == "lgamma":
        inside &= np.abs(samples) < 2.5e305
    if name == "gamma":
        inside &= (np.abs(samples) < 190) & (np.abs(samples) > 2.0**-1020)
    return samples[inside]


def multiples_of_half_pi(count: int, generator: np.random.Generator) -> np.ndarray:
    """The doubles nearest to k pi/2 for k of all sizes, and the one that is nearest of all.

    That is 6381956970095103 * 2^797 (Muller, Elementary Functions, 3rd ed., section 11.4).
    """
    with mp.workprec(1200):
        ks = [int(2 ** generator.uniform(0, 52)) for _ in range(count)]
        return np.array([*(float(k * mp.pi / 2) for k in ks), 6381956970095103.0 * 2.0**797])


def pairs_of(name: str, count: int, dtype: str, seed: int = 0) -> list[np.ndarray]:
    """Arguments of the functions of two and three numbers, of comparable and of any sizes."""
    generator = np.random.default_rng(seed)
    arguments = FUNCTIONS[name].arguments
    top = 120 if dtype == "float32" else 1000
    columns = []
    for _ in range(arguments):
        near = generator.normal(size=count) * np.exp2(generator.integers(-3, 6, count))
        far = np.exp2(generator.uniform(-top, top, count)) * generator.choice([-1, 1], count)
        columns.append(np.concatenate([near, far]))
    if name == "pow":
        columns[0] = np.abs(columns[0])
        columns[1][:count:8] = np.rint(columns[1][:count:8])
        columns[0][:count:8] *= generator.choice([-1, 1], columns[0][:count:8].size)
        # Exponents that take the result near overflow and underflow.
        with np.errstate(all="ignore"):
            reach = generator.uniform(-1.08, 1.02, count) * top / np.log2(columns[0][count:])
        columns[1][count:] = np.nan_to_num(reach, posinf=1.0, neginf=1.0)
    elif name == "xlogy":
        columns[1] = np.abs(columns[1])
    elif name == "softplus":
        columns[0] = np.clip(columns[0], -1e4, 1e4)
        columns[1] = np.exp2(generator.uniform(-3, 3, 2 * count))
        columns[2] = np.full(2 * count, 20.0)
    return [c.astype(dtype) for c in columns]
