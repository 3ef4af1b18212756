"""Large pictures made small enough to read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial
from itertools import groupby

from chainrule.explaining.picture.merge import Part, contents, flat, inner_nodes, merge
from chainrule.explaining.picture.model import Picture, PictureNode
from chainrule.explaining.picture.repeats import Repeat, repeats
from chainrule.explaining.picture.tree import Level, levels_of, levels_path, phase_of

LIMIT = 300
FEWEST_OF = 25  # a step is not taken where it would leave less than a 25th of the limit


def collapse(
    picture: Picture,
    *,
    groups: int | Iterable[str] | None = None,
    loops: bool = False,
    limit: int | None = LIMIT,
) -> Picture:
    """A picture of at most `limit` nodes that says what it leaves out.

    Args:
        picture: What to make smaller; it stays as it is.
        groups: Which groups become one box each: those nested deeper than this number (0: all),
            or those with these labels; None: as many as the limit asks for, the innermost first.
        loops: Whether what repeats itself three times or more becomes one box ("×11") in any
            case, not only above the limit.
        limit: The most nodes to show, at least 2; None: any number.

    Above the limit these become one box each until the rest fits: groups, repetitions, the
    operations of a source line, chains, inputs with the same readers.  If that does not suffice,
    the part nearest to the outputs is shown, with a box for what comes before it.  Raises
    `ValueError` for a limit below 2, a negative depth, or a label that no group has.

    >>> from chainrule.explaining.picture import Picture, PictureNode, collapse
    >>> nodes = [PictureNode(f"n{i}", f"step {i}", group=("warm-up",)) for i in range(12)]
    >>> collapse(Picture(nodes, []), groups=0).nodes[0].title
    'warm-up: 12 operations'
    """
    if limit is not None and limit < 2:
        raise ValueError(f"limit must be at least 2, not {limit}")
    whole = picture
    if groups is not None:
        picture = _asked(picture, groups)
    if loops:
        picture = _repeated(_repeated_groups(picture, whole), whole)
    if limit is None:
        return picture
    depth = max((len(node.group) for node in picture.nodes), default=0)
    fold = partial(_repeated, whole=whole)
    steps: list[Callable[[Picture], Picture]] = [
        *(partial(_deeper_than, depth=d) for d in reversed(range(depth))),
        fold,
        _by_line,
        fold,
        _chains,
        _alike_sources,
    ]
    for step in steps:
        if len(picture.nodes) <= limit:
            return picture
        smaller = step(picture)
        # A box or two in the place of hundreds say too little, unless they say what is alike.
        if len(smaller.nodes) * FEWEST_OF >= limit or step in (fold, _alike_sources):
            picture = smaller
    return picture if len(picture.nodes) <= limit else _nearest(picture, limit)


def _asked(picture: Picture, groups: int | Iterable[str]) -> Picture:
    if isinstance(groups, int):
        if groups < 0:
            raise ValueError(f"groups must be 0 or more, not {groups}")
        return _close(picture, lambda level: len(levels_path(level)) - 1 > groups)
    wanted = {groups} if isinstance(groups, str) else set(groups)
    known = {label for node in picture.nodes for label in node.group}
    if wanted - known:
        missing = ", ".join(sorted(map(repr, wanted - known)))
        have = ", ".join(sorted(map(repr, known))) or "none"
        raise ValueError(f"no group is called {missing}; the groups are: {have}")
    return _close(picture, lambda level: level.label in wanted)


def _deeper_than(picture: Picture, depth: int) -> Picture:
    return _close(picture, lambda level: len(levels_path(level)) - 1 > depth)


def _close(picture: Picture, chosen: Callable[[Level], bool]) -> Picture:
    """Makes one box of every chosen group that is in no other chosen one."""
    root, _ = levels_of(picture)
    nodes = {node.id: node for node in picture.nodes}
    parts = []
    waiting = [root]
    while waiting:
        level = waiting.pop()
        if level is not root and chosen(level):
            members = [nodes[i] for i in level.ids()]
            path = tuple(outer.label for outer in levels_path(level)[1:-1])
            parts.append(Part(members, f"{level.label}: {contents(members)}", path))
        else:
            waiting += [child for child in level.children if isinstance(child, Level)]
    return merge(picture, parts)


def _repeated(picture: Picture, whole: Picture) -> Picture:
    """Folds what follows itself three times or more."""
    return _folded(picture, repeats(picture, whole))


def _repeated_groups(picture: Picture, whole: Picture) -> Picture:
    """Folds groups that follow each other and look alike, open ones too, the outermost first."""
    for depth in range(max((len(node.group) for node in picture.nodes), default=0)):
        runs = repeats(_deeper_than(picture, depth), whole)
        picture = _folded(picture, [run for run in runs if all(n.members for n in run.nodes)])
    return picture


def _folded(picture: Picture, runs: list[Repeat]) -> Picture:
    """Makes one box of each repetition; `picture` may show what is inside of its nodes."""
    owner = {i: k for k, run in enumerate(runs) for node in run.nodes for i in flat(node)}
    members: list[list[PictureNode]] = [[] for _ in runs]
    for node in picture.nodes:
        if (k := owner.get(flat(node)[0])) is not None:
            members[k].append(node)
    parts = []
    for run, inside in zip(runs, members, strict=True):
        names = {re.sub(r"[\s#._]*\d*$", "", n.title.rpartition(": ")[0]) for n in run.nodes}
        name = names.pop() if len(names) == 1 and len(run.nodes) == run.times else ""
        title = f"{name or 'repeated'} ×{run.times}: {contents(inside)}"
        parts.append(Part(inside, title, run.nodes[0].group))
    return merge(picture, parts)


def _by_line(picture: Picture) -> Picture:
    """Makes one box of operations that follow each other and come from one source line."""
    parts = []
    for (line, group, _), run in groupby(
        inner_nodes(picture), key=lambda n: (n.line("line"), n.group, phase_of(n))
    ):
        members = list(run)
        if line and len(members) > 1:
            parts.append(Part(members, f"{line}: {contents(members)}", group))
    return merge(picture, parts)


def _chains(picture: Picture) -> Picture:
    """Makes one box of operations each of which reads only the one before, which nobody else
    reads.  Joining along such an edge can't make a cycle: no other path leaves or enters."""
    inner = inner_nodes(picture)
    known = {node.id for node in inner}
    after: dict[str, set[str]] = {}
    before: dict[str, set[str]] = {}
    for edge in picture.edges:
        after.setdefault(edge.source, set()).add(edge.target)
        if edge.source in known:
            before.setdefault(edge.target, set()).add(edge.source)
    chains: dict[str, list[PictureNode]] = {}
    for node in inner:
        chain = [node]
        if len(sources := before.get(node.id, set())) == 1:
            (upper,) = sources
            last = chains[upper][-1]
            alike = (last.group, phase_of(last)) == (node.group, phase_of(node))
            if len(after[upper]) == 1 and last.kind != "output" and alike:
                chain = chains[upper]
                chain.append(node)
        chains[node.id] = chain
    distinct = {id(chain): chain for chain in chains.values() if len(chain) > 1}
    parts = [
        Part(chain, f"{contents(chain)} in a row", chain[0].group) for chain in distinct.values()
    ]
    return merge(picture, parts)


