"""Optimisation: passes, one after the other, until none finds anything more to do."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Any

from chainrule.core.collector import paused
from chainrule.graph.ir import Graph
from chainrule.graph.passes.algebra import algebra
from chainrule.graph.passes.base import Pass, named
from chainrule.graph.passes.clean import clean
from chainrule.graph.passes.cse import cse
from chainrule.graph.passes.fold import fold
from chainrule.graph.passes.prune import prune
from chainrule.graph.passes.report import Optimization, PassReport
from chainrule.graph.verify import Checked, verify

PASSES: tuple[Pass, ...] = (prune, fold, clean, algebra, cse)
ROUNDS = 10


def optimize(
    graph: Graph, *, fast: bool = False, verbose: bool = False, passes: Sequence[Any] | None = None
) -> Graph:
    """An optimised graph; see `Graph.optimize`."""
    with paused():
        found = _optimized(graph, fast, passes)
    if verbose:
        print(found)
    return found.after


def _optimized(graph: Graph, fast: bool, passes: Sequence[Any] | None) -> Optimization:
    """Run passes until as many in a row as there are have found nothing to do."""
    chosen = [_pass(p) for p in (PASSES if passes is None else passes)]
    began = perf_counter()
    checked = Checked()
    verify(graph, checked)
    made = named(graph)
    reports: list[PassReport] = []
    idle = 0  # passes in a row that found nothing to do
    for _ in range(ROUNDS):
        for p in chosen:
            if idle == len(chosen):
                break
            made, report = _applied(p, made, fast)
            reports.append(report)
            idle = 0 if report.fired else idle + 1
            if report.fired:
                verify(made, checked)
    found = Optimization(graph, made, reports, perf_counter() - began)
    made.optimization = found
    return found


def _applied(p: Pass, graph: Graph, fast: bool) -> tuple[Graph, PassReport]:
    return p(graph, fast=True) if fast and p.has_fast else p(graph)


def _pass(p: Any) -> Pass:
    """A pass, given as one or by its name.

    Raises:
        ValueError: if there is none of that name.
        TypeError: if it is neither.
    """
    if isinstance(p, Pass):
        return p
    if not isinstance(p, str):
        raise TypeError(f"optimize: a pass is given by name or as a pass, not {type(p).__name__}")
    for known in PASSES:
        if known.name == p:
            return known
    names = ", ".join(repr(known.name) for known in PASSES)
    raise ValueError(f"optimize: there is no pass {p!r}; there are {names}")
