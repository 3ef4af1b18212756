"""What determines machine code, as a short text: the key under which it is kept.

It is a digest of the kernels as data, of the compiler's own source, of the versions of the library,
of LLVM, Python and NumPy, and of the processor. Nothing of it depends on the process.
"""

from __future__ import annotations

import functools
import hashlib
import marshal
import sys
import time
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

import numpy as np

from chainrule.compiler.llvm import host, llvm_binding

_IMPORTED = time.time()


class Unknown(Exception):  # noqa: N818 - a reason, not a failure
    """Machine code has no key; the message says why."""


def key_of(*parts: Any) -> str:
    """The key of the machine code made from `parts` by this compiler on this processor.

    Args:
        parts: numbers, strings, dtypes, tuples, lists, sets, and dataclasses of these.

    Raises:
        Unknown: if a part is none of these, or the compiler's source cannot be read.

    >>> from chainrule.compiler.identity import key_of
    >>> key_of(1) == key_of(1), key_of(1) == key_of(1.0)
    (True, False)
    """
    found = hashlib.sha256(environment())
    # The second format of marshal has no references: it depends on values only.
    found.update(marshal.dumps(_plain(parts), 2))
    return found.hexdigest()


_ATOMS = (int, float, str, bool, bytes, type(None))


def _plain(x: Any) -> Any:
    """A value as nested tuples of numbers and strings, from which it could be rebuilt."""
    kind = type(x)
    if kind in _ATOMS:
        return x
    if kind is tuple or kind is list:
        return tuple([_plain(item) for item in x])
    if isinstance(x, np.dtype):
        return x.str
    if isinstance(x, (np.generic, np.ndarray)) and not x.dtype.hasobject:
        return (x.dtype.str, x.shape, x.tobytes())
    if kind is set or kind is frozenset:
        return ("set", *sorted(marshal.dumps(_plain(item), 2) for item in x))
    if kind is dict:
        return ("dict", *[(_plain(k), _plain(v)) for k, v in x.items()])
    names = _fields(kind)
    return (kind.__name__, *[_plain(getattr(x, name)) for name in names])


_FIELDS: dict[type, tuple[str, ...]] = {}


def _fields(kind: type) -> tuple[str, ...]:
    """All fields of a dataclass, so that one that is added later counts too."""
    found = _FIELDS.get(kind)
    if found is None:
        if not is_dataclass(kind):
            raise Unknown(f"{kind.__name__} cannot be part of the key of compiled code")
        found = _FIELDS[kind] = tuple([f.name for f in fields(kind)])
    return found


@functools.cache
def environment() -> bytes:
    """A digest of all that the machine code depends on besides the kernels.

    Raises:
        Unknown: if the compiler's source cannot be read, or was changed since it was imported.
    """
    import llvmlite

    import chainrule

    found = hashlib.sha256()
    binding, target = llvm_binding(), host()
    described = (
        chainrule.__version__, llvmlite.__version__, binding.llvm_version_info,
        target.triple, target.cpu, target.features,
        sys.version, np.__version__,  # whose objects a native entry knows
    )  # fmt: skip
    found.update(repr(described).encode())
    for name, content in _sources():
        found.update(f"\n{name} {len(content)}\n".encode())
        found.update(content)
    return found.digest()


def _sources() -> list[tuple[str, bytes]]:
    """The compiler's files by name, in order."""
    found: list[tuple[str, bytes]] = []

    def visit(folder: Traversable, prefix: str) -> None:
        for item in sorted(folder.iterdir(), key=lambda item: item.name):
            if item.is_dir() and item.name != "__pycache__":
                visit(item, f"{prefix}{item.name}/")
            elif item.name.endswith((".py", ".pyc")):
                _refuse_changed(item)
                found.append((prefix + item.name, item.read_bytes()))

    try:
        visit(resources.files("chainrule.compiler"), "")
    except OSError as error:
        raise Unknown(f"the compiler's source cannot be read: {error}") from error
    if not found:
        raise Unknown("the compiler's source cannot be found")
    return found


def _refuse_changed(item: Traversable) -> None:
    """Refuse a file that is newer than what runs: who edits the compiler would keep old code."""
    stat: Callable[[], Any] | None = getattr(item, "stat", None)
    if stat is not None and stat().st_mtime > _IMPORTED:
        raise Unknown(f"{item.name} was changed since it was imported")
