"""What a function reads around itself: when it changes, so does the result."""

from __future__ import annotations

import functools
import types

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import chainrule as cr
from chainrule.just_in_time import jit
from tests.just_in_time.scenarios import X, batch, check, tensor

nn = cr.nn
SCENARIOS = []


def scenario(f):
    SCENARIOS.append(f)
    return f


@pytest.mark.parametrize("steps", SCENARIOS, ids=lambda f: f.__name__)
def test_scenario(steps):
    check(steps)


def changed(f, *changes):
    """Results before and after each of some changes."""
    found = [f(tensor())]
    for change in changes:
        change()
        found.append(f(tensor()))
    return found


def setter(target, name, *values):
    return [functools.partial(setattr, target, name, v) for v in values]


class Plain:
    """An object with whatever attributes it is given."""

    def __init__(self, **fields):
        self.__dict__.update(fields)


@scenario
def default_values(w):
    def f(x, table=tensor(), scale=2.0, *, shift=1):  # noqa: B008
        return x * table * scale + shift

    return changed(
        w(f),
        *setter(f, "__defaults__", (tensor() * 2, 2.0), (tensor(), 5.0)),
        *setter(f, "__kwdefaults__", {"shift": 7}),
    )


@scenario
def a_default_that_is_a_list(w):
    def f(x, scale=[1.0]):  # noqa: B006
        return x * scale[0]

    return changed(w(f), lambda: f.__defaults__[0].__setitem__(0, 4.0))


class Steps:
    factor = 2.0

    def __init__(self):
        self.scale = 3.0
        self.inner = Plain(value=1.0, table=np.ones(5))

    def step(self, x):
        return self.scaled(x) * self.shift + self.inner.value * self.inner.table

    def scaled(self, x):
        return x * self.scale * self.factor

    @property
    def shift(self):
        return self.hidden

    hidden = 1.0

    @classmethod
    def of_class(cls, x):
        return x * cls.factor

    def __call__(self, x):
        return self.step(x)


@pytest.mark.parametrize("get", [lambda s: s.step, lambda s: s, lambda s: lambda x: s.step(x)],
                         ids=["bound method", "callable object", "closure"])  # fmt: skip
def test_attributes_of_an_object(get):
    def steps(w):
        s = Steps()
        s.__class__ = type("Own", (Steps,), dict(Steps.__dict__))
        return changed(
            w(get(s)),
            *setter(s, "scale", 4.0, np.float32(2), cr.tensor(2.0)),
            *setter(s.inner, "value", 5.0, -0.0, 0.0),
            *setter(s.inner, "table", np.arange(5.0)),
            *setter(s, "inner", Plain(value=2, table=X)),
            *setter(type(s), "factor", 7.0),
            *setter(s, "factor", 8.0),  # from now on it hides that of the class
            *setter(type(s), "hidden", 9.0),
            *setter(type(s), "scaled", lambda self, x: x - self.scale),
        )

    check(steps)


@scenario
def a_class_method(w):
    own = type("Own", (Steps,), dict(Steps.__dict__))
    return changed(w(own.of_class), *setter(own, "factor", 5.0))


@scenario
def slots(w):
    class Small:
        __slots__ = ("scale",)

    small = Small()
    small.scale = 2.0
    return changed(w(lambda x: x * small.scale), *setter(small, "scale", 3.0, [4.0][0]))


@scenario
def names_in_strings(w):
    s = Plain(scale=2.0)
    return changed(w(lambda x: x * getattr(s, "scale")), *setter(s, "scale", 3.0))  # noqa: B009


@scenario
def partials(w):
    scales, table = [2.0], tensor()
    f = functools.partial(lambda a, t, x, k: x * a[0] * t * k, scales, table, k={"a": 1.0}["a"])
    return changed(w(f), lambda: scales.__setitem__(0, 7.0), lambda: table.mul_(2))


@scenario
def containers(w):
    deep = {"a": [{"b": (1.0, [2.0])}], "s": {1, 2}}
    f = w(lambda x: x * deep["a"][0]["b"][1][0] + len(deep["s"]))
    return changed(
        f,
        lambda: deep["a"][0]["b"][1].__setitem__(0, 5.0),
        lambda: deep["s"].add(3),
        lambda: deep["a"].insert(0, {"b": (1, [9.0])}),
    )


@scenario
def helpers_of_helpers(w):
    space = types.ModuleType("tools_of_the_user")
    code = "def first(x):\n return second(x) + 1\ndef second(x):\n return x * scale\nscale = 2.0\n"
    exec(code, vars(space))
    f = w(lambda x: space.first(x))
    return changed(
        f,
        *setter(space, "scale", 3.0),
        *setter(space, "second", lambda x: x * 5, lambda x: x * 6, lambda x: x * 7),
        *setter(space, "first", lambda x: x - 1),
    )


@scenario
def functions_as_arguments(w):
    scale = 2.0
    held = [3.0]

    def h(x):
        return x * scale * held[0]

    f = w(lambda x, h: h(x))
    found = [f(tensor(), h)]
    scale = 5.0
    found.append(f(tensor(), h))
    held[0] = 1.0
    found += [f(tensor(), h), f(tensor(), lambda x: x * 9), f(tensor(), h)]
    return found


