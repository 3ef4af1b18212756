"""Errors and speed of all functions: `python -m tests.compiler.vecmath.table [--every] [name]`.

One row per function and type: the greatest error found in ulps and where, nanoseconds for an
entry of an array of 10^5, how many times faster than NumPy's (or SciPy's) function that is, and
the numbers in a vector; at the end the greatest errors again, the largest first. Measured are
vectors as kernels use them, rare arguments by the functions of single numbers that kernels call for
them. `--every` takes every float32 there is: a minute or more for each function.
"""

from __future__ import annotations

import sys
import time
import warnings

import numpy as np

from chainrule.compiler.vecmath.registry import FUNCTIONS

from .loops import compiled, native, vector_width
from .measure import float32_errors, float64_errors, float64_samples, pairs_of, patterns
from .references import REFERENCES

SIZE = 100_000


def arguments_of(name: str, dtype: str) -> list[np.ndarray]:
    if FUNCTIONS[name].arguments > 1:
        return pairs_of(name, 500_000 if dtype == "float32" else 5000, dtype, seed=2)
    return [patterns(2**22, start=1) if dtype == "float32" else float64_samples(name, 4000, seed=2)]


def best_time(call, repeats: int = 15) -> float:
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best


def speed(name: str, dtype: str) -> tuple[float, float]:
    """Nanoseconds per entry, and NumPy's over ours, for ordinary arguments."""
    generator = np.random.default_rng(0)
    reference = REFERENCES[name]
    low, high = max(reference.low, -4.0), min(reference.high, 4.0)
    low = 0.01 if name in ("pow", "xlogy", "lgamma", "gamma", "digamma") else low
    count = FUNCTIONS[name].arguments
    columns = [generator.uniform(low, high, SIZE).astype(dtype) for _ in range(count)]
    f, out = native(name, dtype), np.empty(SIZE, dtype)
    ours = best_time(lambda: f(*columns, out=out))
    theirs = best_time(lambda: (reference.numpy or reference.double)(*columns), 7)
    return ours / SIZE * 1e9, theirs / ours


def row(name: str, dtype: str) -> tuple[float, str]:
    """The greatest error, and the row of the table."""
    arguments = arguments_of(name, dtype)
    measure = float32_errors if dtype == "float32" else float64_errors
    _, error = measure(name, *arguments)
    worst = int(np.argmax(error))
    where = ", ".join(f"{a[worst]:.9g}" for a in arguments)
    nanoseconds, ratio = speed(name, dtype)
    width = vector_width(compiled(name, dtype).optimised)
    return float(error[worst]), (
        f"{name:15}{dtype:9}{error[worst]:7.3f}  {where:36}{nanoseconds:7.2f}{ratio:8.1f}×{width:7}"
    )


def worst_of_every_float32(name: str) -> str:
    worst, where = 0.0, 0.0
    for start in range(0, 2**32, 2**24):
        x = np.arange(start, start + 2**24, dtype=np.uint64).astype(np.uint32).view(np.float32)
        _, error = float32_errors(name, x)
        if error.max() > worst:
            worst, where = float(error.max()), float(x[np.argmax(error)])
    return f"{name:15}float32  {worst:7.3f}  {where:.9g}"


def main() -> None:
    warnings.simplefilter("ignore")
    if "--every" in sys.argv:
        names = [n for n in sys.argv[1:] if n != "--every"]
        for name in names or [n for n, f in FUNCTIONS.items() if f.arguments == 1]:
            print(worst_of_every_float32(name), flush=True)
        return
    print(
        f"{'function':15}{'type':9}{'max ulp':>7}  {'where':36}{'ns':>7}{'NumPy':>9}{'vector':>7}"
    )
    greatest: dict[str, list[tuple[float, str]]] = {"float32": [], "float64": []}
    for name in sys.argv[1:] or sorted(FUNCTIONS):
        for dtype, found in greatest.items():
            error, text = row(name, dtype)
            found.append((error, name))
            print(text, flush=True)
    for dtype, found in greatest.items():
        print(f"\n{dtype}: " + ", ".join(f"{n} {e:.2f}" for e, n in sorted(found, reverse=True)))


if __name__ == "__main__":
    main()
