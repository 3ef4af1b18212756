"""Which values are computed in one loop: greedy, deterministic, in one pass over the values.

Steps (clusters and calls of NumPy) have positions, in which order they run. A value can be computed
in any cluster with its loops that comes after all steps whose finished results it needs; what it
needs entry by entry may be computed in the same cluster. It joins the first such cluster, or
begins a new one at the end. Every position chosen so keeps the order valid, whatever follows.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Any

from chainrule.compiler.lowering import cost_of
from chainrule.compiler.maps import Map, Shape, broadcast, compose, identity
from chainrule.compiler.values import (
    CALL,
    CONTRACT,
    FILLED,
    GIVEN,
    MAP,
    NUMBER,
    PICK,
    REDUCE,
    RESHAPED,
    VIEW,
    Value,
    viewed,
)
from chainrule.compiler.windows import range_of

LARGEST = 1500  # instructions in a cluster, about; more only takes longer to compile,
LARGEST_OF_FEW = 4000  # which short programs can afford:
FEW = 6000  # those of so many values
MOST_BESIDE = 64  # parts that are placed in the same loops
DEEPEST = 3  # operations that are repeated rather than their result loaded


class Cluster:
    """Values that are computed in one nest of loops.

    Attributes:
        position: of the step.
        domain: the extents of the loops.
        members: the values, each after what it needs.
        reduced: the loops over which all its reductions go; None if it has none.
        ordered: whether iterations have to be run one after the other.
    """

    def __init__(self, position: int, domain: Shape) -> None:
        self.position = position
        self.domain = domain
        self.members: list[Value] = []
        self.reduced: frozenset[int] | None = None
        self.ordered = False
        self.cost = 0

    def takes(self, value: Value) -> bool:
        """Whether a value may be computed here too: reductions choose the order of their loops."""
        if value.kind == REDUCE:
            return not self.ordered and self.reduced in (None, reduced_loops(value))
        return self.reduced is None or not is_ordered(value)


NOWHERE = Cluster(-1, ())  # of those that need a value otherwise than entry by entry


class Call:
    """An operation of NumPy, or a matrix product by BLAS, as a step."""

    def __init__(self, position: int, value: Value) -> None:
        self.position = position
        self.value = value


def reads(value: Value) -> list[tuple[Value, Map | None]]:
    """What a computed value needs: the value behind any view, and its index map by the loops.

    No map: all of it must be there before.
    """
    found: list[tuple[Value, Map | None]] = []
    for i, a in enumerate(value.args):
        base, rows = viewed(a)
        if base.kind == NUMBER:
            continue
        if (value.op, i) in WHOLE:
            found.append((base, None))
            continue
        if value.kind == REDUCE:
            loops = identity(a.shape)
        else:
            loops = compose(broadcast(a.shape, value.shape), identity(value.shape))
        found.append((base, loops if rows is None else compose(rows, loops)))
    return found


# The arguments that are read at an index which is a value, or are there to be written.
WHOLE = frozenset((("gather", 0), ("place", 1)))


def is_ordered(value: Value) -> bool:
    """Whether a value needs iterations one after the other: what was there before, or is added."""
    if value.op == "place":
        return value.detail[0] == "add" or len(value.args) > 2
    return value.op == "scan"


def apart(first: Value, second: Value) -> bool:
    """Whether two parts are placed where they do not overlap, as far as that is known."""
    for one, other in zip(first.detail[1], second.detail[1], strict=True):
        if type(one) is tuple and type(other) is tuple:
            low, high = range_of(one, first.shape)
            least, most = range_of(other, second.shape)
            if high < least or low > most:
                return True
    return False


def source(value: Value) -> Value:
    """The value in whose memory another one stands, which may be a view of it, or it reshaped."""
    while value.kind in (VIEW, RESHAPED):
        value = value.args[0]
    return value


class Clusters:
    """All steps, and what of the values is kept in memory.

    Attributes:
        steps: clusters and calls in the order in which they run.
        home: the step that computes a value, by identity of the value.
        stored: the computed values that are written to memory.
    """

    def __init__(self, order: Sequence[Value], kept: Iterable[Value]) -> None:
        self.steps: list[Any] = []
        self.home: dict[int, Any] = {}
        self.stored: set[int] = set()
        self._by_domain: dict[Shape, list[Cluster]] = {}
        self._again: dict[int, tuple[int, frozenset[int]] | None] = {}
        self._loaded: dict[int, frozenset[int]] = {}
        kept = list(kept)
        self.live = needed_values(order, kept)
        self.largest = LARGEST_OF_FEW if len(self.live) <= FEW else LARGEST
        for value in self.live:
            if value.kind in (MAP, REDUCE):
                self._place(value)
            elif value.kind in (CALL, CONTRACT):
                self._append_call(value)
            elif value.kind == PICK:
                self.home[id(value)] = self.home[id(value.args[0])]
            elif value.kind == FILLED:
                self.home[id(value)] = max(
                    [self.home[id(a)] for a in value.args], key=lambda step: step.position
                )
        self._decide(kept)

    # ------------------------------------------------ where values are computed

    def _place(self, value: Value) -> None:
        earliest = 0
        for base, rows in reads(value):
            step = self.home.get(id(source(base)))
            if step is not None:
                together = self._in_loop(value, base, rows) or self._beside(value, base)
                waits = 0 if together else 1
                earliest = max(earliest, step.position + waits)
        cluster = self._open(value, earliest)
        cluster.members.append(value)
        if value.kind == REDUCE:
            cluster.reduced = reduced_loops(value)
        cluster.ordered = cluster.ordered or is_ordered(value)
        cluster.cost += cost_of(value.op, value.dtype)
        self.home[id(value)] = cluster

    @staticmethod
    def _in_loop(value: Value, base: Value, rows: Map | None) -> bool:
        """Whether each iteration needs the entry that the same iteration of another loop makes."""
        return base.kind == MAP and base.domain == value.domain and rows == identity(base.shape)

    def _beside(self, value: Value, base: Value) -> bool:
        """Whether a part may be placed in the loops that place the one before it.

        Without loops, parts are placed in order. In loops, they must not overlap.
        """
        if value.op != "place" or base.kind != FILLED:
            return False
        home = self.home[id(base)]
        if home.domain != value.domain or not value.domain:
            return True
        for _ in range(MOST_BESIDE):
            (writer, *others) = base.args
            if others or (self.home[id(writer)] is home and not apart(writer, value)):
                return False
            if base.detail is None or self.home[id(writer)] is not home:
                return True
            base = base.detail
        return False

    def _open(self, value: Value, earliest: int) -> Cluster:
        clusters = self._by_domain.setdefault(value.domain, [])
        first = bisect_left(clusters, earliest, key=lambda c: c.position)
        last = clusters[-1:] if len(clusters) > first + 8 else []  # where the others are full
        for cluster in (*clusters[first : first + 8], *last):
            if cluster.cost < self.largest and cluster.takes(value):
                return cluster
        made = Cluster(len(self.steps), value.domain)
        self.steps.append(made)
        clusters.append(made)
        return made

    def _append_call(self, value: Value) -> None:
        step = Call(len(self.steps), value)
        self.steps.append(step)
        self.home[id(value)] = step

    # ------------------------------------------------ what is written to memory

    def _decide(self, kept: list[Value]) -> None:
        """Store what another step needs, unless it is cheaper to compute it there again."""
        wanted = {id(source(v)) for v in kept}
        others: dict[int, list[Cluster]] = {}  # by value the other clusters that need it
        for value in self.live:
            if value.op == "gather":
                wanted.add(id(source(value.args[0])))
            if value.kind == CONTRACT or value.op in ("scan", "place"):
                self.stored.add(id(value))
            if value.kind in (CALL, CONTRACT, PICK, RESHAPED):
                wanted.update(id(source(a)) for a in value.args)
            elif value.kind in (MAP, REDUCE):
                here = self.home[id(value)]
                for base, rows in reads(value):
                    home = self.home.get(id(base))
                    if self._in_loop(value, base, rows):
                        if home is not here:
                            others.setdefault(id(base), []).append(here)
                    else:
                        others.setdefault(id(base), []).append(NOWHERE)
        for value in self.live:
            if value.kind not in (MAP, REDUCE):
                continue
            if id(value) in wanted:
                self.stored.add(id(value))
            else:
                again = self._again[id(value)] = self._repeated(value)
                if id(value) in others and not (again and self._saves(again[1], others[id(value)])):
                    self.stored.add(id(value))
                    self._again[id(value)] = None

    def _repeated(self, value: Value) -> tuple[int, frozenset[int]] | None:
        """What repeating a value takes: operations in a row, and large arrays that are read.

        None if it is to be loaded: if it is not a single instruction, or after too many of them.
        """
        if value.kind != MAP or value.op == "pack" or cost_of(value.op, value.dtype) > 1:
            return None
        depth = 1
        large: frozenset[int] = frozenset()
        innermost = len(value.domain) - 1
        for base, rows in reads(value):
            if base.kind in (MAP, REDUCE) and id(base) not in self.stored:
                below = self._again.get(id(base))
                if below is None:
                    return None
                # What the innermost loop does not move along is computed before it.
                still = rows is not None and not any(
                    loop == innermost for _, terms in rows for loop, _ in terms
                )
                depth = max(depth, 1 + (0 if still and innermost > 0 else below[0]))
                large |= below[1]
            elif base.size >= value.size > 1:
                large |= {id(base)}
        return (depth, large) if depth <= DEEPEST else None

    def _saves(self, large: frozenset[int], users: list[Cluster]) -> bool:
        """Whether to repeat a value that reads these arrays, rather than to store and load it.

        Storing costs about two loads (memory is read before it is written), and each user loads
        the result. Repeating costs loads of the arrays that a user does not load anyway.
        """
        extra = sum(len(large - self._loads(user)) for user in users)
        return extra <= len(users) + 2

    def _loads(self, cluster: Cluster) -> frozenset[int]:
        """The arrays that a cluster reads entry by entry."""
        found = self._loaded.get(id(cluster))
        if found is None:
            found = self._loaded[id(cluster)] = frozenset(
                id(base)
                for value in cluster.members
                for base, rows in reads(value)
                if base.domain == cluster.domain and rows == identity(base.shape)
            )
        return found

    def needed(self, cluster: Cluster) -> list[tuple[Value, Map | None]]:
        """The results of other steps that a cluster reads, by its loops; not what it repeats."""
        found = []
        waiting = [pair for value in cluster.members for pair in reads(value)]
        seen: set[tuple[int, Map | None]] = set()
        while waiting:
            base, rows = waiting.pop()
            home = self.home.get(id(source(base)))
            if home is None or home is cluster or (id(base), rows) in seen:
                continue
            seen.add((id(base), rows))
            if base.kind == MAP and id(base) not in self.stored and rows is not None:
                loops = tuple([row for row, d in zip(rows, base.shape, strict=True) if d != 1])
                waiting.extend([(b, r if r is None else compose(r, loops)) for b, r in reads(base)])
            else:
                found.append((base, rows))
        return found

    def makers(self, value: Value) -> list[Any]:
        """The steps that make what stands in memory behind a value."""
        base = source(value)
        parts = base.args if base.kind == FILLED else (base,)
        return [self.home[id(p)] for p in parts if id(p) in self.home]

    def is_readable(self, value: Value) -> bool:
        """Whether the value stands in memory."""
        return value.kind in (GIVEN, CALL, PICK, RESHAPED, FILLED) or id(value) in self.stored


def reduced_loops(value: Value) -> frozenset[int]:
    """The loops that a reduction is over."""
    loops = [i for i, d in enumerate(value.args[0].shape) if d != 1]
    return frozenset(loops.index(a) for a in value.detail)


def needed_values(order: Sequence[Value], kept: Sequence[Value]) -> list[Value]:
    """The values on which those that are kept depend, in order."""
    needed: set[int] = set()
    stack = list(kept)
    while stack:
        value = stack.pop()
        if id(value) not in needed:
            needed.add(id(value))
            stack.extend(value.args)
    return [v for v in order if id(v) in needed]
