"""`save` and `load`: tensors, and containers of them, in a file.

The file is a zip archive without compression: `data.pkl` is the pickled object with every array
replaced by a reference, `data/0`, `data/1`, ... are the memory of the arrays.  Tensors that shared
memory share it again.  The archive's checksums find damage.  By default, loading builds containers,
numbers, strings and tensors only, so that a file cannot run code.
"""

from __future__ import annotations

import io
import os
import pickle
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np

from chainrule.core.device import check_device
from chainrule.core.dtypes import as_numpy, category
from chainrule.core.files import replacing
from chainrule.core.mutation import owner_of

_PICKLE, _ORDER = "data.pkl", "byteorder"
_SAFE = {
    ("collections", "OrderedDict"), ("collections", "defaultdict"), ("collections", "Counter"),
    ("builtins", "set"), ("builtins", "frozenset"), ("builtins", "complex"), ("builtins", "slice"),
    ("builtins", "bytearray"), ("builtins", "list"), ("builtins", "dict"), ("builtins", "int"),
    ("builtins", "float"), ("builtins", "tuple"), ("chainrule.core.dtypes", "as_dtype"),
    ("chainrule.core.device", "device"), ("chainrule.core.generator", "_restored"),
    ("chainrule.core.tensor", "Parameter"), ("chainrule.core.tensor", "Size"),
    ("chainrule.core.tensor", "Tensor"), ("chainrule.tensor_methods", "_rebuild"),
}  # fmt: skip


class _Pickler(pickle.Pickler):
    """Pickles an object, setting arrays aside in `storages`."""

    def __init__(self, file: Any) -> None:
        super().__init__(file, protocol=4)
        self.storages: list[np.ndarray] = []
        self._keys: dict[int, int] = {}

    def persistent_id(self, obj: Any) -> Any:
        if isinstance(obj, np.generic) and not isinstance(obj, np.flexible):
            obj = np.asarray(obj)
            return "scalar", obj.dtype.name, obj.tobytes()
        if type(obj) is not np.ndarray:
            return None
        category(obj.dtype)
        owner = owner_of(obj)
        contiguous = owner.flags.c_contiguous or owner.flags.f_contiguous
        if type(owner) is not np.ndarray or owner.dtype != obj.dtype or not contiguous:
            owner = obj = np.ascontiguousarray(obj)
        key = self._keys.get(id(owner))
        if key is None:
            key = self._keys[id(owner)] = len(self.storages)
            self.storages.append(owner)  # kept alive, so that its id stays its own
        offset = obj.ctypes.data - owner.ctypes.data if obj.size else 0
        return "array", key, obj.dtype.name, obj.shape, obj.strides, offset


