"""`python -m tests.compiler.random_graphs 200`: random graphs of many shapes: compiled = evaluated.

All numbers are whole and small, so that every sum and product is exact in every order, in float32
too: one entry read from the wrong place shows. A program is a list of rows of integers, each of
which says by remainders which operation comes next, on which earlier values; so any of them can be
left out, which is how a failing program is made small.
"""

from __future__ import annotations

import argparse
import secrets
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import chainrule as cr
from chainrule.graph.ir import Graph
from tests.compiler.programs import both, ulps

# Around vector widths, blocks of sums (512), tiles of columns (128) and rows that are shared (64).
SHAPES = [
    (7, 65),
    (130, 5),
    (3, 130),
    (600,),
    (2, 33, 9),
    (1, 513),
    (70, 70),
    (5, 1, 17),
    (40, 300),
]
DTYPES = ["float64", "float32", "float64", "float32", "int32", "int64", "uint8", "bool"]
LARGEST = 40_000  # entries of a value
WIDTH = 6  # integers that say what one step is
Rows = Sequence[Sequence[int]]


def small(x: Any) -> Any:
    """The number as a remainder in -2..1, exactly."""
    if x.dtype == cr.bool:
        return x
    if not x.is_floating_point():
        return x % 4 if x.dtype == cr.uint8 else x % 4 - 2
    return x - 4 * cr.floor(x / 4) - 2


def alike(a: Any, b: Any) -> tuple[Any, Any]:
    """The operands as one dtype, b made to broadcast with a."""
    if a.dtype != b.dtype:
        b = b.to(a.dtype)
    try:
        size = int(np.prod(np.broadcast_shapes(tuple(a.shape), tuple(b.shape))))
    except ValueError:
        size = LARGEST + 1
    if size > LARGEST:
        b = b.reshape(-1)[0]
    return a, b


def arithmetic(a: Any, b: Any, k: Sequence[int]) -> Any:
    a, b = alike(a, b)
    if a.dtype == cr.bool:
        return [a & b, a | b, a ^ b, ~a][k[0] % 4]
    if k[0] % 6 == 5 and a.dtype != cr.uint8:
        return -a
    return [
        lambda: a + b, lambda: small(a * b), lambda: a - b, lambda: cr.maximum(a, b),
        lambda: cr.minimum(a, b), lambda: abs(a),
    ][k[0] % 6]()  # fmt: skip


def selection(a: Any, b: Any, k: Sequence[int]) -> Any:
    a, b = alike(a, b)
    condition = [a < b, a == b, a >= 1, b != 0][k[0] % 4]
    return [lambda: condition, lambda: cr.where(condition, a, b)][k[1] % 2]()


def conversion(a: Any, b: Any, k: Sequence[int]) -> Any:
    target = getattr(cr, DTYPES[k[0] % len(DTYPES)])
    return (abs(small(a)) if target == cr.uint8 and a.dtype != cr.bool else a).to(target)


def reduction(a: Any, b: Any, k: Sequence[int]) -> Any:
    if a.ndim == 0:
        return a
    axes = [i for i in range(a.ndim) if k[0] >> i & 1] or [k[1] % a.ndim]
    keep = bool(k[2] % 2)
    kind = k[3] % 5
    if kind == 1 and a.dtype != cr.bool:
        return a.amax(axes, keepdim=keep)
    if kind == 2 and a.dtype != cr.bool:
        return a.amin(axes, keepdim=keep)
    if kind == 3:
        return (
            (a > 0).all(axes[0], keepdim=keep) if k[4] % 2 else (a > 0).any(axes[0], keepdim=keep)
        )
    if kind == 4 and a.dtype != cr.bool:
        return small(cr.argmax(a, axes[0], keepdim=keep).to(a.dtype))
    return small(a.sum(axes, keepdim=keep))


def view(a: Any, b: Any, k: Sequence[int]) -> Any:
    if a.ndim == 0:
        return a.reshape(1)
    axis, n = k[1] % a.ndim, a.shape[k[1] % a.ndim]
    kind = k[0] % 8
    if kind == 0:
        return a.flip(axis)
    if kind == 1:
        return a.transpose(axis, k[2] % a.ndim)
    if kind == 2:
        part = [slice(None)] * a.ndim
        part[axis] = slice(k[2] % n, None, 1 + k[3] % 3)
        return a[tuple(part)]
    if kind == 3:
        return a.select(axis, k[2] % n)
    if kind == 4:
        return a.unsqueeze(k[1] % (a.ndim + 1))
    if kind == 5:
        return a.reshape(-1)
    if kind == 6:
        return split(a, axis)
    repeated = a.unsqueeze(0)
    return repeated.expand(3, *a.shape) if 3 * a.numel() <= LARGEST else a


