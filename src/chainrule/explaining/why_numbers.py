"""Why a gradient is the number it is: zeros, nan and inf, and what contributes to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from chainrule.core import engine
from chainrule.core.node import Leaf, Node
from chainrule.core.partials import NONE
from chainrule.core.primitive import PICK
from chainrule.explaining.why_walk import (
    Part,
    Walk,
    arguments,
    at,
    entry,
    known_values,
    place,
)
from chainrule.graph.numerals import numeral

MOST = 5  # reasons that are listed
LONGEST = 12  # operations of a path that are listed

_FLAT = "its derivative is 0 everywhere"
_BOUNDS = "its input was outside the bounds"
_OTHER = "another entry was taken"
_SATURATED = "it is saturated"
_FACTOR = "multiplied by 0"
CAUSES = {
    "relu": "its input was not positive",
    **dict.fromkeys(["clamp", "clamp_min", "clamp_max", "hardtanh", "threshold", "softshrink",
                     "hardshrink", "hardswish"], _BOUNDS),
    **dict.fromkeys(["maximum", "minimum", "fmax", "fmin"], "the other argument was taken"),
    **dict.fromkeys(["amax", "amin", "max_all", "min_all", "max_along", "min_along", "median_all",
                     "nanmedian_all", "max_pool", "kthvalue_along", "median_along", "mode_along",
                     "topk_along", "cummax_along", "cummin_along", "scatter_extreme"], _OTHER),
    "where": "the other branch was taken",
    **dict.fromkeys(["getitem", "select_along", "embedding", "diagonal", "as_strided", "unfold",
                     "pool_pick"], "they were not selected"),
    **dict.fromkeys(["window_sum", "im2col"], "no window covers them"),
    **dict.fromkeys(["multiply", "pull_product", "pull_selection", "mm", "mv", "bmm", "dot",
                     "linear", "contract_pair", "convolution"], _FACTOR),
    **dict.fromkeys(["sign", "round", "floor", "ceil", "trunc", "floor_divide", "heaviside",
                     "truncated_divide"], _FLAT),
    **dict.fromkeys(["sigmoid", "tanh", "erf", "erfc", "softmax", "log_softmax", "softplus", "silu",
                     "gelu", "gelu_tanh", "log_sigmoid", "mish", "ndtr"], _SATURATED),
    **dict.fromkeys(["exp", "exp2"], "its value has underflowed to 0"),
    **dict.fromkeys(["index_put", "write_view", "overwrite"], "they were overwritten"),
    **dict.fromkeys(["tril", "triu", "pad_transpose"], "they were left out"),
}  # fmt: skip


class Death(NamedTuple):
    """Entries of a value whose adjoint ends at one operation.

    Attributes:
        node: the operation.
        value: the value whose adjoint it is.
        entries: the mask of the entries.
        why: the cause, if it is known already.
    """

    node: Node
    value: Node
    entries: Any
    why: str = ""


# ---------------------------------------------------------------- zeros


def zeros(walk: Walk, names: tuple[str, str]) -> tuple[str, list[str]]:
    """Which entries of the gradient are zero and why; an empty headline if none is."""
    g = np.asarray(walk.gradient)
    dead = g == 0
    if not dead.any():
        return ("", []) if g.size else (f"{names[1]} has no entries", [])
    how = "zero" if dead.all() else f"zero in {int(dead.sum())} of {g.size} entries"
    deaths = _deaths(walk, dead)
    lines = _described(walk, deaths)
    if not lines:
        return f"{how}: no use of {names[1]} got an adjoint", []
    return f"{how}: {lines[0]}", lines[1 : MOST + 1]


def _deaths(walk: Walk, dead: Any) -> list[Death]:
    """Where the adjoints that would have made these entries different from zero ended.

    From the start towards the end, every value with entries whose adjoint is zero is looked at
    once: an entry is zero because contributions cancel, because an operation passes nothing to it
    whatever its own adjoint, or because that adjoint is zero too, and then the search goes on.
    """
    wanted: dict[Node, Any] = {walk.start: dead}
    found: list[Death] = []
    for node in walk.order:
        mask = wanted.pop(node, None)
        if mask is None or not mask.any() or node is walk.end:
            continue
        parts = walk.parts.get(node, [])
        cancelled = mask & np.logical_or.reduce([np.asarray(p.value) != 0 for p in parts])
        if len(parts) > 1 and cancelled.any():
            found.append(Death(node, node, cancelled, "cancel"))
            mask = mask & ~cancelled
        for source in dict.fromkeys(p.source for p in parts):
            _look(walk, source, node, mask, wanted, found)
    return found


def _look(
    walk: Walk, source: Node, node: Node, mask: Any, wanted: dict[Node, Any], found: list[Death]
) -> None:
    """Whether an operation passes nothing to some entries, or gets nothing to pass."""
    if not mask.any():
        return
    if source.prim.side_effects:  # the user's rule ran once and is not run again
        if np.any(walk.adjoint[source] if type(walk.adjoint[source]) is not list else True):
            found.append(Death(source, node, mask))
        return
    open_ = walk.response(source, node)
    shut = mask & ~open_
    if shut.any():
        found.append(Death(source, node, shut))
    rest = mask & open_
    if not rest.any():
        return
    reached = walk.reached(source, node, rest)
    if type(source.out) is tuple or source.shape is None:
        for part in walk.parts.get(source, []):
            each = reached[part.position] if reached is not None else None
            _go_on(walk, part.source, source, each, wanted, found, node, rest)
        return
    _go_on(walk, source, source, reached, wanted, found, node, rest)


def _go_on(
    walk: Walk, value: Node, source: Node, reached: Any, wanted: dict[Node, Any],
    found: list[Death], node: Node, rest: Any,
) -> None:  # fmt: skip
    """The adjoint of a result, where it reaches the entries in question, is zero or cancels."""
    g = np.asarray(walk.adjoint[value])
    zero = g == 0
    if reached is None:
        reached = np.ones(g.shape, bool) if not g.any() else zero
    if (reached & ~zero).any():
        why = "underflow" if source.prim.partials is not None else "cancel inside"
        found.append(Death(source, node, rest, why))
    mask = reached & zero
    if mask.any():
        known = wanted.get(value)
        wanted[value] = mask if known is None else known | mask


def _described(walk: Walk, deaths: Sequence[Death]) -> list[str]:
    """A sentence for each line of the program where adjoints ended, those of most entries first."""
    groups: dict[Any, list[Death]] = {}
    for d in deaths:
        key = (d.node.prim.name, d.node.code, d.node.lasti, d.why)
        groups.setdefault(key, []).append(d)
    ranked = sorted(groups.values(), key=lambda g: -sum(int(d.entries.sum()) for d in g))
    values = known_values(walk.end) if deaths else {}
    return [_sentence(walk, group, values) for group in ranked]


def _sentence(walk: Walk, group: Sequence[Death], values: dict[Node, Any]) -> str:
    first = group[0]
    node = first.node
    times = f" (×{len(group)})" if len(group) > 1 else ""
    n, size = int(first.entries.sum()), int(first.entries.size)
    of = "" if n == size else f" for {n} of {size} entries"
    if first.why == "cancel":
        index = tuple(int(i) for i in np.argwhere(first.entries)[0])
        terms = " + ".join(
            f"({numeral(np.asarray(p.value)[index])} from {p.source.prim.name} at "
            f"{place(p.source.code, p.source.lasti)})"
            for p in walk.parts[node]
        )
        return f"contributions cancel{of}{times}: {terms}"
    if first.why == "cancel inside":
        return f"adjoints cancel inside {at(node)}{of}{times}"
    if first.why == "underflow":
        return f"the product has underflowed to 0 at {at(node)}{of}{times}"
    cause = CAUSES.get(node.prim.name, "its derivative is 0 at this argument")
    return f"{at(node)} passed nothing{of}{times} ({cause}{_example(first, values)})"


def _example(death: Death, values: dict[Node, Any]) -> str:
    """The argument at the first entry in question."""
    node = death.node
    cause = CAUSES.get(node.prim.name)
    if node.prim.partials is None or cause in (_FLAT, _FACTOR):
        return ""
    index = tuple(int(i) for i in np.argwhere(death.entries)[0])
    value = values.get(death.value)
    return "" if value is None else f": {numeral(np.asarray(value)[index])}"


# ---------------------------------------------------------------- nan and inf


def birth(walk: Walk, verdict: str, names: tuple[str, str]) -> tuple[str, list[str]]:
    """Where the first nan or inf of the gradient was born."""
    values = known_values(walk.end)
    forward = forward_birth(walk.end, values)
    node = walk.start
    while True:
        parts = walk.parts.get(node, [])
        bad = _worst(parts, verdict)
        if bad is None:
            return _indefinite(walk, node, parts, verdict), forward
        if verdict == "nan" and not any(np.isnan(p.value).any() for p in parts):
            return _indefinite(walk, node, parts, verdict), forward
        above = walk.adjoint[bad.source]
        if bad.source is walk.end or _finite(above):
            return f"{verdict}: {_born(walk, bad, verdict, values)}", forward
        if verdict == "nan" and not _has_nan(above) and bad.source.prim is not PICK:
            return f"nan: {_born(walk, bad, verdict, values)}", [
                *_infinity(walk, bad.source, values), *forward,
            ]  # fmt: skip
        node = bad.source


def _worst(parts: Sequence[Part], verdict: str) -> Part | None:
    """A contribution that is nan where nan is sought and there is one, else one not finite."""
    bad = [p for p in parts if not np.isfinite(p.value).all()]
    nans = [p for p in bad if np.isnan(p.value).any()]
    chosen = nans if verdict == "nan" and nans else bad
    return chosen[0] if chosen else None


def _finite(g: Any) -> bool:
    return all(a is None or bool(np.isfinite(a).all()) for a in (g if type(g) is list else [g]))


def _has_nan(g: Any) -> bool:
    return any(a is not None and np.isnan(a).any() for a in (g if type(g) is list else [g]))


def _infinity(walk: Walk, node: Node, values: dict[Node, Any]) -> list[str]:
    """Where the infinite cotangent that a nan was made of came from."""
    while True:
        bad = _worst(walk.parts.get(node, []), "inf")
        if bad is None:
            return []
        if bad.source is walk.end or _finite(walk.adjoint[bad.source]):
            return [f"the infinite cotangent was {_born(walk, bad, 'inf', values)}"]
        node = bad.source


def _indefinite(walk: Walk, node: Node, parts: Sequence[Part], verdict: str) -> str:
    """Contributions that are infinities of both signs, or together exceed the range."""
    terms = ", ".join(f"{p.source.prim.name} at {place(p.source.code, p.source.lasti)}"
                      for p in parts[:MOST])  # fmt: skip
    if verdict == "inf":
        return f"inf: the contributions together exceed the range of {node.dtype}: from {terms}"
    return f"nan: infinite contributions of both signs are added: from {terms}"


def _born(walk: Walk, part: Part, verdict: str, values: dict[Node, Any]) -> str:
    """The step that made it: local derivative times cotangent, with numbers."""
    node = part.source
    text = f"born at {node.prim.name}, {place(node.code, node.lasti)}"
    args = arguments(node, values)
    if node.prim.partials is None:
        bad = [i for i, a in enumerate(args) if a is not None and not _finite(np.asarray(a))]
        return text + (f": its argument {bad[0]} is not finite" if bad else "")
    g = np.asarray(walk.adjoint[node])
    made = np.asarray(walk.pulled(node, g)[part.position])
    wrong = np.isnan(made) if verdict == "nan" and np.isnan(made).any() else ~np.isfinite(made)
    if not wrong.any():  # a sum over what was broadcast made it
        return f"{text}: the sum of its cotangents exceeds the range"
    index = tuple(int(i) for i in np.argwhere(wrong)[0])
    local = np.asarray(walk.pulled(node, np.ones_like(g), False)[part.position])[index]
    stands = f" at [{', '.join(map(str, index))}]" if index else ""
    given = _operands(node, args, index, values)
    return (
        f"{text}{stands}: local derivative {numeral(local)} ({given}) times cotangent "
        f"{numeral(g[index])}"
    )


def _operands(
    node: Node, args: Sequence[Any], index: tuple[int, ...], values: dict[Node, Any]
) -> str:
    """The arguments that belong to an entry of the result; the result where they are not kept."""
    known = [entry(a, node.shape, index) for a in args]
    if all(a is None for a in known) and node in values:
        return f"its result is {numeral(np.asarray(values[node])[index])}"
    shown = ", ".join("?" if a is None else numeral(a) for a in known)
    return f"its argument{'s are' if len(known) > 1 else ' is'} {shown}"


def forward_birth(end: Node, values: dict[Node, Any]) -> list[str]:
    """The first value of the computation itself that is nan or infinite."""
    for node in engine.reach([end]):
        value = values.get(node)
        if value is None or _finite(np.asarray(value)):
            continue
        kind = "nan" if np.isnan(value).any() else "inf"
        if type(node) is Leaf:
            where = place(node.code, node.lasti)
            return [f"{kind} stands already in the values: in the tensor made at {where}"]
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(np.asarray(value)))[0])
        given = _operands(node, arguments(node, values), index, values)
        return [f"{kind} stands already in the values: first at {at(node)} ({given})"]
    return []


def suppressed(walk: Walk) -> list[str]:
    """Steps at which a zero cotangent met an infinite or nan derivative, and won."""
    found = []
    for node in reversed(walk.order):
        partials = node.prim.partials
        g = walk.adjoint.get(node)
        if partials is None or g is None or node is walk.start or np.all(g):
            continue
        locals_ = walk.pulled(node, np.ones_like(g), False)
        for p, local, (case, _) in zip(node.parents, locals_, partials, strict=True):
            if p is None or local is None or case == NONE or p not in walk.live:
                continue
            hit = (np.asarray(g) == 0) & ~np.isfinite(np.asarray(local))
            if hit.any():
                kind = "nan" if np.isnan(np.asarray(local)[hit]).any() else "∞"
                n = f" for {int(hit.sum())} of {hit.size} entries" if hit.size > 1 else ""
                found.append(f"0·{kind} suppressed: a zero cotangent wins at {at(node)}{n}")
    return list(dict.fromkeys(found))[:MOST]


# ---------------------------------------------------------------- ordinary gradients


def contributions(walk: Walk, names: tuple[str, str]) -> list[str]:
    """The uses of x by the size of what they contribute, and the path of the largest."""
    parts = sorted(walk.parts.get(walk.start, []), key=_magnitude, reverse=True)
    if not parts:
        return []
    lines = [f"{numeral(p.value)} from {at(p.source)}" for p in parts[:MOST]]
    if len(parts) > MOST:
        lines.append(f"and {len(parts) - MOST} smaller contributions")
    return [*lines, _path(walk, names)]


def _magnitude(part: Part) -> float:
    return float(np.max(np.abs(part.value), initial=0.0))


def _path(walk: Walk, names: tuple[str, str]) -> str:
    """From x to y, at each value by the use that contributes most."""
    node, steps = walk.start, []
    while node is not walk.end:
        node = max(walk.parts[node], key=_magnitude).source
        if node.prim is not PICK:
            steps.append(f"{node.prim.name} ({place(node.code, node.lasti).split(' (')[0]})")
    if len(steps) > LONGEST:
        half = LONGEST // 2
        steps[half:-half] = [f"… {len(steps) - 2 * half} more …"]
    return "path: " + " → ".join([names[1], *steps, names[0]])


__all__ = ["birth", "contributions", "forward_birth", "suppressed", "zeros"]
