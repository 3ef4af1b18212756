"""Why there is no gradient: where the connection between two tensors was cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from chainrule.core import engine
from chainrule.core.cuts import Cut
from chainrule.core.dtypes import is_inexact
from chainrule.core.mutation import owner_of
from chainrule.core.node import Leaf, Node
from chainrule.core.primitive import REGISTRY
from chainrule.core.tensor import Tensor
from chainrule.explaining.why_walk import Walk, at, is_freed, place, saved

Found = tuple[str, list[str]]
MODES = ("no_grad", "inference_mode", "set_grad_enabled")
MOST = 5  # cuts that are listed


def without_record(y: Tensor, x: Tensor, names: tuple[str, str], cuts: Sequence[Cut]) -> Found:
    """One of the two is not on the tape at all."""
    yn, xn = names
    if x.node is None:
        if not is_inexact(x.array.dtype):
            return (
                f"None: {xn} is {x.dtype}; only floating point and complex tensors have gradients",
                [],
            )
        origin = _cut_that_made(x, cuts)
        if origin is not None:
            return (
                f"None: {xn} does not require grad: it is what {_what(origin)} returned",
                [f"differentiate with respect to the tensor before it, or call {xn}"
                 ".requires_grad_() before it is used"],
            )  # fmt: skip
        return (
            f"None: {xn} does not require grad, so what is computed from it is not recorded",
            [f"call {xn}.requires_grad_(), or make it with requires_grad=True, before {yn} is "
             "computed"],
        )  # fmt: skip
    if not is_inexact(y.array.dtype):
        lines = [f"{xn} was cut off by {_what(c)}" for _, c in reversed(_relevant(x, cuts))]
        return f"None: {yn} is {y.dtype}, which has no gradient", lines[:MOST]
    origin = _cut_that_made(y, cuts)
    if origin is not None:
        return f"None: {yn} does not depend on {xn}: {_cutting(origin)}", []
    headline, lines = _by_cuts(y, x, names, cuts)
    return headline, [f"{yn} does not require grad: nothing that leads to it is recorded", *lines]


def disconnected(y: Tensor, x: Tensor, names: tuple[str, str], cuts: Sequence[Cut]) -> Found:
    """Both are on the tape, but nothing recorded leads from one to the other."""
    assert y.node is not None
    assert x.node is not None
    if x.node.seq > y.node.seq:
        return _newer(y, x, names)
    return _by_cuts(y, x, names, cuts)


def _newer(y: Tensor, x: Tensor, names: tuple[str, str]) -> Found:
    """x was made after y: the name means another tensor now."""
    yn, xn = names
    made = place(x.node.code, x.node.lasti)  # type: ignore[union-attr]
    lines = []
    older = _shared_leaf(y, x)
    if older is not None:
        lines = [
            f"{yn} was computed from the tensor made at {older}, from which {xn} was computed too: "
            "keep that tensor under a name of its own and differentiate with respect to it"
        ]
    elif type(x.node) is Leaf:
        lines = [f"compute {yn} from this tensor, after it was made"]
    return f"None: {yn} does not depend on {xn}, which was made later, at {made}", lines


def _by_cuts(y: Tensor, x: Tensor, names: tuple[str, str], cuts: Sequence[Cut]) -> Found:
    """The cut that explains it: one whose result is used, else those that cut x off."""
    yn, xn = names
    start = f"None: {yn} does not depend on {xn}"
    relevant = _relevant(x, cuts)
    for cut, user in _used(y, [c for _, c in relevant]):
        return f"{start}: {_cutting(cut)}", [f"its result goes on into {at(user)}"]
    candidates = [*relevant, *_switched_off(y, cuts, relevant)]
    likely = [c for _, c in sorted(candidates, key=_newest_first)]
    if likely:
        rest = [f"{xn} was cut off also by {_what(c)}" for c in likely[1:]]
        return f"{start}: {_cutting(likely[0], sure=not rest)}", rest[:MOST]
    older = _shared_leaf(y, x)
    if older is not None:
        return f"{start}: both were computed from the tensor made at {older}", []
    other = [c for c in cuts if c.sources and not c.nodes()]
    if other:
        lines = [f"cut off was something that no longer exists, by {_what(c)}" for c in other[-3:]]
        return f"{start}: perhaps cut by {_what(other[-1])}", lines[:-1]
    return f"{start}: nothing that is known leads from {xn} to {yn}", [
        f"{xn} was made at {place(x.node.code, x.node.lasti)}; is it used, or was the name given "  # type: ignore[union-attr]
        "to another tensor meanwhile?"
    ]


def _newest_first(candidate: tuple[int, Cut]) -> tuple[bool, int]:
    """Which of several cuts it was is not known: the newest stands first, comparisons last."""
    time, cut = candidate
    return getattr(REGISTRY.get(cut.kind), "result", "") == "bool", -time


def _switched_off(
    y: Tensor, cuts: Sequence[Cut], relevant: Sequence[tuple[int, Cut]]
) -> list[tuple[int, Cut]]:
    """The last place at which recording was switched off, if y may have been computed there."""
    found = [(i, c) for i, c in enumerate(cuts) if not c.sources and c.kind in MODES]
    known = any(c.kind in MODES for _, c in relevant)
    return found[-1:] if y.node is None and not known else []


def _shared_leaf(y: Tensor, x: Tensor) -> str | None:
    """Where the newest tensor was made that both were computed from."""
    if y.node is None or x.node is None or type(x.node) is Leaf:
        return None
    shared = set(engine.reach([x.node])) & set(engine.reach([y.node]))
    older = [n for n in shared if type(n) is Leaf]
    if not older:
        return None
    first = max(older, key=lambda n: n.seq)
    return place(first.code, first.lasti)


def _relevant(x: Tensor, cuts: Sequence[Cut]) -> list[tuple[int, Cut]]:
    """The cuts of values that depend on x, oldest first, the last one for each line and kind.

    Each comes with its place among all cuts.
    """
    nodes = {}
    for i, cut in enumerate(cuts):
        nodes[i] = cut.nodes()
        if cut.held is not None and cut.held[0] is not None:
            nodes[i].append(cut.held[0])
    depends: dict[Node | None, bool] = {None: False}
    for node in engine.reach([n for each in nodes.values() for n in each]):
        depends[node] = node is x.node or any(depends[p] for p in node.parents)
    found: dict[Any, tuple[int, Cut]] = {}
    block = None  # where recording was switched off last
    for i, cut in enumerate(cuts):
        if cut.kind in MODES and not cut.sources:
            block = cut
        elif cut.kind in MODES and block is not None:
            cut = cut._replace(kind=block.kind, place=block.place)
        if any(depends[n] for n in nodes[i]):
            found.pop((cut.kind, *cut.place), None)
            found[cut.kind, *cut.place] = i, cut
    return list(found.values())


def _used(y: Tensor, cuts: Sequence[Cut]) -> Iterator[tuple[Cut, Node]]:
    """The cuts whose results are constants of the record that leads to y, newest first."""
    if y.node is None:
        return
    constants: list[tuple[Any, Node]] = []
    for node in engine.reach([y.node]):
        if type(node) is Leaf or is_freed(node) or node.args is None or node.prim.side_effects:
            continue
        for a, p in zip(saved(node)[0], node.parents, strict=True):
            if p is None and type(a) is np.ndarray:
                constants.append((a, node))
    for cut in reversed(cuts):
        array = cut.array()
        if type(array) is not np.ndarray:
            continue
        for a, node in constants:
            same = owner_of(a) is owner_of(array)
            # A tape that keeps everything keeps copies.
            copied = cut.held is not None and a.dtype == array.dtype and np.array_equal(a, array)
            if same or copied:
                yield cut, node
                break


def _cut_that_made(t: Tensor, cuts: Sequence[Cut]) -> Cut | None:
    """The cut that returned a tensor, or the memory that it shows."""
    for cut in reversed(cuts):
        array = cut.array()
        if type(array) is np.ndarray and (array is t.array or owner_of(array) is owner_of(t.array)):
            return cut
    return None


def _what(cut: Cut) -> str:
    return f"{cut.kind} at {place(*cut.place)}"


def _cutting(cut: Cut, sure: bool = True) -> str:
    """What a cut did, as the end of a sentence."""
    was = "was" if sure else "was probably"
    if cut.kind in MODES:
        return f"recording {was} switched off by {_what(cut)}"
    if cut.kind == "astype":
        return f"the connection {was} cut by a conversion to integers at {place(*cut.place)}"
    ending = "" if cut.kind.endswith(")") else ", which has no derivative"
    return f"the connection {was} cut by {_what(cut)}{ending}"


def without_adjoint(walk: Walk, names: tuple[str, str]) -> Found:
    """They are connected, but only through arguments by which nothing is differentiated."""
    ends = [n for n in walk.order if n in walk.adjoint and n is not walk.start]
    first = ends[0] if ends else walk.end
    return (
        f"None: {names[0]} depends on {names[1]} only through {at(first)}, which has no derivative "
        "with respect to that argument",
        [],
    )


__all__ = ["disconnected", "without_adjoint", "without_record"]
