"""Trees: dataclasses, registered types, and the limits of depth and cost."""

from __future__ import annotations

import dataclasses
import gc
import sys
import timeit
import weakref

import numpy as np
import pytest

import chainrule as cr
from chainrule import tree
from chainrule.tree.nodes import KINDS

from .samples import Box, Layer, Pair

# Dataclasses and registered types -----------------------------------------------------------------


def test_dataclass_fields():
    value = Layer(cr.ones(1), name="u")
    doubled = tree.map(lambda x: 2 * x, value)
    assert doubled.weight.item() == 2
    assert doubled.name == "u"
    assert doubled.bias is None
    assert tree.structure(Layer(1, 2, "u")) != tree.structure(Layer(1, 2, "v"))


def test_a_derived_tensor_is_computed_again():
    box = Box(cr.tensor(2.0), cr.tensor(3.0))
    box.uses = 7
    leaves, spec = tree.flatten(box)
    assert len(leaves) == 2
    bigger = spec.unflatten([10 * x for x in leaves])
    assert bigger.area.item() == 600
    assert bigger.uses == 7
    w = cr.tensor(2.0, requires_grad=True)
    spec.unflatten([w, leaves[1]]).area.backward()
    assert w.grad.item() == 3


def test_derived_numbers_are_computed_again_and_not_compared():
    box = Box(2.0, 3.0)
    assert tree.map(lambda x: 10 * x, box).area == 600
    tree.check_same(box, Box(1.0, 5.0))
    assert tree.structure(box) == tree.structure(Box(cr.ones(2), 0))
    assert repr(tree.structure(box)) == "Box(width=*, height=*)"
    assert tree.broadcast_prefix(Box(0, 1), Box(cr.ones(2), 3)) == [0, 1]


def test_a_cache_is_empty_again():
    @dataclasses.dataclass(slots=True)
    class Caching:
        w: object
        cache: object = dataclasses.field(default=None, init=False)
        seen: list = dataclasses.field(default_factory=list, init=False)

        def __post_init__(self):
            assert self.cache is None
            assert self.seen == []

    value = Caching(cr.tensor(2.0))
    value.cache = value.w**2
    value.seen.append(value.w)
    again = tree.map(lambda x: x + 1, value)
    assert again == Caching(again.w)


def test_a_derived_tensor_that_cannot_be_computed_again():
    @dataclasses.dataclass
    class Loose:
        a: object
        cache: object = dataclasses.field(init=False)

    @dataclasses.dataclass
    class Scaled:
        a: object
        factor: dataclasses.InitVar[float]
        b: object = dataclasses.field(init=False)

        def __post_init__(self, factor):
            self.b = self.a * factor

    value = Loose(1)
    assert tree.map(lambda x: x + 1, value).a == 2
    value.cache = cr.ones(1)
    for broken in (value, Scaled(cr.ones(1), 3.0)):
        with pytest.raises(
            TypeError, match=r"holds a tensor or number, but is not a field of __init__"
        ):
            tree.flatten(broken)
    with pytest.raises(TypeError, match="the field 'b' of Scaled holds a tensor or number"):
        tree.flatten(Scaled(1, 3.0))  # 3.0 follows from 1, and may not stay what it is
    assert tree.map(lambda x: x + 1, Scaled(1, 3)).b == 3


def test_a_field_with_a_default_is_structure_until_a_number_is_put_there():
    @dataclasses.dataclass
    class Caching:
        w: object
        scale: float = dataclasses.field(default=0.5, init=False)
        cache: object = dataclasses.field(default=None, init=False)

    value = Caching(2.0)
    assert repr(tree.structure(value)) == "Caching(w=*, scale=0.5, cache=None)"
    assert tree.map(lambda x: x + 1, value).scale == 0.5
    value.cache = value.w**2
    with pytest.raises(TypeError, match="the field 'cache' of Caching holds a tensor or number"):
        tree.flatten(value)


def test_static_values_need_no_hash():
    @dataclasses.dataclass
    class Fixed:
        a: object
        grid: object = dataclasses.field(metadata={"static": True})

    one, same, other = (Fixed(1, np.array(g)) for g in ([1, 2], [1, 2], [1, 3]))
    assert tree.structure(one) == tree.structure(same)
    assert hash(tree.structure(one)) == hash(tree.structure(same))
    assert tree.structure(one) != tree.structure(other)
    assert tree.structure(Fixed(1, [1])) != tree.structure(Fixed(1, [2]))
    assert tree.structure(Fixed(1, 1)) != tree.structure(Fixed(1, True))
    t = cr.ones(2)
    assert tree.structure(Fixed(1, t)) == tree.structure(Fixed(1, t))
    assert tree.structure(Fixed(1, t)) != tree.structure(Fixed(1, cr.ones(2)))


