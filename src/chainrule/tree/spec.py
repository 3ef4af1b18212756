"""The structure of a tree, and the two walks that everything else is made of.

A structure is stored flat, as the list of its nodes in preorder.  So comparing, hashing and
rebuilding are loops, and a tree may be deeper than Python's recursion limit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from chainrule.tree.nodes import KINDS, TUPLE, Static

IsLeaf = Callable[[Any], bool] | None
Entry = Any  # None for a leaf, otherwise (kind, data, number of children)


class Spec:
    """The structure of a tree: its containers and keys, with `*` where the leaves go.

    Structures are equal if they have the same containers, keys (in the same order) and static
    data; they can be hashed and pickled.

    >>> import chainrule as cr
    >>> cr.tree.structure({"a": 1.0, "b": (2.0, [3.0])})
    {'a': *, 'b': (*, [*])}
    """

    __slots__ = ("_hash", "nodes", "num_leaves")

    nodes: tuple[Entry, ...]
    num_leaves: int
    _hash: int | None

    def __init__(self, nodes: Iterable[Entry], num_leaves: int) -> None:
        self.nodes = tuple(nodes)
        self.num_leaves = num_leaves
        self._hash = None

    @property
    def num_nodes(self) -> int:
        """The number of containers and leaves together."""
        return len(self.nodes)

    @property
    def type(self) -> type | None:
        """The type of the outermost container, None for a leaf."""
        return None if self.nodes[0] is None else self.nodes[0][0].cls

    def is_leaf(self) -> bool:
        """Whether the whole tree is one leaf."""
        return self.nodes[0] is None

    def unflatten(self, leaves: Iterable[Any]) -> Any:
        """The tree of this structure with these leaves.

        Raises:
            ValueError: if their number is not `num_leaves`.
        """
        leaves = leaves if type(leaves) is list else list(leaves)
        if len(leaves) != self.num_leaves:
            raise ValueError(
                f"the structure {_short(self)} has {self.num_leaves} leaves, but {len(leaves)} "
                "were given"
            )
        nodes = self.nodes
        first = nodes[0]
        if first is None:
            return leaves[0]
        if first[2] == len(nodes) - 1 == len(leaves):  # a container of leaves
            return first[0].unflatten(leaves, first[1])
        return self.assemble(leaves, lambda kind, data, children: kind.unflatten(children, data))

    def assemble(self, leaves: list[Any], build: Callable[[Any, Any, list[Any]], Any]) -> Any:
        """What `build` makes of each container, from the innermost to the outermost."""
        made: list[Any] = []
        next_leaf = reversed(leaves)
        for entry in reversed(self.nodes):
            if entry is None:
                made.append(next(next_leaf))
                continue
            kind, data, n = entry
            children = made[len(made) - n :][::-1]
            del made[len(made) - n :]
            made.append(build(kind, data, children))
        return made[0]

    def children(self) -> list[Spec]:
        """The structures of the outermost container's children."""
        ends = self.ends()
        parts = [self.nodes[i : ends[i]] for i in self.starts(0, ends)]
        return [Spec(part, part.count(None)) for part in parts]

    def starts(self, i: int, ends: list[int]) -> list[int]:
        """Where the children of the node at `i` begin in `nodes`; `ends` is `self.ends()`."""
        found = []
        at = i + 1
        for _ in range(0 if self.nodes[i] is None else self.nodes[i][2]):
            found.append(at)
            at = ends[at]
        return found

    def ends(self) -> list[int]:
        """For every node where its subtree ends in `nodes`."""
        nodes = self.nodes
        found = [0] * len(nodes)
        open_: list[int] = []  # the ends of the finished subtrees to the right, nearest last
        for i in range(len(nodes) - 1, -1, -1):
            n = 0 if nodes[i] is None else nodes[i][2]
            end = open_[-n] if n else i + 1
            if n:
                del open_[len(open_) - n :]
            found[i] = end
            open_.append(end)
        return found

    def node_paths(self) -> list[str]:
        """The path of every node in preorder; the root's is empty."""
        found = []
        pending = [""]
        for entry in self.nodes:
            path = pending.pop()
            found.append(path)
            if entry is not None:
                kind, data, n = entry
                pending += [path + key for key in reversed(kind.keys(data, n))]
        return found

    def paths(self) -> list[str]:
        """The path of every leaf, such as `['a'][0].weight`."""
        every = zip(self.node_paths(), self.nodes, strict=True)
        return [path for path, entry in every if entry is None]

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return self.nodes == other.nodes if isinstance(other, Spec) else NotImplemented

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(self.nodes)
        return self._hash

    def __repr__(self) -> str:
        text: str = self.assemble(
            ["*"] * self.num_leaves, lambda kind, data, children: kind.show(data, children)
        )
        return text

    def __reduce__(self) -> tuple[Any, ...]:
        return Spec, (self.nodes, self.num_leaves)


LEAF_SPEC = Spec((None,), 1)
_FLAT_TUPLES: dict[int, Spec] = {}