class _Arrays:
    """Turns references back into arrays, reading each piece of memory once."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._storages: dict[int, np.ndarray] = {}
        self._foreign = archive.read(_ORDER).decode() != sys.byteorder

    def __call__(self, reference: Any) -> Any:
        kind, *rest = reference
        if kind == "scalar":
            name, data = rest
            return self._memory(data, as_numpy(name)).view(as_numpy(name))[0]
        key, name, shape, strides, offset = rest
        dt = as_numpy(name)
        storage = self._storages.get(key)
        if storage is None:
            data = self._archive.read(f"data/{int(key)}")
            storage = self._storages[key] = self._memory(data, dt)
        return np.ndarray(shape, dt, storage, offset, strides)  # checks that it stays inside

    def _memory(self, data: bytes, dt: np.dtype[Any]) -> np.ndarray:
        memory = np.frombuffer(data, np.uint8).copy()
        return memory.view(dt).byteswap().view(np.uint8) if self._foreign else memory


class _AnyUnpickler(pickle.Unpickler):
    """Rebuilds whatever was pickled."""

    def __init__(self, file: Any, arrays: _Arrays) -> None:
        super().__init__(file)
        self.persistent_load = arrays  # type: ignore[method-assign,assignment]


class _SafeUnpickler(pickle._Unpickler):
    """Rebuilds containers, numbers, strings and tensors only."""

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)  # type: ignore[attr-defined]

    def __init__(self, file: Any, arrays: _Arrays) -> None:
        super().__init__(file)
        self._arrays = arrays

    def persistent_load(self, pid: Any) -> Any:
        return self._arrays(pid)

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _SAFE:
            raise _Refused(
                f"the file refers to {module}.{name}, which is not a tensor, a number, a string or "
                "a container of them, so loading it could run code. If you trust the file, pass "
                "weights_only=False"
            )
        return super().find_class(module, name)

    def _build(self) -> None:
        """Set attributes of a new object; of classes and functions, never."""
        target = self.stack[-2]  # type: ignore[attr-defined]
        if isinstance(target, type) or not hasattr(type(target), "__dict__") or callable(target):
            raise _Refused("the file tries to change a class or function")
        super().load_build()  # type: ignore[misc]

    dispatch[pickle.BUILD[0]] = _build


class _Refused(Exception):  # noqa: N818 - becomes pickle.UnpicklingError
    """The safe unpickler met something that it does not build."""


def save(obj: Any, f: Any) -> None:
    """Save an object (a tensor, a `state_dict`, any container of them) to a file.

    A file given by its path is replaced only after everything was written: if the disk is full or
    the program is interrupted, an existing file stays as it was.

    Args:
        obj: what to save; objects other than tensors and containers are pickled.
        f: a path, or a file open for writing bytes.

    Raises:
        OSError: if the file cannot be written.

    >>> import chainrule as cr, io
    >>> file = io.BytesIO()
    >>> cr.save({"w": cr.tensor([1.0, 2.0])}, file)
    >>> cr.load(io.BytesIO(file.getvalue()))
    {'w': tensor([1., 2.])}
    """
    pickled = io.BytesIO()
    pickler = _Pickler(pickled)
    pickler.dump(obj)
    if hasattr(f, "write"):
        _write(f, pickled.getvalue(), pickler.storages)
        return
    with replacing(f) as file:
        _write(file, pickled.getvalue(), pickler.storages)


def _write(file: Any, pickled: bytes, storages: list[np.ndarray]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_PICKLE, pickled)
        archive.writestr(_ORDER, sys.byteorder)
        for i, storage in enumerate(storages):
            with archive.open(f"data/{i}", "w", force_zip64=True) as entry:
                entry.write(storage.ravel("K").view(np.uint8).data)


def load(f: Any, map_location: Any = None, *, weights_only: bool = True) -> Any:
    """What `save` saved.

    Args:
        f: a path, or a file open for reading bytes that can seek.
        map_location: accepted for "cpu", which is where tensors are anyway.
        weights_only: build nothing but tensors, numbers, strings and containers of them.

    Raises:
        pickle.UnpicklingError: if the file holds something else and `weights_only` is set.
        RuntimeError: if the file is damaged or was not written by `save`.
        FileNotFoundError: if there is no such file.

    >>> import chainrule as cr, io
    >>> file = io.BytesIO()
    >>> cr.save([cr.ones(2), "text"], file)
    >>> cr.load(file)
    [tensor([1., 1.]), 'text']
    """
    if not callable(map_location) and not isinstance(map_location, dict):
        check_device(map_location)
    name = repr(os.fspath(f)) if not hasattr(f, "read") else "the given file"
    with _reporting(name), zipfile.ZipFile(f) as archive:
        kind = _SafeUnpickler if weights_only else _AnyUnpickler
        return kind(io.BytesIO(archive.read(_PICKLE)), _Arrays(archive)).load()


@contextmanager
def _reporting(name: str) -> Iterator[None]:
    """Say which file is damaged."""
    try:
        yield
    except _Refused as error:
        raise pickle.UnpicklingError(f"Weights only load failed for {name}: {error}") from None
    except (zipfile.BadZipFile, pickle.UnpicklingError, EOFError, KeyError, ValueError, TypeError,
            IndexError, AttributeError, UnicodeDecodeError) as error:  # fmt: skip
        raise RuntimeError(
            f"{name} is damaged, or was not written by chainrule.save: {error}"
        ) from error
