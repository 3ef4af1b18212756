"""Einstein summation: `einsum`, and `tensordot` and `inner` which are cases of it.

An expression is taken apart into steps of one or two operands (`contract_steps.py`).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from chainrule.core.tensor import Tensor
from chainrule.ops.api import export
from chainrule.ops.axes import normalize_dims
from chainrule.ops.contract_checks import operand, scalar_name
from chainrule.ops.contract_steps import contract_pair, contract_single
from chainrule.ops.products import LETTERS
from chainrule.ops.shape import permute_dims


def _sublist(args: tuple[Any, ...]) -> tuple[str, list[Any]]:
    """The sublist form, einsum(x, [0, 1], y, [1, 2], [0, 2]), as equation and operands."""
    operands, subs = list(args[0::2]), list(args[1::2])
    output = operands.pop() if len(args) % 2 else None

    def text(sublist: Any) -> str:
        found = ""
        for s in sublist:
            if s is Ellipsis:
                found += "..."
            elif 0 <= s < 52:
                found += LETTERS[s]
            else:
                raise ValueError(
                    "einsum(): subscript in subscript list is not within the valid range [0, 52)"
                )
        return found

    equation = ",".join(map(text, subs))
    return equation if output is None else f"{equation}->{text(output)}", operands


def _check_term(term: str, where: str, equation: str) -> None:
    """Raise unless the subscripts of one operand (or the output) are letters and one ellipsis."""
    if "." in term.replace("...", "", 1):
        found = "..." in term
        raise RuntimeError(
            f"einsum(): found '.' for {where} "
            + ("for which an ellipsis was already found" if found
               else "that is not part of any ellipsis")
        )  # fmt: skip
    for c in term.replace("...", "", 1):
        if c not in LETTERS:
            raise RuntimeError(
                f"einsum(): invalid subscript given at index {equation.index(c)} in the equation "
                "string, subscripts must be in [a-zA-Z]"
            )


@lru_cache(maxsize=4096)
def _parse(equation: str, ndims: tuple[int, ...]) -> tuple[tuple[str, ...], str]:
    """The letters of each operand and of the output, ellipses replaced by letters of their own."""
    text = equation.replace(" ", "")
    inputs, arrow, out = text.partition("->")
    terms = inputs.split(",")
    if len(terms) != len(ndims):
        which = "fewer" if len(terms) > len(ndims) else "more"
        raise RuntimeError(
            f"einsum(): {which} operands were provided than specified in the equation"
        )
    for i, term in enumerate(terms):
        _check_term(term, f"operand {i}", equation)
    _check_term(out, "the output", equation)
    spare = [c for c in LETTERS if c not in text]
    covered = [n - len(t.replace("...", "")) for t, n in zip(terms, ndims, strict=True)]
    for i, (term, n, more) in enumerate(zip(terms, ndims, covered, strict=True)):
        if more < 0 or (more > 0 and "..." not in term):
            dots = "..." in term
            raise RuntimeError(
                f"einsum(): the number of subscripts in the equation ({n - more}) "
                + ("is more than the number of dimensions" if dots
                   else "does not match the number of dimensions")
                + f" ({n}) for operand {i}" + ("" if dots else " and no ellipsis was given")
            )  # fmt: skip
    width = max((m for t, m in zip(terms, covered, strict=True) if "..." in t), default=0)
    stand_ins = "".join(spare[:width])
    full = [
        t.replace("...", stand_ins[width - m :]) if "..." in t else t
        for t, m in zip(terms, covered, strict=True)
    ]
    if not arrow:
        seen = "".join(terms)
        out = stand_ins + "".join(sorted(c for c in LETTERS if seen.count(c) == 1))
    else:
        out = out.replace("...", stand_ins)
    _check_output(out, full)
    return tuple(full), out


def _check_output(out: str, terms: list[str]) -> None:
    for c in out:
        if out.count(c) > 1:
            raise RuntimeError(
                f"einsum(): output subscript {c} appears more than once in the output"
            )
        if not any(c in t for t in terms):
            raise RuntimeError(
                f"einsum(): output subscript {c} does not appear in the equation for any input "
                "operand"
            )


def _sizes(terms: tuple[str, ...], shapes: tuple[tuple[int, ...], ...]) -> dict[str, int]:
    """The extent of every letter; an extent of 1 broadcasts against another operand's."""
    sizes: dict[str, int] = {}
    for i, (term, shape) in enumerate(zip(terms, shapes, strict=True)):
        own: dict[str, int] = {}
        for c, d in zip(term, shape, strict=True):
            if own.setdefault(c, d) != d:
                raise RuntimeError(
                    f"einsum(): subscript {c} is repeated for operand {i} but the sizes don't "
                    f"match, {d} != {own[c]}"
                )
        for c, d in own.items():
            known = sizes.get(c, 1)
            if 1 not in (known, d) and known != d:
                raise RuntimeError(
                    f"einsum(): subscript {c} has size {d} for operand {i} which does not "
                    f"broadcast with previously seen size {known}"
                )
            sizes[c] = d if known == 1 else known
    return sizes


