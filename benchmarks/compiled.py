"""Compiled programs: chainrule against JAX, torch.compile, PyTorch, HIPS autograd, NumPy by hand.

    make bench                                   # or: python benchmarks/compiled.py --only layer

Times are medians, measured in turns in one process for each case and number of threads. Compile
time is that of the first call, of a process in which each library has compiled something else.
Peak memory is how far the resident set grows during the first run of a program compiled before, in
a process of its own (Linux).
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import threads
from table import Row, main, row

os.environ["CHAINRULE_CACHE"] = "0"  # compiling is measured, not reading what was compiled before

COMPILERS = ("JAX", "torch.compile")
LIMITS = {"float32": 2e-4, "float64": 1e-9}  # errors over the largest entry


# ---------------------------------------------------------------- in a process of its own


def libraries(only: str = "", ahead: bool = False) -> list[Any]:
    """The libraries, each started: what it does once is not the first program's.

    Args:
        only: the name of the only one.
        ahead: whether programs are compiled before they are called.
    """
    import numpy as np

    from evals.libraries import Torch, available

    found = [lib for lib in available() if only in ("", lib.name)]
    for lib in found:
        lib.ahead = ahead
        if isinstance(lib, Torch):
            lib.torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        one = lib.array(np.ones(4))
        program = lib.program(lambda x: x + 1, one)
        for _ in range(2):
            lib.ready(program(one))
    gc.collect()
    gc.freeze()  # a million objects of all libraries, which the first to compile would look through
    return found


def programs(lib: Any, case: str, dtype: str) -> dict[str, Any]:
    """Programs of a case: of `dense`, or an eval, whose size is its second word."""
    from evals import ba, dense, gmm, ht, kmeans, llsq, lse
    from evals.cases import case as eval_case

    name, _, size = case.partition(" ")
    modules = {m.__name__.rpartition(".")[2]: m for m in (ba, gmm, ht, kmeans, llsq, lse)}
    if name in modules:
        given, _ = eval_case(modules[name], size)
        return modules[name].programs(lib, given)  # type: ignore[no-any-return]
    return getattr(dense, name)(lib, dtype)  # type: ignore[no-any-return]


def times_of(case: str, dtype: str) -> dict[str, Any]:
    """Seconds per call and of the first call, by library, of programs whose results agree."""
    import numpy as np

    from evals import dense
    from timing import time_in_turns

    runs: dict[str, Any] = {}
    first: dict[str, float] = {}
    results: dict[str, np.ndarray] = {}
    for lib in libraries():
        for way, program in programs(lib, case, dtype).items():
            begin = time.perf_counter()
            result = lib.ready(program())
            first[lib.name] = time.perf_counter() - begin
            results[f"{lib.name} {way}"] = dense.flat(lib, result)
            runs[lib.name] = lambda lib=lib, program=program: lib.ready(program())
    reference = results.get("PyTorch ", next(iter(results.values())))
    for name, found in results.items():
        error = np.abs(found - reference).max() / np.abs(reference).max()
        assert error < LIMITS[dtype], f"{name}: error {error:.1e}"
    return {"times": time_in_turns(runs, 6.0, 15), "first": first}


def sharing_of(case: str, dtype: str) -> dict[str, Any]:
    """Seconds per call of our program with one thread and with two, in turns.

    No other library runs here: threads of theirs that wait for work would disturb ours.
    """
    import chainrule as cr
    from timing import time_in_turns

    (lib,) = libraries("chainrule")
    (program,) = programs(lib, case, dtype).values()

    def run(count: int) -> Any:
        cr.set_num_threads(count)
        return program()

    return {"times": time_in_turns({str(n): lambda n=n: run(n) for n in (1, 2)}, 6.0, 25)}


def peak_of(case: str, dtype: str, library: str, way: str) -> dict[str, Any]:
    """Bytes by which the resident set grows while a compiled program runs for the first time."""
    import ctypes

    (lib,) = libraries(library, ahead=True)
    run = programs(lib, case, dtype)[way]
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the highest resident set is from now on
    before = _status("VmRSS")
    kept = lib.ready(run())
    after = _status("VmHWM")
    del kept
    return {"peak": after - before}


def _status(field: str) -> int:
    with open("/proc/self/status") as file:
        found = next(line for line in file if line.startswith(field))
    return int(found.split()[1]) * 1024


def child(case: str, dtype: str = "float64", count: int = 1, **options: str) -> dict[str, Any]:
    """What a process with so many threads finds."""
    command = [sys.executable, __file__, "--task", case, "--dtype", dtype, "--threads", str(count)]
    for name, value in options.items():
        command += [f"--{name}", value]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{case}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def work() -> None:
    """The work of a child."""
    parser = argparse.ArgumentParser()
    for name in ("--task", "--dtype", "--library", "--way", "--measure"):
        parser.add_argument(name, default="")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    threads.limit(options.threads)
    if options.measure == "sharing":
        found = sharing_of(options.task, options.dtype)
    elif options.measure == "peak":
        found = peak_of(options.task, options.dtype, options.library, options.way)
    else:
        found = times_of(options.task, options.dtype)
    print(json.dumps(found))


# ---------------------------------------------------------------- the table


def compared(
    title: str, found: dict[str, Any], goal: float, among: tuple[str, ...] = ()
) -> Iterator[Row]:
    """Our time over each peer's, the goal at the best of those it is about, and compile time."""
    times, first = found["times"], found["first"]
    ours = times["chainrule"]
    peers = {k: v for k, v in times.items() if k != "chainrule"}
    best = min([p for p in peers if p in among or not among], key=lambda p: peers[p], default=None)
    for peer, seconds in peers.items():
        mark = goal if peer == best else None
        yield f"{title} / {peer}", ours / seconds, mark, f"{ours * 1e3:.4g} ms"
    if "JAX" in first:
        note = f"{first['chainrule']:.2f} s"
        yield "  compile time of it / JAX", first["chainrule"] / first["JAX"], 1.0, note


