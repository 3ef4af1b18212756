"""Trees: taking apart, putting together, comparing, and what is built on that."""

from __future__ import annotations

import dataclasses
import pickle
from collections import OrderedDict, defaultdict, deque

import numpy as np
import pytest
from hypothesis import given, settings

import chainrule as cr
from chainrule import tree

from .samples import TREES, Layer, Pair, Point, Step, trees


@pytest.mark.parametrize("value", TREES, ids=repr)
def test_there_and_back(value):
    leaves, spec = tree.flatten(value)
    again = tree.unflatten(spec, leaves)
    assert again == value
    assert type(again) is type(value)
    assert tree.tree_unflatten(leaves, spec) == spec.unflatten(iter(leaves)) == value
    assert spec.num_leaves == len(leaves) == len(spec.paths())
    assert spec.num_nodes == len(spec.node_paths())
    same = tree.structure(tree.map(lambda x: x, value))
    assert same == spec
    assert hash(same) == hash(spec)
    assert pickle.loads(pickle.dumps(spec)) == spec
    tree.check_same(value, again)
    assert tree.broadcast_prefix("x", value) == ["x"] * len(leaves)


@pytest.mark.parametrize("value", [t for t in TREES if not isinstance(t, float)], ids=repr)
def test_children_are_the_structures_of_the_parts(value):
    spec = tree.structure(value)
    parts = tree.flatten(value, is_leaf=lambda x: x is not value)[0]
    assert spec.type is type(value)
    assert spec.children() == [tree.structure(part) for part in parts]
    assert all(child.num_leaves == child.nodes.count(None) for child in spec.children())


@settings(deadline=None)
@given(trees)
def test_any_tree_there_and_back(value):
    leaves, spec = tree.flatten(value)
    assert spec.unflatten(leaves) == value
    numbered = spec.unflatten(range(len(leaves)))
    assert tree.leaves(numbered) == list(range(len(leaves)))
    assert [leaf for _, leaf in tree.paths(value)] == leaves
    for path, leaf in tree.paths(value):
        assert eval(f"value{path}", {"value": value}) is leaf
    tree.check_same(value, numbered)


@settings(deadline=None)
@given(trees, trees)
def test_structures_that_differ_are_told_apart(one, other):
    same = tree.structure(one) == tree.structure(other)
    if not same:
        shuffled = repr(sorted_form(one)) == repr(sorted_form(other))
        if shuffled:
            tree.check_same(one, other)
        else:
            with pytest.raises(ValueError, match="do not have the same structure"):
                tree.check_same(one, other)


