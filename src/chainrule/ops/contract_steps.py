"""The two steps that contractions are made of, and a layer for every example, as operations.

A step with one operand sums, permutes, or takes diagonals; a step with two is a product of
matrices.  The derivative of either is again such a step, because the letters only change places;
and what is mapped over a batch has one letter more.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import numpy as np

from chainrule.core.avals import contracted
from chainrule.core.batching import aligned, rank, shape_of, xp
from chainrule.core.kinds import general
from chainrule.core.namespaces import raw
from chainrule.core.samples import Sample, uniform
from chainrule.ops.products import (
    LETTERS,
    conj,
    einsum,
    layer,
    matmul,
    numpy_dtype,
    transpose,
    with_letter,
)


class _Plan(NamedTuple):
    """How a step of two operands becomes one product of matrices.

    Attributes:
        take: per operand the index that takes out what it repeats; None for all of it.
        swap: whether the product the other way round is in the order of the output.
        order: per operand, left one first, the order of its dimensions: batch, then (kept, summed)
            on the left and (summed, kept) on the right.
        shape: per operand the shape that makes it one matrix, or a batch of them.
        made: the shape of the product, dimension by dimension.
        final: the order that brings the product to the output.
        kind: "dot", "matmul", "multiply", or the equation that `numpy.einsum` gets.
    """

    take: tuple[Any, Any]
    swap: bool
    order: tuple[Any, Any]
    shape: tuple[Any, Any]
    made: tuple[int, ...]
    final: tuple[int, ...]
    kind: str


@lru_cache(maxsize=4096)
def _plan(equation: str, shapes: Any, repeats: Any) -> _Plan:
    """The plan for an equation, given shapes and along which dimensions each operand repeats.

    A letter along which one operand is the same is taken from it if the other operand has it too: a
    weight spread over a batch of examples, its stride being 0, becomes one matrix again, and a
    product for every example one product with all of them.
    """
    inputs, out = equation.split("->")
    terms = inputs.split(",")
    sizes = {c: d for t, s in zip(terms, shapes, strict=True) for c, d in zip(t, s, strict=True)}
    take: list[Any] = [None, None]
    for i in (0, 1):
        dropped = [
            again and c in terms[1 - i] and c in out and sizes[c] > 0
            for c, again in zip(terms[i], repeats[i] or (False,) * len(terms[i]), strict=True)
        ]
        if any(dropped):
            take[i] = tuple(0 if d else slice(None) for d in dropped)
            terms[i] = "".join(c for c, d in zip(terms[i], dropped, strict=True) if not d)
    a, b = terms
    batch = [c for c in a if c in b and c in out]
    summed = [c for c in a if c in b and c not in out]
    kept_a = [c for c in a if c not in b]
    kept_b = [c for c in b if c not in a]
    swap = "".join(kept_b + kept_a) in out and bool(kept_a and kept_b)
    if swap:
        a, b, kept_a, kept_b = b, a, kept_b, kept_a
    order_a = tuple(a.index(c) for c in batch + kept_a + summed)
    order_b = tuple(b.index(c) for c in batch + summed + kept_b)
    made = [*batch, *kept_a, *kept_b]
    lead = tuple(sizes[c] for c in batch)
    m, k, n = (prod(sizes[c] for c in letters) for letters in (kept_a, summed, kept_b))
    shape_a, shape_b, kind = (*lead, m, k), (*lead, k, n), "matmul" if lead else "dot"
    if not summed:
        kind = f"{','.join(terms)}->{out}" if kept_a and kept_b else "multiply"
        shape_a = (*lead, *(sizes[c] for c in kept_a), *(1,) * len(kept_b))
        shape_b = (*lead, *(1,) * len(kept_a), *(sizes[c] for c in kept_b))
    return _Plan(
        (take[0], take[1]), swap, (order_a, order_b), (shape_a, shape_b),
        tuple(sizes[c] for c in made), tuple(made.index(c) for c in out), kind,
    )  # fmt: skip


def _repeats(x: Any) -> Any:
    return tuple([s == 0 for s in x.strides]) if 0 in x.strides else None


def _pair(x: Any, y: Any, equation: str) -> Any:
    take, swap, order, shape, made, final, kind = _plan(
        equation, (x.shape, y.shape), (_repeats(x), _repeats(y))
    )
    if take[0] is not None:
        x = x[take[0]]
    if take[1] is not None:
        y = y[take[1]]
    if kind not in _PLAIN:  # an outer product, of which einsum makes half the work
        return einsum(kind, x, y, order="C")
    if swap:
        x, y = y, x
    x = x.transpose(order[0]).reshape(shape[0])
    y = y.transpose(order[1]).reshape(shape[1])
    out = _PLAIN[kind](x, y)
    return out.reshape(made).transpose(final)


_PLAIN: dict[str, Any] = {
    "dot": lambda x, y: x.dot(y),
    "matmul": matmul,
    "multiply": np.multiply,
}


def _pair_vjp(position: int) -> Any:
    """The cotangent of one operand: the output contracted with the conjugate of the other."""

    def swapped(equation: str) -> str:
        inputs, out = equation.split("->")
        subs = inputs.split(",")
        return f"{out},{subs[1 - position]}->{subs[position]}"

    if position == 0:
        return lambda xp, g, y, equation: xp.contract_pair(
            g, conj(xp, y), equation=swapped(equation)
        )
    return lambda xp, g, x, equation: xp.contract_pair(g, conj(xp, x), equation=swapped(equation))


def _pair_batch(prim: Any, size: int, args: Any, mapped: Any, params: Any) -> Any:
    return prim.apply(args, {"equation": with_letter(params["equation"], mapped)})


# Two operands; no letter repeats in one, and every letter of one is in the other or in the output.
contract_pair = general(
    "contract_pair", _pair, vjps=(_pair_vjp(0), _pair_vjp(1)), jvps=("linear", "linear"),
    grad_name="Einsum", batch=_pair_batch, aval=contracted,
    samples=lambda: [
        Sample(uniform(2, 3), uniform(3, 4, seed=1), equation="ij,jk->ki"),
        Sample(uniform(2, 3, 2), uniform(4, 2, 2, seed=1), equation="bij,kbj->bki"),
        Sample(uniform(2, 3), uniform(2, seed=1), equation="ij,i->ji"),
        Sample(uniform(2, 3), uniform(3, 2, seed=1), equation="ij,ji->"),
        Sample(uniform(2), uniform(3, seed=1), equation="i,j->ji"),
        Sample(uniform(2, 2) * (1 + 1j), uniform(2, seed=1) - 2j, equation="ij,j->i"),
    ],
)  # fmt: skip


def _single(x: Any, equation: str) -> Any:
    return einsum(equation, x)


def _single_vjp(xp: Any, g: Any, x_aval: Any, equation: str) -> Any:
    """Summed letters are spread again; letters that repeat put the cotangent on a diagonal."""
    letters, out = equation.split("->")
    unique = "".join(dict.fromkeys(letters))
    sizes = dict(zip(letters, x_aval.shape, strict=True))
    g = xp.contract_single(g, equation=f"{out}->{''.join(c for c in unique if c in out)}")
    g = xp.reshape(g, shape=tuple(sizes[c] if c in out else 1 for c in unique))
    if len(unique) == len(letters):
        return g
    g = xp.broadcast_to(g, shape=tuple(sizes[c] for c in unique))
    free = iter(c for c in LETTERS if c not in letters)
    for i, c in enumerate(letters):
        if c in letters[:i]:
            name = next(free)
            eye = np.eye(sizes[c], dtype=numpy_dtype(x_aval))
            g = xp.contract_pair(g, eye, equation=f"{unique},{c}{name}->{unique}{name}")
            unique += name
            letters = letters[:i] + name + letters[i + 1 :]
    return xp.contract_single(g, equation=f"{unique}->{letters}")


# One operand: sums over letters that the output lacks, diagonals of letters that repeat.
contract_single = general(
    "contract_single", _single, vjps=(_single_vjp,), jvps=("linear",), grad_name="Einsum",
    batch=_pair_batch, aval=contracted,
    samples=lambda: [
        Sample(uniform(2, 3, 4), equation="ijk->ki"),
        Sample(uniform(3, 3), equation="ii->"),
        Sample(uniform(3, 2, 3), equation="iji->ji"),
        Sample(uniform(2, 2, 2), equation="iii->i"),
    ],
)  # fmt: skip


def _linear_each(x: Any, y: Any, z: Any) -> Any:
    size, n, k = y.shape
    if size and not y.strides[0]:  # one weight, spread over the examples
        out = x.reshape(prod(x.shape[:-1]), k).dot(y[0].T).reshape(*x.shape[:-1], n)
    else:
        out = matmul(x.reshape(size, prod(x.shape[1:-1]), k), y.swapaxes(1, 2))
        out = out.reshape(*x.shape[:-1], n)
    return out if z is None else np.add(out, _between(raw, z, x.ndim), out=out)


def _between(xp: Any, z: Any, ndim: int) -> Any:
    """(B, n) with ones in between, to meet (B, ..., n)."""
    return z if ndim == 2 else xp.reshape(z, shape=(z.shape[0], *(1,) * (ndim - 2), z.shape[1]))


def _linear_each_weight(xp: Any, g: Any, x: Any) -> Any:
    rest = LETTERS[3 : 3 + x.ndim - 2]
    return xp.contract_pair(g, conj(xp, x), equation=f"A{rest}B,A{rest}C->ABC")


def _linear_each_batch(prim: Any, size: int, args: Any, mapped: Any, params: Any) -> Any:
    x, y, z = args
    ndim = rank(x) - mapped[0]
    rest = LETTERS[3 : 3 + ndim - 2]
    equation = with_letter(f"A{rest}B,ACB->A{rest}C", mapped[:2])
    some = any(mapped[:2])
    product = xp.contract_pair(x, y, equation=equation) if some else prim(x, y, None)
    if z is None:
        return product
    shape = shape_of(z)
    z = xp.reshape(z, shape=(*shape[:-1], *(1,) * (ndim - 2), shape[-1]))
    return xp.add(*aligned((product, z), (some, mapped[2])))


# x yᵀ + z for every example, x (B, ..., k), y (B, n, k), z (B, n) or None: a layer whose weight and
# bias are mapped, most often because each example is to have a gradient of its own.
linear_each = general(
    "linear_each", _linear_each,
    vjps=(
        lambda xp, g, y: xp.linear_each(g, conj(xp, transpose(xp, y)), None),
        lambda xp, g, x: _linear_each_weight(xp, g, x),
        lambda xp, g: g if g.ndim == 2
        else xp.sum(g, axis=tuple(range(1, g.ndim - 1)), keepdims=False),
    ),
    jvps=(
        lambda xp, t, y: xp.linear_each(t, y, None),
        lambda xp, t, x: xp.linear_each(x, t, None),
        lambda xp, t, x_aval: _between(xp, t, len(x_aval.shape)),
    ),
    grad_name="Addmm", symbol="{} @ {}.T + {}", batch=_linear_each_batch, aval=layer,
    samples=lambda: [
        Sample(uniform(2, 3), uniform(2, 4, 3, seed=1), uniform(2, 4, seed=2)),
        Sample(uniform(2, 3, 2), uniform(2, 2, 2, seed=1), uniform(2, 2, seed=2)),
        Sample(uniform(2, 3), np.broadcast_to(uniform(4, 3), (2, 4, 3)), None),
        Sample(uniform(2, 2) * (1 + 1j), uniform(2, 1, 2, seed=1) * 1j, uniform(2, 1) * 1j),
    ],
)  # fmt: skip
