"""The command `chainrule`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and return its exit code.

    The code is 0, 1 if computing failed, 2 if the command was not understood, 130 after Ctrl-C.

    Args:
        arguments: the words after `chainrule`; by default those that the program was called with.
    """
    if find_spec("click") is None:
        print(
            'The command line needs click: pip install "chainrule[explain]"',
            file=sys.stderr,
        )
        return 1
    from chainrule.cli.main import run

    return run(sys.argv[1:] if arguments is None else list(arguments))
