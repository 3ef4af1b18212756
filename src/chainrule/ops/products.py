"""The primitives behind matrix products, and small helpers for rules that use them."""

from __future__ import annotations

import string
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from chainrule.core.avals import dotted, joint_dtype, matrix_product
from chainrule.core.batching import aligned, rank, shape_of, xp
from chainrule.core.dtypes import narrowed
from chainrule.core.kinds import bilinear, general
from chainrule.core.namespaces import raw
from chainrule.core.node import Aval
from chainrule.core.samples import Sample, uniform

LETTERS = string.ascii_uppercase + string.ascii_lowercase


def numpy_dtype(x: Any) -> Any:
    """The NumPy dtype of an array or a tensor."""
    return getattr(x.dtype, "dtype", x.dtype)


def conj(xp: Any, a: Any) -> Any:
    """The complex conjugate; real arrays come back as they are."""
    return xp.conj(a) if numpy_dtype(a).kind == "c" else a


def transpose(xp: Any, a: Any) -> Any:
    """The last two dimensions exchanged."""
    n = a.ndim
    return xp.permute_dims(a, axes=(*range(n - 2), n - 1, n - 2))


def adjoint(xp: Any, a: Any) -> Any:
    """The conjugate transpose of matrices."""
    return conj(xp, transpose(xp, a))


def matmul(x: Any, y: Any) -> Any:
    """Products of batches of matrices."""
    return narrowed(np.matmul(x, y), x.dtype)


def einsum(equation: str, *operands: Any, **options: Any) -> Any:
    """NumPy's `einsum`, which does not know bfloat16."""
    dt = operands[0].dtype
    if dt.kind == "V":
        operands = tuple([x.astype(np.float32) for x in operands])
    return narrowed(np.asarray(np.einsum(equation, *operands, **options)), dt)


def rows(xp: Any, a: Any) -> Any:
    """All leading dimensions merged into one."""
    shape = a.shape
    return a if len(shape) == 2 else xp.reshape(a, shape=(prod(shape[:-1]), shape[-1]))


def _outer(xp: Any, a: Any, b: Any) -> Any:
    return xp.multiply(xp.reshape(a, shape=(a.shape[0], 1)), b)


def pair(equation: str) -> Any:
    """The batch rule of a product of two arrays: a contraction with one letter more.

    What is the same for all examples has no letter for them, so its product with everything else is
    one product of large matrices.
    """

    def rule(prim: Any, size: int, args: Any, mapped: Any, params: Any) -> Any:
        return xp.contract_pair(*args, equation=with_letter(equation, mapped))

    return rule


@lru_cache(maxsize=4096)
def _with_letter(equation: str, mapped: tuple[bool, ...]) -> str:
    inputs, out = equation.split("->")
    z = next(c for c in LETTERS if c not in equation)
    terms = [z + t if m else t for t, m in zip(inputs.split(","), mapped, strict=True)]
    return f"{','.join(terms)}->{z}{out}"


def with_letter(equation: str, mapped: Any) -> str:
    """The equation of an example with a letter in front of all that is mapped."""
    return _with_letter(equation, tuple(mapped))


dot_prim = bilinear(
    "dot", lambda x, y: x.dot(y),
    lambda xp, g, y: xp.multiply(g, conj(xp, y)), lambda xp, g, x: xp.multiply(g, conj(xp, x)),
    symbol="dot({}, {})", batch=pair("i,i->"), aval=dotted,
    samples=lambda: [
        Sample(uniform(3), uniform(3, seed=1)),
        Sample(uniform(3) + 1j * uniform(3, seed=2), uniform(3, seed=1) * (2 - 1j)),
    ],
)  # fmt: skip
mv_prim = bilinear(
    "mv", lambda x, y: x.dot(y),
    lambda xp, g, y: _outer(xp, g, conj(xp, y)), lambda xp, g, x: xp.mv(adjoint(xp, x), g),
    symbol="{} @ {}", batch=pair("ij,j->i"), aval=dotted,
    samples=lambda: [Sample(uniform(2, 3), uniform(3, seed=1)), Sample(uniform(0, 2), uniform(2))],
)  # fmt: skip
mm_prim = bilinear(
    "mm", lambda x, y: x.dot(y),
    lambda xp, g, y: xp.mm(g, adjoint(xp, y)), lambda xp, g, x: xp.mm(adjoint(xp, x), g),
    symbol="{} @ {}", batch=pair("ij,jk->ik"), aval=dotted,
    samples=lambda: [
        Sample(uniform(2, 3), uniform(3, 4, seed=1)),
        Sample(uniform(2, 0), uniform(0, 3)),
        Sample(uniform(2, 2) + 1j * uniform(2, 2, seed=2), uniform(2, 3, seed=1) * 1j),
    ],
)  # fmt: skip


def _bmm(x: Any, y: Any) -> Any:
    """Matrix products over broadcast batches; against one matrix all rows go in one product."""
    if y.ndim == 2:
        return rows(raw, x).dot(y).reshape(*x.shape[:-1], y.shape[-1])
    return matmul(x, y)


def _bmm_right(xp: Any, g: Any, x: Any, y_aval: Any) -> Any:
    if y_aval.ndim == 2 and g.ndim > 2:
        return xp.mm(adjoint(xp, rows(xp, x)), rows(xp, g))
    return xp.bmm(adjoint(xp, x), g)