def _alike_sources(picture: Picture) -> Picture:
    """Makes one box of the inputs, or constants, that have the same readers."""
    readers: dict[str, set[str]] = {}
    for edge in picture.edges:
        readers.setdefault(edge.source, set()).add(edge.target)
    inner = {node.id for node in inner_nodes(picture)}
    alike: dict[tuple[frozenset[str], str, tuple[str, ...]], list[PictureNode]] = {}
    for node in picture.nodes:
        if node.id not in inner:
            key = (frozenset(readers.get(node.id, ())), node.kind, node.group)
            alike.setdefault(key, []).append(node)
    parts = [
        Part(members, contents(members), key[2])
        for key, members in alike.items()
        if len(members) > 1
    ]
    return merge(picture, parts)


def _nearest(picture: Picture, limit: int) -> Picture:
    """The part nearest to the outputs.  Near means: by the longest path.  So nothing that is
    shown is read by something that is not, and the rest can be one box in front."""
    height = dict.fromkeys((node.id for node in picture.nodes), 0)
    below: dict[str, list[str]] = {}
    for edge in picture.edges:
        below.setdefault(edge.source, []).append(edge.target)
    for node in reversed(picture.nodes):
        height[node.id] = 1 + max((height[i] for i in below.get(node.id, ())), default=-1)
    late = {node.id: -k for k, node in enumerate(picture.nodes)}
    near = sorted(picture.nodes, key=lambda n: (height[n.id], late[n.id]))
    shown = {node.id for node in near[: limit - 1]}
    rest = [node for node in picture.nodes if node.id not in shown]
    return merge(picture, [Part(rest, f"… and {contents(rest)} before this", ())])
