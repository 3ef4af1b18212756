"""Programs: a graph as machine code and calls of NumPy, ready to run."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import numpy as np

from chainrule.compiler import buffers as kinds
from chainrule.compiler import cache, library
from chainrule.compiler.buffers import Buffer
from chainrule.compiler.entry import DTYPES, Signature, entry_of, is_known, write_entry
from chainrule.compiler.fuse import CallStep, KernelStep, LibraryStep, Steps, TileStep, Window, fuse
from chainrule.compiler.kernel import work_of
from chainrule.compiler.llvm import Code, compile_module, llvm_ir
from chainrule.compiler.loops import write_kernel
from chainrule.compiler.progress import waiting
from chainrule.compiler.runs import (
    SCRATCH,
    place_of,
    routines_of,
    slots_of,
    write_run,
    write_shared,
    write_whole,
)
from chainrule.compiler.threads import Shared, get_num_threads, is_large, unit_of
from chainrule.core.node import Node
from chainrule.core.tensor import Tensor, as_array, wrap
from chainrule.graph.ir import Graph
from chainrule.graph.run import evaluate, plan_of

_RUN = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_PART = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
HELD = 100_000  # scalar operations, up to which a program keeps other Python threads waiting


def compiled(graph: Graph, keep: bool = True) -> Program:
    """A graph as machine code: a function of arguments like the graph's.

    What has no compiled form runs in NumPy; `report()` says what and why. Arguments that are not
    contiguous are copied. Results are fresh arrays.

    Args:
        graph: any graph; `graph.optimize()` first where it repeats work.
        keep: whether the machine code is kept on disk, and looked for there (`cache.py`).

    Raises:
        ImportError: if llvmlite is not installed.

    >>> import chainrule as cr
    >>> from chainrule.compiler import execute
    >>> x = cr.ones(1000, dtype=cr.float64)
    >>> graph = cr.graph.trace(lambda x: (cr.sin(x) * x).sum(), x)
    >>> program = execute.compiled(graph.value_and_grad())
    >>> value, slope = program(x)
    >>> value
    tensor(841.4710, dtype=chainrule.float64)
    >>> print(program.report())
    value and grad of <lambda>: ... operations in 1 kernel, 0 calls of BLAS, 0 calls of NumPy, ...
    """
    llvm_ir()
    with waiting(f"compiling {graph.title}, {len(graph.nodes):,} operations"):
        made = _made(graph, keep)
    if keep:
        cache.warn()
    return made


def _made(graph: Graph, keep: bool) -> Program:
    """A program, with calls of NumPy for what LLVM does not accept."""
    refused: dict[Node, str] = {}
    while True:
        steps = fuse(graph, refused)
        began = perf_counter()
        try:
            runs = _compile(steps, keep)
        except Exception as error:  # any failure means NumPy, with the reason
            found = _culprits(steps, error)
            if not found.keys() - refused.keys():
                raise  # LLVM fails without any of our kernels
            refused |= found
            continue
        return Program(steps, *runs, perf_counter() - began)


def _culprits(steps: Steps, error: Exception) -> dict[Node, str]:
    """The nodes of the kernels that cannot be compiled by themselves; of all, if each can."""
    found: dict[Node, str] = {}
    everything: dict[Node, str] = {}
    for step in steps.steps:
        if not isinstance(step, KernelStep):
            continue
        everything |= dict.fromkeys(step.nodes, f"the kernel could not be compiled: {error}")
        try:
            module = llvm_ir().Module(name="chainrule")
            write_kernel(module, step.kernel)
            compile_module(module)
        except Exception as own:
            found |= dict.fromkeys(step.nodes, f"the kernel could not be compiled: {own}")
    return found or everything


def _compile(steps: Steps, keep: bool) -> tuple[Code | None, list[list[Any]]]:
    """Machine code, and the steps with neighbouring kernels as one call."""
    runs: list[list[Any]] = []
    for step in steps.steps:
        alone = isinstance(step, CallStep) or _is_shared(step)
        if alone or not runs or isinstance(runs[-1][0], CallStep) or _is_shared(runs[-1][0]):
            runs.append([])
        runs[-1].append(step)
    slots = slots_of(steps.buffers)
    routines = routines_of(steps, slots)
    native = {f"run{i}": run for i, run in enumerate(runs) if not isinstance(run[0], CallStep)}
    signature = _signature(steps, slots, runs)

    def write() -> Any:
        module = llvm_ir().Module(name="chainrule")
        written: list[tuple[Any, int | None]] = []
        for name, run in native.items():
            if _is_shared(run[0]):
                parts = write_shared(module, name, run[0], slots)
                written += [(part, run[0].trip) for part in parts]
            else:
                written.append((write_run(module, name, run, slots, routines), None))
        if signature is not None:
            whole = write_whole(module, written) if signature.whole else None
            write_entry(module, whole, signature)
        return module

    parts = [_identity(native, slots), routines, signature]
    return cache.code_of(parts, write, keep) if native else None, runs


def _is_shared(step: Any) -> bool:
    """Whether threads share the step."""
    if isinstance(step, TileStep):
        return step.part.is_large
    return isinstance(step, KernelStep) and is_large(step.kernel)


def _identity(native: dict[str, list[Any]], slots: dict[int, int]) -> list[Any]:
    """What the functions of a program do, for the key of their code."""

    def of(step: KernelStep | LibraryStep | TileStep) -> Any:
        if isinstance(step, KernelStep):
            what: Any = step.kernel
        else:
            done = step.part if isinstance(step, TileStep) else step.gemm
            what = (done, step.buffers[-1].dtype)
        return what, [place_of(b, slots) for b in step.buffers]

    return [(name, _is_shared(run[0]), [of(step) for step in run]) for name, run in native.items()]


def _signature(steps: Steps, slots: dict[int, int], runs: list[list[Any]]) -> Signature | None:
    """What the native entry of a program takes and makes; None if it has none."""
    calls = any(isinstance(run[0], CallStep) for run in runs)
    if all(isinstance(run[0], CallStep) for run in runs) or not is_known():
        return None
    whole = not calls and _slots_of_outputs(steps, slots) is not None
    made = _made_arrays(steps, slots)
    if steps.flag is not None:
        made.append((slots[steps.flag.index], steps.flag.shape, steps.flag.dtype))
    if not DTYPES.issuperset([*[b.dtype for b in steps.inputs], *[dt for _, _, dt in made]]):
        return None
    kernels = [s.kernel for s in steps.steps if isinstance(s, KernelStep)]
    routines = routines_of(steps, slots).values()
    products = any(isinstance(s, LibraryStep | TileStep) for s in steps.steps)
    return Signature(
        slots=1 + max([*slots.values(), *routines, SCRATCH]),
        inputs=tuple([(slots[b.index], b.shape, b.dtype) for b in steps.inputs]),
        outputs=tuple(made),
        known=(*[slots[b.index] for b in _constants(steps)], *routines),
        scratch=steps.scratch,
        releases=products or sum(work_of(kernel) for kernel in kernels) > HELD,
        flagged=steps.flag is not None,
        whole=whole,
        driven=not whole or any(_is_shared(run[0]) for run in runs),
    )


def _made_arrays(
    steps: Steps, slots: dict[int, int]
) -> list[tuple[int, tuple[int, ...], np.dtype[Any]]]:
    """Slot, shape and dtype of each fresh array: in the order of the results, if they are such."""
    made = {slots[b.index]: b for b in steps.buffers if b.kind == kinds.OUTPUT}
    order = _slots_of_outputs(steps, slots)
    return [(slot, made[slot].shape, made[slot].dtype) for slot in (order or made)]


def _constants(steps: Steps) -> list[Buffer]:
    return [b for b in steps.buffers if b.kind == kinds.CONSTANT]


def _address(x: np.ndarray) -> int:
    found: int = x.__array_interface__["data"][0]
    return found


def _is_plain(x: Any, dtype: np.dtype[Any]) -> bool:
    """Whether compiled code can read the memory of x as it is."""
    plain = type(x) is np.ndarray and x.dtype == dtype
    return plain and x.flags.c_contiguous and x.flags.aligned


def _slots_of_outputs(steps: Steps, slots: dict[int, int]) -> list[int] | None:
    """Where the results are, if each is a fresh array as it stands; None if one is not."""
    found = []
    for window in steps.outputs:
        buffer = window.buffer
        if buffer.kind != kinds.OUTPUT or buffer.shape != window.shape:
            return None
        found.append(slots[buffer.index])
    return found if len(set(found)) == len(found) else None


class Program:
    """A compiled graph.

    Attributes:
        steps: the kernels, matrix products, calls of NumPy.
        code: the machine code; None if there is no kernel.
        seconds: that compiling took.
    """

    def __init__(
        self, steps: Steps, code: Code | None, runs: list[list[Any]], seconds: float
    ) -> None:
        self.steps = steps
        self.graph = steps.graph
        self.code = code
        self.seconds = seconds
        self._slots = slots_of(steps.buffers)
        routines = routines_of(steps, self._slots)
        self._size = 1 + max([*self._slots.values(), *routines.values(), SCRATCH])
        self._runs: list[Any] = []
        for i, run in enumerate(runs):
            if isinstance(run[0], CallStep):
                self._runs.append(run[0])
                continue
            assert code is not None
            if _is_shared(run[0]):
                part, finish = (_PART(code.address(f"run{i}{end}")) for end in ("", "_finish"))
                unit = unit_of(run[0].kernel) if isinstance(run[0], KernelStep) else 1
                self._runs.append(Shared(part, finish, run[0].trip, unit))
            else:
                self._runs.append(_RUN(code.address(f"run{i}")))
        self.allocate: Any = np.empty  # makes results and scratch memory
        self._free: list[Any] = []  # scratch memory between calls
        self._table: list[Any] = [None] * self._size  # arrays by slot, constants filled in
        for b in steps.buffers:
            if b.kind == kinds.CONSTANT:
                self._table[self._slots[b.index]] = b.value
        self._addresses = ctypes.c_void_p * self._size
        self._known = [None if x is None else _address(x) for x in self._table]
        for name, slot in routines.items():
            self._known[slot] = library.address(name)
        self._whole = _slots_of_outputs(steps, self._slots) is not None
        self._calls = any(isinstance(run, CallStep) for run in self._runs)
        self._fresh = _made_arrays(steps, self._slots)
        self._flag = None if steps.flag is None else self._slots[steps.flag.index]
        self._inputs = [(self._slots[b.index], b.dtype) for b in steps.inputs]
        self._entry: Any = None
        self._native = self._driven = False  # whether the entry runs all steps, and leaves them
        signature = _signature(steps, self._slots, runs)
        if signature is not None and code is not None:
            constants = [b.value for b in _constants(steps)]
            known = [*map(_address, constants), *map(library.address, routines)]
            self._entry = entry_of(code, signature, known, self._free, constants)
            self._native, self._driven = signature.whole, signature.driven

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run on arguments as the graph's.

        Raises:
            TypeError: if there are too many arguments, or too few.
            RuntimeError: if an argument has another shape or dtype than its variable.
        """
        from chainrule import tree
        from chainrule.graph.binding import flat_arguments

        given = flat_arguments(self.graph, args, kwargs)
        outs = self.run([x.array for x in given])
        tensors = any(isinstance(x, Tensor) for x in tree.leaves((args, kwargs)))
        return self.graph.result([wrap(y) for y in outs], arrays=self.graph.arrays and not tensors)

    @property
    def fast(self) -> Callable[..., list[np.ndarray] | None]:
        """The quickest way to call the program: `fast(x, y, ...)` with NumPy arrays.

        It returns a list of fresh arrays. None means that an argument is no plain array of its
        variable's shape and dtype in C order, and nothing was run.
        """
        if self._entry is None:
            return self._checked
        direct = not self._driven and self._flag is None
        found: Callable[..., Any] = self._entry if direct else self._through
        return found

    def _through(self, *arrays: np.ndarray) -> list[np.ndarray] | None:
        """As `fast`, where threads share large kernels, NumPy is called, or indices are checked."""
        if self._driven and not (self._native and get_num_threads() == 1):
            driven: list[np.ndarray] | None = self._entry(*arrays, self._drive)
            return driven
        found: list[np.ndarray] | None = self._entry(*arrays)
        if found is not None and self._flag is not None and found.pop()[0]:
            return self._failed(arrays)
        return found

    def _failed(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """What evaluation says where an index is out of bounds: an error, with its message."""
        return evaluate(plan_of(self.graph), list(arrays))

    def _checked(self, *arrays: np.ndarray) -> list[np.ndarray] | None:
        """As `fast`, where there is no native entry."""
        if len(arrays) != len(self._inputs):
            return None
        for x, b in zip(arrays, self.steps.inputs, strict=True):
            if not _is_plain(x, b.dtype) or x.shape != b.shape:
                return None
        return self._run(arrays)

    def run(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The results for arrays of the inputs' shapes and dtypes: fresh arrays."""
        if self._entry is not None and self.allocate is np.empty:
            found = self.fast(*arrays)
            if found is not None:
                return found
        return self._run(arrays)

    def _run(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """As `run`, where the native entry does not take the arrays."""
        addresses = self._addresses(*self._known)
        # A NumPy scalar has no memory that stays.
        plain = [
            x if _is_plain(x, dtype) else np.require(x, dtype, ["C", "A"])
            for (_, dtype), x in zip(self._inputs, arrays, strict=True)
        ]
        for (slot, _), x in zip(self._inputs, plain, strict=True):
            addresses[slot] = _address(x)
        made = [self.allocate(shape, dtype) for _, shape, dtype in self._fresh]
        for (slot, _, _), y in zip(self._fresh, made, strict=True):
            addresses[slot] = _address(y)
        scratch = None
        if self.steps.scratch:
            try:
                scratch = self._free.pop()
            except IndexError:
                scratch = self.allocate(self.steps.scratch, np.uint8)
            addresses[SCRATCH] = _address(scratch)
        if self._flag is not None:
            made.append(np.zeros(1, np.int64))
            addresses[self._flag] = _address(made[-1])
        found = self._steps(addresses, made, scratch, plain)
        if scratch is not None:
            self._free.append(scratch)
        return found

    def _drive(
        self, table: bytes, made: list[np.ndarray], scratch: Any, *arrays: np.ndarray
    ) -> list[np.ndarray]:
        """Run the steps on what the native entry has prepared."""
        return self._steps(self._addresses.from_buffer_copy(table), made, scratch, arrays)

    def _steps(
        self, addresses: Any, made: list[np.ndarray], scratch: Any, arrays: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        """Run the steps, one after the other.

        Args:
            made: memory for the results, and for the flag.
        """
        flag = None if self._flag is None else made.pop()
        table: list[Any] = []
        if self._calls or not self._whole:
            table = self._table.copy()
            for (slot, _), x in zip(self._inputs, arrays, strict=True):
                table[slot] = x
            for (slot, _, _), y in zip(self._fresh, made, strict=True):
                table[slot] = y
            table[SCRATCH] = scratch
        held = (self, arrays, made, scratch, flag, table)
        for step in self._runs:
            if isinstance(step, CallStep):
                self._call(step, table, addresses)
            elif isinstance(step, Shared):
                step(addresses, held)
            else:
                step(addresses)
            if flag is not None and flag[0]:
                return self._failed(arrays)
        return made if self._whole else self._results(table)

    def _call(self, step: CallStep, table: list[Any], addresses: Any) -> None:
        """Evaluate a primitive on arrays."""
        args = [self._array(a, table) if isinstance(a, Window) else a for a in step.args]
        result = step.node.prim.eval(*args, **(step.node.params or {}))
        for index, buffer in step.outs:
            made = as_array(result if index is None else result[index])
            shared = any(isinstance(a, np.ndarray) and np.may_share_memory(made, a) for a in args)
            # The evaluation of a formula with numbers may give a wider dtype than the node's.
            made = np.require(np.array(made) if shared else made, buffer.dtype, ["C", "A"])
            args.append(made)
            slot = self._slots[buffer.index]
            table[slot] = made
            addresses[slot] = _address(made)

    def _array(self, window: Window, table: list[Any]) -> np.ndarray:
        """A buffer, or part of one, as an array."""
        buffer = window.buffer.root
        base, offset = table[self._slots.get(buffer.index, SCRATCH)], window.offset
        if buffer.kind == kinds.TEMPORARY:
            offset += buffer.offset
        elif window.shape == base.shape and not offset and window.strides == base.strides:
            return base  # type: ignore[no-any-return]
        return np.ndarray(window.shape, window.buffer.dtype, base, offset, window.strides)

    def _results(self, table: list[Any]) -> list[np.ndarray]:
        """The outputs; what is an input, a constant, or an output already, is copied."""
        outs = []
        taken: set[int] = set()
        for window in self.steps.outputs:
            found = self._array(window, table)
            mine = window.buffer.kind in (kinds.OUTPUT, kinds.MADE)
            if not mine or window.buffer.index in taken:
                found = np.array(found)
            taken.add(window.buffer.index)
            outs.append(found)
        return outs

    def report(self) -> Any:
        """What was compiled, how, and what was not and why."""
        from chainrule.compiler.report import Report

        return Report(self)
