"""What is measured of a mode of differentiation: operations, time, memory."""

from __future__ import annotations

import statistics
import time
import tracemalloc
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from chainrule.core.tensor import Tensor, wrap
from chainrule.graph.cost import Cost, with_gradient
from chainrule.graph.symbolic import symbolic_grad
from chainrule.graph.trace import trace

NAMES = {
    "forward": "forward mode", "batched": "forward mode, in one batch", "reverse": "reverse mode",
    "difference": "forward difference", "central": "central difference",
    "richardson": "Richardson extrapolation", "complex": "complex step",
    "shared": "symbolic, with sharing", "unshared": "symbolic, without sharing",
}  # fmt: skip

RUNS = 7  # of which the median is taken
LONG = 1e-3  # seconds that a run takes at least
ENOUGH = 0.2  # seconds after which no further run is begun
MOST = 20_000  # operations of a formula that is run


class TooMuch(RuntimeError):  # noqa: N818 - says what happened
    """A formula is too long to be run; its operations are known."""

    def __init__(self, message: str, operations: int) -> None:
        super().__init__(message)
        self.operations = operations


class Work(NamedTuple):
    """Arithmetic operations, counted on the graph of the function.

    Attributes:
        value: of one evaluation.
        tangent: of value and tangent along one direction.
        both: of value and adjoint for one cotangent.
        note: why they are not known, if they are not.
    """

    value: int | None
    tangent: int | None
    both: int | None
    note: str = ""

    def operations(self, mode: str, n: int, m: int, calls: int | None) -> int | None:
        """Those of a mode, for n inputs and m outputs."""
        if self.value is None or self.tangent is None or self.both is None:
            return None
        if mode in ("forward", "batched"):
            return n * self.tangent
        if mode == "reverse":
            return self.value + m * (self.both - self.value)
        return None if calls is None else calls * self.value


def work_of(f: Callable[..., Any], x: Tensor) -> Work:
    """The operations of a function and its derivatives; unknown where it has no graph."""
    try:
        graph = trace(f, x)
        adjoint = with_gradient(graph)
        tangent = graph.jvp()
    except (NotImplementedError, RuntimeError, TypeError) as error:
        return Work(None, None, None, f"operations are not counted: {shortened(error)}")
    costs = [Cost(g) for g in (graph, tangent, adjoint) if g is not None]
    counts = [c.flops + c.transcendental for c in costs]
    return Work(counts[0], counts[1], counts[-1])


def shortened(error: Exception) -> str:
    """What an error says, without its longer advice."""
    text = " ".join(str(error).split())
    return text if len(text) <= 160 else text[:157].rsplit(" ", 1)[0] + " …"


def measured_time(run: Callable[[], Any]) -> float:
    """Seconds that a call takes: the median of several runs, short ones repeated in each."""
    start = time.perf_counter()
    run()
    first = time.perf_counter() - start
    repeats = max(1, int(LONG / max(first, 1e-7)))
    times: list[float] = []
    while len(times) < RUNS and first + repeats * sum(times) < ENOUGH:
        start = time.perf_counter()
        for _ in range(repeats):
            run()
        times.append((time.perf_counter() - start) / repeats)
    return statistics.median(times or [first])


def measured_memory(run: Callable[[], Any]) -> int:
    """Bytes that a call allocates at its peak; what is traced already goes on being traced."""
    mine = not tracemalloc.is_tracing()
    if mine:
        tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        run()
        _, most = tracemalloc.get_traced_memory()
    finally:
        if mine:
            tracemalloc.stop()
    return most - before


def symbolic_mode(f: Callable[..., Any], x: Tensor, y: Tensor, *, sharing: bool) -> Any:
    """Symbolic differentiation as a mode: formulas, derived once, then evaluated."""
    formulas: list[Any] = []

    def run() -> tuple[Any, None]:
        if not formulas:
            formulas.append(_derived(f, x, y, sharing))
            run.operations = formulas[0].operations.total  # type: ignore[attr-defined]
        found = formulas[0].graph(wrap(x.array))
        return np.asarray(found.array), None

    return run


def _derived(f: Callable[..., Any], x: Tensor, y: Tensor, sharing: bool) -> Any:
    """The formulas of a gradient.

    Raises:
        RuntimeError: if there are none.
        TooMuch: if they are too long to be evaluated.
    """
    if y.array.size != 1:
        raise RuntimeError("formulas are made for functions with one number as their result")
    graph = trace(lambda x: f(x).reshape(()), x)
    made = symbolic_grad(graph, 0, sharing=sharing)
    n = made.operations.total
    if n > MOST:
        raise TooMuch(f"the formula has {n:,} operations, too many to be run", n)
    return made


__all__ = [
    "TooMuch",
    "Work",
    "measured_memory",
    "measured_time",
    "shortened",
    "symbolic_mode",
    "work_of",
]
