"""Other inputs made of a primitive's samples: in single precision, empty, 0-d, of shapes that
broadcast, complex."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from chainrule.core.primitive import Primitive
from chainrule.core.samples import Sample


def arrays_of(sample: Sample) -> list[np.ndarray]:
    return [a for a in sample.args if isinstance(a, np.ndarray)]


_SINGLE = {np.dtype(np.float64): np.float32, np.dtype(np.complex128): np.complex64}


def in_single_precision(sample: Sample) -> Sample:
    """The same numbers as float32 or complex64."""
    args = [a.astype(_SINGLE.get(a.dtype, a.dtype)) if isinstance(a, np.ndarray) else a
            for a in sample.args]  # fmt: skip
    return Sample(*args, **sample.params)


def emptied(prim: Primitive, sample: Sample) -> Iterator[Sample]:
    """Every axis of the first array made empty, in all arrays that share its length there."""
    arrays = arrays_of(sample)
    if not arrays:
        return
    ndim = max(a.ndim for a in arrays)
    length = max((a.shape for a in arrays), key=len)
    for axis in range(-ndim, 0):

        def cut(a: Any, axis: int = axis) -> Any:
            if not isinstance(a, np.ndarray) or a.ndim < -axis or a.shape[axis] != length[axis]:
                return a
            index = [slice(None)] * a.ndim
            index[axis] = slice(0, 0)
            return a[tuple(index)]

        yield Sample(*map(cut, sample.args), **sample.params)


def zero_dimensional(prim: Primitive, sample: Sample) -> Iterator[Sample]:
    """One entry of every array, without dimensions."""
    if all(a.size for a in arrays_of(sample)):
        args = [a.reshape(-1)[0:1].reshape(()) if isinstance(a, np.ndarray) else a
                for a in sample.args]  # fmt: skip
        yield Sample(*args, **sample.params)


def broadcasting(prim: Primitive, sample: Sample) -> Iterator[Sample]:
    """Each argument with fewer entries than the others: 0-d, (1, 3), (2, 1), (3,)."""
    arrays = arrays_of(sample)
    if len(arrays) < 2 or not all(a.size for a in arrays):
        return
    for i, a in enumerate(sample.args):
        if not isinstance(a, np.ndarray):
            continue
        for shape in [(), (1, 3), (2, 1), (3,)]:
            args = [np.resize(x, (2, 3)) if isinstance(x, np.ndarray) else x for x in sample.args]
            args[i] = np.resize(a, shape)
            yield Sample(*args, **sample.params)


def complexified(prim: Primitive, sample: Sample) -> Iterator[Sample]:
    """Every real argument given an imaginary part, if no argument is complex already."""
    arrays = arrays_of(sample)
    if any(a.dtype.kind == "c" for a in arrays):
        yield sample
    elif any(a.dtype == np.float64 for a in arrays):

        def with_imaginary_part(a: Any) -> Any:
            if not isinstance(a, np.ndarray) or a.dtype != np.float64:
                return a
            return np.asarray(a + 0.3j * np.cos(1 + np.arange(a.size)).reshape(a.shape))

        yield Sample(*map(with_imaginary_part, sample.args), **sample.params)
