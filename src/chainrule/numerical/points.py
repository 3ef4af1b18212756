"""Arguments and results as vectors: what differences are taken of.

A point is a number, an array, a tensor, or a tree of them.  The function gets what it was made for:
Python numbers, arrays of the same dtype, tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule import tree
from chainrule.core.boxes import is_box
from chainrule.core.tensor import Tensor, wrap

Vector = np.ndarray


def array_of(leaf: Any) -> np.ndarray:
    """The entries of a leaf of a tree, as an array."""
    return leaf.array if isinstance(leaf, Tensor) else np.asarray(leaf)


def like(leaf: Any, array: Any) -> Any:
    """An array as the kind of thing that `leaf` is: a tensor, a number, an array."""
    if isinstance(leaf, Tensor):
        return wrap(np.asarray(array))
    if isinstance(leaf, np.ndarray) or array.ndim:
        return array
    return array.item() if is_number(leaf) else array[()]


def is_number(leaf: Any) -> bool:
    """Whether a leaf is one of Python's own numbers."""
    return isinstance(leaf, (float, complex)) and not isinstance(leaf, np.generic)


def eps_of(dt: np.dtype[Any]) -> float:
    """The rounding unit of a floating-point or complex dtype."""
    return float(np.finfo(dt).eps)


def is_differentiable(dt: np.dtype[Any]) -> bool:
    """Whether numbers of this dtype approximate real or complex ones."""
    return np.issubdtype(dt, np.inexact)


class Point:
    """Where to differentiate: a tree as one vector, and the way back.

    Attributes:
        vector: all entries, in double precision.
        eps: the coarsest rounding unit among the leaves.
        complex: whether there are complex entries.
        numbers: whether the function is given Python numbers.
    """

    def __init__(self, x: Any, what: str) -> None:
        self.leaves, self.spec = tree.flatten(x)
        self.arrays = [self._checked(i, leaf, what) for i, leaf in enumerate(self.leaves)]
        if not self.arrays or sum(a.size for a in self.arrays) == 0:
            raise ValueError(f"{what}: there is nothing to differentiate by, x has no entries")
        self.complex = any(a.dtype.kind == "c" for a in self.arrays)
        self.numbers = any(map(is_number, self.leaves))
        self.eps = max(eps_of(a.dtype) for a in self.arrays)
        self.vector = flat(self.arrays)
        if not np.isfinite(self.vector).all():
            bad = int(np.flatnonzero(~np.isfinite(self.vector))[0])
            raise ValueError(f"{what}: {self.name(bad)} is {self.vector[bad]}, not a finite number")

    def _checked(self, i: int, leaf: Any, what: str) -> np.ndarray:
        if is_box(leaf):
            raise TypeError(
                f"{what} evaluates the function at numbers near x, which jvp, vmap and other "
                "transforms have not got; call it outside of them, or use func.jvp inside"
            )
        a = array_of(leaf)
        if not is_differentiable(a.dtype):
            place = self.spec.paths()[i]
            kind = type(leaf).__name__ if a.dtype.kind == "O" else a.dtype.name
            raise TypeError(
                f"{what} differentiates by floating-point numbers, but x{place} is {kind}; convert "
                "it, for example with x.double(), x.astype(float) or float(x)"
            )
        return a

    @property
    def size(self) -> int:
        """The number of entries."""
        return int(self.vector.size)

    def build(self, vector: Vector, dtype: Any = None) -> Any:
        """The tree with these entries: in the leaves' own dtypes, or all in the given one."""
        made, start = [], 0
        for leaf, a in zip(self.leaves, self.arrays, strict=True):
            part = vector[start : start + a.size].reshape(a.shape)
            start += a.size
            if dtype is None and a.dtype.kind != "c":
                part = part.real
            made.append(like(leaf, part.astype(dtype or a.dtype)))
        return self.spec.unflatten(made)

    def split(self, table: np.ndarray) -> list[np.ndarray]:
        """The last dimension, one index per entry, divided into the shapes of the leaves."""
        parts, start = [], 0
        for a in self.arrays:
            part = table[..., start : start + a.size]
            parts.append(part.reshape((*table.shape[:-1], *a.shape)))
            start += a.size
        return parts

    def name(self, entry: int) -> str:
        """What the user calls an entry: `x['w'][2, 0]`."""
        for a, place in zip(self.arrays, self.spec.paths(), strict=True):
            if entry < a.size:
                index = ", ".join(str(k) for k in np.unravel_index(entry, a.shape))
                return f"x{place}[{index}]" if a.ndim else f"x{place}"
            entry -= a.size
        raise IndexError(entry)

    def direction(self, v: Any, what: str) -> Vector:
        """A direction as a vector: of x's structure and shapes.

        Raises:
            ValueError: if it is not, or is zero or not finite.
        """
        leaves, spec = tree.flatten(v)
        arrays = [array_of(leaf) for leaf in leaves]
        tree.check_same(self.spec, spec, f"{what}: x", "the direction")
        for i, (a, d) in enumerate(zip(self.arrays, arrays, strict=True)):
            if a.shape != d.shape:
                raise ValueError(
                    f"{what}: the direction has shape {list(d.shape)} where x"
                    f"{self.spec.paths()[i]} has shape {list(a.shape)}"
                )
        vector = flat(arrays)
        if vector.dtype.kind == "c" and not self.complex:
            raise ValueError(f"{what}: a complex direction needs a complex x")
        if not np.isfinite(vector).all():
            raise ValueError(f"{what}: the direction is not finite")
        return vector


def flat(arrays: list[np.ndarray]) -> Vector:
    """All entries as one vector in double precision."""
    dt = np.complex128 if any(a.dtype.kind == "c" for a in arrays) else np.float64
    return np.concatenate([a.reshape(-1).astype(dt) for a in arrays])


