"""The short way of a call: who goes it, and that nobody does who should not."""

from collections import OrderedDict, namedtuple

import numpy as np
import pytest

import chainrule as cr
from chainrule import tree

pytest.importorskip("llvmlite")

from chainrule.just_in_time.quick import builder, quick_key, with_shapes

Pair = namedtuple("Pair", "a b")


class Counted:
    """A compiled function, and how many calls went the long way."""

    def __init__(self, f, monkeypatch):
        self.jitted = cr.jit(f)
        self.long = 0
        read = self.jitted._read

        def counted(*given):
            self.long += 1
            return read(*given)

        monkeypatch.setattr(self.jitted, "_read", counted)

    def __call__(self, *args, **kwargs):
        return self.jitted(*args, **kwargs)


@pytest.fixture
def counted(monkeypatch):
    return lambda f: Counted(f, monkeypatch)


def equal(found, wanted):
    assert tree.structure(found) == tree.structure(wanted)
    for a, b in zip(tree.leaves(found), tree.leaves(wanted), strict=True):
        assert type(a) is type(b)
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-14)


def numbers(n, start=0.0):
    return np.arange(n, dtype=float) + start


ARGUMENTS = {
    "an array": (lambda x: x * 2, numbers(3)),
    "a tensor": (lambda x: x * 2, cr.tensor(numbers(3))),
    "a parameter": (lambda x: x * 2, cr.nn.Parameter(cr.tensor(numbers(3)), requires_grad=False)),
    "both": (lambda x, y: (x * y, x), numbers(3), cr.tensor(numbers(3))),
    "a float": (lambda x, k: x * k, numbers(3), 1.5),
    "a dict": (lambda p: {"c": p["a"] + p["b"]}, {"a": numbers(3), "b": numbers(3)}),
    "containers": (lambda p: [{"c": (p[0]["a"] + p[1][0],)}, ()], [{"a": numbers(3)}, (2.0,)]),
    "empty": (lambda x, p, q, r: (x + 1, p, q, r), numbers(3), {}, [], ()),
    "another kind": (lambda p: Pair(p.a + p.b, p.a), Pair(numbers(3), numbers(3))),
    "ordered": (lambda p: OrderedDict(a=p["a"] * 2), OrderedDict(a=numbers(3))),
    "none": (lambda x, y: (x * 2, y), numbers(3), None),
}


@pytest.mark.parametrize("case", ARGUMENTS)
def test_a_second_call_goes_the_short_way(counted, case):
    f, *args = ARGUMENTS[case]
    g = counted(f)
    wanted = cr.jit(f)(*args)
    for _ in range(3):
        equal(g(*args), wanted)
    assert g.long == 1


def test_keywords(counted):
    f = counted(lambda x, y, k=1.0: x * 2 - y * k)
    x, y = numbers(3), numbers(3, 5)
    for _ in range(2):
        equal(f(x, y=y), x * 2 - y)
        equal(f(y=y, x=x), x * 2 - y)
        equal(f(x, y, k=3.0), x * 2 - 3 * y)
        equal(f(x, k=2.0, y=y), x * 2 - 2 * y)
    assert f.long == 4


def test_shapes_and_dtypes_by_turns(counted):
    f = counted(lambda x: x * 2 + 1)
    given = [numbers(3), numbers(4), numbers(3).astype("f"), np.ones((3, 1)), np.array(2.0)]
    for _ in range(3):
        for x in given:
            found = f(x)
            assert found.dtype == x.dtype
            equal(found, np.asarray(x * 2 + 1))
    assert f.long == len(given)


def test_layouts_take_no_other_signature(counted):
    f = counted(lambda x: x * 2 + 1)
    x = np.arange(12.0).reshape(3, 4)
    for y in (x, np.asfortranarray(x), x.repeat(2, 0)[::2], x[::-1]):
        equal(f(y), y * 2 + 1)
    assert f.long == 1
    equal(f(x.T), x.T * 2 + 1)
    swapped = x.astype(x.dtype.newbyteorder())
    equal(f(swapped), x * 2 + 1)
    equal(f(swapped), x * 2 + 1)


def test_containers_are_not_taken_for_others(counted):
    f = counted(lambda *args: sum(k * x for k, x in enumerate(tree.leaves(args), 1)) * len(args))
    x, y, z = numbers(3), numbers(3, 1), numbers(3, 2)
    given = [(x, y, z), ([x, y], z), ([x], y, z), ((x, y), z), ([x, y, z],), ([[x], [y, z]],)]
    given += [({"a": x, "b": y}, z), ({"b": x, "a": y}, z), ({"a": x, "c": y}, z), (x, [], y, z)]
    for _ in range(2):
        for args in given:
            equal(f(*args), (x + 2 * y + 3 * z) * len(args))
    assert f.long == len(given)
    keys = [quick_key(args, {})[0] for args in [*given, (x, None, y, z)]]
    assert len(set(keys)) == len(keys)
    assert quick_key((x, {"y": y}), {})[0] != quick_key((x,), {"y": y})[0]


def test_what_has_no_short_way():
    x = numbers(3)
    for other in (1, True, "text", np.float64(1), np.ma.masked_array(x), 1j, object()):
        assert quick_key((x, other), {}) is None
        assert quick_key((x, [other]), {}) is None
        assert quick_key((x,), {"k": other}) is None


def test_deep_trees(counted):
    f = counted(lambda p: tree.map(lambda x: x * 2, p))
    deep = numbers(2)
    for k in range(100):
        deep = [deep] if k % 2 else {"a": deep}
    for _ in range(2):
        equal(f(deep), tree.map(lambda x: x * 2, deep))
    assert f.long == 1


