"""Clusters that share a loop over rows, so that what one makes is in the cache for the next.

A later nest may follow an earlier one in the same loop over rows if it needs of its results the
same row only, and a row is long enough to fill vectors and short enough to stay in the cache. A
nest that sums over the rows themselves may too: it adds each row to sums that it keeps.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

from chainrule.compiler.clusters import Cluster, Clusters, reads, source
from chainrule.compiler.lowering import has_rare
from chainrule.compiler.maps import Map, identity
from chainrule.compiler.values import MAP, REDUCE, Value

LONGEST_ROW = 1 << 15  # entries of a row that nests share while it is in the cache
SHORTEST_ROW = 64
SHORT = 1 << 12  # entries of a cluster that may run before others
NARROWEST, WIDEST = 16, 4096  # sums that a nest over rows keeps: they are on the stack


class Groups:
    """Steps in an order in which they can run.

    Attributes:
        steps: lists of clusters whose nests share their outermost loop, and calls.
        row_loop: by identity of a cluster which of its loops is that over the rows; not the first
            for some that sum over rows.
    """

    def __init__(self, clusters: Clusters) -> None:
        self.clusters = clusters
        self.steps: list[Any] = []
        self.row_loop: dict[int, int] = {}
        self._place: dict[int, int] = {}
        for step in self._ordered():
            at = None
            if isinstance(step, Cluster):
                at = self._joined(step)
                if at is not None:
                    self.steps[at].append(step)
            if at is None:
                at = len(self.steps)
                self.steps.append([step] if isinstance(step, Cluster) else step)
            self._place[step.position] = at

    def _ordered(self) -> list[Any]:
        """The steps, first short ones that need no others: they would stand between long ones."""
        early: dict[int, Cluster] = {}
        for step in self.clusters.steps:
            if isinstance(step, Cluster) and prod(step.domain) <= SHORT and _plain(step):
                homes = {
                    id(home)
                    for base, _ in self.clusters.needed(step)
                    for home in self.clusters.makers(base)
                }
                if homes <= early.keys():
                    early[id(step)] = step
        later = [step for step in self.clusters.steps if id(step) not in early]
        return [*early.values(), *later]

    def _joined(self, cluster: Cluster) -> int | None:
        """The group that a cluster joins; None if it begins one."""
        needs = [
            (self._place[home.position], base, rows)
            for base, rows in self.clusters.needed(cluster)
            for home in self.clusters.makers(base)
        ]
        at = max([group for group, _, _ in needs], default=-1)
        if at < 0 or not isinstance(self.steps[at], list) or not cluster.domain:
            return None
        group = self.steps[at]
        if not any(self._length(c) >= SHORTEST_ROW for c in group):
            return None
        read = [(base, rows) for group, base, rows in needs if group == at]
        for loop in self._loops_over_rows(cluster):
            if all(self._rows_of(c) == cluster.domain[loop] for c in group) and all(
                self._in_row(base, rows, loop) for base, rows in read
            ):
                self.row_loop[id(cluster)] = loop
                return at
        return None

    # ------------------------------------------------ rows

    def _rows_of(self, cluster: Cluster) -> int | None:
        """How many rows a cluster in a group has; None if it does not go row by row."""
        loop = self.row_loop.get(id(cluster))
        if loop is None and (not cluster.domain or 0 in (cluster.reduced or ())):
            return None
        length = self._length(cluster)
        if length == 1 or SHORTEST_ROW <= length <= LONGEST_ROW:
            return cluster.domain[loop or 0]
        return None

    def _length(self, cluster: Cluster) -> int:
        """The entries of a row."""
        if not cluster.domain:
            return 1
        return prod(cluster.domain) // cluster.domain[self.row_loop.get(id(cluster), 0)]

    def _loops_over_rows(self, cluster: Cluster) -> Iterator[int]:
        """The loops of a cluster that may be shared."""
        if self._rows_of(cluster) is not None:
            yield 0
        if cluster.reduced is not None and len(cluster.reduced) == 1:
            (loop,) = cluster.reduced
            length = prod(cluster.domain) // cluster.domain[loop]
            if _plain(cluster) and NARROWEST <= length <= WIDEST and self._by_rows(cluster, loop):
                yield loop

    def _by_rows(self, cluster: Cluster, loop: int) -> bool:
        """Whether neighbouring entries of the arrays that a cluster reads are in one row."""
        return not any(
            rows and loop in [k for k, _ in rows[-1][1]]
            for base, rows in self._arrays(cluster)
            if base.ndim > 1
        )

    def _arrays(self, cluster: Cluster) -> Iterator[tuple[Value, Map | None]]:
        for value in cluster.members:
            for base, rows in reads(value):
                if self.clusters.home.get(id(source(base))) is not cluster:
                    yield base, rows

    def _in_row(self, base: Value, rows: Map | None, loop: int) -> bool:
        """Whether iteration i of the loop over rows needs row i of a result, and no other."""
        if base.kind not in (MAP, REDUCE) or rows is None:
            return False
        home = self.clusters.home[id(base)]
        if base.kind == REDUCE and self.row_loop.get(id(home), 0) in home.reduced:
            return False  # it is there after the last row
        own = identity(base.shape)
        first = next((k for k, row in enumerate(own) if row[1]), None)
        if first is None or rows[first] != (0, ((loop, 1),)):
            return False
        return all(k != loop for j, row in enumerate(rows) if j != first for k, _ in row[1])


def _plain(cluster: Cluster) -> bool:
    """Whether iterations can run in another order, and once only."""
    # What is kept must not be added to twice, as rare arguments would have it.
    return not any(
        v.kind == MAP and (v.op in ("scan", "place") or has_rare(v.op, v.dtype))
        for v in cluster.members
    )