def split(a: Any, axis: int) -> Any:
    """An axis as two."""
    n = a.shape[axis]
    d = next((d for d in (2, 3, 5, 7) if n % d == 0), 1)
    return a.reshape(*a.shape[:axis], d, n // d, *a.shape[axis + 1 :])


def product(a: Any, b: Any, k: Sequence[int]) -> Any:
    """A product of matrices, of a with part of itself."""
    if a.ndim != 2 or a.dtype not in (cr.float32, cr.float64):
        return a
    other = a[: 1 + k[0] % 9].transpose(0, 1)
    return small(small(a) @ small(other))


def joined(a: Any, b: Any, k: Sequence[int]) -> Any:
    """Joins, triangles, gathers and running sums."""
    if a.ndim == 0 or 2 * a.numel() > LARGEST:
        return a
    axis = k[1] % a.ndim
    picks = cr.tensor([k[2] % a.shape[axis], 0, k[3] % a.shape[axis]])
    number = a if a.dtype != cr.bool else a.to(cr.int32)
    kinds: list[Callable[[], Any]] = [
        lambda: cr.cat([a, a.flip(axis)], axis),
        lambda: cr.stack([a, a], axis),
        lambda: cr.index_select(a, axis, picks),
        lambda: small(cr.cumsum(number, axis)),
        lambda: number.tril(k[2] % 5 - 2) if a.ndim > 1 else a,
        lambda: number.roll(k[2] % 5, axis),
    ]
    return kinds[k[0] % len(kinds)]()


STEPS = [arithmetic, selection, arithmetic, reduction, view, arithmetic, reduction, view,
         conversion, product, joined]  # fmt: skip


def inputs(seed: int) -> list[np.ndarray]:
    """Three arrays of small whole numbers."""
    rng = np.random.default_rng([seed, 1])
    found = []
    for _ in range(3):
        shape = SHAPES[rng.integers(len(SHAPES))]
        dtype = np.dtype(DTYPES[rng.integers(len(DTYPES))])
        low = 0 if dtype.kind in "ub" else -2
        found.append(rng.integers(low, 2, shape).astype(dtype))
    return found


def rows(seed: int) -> list[list[int]]:
    rng = np.random.default_rng([seed, 2])
    return rng.integers(0, 1 << 20, (int(rng.integers(4, 26)), WIDTH + 3)).tolist()


def function(program: Rows) -> Callable[..., Any]:
    """The program as a function: the last values, and one from the middle."""

    def f(*xs: Any) -> Any:
        values = list(xs)
        for step, i, j, *k in program:
            recent = values[-6:]
            made = STEPS[step % len(STEPS)](recent[i % len(recent)], values[j % len(values)], k)
            values.append(small(made))
        return values[-3:], values[len(values) // 2]

    return f


def graph_of(seed: int, program: Rows) -> Graph:
    return cr.graph.trace(function(program), *inputs(seed))


def difference(seed: int, program: Rows) -> str | None:
    """How compiled and evaluated results differ; None if they do not."""
    made = graph_of(seed, program)
    for title, graph in (("plain", made), ("optimised", made.optimize())):
        compiled, found, wanted = both(graph, *inputs(seed))
        for reason in compiled.steps.refused.values():
            if "could not be compiled" in reason:
                return f"{title}: {reason}"
        for i, (a, b) in enumerate(zip(found, wanted, strict=True)):
            b = np.asarray(b)
            if a.shape != b.shape or a.dtype != b.dtype or ulps(a, b):
                return f"{title}: output {i}: {a.dtype}{list(a.shape)} {a} but {b}"
    return None


def minimal(seed: int, program: Rows) -> Rows:
    """As few rows as possible that still give a difference."""
    again = True
    while again:
        again = False
        for i in range(len(program)):
            fewer = [*program[:i], *program[i + 1 :]]
            if difference(seed, fewer) is not None:
                program, again = fewer, True
                break
    return program


def check(seed: int) -> None:
    """Compare one program.

    Raises:
        AssertionError: with a minimal graph in the message, if results differ.
    """
    program = rows(seed)
    if difference(seed, program) is not None:
        program = minimal(seed, program)
        raise AssertionError(
            f"seed {seed}: {difference(seed, program)}\n{graph_of(seed, program)}\n{program}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.compiler.random_graphs")
    parser.add_argument("count", type=int, nargs="?", default=100)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    options = parser.parse_args()
    for seed in range(options.seed, options.seed + options.count):
        try:
            check(seed)
        except AssertionError as error:
            print(error, flush=True)
    print(f"{options.count} graphs from seed {options.seed}")


if __name__ == "__main__":
    main()