@lru_cache(maxsize=4096)
def _letters_kept(
    terms: tuple[str, ...], out: str, shapes: tuple[tuple[int, ...], ...]
) -> tuple[str, ...]:
    """For every operand the letters, each once, that the output or another operand needs.

    A letter of extent 1 that broadcasts is left out as well: the others carry it.
    """
    sizes = _sizes(terms, shapes)
    carried = [
        "".join(dict.fromkeys(c for c, d in zip(t, s, strict=True) if d == sizes[c]))
        for t, s in zip(terms, shapes, strict=True)
    ]
    kept = []
    for i, letters in enumerate(carried):
        needed = out + "".join(carried[:i] + carried[i + 1 :])
        kept.append("".join(c for c in letters if c in needed))
    return tuple(kept)


@lru_cache(maxsize=1024)
def _first_pair(
    terms: tuple[str, ...], out: str, shapes: tuple[tuple[int, ...], ...]
) -> tuple[int, int]:
    """The pair to contract first, by the greedy search of `numpy.einsum_path`."""
    views = [np.broadcast_to(np.empty(()), s) for s in shapes]
    path = np.einsum_path(f"{','.join(terms)}->{out}", *views, optimize=("greedy", 2**62))[0]
    first, second = sorted(path[1])[:2]
    return first, second


def _contract(terms: list[str], out: str, operands: list[Any]) -> Any:
    shapes = tuple(tuple(x.shape) for x in operands)
    for i, keep in enumerate(_letters_kept(tuple(terms), out, shapes)):
        if keep != terms[i]:
            operands[i] = contract_single(operands[i], equation=f"{terms[i]}->{keep}")
            terms[i] = keep
    while len(operands) > 1:
        i, j = 0, 1
        if len(terms) > 2:
            i, j = _first_pair(tuple(terms), out, tuple(tuple(x.shape) for x in operands))
        y, b = operands.pop(j), terms.pop(j)
        x, a = operands.pop(i), terms.pop(i)
        rest = out + "".join(terms)
        made = "".join(c for c in dict.fromkeys(a + b) if c in rest) if terms else out
        operands.append(contract_pair(x, y, equation=f"{a},{b}->{made}"))
        terms.append(made)
    if terms[0] == out:
        return operands[0]
    return contract_single(operands[0], equation=f"{terms[0]}->{out}")


