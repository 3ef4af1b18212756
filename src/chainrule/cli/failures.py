"""Errors of commands: what the user asked wrongly, and what went wrong while computing."""

from __future__ import annotations

import os
import sysconfig
import traceback
from pathlib import Path

import click

import chainrule


class Refused(click.ClickException):
    """The command cannot be understood."""

    exit_code = 2


class Failed(click.ClickException):
    """The command was understood, and did not succeed."""

    exit_code = 1

    @classmethod
    def because(cls, error: BaseException, doing: str = "") -> Failed:
        """In words: what was being done, the error, and the line of the user's it came from."""
        message = "".join(traceback.format_exception_only(error)).rstrip()
        return cls("\n".join(filter(None, [doing + message, _place(error)])))


def _place(error: BaseException) -> str:
    """The innermost line of the user's: not of this package, of Python's, or of what is installed.

    The traceback begins where the error was caught, so the command line's own frames are outside.
    """
    paths = sysconfig.get_paths()
    others = (str(Path(chainrule.__file__).parent), *(paths[p] for p in _INSTALLED), "<")
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith(others):
            line = f" ({frame.line})" if frame.line else ""
            return f"  at {_short(frame.filename)}:{frame.lineno}{line}"
    return ""


_INSTALLED = ("stdlib", "platstdlib", "purelib", "platlib")


def _short(filename: str) -> str:
    """Relative to the current directory where the file is below it."""
    here = Path.cwd()
    path = Path(filename)
    return str(path.relative_to(here)) if path.is_relative_to(here) else filename


def plain() -> bool:
    """Whether colours are unwanted: https://no-color.org, and terminals that have none."""
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