def _bmm_batch(prim: Any, size: int, args: Any, mapped: Any, params: Any) -> Any:
    """A contraction: a batch dimension of one operand alone has no letter in the other."""
    shapes = [shape_of(a)[1:] if m else shape_of(a) for a, m in zip(args, mapped, strict=True)]
    n = max(map(len, shapes)) - 2
    batch = LETTERS[3 : 3 + n]
    extents = [(1,) * (n + 2 - len(s)) + s[:-2] for s in shapes]
    terms, operands = [], []
    for i, (a, m, s) in enumerate(zip(args, mapped, shapes, strict=True)):
        keep = [d != 1 or extents[1 - i][j] == 1 for j, d in enumerate(extents[i])]
        kept = tuple(d for d, k in zip(extents[i], keep, strict=True) if k)
        lead = shape_of(a)[:1] if m else ()
        terms.append("".join(c for c, k in zip(batch, keep, strict=True) if k) + ("AB", "BC")[i])
        operands.append(reshaped(a, (*lead, *kept, *s[-2:])))
    equation = with_letter(f"{terms[0]},{terms[1]}->{batch}AC", mapped)
    return xp.contract_pair(*operands, equation=equation)


def reshaped(a: Any, shape: tuple[int, ...]) -> Any:
    """An array in this shape; as it is if it has it."""
    return a if shape_of(a) == shape else xp.reshape(a, shape=shape)


bmm_prim = bilinear(
    "bmm", _bmm, lambda xp, g, y: xp.bmm(g, adjoint(xp, y)), _bmm_right,
    symbol="{} @ {}", batch=_bmm_batch, aval=matrix_product,
    samples=lambda: [
        Sample(uniform(2, 3, 2), uniform(2, 2, 4, seed=1)),
        Sample(uniform(2, 1, 3, 2), uniform(3, 2, 2, seed=1)),
        Sample(uniform(2, 3, 2), uniform(2, 4, seed=1)),
        Sample(uniform(3, 2), uniform(2, 2, 4, seed=1)),
        Sample(uniform(0, 3, 2), uniform(2, 4, seed=1)),
    ],
)  # fmt: skip


def _linear(x: Any, y: Any, z: Any) -> Any:
    out = rows(raw, x).dot(y.T)
    if z is not None:
        out = np.add(out, z, out=out) if out.dtype == z.dtype else out + z
    return out.reshape(*x.shape[:-1], y.shape[0])


def layer(x: Any, y: Any, z: Any) -> Aval:
    """Shape and dtype of x yᵀ + z, for one weight y (n, k) or one per example, (B, n, k)."""
    args = (x, y) if z is None else (x, y, z)
    return Aval((*x.shape[:-1], y.shape[-2]), joint_dtype(*args))


def _linear_weight(xp: Any, g: Any, x: Any) -> Any:
    """gᵀx over all rows: BLAS reads g transposed, and one product sums over the whole batch."""
    if g.ndim == 1:
        return _outer(xp, g, conj(xp, x))
    return xp.mm(transpose(xp, rows(xp, g)), conj(xp, rows(xp, x)))


def _linear_batch(prim: Any, size: int, args: Any, mapped: Any, params: Any) -> Any:
    x, y, z = args
    if not mapped[1] and not mapped[2] and (z is None or rank(z) < 2):
        return prim.apply(args, params)  # examples are rows
    if mapped[0] and mapped[1] and (z is None or (mapped[2] and rank(z) == 2)):
        return xp.linear_each(x, y, z)
    lead = LETTERS[3 : 3 + rank(x) - mapped[0] - 1]
    equation = with_letter(f"{lead}A,BA->{lead}B", mapped[:2])
    product = xp.contract_pair(x, y, equation=equation) if any(mapped[:2]) else prim(x, y, None)
    if z is None:
        return product
    return xp.add(*aligned((product, z), (any(mapped[:2]), mapped[2])))


# x yᵀ + z, where z may be None: the product of a layer, whose weight has a row per output.
linear_prim = general(
    "linear", _linear,
    vjps=(
        lambda xp, g, y: xp.bmm(g, conj(xp, y)) if g.ndim > 1 else xp.mv(adjoint(xp, y), g),
        lambda xp, g, x: _linear_weight(xp, g, x),
        lambda g: g,
    ),
    jvps=(
        lambda xp, t, y: xp.linear(t, y, None),
        lambda xp, t, x: xp.linear(x, t, None),
        lambda xp, t: t,
    ),
    grad_name="Addmm", symbol="{} @ {}.T + {}", batch=_linear_batch, aval=layer,
    samples=lambda: [
        Sample(uniform(2, 3), uniform(4, 3, seed=1), uniform(4, seed=2)),
        Sample(uniform(2, 2, 3), uniform(4, 3, seed=1), uniform(4, seed=2)),
        Sample(uniform(3), uniform(2, 3, seed=1), uniform(2, seed=2)),
        Sample(uniform(2, 3), uniform(4, 3, seed=1), None),
        Sample(uniform(2, 2) * (1 + 1j), uniform(1, 2, seed=1) * 1j, uniform(1) * 1j),
    ],
)  # fmt: skip
