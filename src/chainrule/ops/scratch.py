"""Memory that is used again: for arrays of some hundred kilobytes, fresh pages cost more than work.

Asking the system for pages and clearing them takes as long as a few passes over the data.  So
intermediate arrays that nobody keeps share one buffer per thread, and the allocator is told to keep
what is freed.
"""

from __future__ import annotations

import threading
from math import prod
from typing import Any

import numpy as np

# Entries of an intermediate array that should still be in the cache when they are used.
BLOCK = 1 << 18


class Scratch(threading.local):
    """One buffer per use and dtype for intermediate arrays."""

    def __init__(self) -> None:
        self.buffers: dict[Any, np.ndarray] = {}

    def array(self, use: str, shape: tuple[int, ...], dtype: Any) -> Any:
        """An array with arbitrary entries, valid until the next request for the same use."""
        size = prod(shape)
        if size > 2 * BLOCK:
            return np.empty(shape, dtype)
        buffer = self.buffers.get((use, dtype))
        if buffer is None:
            buffer = self.buffers[use, dtype] = np.empty(2 * BLOCK, dtype)
        return buffer[:size].reshape(shape)


scratch = Scratch()


def keep_freed_memory() -> None:
    """Let the C library reuse the memory of large arrays instead of returning it.

    GNU's malloc takes blocks above a threshold from the system one by one, and raises the threshold
    to the size of such a block once it is freed, up to 32 MiB (mallopt(3), M_MMAP_THRESHOLD).  The
    pages of this array are never touched, so it costs nothing; elsewhere it has no effect.
    """
    np.empty(30 << 20, np.uint8)


keep_freed_memory()
