"""`python -m tests.compiler.guarded end registry`: buffers that lie between forbidden pages.

Every buffer of a program, an input, a constant, a result or a temporary one, ends exactly where a
page begins that may not be touched ("end"), or begins right after one ("begin"). A load or store
outside kills the process. What remains of a buffer's pages is filled with a pattern and checked.
"""

from __future__ import annotations

import ctypes
import faulthandler
import mmap
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

import chainrule as cr
from chainrule.compiler import buffers, execute, fuse
from chainrule.graph.ir import Graph
from chainrule.graph.run import evaluate, plan_of
from tests.compiler import random_graphs
from tests.compiler.inputs import ordinary
from tests.compiler.registry import DRAWS, cases, primitives, traced
from tests.compiler.test_programs import FUNCTIONS
from tests.compiler.test_registry import agree

PAGE = mmap.PAGESIZE
PATTERN = 0xA5
LIBC = ctypes.CDLL(None, use_errno=True)


def forbid(address: int, size: int) -> None:
    if LIBC.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(size), 0):
        raise OSError(ctypes.get_errno(), "mprotect")


def whole_pages(size: int) -> int:
    return -(-max(size, 1) // PAGE) * PAGE


class Region:
    """Pages with forbidden ones around each of the given pieces; `starts` says where they begin."""

    def __init__(self, sizes: Sequence[int], at_end: bool) -> None:
        self.memory = mmap.mmap(-1, total(sizes))
        self.raw = np.frombuffer(self.memory, np.uint8)
        self.raw[:] = PATTERN
        self.starts = places(sizes, at_end)
        self.sizes = sizes
        address = self.raw.ctypes.data
        self.allowed = []
        at = 0
        for size in sizes:
            forbid(address + at, PAGE)
            self.allowed.append((at + PAGE, at + PAGE + whole_pages(size)))
            at += PAGE + whole_pages(size)
        forbid(address + at, PAGE)

    def check(self) -> None:
        """Raise if anything beside the pieces was written."""
        for start, size, (first, last) in zip(self.starts, self.sizes, self.allowed, strict=True):
            assert (self.raw[first:start] == PATTERN).all(), "written before a buffer"
            assert (self.raw[start + size : last] == PATTERN).all(), "written after a buffer"


def places(sizes: Sequence[int], at_end: bool) -> list[int]:
    """Where pieces begin that have a forbidden page before and after each."""
    found, at = [], PAGE
    for size in sizes:
        found.append(at + whole_pages(size) - size if at_end else at)
        at += whole_pages(size) + PAGE
    return found


def total(sizes: Sequence[int]) -> int:
    return PAGE + sum(whole_pages(size) + PAGE for size in sizes)


class Guard:
    """Makes programs whose buffers are guarded, and runs them."""

    def __init__(self, at_end: bool) -> None:
        self.at_end = at_end
        self.held: list[Region] = []

    def array(self, shape: Any, dtype: Any) -> np.ndarray:
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        region = Region([size], self.at_end)
        self.held.append(region)
        return np.ndarray(shape, dtype, region.raw, region.starts[0])

    def copy(self, x: np.ndarray) -> np.ndarray:
        made = self.array(x.shape, x.dtype)
        made[...] = x
        return made

    def compiled(self, graph: Graph) -> execute.Program:
        """A program with room for forbidden pages between its temporary arrays."""
        real = execute.fuse, fuse.arrange
        fuse.arrange = self._arrange
        execute.fuse = self._fuse
        try:
            program = execute.compiled(graph)
        finally:
            execute.fuse, fuse.arrange = real
        program.allocate = self._allocator(program)
        return program

    def _arrange(self, given: list[buffers.Buffer]) -> int:
        pieces = temporaries(given)
        for b, offset in zip(pieces, places(sizes_of(pieces), self.at_end), strict=True):
            b.offset = offset
        return total(sizes_of(pieces)) if pieces else 0

    def _fuse(self, *args: Any) -> fuse.Steps:
        steps = fuse.fuse(*args)
        for b in steps.buffers:
            if b.kind == buffers.CONSTANT:
                b.value = self.copy(b.value)
        return steps

    def _allocator(self, program: execute.Program) -> Callable[[Any, Any], np.ndarray]:
        def allocate(shape: Any, dtype: Any) -> np.ndarray:
            if shape == program.steps.scratch and dtype is np.uint8:
                region = Region(sizes_of(temporaries(program.steps.buffers)), self.at_end)
                self.held.append(region)
                return region.raw
            return self.array(shape, dtype)

        return allocate

    def run(self, label: str, graph: Graph, arrays: Sequence[np.ndarray]) -> None:
        """Run a graph's program; raise if it writes elsewhere, or computes something else."""
        self.held.clear()
        program = self.compiled(graph)
        broken = [r for r in program.steps.refused.values() if "could not be compiled" in r]
        assert not broken, broken
        given = [self.copy(np.asarray(x)) for x in arrays]
        with np.errstate(all="ignore"):
            found = program.run(given)
            wanted = evaluate(plan_of(graph), list(arrays))
        for region in self.held:
            region.check()
        for x, y in zip(given, arrays, strict=True):
            np.testing.assert_array_equal(x, y)
        agree(label, found, wanted)


def temporaries(given: Sequence[buffers.Buffer]) -> list[buffers.Buffer]:
    """Those that have memory of their own."""
    return [b for b in given if b.kind == buffers.TEMPORARY and b.place is None]


def sizes_of(pieces: Sequence[buffers.Buffer]) -> list[int]:
    return [b.nbytes for b in pieces]


Programs = Iterator[tuple[str, Graph, list[np.ndarray]]]


def of_functions() -> Programs:
    """Real functions: value and gradient in several shapes."""
    for dtype in ("float32", "float64"):
        for shape in ((5, 13), (33, 70), (3, 600)):
            for f in FUNCTIONS:
                x = ordinary(shape, dtype, 0)
                if f.__name__ != "mlp" or shape[0] >= 10:
                    graph = cr.graph.trace(f, x).value_and_grad()
                    yield f"{f.__name__} {dtype}{list(shape)}", graph, [x]


def of_registry() -> Programs:
    """Samples of every primitive."""
    for prim in primitives():
        for case in cases(prim, every=False):
            graph = traced(case)
            if graph is not None and prim.name not in DRAWS:
                yield f"{prim.name}: {case.label}", graph, [np.asarray(x) for x in case.arrays]


def of_fuzzer(count: int = 300, seed: int = 0) -> Programs:
    """Random programs and their gradients."""
    from tests.fuzz.campaign import drawn
    from tests.fuzz.program import Pair

    for i in range(count):
        program = drawn(seed, i)
        if program is None or program.branches:
            continue
        x = program.inputs()
        f = program.load({"cr": cr, "Pair": Pair})
        try:
            graph = cr.graph.trace(lambda x, f=f: cr.sum(f(x)), x)
        except RuntimeError:  # it depends on data
            continue
        yield f"program {i} of seed {seed}", graph.value_and_grad().optimize(), [x]


def of_graphs(count: int = 200) -> Programs:
    """Random graphs of many shapes, gathers and joins among them."""
    for seed in range(count):
        graph = random_graphs.graph_of(seed, random_graphs.rows(seed))
        yield f"graph of seed {seed}", graph.optimize(), random_graphs.inputs(seed)


PROGRAMS = {
    "functions": of_functions, "registry": of_registry, "fuzzer": of_fuzzer, "graphs": of_graphs,
}  # fmt: skip


def main(where: str, which: str, every: str = "1", first: str = "0") -> None:
    faulthandler.enable()
    guard = Guard(at_end=where == "end")
    count = 0
    for i, (label, graph, arrays) in enumerate(PROGRAMS[which]()):
        if i % int(every) == int(first):
            print(label, file=sys.stderr, flush=True)  # the last line tells which one was killed
            guard.run(label, graph, arrays)
            count += 1
    print(f"{count} programs")


if __name__ == "__main__":
    main(*sys.argv[1:])
