"""Odd arguments, results, modes and side effects: what the function gives, or a clear error."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import itertools
import random
import threading

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import chainrule as cr
from chainrule.just_in_time import JitWarning, jit
from tests.just_in_time.scenarios import X, batch, check, tensor

nn = cr.nn
SCENARIOS = []
Pair = collections.namedtuple("Pair", "a b")


@dataclasses.dataclass
class Record:
    a: object
    b: object


def scenario(f):
    SCENARIOS.append(f)
    return f


@pytest.mark.filterwarnings("ignore::chainrule.JitWarning")  # those that run eagerly
@pytest.mark.parametrize("steps", SCENARIOS, ids=lambda f: f.__name__)
def test_scenario(steps):
    check(steps)


@scenario
def arguments_of_all_kinds(w):
    f = w(lambda x, k=2.0, *rest, m=3, **more: x * k + m + sum(rest) + sum(more.values()))
    x = tensor()
    return [
        f(x), f(x, 3.0), f(x, 3.0, 1.0, 2), f(x, m=5), f(x, z=1.0, y=x), f(x, y=x, z=1.0), f(x=x)
    ]  # fmt: skip


@scenario
def whole_numbers(w):
    f = w(lambda x, n: x * n + n)
    numbers = (0, 1, 2, 3, 2**40, True, False, -3, 2**62, 5)
    return [f(tensor(), n) for n in numbers]


@scenario
def numbers_beyond_64_bits(w):
    f = w(lambda x, n: x * (n % 7))
    return [f(tensor(), n) for n in (2**70, 2**70 + 1, 3, 2**65, 4, -(2**80))]


@scenario
def numbers_as_indices_and_shapes(w):
    f = w(lambda x, n: (x[n], cr.zeros(n) + 1, x.sum(), ["a", "b", "c", "d"][n]))
    return [f(tensor(), n) for n in (1, 2, 3, 1)]


@scenario
def floats_that_python_looks_at(w):
    table = {0.5: 1.0, 1.5: 3.0}
    f = w(lambda x, a: (x * table[a], f"{a:.2f}"))
    return [f(tensor(), a) for a in (0.5, 1.5)]


@scenario
def slices_types_and_names(w):
    f = w(lambda x, s, d, n: x[s].to(d) if n == "a" else x)
    kinds = itertools.product((slice(0, 2), slice(1, 3)), (cr.float32, cr.float64), "ab")
    return [f(tensor(), *kind) for kind in kinds]


@scenario
def trees(w):
    def f(x, p, d):
        kept = collections.OrderedDict(z=x, a=p.a)
        return Pair(x * 2, None), {"k": [x, 3, "s", True, 1j]}, p, kept, Record(p.b, x - 1), d

    g = w(f)
    found = [g(tensor(), Pair(tensor(), "hello"), {"q": 1, "e": [{}, ()]}) for _ in range(2)]
    return [*found, [type(x).__name__ for x in found[1]]]


@scenario
def results_that_are_no_tensors(w):
    f = w(lambda x: (x, {1, 2}, bytearray(b"ab"), [1, [2]], "text", None))
    found = []
    for _ in range(3):
        y = f(tensor())
        found.append([*y[:1], sorted(y[1]), bytes(y[2]), *y[3:]])
        y[1].add(7)
        y[2].append(99)
        y[3][1].append(9)
    return found


@scenario
def results_inside_of_objects(w):
    class Out:
        pass

    def f(x):
        made = Out()
        made.y = x * 2
        return made

    g = w(f)
    return [g(tensor()).y, g(tensor() * 3).y]


@scenario
def layouts_and_byte_orders(w):
    f = w(lambda x: x * 2 + x.sum(0))
    a = np.random.default_rng(0).normal(size=(6, 6))
    fixed = a.copy()
    fixed.flags.writeable = False

    class Sub(np.ndarray):
        pass

    kinds = (a.T, a[::-1], a[::2, ::2], fixed, a.astype(">f8"), a.view(Sub), np.asfortranarray(a))
    return [f(x) for x in kinds for _ in range(2)]


@scenario
def arguments_that_are_written(w):
    def f(x):
        x.mul_(2)
        x[0] = 7
        return x.sum()

    g = w(f)
    a, b, c = tensor(), X.copy(), cr.tensor(np.arange(20.0).reshape(4, 5))
    return [[g(a), a.clone(), g(b), b.copy(), g(c[1]), g(c[:, 2]), c.clone()] for _ in range(2)]


@scenario
def arguments_in_the_same_memory(w):
    def f(a, b):
        a.add_(1)
        return (a * b).sum()

    g, memory = w(f), np.arange(10.0)
    return [(g(memory[:6], memory[3:9]), memory.copy()) for _ in range(2)]


@scenario
def errors_after_side_effects(w):
    log = []

    def f(x):
        x.add_(1)
        if x.sum() > 100:
            log.append(1)
            raise ValueError("too large")
        return x * 2

    g, found = w(f), []
    for scale in (1, 1000, 1, 1000):
        a = tensor() * scale
        try:
            found.append(g(a))
        except ValueError as error:
            found.append(str(error))
        found.append(a)
    return found


# ---------------------------------------------------------------- modes


@scenario
def asking_whether_operations_are_recorded(w):
    f = w(lambda x: x * 2 if cr.is_grad_enabled() else x * 3)
    found = [f(tensor())]
    for mode in (cr.no_grad, cr.inference_mode):
        with mode():
            found.append(f(tensor()))
    return [*found, f(tensor())]


@scenario
def switching_recording_on_inside(w):
    def f(x):
        with cr.enable_grad():
            return (x * x).sum()

    g, a, found = w(f), tensor(requires_grad=True), []
    for _ in range(2):
        with cr.no_grad():
            y = g(a)
        found += [y, *cr.autograd.grad(y, a), *cr.autograd.grad(g(a), a)]
    return found


@scenario
def leaving_recording_switched_off(w):
    def f(x):
        cr.set_grad_enabled(False)
        return x * 2

    g, found = w(f), []
    for _ in range(2):
        try:
            found += [g(tensor()), cr.is_grad_enabled()]
        finally:
            cr.set_grad_enabled(True)
    return found


@scenario
def parameters_written_by_hand(w):
    p = tensor(requires_grad=True)

    def f(x):
        with cr.no_grad():
            p.sub_(x * 0.1)
        return (p * x).sum()

    g, found = w(f), []
    for _ in range(3):
        p.grad = None
        y = g(tensor())
        y.backward()
        found += [y, p.detach().clone(), p.grad]
    return found


@scenario
def a_value_written_apart_from_its_gradient(w):
    def f(x):
        with cr.no_grad():
            x.mul_(2)
        return (x * x).sum()

    g, found = w(f), []
    for _ in range(2):
        a = tensor(requires_grad=True)
        b = a * 3
        y = g(b)
        found += [y, b, *cr.autograd.grad(y, a)]
    return found


@scenario
def gradients_that_are_read_and_set(w):
    p = tensor(requires_grad=True)
    f = w(lambda x: x if p.grad is None else x * p.grad)
    found = [f(tensor())]
    for g in (tensor() * 4, tensor() * 7, None):
        p.grad = g
        found.append(f(tensor()))

    def setting(x):
        p.grad = x * 2
        return x.sum()

    g = w(setting)
    return [*found, *[(g(tensor() * i), p.grad) for i in (1, 3)]]


@scenario
def clipping_inside(w):
    p = tensor(requires_grad=True)

    def f(x):
        return x * nn.utils.clip_grad_norm_([p], 0.5)

    g, found = w(f), []
    for i in (1, 2, 3):
        p.grad = tensor() * i
        found += [g(tensor()), p.grad.clone()]
    return found


@scenario
def hooks_on_tensors_inside(w):
    def f(x):
        y = x * 2
        y.register_hook(lambda g: g * 10)
        return (y * y).sum()

    g, found = w(f), []
    for _ in range(2):
        a = tensor(requires_grad=True)
        g(a).backward()
        found.append(a.grad)
    return found


def test_every_thread_has_its_mode():
    f = jit(lambda x: (x * x).sum())
    a, found = tensor(requires_grad=True), {}

    def work(i):
        with cr.set_grad_enabled(i % 2 == 0):
            found[i] = {f(a).requires_grad for _ in range(50)}

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert found == {i: {i % 2 == 0} for i in range(6)}


# ---------------------------------------------------------------- random numbers


@scenario
def seeds_and_generators_inside(w):
    def seeded(x):
        cr.manual_seed(1)
        return x + cr.rand(5)

    def own(x):
        return x + cr.rand(5, generator=cr.Generator().manual_seed(3))

    def apart(x):
        with cr.random.fork_rng():
            return x + cr.rand(5)

    f, g, h = w(seeded), w(own), w(apart)
    return [[k(tensor()), k(tensor()), k(tensor()), cr.rand(2)] for k in (f, g, h)]


@scenario
def random_numbers_of_others(w):
    source, old, pure = np.random.default_rng(0), np.random.RandomState(0), random.Random(0)
    np.random.seed(0)
    random.seed(0)
    draws = [
        np.random.rand, random.random, lambda: source.normal(), lambda: old.rand(),
        lambda: pure.random(),
    ]  # fmt: skip
    found = [[f(tensor()) for _ in range(3)] for f in [w(lambda x, d=d: x + d()) for d in draws]]
    f = w(lambda x, g: x + g.normal())
    return found, [f(tensor(), source) for _ in range(3)], np.random.rand(), random.random()


def test_random_numbers_of_others_are_said():
    f = jit(lambda x: x + np.random.rand(5))
    with pytest.warns(JitWarning, match=r"random numbers from NumPy or Python"):
        f(tensor())
    assert "random numbers" in str(f.report())


# ---------------------------------------------------------------- refused


def test_what_runs_in_pieces_is_refused():
    async def coroutine(x):
        return x

    def generator(x):
        yield x

    class Called:
        async def __call__(self, x):
            return x

    for f in (coroutine, generator, Called()):
        with pytest.raises(TypeError, match="coroutine or generator"):
            jit(f)
    with pytest.raises(TypeError, match="got the class Linear"):
        jit(nn.Linear)


@scenario
def what_has_yet_to_run(w):
    async def later(x):
        return x * 2

    def pieces(x):
        yield x * 2
        yield x * 3

    f, g = w(lambda x: later(x)), w(lambda x: pieces(x))
    return [asyncio.run(f(tensor())) for _ in range(2)], [list(g(tensor())) for _ in range(2)]


@pytest.mark.parametrize("make", [lambda: iter([1.0, 2.0]), lambda: (i for i in [1.0]),
                                  lambda: itertools.count()])  # fmt: skip
def test_iterators_are_refused(make):
    f = jit(lambda x, values: x * next(values))
    with pytest.raises(TypeError, match=r"args\[1\] is a \w+, which gives its values once only"):
        f(tensor(), make())


def test_a_refusal_that_the_function_catches_counts_all_the_same():
    def f(x):
        try:
            return x[x > 0.5].sum()
        except Exception:
            return x * 0

    with pytest.warns(JitWarning, match="depends on values"):
        assert jit(f)(tensor()).item() == f(tensor()).item()


@scenario
def networks_in_training(w):
    cr.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Dropout(0.2),
                        nn.Linear(4, 2))  # fmt: skip
    optimizer = cr.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    loss = w(lambda x, y: ((net(x) - y) ** 2).mean())
    found = []
    for i in range(4):
        optimizer.zero_grad()
        value = loss(batch(i), batch(i + 10, 2))
        value.backward()
        optimizer.step()
        found.append(value)
    return [*found, *net.parameters(), *net.buffers()]
