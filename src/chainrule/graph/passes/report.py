"""What passes did, in numbers: one report for each run of a pass, and the table of all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import zip_longest
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from chainrule.graph.ir import Graph
from chainrule.graph.tables import Shown, Table


class Size(NamedTuple):
    """How large a graph is.

    Attributes:
        nodes: all nodes.
        operations: those that compute something.
        constants: bytes of the constants, each array counted once.
    """

    nodes: int
    operations: int
    constants: int


_sizes: WeakKeyDictionary[Graph, Size] = WeakKeyDictionary()


def size_of(graph: Graph) -> Size:
    """The size of a graph, measured once."""
    found = _sizes.get(graph)
    if found is None:
        found = _sizes[graph] = Size(len(graph.nodes), graph.operations, _constant_bytes(graph))
    return found


def _constant_bytes(graph: Graph) -> int:
    arrays: dict[int, int] = {}
    for node in graph.nodes:
        if None in node.parents:
            for a, p in zip(node.args, node.parents, strict=True):
                if p is None and type(a) is np.ndarray:
                    arrays[id(a)] = a.nbytes
    return sum(arrays.values())


@dataclass(frozen=True)
class PassReport:
    """What one run of a pass did.

    Attributes:
        name: the name of the pass.
        before, after: the size of the graph.
        fired: which rules changed how many nodes.
        seconds: how long it took.
    """

    name: str
    before: Size
    after: Size
    fired: Mapping[str, int]
    seconds: float

    def __str__(self) -> str:
        rules = ", ".join(f"{rule} ×{n}" for rule, n in self.fired.items()) or "nothing to do"
        return (
            f"{self.name}: {self.before.nodes} -> {self.after.nodes} nodes, "
            f"{self.before.operations} -> {self.after.operations} operations ({rules})"
        )


HEADINGS = ("pass", "nodes", "operations", "constants", "ms", "rules that fired")


@dataclass(frozen=True, repr=False)
class Optimization(Shown):
    """All that `Graph.optimize` did: a table in the terminal and in a notebook.

    Attributes:
        before, after: the graphs.
        reports: one for each run of a pass, in order.
        seconds: how long it took, verification included.
    """

    before: Graph
    after: Graph
    reports: Sequence[PassReport] = field(default_factory=list)
    seconds: float = 0.0

    def __iter__(self) -> Iterator[PassReport]:
        return iter(self.reports)

    @property
    def fired(self) -> dict[str, int]:
        """How often each rule fired, in all passes together."""
        total: Counter[str] = Counter()
        for report in self.reports:
            total.update(report.fired)
        return dict(total)

    def rows(self) -> list[tuple[str, ...]]:
        """The cells of the table: a row for each pass that changed something, and the total."""
        found = [
            _row(r.name, r.before, r.after, r.seconds, r.fired) for r in self.reports if r.fired
        ]
        total = _row("total", size_of(self.before), size_of(self.after), self.seconds, {})
        return [*found, total]

    def side_by_side(self) -> str:
        """The graph before and after, in two columns."""
        left, right = (str(g).splitlines() for g in (self.before, self.after))
        width = max(map(len, left))
        pairs = zip_longest(left, right, fillvalue="")
        return "\n".join(f"{a:<{width}}  │  {b}".rstrip() for a, b in pairs)

    def table(self) -> Table:
        """What each pass did, in numbers."""
        *rows, total = self.rows()
        title = f"{self.before.title}: optimised"
        return Table(title, HEADINGS, [*rows, None, total], left=(0, 5), ruled=False)

    def _repr_html_(self) -> str:
        texts = "".join(
            f'<td style="text-align:left;vertical-align:top"><pre>{escape(str(g))}</pre></td>'
            for g in (self.before, self.after)
        )
        return (
            f"{self.table().html()}<details><summary>before and after</summary>"
            f"<table><tr><th>before</th><th>after</th></tr><tr>{texts}</tr></table></details>"
        )


def _row(
    name: str, before: Size, after: Size, seconds: float, fired: Mapping[str, int]
) -> tuple[str, ...]:
    rules = ", ".join(f"{rule} ×{n}" for rule, n in fired.items())
    return (
        name, _change(before.nodes, after.nodes), _change(before.operations, after.operations),
        _change(before.constants, after.constants, " B"), f"{1000 * seconds:.1f}", rules,
    )  # fmt: skip


def _change(before: int, after: int, unit: str = "") -> str:
    return f"{before:,}{unit}" if before == after else f"{before:,} -> {after:,}{unit}"


__all__ = ["Optimization", "PassReport", "Size", "size_of"]