def sorted_form(value):
    """The structure in plain tuples, keys sorted."""
    if isinstance(value, dict):
        return "dict", sorted((repr(k), repr(sorted_form(v))) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return type(value), [sorted_form(v) for v in value]
    if isinstance(value, Layer):
        return "layer", value.name, sorted_form(value.weight), sorted_form(value.bias)
    return None if value is None else "*"


def test_agrees_with_jax():
    jax = pytest.importorskip("jax")
    value = {"a": [1, (2, None)], "b": Point(3, OrderedDict(u=4, v=5))}
    assert tree.leaves(value) == jax.tree_util.tree_leaves(value)
    names = [jax.tree_util.keystr(p) for p, _ in jax.tree_util.tree_leaves_with_path(value)]
    assert [path for path, _ in tree.paths(value)] == names
    prefix = {"a": 0, "b": Point(1, 2)}
    assert tree.broadcast_prefix(prefix, value) == [0, 0, 1, 2, 2]


def test_written_form():
    value = {"a": 1, "b": (2, [3]), "c": Point(1, None), "d": Layer(1, (), "x"), "e": Pair(1, 2)}
    assert repr(tree.structure(value)) == (
        "{'a': *, 'b': (*, [*]), 'c': Point(x=*, y=None), "
        "'d': Layer(weight=*, bias=(), name='x'), 'e': Pair(*, *, data='pair')}"
    )
    several = [OrderedDict(a=1), defaultdict(int, a=1), deque([1]), deque([1], 2), (1,), 5]
    assert repr(tree.structure(several)) == (
        "[OrderedDict({'a': *}), defaultdict(int, {'a': *}), deque([*]), deque([*], maxlen=2), "
        "(*,), *]"
    )


def test_paths():
    value = {"a": [Layer(1, {"z": 2})], "p": Point(3, Pair(4, 5)), 0: (6,)}
    assert [path for path, _ in tree.paths(value)] == [
        "['a'][0].weight", "['a'][0].bias['z']", "['p'].x", "['p'].y.left", "['p'].y.right",
        "[0][0]",
    ]  # fmt: skip
    assert tree.paths(5) == [("", 5)]


def test_leaves_are_what_no_container_is():
    class Words(dict):
        pass

    leaves = [cr.ones(2), np.ones(2), 1, 2.0, "text", b"bytes", {1, 2}, cr.Size((1, 2)), Words(a=1)]
    leaves += [np.float32(1), object(), Layer, Point, range(3), cr.nn.Linear(1, 1)]
    assert all(a is b for a, b in zip(tree.leaves(leaves), leaves, strict=True))
    assert tree.structure(cr.ones(2)).is_leaf()
    assert tree.structure(cr.ones(2)).type is None


def test_a_module_is_a_leaf_even_as_a_dataclass():
    @dataclasses.dataclass(eq=False)
    class Net(cr.nn.Module):
        size: int

    assert tree.structure(Net.__new__(Net)).is_leaf()


def test_is_leaf():
    value = {"a": (1, 2), "b": [(3, 4), None]}
    assert tree.leaves(value, is_leaf=lambda x: isinstance(x, tuple)) == [(1, 2), (3, 4)]
    assert tree.leaves(value, is_leaf=lambda x: x is None) == [1, 2, 3, 4, None]
    assert tree.map(len, value, is_leaf=lambda x: isinstance(x, tuple)) == {"a": 2, "b": [2, None]}
    assert tree.leaves((1, 2), is_leaf=lambda x: True) == [(1, 2)]


def test_map_of_several():
    one = {"a": 1, "b": [2, 3]}
    assert tree.map(lambda x, y: x * y, one, {"b": [20, 30], "a": 10}) == {"a": 10, "b": [40, 90]}
    assert list(tree.map(lambda x, y: x, one, {"b": [2, 3], "a": 1})) == ["a", "b"]
    assert tree.map(lambda x, y: y, (1, 2), ([5, 6], {"k": 7})) == ([5, 6], {"k": 7})
    assert tree.map(lambda x, y: x + y, OrderedDict(a=1), {"a": 1}) == OrderedDict(a=2)
    with pytest.raises(ValueError, match=r"at \['b'\] there is a list of length 2 in the first"):
        tree.map(lambda x, y: x, one, {"a": 1, "b": [2]})
    with pytest.raises(ValueError, match=r"but a leaf in tree 3"):
        tree.map(lambda x, y, z: x, one, one, {"a": 1, "b": 2})


def test_folds():
    value = {"a": 1, "b": (2, 0)}
    assert tree.reduce(lambda a, b: a + b, value) == 3
    assert tree.reduce(lambda a, b: a + b, value, 10) == 13
    assert tree.reduce(lambda a, b: a + b, None, 10) == 10
    with pytest.raises(TypeError, match="without leaves; pass an initializer"):
        tree.reduce(lambda a, b: a + b, {})
    assert tree.any(value)
    assert not tree.all(value)
    assert tree.all(())
    assert not tree.any(())


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        ([1, 2], [1], "at the root there is a list of length 2 in one, but a list of length 1 in"),
        ([1, 2], (1, 2), "a list of length 2 in one, but a tuple of length 2 in other"),
        ({"a": [1, 2]}, {"a": 3}, r"at \['a'\] there is a list of length 2 in one, but a leaf in"),
        ({"a": 3}, {"a": None}, r"at \['a'\] there is a leaf in one, but None in other"),
        ({"a": 1, "b": 2}, {"a": 1}, r"the key 'b' in one, but only the keys \['a'\] in other"),
        ({"a": 1}, {"a": 1, "b": 2}, r"only the keys \['a'\] in one, but the key 'b' too in other"),
        ({"a": 1}, {"b": 1}, r"the key 'a' in one, but only the keys \['b'\] in other"),
        ({"a": 1}, [1], r"a dict with the keys \['a'\] in one, but a list of length 1"),
        (Point(1, [2]), Point(1, [2, 3]), r"at \.y there is a list of length 1"),
        (Point(1, 2), Step(1, 2), "Point of 2 children in one, but Step of 2 children"),
        ([Layer(1, 2, "u")], [Layer(1, 2, "v")], r"at \[0\] there is name='u' in one"),
        (Pair(1, 2, "u"), Pair(1, 2, "v"), r"data='u' in one, but data='v' in other"),
        (deque([1], 2), deque([1], 3), "maxlen=2 in one, but maxlen=3 in other"),
        (([1], [2], [3, 4]), ([1], [2, 3], [3]), r"at \[1\] there is a list of length 1"),
    ],
)  # fmt: skip
def test_differences_are_named_by_path(one, other, message):
    with pytest.raises(ValueError, match=message):
        tree.check_same(one, other, "one", "other")
    with pytest.raises(ValueError, match=message):
        tree.check_same(tree.structure(one), tree.structure(other), "one", "other")
    with pytest.raises(ValueError, match=message):
        tree.flatten_as(tree.structure(one), other, "one", "other")


