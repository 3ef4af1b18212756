"""The transpose of a linear map that is given as a program.

Recorded at zero, a linear program L: t ↦ L(t) is its own derivative, so a reverse sweep over the
record computes c ↦ Lᵀc.  Transposing twice gives the map back: with M = Lᵀ as a program, a sweep
over the record of M computes t ↦ Mᵀt = L(t).  So a jvp rule yields a vjp, and a vjp rule a jvp.

That holds for linear programs only, and a sweep at zero would not notice: t² has derivative 0
there.  So linearity is checked.  If no step of the record has a derivative that depends on its own
varying operands, the program is affine, and then L(0) = 0 makes it linear.  Otherwise the program
is run at two random points and at their sum.

Source: Radul et al., You Only Linearize Once: Tangents Transpose to Gradients, POPL 2023, for
transposition as the step from forward to reverse mode.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.core import engine, modes
from chainrule.core.boxes import Box, bottom, running, tags_in
from chainrule.core.node import Node
from chainrule.core.primitive import PICK
from chainrule.core.tensor import Tensor, wrap
from chainrule.transforms.reverse import Pullback
from chainrule.transforms.scope import ALIAS, nodes_in, zeros_of
from chainrule.transforms.tracing import Traced, traced_value

Linear = Callable[[Sequence[Tensor]], Sequence[Any]]


def transposed(
    linear: Linear, like: Sequence[Any], cotangents: Sequence[Any], uses: Sequence[Any], what: str
) -> list[Tensor]:
    """Lᵀc for a linear map of tensors of the shapes of `like`, given as a program.

    Args:
        linear: takes a sequence of tensors and returns a sequence; None in it stands for zero.
        like: tensors of the shapes and dtypes that the map takes.
        cotangents: one for each result; None stands for zero.
        uses: what else the map is computed from: it is mapped over what those are mapped over.
        what: the map in words, for messages.

    Raises:
        RuntimeError: if the map is found not to be linear.
    """
    token = running.set(tuple(tags_in([*like, *cotangents, *uses])))
    try:
        zeros = [zeros_of(x) for x in like]
        if any(isinstance(bottom(x), Traced) for x in [*like, *cotangents, *uses]):
            zeros = [traced_value(x) for x in zeros]
        run = Pullback(lambda *ts: list(linear(ts)), zeros, what)
        pairs = [
            (y, c)
            for y, c in zip(run.result, cotangents, strict=True)
            if isinstance(y, Tensor) and c is not None
        ]
        _check_linear(linear, run, like, what)
        return run.pull([y for y, _ in pairs], [c for _, c in pairs])
    finally:
        running.reset(token)


def _check_linear(linear: Linear, run: Pullback, like: Sequence[Any], what: str) -> None:
    outs = [y for y in run.result if isinstance(y, Tensor)]
    for y in outs:
        for a in _arrays_in(y):
            if a.size and np.any(np.nan_to_num(a) != 0):
                raise RuntimeError(
                    f"{what} is not linear: it does not map zero to zero, so it has no transpose, "
                    "from which the other rule could be derived. Correct it, or state both rules."
                )
    suspect = _first_nonlinear(outs, run.inputs)
    if suspect is None:
        return
    values = np.random.default_rng(0)
    first = [_random_like(x, values) for x in like]
    # Larger, and of the other sign everywhere, so that piecewise linear maps are found, too.
    second = [wrap((-8 * t.array).astype(t.array.dtype)) for t in first]
    total = [
        wrap((a.array + b.array).astype(a.array.dtype)) for a, b in zip(first, second, strict=True)
    ]
    token = modes.enter(modes.changed(grad=False))
    try:
        with np.errstate(all="ignore"):
            a, b, c = linear(first), linear(second), linear(total)
    finally:
        modes.leave(token)
    for x, y, z in zip(a, b, c, strict=True):
        if not (isinstance(x, Tensor) and isinstance(y, Tensor) and isinstance(z, Tensor)):
            continue
        for u, v, w in zip(_arrays_in(x), _arrays_in(y), _arrays_in(z), strict=False):
            _check_sum(u, v, w, what, suspect)


def _check_sum(u: Any, v: Any, w: Any, what: str, suspect: Node) -> None:
    scale = np.abs(u) + np.abs(v) + np.abs(w)
    error = np.abs(u + v - w)
    known = np.isfinite(scale) & np.isfinite(error)
    bound = np.sqrt(np.finfo(np.asarray(error).dtype).eps) * np.where(known, scale, 0).max(
        initial=0
    )
    worst = np.where(known, error, 0).max(initial=0)
    if worst > bound:
        raise RuntimeError(
            f"{what} is not linear: at the sum of two inputs it differs by {float(worst):.3g} from "
            f"the sum of its results, so it has no transpose, from which the other rule could be "
            f"derived. The step that is not linear is perhaps {suspect.prim.name} at "
            f"{suspect.where}. Correct it, or state both rules."
        )


def _first_nonlinear(outs: Sequence[Tensor], inputs: Sequence[Tensor]) -> Node | None:
    """The first step of a record whose derivative may depend on what varies; None if none does."""
    roots = [n for y in outs for n in nodes_in(y)]
    order, live = engine.between(roots, [n for x in inputs for n in nodes_in(x)])
    for node in order:
        if node.prim is PICK or node.prim is ALIAS:
            continue
        varying = tuple([p is not None and p in live for p in node.parents])
        if node.prim.side_effects:
            return node
        keeps, keeps_out = node.prim.kept(varying)
        if keeps_out or any(k and v for k, v in zip(keeps, varying, strict=True)):
            return node
    return None


def _arrays_in(x: Any) -> list[Any]:
    """The arrays at the bottom of a tensor or box, one for each component; none if traced."""
    if isinstance(x, Box):  # a traced tensor has no parts
        return [a for part in x.parts() if part is not None for a in _arrays_in(part)]
    return [x.array]


def _random_like(x: Any, values: np.random.Generator) -> Any:
    shape, dt = tuple(x.array.shape), x.array.dtype
    made = _away_from_zero(values, shape)
    if dt.kind == "c":
        made = made + 1j * _away_from_zero(values, shape)
    return wrap(np.asarray(made).astype(dt))


def _away_from_zero(values: np.random.Generator, shape: tuple[int, ...]) -> Any:
    drawn = values.standard_normal(shape)
    return drawn + np.where(drawn < 0, -1.0, 1.0)


__all__ = ["nodes_in", "transposed"]
