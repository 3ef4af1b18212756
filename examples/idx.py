"""Reading IDX files, the format in which MNIST is distributed, gzipped or not."""

from __future__ import annotations

import gzip
import zlib
from math import prod
from pathlib import Path

import numpy as np

_DTYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def read_idx(path: Path) -> np.ndarray:
    """The array in an IDX file.

    Raises:
        ValueError: if the file is not IDX, or is damaged.
    """
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is a damaged gzip file ({error}); download it again") from error
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in _DTYPES:
        raise ValueError(f"{path} is not an IDX file: it starts with {data[:4].hex(' ')!r}")
    dtype, rank = np.dtype(_DTYPES[data[2]]), data[3]
    start = 4 + 4 * rank
    shape = tuple(np.frombuffer(data[4:start], ">u4").tolist())
    if len(shape) != rank or len(data) - start != prod(shape) * dtype.itemsize:
        raise ValueError(f"{path} is incomplete: {len(data)} bytes for shape {shape}")
    return np.frombuffer(data, dtype, offset=start).reshape(shape)


def read_pair(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Images and labels of the part called `name` ("train" or "t10k"); None if it is not there.

    Raises:
        ValueError: if the files do not belong together.
    """
    images, labels = (
        next(
            (
                p
                for dot in ".-"
                for end in ("", ".gz")
                if (p := folder / f"{name}-{kind}{dot}{form}-ubyte{end}").is_file()
            ),
            None,
        )
        for kind, form in (("images", "idx3"), ("labels", "idx1"))
    )
    if images is None or labels is None:
        return None
    x, y = read_idx(images), read_idx(labels)
    if x.ndim != 3 or y.shape != x.shape[:1] or x.dtype != np.uint8:
        raise ValueError(
            f"{images.name} holds {x.dtype} of shape {x.shape} and {labels.name} holds shape "
            f"{y.shape}; expected bytes (n, height, width) and (n,)"
        )
    return x, y


def load(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training images and labels, and held-out images and labels, from a folder of IDX files.

    Where the folder has only one of MNIST's two parts, its last fifth is held out.

    Raises:
        FileNotFoundError: if it has neither.
        ValueError: if a file is damaged.
    """
    train, test = read_pair(folder, "train"), read_pair(folder, "t10k")
    if train is not None and test is not None:
        return (*train, *test)
    one = train if test is None else test
    if one is None:
        found = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
        seen = ", ".join(found[:6]) + (", ..." if len(found) > 6 else "")
        raise FileNotFoundError(
            f"{folder} must hold train-images-idx3-ubyte.gz and train-labels-idx1-ubyte.gz, or "
            f"the same with t10k; found {seen or ('nothing' if folder.is_dir() else 'no folder')}"
        )
    x, y = one
    n = len(x) - len(x) // 5
    return x[:n], y[:n], x[n:], y[n:]