@row
def million() -> Iterator[Row]:
    for dtype in ("float32", "float64"):
        for count in (1, 2):
            found = child("million", dtype, count)
            title = f"Σ sin·exp+tanh, 10⁶ {dtype}, {count} thread{'s' * (count > 1)}"
            for name, ratio, _, note in compared(title, found, 0.0):
                goals = {"JAX": 0.2, "torch.compile": 0.4}
                goal = 1.0 if "compile time" in name else goals.get(name.rpartition(" / ")[2])
                yield name, ratio, goal, note
        alone = child("million", dtype, 2, measure="sharing")["times"]
        title = f"Σ sin·exp+tanh, 10⁶ {dtype}: 2 threads / 1 thread"
        yield title, alone["2"] / alone["1"], 0.6, f"{alone['2'] * 1e3:.4g} ms"


@row
def chain() -> Iterator[Row]:
    found = child("chain", "float64")
    yield from compared("gradient of 50 operations on 4 numbers", found, 0.8, ("JAX",))


@row
def training() -> Iterator[Row]:
    found = child("training", "float32")
    yield from compared("MLP training step, Adam, float32", found, 0.9, COMPILERS)


@row
def networks() -> Iterator[Row]:
    titles = {
        "softmax_loss": "softmax cross-entropy gradient", "layer_norm": "layer norm gradient",
        "gelu_block": "GELU MLP block gradient",
    }  # fmt: skip
    for case, title in titles.items():
        for dtype in ("float32", "float64"):
            yield from compared(f"{title}, {dtype}", child(case, dtype), 0.6)


MEMORY = (
    ("million", "float64", ""), ("training", "float32", ""), ("softmax_loss", "float64", ""),
    ("layer_norm", "float64", ""), ("gelu_block", "float64", ""), ("lse medium", "float64", ""),
    ("gmm large", "float64", "written"), ("ba medium", "float64", "reverse"),
    ("ba large", "float64", "reverse"), ("kmeans medium", "float64", "nearest"),
    ("kmeans large", "float64", "nearest"), ("llsq medium", "float64", "matrix"),
    ("llsq large", "float64", "matrix"), ("ht medium", "float64", ""),
)  # fmt: skip


@row
def memory() -> Iterator[Row]:
    for case, dtype, way in MEMORY:
        peaks = {
            library: child(case, dtype, library=library, way=way, measure="peak")["peak"]
            for library in ("chainrule", "JAX")
        }
        note = f"{peaks['chainrule'] / 2**20:.1f} MiB, JAX {peaks['JAX'] / 2**20:.1f} MiB"
        yield f"peak memory: {case}", peaks["chainrule"] / max(peaks["JAX"], 1), 1.0, note


@row
def long_programs() -> Iterator[Row]:
    threads.limit(1)
    import numpy as np

    import chainrule as cr
    from chainrule.compiler.execute import compiled
    from evals.dense import straight_line

    compiled(cr.graph.trace(straight_line(cr, 8), np.ones(4)))
    seconds = {}
    for nodes in (5000, 10_000, 20_000):
        graph = cr.graph.trace(straight_line(cr, nodes), np.ones(100))
        begin = time.perf_counter()
        compiled(graph.optimize())
        seconds[nodes] = time.perf_counter() - begin
        yield f"straight line of {nodes:,} nodes / 10 s", seconds[nodes] / 10, 1.0, ""
    growth = seconds[20_000] / seconds[10_000]
    yield "  20,000 nodes over 10,000, compile time", growth, 2.4, ""


if __name__ == "__main__":
    if "--task" in sys.argv:
        work()
    else:
        main(__doc__)
