"""Compiled code kept on disk, so that the next process need not compile it again.

An entry is a file, named by the key (`identity.py`) of the machine code in it. Entries are
executed: so they are read from files that belong to the user and that nobody else may write, and
only if their checksum is right. Whatever goes wrong with the disk, programs are compiled as
without it.

    CHAINRULE_CACHE=0         keeps nothing and reads nothing
    CHAINRULE_CACHE_DIR       the folder; else the platform's folder for caches
    CHAINRULE_CACHE_SIZE      bytes at most, 256 MiB unless told
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chainrule.compiler.identity import Unknown, key_of
from chainrule.compiler.llvm import Code, object_code
from chainrule.core.files import replacing
from chainrule.graph.tables import amount

MAGIC = b"chainrule code 1\n"
SUFFIX = ".code"
LIMIT = 256 << 20
ABANDONED = 600.0  # seconds after which a file that is still being written is nobody's
RECOUNT = 64  # entries that are written before the folder is looked at again
_HEAD = len(MAGIC) + 64  # then come the checksum, and the key


class Cache:
    """Entries in one folder.

    Methods raise no errors: what is wrong with the folder is kept in `trouble`.

    Attributes:
        folder: where the entries are.
        limit: bytes that all of them may take; then those not used for longest go.
        found, stored: how many entries this process has read and written.
        trouble: why nothing can be kept, or read; None if all is well.
        skipped: why code was not kept although all is well with the folder.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.limit = limit
        self.found = 0
        self.stored = 0
        self.trouble: str | None = None
        self.skipped: str | None = None
        self._told = False
        self._size = 0  # of all entries, as far as this process knows
        self._since = RECOUNT  # entries written since the folder was looked at

    def load(self, key: str) -> bytes | None:
        """The code of that key; None if it is not there, or not to be trusted."""
        path = self._path(key)
        try:
            if not self._is_ours():
                return None
            content = _read(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._fail(error)
            return None
        code = None if content is None else _checked(content, key)
        if code is None:
            self.discard(key)
        else:
            self.found += 1
        return code

    def store(self, key: str, code: bytes) -> None:
        """Keep code, in place of what was there."""
        if self.trouble is not None or len(code) + _HEAD > self.limit:
            return
        path = self._path(key)
        body = bytes.fromhex(key) + code
        try:
            os.makedirs(self.folder, mode=0o700, exist_ok=True)
            if not self._is_ours():
                return
            with replacing(path, mode=0o600, durable=False) as file:
                file.write(MAGIC + hashlib.sha256(body).digest() + body)
        except OSError as error:
            if not path.exists():  # else another process was faster; Windows lets one only
                self._fail(error)
            return
        self.stored += 1
        self._since += 1
        self._size += len(code) + _HEAD
        if self._size > self.limit or self._since > RECOUNT:
            self._since = 0
            self._size = self._shrink()

    def discard(self, key: str) -> None:
        """Remove an entry, if it is there."""
        _remove(self._path(key))

    def entries(self) -> list[tuple[Path, int, float]]:
        """The entries, those used last at the end: path, bytes, time of the last use."""
        return [e for e in self._files() if e[0].name.endswith(SUFFIX)]

    def clear(self) -> int:
        """Remove all entries; returns how many there were."""
        return sum(_remove(path) for path, _, _ in self.entries())

    def warn(self) -> None:
        """Say once what is wrong."""
        if self.trouble is not None and not self._told:
            self._told = True
            warnings.warn(
                f"compiled code cannot be kept on disk: {self.trouble}. Every process compiles "
                "its programs itself. CHAINRULE_CACHE_DIR names another folder, CHAINRULE_CACHE=0 "
                "does without one",
                RuntimeWarning,
                stacklevel=4,
            )

    def _path(self, key: str) -> Path:
        return self.folder / (key + SUFFIX)

    def _is_ours(self) -> bool:
        """Whether nobody else may put files into the folder; raises if there is no folder."""
        found = os.stat(self.folder)
        if not stat.S_ISDIR(found.st_mode):
            self.trouble = f"{self.folder} is no folder"
        elif not _is_private(found):
            self.trouble = f"{self.folder} belongs to another user, or others may write to it"
        else:
            return True
        return False

    def _fail(self, error: OSError) -> None:
        where = f"{self.folder}: {error.strerror or error}"
        self.trouble = "the disk is full: " + where if error.errno in _FULL else where

    def _files(self) -> list[tuple[Path, int, float]]:
        """Our files in the folder, also those that are being written."""
        found = []
        try:
            with os.scandir(self.folder) as items:
                for item in items:
                    if SUFFIX in item.name and item.is_file(follow_symlinks=False):
                        about = item.stat(follow_symlinks=False)
                        found.append((Path(item.path), about.st_size, about.st_mtime))
        except OSError:  # there is no folder, or an entry went meanwhile: what was seen
            pass
        return sorted(found, key=lambda entry: entry[2])

    def _shrink(self) -> int:
        """Remove what was used longest ago until a tenth is free; the bytes that remain."""
        files = self._files()
        total = sum(size for _, size, _ in files)
        goal = self.limit if total <= self.limit else 0.9 * self.limit
        abandoned = time.time() - ABANDONED
        for path, size, used in files:
            is_entry = path.name.endswith(SUFFIX)
            if (total > goal) if is_entry else used < abandoned:
                _remove(path)
                total -= size
        return total


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _read(path: Path) -> bytes | None:
    """A file of the user's own, None if others may have written it; notes that it was used.

    Raises:
        OSError: if it cannot be read.
    """
    if path.is_symlink():
        return None
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    with open(path, "rb", opener=lambda name, _: os.open(name, flags)) as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode) or not _is_private(about):
            return None
        content = file.read()
    os.utime(path)
    return content


