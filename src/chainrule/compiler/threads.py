"""Threads that share the outermost loop of large kernels.

They are ordinary Python threads which wait for work, made when there is work for the first time; a
kernel runs without Python's lock. A part of a loop gives the same bits whoever computes it, so the
results do not depend on how many threads there are.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Iterator, Sequence
from math import prod
from queue import SimpleQueue
from typing import Any

from chainrule.compiler.kernel import BLOCK, Kernel, work_of

# About 0.2 ms: so much work that waking a thread, a few hundredths of a millisecond, is little.
LARGE = 1 << 23  # scalar operations; a byte that is read or written counts as two
PARTS = 8  # that each thread gets: one that is kept waiting keeps the others waiting for little


def is_large(kernel: Kernel) -> bool:
    """Whether threads may share a kernel."""
    item = {b: dt.itemsize for b, dt in enumerate(kernel.dtypes)}
    moved = sum(
        prod(nest.extents) * sum(item.get(a.buffer, 0) for a in nest.accesses)
        for nest in kernel.nests
    )
    return kernel.trip > 1 and work_of(kernel) + 2 * moved > LARGE


def unit_of(kernel: Kernel) -> int:
    """What the parts of a kernel's outermost loop are multiples of.

    Rare arguments make a kernel compute a block again, by code that rounds otherwise: so blocks
    begin at the same places however the loop is divided.
    """
    nest = kernel.nests[0]
    return BLOCK if len(nest.extents) == 1 and not nest.reductions else 1


class _Setting:
    """The number of threads; None until it is asked for."""

    count: int | None = None


def get_num_threads() -> int:
    """How many threads compiled functions use for large arrays.

    Unless set, as many as processors are available to this process, or as the environment variable
    OMP_NUM_THREADS says, if that is less.

    >>> import chainrule as cr
    >>> cr.get_num_threads() >= 1
    True
    """
    if _Setting.count is None:
        _Setting.count = _default()
    return _Setting.count


def set_num_threads(num: int) -> None:
    """Say how many threads compiled functions use for large arrays.

    Results are the same bit for bit, whatever the number. NumPy and BLAS have their own settings.

    Args:
        num: 1 or more.

    Raises:
        TypeError: if `num` is no integer.
        RuntimeError: if it is not positive.

    >>> import chainrule as cr
    >>> before = cr.get_num_threads()
    >>> cr.set_num_threads(1)
    >>> cr.get_num_threads()
    1
    >>> cr.set_num_threads(before)
    """
    if not isinstance(num, int) or isinstance(num, bool):
        raise TypeError(f"set_num_threads expects an int, but got {type(num).__name__}")
    if num < 1:
        raise RuntimeError("set_num_threads expects a positive integer")
    _Setting.count = num


def _default() -> int:
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    # A list gives the numbers for nested regions, of which the first is the outermost.
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return min(count, max(int(wanted), 1)) if wanted.isdecimal() else count


class Shared:
    """A loop that threads share: called as `shared(addresses, held)`.

    Args:
        part: native code for part of the outermost loop: (addresses, begin, end).
        finish: what follows when all parts are done.
        trip: the extent of that loop.
        unit: what its parts are multiples of.
    """

    def __init__(self, part: Any, finish: Any, trip: int, unit: int = 1) -> None:
        self.part = part
        self.finish = finish
        self.trip = trip
        self.unit = unit

    def __call__(self, addresses: Any, held: Any) -> None:
        """Run all of it.

        Args:
            addresses: the table of addresses.
            held: what must not be freed while a thread still computes.
        """
        count = get_num_threads()
        units = -(-self.trip // self.unit)
        if count == 1 or units == 1:
            self.part(addresses, 0, self.trip)
        else:
            job = _Job(self.part, addresses, self._parts(units, PARTS * count), held)
            _pool().share(job, min(count, units) - 1)
        self.finish(addresses, 0, self.trip)

    def _parts(self, units: int, count: int) -> list[tuple[int, int]]:
        """The loop in parts of about the same length."""
        count = min(count, units)
        ends = [self.unit * (units * k // count) for k in range(count + 1)]
        ends[-1] = self.trip
        return list(itertools.pairwise(ends))


class _Job:
    """Parts of one loop, which threads take one after the other.

    It holds the memory that is read and written. If the thread that waits for it is interrupted,
    the others end the parts that they are at, in memory that is still theirs.
    """

    def __init__(
        self, part: Any, addresses: Any, parts: Sequence[tuple[int, int]], held: Any
    ) -> None:
        self._part = part
        self._addresses = addresses
        self._held = held
        self._left: Iterator[tuple[int, int]] = iter(parts)
        self._lock = threading.Lock()
        self._running = 0
        self._closed = self._cancelled = False
        self._done = threading.Event()

    def help(self) -> None:
        """Take part, unless it is over."""
        with self._lock:
            if self._closed:
                return
            self._running += 1
        try:
            self.work()
        finally:
            with self._lock:
                self._running -= 1
                if self._closed and not self._running:
                    self._done.set()

    def work(self) -> None:
        for begin, end in self._left:
            if self._cancelled:
                return
            self._part(self._addresses, begin, end)

    def finish(self) -> None:
        """Wait for those that take part; nobody may join any more."""
        with self._lock:
            self._closed = True
            running = self._running
        if running:
            self._done.wait()
        # Threads that get to the job later must not keep large arrays alive.
        self._addresses = self._held = None

    def cancel(self) -> None:
        """Let nobody begin another part."""
        self._closed = self._cancelled = True


class _Pool:
    """Threads that wait for jobs."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._count = 0
        self._lock = threading.Lock()

    def share(self, job: _Job, helpers: int) -> None:
        """Do a job with the help of other threads."""
        if self._count < helpers:
            self._grow(helpers)
        try:
            for _ in range(helpers):
                self._jobs.put(job)
            job.work()
            job.finish()
        except BaseException:
            job.cancel()
            raise

    def _grow(self, count: int) -> None:
        with self._lock:
            while self._count < count:
                name = f"chainrule-{self._count + 1}"
                threading.Thread(target=self._serve, name=name, daemon=True).start()
                self._count += 1

    def _serve(self) -> None:
        while True:
            self._jobs.get().help()


class _Pools:
    """The pool of this process, made when it is needed."""

    one: _Pool | None = None
    lock = threading.Lock()


def _pool() -> _Pool:
    if _Pools.one is None:
        with _Pools.lock:
            if _Pools.one is None:
                _Pools.one = _Pool()
    return _Pools.one


def _forget() -> None:
    """A forked process has none of its parent's threads."""
    _Pools.one, _Pools.lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


__all__ = ["Shared", "get_num_threads", "is_large", "set_num_threads", "unit_of"]