def test_builders_of_results():
    keys = {"a": 1, "it's": 2, 3: 3, (1, "x"): [4, (5,), ()], None: {}, "b": ([], {"c": (6, 7)})}
    for given in (keys, [keys, keys], (1,), [1], {"x": 1}, (), (1, [2]), Pair(1, [2]), (None, 1)):
        leaves, spec = tree.flatten(given)
        found = builder(spec)(leaves)
        assert found == given
        assert tree.structure(found) == spec
    assert builder(tree.structure(1.0)) is None


# ---------------------------------------------------------------- derivatives


def test_arguments_that_require_grad(counted):
    f = counted(lambda p, x: ((p["w"] * x).sin() * p["b"]).sum())
    x = cr.tensor(numbers(4))
    for k in range(3):
        p = {"w": cr.tensor(numbers(4, k)), "b": cr.tensor(numbers(4, 1))}
        for leaf in p.values():
            leaf.requires_grad_(True)
        found = f(p, x)
        assert found.requires_grad
        found.backward()
        q = {k: v.detach().clone().requires_grad_(True) for k, v in p.items()}
        ((q["w"] * x).sin() * q["b"]).sum().backward()
        for key in p:
            np.testing.assert_allclose(p[key].grad.array, q[key].grad.array, rtol=1e-13)
        with cr.no_grad():
            assert not f(p, x).requires_grad
        p["b"].requires_grad_(False)
        assert f(p, x).requires_grad
        assert not f({k: v.detach() for k, v in p.items()}, x).requires_grad
    assert f.long == 1


def test_second_derivatives_of_the_short_way(counted):
    f = counted(lambda x: (x**3).sum())
    for _ in range(3):
        x = cr.tensor(numbers(3)).requires_grad_(True)
        (slope,) = cr.autograd.grad(f(x), x, create_graph=True)
        (second,) = cr.autograd.grad(slope.sum(), x)
        np.testing.assert_allclose(second.array, 6 * x.detach().array)
    assert f.long == 1


def test_shapes_of_what_requires_grad(counted):
    f = counted(lambda x: x.exp().sum())
    for n in (3, 4, 3, 4):
        x = cr.tensor(numbers(n)).requires_grad_(True)
        f(x).backward()
        np.testing.assert_allclose(x.grad.array, np.exp(numbers(n)))
    assert f.long == 2


def test_parameters_from_outside(counted):
    net = cr.nn.Linear(3, 2)
    f = counted(lambda x: net(x).tanh().sum())
    x = cr.ones(5, 3)
    for k in range(3):
        net.zero_grad()
        f(x).backward()
        found = net.weight.grad.clone()
        net.zero_grad()
        net(x).tanh().sum().backward()
        np.testing.assert_allclose(found.array, net.weight.grad.array, rtol=1e-5)
        with cr.no_grad():
            net.weight.mul_(0.5 + k)
            np.testing.assert_allclose(f(x).array, net(x).tanh().sum().array, rtol=1e-6)
    assert f.long == 1


def test_arrays_with_parameters_that_require_grad(counted):
    """Arrays give arrays, whatever else the function reads."""
    w = cr.tensor(numbers(3)).requires_grad_(True)
    f, eager = counted(lambda x: x * w), cr.jit(lambda x: x * w)
    for _ in range(3):
        found = f(numbers(3))
        assert type(found) is type(eager(numbers(3))) is cr.Tensor
        found.sum().backward()
        np.testing.assert_array_equal(found.detach().array, numbers(3) ** 2)
    np.testing.assert_array_equal(w.grad.array, 3 * numbers(3))
    assert f.long == 1
    with cr.no_grad():
        assert type(f(numbers(3))) is np.ndarray


def test_numbers_made_of_what_requires_grad():
    """Where a gradient could be lost, the call runs eagerly."""
    f = cr.jit(lambda x, y: y * float(x.sum()))
    x, y = cr.ones(2), cr.ones(2)
    assert f(x, y)[0] == 2
    assert f(x, y)[0] == 2
    with pytest.warns(cr.JitWarning, match="numbers of tensors"):
        f(x, y.requires_grad_(True))


def test_boxes_go_the_long_way(counted):
    f = counted(lambda x: x.sin() * 2)
    x = cr.tensor(numbers(3))
    equal(f(x), x.sin() * 2)
    equal(cr.func.vmap(f)(x), x.sin() * 2)
    equal(cr.func.grad(lambda x: f(x).sum())(x), 2 * x.cos())
    equal(cr.func.jvp(f, (x,), (x,))[1], 2 * x.cos() * x)


def test_changed_surroundings(counted):
    table = {"k": 2.0}
    f = counted(lambda x: x * table["k"])
    x = numbers(3)
    for k in (2.0, 3.0, 2.0, 3.0):
        table["k"] = k
        equal(f(x), x * k)
        equal(f(x), x * k)


@pytest.mark.filterwarnings("ignore:jit")
def test_few_signatures_are_kept():
    f = cr.jit(lambda x: x + 1, max_signatures=2)
    for n in (1, 2, 3, 1, 2, 3):
        equal(f(numbers(n)), numbers(n) + 1)
    assert len(f._quick) <= 2


def test_keys_with_shapes():
    x, y = numbers(3), cr.tensor(numbers(4))
    key, leaves = quick_key((x, [y, 2.0]), {})
    assert with_shapes(key, leaves)[-2:] == ((x.shape, x.dtype), ((4,), x.dtype))
