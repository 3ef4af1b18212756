"""The numerical side of `gradcheck`: central differences, perturbing the inputs where they are.

A function may reach its inputs other than through its arguments (a module that holds its
parameters), so the entries are moved in the tensors' own memory, and put back whatever happens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np

from chainrule.autograd.grad_mode import no_grad
from chainrule.autograd.progress import counted
from chainrule.core.dtypes import is_inexact
from chainrule.core.tensor import Tensor

Array = np.ndarray


def as_tuple(x: Any) -> tuple[Any, ...]:
    """A tuple or list as a tuple, anything else as a tuple of one."""
    return tuple(x) if isinstance(x, (tuple, list)) else (x,)


def unit_vector(size: int, which: int) -> Array:
    """A random vector of length 1 with entries ≥ 0, always the same for the same arguments."""
    return _small_vector(size, which) if size <= 1 << 14 else _make_vector(size, which)


def _make_vector(size: int, which: int) -> Array:
    vector = np.random.default_rng(which).random(size)
    vector /= max(float(np.linalg.norm(vector)), 1e-300)
    vector.setflags(write=False)
    return vector


_small_vector = lru_cache(maxsize=64)(_make_vector)


class Probe:
    """A function at the given inputs and near them.

    Attributes:
        func: takes the inputs, returns a tensor or several.
        inputs: what it is called with, unchanged whenever no method runs.
        outputs: its floating-point and complex results at the inputs, recorded.
        variables: the positions of the inputs that require grad.
        eps: the step of the differences.
        quiet: whether to evaluate without recording, in half the time.
    """

    def __init__(self, func: Callable[..., Any], inputs: Sequence[Any], eps: float) -> None:
        self.func = func
        self.inputs = tuple(inputs)
        self.eps = eps
        self.variables = [
            i for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.node is not None
        ]
        results = as_tuple(func(*self.inputs))
        for o in results:
            if o is not None and not isinstance(o, Tensor):
                raise TypeError(
                    "gradcheck takes a function that returns a tensor or a tuple of them, but it "
                    f"returned a {type(o).__name__}; wrap numbers in chainrule.tensor()"
                )
        self._where = [
            i for i, o in enumerate(results) if o is not None and is_inexact(o.array.dtype)
        ]
        self.outputs: list[Tensor] = [results[i] for i in self._where]
        self._like = [(o.array.shape, o.array.dtype) for o in self.outputs]
        self.quiet = False

    def _evaluate(self) -> list[Array]:
        """The outputs at the inputs as they are now."""
        results = self.func(*self.inputs)
        found = [as_tuple(results)[i].array for i in self._where]
        for i, (a, (shape, dt)) in enumerate(zip(found, self._like, strict=True)):
            if a.shape != shape or a.dtype != dt:
                what, old, new = (
                    ("shape", shape, a.shape) if a.shape != shape else ("dtype", dt, a.dtype)
                )
                raise AssertionError(
                    f"Expected `func` to return outputs with the same {what} when inputs are "
                    f"perturbed on index {i} by {self.eps}, but got:  {what}s {old} and {new}."
                )
        return found

    @contextmanager
    def _moving(self, position: int) -> Iterator[tuple[Array, Array]]:
        """The memory of an input to write to, and what was there; it comes back at the end."""
        array = self.inputs[position].array
        saved = array.copy()
        try:
            if self.quiet:
                with no_grad():
                    yield array, saved
            else:
                yield array, saved
        finally:
            array[...] = saved

    def jacobian(self, position: int, unit: complex = 1.0) -> list[Array]:
        """For each output the derivatives along every entry of an input, times `unit`.

        The shape is (entries of the input, entries of the output).
        """
        eps = self.eps
        tables = []
        with self._moving(position) as (array, _):
            size = array.size
            tables = [np.empty((size, int(np.prod(s))), dt) for s, dt in self._like]
            flat = array.flat
            step = eps * unit if array.dtype.kind == "c" else eps
            for k in counted(size, "gradcheck: differences"):
                old = flat[k]
                flat[k] = old + step
                for table, a in zip(tables, self._evaluate(), strict=True):
                    table[k] = a.reshape(-1)
                flat[k] = old - step
                for table, a in zip(tables, self._evaluate(), strict=True):
                    row = table[k]
                    row -= a.reshape(-1)
                flat[k] = old
        for table in tables:
            table /= 2 * eps
        return tables

    def along(self, position: int, vector: Array, unit: complex = 1.0) -> list[Array]:
        """For each output, flat, the derivative along one vector in an input's entries."""
        with self._moving(position) as (array, saved):
            move = (vector * (self.eps * unit)).astype(array.dtype).reshape(array.shape)
            np.add(saved, move, out=array)
            plus = [a.flatten() for a in self._evaluate()]
            np.subtract(saved, move, out=array)
            minus = self._evaluate()
            return [(a - b.reshape(-1)) / (2 * self.eps) for a, b in zip(plus, minus, strict=True)]

    def values(self, position: int, entry: int, steps: Sequence[complex]) -> list[list[Array]]:
        """The outputs, flat, with one entry of an input moved by each of the steps."""
        found = []
        with self._moving(position) as (array, _):
            old = array.flat[entry]
            for step in steps:
                array.flat[entry] = old + step
                found.append([a.flatten() for a in self._evaluate()])
        return found
