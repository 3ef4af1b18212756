"""Products of matrices as calls of BLAS."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.compiler.library import Caller
from chainrule.compiler.llvm import host, llvm_ir
from chainrule.compiler.loops import counted


@dataclass(frozen=True)
class Gemm:
    """C[i, j] = Σ_l A[i, l]·B[l, j], for every entry of a batch; all distances in entries.

    Attributes:
        loops: over the batch: extent, and the steps of A, B and C.
        extents: of i, j and l.
        offsets: of A and B in their buffers.
        left: the strides of A by i and l; one of them is 1.
        right: of B by l and j.
        out: of C by i and j.
    """

    loops: tuple[tuple[int, int, int, int], ...]
    extents: tuple[int, int, int]
    offsets: tuple[int, int]
    left: tuple[int, int]
    right: tuple[int, int]
    out: tuple[int, int]

    def title(self, dtype: np.dtype[Any]) -> str:
        """As reports name it."""
        count = int(np.prod([e for e, *_ in self.loops], dtype=np.int64))
        times = f"{count} of " if count != 1 else ""
        return f"{times}gemm {'x'.join(map(str, self.extents))}, {dtype.name}"


def routine(dtype: np.dtype[Any]) -> str:
    """The function of BLAS."""
    return "sgemm" if dtype.itemsize == 4 else "dgemm"


FLUSH = 0x8040  # of the register MXCSR: denormal operands count as 0, such results are 0


@contextmanager
def without_denormals(builder: Any, dtype: np.dtype[Any]) -> Iterator[None]:
    """Take float64 numbers below 2.2e-308 as 0 in the code that is written inside `with`.

    Processors with this register take a hundred times as long for a product with such a number,
    and gradients of probabilities are full of them. float32 numbers of 1e-38 may well matter.
    """
    if dtype.itemsize != 8 or not host().triple.startswith(("x86_64", "i686")):
        yield
        return
    ir = llvm_ir()
    byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
    with builder.goto_entry_block():
        before, during = builder.alloca(word), builder.alloca(word)
    save, load = (
        _declared(builder.module, f"llvm.x86.sse.{name}mxcsr", [byte]) for name in ("st", "ld")
    )
    builder.call(save, [builder.bitcast(before, byte)])
    builder.store(builder.or_(builder.load(before), word(FLUSH)), during)
    builder.call(load, [builder.bitcast(during, byte)])
    yield
    builder.call(load, [builder.bitcast(before, byte)])


def _declared(module: Any, name: str, types: list[Any]) -> Any:
    ir = llvm_ir()
    found = module.globals.get(name)
    return found or ir.Function(module, ir.FunctionType(ir.VoidType(), types), name)


def write_gemm(
    builder: Any, gemm: Gemm, dtype: np.dtype[Any], function: Any, pointers: list[Any]
) -> None:
    """The calls, where the builder stands.

    Args:
        function: the address of BLAS's function.
        pointers: to the buffers of A, B and C, as pointers to bytes.
    """
    size = llvm_ir().IntType(64)
    offsets: list[Any] = [size(o) for o in (*gemm.offsets, 0)]

    def nested(level: int, places: list[Any]) -> None:
        if level == len(gemm.loops):
            item = size(dtype.itemsize)
            at = [
                builder.gep(p, [builder.mul(o, item)])
                for p, o in zip(pointers, places, strict=True)
            ]
            _call(Caller(builder), gemm, dtype, function, at)
            return
        extent, *steps = gemm.loops[level]
        with counted(builder, size(0), size(extent), "batch") as i:
            moved = [
                builder.add(place, builder.mul(i, size(step)))
                for place, step in zip(places, steps, strict=True)
            ]
            nested(level + 1, moved)

    with without_denormals(builder, dtype):
        nested(0, offsets)


def _call(c: Caller, gemm: Gemm, dtype: np.dtype[Any], function: Any, at: list[Any]) -> None:
    """One call. BLAS writes columns: a result in rows is the transposed product, Cᵀ = BᵀAᵀ."""
    (m, n, k), (a, b, out) = gemm.extents, at
    first, second, step = gemm.left, gemm.right[::-1], gemm.out[1]
    if gemm.out[0] != 1:
        m, n, a, b = n, m, b, a
        first, second, step = second, first, gemm.out[0]
    # `first` is (by rows of the result, by l), `second` (by columns of the result, by l).
    bits = 8 * dtype.itemsize
    if first[0] == 1 and (first[1] >= m):
        plain, lda = "N", first[1]
    else:
        plain, lda = "T", first[0]
    if second[1] == 1 and second[0] >= k:
        other, ldb = "N", second[0]
    else:
        other, ldb = "T", second[1]
    c.call(
        function, c.letter(plain), c.letter(other), c.whole(m), c.whole(n), c.whole(k),
        c.real(1.0, bits), a, c.whole(lda), b, c.whole(ldb), c.real(0.0, bits), out, c.whole(step),
    )  # fmt: skip
