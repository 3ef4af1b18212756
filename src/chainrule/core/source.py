"""Where in the user's program an operation was called.

A node keeps the caller's code object and instruction offset, which costs a few dozen nanoseconds;
turning them into a file and a line waits until somebody asks.
"""

from __future__ import annotations

import linecache
import os.path
import sys
from types import CodeType, FrameType

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__))) + "/"


class _Internal(dict[str, bool]):
    """Remembers, per file name, whether the file belongs to this package."""

    def __missing__(self, filename: str) -> bool:
        inside = self[filename] = filename.replace("\\", "/").startswith(ROOT.replace("\\", "/"))
        return inside


INTERNAL = _Internal()
UNKNOWN: tuple[None, int] = (None, -1)


def user_frame(frame: FrameType | None) -> FrameType | None:
    """The innermost frame at or above `frame` that is not this package's own."""
    while frame is not None and INTERNAL[frame.f_code.co_filename]:
        frame = frame.f_back
    return frame


def caller(depth: int = 1) -> tuple[CodeType | None, int]:
    """Code object and instruction offset of the user's call that led here."""
    frame = user_frame(sys._getframe(depth))
    return UNKNOWN if frame is None else (frame.f_code, frame.f_lasti)


def line_of(code: CodeType | None, lasti: int) -> tuple[str, int] | None:
    """File name and line number of an instruction, or None where it is unknown."""
    if code is None:
        return None
    for start, end, line in code.co_lines():
        if start <= lasti < end and line is not None:
            return code.co_filename, line
    return code.co_filename, code.co_firstlineno


def describe(code: CodeType | None, lasti: int) -> str:
    """A place in the user's program in words: `file.py:12 (y = x.exp())`."""
    place = line_of(code, lasti)
    if place is None:
        return "an unknown line"
    filename, line = place
    text = linecache.getline(filename, line).strip()
    return f"{filename}:{line}" + (f" ({text})" if text else "")
