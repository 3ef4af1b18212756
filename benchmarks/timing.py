"""Timing for comparisons: candidates take turns, so that a drifting machine hits all alike."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable


def time_in_turns(
    candidates: dict[str, Callable[[], object]], seconds: float = 2.0, rounds: int = 9
) -> dict[str, float]:
    """Median seconds per call of each candidate, measured in interleaved rounds.

    What is alive after the warm-up, such as the million objects of the peers' modules, is taken out
    of the cyclic collector's sight: it belongs to nobody's tape.
    """
    loops = {
        name: _calibrate(f, seconds / (rounds * len(candidates))) for name, f in candidates.items()
    }
    gc.collect()
    gc.freeze()
    samples: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, f in candidates.items():
            samples[name].append(_run(f, loops[name]))
    return {name: statistics.median(times) for name, times in samples.items()}


def _run(f: Callable[[], object], loops: int) -> float:
    gc.collect()
    start = time.perf_counter()
    for _ in range(loops):
        f()
    return (time.perf_counter() - start) / loops


def _calibrate(f: Callable[[], object], seconds: float) -> int:
    """How many calls fill a round, after a warm-up."""
    f()
    once = min(_run(f, 1) for _ in range(3))
    return max(1, int(seconds / max(once, 1e-7)))