class Line:
    """A function along a line through a point: t ↦ f(x + t·v), as a vector of results.

    Attributes:
        eps: the rounding unit of arguments and results.
        scale: by how much t may change before x + t·v is somewhere else.
        blur: how far rounding x + t·v shifts t.
    """

    def __init__(self, function: Function, vector: Vector) -> None:
        self.function = function
        self.vector = vector
        x, sizes = function.point.vector, np.abs(vector)
        moved = sizes > 0
        here = np.maximum(np.abs(x[moved]), 1.0)
        self.eps = function.eps
        self.scale = float((here / sizes[moved]).min()) if moved.any() else 1.0
        norm = float(np.linalg.norm(vector))
        self.blur = self.eps * float(np.linalg.norm(x[moved])) / norm if norm else 0.0
        self._known: dict[float, Vector | None] = {0.0: function.here}

    def __call__(self, t: float) -> Vector | None:
        """The results at x + t·v; None if one of them is not finite."""
        if t not in self._known:
            self._known[t] = self.function.at(self.function.point.vector + t * self.vector)
        return self._known[t]

    def refuse(self, t: float, what: str) -> ValueError:
        """The error for results that are not finite near x."""
        entry = int(np.argmax(np.abs(self.vector)))
        x = self.function.point.vector[entry]
        return ValueError(
            f"{what}: the function is not finite at x + t·v with t = {t:g}, where "
            f"{self.function.point.name(entry)} = {x + t * self.vector[entry]:.9g} (at x it is "
            f"{x:.9g}). Pass a smaller step, or another x: is x at the edge of the domain?"
        )


class Function:
    """The function to differentiate, between vectors.

    Attributes:
        point: where to differentiate.
        here: the results there.
        leaves, spec: the results there, as the function gave them.
        eps: the coarsest rounding unit of arguments and results.
        count: the number of evaluations so far.
    """

    def __init__(self, f: Callable[..., Any], x: Any, what: str) -> None:
        self.f = f
        self.what = what
        self.point = Point(x, what)
        self.count = 1
        result = f(self.point.build(self.point.vector))
        self.leaves, self.spec = tree.flatten(result)
        self.arrays = [self._checked(i, leaf) for i, leaf in enumerate(self.leaves)]
        if not self.arrays:
            raise ValueError(f"{what}: the function returned nothing that has a derivative")
        self.here = flat(self.arrays)
        self.eps = max([self.point.eps, *(eps_of(a.dtype) for a in self.arrays)])
        if not np.isfinite(self.here).all():
            raise ValueError(
                f"{what}: the function is not finite at x: it has no derivative there. Among its "
                f"values is {self.here[~np.isfinite(self.here)][0]}"
            )

    def _checked(self, i: int, leaf: Any) -> np.ndarray:
        a = array_of(leaf)
        if not is_differentiable(a.dtype):
            kind = type(leaf).__name__ if a.dtype.kind == "O" else a.dtype.name
            raise TypeError(
                f"{self.what}: the function must return floating-point numbers, but result"
                f"{self.spec.paths()[i]} is {kind}, which changes by jumps"
            )
        return a

    def at(self, vector: Vector) -> Vector | None:
        """The results at a vector of entries; None if one is not finite, or leaves the reals.

        Where it is given Python numbers, `math.log(-1)` and 1 / 0 raise instead of returning nan.
        """
        self.count += 1
        with np.errstate(all="ignore"):
            if not self.point.numbers:
                return self._vector(self.f(self.point.build(vector)))
            try:
                result = self.f(self.point.build(vector))
            except (ArithmeticError, ValueError) as error:
                if isinstance(error, ArithmeticError) or "math domain" in str(error):
                    return None
                raise
            return self._vector(result)

    def spec_leaves(self, result: Any) -> list[np.ndarray]:
        """The arrays of a result near x.

        Raises:
            ValueError: if it does not have the structure and shapes of the result at x.
        """
        leaves, spec = tree.flatten(result)
        arrays = [array_of(leaf) for leaf in leaves]
        if spec != self.spec or any(
            a.shape != b.shape for a, b in zip(arrays, self.arrays, strict=True)
        ):
            raise ValueError(
                f"{self.what}: the function must return the same structure and shapes at x and "
                f"near it, but gave {[list(a.shape) for a in self.arrays]} and "
                f"{[list(a.shape) for a in arrays]}"
            )
        return arrays

    def _vector(self, result: Any) -> Vector | None:
        found = flat(self.spec_leaves(result))
        if found.dtype.kind == "c" and self.here.dtype.kind != "c":
            return None  # Python's (-1.0) ** 0.5 is complex: outside the domain
        return found if np.isfinite(found).all() else None

    def line(self, vector: Vector) -> Line:
        """The function along a line through the point."""
        return Line(self, vector)

    def unit(self, entry: int) -> Line:
        """The function along one entry of the point."""
        vector = np.zeros(self.point.size)
        vector[entry] = 1
        return Line(self, vector)

    def results(self, vector: np.ndarray, error: bool = False) -> Any:
        """A vector of derivatives, one per result, in the structure of the results."""
        made, start = [], 0
        for leaf, a in zip(self.leaves, self.arrays, strict=True):
            part = vector[start : start + a.size].reshape(a.shape)
            start += a.size
            made.append(like(leaf, part.astype(kept_dtype(part, a.dtype, error))))
        return self.spec.unflatten(made)


def kept_dtype(values: np.ndarray, dt: np.dtype[Any], error: bool = False) -> np.dtype[Any]:
    """The dtype for derivatives of something of dtype `dt`; errors are real."""
    real = np.zeros(0, dt).real.dtype
    return np.result_type(real, np.complex64) if values.dtype.kind == "c" and not error else real
