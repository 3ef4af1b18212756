"""Containers of two values, functions of them, and their derivatives by differences."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, defaultdict, namedtuple

import numpy as np
import pytest

import chainrule as cr
from chainrule import tree

Point = namedtuple("Point", "x y")


@dataclasses.dataclass
class Weights:
    a: object
    b: object
    name: str = dataclasses.field(default="w", metadata={"static": True})


@dataclasses.dataclass
class Rectangle:
    """The area follows from the sides: its derivative must not be lost."""

    width: object
    height: object
    area: object = dataclasses.field(init=False)

    def __post_init__(self):
        self.area = self.width * self.height


class Pair:
    def __init__(self, left, right):
        self.left, self.right = left, right


tree.register(Pair, lambda p: ((p.left, p.right), None), lambda c, _: Pair(*c))


# name: (container of two values, the two values of a container)
CONTAINERS = {
    "dict": (lambda a, b: {"a": a, "b": b}, lambda t: (t["a"], t["b"])),
    "dict of mixed keys": (lambda a, b: {1: a, ("x", 2): b}, lambda t: (t[1], t[("x", 2)])),
    "OrderedDict": (lambda a, b: OrderedDict(z=a, a=b), lambda t: (t["z"], t["a"])),
    "defaultdict": (lambda a, b: defaultdict(int, p=a, q=b), lambda t: (t["p"], t["q"])),
    "list": (lambda a, b: [a, b], tuple),
    "tuple": (lambda a, b: (a, b), tuple),
    "namedtuple": (Point, tuple),
    "dataclass": (Weights, lambda t: (t.a, t.b)),
    "registered": (Pair, lambda t: (t.left, t.right)),
    "with None": (lambda a, b: (None, [a, None], {"b": b}), lambda t: (t[1][0], t[2]["b"])),
    "nested": (
        lambda a, b: {"u": [Point(a, ()), Weights(b, None)], "v": {}},
        lambda t: (t["u"][0].x, t["u"][1].a),
    ),
}


every_container = pytest.mark.parametrize("kind", CONTAINERS)


A = np.array([0.3, -0.7])


B = np.array([[1.1, 0.4], [-0.2, 0.9], [0.5, -1.3]])


X = np.concatenate([A, B.reshape(-1)])


def tensors():
    return cr.tensor(A), cr.tensor(B)


def two_outputs(a, b):
    """Of shapes (3,) and (2, 2); both depend on both."""
    return (b @ a).sin() * a[0], a.exp() * b[:2] ** 2


def scalar(a, b):
    u, v = two_outputs(a, b)
    return (u**2).sum() + v.sum() * a[1]


def vector_form(f):
    """A function of two tensors as one of a NumPy vector, to take differences of."""

    def g(x):
        outs = f(cr.tensor(x[:2]), cr.tensor(x[2:].reshape(3, 2)))
        outs = outs if isinstance(outs, tuple) else (outs,)
        return np.concatenate([y.numpy().reshape(-1) for y in outs])

    return g


def differences(f, x, h=1e-6):
    """The Jacobian by central differences."""
    steps = np.eye(x.size) * h
    return np.stack([(f(x + s) - f(x - s)) / (2 * h) for s in steps], axis=-1)


def near(tensor, array, tol=1e-7):
    assert tensor.dtype == cr.float64
    np.testing.assert_allclose(tensor.numpy(), array, rtol=tol, atol=tol)


def boxed(kind):
    """The function from container to container, the inputs in their container, the reader."""
    make, read = CONTAINERS[kind]
    return (lambda t: make(*two_outputs(*read(t)))), make(*tensors()), make, read


J = differences(vector_form(two_outputs), X)


BLOCKS = {
    (i, j): J[rows, :][:, columns].reshape(out + into)
    for i, (rows, out) in enumerate([(slice(0, 3), (3,)), (slice(3, 7), (2, 2))])
    for j, (columns, into) in enumerate([(slice(0, 2), (2,)), (slice(2, 8), (3, 2))])
}
