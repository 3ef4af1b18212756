"""The registry's samples as graphs: evaluated, with cotangents pulled back, and mapped."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import chainrule as cr
import chainrule.nn  # declares more primitives
from chainrule import func
from chainrule.compiler.fuse import fuse
from chainrule.core.dtypes import is_inexact
from chainrule.core.primitive import REGISTRY, Primitive
from chainrule.core.samples import Sample
from chainrule.graph import DataDependence
from chainrule.graph.ir import Graph
from tests.ops import shapes
from tests.ops.checks import differentiable_args, examples_of, random_like

DRAWS = frozenset(name for name in REGISTRY if name.endswith("_draw"))  # another number each time
BATCH = 3


@dataclass
class Case:
    """A function of arrays made of a primitive's sample."""

    label: str
    function: Callable[..., Any]
    arrays: list[np.ndarray]


def primitives() -> list[Primitive]:
    """All that have samples, by name."""
    return [p for _, p in sorted(REGISTRY.items()) if p.samples]


def applied(prim: Primitive, sample: Sample, given: Sequence[Any], places: Sequence[int]) -> Any:
    """The primitive on the sample's arguments with those at `places` replaced."""
    args = list(sample.args)
    for i, x in zip(places, given, strict=True):
        args[i] = x
    return prim.apply(args, dict(sample.params))


def array_places(sample: Sample) -> list[int]:
    return [i for i, a in enumerate(sample.args) if isinstance(a, np.ndarray)]


def value(prim: Primitive, sample: Sample, label: str = "value") -> Case:
    """The primitive itself."""
    places = array_places(sample)
    return Case(
        label, lambda *xs: applied(prim, sample, xs, places), [sample.args[i] for i in places]
    )


def inexact(outs: Any) -> list[Any]:
    """The results that have derivatives."""
    outs = outs if isinstance(outs, tuple) else (outs,)
    return [o for o in outs if o is not None and is_inexact(o.dtype)]


def pulled(prim: Primitive, sample: Sample) -> Case | None:
    """Cotangents of the results pulled back to the arguments; None if there is no derivative."""
    places = differentiable_args(prim, sample)
    if not prim.differentiable or not places:
        return None
    rng = np.random.default_rng(zlib.crc32(prim.name.encode()))
    outs = inexact(prim.eval(*sample.args, **sample.params))
    cotangents = [random_like(o, rng) for o in outs]

    def f(*given: Any) -> Any:
        xs, gs = given[: len(places)], given[len(places) :]
        _, pull = func.vjp(lambda *xs: tuple(inexact(applied(prim, sample, xs, places))), *xs)
        return pull(tuple(gs))

    return Case("pulled back", f, [*[np.asarray(sample.args[i]) for i in places], *cotangents])


def mapped(prim: Primitive, sample: Sample) -> Case | None:
    """The primitive over a batch of all its arrays; None where that has no shape."""
    places = array_places(sample)
    if not places or (prim.name == "getitem" and any(sample.args[i].dtype == bool for i in places)):
        return None
    rows = [np.stack(examples_of(prim, sample, i, BATCH)) for i in places]
    return Case("mapped", func.vmap(lambda *xs: applied(prim, sample, xs, places)), rows)


def cases(prim: Primitive, every: bool) -> Iterator[Case]:
    """What is compared: a few of the samples, or `every` one, in all ways."""
    samples = list(prim.samples())
    first = zlib.crc32(prim.name.encode()) % len(samples)
    chosen = range(len(samples)) if every else sorted({0, first})
    for i in chosen:
        single = shapes.in_single_precision(samples[i])
        yield value(prim, samples[i], f"value {i}")
        if every or i == first:
            yield value(prim, single, f"single {i}")
        for make in (pulled, mapped):
            if every or i == (first if make is mapped else 0):
                found = make(prim, samples[i])
                if found is not None:
                    yield found
        if every:
            found = pulled(prim, single)
            if found is not None:
                yield found


def traced(case: Case) -> Graph | None:
    """The case as a graph; None if its path or its shape depends on data."""
    try:
        return cr.graph.trace(case.function, *case.arrays)
    except DataDependence:
        return None


@dataclass
class Status:
    """How a primitive's samples fare.

    Attributes:
        compiled: whether some sample is compiled as a whole.
        reasons: why others are calls of NumPy, by themselves, and in derivatives.
    """

    compiled: bool
    reasons: list[str]
    pulled: list[str]


def status(prim: Primitive) -> Status:
    """What becomes of the samples of a primitive, without LLVM."""
    found = Status(False, [], [])
    for sample in prim.samples():
        graph = traced(value(prim, sample))
        if graph is not None:
            reasons = sorted(set(fuse(graph).refused.values()))
            found.compiled |= not reasons
            found.reasons += [r for r in reasons if r not in found.reasons]
    case = pulled(prim, next(iter(prim.samples())))
    graph = None if case is None else traced(case)
    if graph is not None:
        found.pulled = sorted({n.prim.name for n in fuse(graph.optimize()).refused})
    return found