def test_registered_types():
    value = tree.map(lambda x: x + 1, Pair(1, [2, 3], "label"))
    assert (value.left, value.right, value.label) == (2, [3, 4], "label")

    class Child(Pair):
        pass

    child = Child(1, 2)
    assert tree.leaves([child])[0] is child


def test_registering_is_checked():
    class Odd:
        pass

    with pytest.raises(ValueError, match="already registered"):
        tree.register(Pair, lambda p: ((), None), lambda c, d: None)
    with pytest.raises(ValueError, match="already registered"):
        tree.register(dict, lambda p: ((), None), lambda c, d: None)
    with pytest.raises(ValueError, match="always a leaf"):
        tree.register(cr.nn.Parameter, lambda p: ((), None), lambda c, d: None)
    with pytest.raises(TypeError, match="takes a class first"):
        tree.register(3, lambda p: ((), None), lambda c, d: None)
    with pytest.raises(TypeError, match="unflatten must be a function"):
        tree.register(Odd, lambda p: ((), None), None)
    with pytest.raises(TypeError, match="unexpected keyword argument 'nonsense'"):
        tree.register(Odd, lambda p: ((), None), lambda c, d: None, nonsense=1)
    assert tree.leaves(Odd)[0] is Odd

    class Misnamed:
        pass

    tree.register(Misnamed, lambda p: ((1, 2), None), lambda c, d: None, names=lambda d: ["one"])
    with pytest.raises(ValueError, match="children of Misnamed gave 1 names for 2 children"):
        tree.paths(Misnamed())
    odd = Odd()
    assert tree.leaves(odd) == [odd]
    tree.register_pytree_node(Odd, lambda p: 3, lambda c, d: None, serialized_type_name="Odd")
    with pytest.raises(TypeError, match=r"must return \(children, data\), got int"):
        tree.flatten(odd)


# Depth, cycles, speed, lifetime -------------------------------------------------------------------


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


def test_deeper_than_the_recursion_limit():
    depth = 10_000
    assert depth > sys.getrecursionlimit()
    value = nested(depth)
    leaves, spec = tree.flatten(value)
    assert leaves == [1]
    assert spec == tree.structure(nested(depth))
    assert hash(spec) == hash(tree.structure(nested(depth)))
    assert len(repr(spec)) == 2 * depth + 1
    assert spec.paths() == ["[0]" * depth]
    again = tree.map(lambda x, y: x + y, value, nested(depth))
    tree.check_same(again, value)
    assert tree.leaves(again) == [2]
    assert tree.broadcast_prefix([0], value) == [0]
    with pytest.raises(ValueError, match="there is a leaf in the first tree"):
        tree.check_same(value, nested(depth + 1))


@pytest.mark.parametrize("length", [1, 2, 300, 1000])
def test_a_cycle_is_an_error(length):
    first = []
    last = first
    for i in range(length - 1):
        last = [last] if i % 2 else {"a": last}
    first.append(last)
    for run in (tree.flatten, tree.leaves, lambda x: tree.map(abs, x)):
        with pytest.raises(ValueError, match="contains itself, so it is not a tree"):
            run(first)
    branching = {}
    branching.update(a=branching, b=branching)
    with pytest.raises(ValueError, match="a dict contains itself"):
        tree.flatten(branching)


def test_a_value_used_twice_is_no_cycle():
    shared = [1, 2]
    assert tree.leaves([shared, shared]) == [1, 2, 1, 2]


def test_common_trees_are_nearly_free():
    x = cr.ones(2)

    def best(value):
        return min(timeit.repeat(lambda: tree.flatten(value), number=2000, repeat=7)) / 2000

    assert best(x) < 1e-6
    assert best((x, x, x)) < 1.5e-6


def test_classes_made_in_a_loop_are_not_kept(monkeypatch):
    monkeypatch.setattr(type(KINDS), "limit", len(KINDS) + 5)
    made = []
    for i in range(10):
        cls = type(f"Made{i}", (), {})
        tree.flatten(cls())
        made.append(weakref.ref(cls))
        del cls
    gc.collect()
    assert made[0]() is None
    assert tree.leaves([Pair(1, 2)]) == [1, 2]
