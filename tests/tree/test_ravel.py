"""One vector of all leaves, and back."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import tree


def test_there_and_back():
    value = {"w": cr.arange(6.0).reshape(2, 3), "b": [cr.tensor(7.0), np.ones((1, 1))], "n": 2}
    flat, unravel = tree.ravel(value)
    assert flat.dtype == cr.float64
    assert flat.tolist() == [0, 1, 2, 3, 4, 5, 7, 1, 2]
    again = unravel(flat)
    assert again["w"].shape == (2, 3)
    assert again["w"].dtype == cr.float32
    assert again["b"][1].dtype == cr.float64
    assert again["n"].dtype == cr.int64
    assert tree.ravel(again)[0].tolist() == flat.tolist()


def test_each_leaf_keeps_its_dtype():
    value = (cr.tensor([1 + 2j]), cr.tensor([3.0]), cr.tensor([4]), cr.tensor([True]))
    flat, unravel = tree.ravel(value)
    assert flat.dtype == cr.complex64
    for before, after in zip(value, unravel(flat), strict=True):
        assert before.dtype == after.dtype
        assert before.tolist() == after.tolist()
    _, unravel = tree.ravel([cr.ones(2), cr.zeros(1)])
    assert [x.dtype for x in unravel(cr.ones(3, dtype=cr.float64))] == [cr.float64] * 2


def test_differentiable_both_ways():
    value = {
        "a": cr.tensor([1.0, 2.0], dtype=cr.float64, requires_grad=True),
        "b": (cr.tensor([[3.0]], requires_grad=True),),
    }
    flat, unravel = tree.ravel(value)
    (flat * cr.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert value["a"].grad.tolist() == [1, 10]
    assert value["b"][0].grad.tolist() == [[100]]
    assert value["b"][0].grad.dtype == cr.float32
    vector = flat.detach().requires_grad_()
    parts = unravel(vector)
    (parts["a"].prod() * parts["b"][0]).sum().backward()
    assert vector.grad.tolist() == [6, 3, 2]


def test_of_nothing_and_of_one():
    flat, unravel = tree.ravel({"a": None})
    assert flat.shape == (0,)
    assert unravel(flat) == {"a": None}
    flat, unravel = tree.ravel(cr.tensor(3.0))
    assert flat.tolist() == [3]
    assert unravel(flat).shape == ()


def test_errors():
    with pytest.raises(TypeError, match=r"the leaf at \['a'\]\[1\] is a str"):
        tree.ravel({"a": [1.0, "x"]})
    with pytest.raises(TypeError, match="the leaf that is the whole tree is a str"):
        tree.ravel("x")
    _, unravel = tree.ravel([cr.ones(2), cr.ones(1)])
    with pytest.raises(ValueError, match=r"a vector of 3 entries, got a tensor of shape \[2\]"):
        unravel(cr.ones(2))
    with pytest.raises(ValueError, match=r"got a tensor of shape \[3, 1\]"):
        unravel(cr.ones(3, 1))


def test_as_jax():
    flatten_util = pytest.importorskip("jax.flatten_util")
    value = {"b": np.arange(4.0, dtype=np.float32).reshape(2, 2), "c": [np.float32(5)]}
    mine = tree.ravel(value)[0].numpy()
    np.testing.assert_array_equal(mine, flatten_util.ravel_pytree(value)[0])