def test_messages_stay_short():
    wide = dict.fromkeys(range(10_000), 1)
    for run in (
        lambda: tree.check_same(wide, {**wide, "more": 1}),
        lambda: tree.check_same(wide, [1]),
        lambda: tree.structure(wide).unflatten([]),
    ):
        with pytest.raises(ValueError, match=r"\.\.\. ") as caught:
            run()
        assert len(str(caught.value)) < 600


def test_flatten_as_orders_by_the_structure():
    spec = tree.structure({"a": 0, "b": [0, 0]})
    assert tree.flatten_as(spec, {"b": [2, 3], "a": 1}) == [1, 2, 3]
    assert tree.subtrees(spec, {"b": [2, (3, 4)], "a": 1}) == [1, 2, (3, 4)]


def test_prefixes():
    full = ({"a": 1, "b": [2, 3]}, None, 4)
    assert tree.broadcast_prefix(0, full) == [0, 0, 0, 0]
    assert tree.broadcast_prefix((0, None, None), full) == [0, 0, 0, None]
    assert tree.broadcast_prefix(({"b": 1, "a": 0}, None, 2), full) == [0, 1, 1, 2]
    assert tree.broadcast_prefix(({"b": [5, 6], "a": 0}, 0, 2), tree.structure(full)) == [
        0,
        5,
        6,
        2,
    ]
    pair = tree.broadcast_prefix(((1, 2), 0, 3), full, is_leaf=lambda x: x == (1, 2))
    assert pair == [(1, 2), (1, 2), (1, 2), 3]
    message = r"at \[0\]\['b'\] there is a list of length 1 in in_dims, but a list of length 2 in x"
    with pytest.raises(ValueError, match=message):
        tree.broadcast_prefix(({"a": 0, "b": [0]}, 0, 0), full, None, "in_dims", "x")
    with pytest.raises(ValueError, match=r"at \[2\] there is a tuple of length 1 in the prefix"):
        tree.broadcast_prefix((0, 0, (0,)), full)


def test_transpose():
    value = [{"a": 1, "b": (2, 3)}, {"b": (5, 6), "a": 4}]
    want = {"a": [1, 4], "b": ([2, 5], [3, 6])}
    assert tree.transpose([0, 0], {"a": 0, "b": (0, 0)}, value) == want
    assert tree.transpose(tree.structure([0, 0]), None, value) == want
    assert tree.transpose([], {"a": 0}, []) == {"a": []}
    with pytest.raises(ValueError, match=r"the part of the tree at \[1\]"):
        tree.transpose([0, 0], None, [{"a": 1}, {"b": 1}])
    with pytest.raises(ValueError, match="a list of length 3 in the outer structure"):
        tree.transpose([0, 0, 0], None, value)


def test_wrong_arguments():
    spec = tree.structure([1, 2])
    with pytest.raises(ValueError, match=r"\[\*, \*\] has 2 leaves, but 1 were given"):
        spec.unflatten([1])
    with pytest.raises(TypeError, match=r"arguments are unflatten\(spec, leaves\)"):
        tree.unflatten([1, 2], spec)
    with pytest.raises(TypeError, match=r"or tree_unflatten\(leaves, spec\)"):
        tree.tree_unflatten(spec, [1, 2])
