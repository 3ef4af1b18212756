"""Writing files whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any


@contextmanager
def replacing(path: Any, mode: int = 0o666, durable: bool = True) -> Iterator[IO[bytes]]:
    """A file to write to, which takes the place of `path` only when everything was written.

    It is written beside it, and gone if anything fails.  Links are followed; an existing file keeps
    its permissions.

    Args:
        mode: the permissions of a new file, less those that the process withholds.
        durable: whether it is to survive a power failure, which takes milliseconds.

    Raises:
        OSError: saying what to do; what was there is unchanged.
    """
    target = os.path.realpath(os.fspath(path))
    refuse(target)
    part = f"{target}.{os.getpid()}.{os.urandom(4).hex()}.part"
    try:
        with open(part, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        with suppress(FileNotFoundError):
            os.chmod(part, os.stat(target).st_mode & 0o777)
        os.replace(part, target)
    except OSError as error:
        raise type(error)(
            error.errno, f"could not save: {error.strerror or error}. An existing file of that "
            "name is unchanged", target,
        ) from error  # fmt: skip
    finally:
        if os.path.exists(part):
            os.unlink(part)


def refuse(target: str) -> None:
    """Raise if a file cannot be written, for reasons that are known beforehand.

    Raises:
        OSError: saying what to do.
    """
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        raise FileNotFoundError(
            errno.ENOENT, f"could not save: there is no folder {folder!r}. Create it first, or "
            "choose another path", target,
        )  # fmt: skip
    if os.path.isdir(target):
        raise IsADirectoryError(
            errno.EISDIR, "could not save: this is a folder. Name a file in it", target
        )
    if os.path.exists(target) and not os.access(target, os.W_OK):
        raise PermissionError(
            errno.EACCES, "could not save: the file is write-protected. Choose another path, or "
            "permit writing", target,
        )  # fmt: skip


def write(path: Any, text: str) -> Path:
    """Write a text file, whole or not at all; returns its path.

    Raises:
        OSError: saying what to do; what was there is unchanged.
    """
    with replacing(path) as file:
        file.write(text.encode("utf-8"))
    return Path(path)