@export(method=False)
def einsum(*args: Any) -> Any:
    """Products of tensors, summed over the indices that the output lacks (Einstein's convention).

    Args:
        args: an equation such as "bij,bjk->bik" and the operands, or operands and lists of integers
            by turns, then optionally the output's. "..." stands for broadcast dimensions; an index
            repeated in one operand takes the diagonal; without "->" the output has the indices
            that appear once, in alphabetical order.

    Raises:
        RuntimeError: if equation and operands do not fit.

    >>> import chainrule as cr
    >>> cr.einsum("ij,j->i", cr.tensor([[1.0, 2.0], [3.0, 4.0]]), cr.tensor([1.0, 1.0]))
    tensor([3., 7.])
    """
    if len(args) < 2:
        raise ValueError(
            "einsum(): must specify the equation string and at least one operand, or at least one "
            "operand and its subscripts list"
        )
    if isinstance(args[0], str):
        equation, operands = args[0], list(args[1:])
        if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
            operands = list(operands[0])
    else:
        equation, operands = _sublist(args)
    raws = [operand(x, "einsum", "operands", i + 1) for i, x in enumerate(operands)]
    for r in raws[1:]:
        if r.dtype != raws[0].dtype:
            raise RuntimeError(
                f"expected scalar type {scalar_name(raws[0])} but found {scalar_name(r)}"
            )
    terms, out = _parse(equation, tuple(r.ndim for r in raws))
    first = operands[0]
    made = _contract(list(terms), out, operands)
    if made is first:  # nothing to do, but the result is a tensor of its own
        return permute_dims(made, axes=tuple(range(made.ndim)))
    return made


@export(method=False)
def tensordot(a: Any, b: Any, dims: Any = 2) -> Any:
    """The contraction of several dimensions of `a` with as many of `b`.

    Args:
        a: a tensor.
        b: a tensor.
        dims: a number n, for the last n of `a` with the first n of `b`; or two lists of dimensions.

    Raises:
        RuntimeError: if the dimensions do not fit.

    >>> import chainrule as cr
    >>> cr.tensordot(cr.ones(2, 3), cr.ones(3, 2), dims=1)
    tensor([[3., 3.],
            [3., 3.]])
    """
    x, y = operand(a, "tensordot", "a", 1), operand(b, "tensordot", "b", 2)
    left, right = _tensordot_dims(x, y, dims)
    for i, j in zip(left, right, strict=True):
        if x.shape[i] != y.shape[j] and 1 not in (x.shape[i], y.shape[j]):
            raise RuntimeError(
                "contracted dimensions need to match, but first has size "
                f"{x.shape[i]} in dim {i - x.ndim if isinstance(dims, int) else i} and second has "
                f"size {y.shape[j]} in dim {j}"
            )
    if x.dtype != y.dtype:
        raise RuntimeError("both inputs should have same dtype")
    names = iter(LETTERS)
    term_a = [next(names) for _ in range(x.ndim)]
    term_b = [term_a[left[right.index(j)]] if j in right else next(names) for j in range(y.ndim)]
    out = [c for c in term_a if c not in term_b] + [c for c in term_b if c not in term_a]
    return _contract(["".join(term_a), "".join(term_b)], "".join(out), [a, b])


def _tensordot_dims(x: Any, y: Any, dims: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(x.ndim, y.ndim):
            raise RuntimeError(f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}")
        return tuple(range(x.ndim - dims, x.ndim)), tuple(range(dims))
    left, right = ([d] if isinstance(d, int) else list(d) for d in dims)
    if len(left) != len(right):
        raise RuntimeError("both dimension lists should have same length")
    return normalize_dims(left, x.ndim), normalize_dims(right, y.ndim)


@export()
def inner(input: Any, other: Any) -> Any:
    """The dot product over the last dimension of both tensors; with a 0-d tensor, the product.

    Raises:
        RuntimeError: if the last dimensions or the dtypes differ.

    >>> import chainrule as cr
    >>> cr.inner(cr.tensor([1.0, 2.0]), cr.tensor([3.0, 4.0]))
    tensor(11.)
    """
    x, y = operand(input, "inner", "input", 1), operand(other, "inner", "other", 2)
    if x.ndim == 0 or y.ndim == 0:
        from chainrule.ops.arithmetic import multiply

        return multiply(input, other)
    if x.shape[-1] != y.shape[-1]:
        raise RuntimeError(
            "inner() the last dimension must match on both input tensors but got shapes "
            f"{list(x.shape)} and {list(y.shape)}"
        )
    if x.dtype != y.dtype:
        raise RuntimeError("both inputs should have same dtype")
    return tensordot(input, other, ([-1], [-1]))
