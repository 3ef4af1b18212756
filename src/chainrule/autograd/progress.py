"""Progress of a long loop, on a terminal and only when it takes long."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

PATIENCE = 2.0  # seconds


def counted(total: int, what: str) -> Iterator[int]:
    """The numbers below `total`; after two seconds, how far it is goes to a terminal's stderr."""
    stream = sys.stderr
    if total < 2 or stream is None or not stream.isatty():
        yield from range(total)
        return
    start = shown = time.monotonic()
    said = False
    try:
        for i in range(total):
            yield i
            now = time.monotonic()
            if now - start > PATIENCE and now - shown > 0.2:
                stream.write(f"\r{what}: {i + 1} of {total} ({100 * (i + 1) // total} %)")
                stream.flush()
                shown, said = now, True
    finally:  # Ctrl-C included
        if said:
            stream.write("\r\x1b[K")
            stream.flush()