def _is_private(about: os.stat_result) -> bool:
    """Whether the user alone may write. Windows keeps folders of users to themselves."""
    if sys.platform == "win32":
        return True
    return about.st_uid == os.geteuid() and not about.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _checked(content: bytes, key: str) -> bytes | None:
    """The code in an entry; None if anything in it is not as it was written."""
    body = content[len(MAGIC) + 32 :]
    whole = content.startswith(MAGIC) and content[len(MAGIC) : len(MAGIC) + 32] == (
        hashlib.sha256(body).digest()
    )
    return body[32:] if whole and body[:32] == bytes.fromhex(key) else None


def _remove(path: Path) -> bool:
    try:
        path.unlink()
    except OSError:  # it is gone, or it cannot go: then it is found again, and checked again
        return False
    return True


# ---------------------------------------------------------------- the cache of this process


def code_of(parts: Any, write: Callable[[], Any], keep: bool = True) -> Code:
    """The machine code of a module: from the disk, or compiled and kept there.

    Args:
        parts: what determines the module, as for `identity.key_of`.
        write: makes the module; called only if it must be compiled.
        keep: whether the disk is looked at and written to, if the environment permits.

    Raises:
        RuntimeError: if LLVM does not accept the module; the message is LLVM's.
    """
    cache = current() if keep else None
    if cache is None:
        return Code(object_code(write()), write)
    try:
        key = key_of(*parts)
    except Unknown as reason:
        cache.skipped = str(reason)
        return Code(object_code(write()), write)
    kept = cache.load(key)
    if kept is None:
        kept = object_code(write())
        cache.store(key, kept)
    return Code(kept, write)


def warn() -> None:
    """Say once what is wrong with the folder, if anything is."""
    cache = current()
    if cache is not None:
        cache.warn()


_KNOWN: dict[tuple[Path, int], Cache] = {}


def current() -> Cache | None:
    """The cache that the environment asks for; None if it is turned off.

    Raises:
        ValueError: if CHAINRULE_CACHE_SIZE is no number.
    """
    folder = _folder()
    if folder is None or off() is not None:
        return None
    given = os.environ.get("CHAINRULE_CACHE_SIZE")
    try:
        limit = LIMIT if not given else int(given)
    except ValueError:
        raise ValueError(f"CHAINRULE_CACHE_SIZE is a number of bytes, not {given!r}") from None
    place = (folder / "code", limit)
    return _KNOWN.setdefault(place, Cache(*place))


def off() -> str | None:
    """Why the environment turns the cache off; None if it does not."""
    given = os.environ.get("CHAINRULE_CACHE", "1").strip().lower()
    if given in ("0", "off", "false", "no"):
        return f"CHAINRULE_CACHE={given}"
    if _folder() is None:
        return "the user has no home folder; CHAINRULE_CACHE_DIR may name another"
    return None


def _folder() -> Path | None:
    """The folder for caches of this platform; None if there is none."""
    given = os.environ.get("CHAINRULE_CACHE_DIR")
    if given:
        return Path(given).expanduser().absolute()
    # The XDG Base Directory Specification: a path that is not absolute is to be ignored.
    name = {"win32": "LOCALAPPDATA", "darwin": ""}.get(sys.platform, "XDG_CACHE_HOME")
    given = os.environ.get(name, "")
    if os.path.isabs(given):
        return Path(given) / "chainrule"
    home = os.path.expanduser("~")
    usual = {"win32": "AppData/Local", "darwin": "Library/Caches"}.get(sys.platform, ".cache")
    return Path(home, usual, "chainrule") if os.path.isabs(home) else None


@dataclass(frozen=True)
class Info:
    """What is kept on disk.

    Attributes:
        folder: where; None if the cache is turned off.
        entries: how many there are.
        size, limit: bytes that they take, and may take.
        found, stored: how many this process has read and written.
        trouble: why nothing, or not all, is kept; None if all is well.
    """

    folder: Path | None
    entries: int = 0
    size: int = 0
    limit: int = 0
    found: int = 0
    stored: int = 0
    trouble: str | None = None

    def __repr__(self) -> str:
        if self.folder is None:
            return f"compiled code is not kept on disk: {self.trouble}"
        many = "1 entry" if self.entries == 1 else f"{self.entries} entries"
        lines = [
            f"compiled code in {self.folder}",
            f"  {many}, {amount(self.size)} of {amount(self.limit)}",
            f"  this process: {self.found} read, {self.stored} written",
        ]
        return "\n".join(lines + ([f"  {self.trouble}"] if self.trouble else []))


def info() -> Info:
    """What is kept on disk, where, and what this process took from it.

    >>> from chainrule.compiler import cache
    >>> cache.info().size >= 0
    True
    """
    found = current()
    if found is None:
        return Info(None, trouble=off())
    entries = found.entries()
    return Info(
        found.folder, len(entries), sum(size for _, size, _ in entries), found.limit,
        found.found, found.stored, found.trouble or found.skipped,
    )  # fmt: skip


def clear() -> int:
    """Remove all compiled code from the disk; programs that are loaded stay as they are.

    Returns:
        How many entries there were.
    """
    found = current()
    return 0 if found is None else found.clear()


__all__ = ["Cache", "Info", "clear", "current", "info"]
