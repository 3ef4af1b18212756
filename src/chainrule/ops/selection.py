"""Entries chosen along a dimension by an index that some search has found.

`max(dim)`, `sort`, `topk`, `median` and their like all choose entries of their argument: a search
without derivative finds where they are, and a selection, linear in the argument, takes them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.avals import left_over, shaped_by
from chainrule.core.batching import all_mapped, along_line, shifted
from chainrule.core.kinds import general
from chainrule.core.node import Aval
from chainrule.core.samples import Sample, uniform
from chainrule.ops.direct import along_axis
from chainrule.ops.shape import reshape_prim


def _select(x: Any, index: Any, axis: int, keepdims: bool = True) -> Any:
    if x.ndim == 0:
        return x.copy()
    found = x[along_axis(index, axis)]
    return found if keepdims else found.squeeze(axis)


def _select_aval(x: Any, index: Any, axis: int, keepdims: bool = True) -> Aval:
    shape = tuple(index.shape if x.shape else ())
    return Aval(shape if keepdims else left_over(shape, axis), x.dtype)


def _spread(
    g: Any, index: Any, axis: int, shape: tuple[int, ...], keepdims: bool = True,
    repeats: bool = False,
) -> Any:  # fmt: skip
    if not shape:
        return np.array(g)
    g = g if keepdims else np.expand_dims(g, axis)
    out = np.zeros(shape, g.dtype)
    if repeats:
        np.add.at(out, along_axis(index, axis), g)
    else:
        out[along_axis(index, axis)] = g
    return out


def _samples() -> list[Sample]:
    index = np.array([[2], [0]])
    return [
        Sample(uniform(2, 3), index, axis=1, keepdims=True),
        Sample(uniform(2, 3), index, axis=1, keepdims=False),
        Sample(uniform(3, 2), np.array([[1, 0], [0, 2]]), axis=0, keepdims=True),
        Sample(uniform(), np.array(0), axis=0, keepdims=False),
    ]


def _spread_samples() -> list[Sample]:
    index = np.array([[2, 0], [0, 1]])
    again = np.array([[2, 2], [0, 1]])
    return [
        Sample(uniform(2, 2), index, axis=1, shape=(2, 3), keepdims=True, repeats=False),
        Sample(uniform(2, 2), again, axis=1, shape=(2, 3), keepdims=True, repeats=True),
        Sample(uniform(2), index[:, :1], axis=1, shape=(2, 3), keepdims=False, repeats=False),
    ]


def without(index: Any, axis: int, keepdim: bool) -> Any:
    """The index without the dimension searched, unless that is kept."""
    if keepdim or index.ndim == 0:
        return index
    return reshape_prim(index, shape=(*index.shape[:axis], *index.shape[axis + 1 :]))


def selection(name: str, grad_name: str, repeats: bool = False) -> Any:
    """Declare out = x taken at `index` along `axis`: one primitive for each search, so that the
    graph says what was done.  `repeats` says that an entry may be taken more than once."""
    return general(
        name, _select,
        vjps=(
            lambda xp, g, x_aval, y, axis, keepdims: xp.spread_along(
                g, y, axis=axis, shape=tuple(x_aval.shape), keepdims=keepdims, repeats=repeats
            ),
            None,
        ),
        jvps=(
            lambda xp, t, y, axis, keepdims: xp.select_along(t, y, axis=axis, keepdims=keepdims),
            None,
        ),
        grad_name=grad_name, samples=_samples, batch=along_line,
        aval=_select_aval,
    )  # fmt: skip


select_along = selection("select_along", "Gather", repeats=True)


def _spread_batch(prim: Any, size: int, args: Any, mapped: Any, params: Any) -> Any:
    shape = params["shape"]
    g, index = all_mapped(size, args, mapped)
    if not shape:
        return g
    axis = shifted(params["axis"], len(shape))
    return prim.apply((g, index), {**params, "axis": axis, "shape": (size, *shape)})


spread_along = general(
    "spread_along", _spread,
    vjps=(
        lambda xp, g, y, axis, keepdims: xp.select_along(g, y, axis=axis, keepdims=keepdims),
        None,
    ),
    jvps=(
        lambda xp, t, y, axis, shape, keepdims, repeats: xp.spread_along(
            t, y, axis=axis, shape=shape, keepdims=keepdims, repeats=repeats
        ),
        None,
    ),
    samples=_spread_samples, aval=shaped_by("shape"), batch=_spread_batch,
)  # fmt: skip
