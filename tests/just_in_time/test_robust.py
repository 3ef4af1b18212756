"""Functions that `jit` meets in the wild: nested, failing, leaking, aliasing, odd inputs."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import chainrule as cr
from chainrule.just_in_time import JitWarning, jit

x = np.linspace(0.1, 1, 5)


def close(a, b):
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-12, atol=1e-14)


def test_nested():
    inner = jit(lambda x: x.sin() if x[0] > 0 else x.cos())
    outer = jit(lambda x: inner(x) * inner(-x))
    close(outer(x), np.sin(x) * np.cos(-x))
    close(outer(-x), np.sin(x) * np.cos(-x))
    close(jit(inner)(x), np.sin(x))


def test_inside_a_trace():
    inner = jit(lambda x: x.sin() * 2)
    assert "sin" in str(cr.graph.trace(inner, x))


def test_recursion():
    @jit
    def power(x, n):
        return cr.ones_like(x) if n == 0 else x * power(x, n - 1)

    close(power(x, 5), x**5)


def test_recursion_without_end():
    @jit
    def forever(x):
        return forever(x) + 1

    with pytest.raises(RecursionError):
        forever(x)


def test_an_error_in_the_function_is_the_users_and_leaves_everything_usable():
    total = cr.zeros(5, dtype=cr.float64)
    fail = [True]

    @jit
    def f(x):
        total.add_(x)
        if fail[0]:
            raise KeyError("mine")
        return total * 2

    with pytest.raises(KeyError, match="mine"):
        f(x)
    assert type(total) is cr.Tensor
    total.zero_()
    fail[0] = False
    close(f(x), 2 * x)
    close(total, x)


def test_what_leaks_from_a_recording_is_an_error_when_it_is_used():
    kept = []

    @jit
    def f(x):
        kept.append(x * 2)
        return x

    f(x)
    with pytest.raises(RuntimeError):
        kept[0] + 1
    with pytest.raises(RuntimeError):
        kept[0].item()


def test_the_same_array_twice():
    def f(a, b):
        a += 1
        return a + b

    mine, plain = x.copy(), cr.tensor(x)
    expected = f(plain, plain)
    with pytest.warns(JitWarning, match="another one shares"):
        close(jit(f)(mine, mine), expected)
    close(mine, plain)


def test_a_variable_that_is_bound_anew():
    table = np.ones(5)
    f = jit(lambda x: x * table)
    close(f(x), x)
    table = np.full(5, 3.0)
    close(f(x), 3 * x)
    scale = {"a": 2.0, "b": [np.ones(5)]}
    g = jit(lambda x: x * scale["a"] + scale["b"][0])
    close(g(x), 2 * x + 1)
    scale["a"] = 4.0
    close(g(x), 4 * x + 1)
    scale["b"][0] = np.zeros(5)
    close(g(x), 4 * x)


def test_attributes_of_objects():
    class Model:
        def __init__(self):
            self.weight = np.ones(5)
            self.scale = 2.0

        @jit
        def __call__(self, x):
            return x * self.weight * self.scale

    model = Model()
    close(model(x), 2 * x)
    model.scale = 3.0
    close(model(x), 3 * x)
    model.weight = np.full(5, 2.0)
    close(model(x), 6 * x)
    model.weight[0] = 0.0
    close(model(x), 6 * x * np.array([0, 1, 1, 1, 1]))


@pytest.mark.parametrize("dtype", ["?", "i4", "u1", "f2", "f4", "c8", "c16"])
def test_dtypes(dtype):
    def f(x):
        return x + x, (x * x).sum()

    a = np.array([0, 1, 1, 0, 1]).astype(dtype)
    for got, expected in zip(jit(f)(a), f(cr.tensor(a)), strict=True):
        assert got.dtype == expected.numpy().dtype
        close(got, expected)


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 0, 2), (2, 1, 3)])
def test_shapes(shape):
    a = np.random.default_rng(0).normal(size=shape)
    f = jit(lambda x: (x.exp() * 2, x.sum()))
    for got, expected in zip(f(a), (np.exp(a) * 2, a.sum()), strict=True):
        assert got.shape == np.shape(expected)
        close(got, expected)


def test_layouts():
    a = np.random.default_rng(0).normal(size=(6, 8))
    f = jit(lambda x: x.exp() - x.T.sum(0)[:, None])
    raw = np.zeros(6 * 8 * 8 + 1, np.uint8)[1:].view(np.float64).reshape(6, 8)
    raw[...] = a
    for b in (a, a.T.copy().T, a[::-1], a[:, ::-1], a[::2], np.broadcast_to(a[0], (6, 8)), raw):
        close(f(b), np.exp(b) - b.sum(1)[:, None])


def test_results_belong_to_the_caller():
    f = jit(lambda x: (x, x, x * 1, cr.ones(5)))
    outs = f(x)
    for i, y in enumerate(outs):
        y[0] = i + 10
    assert x[0] == 0.1
    assert [y[0] for y in outs] == [10, 11, 12, 13]
    close(f(x)[3], np.ones(5))


def test_many_threads():
    f = jit(lambda x, k: (x * k).sin().sum() if x[0] > 0 else x.sum())
    g = jit(cr.func.grad(lambda x: (x * x).exp().sum()))
    errors = []

    def work(seed):
        rng = np.random.default_rng(seed)
        try:
            for _ in range(20):
                a = rng.normal(size=int(rng.integers(1, 6)))
                close(f(a, 2), np.sin(a * 2).sum() if a[0] > 0 else a.sum())
                close(g(a), 2 * a * np.exp(a * a))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors


def test_under_no_grad_nothing_is_recorded():
    f = jit(lambda x: (x * x).sum())
    a = cr.tensor(x, requires_grad=True)
    with cr.no_grad():
        assert not f(a).requires_grad
    assert f(a).requires_grad


def test_no_grad_inside():
    @jit
    def f(x):
        with cr.no_grad():
            scale = x.sum()
        return (x * scale).sum()

    close(cr.func.grad(f)(x), np.full(5, x.sum()))


def test_backward_inside_a_recording():
    @jit
    def f(x):
        w = x.clone().requires_grad_()
        (w * w).sum().backward()
        return w.grad

    with pytest.warns(JitWarning, match="requires_grad_"):
        close(f(x), 2 * x)
    close(f(x), 2 * x)


def test_training_by_hand():
    rng = np.random.default_rng(0)
    data, target = rng.normal(size=(20, 3)), rng.normal(size=20)

    def run(compiled):
        w = cr.zeros(3, dtype=cr.float64, requires_grad=True)

        def loss():
            return ((cr.tensor(data) @ w - cr.tensor(target)) ** 2).mean()

        loss = jit(loss) if compiled else loss
        opt = cr.optim.Adam([w], lr=0.1)
        for _ in range(5):
            opt.zero_grad()
            loss().backward()
            opt.step()
        return w.detach().numpy()

    close(run(True), run(False))


def test_too_many_signatures():
    f = jit(lambda x: x * 2, max_signatures=3)
    for n in (1, 2, 3, 2):
        close(f(x[:n]), 2 * x[:n])
    with pytest.warns(JitWarning, match="more than 3 different signatures"):
        close(f(x[:4]), 2 * x[:4])
    assert len(f.signatures) == 3


def test_not_a_function():
    with pytest.raises(TypeError, match="jit takes a function"):
        jit(3)


def test_a_float_that_has_to_be_a_number_of_python():
    def only_numbers(a):
        if type(a) is not float:
            raise TypeError("a number, please")
        return a

    f = jit(lambda x, a: x * only_numbers(a))
    for a in (2.0, 3.0, 2.0):
        close(f(x, a), a * x)
    assert all(not s.reason for s in f.signatures if s.variants)


def test_the_default_dtype():
    f = jit(lambda x: cr.zeros(5) + x.float())
    assert f(x).dtype == np.float32
    cr.set_default_dtype(cr.float64)
    try:
        assert f(x).dtype == np.float64
    finally:
        cr.set_default_dtype(cr.float32)