@scenario
def objects_as_arguments(w):
    s = Plain(inner=Plain(scale=2.0))
    f = w(lambda x, s: x * s.inner.scale)
    found = [f(tensor(), s)]
    s.inner.scale = 5.0
    return [*found, f(tensor(), s), f(tensor(), Plain(inner=Plain(scale=7.0)))]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale, self.options, self.factors = 2.0, {"a": 1.0}, [1.0]
        self.table, self.array = tensor(), X.copy()
        self.register_buffer("kept", tensor())

    def forward(self, x):
        y = x * self.scale * self.options["a"] * self.factors[0] + self.kept
        return y * self.table * cr.tensor(self.array)


@pytest.mark.parametrize("get", [lambda net: net, lambda net: lambda x: net(x) + 0,
                                 lambda net: net.forward])  # fmt: skip
def test_attributes_of_a_module(get):
    def steps(w):
        net = Net()
        return changed(
            w(get(net)),
            *setter(net, "scale", 3.0),
            lambda: net.options.update(a=5.0),
            lambda: net.factors.__setitem__(0, 7.0),
            *setter(net, "table", tensor() * 2),
            lambda: net.table.mul_(3),
            *setter(net, "array", X * 2),
            *setter(net, "kept", tensor() * 4),
        )

    check(steps)


@scenario
def layers_replaced_and_patched(w):
    net = nn.Sequential(nn.ReLU(), nn.ReLU())
    return changed(
        w(lambda x: net(x - 0.5)),
        lambda: net.__setitem__(1, nn.Tanh()),
        lambda: net.append(nn.Sigmoid()),
        *setter(net[0], "forward", lambda x: x * 5),
    )


@scenario
def hooks_of_modules(w):
    net = nn.ReLU()
    f = w(net)
    found = [f(tensor())]
    handle = net.register_forward_hook(lambda module, args, out: out * 10)
    found.append(f(tensor()))
    handle.remove()
    return [*found, f(tensor())]


def network():
    cr.manual_seed(0)
    return nn.Sequential(
        nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4, 2)
    )


@scenario
def settings_of_layers(w):
    net = network()
    f = w(net)
    cr.manual_seed(5)
    found = [f(batch())]
    for change in (
        *setter(net[3], "p", 0.0, 0.9), net[3].eval, net.eval, net.train,
        *setter(net[1], "momentum", 0.9), *setter(net[1], "eps", 1.0),
        lambda: net.load_state_dict({k: v * 2 for k, v in net.state_dict().items()}),
        lambda: net[0].weight.requires_grad_(False), lambda: setattr(net[0], "bias", None),
        lambda: setattr(net[0], "weight", nn.Parameter(cr.ones(4, 3))),
    ):  # fmt: skip
        change()
        found += [f(batch()), f(batch(1))]
    net.zero_grad()
    f(batch()).square().sum().backward()
    return [*found, *net.buffers(), *[p.grad for p in net.parameters()]]


@pytest.mark.parametrize("hold", [lambda net: Plain(net=net), lambda net: {"net": net}])
def test_modules_inside_of_things(hold):
    def steps(w):
        holder = hold(network())
        get = (lambda: holder.net) if isinstance(holder, Plain) else (lambda: holder["net"])
        f = w(lambda x: get()(x).sum())
        cr.manual_seed(5)
        found = [f(batch())]
        get().eval()
        return [*found, f(batch())]

    check(steps)


def test_equal_numbers_and_unrelated_attributes_do_not_record_anew():
    s = Plain(scale=2.0, count=0)
    f = jit(lambda x: x * s.scale)
    for i in range(5):
        s.count = i  # not named by the function
        s.unrelated = object()
        s.scale = 1.0 + float(str(1.0))  # another object, the same number
        np.testing.assert_allclose(f(X), 2 * X)
    assert len(f.signatures) == 1


def test_arguments_that_are_equal_have_one_signature():
    class Settings:
        def __init__(self, scale):
            self.scale = scale

        def __eq__(self, other):
            return self.scale == other.scale

        def __hash__(self):
            return hash(self.scale)

    f = jit(lambda x, s: x * s.scale)
    for scale in (2.0, 2.0, 3.0, 2.0):
        np.testing.assert_allclose(f(X, Settings(scale)), scale * X)
    assert len(f.signatures) == 2


def test_what_the_function_changes_is_left_out_and_nothing_else():
    s = Plain(scale=2.0, count=0, log=[])

    @jit
    def f(x):
        s.count += 1
        s.log.append(s.count)
        return x * s.scale

    for scale in (2.0, 2.0, 3.0, 3.0):
        s.scale = scale
        np.testing.assert_allclose(f(X), scale * X)
    assert len(f.signatures) == 2
    assert s.count == 2


def test_a_new_function_where_an_old_one_stood_is_another_one():
    """Functions that are freed give their place in memory to later ones."""
    space = types.SimpleNamespace()
    f = jit(lambda x: space.helper(x))
    for i in range(30):
        exec(f"def helper(x): return x * {i}", space.__dict__)
        np.testing.assert_allclose(f(X), i * X)


def test_objects_that_hold_themselves_and_those_that_invent_attributes():
    class Inventing:
        def __getattr__(self, name):
            return Inventing()

    s = Plain(scale=2.0, odd=Inventing())
    s.me = s
    s.items = [s, {"s": s}]
    f = jit(lambda x: x * s.me.items[0].scale if s.odd else x)
    np.testing.assert_allclose(f(X), 2 * X)
    s.scale = 3.0
    np.testing.assert_allclose(f(X), 3 * X)
