"""GradBench's evals, compiled: chainrule against JAX, torch.compile, PyTorch, HIPS autograd, NumPy.

    make bench                                   # or: python benchmarks/gradbench.py --only ba

Every program's derivative is compared with the reference before it is timed; one thread; medians.
Where a library has several ways to write an eval, its fastest counts. Ratios are to the best peer.
"""

from __future__ import annotations

# ruff: noqa: E402 - threads are limited before NumPy is imported
import threads

threads.limit(1)

import argparse
import os
import time
from types import ModuleType
from typing import Any

import numpy as np

from evals import ba, gmm, ht, kmeans, llsq, lse
from evals.cases import case, error_of, limit_of
from evals.libraries import Library, available
from picture import Bars, draw
from timing import time_in_turns

os.environ["CHAINRULE_CACHE"] = "0"  # first calls compile, they do not read what was compiled

# The goals are ratios to the best of the peers named; None stands for all of them.
COMPILERS = ("JAX", "torch.compile")
Goal = tuple[float, tuple[str, ...] | None]
GOALS: dict[tuple[str, str], Goal] = {
    **{("ba", size): (0.2, COMPILERS) for size in ("tiny", "check", "small", "medium", "large")},
    **{(name, size): (0.7, None) for name in ("gmm", "lse") for size in ("medium", "large")},
    **{(name, size): (0.9, None) for name in ("kmeans", "llsq") for size in ("medium", "large")},
    **{("ht", size): (0.9, None) for size in ("small", "medium")},
}
EVALS = (gmm, ba, ht, kmeans, llsq, lse)


class Ways:
    """The programs of one library for one case that are right, and what making them took."""

    def __init__(self, lib: Library, module: ModuleType, given: Any, reference: Any) -> None:
        self.lib = lib
        self.runs: dict[str, Any] = {}
        self.seconds: dict[str, float] = {}
        for way, program in module.programs(lib, given).items():
            try:
                begin = time.perf_counter()
                result = lib.ready(program())
                self.seconds[way] = time.perf_counter() - begin
            except Exception as error:  # a library that cannot do it is left out, and says so
                print(f"  {lib.name} {way}: {type(error).__name__}: {str(error)[:200]}")
                continue
            error = error_of(module, module.flat(lib, result), reference)
            if not error < limit_of(module):
                print(f"  {lib.name} {way}: WRONG, error {error:.1e}")
                continue
            self.runs[way] = lambda program=program: lib.ready(program())

    def fastest(self) -> str | None:
        """The name of the fastest way."""
        if len(self.runs) < 2:
            return next(iter(self.runs), None)
        times = time_in_turns(self.runs, 0.4, 3)
        return min(times, key=lambda way: times[way])


def measure(
    libraries: list[Library], module: ModuleType, size: str, seconds: float
) -> tuple[dict[str, float], dict[str, float]]:
    """Median seconds per call, and seconds of the first call, by library."""
    given, reference = case(module, size)
    runs: dict[str, Any] = {}
    first: dict[str, float] = {}
    names: list[str] = []
    for lib in libraries:
        ways = Ways(lib, module, given, reference)
        best = ways.fastest()
        if best is not None:
            runs[lib.name] = ways.runs[best]
            first[lib.name] = ways.seconds[best]
            names.append(f"{lib.name} {best}".strip())
    times = time_in_turns(runs, seconds, 15)
    print(f"  ({', '.join(names)})")
    return times, first


def report(name: str, size: str, times: dict[str, float], first: dict[str, float]) -> float | None:
    """Print one case; the ratio to the peers of its goal."""
    for peer, seconds in times.items():
        print(f"    {peer:16}{seconds * 1e3:12.4f} ms {first[peer]:10.2f} s first call")
    if "chainrule" not in times:
        return None
    ours = times["chainrule"]
    goal, among = GOALS.get((name, size), (None, None))
    peers = {k: v for k, v in times.items() if k != "chainrule" and (not among or k in among)}
    if not peers:
        return None
    best = min(peers, key=lambda peer: peers[peer])
    ratio = ours / peers[best]
    met = "" if goal is None else f"  goal {goal}  {'met' if ratio <= goal else 'MISSED'}"
    print(f"  {name} {size}: {ratio:.3f} of {best}{met}", flush=True)
    if "JAX" in first:
        print(f"  {name} {size}: first call {first['chainrule'] / first['JAX']:.2f} of JAX's")
    return ratio


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", default="", help='evals whose "name size" contains this')
    parser.add_argument("--peers", default="", help="only these libraries, separated by commas")
    parser.add_argument("--seconds", type=float, default=4.0, help="for each case")
    parser.add_argument("--picture", default="", help="write a bar chart to this file")
    options = parser.parse_args()
    wanted = options.peers.split(",") if options.peers else None
    libraries = [lib for lib in available() if wanted is None or lib.name in wanted]
    for lib in libraries:  # what a library starts once is not the first program's
        one = lib.array(lse.generate("small", np.random.default_rng(0))["x"])
        lib.ready(lib.program(lambda x: x + 1, one)(one))
    bars = Bars("GradBench: seconds per derivative, relative to chainrule (one thread, float64)")
    for module in EVALS:
        name = module.__name__.rpartition(".")[2]
        for size in module.SIZES:
            if options.only not in f"{name} {size}":
                continue
            print(f"{name} {size}")
            times, first = measure(libraries, module, size, options.seconds)
            report(name, size, times, first)
            goal = GOALS.get((name, size), (None, None))[0]
            bars.add(f"{name} {size}", times, goal)
    if options.picture:
        draw(bars, options.picture)


if __name__ == "__main__":
    main()
