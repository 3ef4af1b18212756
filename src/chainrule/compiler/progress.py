"""A line on the terminal while compiling takes long."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

PATIENCE = 1.0  # seconds
PERIOD = 0.5  # seconds between changes of the line


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Say on stderr what takes so long, if it is a terminal and the code inside takes a second.

    A thread writes, since LLVM compiles a program in one call.
    """
    stream = sys.stderr
    if stream is None or not stream.isatty():
        yield
        return
    done = threading.Event()
    writer = threading.Thread(target=_tell, args=(stream, what, done), daemon=True)
    writer.start()
    try:
        yield
    finally:  # Ctrl-C included
        done.set()
        writer.join()


def _tell(stream: Any, what: str, done: threading.Event) -> None:
    began = time.monotonic()
    if done.wait(PATIENCE):
        return
    while True:
        stream.write(f"\r{what}: {time.monotonic() - began:.0f} s")
        stream.flush()
        if done.wait(PERIOD):
            break
    stream.write("\r\x1b[K")
    stream.flush()
