"""Containers of all kinds, and trees of them."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, defaultdict, deque, namedtuple
from typing import NamedTuple

from hypothesis import strategies as st

import chainrule as cr
from chainrule import tree

Point = namedtuple("Point", "x y")


class Step(NamedTuple):
    size: object
    rest: object = None


@dataclasses.dataclass
class Layer:
    weight: object
    bias: object = None
    name: str = dataclasses.field(default="layer", metadata={"static": True})


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    a: object
    b: object


@dataclasses.dataclass
class Box:
    width: object
    height: object
    area: object = dataclasses.field(init=False)
    uses: int = dataclasses.field(init=False, default=0)

    def __post_init__(self):
        self.area = self.width * self.height


class Pair:
    def __init__(self, left, right, label="pair"):
        self.left, self.right, self.label = left, right, label


tree.register(
    Pair,
    lambda p: ((p.left, p.right), p.label),
    lambda children, label: Pair(*children, label),
    names=lambda label: ("left", "right"),
)


TREES = [
    1.0,
    None,
    (),
    [],
    {},
    (1, 2),
    [1, (2, [3, None], {})],
    {"b": 1, "a": {"z": [2], 3: (4,)}},
    OrderedDict([("b", 1), ("a", 2)]),
    defaultdict(list, {"a": 1, "b": [2]}),
    deque([1, [2]], maxlen=5),
    Point(1, [2, 3]),
    Step(1),
    Layer(1, [2, 3], name="first"),
    Frozen(1, {"a": 2}),
    {1: 1, "one": 2, (1, 2): 3, None: 4, 1.5: 5},
    cr.return_types.max(1, 2),
]


trees = st.recursive(
    st.integers() | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=2) | st.integers(), inner, max_size=3)
        | st.builds(Point, inner, inner)
        | st.builds(Layer, inner, inner, st.text(max_size=1))
    ),
    max_leaves=12,
)