def flat_tuple(n: int) -> Spec:
    """The structure of a tuple of n leaves."""
    found = _FLAT_TUPLES.get(n)
    if found is None:
        found = Spec(((TUPLE, None, n), *(None,) * n), n)
        if n <= 64:
            _FLAT_TUPLES[n] = found
    return found


def flatten(tree: Any, is_leaf: IsLeaf = None) -> tuple[list[Any], Spec]:
    """The leaves of a tree in order, and its structure.

    Containers are dict, OrderedDict, defaultdict, list, tuple, deque, named tuples, dataclasses,
    None (without leaves) and registered types.  Everything else is a leaf.  A dict is walked in
    its own order.

    Args:
        tree: anything.
        is_leaf: a function that says of a container whether to take it as a leaf.

    Raises:
        ValueError: if a container contains itself.

    >>> import chainrule as cr
    >>> cr.tree.flatten({"a": 1.0, "b": (2.0, None)})
    ([1.0, 2.0], {'a': *, 'b': (*, None)})
    """
    if is_leaf is None:
        if KINDS[type(tree)] is None:
            return [tree], LEAF_SPEC
        if type(tree) is tuple:
            for x in tree:
                if KINDS[type(x)] is not None:
                    break
            else:
                return list(tree), _FLAT_TUPLES.get(len(tree)) or flat_tuple(len(tree))
    return _flatten(tree, is_leaf)


def _flatten(tree: Any, is_leaf: IsLeaf) -> tuple[list[Any], Spec]:
    leaves: list[Any] = []
    nodes: list[Entry] = []
    outer: list[Any] = []  # the children still to come of the containers around this one
    around: list[Any] = []  # those containers
    children = iter((tree,))
    while True:
        for x in children:
            kind = KINDS[type(x)]
            if kind is None or (is_leaf is not None and is_leaf(x)):
                leaves.append(x)
                nodes.append(None)
                continue
            inner, data = kind.flatten(x)
            n = len(inner)
            nodes.append((kind, data, n))
            if n:
                outer.append(children)
                around.append(x)
                depth = len(around)
                if depth >= 256 and depth & (depth - 1) == 0:  # powers of two: linear in total
                    _refuse_cycle(around)
                children = iter(inner)
                break
        else:
            if not outer:
                return leaves, Spec(nodes, len(leaves))
            children = outer.pop()
            around.pop()


def _refuse_cycle(around: list[Any]) -> None:
    """Raise if a container is among the containers around itself."""
    seen: set[int] = set()
    for x in around:
        if id(x) in seen:
            raise ValueError(
                f"a {type(x).__name__} contains itself, so it is not a tree and has no end; "
                "break the cycle, or pass is_leaf to say where to stop"
            )
        seen.add(id(x))


# Comparing structures ---------------------------------------------------------------------------


def order(want: Entry, got: Entry) -> list[int] | None:
    """For each child of `want` its position among the children of `got`; None if they differ."""
    if want is None or got is None:
        return [] if want is got else None
    kind, data, n = want
    other, other_data, m = got
    if n != m:
        return None
    if kind.keyed and other.keyed:
        if tuple(data) == tuple(other_data):
            return list(range(n))
        position = {key: i for i, key in enumerate(other_data)}
        found = [position[key] for key in data if key in position]
        return found if len(found) == n else None
    return list(range(n)) if kind is other and data == other_data else None


def contrast(want: Entry, got: Entry) -> tuple[str, str]:
    """How two nodes differ: what is in the one, and what in the other."""
    if want is not None and got is not None:
        kind, data, _ = want
        other, other_data, _ = got
        if kind.keyed and other.keyed:
            missing = [key for key in data if key not in other_data]
            if missing:
                return f"the key {missing[0]!r}", f"only the keys {_short(list(other_data))}"
            extra = [key for key in other_data if key not in data]
            return f"only the keys {_short(list(data))}", f"the key {extra[0]!r} too"
        if kind is other and isinstance(data, Static) and isinstance(other_data, Static):
            name = data.differs(other_data)
            if name is not None:
                values = (dict(zip(d.names, d.values, strict=True)) for d in (data, other_data))
                a, b = (f"{name}={_short(v[name])}" if name in v else f"no {name}" for v in values)
                return a, b
    return describe(want), describe(got)


def describe(entry: Entry) -> str:
    """A node in words: `a list of length 2`, `a leaf`."""
    if entry is None:
        return "a leaf"
    kind, data, n = entry
    name = kind.cls.__name__
    if kind.cls is type(None):
        return "None"
    if kind.keyed:
        return f"a {name} with the keys {_short(list(data))}"
    return f"a {name} of length {n}" if kind.cls in (list, tuple) else f"{name} of {n} children"


def _short(value: Any) -> str:
    """The written form, cut where a message would become unreadable."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def mismatch(spec: Spec, i: int, got: Entry, what: str, what_got: str) -> ValueError:
    """The error for a tree whose node does not match the node at `i` of a structure."""
    path = spec.node_paths()[i]
    a, b = contrast(spec.nodes[i], got)
    return ValueError(
        f"{what} and {what_got} do not have the same structure: at {path or 'the root'} there is "
        f"{a} in {what}, but {b} in {what_got}"
    )
